//! What a server cannot be made of, and what happens when it is full.

use mesh_graph::{Ctx, Graph, NodeResult, START, State, View};
use mesh_runtime::{Policy, thread::TtlStrategy};
use mesh_server::{About, Access, Assistant, BuildError, Limits, Server};
use serde_json::json;

use crate::kit::{Http, Mesh, eventually};

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let mesh = Mesh::with(|limits, _| limits.connections_max = 1).await;
    // A socket keeps its place after its upgrade.
    let client = mesh.open("/ws/echo").await;
    let full = mesh.http("GET", "/ok", "").await;
    assert_eq!(full.status, 503);
    assert_eq!(full.json()["code"], "too_many_connections");
    assert_eq!(full.header("retry-after"), Some("5"));
    assert_eq!(full.header("x-content-type-options"), Some("nosniff"));
    drop(client);
    eventually(async || {
        let answer = mesh.http("GET", "/ok", "").await;
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        answer.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let mesh = Mesh::start().await;
    let long = format!("GET /ok HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(80_000));
    let answer = Http::parse(&mesh.raw(long.as_bytes()).await);
    assert_eq!(answer.status, 431);
}

/// How often a limit was reached.
async fn reached(mesh: &Mesh, limit: &str) -> u64 {
    let metrics = mesh.http("GET", "/metrics?format=json", "").await.json();
    let all = metrics.as_array().unwrap().iter();
    let metric = all.into_iter().find(|metric| metric["name"] == "mesh_limits_reached_total");
    let samples = metric.unwrap()["samples"].as_array().unwrap();
    let sample = samples.iter().find(|sample| sample["labels"]["limit"] == limit);
    sample.unwrap_or_else(|| panic!("{limit} is counted"))["value"].as_u64().unwrap()
}

#[tokio::test]
async fn a_limit_that_was_reached_is_counted() {
    let mesh = Mesh::start().await;
    let long = format!("GET /ok HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(80_000));
    mesh.raw(long.as_bytes()).await;
    let large = "Content-Type: application/json\r\nContent-Length: 5000000\r\n";
    assert_eq!(mesh.http("POST", "/threads", large).await.status, 413);
    for limit in ["head", "body"] {
        assert_eq!(reached(&mesh, limit).await, 1, "{limit}");
    }
    for limit in ["connections", "message", "calls", "subscriptions", "pending_runs", "writes"] {
        assert_eq!(reached(&mesh, limit).await, 0, "{limit}");
    }
}

#[tokio::test]
async fn a_body_that_is_compressed_is_refused() {
    let mesh = Mesh::start().await;
    let head = "Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n";
    let answer = mesh.http("POST", "/threads", head).await;
    assert_eq!((answer.status, &answer.json()["code"]), (415, &json!("compressed")));
    assert_eq!(answer.header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn runs_beyond_those_that_may_wait_are_refused_and_told_when_to_come_back() {
    let policy = Policy { pending_runs_max: 1, ..Policy::default() };
    let mesh = Mesh::made(|_, _| (), |server| server.policy(policy).unwrap()).await;
    let later = json!({ "assistant_id": "echo", "input": {}, "after_seconds": 3600 });
    assert_eq!(mesh.send("POST", "/runs", &later).await.status, 200);
    let refused = mesh.send("POST", "/runs", &later).await;
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("full")));
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(reached(&mesh, "pending_runs").await, 1);
    // What begins at once does not wait.
    let now = json!({ "assistant_id": "echo", "input": { "topic": "a" } });
    assert_eq!(mesh.send("POST", "/runs/wait", &now).await.status, 200);
}

#[tokio::test]
async fn nobody_is_told_to_wait_until_a_state_that_is_too_large_is_smaller() {
    let policy = Policy { state_bytes_max: 1, ..Policy::default() };
    let mesh = Mesh::made(|_, _| (), |server| server.policy(policy).unwrap()).await;
    let thread = mesh.send("POST", "/threads", &json!({})).await.json();
    let path = format!("/threads/{}/runs/wait", thread["thread_id"].as_str().unwrap());
    let run = json!({ "assistant_id": "echo", "input": { "topic": "a" } });
    assert_eq!(mesh.send("POST", &path, &run).await.status, 200);
    let refused = mesh.send("POST", &path, &run).await;
    let told = "bytes of state of a thread that is added to: at most 1".to_owned();
    assert_eq!(refused.refusal(), (429, told));
    assert_eq!(refused.header("retry-after"), None);
}

#[derive(State)]
struct Nothing {
    n: Option<i64>,
}

async fn idle(_: View<Nothing>, _: Ctx<()>) -> NodeResult<NothingUpdate> {
    Ok(Nothing::update().n(Some(1)))
}

fn assistant(name: &str) -> Assistant {
    let mut graph = Graph::<Nothing>::new("nothing");
    graph.node("idle", idle);
    graph.edge(START, "idle");
    Assistant::new(name, graph.compile().unwrap().app(()).untyped())
}

fn build(names: &[&str], limits: Limits) -> Result<Server, BuildError> {
    let about = About { name: String::new(), description: String::new(), version: String::new() };
    Server::new(about, names.iter().map(|name| assistant(name)), limits, Access::default())
}

#[test]
fn a_server_is_made_of_distinct_names_that_fit_in_a_path() {
    assert_eq!(
        build(&["a", "b", "a"], Limits::default()).unwrap_err(),
        BuildError::DuplicateAssistant { name: "a".to_owned() }
    );
    for bad in ["", "a b", "a/b", "ä", &"a".repeat(65)] {
        let error = build(&[bad], Limits::default()).unwrap_err();
        assert_eq!(error, BuildError::BadName { name: bad.to_owned() });
    }
    let server = build(&["blogger", "a-b_1"], Limits::default()).unwrap();
    assert_eq!(server.assistants().collect::<Vec<_>>(), ["a-b_1", "blogger"]);
}

#[test]
fn a_limit_that_lets_nothing_happen_is_refused_by_name() {
    let refused = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        build(&[], limits).unwrap_err().to_string()
    };
    assert!(refused(|l| l.message_bytes_max = 0).contains("message_bytes_max"));
    assert!(refused(|l| l.connections_max = 0).contains("connections_max"));
    assert!(refused(|l| l.connections_max = usize::MAX).contains("connections_max"));
    assert!(refused(|l| l.connections_of_caller_max = 0).contains("connections_of_caller_max"));
    assert!(refused(|l| l.ping_every = std::time::Duration::ZERO).contains("ping_every"));
}

#[test]
fn a_policy_that_keeps_nothing_is_refused_by_name() {
    let refused = |change: fn(&mut Policy)| {
        let mut policy = Policy::default();
        change(&mut policy);
        build(&[], Limits::default()).unwrap().policy(policy).unwrap_err().to_string()
    };
    assert!(refused(|p| p.pending_runs_max = 0).contains("pending_runs_max"));
    assert!(refused(|p| p.state_bytes_max = 0).contains("state_bytes_max"));
    assert!(refused(|p| p.thread_ttl = Some((0.0, TtlStrategy::Delete))).contains("threads"));
    assert!(refused(|p| p.item_ttl.default_minutes = Some(-1.0)).contains("items"));
    assert!(refused(|p| p.items_swept_every = std::time::Duration::ZERO).contains("sweep"));
}
