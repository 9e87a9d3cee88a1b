//! Breakpoints of a compiled graph, and what a graph says of itself to clients.

use std::sync::Arc;

use mesh_graph::{
    App, Breakpoints, Compiled, Ctx, Graph, MemoryCheckpointer, NodeResult, START, Sharing, State,
    Status, Task, View,
};
use serde_json::json;

#[derive(State)]
struct Log {
    #[state(append)]
    log: Vec<String>,
}

fn two(name: &str) -> Graph<Log> {
    let mut graph = Graph::<Log>::new(name);
    for node in ["a", "b"] {
        graph.node(node, move |_: View<Log>, _: Ctx| async move {
            NodeResult::Ok(Log::update().push_log(node))
        });
    }
    graph.edge(START, "a");
    graph.edge("a", "b");
    graph
}

fn stops(at: &str) -> Breakpoints {
    Breakpoints::At(vec![at.to_owned()])
}

fn app(graph: Graph<Log>) -> App<Log> {
    stored(&graph.compile().unwrap())
}

fn stored(graph: &Compiled<Log>) -> App<Log> {
    graph.app(()).checkpointer(Arc::new(MemoryCheckpointer::encoding()))
}

async fn stops_once(app: &App<Log>, log: &[&str]) {
    let outcome = app.run(Log::update()).thread("t").invoke().await.unwrap();
    assert_eq!((outcome.status, outcome.interrupts.len()), (Status::Interrupted, 0));
    let outcome = app.resume().thread("t").invoke().await.unwrap();
    assert_eq!(outcome.status, Status::Done);
    assert_eq!(outcome.state().log, log);
}

#[tokio::test]
async fn a_mounted_graph_stops_at_its_own_breakpoints() {
    for child in [
        two("child").compile().unwrap().break_before(stops("b")).unwrap(),
        two("child").compile().unwrap().break_after(stops("a")).unwrap(),
    ] {
        let mut graph = Graph::<Log>::new("parent");
        graph.mount_shared("below", &child, Sharing::Writes);
        graph.edge(START, "below");
        stops_once(&app(graph), &["a", "b"]).await;
    }
}

#[tokio::test]
async fn a_called_graph_stops_its_node_even_in_a_functional_task() {
    let child = two("child").compile().unwrap().break_before(stops("b")).unwrap();
    let mut graph = Graph::<Log>::new("parent");
    graph.node("calls", move |_: View<Log>, ctx: Ctx| {
        let child = child.clone();
        async move {
            let below = ctx.call(&child, Log::update()).await?;
            Ok(Log::update().extend_log(below.log.iter().cloned()))
        }
    });
    graph.edge(START, "calls");
    stops_once(&app(graph), &["a", "b"]).await;

    let child = two("child").compile().unwrap().break_before(stops("b")).unwrap();
    let work = Task::new("work", move |_: i64, ctx: Ctx| {
        let child = child.clone();
        async move { Ok(ctx.call(&child, Log::update()).await?.log.len()) }
    });
    let flow =
        mesh_graph::Entrypoint::new("flow", move |n: i64, cx: mesh_graph::FlowCtx<(), usize>| {
            let work = work.clone();
            async move { cx.start(&work, n).await }
        });
    let app =
        flow.compile().unwrap().app(()).checkpointer(Arc::new(MemoryCheckpointer::encoding()));
    let stopped = app.enter(1).thread("t").invoke().await.unwrap();
    assert_eq!(stopped.status, Status::Interrupted);
    let done = app.resume().thread("t").invoke().await.unwrap();
    assert_eq!(done.value().as_deref(), Some(&2));
}

#[tokio::test]
async fn a_root_graph_has_the_breakpoints_it_was_compiled_with_unless_the_run_says_otherwise() {
    let graph = two("root").compile().unwrap().break_before(stops("b")).unwrap();
    let app = stored(&graph);
    stops_once(&app, &["a", "b"]).await;
    let run = app.run(Log::update()).thread("u").break_before(Breakpoints::None);
    assert_eq!(run.invoke().await.unwrap().status, Status::Done);
    assert!(graph.break_after(stops("c")).is_err());
}

#[derive(State)]
struct Named {
    #[state(key = "sharedValue")]
    shared_value: Option<i64>,
    #[state(key = "all messages", append, messages, output)]
    all_messages: Vec<String>,
}

#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "only its schema is looked at")]
struct Wanted {
    model: String,
}

#[tokio::test]
async fn a_key_may_have_another_name_than_its_field() {
    let mut graph = Graph::<Named>::new("named");
    graph.node("n", |state: View<Named>, _: Ctx| async move {
        let value = state.shared_value.unwrap_or(0) + 1;
        NodeResult::Ok(Named::update().shared_value(Some(value)).push_all_messages("said"))
    });
    graph.edge(START, "n");
    graph.context::<Wanted>();
    let app = graph.compile().unwrap().app(());
    let outcome = app.run_json(json!({"sharedValue": 4})).invoke().await.unwrap();
    assert_eq!(*outcome.state().shared_value, Some(5));
    assert_eq!(outcome.json().unwrap(), json!({"all messages": ["said"]}));

    let state = app.state_schema();
    let mut keys: Vec<&String> = state["properties"].as_object().unwrap().keys().collect();
    keys.sort_unstable();
    assert_eq!(keys, ["all messages", "sharedValue"]);
    assert_eq!(state["properties"]["all messages"]["langgraph_type"], "messages");
    assert!(state["properties"]["sharedValue"].get("langgraph_type").is_none());
    let context = app.context_schema().unwrap();
    assert_eq!(context["properties"]["model"]["type"], "string");
}
