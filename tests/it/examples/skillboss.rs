//! SkillBoss: keys that manage keys, budgets, and the clients of its document: requests, the OpenAI
//! package, curl.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Answer, MintedKey, Origin, TestGateway, TestStore, leaks, skipped, until};

const FILE: &str = "skillboss.toml";
const CHAT: &str = "/v1/chat/completions";
const SCOPES: [&str; 7] = [
    "models:read",
    "models:use",
    "services:read",
    "services:use",
    "billing:read",
    "billing:write",
    "agents:create",
];
/// Each scope's own routes; those of the last one and of `billing:read` are keygate's own calls.
const NEEDS: [super::Need; 8] = [
    ("GET", "/v1/models", "models:read"),
    ("POST", CHAT, "models:use"),
    ("POST", "/v1/embeddings", "models:use"),
    ("GET", "/v1/services", "services:read"),
    ("POST", "/v1/services/email/send", "services:use"),
    ("POST", "/v1/billing/credits", "billing:write"),
    ("GET", "/v1/balance", "billing:read"),
    ("GET", "/v1/agents", "agents:create"),
];

/// The API as the document shows it: models, an answer, and the same in pieces.
fn api() -> Origin {
    Origin::scripted(|call| {
        call.read_body()?;
        let json = ("content-type", "application/json");
        if call.request.target == "/v1/models" {
            let models = r#"{"object":"list","data":[{"id":"gemini/gemini-2.5-flash","object":"model","created":1,"owned_by":"a","cost":0.075},{"id":"claude-4-5-sonnet","object":"model","created":1,"owned_by":"a","cost":15.00}]}"#;
            return call.answer(200, &[json], models.as_bytes());
        }
        let asked = String::from_utf8_lossy(&call.request.body).into_owned();
        if asked.contains("\"stream\":true") || asked.contains("\"stream\": true") {
            call.begin_answer(200, &[("content-type", "text/event-stream"), ("x-cost", "0.02")])?;
            for word in ["Hel", "lo", "!"] {
                let chunk = format!(
                    "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{word}\"}},\"finish_reason\":null}}]}}\n\n"
                );
                call.piece(chunk.as_bytes())?;
            }
            call.piece(b"data: [DONE]\n\n")?;
            return call.end_answer();
        }
        let answer = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello!"},"finish_reason":"stop"}]}"#;
        call.answer(200, &[json, ("x-cost", "0.02")], answer.as_bytes())
    })
}

fn gateway(api: &Origin) -> TestGateway {
    TestGateway::example(FILE, TestStore::sqlite()).upstream("api", api).start()
}

fn chat(gateway: &TestGateway, key: &MintedKey) -> Answer {
    let key = format!("Authorization: Bearer {}", key.secret());
    let body = r#"{"model": "gemini/gemini-2.5-flash", "messages": [{"role": "user", "content": "test"}]}"#;
    gateway.curl(CHAT).args(["-H", &key, "-H", "Content-Type: application/json", "-d", body]).send()
}

