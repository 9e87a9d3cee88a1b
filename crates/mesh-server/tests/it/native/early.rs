//! Text that is told before it is stored: what of it a client reads, and reads again.

use futures::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::{
    cuts::Chance,
    kit::{Client, Native, SOON},
};

/// A message as a client puts it together.
#[derive(Default)]
struct Text(String);

impl Text {
    /// What comes replaces what there is from there on. Gives how much that was.
    fn put(&mut self, at: u64, text: &str) -> usize {
        let known = self.0.chars().count();
        let at = usize::try_from(at).unwrap();
        assert!(at <= known, "text is missing: {known} characters, and then {at}");
        self.0 = self.0.chars().take(at).chain(text.chars()).collect();
        known - at
    }
}

/// A plain socket of `tokens200`.
struct Plain(WebSocketStream<TcpStream>);

impl Plain {
    async fn open(native: &Native, query: &str) -> Self {
        let request = format!("ws://{}/ws/tokens200?{query}", native.address);
        let stream = TcpStream::connect(native.address).await.unwrap();
        Self(client_async(request.into_client_request().unwrap(), stream).await.unwrap().0)
    }

    async fn speak(native: &Native, query: &str, tokens: u32, interval_us: u32) -> Self {
        let mut socket = Self::open(native, query).await;
        let request = json!({ "n": tokens, "interval_us": interval_us }).to_string();
        socket.0.send(Message::text(request)).await.unwrap();
        socket
    }

    /// The next frame; none when the socket was closed well.
    async fn next(&mut self) -> Option<Json> {
        loop {
            let next = tokio::time::timeout(SOON, self.0.next()).await;
            match next.expect("a frame comes soon")?.unwrap() {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Close(Some(close)) => {
                    assert_eq!(u16::from(close.code), 1000);
                    return None;
                }
                _ => {}
            }
        }
    }
}

