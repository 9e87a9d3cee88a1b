//! The rows of runs, and of threads as far as runs change them.

use bytes::Bytes;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::Now;
use crate::{
    Error, Run, Stamp,
    run::{CancelAction, RunStatus},
    thread::ThreadStatus,
};

/// A thread, as its runs see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// Who made it.
    pub owner: Option<String>,
    /// What it is doing.
    pub status: ThreadStatus,
    /// Its free entries.
    pub metadata: Map<String, Json>,
    /// Its configuration.
    pub config: Map<String, Json>,
    /// How many of its runs are pending or running.
    pub open: usize,
    /// What its state takes, as JSON.
    pub state_bytes: u64,
}

/// The state that a run leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The root state, one JSON text.
    pub values: Bytes,
    /// Open questions by task id.
    pub interrupts: Map<String, Json>,
    /// Whether tasks are left.
    pub unfinished: bool,
    /// Whether the graph stopped at a breakpoint rather than with a question.
    pub breakpoint: bool,
}

/// What a run leaves on its thread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Left<'a> {
    /// What the thread is, once none of its runs is open; as before the run without.
    pub rest: Option<ThreadStatus>,
    /// Its state; as it was without.
    pub state: Option<&'a State>,
    /// `{"error", "message"}` of a run that failed; only looked at with `rest`.
    pub error: Option<&'a Json>,
    /// The thread was made for the run alone: it is gone from this time on.
    pub expires_at: Option<Stamp>,
}

/// The fields of a run that change, with those of its row that have to be as they were.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The run as it is to be.
    pub run: &'a Run,
    /// The status that it must have.
    pub status: RunStatus,
    /// The epoch that it must have.
    pub epoch: u64,
}

/// Which runs of a thread to list, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunQuery {
    /// Only those with this status.
    pub status: Option<RunStatus>,
    /// At most so many.
    pub limit: usize,
    /// Without the first so many.
    pub offset: usize,
}

/// Runs that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenRuns {
    /// Those that wait.
    pub pending: u64,
    /// Those that a worker has.
    pub running: u64,
}

/// What has to be sent to a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its id, which stays the same however often it is sent.
    pub id: Uuid,
    /// The run that it is about.
    pub run: Uuid,
    /// Where to.
    pub target: String,
    /// One JSON text.
    pub body: Vec<u8>,
    /// When it was written; it is sent from then on.
    pub at: Stamp,
}

/// The rows of runs, within one transaction.
pub trait RunRows {
    /// A thread, as its runs see it.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn head(&mut self, thread: &str) -> Result<Option<Head>, Error>;

    /// A run was made on a thread: it is busy, with this metadata and configuration. What it was
    /// before is kept until [`RunRows::leave`].
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn enter(
        &mut self,
        thread: &str,
        at: Stamp,
        metadata: &Map<String, Json>,
        config: &Map<String, Json>,
    ) -> Result<(), Error>;

    /// A run of a thread ended or is gone. The thread is busy if another of its runs is open, else
    /// what the last one left, and what it was before its runs if none left anything. Returns
    /// whether it is busy.
    ///
    /// # Errors
    /// [`Error::NoThread`]; [`Error::Storage`].
    fn leave(&mut self, thread: &str, at: Stamp, left: Left<'_>) -> Result<bool, Error>;

    /// A run.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn run(&mut self, id: Uuid) -> Result<Option<Run>, Error>;

    /// Where a run stands, which is less to read than all of it: status, epoch, and how it is to
    /// end if it is to.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn standing(&mut self, id: Uuid) -> Result<Option<Standing>, Error>;

    /// Adds a run to a thread.
    ///
    /// # Errors
    /// [`Error::NoThread`]; [`Error::Storage`].
    fn insert_run(&mut self, run: &Run) -> Result<(), Error>;

    /// Writes what changes about a run. Returns whether it was as expected; if not, nothing is
    /// written.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn update_run(&mut self, change: Change<'_>) -> Result<bool, Error>;

    /// Prolongs a worker's claim, unless the run is no longer its, or is to end now. Returns none
    /// if it was not.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn prolong(
        &mut self,
        id: Uuid,
        epoch: u64,
        lease_until: i64,
    ) -> Result<Option<Prolonged>, Error>;

    /// Notes that an execution got a step further: it counts as the first one again.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn progressed(&mut self, id: Uuid, epoch: u64) -> Result<(), Error>;

    /// Removes the row of a run. What it told stays on the log.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn delete_run(&mut self, id: Uuid) -> Result<(), Error>;

    /// Removes the checkpoints that a run made, with all that only they needed.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn forget_checkpoints(&mut self, thread: &str, run: Uuid) -> Result<(), Error>;

    /// How many runs have not ended.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn count_open_runs(&mut self) -> Result<OpenRuns, Error>;

    /// How many runs of an owner are pending; counts no further than `max`.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn count_pending(&mut self, owner: Option<&str>, max: usize) -> Result<usize, Error>;

    /// The pending and running runs of a thread, oldest first.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn open_runs(&mut self, thread: &str) -> Result<Vec<Run>, Error>;

    /// Runs of a thread, newest first.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn runs(&mut self, thread: &str, query: &RunQuery) -> Result<Vec<Run>, Error>;

    /// Pending runs whose time and turn have come, oldest first: of each thread that has none
    /// running the one that has begun before, else the oldest one that may start.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn due_runs(&mut self, at: Stamp, limit: usize) -> Result<Vec<Run>, Error>;

    /// The earliest time that a pending run waits for.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn next_due(&mut self, after: Stamp) -> Result<Option<Stamp>, Error>;

    /// Running runs whose lease or deadline has passed.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn overdue_runs(&mut self, now: Now, limit: usize) -> Result<Vec<Uuid>, Error>;

    /// Runs that are pending or running, as `status` says, were made at `until` at the latest by
    /// this owner, and were not asked to end already, or for less than `action`; oldest first. No
    /// owner: everybody's.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn open_ids(
        &mut self,
        status: Option<RunStatus>,
        owner: Option<&str>,
        until: Stamp,
        action: CancelAction,
        limit: usize,
    ) -> Result<Vec<Uuid>, Error>;

    /// Puts what has to be sent among what waits for it.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn post(&mut self, letter: &Letter) -> Result<(), Error>;
}

/// A claim that was prolonged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prolonged {
    /// The run is to end with the step that it is in.
    pub ends_after_step: bool,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its status.
    pub status: RunStatus,
    /// Its fencing number.
    pub epoch: u64,
    /// When it was first claimed.
    pub started_at: Option<Stamp>,
    /// Executions since its last committed step.
    pub attempt: u32,
    /// Since when it is to end, and how.
    pub cancel: Option<(Stamp, CancelAction)>,
}
