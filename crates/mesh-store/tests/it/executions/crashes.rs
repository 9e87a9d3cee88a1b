//! What is left of runs when the process goes, and what becomes of them.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use mesh_graph::{
    CheckpointId, Checkpointer,
    checkpoint::{Place, TaskRecord},
    checkpointer::{self, Commit, Filter},
    testing::{Around, Writes},
};
use mesh_runtime::{
    Error, Ledger, Scope, Start, Tx,
    ledger::{Operation, Rider},
    log::Kind,
    run::RunStatus,
    runs::{Cause, RunQuery, transition},
};
use mesh_store::Sqlite;
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;

use super::{
    House, Stage, asked, check_log, read,
    rerouted::{self, Rerouted},
};

#[tokio::test]
async fn after_a_crash_the_run_goes_on_and_no_finished_task_runs_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    let stage: Arc<Stage> = Arc::default();
    stage.close("b");
    let house = House::open(path.clone(), &stage).await;
    let run = house.create(asked(&["x"], &["values", "updates"])).await;
    // `c` is done and stored when its update is on the log.
    let mut follow = house.follow(&run, Start::Beginning).await;
    loop {
        let entry = follow.next().await.unwrap().unwrap();
        if entry.node.as_deref() == Some("c") {
            break;
        }
    }
    drop(follow);
    let before = house.log("t").await;
    house.crash().await;

    stage.open("b");
    let house = House::open(path, &stage).await;
    let end = house.runtime.ended("t", run.id).await.unwrap();
    assert_eq!(end.status, RunStatus::Success);
    let values: Json = serde_json::from_slice(&end.values.unwrap()).unwrap();
    assert_eq!(values, json!({ "trail": ["x", "a", "b", "c", "d"] }));
    assert_eq!((stage.count("a"), stage.count("b"), stage.count("c")), (1, 2, 1));
    let log = house.log("t").await;
    assert_eq!(log[..before.len()], before, "what was read stays");
    check_log(&log);
    let attempts: Vec<_> = log.iter().filter(|entry| entry.kind == Kind::Begun).collect();
    assert_eq!(attempts.iter().map(|entry| entry.step).collect::<Vec<_>>(), [1, 2]);
    let told = log.iter().filter(|entry| entry.kind.name() == "updates");
    let nodes: Vec<_> = told.map(|entry| entry.node.clone().unwrap().to_string()).collect();
    assert_eq!(nodes, ["a", "c", "b", "d"], "each update is told once");
    assert_eq!(read(house.follow(&run, Start::Beginning).await).await, log);
    house.stop().await;
}

