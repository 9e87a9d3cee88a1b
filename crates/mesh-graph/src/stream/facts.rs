//! What stands beside the messages of a task: made once, shared by all pieces of a message.

use std::sync::OnceLock;

use serde_json::{Map, Value as Json};

use crate::graph::streams_tokens;

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
