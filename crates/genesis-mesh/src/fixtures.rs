//! Graphs for test suites and measurements, on top of what is served anyway.

use mesh_fixtures::{Fixtures, Suite};
use mesh_runtime::graphs::Graphs;
use serde_json::{Map, Value as Json};

use crate::{Builder, cli};

/// Configuration of the assistants that graphs have of themselves, as the JavaScript suites give
/// it: `{"<graph>": {"configurable": {…}}}` or `{"<graph>": {"context": {…}}}`.
const CONFIG_VARIABLE: &str = "LANGGRAPH_CONFIG";

/// Why fixtures are not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FixturesError {
    /// The graphs cannot be made.
    #[error(transparent)]
    Graphs(#[from] mesh_fixtures::Error),
    /// The variable is set to something else.
    #[error("{CONFIG_VARIABLE}: expected an object of objects by graph")]
    Config(#[source] serde_json::Error),
}

/// Adds the fixtures that the command line asks for, if it does.
///
/// # Errors
/// [`FixturesError`].
pub fn add(mut mesh: Builder, options: &cli::Serve) -> Result<Builder, FixturesError> {
    let suite = match options.fixtures {
        None => return Ok(mesh),
        Some(cli::Suite::Python) => Suite::Python,
        Some(cli::Suite::Js) => Suite::Js,
    };
    let mut graphs = Graphs::default();
    Fixtures::new(suite, options.fixtures_dir.as_deref())?.add_to(&mut graphs);
    let mut configured = configured()?;
    for (id, graph) in graphs.iter() {
        let mut graph = graph.clone();
        if let Some(Json::Object(given)) = configured.remove(id) {
            if let Some(context) = given.get("context") {
                graph.context = context.clone();
            } else {
                graph.config = given;
            }
        }
        mesh = mesh.graph(id, graph);
    }
    Ok(mesh.development())
}

fn configured() -> Result<Map<String, Json>, FixturesError> {
    match std::env::var(CONFIG_VARIABLE) {
        Ok(text) => serde_json::from_str(&text).map_err(FixturesError::Config),
        Err(_) => Ok(Map::new()),
    }
}
