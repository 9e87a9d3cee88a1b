//! The rows of mesh-runtime in SQLite. What they mean is decided there.

mod threads;

use std::{any::Any, sync::Arc};

use async_trait::async_trait;
use mesh_graph::{Checkpointer, Store, store::Options};
use mesh_runtime::{
    Error, Ledger, Tx,
    ledger::{Listener, Operation, Rider},
};
use rusqlite::Connection;

use super::{Fault, Sqlite, checkpoints::SqliteCheckpointer, listeners::Added, readers::Readers};

/// Keeps assistants, threads, runs and crons in a [`Sqlite`] database; made by [`Sqlite::ledger`].
#[derive(Debug, Clone)]
pub struct SqliteLedger {
    database: Sqlite,
}

impl SqliteLedger {
    pub(super) fn new(database: Sqlite) -> Self {
        Self { database }
    }
}

/// The rows, on the connection whose transaction is open.
pub(super) struct Rows<'a> {
    /// The connection.
    pub(super) connection: &'a Connection,
    /// What was added to the logs of threads.
    pub(super) added: Added,
}

impl<'a> Rows<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self { connection, added: Added::new() }
    }
}

impl Tx for Rows<'_> {}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn run_read(&self, operation: Operation) -> Result<Box<dyn Any + Send>, Error> {
        Readers::read(self.database.answered(), move |connection| run(connection, operation)).await
    }

    async fn run_look(&self, operation: Operation) -> Result<Box<dyn Any + Send>, Error> {
        Readers::look(self.database.answered(), move |connection| run(connection, operation)).await
    }

    async fn run_write(&self, operation: Operation) -> Result<Box<dyn Any + Send>, Error> {
        let (note, tell) = self.database.listeners().telling();
        let operation = move |connection: &Connection| {
            let mut rows = Rows::new(connection);
            let given = operation(&mut rows).map_err(Fault::Refused)?;
            note.take(rows.added);
            Ok(given)
        };
        self.database.write_then(operation, Some(tell)).await
    }

    fn listen(&self, listener: &Arc<dyn Listener>) {
        self.database.listeners().add(listener);
    }

    fn writes_waiting(&self) -> usize {
        self.database.writes_waiting()
    }

    fn checkpointer(&self) -> Arc<dyn Checkpointer> {
        self.database.checkpointer()
    }

    fn checkpointer_with(&self, rider: Arc<dyn Rider>) -> Arc<dyn Checkpointer> {
        Arc::new(SqliteCheckpointer::with(self.database.clone(), rider))
    }

    fn store(&self, options: Options) -> Arc<dyn Store> {
        self.database.store(options)
    }
}

fn run(connection: &Connection, operation: Operation) -> Result<Box<dyn Any + Send>, Fault<Error>> {
    operation(&mut Rows::new(connection)).map_err(Fault::Refused)
}

/// What SQLite reports, as an error of the rows. A full disk keeps its meaning.
pub(super) fn failed(error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => Error::DiskFull,
        _ => Error::Storage(Box::new(error)),
    }
}
