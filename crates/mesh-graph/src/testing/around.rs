//! A checkpointer around another one, whose writes go another way.

use async_trait::async_trait;

use crate::{
    checkpoint::{CheckpointId, Place, TaskRecord},
    checkpointer::{Checkpointer, Commit, Error, Filter, Loaded, Retention},
};

/// How the writes of an [`Around`] go.
#[async_trait]
pub trait Writes: Send + Sync {
    /// Where everything ends up, and all else is read and removed.
    fn inner(&self) -> &dyn Checkpointer;

    /// As [`Checkpointer::put`]; hands on what it is given unless it says otherwise.
    ///
    /// # Errors
    /// As [`Checkpointer::put`].
    async fn put(&self, commit: Commit) -> Result<(), Error> {
        self.inner().put(commit).await
    }

    /// As [`Checkpointer::put_task`]; hands on what it is given unless it says otherwise.
    ///
    /// # Errors
    /// As [`Checkpointer::put_task`].
    async fn put_task(
        &self,
        place: &Place,
        checkpoint: CheckpointId,
        record: TaskRecord,
    ) -> Result<(), Error> {
        self.inner().put_task(place, checkpoint, record).await
    }
}

/// Hands everything on to another checkpointer; writes as its own rule says.
#[derive(Debug, Default)]
pub struct Around<W>(pub W);

#[async_trait]
impl<W: Writes> Checkpointer for Around<W> {
    async fn put(&self, commit: Commit) -> Result<(), Error> {
        self.0.put(commit).await
    }

    async fn put_task(
        &self,
        place: &Place,
        checkpoint: CheckpointId,
        record: TaskRecord,
    ) -> Result<(), Error> {
        self.0.put_task(place, checkpoint, record).await
    }

    fn keeps_values(&self) -> bool {
        self.0.inner().keeps_values()
    }

    async fn load(&self, place: &Place, id: Option<CheckpointId>) -> Result<Option<Loaded>, Error> {
        self.0.inner().load(place, id).await
    }

    async fn list(&self, place: &Place, filter: &Filter) -> Result<Vec<Loaded>, Error> {
        self.0.inner().list(place, filter).await
    }

    async fn delete_thread(&self, thread: &str) -> Result<(), Error> {
        self.0.inner().delete_thread(thread).await
    }

    async fn delete_for_runs(&self, thread: &str, runs: &[String]) -> Result<usize, Error> {
        self.0.inner().delete_for_runs(thread, runs).await
    }

    async fn copy_thread(&self, from: &str, to: &str) -> Result<(), Error> {
        self.0.inner().copy_thread(from, to).await
    }

    async fn prune(&self, thread: &str, keep: Retention) -> Result<usize, Error> {
        self.0.inner().prune(thread, keep).await
    }
}
