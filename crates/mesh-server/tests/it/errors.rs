//! What is refused, with which words and which close code.

use std::time::Duration;

use futures::SinkExt;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::kit::{Mesh, Probe};

#[tokio::test]
async fn an_address_that_cannot_be_served_is_refused_before_the_request() {
    let mesh = Mesh::start().await;
    for (path, code, said) in [
        ("/ws/nobody", "unknown_assistant", "there is no assistant `nobody`; there is: asking,"),
        ("/ws/echo?mode=updates", "invalid_query", "`mode` is unknown"),
        ("/ws/echo?stream_mode=updates,tokens", "invalid_query", "unknown stream mode `tokens`"),
        ("/ws/echo?on_disconnect=stay", "invalid_query", "expected cancel or continue"),
        ("/ws/echo?thread_id=", "invalid_query", "1 to 200 printable characters"),
    ] {
        // Nothing is sent: the refusal needs no request.
        let answer = mesh.open(path).await.rest().await;
        let (found, message, close) = answer.refusal();
        assert_eq!((found, close), (code, 1008), "{path}");
        assert!(message.contains(said), "{path}: {message}");
    }
}

#[tokio::test]
async fn a_request_that_is_not_json_is_refused_with_its_position() {
    let mesh = Mesh::start().await;
    for (request, position) in
        [("", "line 1 column 0"), ("{\"topic\":\n oops}", "line 2 column 2"), ("{} {}", "column 4")]
    {
        let answer = mesh.ask("/ws/echo", request).await;
        let (code, message, close) = answer.refusal();
        assert_eq!((code, close), ("invalid_json", 1008));
        assert!(message.contains(position), "{message}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(mesh.ask("/ws/echo", &deep).await.refusal().0, "invalid_json");
}

#[tokio::test]
async fn a_request_that_the_assistant_does_not_take_is_refused_with_a_pointer() {
    let mesh = Mesh::start().await;
    let answer = mesh.ask("/ws/strict", r#"{"topic": "Rüß!"}"#).await;
    let expected = ("invalid_request", "topic: 4 characters, expected 5 to 500", 1008);
    assert_eq!(answer.refusal(), expected);
    assert_eq!(answer.error()["pointer"], "/topic");
    assert!(answer.error().get("reference").is_none(), "there is nothing in the log");
}

#[tokio::test]
async fn an_input_that_the_graph_does_not_take_is_refused_with_a_pointer() {
    let mesh = Mesh::start().await;
    let unknown = mesh.ask("/ws/echo", r#"{"topc": "tides"}"#).await;
    assert_eq!((unknown.refusal().0, unknown.code), ("invalid_request", 1008));
    assert_eq!(unknown.error()["pointer"], "/topc");
    let wrong = mesh.ask("/ws/echo", r#"{"topic": 7}"#).await;
    assert_eq!((wrong.refusal().0, wrong.code), ("invalid_request", 1008));
    assert_eq!(wrong.error()["pointer"], "/topic");
    let list = mesh.ask("/ws/echo", "[1]").await;
    assert_eq!((list.refusal().0, list.code), ("invalid_request", 1008));
}

#[tokio::test]
async fn null_resumes_only_a_thread_with_unfinished_work() {
    let mesh = Mesh::start().await;
    let without = mesh.ask("/ws/echo", "null").await;
    assert_eq!((without.refusal().0, without.code), ("nothing_to_resume", 1008));
    assert!(without.refusal().1.contains("thread_id"));
    let fresh = mesh.ask("/ws/echo?thread_id=fresh", "null").await;
    assert_eq!((fresh.refusal().0, fresh.code), ("nothing_to_resume", 1008));
}

#[tokio::test]
async fn a_binary_frame_closes_with_1003() {
    let mesh = Mesh::start().await;
    let mut client = mesh.open("/ws/echo").await;
    client.0.send(Message::Binary(Bytes::from_static(b"{}"))).await.unwrap();
    let answer = client.rest().await;
    assert_eq!((answer.refusal().0, answer.code), ("binary_frame", 1003));
}

#[tokio::test]
async fn a_message_of_2_mb_closes_with_1009_although_it_is_still_being_sent() {
    let mesh = Mesh::start().await;
    let request = format!("{{\"topic\": \"{}\"}}", "x".repeat(2_000_000));
    let answer = mesh.ask("/ws/echo", &request).await;
    assert_eq!((answer.refusal().0, answer.code), ("too_big", 1009));
    assert!(answer.refusal().1.contains("1048576 bytes"));

    // The largest message that fits is taken.
    let fits = format!("{{\"topic\": \"{}\"}}", "x".repeat((1 << 20) - 13));
    assert_eq!(fits.len(), 1 << 20);
    assert_eq!(mesh.ask("/ws/echo", &fits).await.code, 1000);
}

/// The opening handshake, for clients that then do what a library would not.
const UPGRADE: &[u8] = b"GET /ws/echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What a raw client reads after its handshake.
async fn raw(mesh: &Mesh, frame: &[u8]) -> (String, u16) {
    let answer = mesh.raw(&[UPGRADE, frame].concat()).await;
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let frames = &answer[head..];
    // A text frame with a length of two bytes or one, then a close frame.
    let (start, length) = match frames[1] {
        126 => (4, usize::from(u16::from_be_bytes([frames[2], frames[3]]))),
        short => (2, usize::from(short)),
    };
    assert_eq!(frames[0], 0x81);
    let text = String::from_utf8(frames[start..start + length].to_vec()).unwrap();
    let close = &frames[start + length..];
    assert_eq!(close[0], 0x88);
    (text, u16::from_be_bytes([close[2], close[3]]))
}

#[tokio::test]
async fn text_that_is_not_utf_8_closes_with_1007() {
    let mesh = Mesh::start().await;
    // A masked text frame of two bytes, masked with zeros.
    let (text, close) = raw(&mesh, &[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe]).await;
    assert!(text.contains("invalid_utf8"), "{text}");
    assert_eq!(close, 1007);
}

#[tokio::test]
async fn an_unmasked_frame_closes_with_1002() {
    let mesh = Mesh::start().await;
    let (text, close) = raw(&mesh, &[0x81, 0x02, b'{', b'}']).await;
    assert!(text.contains("protocol_error"), "{text}");
    assert_eq!(close, 1002);
}

#[tokio::test]
async fn a_socket_that_never_asks_is_closed() {
    let mesh = Mesh::with(|limits, _| limits.first_frame_wait = Duration::from_millis(50)).await;
    let mut client = mesh.open("/ws/echo").await;
    client.0.send(Message::Ping(Bytes::new())).await.unwrap();
    let answer = client.rest().await;
    assert_eq!((answer.refusal().0, answer.code), ("no_request", 1008));
}

#[tokio::test]
async fn a_second_frame_during_the_run_ends_both() {
    let mesh = Mesh::start().await;
    let mut client = mesh.open("/ws/slow").await;
    client.send("{}").await;
    Probe::wait_for(&mesh.probe.started).await;
    client.send("{}").await;
    let answer = client.rest().await;
    assert_eq!((answer.refusal().0, answer.code), ("unexpected_frame", 1008));
    Probe::wait_for(&mesh.probe.ended).await;
}

#[tokio::test]
async fn a_failed_node_is_named_and_its_cause_stays_in_the_log() {
    let mesh = Mesh::start().await;
    let answer = mesh.ask("/ws/failing", "{}").await;
    let (code, message, close) = answer.refusal();
    assert_eq!((code, close), ("node_failed", 1011));
    assert!(message.contains("node `fail` failed; the server's log"), "{message}");
    assert!(answer.error()["reference"].is_string());
}

#[tokio::test]
async fn an_error_with_a_code_is_shown_without_its_causes_and_a_panic_never() {
    let mesh = Mesh::start().await;
    let frank = mesh.ask("/ws/frank", "{}").await;
    assert_eq!(frank.refusal(), ("no_sources", "no source said anything", 1011));
    assert!(frank.error()["reference"].is_string());
    let panicking = mesh.ask("/ws/panicking", "{}").await;
    assert_eq!((panicking.refusal().0, panicking.code), ("node_failed", 1011));
    assert!(!panicking.error().to_string().contains("secret"));
}

#[tokio::test]
async fn a_node_may_find_the_request_wrong() {
    let mesh = Mesh::start().await;
    let answer = mesh.ask("/ws/doubting", "{}").await;
    assert_eq!(answer.refusal(), ("invalid_request", "no source said anything", 1008));
}

#[tokio::test]
async fn a_panic_while_checking_a_request_is_ours_and_the_server_lives_on() {
    let mesh = Mesh::start().await;
    let answer = mesh.ask("/ws/rule-panics", "{}").await;
    assert_eq!((answer.refusal().0, answer.code), ("internal", 1011));
    assert!(!answer.error().to_string().contains("secret"));
    assert_eq!(mesh.ask("/ws/echo", "{}").await.code, 1000);
}

#[tokio::test]
async fn a_graph_that_goes_round_for_ever_reaches_its_limit() {
    let mesh = Mesh::start().await;
    let answer = mesh.ask("/ws/endless", "{}").await;
    assert_eq!((answer.refusal().0, answer.code), ("recursion_limit", 1011));
}
