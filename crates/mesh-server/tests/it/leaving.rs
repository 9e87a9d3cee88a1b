//! Clients that leave, politely or not.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
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
async fn a_client_that_takes_no_bytes_is_dropped_and_costs_a_bounded_buffer() {
    let mesh = Mesh::with(|limits, _| limits.write_timeout = Duration::from_millis(300)).await;
    let stream = silent(&mesh, "/ws/talking?stream_mode=custom").await;
    Probe::wait_for(&mesh.probe.started).await;
    Probe::wait_for(&mesh.probe.ended).await;
    let emitted = mesh.probe.emitted.load(std::sync::atomic::Ordering::SeqCst);
    // The rest is in the buffers of the two sockets, of the engine and of the socket's task; on
    // the loopback device the first take a few megabytes.
    assert!(emitted < crate::kit::TALK, "{emitted} events were accepted");
    drop(stream);
}

#[tokio::test]
async fn a_slow_client_gets_everything_and_holds_the_run_back() {
    let mesh = Mesh::start().await;
    let mut client = mesh.open("/ws/talking?stream_mode=custom").await;
    client.send("{}").await;
    let mut count = 0;
    while let Some(frame) = client.next().await {
        count += 1;
        assert_eq!(frame["seq"], count);
        if count % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(count as usize, crate::kit::TALK);
}

#[tokio::test]
async fn with_continue_the_run_goes_on_without_its_client() {
    let mesh = Mesh::start().await;
    let path = "/ws/kept-two?thread_id=t&on_disconnect=continue";
    let mut client = mesh.open(path).await;
    client.send(r#"{"topic": "tides"}"#).await;
    assert!(client.next().await.unwrap().get("first").is_some());
    Probe::wait_for(&mesh.probe.started).await;
    client.0.close(None).await.unwrap();
    assert!(matches!(client.message().await, Message::Close(None)));
    // The run has the thread still.
    let busy = mesh.ask("/ws/kept-two?thread_id=t", "null").await;
    assert_eq!((busy.refusal().0, busy.code), ("thread_busy", 1008));
    mesh.probe.go.add_permits(1);
    Probe::wait_for(&mesh.probe.ended).await;
    // Nothing is left to resume: it finished, and its state is there.
    let said = loop {
        let said = mesh.ask("/ws/kept-two?thread_id=t&stream_mode=values", "null").await;
        if said.reason != "thread_busy" {
            break said;
        }
    };
    assert_eq!(said.code, 1000, "{said:?}");
}

#[tokio::test]
async fn no_more_runs_than_the_limit_may_outlive_their_clients() {
    let mesh = Mesh::with(|limits, _| limits.runs_detached_max = 1).await;
    let path = "/ws/slow?on_disconnect=continue";
    let mut first = mesh.open(path).await;
    first.send("{}").await;
    Probe::wait_for(&mesh.probe.started).await;
    let second = mesh.ask(path, "{}").await;
    assert_eq!((second.refusal().0, second.code), ("too_many_runs", 1013));
    mesh.probe.go.add_permits(1);
    assert_eq!(first.rest().await.code, 1000);
}
