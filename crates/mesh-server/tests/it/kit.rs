//! A server on a free port, graphs to serve, and clients for it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};
use mesh_graph::{
    App, Ctx, Graph, NodeError, NodeResult, START, State, Untyped, View, env::SystemEnv,
};
use mesh_server::{About, Access, Assistant, InvalidRequest, Limits, Server};
use mesh_store::Sqlite;
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, SemaphorePermit},
    task::JoinSet,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error as WsError, Message, client::IntoClientRequest, http::Response},
};
use tokio_util::sync::CancellationToken;

use crate::runner::unchunked;

/// Longest wait for anything that has to happen; far above what it takes.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Looks again and again, until it is so.
pub(crate) async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    let until = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, until).await.expect("it is so soon");
}

#[derive(State)]
pub(crate) struct S {
    pub(crate) topic: Option<String>,
    #[state(append)]
    pub(crate) log: Vec<String>,
}

/// What nodes wait for and what they leave behind.
pub(crate) struct Probe {
    /// One permit per node that started.
    pub(crate) started: Semaphore,
    /// One permit per node that ended, in whatever way.
    pub(crate) ended: Semaphore,
    /// Nodes that wait go on with a permit each.
    pub(crate) go: Semaphore,
}

impl Default for Probe {
    fn default() -> Self {
        Self { started: Semaphore::new(0), ended: Semaphore::new(0), go: Semaphore::new(0) }
    }
}

impl Probe {
    pub(crate) async fn wait_for(semaphore: &Semaphore) {
        let permit = tokio::time::timeout(SOON, semaphore.acquire()).await;
        permit.expect("it happens soon").unwrap().forget();
    }
}

type Deps = Arc<Probe>;

/// Says so when the node is done or dropped.
struct Guard(Deps);

