//! Requests that come twice under one key.

use std::sync::Arc;

use mesh_graph::env::{Env, SystemEnv};
use mesh_runtime::{
    Graphs, Runtime, Scope, Stamp, idempotency::Key, thread::operations::NewThread,
};
use serde_json::{Value as Json, json};

use crate::{
    kept::Kept,
    kit::{Http, Mesh, eventually},
};

/// A request under a key.
pub(crate) async fn under(mesh: &Mesh, key: &str, path: &str, body: &Json) -> Http {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nIdempotency-Key: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        mesh.address,
        body.len(),
    );
    Http::parse(&mesh.raw(request.as_bytes()).await)
}

async fn count(kept: &Kept, path: &str) -> Json {
    kept.post(path, json!({})).await.good()
}

#[tokio::test]
async fn what_is_made_under_a_key_is_made_once() {
    let kept = Kept::start().await;
    let assistants = count(&kept, "/assistants/count").await.as_u64().unwrap();
    for (path, body, id) in [
        ("/threads", json!({}), "thread_id"),
        ("/assistants", json!({ "graph_id": "plain" }), "assistant_id"),
        (
            "/runs/crons",
            json!({ "assistant_id": "plain", "schedule": "0 0 1 1 *", "input": {} }),
            "cron_id",
        ),
    ] {
        let first = under(&kept.mesh, path, path, &body).await.good();
        let second = under(&kept.mesh, path, path, &body).await.good();
        assert!(first[id].is_string(), "{first}");
        assert_eq!(first, second);
    }
    assert_eq!(count(&kept, "/threads/count").await, 1);
    assert_eq!(count(&kept, "/assistants/count").await, assistants + 1);
    assert_eq!(count(&kept, "/runs/crons/count").await, 1);
    let other = under(&kept.mesh, "another", "/threads", &json!({})).await.good();
    assert_eq!(count(&kept, "/threads/count").await, 2, "{other}");
}

