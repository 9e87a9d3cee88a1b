//! The graph of an assistant, for those who show it.

use mesh_graph::{App, Untyped};
use serde_json::{Map, Value as Json};

use super::CONFIGURABLE;
use crate::{
    Error, Runtime, Scope,
    graphs::{Purpose, Request},
};

/// The graph of an assistant.
#[derive(Debug, Clone)]
pub struct Description {
    /// Its id.
    pub graph: String,
    /// The graph, as it is made with the assistant's configuration.
    pub app: App<Untyped>,
    /// JSON Schema of a request: that of the graph's input, unless requests are turned into it.
    pub request_schema: Json,
    /// JSON Schema of the context, if the graph has said.
    pub context_schema: Option<Json>,
}

impl Runtime {
    /// The graph of an assistant, by the assistant's id or the graph's.
    ///
    /// # Errors
    /// [`Error::NoAssistant`], [`Error::NoGraph`], [`Error::NotMade`], and what storage reports.
    pub async fn describe_assistant(&self, scope: &Scope, id: &str) -> Result<Description, Error> {
        let assistant = self.assistant(scope, id).await?;
        let served = self.served(&assistant.graph)?;
        let configurable = match assistant.config.get(CONFIGURABLE) {
            Some(Json::Object(entries)) => entries.clone(),
            _ => Map::new(),
        };
        let request = Request { purpose: Purpose::Describe, configurable };
        let app = served
            .app(&request)
            .map_err(|message| Error::NotMade { graph: assistant.graph.clone(), message })?;
        let request_schema = served.request_schema.clone().unwrap_or_else(|| app.input_schema());
        let context_schema = served.context_schema.clone();
        Ok(Description { graph: assistant.graph, app, request_schema, context_schema })
    }
}