impl Guard {
    fn new(ctx: &Ctx<Deps>) -> Self {
        ctx.deps().started.add_permits(1);
        Self(Arc::clone(ctx.deps()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.ended.add_permits(1);
    }
}

async fn echo(state: View<S>, _: Ctx<Deps>) -> NodeResult<SUpdate> {
    Ok(S::update().push_log(state.topic.clone().unwrap_or_default()))
}

/// Waits for a permit, without looking at the cancellation.
async fn wait(_: View<S>, ctx: Ctx<Deps>) -> NodeResult<SUpdate> {
    let _guard = Guard::new(&ctx);
    Probe::wait_for(&ctx.deps().go).await;
    Ok(S::update().push_log("waited"))
}

/// Keeps its thread until there is a permit.
async fn block(_: View<S>, ctx: Ctx<Deps>) -> NodeResult<SUpdate> {
    let _guard = Guard::new(&ctx);
    while ctx.deps().go.try_acquire().map(SemaphorePermit::forget).is_err() {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(S::update().push_log("blocked"))
}

async fn fail(_: View<S>, _: Ctx<Deps>) -> NodeResult<SUpdate> {
    Err(NodeError::from(told()))
}

async fn fail_coded(_: View<S>, _: Ctx<Deps>) -> NodeResult<SUpdate> {
    Err(NodeError::coded("no_sources", told()))
}

async fn doubt(_: View<S>, _: Ctx<Deps>) -> NodeResult<SUpdate> {
    Err(NodeError::coded("invalid_request", told()))
}

fn told() -> Told {
    Told { cause: std::io::Error::other("in /secret/place") }
}

#[derive(Debug, thiserror::Error)]
#[error("no source said anything")]
struct Told {
    #[source]
    cause: std::io::Error,
}

async fn panics(_: View<S>, _: Ctx<Deps>) -> NodeResult<SUpdate> {
    panic!("a secret")
}

async fn asks(_: View<S>, ctx: Ctx<Deps>) -> NodeResult<SUpdate> {
    let answer: Json = ctx.interrupt("really", &json!({ "really": "?" }))?;
    Ok(S::update().push_log(answer.to_string()))
}

/// Emits 10,000 numbered events of 2 KB.
async fn talk(_: View<S>, ctx: Ctx<Deps>) -> NodeResult<SUpdate> {
    let _guard = Guard::new(&ctx);
    let padding = "x".repeat(2000);
    for n in 1..=TALK {
        if ctx.cancelled().is_cancelled() {
            break;
        }
        ctx.emit(&json!({ "n": n, "padding": padding })).await?;
    }
    Ok(S::update().push_log("told"))
}

/// Events of [`talk`].
pub(crate) const TALK: usize = 10_000;

async fn child(_: View<S>, ctx: Ctx<Deps>) -> NodeResult<SUpdate> {
    ctx.emit(&json!("from below")).await?;
    ctx.message(&json!({ "content": "token" }), &serde_json::Map::new()).await?;
    Ok(S::update().push_log("below"))
}

fn one(name: &str, build: impl FnOnce(&mut Graph<S, Deps>), probe: &Deps) -> App<Untyped> {
    let mut graph = Graph::<S, Deps>::new(name);
    build(&mut graph);
    graph.compile().unwrap().app(Arc::clone(probe)).untyped()
}

/// Every assistant that the tests talk to.
fn assistants(probe: &Deps) -> Vec<Assistant> {
    let single = |name: &'static str| {
        move |graph: &mut Graph<S, Deps>| {
            graph.edge(START, name);
        }
    };
    let echo_app = one(
        "echo",
        |g| {
            g.node("say", echo);
            single("say")(g);
        },
        probe,
    );
    let slow = one(
        "slow",
        |g| {
            g.node("wait", wait);
            single("wait")(g);
        },
        probe,
    );
    let blocking = one(
        "blocking",
        |g| {
            g.node("block", block);
            single("block")(g);
        },
        probe,
    );
    let failing = one(
        "failing",
        |g| {
            g.node("fail", fail);
            single("fail")(g);
        },
        probe,
    );
    let frank = one(
        "frank",
        |g| {
            g.node("fail", fail_coded);
            single("fail")(g);
        },
        probe,
    );
    let doubting = one(
        "doubting",
        |g| {
            g.node("doubt", doubt);
            single("doubt")(g);
        },
        probe,
    );
    let panicking = one(
        "panicking",
        |g| {
            g.node("boom", panics);
            single("boom")(g);
        },
        probe,
    );
    let talking = one(
        "talking",
        |g| {
            g.node("talk", talk);
            single("talk")(g);
        },
        probe,
    );
    let asking = one(
        "asking",
        |g| {
            g.node("ask", asks);
            single("ask")(g);
        },
        probe,
    );
    let two = one(
        "two",
        |g| {
            g.node("first", echo);
            g.node("second", wait);
            g.sequence(["first", "second"]);
            g.edge(START, "first");
        },
        probe,
    );
    let endless = one(
        "endless",
        |g| {
            g.node("again", echo);
            g.edge(START, "again");
            g.edge("again", "again");
        },
        probe,
    );
    let mut below = Graph::<S, Deps>::new("below");
    below.node("inner", child);
    below.edge(START, "inner");
    let below = below.compile().unwrap();
    let nested = one(
        "nested",
        |g| {
            g.mount(
                "outer",
                &below,
                |_| S::update(),
                |view| S::update().extend_log(view.log.clone()),
            );
            g.edge(START, "outer");
        },
        probe,
    );
    vec![
        Assistant::new("echo", echo_app.clone()).description("Says it again"),
        Assistant::new("slow", slow),
        Assistant::new("blocking", blocking),
        Assistant::new("failing", failing),
        Assistant::new("frank", frank),
        Assistant::new("doubting", doubting),
        Assistant::new("panicking", panicking),
        Assistant::new("talking", talking),
        Assistant::new("endless", endless),
        Assistant::new("asking", asking),
        Assistant::new("nested", nested),
        Assistant::new("strict", echo_app.clone()).prepare(strict),
        Assistant::new("rule-panics", echo_app.clone()).prepare(|_| panic!("a secret")),
        Assistant::new("two", two),
    ]
}

/// A topic of at least five characters, and nothing else.
fn strict(request: Json) -> Result<Json, InvalidRequest> {
    let topic = request["topic"].as_str().unwrap_or_default();
    let length = topic.chars().count();
    if length < 5 {
        let message = format!("topic: {length} characters, expected 5 to 500");
        return Err(InvalidRequest::new("/topic", message));
    }
    Ok(json!({ "topic": topic }))
}

/// A running server.
pub(crate) struct Mesh {
    pub(crate) address: SocketAddr,
    pub(crate) probe: Deps,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinSet<()>,
}

impl Mesh {
    pub(crate) async fn start() -> Self {
        Self::with(|_, _| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Limits, &mut Access)) -> Self {
        Self::made(change, |server| server).await
    }

    /// With changes to the server itself as well.
    pub(crate) async fn made(
        change: impl FnOnce(&mut Limits, &mut Access),
        make: impl FnOnce(Server) -> Server,
    ) -> Self {
        let probe = Deps::default();
        let (mut limits, mut access) = (Limits::default(), Access::default());
        change(&mut limits, &mut access);
        let about = About {
            name: "test-mesh".to_owned(),
            description: "A mesh for tests".to_owned(),
            version: "1.2.3".to_owned(),
        };
        let server = make(Server::new(about, assistants(&probe), limits, access).unwrap());
        let database = Sqlite::in_memory().unwrap();
        let server = server.keep_in(database.ledger(), Arc::new(SystemEnv));
        server.start().await.unwrap();
        Self::of(server, probe).await
    }

    /// A server that keeps nothing.
    pub(crate) async fn bare() -> Self {
        let about =
            About { name: String::new(), description: String::new(), version: String::new() };
        let server = Server::new(about, [], Limits::default(), Access::default()).unwrap();
        Self::of(server, Deps::default()).await
    }

    /// Serves on a free port.
    pub(crate) async fn of(server: Server, probe: Deps) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(server.serve(listener, stop.clone()));
        Self { address, probe, stop, task }
    }

    /// Opens a socket at `path`, such as `/ws/echo?thread_id=t`.
    pub(crate) async fn open(&self, path: &str) -> Client {
        self.try_open(path, &[]).await.expect("the socket opens")
    }

    /// Opens a socket with more headers; the response if there is none.
    pub(crate) async fn try_open(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Client, Response<Option<Vec<u8>>>> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        match client_async(request, stream).await {
            Ok((ws, _)) => Ok(Client(ws)),
            Err(WsError::Http(response)) => Err(*response),
            Err(other) => panic!("{other}"),
        }
    }

    /// Sends one request to `path` and reads to the end.
    pub(crate) async fn ask(&self, path: &str, request: &str) -> Said {
        let mut client = self.open(path).await;
        client.send(request).await;
        client.rest().await
    }

    /// Sends bytes, reads to the end.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await;
        read.expect("the connection ends soon").unwrap();
        answer
    }

