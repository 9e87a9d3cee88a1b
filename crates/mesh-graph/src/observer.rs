//! Being told when runs pause and go on.

use std::sync::Arc;

use crate::{checkpoint::CheckpointId, interrupt::Interrupt};

/// Hears when a run pauses for people and when it goes on. Calls come from the run itself, at
/// every level of mounted graphs, and hold it up: hand on what takes time. A panic is caught and
/// logged.
///
/// Semantics: LangGraph's `on_interrupt` and `on_resume` callbacks of a graph.
pub trait Observer: Send + Sync {
    /// A graph stopped at open questions, or, without any, at a breakpoint.
    fn on_interrupt(&self, pause: &Pause<'_>) {
        let _ = pause;
    }

    /// A graph goes on with unfinished work; `interrupts` are the questions that were answered.
    fn on_resume(&self, pause: &Pause<'_>) {
        let _ = pause;
    }
}

/// Where a run paused or goes on.
#[derive(Debug, Clone, Copy)]
pub struct Pause<'a> {
    /// The run.
    pub run_id: &'a str,
    /// The thread, if the run has one.
    pub thread_id: Option<&'a str>,
    /// The checkpoint it stands on; none without a checkpointer.
    pub checkpoint: Option<CheckpointId>,
    /// Where the graph is mounted: empty for the root.
    pub ns: &'a Arc<[String]>,
    /// The questions.
    pub interrupts: &'a [Interrupt],
}
