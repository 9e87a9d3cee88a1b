//! Streams of runs: what is sent, and how a client comes back to it.

use serde_json::json;

use crate::kit::Probe;
use crate::runner::{Runner, Sent, frames};

fn names(frames: &[Sent]) -> Vec<&str> {
    frames.iter().map(|frame| &*frame.event).collect()
}

#[tokio::test]
async fn a_stream_begins_with_its_run_and_ends_with_its_last_values() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let body = json!({ "assistant_id": "steps", "input": { "topic": "x" } });
    let path = format!("/threads/{thread}/runs/stream");
    let answer = mesh.post(&path, &body).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    assert!(answer.whole);
    let sent = frames(answer.text());
    assert_eq!(names(&sent), ["metadata", "values", "values", "values"]);
    let ids: Vec<_> = sent.iter().map(|frame| frame.id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["0", "1", "2", "3"]);
    let run = sent[0].json()["run_id"].as_str().unwrap().to_owned();
    assert_eq!(sent[0].json()["attempt"], 1);
    assert_eq!(sent[3].json()["log"], json!(["said", "again"]));
    let at = format!("/threads/{thread}/runs/{run}");
    assert_eq!(answer.header("content-location"), Some(&*at));
    assert_eq!(answer.header("location"), Some(&*format!("{at}/stream")));
}

#[tokio::test]
async fn several_modes_are_told_in_the_order_of_what_happens() {
    let mesh = Runner::start().await;
    let body = json!({
        "assistant_id": "steps", "input": {},
        "stream_mode": ["values", "updates", "custom", "tasks"],
    });
    let sent = mesh.stream("/runs/stream", &body).await;
    assert_eq!(
        names(&sent),
        [
            "metadata", "values", "tasks", "updates", "tasks", "values", "tasks", "custom",
            "updates", "tasks", "values",
        ]
    );
}

#[tokio::test]
async fn a_client_that_comes_back_after_any_frame_gets_the_same_bytes() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let body = json!({
        "assistant_id": "talks", "input": {}, "stream_resumable": true,
        "stream_mode": ["values", "updates", "messages", "tasks", "debug", "events", "custom"],
    });
    let sent = mesh.stream(&format!("/threads/{thread}/runs/stream"), &body).await;
    assert!(sent.len() > 10, "{sent:?}");
    let run = sent[0].json()["run_id"].as_str().unwrap().to_owned();
    for path in [format!("/threads/{thread}/runs/{run}/stream"), format!("/runs/{run}/stream")] {
        for (at, last) in std::iter::once("-1".to_owned())
            .chain((0..sent.len()).map(|id| id.to_string()))
            .enumerate()
        {
            let again = mesh.frames("GET", &path, &[("Last-Event-ID", &last)], None).await;
            assert_eq!(again, sent[at..], "after {last}");
        }
    }
}

#[tokio::test]
async fn who_joins_without_a_place_gets_what_comes_from_then_on() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let path = format!("/threads/{thread}/runs");
    let run = mesh.post(&path, &json!({ "assistant_id": "slow", "input": {} })).await.json();
    let join = format!("{path}/{}/stream", run["run_id"].as_str().unwrap());
    Probe::wait_for(&mesh.probe.started).await;
    let mut whole = mesh.open("GET", &join, &[("Last-Event-ID", "-")], None).await;
    whole.until("id: 1\n\n").await;
    let late = mesh.open("GET", &join, &[], None).await;
    mesh.probe.go.add_permits(1);
    let late = frames(late.rest().await.text());
    assert_eq!(names(&late), ["values"]);
    assert_eq!(late[0].id.as_deref(), Some("2"));
    assert_eq!(names(&frames(whole.rest().await.text())), ["metadata", "values", "values"]);
    // Nothing comes any more.
    assert_eq!(mesh.frames("GET", &join, &[], None).await, []);
}

#[tokio::test]
async fn a_filter_leaves_frames_out_and_their_numbers_as_they_are() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let body = json!({
        "assistant_id": "steps", "input": {}, "stream_resumable": true,
        "stream_mode": ["values", "updates"],
    });
    let sent = mesh.stream(&format!("/threads/{thread}/runs/stream"), &body).await;
    let run = sent[0].json()["run_id"].as_str().unwrap().to_owned();
    let updates: Vec<Sent> =
        sent.iter().filter(|frame| frame.event == "updates").cloned().collect();
    for query in ["stream_mode=updates", "stream_mode=%5B%22updates%22%5D"] {
        let path = format!("/threads/{thread}/runs/{run}/stream?{query}");
        let some = mesh.frames("GET", &path, &[("Last-Event-ID", "-1")], None).await;
        assert_eq!(some, updates);
    }
}

#[tokio::test]
async fn a_run_that_is_not_there_is_a_stream_with_one_error() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let nobody = "0192f0c0-0000-7000-8000-000000000000";
    for path in
        [format!("/threads/{thread}/runs/{nobody}/stream"), format!("/runs/{nobody}/stream")]
    {
        let sent = mesh.frames("GET", &path, &[], None).await;
        assert_eq!(names(&sent), ["error"]);
        let error = json!({ "error": "HTTPException", "message": "404: Run not found" });
        assert_eq!(sent[0].json(), error);
    }
}

#[tokio::test]
async fn a_failure_is_the_last_frame() {
    let mesh = Runner::start().await;
    let body = json!({ "assistant_id": "fails", "input": {}, "stream_mode": "updates" });
    let sent = mesh.stream("/runs/stream", &body).await;
    assert_eq!(names(&sent), ["metadata", "error"]);
    assert_eq!(sent[1].json(), json!({ "error": "CustomError", "message": "Boo!" }));
}

