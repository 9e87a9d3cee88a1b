//! Crons: runs that are made when the time has come.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::search::SortOrder;

/// A cron.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Cron {
    /// Its id.
    pub cron_id: Uuid,
    /// The assistant it runs.
    pub assistant_id: Uuid,
    /// The thread of its runs; without one, every run has a thread of its own.
    pub thread_id: Option<String>,
    /// Who made it; empty where nobody has to say who they are.
    pub user_id: String,
    /// It fires no more after this.
    #[schemars(extend("format" = "date-time"))]
    pub end_time: Option<String>,
    /// Five fields, or six with seconds first.
    pub schedule: String,
    /// IANA name of the zone of the schedule; UTC without.
    pub timezone: Option<String>,
    /// The request by which its runs are made.
    pub payload: Map<String, Json>,
    /// When it fires next; none when it does not.
    #[schemars(extend("format" = "date-time"))]
    pub next_run_date: Option<String>,
    /// Free entries, which searches can filter by.
    pub metadata: Map<String, Json>,
    /// What becomes of the thread that a run had for itself; none for crons of a thread.
    pub on_run_completed: Option<OnRunCompleted>,
    /// Whether it fires.
    pub enabled: bool,
    /// When it was made.
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
    /// When it was last changed.
    #[schemars(extend("format" = "date-time"))]
    pub updated_at: String,
}

/// What becomes of the thread that a run had for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnRunCompleted {
    /// It goes.
    #[default]
    Delete,
    /// It stays.
    Keep,
}

/// Makes a cron.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
pub struct CronCreate {
    /// The assistant: its id, or the id of a graph.
    pub assistant_id: String,
    /// Five fields, or six with seconds first.
    #[schemars(extend("examples" = ["*/5 * * * *"]))]
    pub schedule: String,
    /// IANA name of the zone of the schedule; UTC without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// It fires no more after this: RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// Whether it fires: true without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What becomes of the thread that a run has for itself: `delete` without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_run_completed: Option<OnRunCompleted>,
    /// Free entries of the cron, which its runs get, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Json>>,
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its members are those of the body")]
    pub run: CronRun,
}

/// What the runs of a cron are asked to do.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
pub struct CronRun {
    /// The graph's input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Json>,
    /// `{tags?, recursion_limit?, configurable?, …}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Map<String, Json>>,
    /// What nodes get as their context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Json>,
    /// Where to tell how a run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// Nodes to stop before: `"*"` or a list of names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupt_before: Option<Json>,
    /// Nodes to stop after: `"*"` or a list of names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupt_after: Option<Json>,
    /// What a run does if the thread has others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multitask_strategy: Option<crate::run::MultitaskStrategy>,
    /// What can be followed of a run: `values` without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_mode: Option<crate::run::OneOrMany<crate::run::StreamMode>>,
    /// What mounted graphs do can be followed, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_subgraphs: Option<bool>,
    /// Accepted for other servers; every run can be followed later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_resumable: Option<bool>,
    /// When a checkpoint has to be durable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<crate::run::Durability>,
}

/// Changes a cron. What is left out stays.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct CronPatch {
    /// Another schedule.
    pub schedule: Option<String>,
    /// Another zone; null means UTC.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>")]
    pub timezone: Option<Option<String>>,
    /// Another end; null means none.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub end_time: Option<Option<String>>,
    /// Whether it fires.
    pub enabled: Option<bool>,
    /// What becomes of the thread that a run has for itself.
    pub on_run_completed: Option<OnRunCompleted>,
    /// Entries that are added, or replace those of the same key.
    pub metadata: Option<Map<String, Json>>,
    #[serde(flatten)]
    #[allow(missing_docs, reason = "its members are those of the body")]
    pub run: CronRun,
}

/// Tells null from absent.
#[expect(clippy::option_option, reason = "absent, null and a value are three things on the wire")]
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// What crons are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CronSortBy {
    /// The id.
    CronId,
    /// The assistant.
    AssistantId,
    /// The thread.
    ThreadId,
    /// When it was made.
    CreatedAt,
    /// When it was changed.
    UpdatedAt,
    /// When it fires next.
    NextRunDate,
    /// When it ends.
    EndTime,
}

/// A member of a cron.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "see the members of `Cron`")]
pub enum CronSelect {
    CronId,
    AssistantId,
    ThreadId,
    OnRunCompleted,
    EndTime,
    Schedule,
    Timezone,
    CreatedAt,
    UpdatedAt,
    UserId,
    Payload,
    NextRunDate,
    Metadata,
    Enabled,
}

/// Finds crons.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct CronSearch {
    /// Only those of this assistant.
    pub assistant_id: Option<Uuid>,
    /// Only those of this thread.
    pub thread_id: Option<String>,
    /// Only those that fire, or that do not.
    pub enabled: Option<bool>,
    /// Only those whose metadata contain this.
    pub metadata: Option<Map<String, Json>>,
    /// At most so many, 1 to 1000: 10 without.
    pub limit: Option<u32>,
    /// Without the first so many.
    pub offset: Option<u32>,
    /// `created_at` without.
    pub sort_by: Option<CronSortBy>,
    /// `desc` without.
    pub sort_order: Option<SortOrder>,
    /// Only these members of each.
    pub select: Option<Vec<CronSelect>>,
}

/// Counts crons.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct CronCount {
    /// Only those of this assistant.
    pub assistant_id: Option<Uuid>,
    /// Only those of this thread.
    pub thread_id: Option<String>,
    /// Only those that fire, or that do not.
    pub enabled: Option<bool>,
    /// Only those whose metadata contain this.
    pub metadata: Option<Map<String, Json>>,
}
