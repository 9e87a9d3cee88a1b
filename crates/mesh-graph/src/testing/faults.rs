//! A checkpointer that fails or stops at a chosen write.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint::{CheckpointId, Place, TaskRecord},
    checkpointer::{Checkpointer, Commit, Error, Filter, Loaded, Retention},
};

/// What happens at the chosen write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is stored and the caller is told so.
    FailBefore,
    /// It is stored, but the caller is told that it failed.
    FailAfter,
    /// Nothing is stored and the caller never hears again: the process died before.
    StopBefore,
    /// It is stored and the caller never hears of it: the process died after.
    StopAfter,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 4] =
        [Self::FailBefore, Self::FailAfter, Self::StopBefore, Self::StopAfter];
}

/// Hands everything on to another checkpointer, except one write.
///
/// Writes are `put` and `put_task`, counted together from 1.
pub struct FaultyCheckpointer {
    inner: Arc<dyn Checkpointer>,
    at: usize,
    fault: Fault,
    writes: AtomicUsize,
    stopped: CancellationToken,
}

impl FaultyCheckpointer {
    /// Goes wrong at the write with the number `at`; at none for 0.
    pub fn new(inner: Arc<dyn Checkpointer>, at: usize, fault: Fault) -> Self {
        Self { inner, at, fault, writes: AtomicUsize::new(0), stopped: CancellationToken::new() }
    }

    /// Writes that were begun so far.
    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    /// Waits until a write has stopped for ever.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }

    async fn through(
        &self,
        write: impl Future<Output = Result<(), Error>> + Send,
    ) -> Result<(), Error> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        if number != self.at {
            return write.await;
        }
        let failed = || Err(Error::Storage(format!("write {number} was made to fail").into()));
        match self.fault {
            Fault::FailBefore => failed(),
            Fault::FailAfter => {
                write.await?;
                failed()
            }
            Fault::StopBefore => self.stop().await,
            Fault::StopAfter => {
                write.await?;
                self.stop().await
            }
        }
    }

    async fn stop(&self) -> Result<(), Error> {
        self.stopped.cancel();
        std::future::pending().await
    }
}

#[async_trait]
impl Checkpointer for FaultyCheckpointer {
    async fn put(&self, commit: Commit) -> Result<(), Error> {
        self.through(self.inner.put(commit)).await
    }

    async fn put_task(
        &self,
        place: &Place,
        checkpoint: CheckpointId,
        record: TaskRecord,
    ) -> Result<(), Error> {
        self.through(self.inner.put_task(place, checkpoint, record)).await
    }

    fn keeps_values(&self) -> bool {
        self.inner.keeps_values()
    }

    async fn load(&self, place: &Place, id: Option<CheckpointId>) -> Result<Option<Loaded>, Error> {
        self.inner.load(place, id).await
    }

    async fn list(&self, place: &Place, filter: &Filter) -> Result<Vec<Loaded>, Error> {
        self.inner.list(place, filter).await
    }

    async fn delete_thread(&self, thread: &str) -> Result<(), Error> {
        self.inner.delete_thread(thread).await
    }

    async fn delete_for_runs(&self, thread: &str, runs: &[String]) -> Result<usize, Error> {
        self.inner.delete_for_runs(thread, runs).await
    }

    async fn copy_thread(&self, from: &str, to: &str) -> Result<(), Error> {
        self.inner.copy_thread(from, to).await
    }

    async fn prune(&self, thread: &str, keep: Retention) -> Result<usize, Error> {
        self.inner.prune(thread, keep).await
    }
}
