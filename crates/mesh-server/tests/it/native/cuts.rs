//! Cut and resume: whatever happens to connections and servers, what a client read is the log.

use mesh_store::Sqlite;
use serde_json::{Value as Json, json};

use super::kit::{Client, Native};

/// Cuts of one test. `MESH_CUTS` asks for more.
fn cuts() -> u32 {
    std::env::var("MESH_CUTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1500)
}

/// Numbers that are the same in every run of the test.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// A thread with a run that says so many tokens, so many microseconds apart.
async fn spoken(client: &mut Client, tokens: u32, interval_us: u32) -> (String, String) {
    let started = client
        .ask(json!({
            "op": "start", "id": "start",
            "run": {
                "assistant_id": "tokens200", "on_completion": "keep",
                "input": { "messages": [], "n": tokens, "interval_us": interval_us },
                "stream_mode": ["values", "updates", "messages-tuple", "tasks"],
            },
        }))
        .await;
    let text = |name: &str| started[name].as_str().unwrap().to_owned();
    (text("thread_id"), text("log"))
}

fn subscribe(thread: &str, log: &str, after: u64, follow: &Json) -> Json {
    json!({
        "op": "subscribe", "id": 1, "thread_id": thread, "after": after, "log": log,
        "follow": follow,
    })
}

fn is_end(frame: &Json) -> bool {
    frame["kind"] == "ended"
}

/// The whole log, as one client reads it from the beginning to the end of the run.
async fn log_of(native: &Native, thread: &str, log: &str) -> Vec<Json> {
    let mut client = native.open().await;
    client.ask(subscribe(thread, log, 0, &json!({}))).await;
    let mut read = Vec::new();
    while !read.last().is_some_and(is_end) {
        read.push(client.next_of("event").await);
    }
    let seqs: Vec<u64> = read.iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=read.len() as u64).collect::<Vec<_>>(), "the log has no gaps");
    read
}

/// Reads to the end of the run, a few frames per connection. Gives what it read, and how often it
/// was cut.
async fn read_in_pieces(
    native: &Native,
    thread: &str,
    log: &str,
    chance: &mut Chance,
) -> (Vec<Json>, u32) {
    let (mut read, mut cuts) = (Vec::<Json>::new(), 0);
    while !read.last().is_some_and(is_end) {
        let mut client = native.open().await;
        let after = read.last().map_or(0, |last| last["seq"].as_u64().unwrap());
        client.call(subscribe(thread, log, after, &json!({}))).await;
        // Also before the answer, and while more is on its way.
        for _ in 0..chance.below(12) {
            let frame = client.next().await;
            match frame["type"].as_str() {
                Some("ack") => assert_eq!(frame["result"]["after"], after),
                Some("event") => read.push(frame),
                _ => panic!("{frame}"),
            }
            if read.last().is_some_and(is_end) {
                break;
            }
        }
        client.cut();
        cuts += 1;
    }
    (read, cuts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_over_many_cuts_is_the_log() {
    let native = Native::start().await;
    let mut starter = native.open().await;
    let mut chance = Chance(0x5EED_1234_5678_9ABC);
    let (mut left, mut rounds) = (cuts(), 0);
    while left > 0 {
        // Every other run speaks while it is read.
        let interval = if rounds % 2 == 0 { 0 } else { 500 };
        let (thread, log) = spoken(&mut starter, 300, interval).await;
        let (read, made) = read_in_pieces(&native, &thread, &log, &mut chance).await;
        assert_eq!(read, log_of(&native, &thread, &log).await);
        left = left.saturating_sub(made);
        rounds += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_observers_and_a_late_joiner_read_the_same() {
    let native = Native::start().await;
    let mut first = native.open().await;
    let (thread, log) = spoken(&mut first, 400, 2000).await;
    let read = async |mut client: Client| {
        client.ask(subscribe(&thread, &log, 0, &json!({}))).await;
        let mut read = Vec::new();
        while !read.last().is_some_and(is_end) {
            read.push(client.next_of("event").await);
        }
        read
    };
    let late = async {
        let mut client = native.open().await;
        client.call(json!({ "op": "subscribe", "id": 1, "thread_id": thread, "after": 0 })).await;
        // Comes when a quarter is told.
        while client.next().await["seq"].as_u64().unwrap_or(0) < 100 {}
        let mut client = native.open().await;
        let call = json!({ "op": "subscribe", "id": 1, "thread_id": thread, "snapshot": true });
        client.ask(call).await;
        assert_eq!(client.next_of("snapshot").await["seq"], 0);
        let mut read = Vec::new();
        while !read.last().is_some_and(is_end) {
            read.push(client.next_of("event").await);
        }
        read
    };
    let second = native.open().await;
    let (one, other, late) = tokio::join!(read(first), read(second), late);
    assert_eq!(one, other);
    assert_eq!(one, late);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_is_good_on_the_server_that_comes_after() {
    let database = Sqlite::in_memory().unwrap();
    let native = Native::over(&database, false).await;
    let mut client = native.open().await;
    let (thread, log) = spoken(&mut client, 300, 2000).await;
    client.ask(subscribe(&thread, &log, 0, &json!({}))).await;
    let mut read: Vec<Json> = Vec::new();
    while read.len() < 100 {
        read.push(client.next_of("event").await);
    }
    native.stop.cancel();
    let goaway = client.next_of("goaway").await;
    let cursor = goaway["cursors"][&thread].as_u64().unwrap();
    assert!(cursor >= read.last().unwrap()["seq"].as_u64().unwrap());
    native.ended().await;
    let native = Native::over(&database, false).await;
    let mut chance = Chance(7);
    let mut client = native.open().await;
    let after = read.last().unwrap()["seq"].as_u64().unwrap();
    let answer = client.ask(subscribe(&thread, &log, after, &json!({}))).await;
    assert_eq!(answer["log"], log);
    drop(client);
    let (whole, _) = read_in_pieces(&native, &thread, &log, &mut chance).await;
    assert_eq!(read, whole[..read.len()]);
    assert_eq!(whole, log_of(&native, &thread, &log).await);
}
