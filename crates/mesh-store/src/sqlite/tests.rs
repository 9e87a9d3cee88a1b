//! What cannot be seen through the storage traits: groups, bounds and a full disk.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::sync_channel,
    },
    task::Poll,
};

use futures::{FutureExt, future::join_all};
use mesh_graph::{
    CheckpointId, TaskId,
    checkpoint::{Place, TaskPath, TaskRecord},
};
use rusqlite::Connection;
use tempfile::TempDir;

use mesh_runtime::{
    Stamp,
    cron::CronRows,
    outbox::OutboxRows,
    run::RunStatus,
    runs::{Now, RunRows},
};

use super::{ledger::Rows, *};

async fn open() -> (Sqlite, TempDir) {
    open_with(Synchronous::Full).await
}

async fn open_with(synchronous: Synchronous) -> (Sqlite, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    let database = Sqlite::open_with(path, synchronous).await.unwrap();
    database
        .write(|connection: &Connection| -> Result<(), Fault<Error>> {
            Ok(connection.execute_batch("CREATE TABLE marks (mark INTEGER)")?)
        })
        .await
        .unwrap();
    (database, directory)
}

/// Writes a mark, then fails if it is odd.
async fn mark(database: &Sqlite, mark: i64) -> Result<(), Error> {
    database
        .write(move |connection| {
            connection.prepare_cached("INSERT INTO marks VALUES (?)")?.execute([mark])?;
            if mark % 2 == 1 {
                return Err(Fault::Refused(Error::Foreign { path: PathBuf::from("odd") }));
            }
            Ok(())
        })
        .await
}

async fn marks(database: &Sqlite) -> i64 {
    database
        .read(|connection| -> Result<i64, Fault<Error>> {
            Ok(connection.query_row("SELECT count(*) FROM marks", [], |row| row.get(0))?)
        })
        .await
        .unwrap()
}

/// Keeps the writer busy until the returned function is called.
fn hold(database: &Sqlite) -> (impl Future<Output = ()>, impl FnOnce()) {
    let (release, held) = sync_channel::<()>(1);
    let database = database.clone();
    let holding = async move {
        database
            .write(move |_| -> Result<(), Fault<Error>> {
                held.recv().unwrap();
                Ok(())
            })
            .await
            .unwrap();
    };
    (holding, move || release.send(()).unwrap())
}

#[tokio::test]
async fn a_closed_file_can_be_opened_while_somebody_has_a_copy_of_its_lock() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    let lock = lock(&path).unwrap();
    // As a process has it that is being started meanwhile.
    let copy = lock.try_clone().unwrap();
    let connection = connect(&path, Some(Synchronous::Full)).unwrap();
    let readers = |path, _: &Arc<Desk>| Readers::new(path);
    let database =
        Sqlite::start(path.clone(), connection, Synchronous::Full, Some(lock), readers).unwrap();
    assert!(matches!(Sqlite::open(path.clone()).await, Err(Error::InUse { .. })));
    database.close().await;
    Sqlite::open(path).await.unwrap().close().await;
    drop(copy);
}

#[tokio::test]
async fn a_refused_operation_takes_only_its_own_changes_with_it() {
    let (database, _directory) = open().await;
    let (holding, release) = hold(&database);
    let mut holding = Box::pin(holding);
    assert!(futures::poll!(&mut holding).is_pending());
    let mut writes = Box::pin(join_all((0..10).map(|number| mark(&database, number))));
    assert!(futures::poll!(&mut writes).is_pending());
    release();
    holding.await;
    for (number, result) in writes.await.into_iter().enumerate() {
        assert_eq!(result.is_ok(), number % 2 == 0, "{number}: {result:?}");
    }
    assert_eq!(marks(&database).await, 5);
}

#[tokio::test]
async fn a_commit_that_need_not_wait_for_the_disk_is_done_at_once() {
    let (database, _directory) = open_with(Synchronous::Normal).await;
    assert!(matches!(futures::poll!(Box::pin(mark(&database, 2))), Poll::Ready(Ok(()))));
    assert!(matches!(futures::poll!(Box::pin(mark(&database, 3))), Poll::Ready(Err(_))));
    assert_eq!(marks(&database).await, 1, "a refused operation leaves nothing behind");
    let mut waiting = Box::pin(mark(&database, 4));
    {
        let _busy = database.inner.desk.hold();
        assert!((&mut waiting).now_or_never().is_none(), "the connection is busy");
    }
    waiting.await.unwrap();
    assert_eq!(marks(&database).await, 2);
}

