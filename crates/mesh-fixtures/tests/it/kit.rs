//! Runs fixture graphs in this process.

use std::{path::Path, sync::Arc};

use mesh_fixtures::{Fixtures, Suite};
use mesh_graph::{
    App, Config, Error, Event, MemoryCheckpointer, MemoryStore, Mode, Outcome, Run, Store, Untyped,
};
use mesh_runtime::graphs::{Graphs, Purpose, Request};
use serde_json::{Map, Value as Json};

pub(crate) type Object = Map<String, Json>;

pub(crate) fn graphs(suite: Suite, files: Option<&Path>) -> Graphs {
    let mut graphs = Graphs::default();
    Fixtures::new(suite, files).unwrap().add_to(&mut graphs);
    graphs
}

pub(crate) fn request(purpose: Purpose, configurable: Json) -> Request {
    Request { purpose, configurable: object(configurable) }
}

pub(crate) fn object(json: Json) -> Object {
    json.as_object().cloned().unwrap()
}

/// A graph with storage, as a server holds it.
pub(crate) struct Bench {
    pub(crate) app: App<Untyped>,
    pub(crate) store: Arc<MemoryStore>,
}

impl Bench {
    pub(crate) fn new(suite: Suite, id: &str) -> Self {
        Self::of(&graphs(suite, None), id)
    }

    pub(crate) fn of(graphs: &Graphs, id: &str) -> Self {
        let request = request(Purpose::Run, Json::Object(Map::new()));
        Self::with(graphs.get(id).unwrap().app(&request).unwrap())
    }

    pub(crate) fn with(app: App<Untyped>) -> Self {
        let store = Arc::new(MemoryStore::default());
        let app = app
            .checkpointer(Arc::new(MemoryCheckpointer::encoding()))
            .store(Arc::clone(&store) as Arc<dyn Store>);
        Self { app, store }
    }

    /// Runs to its end on thread `t`; gives the result.
    pub(crate) async fn run(&self, input: Json) -> Json {
        let outcome: Outcome<Untyped> =
            self.app.run_json(input).thread("t").invoke().await.unwrap();
        outcome.json().unwrap()
    }

    /// The state of thread `t`.
    pub(crate) async fn values(&self) -> Json {
        self.app.state("t").await.unwrap().json().unwrap()
    }

    /// Why a run on thread `t` fails.
    pub(crate) async fn fails(&self, input: Json) -> Error {
        self.app.run_json(input).thread("t").invoke().await.err().unwrap()
    }
}

pub(crate) fn with_config(run: Run<Untyped>, configurable: Json, context: Json) -> Run<Untyped> {
    let configurable = object(configurable);
    run.config(Arc::new(Config { configurable, context, ..Config::default() }))
}

/// All events of these modes.
pub(crate) async fn events<const N: usize>(run: Run<Untyped>, modes: [Mode; N]) -> Vec<Event> {
    let mut handle = run.stream(modes).start().unwrap();
    let mut events = Vec::new();
    while let Some(event) = handle.next().await {
        events.push(event);
    }
    handle.finish().await.unwrap();
    events
}

/// What the events carry.
pub(crate) async fn stream(run: Run<Untyped>, mode: Mode) -> Vec<Json> {
    events(run, [mode]).await.iter().map(Event::data).collect()
}

/// The texts of a list of messages.
pub(crate) fn texts(messages: &Json) -> Vec<&str> {
    messages.as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap()).collect()
}
