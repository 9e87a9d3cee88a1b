//! Graphs that the public suites of LangGraph's client libraries, and our own measurements, expect
//! of a server under test.
//!
//! They are hermetic: models are faked here, nothing is fetched. No product code uses them; a
//! server has them only when it is told to. One graph writes to files, in one folder that is given
//! at start, and nowhere else.
//!
//! # Adding one
//!
//! A graph is a file in `python`, `js`, `measure` or `people`, after whoever drives it, with a function that
//! builds it, and a line in the list in [`Fixtures::new`]. What clients compare (names of nodes and
//! keys, texts, ids) stands in that file as it is. A graph over messages starts from `talk`; a fake
//! model speaks through `speech`, which is what makes it appear in the `messages` stream. Give the
//! graph [`lenient_input`](mesh_graph::Graph::lenient_input), since suites send keys that other
//! servers ignore, and a test in `tests/it` that runs it as the suite does.

mod js;
mod measure;
mod people;
mod python;
mod speech;
mod talk;
mod turns;

use std::{path::Path, sync::Arc};

use cap_std::{ambient_authority, fs::Dir};
use mesh_agents::ToolNodeError;
use mesh_graph::{App, CompileError, Failure, Untyped};
use mesh_runtime::graphs::{Factory, Graphs, Served};

pub use measure::{DELAY_MAX, INTERVAL_US_MAX, PAD_MAX, PARTS_MAX, TOKENS_MAX};
pub use turns::THREADS_MAX;

/// A public suite of clients. Both know a graph `agent`, and mean different ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Suite {
    /// The suite of `langgraph-sdk` for Python.
    #[default]
    Python,
    /// The suites of `@langchain/langgraph-sdk` for JavaScript.
    Js,
}

/// The fixture graphs.
#[derive(Debug)]
pub struct Fixtures {
    graphs: Vec<(&'static str, Served)>,
}

/// The fixture graphs cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder for files cannot be opened.
    #[error("fixtures folder {folder} cannot be opened")]
    Folder {
        /// The folder as given.
        folder: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A graph of this crate is wrong.
    #[error("fixture graph")]
    Graph(#[from] CompileError),
    /// A tool of this crate is wrong.
    #[error("fixture tools")]
    Tools(#[from] ToolNodeError),
    /// A breakpoint of this crate is wrong.
    #[error("fixture breakpoint")]
    Breakpoint(#[source] Box<Failure>),
}

/// A graph of this crate, or why it is wrong.
pub(crate) type Built = Result<App<Untyped>, Error>;

impl Fixtures {
    /// All graphs, with the `agent` of one suite. The graph `steps` appends to files below `files`,
    /// an existing folder; without one it refuses to.
    ///
    /// # Errors
    /// [`Error::Folder`] when the folder cannot be opened. The others say that this crate is wrong.
    pub fn new(suite: Suite, files: Option<&Path>) -> Result<Self, Error> {
        let files = files.map(open).transpose()?.map(Arc::new);
        let fixed = |id, app: Built| Ok::<_, Error>((id, Served::fixed(app?)));
        let made = |id, factory: Factory| (id, Served::made(factory));
        let agent = match suite {
            Suite::Python => python::agent::graph(),
            Suite::Js => js::agent::graph(),
        };
        let graphs = vec![
            fixed("agent", agent)?,
            fixed("tools_agent", python::tools_agent::graph())?,
            fixed("deep_agent", python::deep_agent::graph())?,
            made("factory_agent", python::factory_agent::factory()),
            fixed("agent_simple", js::agent_simple::graph())?,
            fixed("nested", js::nested::graph())?,
            fixed("weather", js::weather::graph())?,
            fixed("error", js::error::graph())?,
            fixed("delay", js::delay::graph())?,
            made("dynamic", js::dynamic::factory()),
            fixed("simple_runtime", js::simple_runtime::graph())?,
            fixed("state_schema_graph", js::schemas::state_schema_graph())?,
            fixed("zod_registry_graph", js::schemas::zod_registry_graph())?,
            fixed("plain_zod_graph", js::schemas::plain_zod_graph())?,
            fixed("agent_with_tools", js::agent_with_tools::graph())?,
            fixed("agent_with_stats", js::agent_with_stats::graph())?,
            fixed("steps", measure::steps::graph(files))?,
            fixed("noop3", measure::noop3::graph())?,
            fixed("tokens200", measure::tokens200::graph())?,
            fixed("echo", measure::echo::graph())?,
            fixed("fan_out", measure::fan_out::graph())?,
            fixed("large", measure::large::graph())?,
            fixed("ask", people::ask::graph())?,
        ];
        Ok(Self { graphs })
    }

    /// The graphs and their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Served)> {
        self.graphs.iter().map(|(id, graph)| (*id, graph))
    }

    /// Adds them to the graphs that are served; those of the same name are replaced.
    pub fn add_to(self, graphs: &mut Graphs) {
        for (id, graph) in self.graphs {
            graphs.insert(id, graph);
        }
    }
}

fn open(folder: &Path) -> Result<Dir, Error> {
    Dir::open_ambient_dir(folder, ambient_authority())
        .map_err(|source| Error::Folder { folder: folder.display().to_string(), source })
}
