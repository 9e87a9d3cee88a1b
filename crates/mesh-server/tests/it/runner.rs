//! A server that keeps threads and runs in a database of its own, and a plain HTTP client.

use std::{net::SocketAddr, sync::Arc};

use mesh_graph::env::SystemEnv;
use mesh_server::{About, Access, Assistant, Limits, Server};
use mesh_store::Sqlite;
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    graphs,
    kit::{Probe, SOON},
};

pub(crate) type Deps = Arc<Probe>;

/// A running server.
pub(crate) struct Runner {
    pub(crate) address: SocketAddr,
    pub(crate) probe: Deps,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinSet<()>,
    directory: tempfile::TempDir,
    made: Made,
}

/// What a server is made of.
#[derive(Clone, Copy)]
pub(crate) struct Made {
    pub(crate) assistants: fn(&Deps) -> Vec<Assistant>,
    pub(crate) server: fn(Server) -> Server,
    pub(crate) limits: fn(&mut Limits),
}

/// One with the graphs of these tests, and the limits that there are unless somebody chooses.
pub(crate) const MADE: Made =
    Made { assistants: graphs::assistants, server: |server| server, limits: |_| () };

impl Runner {
    pub(crate) async fn start() -> Self {
        Self::of(MADE).await
    }

    pub(crate) async fn of(made: Made) -> Self {
        Self::on(tempfile::tempdir().unwrap(), made).await
    }

    /// Stops and starts again on the same database.
    pub(crate) async fn restart(self) -> Self {
        let Self { stop, mut task, directory, made, .. } = self;
        stop.cancel();
        while task.join_next().await.is_some() {}
        Self::on(directory, made).await
    }

    async fn on(directory: tempfile::TempDir, made: Made) -> Self {
        let probe = Deps::default();
        let database = Sqlite::open(directory.path().join("mesh.db")).await.unwrap();
        let about = About {
            name: "test-mesh".to_owned(),
            description: "A mesh for tests".to_owned(),
            version: "1.2.3".to_owned(),
        };
        let mut limits = Limits::default();
        (made.limits)(&mut limits);
        let assistants = (made.assistants)(&probe);
        let server = Server::new(about, assistants, limits, Access::default()).unwrap();
        let server = (made.server)(server).keep_in(database.ledger(), Arc::new(SystemEnv));
        server.start().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(server.serve(listener, stop.clone()));
        Self { address, probe, stop, task, directory, made }
    }

