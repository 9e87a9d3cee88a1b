//! What stands beside the messages of a task: made once, shared by all pieces of a message.

use std::sync::OnceLock;

use serde_json::{Map, Value as Json};

use crate::graph::streams_tokens;

/// The fact that says where a message comes from: the namespace of what runs below its task.
pub(crate) const PLACE: &str = "langgraph_checkpoint_ns";

/// The fact that says which attempt of its node a message comes from; there for the second one and
/// later ones.
pub(crate) const ATTEMPT: &str = "langgraph_node_attempt";

/// The id of the task that a message comes from.
pub(super) fn task(facts: &Json) -> Option<&str> {
    let place = facts.get(PLACE)?.as_str()?;
    place.rsplit('|').next()?.rsplit_once(':').map(|(_, task)| task)
}

/// Which attempt of its node a message comes from.
pub(super) fn attempt(facts: &Json) -> u64 {
    facts.get(ATTEMPT).and_then(Json::as_u64).unwrap_or(1)
}

/// The facts beside a message, and their text once somebody needed it.
#[derive(Debug)]
pub(crate) struct Facts {
    json: Json,
    text: OnceLock<String>,
    streams: bool,
}

impl Facts {
    pub(crate) fn new(facts: Map<String, Json>) -> Self {
        let streams = streams_tokens(&facts);
        Self { json: Json::Object(facts), text: OnceLock::new(), streams }
    }

    pub(crate) fn json(&self) -> &Json {
        &self.json
    }

    /// Whether messages beside them are sent as they come about.
    pub(crate) fn streams(&self) -> bool {
        self.streams
    }

    /// As one JSON text.
    pub(crate) fn text(&self) -> &str {
        self.text.get_or_init(|| self.json.to_string())
    }
}
