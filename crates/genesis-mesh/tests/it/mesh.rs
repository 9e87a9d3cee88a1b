//! The library: a mesh from parts, several in one process.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use futures::{SinkExt, StreamExt};
use genesis_mesh::{
    Assistant, GenesisMesh, assistants,
    mesh::{BuildError, ServeError, SetupError},
    settings::{Flags, Settings, Surroundings},
};
use mesh_graph::{Ctx, Graph, NodeResult, START, State, View};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::model::ModelServer;

const SOON: Duration = Duration::from_secs(20);

const THREAD: &str = "7d7ddd9d-55a2-4a50-b0a6-0a4f4f62b8a1";

#[derive(State)]
struct Echo {
    topic: Option<String>,
    #[state(append)]
    log: Vec<String>,
}

async fn say(state: View<Echo>, _: Ctx<String>) -> NodeResult<EchoUpdate> {
    Ok(Echo::update().push_log(state.topic.clone().unwrap_or_default()))
}

async fn name(_: View<Echo>, ctx: Ctx<String>) -> NodeResult<EchoUpdate> {
    Ok(Echo::update().push_log(ctx.deps().clone()))
}

/// An assistant that repeats the topic and gives its own mark.
fn assistant(mark: &str) -> Assistant {
    let mut graph = Graph::<Echo, String>::new("echo");
    graph.node("say", say);
    graph.node("name", name);
    graph.edge(START, "say").edge("say", "name");
    Assistant::new("echo", graph.compile().unwrap().app(mark.to_owned()).untyped())
}

/// A mesh that serves until it is dropped or told to stop.
struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinSet<Result<(), ServeError>>,
}

impl Running {
    async fn start(mesh: GenesisMesh) -> Self {
        let stop = CancellationToken::new();
        let (tell, told) = oneshot::channel();
        let ready = mesh
            .setup()
            .await
            .unwrap()
            .stop_on(stop.clone())
            .on_listening(|address| tell.send(address).unwrap());
        let mut task = JoinSet::new();
        task.spawn(async move { ready.serve("127.0.0.1", 0).await });
        Self { address: told.await.unwrap(), stop, task }
    }

    async fn ask(&self, query: &str, request: Json) -> Vec<Json> {
        let address = format!("ws://{}/ws/echo{query}", self.address);
        let (mut socket, _) = tokio_tungstenite::connect_async(address).await.unwrap();
        socket.send(Message::text(request.to_string())).await.unwrap();
        let mut frames = Vec::new();
        while let Some(Ok(Message::Text(text))) = socket.next().await {
            frames.push(serde_json::from_str(&text).unwrap());
        }
        frames
    }

    /// Status and body of one request.
    async fn post(&self, path: &str, body: Json) -> (u16, Json) {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len(),
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await;
        read.expect("an answer comes soon").unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        // A run that takes a while is waited for with blanks in between.
        let body = if chunked { whole(body) } else { body.to_owned() };
        (status, serde_json::from_str(&body).unwrap_or(Json::Null))
    }

    async fn stopped(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(SOON, self.task.join_next()).await;
        ended.expect("it stops soon").unwrap().unwrap().unwrap();
    }
}

/// A body that came in chunks.
fn whole(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((length, rest)) = chunks.split_once("\r\n") {
        let (chunk, rest) = rest.split_at(usize::from_str_radix(length, 16).unwrap());
        body.push_str(chunk);
        chunks = rest.strip_prefix("\r\n").unwrap();
    }
    body
}

#[tokio::test]
async fn two_meshes_live_in_one_process() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mesh = |mark: &str, folder: &TempDir| {
        GenesisMesh::builder().assistant(assistant(mark)).data_dir(folder.path()).build().unwrap()
    };
    let first = Running::start(mesh("first", &one)).await;
    let second = Running::start(mesh("second", &two)).await;
    assert_ne!(first.address, second.address);
    for (running, mark) in [(&first, "first"), (&second, "second")] {
        let frames = running.ask("", json!({ "topic": "tides" })).await;
        let expected =
            [json!({ "say": { "log": ["tides"] } }), json!({ "name": { "log": [mark] } })];
        assert_eq!(frames, expected);
    }
    first.stopped().await;
    // The other goes on.
    assert_eq!(second.ask("", json!({})).await.len(), 2);
    second.stopped().await;
}

#[tokio::test]
async fn clients_may_name_threads() {
    let mesh = GenesisMesh::builder().assistant(assistant("m")).build().unwrap();
    let running = Running::start(mesh).await;
    let query = "?thread_id=t&stream_mode=values";
    running.ask(query, json!({ "topic": "one" })).await;
    let frames = running.ask(query, json!({ "topic": "two" })).await;
    assert_eq!(frames.last().unwrap()["data"]["log"], json!(["one", "m", "two", "m"]));
    running.stopped().await;
}

