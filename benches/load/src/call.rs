//! One connection to the server, and what comes back on it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::{net::TcpStream, task::JoinSet};
use url::Url;

/// Bytes of an answer that are kept to look at.
const START_BYTES: usize = 4096;

/// A connection that is kept open.
pub(crate) struct Client {
    host: String,
    sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes; ends with this.
    _connection: JoinSet<()>,
}

/// An answer, as far as it is measured.
pub(crate) struct Heard {
    pub(crate) status: u16,
    /// From sending the request to the end of the answer.
    pub(crate) took: Duration,
    /// To the first event that tells of the graph; of other answers, to their first byte.
    pub(crate) first: Duration,
    /// Events of the stream.
    pub(crate) events: u64,
    /// How the answer begins.
    pub(crate) start: String,
}

impl Client {
    pub(crate) async fn connect(url: &Url) -> anyhow::Result<Self> {
        let host = url.host_str().context("--url: expected a host")?.to_owned();
        let port = url.port_or_known_default().context("--url: expected a port")?;
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut owner = JoinSet::new();
        owner.spawn(async move {
            // The request that is under way learns of it.
            let _ = connection.await;
        });
        Ok(Self { host: format!("{host}:{port}"), sender, _connection: owner })
    }

    pub(crate) async fn new_thread(&mut self) -> anyhow::Result<String> {
        let heard = self.post("/threads", &serde_json::json!({})).await?;
        let thread: Json = serde_json::from_str(&heard.start).context("the new thread")?;
        match thread["thread_id"].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => bail!("a new thread without an id: {}", heard.start),
        }
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Json) -> anyhow::Result<Heard> {
        self.send(Method::POST, path, Bytes::from(body.to_string())).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Heard> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Heard> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let begun = Instant::now();
        let mut answer = self.sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let streams = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let mut first = None;
        let mut events = 0;
        let mut start = Vec::new();
        while let Some(frame) = answer.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            let room = START_BYTES.saturating_sub(start.len());
            start.extend_from_slice(&data[..data.len().min(room)]);
            if streams {
                events += count(&data);
            }
            // The frame `metadata` only says that a run was made.
            if first.is_none() && (!streams || events > u64::from(contains(&start, METADATA))) {
                first = Some(begun.elapsed());
            }
        }
        let took = begun.elapsed();
        Ok(Heard {
            status,
            took,
            first: first.unwrap_or(took),
            events,
            start: String::from_utf8_lossy(&start).into_owned(),
        })
    }
}

const METADATA: &[u8] = b"event: metadata";

/// Events that begin in these bytes. One whose name is cut by a packet's end is not counted; there
/// are few.
fn count(data: &[u8]) -> u64 {
    data.windows(7).filter(|window| window == b"event: ").count() as u64
}

fn contains(data: &[u8], what: &[u8]) -> bool {
    data.windows(what.len()).any(|window| window == what)
}
