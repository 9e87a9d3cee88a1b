//! The server itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The server is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Ok {
    /// Always true: otherwise there is an error.
    pub ok: bool,
}

/// Who the server is and what it serves.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Info {
    /// The program's name.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// The program's version.
    pub version: String,
    /// Always null: no Python of LangGraph is in here.
    pub langgraph_py_version: Option<String>,
    /// What clients may ask for.
    pub flags: Flags,
    /// Where it runs.
    pub host: Host,
    /// Seconds since it was started.
    pub uptime_s: u64,
    /// The graphs that are served.
    pub assistants: Vec<ServedGraph>,
    /// Whether requests have to say who sends them.
    pub authentication: bool,
    /// Settings that make the server less safe than it would be.
    pub unsafe_settings: Vec<String>,
    /// Limits by name.
    pub limits: BTreeMap<String, Json>,
}

/// What clients may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Flags {
    /// Assistants, threads and runs.
    pub assistants: bool,
    /// Crons.
    pub crons: bool,
    /// Traces at LangSmith.
    pub langsmith: bool,
    /// The same.
    pub langsmith_tracing_replicas: bool,
}

/// Where the server runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Host {
    /// Always `self-hosted`.
    pub kind: String,
    /// Always null, as all that follows.
    pub project_id: Option<String>,
    /// Always null.
    pub host_revision_id: Option<String>,
    /// Always null.
    pub revision_id: Option<String>,
    /// Always null.
    pub tenant_id: Option<String>,
}

/// A graph that is served.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ServedGraph {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Path of its WebSocket.
    pub socket: String,
    /// Whether clients may name a thread.
    pub keeps_threads: bool,
    /// JSON Schema of a request.
    pub input_schema: Json,
}

/// A number about the server, or one per label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// How it behaves.
    pub kind: MetricKind,
    /// What it is, for people.
    pub help: String,
    /// Its values.
    pub samples: Vec<Sample>,
}

/// How a number behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// It only grows, from 0 at the start.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A value of a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Sample {
    /// What it is of.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: u64,
}

/// What is to be removed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Truncate {
    /// Runs; those that have not ended are cancelled.
    pub runs: Option<bool>,
    /// Threads, with all that is on them.
    pub threads: Option<bool>,
    /// Assistants, except those that graphs have of themselves.
    pub assistants: Option<bool>,
    /// The checkpoints of threads.
    pub checkpointer: Option<bool>,
    /// The items of the store.
    pub store: Option<bool>,
}
