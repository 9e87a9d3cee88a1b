//! What may become of a run, and when.
//!
//! ```text
//!            +--- lost, drained ---+
//!            v                     |
//! create -> pending --- claim --> running --> success, error, timeout, interrupted
//!            |                                   ^
//!            +------------- cancel --------------+
//! ```
//!
//! Nothing leaves one of the last four; an answer to a question is a new run. Every change goes
//! through [`transition`], which writes in one transaction the run, its thread's status, the last
//! entry of its log and what has to be told to its webhook. All of it are functions over a
//! [`Tx`](crate::Tx): they never wait, and take the time from whoever calls.

mod cancel;
mod claim;
mod create;
mod handle;
mod merge;
mod reap;
mod rows;
mod shown;
mod transition;

pub(crate) use create::check_state;

pub use self::{
    cancel::{CANCEL_BATCH, CANCEL_GRACE_MS, Cancelled, Selection, cancel, remove},
    claim::{Claim, Renewal, claim, claim_run, renew},
    create::{Created, Ids, NewRun, OF_THE_CALLER, OPEN_MAX, Target, create},
    reap::{REAP_BATCH, reap, settle_after_start},
    rows::{Change, Head, Left, Letter, OpenRuns, Prolonged, RunQuery, RunRows, Standing, State},
    shown::shown,
    transition::{ATTEMPTS_MAX, Cause, Guard, TEMPORARY_GRACE_MS, finish, guard, transition},
};
use crate::{Stamp, log::Entry};

/// When something happens, by two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For people, and for what has to outlive the process.
    pub at: Stamp,
    /// For leases: milliseconds of a clock that is never set, of this process.
    pub ms: i64,
}

/// What a transaction changed that others wait for. It is told to them after the commit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Told {
    /// What was added to the logs of threads.
    pub entries: Vec<(String, Vec<Entry>)>,
    /// Running runs whose workers have to look: each is to end, or was taken away.
    pub owners: Vec<uuid::Uuid>,
    /// Running runs that their workers have to end after the step that they are in.
    pub stopping: Vec<uuid::Uuid>,
    /// A run may have become due.
    pub due: bool,
    /// Threads that were deleted, and whose they were.
    pub buried: Vec<(String, Option<String>)>,
}

impl Told {
    /// Adds what another change told.
    pub fn add(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.owners.extend(other.owners);
        self.stopping.extend(other.stopping);
        self.due |= other.due;
        self.buried.extend(other.buried);
    }
}
