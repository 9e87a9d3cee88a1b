//! The suites that every checkpointer and every store passes.

use std::sync::atomic::{AtomicUsize, Ordering};

use mesh_graph::testing::{check_checkpointer, check_cuts, check_store};
use mesh_store::{Sqlite, Synchronous};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_passes_the_suite() {
    let directory = tempfile::tempdir().unwrap();
    let number = AtomicUsize::new(0);
    for synchronous in [Synchronous::Full, Synchronous::Normal] {
        check_checkpointer(|| {
            let number = number.fetch_add(1, Ordering::Relaxed);
            let path = directory.path().join(format!("{number}.db"));
            async move { Sqlite::open_with(path, synchronous).await.unwrap().checkpointer() }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_in_memory_passes_the_suites() {
    check_checkpointer(async || Sqlite::in_memory().unwrap().checkpointer()).await;
    check_store(async |options| Sqlite::in_memory().unwrap().store(options)).await;
    check_cuts(Sqlite::in_memory().unwrap().checkpointer()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_passes_the_suite_for_stores() {
    let directory = tempfile::tempdir().unwrap();
    let number = AtomicUsize::new(0);
    check_store(|options| {
        let path = directory.path().join(format!("{}.db", number.fetch_add(1, Ordering::Relaxed)));
        async move { Sqlite::open(path).await.unwrap().store(options) }
    })
    .await;
}

#[tokio::test]
async fn a_run_cut_at_any_write_ends_like_an_uncut_one() {
    let directory = tempfile::tempdir().unwrap();
    for synchronous in [Synchronous::Full, Synchronous::Normal] {
        let path = directory.path().join(format!("{synchronous:?}.db"));
        let database = Sqlite::open_with(path, synchronous).await.unwrap();
        check_cuts(database.checkpointer()).await;
    }
}
