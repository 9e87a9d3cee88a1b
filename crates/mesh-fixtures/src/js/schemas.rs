//! `state_schema_graph`, `zod_registry_graph`, `plain_zod_graph`: suites look at their schemas.

use mesh_agents::messages;
use mesh_graph::{Ctx, Graph, JsonView, Key, Keys, NodeResult, START, State, Untyped, View};
use mesh_model::{Message, Messages};
use serde_json::{Value as Json, json};

use crate::Built;

#[derive(State)]
struct Counted {
    #[state(rule = messages)]
    messages: Messages,
    count: i64,
}

/// Messages that are messages.
pub(crate) fn state_schema_graph() -> Built {
    let mut graph = Graph::<Counted>::new("state_schema_graph");
    graph.lenient_input();
    graph.node("process", |state: View<Counted>, _: Ctx| async move {
        let count = *state.count + 1;
        let message = Message::assistant(format!("Response {count}"));
        NodeResult::Ok(Counted::update().messages(message).count(count))
    });
    graph.edge(START, "process");
    Ok(graph.compile()?.app(()).untyped())
}

/// A list of texts that only calls itself one of messages.
pub(crate) fn zod_registry_graph() -> Built {
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let status = json!({"type": "string", "enum": ["idle", "processing", "done"]});
    let keys = Keys::new()
        .key(Key::new("messages").append().schema(texts).of_messages())
        .key(Key::new("count").schema(json!({"type": "number"})).default(json!(0)))
        .key(Key::new("status").schema(status).default(json!("idle")));
    processing("zod_registry_graph", keys, |state| {
        let count = next(&state["count"]);
        json!({"messages": [format!("Message {count}")], "count": count, "status": "processing"})
    })
}

/// Nothing that could be taken for messages.
pub(crate) fn plain_zod_graph() -> Built {
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let keys = Keys::new()
        .key(Key::new("items").schema(texts).default(json!([])))
        .key(Key::new("counter").schema(json!({"type": "number"})).default(json!(0)))
        .key(Key::new("label").schema(json!({"type": "string"})));
    processing("plain_zod_graph", keys, |state| {
        let counter = next(&state["counter"]);
        let mut items = state["items"].as_array().cloned().unwrap_or_default();
        items.push(json!(format!("Item {counter}")));
        json!({"items": items, "counter": counter, "label": "processed"})
    })
}

/// A graph of the one node `process`.
fn processing(name: &str, keys: Keys, process: fn(&JsonView) -> Json) -> Built {
    let mut graph = Graph::<Untyped>::untyped(name, keys);
    graph.lenient_input();
    graph.node_json("process", move |state: JsonView, _: Ctx| async move {
        NodeResult::Ok(process(&state))
    });
    graph.edge(START, "process");
    Ok(graph.compile()?.app(()))
}

fn next(count: &Json) -> i64 {
    count.as_i64().unwrap_or(0).saturating_add(1)
}