#[tokio::test]
async fn a_place_is_known_until_somebody_changes_it() {
    for sql in ["UPDATE places SET thread = 'buried'", "DELETE FROM places WHERE thread = 't'"] {
        let (database, _directory) = open().await;
        let checkpointer = database.checkpointer();
        let place = Place { thread: "t".to_owned(), ns: String::new() };
        let record = |task| TaskRecord::new(TaskId(task), "a", TaskPath::Push(0));
        checkpointer.put_task(&place, CheckpointId(1), record(1)).await.unwrap();
        let known = database.inner.known.get(&place).map(|standing| standing.place);
        assert_eq!(known, Some(1));
        let change = database.write(move |connection| -> Result<(), Fault<Error>> {
            connection.execute(sql, [])?;
            connection.execute("INSERT INTO places (thread, ns) VALUES ('other', '')", [])?;
            Ok(())
        });
        change.await.unwrap();
        assert!(database.inner.known.get(&place).is_none(), "{sql}");
        checkpointer.put_task(&place, CheckpointId(1), record(2)).await.unwrap();
        let number = database.inner.known.get(&place).unwrap().place;
        let thread = database.read(move |connection| -> Result<String, Fault<Error>> {
            let sql = "SELECT thread FROM places WHERE place = ?";
            Ok(connection.query_row(sql, [number], |row| row.get(0))?)
        });
        assert_eq!(thread.await.unwrap(), "t");
    }
}

#[tokio::test]
async fn an_operation_that_panics_closes_the_database() {
    for synchronous in [Synchronous::Full, Synchronous::Normal] {
        let (database, _directory) = open_with(synchronous).await;
        let panics = database.write(|connection| -> Result<(), Fault<Error>> {
            connection.execute("INSERT INTO marks VALUES (2)", [])?;
            panic!("as a test")
        });
        let ended = AssertUnwindSafe(panics).catch_unwind().await;
        assert!(!matches!(ended, Ok(Ok(()))));
        assert!(matches!(mark(&database, 4).await, Err(Error::Closed { .. })));
        let path = database.path().to_path_buf();
        drop(database);
        assert_eq!(marks(&Sqlite::open(path).await.unwrap()).await, 0, "nothing of it is there");
    }
}

#[tokio::test]
async fn the_write_ahead_log_is_copied_before_it_is_too_long() {
    for synchronous in [Synchronous::Full, Synchronous::Normal] {
        let (database, directory) = open_with(synchronous).await;
        for _ in 0..60 {
            let write = database.write(|connection| -> Result<(), Fault<Error>> {
                connection.execute("INSERT INTO marks SELECT zeroblob(1000000)", [])?;
                Ok(())
            });
            write.await.unwrap();
        }
        assert_eq!(marks(&database).await, 60);
        let log = std::fs::metadata(directory.path().join("test.db-wal")).unwrap().len();
        assert!(log < 30_000_000, "{log}");
    }
}

#[tokio::test]
async fn a_full_queue_makes_the_caller_wait() {
    let (database, _directory) = open().await;
    let (holding, release) = hold(&database);
    let mut holding = Box::pin(holding);
    assert!(futures::poll!(&mut holding).is_pending());
    let Some(writer) = database.inner.writer.clone() else { unreachable!() };
    let count = WRITE_QUEUE as i64 + 8;
    let mut writes: Vec<_> =
        (0..count).map(|number| Box::pin(mark(&database, number * 2))).collect();
    for write in &mut writes {
        assert!(futures::poll!(write).is_pending());
    }
    assert_eq!(writer.capacity(), 0);
    drop(writer);
    release();
    holding.await;
    for result in join_all(writes).await {
        result.unwrap();
    }
    assert_eq!(marks(&database).await, count);
}

