//! Requests and answers, as HTTP/1.1 has them, over HTTP/2.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use bytes::Bytes;
use futures_util::future::join_all;

use super::client::{head, piece, whole};
use super::{Client, open, with};
use crate::support::{Origin, PATIENCE, block_on};

#[test]
fn curl_is_served_by_prior_knowledge_beside_http_1() {
    let origin = Origin::start();
    let (gateway, key) = open(&origin);
    for version in ["--http2-prior-knowledge", "--http1.1"] {
        let answer = gateway.curl("/a?b=c").args([version]).bearer(&key).send();
        assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"ok":true}"#), "{version}");
        assert!(answer.header("x-request-id").is_some());
        answer.says("x-ratelimit-limit", "1000000").lacks("connection");
        assert_eq!(origin.last().target, "/a?b=c");
        assert_eq!(origin.last().header("x-auth-key-id"), Some(key.id()));
        assert_eq!(origin.last().header("authorization"), None);
    }
    let refused = gateway.curl("/a").args(["--http2-prior-knowledge"]).send();
    refused.is_refusal(401, "unauthorized", "Invalid or missing API key");
    refused.says("www-authenticate", "Bearer").lacks("connection");
}

#[test]
fn a_hundred_requests_at_once_on_one_connection_get_each_its_own_answer() {
    let origin = Origin::scripted(|call| {
        let body = call.read_body()?.to_vec();
        let target = call.request.target.clone();
        call.answer(200, &[], &[target.as_bytes(), b" ", &body].concat())
    });
    let (gateway, key) = open(&origin);
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        for round in 0..3 {
            let mut begun = Vec::new();
            for number in 0..100 {
                let path = format!("/{round}/{number}");
                begun.push((path.clone(), client.begin("POST", &path, &with(&key)).await));
            }
            for (path, (_, stream)) in begun.iter_mut().rev() {
                let body = Bytes::from(path.repeat(1_000));
                stream.send_data(body, true).expect("the stream is open");
            }
            // All at once: an answer that nobody reads takes the room of the others.
            let paths: Vec<String> = begun.iter().map(|(path, _)| path.clone()).collect();
            let answers = join_all(begun.into_iter().map(|(_, (answer, _))| whole(answer))).await;
            for (path, answer) in paths.into_iter().zip(answers) {
                let answer = answer.expect("an answer comes");
                assert_eq!(answer.status, 200);
                assert!(answer.text() == format!("{path} {}", path.repeat(1_000)), "{path}");
            }
        }
    });
    assert!(origin.count() == 300, "each reached the upstream once");
}

#[test]
fn the_upstream_gets_host_cookie_and_path_as_http_1_has_them() {
    let origin = Origin::start();
    let (gateway, key) = open(&origin);
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        let more = [("cookie", "a=1"), ("x-api-key", key.secret()), ("cookie", "b=2")];
        assert_eq!(client.get("/%61/b?c=%64", &more).await.status, 200);
    });
    let request = origin.last();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/a/b?c=%64"));
    assert_eq!(request.fields.all("host"), ["api.example"]);
    assert_eq!(request.fields.all("x-forwarded-host"), ["api.example"]);
    assert_eq!(request.fields.all("x-forwarded-proto"), ["http"]);
    assert_eq!(request.fields.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.fields.all("cookie"), ["a=1; b=2"]);
}

#[test]
fn nobody_can_say_who_calls_over_http_2_either() {
    let origin = Origin::start();
    let (gateway, key) = open(&origin);
    let forged = [
        ("x-auth-key-id", "forged"),
        ("x_auth_key_id", "forged"),
        ("x-auth_owner", "forged"),
        ("x-auth-assertion", "forged"),
        ("x_forwarded_for", "203.0.113.7"),
        ("forwarded", "for=203.0.113.7"),
        ("x-real-ip", "203.0.113.7"),
        ("x-http-method-override", "DELETE"),
        ("x-api-key", key.secret()),
    ];
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        for path in ["/a", "/public"] {
            let (answer, mut stream) = client.begin("POST", path, &forged).await;
            stream.send_data("body".into(), false).expect("the stream is open");
            let trailers = [("x-auth-key-id".parse().unwrap(), "forged".parse().unwrap())];
            stream.send_trailers(trailers.into_iter().collect()).expect("the stream is open");
            assert_eq!(whole(answer).await.expect("an answer comes").status, 200);
            let request = origin.last();
            let ids = request.fields.all("x-auth-key-id");
            assert_eq!(ids, if path == "/a" { vec![key.id()] } else { vec![] });
        }
    });
    let bytes = String::from_utf8_lossy(&origin.bytes()).into_owned();
    assert!(!bytes.contains("forged") && !bytes.contains("203.0.113.7"), "{bytes}");
    assert!(!bytes.contains("DELETE"), "{bytes}");
}

