//! Threads that clients name.

use serde_json::json;

use crate::kit::{Mesh, Probe};

#[tokio::test]
async fn a_later_run_on_a_thread_builds_on_its_state() {
    let mesh = Mesh::start().await;
    let path = "/ws/kept?thread_id=my%20thread&stream_mode=values";
    let first = mesh.ask(path, r#"{"topic": "one"}"#).await;
    assert_eq!(first.frames.last().unwrap()["data"]["log"], json!(["one"]));
    let second = mesh.ask(path, r#"{"topic": "two"}"#).await;
    assert_eq!(second.frames.last().unwrap()["data"]["log"], json!(["one", "two"]));
    let other = mesh.ask("/ws/kept?thread_id=other", r#"{"topic": "three"}"#).await;
    assert_eq!(other.frames, [json!({ "say": { "log": ["three"] } })]);
}

#[tokio::test]
async fn null_resumes_a_run_that_was_cut_off_and_repeats_nothing() {
    let mesh = Mesh::start().await;
    let mut client = mesh.open("/ws/kept-two?thread_id=t").await;
    client.send(r#"{"topic": "tides"}"#).await;
    assert!(client.next().await.unwrap().get("first").is_some());
    Probe::wait_for(&mesh.probe.started).await;
    drop(client);
    Probe::wait_for(&mesh.probe.ended).await;

    mesh.probe.go.add_permits(1);
    let said = loop {
        // Until the cut-off run has let go of the thread.
        let said = mesh.ask("/ws/kept-two?thread_id=t", "null").await;
        if said.reason != "thread_busy" {
            break said;
        }
    };
    assert_eq!(said.frames, [json!({ "second": { "log": ["waited"] } })]);
    assert_eq!(said.code, 1000);
}

#[tokio::test]
async fn a_thread_has_one_run_at_a_time() {
    let mesh = Mesh::start().await;
    let mut client = mesh.open("/ws/kept-two?thread_id=t").await;
    client.send("{}").await;
    Probe::wait_for(&mesh.probe.started).await;
    let busy = mesh.ask("/ws/kept-two?thread_id=t", "{}").await;
    assert_eq!(busy.refusal(), ("thread_busy", "thread t is busy with another run", 1008));
    mesh.probe.go.add_permits(2);
    assert_eq!(client.rest().await.code, 1000);
    assert_eq!(mesh.ask("/ws/kept-two?thread_id=t", "{}").await.code, 1000);
}

#[tokio::test]
async fn a_thread_of_one_assistant_is_closed_to_the_others() {
    let mesh = Mesh::start().await;
    mesh.ask("/ws/kept?thread_id=t", r#"{"topic": "one"}"#).await;
    let answer = mesh.ask("/ws/kept-asking?thread_id=t", "{}").await;
    let expected = ("foreign_thread", "thread t belongs to assistant `kept`", 1008);
    assert_eq!(answer.refusal(), expected);
}

#[tokio::test]
async fn a_question_is_a_frame_and_waits_on_its_thread() {
    let mesh = Mesh::start().await;
    let asked = mesh.ask("/ws/kept-asking?thread_id=t", "{}").await;
    assert_eq!(asked.code, 1000);
    assert_eq!(asked.frames.len(), 1);
    assert_eq!(asked.frames[0]["__interrupt__"][0]["value"], json!({ "really": "?" }));
    // Nobody has answered, so the same question is all there is.
    let again = mesh.ask("/ws/kept-asking?thread_id=t", "null").await;
    assert_eq!(again.frames, asked.frames);
    assert_eq!(again.code, 1000);
}

#[tokio::test]
async fn a_question_that_nobody_can_answer_is_an_error() {
    let mesh = Mesh::start().await;
    let answer = mesh.ask("/ws/asking", "{}").await;
    assert_eq!(answer.frames.len(), 2);
    assert!(answer.frames[0].get("__interrupt__").is_some());
    assert_eq!((answer.refusal().0, answer.code), ("unanswerable", 1008));
}
