//! Runs over REST: how they are made, listed, cancelled and removed.

use serde_json::{Value as Json, json};

use crate::kit::Probe;
use crate::runner::Runner;

const NOBODY: &str = "0192f0c0-0000-7000-8000-000000000000";

#[tokio::test]
async fn a_run_is_pending_when_it_was_made_and_says_where_it_is() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let body =
        json!({ "assistant_id": "steps", "input": { "topic": "x" }, "metadata": { "a": 1 } });
    let answer = mesh.post(&format!("/threads/{thread}/runs"), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let run = answer.json();
    assert_eq!(run["status"], "pending");
    assert_eq!(run["thread_id"], thread);
    assert_eq!(run["multitask_strategy"], "enqueue");
    assert_eq!(run["metadata"]["a"], 1);
    assert_eq!(run["metadata"]["graph_id"], "steps");
    assert_eq!(run["kwargs"]["input"], json!({ "topic": "x" }));
    assert_eq!(run["kwargs"]["stream_mode"], json!(["values"]));
    let path = format!("/threads/{thread}/runs/{}", run["run_id"].as_str().unwrap());
    assert_eq!(answer.header("content-location"), Some(&*path));
    let joined = mesh.get(&format!("{path}/join")).await.json();
    assert_eq!(joined["log"], json!(["said", "again"]));
    assert_eq!(mesh.get(&path).await.json()["status"], "success");
}

#[tokio::test]
async fn what_is_shown_of_a_run_is_what_is_documented() {
    let mesh = Runner::start().await;
    let run = mesh.post("/runs", &json!({ "assistant_id": "steps", "input": {} })).await.json();
    let schema = serde_json::to_value(schemars::schema_for!(mesh_protocol::run::Run)).unwrap();
    let keys = |value: &Json| -> Vec<String> {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&run), keys(&schema["properties"]));
    assert_eq!(keys(&run["kwargs"]), keys(&schema["$defs"]["RunKwargs"]["properties"]));
}

#[tokio::test]
async fn a_run_on_a_thread_that_is_not_there_is_refused_unless_it_may_be_made() {
    let mesh = Runner::start().await;
    let path = format!("/threads/{NOBODY}/runs/wait");
    let mut body = json!({ "assistant_id": "steps", "input": {} });
    let refused = mesh.post(&path, &body).await;
    assert_eq!(refused.status, 404);
    assert_eq!(refused.json()["detail"], format!("Thread with ID {NOBODY} not found"));
    body["if_not_exists"] = json!("create");
    assert_eq!(mesh.post(&path, &body).await.json()["log"], json!(["said", "again"]));
    assert_eq!(mesh.get(&format!("/threads/{NOBODY}")).await.status, 200);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named_by_its_place() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    for (body, pointer) in [
        (json!({ "assistant_id": "steps", "multitask_strategy": "maybe" }), "/multitask_strategy"),
        (json!({ "assistant_id": "steps", "stream_mode": "all" }), "/stream_mode"),
        (json!({ "assistant_id": "steps", "durability": 1 }), "/durability"),
        (json!({ "assistant_id": "steps", "after_seconds": -1 }), "/after_seconds"),
        (json!({ "assistant_id": "steps", "webhook": "ftp://x" }), "/webhook"),
        (
            json!({ "assistant_id": "steps", "config": { "recursion_limit": 0 } }),
            "/config/recursion_limit",
        ),
    ] {
        let answer = mesh.post(&format!("/threads/{thread}/runs"), &body).await;
        assert_eq!((answer.status, &answer.json()["pointer"]), (422, &json!(pointer)), "{body}");
    }
    let nameless = mesh.post("/runs", &json!({ "input": {} })).await;
    assert_eq!(nameless.status, 422);
    let unknown = mesh.post("/runs", &json!({ "assistant_id": "nobody" })).await;
    assert_eq!(unknown.status, 404);
    let detail = unknown.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("No assistant found for \"nobody\""), "{detail}");
    let twice = json!({
        "assistant_id": "steps", "context": { "a": 1 }, "config": { "configurable": { "a": 1 } },
    });
    assert_eq!(mesh.post("/runs", &twice).await.status, 400);
    let empty = json!({
        "assistant_id": "steps", "input": {}, "context": { "a": 1 },
        "config": { "configurable": {}, "tags": [], "metadata": {} },
    });
    assert_eq!(mesh.post("/runs", &empty).await.status, 200);
    assert_eq!(
        mesh.post("/threads/x/runs", &empty).await.json()["detail"],
        "Invalid thread ID: must be a UUID"
    );
}