    /// Sends a request with more headers and reads only the head of its answer.
    pub(crate) async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Open {
        let mut lines =
            vec![format!("{method} {path} HTTP/1.1"), format!("Host: {}", self.address)];
        lines.push("Connection: close".to_owned());
        lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
        let body = body.map(Json::to_string).unwrap_or_default();
        if !body.is_empty() {
            lines.push("Content-Type: application/json".to_owned());
            lines.push(format!("Content-Length: {}", body.len()));
        }
        let request = format!("{}\r\n\r\n{body}", lines.join("\r\n"));
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut open = Open { stream, head: String::new(), raw: Vec::new() };
        open.read_while(|raw| !raw.windows(4).any(|four| four == b"\r\n\r\n")).await;
        let end = open.raw.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        open.head = String::from_utf8(open.raw.drain(..end + 4).collect()).unwrap();
        open
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Answer {
        self.open(method, path, headers, body).await.rest().await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Json) -> Answer {
        self.send("POST", path, &[], Some(body)).await
    }

    /// A new thread's id.
    pub(crate) async fn thread(&self) -> String {
        let answer = self.post("/threads", &json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["thread_id"].as_str().unwrap().to_owned()
    }

    /// The frames of a stream, which has to be one.
    pub(crate) async fn frames(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Vec<Sent> {
        let answer = self.send(method, path, headers, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let kind = answer.header("content-type").unwrap_or_default();
        assert_eq!(kind, "text/event-stream; charset=utf-8");
        frames(answer.text())
    }

    pub(crate) async fn stream(&self, path: &str, body: &Json) -> Vec<Sent> {
        self.frames("POST", path, &[], Some(body)).await
    }
}

/// One frame as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) event: String,
    pub(crate) data: String,
    pub(crate) id: Option<String>,
}

impl Sent {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.data).unwrap()
    }
}

/// Reads frames, and nothing but frames and heartbeats.
pub(crate) fn frames(text: &str) -> Vec<Sent> {
    let blocks = text.split("\n\n").filter(|block| !block.is_empty());
    blocks
        .map(|block| {
            let mut sent = Sent { event: String::new(), data: String::new(), id: None };
            for line in block.lines() {
                match line.split_once(": ") {
                    Some(("event", value)) => value.clone_into(&mut sent.event),
                    Some(("data", value)) => value.clone_into(&mut sent.data),
                    Some(("id", value)) => sent.id = Some(value.to_owned()),
                    _ => assert_eq!(line, ": heartbeat"),
                }
            }
            sent
        })
        .collect()
}

/// An answer of which the head has come.
pub(crate) struct Open {
    stream: TcpStream,
    head: String,
    raw: Vec<u8>,
}

impl Open {
    async fn read_while(&mut self, goes_on: impl Fn(&[u8]) -> bool) {
        let read = async {
            while goes_on(&self.raw) {
                if self.stream.read_buf(&mut self.raw).await.unwrap() == 0 {
                    break;
                }
            }
        };
        tokio::time::timeout(SOON, read).await.expect("it comes soon");
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// Reads until this text has come.
    pub(crate) async fn until(&mut self, text: &str) {
        self.read_while(|raw| !String::from_utf8_lossy(raw).contains(text)).await;
        assert!(String::from_utf8_lossy(&self.raw).contains(text), "{text} comes");
    }

    /// Reads until this text has come so many times, and then to the end of its frame.
    pub(crate) async fn until_times(&mut self, text: &str, times: usize) {
        self.read_while(|raw| {
            let (body, _) = unchunked(raw);
            let body = String::from_utf8_lossy(&body).into_owned();
            body.matches(text).count() < times || !body.ends_with("\n\n")
        })
        .await;
    }

    /// Reads until root graphs have ended so many times, as events of the protocol tell it.
    pub(crate) async fn until_ends(&mut self, times: usize) {
        let ends = |text: &str| {
            let whole = text.rfind("\n\n").map_or("", |end| &text[..end + 2]);
            frames(whole).iter().filter(|sent| crate::protocol::is_end(&sent.json())).count()
        };
        self.read_while(|raw| ends(&String::from_utf8_lossy(&unchunked(raw).0)) < times).await;
    }

    /// What has come of the body.
    pub(crate) fn so_far(&self) -> String {
        String::from_utf8(unchunked(&self.raw).0).unwrap()
    }

    /// The whole answer.
    pub(crate) async fn rest(mut self) -> Answer {
        self.read_while(|_| true).await;
        let status = self.head.split(' ').nth(1).unwrap().parse().unwrap();
        let chunked = header(&self.head, "transfer-encoding") == Some("chunked");
        let (body, whole) = if chunked { unchunked(&self.raw) } else { (self.raw, true) };
        Answer { status, head: self.head, body, whole }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// The chunks in one piece, and whether the last one came.
pub(crate) fn unchunked(mut raw: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = raw.windows(2).position(|two| two == b"\r\n") else { return (body, false) };
        let length = usize::from_str_radix(std::str::from_utf8(&raw[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return (body, true);
        }
        let chunk = &raw[end + 2..];
        let Some(whole) = chunk.get(..length) else { return (body, false) };
        body.extend_from_slice(whole);
        raw = chunk.get(length + 2..).unwrap_or_default();
    }
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    body: Vec<u8>,
    /// The body ended as it should, rather than with its connection.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(self.text()).unwrap()
    }
}
