//! What a run was started with, for its nodes to read.
//!
//! The engine gives a [`Config`] to nodes and, of it, tags and metadata to streams and checkpoints;
//! it never acts on what is written in one.

use std::sync::LazyLock;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::error::{NodeError, NodeResult};

/// What a run of a graph without a config reads.
static NONE: LazyLock<Config> = LazyLock::new(Config::default);

/// What a run was started with: the same for all its nodes, and for the graphs mounted in it or
/// called by it. See [`crate::Run::config`] and [`crate::Ctx::config`].
///
/// ```
/// # use std::sync::Arc;
/// # use mesh_graph::{Config, Ctx, Graph, NodeResult, START, State, View};
/// # #[derive(State)] struct Choice { model: String }
/// #[derive(serde::Deserialize)]
/// struct Wanted {
///     model: String,
/// }
///
/// async fn choose(_: View<Choice>, ctx: Ctx) -> NodeResult<ChoiceUpdate> {
///     let wanted: Wanted = ctx.context()?;
///     Ok(Choice::update().model(wanted.model))
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut graph = Graph::<Choice>::new("choice");
/// # graph.node("choose", choose); graph.edge(START, "choose");
/// # let app = graph.compile()?.app(());
/// let config = Config { context: serde_json::json!({"model": "small"}), ..Config::default() };
/// let outcome = app.run(Choice::update()).config(Arc::new(config)).invoke().await?;
/// assert_eq!(outcome.state().model, "small");
/// # Ok(()) }
/// ```
///
/// Semantics: LangGraph's `RunnableConfig` and `Runtime.context`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// Stand before a node's own tags beside its messages. `nostream` keeps the pieces of all model
    /// replies from the `messages` stream.
    pub tags: Vec<String>,
    /// Settings of the run, of the server that runs it and of its caller. Not stored.
    pub configurable: Map<String, Json>,
    /// Stands beside messages and in the metadata of the run's checkpoints. Entries of
    /// [`crate::Run::metadata`] are preferred.
    pub metadata: Map<String, Json>,
    /// What the graph's own nodes are told for this run, in whatever form they expect. Not stored.
    pub context: Json,
}

impl Config {
    /// The config of a run that was given none.
    pub(crate) fn none() -> &'static Self {
        &NONE
    }

    /// The settings as a type of the graph's own.
    ///
    /// # Errors
    /// Names the entry that does not fit, as `configurable.model`, and what was expected.
    pub fn configurable<T: DeserializeOwned>(&self) -> NodeResult<T> {
        decode("configurable", &self.configurable)
    }

    /// The context as a type of the graph's own. A run without one is read as an empty object.
    ///
    /// # Errors
    /// Names the field that does not fit, as `context.model`, and what was expected.
    pub fn context<T: DeserializeOwned>(&self) -> NodeResult<T> {
        match &self.context {
            Json::Null => decode("context", Json::Object(Map::new())),
            given => decode("context", given),
        }
    }
}

/// Reads what stands at `place`. The client that gave it may know what is wrong with it.
fn decode<'de, T: DeserializeOwned>(
    place: &str,
    from: impl serde::Deserializer<'de, Error = serde_json::Error>,
) -> NodeResult<T> {
    serde_path_to_error::deserialize(from).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { place.to_owned() } else { format!("{place}.{path}") };
        NodeError::coded("InvalidConfig", format!("{place}: {}", error.into_inner()))
    })
}
