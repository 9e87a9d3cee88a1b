//! `agent_with_tools`: one call of a tool, for the `tools` stream.

use std::sync::Arc;

use mesh_agents::{Tool, ToolCx, tool};
use mesh_graph::{Ctx, Graph, NodeResult, START, View};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::{
    Built,
    speech::{assistant, call},
    talk::{Talk, TalkUpdate, after_model, answered, tools},
};

#[derive(Deserialize, JsonSchema)]
struct Query {
    /// The location to get weather for.
    query: String,
}

pub(crate) fn graph() -> Built {
    let mut graph = Graph::<Talk>::new("agent_with_tools");
    graph.lenient_input();
    graph.node("agent", agent);
    graph.node("tools", tools([weather()])?);
    graph.edge(START, "agent");
    graph.route("agent", after_model).targets(["tools"]);
    graph.edge("tools", "agent");
    Ok(graph.compile()?.app(()).untyped())
}

async fn agent(state: View<Talk>, _: Ctx) -> NodeResult<TalkUpdate> {
    Ok(Talk::update().messages(if answered(&state.messages) {
        assistant("Done.", Vec::new())
    } else {
        assistant("", vec![call("call_embed_1", "weather", &json!({"query": "SF"}))])
    }))
}

/// A tool that knows the weather.
pub(crate) fn weather() -> Arc<dyn Tool> {
    Arc::new(tool(
        "weather",
        "Get the current weather for a location.",
        |Query { query }: Query, _: ToolCx| async move {
            let query = query.to_lowercase();
            let foggy = query.contains("sf") || query.contains("san francisco");
            let weather =
                if foggy { "It's 60 degrees and foggy." } else { "It's 90 degrees and sunny." };
            NodeResult::Ok(weather)
        },
    ))
}
