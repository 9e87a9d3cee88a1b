//! A worker that is told to stop while it claims.

use std::{
    any::Any,
    sync::atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use mesh_runtime::ledger::Operation;

use super::{
    rerouted::{Rerouted, Writes},
    *,
};

/// A ledger that is slow to answer the write that claimed the run.
struct Slow {
    inner: Arc<dyn Ledger>,
    run: Uuid,
    has_waited: AtomicBool,
    claimed: Semaphore,
    answer: Semaphore,
}

#[async_trait]
impl Writes for Slow {
    fn inner(&self) -> &Arc<dyn Ledger> {
        &self.inner
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
}

#[tokio::test]
async fn a_run_that_is_being_claimed_at_a_stop_is_handed_over_like_all_others() {
    let database = Sqlite::in_memory().unwrap();
    let stage: Arc<Stage> = Arc::default();
    let inner = database.ledger();
    let before = Runtime::new(Arc::clone(&inner), graphs(&stage), Arc::new(SystemEnv));
    let run = before.create_run(&Scope::All, asked(&["x"], &["values"])).await.unwrap();
    let slow = Arc::new(Rerouted(Slow {
        inner: Arc::clone(&inner),
        run: run.id,
        has_waited: AtomicBool::new(false),
        claimed: Semaphore::new(0),
        answer: Semaphore::new(0),
    }));
    let mut house = House::on(database, Arc::clone(&slow) as Arc<dyn Ledger>, &stage);
    slow.0.claimed.acquire().await.unwrap().forget();
    house.stop.cancel();
    slow.0.answer.add_permits(1);
    house.working.join_next().await.unwrap().unwrap().unwrap();
    let left = inner.read(move |tx| tx.run(run.id)).await.unwrap().unwrap();
    assert_eq!((left.status, left.attempt), (RunStatus::Pending, 0));
    assert_eq!(stage.count("a"), 0, "the next process begins it");
}
