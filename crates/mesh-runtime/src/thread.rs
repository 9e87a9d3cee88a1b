//! Threads: a tree of checkpoints under one id, and the log of what happened on it.

pub mod answers;
pub mod operations;
pub mod questions;
pub mod rows;
pub mod shown;
pub mod state;

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

impl ThreadStatus {
    /// Its name on the wire and in storage.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Interrupted => "interrupted",
            Self::Error => "error",
        }
    }

    /// The status with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Idle, Self::Busy, Self::Interrupted, Self::Error]
            .into_iter()
            .find(|status| status.name() == name)
    }
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

impl TtlStrategy {
    /// Its name on the wire and in storage.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::KeepLatest => "keep_latest",
        }
    }

    /// The strategy with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Delete, Self::KeepLatest].into_iter().find(|strategy| strategy.name() == name)
    }
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

impl Ttl {
    /// A time that begins at `now`.
    pub fn from(now: Stamp, minutes: f64, strategy: TtlStrategy) -> Self {
        Self { minutes, strategy, expires_at: Self::end(now, minutes) }
    }

    /// So many minutes later.
    fn end(now: Stamp, minutes: f64) -> Stamp {
        Stamp(now.0.saturating_add((minutes * 60e6) as i64))
    }

    /// The same time, beginning at `now`.
    #[must_use]
    pub fn renewed(self, now: Stamp) -> Self {
        Self { expires_at: Self::end(now, self.minutes), ..self }
    }
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

impl Thread {
    /// A thread on which nothing has happened yet.
    pub fn new(id: impl Into<String>, now: Stamp) -> Self {
        Self {
            id: id.into(),
            created_at: now,
            updated_at: now,
            state_updated_at: now,
            metadata: Map::new(),
            status: ThreadStatus::Idle,
            config: Map::new(),
            values: None,
            interrupts: None,
            error: None,
            next_seq: 1,
            ttl: None,
            owner: None,
        }
    }
}
