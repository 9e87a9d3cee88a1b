//! Waiting for runs: the last values, or why there are none.

use serde_json::json;

use crate::kit::Probe;
use crate::runner::Runner;

#[tokio::test]
async fn waiting_gives_the_last_values_and_says_where_the_run_is() {
    let mesh = Runner::start().await;
    let answer = mesh.post("/runs/wait", &json!({ "assistant_id": "steps", "input": {} })).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json()["log"], json!(["said", "again"]));
    let at = answer.header("content-location").unwrap();
    assert!(at.starts_with("/threads/"), "{at}");
    assert_eq!(answer.header("location"), Some(&*format!("{at}/join")));
}

#[tokio::test]
async fn a_failure_is_an_answer_and_can_be_had_again() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let path = format!("/threads/{thread}/runs");
    let body = json!({ "assistant_id": "fails", "input": {} });
    let answer = mesh.post(&format!("{path}/wait"), &body).await;
    let error = json!({ "__error__": { "error": "CustomError", "message": "Boo!" } });
    assert_eq!((answer.status, answer.json()), (200, error.clone()));
    let run = mesh.get(&path).await.json()[0].clone();
    assert_eq!(run["status"], "error");
    let join = format!("{path}/{}/join", run["run_id"].as_str().unwrap());
    assert_eq!(mesh.get(&join).await.json(), error);
}

#[tokio::test]
async fn questions_are_among_the_last_values_and_breakpoints_are_not() {
    let mesh = Runner::start().await;
    let asked = mesh.post("/runs/wait", &json!({ "assistant_id": "asks", "input": {} })).await;
    assert_eq!(asked.json()["__interrupt__"][0]["value"], "really?");
    let body = json!({ "assistant_id": "steps", "input": {}, "interrupt_after": "*" });
    let stopped = mesh.post("/runs/wait", &body).await.json();
    assert_eq!(stopped["log"], json!(["said"]));
    assert_eq!(stopped.get("__interrupt__"), None);
}

#[tokio::test]
async fn values_that_were_not_streamed_are_those_of_the_thread() {
    let mesh = Runner::start().await;
    let body = json!({ "assistant_id": "steps", "input": {}, "stream_mode": "updates" });
    let answer = mesh.post("/runs/wait", &body).await;
    assert_eq!(answer.json()["log"], json!(["said", "again"]));
}

#[tokio::test]
async fn a_run_that_was_cancelled_before_it_began_leaves_nothing() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let path = format!("/threads/{thread}/runs");
    let body = json!({ "assistant_id": "steps", "input": {}, "after_seconds": 3600 });
    let run = mesh.post(&path, &body).await.json();
    let one = format!("{path}/{}", run["run_id"].as_str().unwrap());
    let waiting = mesh.open("GET", &format!("{one}/join"), &[], None).await;
    mesh.send("POST", &format!("{one}/cancel"), &[], None).await;
    assert_eq!(waiting.rest().await.json(), json!({}));
}

#[tokio::test]
async fn the_head_of_an_answer_does_not_wait_for_the_run() {
    let mesh = Runner::start().await;
    let body = json!({ "assistant_id": "slow", "input": {} });
    // Comes back with the head alone.
    let open = mesh.open("POST", "/runs/wait", &[], Some(&body)).await;
    assert!(open.header("content-location").is_some());
    Probe::wait_for(&mesh.probe.started).await;
    mesh.probe.go.add_permits(1);
    assert_eq!(open.rest().await.json()["log"], json!(["waited"]));
}

#[tokio::test]
async fn joining_a_run_that_is_not_there_is_an_answer_on_a_thread_that_is() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let nobody = "0192f0c0-0000-7000-8000-000000000000";
    let answer = mesh.get(&format!("/threads/{thread}/runs/{nobody}/join")).await;
    let error =
        json!({ "__error__": { "error": "HTTPException", "message": "404: Run not found" } });
    assert_eq!((answer.status, answer.json()), (200, error));
    assert_eq!(mesh.get(&format!("/threads/{nobody}/runs/{nobody}/join")).await.status, 404);
}

#[tokio::test]
async fn a_client_that_leaves_a_wait_takes_its_run_with_it_if_it_said_so() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let path = format!("/threads/{thread}/runs");
    let body = json!({ "assistant_id": "slow", "input": {}, "on_disconnect": "cancel" });
    let open = mesh.open("POST", &format!("{path}/wait"), &[], Some(&body)).await;
    let one = open.header("content-location").unwrap().to_owned();
    Probe::wait_for(&mesh.probe.started).await;
    drop(open);
    mesh.get(&format!("{one}/join")).await;
    assert_eq!(mesh.get(&one).await.json()["status"], "interrupted");
}
