//! The store: items kept across threads, by namespace and key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// An item.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Item {
    /// Where it is, label by label.
    pub namespace: Vec<String>,
    /// Its name there.
    pub key: String,
    /// What is remembered.
    pub value: Map<String, Json>,
    /// When the key was written first.
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
    /// When it was written last.
    #[schemars(extend("format" = "date-time"))]
    pub updated_at: String,
    /// Minutes that it is remembered after it was written or read; absent when it is for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<f64>,
}

/// An item that a search found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FoundItem {
    /// The item.
    #[serde(flatten)]
    pub item: Item,
    /// How close it is to the query, from −1 to 1; null without a query or an index.
    pub score: Option<f64>,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FoundItems {
    /// The items.
    pub items: Vec<FoundItem>,
}

/// Namespaces that have items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NamespaceList {
    /// Each label by label.
    pub namespaces: Vec<Vec<String>>,
}

/// Which parts of a value are found by what they mean.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Indexing {
    /// False: none. True: those that the store's index names.
    Switch(bool),
    /// These paths, such as `a.b` or `a[*].t`.
    Paths(Vec<String>),
}

/// Writes an item.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct ItemPut {
    /// Where: labels that are not empty and have no periods.
    pub namespace: Vec<String>,
    /// Its name there.
    pub key: String,
    /// What to remember.
    pub value: Map<String, Json>,
    /// Which parts are found by what they mean; as the store's index says without.
    pub index: Option<Indexing>,
    /// Minutes that it is remembered after it was written or read; as the store says without.
    pub ttl: Option<f64>,
}

/// Removes an item.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct ItemDelete {
    /// Where it is.
    pub namespace: Option<Vec<String>>,
    /// Its name there.
    pub key: String,
}

/// Looks for items.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct ItemSearch {
    /// The first labels of their namespaces; all of them without.
    pub namespace_prefix: Option<Vec<String>>,
    /// What their values hold: a value per key, or operators `$eq`, `$ne`, `$gt`, `$gte`, `$lt`,
    /// `$lte`, `$in` and `$exists`.
    pub filter: Option<Map<String, Json>>,
    /// At most this many: 10 without.
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
    /// Leaves out this many of the first.
    #[schemars(range(min = 0))]
    pub offset: Option<u32>,
    /// What they should be about.
    pub query: Option<String>,
    /// Whether the time of what is found starts anew; as the store says without.
    pub refresh_ttl: Option<bool>,
}

/// Lists namespaces.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct NamespaceSearch {
    /// The first labels; `*` stands for any one.
    pub prefix: Option<Vec<String>>,
    /// The last labels; `*` stands for any one.
    pub suffix: Option<Vec<String>>,
    /// Cuts namespaces to this many labels.
    #[schemars(range(min = 1))]
    pub max_depth: Option<u32>,
    /// At most this many: 100 without.
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
    /// Leaves out this many of the first.
    #[schemars(range(min = 0))]
    pub offset: Option<u32>,
}
