//! Runs: one invocation of an assistant on a thread.

use mesh_graph::{Mode, Modes};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::Stamp;

/// Where a run stands. The last four are final: nothing leaves them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Accepted; waits for its turn, its time or a free worker.
    Pending,
    /// A worker has it.
    Running,
    /// Done, or paused by a question of the graph.
    Success,
    /// It failed.
    Error,
    /// It took longer than it may.
    Timeout,
    /// It was cancelled.
    Interrupted,
}

impl RunStatus {
    /// Whether it is final.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// The name on the wire and in storage.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Interrupted => "interrupted",
        }
    }

    /// The status with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Pending, Self::Running, Self::Success, Self::Error, Self::Timeout, Self::Interrupted]
            .into_iter()
            .find(|status| status.name() == name)
    }
}

/// What happens to a new run on a thread that has one already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Multitask {
    /// It is refused.
    Reject,
    /// It waits for its turn.
    #[default]
    Enqueue,
    /// The others are cancelled; what they saved stays.
    Interrupt,
    /// The others are cancelled and removed with all that they saved.
    Rollback,
}

impl Multitask {
    /// The name on the wire and in storage.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Enqueue => "enqueue",
            Self::Interrupt => "interrupt",
            Self::Rollback => "rollback",
        }
    }

    /// The strategy with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Reject, Self::Enqueue, Self::Interrupt, Self::Rollback]
            .into_iter()
            .find(|strategy| strategy.name() == name)
    }
}

/// How a run is cancelled; the later ones ask for more.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum CancelAction {
    /// What is running comes to the end of its step first, however long that takes; all of it
    /// stays.
    AfterStep,
    /// It is stopped now. What it saved stays.
    #[default]
    Interrupt,
    /// It is removed with all that it saved.
    Rollback,
}

impl CancelAction {
    /// The name on the wire and in storage.
    pub fn name(self) -> &'static str {
        match self {
            Self::AfterStep => "after_step",
            Self::Interrupt => "interrupt",
            Self::Rollback => "rollback",
        }
    }

    /// The action with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::AfterStep, Self::Interrupt, Self::Rollback]
            .into_iter()
            .find(|action| action.name() == name)
    }
}

/// Stands among the names of a run's stream modes when what the nodes of mounted graphs say by
/// themselves is told as well: messages, custom events and what tools do.
pub const FROM_ANY_DEPTH: &str = "from-any-depth";

/// Stands among the names of a run's stream modes when pieces of a message that are stored together
/// are stored as one piece. Whoever reads that run is content with its text in larger pieces.
pub const MERGED_PIECES: &str = "merged-pieces";

/// What a run was asked to do. Stored with the run, never changed; shown as `kwargs`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kwargs {
    /// The graph's input; null goes on with what the thread left unfinished.
    pub input: Json,
    /// `{resume?, update?, goto?}`; wins over the input.
    pub command: Option<Json>,
    /// Configuration of assistant, thread and request, merged: tags, `recursion_limit`,
    /// `configurable`, metadata.
    pub config: Map<String, Json>,
    /// Context of assistant and request, merged.
    pub context: Json,
    /// Names of stream modes as the client gave them; what is told of the run.
    pub stream_mode: Vec<String>,
    /// Nodes to stop before: `"*"` or a list of names.
    pub interrupt_before: Option<Json>,
    /// Nodes to stop after: `"*"` or a list of names.
    pub interrupt_after: Option<Json>,
    /// Where to tell how it ended.
    pub webhook: Option<String>,
    /// Not used; shown as it was given.
    pub feedback_keys: Option<Json>,
    /// The thread goes when the run has ended.
    pub temporary: bool,
    /// What mounted graphs do is told, too.
    pub subgraphs: bool,
    /// The client said that it may come back.
    pub resumable: bool,
    /// `sync`, `async` or `exit`.
    pub durability: Option<String>,
    /// The checkpoint to start from: `{checkpoint_id?, checkpoint_ns?, checkpoint_map?}`.
    pub checkpoint: Option<Json>,
    /// It was asked for under an idempotency key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub under_key: bool,
}

impl Kwargs {
    /// Whether mounted graphs have to tell what they do.
    pub(crate) fn tells_of_subgraphs(&self) -> bool {
        self.subgraphs || self.stream_mode.iter().any(|name| name == FROM_ANY_DEPTH)
    }

    /// Whether pieces of a message may be stored as one.
    pub(crate) fn merges_pieces(&self) -> bool {
        self.stream_mode.iter().any(|name| name == MERGED_PIECES)
    }

    /// The streams of the graph that the log has to keep, so that every stream mode the client
    /// named can be told from it. Names that are no stream mode need nothing.
    pub fn recorded(&self) -> Modes {
        let modes = |name: &String| -> &[Mode] {
            match name.as_str() {
                "values" => &[Mode::Values],
                "updates" => &[Mode::Updates],
                "custom" => &[Mode::Custom],
                "messages-tuple" => &[Mode::Messages],
                // A message is complete when the state has it.
                "messages" => &[Mode::Messages, Mode::Values],
                "tasks" => &[Mode::Tasks],
                "checkpoints" => &[Mode::Checkpoints],
                // These two are told in other words only.
                "debug" => &[Mode::Tasks, Mode::Checkpoints],
                "events" => &[Mode::Tasks, Mode::Messages, Mode::Values],
                "tools" => &[Mode::Tools],
                // No stream mode of its own: the event protocol tells it.
                "lifecycle" => &[Mode::Lifecycle],
                _ => &[],
            }
        };
        self.stream_mode.iter().flat_map(modes).copied().collect()
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    /// The thread it is on.
    pub thread: String,
    /// The assistant it is of.
    pub assistant: Uuid,
    /// The graph that this assistant had when the run was made.
    pub graph: String,
    /// When it was made.
    pub created_at: Stamp,
    /// When anything about it last changed.
    pub updated_at: Stamp,
    /// When it was first claimed.
    pub started_at: Option<Stamp>,
    /// When it ended.
    pub ended_at: Option<Stamp>,
    /// Entries of assistant, thread and request, merged.
    pub metadata: Map<String, Json>,
    /// What it was asked to do.
    pub kwargs: Kwargs,
    /// What happens when it meets another.
    pub multitask: Multitask,
    /// Where it stands.
    pub status: RunStatus,
    /// Executions since its last committed step, this one included; 0 before the first.
    pub attempt: u32,
    /// The fencing number: grows with every claim, and when it is taken from its worker.
    pub epoch: u64,
    /// The worker that has it: an id that is new at every start of a process.
    pub lease_owner: Option<Uuid>,
    /// When the worker's claim ends, milliseconds of the ledger's clock.
    pub lease_until: Option<i64>,
    /// Not to be started before.
    pub not_before: Option<Stamp>,
    /// To be ended as [`RunStatus::Timeout`] then.
    pub deadline: Option<Stamp>,
    /// Since when it is to end.
    pub cancel_at: Option<Stamp>,
    /// How it is to end.
    pub cancel_action: CancelAction,
    /// `{"error", "message"}`, if it failed.
    pub error: Option<Json>,
    /// The newest checkpoint of the thread when the run was claimed first: where a rollback goes.
    pub base: Option<String>,
    /// Who made it.
    pub owner: Option<String>,
}