#[tokio::test]
async fn a_run_has_one_recursion_limit_whichever_of_its_executions_takes_the_steps() {
    for (limit, expected) in [(2, RunStatus::Error), (3, RunStatus::Success)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("runs.db");
        let stage: Arc<Stage> = Arc::default();
        stage.close("b");
        let house = House::open(path.clone(), &stage).await;
        let mut new = asked(&["x"], &["values"]);
        new.config.insert("recursion_limit".to_owned(), json!(limit));
        let run = house.create(new).await;
        stage.reached().await;
        house.crash().await;

        stage.open("b");
        let house = House::open(path, &stage).await;
        let end = house.runtime.ended("t", run.id).await.unwrap();
        assert_eq!(end.status, expected, "limit {limit}");
        let last_runs = usize::from(expected == RunStatus::Success);
        assert_eq!((stage.count("a"), stage.count("d")), (1, last_runs), "limit {limit}");
        house.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_stops_hands_its_runs_over_between_two_steps() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    let stage: Arc<Stage> = Arc::default();
    stage.close("a");
    let house = House::open(path.clone(), &stage).await;
    let run = house.create(asked(&["x"], &["values", "updates"])).await;
    stage.reached().await;
    let stopping = house.stop.clone();
    stopping.cancel();
    // The step that runs may end, and the next one is somebody else's.
    tokio::join!(house.stop(), async {
        tokio::task::yield_now().await;
        stage.open("a");
    });

    let house = House::open(path, &stage).await;
    let end = house.runtime.ended("t", run.id).await.unwrap();
    assert_eq!(end.status, RunStatus::Success);
    assert_eq!(["a", "b", "c", "d"].map(|node| stage.count(node)), [1, 1, 1, 1]);
    let log = house.log("t").await;
    check_log(&log);
    let begun = log.iter().filter(|entry| entry.kind == Kind::Begun).count();
    assert_eq!(begun, 1, "being handed over is no new attempt");
    assert_eq!(house.status(&run).await, RunStatus::Success);
    house.stop().await;
}

/// A ledger of a process that stops at one of its writes: that one and all later ones fail.
pub(super) struct Stopping {
    pub(super) inner: Arc<dyn Ledger>,
    pub(super) stop: Arc<Stop>,
}

pub(super) struct Stop {
    pub(super) at: usize,
    /// The write takes effect, and nobody hears of it.
    pub(super) late: bool,
    pub(super) writes: AtomicUsize,
    pub(super) reached: Semaphore,
}

impl Stop {
    /// Whether this write takes effect, and whether that is told.
    fn next(&self) -> (bool, bool) {
        let write = self.writes.fetch_add(1, Ordering::SeqCst);
        if write >= self.at {
            self.reached.add_permits(1);
        }
        (write < self.at || (write == self.at && self.late), write < self.at)
    }
}

#[async_trait]
impl rerouted::Writes for Stopping {
    fn inner(&self) -> &Arc<dyn Ledger> {
        &self.inner
    }

    async fn run_write(&self, operation: Operation) -> Result<Box<dyn Any + Send>, Error> {
        let (done, told) = self.stop.next();
        let given = if done { Some(self.inner.run_write(operation).await) } else { None };
        given.filter(|_| told).unwrap_or_else(|| Err(Error::Storage("stopped".into())))
    }

    fn checkpointer_with(&self, rider: Arc<dyn Rider>) -> Arc<dyn Checkpointer> {
        let inner = self.inner.checkpointer_with(rider);
        Arc::new(Around(StoppingCheckpointer { inner, stop: Arc::clone(&self.stop) }))
    }
}

struct StoppingCheckpointer {
    inner: Arc<dyn Checkpointer>,
    stop: Arc<Stop>,
}

fn stopped() -> checkpointer::Error {
    checkpointer::Error::Storage("stopped".into())
}

#[async_trait]
impl Writes for StoppingCheckpointer {
    fn inner(&self) -> &dyn Checkpointer {
        &*self.inner
    }

    async fn put(&self, commit: Commit) -> Result<(), checkpointer::Error> {
        let (done, told) = self.stop.next();
        let given = if done { self.inner.put(commit).await } else { Ok(()) };
        if told { given } else { Err(stopped()) }
    }

    async fn put_task(
        &self,
        place: &Place,
        checkpoint: CheckpointId,
        record: TaskRecord,
    ) -> Result<(), checkpointer::Error> {
        let (done, told) = self.stop.next();
        let given =
            if done { self.inner.put_task(place, checkpoint, record).await } else { Ok(()) };
        if told { given } else { Err(stopped()) }
    }
}

/// Stops a process at a write while it makes and executes a run, and lets another one go on.
/// Returns whether the write was reached before the run had ended.
async fn stop_at(at: usize, late: bool) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    let stage: Arc<Stage> = Arc::default();
    let stop = Arc::new(Stop { at, late, writes: AtomicUsize::new(0), reached: Semaphore::new(0) });
    let database = Sqlite::open(path.clone()).await.unwrap();
    let ledger = Arc::new(Rerouted(Stopping { inner: database.ledger(), stop: Arc::clone(&stop) }));
    let house = House::on(database, ledger, &stage);
    let made = house.runtime.create_run(&Scope::All, asked(&["x"], &["values", "updates"])).await;
    let reached = if let Ok(run) = made {
        tokio::select! {
            _ = house.runtime.ended("t", run.id) => false,
            reached = stop.reached.acquire() => reached.is_ok(),
        }
    } else {
        true
    };
    let before = house.log("t").await;
    house.crash().await;

    let house = House::open(path, &stage).await;
    let found =
        house.runtime.runs(&Scope::All, "t", &RunQuery { status: None, limit: 2, offset: 0 });
    let run = match found.await {
        Ok(found) => {
            assert_eq!(found.len(), 1);
            found.into_iter().next().unwrap()
        }
        Err(_) => house.create(asked(&["x"], &["values", "updates"])).await,
    };
    let end = house.runtime.ended("t", run.id).await.unwrap();
    assert_eq!(end.status, RunStatus::Success, "at {at} {late}");
    let values: Json = serde_json::from_slice(&end.values.unwrap()).unwrap();
    assert_eq!(values, json!({ "trail": ["x", "a", "b", "c", "d"] }), "at {at} {late}");
    let log = house.log("t").await;
    assert_eq!(log[..before.len()], before, "what was read stays, at {at} {late}");
    check_log(&log);
    let told = log.iter().filter(|entry| entry.kind.name() == "updates");
    let mut nodes: Vec<_> = told.map(|entry| entry.node.clone().unwrap().to_string()).collect();
    nodes.sort();
    assert_eq!(nodes, ["a", "b", "c", "d"], "each update is told once, at {at} {late}");
    let place = Place { thread: "t".to_owned(), ns: String::new() };
    let checkpointer = house.runtime.ledger().checkpointer();
    let all = checkpointer.list(&place, &Filter::default()).await.unwrap();
    let steps: Vec<i64> = all.iter().map(|one| one.checkpoint.step).collect();
    assert_eq!(steps, [3, 2, 1, 0, -1], "each step once, at {at} {late}");
    house.stop().await;
    reached
}

#[tokio::test]
async fn a_process_may_stop_at_any_of_its_writes() {
    for late in [false, true] {
        let mut at = 0;
        while stop_at(at, late).await {
            at += 1;
        }
        assert!(at > 5, "the run has several writes");
    }
}

#[tokio::test]
async fn an_execution_that_lost_its_run_changes_nothing_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    let stage: Arc<Stage> = Arc::default();
    stage.close("b");
    let house = House::open(path.clone(), &stage).await;
    let run = house.create(asked(&["x"], &["values", "updates"])).await;
    stage.reached().await;
    let (id, now) = (run.id, house.runtime.now());
    let forced = Cause::Cancelled { state: None, forced: true };
    let taken = move |tx: &mut dyn Tx| {
        let mut run = tx.run(id)?.ok_or(Error::NoRun(id))?;
        transition(tx, now, &mut run, &forced, Vec::new())
    };
    house.runtime.ledger().write(taken).await.unwrap();
    let before = house.log("t").await;
    assert_eq!(before.last().unwrap().kind, Kind::Ended);
    stage.open("b");
    house.stop().await;

    let house = House::open(path, &stage).await;
    assert_eq!(house.log("t").await, before);
    assert_eq!(house.status(&run).await, RunStatus::Interrupted);
    let place = Place { thread: "t".to_owned(), ns: String::new() };
    let head = house.runtime.ledger().checkpointer().load(&place, None).await.unwrap();
    assert_eq!(head.unwrap().checkpoint.step, 1, "the step that was under way is not stored");
    house.stop().await;
}
