//! The log of a thread: what its runs told, numbered without gaps.

use std::sync::Arc;

use bytes::Bytes;
use mesh_graph::Mode;
use uuid::Uuid;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An execution of a run begins: `{"run_id", "attempt"}`. The first entry of every run.
    Begun,
    /// An event of the graph, with the data that its mode has.
    Event(Mode),
    /// How the run ended: `{"status", "error"?}`. The last entry of every run, once per run.
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
    /// The node, where it is of one.
    pub node: Option<Arc<str>>,
    /// When, milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// One JSON text, as the mode has it.
    pub data: Bytes,
}
