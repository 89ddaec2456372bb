//! The OpenAPI document: what the endpoints say of themselves, and what holds for all of them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::{Error, usage};

/// What stands before the endpoints.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "keygate admin API",
        description = "Owners, keys, what they use and who changed them.\n\nEvery call takes an admin token as a Bearer; `keygate admin-token create` makes the first one. A token of the role `viewer` sees everything and changes nothing. Lists come in pages: `next_cursor` is the `cursor` of the next one. Money is decimal text, times are RFC 3339 in UTC. Unknown fields are refused."
    ),
    components(schemas(Error, usage::Group))
)]
pub(super) struct Document;

/// Texts without control characters.
const NO_CONTROLS: &str = r"^[^\x00-\x1f\x7f-\x9f]*$";

/// A method's operation in the document.
type Operation = Map<String, Value>;

/// The ids of all operations.
pub(super) fn operations(document: &OpenApi) -> BTreeSet<String> {
    let mut document = json!(document);
    let mut ids = BTreeSet::new();
    each(&mut document, |_, _, operation| {
        ids.extend(operation["operationId"].as_str().map(str::to_owned));
    });
    ids
}

/// The document with what holds for every endpoint; `creating` are those that do what they are asked
/// once under each `Idempotency-Key`.
pub(super) fn complete(document: &OpenApi, creating: &BTreeSet<String>) -> Value {
    let mut document = json!(document);
    document["components"]["securitySchemes"] = json!({ "admin_token": {
        "type": "http",
        "scheme": "bearer",
        "description": "An admin token, `kga_…`. Roles: `admin`, `viewer`.",
    }});
    each(&mut document, |path, method, operation| {
        let id = operation["operationId"].as_str().unwrap_or_default();
        if creating.contains(id) {
            add_parameter(operation, idempotency_key());
        }
        sum_up(operation);
        refuse_controls(operation);
        let noun = path.trim_start_matches("/admin/v1/").split('/').next().unwrap_or_default();
        operation.insert("tags".to_owned(), json!([noun]));
        let role = if method == "get" { "viewer" } else { "admin" };
        let security = json!([{ "admin_token": [role] }]);
        let security = operation.entry("security").or_insert(security).clone();
        let admins = security[0]["admin_token"][0] == "admin";
        describe_answers(operation, method);
        for (status, description) in common(path, operation, admins) {
            add_answer(operation, status, description);
        }
    });
    document
}

/// The answers that an endpoint can give beside its own.
fn common(path: &str, operation: &Operation, admins: bool) -> Vec<(&'static str, &'static str)> {
    let has_parameter = |name: &str| {
        let parameters = operation.get("parameters").and_then(Value::as_array);
        parameters.is_some_and(|all| all.iter().any(|it| it["name"] == name))
    };
    let has_body = operation.contains_key("requestBody");
    let is_asked = has_body || operation.contains_key("parameters");
    [
        (is_asked, "400", "Something in the request cannot be meant; the message says what."),
        (true, "401", "No admin token, or not a good one."),
        (admins, "403", "The token's role is viewer."),
        (path.contains('{'), "404", "There is no such thing."),
        (
            has_parameter("Idempotency-Key"),
            "409",
            "The Idempotency-Key was used for another request, or what came of it is not known yet.",
        ),
        (has_parameter("If-Match"), "412", "It is not in the state any more that If-Match names."),
        (has_body, "413", "The body is longer than 256 KiB."),
        (true, "503", "The store is out of reach, or too much is waiting; Retry-After says how long."),
    ]
    .into_iter()
    .filter_map(|(can_be, status, description)| can_be.then_some((status, description)))
    .collect()
}

/// What an endpoint says of itself, and its first sentence as the summary.
fn sum_up(operation: &mut Operation) {
    let told = ["summary", "description"].map(|name| operation.get(name).and_then(Value::as_str));
    let told: Vec<&str> = told.iter().flatten().flat_map(|text| text.split_whitespace()).collect();
    let told = told.join(" ");
    let summary = told.split_once(". ").map_or(told.clone(), |(first, _)| format!("{first}."));
    operation.insert("summary".to_owned(), json!(summary));
    operation.insert("description".to_owned(), json!(told));
}

/// No text in a query has a control character in it.
fn refuse_controls(operation: &mut Operation) {
    let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) else {
        return;
    };
    for parameter in parameters.iter_mut().filter(|parameter| parameter["in"] == "query") {
        let Some(schema) = parameter["schema"].as_object_mut() else { continue };
        if schema.get("type").is_some_and(|it| it == "string") {
            schema.entry("pattern").or_insert_with(|| json!(NO_CONTROLS));
        }
    }
}

/// Says of each answer when it comes, where the endpoint left that to its own description.
fn describe_answers(operation: &mut Operation, method: &str) {
    let Some(answers) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    for (status, answer) in answers {
        let description = match status.as_str() {
            "201" => "It is made.",
            _ if method == "get" => "What was asked for.",
            _ => "It is done.",
        };
        if answer["description"].as_str().unwrap_or_default().is_empty() {
            answer["description"] = json!(description);
        }
    }
}

fn add_answer(operation: &mut Operation, status: &str, description: &str) {
    let error = json!({
        "description": description,
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    });
    let Some(answers) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    answers.entry(status).or_insert(error);
    answers.sort_keys();
}

fn add_parameter(operation: &mut Operation, parameter: Value) {
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Some(parameters) = parameters.as_array_mut() {
        parameters.push(parameter);
    }
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A name that the asker makes up. Asked again under it within 24 hours, with \
            the same token and body, this creates nothing and gives the same answer.",
        "required": false,
        "schema": { "type": "string", "pattern": "^[!-~]{1,255}$" },
    })
}

/// Goes through all operations.
fn each(document: &mut Value, mut look: impl FnMut(&str, &str, &mut Operation)) {
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, item) in paths {
        let Some(methods) = item.as_object_mut() else { continue };
        for (method, operation) in methods {
            if let Some(operation) = operation.as_object_mut() {
                look(path, method, operation);
            }
        }
    }
}
