//! Tags of nodes, and what streams make of them.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

/// Tag of a node, or of a model call, whose tokens are not streamed; the message that the node
/// returns still is.
const NO_STREAM: &str = "nostream";

/// Tag of a node that streams do not show at all.
const HIDDEN: &str = "langsmith:hidden";

/// The tags of a node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tags {
    all: Vec<Arc<str>>,
    /// Whether streams leave the node out.
    pub(crate) hidden: bool,
}

impl Tags {
    pub(super) fn add(&mut self, tag: &str) {
        self.hidden |= tag == HIDDEN;
        self.all.push(Arc::from(tag));
    }

    /// Puts them before the `tags` of a message's facts.
    pub(crate) fn join(&self, facts: &mut Map<String, Json>) {
        prepend_tags(&self.all, facts);
    }
}

/// Puts these before the `tags` of a message's facts.
pub(crate) fn prepend_tags(tags: &[impl AsRef<str>], facts: &mut Map<String, Json>) {
    if !tags.is_empty() {
        let given = facts.get("tags").and_then(Json::as_array).cloned().unwrap_or_default();
        let own = tags.iter().map(|tag| Json::from(tag.as_ref()));
        facts.insert("tags".to_owned(), own.chain(given).collect());
    }
}

/// Whether the tokens of a model call with these facts are to be streamed.
pub(crate) fn streams_tokens(facts: &Map<String, Json>) -> bool {
    let tags = facts.get("tags").and_then(Json::as_array);
    !tags.is_some_and(|tags| tags.iter().any(|tag| tag == NO_STREAM))
}
