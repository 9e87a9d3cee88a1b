//! The readers: a few connections that cannot write.
//!
//! What may read much runs on the runtime's blocking threads. A look at a few rows by their keys
//! takes less than waking one of those, so it runs where it was asked for.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::Fault;
use crate::Error;

/// Reading connections. When all are busy, callers wait for one.
pub const READERS: usize = 4;

pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            idle: Mutex::new(Vec::with_capacity(READERS)),
            permits: Arc::new(Semaphore::new(READERS)),
        }
    }

    pub(super) async fn read<T, E>(
        readers: &Arc<Self>,
        operation: impl FnOnce(&Connection) -> Result<T, Fault<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let closed = || E::from(Error::Closed { path: readers.path.clone() });
        let permit = Arc::clone(&readers.permits).acquire_owned().await.map_err(|_| closed())?;
        let reading = tokio::task::spawn_blocking({
            let readers = Arc::clone(readers);
            move || {
                let result = readers.read_now(operation);
                // The connection is back before the next caller looks for it.
                drop(permit);
                result
            }
        });
        reading.await.unwrap_or_else(|_| Err(closed()))
    }

    /// As [`Readers::read`], for an operation that reads a few rows by their keys: it runs here and
    /// now if a connection is open and idle.
    pub(super) async fn look<T, E>(
        readers: &Arc<Self>,
        operation: impl FnOnce(&Connection) -> Result<T, Fault<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let open = Arc::clone(&readers.permits)
            .try_acquire_owned()
            .ok()
            .and_then(|permit| readers.idle().pop().map(|connection| (permit, connection)));
        match open {
            Some((_permit, connection)) => readers.read_on(connection, operation),
            None => Self::read(readers, operation).await,
        }
    }

    fn read_now<T, E: From<Error>>(
        &self,
        operation: impl FnOnce(&Connection) -> Result<T, Fault<E>>,
    ) -> Result<T, E> {
        let connection = match self.idle().pop() {
            Some(connection) => connection,
            None => super::connect(&self.path, None)?,
        };
        self.read_on(connection, operation)
    }

    fn read_on<T, E: From<Error>>(
        &self,
        connection: Connection,
        operation: impl FnOnce(&Connection) -> Result<T, Fault<E>>,
    ) -> Result<T, E> {
        let result = in_transaction(&connection, operation);
        if connection.is_autocommit() && !self.permits.is_closed() {
            self.idle().push(connection);
        }
        result.map_err(|fault| fault.settle(&self.path))
    }

    /// Refuses whoever comes later; reads under way end by themselves.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One snapshot for all that the operation reads; nothing of it is ever written.
fn in_transaction<T, E>(
    connection: &Connection,
    operation: impl FnOnce(&Connection) -> Result<T, Fault<E>>,
) -> Result<T, Fault<E>> {
    let transaction = connection.unchecked_transaction()?;
    let result = operation(&transaction);
    transaction.finish()?;
    result
}
