//! Time limits of nodes, and what counts as progress.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// How long one attempt of a node may take. A retry starts a fresh clock; waiting for a
/// concurrency slot does not count. A plain duration is a limit of the whole attempt.
///
/// A node that blocks its thread cannot be stopped: its task is reported as timed out and what it
/// returns later is dropped.
///
/// Semantics: LangGraph's `TimeoutPolicy`, for every kind of node and for error handlers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeout {
    /// From the attempt's begin to its end.
    pub run: Option<Duration>,
    /// Since the last progress.
    pub idle: Option<Duration>,
    /// What counts as progress.
    pub refresh_on: RefreshOn,
}

/// What counts as progress for [`Timeout::idle`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshOn {
    /// Whatever the node sends, [`crate::Ctx::heartbeat`], and every task that a graph mounted in
    /// it finishes.
    #[default]
    Auto,
    /// Only [`crate::Ctx::heartbeat`].
    Heartbeat,
}

impl From<Duration> for Timeout {
    fn from(run: Duration) -> Self {
        Self { run: Some(run), ..Self::default() }
    }
}

impl Timeout {
    /// A limit of the time without progress.
    pub fn idle(idle: Duration) -> Self {
        Self { idle: Some(idle), ..Self::default() }
    }

    /// With this as what counts as progress.
    pub fn refresh_on(mut self, refresh_on: RefreshOn) -> Self {
        self.refresh_on = refresh_on;
        self
    }

    /// Whether both limits are more than nothing.
    pub(crate) fn is_valid(&self) -> bool {
        self.run != Some(Duration::ZERO) && self.idle != Some(Duration::ZERO)
    }
}

/// Which limit of a [`Timeout`] was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeoutKind {
    /// The whole attempt took too long.
    Run,
    /// There was no progress for too long.
    Idle,
}

impl fmt::Display for TimeoutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run => "run",
            Self::Idle => "idle",
        })
    }
}

/// Progress of one attempt, and of the attempts of the nodes that its graph is mounted in.
pub(crate) struct Progress {
    made: Notify,
    refresh_on: RefreshOn,
    above: Option<Arc<Self>>,
}

impl Progress {
    pub(crate) fn new(refresh_on: RefreshOn, above: Option<Arc<Self>>) -> Self {
        Self { made: Notify::new(), refresh_on, above }
    }

    /// Notes progress here and above; `heartbeat` when the node said so itself.
    pub(crate) fn note(&self, heartbeat: bool) {
        let mut next = Some(self);
        while let Some(progress) = next {
            if heartbeat || progress.refresh_on == RefreshOn::Auto {
                // Keeps one permit: progress between two waits is not missed.
                progress.made.notify_one();
            }
            next = progress.above.as_deref();
        }
    }

    /// Waits for progress that was not waited for before.
    pub(crate) async fn made(&self) {
        self.made.notified().await;
    }
}
