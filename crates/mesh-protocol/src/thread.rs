//! Threads, and what becomes of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::{assistant::IfExists, search::SortOrder};

/// A thread.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Thread {
    /// Its id: a UUID, unless a socket named it otherwise.
    pub thread_id: String,
    /// When it was made.
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
    /// When anything about it last changed.
    #[schemars(extend("format" = "date-time"))]
    pub updated_at: String,
    /// When its state last changed.
    #[schemars(extend("format" = "date-time"))]
    pub state_updated_at: String,
    /// Free entries; `graph_id` and `assistant_id` are those of its last run.
    pub metadata: Map<String, Json>,
    /// What it is doing.
    pub status: ThreadStatus,
    /// The configuration that operations on its state use.
    pub config: Map<String, Json>,
    /// Its root state; null before the first run or update.
    pub values: Option<Json>,
    /// `{"error", "message"}` of its last run or null; absent before the first run or update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Json>,
    /// Open questions by task; absent before the first run or update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupts: Option<Map<String, Json>>,
    /// How long it is kept, if that was asked for and it is not kept for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<ThreadTtl>,
    /// What a search extracted, by the names that it gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extracted: Option<BTreeMap<String, Json>>,
}

/// What a thread is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TtlStrategy {
    /// It goes, with everything on it.
    #[default]
    Delete,
    /// Its newest checkpoint stays.
    KeepLatest,
}

/// How long a thread is kept after something last happened on it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ThreadTtl {
    /// What happens then.
    pub strategy: TtlStrategy,
    /// In minutes.
    pub ttl_minutes: f64,
    /// When that is, as it stands.
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: String,
}

/// How long to keep a thread.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TtlRequest {
    /// Minutes; it is deleted then.
    Minutes(f64),
    /// Minutes, and what happens then.
    Full {
        /// Minutes.
        ttl: f64,
        /// What happens then: `delete` without.
        strategy: Option<TtlStrategy>,
    },
}

/// Makes a thread.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct ThreadCreate {
    /// Its id, a UUID; else a new one.
    pub thread_id: Option<String>,
    /// Free entries. `graph_id` names the graph of its state.
    pub metadata: Option<Map<String, Json>>,
    /// What happens when the id is taken: `raise` without.
    pub if_exists: Option<IfExists>,
    /// How long it is kept after something last happened on it; for ever without.
    pub ttl: Option<TtlRequest>,
    /// Changes to apply to its state, in order. Needs `metadata.graph_id`.
    pub supersteps: Option<Vec<Superstep>>,
}

/// Changes that become one checkpoint.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Superstep {
    /// One per node.
    pub updates: Vec<SuperstepUpdate>,
}

/// What one node gave.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct SuperstepUpdate {
    /// State keys and what to write there: an object, or a list of objects and `[key, value]`.
    pub values: Option<Json>,
    /// `{update?, goto?}` in place of values.
    pub command: Option<Command>,
    /// The node; `__input__` for an input.
    pub as_node: Option<String>,
}

/// Changes and where to go on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Command {
    /// State keys and what to write there: an object, or a list of `[key, value]`.
    pub update: Option<Json>,
    /// A node, `{node, input}` for a task of its own, or a list of both.
    pub goto: Option<Json>,
}

/// Changes a thread.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct ThreadPatch {
    /// Entries that are added, or replace those of the same key.
    pub metadata: Option<Map<String, Json>>,
    /// How long it is kept after something last happened on it.
    pub ttl: Option<TtlRequest>,
}

/// What threads are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThreadSortBy {
    /// The id.
    ThreadId,
    /// The status, by name.
    Status,
    /// When it was made.
    CreatedAt,
    /// When it was last changed.
    UpdatedAt,
    /// When its state last changed.
    StateUpdatedAt,
}

/// A member of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the members of `Thread` are described there")]
pub enum ThreadSelect {
    ThreadId,
    CreatedAt,
    UpdatedAt,
    StateUpdatedAt,
    Metadata,
    Config,
    Status,
    Values,
    Interrupts,
}

/// Looks for threads.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct ThreadSearch {
    /// One of these.
    pub ids: Option<Vec<Uuid>>,
    /// Entries that the metadata contains: objects are looked into, lists may have more items.
    pub metadata: Option<Map<String, Json>>,
    /// Entries that the values contain.
    pub values: Option<Map<String, Json>>,
    /// What they are doing.
    pub status: Option<ThreadStatus>,
    /// At most this many: 10 without.
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
    /// Leaves out this many of the first.
    pub offset: Option<u32>,
    /// `created_at` without.
    pub sort_by: Option<ThreadSortBy>,
    /// `desc` without.
    pub sort_order: Option<SortOrder>,
    /// The members to give; all of them without.
    pub select: Option<Vec<ThreadSelect>>,
    /// Parts to give as `extracted`, by name: paths such as `values.messages[-1].content`. At
    /// most 10.
    pub extract: Option<BTreeMap<String, String>>,
}

/// Counts threads.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct ThreadCount {
    /// Entries that the metadata contains.
    pub metadata: Option<Map<String, Json>>,
    /// Entries that the values contain.
    pub values: Option<Map<String, Json>>,
    /// What they are doing.
    pub status: Option<ThreadStatus>,
}

/// Removes threads, or what is old of them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct ThreadPrune {
    /// The threads. At most 1,000.
    pub thread_ids: Vec<Uuid>,
    /// `delete` without.
    pub strategy: Option<TtlStrategy>,
}

/// How many threads were pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Pruned {
    /// Those that were there.
    pub pruned_count: u64,
}

/// A text that the state of a thread names by its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SourceText {
    /// The address: 64 hex digits, made from the text.
    pub address: String,
    /// The text. Places in it are counted in bytes of UTF-8.
    pub text: String,
}

/// What a thread takes in storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ThreadStorage {
    /// The thread.
    pub thread_id: String,
    /// All of it.
    pub total_bytes: u64,
    /// Checkpoints without their values.
    pub checkpoints: StorageSize,
    /// The values of channels.
    pub channel_values: ChannelStorage,
    /// What tasks gave.
    pub pending_writes: StorageSize,
}

/// A number of things and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "described above")]
pub struct StorageSize {
    pub count: u64,
    pub bytes: u64,
}

/// The stored values of channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "described above each type")]
pub struct ChannelStorage {
    pub count: u64,
    pub bytes: u64,
    pub by_channel: BTreeMap<String, ChannelSize>,
}

/// The stored versions of one channel and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "described above")]
pub struct ChannelSize {
    pub versions: u64,
    pub bytes: u64,
}
