//! A worker that is told to stop while it claims.

use std::{
    any::Any,
    sync::atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use mesh_graph::{Checkpointer, Store, store};
use mesh_runtime::ledger::{Listener, Operation, Rider};

use super::*;

/// A ledger that is slow to answer the write that claimed the run.
struct Slow {
    inner: Arc<dyn Ledger>,
    run: Uuid,
    has_waited: AtomicBool,
    claimed: Semaphore,
    answer: Semaphore,
}

#[async_trait]
impl Ledger for Slow {
    async fn run_read(&self, operation: Operation) -> Result<Box<dyn Any + Send>, Error> {
        self.inner.run_read(operation).await
    }

    async fn run_write(&self, operation: Operation) -> Result<Box<dyn Any + Send>, Error> {
        let given = self.inner.run_write(operation).await;
        let id = self.run;
        let run = self.inner.read(move |tx| tx.run(id)).await?.unwrap();
        if run.status == RunStatus::Running && !self.has_waited.swap(true, Ordering::Relaxed) {
            self.claimed.add_permits(1);
            self.answer.acquire().await.unwrap().forget();
        }
        given
    }

    fn writes_waiting(&self) -> usize {
        self.inner.writes_waiting()
    }

    fn checkpointer(&self) -> Arc<dyn Checkpointer> {
        self.inner.checkpointer()
    }

    fn checkpointer_with(&self, rider: Arc<dyn Rider>) -> Arc<dyn Checkpointer> {
        self.inner.checkpointer_with(rider)
    }

    fn listen(&self, listener: &Arc<dyn Listener>) {
        self.inner.listen(listener);
    }

    fn store(&self, options: store::Options) -> Arc<dyn Store> {
        self.inner.store(options)
    }
}

#[tokio::test]
async fn a_run_that_is_being_claimed_at_a_stop_is_handed_over_like_all_others() {
    let database = Sqlite::in_memory().unwrap();
    let stage: Arc<Stage> = Arc::default();
    let inner = database.ledger();
    let before = Runtime::new(Arc::clone(&inner), graphs(&stage), Arc::new(SystemEnv));
    let run = before.create_run(&Scope::All, asked(&["x"], &["values"])).await.unwrap();
    let slow = Arc::new(Slow {
        inner: Arc::clone(&inner),
        run: run.id,
        has_waited: AtomicBool::new(false),
        claimed: Semaphore::new(0),
        answer: Semaphore::new(0),
    });
    let mut house = House::on(database, Arc::clone(&slow) as Arc<dyn Ledger>, &stage);
    slow.claimed.acquire().await.unwrap().forget();
    house.stop.cancel();
    slow.answer.add_permits(1);
    house.working.join_next().await.unwrap().unwrap().unwrap();
    let left = inner.read(move |tx| tx.run(run.id)).await.unwrap().unwrap();
    assert_eq!((left.status, left.attempt), (RunStatus::Pending, 0));
    assert_eq!(stage.count("a"), 0, "the next process begins it");
}
