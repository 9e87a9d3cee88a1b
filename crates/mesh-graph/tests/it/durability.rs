//! F. Checkpoints, durability, delta.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use mesh_graph::{
    CheckpointId, Checkpointer, Ctx, Durability, Error, FailureKind, Graph, MemoryCheckpointer,
    Patch, START, State, View,
    checkpoint::{Blob, Place, SNAPSHOT_EVERY, TaskRecord},
    checkpointer::{self, CHAIN_MAX, Commit, Filter, Head, Loaded},
    testing::{Around, Fault, FaultyCheckpointer, Writes},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;

use crate::kit::{Bench, Lab, S, asks, empty, fails_once, log, values};

fn root() -> Place {
    Place { thread: "t".to_owned(), ns: String::new() }
}

#[tokio::test]
async fn t133_sync_and_async_leave_a_checkpoint_per_step_and_exit_one_per_run() {
    for (durability, first, second) in
        [(Durability::Sync, 4, 8), (Durability::Async, 4, 8), (Durability::Exit, 1, 2)]
    {
        let bench = Lab::new("S -> a; a -> b").app();
        let history = async || bench.app.history("t", &Filter::default()).await.unwrap();
        bench.run(empty()).durability(durability).invoke().await.unwrap();
        let one = history().await;
        assert_eq!((one.len(), one[0].step), (first, Some(2)), "{durability:?}");
        assert_eq!(one.last().unwrap().parent, None);
        bench.run(empty()).durability(durability).invoke().await.unwrap();
        let two = history().await;
        assert_eq!((two.len(), two[0].step), (second, Some(6)), "{durability:?}");
        assert!(two.windows(2).all(|pair| pair[0].parent == pair[1].checkpoint));
        assert_eq!(two[0].json().unwrap(), values(&["a", "b", "a", "b"]));
    }
}

#[tokio::test]
async fn t134_exit_keeps_what_finished_beside_a_failure() {
    let bench = Lab::new("S -> p; p -> ok, bad; ok & bad -> end").with("bad", fails_once()).app();
    let exit = Durability::Exit;
    assert!(bench.run(empty()).durability(exit).invoke().await.is_err());
    let state = bench.app.state("t").await.unwrap();
    assert_eq!(
        (state.json().unwrap(), &state.next),
        (values(&["p", "ok"]), &vec!["bad".to_owned()])
    );
    let outcome = bench.app.resume().thread("t").durability(exit).invoke().await.unwrap();
    assert_eq!(log(&outcome), ["p", "bad", "ok", "end"]);
    assert_eq!(["p", "ok", "bad"].map(|node| bench.trace.runs(node)), [1, 1, 2]);
}

#[tokio::test]
async fn t135_exit_keeps_a_question() {
    let bench = Lab::new("S -> p; p -> a").with("a", asks("q", json!(1))).app();
    let asked = bench.run(empty()).durability(Durability::Exit).invoke().await.unwrap();
    assert_eq!(bench.app.state("t").await.unwrap().interrupts, asked.interrupts);
    assert_eq!(log(&bench.answer(json!("yes")).await.unwrap()), ["p", "yes"]);
    assert_eq!(bench.trace.runs("p"), 1);
}

async fn failing_put(durability: Durability) -> Bench {
    let checkpointer: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::encoding());
    let bench =
        Bench::on(&Lab::new("S -> a; a -> b; b -> c; c -> d").compile(), Arc::clone(&checkpointer));
    // The third put is the checkpoint after `a`: -1, 0, 1.
    let faulty =
        FaultyCheckpointer::new(Arc::new(Around(Slow(checkpointer))), 3, Fault::FailBefore);
    let app = bench.app.clone().checkpointer(Arc::new(faulty));
    let error = app.run(empty()).thread("t").durability(durability).invoke().await.unwrap_err();
    assert!(matches!(error, Error::CheckpointFailed(_)), "{error}");
    bench
}

