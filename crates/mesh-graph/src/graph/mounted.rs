//! What is mounted in a graph, for those who show it.

use serde_json::Value as Json;

use super::core::{Core, NodeId};
use crate::mount::Mount;

/// A graph that is mounted in another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Mounted {
    /// The names of the nodes on the way to it, joined by `|`.
    pub path: String,
    /// Its name.
    pub name: String,
    /// JSON Schema of its input.
    pub input_schema: Json,
    /// JSON Schema of its output.
    pub output_schema: Json,
    /// JSON Schema of its state.
    pub state_schema: Json,
}

impl Core {
    /// Adds what is mounted here, each before what is mounted in it, in the order in which nodes
    /// were added.
    pub(crate) fn mounted(&self, above: &str, found: &mut Vec<Mounted>) {
        let mut ids: Vec<NodeId> = (0..self.nodes.len() as NodeId).collect();
        ids.sort_by_key(|id| self.node(*id).declared);
        for id in ids {
            let node = self.node(id);
            let Some(child) = node.run.as_ref().and_then(|run| run.mount()).map(Mount::core) else {
                continue;
            };
            let path = match above {
                "" => node.name.to_string(),
                above => format!("{above}|{}", node.name),
            };
            found.push(Mounted {
                path: path.clone(),
                name: child.name.to_string(),
                input_schema: child.schema.input_schema(),
                output_schema: child.schema.output_schema(),
                state_schema: child.schema.state_schema(),
            });
            child.mounted(&path, found);
        }
    }
}
