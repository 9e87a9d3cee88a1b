//! Runs: what clients ask for, and how a run is shown.

use std::{fmt, marker::PhantomData};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IntoDeserializer, SeqAccess, Visitor, value::SeqAccessDeserializer},
};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

/// What can be streamed of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StreamMode {
    /// The whole state after every superstep.
    Values,
    /// Messages as they grow, and each once more when it is complete.
    Messages,
    /// Messages piece by piece, each with where it comes from.
    MessagesTuple,
    /// The update of every node.
    Updates,
    /// Callback events of LangChain.
    Events,
    /// Checkpoints and tasks, each with its step and time.
    Debug,
    /// Begin and end of every task.
    Tasks,
    /// Every checkpoint.
    Checkpoints,
    /// Whatever nodes send.
    Custom,
    /// What tools do.
    Tools,
}

impl StreamMode {
    /// All modes.
    pub const ALL: [Self; 10] = [
        Self::Values,
        Self::Messages,
        Self::MessagesTuple,
        Self::Updates,
        Self::Events,
        Self::Debug,
        Self::Tasks,
        Self::Checkpoints,
        Self::Custom,
        Self::Tools,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Values => "values",
            Self::Messages => "messages",
            Self::MessagesTuple => "messages-tuple",
            Self::Updates => "updates",
            Self::Events => "events",
            Self::Debug => "debug",
            Self::Tasks => "tasks",
            Self::Checkpoints => "checkpoints",
            Self::Custom => "custom",
            Self::Tools => "tools",
        }
    }

    /// The mode with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// One of something, or a list of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several, in order.
    Many(Vec<T>),
}

/// Reads a list as a list and anything else as one, so that what is wrong is told of what was given.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one or a list")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(text.into_deserializer()).map(OneOrMany::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMany::Many)
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

impl<T> OneOrMany<T> {
    /// As a list.
    pub fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// What happens to a new run on a thread that has one already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MultitaskStrategy {
    /// It is refused.
    Reject,
    /// The others are cancelled; what they saved stays.
    Interrupt,
    /// The others are cancelled and removed.
    Rollback,
    /// It waits for its turn.
    #[default]
    Enqueue,
}

/// What happens to a run when the client that made it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDisconnect {
    /// It is cancelled.
    Cancel,
    /// It goes on.
    #[default]
    Continue,
}

/// What happens to the thread of a run that had one for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnCompletion {
    /// It goes.
    #[default]
    Delete,
    /// It stays.
    Keep,
}

/// What happens when the thread is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IfNotExists {
    /// The run is refused.
    #[default]
    Reject,
    /// The thread is made.
    Create,
}

/// When a checkpoint has to be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Before the next superstep.
    Sync,
    /// While the next superstep runs.
    Async,
    /// At the end of the run.
    Exit,
}

impl Durability {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
            Self::Exit => "exit",
        }
    }
}

/// How a run is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelAction {
    /// What is running comes to the end of its step first; all of it stays.
    AfterStep,
    /// It is stopped now. What it saved stays.
    #[default]
    Interrupt,
    /// It is removed with what it saved.
    Rollback,
}

/// All nodes, or some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Nodes {
    /// `"*"`: all; or the name of one.
    Name(String),
    /// These.
    Names(Vec<String>),
}

/// A checkpoint to start from. Every member may be left out; a thread alone means its newest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CheckpointRef {
    /// The thread; that of the path counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    /// Where in the graph: empty for the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_ns: Option<String>,
    /// Its id; the newest without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_id: Option<String>,
    /// Checkpoint ids of the graphs around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_map: Option<Map<String, Json>>,
}

/// An answer, a change, or a place to go to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    /// The answer to an open question, or answers by their ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Json>,
    /// Changes of the state: an object, or a list of pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Json>,
    /// A node, `{"node", "input"}`, or a list of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goto: Option<Json>,
}

/// The configuration of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct RunConfig {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Supersteps that the run may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub recursion_limit: Option<u32>,
    /// What nodes can read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configurable: Option<Map<String, Json>>,
    /// Free entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Json>>,
    /// Whatever else.
    #[serde(flatten)]
    pub rest: Map<String, Json>,
}