#[tokio::test]
async fn t136_a_failed_put_stops_the_run_within_one_superstep() {
    let bench = failing_put(Durability::Async).await;
    let runs = ["a", "b", "c", "d"].map(|node| bench.trace.runs(node));
    assert!(runs == [1, 0, 0, 0] || runs == [1, 1, 0, 0], "{runs:?}");
    assert_eq!(log(&bench.resume().await), ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn t137_with_sync_a_failed_put_stops_the_run_at_once() {
    let bench = failing_put(Durability::Sync).await;
    assert_eq!(["a", "b", "c", "d"].map(|node| bench.trace.runs(node)), [1, 0, 0, 0]);
    assert_eq!(log(&bench.resume().await), ["a", "b", "c", "d"]);
}

/// Takes its time for every write.
struct Slow(Arc<dyn Checkpointer>);

impl Slow {
    async fn wait() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl Writes for Slow {
    fn inner(&self) -> &dyn Checkpointer {
        &*self.0
    }

    async fn put(&self, commit: Commit) -> Result<(), checkpointer::Error> {
        Self::wait().await;
        self.0.put(commit).await
    }

    async fn put_task(
        &self,
        place: &Place,
        checkpoint: CheckpointId,
        record: TaskRecord,
    ) -> Result<(), checkpointer::Error> {
        Self::wait().await;
        self.0.put_task(place, checkpoint, record).await
    }
}

/// Counts the puts that were begun and the most that were under way at once.
struct Watched {
    inner: Slow,
    now: AtomicUsize,
    peak: AtomicUsize,
    stored: AtomicUsize,
}

#[async_trait]
impl Writes for Watched {
    fn inner(&self) -> &dyn Checkpointer {
        self.inner.inner()
    }

    async fn put(&self, commit: Commit) -> Result<(), checkpointer::Error> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(now, Ordering::SeqCst);
        let result = self.inner.put(commit).await;
        self.stored.fetch_add(1, Ordering::SeqCst);
        self.now.fetch_sub(1, Ordering::SeqCst);
        result
    }

    async fn put_task(
        &self,
        place: &Place,
        checkpoint: CheckpointId,
        record: TaskRecord,
    ) -> Result<(), checkpointer::Error> {
        self.inner.put_task(place, checkpoint, record).await
    }
}

#[tokio::test]
async fn t138_at_most_one_checkpoint_is_on_its_way() {
    let watched = Arc::new(Around(Watched {
        inner: Slow(Arc::new(MemoryCheckpointer::encoding())),
        now: AtomicUsize::new(0),
        peak: AtomicUsize::new(0),
        stored: AtomicUsize::new(0),
    }));
    let seen = Arc::clone(&watched);
    let graph = Lab::new("S -> a; a -> a")
        .with("a", move |_, ctx| {
            // Step n may run beside the saving of n-1, so n-2 is stored: -1, 0, … n-2.
            let stored = seen.0.stored.load(Ordering::SeqCst) as i64;
            assert!(stored >= ctx.info().step, "{stored} at step {}", ctx.info().step);
            async { Ok(S::update().push_log("a")) }
        })
        .compile();
    let bench = Bench::on(&graph, Arc::clone(&watched) as Arc<dyn Checkpointer>);
    let run = bench.run(empty()).durability(Durability::Async).recursion_limit(10);
    assert!(matches!(run.invoke().await, Err(Error::RecursionLimit { .. })));
    assert_eq!(watched.0.peak.load(Ordering::SeqCst), 1);
    assert_eq!(watched.0.stored.load(Ordering::SeqCst), 12, "the last one is stored as well");
}

/// A value that can be made, but not stored.
#[derive(Clone, Default, Deserialize, JsonSchema)]
struct Shy {
    hides: bool,
}

impl Serialize for Shy {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        if self.hides {
            return Err(serde::ser::Error::custom("it hides"));
        }
        serializer.serialize_bool(self.hides)
    }
}

#[derive(State)]
struct WithShy {
    shy: Shy,
}

#[tokio::test]
async fn t139_a_value_that_cannot_be_stored_fails_the_node_that_wrote_it() {
    let mut graph = Graph::<WithShy>::new("shy");
    graph.node("fine", |_: View<WithShy>, _: Ctx| async { Ok(()) });
    graph.node("a", |_: View<WithShy>, _: Ctx| async {
        Ok(WithShy::update().shy(Shy { hides: true }))
    });
    graph.edge(START, "fine").edge("fine", "a");
    let app =
        graph.compile().unwrap().app(()).checkpointer(Arc::new(MemoryCheckpointer::encoding()));
    let error = app.run(WithShy::update()).thread("t").invoke().await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::Unserializable { key: "shy".into() }));
    assert!(error.to_string().starts_with("node `a` failed: key `shy`: "), "{error}");
    assert!(error.to_string().contains("it hides"), "{error}");
    assert_eq!(app.state("t").await.unwrap().next, ["a"]);
}

