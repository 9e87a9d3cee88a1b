//! What is served: a graph with a name and a rule for its requests.

use std::sync::Arc;

use mesh_graph::{App, Untyped};
use mesh_runtime::graphs::{InvalidRequest, Prepare, Served};
use serde_json::{Map, Value as Json};

/// A graph as it is offered to clients.
#[derive(Clone)]
pub struct Assistant {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) input_schema: Json,
    context_schema: Option<Json>,
    config: Map<String, Json>,
    context: Json,
    prepare: Prepare,
    /// Without a checkpointer: the runtime has its own.
    app: App<Untyped>,
}

impl Assistant {
    /// The graph of `app`, which has no checkpointer, offered at `/ws/{name}`. Requests are the
    /// graph's input as it is, until [`Assistant::prepare`] says otherwise.
    pub fn new(name: impl Into<String>, app: App<Untyped>) -> Self {
        Self {
            name: name.into(),
            description: String::new(),
            input_schema: app.input_schema(),
            context_schema: None,
            config: Map::new(),
            context: Json::Null,
            prepare: Arc::new(Ok),
            app,
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

    /// JSON Schema of the context that its nodes read. By default nothing is said about it.
    pub fn context_schema(mut self, schema: Json) -> Self {
        self.context_schema = Some(schema);
        self
    }

    /// The configuration that runs have unless they say otherwise: `{tags?, recursion_limit?,
    /// configurable?, …}`. Of `configurable` and [`Assistant::context`], one can be given.
    pub fn config(mut self, config: Map<String, Json>) -> Self {
        self.config = config;
        self
    }

    /// The context that runs have unless they say otherwise.
    pub fn context(mut self, context: Json) -> Self {
        self.context = context;
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

    /// The name, which is the last part of the socket's path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The graph as the runtime serves it.
    pub(crate) fn served(&self) -> Served {
        let mut served = Served::fixed(self.app.clone());
        served.description.clone_from(&self.description);
        served.prepare = Some(Arc::clone(&self.prepare));
        served.request_schema = Some(self.input_schema.clone());
        served.context_schema.clone_from(&self.context_schema);
        served.config.clone_from(&self.config);
        served.context.clone_from(&self.context);
        served
    }

    /// What is wrong with the name, if anything: it has to stand in a path as it is.
    pub(crate) fn name_is_usable(&self) -> bool {
        let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=64).contains(&self.name.len()) && self.name.chars().all(usable)
    }
}

impl std::fmt::Debug for Assistant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assistant").field("name", &self.name).finish_non_exhaustive()
    }
}
