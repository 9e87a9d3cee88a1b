use std::{convert::Infallible, future::ready, net::Ipv4Addr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures::stream;
use hyper::{body::Incoming, service::service_fn};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::Semaphore,
    task::{JoinSet, yield_now},
    time::{Instant, advance},
};
use tokio_util::sync::CancellationToken;

use super::{Server, Shared, connect};
use crate::{
    About, Access, BODY_WAIT, HANDSHAKE_WAIT, HEADER_WAIT, IDLE_WAIT, Limits, extract,
    refusal::Refusal, routes::Connection, socket,
};

/// How far above its bound a wait may be: clocks count in milliseconds.
const SLACK: Duration = Duration::from_millis(50);

/// One connection, and what answers on it: `/wait` in pieces, for longer than any limit here;
/// everything else when its body is there.
struct Client {
    stream: DuplexStream,
    _server: JoinSet<()>,
}

fn shared() -> Shared {
    let about = About { name: String::new(), description: String::new(), version: String::new() };
    let server = Server::new(about, [], Limits::default(), Access::default()).unwrap();
    Shared::new(server, CancellationToken::new())
}

impl Client {
    fn connect() -> Self {
        let shared = shared();
        let (stream, theirs) = duplex(64 << 10);
        let mut server = JoinSet::new();
        server.spawn(async move { connect(&shared, theirs, service_fn(answer)).await });
        Self { stream, _server: server }
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The status of the next answer, which has no body or a short one.
    async fn status(&mut self) -> String {
        let mut bytes = vec![0; 4096];
        let count = self.stream.read(&mut bytes).await.unwrap();
        String::from_utf8_lossy(&bytes[..count]).split(' ').nth(1).unwrap_or_default().to_owned()
    }

    /// How long it takes from now until the server closes the connection, whatever it says.
    async fn closed_after(&mut self) -> Duration {
        let begun = Instant::now();
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest).await;
        begun.elapsed()
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response, Infallible> {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/wait" {
        let pieces = stream::unfold(0, |n| async move {
            tokio::time::sleep(IDLE_WAIT / 2).await;
            (n < 4).then_some((Ok::<_, Infallible>("piece"), n + 1))
        });
        return Ok(Response::new(Body::from_stream(pieces)));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = match extract::read(Body::new(body), &parts.headers).await {
        Ok(_) => StatusCode::OK,
        Err(refusal @ Refusal::BodyTooSlow { .. }) => refusal.status(),
        Err(_) => StatusCode::BAD_REQUEST,
    };
    Ok(response)
}

fn assert_about(waited: Duration, expected: Duration) {
    assert!(waited >= expected && waited < expected + SLACK, "{waited:?}, expected {expected:?}");
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_connection_may_idle_between_requests_for_a_while() {
    let mut client = Client::connect();
    for _ in 0..2 {
        client.send(REQUEST).await;
        assert_eq!(client.status().await, "200");
        advance(IDLE_WAIT.saturating_sub(Duration::from_secs(1))).await;
    }
    client.send(REQUEST).await;
    assert_eq!(client.status().await, "200");
    assert_about(client.closed_after().await, IDLE_WAIT);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_has_begun_has_to_be_there_soon() {
    let mut client = Client::connect();
    client.send(REQUEST).await;
    assert_eq!(client.status().await, "200");
    advance(IDLE_WAIT / 2).await;
    let begun = Instant::now();
    // A byte now and then does not help.
    for piece in ["GET ", "/ HTTP/1.1\r\n", "Host: "] {
        client.send(piece).await;
        tokio::time::sleep(HEADER_WAIT / 4).await;
    }
    client.closed_after().await;
    assert_about(begun.elapsed(), HEADER_WAIT);
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_has_to_ask_soon() {
    assert_about(Client::connect().closed_after().await, HEADER_WAIT);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_told_in_pieces_takes_as_long_as_it_takes() {
    let mut client = Client::connect();
    client.send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(client.status().await, "200");
    // Five pauses, and then the connection idles.
    assert_about(client.closed_after().await, IDLE_WAIT / 2 * 5 + IDLE_WAIT);
}

#[tokio::test(start_paused = true)]
async fn a_body_may_pause_but_not_for_long() {
    let mut client = Client::connect();
    client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n").await;
    for byte in ["1", "2"] {
        tokio::time::sleep(BODY_WAIT.saturating_sub(Duration::from_secs(1))).await;
        client.send(byte).await;
    }
    let begun = Instant::now();
    assert_eq!(client.status().await, "408");
    assert_about(begun.elapsed(), BODY_WAIT);
}

/// Answers a handshake, as the door of a socket does on which nothing is said.
fn shake_hands(shared: &Shared, request: Request<Incoming>) -> Response {
    let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(Connection {
        peer: ([127, 0, 0, 1], 1).into(),
        local: Ipv4Addr::LOCALHOST.into(),
        _place: Arc::new(place),
        busy: None,
    });
    socket::open(shared, &mut request, &[], 1, |_| async {})
        .unwrap_or_else(IntoResponse::into_response)
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_handshake_has_to_be_taken_soon() {
    let shared = Arc::new(shared());
    // Less than the answer, of which nothing is read.
    let (mut stream, theirs) = duplex(16);
    let (served, doors) = (Arc::clone(&shared), Arc::clone(&shared));
    let mut server = JoinSet::new();
    server.spawn(async move {
        let door = move |request| ready(Ok::<_, Infallible>(shake_hands(&doors, request)));
        connect(&served, theirs, service_fn(door)).await;
    });
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    while shared.tasks.is_empty() {
        yield_now().await;
    }
    let begun = Instant::now();
    shared.tasks.close();
    shared.tasks.wait().await;
    assert_about(begun.elapsed(), HANDSHAKE_WAIT);
}
