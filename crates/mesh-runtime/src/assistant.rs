//! Assistants: a graph with a named, versioned configuration.

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::Stamp;

/// Namespace of the ids of the assistants that every graph has of itself, as LangGraph's servers
/// have it: clients may compute such an id by themselves.
const SYSTEM: Uuid = Uuid::from_u128(0x6ba7_b821_9dad_11d1_80b4_00c0_4fd4_30c8);

/// An assistant as it is now, or one of its versions.
#[derive(Debug, Clone, PartialEq)]
pub struct Assistant {
    /// Its id.
    pub id: Uuid,
    /// The graph it runs.
    pub graph: String,
    /// `{tags?, recursion_limit?, configurable?, …}`.
    pub config: Map<String, Json>,
    /// What nodes get as their context.
    pub context: Json,
    /// Free entries, which searches can filter by.
    pub metadata: Map<String, Json>,
    /// For people.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Stamp,
    /// When it was last changed.
    pub updated_at: Stamp,
    /// 1, 2, 3 …
    pub version: u32,
    /// Who made it; nobody for those of the graphs themselves.
    pub owner: Option<String>,
}

/// The id of the assistant that a graph has of itself: UUID version 5 of the graph's id.
pub fn system_id(graph: &str) -> Uuid {
    Uuid::new_v5(&SYSTEM, graph.as_bytes())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_graphs_own_assistant_has_the_id_that_clients_compute() {
        let id = super::system_id("agent").to_string();
        assert_eq!(id, "fe096781-5601-53d2-b2f6-0d3403f7e9ca");
    }
}
