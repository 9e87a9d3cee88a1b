//! The writer: one connection, and a thread that runs groups of operations in one transaction.
//!
//! Where a commit need not wait for the disk, an operation that finds the connection idle runs at
//! once where it was asked for: that takes less than waking the thread. Waiting for the disk is
//! left to the thread.

use std::{
    ffi::c_int,
    fs::File,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, hooks::Wal};
use smallvec::SmallVec;
use tokio::sync::{mpsc, oneshot};

use super::{Fault, known::Known};
use crate::Error;

/// Operations that may wait for the writer. When it is full, callers wait to be taken in.
pub const WRITE_QUEUE: usize = 1024;

/// Operations in one transaction: bounds what one failed COMMIT can concern.
pub const GROUP_MAX: usize = 256;

/// How long a transaction takes in further operations: the first one of a group should not wait
/// for many others. Nobody waits for this time to pass: a group is what is there already.
pub const GROUP_TIME: Duration = Duration::from_millis(2);

/// Pages of the write-ahead log from which on it is copied into the database.
const WAL_PAGES: usize = 4000;

/// What is sent to the thread.
pub(super) enum Message {
    Write(Box<dyn Write>),
    /// The connection is gone.
    Gone,
    /// Everything before it is committed, nothing after it is begun. Dropped when the file is
    /// free.
    Close(oneshot::Sender<()>),
}

/// An operation of any type.
pub(super) trait Write: Send {
    /// Runs it and keeps its result. Says whether it stands.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Tells the caller, after COMMIT or when that failed.
    fn answer(self: Box<Self>, committed: Result<(), Error>);
}

/// Counts the operations that were sent, or are about to be, and not answered yet.
#[derive(Clone, Default)]
pub(super) struct Unanswered(Arc<AtomicUsize>);

impl Unanswered {
    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }

    pub(super) fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more until the returned value is dropped.
    pub(super) fn count(&self) -> Counted {
        self.0.fetch_add(1, Ordering::SeqCst);
        Counted(self.clone())
    }
}

pub(super) struct Counted(Unanswered);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What an operation gave, unless the transaction failed around it.
type Answer<T, E> = Result<Result<T, Fault<E>>, Error>;

pub(super) struct Operation<F, T, E> {
    run: Option<F>,
    result: Option<Result<T, Fault<E>>>,
    reply: oneshot::Sender<Answer<T, E>>,
    counted: Counted,
    /// Told whether it was committed, even if the caller went away.
    then: Option<Then>,
}

/// What is called after a transaction, while nobody else can write. It must not wait.
pub(super) type Then = Box<dyn FnOnce(bool) + Send>;

impl<F, T, E> Operation<F, T, E> {
    pub(super) fn new(
        operation: F,
        reply: oneshot::Sender<Answer<T, E>>,
        counted: Counted,
        then: Option<Then>,
    ) -> Self {
        Self { run: Some(operation), result: None, reply, counted, then }
    }
}

impl<F, T, E> Write for Operation<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, Fault<E>> + Send,
    T: Send,
    E: Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        if let Some(operation) = self.run.take() {
            self.result = Some(operation(connection));
        }
        matches!(self.result, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: Result<(), Error>) {
        // It is on disk or it failed: readers need not wait for it.
        drop(self.counted);
        if let Some(then) = self.then {
            then(matches!((&self.result, &committed), (Some(Ok(_)), Ok(()))));
        }
        // A caller that went away is not waiting for an answer.
        let _ = match (self.result, committed) {
            (Some(Ok(value)), Ok(())) => self.reply.send(Ok(Ok(value))),
            (Some(Err(fault)), _) => self.reply.send(Ok(Err(fault))),
            (_, Err(error)) => self.reply.send(Err(error)),
            (None, Ok(())) => return,
        };
    }
}

/// The writing connection, and what is known of the file without reading it.
pub(super) struct Desk {
    path: PathBuf,
    /// None once the database is closed.
    connection: Mutex<Option<Connection>>,
    known: Arc<Known>,
    log: Arc<Log>,
}

/// How long the write-ahead log is.
struct Log {
    /// Pages in it after the last commit.
    pages: AtomicUsize,
    /// Pages from which on it is copied: more than [`WAL_PAGES`] when readers held back the copy
    /// before.
    due: AtomicUsize,
}

