//! `doctor`: what it says of sound and of broken data.

use mesh_runtime::{Stamp, Thread, Tx, thread::ThreadStatus};
use mesh_store::Sqlite;
use serde_json::json;

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

#[tokio::test]
async fn secrets_that_are_stored_are_named_without_being_shown() {
    let place = Place::new()
        .variable("OPENAI_API_KEY", "model-key-1234")
        .variable("GENESIS_MESH_WEBHOOKS_SECRET", "quoted\"secret\"5678");
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().to_str().unwrap();
    let made = place.run(&["keys", "create", "--identity", "alice", "--data-dir", data_dir]);
    let key = made.stdout().trim().to_owned();
    let database = Sqlite::open(directory.path().join("genesis-mesh.db")).await.unwrap();
    let told = [
        ("model", "the service refused model-key-1234".to_owned()),
        ("letter", "quoted\"secret\"5678".to_owned()),
        ("key", format!("Bearer {key}")),
        ("other", format!("gm_{}_{}", "0".repeat(16), "0".repeat(64))),
    ];
    let plant = move |tx: &mut dyn Tx| {
        told.into_iter().try_for_each(|(id, text)| {
            let metadata = json!({ "note": text }).as_object().unwrap().clone();
            tx.insert_thread(&Thread { metadata, ..Thread::new(id, Stamp(1)) })
        })
    };
    database.ledger().write(plant).await.unwrap();
    database.close().await;
    let run = place.run(&["doctor", "--data-dir", data_dir]);
    let id = key.split('_').nth(1).unwrap();
    let expected = format!(
        "I14: threads.metadata_json: the API key {id} is stored\n\
         I14: threads.metadata_json: the secret openai.api_key is stored\n\
         I14: threads.metadata_json: the secret webhooks.secret is stored\n"
    );
    assert_eq!((run.code(), run.stdout()), (1, &*expected), "{}", run.stderr());
}

#[tokio::test]
async fn runs_that_were_accepted_have_to_be_there() {
    let missing = "1f0c7b2e-0000-6000-8000-000000000001";
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().to_str().unwrap();
    Sqlite::open(directory.path().join("genesis-mesh.db")).await.unwrap().close().await;
    let place = Place::new().file("runs.txt", &format!("\n{missing}\n")).file("bad.txt", "one\n");
    let run = place.run(&["doctor", "--data-dir", data_dir, "--accepted", "runs.txt"]);
    let expected = format!("I9: run {missing}: it was accepted, and it is not there\n");
    assert_eq!((run.code(), run.stdout()), (1, &*expected), "{}", run.stderr());
    let run = place.run(&["doctor", "--data-dir", data_dir, "--accepted", "bad.txt"]);
    assert_eq!((run.code(), run.stdout()), (1, ""));
    assert!(run.stderr().contains("bad.txt line 1: expected the id of a run"), "{}", run.stderr());
}

#[test]
fn without_a_database_there_is_nothing_to_examine() {
    let directory = tempfile::tempdir().unwrap();
    let run = Place::new().run(&["doctor", "--data-dir", directory.path().to_str().unwrap()]);
    assert_eq!((run.code(), run.stdout()), (1, ""));
    assert!(run.stderr().starts_with("error: there is no database "), "{}", run.stderr());
}
