//! Threads: a tree of checkpoints under one id, and the log of what happened on it.

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::Stamp;

/// What a thread is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ThreadStatus {
    /// Nothing, and nothing is left to do.
    Idle,
    /// A run is pending or running.
    Busy,
    /// Nothing, and tasks are left: it waits for an answer or to be continued.
    Interrupted,
    /// Nothing: its last run failed.
    Error,
}

/// What becomes of a thread when its time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TtlStrategy {
    /// It goes, with everything on it.
    Delete,
    /// Its newest checkpoint stays.
    KeepLatest,
}

/// How long a thread is kept after something last happened on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ttl {
    /// In minutes.
    pub minutes: f64,
    /// What happens then.
    pub strategy: TtlStrategy,
    /// When that is.
    pub expires_at: Stamp,
}

/// A thread.
#[derive(Debug, Clone, PartialEq)]
pub struct Thread {
    /// Its id: a UUID, unless a socket named it otherwise.
    pub id: String,
    /// When it was made.
    pub created_at: Stamp,
    /// When anything about it last changed.
    pub updated_at: Stamp,
    /// When its state last changed.
    pub state_updated_at: Stamp,
    /// Free entries; `graph_id` and `assistant_id` are those of its last run.
    pub metadata: Map<String, Json>,
    /// What it is doing.
    pub status: ThreadStatus,
    /// The configuration that operations on its state use.
    pub config: Map<String, Json>,
    /// Its root state, shown as JSON; none before the first run or update.
    pub values: Option<Json>,
    /// Open questions by task id; none before the first run or update.
    pub interrupts: Option<Map<String, Json>>,
    /// `{"error", "message"}` of its last run, if that failed.
    pub error: Option<Json>,
    /// The number that its log's next entry gets.
    pub next_seq: u64,
    /// How long it is kept; for ever without.
    pub ttl: Option<Ttl>,
    /// Who made it.
    pub owner: Option<String>,
}