/// Runs the document's code.
fn run_document(gateway: &TestGateway, keys: [(&str, &MintedKey); 3]) -> Option<Value> {
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients/bin/python");
    if !python.exists() {
        skipped("Python with the packages of tests/it/examples/clients", "python3-venv");
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/examples/clients/skillboss.py");
    let mut command = Command::new(python);
    command.arg(script).env("API", format!("http://{}", gateway.address()));
    for (name, key) in keys {
        command.env(name, key.secret());
    }
    let output = command.output().expect("Python runs");
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{wrong}");
    let said: Value = serde_json::from_slice(&output.stdout).expect("it says JSON");
    for secret in said["secrets"].as_array().expect("the keys it got") {
        leaks::note(secret.as_str().expect("a key is text"));
    }
    Some(said)
}

#[test]
fn the_documents_code_does_what_the_document_says_with_its_own_clients() {
    let api = api();
    let gateway = gateway(&api);
    let admin = gateway.key("--name admin --permission admin --budget 100.00");
    let current = gateway.key("--name current --permission write --budget 50.00 --expires 90d");
    let poor = gateway.key("--name poor --permission write --budget 0.00");
    let keys = [("ADMIN_KEY", &admin), ("CURRENT_KEY", &current), ("POOR_KEY", &poor)];
    let Some(said) = run_document(&gateway, keys) else { return };

    assert_eq!((&said["standard"], &said["openai"]), (&"Hello!".into(), &"Hello!".into()));
    assert_eq!(said["streamed"], serde_json::json!(["Hel", "lo", "!"]));
    assert_eq!(said["models"], serde_json::json!(["gemini/gemini-2.5-flash", "claude-4-5-sonnet"]));
    assert_eq!(said["poor"][0], 402);
    assert_eq!(said["poor"][1], "payment_required");
    assert_eq!(said["poor"][2]["message"], "Insufficient credits");

    let scoped = &said["scoped"][1];
    assert_eq!(said["scoped"][0], 201);
    assert_eq!(scoped["scopes"], serde_json::json!(["models:read", "models:use"]));
    assert_eq!((&scoped["monthly_budget"], &scoped["environment"]), (&50.0.into(), &"live".into()));
    assert!(scoped["api_key"].as_str().unwrap().starts_with("sk-"));
    assert_eq!(said["limited"], serde_json::json!([200, 403]));

    assert_eq!(said["scheduled"][0], 200);
    let schedule = &said["scheduled"][1];
    assert_eq!(schedule["rotation_interval_days"], 90);
    assert_eq!(schedule["webhook_url"], "https://your-agent.com/key-rotated");
    assert!(schedule["webhook_signing_secret"].as_str().unwrap().starts_with("whsec_"));
    assert!(schedule["next_rotation_at"].as_str().is_some());

    assert_eq!(said["rotated"][0], 200);
    assert_eq!(said["new"], serde_json::json!([200, null]));
    assert_eq!(said["old"], serde_json::json!([200, said["rotated"][1]]));

    let child = &said["child"][1];
    assert_eq!((said["child"][0].as_u64(), &child["child_budget"]), (Some(201), &25.0.into()));
    assert_eq!(child["child_name"], "ResearchAgent-1");
    assert_eq!(child["parent_id"], admin.id());
    assert_eq!(child["child_key"], child["api_key"]);
    assert_eq!(said["child_calls"], 200);
    assert_eq!(said["child_revoked"][0], 200);
    assert_eq!(said["child_revoked"][1]["status"], "revoked");

    assert_eq!(said["balance"][0], 200);
    let balance = &said["balance"][1];
    assert_eq!(balance["monthly_budget"], 50.0);
    assert_eq!(balance["auto_recharge_enabled"], false);
    // Two calls with requests and the package, and one in pieces: two cents each.
    until("they are booked", || {
        gateway.run(&format!("key show {}", current.id()))["spent"] == "0.06"
    });
    assert_eq!(api.received().iter().filter(|r| r.header("authorization").is_some()).count(), 0);
}

#[test]
fn each_scope_of_the_table_opens_its_own_routes_and_no_other() {
    let api = api();
    let gateway = gateway(&api);
    super::each_scope_opens_its_own_routes_and_no_other(
        &gateway,
        &SCOPES,
        &NEEDS,
        |answer, scope| {
            let message = format!("API key does not have required scope: {scope}");
            answer.is_refusal(403, "forbidden", &message);
        },
    );
}

#[test]
fn the_curl_calls_work_and_a_spent_budget_is_402() {
    let api = api();
    let gateway = gateway(&api);
    let key = gateway.key("--name curl --permission write --budget 0.03");
    let authorization = format!("Authorization: Bearer {}", key.secret());
    let models = gateway.curl("/v1/models").args(["-H", &authorization]).send();
    assert_eq!(models.json()["data"][0]["cost"], 0.075);
    let first = chat(&gateway, &key);
    assert_eq!((first.status, first.header("x-cost")), (200, None));
    // A cost that is known only afterwards may go beyond the budget once.
    until("the budget is spent", || chat(&gateway, &key).status == 402);
    chat(&gateway, &key).is_refusal(402, "payment_required", "Insufficient credits");
    let balance = gateway.curl("/v1/balance").args(["-H", &authorization]).send();
    assert_eq!((balance.status, &balance.json()["remaining"]), (200, &0.0.into()));
    chat(&gateway, &MintedKey::known("key_none", "sk-abc123abc123")).is_refusal(
        401,
        "unauthorized",
        "Invalid or missing API key",
    );
}
