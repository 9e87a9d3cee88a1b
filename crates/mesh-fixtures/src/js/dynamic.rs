//! `dynamic`: a graph that is made for each request, with a node named by its settings.

use std::sync::Arc;

use mesh_graph::{App, CompileError, Ctx, Graph, JsonView, Key, Keys, NodeResult, START, Untyped};
use mesh_runtime::graphs::Factory;
use serde_json::{Value as Json, json};

pub(crate) fn factory() -> Factory {
    Arc::new(|request| {
        let node = match request.configurable.get("nodeName") {
            None | Some(Json::Null) => "default",
            Some(Json::String(name)) => name,
            Some(_) => return Err("configurable.nodeName: expected a text".to_owned()),
        };
        graph(node).map_err(|error| error.to_string())
    })
}

fn graph(node: &str) -> Result<App<Untyped>, CompileError> {
    let keys = Keys::new()
        .key(Key::new("node").schema(json!({"type": "string"})))
        .key(Key::new("messages").reduce(append).default(json!([])));
    let mut graph = Graph::<Untyped>::untyped("dynamic", keys);
    graph.lenient_input();
    let name: Arc<str> = Arc::from(node);
    graph.node_json(node, move |_: JsonView, _: Ctx| {
        let name = Arc::clone(&name);
        async move { NodeResult::Ok(json!({"node": *name, "messages": [*name]})) }
    });
    graph.edge(START, node);
    Ok(graph.compile()?.app(()))
}

/// Adds a text, or the texts of a list.
fn append(current: Json, update: Json) -> Json {
    let Json::Array(mut list) = current else { return update };
    match update {
        Json::Array(more) => list.extend(more),
        one => list.push(one),
    }
    Json::Array(list)
}