#[tokio::test]
async fn a_run_under_a_key_is_made_once_and_answered_in_every_form() {
    let kept = Kept::start().await;
    let thread = kept.post("/threads", json!({})).await.good();
    let runs = format!("/threads/{}/runs", thread["thread_id"].as_str().unwrap());
    let body = json!({ "assistant_id": "plain", "input": {} });
    let first = under(&kept.mesh, "a", &runs, &body).await;
    let second = under(&kept.mesh, "a", &runs, &body).await;
    assert_eq!(first.good()["run_id"], second.good()["run_id"]);
    assert_eq!(first.header("content-location"), second.header("content-location"));

    let path = format!("{runs}/wait");
    let first = under(&kept.mesh, "b", &path, &body).await;
    let second = under(&kept.mesh, "b", &path, &body).await;
    assert_eq!(first.good()["log"], json!(["first", "first"]));
    assert_eq!(first.good(), second.good());
    assert_eq!(first.header("location"), second.header("location"));

    let path = format!("{runs}/stream");
    let first = under(&kept.mesh, "c", &path, &body).await;
    let second = under(&kept.mesh, "c", &path, &body).await;
    assert_eq!(first.header("content-location"), second.header("content-location"));
    assert!(first.header("content-location").is_some());
    for frame in ["event: metadata", "event: values", "[\"first\",\"first\",\"first\"]"] {
        assert!(first.body.contains(frame) && second.body.contains(frame), "{second:?}");
    }
    assert_eq!(kept.get(&runs).await.good().as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn runs_made_together_under_a_key_are_the_same_ones() {
    let kept = Kept::start().await;
    let one = json!({ "assistant_id": "plain", "input": {}, "on_completion": "keep" });
    let body = json!([one, one]);
    let ids = |answer: Http| -> Vec<Json> {
        answer.good().as_array().unwrap().iter().map(|run| run["run_id"].clone()).collect()
    };
    let first = ids(under(&kept.mesh, "k", "/runs/batch", &body).await);
    assert_eq!(first.len(), 2);
    assert_eq!(first, ids(under(&kept.mesh, "k", "/runs/batch", &body).await));
    let path = "/runs";
    let first = under(&kept.mesh, "own", path, &one).await.good();
    let second = under(&kept.mesh, "own", path, &one).await;
    assert_eq!(second.good()["run_id"], first["run_id"]);
    let location = format!("/runs/{}", first["run_id"].as_str().unwrap());
    assert_eq!(second.header("content-location"), Some(&*location));
    assert_eq!(count(&kept, "/threads/count").await, 3);
}

#[tokio::test]
async fn a_thread_with_supersteps_and_a_copy_are_made_once() {
    let kept = Kept::start().await;
    let body = json!({
        "metadata": { "graph_id": "plain" },
        "supersteps": [{ "updates": [{ "values": { "log": ["mine"] }, "as_node": "first" }] }],
    });
    let first = under(&kept.mesh, "k", "/threads", &body).await.good();
    assert_eq!(first["values"]["log"], json!(["mine"]));
    assert_eq!(under(&kept.mesh, "k", "/threads", &body).await.good(), first);
    let path = format!("/threads/{}/copy", first["thread_id"].as_str().unwrap());
    let copy = under(&kept.mesh, "copy", &path, &json!({})).await.good();
    assert_ne!(copy["thread_id"], first["thread_id"]);
    assert_eq!(under(&kept.mesh, "copy", &path, &json!({})).await.good(), copy);
    assert_eq!(count(&kept, "/threads/count").await, 2);
}

#[tokio::test]
async fn a_thread_that_a_crash_left_without_its_supersteps_is_made_anew() {
    let kept = Kept::start().await;
    let body = json!({
        "metadata": { "graph_id": "plain" },
        "supersteps": [{ "updates": [{ "values": { "log": ["mine"] }, "as_node": "first" }] }],
    });
    let mut digest = blake3::Hasher::new();
    digest.update(b"POST\n/threads\n");
    digest.update(body.to_string().as_bytes());
    let request = *digest.finalize().as_bytes();
    let key = Key { principal: String::new(), text: "k".to_owned() };
    let (ledger, env) = (kept.database.ledger(), Arc::new(SystemEnv));
    let before = Runtime::new(ledger, Graphs::default(), env).keyed(key, request).in_parts();
    let (left, _) = before.create_thread(&Scope::All, None, NewThread::default()).await.unwrap();
    let made = under(&kept.mesh, "k", "/threads", &body).await.good();
    assert_ne!(made["thread_id"], left.id);
    assert_eq!(made["values"]["log"], json!(["mine"]));
    assert_eq!(count(&kept, "/threads/count").await, 1);
    assert_eq!(under(&kept.mesh, "k", "/threads", &body).await.good(), made);
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused() {
    let kept = Kept::start().await;
    under(&kept.mesh, "k", "/threads", &json!({})).await.good();
    let detail = "header Idempotency-Key: it was used for another request".to_owned();
    let body = json!({ "metadata": { "a": 1 } });
    let other = under(&kept.mesh, "k", "/threads", &body).await;
    assert_eq!(other.refusal(), (422, detail.clone()));
    let body = json!({ "assistant_id": "plain", "input": {} });
    assert_eq!(under(&kept.mesh, "k", "/runs", &body).await.refusal(), (422, detail));
    assert_eq!(count(&kept, "/threads/count").await, 1);
}

#[tokio::test]
async fn a_key_has_1_to_255_printable_characters() {
    let kept = Kept::start().await;
    for key in ["", &"k".repeat(256), "\t", "ü"] {
        let refused = under(&kept.mesh, key, "/threads", &json!({})).await;
        assert_eq!(refused.status, 422, "{refused:?}");
    }
    under(&kept.mesh, &"k".repeat(255), "/threads", &json!({})).await.good();
    let request = "Idempotency-Key: a\r\nIdempotency-Key: b\r\n";
    assert_eq!(kept.mesh.http("POST", "/threads", request).await.status, 422);
    assert_eq!(count(&kept, "/threads/count").await, 1);
}

#[tokio::test]
async fn what_was_refused_may_be_tried_again_under_its_key() {
    let kept = Kept::start().await;
    let id = "0192f0c0-0000-7000-8000-000000000000";
    let body = json!({ "assistant_id": "plain", "input": {} });
    let path = format!("/threads/{id}/runs/wait");
    assert_eq!(under(&kept.mesh, "k", &path, &body).await.status, 404);
    kept.post("/threads", json!({ "thread_id": id })).await.good();
    let made = under(&kept.mesh, "k", &path, &body).await;
    assert_eq!(made.good()["log"], json!(["first"]));
}

#[tokio::test]
async fn of_requests_that_come_at_once_under_one_key_one_makes_something() {
    let kept = Kept::start().await;
    let body = json!({});
    let answers =
        futures::future::join_all((0..8).map(|_| under(&kept.mesh, "k", "/threads", &body))).await;
    let (good, busy): (Vec<_>, Vec<_>) = answers.iter().partition(|one| one.status == 200);
    assert!(!good.is_empty());
    assert!(good.iter().all(|one| one.good() == good[0].good()));
    for one in busy {
        assert_eq!(one.status, 409, "{one:?}");
        assert_eq!(one.header("retry-after"), Some("1"));
    }
    assert_eq!(count(&kept, "/threads/count").await, 1);
}

#[tokio::test]
async fn a_request_whose_body_is_still_on_its_way_holds_up_no_other() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let kept = Kept::start().await;
    let mut first = tokio::net::TcpStream::connect(kept.mesh.address).await.unwrap();
    // Its body is still on its way: nobody else is held up by that.
    let head = format!(
        "POST /threads HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nIdempotency-Key: k\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{",
        kept.mesh.address
    );
    first.write_all(head.as_bytes()).await.unwrap();
    let second = under(&kept.mesh, "k", "/threads", &json!({})).await.good();
    first.write_all(b"}").await.unwrap();
    let mut answer = Vec::new();
    first.read_to_end(&mut answer).await.unwrap();
    assert_eq!(Http::parse(&answer).good(), second);
}

#[tokio::test]
async fn a_key_outlives_the_server() {
    let kept = Kept::start().await;
    let thread = under(&kept.mesh, "k", "/threads", &json!({})).await.good();
    let runs = format!("/threads/{}/runs/wait", thread["thread_id"].as_str().unwrap());
    let body = json!({ "assistant_id": "plain", "input": {} });
    let run = under(&kept.mesh, "r", &runs, &body).await;
    let kept = kept.again().await;
    let repeated = under(&kept.mesh, "k", "/threads", &json!({})).await.good();
    assert_eq!(repeated["thread_id"], thread["thread_id"]);
    let again = under(&kept.mesh, "r", &runs, &body).await;
    assert_eq!(again.good(), run.good());
    assert_eq!(again.header("content-location"), run.header("content-location"));
    assert_eq!(count(&kept, "/threads/count").await, 1);
}

#[tokio::test]
async fn the_document_names_the_header_where_something_is_made() {
    let kept = Kept::start().await;
    let document = kept.get("/openapi.json").await.good();
    let named = |path: &str| {
        let parameters = &document["paths"][path]["post"]["parameters"];
        let all = parameters.as_array().cloned().unwrap_or_default();
        all.iter().any(|one| one["name"] == "Idempotency-Key" && one["in"] == "header")
    };
    for path in [
        "/threads",
        "/threads/{thread_id}/copy",
        "/assistants",
        "/runs",
        "/runs/stream",
        "/runs/wait",
        "/runs/batch",
        "/runs/crons",
        "/threads/{thread_id}/runs",
        "/threads/{thread_id}/runs/stream",
        "/threads/{thread_id}/runs/wait",
        "/threads/{thread_id}/runs/crons",
    ] {
        assert!(named(path), "{path}");
    }
    assert!(!named("/threads/search"));
}

#[tokio::test]
async fn a_stateless_run_under_a_key_is_answered_again_when_it_is_long_over() {
    let kept = Kept::start().await;
    let body = json!({ "assistant_id": "plain", "input": {} });
    for path in ["/runs/wait", "/runs"] {
        let first = under(&kept.mesh, path, path, &body).await;
        let second = under(&kept.mesh, path, path, &body).await;
        assert_eq!(first.header("content-location"), second.header("content-location"));
        assert_eq!(second.status, 200);
    }
    // Their threads stay as long as the keys; those of other runs go soon.
    assert_eq!(kept.post("/runs/wait", body.clone()).await.status, 200);
    let ledger = kept.database.ledger();
    let gone_after = async |hours: i64| {
        let at = Stamp(SystemEnv.now_ms() * 1000).plus_ms(hours * 3_600_000);
        ledger.read(move |tx| tx.expired_threads(at, 10)).await.unwrap().len()
    };
    eventually(async || gone_after(25).await == 3).await;
    assert_eq!(gone_after(23).await, 1);
}
