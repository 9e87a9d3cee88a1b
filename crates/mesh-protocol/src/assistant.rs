//! Assistants: a graph with a named, versioned configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::search::SortOrder;

/// An assistant.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Assistant {
    /// Its id.
    pub assistant_id: Uuid,
    /// The graph it runs.
    pub graph_id: String,
    /// `{tags?, recursion_limit?, configurable?, …}`.
    pub config: Map<String, Json>,
    /// What nodes get as their context; the same as `config.configurable`.
    pub context: Json,
    /// When it was made.
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
    /// When it was last changed.
    #[schemars(extend("format" = "date-time"))]
    pub updated_at: String,
    /// Free entries, which searches can filter by.
    pub metadata: Map<String, Json>,
    /// 1, 2, 3 …
    pub version: u32,
    /// For people.
    pub name: String,
    /// For people.
    pub description: Option<String>,
}

/// A version of an assistant.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AssistantVersion {
    /// The assistant's id.
    pub assistant_id: Uuid,
    /// The graph it ran.
    pub graph_id: String,
    /// `{tags?, recursion_limit?, configurable?, …}`.
    pub config: Map<String, Json>,
    /// What nodes got as their context.
    pub context: Json,
    /// When the version was made.
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
    /// Free entries.
    pub metadata: Map<String, Json>,
    /// Its number.
    pub version: u32,
    /// For people.
    pub name: String,
    /// For people.
    pub description: Option<String>,
}

/// What happens when there is one with the id already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IfExists {
    /// It is refused: 409.
    #[default]
    Raise,
    /// The one that is there is the answer.
    DoNothing,
}

/// Makes an assistant.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct AssistantCreate {
    /// The graph.
    pub graph_id: String,
    /// Its id; else a new one.
    pub assistant_id: Option<Uuid>,
    /// `{tags?, recursion_limit?, configurable?, …}`.
    pub config: Option<Map<String, Json>>,
    /// What nodes get as their context. Not together with `config.configurable`.
    pub context: Option<Json>,
    /// Free entries.
    pub metadata: Option<Map<String, Json>>,
    /// `Untitled` without.
    pub name: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// What happens when the id is taken: `raise` without.
    pub if_exists: Option<IfExists>,
}

/// Changes an assistant, which makes a version of it. What is left out stays.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct AssistantPatch {
    /// Another graph.
    pub graph_id: Option<String>,
    /// Takes the place of the configuration it has.
    pub config: Option<Map<String, Json>>,
    /// Takes the place of the context it has. Not together with `config.configurable`.
    pub context: Option<Json>,
    /// Entries that are added, or replace those of the same key.
    pub metadata: Option<Map<String, Json>>,
    /// Another name.
    pub name: Option<String>,
    /// Another description.
    pub description: Option<String>,
}

/// What assistants are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssistantSortBy {
    /// The id.
    AssistantId,
    /// The graph.
    GraphId,
    /// The name.
    Name,
    /// When it was made.
    CreatedAt,
    /// When it was last changed.
    UpdatedAt,
}

/// A member of an assistant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the members of `Assistant` are described there")]
pub enum AssistantSelect {
    AssistantId,
    GraphId,
    Name,
    Description,
    Config,
    Context,
    CreatedAt,
    UpdatedAt,
    Metadata,
    Version,
}

/// Looks for assistants.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct AssistantSearch {
    /// Entries that the metadata contains: objects are looked into, lists may have more items.
    pub metadata: Option<Map<String, Json>>,
    /// The graph.
    pub graph_id: Option<String>,
    /// Part of the name, in whatever case.
    pub name: Option<String>,
    /// At most this many: 10 without.
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
    /// Leaves out this many of the first.
    #[schemars(range(min = 0))]
    pub offset: Option<u32>,
    /// `created_at` without.
    pub sort_by: Option<AssistantSortBy>,
    /// `desc` without.
    pub sort_order: Option<SortOrder>,
    /// The members to give; all of them without.
    pub select: Option<Vec<AssistantSelect>>,
}

