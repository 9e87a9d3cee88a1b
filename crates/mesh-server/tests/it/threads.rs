//! Threads that clients name.

use serde_json::json;

use crate::kit::{Mesh, Probe, Said};

#[tokio::test]
async fn a_later_run_on_a_thread_builds_on_its_state() {
    let mesh = Mesh::start().await;
    let path = "/ws/echo?thread_id=my%20thread&stream_mode=values";
    let first = mesh.ask(path, r#"{"topic": "one"}"#).await;
    assert_eq!(first.frames.last().unwrap()["data"]["log"], json!(["one"]));
    let second = mesh.ask(path, r#"{"topic": "two"}"#).await;
    assert_eq!(second.frames.last().unwrap()["data"]["log"], json!(["one", "two"]));
    let other = mesh.ask("/ws/echo?thread_id=other", r#"{"topic": "three"}"#).await;
    assert_eq!(other.frames, [json!({ "say": { "log": ["three"] } })]);
}

#[tokio::test]
async fn null_resumes_a_run_that_was_cut_off_and_repeats_nothing() {
    let mesh = Mesh::start().await;
    let mut client = mesh.open("/ws/two?thread_id=t").await;
    client.send(r#"{"topic": "tides"}"#).await;
    assert!(client.next().await.unwrap().get("first").is_some());
    Probe::wait_for(&mesh.probe.started).await;
    drop(client);
    Probe::wait_for(&mesh.probe.ended).await;

    mesh.probe.go.add_permits(1);
    let said = loop {
        // Until the cut-off run has let go of the thread.
        let said = mesh.ask("/ws/two?thread_id=t", "null").await;
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
    let mut client = mesh.open("/ws/two?thread_id=t").await;
    client.send("{}").await;
    Probe::wait_for(&mesh.probe.started).await;
    let busy = mesh.ask("/ws/two?thread_id=t", "{}").await;
    assert_eq!(busy.refusal(), ("thread_busy", "thread t is busy with another run", 1008));
    mesh.probe.go.add_permits(2);
    assert_eq!(client.rest().await.code, 1000);
    assert_eq!(mesh.ask("/ws/two?thread_id=t", "{}").await.code, 1000);
}

#[tokio::test]
async fn a_question_is_a_frame_and_waits_on_its_thread() {
    let mesh = Mesh::start().await;
    let asked = mesh.ask("/ws/asking?thread_id=t", "{}").await;
    assert_eq!(asked.code, 1000);
    assert_eq!(asked.frames.len(), 1);
    assert_eq!(asked.frames[0]["__interrupt__"][0]["value"], json!({ "really": "?" }));
    // Nobody has answered, so the same question is all there is.
    let again = mesh.ask("/ws/asking?thread_id=t", "null").await;
    let question = |said: &Said| {
        let question = &said.frames[0]["__interrupt__"][0];
        (question["id"].clone(), question["value"].clone())
    };
    assert_eq!((again.frames.len(), question(&again)), (1, question(&asked)));
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

/// Reads `count` frames of a run and breaks off, then comes back after each of its frames.
#[tokio::test]
async fn a_client_that_was_cut_off_comes_back_for_the_rest_after_any_frame() {
    let mesh = Mesh::start().await;
    let path = "/ws/two?thread_id=t&stream_mode=updates,values,tasks&on_disconnect=continue";
    let mut client = mesh.open(path).await;
    client.send(r#"{"topic": "tides"}"#).await;
    Probe::wait_for(&mesh.probe.started).await;
    let first = client.next().await.unwrap();
    assert_eq!(first["seq"], 1);
    drop(client);
    mesh.probe.go.add_permits(1);

    let all = mesh.open("/ws/two?thread_id=t&last_event_id=0").await.rest().await;
    assert_eq!(all.code, 1000, "{all:?}");
    assert_eq!(all.frames[0], first);
    let seqs: Vec<u64> = all.frames.iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=all.frames.len() as u64).collect::<Vec<_>>());
    for after in 0..=all.frames.len() {
        let path = format!("/ws/two?thread_id=t&last_event_id={after}");
        let rest = mesh.open(&path).await.rest().await;
        assert_eq!(rest.frames, all.frames[after..]);
        assert_eq!(rest.code, 1000);
    }
    // Of some modes only, under the numbers that they have.
    let path = "/ws/two?thread_id=t&last_event_id=1&stream_mode=updates";
    let updates = mesh.open(path).await.rest().await;
    let expected: Vec<_> =
        all.frames[1..].iter().filter(|frame| frame["event"] == "updates").cloned().collect();
    assert_eq!(updates.frames, expected);
}

#[tokio::test]
async fn nobody_can_come_back_to_what_is_not_there() {
    let mesh = Mesh::start().await;
    mesh.ask("/ws/echo?thread_id=t", "{}").await;
    for (path, code) in [
        ("/ws/echo?thread_id=nothing&last_event_id=0", "thread_not_found"),
        ("/ws/two?thread_id=t&last_event_id=0", "run_not_found"),
        ("/ws/echo?last_event_id=0", "invalid_query"),
        ("/ws/echo?thread_id=t&last_event_id=x", "invalid_query"),
        ("/ws/echo?thread_id=t&last_event_id=0&on_disconnect=continue", "invalid_query"),
    ] {
        let answer = mesh.open(path).await.rest().await;
        assert_eq!((answer.refusal().0, answer.code), (code, 1008), "{path}");
    }
}

#[tokio::test]
async fn a_run_of_a_socket_is_a_run_like_any_other() {
    let mesh = Mesh::start().await;
    let thread = "11111111-2222-4333-8444-555555555555";
    let said = mesh.ask(&format!("/ws/echo?thread_id={thread}"), r#"{"topic": "tides"}"#).await;
    assert_eq!(said.code, 1000);
    let state = mesh.http("GET", &format!("/threads/{thread}/state"), "").await.json();
    assert_eq!(state["values"]["log"], json!(["tides"]));
    let runs = mesh.http("GET", &format!("/threads/{thread}/runs"), "").await.json();
    assert_eq!((&runs[0]["status"], runs.as_array().unwrap().len()), (&json!("success"), 1));
    // An assistant is as good as its graph.
    let made = json!({ "graph_id": "echo", "name": "mine" });
    let mine = mesh.send("POST", "/assistants", &made).await.json();
    let path = format!("/ws/{}", mine["assistant_id"].as_str().unwrap());
    let said = mesh.ask(&path, r#"{"topic": "tides"}"#).await;
    assert_eq!(said.frames, [json!({ "say": { "log": ["tides"] } })]);
}

#[tokio::test]
async fn a_run_that_somebody_cancels_says_so() {
    let mesh = Mesh::start().await;
    let thread = "11111111-2222-4333-8444-555555555555";
    let mut client = mesh.open(&format!("/ws/slow?thread_id={thread}")).await;
    client.send("{}").await;
    Probe::wait_for(&mesh.probe.started).await;
    let runs = mesh.http("GET", &format!("/threads/{thread}/runs"), "").await.json();
    let run = runs[0]["run_id"].as_str().unwrap();
    let path = format!("/threads/{thread}/runs/{run}/cancel");
    assert_eq!(mesh.send("POST", &path, &json!({})).await.status, 202);
    let answer = client.rest().await;
    assert_eq!((answer.refusal().0, answer.code), ("cancelled", 1008));
}
