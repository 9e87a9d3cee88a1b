//! K. Streaming: events in task order.

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use expect_test::expect;
use mesh_graph::{
    Arg, Ctx, END, Graph, Mode, NodeResult, ORDERED_HELD_MAX, START, Send, State, View, Warning,
};
use serde_json::{Map, json};
use tokio::sync::Notify;

#[derive(State)]
struct Log {
    #[state(append)]
    log: Vec<String>,
}

/// Lets other tasks run a number of times that differs from call to call.
async fn dawdle() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    for _ in 0..CALLS.fetch_add(7, Ordering::Relaxed) % 5 {
        tokio::task::yield_now().await;
    }
}

async fn talks(name: &str, ctx: &Ctx) -> NodeResult<LogUpdate> {
    for number in 0..3 {
        dawdle().await;
        ctx.emit(&format!("{name}{number}")).await?;
        ctx.message(&json!({"type": "ai", "content": name}), &Map::new()).await?;
    }
    dawdle().await;
    Ok(Log::update().push_log(name))
}

/// Three nodes side by side, one of them a graph with three of its own, then a fan-out.
fn wide() -> mesh_graph::App<Log> {
    let mut child = Graph::<Log>::new("child");
    let mut graph = Graph::<Log>::new("wide");
    for name in ["x", "y", "z"] {
        child.node(name, move |_: View<Log>, ctx: Ctx| async move { talks(name, &ctx).await });
        child.edge(START, name);
    }
    for name in ["a", "c"] {
        graph.node(name, move |_: View<Log>, ctx: Ctx| async move { talks(name, &ctx).await });
        graph.edge(START, name);
    }
    let child = child.compile().unwrap();
    graph.mount(
        "b",
        &child,
        |_| Log::update(),
        |c| Log::update().extend_log(c.log.iter().cloned()),
    );
    graph.edge(START, "b");
    let each = graph
        .node("each", |Arg(name): Arg<String>, ctx: Ctx| async move { talks(&name, &ctx).await })
        .id();
    graph
        .route("a", move |_| ["3", "1", "2"].map(|name| Send::to(&each, name.to_owned())).to_vec());
    graph.edge("c", END);
    graph.compile().unwrap().app(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn t234_ordered_events_are_the_same_bytes_in_every_run() {
    // Without a checkpointer, so that ids follow from the graph alone.
    let modes = [Mode::Values, Mode::Updates, Mode::Custom, Mode::Messages, Mode::Tasks];
    let app = wide().env(Arc::new(mesh_graph::env::CountingEnv::default()));
    let mut first: Option<String> = None;
    for _ in 0..100 {
        let env = Arc::new(mesh_graph::env::CountingEnv::default());
        let run = app.clone().env(env).run(Log::update());
        let mut handle = run.run_id("r").stream(modes).subgraphs().ordered().start().unwrap();
        let mut text = String::new();
        while let Some(event) = handle.next().await {
            let line = (event.seq, event.mode, event.step, event.task_id, event.attempt);
            writeln!(text, "{line:?} {:?} {}", event.ns, event.data()).unwrap();
        }
        let outcome = handle.finish().await.unwrap();
        assert!(outcome.warnings.is_empty());
        match &first {
            None => first = Some(text),
            Some(first) => assert_eq!(&text, first),
        }
    }
    let run = app.run(Log::update()).stream([Mode::Custom, Mode::Updates]).subgraphs().ordered();
    let mut handle = run.start().unwrap();
    let mut order = Vec::new();
    while let Some(event) = handle.next().await {
        let updates = event.mode == Mode::Updates;
        let said = event.data().as_str().map(str::to_owned);
        order.push(if updates { format!("={}", event.node().unwrap()) } else { said.unwrap() });
    }
    expect![["a0 a1 a2 =a x0 x1 x2 =x y0 y1 y2 =y z0 z1 z2 =z =b c0 c1 c2 =c \
         30 31 32 =each 10 11 12 =each 20 21 22 =each"]]
    .assert_eq(&order.join(" "));
}

#[tokio::test]
async fn ordered_events_of_a_failed_step_are_all_told() {
    let mut graph = Graph::<Log>::new("failing");
    graph.node("a", |_: View<Log>, ctx: Ctx| async move {
        dawdle().await;
        ctx.emit("a").await?;
        Err::<(), _>(mesh_graph::NodeError::msg("no"))
    });
    graph.node("b", |_: View<Log>, ctx: Ctx| async move { talks("b", &ctx).await });
    graph.edge(START, "a").edge(START, "b");
    let app = graph.compile().unwrap().app(());
    let mut handle =
        app.run(Log::update()).stream([Mode::Custom, Mode::Updates]).ordered().start().unwrap();
    let mut told = Vec::new();
    while let Some(event) = handle.next().await {
        told.push(event.data().to_string());
    }
    assert_eq!(told, [r#""a""#, r#""b0""#, r#""b1""#, r#""b2""#, r#"{"b":{"log":["b"]}}"#]);
    assert!(handle.finish().await.is_err());
}

#[tokio::test]
async fn when_too_much_would_be_held_back_the_order_is_given_up_and_nothing_lost() {
    let done = Arc::new(Notify::new());
    let waited = Arc::clone(&done);
    let mut graph = Graph::<Log>::new("uneven");
    graph.node("a", move |_: View<Log>, ctx: Ctx| {
        let waited = Arc::clone(&waited);
        async move {
            waited.notified().await;
            ctx.emit("last").await
        }
    });
    graph.node("b", move |_: View<Log>, ctx: Ctx| {
        let done = Arc::clone(&done);
        async move {
            for number in 0..ORDERED_HELD_MAX + 2 {
                ctx.emit(&number).await?;
            }
            done.notify_one();
            Ok(())
        }
    });
    graph.edge(START, "a").edge(START, "b");
    let app = graph.compile().unwrap().app(());
    let mut handle = app.run(Log::update()).stream([Mode::Custom]).ordered().start().unwrap();
    let mut told = Vec::new();
    while let Some(event) = handle.next().await {
        told.push(event.data());
    }
    assert_eq!(told.len(), ORDERED_HELD_MAX + 3);
    assert_eq!(told.last(), Some(&json!("last")));
    assert!(told.iter().take(ORDERED_HELD_MAX + 2).enumerate().all(|(at, n)| *n == json!(at)));
    let warnings = handle.finish().await.unwrap().warnings;
    assert_eq!(warnings, [Warning::OrderGivenUp { held: ORDERED_HELD_MAX + 1 }]);
}