impl Desk {
    pub(super) fn new(
        path: PathBuf,
        mut connection: Connection,
        known: Arc<Known>,
    ) -> Result<Self, rusqlite::Error> {
        let log = Arc::new(Log { pages: AtomicUsize::new(0), due: AtomicUsize::new(WAL_PAGES) });
        let counted = Arc::clone(&log);
        connection.wal_hook(Some(move |_: &mut Wal, count: c_int| {
            let pages = usize::try_from(count).unwrap_or(0);
            counted.pages.store(pages, Ordering::Relaxed);
            if pages < WAL_PAGES {
                counted.due.store(WAL_PAGES, Ordering::Relaxed);
            }
            Ok(())
        }))?;
        known.watch(&mut connection)?;
        Ok(Self { path, connection: Mutex::new(Some(connection)), known, log })
    }

    /// Runs an operation in a transaction of its own, here and now. Gives it back when the
    /// connection is busy or gone, and when the thread has to copy the write-ahead log.
    pub(super) fn run_now(
        &self,
        operation: Box<dyn Write>,
        thread: &mpsc::Sender<Message>,
    ) -> Option<Box<dyn Write>> {
        if self.wal_is_long() {
            return Some(operation);
        }
        // The thread deals with one that an operation panicked over.
        let Ok(mut desk) = self.connection.try_lock() else { return Some(operation) };
        let Some(connection) = &*desk else { return Some(operation) };
        let mut group = Group::default();
        group.begin(connection, operation, &self.known);
        let finished = group.finish(connection, self);
        if finished.is_err() {
            *desk = None;
        }
        drop(desk);
        if finished.is_err() {
            // When its queue is full, the thread is awake and notices by itself.
            let _ = thread.try_send(Message::Gone);
        }
        None
    }

