//! The graphs that are served, by name.

use std::{collections::BTreeMap, sync::Arc};

use mesh_graph::{App, Untyped};
use serde_json::{Map, Value as Json};

/// Why a graph is asked for. A graph that is made on request may look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To execute a run.
    Run,
    /// To read or change the state of a thread.
    State,
    /// To show its schemas or its drawing.
    Describe,
}

/// What a graph that is made on request is made from.
#[derive(Debug, Clone)]
pub struct Request {
    /// Why it is asked for.
    pub purpose: Purpose,
    /// `config.configurable` of the run, the thread or the assistant.
    pub configurable: Map<String, Json>,
}

/// Makes a graph for a request. An error is shown to the client as it is.
pub type Factory = Arc<dyn Fn(&Request) -> Result<App<Untyped>, String> + Send + Sync>;

/// Checks a request and turns it into the graph's input; an error names the field.
pub type Prepare = Arc<dyn Fn(Json) -> Result<Json, InvalidRequest> + Send + Sync>;

/// A request that a graph does not take. Shown to the client as it is.
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

/// Where a graph comes from.
#[derive(Clone)]
enum Source {
    Fixed(App<Untyped>),
    Made(Factory),
}

/// A graph that is served.
#[derive(Clone)]
pub struct Served {
    source: Source,
    /// One line for people.
    pub description: String,
    /// Configuration of the assistant that the graph has of itself.
    pub config: Map<String, Json>,
    /// Context of that assistant.
    pub context: Json,
    /// Checks inputs before a run is made; none takes them as they are.
    pub prepare: Option<Prepare>,
    /// JSON Schema of a request, where it is not that of the graph's input.
    pub request_schema: Option<Json>,
    /// JSON Schema of the context, which nodes also read as `config.configurable`.
    pub context_schema: Option<Json>,
}

impl Served {
    /// A graph that is always the same.
    pub fn fixed(app: App<Untyped>) -> Self {
        let context_schema = app.context_schema().cloned();
        Self { context_schema, ..Self::of(Source::Fixed(app)) }
    }

    /// A graph that is made for each request.
    pub fn made(factory: Factory) -> Self {
        Self::of(Source::Made(factory))
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            description: String::new(),
            config: Map::new(),
            context: Json::Object(Map::new()),
            prepare: None,
            request_schema: None,
            context_schema: None,
        }
    }

    /// The graph, without storage.
    ///
    /// # Errors
    /// What the factory says, in its words.
    pub fn app(&self, request: &Request) -> Result<App<Untyped>, String> {
        match &self.source {
            Source::Fixed(app) => Ok(app.clone()),
            Source::Made(factory) => factory(request),
        }
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").field("description", &self.description).finish_non_exhaustive()
    }
}

/// All graphs that are served.
#[derive(Debug, Clone, Default)]
pub struct Graphs(BTreeMap<String, Served>);

impl Graphs {
    /// Adds a graph; one of the same name is replaced.
    pub fn insert(&mut self, id: impl Into<String>, graph: Served) {
        self.0.insert(id.into(), graph);
    }

    /// The graph with this id.
    pub fn get(&self, id: &str) -> Option<&Served> {
        self.0.get(id)
    }

    /// Their ids, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// All of them, in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Served)> {
        self.0.iter().map(|(id, graph)| (id.as_str(), graph))
    }
}
