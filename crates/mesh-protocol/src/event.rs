//! The event protocol: commands, filters and events of a thread.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// A command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    /// A number of the client's choice, which the answer repeats.
    pub id: i64,
    /// `run.start`, `input.respond`, `agent.getTree`, `state.get`, `state.listCheckpoints`,
    /// `state.fork`, `subscription.subscribe` or `subscription.unsubscribe`.
    pub method: String,
    /// What the method takes.
    #[serde(default)]
    pub params: Map<String, Json>,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Answer {
    /// It was carried out.
    Success {
        /// The command's number.
        id: i64,
        /// What the method gives.
        result: Json,
        /// How far the client is.
        meta: Meta,
    },
    /// It was not.
    Error {
        /// What the command had in the place of its number; null if it had nothing there.
        id: Json,
        /// A code, such as `invalid_argument`, `unknown_command` or `no_such_interrupt`.
        error: String,
        /// For people.
        message: String,
        /// How far the client is.
        meta: Meta,
    },
}

/// How far a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Meta {
    /// The number of the last event that this connection was sent; 0 outside of one.
    pub applied_through_seq: u64,
}

/// Which events a connection is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Filter {
    /// `values`, `updates`, `messages`, `tools`, `custom`, `custom:<name>`, `lifecycle`, `input`,
    /// `tasks` or `checkpoints`.
    #[schemars(length(min = 1))]
    pub channels: Vec<String>,
    /// Only of these namespaces and of what is below them. A part without `:` fits every task of
    /// the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<Vec<String>>>,
    /// Only so many levels below them; 0 means exactly these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<u64>,
    /// Only events with greater numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Event {
    /// Always `event`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Unique, and the same whenever it is sent.
    pub event_id: String,
    /// Grows with every event of the thread; there are gaps.
    pub seq: u64,
    /// The channel; `input.requested` of the channel `input`.
    pub method: String,
    /// Where, when and what.
    pub params: EventParams,
}

/// Where, when and what an event tells.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct EventParams {
    /// `node:task` per level; empty for the root.
    pub namespace: Vec<String>,
    /// Milliseconds since 1970 (UTC).
    pub timestamp: i64,
    /// The node, if it comes from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// As the method has it.
    pub data: Json,
}
