//! What can go wrong, by what a caller can do about it.

use mesh_graph::{checkpointer, error::BoxError};
use uuid::Uuid;

use crate::Limit;

/// An operation on assistants, threads, runs or crons that was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such assistant, for this caller.
    #[error("assistant {0} is not there")]
    NoAssistant(String),
    /// The assistant has no such version.
    #[error("assistant {assistant} has no version {version}")]
    NoVersion {
        /// The assistant.
        assistant: Uuid,
        /// The version.
        version: u32,
    },
    /// Both ways of saying what nodes read of a configuration were used.
    #[error("configurable and context are both given; expected one of them")]
    TwoContexts,
    /// There is no such graph.
    #[error("there is no graph `{graph}`; there is: {}", .known.join(", "))]
    NoGraph {
        /// The id that was given.
        graph: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// There is no such thread, for this caller.
    #[error("thread {0} is not there")]
    NoThread(String),
    /// The thread has no graph yet, so its state cannot be changed.
    #[error("thread {thread} has no graph yet")]
    NoGraphYet {
        /// The thread.
        thread: String,
    },
    /// The thread has no such checkpoint.
    #[error("checkpoint {0} is not there")]
    NoCheckpoint(String),
    /// There is no such run, for this caller.
    #[error("run {0} is not there")]
    NoRun(Uuid),
    /// There is no such cron, for this caller.
    #[error("cron {0} is not there")]
    NoCron(Uuid),
    /// There is one with this id already.
    #[error("{what} {id} is there already")]
    Exists {
        /// `assistant` or `thread`.
        what: &'static str,
        /// The id.
        id: String,
    },
    /// Another request with the same idempotency key was faster; what it made can be asked for.
    #[error("another request with this idempotency key is being handled")]
    KeyInUse,
    /// The thread has a run, and the new one does not wait.
    #[error("thread {thread} has a run already")]
    Busy {
        /// The thread.
        thread: String,
    },
    /// The thread cannot be changed while runs are on it.
    #[error("thread {thread} has runs that have not ended: {}", list(.runs))]
    InFlight {
        /// The thread.
        thread: String,
        /// The runs.
        runs: Vec<Uuid>,
    },
    /// What was asked for is not possible as it was given.
    #[error("{message}")]
    Invalid {
        /// JSON Pointer (RFC 6901) to what is wrong; empty for the whole.
        pointer: String,
        /// What is wrong and what was expected.
        message: String,
    },
    /// A graph that is made on request was not made.
    #[error("graph `{graph}` cannot be made: {message}")]
    NotMade {
        /// The graph's id.
        graph: String,
        /// What its factory says.
        message: String,
    },
    /// The store refuses or reports it.
    #[error(transparent)]
    Store(#[from] mesh_graph::store::Error),
    /// The graph reports it.
    #[error(transparent)]
    Graph(Box<mesh_graph::Error>),
    /// The run was taken from its worker: nothing of this was stored.
    #[error("run {run} was taken from its worker")]
    Fenced {
        /// The run.
        run: Uuid,
    },
    /// A limit was reached; later it may work.
    #[error("{limit}: at most {max}")]
    Full {
        /// Which limit.
        limit: Limit,
        /// Its value.
        max: usize,
    },
    /// The server is about to stop.
    #[error("the server is stopping")]
    Stopping,
    /// There is no room left on the disk. Reading goes on.
    #[error("the disk is full")]
    DiskFull,
    /// A stored row cannot be read.
    #[error("a stored {what} is damaged")]
    Damaged {
        /// What it is of.
        what: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// Storage failed.
    #[error("storage failed")]
    Storage(#[source] BoxError),
}

impl From<mesh_graph::Error> for Error {
    fn from(error: mesh_graph::Error) -> Self {
        match error {
            mesh_graph::Error::CheckpointFailed(checkpointer::Error::DiskFull) => Self::DiskFull,
            error => Self::Graph(Box::new(error)),
        }
    }
}

impl From<checkpointer::Error> for Error {
    fn from(error: checkpointer::Error) -> Self {
        match error {
            checkpointer::Error::DiskFull => Self::DiskFull,
            error => Self::Storage(Box::new(error)),
        }
    }
}

fn list(runs: &[Uuid]) -> String {
    runs.iter().map(Uuid::to_string).collect::<Vec<_>>().join(", ")
}
