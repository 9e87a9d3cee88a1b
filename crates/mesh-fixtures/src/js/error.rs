//! `error`: fails after a second, with a name.

use std::time::Duration;

use mesh_graph::{Ctx, Graph, NodeError, NodeResult, START, View};

use crate::{
    Built,
    talk::{Talk, TalkUpdate},
};

pub(crate) fn graph() -> Built {
    let mut graph = Graph::<Talk>::new("error");
    graph.lenient_input();
    graph.node("error_node", error_node);
    graph.edge(START, "error_node");
    Ok(graph.compile()?.app(()).untyped())
}

async fn error_node(_: View<Talk>, _: Ctx) -> NodeResult<TalkUpdate> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    Err(NodeError::coded("CustomError", "Boo!"))
}