    /// Waits for the connection and keeps it busy until what it returns is dropped.
    pub(super) fn hold(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Desk::hold`], unless somebody has it.
    pub(super) fn try_hold(&self) -> Option<MutexGuard<'_, Option<Connection>>> {
        self.connection.try_lock().ok()
    }

    fn wal_is_long(&self) -> bool {
        self.log.pages.load(Ordering::Relaxed) >= self.log.due.load(Ordering::Relaxed)
    }

    /// Copies what is in the write-ahead log into the database, as far as readers allow.
    fn copy_wal(&self, connection: &Connection) {
        self.log.due.store(self.log.pages.load(Ordering::Relaxed) + WAL_PAGES, Ordering::Relaxed);
        if let Err(error) = pragma(connection, "PRAGMA wal_checkpoint(PASSIVE)") {
            tracing::warn!(path = %self.path.display(), %error, "the write-ahead log grows");
        }
    }
}

/// Works until the last sender is gone, a `Close` comes, or the disk can no longer be trusted.
/// `lock` is let go last.
pub(super) fn run(desk: &Desk, mut messages: mpsc::Receiver<Message>, lock: Option<File>) {
    let mut closing = Vec::new();
    while let Some(message) = messages.blocking_recv() {
        let Ok(mut held) = desk.connection.lock() else {
            tracing::error!(path = %desk.path.display(), "an operation panicked");
            break;
        };
        let Some(connection) = &*held else { break };
        match message {
            Message::Write(first) => {
                let (group, closes) = collect(connection, first, &mut messages, &desk.known);
                if !closes.is_empty() {
                    messages.close();
                    closing.extend(closes);
                }
                if group.finish(connection, desk).is_err() {
                    *held = None;
                    break;
                }
            }
            Message::Gone => {}
            Message::Close(reply) => {
                messages.close();
                closing.push(reply);
                continue;
            }
        }
        if desk.wal_is_long() {
            desk.copy_wal(connection);
        }
    }
    // Whoever is still in the queue learns that the database is closed when this is dropped.
    drop(messages);
    let connection = desk.hold().take();
    if let Some(connection) = connection
        && let Err(error) =
            connection.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)")
    {
        tracing::warn!(path = %desk.path.display(), %error, "the write-ahead log was left as it is");
    }
    // By name, not by closing the file: a process that is just being started by this one has a copy
    // of the file until it runs its own program, and would keep the lock as long.
    if let Some(Err(error)) = lock.map(|lock| lock.unlock()) {
        tracing::warn!(path = %desk.path.display(), %error, "the lock goes with the process");
    }
    drop(closing);
}

/// The operations of one transaction, which is open unless something failed.
#[derive(Default)]
struct Group {
    operations: SmallVec<[Box<dyn Write>; 1]>,
    failed: Option<rusqlite::Error>,
}

/// Runs the first operation and those that wait behind it, in one transaction.
fn collect(
    connection: &Connection,
    first: Box<dyn Write>,
    messages: &mut mpsc::Receiver<Message>,
    known: &Known,
) -> (Group, Vec<oneshot::Sender<()>>) {
    let begun = Instant::now();
    let mut group = Group::default();
    let mut closes = Vec::new();
    let stands = group.begin(connection, first, known);
    while stands
        && group.failed.is_none()
        && closes.is_empty()
        && group.operations.len() < GROUP_MAX
        && begun.elapsed() < GROUP_TIME
    {
        match messages.try_recv() {
            Ok(Message::Write(next)) => group.add(connection, next, known),
            Ok(Message::Gone) => {}
            Ok(Message::Close(reply)) => closes.push(reply),
            Err(_) => break,
        }
    }
    (group, closes)
}

impl Group {
    /// Runs the first operation, which needs no savepoint: when it is refused, there is nothing
    /// else in the transaction. Says whether others may join it.
    fn begin(
        &mut self,
        connection: &Connection,
        mut operation: Box<dyn Write>,
        known: &Known,
    ) -> bool {
        let mut stands = false;
        self.failed = execute(connection, "BEGIN IMMEDIATE").err();
        if self.failed.is_none() {
            stands = operation.run(connection);
            if connection.is_autocommit() {
                self.failed = Some(rolled_back());
            } else if !stands {
                known.forget();
                self.failed = execute(connection, "ROLLBACK").err();
            }
        }
        self.operations.push(operation);
        stands
    }

    /// Runs an operation under a savepoint of its own, so that a refused one takes only its own
    /// changes with it.
    fn add(&mut self, connection: &Connection, mut operation: Box<dyn Write>, known: &Known) {
        if self.failed.is_none() {
            self.failed = under_savepoint(connection, &mut *operation, known).err();
        }
        self.operations.push(operation);
    }

    /// Commits and answers. Fails when the disk can no longer be trusted.
    fn finish(self, connection: &Connection, desk: &Desk) -> Result<(), Error> {
        let committed = match self.failed {
            Some(error) => Err(error),
            // The only operation was refused and its transaction is gone.
            None if connection.is_autocommit() => Ok(()),
            None => execute(connection, "COMMIT"),
        };
        let committed = committed.map_err(|error| {
            desk.known.forget();
            if !connection.is_autocommit()
                && let Err(error) = execute(connection, "ROLLBACK")
            {
                let path = desk.path.display();
                tracing::error!(%path, %error, "a transaction was not rolled back");
            }
            Error::of(desk.path.clone(), error)
        });
        for operation in self.operations {
            operation.answer(committed.clone());
        }
        match committed {
            Err(error @ Error::Unconfirmed { .. }) => {
                tracing::error!(%error, "the database is closed");
                Err(error)
            }
            Err(_) | Ok(()) => Ok(()),
        }
    }
}

fn under_savepoint(
    connection: &Connection,
    operation: &mut dyn Write,
    known: &Known,
) -> Result<(), rusqlite::Error> {
    execute(connection, "SAVEPOINT operation")?;
    let stands = operation.run(connection);
    if connection.is_autocommit() {
        return Err(rolled_back());
    }
    if !stands {
        known.forget();
        execute(connection, "ROLLBACK TO operation")?;
    }
    execute(connection, "RELEASE operation")
}

/// A full disk or a failed read ends the whole transaction, and with it everything that the group
/// did before.
fn rolled_back() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK),
        Some("another operation of the same transaction failed".to_owned()),
    )
}

fn execute(connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// Runs a pragma that answers with a row which says nothing new.
fn pragma(connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    connection.query_row(sql, [], |_| Ok(()))
}
