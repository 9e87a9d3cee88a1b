//! The state of threads, and how it is changed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// The state of a thread at a checkpoint. What has no checkpoint has null where it would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadState {
    /// The values of its graph.
    pub values: Json,
    /// The nodes that would run next.
    pub next: Vec<String>,
    /// The tasks of the next superstep.
    pub tasks: Vec<ThreadTask>,
    /// Entries of the checkpoint: those of its run, `source`, `step` and `parents`.
    pub metadata: Option<Map<String, Json>>,
    /// When the checkpoint was made.
    #[schemars(extend("format" = "date-time"))]
    pub created_at: Option<String>,
    /// The checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// The checkpoint it was made from.
    pub parent_checkpoint: Option<Checkpoint>,
    /// The questions of all its tasks.
    pub interrupts: Vec<Interrupt>,
    /// The checkpoint's id.
    pub checkpoint_id: Option<String>,
    /// The id of the checkpoint it was made from.
    pub parent_checkpoint_id: Option<String>,
}

/// The state of a graph that is mounted in a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MountedState {
    /// The values of the graph.
    pub values: Json,
    /// The nodes that would run next.
    pub next: Vec<String>,
    /// The tasks of the next superstep.
    pub tasks: Vec<ThreadTask>,
    /// Entries of the checkpoint.
    pub metadata: Option<Map<String, Json>>,
    /// When the checkpoint was made.
    #[schemars(extend("format" = "date-time"))]
    pub created_at: Option<String>,
    /// The checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// The checkpoint it was made from.
    pub parent_checkpoint: Option<Checkpoint>,
}

/// A task of the next superstep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThreadTask {
    /// Its id.
    pub id: String,
    /// Its node.
    pub name: String,
    /// What made it: `["__pregel_pull", node]` for edges, `["__pregel_push", index]` for a task of
    /// its own.
    pub path: Vec<Json>,
    /// What it failed with: `ValueError('…')`.
    pub error: Option<String>,
    /// What it asks.
    pub interrupts: Vec<Interrupt>,
    /// Where the state of the graph is that is mounted there, unless it is here.
    pub checkpoint: Option<CheckpointRef>,
    /// The state of the graph that is mounted there, if it was asked for.
    pub state: Option<Box<MountedState>>,
    /// What it gave.
    pub result: Option<Json>,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interrupt {
    /// What it is answered by.
    pub id: String,
    /// What is asked.
    pub value: Json,
    /// JSON Schema that an answer has to fit; absent where any will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_schema: Option<Json>,
}

/// A checkpoint that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The thread.
    pub thread_id: String,
    /// The namespace of its graph: empty for the root.
    pub checkpoint_ns: String,
    /// Its id.
    pub checkpoint_id: String,
    /// Below the root: the checkpoints of the graphs above it and its own, by namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_map: Option<BTreeMap<String, String>>,
}

/// A checkpoint that a client names. All that is left out means the root's newest one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckpointRef {
    /// The thread; the one that is asked about counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    /// The namespace of its graph: empty for the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_ns: Option<String>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_id: Option<String>,
    /// Checkpoints by namespace; has the id, when that is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_map: Option<BTreeMap<String, String>>,
}

/// Asks for the state at a checkpoint.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct StateAsked {
    /// The checkpoint.
    pub checkpoint: Option<CheckpointRef>,
    /// Whether the states of mounted graphs are given, too.
    pub subgraphs: Option<bool>,
}

/// Changes the state of a thread.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct StateUpdate {
    /// State keys and what to write there: an object, or a list of objects and `[key, value]`.
    /// `{"__overwrite__": value}` replaces what a reducer would merge.
    pub values: Option<Json>,
    /// The node that gave them; the one that ran last without. `__input__` and `__start__` make it
    /// an input, `__end__` drops what is left to run, `__copy__` copies the checkpoint.
    pub as_node: Option<String>,
    /// On top of which checkpoint; the newest without.
    pub checkpoint: Option<CheckpointRef>,
    /// The same by its id.
    pub checkpoint_id: Option<String>,
}

/// The checkpoint that a change has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateUpdated {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The same.
    pub configurable: Checkpoint,
    /// Its id.
    pub checkpoint_id: String,
}

/// A checkpoint by its id or as it is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Before {
    /// Its id.
    Id(String),
    /// A configuration that names it.
    Configured {
        /// The checkpoint.
        configurable: CheckpointRef,
    },
    /// The checkpoint.
    Checkpoint(CheckpointRef),
}

/// Asks for the checkpoints of a thread.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct HistoryAsked {
    /// At most this many: 10 without.
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
    /// Only those older than this one.
    pub before: Option<Before>,
    /// Entries that their metadata contains.
    pub metadata: Option<Map<String, Json>>,
    /// Of which graph, by `checkpoint_ns`; with an id only that one.
    pub checkpoint: Option<CheckpointRef>,
    /// Only these members of each; all of them without.
    pub select: Option<Vec<StateSelect>>,
}

/// Members of a state that can be asked for alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the members of `ThreadState` are described there")]
pub enum StateSelect {
    Values,
    Next,
    Tasks,
    Metadata,
    CreatedAt,
    Checkpoint,
    ParentCheckpoint,
    Interrupts,
    CheckpointId,
    ParentCheckpointId,
}
