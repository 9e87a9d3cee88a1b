//! Graphs below tasks, cut at every write to storage: the thread goes on as if nothing had been.

use std::sync::Arc;

use mesh_graph::{
    App, Checkpointer, Compiled, Durability, Error, Graph, MemoryCheckpointer, Resume, START,
    Sharing, Status, View,
    testing::{Fault, FaultyCheckpointer},
};
use serde_json::json;

use crate::kit::{Deps, Lab, S, asks, log};

/// A mount that shares its writes and asks, a node that calls, and a graph that lives per thread.
fn graph() -> Compiled<S, Deps> {
    let asking =
        Lab::new("S -> s1; s1 -> s2; s2 -> s3").with("s2", asks("q", json!("?"))).compile();
    let called = Lab::new("S -> c1; c1 -> c2").with("c2", asks("q", json!("?"))).compile();
    let lasting = Lab::new("S -> l1; l1 -> l2")
        .with("l2", |s, _| async move { Ok(S::update().push_log(format!("l2:{}", s.log.len()))) })
        .compile()
        .per_thread();
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.mount_shared("asking", &asking, Sharing::Writes);
    graph.node("calling", move |_: View<S>, ctx: mesh_graph::Ctx<Deps>| {
        let called = called.clone();
        async move {
            let first = ctx.call(&called, S::update()).await?;
            let second = ctx.call(&called, S::update().push_log("in")).key("second").await?;
            Ok(S::update().extend_log(first.log.iter().chain(second.log.iter()).cloned()))
        }
    });
    graph.mount(
        "lasting",
        &lasting,
        |_| S::update(),
        |child| S::update().extend_log(child.log.iter().cloned()),
    );
    graph.sequence([START, "asking", "calling", "lasting"]);
    graph.compile().unwrap()
}

fn app(checkpointer: Arc<dyn Checkpointer>) -> App<S> {
    graph().app(Deps::default()).checkpointer(checkpointer)
}

/// Two turns to their end, from wherever the thread stands. A turn that was taken already is gone
/// on with, because it has a run id of its own.
async fn two_turns(
    app: &App<S>,
    thread: &str,
    durability: Durability,
) -> Result<Vec<String>, Error> {
    let mut entries = Vec::new();
    for turn in ["turn 1", "turn 2"] {
        loop {
            let state = app.state(thread).await?;
            if turn == "turn 1" && state.run_id.as_deref() == Some("turn 2") {
                break;
            }
            let run = match state.interrupts.first() {
                Some(_) => app.answer(Resume::Only(json!("yes"))),
                None => app.run(S::update().push_log(turn)),
            };
            let run = run.thread(thread).run_id(turn).durability(durability);
            let outcome = run.invoke().await?;
            if outcome.status == Status::Done {
                entries = log(&outcome);
                break;
            }
        }
    }
    Ok(entries)
}

#[tokio::test]
async fn a_thread_with_graphs_below_its_tasks_survives_a_cut_at_every_write() {
    let called = ["c1", "yes", "in", "c1", "yes"];
    let expected = [
        &["turn 1", "s1", "yes", "s3"][..],
        &called,
        &["l1", "l2:1"],
        &["turn 2", "s1", "yes", "s3"],
        &called,
        &["l1", "l2:1", "l1", "l2:3"],
    ]
    .concat();
    for durability in [Durability::Sync, Durability::Async, Durability::Exit] {
        for fault in Fault::ALL {
            for at in 1.. {
                let storage: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::encoding());
                let faulty = Arc::new(FaultyCheckpointer::new(Arc::clone(&storage), at, fault));
                let cut = app(Arc::clone(&faulty) as Arc<dyn Checkpointer>);
                let ended = tokio::select! {
                    biased;
                    () = faulty.stopped() => None,
                    ended = two_turns(&cut, "t", durability) => Some(ended),
                };
                if faulty.writes() < at {
                    assert_eq!(ended.unwrap().unwrap(), expected, "{durability:?} without a cut");
                    assert!(at > 10, "{durability:?}: a test without cuts");
                    break;
                }
                let case = format!("{durability:?} {fault:?} {at}");
                let done = two_turns(&app(storage), "t", durability).await;
                assert_eq!(
                    done.unwrap_or_else(|error| panic!("{case}: {error}")),
                    expected,
                    "{case}"
                );
            }
        }
    }
}