#[tokio::test]
async fn a_question_is_told_among_updates_and_values_and_an_answer_goes_on() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let path = format!("/threads/{thread}/runs/stream");
    let modes = json!(["values", "updates"]);
    let body = json!({ "assistant_id": "asks", "input": {}, "stream_mode": modes });
    let sent = mesh.stream(&path, &body).await;
    assert_eq!(names(&sent), ["metadata", "values", "updates", "values"]);
    assert_eq!(sent[2].json()["__interrupt__"][0]["value"], "really?");
    assert_eq!(sent[3].json()["__interrupt__"], sent[2].json()["__interrupt__"]);
    let body = json!({
        "assistant_id": "asks", "command": { "resume": "yes", "goto": [], "update": null, "graph": null },
        "stream_mode": modes,
    });
    let sent = mesh.stream(&path, &body).await;
    assert_eq!(names(&sent), ["metadata", "values", "updates", "values"]);
    assert_eq!(sent[3].json()["log"], json!(["yes"]));
}

#[tokio::test]
async fn a_breakpoint_is_told_last_among_values() {
    let mesh = Runner::start().await;
    let body = json!({
        "assistant_id": "steps", "input": {}, "interrupt_before": ["again"],
        "stream_mode": ["values", "updates"],
    });
    let sent = mesh.stream("/runs/stream", &body).await;
    let last: Vec<_> = sent[sent.len() - 2..].iter().map(|f| (&*f.event, &*f.data)).collect();
    let stopped = r#"{"__interrupt__":[]}"#;
    assert_eq!(last, [("updates", stopped), ("values", stopped)]);
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_run_with_it_only_if_it_said_so() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let path = format!("/threads/{thread}/runs");
    for (on_disconnect, status) in [("cancel", "interrupted"), ("continue", "success")] {
        let body = json!({ "assistant_id": "slow", "input": {}, "on_disconnect": on_disconnect });
        let mut open = mesh.open("POST", &format!("{path}/stream"), &[], Some(&body)).await;
        let one = open.header("content-location").unwrap().to_owned();
        open.until("id: 1\n\n").await;
        Probe::wait_for(&mesh.probe.started).await;
        drop(open);
        if on_disconnect == "continue" {
            mesh.probe.go.add_permits(1);
        }
        mesh.get(&format!("{one}/join")).await;
        assert_eq!(mesh.get(&one).await.json()["status"], status, "{on_disconnect}");
    }
}

#[tokio::test]
async fn a_stopping_server_breaks_streams_off_so_that_clients_come_back() {
    let mut mesh = Runner::start().await;
    let body = json!({ "assistant_id": "slow", "input": {} });
    let mut open = mesh.open("POST", "/runs/stream", &[], Some(&body)).await;
    open.until("id: 1\n\n").await;
    Probe::wait_for(&mesh.probe.started).await;
    mesh.stop.cancel();
    mesh.probe.go.add_permits(1);
    let answer = open.rest().await;
    assert!(!answer.whole);
    let last = answer.text().lines().last().unwrap_or_default().to_owned();
    let ms: u64 = last.strip_prefix("retry: ").expect(&last).parse().unwrap();
    assert!((500..3000).contains(&ms));
    mesh.task.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_thread_is_followed_from_run_to_run_and_from_any_frame_on() {
    let mesh = Runner::start().await;
    let thread = mesh.thread().await;
    let path = format!("/threads/{thread}/runs/wait");
    for _ in 0..2 {
        let body = json!({ "assistant_id": "steps", "input": {} });
        assert_eq!(mesh.post(&path, &body).await.status, 200);
    }
    let stream = format!("/threads/{thread}/stream");
    let all = async |query: &str, last: &str, done: usize| {
        let path = format!("{stream}?{query}");
        let mut open = mesh.open("GET", &path, &[("Last-Event-ID", last)], None).await;
        open.until_times("run_done", done).await;
        frames(&open.so_far())
    };
    let sent = all("", "-", 2).await;
    let one = ["metadata", "values", "values", "values", "metadata"];
    assert_eq!(names(&sent), [one, one].concat());
    for (at, frame) in sent.iter().enumerate().take(9) {
        let done = 2 - usize::from(at >= 4);
        let rest = all("stream_mode=run_modes", frame.id.as_deref().unwrap(), done).await;
        assert_eq!(rest, sent[at + 1..], "after {at}");
    }
    let lifecycle = all("stream_modes=lifecycle", "-", 2).await;
    assert_eq!(names(&lifecycle), ["metadata"; 4]);
    assert_eq!(lifecycle[1].json()["status"], "run_done");
    let nobody = "/threads/0192f0c0-0000-7000-8000-000000000000/stream";
    assert_eq!(mesh.get(nobody).await.status, 404);
}

#[tokio::test]
async fn a_message_grows_and_is_complete_when_the_state_has_it() {
    let mesh = Runner::start().await;
    let body = json!({ "assistant_id": "talks", "input": {}, "stream_mode": "messages" });
    let sent = mesh.stream("/runs/stream", &body).await;
    assert_eq!(
        names(&sent),
        [
            "metadata",
            "messages/metadata",
            "messages/partial",
            "messages/partial",
            "messages/partial",
            "messages/complete",
        ]
    );
    assert_eq!(sent[4].json()[0]["content"], sent[5].json()[0]["content"]);
    // Told once: the node returned what its model had streamed.
    let body = json!({ "assistant_id": "talks", "input": {}, "stream_mode": "messages-tuple" });
    let sent = mesh.stream("/runs/stream", &body).await;
    assert_eq!(names(&sent), ["metadata", "messages", "messages", "messages"]);
}
