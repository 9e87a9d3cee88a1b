//! `doctor`: what it says of sound and of broken data.

use mesh_runtime::{Stamp, Thread, Tx, thread::ThreadStatus};
use mesh_store::Sqlite;

use crate::process::Place;

/// What `doctor` says of a data directory in whose database this was done.
async fn check(
    operation: impl FnOnce(&mut dyn Tx) -> Result<(), mesh_runtime::Error> + Send + 'static,
    code: i32,
    said: &str,
) {
    let directory = tempfile::tempdir().unwrap();
    let database = Sqlite::open(directory.path().join("genesis-mesh.db")).await.unwrap();
    database.ledger().write(operation).await.unwrap();
    database.close().await;
    let run = Place::new().run(&["doctor", "--data-dir", directory.path().to_str().unwrap()]);
    assert_eq!((run.code(), run.stdout()), (code, said), "{}", run.stderr());
}

#[tokio::test]
async fn sound_data_break_no_rule() {
    let sound = |tx: &mut dyn Tx| tx.insert_thread(&Thread::new("t", Stamp(1)));
    check(sound, 0, "no rule is broken\n").await;
}

#[tokio::test]
async fn what_is_broken_is_named_and_the_exit_code_is_1() {
    let broken = |tx: &mut dyn Tx| {
        tx.insert_thread(&Thread { status: ThreadStatus::Busy, ..Thread::new("t", Stamp(1)) })
    };
    check(broken, 1, "I7: thread t: it is busy, and 0 of its runs are open\n").await;
}

#[test]
fn without_a_database_there_is_nothing_to_examine() {
    let directory = tempfile::tempdir().unwrap();
    let run = Place::new().run(&["doctor", "--data-dir", directory.path().to_str().unwrap()]);
    assert_eq!((run.code(), run.stdout()), (1, ""));
    assert!(run.stderr().starts_with("error: there is no database "), "{}", run.stderr());
}
