//! One database file: who may open it, who writes and who reads.
//!
//! All writes go over the only writing connection, in groups; an answer is given after COMMIT
//! returned. Reads use a few connections of their own, most of them on the runtime's blocking
//! threads. A database may also be in memory, which is a matter of this module alone.

mod api_keys;
mod assistants;
mod checkpoints;
mod crons;
mod facts;
mod items;
mod keys;
mod known;
mod ledger;
mod listeners;
mod log;
mod outbox;
mod readers;
mod records;
mod runs;
mod schema;
#[cfg(test)]
mod tests;
mod upkeep;
mod writer;

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use mesh_graph::{Checkpointer, Store, store::Options};
use mesh_runtime::Ledger;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

pub use self::{
    api_keys::KeysBeside,
    checkpoints::SqliteCheckpointer,
    items::SqliteStore,
    ledger::SqliteLedger,
    readers::READERS,
    writer::{GROUP_MAX, GROUP_TIME, WRITE_QUEUE},
};
use self::{
    known::Known,
    listeners::Listeners,
    readers::Readers,
    writer::{Desk, Message, Operation, Then, Unanswered, Write},
};
use crate::Error;

/// What messages call a database without a file.
const IN_MEMORY: &str = ":memory:";

/// A database that this process has open, mostly a file. Cloning is cheap.
///
/// When the last handle goes, or at [`Sqlite::close`], what was asked for is committed and the
/// file is let go.
#[derive(Clone)]
pub struct Sqlite {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    /// None only while dropping.
    writer: Option<mpsc::Sender<Message>>,
    thread: Option<JoinHandle<()>>,
    desk: Arc<Desk>,
    /// A commit need not wait for the disk.
    at_once: bool,
    known: Arc<Known>,
    readers: Arc<Readers>,
    unanswered: Unanswered,
    listeners: Listeners,
}

/// How sure a commit has to be before it is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// On disk: it survives a loss of power. What a server needs that acknowledges.
    #[default]
    Full,
    /// With the system: it survives a crash of this process, and a loss of power may take the
    /// last commits with it, but never a part of one.
    /// A commit does not wait for the disk, so it is made where it is asked for when nobody else
    /// writes: some tens of microseconds without giving up the thread.
    Normal,
}