/// A run that is asked for. What is null is as good as left out; members that are not listed here
/// do nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct RunCreate {
    /// The assistant by its id, or a graph by its name.
    pub assistant_id: String,
    /// The graph's input; null goes on with what the thread left unfinished.
    #[serde(default)]
    pub input: Json,
    /// Wins over the input.
    #[serde(default)]
    pub command: Option<Command>,
    /// Laid over the assistant's.
    #[serde(default)]
    pub config: Option<RunConfig>,
    /// Laid over the assistant's; not together with `config.configurable`.
    #[serde(default)]
    pub context: Option<Json>,
    /// Free entries.
    #[serde(default)]
    pub metadata: Option<Map<String, Json>>,
    /// The checkpoint to start from.
    #[serde(default)]
    pub checkpoint: Option<CheckpointRef>,
    /// The same by its id alone.
    #[serde(default)]
    pub checkpoint_id: Option<String>,
    /// Stops before these nodes.
    #[serde(default)]
    pub interrupt_before: Option<Nodes>,
    /// Stops after these nodes.
    #[serde(default)]
    pub interrupt_after: Option<Nodes>,
    /// What is streamed; `values` without.
    #[serde(default)]
    pub stream_mode: Option<OneOrMany<StreamMode>>,
    /// Streams what mounted graphs do, too.
    #[serde(default, deserialize_with = "or_default")]
    pub stream_subgraphs: bool,
    /// The client may come back for the stream.
    #[serde(default, deserialize_with = "or_default")]
    pub stream_resumable: bool,
    /// What happens when the client leaves.
    #[serde(default, deserialize_with = "or_default")]
    pub on_disconnect: OnDisconnect,
    /// What happens if the thread has a run already.
    #[serde(default, deserialize_with = "or_default")]
    pub multitask_strategy: MultitaskStrategy,
    /// What happens if the thread is not there.
    #[serde(default, deserialize_with = "or_default")]
    pub if_not_exists: IfNotExists,
    /// Seconds before the run may start.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub after_seconds: Option<f64>,
    /// Where to tell how it ended.
    #[serde(default)]
    pub webhook: Option<String>,
    /// Not used; shown with the run.
    #[serde(default)]
    pub feedback_keys: Option<Vec<String>>,
    /// When checkpoints have to be durable.
    #[serde(default)]
    pub durability: Option<Durability>,
    /// Older form of the same: `true` is `async`, `false` is `exit`.
    #[serde(default)]
    pub checkpoint_during: Option<bool>,
    /// What becomes of the thread of a run that has one for itself.
    #[serde(default, deserialize_with = "or_default")]
    pub on_completion: OnCompletion,
}

/// Null as what is left out.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Which runs to cancel: all of a status, or those listed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct RunsCancel {
    /// All runs that stand so.
    #[serde(default)]
    pub status: Option<BulkCancelStatus>,
    /// The thread that the listed runs are on.
    #[serde(default)]
    pub thread_id: Option<Uuid>,
    /// The runs.
    #[serde(default)]
    pub run_ids: Option<Vec<Uuid>>,
}

/// Where runs stand that are cancelled together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BulkCancelStatus {
    /// Waiting.
    Pending,
    /// Going on.
    Running,
    /// Either.
    All,
}

/// A member of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the members are documented at `Run`
pub enum RunSelect {
    RunId,
    ThreadId,
    AssistantId,
    CreatedAt,
    UpdatedAt,
    Status,
    Metadata,
    Kwargs,
    MultitaskStrategy,
    LangsmithSessionName,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Run {
    /// Its id.
    pub run_id: Uuid,
    /// The thread it is on.
    pub thread_id: String,
    /// The assistant.
    pub assistant_id: Uuid,
    /// When it was made.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
    /// Entries of assistant, thread and request.
    pub metadata: Map<String, Json>,
    /// `pending`, `running`, `success`, `error`, `timeout` or `interrupted`.
    pub status: String,
    /// What it was asked to do.
    pub kwargs: RunKwargs,
    /// What happened if the thread had a run already.
    pub multitask_strategy: String,
    /// Always null.
    pub langsmith_session_name: Option<String>,
}

/// What a run was asked to do, merged with what its assistant and thread say.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RunKwargs {
    /// The graph's input.
    pub input: Json,
    /// An answer, a change, or a place to go to.
    pub command: Option<Json>,
    /// The configuration.
    pub config: Map<String, Json>,
    /// What nodes get as their context.
    pub context: Json,
    /// What is streamed.
    pub stream_mode: Vec<String>,
    /// Stops before these nodes.
    pub interrupt_before: Option<Json>,
    /// Stops after these nodes.
    pub interrupt_after: Option<Json>,
    /// Where it is told how it ended.
    pub webhook: Option<String>,
    /// Not used.
    pub feedback_keys: Option<Json>,
    /// The thread goes with the run.
    pub temporary: bool,
    /// What mounted graphs do is streamed.
    pub subgraphs: bool,
    /// The client may come back for the stream.
    pub resumable: bool,
    /// Older form of `durability`.
    pub checkpoint_during: bool,
    /// When checkpoints have to be durable.
    pub durability: String,
}