#[tokio::test]
async fn a_full_disk_is_told_and_writing_works_again_when_there_is_room() {
    let (database, _directory) = open().await;
    mark(&database, 2).await.unwrap();
    let pages = |pages: i64| {
        database.write(move |connection| -> Result<(), Fault<Error>> {
            connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
            Ok(())
        })
    };
    pages(1).await.unwrap();
    let large = || {
        database.write(|connection| -> Result<(), Fault<Error>> {
            connection.execute("INSERT INTO marks SELECT zeroblob(1000000)", [])?;
            Ok(())
        })
    };
    let error = large().await.unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
    assert!(error.to_string().contains("test.db"), "{error}");
    assert_eq!(marks(&database).await, 1, "reading goes on");
    pages(1_000_000).await.unwrap();
    large().await.unwrap();
    assert_eq!(marks(&database).await, 2);
}

#[tokio::test]
async fn what_waits_when_the_last_handle_goes_is_committed() {
    let (database, directory) = open().await;
    let (holding, release) = hold(&database);
    let mut holding = Box::pin(holding);
    assert!(futures::poll!(&mut holding).is_pending());
    {
        let mut writes = Box::pin(join_all((0..50).map(|number| mark(&database, number * 2))));
        assert!(futures::poll!(&mut writes).is_pending());
    }
    let path = database.path().to_path_buf();
    release();
    drop(holding);
    drop(database);
    let again = Sqlite::open(path).await.unwrap();
    assert_eq!(marks(&again).await, 50);
    drop(directory);
}

#[tokio::test]
async fn a_read_sees_writes_whose_caller_went_away() {
    let (database, _directory) = open().await;
    let (holding, release) = hold(&database);
    let mut holding = Box::pin(holding);
    assert!(futures::poll!(&mut holding).is_pending());
    {
        let mut abandoned = Box::pin(mark(&database, 2));
        assert!(futures::poll!(&mut abandoned).is_pending());
    }
    let mut reading = Box::pin(marks(&database));
    assert!(futures::poll!(&mut reading).is_pending());
    release();
    assert_eq!(reading.await, 1);
    holding.await;
}

#[tokio::test]
async fn a_closed_database_refuses_and_its_file_is_free() {
    let (database, _directory) = open().await;
    let clone = database.clone();
    mark(&clone, 2).await.unwrap();
    database.close().await;
    assert!(matches!(mark(&clone, 4).await, Err(Error::Closed { .. })));
    let read = clone.read(|_| -> Result<(), Fault<Error>> { Ok(()) }).await;
    assert!(matches!(read, Err(Error::Closed { .. })));
    let again = Sqlite::open(clone.path()).await.unwrap();
    assert_eq!(marks(&again).await, 1);
}

#[tokio::test]
async fn readers_cannot_write() {
    let (database, _directory) = open().await;
    let write = database
        .read(|connection| -> Result<(), Fault<Error>> {
            Ok(connection.execute_batch("INSERT INTO marks VALUES (1)")?)
        })
        .await;
    assert!(matches!(write, Err(Error::ReadOnly { .. })), "{write:?}");
}

#[tokio::test]
async fn connections_have_the_settings_that_durability_rests_on() {
    let (database, _directory) = open().await;
    let settings = |connection: &Connection| -> Result<Vec<String>, Fault<Error>> {
        let names = ["journal_mode", "synchronous", "foreign_keys", "busy_timeout", "mmap_size"];
        let mut settings = Vec::new();
        for name in names {
            let value = connection.query_row(&format!("PRAGMA {name}"), [], |row| {
                row.get::<_, rusqlite::types::Value>(0)
            })?;
            settings.push(format!("{name} {value:?}"));
        }
        Ok(settings)
    };
    assert_eq!(
        database.write(settings).await.unwrap(),
        [
            "journal_mode Text(\"wal\")",
            "synchronous Integer(2)",
            "foreign_keys Integer(1)",
            "busy_timeout Integer(5000)",
            "mmap_size Integer(0)",
        ]
    );
}

