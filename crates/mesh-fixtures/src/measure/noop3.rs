//! `noop3`: three nodes that do next to nothing.

use mesh_graph::{Ctx, Graph, NodeResult, START, State, View};

use crate::Built;

#[derive(State)]
struct Noop {
    #[state(append)]
    log: Vec<String>,
}

pub(crate) fn graph() -> Built {
    let mut graph = Graph::<Noop>::new("noop3");
    graph.lenient_input();
    for letter in ["a", "b", "c"] {
        graph.node(letter, move |_: View<Noop>, _: Ctx| async move {
            NodeResult::Ok(Noop::update().push_log(letter))
        });
    }
    graph.edge(START, "a");
    graph.sequence(["a", "b", "c"]);
    Ok(graph.compile()?.app(()).untyped())
}
