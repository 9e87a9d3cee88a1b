//! Clients that leave, politely or not.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::kit::{Mesh, Probe, SOON};

const ONE_SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_close_frame_cancels_the_run_within_a_second_and_is_answered() {
    let mesh = Mesh::start().await;
    let mut client = mesh.open("/ws/slow").await;
    client.send("{}").await;
    Probe::wait_for(&mesh.probe.started).await;
    let left = Instant::now();
    client.0.close(None).await.unwrap();
    assert!(matches!(client.message().await, Message::Close(None)));
    Probe::wait_for(&mesh.probe.ended).await;
    assert!(left.elapsed() < ONE_SECOND, "{:?}", left.elapsed());
}

#[tokio::test]
async fn a_broken_connection_cancels_the_run_within_a_second() {
    let mesh = Mesh::start().await;
    for reset in [false, true] {
        let mut client = mesh.open("/ws/slow").await;
        client.send("{}").await;
        Probe::wait_for(&mesh.probe.started).await;
        let left = Instant::now();
        if reset {
            client.0.get_ref().set_zero_linger().unwrap();
        }
        drop(client);
        Probe::wait_for(&mesh.probe.ended).await;
        assert!(left.elapsed() < ONE_SECOND, "{:?}", left.elapsed());
    }
}

/// A client that opened its socket, sent its request, and answers nothing from then on.
async fn silent(mesh: &Mesh, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // Far less than it is going to be sent.
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut stream = socket.connect(mesh.address).await.unwrap();
    let upgrade = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'{', b'}']).await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_that_answers_no_pings_is_taken_for_gone() {
    let mesh = Mesh::with(|limits, _| limits.ping_every = Duration::from_millis(50)).await;
    let mut stream = silent(&mesh, "/ws/slow").await;
    Probe::wait_for(&mesh.probe.started).await;
    Probe::wait_for(&mesh.probe.ended).await;
    let mut heard = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut heard)).await;
    read.expect("the connection is closed").unwrap();
    let pings = heard.windows(2).filter(|two| *two == [0x89, 0x00]).count();
    assert_eq!(pings, 2);
}

#[tokio::test]
async fn a_client_that_answers_pings_stays_through_many_of_them() {
    let mesh = Mesh::with(|limits, _| limits.ping_every = Duration::from_millis(20)).await;
    let mut client = mesh.open("/ws/slow").await;
    client.send("{}").await;
    let mut pings = 0;
    while pings < 10 {
        let next = tokio::time::timeout(SOON, client.0.next()).await;
        match next.unwrap().unwrap().unwrap() {
            Message::Ping(_) => pings += 1,
            other => panic!("unexpected {other:?}"),
        }
    }
    mesh.probe.go.add_permits(1);
    assert_eq!(client.rest().await.code, 1000);
}

#[tokio::test]
async fn a_ping_of_the_client_is_answered_while_nothing_else_is_written() {
    let mesh = Mesh::start().await;
    let mut client = mesh.open("/ws/slow").await;
    client.send("{}").await;
    Probe::wait_for(&mesh.probe.started).await;
    client.0.send(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
    let next = tokio::time::timeout(SOON, client.0.next()).await;
    let pong = Message::Pong(Bytes::from_static(b"there?"));
    assert_eq!(next.unwrap().unwrap().unwrap(), pong);
}

#[tokio::test]
async fn of_many_pings_at_once_the_last_one_is_answered() {
    let mesh = Mesh::start().await;
    let mut stream = silent(&mesh, "/ws/slow").await;
    Probe::wait_for(&mesh.probe.started).await;
    let pings = (0..1000_u16).flat_map(|n| {
        let [high, low] = n.to_be_bytes();
        [0x89, 0x82, 0, 0, 0, 0, high, low]
    });
    stream.write_all(&pings.collect::<Vec<u8>>()).await.unwrap();
    let mut heard = Vec::new();
    let [high, low] = 999_u16.to_be_bytes();
    while !heard.ends_with(&[0x8a, 0x02, high, low]) {
        let read = tokio::time::timeout(SOON, stream.read_buf(&mut heard)).await;
        assert!(read.expect("the last pong comes").unwrap() > 0);
    }
}

#[tokio::test]
async fn a_client_that_takes_no_bytes_is_dropped_and_its_run_cancelled() {
    let mesh = Mesh::with(|limits, _| limits.write_timeout = Duration::from_millis(300)).await;
    let stream = silent(&mesh, "/ws/talking?stream_mode=custom&thread_id=t").await;
    Probe::wait_for(&mesh.probe.started).await;
    Probe::wait_for(&mesh.probe.ended).await;
    let answer = loop {
        let answer = mesh.open("/ws/talking?thread_id=t&last_event_id=0").await.rest().await;
        if answer.reason != "thread_busy" {
            break answer;
        }
    };
    drop(stream);
    assert!(matches!(answer.code, 1000 | 1008), "it is over: {}", answer.reason);
}

#[tokio::test]
async fn a_slow_client_gets_everything_and_holds_nobody_up() {
    let mesh = Mesh::start().await;
    let mut client = mesh.open("/ws/talking?stream_mode=custom").await;
    client.send("{}").await;
    // The run ends although its client has read nothing.
    Probe::wait_for(&mesh.probe.ended).await;
    let mut count = 0;
    while let Some(frame) = client.next().await {
        count += 1;
        assert_eq!(frame["seq"], count);
        assert_eq!(frame["data"]["n"], count);
    }
    assert_eq!(count as usize, crate::kit::TALK);
}

#[tokio::test]
async fn with_continue_the_run_goes_on_without_its_client() {
    let mesh = Mesh::start().await;
    let path = "/ws/two?thread_id=t&on_disconnect=continue";
    let mut client = mesh.open(path).await;
    client.send(r#"{"topic": "tides"}"#).await;
    assert!(client.next().await.unwrap().get("first").is_some());
    Probe::wait_for(&mesh.probe.started).await;
    client.0.close(None).await.unwrap();
    assert!(matches!(client.message().await, Message::Close(None)));
    // The run has the thread still.
    let busy = mesh.ask("/ws/two?thread_id=t", "null").await;
    assert_eq!((busy.refusal().0, busy.code), ("thread_busy", 1008));
    mesh.probe.go.add_permits(1);
    Probe::wait_for(&mesh.probe.ended).await;
    // What it told meanwhile can be had.
    let said = mesh.open("/ws/two?thread_id=t&last_event_id=1").await.rest().await;
    assert_eq!(said.frames[0]["data"], json!({ "second": { "log": ["waited"] } }));
    assert_eq!(said.code, 1000, "{said:?}");
}
