//! Checkpoints: what a thread is after a superstep. Written once, never edited.
//!
//! A checkpoint names the channels it changed; unchanged ones are found where they were written.
//! Lists and other freely batching channels store only what was added, with a full value every
//! [`SNAPSHOT_EVERY`] updates or, where that would write much more than was added, every
//! [`SNAPSHOT_LATEST`], so a checkpoint costs what the step changed.

mod name;

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    channel::KeyError,
    error::Failure,
    interrupt::{Interrupt, InterruptId},
    step::StepRecord,
    timeout::Timeout,
    value::CodecError,
};

pub use self::name::Name;
pub use crate::payload::Payload;

/// Updates of a delta channel between two full values, unless these are large.
pub const SNAPSHOT_EVERY: u32 = 100;

/// Updates of a delta channel after which there is a full value, however large: bounds how much a
/// load has to fold.
pub const SNAPSHOT_LATEST: u32 = 1000;

/// Version of the checkpoint layout that this build writes and reads.
pub const FORMAT: u16 = 1;

/// Id of a checkpoint. Sorts by time within a thread; shown as a UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointId(pub u128);

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_uuid(self.0, f)
    }
}

impl fmt::Debug for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CheckpointId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(uuid::Uuid::parse_str(text)?.as_u128()))
    }
}

/// Id of a task: a hash of where it stands, so the same checkpoint gives the same ids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u128);

impl TaskId {
    /// The task that carries the writes of a command, not of a node.
    pub const NULL: Self = Self(0);
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_uuid(self.0, f)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TaskId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(uuid::Uuid::parse_str(text)?.as_u128()))
    }
}

/// Ids are sent as text, as people and other programs see them, and stored as their 16 bytes.
/// Stored ids are read in both forms.
macro_rules! serialize_id {
    ($($id:ident),*) => {$(
        impl serde::Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0.to_be_bytes())
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Either;

                impl serde::de::Visitor<'_> for Either {
                    type Value = $id;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an id as text or as 16 bytes")
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$id, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<$id, E> {
                        let wrong = |_| E::invalid_length(bytes.len(), &self);
                        Ok($id(u128::from_be_bytes(bytes.try_into().map_err(wrong)?)))
                    }
                }

                if deserializer.is_human_readable() {
                    deserializer.deserialize_str(Either)
                } else {
                    deserializer.deserialize_bytes(Either)
                }
            }
        }
    )*};
}
pub(crate) use serialize_id;

serialize_id!(CheckpointId, TaskId);

fn fmt_uuid(id: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}", uuid::Uuid::from_u128(id).hyphenated())
}

/// Where a checkpoint belongs: a thread, and the place of a graph inside its ancestors.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The thread.
    pub thread: String,
    /// The namespace: empty for a root graph, else `node:task`, joined by `|` per level.
    pub ns: String,
}

/// Why a checkpoint was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A new input arrived.
    Input,
    /// A superstep was applied.
    Loop,
    /// The state was updated from outside.
    Update,
    /// A branch was started from an older checkpoint.
    Fork,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "input",
            Self::Loop => "loop",
            Self::Update => "update",
            Self::Fork => "fork",
        })
    }
}

/// The state of a thread after a superstep, without the values themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Layout version, [`FORMAT`].
    pub v: u16,
    /// Its id.
    pub id: CheckpointId,
    /// The checkpoint it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<CheckpointId>,
    /// When it was made, milliseconds since 1970 (UTC). For people; order comes from the id.
    pub at_ms: i64,
    /// First input −1, START 0, node supersteps from 1; later inputs go on counting.
    pub step: i64,
    /// Why it was written.
    pub source: Source,
    /// The run that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<Arc<str>>,
    /// Node supersteps that this run had taken here, whichever of its executions took them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub run_steps: u32,
    /// Version counter: every channel that a step changed has the step's number.
    pub version: u64,
    /// The channels that have a stored value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<ChannelEntry>,
    /// The keys that the step changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub updated: Vec<Name>,
    /// The nodes that ran last, for state updates that do not say as whom.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ran: Vec<Name>,
    /// What the next superstep starts from.
    pub pending: Pending,
    /// Checkpoints of the ancestor graphs this one belongs to, by their namespace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parents: Arc<BTreeMap<String, CheckpointId>>,
    /// The caller's own entries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: Arc<BTreeMap<String, Json>>,
    /// The task of the parent graph that it was made below; none for a root graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<TaskId>,
    /// Where the per-thread graphs below it stand, by namespace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instances: BTreeMap<String, CheckpointId>,
}

/// Where a channel's value is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelEntry {
    /// The state key.
    pub key: Name,
    /// Version of the value.
    pub version: u64,
    /// The checkpoint whose blob holds it (or its last part).
    pub at: CheckpointId,
    /// Updates that have to be folded onto the last full value.
    pub depth: u32,
}

/// What a checkpoint waits to run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The input that START will apply: stored writes, and gotos beside its edges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<PendingInput>,
    /// Nodes triggered by an edge, a route or a goto.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Name>,
    /// Direct tasks, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sends: Vec<PendingSend>,
    /// Sources that have arrived at each join that is not empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub joins: BTreeMap<Name, Vec<Name>>,
    /// Optional sources that will not come, at each join that has been told of some.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub absent: BTreeMap<Name, Vec<Name>>,
    /// Joins that have fired and count the rest of their sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fired: Vec<Name>,
    /// Deferred nodes that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deferred: Vec<Name>,
}

