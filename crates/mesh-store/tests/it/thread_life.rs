//! Threads with their states and runs, from the first change to the last sweep.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mesh_graph::{
    App, Ctx, Graph, NodeResult, Patch, START, State, Untyped, View,
    env::Env,
    store::{self, Lifetime},
};
use mesh_runtime::{
    Error, Graphs, Limit, Policy, Run, Runtime, Scope,
    graphs::Served,
    log::Kind,
    run::RunStatus,
    runs::{NewRun, Target},
    thread::{
        Thread, ThreadStatus, TtlStrategy,
        operations::{NewThread, THREADS_BATCH},
        state::{At, StateChange},
    },
};
use mesh_store::Sqlite;
use serde_json::{Map, Value as Json, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::runs::assistant;

/// A clock that is set by hand.
#[derive(Debug, Default)]
struct Clock {
    ms: AtomicI64,
    ids: AtomicU64,
}

#[async_trait]
impl Env for Clock {
    fn now_ms(&self) -> i64 {
        self.ms.load(Ordering::Relaxed)
    }

    fn new_id(&self) -> u128 {
        u128::from(self.ids.fetch_add(1, Ordering::Relaxed)) + 1
    }

    fn random(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[derive(State)]
struct S {
    #[state(append)]
    log: Vec<String>,
}

async fn a(_: View<S>, _: Ctx) -> NodeResult<SUpdate> {
    Ok(S::update().push_log("a"))
}

fn plain() -> App<Untyped> {
    let mut graph = Graph::<S>::new("plain");
    graph.node("a", a);
    graph.node("b", a);
    graph.edge(START, "a").edge("a", "b");
    graph.compile().unwrap().app(()).untyped()
}

struct World {
    runtime: Runtime,
    clock: Arc<Clock>,
    _directory: TempDir,
}

impl World {
    async fn new() -> Self {
        Self::of(Served::fixed(plain())).await
    }

    async fn of(graph: Served) -> Self {
        Self::with(graph, Policy::default()).await
    }

    async fn with(graph: Served, policy: Policy) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Sqlite::open(directory.path().join("life.db")).await.unwrap();
        let clock = Arc::new(Clock::default());
        let mut graphs = Graphs::default();
        graphs.insert("plain", graph);
        let env = Arc::clone(&clock) as _;
        let runtime = Runtime::with_policy(database.ledger(), graphs, env, policy);
        Self { runtime, clock, _directory: directory }
    }

    async fn thread(&self, ttl: Option<(f64, TtlStrategy)>) -> Thread {
        let metadata = Map::from_iter([("graph_id".to_owned(), json!("plain"))]);
        let new = NewThread { metadata, ttl, ..NewThread::default() };
        self.runtime.create_thread(&Scope::All, None, new).await.unwrap().0
    }

    async fn find(&self, thread: &Thread) -> Option<Thread> {
        match self.runtime.thread(&Scope::All, &thread.id).await {
            Ok(thread) => Some(thread),
            Err(Error::NoThread(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    async fn change(&self, thread: &Thread, word: &str) -> Result<Json, Error> {
        let patch = Patch::values(json!({ "log": [word] })).as_node("a");
        let change = StateChange { at: At::default(), patch };
        self.runtime.change_state(&Scope::All, &thread.id, change).await
    }

    async fn run_on(&self, thread: &Thread) -> Run {
        run_on(&self.runtime, &thread.id).await
    }

    async fn log(&self, thread: &Thread) -> Vec<(Kind, Json)> {
        let id = thread.id.clone();
        let entries = self.runtime.ledger().read(move |tx| tx.entries(&id, 0, 100)).await.unwrap();
        let read = |entry: mesh_runtime::log::Entry| {
            (entry.kind, serde_json::from_slice(&entry.data).unwrap())
        };
        entries.into_iter().map(read).collect()
    }

    fn pass(&self, minutes: f64) {
        self.clock.ms.fetch_add((minutes * 60_000.0) as i64, Ordering::Relaxed);
    }

    async fn checkpoints(&self, thread: &Thread) -> u64 {
        let id = thread.id.clone();
        let sizes = self.runtime.ledger().read(move |tx| tx.checkpoint_sizes(&id)).await;
        sizes.unwrap().checkpoints.count
    }
}

async fn run_on(runtime: &Runtime, thread: &str) -> Run {
    let target = Target::Thread { id: thread.to_owned(), make: false };
    runtime.create_run(&Scope::All, NewRun::new(assistant(), target)).await.unwrap()
}

#[tokio::test]
async fn a_change_settles_the_row_and_is_told_on_the_log() {
    let world = World::new().await;
    let thread = world.thread(None).await;
    let made = world.change(&thread, "x").await.unwrap();
    let row = world.find(&thread).await.unwrap();
    assert_eq!(row.values, Some(json!({ "log": ["x"] })));
    assert_eq!(row.status, ThreadStatus::Interrupted);
    assert_eq!(row.interrupts, Some(Map::new()));
    assert!(row.state_updated_at > thread.state_updated_at);
    let log = world.log(&thread).await;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].0, Kind::Updated);
    assert_eq!(log[0].1["checkpoint"], made);
    assert_eq!(log[0].1["values"], json!({ "log": ["x"] }));
}

#[tokio::test]
async fn the_state_of_a_thread_with_a_run_cannot_be_changed() {
    let world = World::new().await;
    let thread = world.thread(None).await;
    let run = world.run_on(&thread).await;
    match world.change(&thread, "x").await {
        Err(Error::InFlight { thread: busy, runs }) => {
            assert_eq!((busy, runs), (thread.id.clone(), vec![run.id]));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.checkpoints(&thread).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_comes_while_a_change_is_being_made_stops_the_change() {
    // The graph is made between the first look at the thread and the first write.
    let between: Arc<OnceLock<(Runtime, String)>> = Arc::default();
    let seen = Arc::clone(&between);
    let factory = move |_: &mesh_runtime::graphs::Request| {
        if let Some((runtime, thread)) = seen.get() {
            let handle = tokio::runtime::Handle::current();
            tokio::task::block_in_place(|| handle.block_on(run_on(runtime, thread)));
        }
        Ok(plain())
    };
    let world = World::of(Served::made(Arc::new(factory))).await;
    let thread = world.thread(None).await;
    between.set((world.runtime.clone(), thread.id.clone())).unwrap();
    let refused = world.change(&thread, "x").await;
    assert!(matches!(refused, Err(Error::InFlight { .. })), "{refused:?}");
    assert_eq!(world.checkpoints(&thread).await, 0);
    assert_eq!(world.find(&thread).await.unwrap().values, None);
}

#[tokio::test]
async fn a_removed_thread_takes_its_runs_along() {
    let world = World::new().await;
    let (thread, other) = (world.thread(None).await, world.thread(None).await);
    world.change(&thread, "x").await.unwrap();
    world.change(&other, "x").await.unwrap();
    let runs = [world.run_on(&thread).await, world.run_on(&thread).await];
    let kept = world.run_on(&other).await;
    world.runtime.delete_thread(&Scope::All, &thread.id).await.unwrap();
    assert_eq!(world.find(&thread).await, None);
    for run in runs {
        let gone = world.runtime.run(&Scope::All, None, run.id).await;
        assert!(matches!(gone, Err(Error::NoRun(_))), "{gone:?}");
    }
    let kept = world.runtime.run(&Scope::All, None, kept.id).await.unwrap();
    assert_eq!(kept.status, RunStatus::Pending);
    let again = world.runtime.delete_thread(&Scope::All, &thread.id).await;
    assert!(matches!(again, Err(Error::NoThread(_))));
}

#[tokio::test]
async fn a_stranger_can_neither_see_nor_change_nor_remove_a_thread() {
    let world = World::new().await;
    let metadata = Map::from_iter([("graph_id".to_owned(), json!("plain"))]);
    let new = NewThread { metadata, ..NewThread::default() };
    let (ada, bob) = (Scope::Owner("ada".to_owned()), Scope::Owner("bob".to_owned()));
    let (thread, _) = world.runtime.create_thread(&ada, Some("ada"), new).await.unwrap();
    let id = &*thread.id;
    let runtime = &world.runtime;
    let change = StateChange { patch: Patch::none().as_node("a"), ..StateChange::default() };
    let refused = [
        runtime.thread(&bob, id).await.err(),
        runtime.patch_thread(&bob, id, Map::new(), None).await.err(),
        runtime.thread_state(&bob, id, &At::default(), false).await.err(),
        runtime.change_state(&bob, id, change).await.err(),
        runtime.copy_thread(&bob, Some("bob"), id, |_| ()).await.err(),
        runtime.thread_sizes(&bob, id).await.err(),
        runtime.delete_thread(&bob, id).await.err(),
    ];
    for error in refused {
        assert!(matches!(error, Some(Error::NoThread(_))), "{error:?}");
    }
    let taken = NewThread { id: Some(id.parse().unwrap()), ..NewThread::default() };
    let taken = NewThread { if_exists: mesh_runtime::assistant::IfExists::DoNothing, ..taken };
    let refused = runtime.create_thread(&bob, Some("bob"), taken).await;
    assert!(matches!(refused, Err(Error::Exists { .. })), "{refused:?}");
    let pruned = runtime.prune_threads(&bob, &[id.to_owned()], TtlStrategy::Delete).await;
    assert_eq!(pruned.unwrap(), 0);
    assert!(runtime.thread(&ada, id).await.is_ok());
}

#[tokio::test]
async fn a_sweep_removes_or_prunes_what_nobody_used_for_its_time() {
    let world = World::new().await;
    let gone = world.thread(Some((10.0, TtlStrategy::Delete))).await;
    let pruned = world.thread(Some((10.0, TtlStrategy::KeepLatest))).await;
    let used = world.thread(Some((10.0, TtlStrategy::Delete))).await;
    let running = world.thread(Some((10.0, TtlStrategy::Delete))).await;
    let forever = world.thread(None).await;
    for word in ["x", "y", "z"] {
        world.change(&pruned, word).await.unwrap();
    }
    world.run_on(&running).await;
    world.pass(9.0);
    assert!(!world.runtime.sweep_threads().await.unwrap());
    assert!(world.find(&gone).await.is_some());
    world.change(&used, "x").await.unwrap();
    world.pass(2.0);
    assert!(!world.runtime.sweep_threads().await.unwrap());
    assert_eq!(world.find(&gone).await, None);
    for there in [&used, &running, &forever] {
        assert!(world.find(there).await.is_some());
    }
    assert_eq!(world.checkpoints(&pruned).await, 1);
    let row = world.find(&pruned).await.unwrap();
    assert_eq!(row.values, Some(json!({ "log": ["x", "y", "z"] })));

    // It rests until it is used again.
    world.change(&pruned, "v").await.unwrap();
    world.pass(11.0);
    world.runtime.sweep_threads().await.unwrap();
    assert_eq!(world.checkpoints(&pruned).await, 1);
    assert_eq!(world.find(&used).await, None);
}

#[tokio::test]
async fn threads_of_an_assistant_go_with_it_however_many_there_are() {
    let world = World::new().await;
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    for n in 0..=THREADS_BATCH {
        let of = if n == 0 { two } else { one };
        let metadata = Map::from_iter([("assistant_id".to_owned(), json!(of.to_string()))]);
        let new = NewThread { metadata, ..NewThread::default() };
        world.runtime.create_thread(&Scope::All, None, new).await.unwrap();
    }
    let gone = world.runtime.delete_threads_of(&Scope::All, one).await.unwrap();
    assert_eq!(gone, THREADS_BATCH);
    let filter = mesh_runtime::thread::rows::Filter::all(Scope::All);
    assert_eq!(world.runtime.count_threads(filter).await.unwrap(), 1);
}

#[tokio::test]
async fn threads_and_items_are_kept_for_the_default_time_unless_they_say_otherwise() {
    let policy = Policy {
        thread_ttl: Some((10.0, TtlStrategy::Delete)),
        item_ttl: store::Ttl { default_minutes: Some(10.0), refresh_on_read: false },
        ..Policy::default()
    };
    let world = World::with(Served::fixed(plain()), policy).await;
    let gone = world.thread(None).await;
    let kept = world.thread(Some((20.0, TtlStrategy::Delete))).await;
    let copied = world.runtime.copy_thread(&Scope::All, None, &kept.id, |_| ()).await.unwrap();
    assert_eq!(gone.ttl.map(|ttl| ttl.minutes), Some(10.0));
    assert_eq!(copied.ttl.map(|ttl| ttl.minutes), Some(20.0));
    let items = world.runtime.store();
    for (key, ttl) in [("gone", Lifetime::Default), ("kept", Lifetime::Forever)] {
        let put = store::Put { ttl, ..store::Put::new(&["n"], key, Map::new()) };
        items.batch(vec![store::Op::Put(put)]).await.unwrap();
    }
    world.pass(9.0);
    assert!(items.get(&["n"], "gone").await.unwrap().is_some());
    world.pass(2.0);
    world.runtime.sweep_threads().await.unwrap();
    assert_eq!(world.find(&gone).await, None);
    assert!(world.find(&kept).await.is_some() && world.find(&copied).await.is_some());
    assert!(items.get(&["n"], "gone").await.unwrap().is_none(), "reading it changed nothing");
    assert!(items.get(&["n"], "kept").await.unwrap().is_some());
}

#[tokio::test]
async fn a_state_that_is_too_large_is_not_changed_any_more() {
    let policy = Policy { state_bytes_max: 20, ..Policy::default() };
    let world = World::with(Served::fixed(plain()), policy).await;
    let thread = world.thread(None).await;
    world.change(&thread, &"x".repeat(30)).await.unwrap();
    let refused = world.change(&thread, "y").await;
    assert!(matches!(refused, Err(Error::Full { limit: Limit::State, max: 20 })), "{refused:?}");
    assert_eq!(world.checkpoints(&thread).await, 1);
    let counted = world.runtime.counts().full;
    assert_eq!(counted.into_iter().find(|(limit, _)| *limit == "state"), Some(("state", 1)));
}
