//! What whoever runs a server decides about what it takes on and how long it keeps it.

use std::time::Duration;

use mesh_graph::store;

use crate::{
    Error, Runtime,
    housekeeping::{ITEMS_EVERY, THREADS_EVERY},
    thread::TtlStrategy,
};

/// Runs that may wait for their turn, of one owner, unless it is said otherwise; everybody is one
/// owner where nobody has to say who they are.
pub const PENDING_RUNS_MAX: usize = 10_000;

/// Bytes of a thread's state, as JSON, above which nothing is added to it, unless it is said
/// otherwise.
pub const STATE_BYTES_MAX: usize = 64 << 20;

/// Writes that may wait for the database before no new run is taken on. Those of runs that are
/// under way wait their turn.
pub const WRITES_WAITING_MAX: usize = 1024;

/// Bounds and times; see the module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// See [`PENDING_RUNS_MAX`].
    pub pending_runs_max: usize,
    /// See [`STATE_BYTES_MAX`].
    pub state_bytes_max: usize,
    /// How long a thread is kept after it was last used, in minutes, and what happens then, unless
    /// whoever makes it says so; for ever without.
    pub thread_ttl: Option<(f64, TtlStrategy)>,
    /// How often threads are looked for whose time is up.
    pub threads_swept_every: Duration,
    /// How long an item of the store is kept, unless whoever writes it says so.
    pub item_ttl: store::Ttl,
    /// How often items are looked for whose time is up.
    pub items_swept_every: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            pending_runs_max: PENDING_RUNS_MAX,
            state_bytes_max: STATE_BYTES_MAX,
            thread_ttl: None,
            threads_swept_every: THREADS_EVERY,
            item_ttl: store::Ttl::default(),
            items_swept_every: ITEMS_EVERY,
        }
    }
}

/// What there can be too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Limit {
    /// Runs of one thread that have not ended.
    #[error("runs that wait on one thread")]
    RunsOfThread,
    /// Runs of one owner that wait; see [`Policy::pending_runs_max`].
    #[error("runs that wait for their turn")]
    PendingRuns,
    /// Writes that wait for the database; see [`WRITES_WAITING_MAX`].
    #[error("writes that wait for the database")]
    Writes,
    /// The state of a thread; see [`Policy::state_bytes_max`].
    #[error("bytes of state of a thread that is added to")]
    State,
    /// Keys that let somebody in.
    #[error("API keys")]
    ApiKeys,
}

impl Limit {
    /// Whether there is less of it by itself after a while, so that waiting helps.
    pub fn passes(self) -> bool {
        match self {
            Self::RunsOfThread | Self::PendingRuns | Self::Writes => true,
            Self::State | Self::ApiKeys => false,
        }
    }

    /// The error that says so.
    pub(crate) fn reached(self, max: usize) -> Error {
        Error::Full { limit: self, max }
    }
}

impl Runtime {
    /// Whether the database has so many writes to do already that nothing new is begun.
    ///
    /// # Errors
    /// [`Error::Full`] with [`Limit::Writes`].
    pub fn check_writes(&self) -> Result<(), Error> {
        if self.ledger().writes_waiting() > WRITES_WAITING_MAX {
            return self.noted(Err(Limit::Writes.reached(WRITES_WAITING_MAX)));
        }
        Ok(())
    }
}
