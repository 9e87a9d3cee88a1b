//! Invariant "crash anywhere": a run that is cut at any write and resumed ends like one that was
//! not, and runs no finished task again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a conformance suite fails by panicking, as tests do"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use serde_json::Value as Json;

use super::{Fault, FaultyCheckpointer};
use crate::{
    App, Arg, Checkpointer, Ctx, Durability, END, Error, Graph, NodeResult, START, State, View,
    checkpoint::{Place, TaskPath, TaskRecord},
    checkpointer::Filter,
};

/// The state of the graph that is cut.
#[derive(State)]
struct Work {
    #[state(append)]
    log: Vec<String>,
    #[state(add)]
    sum: i64,
    last: String,
}

/// How often each piece of work was started.
type Starts = Arc<Mutex<BTreeMap<String, usize>>>;

fn note(ctx: &Ctx<Starts>, label: &str) -> WorkUpdate {
    *ctx.deps().lock().unwrap().entry(label.to_owned()).or_default() += 1;
    Work::update().push_log(label).sum(1)
}

async fn named(_: View<Work>, ctx: Ctx<Starts>) -> NodeResult<WorkUpdate> {
    // Lets siblings overtake each other.
    tokio::task::yield_now().await;
    let node = ctx.info().node;
    Ok(note(&ctx, &node))
}

async fn part(Arg(index): Arg<u32>, ctx: Ctx<Starts>) -> NodeResult<WorkUpdate> {
    for _ in 0..(3 - *index) {
        tokio::task::yield_now().await;
    }
    Ok(note(&ctx, &format!("part {index}")))
}

async fn collect(state: View<Work>, ctx: Ctx<Starts>) -> NodeResult<WorkUpdate> {
    Ok(note(&ctx, "collect").last(state.log.join(",")))
}

/// plan -> three parts, a chain of two, and a mounted graph of two; then collect.
fn app(starts: &Starts, checkpointer: Arc<dyn Checkpointer>) -> App<Work> {
    let mut child = Graph::<Work, Starts>::new("child");
    child.node("inner1", named);
    child.node("inner2", named);
    child.edge(START, "inner1").edge("inner1", "inner2");
    let child = child.compile().expect("the child compiles");

    let mut graph = Graph::<Work, Starts>::new("cut");
    let plan = graph.node("plan", named).id();
    let part = graph.node("part", part).id();
    graph.node("chain1", named);
    graph.node("chain2", named);
    graph.mount(
        "sub",
        &child,
        |_| Work::update(),
        |child| Work::update().extend_log(child.log.iter().cloned()).sum(*child.sum),
    );
    let collect = graph.node("collect", collect).defer().id();
    graph.edge(START, &plan).edge(&plan, "chain1").edge("chain1", "chain2").edge(&plan, "sub");
    graph.fan_out(&plan, &part, |_| vec![0, 1, 2]).if_empty(END);
    graph.edge(&part, &collect).edge("chain2", &collect).edge("sub", &collect);
    graph.compile().expect("the graph compiles").app(Arc::clone(starts)).checkpointer(checkpointer)
}

/// Cuts a run at every one of its writes, in every way and with every durability, resumes it, and
/// compares. Threads are named `cut …`.
///
/// # Panics
/// When a cut changes the result, or work that was stored as finished is done again.
pub async fn check_cuts(checkpointer: Arc<dyn Checkpointer>) {
    for durability in [Durability::Sync, Durability::Async, Durability::Exit] {
        let whole = format!("cut {durability:?} nowhere");
        let expected = app(&Starts::default(), Arc::clone(&checkpointer))
            .run(Work::update())
            .thread(&whole)
            .durability(durability)
            .invoke()
            .await
            .unwrap()
            .json()
            .unwrap();
        let mut kept = 0;
        for fault in Fault::ALL {
            for at in 1.. {
                match check_cut(&checkpointer, durability, fault, at, &expected).await {
                    Some(finished) => kept += finished,
                    None => break,
                }
            }
        }
        assert!(kept > 0, "{durability:?}: no cut left any finished work behind");
    }
}

/// How much finished work the cut left behind; none when the run had no write with the number
/// `at`.
async fn check_cut(
    checkpointer: &Arc<dyn Checkpointer>,
    durability: Durability,
    fault: Fault,
    at: usize,
    expected: &Json,
) -> Option<usize> {
    let case = format!("cut {durability:?} {fault:?} {at}");
    let starts = Starts::default();
    let faulty = Arc::new(FaultyCheckpointer::new(Arc::clone(checkpointer), at, fault));
    let cut = app(&starts, Arc::clone(&faulty) as Arc<dyn Checkpointer>);
    let run = cut.run(Work::update()).thread(&case).durability(durability).invoke();
    tokio::select! {
        biased;
        () = faulty.stopped() => {}
        ended = run => {
            if faulty.writes() < at {
                return None;
            }
            let error = ended.expect_err(&case);
            // Below a mounted graph it is the mount that fails first.
            assert!(matches!(error.root_cause(), Error::CheckpointFailed(_)), "{case}: {error}");
        }
    }

    let again = app(&starts, Arc::clone(checkpointer));
    let finished = finished(checkpointer, &again, &case).await;
    let before = starts.lock().unwrap().clone();
    let stored = again.state(&case).await.unwrap().checkpoint.is_some();
    let run = if stored { again.resume() } else { again.run(Work::update()) };
    let outcome = run.thread(&case).durability(durability).invoke().await;
    let outcome = outcome.unwrap_or_else(|error| unreachable!("{case}: {error}"));
    assert_eq!(outcome.json().unwrap(), *expected, "{case}");
    let after = starts.lock().unwrap().clone();
    for label in &finished {
        assert_eq!(after[label], before[label], "{case}: `{label}` was finished and ran again");
    }
    for (label, runs) in after {
        assert!(runs <= 2, "{case}: `{label}` ran {runs} times");
    }
    Some(finished.len())
}

/// The work that storage knows to be finished.
async fn finished(
    checkpointer: &Arc<dyn Checkpointer>,
    app: &App<Work>,
    thread: &str,
) -> BTreeSet<String> {
    let mut finished = BTreeSet::new();
    let mut open = vec![String::new()];
    let snapshot = app.state(thread).await.unwrap();
    open.extend(snapshot.tasks.iter().filter_map(|task| task.child_ns.clone()));
    for ns in open {
        let place = Place { thread: thread.to_owned(), ns };
        for loaded in checkpointer.list(&place, &Filter::default()).await.unwrap() {
            for task in loaded.tasks.iter().filter(|task| task.commit.is_some()) {
                finished.extend(labels(task));
            }
        }
    }
    finished
}

fn labels(task: &TaskRecord) -> Vec<String> {
    match (&task.path, &*task.node) {
        (_, START) => Vec::new(),
        (_, "sub") => vec!["inner1".to_owned(), "inner2".to_owned()],
        (TaskPath::Push(index), node) => vec![format!("{node} {index}")],
        (TaskPath::Pull(_), node) => vec![node.to_owned()],
    }
}
