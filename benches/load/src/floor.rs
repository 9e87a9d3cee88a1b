//! The least that a server of sockets can be: it keeps nothing, runs nothing, and writes the same
//! frame again and again. What a real one costs is held against it.

use std::{
    convert::Infallible,
    future::ready,
    time::{Duration, Instant},
};

use anyhow::Context;
use axum::{
    Router,
    extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    routing::get,
};
use bytes::Bytes;
use clap::ValueEnum;
use futures::{SinkExt, StreamExt};
use http_body_util::Empty;
use hyper::{
    Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::sockets::monotonic_ns;

/// Frames that are written before one flush, by those that coalesce.
const BATCH: u64 = 64;

/// How long a client may take to say goodbye.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// Serves `/ws/tokens200` with nothing behind it.
#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    /// How
    #[arg(long, value_enum)]
    kind: Kind,
    /// Where
    #[arg(long)]
    port: u16,
    /// Bytes that each frame has
    #[arg(long, default_value_t = 130)]
    frame_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A socket of axum, one write per frame
    Axum,
    /// A socket of axum, one write for the frames that are ready
    AxumCoalescing,
    /// Bytes on a connection of hyper, one write per frame
    Raw,
    /// Bytes on a connection of hyper, one write for the frames that are ready
    RawCoalescing,
}

/// What a client asks for.
#[derive(Clone, Copy)]
struct Asked {
    n: u64,
    interval: Duration,
    bytes: usize,
    batch: u64,
}

impl Asked {
    fn of(text: &[u8], bytes: usize, batch: u64) -> Option<Self> {
        let asked: Json = serde_json::from_slice(text).ok()?;
        let number = |name: &str| asked.get(name)?.as_u64();
        let interval = Duration::from_micros(number("interval_us").unwrap_or(0));
        Some(Self { n: number("n")?, interval, bytes, batch })
    }

    fn token(&self) -> String {
        let head = format!("{{\"content\":\"t{} \",\"p\":\"", monotonic_ns());
        let rest = self.bytes.saturating_sub(head.len() + 2);
        format!("{head}{}\"}}", "x".repeat(rest))
    }

    /// Waits for the time of a token. Whether what was said before has to go out first.
    async fn due(&self, begun: Instant, n: u64) {
        if !self.interval.is_zero() {
            let after = self.interval * u32::try_from(n + 1).unwrap_or(u32::MAX);
            sleep_until((begun + after).into()).await;
        }
    }

    fn flushes(&self, n: u64) -> bool {
        !self.interval.is_zero() || (n + 1).is_multiple_of(self.batch)
    }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    let (kind, bytes) = (options.kind, options.frame_bytes);
    let batch = if matches!(kind, Kind::Axum | Kind::Raw) { 1 } else { BATCH };
    match kind {
        Kind::Axum | Kind::AxumCoalescing => {
            let open = move |upgrade: WebSocketUpgrade| async move {
                upgrade.on_upgrade(move |socket| async move {
                    // A client that leaves is not worth a word.
                    let _ = of_axum(socket, bytes, batch).await;
                })
            };
            let ready = get(async || "{\"ok\":true}");
            let router = Router::new().route("/ws/tokens200", get(open)).route("/ok", ready);
            let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
                let _ = stream.set_nodelay(true);
            });
            axum::serve(listener, router).await.context("the floor ended")
        }
        Kind::Raw | Kind::RawCoalescing => {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        ready(Ok::<_, Infallible>(raw(request, bytes, batch)))
                    });
                    let connection =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    let _ = connection.with_upgrades().await;
                });
                while connections.try_join_next().is_some() {}
            }
        }
    }
}

async fn of_axum(mut socket: WebSocket, bytes: usize, batch: u64) -> Result<(), axum::Error> {
    let Some(Ok(Message::Text(text))) = socket.next().await else { return Ok(()) };
    let Some(asked) = Asked::of(text.as_bytes(), bytes, batch) else { return Ok(()) };
    let begun = Instant::now();
    for n in 0..asked.n {
        asked.due(begun, n).await;
        socket.feed(Message::text(asked.token())).await?;
        if asked.flushes(n) {
            socket.flush().await?;
        }
    }
    socket.send(Message::Close(Some(CloseFrame { code: 1000, reason: "".into() }))).await?;
    let _ = timeout(CLOSE_WAIT, socket.next()).await;
    Ok(())
}

/// Answers a handshake and leaves the connection to [`of_raw`].
fn raw(mut request: Request<Incoming>, bytes: usize, batch: u64) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
        return response;
    };
    let accept = derive_accept_key(key.as_bytes());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    if let Ok(accept) = accept.parse() {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let mut owner = JoinSet::new();
    owner.spawn(async move {
        let upgraded = upgrade.await.ok()?;
        let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
        of_raw(parts.io.into_inner(), bytes, batch).await.ok()
    });
    // It ends by itself, with its client.
    owner.detach_all();
    response
}

async fn of_raw(mut stream: TcpStream, bytes: usize, batch: u64) -> std::io::Result<()> {
    let mut frame = [0; 256];
    // The request is small and comes alone: a masked frame in one piece.
    let count = stream.read(&mut frame).await?;
    if count < 6 {
        return Ok(());
    }
    let (head, payload) = frame[..count].split_at_mut(6);
    for (byte, mask) in payload.iter_mut().zip(head[2..6].iter().cycle()) {
        *byte ^= mask;
    }
    let Some(asked) = Asked::of(payload, bytes, batch) else { return Ok(()) };
    let begun = Instant::now();
    let mut out = Vec::new();
    for n in 0..asked.n {
        asked.due(begun, n).await;
        let token = asked.token();
        out.push(0x81);
        if let Ok(short @ 0..=125) = u8::try_from(token.len()) {
            out.push(short);
        } else {
            out.push(126);
            out.extend_from_slice(&u16::try_from(token.len()).unwrap_or(0).to_be_bytes());
        }
        out.extend_from_slice(token.as_bytes());
        if asked.flushes(n) {
            stream.write_all(&out).await?;
            out.clear();
        }
    }
    out.extend_from_slice(&[0x88, 2, 0x03, 0xe8]);
    stream.write_all(&out).await?;
    let _ = timeout(CLOSE_WAIT, stream.read(&mut frame)).await;
    Ok(())
}