#[tokio::test]
async fn without_a_data_directory_everything_works_until_the_mesh_ends() {
    let mesh = || GenesisMesh::builder().assistant(assistant("m")).build().unwrap();
    let running = Running::start(mesh()).await;
    let (status, made) = running.post("/threads", json!({ "thread_id": THREAD })).await;
    assert_eq!((status, &made["thread_id"]), (200, &json!(THREAD)));
    let wait = format!("/threads/{THREAD}/runs/wait");
    let body = json!({ "assistant_id": "echo", "input": { "topic": "tides" } });
    let expected = json!({ "topic": "tides", "log": ["tides", "m"] });
    assert_eq!(running.post(&wait, body.clone()).await, (200, expected));
    let (status, found) = running.post("/threads/search", json!({})).await;
    assert_eq!((status, found.as_array().map(Vec::len)), (200, Some(1)));
    running.stopped().await;

    let again = Running::start(mesh()).await;
    assert_eq!(again.post(&wait, body).await.0, 404);
    again.stopped().await;
}

#[tokio::test]
async fn with_a_model_the_finished_agents_are_served_and_answer() {
    let settings = |variables: &[(&str, &str)]| {
        Settings::load(&Surroundings {
            flags: Flags::none(),
            environment: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).into()))
                .collect(),
            working_directory: std::env::temp_dir(),
            data_dir: Some(std::env::temp_dir().join("nothing-is-written-here")),
        })
        .unwrap()
    };
    let names = |settings: &Settings| {
        let all = assistants::all(settings).unwrap();
        all.iter().map(|one| one.name().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(names(&settings(&[])), BTreeSet::from(["blogger".to_owned()]));

    let model = ModelServer::start();
    let settings =
        settings(&[("OPENAI_API_BASE_URL", &model.base_url), ("OPENAI_LLM_NAME", "local")]);
    let expected = ["blogger", "reflection", "research_agent", "team"].map(str::to_owned);
    assert_eq!(names(&settings), BTreeSet::from(expected));
    let mesh = GenesisMesh::builder().assistants(assistants::all(&settings).unwrap());
    let running = Running::start(mesh.build().unwrap()).await;
    let question = json!({ "messages": [{ "role": "user", "content": "What is it?" }] });
    for graph in ["research_agent", "team"] {
        let body = json!({ "assistant_id": graph, "input": question });
        let (status, state) = running.post("/runs/wait", body).await;
        let said = state["messages"].as_array().and_then(|messages| messages.last().cloned());
        let said = said.unwrap_or_default();
        assert_eq!((status, &said["type"]), (200, &json!("ai")), "{graph}: {state}");
        assert_eq!(said["content"], "An introduction in plain words.", "{graph}");
    }
    let shown = |request: &Json| {
        let tools = request["tools"].as_array().cloned().unwrap_or_default();
        tools.iter().map(|tool| tool["function"]["name"].clone()).collect::<Vec<_>>()
    };
    let shown: Vec<_> = model.requests.lock().unwrap().iter().map(shown).collect();
    assert_eq!(
        json!(shown),
        json!([["read_page"], ["transfer_to_researcher", "transfer_to_writer"]])
    );
    running.stopped().await;
}

#[tokio::test]
async fn a_data_directory_belongs_to_one_mesh_at_a_time() {
    let folder = TempDir::new().unwrap();
    let mesh = || GenesisMesh::builder().data_dir(folder.path()).build().unwrap();
    let ready = mesh().setup().await.unwrap();
    assert!(
        matches!(mesh().setup().await, Err(SetupError::InUse { path }) if path == folder.path())
    );
    drop(ready);
    drop(mesh().setup().await.unwrap());
}

#[tokio::test]
async fn a_listener_that_is_there_already_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    let ready = GenesisMesh::builder().build().unwrap().setup().await.unwrap();
    ready.stop_on(stop).serve_with(listener).await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_an_error_with_its_address() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let ready = GenesisMesh::builder().build().unwrap().setup().await.unwrap();
    let error = ready.serve("127.0.0.1", port).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on 127.0.0.1:{port}: the port is in use"));
}

#[test]
fn parts_that_do_not_fit_are_found_before_set_up() {
    let error =
        GenesisMesh::builder().assistants([assistant("a"), assistant("b")]).build().unwrap_err();
    assert_eq!(error, BuildError::DuplicateAssistant { name: "echo".to_owned() });
}