fn content(frame: &Json) -> &str {
    frame["data"][0]["content"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_plain_socket_every_character_comes_once_and_states_only_when_they_are_stored() {
    let native = Native::start().await;
    let mut socket = Plain::speak(&native, "stream_mode=messages,values", 150, 1000).await;
    let (mut text, mut early, mut whole, mut seq) = (Text::default(), 0, 0, 0);
    let mut state = Json::Null;
    while let Some(frame) = socket.next().await {
        if let Some(next) = frame.get("seq") {
            assert!(next.as_u64().unwrap() > seq, "{frame}");
            seq = next.as_u64().unwrap();
        } else {
            assert_eq!(frame["event"], "messages", "{frame}");
            early += 1;
            whole += usize::from(frame["data"][1]["langgraph_node"] == "writer");
        }
        if frame["event"] == "messages" {
            assert_eq!(text.put(frame["at"].as_u64().unwrap(), content(&frame)), 0, "{frame}");
        } else {
            state = frame["data"].clone();
        }
    }
    let messages = state["messages"].as_array().unwrap();
    assert_eq!(messages.last().unwrap()["content"], text.0);
    assert_eq!(text.0.matches(' ').count(), 150);
    assert!(early > 0);
    // What does not change is told once.
    assert_eq!(whole, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_may_come_back_is_told_early_only_when_it_says_so() {
    let native = Native::start().await;
    let query = "stream_mode=messages&thread_id=book";
    let mut socket = Plain::speak(&native, query, 40, 1000).await;
    let mut read = Vec::new();
    while let Some(frame) = socket.next().await {
        assert_eq!(frame["seq"], read.len() + 1, "{frame}");
        assert!(frame.get("at").is_none());
        read.push(frame);
    }
    assert_eq!(read.len(), 41);
    let mut again = Plain::open(&native, &format!("{query}&last_event_id=0")).await;
    for frame in read {
        assert_eq!(again.next().await, Some(frame));
    }
    assert_eq!(again.next().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_socket_that_is_cut_and_comes_back_has_all_text_by_its_places() {
    let native = Native::start().await;
    let mut chance = Chance(0x0DD5_1234_5678_9ABC);
    for round in 0..6 {
        let query = format!("stream_mode=messages,values&thread_id=book{round}&early=true");
        let begin = format!("{query}&on_disconnect=continue");
        let mut socket = Plain::speak(&native, &begin, 300, 500).await;
        let (mut text, mut after, mut state) = (Text::default(), 0, Json::Null);
        loop {
            let mut over = false;
            for _ in 0..=chance.below(30) {
                let Some(frame) = socket.next().await else {
                    over = true;
                    break;
                };
                let known = frame.get("seq").or_else(|| frame.get("after"));
                if let Some(known) = known.and_then(Json::as_u64) {
                    assert!(known > after, "{frame}");
                    after = known;
                }
                if frame["event"] == "messages" {
                    text.put(frame["at"].as_u64().unwrap(), content(&frame));
                } else {
                    state = frame["data"].clone();
                }
            }
            if over {
                break;
            }
            drop(socket);
            socket = Plain::open(&native, &format!("{query}&last_event_id={after}")).await;
        }
        let messages = state["messages"].as_array().unwrap();
        assert_eq!(messages.last().unwrap()["content"], text.0);
        assert_eq!(text.0.matches(' ').count(), 300);
    }
}

/// Starts a run that says so many tokens. Gives its thread and the name of the log.
async fn speaking(client: &mut Client, tokens: u32, subscribe: &Json) -> (String, String) {
    let started = client
        .ask(json!({
            "op": "start", "id": "start",
            "run": {
                "assistant_id": "tokens200", "on_completion": "keep",
                "input": { "messages": [], "n": tokens, "interval_us": 500 },
                "stream_mode": ["values", "messages-tuple"],
            },
            "subscribe": subscribe,
        }))
        .await;
    let text = |name: &str| started[name].as_str().unwrap().to_owned();
    (text("thread_id"), text("log"))
}

/// What a client of the native socket knows.
#[derive(Default)]
struct Known {
    text: Text,
    after: u64,
    states: Vec<u64>,
    deltas: usize,
    replaced: usize,
    ended: bool,
}

impl Known {
    fn take(&mut self, frame: &Json) {
        let moved = match &frame["type"] {
            kind if kind == "event" => frame["seq"].as_u64(),
            kind if kind == "delta" => frame.get("after").and_then(Json::as_u64),
            kind if kind == "ack" => return,
            _ => panic!("{frame}"),
        };
        if let Some(moved) = moved {
            assert!(moved > self.after, "{frame}");
            self.after = moved;
        }
        if frame["type"] == "delta" {
            self.deltas += 1;
            let text = frame["text"].as_str().unwrap();
            self.replaced += self.text.put(frame["at"].as_u64().unwrap(), text);
        } else if frame["kind"] == "messages" {
            self.replaced += self.text.put(frame["at"].as_u64().unwrap(), content(frame));
        } else {
            self.states.push(self.after);
            self.ended = frame["kind"] == "ended";
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_told_early_and_another_one_reads_the_log() {
    let native = Native::start().await;
    let mut early = native.open().await;
    let (thread, _) = speaking(&mut early, 200, &json!({ "early": true })).await;
    let mut late = native.open().await;
    late.ask(json!({ "op": "subscribe", "id": 1, "thread_id": thread, "after": 0 })).await;
    let (mut one, mut other, mut first) = (Known::default(), Known::default(), None);
    while !one.ended {
        let frame = early.next().await;
        if frame["type"] == "delta" {
            first.get_or_insert_with(|| frame.clone());
        }
        one.take(&frame);
    }
    while !other.ended {
        other.take(&late.next().await);
    }
    assert_eq!(one.text.0, other.text.0);
    assert_eq!(one.text.0.matches(' ').count(), 200);
    assert_eq!((one.states, one.after), (other.states, other.after));
    assert_eq!((one.replaced, other.replaced, other.deltas), (0, 0, 0));
    assert!(one.deltas > 0);
    let of = &first.unwrap()["of"];
    assert_eq!(of["node"], "writer");
    assert_eq!(of["metadata"]["langgraph_node"], "writer");
    assert_eq!(of["chunk"]["type"], "AIMessageChunk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_is_cut_and_comes_back_has_all_text_by_its_places() {
    let native = Native::start().await;
    let mut chance = Chance(0x5EED_0DD5_5678_9ABC);
    for _ in 0..6 {
        let mut starter = native.open().await;
        let (thread, log) = speaking(&mut starter, 300, &json!({ "early": true })).await;
        let mut known = Known::default();
        while !known.ended {
            let mut client = native.open().await;
            client
                .call(json!({
                    "op": "subscribe", "id": 1, "thread_id": thread, "log": log,
                    "after": known.after, "follow": { "early": true },
                }))
                .await;
            for _ in 0..chance.below(30) + 2 {
                known.take(&client.next().await);
                if known.ended {
                    break;
                }
            }
            client.cut();
        }
        let mut whole = Known::default();
        while !whole.ended {
            let frame = starter.next().await;
            whole.take(&frame);
        }
        assert_eq!(known.text.0, whole.text.0);
        assert_eq!(known.states, whole.states);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_takes_credit() {
    let native = Native::start().await;
    let mut client = native.open().await;
    let follow = json!({ "early": true, "credit": 3, "modes": ["messages"] });
    let (thread, _) = speaking(&mut client, 100, &follow).await;
    let mut known = Known::default();
    let mut came = 0;
    while !known.ended {
        known.take(&client.next().await);
        came += 1;
        if came % 3 == 0 {
            client.call(json!({ "op": "credit", "id": came, "thread_id": thread, "add": 3 })).await;
            while client.next().await["type"] != "ack" {}
        }
    }
    assert_eq!(known.text.0.matches(' ').count(), 100);
}
