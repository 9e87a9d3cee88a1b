//! The writer: one thread, one connection, groups of operations in one transaction.

use std::{
    fs::File,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::Fault;
use crate::Error;

/// Operations that may wait for the writer. When it is full, callers wait to be taken in.
pub const WRITE_QUEUE: usize = 1024;

/// Operations in one transaction: bounds what one failed COMMIT can concern.
pub const GROUP_MAX: usize = 256;

/// How long a transaction takes in further operations: the first one of a group should not wait
/// for many others. Nobody waits for this time to pass: a group is what is there already.
pub const GROUP_TIME: Duration = Duration::from_millis(2);

/// What is sent to the thread.
pub(super) enum Message {
    Write(Box<dyn Write>),
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

/// What is called after a transaction, on the writing thread.
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

/// Works until the last sender is gone, a `Close` comes, or the disk can no longer be trusted.
/// `lock` is let go last.
pub(super) fn run(
    connection: Connection,
    mut messages: mpsc::Receiver<Message>,
    path: &Path,
    lock: File,
) {
    let mut closing = Vec::new();
    while let Some(message) = messages.blocking_recv() {
        let first = match message {
            Message::Write(first) => first,
            Message::Close(reply) => {
                messages.close();
                closing.push(reply);
                continue;
            }
        };
        let (group, closes) = collect(&connection, first, &mut messages);
        if !closes.is_empty() {
            messages.close();
            closing.extend(closes);
        }
        if let Err(error @ Error::Unconfirmed { .. }) = group.finish(&connection, path) {
            tracing::error!(%error, "the database is closed");
            break;
        }
    }
    // Whoever is still in the queue learns that the database is closed when this is dropped.
    drop(messages);
    if let Err(error) = connection.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)")
    {
        tracing::warn!(path = %path.display(), %error, "the write-ahead log was left as it is");
    }
    drop(connection);
    drop(lock);
    drop(closing);
}

/// The operations of one transaction, which is open unless something failed.
struct Group {
    operations: Vec<Box<dyn Write>>,
    failed: Option<rusqlite::Error>,
}

/// Runs the first operation and those that wait behind it, in one transaction.
fn collect(
    connection: &Connection,
    first: Box<dyn Write>,
    messages: &mut mpsc::Receiver<Message>,
) -> (Group, Vec<oneshot::Sender<()>>) {
    let begun = Instant::now();
    let mut group = Group { operations: Vec::new(), failed: None };
    let mut closes = Vec::new();
    let stands = group.begin(connection, first);
    while stands
        && group.failed.is_none()
        && closes.is_empty()
        && group.operations.len() < GROUP_MAX
        && begun.elapsed() < GROUP_TIME
    {
        match messages.try_recv() {
            Ok(Message::Write(next)) => group.add(connection, next),
            Ok(Message::Close(reply)) => closes.push(reply),
            Err(_) => break,
        }
    }
    (group, closes)
}

impl Group {
    /// Runs the first operation, which needs no savepoint: when it is refused, there is nothing
    /// else in the transaction. Says whether others may join it.
    fn begin(&mut self, connection: &Connection, mut operation: Box<dyn Write>) -> bool {
        let mut stands = false;
        self.failed = execute(connection, "BEGIN IMMEDIATE").err();
        if self.failed.is_none() {
            stands = operation.run(connection);
            if connection.is_autocommit() {
                self.failed = Some(rolled_back());
            } else if !stands {
                self.failed = execute(connection, "ROLLBACK").err();
            }
        }
        self.operations.push(operation);
        stands
    }

    /// Runs an operation under a savepoint of its own, so that a refused one takes only its own
    /// changes with it.
    fn add(&mut self, connection: &Connection, mut operation: Box<dyn Write>) {
        if self.failed.is_none() {
            self.failed = under_savepoint(connection, &mut *operation).err();
        }
        self.operations.push(operation);
    }

    /// Commits and answers.
    fn finish(self, connection: &Connection, path: &Path) -> Result<(), Error> {
        let committed = match self.failed {
            Some(error) => Err(error),
            // The only operation was refused and its transaction is gone.
            None if connection.is_autocommit() => Ok(()),
            None => execute(connection, "COMMIT"),
        };
        let committed = committed.map_err(|error| {
            if !connection.is_autocommit()
                && let Err(error) = execute(connection, "ROLLBACK")
            {
                tracing::error!(path = %path.display(), %error, "a transaction was not rolled back");
            }
            Error::of(path.to_path_buf(), error)
        });
        for operation in self.operations {
            operation.answer(committed.clone());
        }
        committed
    }
}

fn under_savepoint(
    connection: &Connection,
    operation: &mut dyn Write,
) -> Result<(), rusqlite::Error> {
    execute(connection, "SAVEPOINT operation")?;
    let stands = operation.run(connection);
    if connection.is_autocommit() {
        return Err(rolled_back());
    }
    if !stands {
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
