//! What is served: a graph with a name and a rule for its requests.

use std::sync::Arc;

use mesh_graph::{App, Checkpointer, Untyped};
use serde_json::Value as Json;

/// Checks a request and turns it into the graph's input.
pub type Prepare = Arc<dyn Fn(Json) -> Result<Json, InvalidRequest> + Send + Sync>;

/// A request that an assistant does not take. Shown to the client as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidRequest {
    /// JSON Pointer (RFC 6901) to what is wrong, such as `/topic`; empty for the whole request.
    pub pointer: String,
    /// What is wrong and what was expected, naming the field: `topic: 4 characters, expected 5
    /// to 500`.
    pub message: String,
}

impl InvalidRequest {
    /// A request that is wrong at `pointer`.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

/// A graph as it is offered to clients.
#[derive(Clone)]
pub struct Assistant {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) input_schema: Json,
    pub(crate) prepare: Prepare,
    /// Without a checkpointer: runs that nobody named a thread for.
    pub(crate) app: App<Untyped>,
    /// The same graph on stored threads.
    pub(crate) kept: Option<App<Untyped>>,
}

impl Assistant {
    /// The graph of `app`, which has no checkpointer, offered at `/ws/{name}`. Requests are the
    /// graph's input as it is, until [`Assistant::prepare`] says otherwise.
    pub fn new(name: impl Into<String>, app: App<Untyped>) -> Self {
        Self {
            name: name.into(),
            description: String::new(),
            input_schema: app.input_schema(),
            prepare: Arc::new(Ok),
            app,
            kept: None,
        }
    }

    /// One line for people.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// JSON Schema of a request, shown at `/info`. By default that of the graph's input.
    pub fn input_schema(mut self, schema: Json) -> Self {
        self.input_schema = schema;
        self
    }

    /// Checks requests and turns each into the graph's input. Called once per run, on the
    /// server's own threads, so it must not block.
    pub fn prepare(
        mut self,
        prepare: impl Fn(Json) -> Result<Json, InvalidRequest> + Send + Sync + 'static,
    ) -> Self {
        self.prepare = Arc::new(prepare);
        self
    }

    /// Keeps the threads that clients name in `checkpointer`. Without it, a client that names a
    /// thread is refused.
    pub fn keep_threads(mut self, checkpointer: Arc<dyn Checkpointer>) -> Self {
        self.kept = Some(self.app.clone().checkpointer(checkpointer));
        self
    }

    /// The name, which is the last part of the socket's path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether clients may name a thread.
    pub fn keeps_threads(&self) -> bool {
        self.kept.is_some()
    }

    /// What is wrong with the name, if anything: it has to stand in a path as it is.
    pub(crate) fn name_is_usable(&self) -> bool {
        let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=64).contains(&self.name.len()) && self.name.chars().all(usable)
    }
}

impl std::fmt::Debug for Assistant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assistant")
            .field("name", &self.name)
            .field("keeps_threads", &self.kept.is_some())
            .finish_non_exhaustive()
    }
}
