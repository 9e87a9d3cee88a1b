//! What a client reads while a run goes on.

use serde_json::{Value as Json, json};

use crate::kit::{Mesh, TALK};

#[tokio::test]
async fn a_plain_socket_reads_the_updates_of_outer_nodes_and_nothing_else() {
    let mesh = Mesh::start().await;
    let said = mesh.ask("/ws/echo", r#"{"topic": "tides"}"#).await;
    assert_eq!(said.frames, [json!({ "say": { "log": ["tides"] } })]);
    assert_eq!((said.code, &*said.reason), (1000, ""));

    let said = mesh.ask("/ws/nested", "{}").await;
    assert_eq!(said.frames, [json!({ "outer": { "log": ["below"] } })]);
    assert_eq!(said.code, 1000);
}

/// `event` and, of children, the name of the mount.
fn kinds(frames: &[Json]) -> Vec<String> {
    let kind = |frame: &Json| {
        let event = frame["event"].as_str().unwrap();
        match frame.get("ns") {
            Some(ns) => {
                let mount = ns[0].as_str().unwrap().split(':').next().unwrap();
                format!("{event} of {mount}")
            }
            None => event.to_owned(),
        }
    };
    frames.iter().map(kind).collect()
}

#[tokio::test]
async fn a_widened_socket_wraps_every_frame_and_counts_without_gaps() {
    let mesh = Mesh::start().await;
    let said = mesh.ask("/ws/echo?stream_mode=updates,values", r#"{"topic": "tides"}"#).await;
    assert_eq!(
        said.frames,
        [
            json!({ "event": "values", "data": { "topic": "tides", "log": [] }, "seq": 1 }),
            json!({ "event": "updates", "data": { "say": { "log": ["tides"] } }, "seq": 2 }),
            json!({ "event": "values", "data": { "topic": "tides", "log": ["tides"] }, "seq": 3 }),
        ]
    );
}

#[tokio::test]
async fn messages_and_custom_events_come_from_any_depth_and_state_only_when_asked_for() {
    let mesh = Mesh::start().await;
    let said = mesh.ask("/ws/nested?stream_mode=updates,messages,custom", "{}").await;
    assert_eq!(kinds(&said.frames), ["custom of outer", "messages of outer", "updates"]);
    assert_eq!(said.frames[0]["data"], "from below");
    assert_eq!(said.frames[1]["data"][0]["content"], "token");

    let path = "/ws/nested?stream_mode=updates,custom&subgraphs=true";
    let said = mesh.ask(path, "{}").await;
    assert_eq!(kinds(&said.frames), ["custom of outer", "updates of outer", "updates"]);
    assert_eq!(said.frames[1]["data"], json!({ "inner": { "log": ["below"] } }));
    let seqs: Vec<u64> = said.frames.iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 2, 3]);
}

#[tokio::test]
async fn ten_thousand_events_arrive_in_order_and_complete() {
    let mesh = Mesh::start().await;
    let said = mesh.ask("/ws/talking?stream_mode=updates,custom", "{}").await;
    assert_eq!(said.code, 1000);
    assert_eq!(said.frames.len(), TALK + 1);
    for (at, frame) in said.frames.iter().enumerate() {
        assert_eq!(frame["seq"], at as u64 + 1);
        if at < TALK {
            assert_eq!(frame["data"]["n"], at as u64 + 1);
        }
    }
}

#[tokio::test]
async fn two_sockets_of_one_assistant_do_not_hear_each_other() {
    let mesh = Mesh::start().await;
    let (one, two) = tokio::join!(
        mesh.ask("/ws/echo", r#"{"topic": "one"}"#),
        mesh.ask("/ws/echo", r#"{"topic": "two"}"#)
    );
    assert_eq!(one.frames, [json!({ "say": { "log": ["one"] } })]);
    assert_eq!(two.frames, [json!({ "say": { "log": ["two"] } })]);
}

#[tokio::test]
async fn tasks_and_lifecycle_tell_of_an_error_only_what_its_node_meant_for_clients() {
    let mesh = Mesh::start().await;
    let said = mesh.ask("/ws/failing?stream_mode=tasks,lifecycle,debug", "{}").await;
    let told: Vec<&Json> =
        said.frames.iter().filter(|frame| frame.get("event").is_some()).collect();
    let errors: Vec<&Json> =
        told.iter().map(|frame| &frame["data"]["error"]).filter(|error| !error.is_null()).collect();
    assert_eq!(errors, [&json!({ "error": "node", "message": "failed" }), &json!("failed")]);
    assert!(told.iter().any(|frame| frame["data"]["payload"]["error"]["message"] == "failed"));
}