/// Counts assistants.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct AssistantCount {
    /// Entries that the metadata contains.
    pub metadata: Option<Map<String, Json>>,
    /// The graph.
    pub graph_id: Option<String>,
    /// Part of the name, in whatever case.
    pub name: Option<String>,
}

/// Looks for versions of an assistant.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct AssistantVersionSearch {
    /// Entries that the version's metadata contains.
    pub metadata: Option<Map<String, Json>>,
    /// At most this many: 10 without.
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
    /// Leaves out this many of the first.
    #[schemars(range(min = 0))]
    pub offset: Option<u32>,
}

/// Makes an assistant be as one of its versions.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct AssistantLatest {
    /// The version.
    pub version: u32,
}

/// A picture of a graph.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DrawnGraph {
    /// The nodes.
    pub nodes: Vec<DrawnNode>,
    /// The edges.
    pub edges: Vec<DrawnEdge>,
    /// Where they go, when it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<GraphLayout>,
}

/// Where the parts of a picture go: in pixels from its upper left corner, x to the right and y down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GraphLayout {
    /// Width of the picture.
    pub width: i32,
    /// Height of the picture.
    pub height: i32,
    /// The nodes, in the order of the picture's.
    pub nodes: Vec<Placed>,
    /// The edges, in the order of the picture's.
    pub edges: Vec<PlacedEdge>,
    /// Mounted graphs that are drawn open, as boxes around their nodes; outer ones first.
    pub groups: Vec<Placed>,
}

/// A box of a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Placed {
    /// Name of the node or of the mounted graph.
    pub id: String,
    /// Its left side.
    pub x: i32,
    /// Its upper side.
    pub y: i32,
    /// Its width.
    pub width: i32,
    /// Its height.
    pub height: i32,
}

/// The way of an edge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlacedEdge {
    /// From the border of its source to that of its target, `[x, y]` each.
    pub points: Vec<[i32; 2]>,
}

/// A node of a picture.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DrawnNode {
    /// Its name; below a mounted graph `mount:name`.
    pub id: String,
    /// `runnable`; `schema` for the two ends.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is: an object with its `name`; of the beginning, JSON Schema of the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
    /// Free entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Json>>,
}

/// An edge of a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DrawnEdge {
    /// Where it begins.
    pub source: String,
    /// Where it leads.
    pub target: String,
    /// A label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Whether something decides if it is followed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub conditional: bool,
}

/// JSON Schemas of a graph; null where there is none.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct GraphSchemas {
    /// The graph.
    pub graph_id: String,
    /// Of its input.
    pub input_schema: Option<Json>,
    /// Of its output.
    pub output_schema: Option<Json>,
    /// Of its state.
    pub state_schema: Option<Json>,
    /// Of `config.configurable`.
    pub config_schema: Option<Json>,
    /// Of the context.
    pub context_schema: Option<Json>,
    /// How each key of the state takes writes.
    pub channels: Vec<ChannelRule>,
}

/// A key of the state and how it takes writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChannelRule {
    /// The key.
    pub key: String,
    /// `last_value`, `any_value`, `ephemeral` or `topic`, or the name of its reducer: `append`,
    /// `add`, `merge`, `messages`, or `function` for one of the graph's own.
    pub rule: String,
}

/// JSON Schemas of a mounted graph, under the names of both LangGraph servers.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "pairs of members, described above each")]
pub struct SubgraphSchemas {
    /// Its name.
    pub graph_id: String,
    /// Of its input.
    pub input_schema: Option<Json>,
    pub input: Option<Json>,
    /// Of its output.
    pub output_schema: Option<Json>,
    pub output: Option<Json>,
    /// Of its state.
    pub state_schema: Option<Json>,
    pub state: Option<Json>,
    /// Of `config.configurable`.
    pub config_schema: Option<Json>,
    pub config: Option<Json>,
    /// Of the context.
    pub context_schema: Option<Json>,
}