    /// A request with a body of JSON, and a connection of its own.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &Json) -> Http {
        let body = body.to_string();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len(),
        );
        Http::parse(&self.raw(request.as_bytes()).await)
    }

    /// A plain HTTP request with a connection of its own.
    pub(crate) async fn http(&self, method: &str, path: &str, headers: &str) -> Http {
        let host = if headers.to_ascii_lowercase().contains("host:") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        let request =
            format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n");
        Http::parse(&self.raw(request.as_bytes()).await)
    }
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Http {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let head = head.to_ascii_lowercase();
        // An answer that is long in coming is sent in pieces.
        let body = if head.contains("transfer-encoding: chunked") {
            String::from_utf8(unchunked(body.as_bytes()).0).unwrap()
        } else {
            body.to_owned()
        };
        Self { status, head, body }
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A client's end of a socket.
pub(crate) struct Client(pub(crate) WebSocketStream<TcpStream>);

impl Client {
    pub(crate) async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next frame of text; none when the server closed.
    pub(crate) async fn next(&mut self) -> Option<Json> {
        match self.message().await {
            Message::Text(text) => Some(serde_json::from_str(&text).unwrap()),
            Message::Close(_) => None,
            other => panic!("unexpected {other:?}"),
        }
    }

    /// Reads until the server closes, with a permit for every ping. The code that it closes with.
    pub(crate) async fn count_pings(mut self, pings: Arc<Semaphore>) -> u16 {
        loop {
            match self.0.next().await.expect("the server closes first").unwrap() {
                Message::Ping(_) => pings.add_permits(1),
                Message::Close(Some(close)) => return close.code.into(),
                _ => {}
            }
        }
    }

    /// The next message that is no ping.
    pub(crate) async fn message(&mut self) -> Message {
        loop {
            let next = tokio::time::timeout(SOON, self.0.next()).await;
            match next.expect("a frame comes soon").expect("the server closes first").unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                other => return other,
            }
        }
    }

    /// All frames until the server closes.
    pub(crate) async fn rest(&mut self) -> Said {
        let mut frames = Vec::new();
        loop {
            match self.message().await {
                Message::Text(text) => frames.push(serde_json::from_str(&text).unwrap()),
                Message::Close(Some(close)) => {
                    return Said {
                        frames,
                        code: close.code.into(),
                        reason: close.reason.to_string(),
                    };
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }
}

/// What a socket said until it closed.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) frames: Vec<Json>,
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Said {
    /// The error in the last frame.
    pub(crate) fn error(&self) -> &Json {
        &self.frames.last().expect("there is a frame")["error"]
    }

    /// Code of the error, its message, and the close code; the reason repeats the first.
    pub(crate) fn refusal(&self) -> (&str, &str, u16) {
        let error = self.error();
        let code = error["code"].as_str().expect("there is an error");
        assert_eq!(self.reason, code);
        (code, error["message"].as_str().unwrap(), self.code)
    }
}