#[tokio::test]
async fn null_is_as_good_as_left_out() {
    let mesh = Runner::start().await;
    let body = json!({
        "assistant_id": "steps", "input": {}, "command": null, "config": null, "context": null,
        "metadata": null, "checkpoint": { "thread_id": null, "checkpoint_map": null },
        "checkpoint_id": null, "interrupt_before": null, "interrupt_after": null,
        "stream_mode": null, "stream_subgraphs": null, "stream_resumable": null,
        "on_disconnect": null, "multitask_strategy": null, "if_not_exists": null,
        "after_seconds": null, "webhook": null, "feedback_keys": null, "durability": null,
        "checkpoint_during": null, "on_completion": null, "langsmith_tracer": null,
    });
    let answer = mesh.post("/runs/wait", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["log"], json!(["said", "again"]));
}

#[tokio::test]
async fn a_thread_with_a_run_refuses_another_that_does_not_wait() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let path = format!("/threads/{thread}/runs");
    let slow = json!({ "assistant_id": "slow", "input": {} });
    let first = mesh.post(&path, &slow).await.json();
    let refused =
        mesh.post(&path, &json!({ "assistant_id": "slow", "multitask_strategy": "reject" })).await;
    assert_eq!(refused.status, 409);
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.starts_with("Thread is already running a task. Wait for it to finish or choose")
    );
    let second = mesh.post(&path, &slow).await.json();
    let listed = mesh.get(&format!("{path}?select=run_id&select=status&limit=5")).await.json();
    assert_eq!(listed[0]["run_id"], second["run_id"]);
    assert_eq!(listed[1]["run_id"], first["run_id"]);
    assert_eq!(listed[0].as_object().unwrap().len(), 2);
    let array = mesh.get(&format!("{path}?select=%5B%22run_id%22%5D")).await.json();
    assert_eq!(array[0].as_object().unwrap().len(), 1);
    assert_eq!(mesh.get(&format!("{path}?status=lost")).await.json(), json!([]));
    assert_eq!(mesh.get(&format!("{path}?status=success")).await.json(), json!([]));
    assert_eq!(mesh.get(&format!("{path}?limit=0")).await.status, 422);
    mesh.probe.go.add_permits(2);
}

#[tokio::test]
async fn a_cancelled_run_is_interrupted_and_cannot_be_cancelled_again() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let path = format!("/threads/{thread}/runs");
    let run = mesh.post(&path, &json!({ "assistant_id": "slow", "input": {} })).await.json();
    let one = format!("{path}/{}", run["run_id"].as_str().unwrap());
    Probe::wait_for(&mesh.probe.started).await;
    let cancelled = mesh.post(&format!("{one}/cancel?wait=1&action=interrupt"), &json!({})).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    assert_eq!(mesh.get(&one).await.json()["status"], "interrupted");
    let again = mesh.send("POST", &format!("{one}/cancel"), &[], None).await;
    assert_eq!(again.status, 404);
    assert!(again.json()["detail"].as_str().unwrap().starts_with("No matching runs to cancel."));
    let nobody = mesh.send("POST", &format!("{path}/{NOBODY}/cancel"), &[], None).await;
    assert_eq!(nobody.status, 404);
    assert_eq!(nobody.json()["detail"], "No runs found to cancel.");
}

