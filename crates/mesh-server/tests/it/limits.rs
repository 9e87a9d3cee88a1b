//! What a server cannot be made of, and what happens when it is full.

use mesh_graph::{Ctx, Graph, NodeResult, START, State, View};
use mesh_server::{About, Access, Assistant, BuildError, Limits, Server};

use crate::kit::{Http, Mesh};

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
    loop {
        let answer = mesh.http("GET", "/ok", "").await;
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.status, 503);
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let mesh = Mesh::start().await;
    let long = format!("GET /ok HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(80_000));
    let answer = Http::parse(&mesh.raw(long.as_bytes()).await);
    assert_eq!(answer.status, 431);
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
    assert!(refused(|l| l.ping_every = std::time::Duration::ZERO).contains("ping_every"));
}
