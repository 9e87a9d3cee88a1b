//! Idempotency keys: what is made is remembered with it or not at all, and for a day.

use std::sync::Arc;

use mesh_graph::env::{Env, SystemEnv};
use mesh_runtime::{
    Error, Graphs, Runtime, Scope,
    idempotency::{KEY_KEPT, Kept, Key, Made},
    thread::{operations::NewThread, rows::Filter},
};
use mesh_store::Sqlite;

fn key() -> Key {
    Key { principal: "ada".to_owned(), text: "k".to_owned() }
}

async fn open(directory: &tempfile::TempDir) -> (Sqlite, Runtime) {
    let database = Sqlite::open(directory.path().join("keys.db")).await.unwrap();
    let runtime = Runtime::new(database.ledger(), Graphs::default(), Arc::new(SystemEnv));
    (database, runtime)
}

#[tokio::test]
async fn a_creation_under_a_key_that_is_taken_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (database, runtime) = open(&directory).await;
    let keyed = runtime.keyed(key(), [1; 32]);
    let (thread, _) = keyed.create_thread(&Scope::All, None, NewThread::default()).await.unwrap();
    let refused = keyed.create_thread(&Scope::All, None, NewThread::default()).await;
    assert!(matches!(refused, Err(Error::KeyInUse)), "{refused:?}");
    assert_eq!(runtime.count_threads(Filter::all(Scope::All)).await.unwrap(), 1);
    let kept = Kept { request: [1; 32], made: Made::Thread(thread.id), is_whole: true };
    assert_eq!(runtime.key(&key()).await.unwrap(), Some(kept.clone()));
    let of_another = Key { principal: "bob".to_owned(), ..key() };
    assert_eq!(runtime.key(&of_another).await.unwrap(), None);
    database.close().await;
    let (_database, runtime) = open(&directory).await;
    assert_eq!(runtime.key(&key()).await.unwrap(), Some(kept));
}

#[tokio::test]
async fn what_is_made_in_parts_is_not_whole_before_it_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let (_database, runtime) = open(&directory).await;
    let parts = runtime.keyed(key(), [1; 32]).in_parts();
    parts.create_thread(&Scope::All, None, NewThread::default()).await.unwrap();
    assert!(!runtime.key(&key()).await.unwrap().unwrap().is_whole);
    parts.settle_key().await.unwrap();
    assert!(runtime.key(&key()).await.unwrap().unwrap().is_whole);
    parts.drop_key().await.unwrap();
    assert_eq!(runtime.key(&key()).await.unwrap(), None);
}

#[tokio::test]
async fn a_key_is_forgotten_when_its_time_is_up() {
    let directory = tempfile::tempdir().unwrap();
    let (_database, runtime) = open(&directory).await;
    let now = SystemEnv.now_ms();
    let day = i64::try_from(KEY_KEPT.as_millis()).unwrap();
    let kept = |request| Kept { request, made: Made::Runs(Vec::new()), is_whole: true };
    let put = |request, at| {
        runtime.ledger().write(move |tx| tx.put_key(&key(), &kept(request), at, at + day))
    };
    assert!(put([1; 32], now - day).await.unwrap());
    assert_eq!(runtime.key(&key()).await.unwrap(), None);
    assert!(put([2; 32], now).await.unwrap(), "an expired one makes room");
    assert!(!put([3; 32], now).await.unwrap());
    assert_eq!(runtime.key(&key()).await.unwrap(), Some(kept([2; 32])));
    let forgotten = |at| runtime.ledger().write(move |tx| tx.forget_keys(at, 10));
    assert_eq!(forgotten(now + day - 1).await.unwrap(), 0);
    assert_eq!(forgotten(now + day).await.unwrap(), 1);
}