/// Depth of the list's entry per checkpoint, oldest first.
async fn depths(checkpointer: &Arc<dyn Checkpointer>) -> Vec<u32> {
    let mut listed = checkpointer.list(&root(), &Filter::default()).await.unwrap();
    listed.reverse();
    let entry = |loaded: &Loaded| {
        loaded.checkpoint.channels.iter().find(|entry| entry.key == "log").map(|entry| entry.depth)
    };
    listed.iter().filter_map(entry).collect()
}

async fn loop_of(steps: u32) -> (Bench, Arc<dyn Checkpointer>) {
    loop_adding(steps, "").await
}

/// Every step adds its number, followed by `rest`.
async fn loop_adding(steps: u32, rest: &str) -> (Bench, Arc<dyn Checkpointer>) {
    let checkpointer: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::encoding());
    let rest = rest.to_owned();
    let graph = Lab::new("S -> a; a -> a")
        .with("a", move |s, _| {
            let line = format!("{}{rest}", s.log.len());
            async move { Ok(S::update().push_log(line)) }
        })
        .compile();
    let bench = Bench::on(&graph, Arc::clone(&checkpointer));
    assert!(bench.run(empty()).recursion_limit(steps).invoke().await.is_err());
    (bench, checkpointer)
}

fn counted(to: usize) -> Vec<String> {
    (0..to).map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn t141_a_list_is_stored_whole_only_every_so_often_and_reads_the_same_everywhere() {
    let steps = SNAPSHOT_EVERY * 2 + 50;
    let (bench, checkpointer) = loop_of(steps).await;
    let depths = depths(&checkpointer).await;
    assert_eq!(depths.len(), steps as usize);
    let whole: Vec<usize> =
        depths.iter().enumerate().filter(|(_, depth)| **depth == 0).map(|(at, _)| at).collect();
    let every = SNAPSHOT_EVERY as usize;
    assert_eq!(whole, [every, every * 2 + 1]);
    for snapshot in bench.app.history("t", &Filter::default()).await.unwrap() {
        let length = snapshot.step.unwrap().max(0) as usize;
        assert_eq!(snapshot.state().log, counted(length));
    }
    let head = checkpointer.load(&root(), None).await.unwrap().unwrap();
    assert!(head.values.iter().all(|chain| chain.len() <= CHAIN_MAX));
}

#[tokio::test]
async fn a_list_of_large_items_is_not_stored_again_to_have_it_whole() {
    let (bench, checkpointer) = loop_adding(SNAPSHOT_EVERY + 50, &"x".repeat(5000)).await;
    let depths = depths(&checkpointer).await;
    assert_eq!(depths, (1..=SNAPSHOT_EVERY + 50).collect::<Vec<_>>());
    let log = bench.log().await;
    assert_eq!(log.len(), depths.len());
    assert!(log[7].starts_with("7xxx"));
}

#[tokio::test]
async fn t142_an_overwrite_forces_a_whole_value() {
    let checkpointer: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::encoding());
    let graph = Lab::new("S -> a; a -> reset; reset -> b; b -> c")
        .with("reset", |_, _| async { Ok(S::update().set_log(vec!["reset".to_owned()])) })
        .compile();
    let bench = Bench::on(&graph, Arc::clone(&checkpointer));
    bench.invoke(empty()).await;
    assert_eq!(bench.log().await, ["reset", "b", "c"]);
    assert_eq!(depths(&checkpointer).await, [1, 0, 1, 2]);
    let head = checkpointer.load(&root(), None).await.unwrap().unwrap();
    assert!(matches!(head.values[0][0], Blob::Full(_)));
}

