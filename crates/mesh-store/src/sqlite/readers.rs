//! The readers: a few connections that cannot write.
//!
//! What may read much runs on the runtime's blocking threads. A look at a few rows by their keys
//! takes less than waking one of those, so it runs where it was asked for.
//!
//! A database in memory has one connection and no disk to wait for: there readers take turns with
//! the writer, and read where they ask.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{Fault, writer::Desk};
use crate::Error;

/// Reading connections. When all are busy, callers wait for one.
pub const READERS: usize = 4;

pub(super) struct Readers {
    path: PathBuf,
    connections: Connections,
    permits: Arc<Semaphore>,
}

/// What is read from.
enum Connections {
    /// A file, over these when nobody uses them.
    Own(Mutex<Vec<Connection>>),
    /// Memory, over the connection that writes.
    Shared(Arc<Desk>),
}

impl Readers {
    /// Readers of a file.
    pub(super) fn new(path: PathBuf) -> Self {
        Self::over(path, Connections::Own(Mutex::new(Vec::with_capacity(READERS))))
    }

    /// Readers of what this desk has in memory.
    pub(super) fn shared(path: PathBuf, desk: Arc<Desk>) -> Self {
        Self::over(path, Connections::Shared(desk))
    }

    fn over(path: PathBuf, connections: Connections) -> Self {
        Self { path, connections, permits: Arc::new(Semaphore::new(READERS)) }
    }

    pub(super) async fn read<T, E>(
        readers: &Arc<Self>,
        operation: impl FnOnce(&Connection) -> Result<T, Fault<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let operation = match &readers.connections {
            Connections::Own(_) => operation,
            Connections::Shared(_) => match readers.look_now(operation) {
                Ok(result) => return result,
                Err(operation) => operation,
            },
        };
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
        match readers.look_now(operation) {
            Ok(result) => result,
            Err(operation) => Self::read(readers, operation).await,
        }
    }

    /// Runs the operation unless that would mean waiting; gives it back then.
    fn look_now<T, E: From<Error>, F: FnOnce(&Connection) -> Result<T, Fault<E>>>(
        &self,
        operation: F,
    ) -> Result<Result<T, E>, F> {
        let Ok(_permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return Err(operation);
        };
        match &self.connections {
            Connections::Own(idle) => {
                let open = locked(idle).pop();
                match open {
                    Some(connection) => Ok(self.read_on(connection, idle, operation)),
                    None => Err(operation),
                }
            }
            Connections::Shared(desk) => match desk.try_hold() {
                Some(held) => Ok(self.read_beside(held.as_ref(), operation)),
                None => Err(operation),
            },
        }
    }

    fn read_now<T, E: From<Error>>(
        &self,
        operation: impl FnOnce(&Connection) -> Result<T, Fault<E>>,
    ) -> Result<T, E> {
        match &self.connections {
            Connections::Own(idle) => {
                let open = locked(idle).pop();
                let connection = match open {
                    Some(connection) => connection,
                    None => super::connect(&self.path, None)?,
                };
                self.read_on(connection, idle, operation)
            }
            Connections::Shared(desk) => self.read_beside(desk.hold().as_ref(), operation),
        }
    }

    fn read_on<T, E: From<Error>>(
        &self,
        connection: Connection,
        idle: &Mutex<Vec<Connection>>,
        operation: impl FnOnce(&Connection) -> Result<T, Fault<E>>,
    ) -> Result<T, E> {
        let result = in_transaction(&connection, operation);
        if connection.is_autocommit() && !self.permits.is_closed() {
            locked(idle).push(connection);
        }
        result.map_err(|fault| fault.settle(&self.path))
    }

    /// Reads over the writing connection, of which nobody else has hold.
    fn read_beside<T, E: From<Error>>(
        &self,
        connection: Option<&Connection>,
        operation: impl FnOnce(&Connection) -> Result<T, Fault<E>>,
    ) -> Result<T, E> {
        let connection = connection.ok_or_else(|| Error::Closed { path: self.path.clone() })?;
        in_transaction(connection, operation).map_err(|fault| fault.settle(&self.path))
    }

    /// Refuses whoever comes later; reads under way end by themselves.
    pub(super) fn close(&self) {
        self.permits.close();
        if let Connections::Own(idle) = &self.connections {
            locked(idle).clear();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