#[test]
fn errors_are_sorted_by_what_can_be_done() {
    let of = |code| {
        Error::of(
            PathBuf::from("x.db"),
            rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None),
        )
    };
    assert!(matches!(of(rusqlite::ffi::SQLITE_FULL), Error::DiskFull { .. }));
    assert!(matches!(of(rusqlite::ffi::SQLITE_READONLY), Error::ReadOnly { .. }));
    assert!(matches!(of(rusqlite::ffi::SQLITE_CORRUPT), Error::Corrupt { .. }));
    assert!(matches!(of(rusqlite::ffi::SQLITE_NOTADB), Error::Corrupt { .. }));
    assert!(matches!(of(rusqlite::ffi::SQLITE_IOERR_FSYNC), Error::Unconfirmed { .. }));
    assert!(matches!(of(rusqlite::ffi::SQLITE_IOERR), Error::Sqlite { .. }));
}

#[tokio::test]
async fn a_search_below_a_prefix_reads_no_other_items() {
    let (database, _directory) = open().await;
    let plan = database
        .read(|connection| -> Result<Vec<String>, Fault<Error>> {
            let mut statement =
                connection.prepare(&format!("EXPLAIN QUERY PLAN {}", items::BELOW))?;
            let rows = statement.query_map(("a.", "a/", 0), |row| row.get(3))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
        .unwrap();
    assert!(plan.iter().all(|line| !line.contains("SCAN")), "{plan:#?}");
    assert!(plan.iter().any(|line| line.contains("namespace>? AND namespace<?")), "{plan:#?}");
}

/// What a server asks again and again.
fn look_for_work(rows: &mut Rows<'_>) {
    let now = Now { at: Stamp(1000), ms: 1000 };
    assert!(rows.due_runs(now.at, 32).unwrap().is_empty());
    assert_eq!(rows.next_due(now.at).unwrap(), Some(Stamp(5000)));
    assert!(rows.overdue_runs(now, 100).unwrap().is_empty());
    assert!(
        rows.open_ids(
            Some(RunStatus::Running),
            None,
            now.at,
            mesh_runtime::run::CancelAction::Interrupt,
            100
        )
        .unwrap()
        .is_empty()
    );
    assert_eq!(rows.count_open_runs().unwrap().pending, 20);
    assert!(rows.due_letters(now.at, 16).unwrap().is_empty());
    assert_eq!(rows.next_letter().unwrap(), None);
    assert!(rows.due_crons(now.at, 16).unwrap().is_empty());
}

#[test]
fn looking_for_work_does_not_take_longer_the_more_was_done() {
    let mut looks = Vec::new();
    for done in [500, 5000] {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::configure(&connection, Some(Synchronous::Normal)).unwrap();
        schema::make(&mut connection, Path::new("test")).unwrap();
        let all = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?)";
        let thread = format!(
            "{all} INSERT INTO threads (id, created_at, updated_at, state_updated_at, status, \
                 metadata_json, config_json) SELECT 't' || n, 1, 1, 1, 'idle', '{{}}', '{{}}' FROM n"
        );
        connection.execute(&thread, [done + 20]).unwrap();
        // The last ones are not due yet.
        let run = format!(
            "{all} INSERT INTO runs (id, thread, assistant, graph, status, multitask, \
                 created_at, updated_at, not_before, metadata_json, doc) \
                 SELECT cast(printf('%016d', n) AS BLOB), n, x'', 'g', \
                 iif(n > ?2, 'pending', 'success'), 'enqueue', n, 1, iif(n > ?2, 5000, NULL), \
                 '{{}}', '{{}}' FROM n"
        );
        connection.execute(&run, (done + 20, done)).unwrap();
        let letter = format!(
            "{all} INSERT INTO outbox (id, run, target, body, next_at, created_at, state) \
                 SELECT cast(printf('%016d', n) AS BLOB), x'', '', x'', 1, 1, 'delivered' FROM n"
        );
        connection.execute(&letter, [done]).unwrap();
        let steps = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&steps);
        connection
            .progress_handler(
                10,
                Some(move || {
                    counted.fetch_add(10, Ordering::Relaxed);
                    false
                }),
            )
            .unwrap();
        look_for_work(&mut Rows::new(&connection));
        looks.push(steps.load(Ordering::Relaxed));
    }
    // Ten times as much was done.
    assert!(looks[0] > 0 && looks[1] < 2 * looks[0], "{looks:?}");
}
