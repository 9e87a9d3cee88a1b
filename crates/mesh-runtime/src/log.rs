//! The log of a thread: what its runs told, numbered without gaps.
//!
//! An entry's number is taken from its thread in the transaction that stores it, so what was
//! committed has no gaps, whoever wrote it and whatever failed in between.

use std::sync::Arc;

use bytes::Bytes;
use mesh_graph::Mode;
use uuid::Uuid;

use crate::Error;

/// Entries that one reading of the log gives at most.
pub const PAGE: usize = 500;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An execution of a run begins: `{"run_id", "attempt"}`. The first entry of every run.
    Begun,
    /// An event of the graph, with the data that its mode has.
    Event(Mode),
    /// A message that its node returned, rather than one that was sent as it came about; with the
    /// data of [`Mode::Messages`].
    Returned,
    /// How the run ended: `{"status", "error"?, "breakpoint"?, "unfinished"?}`, where the error is
    /// `{"error", "message"}`, `unfinished` is true when tasks are left to do, and `breakpoint` when
    /// the graph stopped at a breakpoint rather than with a question. The last entry of every run,
    /// once per run.
    Ended,
    /// The thread's state was changed by hand: the new state.
    Updated,
}

/// One entry of a thread's log. Cloning shares the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number on the thread: 1, 2, 3 …
    pub seq: u64,
    /// The run that told it; nil for a change by hand.
    pub run: Uuid,
    /// What it is about.
    pub kind: Kind,
    /// Where it happened: `node:task` per level, joined by `|`; empty for the root.
    pub ns: Arc<str>,
    /// The superstep.
    pub step: i64,
    /// The node, where it is of one; of a run's begin and end, its graph.
    pub node: Option<Arc<str>>,
    /// When, milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// One JSON text, as the mode has it.
    pub data: Bytes,
    /// Of a piece of a message that was sent: where its text begins in that of the message, in
    /// characters. It begins anew with every execution of the run.
    pub text_at: Option<u64>,
}

impl Kind {
    /// The stream that it belongs to, if it is an event of the graph.
    pub fn mode(self) -> Option<Mode> {
        match self {
            Self::Event(mode) => Some(mode),
            Self::Returned => Some(Mode::Messages),
            Self::Begun | Self::Ended | Self::Updated => None,
        }
    }

    /// The name in storage: the mode's for events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Event(mode) => mode.name(),
            Self::Returned => "returned",
            Self::Ended => "ended",
            Self::Updated => "updated",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = mesh_graph::UnknownStreamMode;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(match name {
            "begun" => Self::Begun,
            "returned" => Self::Returned,
            "ended" => Self::Ended,
            "updated" => Self::Updated,
            mode => Self::Event(mode.parse()?),
        })
    }
}

impl Entry {
    /// An entry about a run or thread as a whole, without a number yet.
    pub fn of_run(run: Uuid, kind: Kind, at_ms: i64, data: &serde_json::Value) -> Self {
        Self {
            seq: 0,
            run,
            kind,
            ns: Arc::from(""),
            step: 0,
            node: None,
            at_ms,
            data: Bytes::from(data.to_string()),
            text_at: None,
        }
    }
}

/// The logs of all threads, within one transaction.
pub trait LogRows {
    /// Adds entries to a thread's log, in this order, and numbers them. Does nothing without
    /// entries.
    ///
    /// # Errors
    /// [`Error::NoThread`]; [`Error::Storage`].
    fn append(
        &mut self,
        thread: &str,
        run: Uuid,
        epoch: u64,
        entries: &mut [Entry],
    ) -> Result<(), Error>;

    /// The entries of a thread after `after`, in order; at most `limit`. Empty for a thread that
    /// is not there.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn entries(&mut self, thread: &str, after: u64, limit: usize) -> Result<Vec<Entry>, Error>;

    /// The entries of one run on a thread after `after`, in order; at most `limit`.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn run_entries(
        &mut self,
        thread: &str,
        run: Uuid,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, Error>;

    /// Where the run begins that the entry with this number belongs to, or lies within the time
    /// of: the number of its first entry. None if no run had begun by then, or that is not kept any
    /// more.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn begin_upto(&mut self, thread: &str, upto: u64) -> Result<Option<u64>, Error>;

    /// The number of a thread's last entry; 0 before the first one and for a thread that is not
    /// there.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn last_seq(&mut self, thread: &str) -> Result<u64, Error>;

    /// When the database was made, in milliseconds since 1970: numbers of another one mean nothing
    /// here.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn incarnation(&mut self) -> Result<u64, Error>;

    /// The number of a thread's oldest entry that is still kept; none when there is none.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn oldest_seq(&mut self, thread: &str) -> Result<Option<u64>, Error>;

    /// Forgets what runs told that ended before this time (milliseconds since 1970): about `max`
    /// entries, always from the beginning of a log, and none of a thread that is busy. Returns how
    /// many went; zero when there is nothing more to forget.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn forget_entries(&mut self, ended_before_ms: i64, max: usize) -> Result<usize, Error>;
}