impl Synchronous {
    /// SQLite's word for it.
    fn word(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

/// How an operation on a connection ends badly.
pub(crate) enum Fault<E> {
    /// It was refused for a reason of its own.
    Refused(E),
    /// SQLite failed.
    Sqlite(rusqlite::Error),
}

impl<E> From<rusqlite::Error> for Fault<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl<E: From<Error>> Fault<E> {
    fn settle(self, path: &Path) -> E {
        match self {
            Self::Refused(error) => error,
            Self::Sqlite(error) => Error::of(path.to_path_buf(), error).into(),
        }
    }
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Sqlite {
    /// Opens the database file, making it when there is none and bringing it to this build's
    /// schema. Its directory has to exist. Beside it lies `<file>.lock`, by which a second
    /// process is kept out.
    ///
    /// # Errors
    /// [`Error`] names the file and says what is in the way.
    ///
    /// # Cancel safety
    /// A dropped future may leave a new, empty database behind.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(path, Synchronous::default()).await
    }

    /// Opens the database file as [`Sqlite::open`] does, with commits that are as sure as
    /// `synchronous` says.
    ///
    /// # Errors
    /// As [`Sqlite::open`].
    ///
    /// # Cancel safety
    /// As [`Sqlite::open`].
    pub async fn open_with(
        path: impl AsRef<Path>,
        synchronous: Synchronous,
    ) -> Result<Self, Error> {
        Self::open_as(path.as_ref().to_path_buf(), synchronous, Owner::Required).await
    }

    /// Makes a database in memory, which is gone with its last handle. Everything works as in a
    /// file, except that readers and the writer take turns: there is one connection.
    ///
    /// # Errors
    /// [`Error`] when the system gives no thread for the writer.
    pub fn in_memory() -> Result<Self, Error> {
        let path = PathBuf::from(IN_MEMORY);
        let failed = |error| Error::of(path.clone(), error);
        let mut connection = Connection::open_in_memory().map_err(failed)?;
        // There is no disk to wait for.
        let synchronous = Synchronous::Normal;
        schema::configure(&connection, Some(synchronous)).map_err(failed)?;
        schema::make(&mut connection, &path)?;
        Self::start(path, connection, synchronous, None, |path, desk| {
            Readers::shared(path, Arc::clone(desk))
        })
    }

    async fn open_as(path: PathBuf, synchronous: Synchronous, owner: Owner) -> Result<Self, Error> {
        let opened = tokio::task::spawn_blocking({
            let path = path.clone();
            move || Self::open_now(path, synchronous, owner)
        });
        // Fails only when the runtime shuts down or the opening panics: it is not open, then.
        opened.await.unwrap_or(Err(Error::Closed { path }))
    }

    fn open_now(path: PathBuf, synchronous: Synchronous, owner: Owner) -> Result<Self, Error> {
        if path.is_dir() {
            return Err(Error::IsDirectory { path });
        }
        let (lock, connection) = match lock(&path) {
            Ok(lock) => (Some(lock), connect(&path, Some(synchronous))?),
            Err(Error::InUse { .. }) if matches!(owner, Owner::Welcome) => {
                (None, connect_beside(&path, synchronous)?)
            }
            Err(error) => return Err(error),
        };
        Self::start(path, connection, synchronous, lock, |path, _| Readers::new(path))
    }

    /// Starts the writer of what was opened.
    fn start(
        path: PathBuf,
        connection: Connection,
        synchronous: Synchronous,
        lock: Option<File>,
        readers: impl FnOnce(PathBuf, &Arc<Desk>) -> Readers,
    ) -> Result<Self, Error> {
        let known = Arc::new(Known::default());
        let desk = Desk::new(path.clone(), connection, Arc::clone(&known));
        let desk = Arc::new(desk.map_err(|error| Error::of(path.clone(), error))?);
        let (writer, operations) = mpsc::channel(WRITE_QUEUE);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn({
                let desk = Arc::clone(&desk);
                move || writer::run(&desk, operations, lock)
            })
            .map_err(|source| Error::Open { path: path.clone(), source: Arc::new(source) })?;
        Ok(Self {
            inner: Arc::new(Inner {
                readers: Arc::new(readers(path.clone(), &desk)),
                path,
                writer: Some(writer),
                thread: Some(thread),
                desk,
                at_once: synchronous == Synchronous::Normal,
                known,
                unanswered: Unanswered::default(),
                listeners: Listeners::default(),
            }),
        })
    }

    /// The file; `:memory:` of a database that has none.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The checkpoints in this file.
    pub fn checkpointer(&self) -> Arc<dyn Checkpointer> {
        Arc::new(SqliteCheckpointer::new(self.clone()))
    }

    /// The long-term memory in this file. Several stores with different options see the same
    /// items; vectors of another length than the query's do not count.
    pub fn store(&self, options: Options) -> Arc<dyn Store> {
        Arc::new(SqliteStore::new(self.clone(), options))
    }

    /// What the server keeps in this file.
    pub fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(SqliteLedger::new(self.clone()))
    }

    fn listeners(&self) -> &Listeners {
        &self.inner.listeners
    }

    /// Commits what was asked for so far and lets go of the file. Later operations, of clones of
    /// this handle too, are refused as [`Error::Closed`].
    ///
    /// # Cancel safety
    /// Once begun, closing goes on when the future is dropped.
    pub async fn close(self) {
        self.inner.readers.close();
        let (reply, closed) = oneshot::channel();
        if let Some(writer) = &self.inner.writer
            && writer.send(Message::Close(reply)).await.is_ok()
        {
            // The sender is dropped when the thread has let go of the file.
            let _ = closed.await;
        }
    }

    /// Runs an operation on the writing connection, inside a transaction that it may share with
    /// others, and answers after the transaction was committed. An operation that fails leaves
    /// nothing behind and does not disturb the others.
    ///
    /// # Cancel safety
    /// A dropped future may or may not have taken effect.
    pub(crate) async fn write<T, E>(
        &self,
        operation: impl FnOnce(&Connection) -> Result<T, Fault<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.write_then(operation, None).await
    }

    /// As [`Sqlite::write`]; `then` is told whether the operation was committed, in the order
    /// of commits and also when the caller went away. It is dropped uncalled when the database closes
    /// before the operation's turn.
    pub(crate) async fn write_then<T, E>(
        &self,
        operation: impl FnOnce(&Connection) -> Result<T, Fault<E>> + Send + 'static,
        then: Option<Then>,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let closed = || Error::Closed { path: self.inner.path.clone() };
        let (reply, answer) = oneshot::channel();
        let Some(writer) = &self.inner.writer else { return Err(closed().into()) };
        // Behind everything that was asked for before.
        let at_once = self.inner.at_once && !self.inner.unanswered.any();
        let counted = self.inner.unanswered.count();
        let mut waiting: Option<Box<dyn Write>> =
            Some(Box::new(Operation::new(operation, reply, counted, then)));
        if at_once {
            waiting = waiting.and_then(|operation| self.inner.desk.run_now(operation, writer));
        }
        if let Some(operation) = waiting
            && writer.send(Message::Write(operation)).await.is_err()
        {
            return Err(closed().into());
        }
        match answer.await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(fault))) => Err(fault.settle(&self.inner.path)),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(closed().into()),
        }
    }

    /// Writes that were asked for and are not answered yet.
    pub(crate) fn writes_waiting(&self) -> usize {
        self.inner.unanswered.now()
    }

    /// Runs an operation on a reading connection, in one read transaction that sees every write
    /// asked for before, also one whose caller went away: what a dead run left in the queue must
    /// not appear between what its successor reads and what that writes.
    ///
    /// # Cancel safety
    /// Reading has no effect; it goes on to its end when the future is dropped.
    pub(crate) async fn read<T, E>(
        &self,
        operation: impl FnOnce(&Connection) -> Result<T, Fault<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.catch_up().await?;
        Readers::read(&self.inner.readers, operation).await
    }

    /// As [`Sqlite::read`], for a look at a few rows by their keys.
    ///
    /// # Cancel safety
    /// As [`Sqlite::read`].
    pub(crate) async fn look<T, E>(
        &self,
        operation: impl FnOnce(&Connection) -> Result<T, Fault<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.catch_up().await?;
        Readers::look(&self.inner.readers, operation).await
    }

    /// The readers, for those who want no more than the writes that were answered: they do not
    /// wait for writes under way, as [`Sqlite::read`] and [`Sqlite::look`] do.
    fn answered(&self) -> &Arc<Readers> {
        &self.inner.readers
    }

    /// Waits for every write that was asked for before.
    async fn catch_up<E: From<Error> + Send + 'static>(&self) -> Result<(), E> {
        if self.inner.unanswered.any() {
            // Only waits: a write that fails is told to whoever asked for it, and reading goes on
            // when the disk is full.
            let waited: Result<(), E> = self.write(|_| Ok(())).await;
            drop(waited);
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.readers.close();
        drop(self.writer.take());
        // Waits for at most one queue of operations, so that they are on disk when the handle is
        // gone and the file can be opened again.
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the database's writer panicked");
        }
    }
}

