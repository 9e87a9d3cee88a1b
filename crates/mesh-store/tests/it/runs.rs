//! The machine of runs on real rows: every change it allows, and what others see of it.

mod bounds;
mod ending;
mod handle;
mod meeting;
mod storm;
mod turns;

pub(crate) use storm::Draws;

use std::sync::Arc;

use bytes::Bytes;
use mesh_runtime::{
    Assistant, Error, Ledger, Policy, Run, Scope, Stamp, Tx, invariants,
    log::{Entry, Kind},
    run::{Multitask, RunStatus},
    runs::{self, Cause, Claim, Created, Ids, NewRun, Now, RunQuery, State, Target, Told},
    thread::ThreadStatus,
};
use mesh_store::{Sqlite, Synchronous};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

/// Milliseconds that a claim holds here.
pub(crate) const LEASE: i64 = 10_000;

/// A ledger in a new database, and a clock that is set by hand.
pub(crate) struct World {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) ms: i64,
    policy: Policy,
    changes: i64,
    ids: u128,
    directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Nothing here is about losing power.
        let path = directory.path().join("runs.db");
        let database = Sqlite::open_with(path, Synchronous::Normal).await.unwrap();
        Self {
            ledger: database.ledger(),
            ms: 1000,
            policy: Policy::default(),
            changes: 0,
            ids: 0,
            directory,
        }
    }

    /// One whose rows are in memory.
    fn in_memory() -> Self {
        let ledger = Sqlite::in_memory().unwrap().ledger();
        let directory = tempfile::tempdir().unwrap();
        Self { ledger, ms: 1000, policy: Policy::default(), changes: 0, ids: 0, directory }
    }

    pub(crate) fn now(&mut self) -> Now {
        self.changes += 1;
        Now { at: Stamp(self.ms * 1000 + self.changes), ms: self.ms }
    }

    pub(crate) fn id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    pub(crate) async fn write<T: Send + 'static>(
        &mut self,
        operation: impl FnOnce(&mut dyn Tx, Now) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let now = self.now();
        self.ledger.write(move |tx| operation(tx, now)).await
    }

    pub(crate) async fn try_create(
        &mut self,
        new: NewRun,
        claim: Option<Claim>,
    ) -> Result<Created, Error> {
        let ids = Ids { run: self.id(), thread: self.id() };
        let policy = self.policy;
        self.write(move |tx, now| runs::create(tx, now, &Scope::All, ids, new, claim, &policy))
            .await
    }

    /// A run on thread `t`, which is made if need be.
    pub(crate) async fn create(&mut self) -> Run {
        self.try_create(on("t"), None).await.unwrap().run
    }

    /// As [`World::create`], and a worker takes it.
    pub(crate) async fn running(&mut self) -> Run {
        let claim = offer();
        let created = self.try_create(on("t"), Some(claim)).await.unwrap();
        assert!(created.is_claimed);
        created.run
    }

    pub(crate) async fn claim_all(&mut self) -> Vec<Run> {
        let claim = offer();
        self.write(move |tx, now| runs::claim(tx, now, claim, 100)).await.unwrap()
    }

    pub(crate) async fn finish(&mut self, run: &Run, cause: Cause) -> Result<Told, Error> {
        let mut run = run.clone();
        self.write(move |tx, now| runs::finish(tx, now, &mut run, cause, Vec::new())).await
    }

    pub(crate) async fn reap(&mut self, run: &Run) -> Told {
        let id = run.id;
        self.write(move |tx, now| runs::reap(tx, now, id)).await.unwrap()
    }

    pub(crate) async fn find(&self, run: &Run) -> Option<Run> {
        let id = run.id;
        self.ledger.read(move |tx| tx.run(id)).await.unwrap()
    }

    /// The run as it is stored now.
    pub(crate) async fn fresh(&self, run: &Run) -> Run {
        self.find(run).await.unwrap()
    }

    pub(crate) async fn status(&self, run: &Run) -> RunStatus {
        self.fresh(run).await.status
    }

    pub(crate) async fn thread(&self) -> ThreadStatus {
        self.ledger.read(|tx| tx.head("t")).await.unwrap().unwrap().status
    }

    /// The rows behind the ledger's back.
    pub(crate) fn file(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.directory.path().join("runs.db")).unwrap()
    }

    /// What waits to be sent: of which run, where to, and what.
    pub(crate) fn letters(&self) -> Vec<(Uuid, String, Vec<u8>)> {
        let file = self.file();
        let mut query = file.prepare("SELECT run, target, body FROM outbox").unwrap();
        let read =
            |row: &rusqlite::Row<'_>| Ok((Uuid::from_bytes(row.get(0)?), row.get(1)?, row.get(2)?));
        query.query_map([], read).unwrap().map(Result::unwrap).collect()
    }

    /// Holds all rules against what is stored.
    pub(crate) async fn check(&self) {
        let now = Stamp(self.ms * 1000);
        let violations = self.ledger.read(move |tx| invariants::check(tx, now)).await.unwrap();
        assert!(violations.is_empty(), "{violations:?} after {} changes", self.changes);
    }

    /// How the runs of thread `t` ended, as its log has it.
    pub(crate) async fn ends(&self) -> Vec<(Uuid, Json)> {
        let entries = self.ledger.read(|tx| tx.entries("t", 0, 1000)).await.unwrap();
        let ends = entries.into_iter().filter(|entry| entry.kind == Kind::Ended);
        ends.map(|entry| (entry.run, serde_json::from_slice(&entry.data).unwrap())).collect()
    }
}

/// What a worker with room offers.
pub(crate) fn offer() -> Claim {
    Claim { worker: Uuid::from_u128(0xa), lease_ms: LEASE, time_limit_ms: None }
}

pub(crate) fn assistant() -> Arc<Assistant> {
    Arc::new(Assistant {
        id: Uuid::from_u128(0xa5),
        graph: "agent".to_owned(),
        config: Map::new(),
        context: json!({}),
        metadata: Map::new(),
        name: "agent".to_owned(),
        description: None,
        created_at: Stamp(0),
        updated_at: Stamp(0),
        version: 1,
        owner: None,
    })
}

/// A run on a thread, which is made if need be.
pub(crate) fn on(thread: &str) -> NewRun {
    NewRun::new(assistant(), Target::Thread { id: thread.to_owned(), make: true })
}

pub(crate) fn meeting(multitask: Multitask) -> NewRun {
    NewRun { multitask, ..on("t") }
}

pub(crate) fn state(unfinished: bool) -> State {
    State {
        values: Bytes::from_static(b"{\"x\":1}"),
        interrupts: Map::new(),
        unfinished,
        breakpoint: false,
    }
}

pub(crate) fn done() -> Cause {
    Cause::Done(state(false))
}

pub(crate) fn failed() -> Cause {
    Cause::Failed { error: json!({ "error": "ValueError", "message": "Boo!" }), state: None }
}

pub(crate) fn cancelled() -> Cause {
    Cause::Cancelled { state: None, forced: false }
}