#[tokio::test]
async fn cancelling_without_waiting_has_no_body_and_takes_runs_that_wait_too() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let path = format!("/threads/{thread}/runs");
    let body = json!({ "assistant_id": "steps", "input": {}, "after_seconds": 3600 });
    let run = mesh.post(&path, &body).await.json();
    let one = format!("{path}/{}", run["run_id"].as_str().unwrap());
    let cancelled = mesh.send("POST", &format!("{one}/cancel?action=whatever"), &[], None).await;
    assert_eq!((cancelled.status, cancelled.text()), (202, ""));
    assert_eq!(mesh.get(&one).await.json()["status"], "interrupted");
    let run = mesh.post(&path, &body).await.json();
    let one = format!("{path}/{}", run["run_id"].as_str().unwrap());
    let gone =
        mesh.send("POST", &format!("{one}/cancel?wait=true&action=rollback"), &[], None).await;
    assert_eq!((gone.status, gone.json()), (200, json!({})));
    assert_eq!(mesh.get(&one).await.status, 404);
}

#[tokio::test]
async fn runs_are_cancelled_together_by_status_or_by_id() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let path = format!("/threads/{thread}/runs");
    let body = json!({ "assistant_id": "steps", "input": {}, "after_seconds": 3600 });
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(mesh.post(&path, &body).await.json()["run_id"].clone());
    }
    let some = json!({ "thread_id": thread, "run_ids": [ids[0]] });
    assert_eq!(mesh.post("/runs/cancel", &some).await.status, 204);
    assert_eq!(mesh.post("/runs/cancel", &some).await.status, 404);
    assert_eq!(mesh.post("/runs/cancel", &json!({ "status": "pending" })).await.status, 204);
    assert_eq!(mesh.post("/runs/cancel", &json!({ "status": "all" })).await.status, 404);
    assert_eq!(mesh.post("/runs/cancel", &json!({})).await.status, 422);
    assert_eq!(mesh.post("/runs/cancel", &json!({ "status": "done" })).await.status, 422);
}

#[tokio::test]
async fn a_removed_run_is_gone() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let path = format!("/threads/{thread}/runs");
    mesh.post(&format!("{path}/wait"), &json!({ "assistant_id": "steps", "input": {} })).await;
    let run = mesh.get(&path).await.json()[0]["run_id"].as_str().unwrap().to_owned();
    let one = format!("{path}/{run}");
    let removed = mesh.send("DELETE", &one, &[], None).await;
    assert_eq!((removed.status, removed.text()), (204, ""));
    let again = mesh.send("DELETE", &one, &[], None).await;
    assert_eq!((again.status, &again.json()["detail"]), (404, &json!("Run not found")));
    assert_eq!(mesh.get(&one).await.status, 404);
    assert_eq!(mesh.get(&format!("/threads/{NOBODY}/runs")).await.status, 404);
}

#[tokio::test]
async fn a_batch_is_made_whole_or_not_at_all() {
    let mesh = Runner::start().await;
    let one = json!({ "assistant_id": "steps", "input": {}, "streamMode": "values" });
    let made = mesh.post("/runs/batch", &json!([one, one])).await;
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(made.json().as_array().unwrap().len(), 2);
    assert_eq!(made.header("content-location"), None);
    assert_eq!(mesh.post("/runs/batch", &json!([])).await.status, 422);
    assert_eq!(mesh.post("/runs/batch", &json!([one, { "input": 1 }])).await.status, 422);
    assert_eq!(mesh.post("/runs/batch", &json!([one, { "assistant_id": "x" }])).await.status, 404);
}

#[tokio::test]
async fn headers_that_begin_with_x_are_configuration_unless_they_are_secrets() {
    let mesh = Runner::start().await;
    let body = json!({
        "assistant_id": "steps", "input": {},
        "config": { "configurable": { "langgraph_auth_user": { "identity": "root" } } },
    });
    let headers = [("X-Custom", "1"), ("X-Api-Key", "secret"), ("User-Agent", "me")];
    let run = mesh.send("POST", "/runs", &headers, Some(&body)).await.json();
    let configurable = run["kwargs"]["config"]["configurable"].as_object().unwrap();
    assert_eq!(configurable["x-custom"], "1");
    assert_eq!(configurable["user_id"], "");
    for name in ["x-api-key", "user-agent", "langgraph_auth_user"] {
        assert!(!configurable.contains_key(name), "{name}");
    }
}