/// An input that was accepted and not applied yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PendingInput {
    /// Its writes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<StoredWrite>,
    /// Nodes to go to besides the edges of START.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Name>,
    /// Direct tasks besides the edges of START.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sends: Vec<PendingSend>,
    /// Optional sources of joins that will not come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Name>,
}

/// A direct task in storage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PendingSend {
    /// The node.
    pub node: Name,
    /// Its argument, encoded.
    pub arg: Payload,
    /// Its own time limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Box<Timeout>>,
}

/// A write in storage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredWrite {
    /// The state key.
    pub key: Name,
    /// Replaces instead of reducing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrite: bool,
    /// The value, encoded.
    pub value: Payload,
}

/// A stored part of a channel's value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Blob {
    /// The whole value.
    Full(Payload),
    /// Updates to fold, in order, onto the value that `base` holds, or onto the empty value.
    Delta {
        /// The checkpoint with the blob before this one.
        base: Option<CheckpointId>,
        /// Encoded updates.
        updates: Vec<Payload>,
    },
}

impl Blob {
    /// The checkpoint with the blob that this one goes on from.
    pub fn base(&self) -> Option<CheckpointId> {
        match self {
            Self::Full(_) => None,
            Self::Delta { base, .. } => *base,
        }
    }
}

/// What is known of one task of a checkpoint's next superstep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The task.
    pub id: TaskId,
    /// Its node.
    pub node: Name,
    /// Its place in apply order.
    pub path: TaskPath,
    /// All its writes and routing, once it has finished. The first commit stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<TaskCommit>,
    /// Every question it asked, answered or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interrupts: Vec<Interrupt>,
    /// Answers by interrupt.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<InterruptId, Json>,
    /// What made its last attempt fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Results of its durable steps. The first result of a step stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepRecord>,
    /// The failure that the node's error handler was called for: from then on the handler runs in
    /// the node's place, also after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught: Option<Failure>,
    /// Attempts that were begun, for nodes whose attempts count over several runs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    /// The task of another branch whose question is answered anew by this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<ForkedFrom>,
}

/// A task that another one repeats with a new answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkedFrom {
    /// The task.
    pub task: TaskId,
    /// Namespace of what ran below it.
    pub ns: String,
}

impl TaskRecord {
    /// A record of a task nothing is known of yet.
    pub fn new(id: TaskId, node: &str, path: TaskPath) -> Self {
        Self { id, node: node.into(), path, ..Self::nothing() }
    }

    /// A record of no task in particular.
    pub(crate) const fn nothing() -> Self {
        Self {
            id: TaskId::NULL,
            node: Name::EMPTY,
            path: TaskPath::Push(0),
            commit: None,
            interrupts: Vec::new(),
            answers: BTreeMap::new(),
            error: None,
            steps: Vec::new(),
            forked_from: None,
            caught: None,
            attempts: 0,
        }
    }

    /// The questions without an answer.
    pub fn open_interrupts(&self) -> impl Iterator<Item = &Interrupt> {
        self.interrupts.iter().filter(|interrupt| !self.answers.contains_key(&interrupt.id))
    }
}

/// Whether a count is left out of what is stored.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Where a task stands in apply order: nodes by name, then sends by index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskPath {
    /// Triggered by edges; sorts by node name.
    Pull(Name),
    /// Made by the `Send` at this index.
    Push(u32),
}

impl Blob {
    /// Makes sure that everything is encoded.
    pub(crate) fn encode(&self) -> Result<(), CodecError> {
        match self {
            Self::Full(value) => value.bytes().map(|_| ()),
            Self::Delta { updates, .. } => updates.iter().try_for_each(|u| u.bytes().map(|_| ())),
        }
    }
}

impl TaskCommit {
    /// Makes sure that everything is encoded, as long as it is known who wrote it.
    pub(crate) fn encode(&self) -> Result<(), KeyError> {
        encode_writes(self.updates.iter().flatten())?;
        encode_sends(&self.sends)
    }
}

impl Pending {
    /// As [`TaskCommit::encode`].
    pub(crate) fn encode(&self) -> Result<(), KeyError> {
        if let Some(input) = &self.input {
            encode_writes(&input.writes)?;
            encode_sends(&input.sends)?;
        }
        encode_sends(&self.sends)
    }
}

fn encode_writes<'a>(writes: impl IntoIterator<Item = &'a StoredWrite>) -> Result<(), KeyError> {
    writes.into_iter().try_for_each(|write| {
        let key = || write.key.to_string();
        write.value.bytes().map(|_| ()).map_err(|source| KeyError { key: key(), source })
    })
}

fn encode_sends(sends: &[PendingSend]) -> Result<(), KeyError> {
    sends.iter().try_for_each(|send| {
        let key = || format!("Send to {}", send.node);
        send.arg.bytes().map(|_| ()).map_err(|source| KeyError { key: key(), source })
    })
}

/// The atomic result of a task: all its writes and its routing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskCommit {
    /// One list of writes per update the node returned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub updates: Vec<Vec<StoredWrite>>,
    /// Nodes it leads to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Name>,
    /// Joins it arrived at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<Name>,
    /// Direct tasks it makes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sends: Vec<PendingSend>,
    /// Optional sources of joins that will not come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Name>,
    /// Where the per-thread graphs that it used stand since, by namespace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instances: BTreeMap<String, CheckpointId>,
    /// A router of it returned an empty list: a run that ends there says so, also after a resume.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_fan_out: bool,
}
