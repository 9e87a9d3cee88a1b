//! `factory_agent`: a graph that is made for each request and says why.

use std::sync::Arc;

use mesh_graph::{App, CompileError, Ctx, Graph, NodeResult, START, State, Untyped, View};
use mesh_runtime::graphs::{Factory, Purpose};

#[derive(State)]
struct Echo {
    text: String,
    access_context: String,
    is_for_execution: bool,
}

pub(crate) fn factory() -> Factory {
    Arc::new(|request| graph(request.purpose).map_err(|error| error.to_string()))
}

fn graph(purpose: Purpose) -> Result<App<Untyped>, CompileError> {
    let access = match purpose {
        Purpose::Run => "threads.create_run",
        Purpose::State => "threads.read",
        Purpose::Describe => "assistants.read",
    };
    let mut graph = Graph::<Echo>::new("factory_agent");
    graph.lenient_input();
    graph.node("echo", move |state: View<Echo>, _: Ctx| async move {
        let text = format!("{} echoed", *state.text);
        let update = Echo::update().text(text).access_context(access);
        NodeResult::Ok(update.is_for_execution(purpose == Purpose::Run))
    });
    graph.edge(START, "echo");
    Ok(graph.compile()?.app(()).untyped())
}
