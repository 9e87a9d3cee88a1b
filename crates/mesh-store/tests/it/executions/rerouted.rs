//! A ledger around another one, whose writes go another way. All else goes on as it is.

use std::{any::Any, sync::Arc};

use async_trait::async_trait;
use mesh_graph::{Checkpointer, Store, store};
use mesh_runtime::{
    Error, Ledger,
    ledger::{Listener, Operation, Rider},
};

/// How the writes go.
#[async_trait]
pub(super) trait Writes: Send + Sync {
    fn inner(&self) -> &Arc<dyn Ledger>;

    async fn run_write(&self, operation: Operation) -> Result<Box<dyn Any + Send>, Error>;

    fn checkpointer_with(&self, rider: Arc<dyn Rider>) -> Arc<dyn Checkpointer> {
        self.inner().checkpointer_with(rider)
    }
}

pub(super) struct Rerouted<W>(pub(super) W);

#[async_trait]
impl<W: Writes> Ledger for Rerouted<W> {
    async fn run_read(&self, operation: Operation) -> Result<Box<dyn Any + Send>, Error> {
        self.0.inner().run_read(operation).await
    }

    async fn run_write(&self, operation: Operation) -> Result<Box<dyn Any + Send>, Error> {
        self.0.run_write(operation).await
    }

    fn writes_waiting(&self) -> usize {
        self.0.inner().writes_waiting()
    }

    fn checkpointer(&self) -> Arc<dyn Checkpointer> {
        self.0.inner().checkpointer()
    }

    fn checkpointer_with(&self, rider: Arc<dyn Rider>) -> Arc<dyn Checkpointer> {
        self.0.checkpointer_with(rider)
    }

    fn listen(&self, listener: &Arc<dyn Listener>) {
        self.0.inner().listen(listener);
    }

    fn store(&self, options: store::Options) -> Arc<dyn Store> {
        self.0.inner().store(options)
    }
}
