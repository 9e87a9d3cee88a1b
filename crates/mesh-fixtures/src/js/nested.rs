//! `nested`: three graphs in each other, which share a list of texts.

use mesh_graph::{
    CompileError, Compiled, Ctx, Graph, JsonView, Key, Keys, NodeResult, START, Sharing, Untyped,
};
use serde_json::{Value as Json, json};

use crate::Built;

pub(crate) fn graph() -> Built {
    let mut child = level("child", Some(("child", json!(["child_one", "child_two"]))));
    enters(&mut child, "c_one");
    enters(&mut child, "c_two");
    child.edge(START, "c_one");
    child.edge("c_one", "c_two");

    let parent = level("parent", Some(("parent", json!(["parent_one", "parent_two"]))));
    let parent = around(parent, "p_one", "p_two", &child.compile()?)?;
    let mut grandparent = level("nested", None);
    grandparent.lenient_input();
    let grandparent = around(grandparent, "gp_one", "gp_two", &parent)?;
    Ok(grandparent.app(()))
}

/// A graph over the shared list and, if it has one, a choice of its own.
fn level(name: &str, own: Option<(&str, Json)>) -> Graph<Untyped> {
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let mut keys = Keys::new().key(Key::new("messages").append().schema(texts));
    if let Some((key, choices)) = own {
        keys = keys.key(Key::new(key).schema(json!({"type": "string", "enum": choices})));
    }
    Graph::untyped(name, keys)
}

/// `first`, then the graph below.
fn around(
    mut graph: Graph<Untyped>,
    first: &'static str,
    second: &str,
    below: &Compiled<Untyped>,
) -> Result<Compiled<Untyped>, CompileError> {
    enters(&mut graph, first);
    // All of the list comes back and is appended once more: what the suite's own server does.
    graph.mount_shared(second, below, Sharing::Values);
    graph.edge(START, first);
    graph.edge(first, second);
    graph.compile()
}

fn enters(graph: &mut Graph<Untyped>, node: &'static str) {
    graph.node_json(node, move |_: JsonView, _: Ctx| async move {
        NodeResult::Ok(json!({"messages": [format!("Entered {node} node")]}))
    });
}
