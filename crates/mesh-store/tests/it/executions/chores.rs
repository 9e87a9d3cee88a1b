//! Stops of the process at any write of a chore: threads that are removed, crons that fire.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicUsize},
};

use mesh_graph::env::SystemEnv;
use mesh_runtime::{
    Error, Runtime, Scope, Stamp,
    cron::{self, NewCron},
    run::RunStatus,
    runs::NewRun,
};
use mesh_store::Sqlite;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{
    House, asked,
    crashes::{Stop, Stopping},
    graphs,
    rerouted::Rerouted,
};
use crate::runs::{assistant, on};

/// A server without a worker, whose process stops at this write.
async fn stopping(path: &Path, at: usize, late: bool) -> (Runtime, Arc<Stop>, Sqlite) {
    let stop = Arc::new(Stop { at, late, writes: AtomicUsize::new(0), reached: Semaphore::new(0) });
    let database = Sqlite::open(path).await.unwrap();
    let ledger = Arc::new(Rerouted(Stopping { inner: database.ledger(), stop: Arc::clone(&stop) }));
    (Runtime::new(ledger, graphs(&Arc::default()), Arc::new(SystemEnv)), stop, database)
}

fn count(path: &Path, sql: &str) -> i64 {
    let file = rusqlite::Connection::open(path).unwrap();
    file.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Says whether the write was reached.
async fn stop_removing(at: usize, late: bool) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    let house = House::open(path.clone(), &Arc::default()).await;
    let input = asked(&["x"], &["values"]);
    let kept = house.create(NewRun { input: input.input.clone(), ..on("u") }).await;
    let gone = house.create(input).await;
    for run in [&kept, &gone] {
        house.runtime.ended(&run.thread, run.id).await.unwrap();
    }
    house.stop().await;

    let (runtime, stop, database) = stopping(&path, at, late).await;
    let removed = runtime.delete_thread(&Scope::All, "t").await;
    assert_eq!(removed.is_ok(), stop.reached.available_permits() == 0, "at {at} {late}");
    drop(runtime);
    database.close().await;

    let house = House::open(path.clone(), &Arc::default()).await;
    match house.runtime.delete_thread(&Scope::All, "t").await {
        Ok(()) => assert!(removed.is_err(), "what was removed is not there, at {at} {late}"),
        Err(error) => assert!(matches!(error, Error::NoThread(_)), "{error}, at {at} {late}"),
    }
    while house.runtime.clear_graves().await.unwrap() {}
    assert_eq!(house.status(&kept).await, RunStatus::Success, "at {at} {late}");
    assert!(house.runtime.run(&Scope::All, None, gone.id).await.is_err(), "at {at} {late}");
    house.stop().await;
    for (sql, left) in [
        ("SELECT count(*) FROM threads WHERE id <> 'u'", 0),
        ("SELECT count(*) FROM places WHERE thread <> 'u'", 0),
        ("SELECT count(*) FROM runs", 1),
        ("SELECT count(DISTINCT thread) FROM log", 1),
        ("SELECT count(*) FROM thread_values", 1),
        ("SELECT count(*) FROM blobs WHERE place NOT IN (SELECT place FROM places)", 0),
        ("SELECT count(*) FROM tasks WHERE place NOT IN (SELECT place FROM places)", 0),
    ] {
        assert_eq!(count(&path, sql), left, "{sql}, at {at} {late}");
    }
    removed.is_err()
}

#[tokio::test]
async fn a_process_may_stop_at_any_write_of_a_removal() {
    for late in [false, true] {
        let mut at = 0;
        while stop_removing(at, late).await {
            at += 1;
        }
        assert!(at >= 2, "marking, and taking away");
    }
}

/// Says whether the write was reached.
async fn stop_firing(at: usize, late: bool) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    let database = Sqlite::open(&path).await.unwrap();
    // Since 1970 it has been due once a year.
    let new = NewCron {
        id: Uuid::from_u128(7),
        assistant: assistant().id,
        schedule: "0 0 1 1 *".to_owned(),
        enabled: true,
        ..NewCron::default()
    };
    let make = move |tx: &mut dyn mesh_runtime::Tx| {
        tx.insert_assistant(&assistant())?;
        cron::create(tx, Stamp(1), &Scope::All, new)
    };
    database.ledger().write(make).await.unwrap();
    database.close().await;

    let (runtime, _, database) = stopping(&path, at, late).await;
    let fired = runtime.fire_crons().await;
    drop(runtime);
    database.close().await;

    let house = House::open(path.clone(), &Arc::default()).await;
    house.runtime.fire_crons().await.unwrap();
    house.stop().await;
    for sql in ["SELECT count(*) FROM cron_fires", "SELECT count(*) FROM runs"] {
        assert_eq!(count(&path, sql), 1, "{sql}, at {at} {late}");
    }
    fired.is_err()
}

#[tokio::test]
async fn a_process_may_stop_at_any_write_of_a_cron_that_fires() {
    for late in [false, true] {
        let mut at = 0;
        while stop_firing(at, late).await {
            at += 1;
        }
        assert!(at >= 1, "firing is a write");
    }
}
