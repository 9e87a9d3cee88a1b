//! Where rows are kept: the traits that a database implements.
//!
//! A database keeps rows and gives transactions. What rows mean, and which changes are allowed, is
//! decided by functions over a [`Tx`], which run inside the transaction. They must not wait for
//! anything: a transaction blocks all other writers.

use std::{any::Any, sync::Arc};

use async_trait::async_trait;
use mesh_graph::{Checkpointer, Store, store};

use crate::{
    Error,
    assistant::AssistantRows,
    cron::CronRows,
    idempotency::KeyRows,
    invariants::FactRows,
    log::{Entry, LogRows},
    outbox::OutboxRows,
    runs::RunRows,
    thread::rows::ThreadRows,
};

/// The rows, within one transaction. All its changes take effect together or not at all.
pub trait Tx:
    AssistantRows + CronRows + FactRows + KeyRows + LogRows + OutboxRows + RunRows + ThreadRows
{
}

/// A function over the rows; what it returns is of a type that only its caller knows.
pub type Operation = Box<dyn FnOnce(&mut dyn Tx) -> Result<Box<dyn Any + Send>, Error> + Send>;

/// A database.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Runs an operation that only reads, on one snapshot that has every change that was
    /// acknowledged before. Use [`read`](trait@Ledger).
    ///
    /// # Errors
    /// The operation's, or [`Error::Storage`].
    async fn run_read(&self, operation: Operation) -> Result<Box<dyn Any + Send>, Error>;

    /// As [`Ledger::run_read`], for an operation that looks at a few rows by their keys: it may run
    /// where it was asked for, since that takes less than handing it to another thread.
    ///
    /// # Errors
    /// The operation's, or [`Error::Storage`].
    async fn run_look(&self, operation: Operation) -> Result<Box<dyn Any + Send>, Error> {
        self.run_read(operation).await
    }

    /// Runs an operation that may change rows, and answers once the changes are durable. One that
    /// fails has changed nothing.
    ///
    /// # Errors
    /// The operation's, [`Error::DiskFull`] or [`Error::Storage`].
    ///
    /// # Cancel safety
    /// A dropped future may or may not have taken effect.
    async fn run_write(&self, operation: Operation) -> Result<Box<dyn Any + Send>, Error>;

    /// Writes that were asked for and are not durable yet.
    fn writes_waiting(&self) -> usize;

    /// The checkpoints in this database.
    fn checkpointer(&self) -> Arc<dyn Checkpointer>;

    /// The checkpoints, for one run: every write takes a [`Ride`] along into its transaction.
    fn checkpointer_with(&self, rider: Arc<dyn Rider>) -> Arc<dyn Checkpointer>;

    /// Tells this listener what is added to logs from now on. All clones and connections of a
    /// database share their listeners, which are let go of when nobody else holds them.
    fn listen(&self, listener: &Arc<dyn Listener>);

    /// The long-term memory in this database.
    fn store(&self, options: store::Options) -> Arc<dyn Store>;
}

impl dyn Ledger + '_ {
    /// Runs an operation that only reads. See [`Ledger::run_read`].
    ///
    /// # Errors
    /// The operation's, or [`Error::Storage`].
    pub async fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut dyn Tx) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        unpack(self.run_read(pack(operation)).await?)
    }

    /// Runs an operation that looks at a few rows by their keys. See [`Ledger::run_look`].
    ///
    /// # Errors
    /// The operation's, or [`Error::Storage`].
    pub async fn look<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut dyn Tx) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        unpack(self.run_look(pack(operation)).await?)
    }

    /// Runs an operation that may change rows. See [`Ledger::run_write`].
    ///
    /// # Errors
    /// The operation's, [`Error::DiskFull`] or [`Error::Storage`].
    ///
    /// # Cancel safety
    /// A dropped future may or may not have taken effect.
    pub async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut dyn Tx) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        unpack(self.run_write(pack(operation)).await?)
    }
}

fn pack<T: Send + 'static>(
    operation: impl FnOnce(&mut dyn Tx) -> Result<T, Error> + Send + 'static,
) -> Operation {
    Box::new(move |tx| Ok(Box::new(operation(tx)?)))
}

fn unpack<T: 'static>(given: Box<dyn Any + Send>) -> Result<T, Error> {
    match given.downcast() {
        Ok(value) => Ok(*value),
        Err(_) => Err(Error::Storage("an operation gave back another one's result".into())),
    }
}

/// What has to be written together with the checkpoints of a run: the check that the run is still
/// its worker's, and what the run has told so far.
pub trait Rider: Send + Sync {
    /// Called when a checkpoint or a task's result is handed to storage, before it waits for its
    /// turn: takes what goes along with it.
    fn board(&self) -> Box<dyn Ride>;
}

/// What goes along with one write.
pub trait Ride: Send {
    /// Writes it, in the transaction of the checkpoint and after it.
    ///
    /// # Errors
    /// [`Error::Fenced`], and then the checkpoint is not written either; or a storage failure.
    fn write(&mut self, tx: &mut dyn Tx) -> Result<(), Error>;

    /// Called after the transaction, from the thread that writes: must not block.
    fn ended(self: Box<Self>, committed: bool);
}

/// Hears what was added to logs.
pub trait Listener: Send + Sync {
    /// Called after every commit with what it added to the log of a thread, in the order of the
    /// log. Comes from the thread that writes: must not block.
    fn added(&self, thread: &str, entries: &[Entry]);
}