#[test]
fn bodies_stream_both_ways_at_once() {
    let origin = Origin::scripted(|call| {
        call.begin_answer(200, &[])?;
        while let Some(piece) = call.read_piece()? {
            call.piece(&piece.to_ascii_uppercase())?;
        }
        call.end_answer()
    });
    let (gateway, key) = open(&origin);
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        let (answer, mut sending) = client.begin("POST", "/a", &with(&key)).await;
        // The answer's head comes while nothing of the body has.
        let mut answer = head(answer).await.expect("an answer comes").into_body();
        for word in ["one", "two", "three"] {
            sending.send_data(word.into(), false).expect("the stream is open");
            let echoed = piece(&mut answer).await.expect("a piece comes").expect("it goes on");
            assert_eq!(echoed, word.to_ascii_uppercase());
        }
        sending.send_data(Bytes::new(), true).expect("the stream is open");
        let rest = piece(&mut answer).await.expect("it ends well");
        assert!(rest.is_none_or(|rest| rest.is_empty()));
    });
}

#[test]
fn an_upload_arrives_byte_for_byte_with_its_length_if_it_was_said() {
    let origin = Origin::start();
    let (gateway, key) = open(&origin);
    let body: Vec<u8> = (0..500_000_u32).map(|n| (n % 251) as u8).collect();
    let length = body.len().to_string();
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        let said = [("x-api-key", key.secret()), ("content-length", &length)];
        for (fields, framing) in
            [(&with(&key)[..], "transfer-encoding"), (&said[..], "content-length")]
        {
            assert_eq!(client.post("/a", fields, &body).await.status, 200);
            assert!(origin.last().body == body, "the body was changed");
            assert!(origin.last().header(framing).is_some(), "{:?}", origin.last().fields);
        }
    });
}

#[test]
fn trailers_of_an_answer_reach_the_client() {
    let origin = Origin::scripted(|call| {
        call.begin_answer(200, &[("trailer", "x-sum")])?;
        call.piece(b"body")?;
        call.write(b"0\r\nx-sum: 42\r\n\r\n")
    });
    let (gateway, key) = open(&origin);
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        let answer = client.get("/a", &with(&key)).await;
        assert_eq!(answer.text(), "body");
        let trailers = answer.trailers.expect("trailers");
        assert_eq!(trailers["x-sum"], "42");
    });
}

#[test]
fn a_client_that_reads_one_answer_slowly_holds_up_no_other() {
    let (say, done) = channel();
    let done = Mutex::new(done);
    let origin = Origin::scripted(move |call| {
        call.read_body()?;
        if call.request.target == "/small" {
            return call.answer(200, &[], b"small");
        }
        call.begin_answer(200, &[])?;
        for _ in 0..4_096 {
            call.piece(&[b'x'; 16 * 1024])?;
        }
        done.lock().expect("no script panics").recv().expect("the test goes on");
        call.end_answer()
    });
    let (gateway, key) = open(&origin);
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        let answer = client.ask("/large", &with(&key)).await;
        // Its head alone is read: of its body, no more comes than the window lets.
        let mut large = head(answer).await.expect("an answer comes").into_body();
        let small = Client::connect(gateway.address()).await;
        for _ in 0..10 {
            assert_eq!(small.get("/small", &with(&key)).await.text(), "small");
        }
        say.send(()).expect("the origin waits");
        let mut length = 0;
        while let Some(piece) = piece(&mut large).await.expect("a piece comes") {
            length += piece.len();
        }
        assert_eq!(length, 4_096 * 16 * 1024);
    });
    assert!(gateway.peak_memory_kib() < 200 * 1024, "64 MiB were not held");
}

#[test]
fn a_client_that_takes_its_request_back_ends_it_upstream() {
    let (left, is_gone) = channel();
    let left = Mutex::new(left);
    let origin = Origin::scripted(move |call| {
        call.begin_answer(200, &[])?;
        loop {
            if let Err(error) = call.piece(&[b'x'; 1024]) {
                left.lock().expect("no script panics").send(()).expect("the test waits");
                return Err(error);
            }
        }
    });
    let (gateway, key) = open(&origin);
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        let (answer, mut sending) = client.begin("POST", "/a", &with(&key)).await;
        assert_eq!(head(answer).await.expect("an answer comes").status(), 200);
        sending.send_reset(h2::Reason::CANCEL);
        // The reset is sent by the connection's task, which runs while this one waits.
        let gone = tokio::task::spawn_blocking(move || is_gone.recv_timeout(PATIENCE));
        gone.await.expect("no panic").expect("the upstream is told that the client has left");
        assert_eq!(client.get("/missing-key", &[]).await.status, 401, "the connection goes on");
    });
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let origin = Origin::start();
    let (gateway, key) = open(&origin);
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        let (answer, mut stream) = client.begin("HEAD", "/a", &with(&key)).await;
        stream.send_data(Bytes::new(), true).expect("the stream is open");
        let answer = whole(answer).await.expect("an answer comes");
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("11")));
        assert!(answer.body.is_empty());
    });
}