/// Takes the advisory lock that keeps a second process away. It lies in a file of its own:
/// SQLite's locks on the database would be lost by opening and closing that one.
fn lock(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let failed = |source| Error::Open { path: path.to_path_buf(), source: Arc::new(source) };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(PathBuf::from(name))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: path.to_path_buf() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Whether whoever opens a database has to be its one owner.
#[derive(Debug, Clone, Copy)]
enum Owner {
    Required,
    /// Another process may be.
    Welcome,
}

/// Opens a writing connection to a database that another process owns, and whose schema is that
/// process's business.
fn connect_beside(path: &Path, synchronous: Synchronous) -> Result<Connection, Error> {
    let failed = |error| Error::of(path.to_path_buf(), error);
    let connection = connect(path, None)?;
    if !schema::is_current(&connection).map_err(failed)? {
        return Err(Error::InUse { path: path.to_path_buf() });
    }
    connection.pragma_update(None, "query_only", false).map_err(failed)?;
    schema::configure(&connection, Some(synchronous)).map_err(failed)?;
    Ok(connection)
}

/// Opens a connection; the first one, which is `writing`, makes and migrates the database.
fn connect(path: &Path, writing: Option<Synchronous>) -> Result<Connection, Error> {
    use rusqlite::OpenFlags;
    let failed = |error| Error::of(path.to_path_buf(), error);
    // Without the flag for URIs: a path that begins with `file:` is a path.
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if writing.is_some() {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    schema::configure(&connection, writing).map_err(failed)?;
    if writing.is_some() {
        if connection.is_readonly("main").map_err(failed)? {
            return Err(Error::ReadOnly { path: path.to_path_buf() });
        }
        schema::migrate(&mut connection, path)?;
    }
    Ok(connection)
}
