//! Long threads, and many at once.

use std::sync::Arc;

use mesh_graph::{
    App, Checkpointer, Ctx, Error, Graph, MemoryCheckpointer, NodeResult, START, State, View,
    checkpoint::{Checkpoint, Place},
    checkpointer::{CHAIN_MAX, Commit, Filter, Head},
};
use mesh_store::Sqlite;
use tokio::task::JoinSet;

#[derive(State)]
struct Diary {
    #[state(append)]
    entries: Vec<String>,
    #[state(add)]
    count: i64,
}

async fn write(state: View<Diary>, _: Ctx) -> NodeResult<DiaryUpdate> {
    Ok(Diary::update().push_entries(format!("day {}", *state.count)).count(1))
}

/// A graph that never ends by itself.
fn diary(checkpointer: Arc<dyn Checkpointer>) -> App<Diary> {
    let mut graph = Graph::<Diary>::new("diary");
    graph.node("write", write);
    graph.edge(START, "write").edge("write", "write");
    graph.compile().unwrap().app(()).checkpointer(checkpointer)
}

/// Supersteps of the long thread; with START's two it has ten thousand checkpoints.
const STEPS: u32 = 9_998;

#[tokio::test]
async fn ten_thousand_checkpoints_are_loaded_from_a_bounded_chain() {
    // Made by the engine in memory, then copied with group commit: that spares 10,000 fsyncs.
    let memory: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::default());
    let run = diary(Arc::clone(&memory)).run(Diary::update()).thread("t").recursion_limit(STEPS);
    assert!(matches!(run.invoke().await, Err(Error::RecursionLimit { .. })));
    let place = Place { thread: "t".to_owned(), ns: String::new() };
    let all = memory.list(&place, &Filter::default()).await.unwrap();
    assert_eq!(all.len(), 10_000);
    let head: Checkpoint = all[0].checkpoint.clone();

    let directory = tempfile::tempdir().unwrap();
    let database = Sqlite::open(directory.path().join("long.db")).await.unwrap();
    let mut puts = JoinSet::new();
    for loaded in all {
        let id = loaded.checkpoint.id;
        let own = loaded.checkpoint.channels.iter().zip(loaded.values).filter_map(
            |(entry, mut chain)| {
                (entry.at == id).then(|| Some((entry.key.clone(), chain.pop()?))).flatten()
            },
        );
        let commit = Commit {
            place: Arc::new(place.clone()),
            blobs: own.collect(),
            checkpoint: Box::new(loaded.checkpoint),
            tasks: Vec::new(),
            expected_head: Head::Any,
        };
        let checkpointer = database.checkpointer();
        puts.spawn(async move { checkpointer.put(commit).await });
    }
    while let Some(put) = puts.join_next().await {
        put.unwrap().unwrap();
    }

    let checkpointer = database.checkpointer();
    let begun = std::time::Instant::now();
    let loaded = checkpointer.load(&place, None).await.unwrap().unwrap();
    let took = begun.elapsed();
    assert_eq!(loaded.checkpoint, head);
    assert!(loaded.values.iter().all(|chain| chain.len() <= CHAIN_MAX));
    assert!(took.as_millis() < 500, "loading the head took {took:?}");
    let state = diary(checkpointer).state("t").await.unwrap();
    assert_eq!(state.state().entries.len(), STEPS as usize);
    assert_eq!(state.state().entries[9_000], "day 9000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_threads_run_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let database = Sqlite::open(directory.path().join("many.db")).await.unwrap();
    let app = diary(database.checkpointer());
    let mut runs = JoinSet::new();
    for thread in 0..32 {
        let run = app.run(Diary::update()).thread(&thread.to_string()).recursion_limit(10);
        runs.spawn(run.invoke());
    }
    while let Some(run) = runs.join_next().await {
        assert!(matches!(run.unwrap(), Err(Error::RecursionLimit { limit: 10 })));
    }
    for thread in 0..32 {
        let state = app.state(&thread.to_string()).await.unwrap();
        assert_eq!((state.step, state.state().count.to_string()), (Some(10), "10".to_owned()));
    }
}
