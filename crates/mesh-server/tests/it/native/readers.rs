//! Readers that are slow, that read nothing, and that write without reading.

use std::time::Duration;

use futures::SinkExt;
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::Message;

use super::kit::{Client, Native};

/// Starts a run that says so many tokens, and follows it.
async fn speaking(client: &mut Client, tokens: u32, follow: Json) -> String {
    let started = client
        .ask(json!({
            "op": "start", "id": "start",
            "run": {
                "assistant_id": "tokens200", "on_completion": "keep",
                "input": { "messages": [], "n": tokens },
                "stream_mode": ["values", "updates", "messages-tuple"],
            },
            "subscribe": follow,
        }))
        .await;
    started["thread_id"].as_str().unwrap().to_owned()
}

async fn read_to_the_end(client: &mut Client) -> Vec<Json> {
    let mut read: Vec<Json> = Vec::new();
    while !read.last().is_some_and(|frame| frame["kind"] == "ended") {
        read.push(client.next_of("event").await);
    }
    read
}

/// The text of all pieces, and the numbers of everything else.
fn said(read: &[Json]) -> (String, Vec<u64>) {
    let is_piece = |frame: &&Json| frame["kind"] == "messages";
    let text = |frame: &Json| frame["data"][0]["content"].as_str().unwrap().to_owned();
    let others = read.iter().filter(|frame| frame["kind"] != "messages");
    (
        read.iter().filter(is_piece).map(text).collect(),
        others.map(|frame| frame["seq"].as_u64().unwrap()).collect(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_an_event_at_a_time_loses_no_text_and_no_state() {
    let native = Native::start().await;
    let mut fast = native.open().await;
    let thread = speaking(&mut fast, 2000, json!({})).await;
    let whole = read_to_the_end(&mut fast).await;
    // Behind the run, with one credit at a time.
    let mut slow = native.open().await;
    slow.ask(json!({
        "op": "subscribe", "id": 1, "thread_id": thread, "after": 0,
        "follow": { "credit": 1, "merge": true },
    }))
    .await;
    let mut read: Vec<Json> = Vec::new();
    while !read.last().is_some_and(|frame| frame["kind"] == "ended") {
        read.push(slow.next_of("event").await);
        slow.call(json!({ "op": "credit", "id": 2, "thread_id": thread, "add": 1 })).await;
    }
    assert_eq!(said(&read), said(&whole));
    // One credit is for one event, so there is nothing to merge with.
    assert_eq!(read.len(), whole.len());
    // With room for more it is told in fewer.
    let mut slow = native.open().await;
    slow.ask(json!({
        "op": "subscribe", "id": 1, "thread_id": thread, "after": 0, "follow": { "merge": true },
    }))
    .await;
    let read = read_to_the_end(&mut slow).await;
    assert_eq!(said(&read), said(&whole));
    assert!(read.len() * 10 < whole.len(), "{} of {}", read.len(), whole.len());
    let first = |frame: &Json| frame.get("from").unwrap_or(&frame["seq"]).as_u64().unwrap();
    for pair in read.windows(2) {
        assert_eq!(first(&pair[1]), pair[0]["seq"].as_u64().unwrap() + 1, "{pair:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stand_still_keep_nobody_waiting_and_miss_nothing() {
    let native = Native::start().await;
    let mut fast = native.open().await;
    let thread = speaking(&mut fast, 10, json!({ "modes": [] })).await;
    read_to_the_end(&mut fast).await;
    let mut still = Vec::new();
    for _ in 0..30 {
        let mut client = native.open().await;
        client.call(json!({ "op": "subscribe", "id": 1, "thread_id": thread, "after": 0 })).await;
        still.push(client);
    }
    // What the system keeps for a connection is a few megabytes; this is more.
    let call = json!({
        "op": "start", "id": 2, "thread_id": thread,
        "run": {
            "assistant_id": "tokens200", "input": { "messages": [], "n": 20_000 },
            "stream_mode": ["values", "messages-tuple"],
        },
    });
    fast.call(call).await;
    read_to_the_end(&mut fast).await;
    // The run is over, and they have all of it as soon as they read.
    for mut client in still.drain(..3) {
        let mut read = read_to_the_end(&mut client).await;
        read.extend(read_to_the_end(&mut client).await);
        let seqs: Vec<u64> = read.iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (1..=read.len() as u64).collect::<Vec<_>>());
        assert_eq!(said(&read).0.matches('t').count(), 20_010);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_calls_without_reading_is_not_read_any_more() {
    let native = Native::start().await;
    let mut client = native.open().await;
    let call = json!({ "op": "dance", "id": "x".repeat(64) }).to_string();
    let flood = async {
        loop {
            if client.ws.send(Message::text(call.clone())).await.is_err() {
                return "closed";
            }
        }
    };
    // Its answers fill the connection, then its calls do; nothing piles up in between.
    let ended = tokio::time::timeout(Duration::from_secs(3), flood).await;
    assert!(ended.is_err(), "{ended:?}");
    let mut other = native.open().await;
    other.ask(json!({ "op": "ping", "id": 1 })).await;
}