#[tokio::test]
async fn t143_a_fork_inside_a_chain_leaves_the_trunk_alone() {
    let (bench, _) = loop_of(8).await;
    let trunk = bench.app.state("t").await.unwrap().checkpoint.unwrap();
    let at = |step: i64| {
        let filter =
            Filter { metadata: [("step".to_owned(), json!(step))].into(), ..Filter::default() };
        let bench = &bench;
        async move { bench.app.history("t", &filter).await.unwrap()[0].checkpoint.unwrap() }
    };
    let patch = Patch::values(values(&["fork"])).as_node("a").at(at(4).await);
    bench.app.update_state("t", patch).await.unwrap();
    assert!(bench.app.resume().thread("t").recursion_limit(2).invoke().await.is_err());
    let mut forked = counted(4);
    forked.extend(["fork", "5", "6"].map(str::to_owned));
    assert_eq!(bench.log().await, forked);
    assert_eq!(bench.app.state_at("t", trunk).await.unwrap().state().log, counted(8));
}

#[tokio::test]
async fn t144_lists_of_runs_that_save_at_their_end_are_rebuilt() {
    let bench = Lab::new("S -> a; a -> b").app();
    for durability in [Durability::Exit, Durability::Exit, Durability::Sync] {
        bench.run(S::update().push_log("in")).durability(durability).invoke().await.unwrap();
    }
    let turn = ["in", "a", "b"].map(str::to_owned);
    let history = bench.app.history("t", &Filter::default()).await.unwrap();
    assert_eq!(history[0].state().log, [turn.clone(), turn.clone(), turn.clone()].concat());
    assert_eq!(history[4].state().log, [turn.clone(), turn.clone()].concat());
    assert_eq!(history[5].state().log, turn.to_vec());
}

#[tokio::test]
async fn t149_of_two_runs_on_one_thread_one_finds_the_head_moved() {
    let bench = Lab::new("S -> a; a -> b")
        .with("a", |_, _| async {
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            Ok(S::update().push_log("a"))
        })
        .app();
    bench.invoke(empty()).await;
    let (one, two) = tokio::join!(bench.run(empty()).invoke(), bench.run(empty()).invoke());
    let moved =
        [&one, &two].iter().filter(|run| matches!(run, Err(Error::HeadMoved { .. }))).count();
    assert_eq!((moved, one.is_ok() || two.is_ok()), (1, true));
    assert_eq!(bench.log().await, ["a", "b", "a", "b"]);
}

#[tokio::test]
async fn a_put_under_another_head_is_told_with_its_thread() {
    let checkpointer = MemoryCheckpointer::encoding();
    let (_, other) = loop_of(1).await;
    let loaded = other.load(&root(), None).await.unwrap().unwrap();
    let commit = Commit {
        place: Arc::new(root()),
        checkpoint: Box::new(loaded.checkpoint),
        blobs: Vec::new(),
        tasks: Vec::new(),
        expected_head: Head::Is(Some(CheckpointId(5))),
    };
    let error = Error::from(checkpointer.put(commit).await.unwrap_err());
    assert_eq!(error.to_string(), "another run continued thread t meanwhile");
}

/// Makes of any value one that cannot be stored.
fn hide(_: Shy, _: Shy) -> Shy {
    Shy { hides: true }
}

#[derive(State)]
struct Hiding {
    #[state(reducer = hide)]
    shy: Shy,
}

#[tokio::test]
async fn a_reduced_value_that_cannot_be_stored_ends_the_run_and_leaves_the_thread() {
    let mut graph = Graph::<Hiding>::new("hiding");
    graph.node("a", |_: View<Hiding>, _: Ctx| async { Ok(Hiding::update().shy(Shy::default())) });
    graph.edge(START, "a");
    let app =
        graph.compile().unwrap().app(()).checkpointer(Arc::new(MemoryCheckpointer::encoding()));
    let error = app.run(Hiding::update()).thread("t").invoke().await.unwrap_err();
    assert!(matches!(&error, Error::Unserializable(cause) if cause.key == "shy"), "{error}");
    assert_eq!(app.state("t").await.unwrap().next, ["a"]);
}
