//! `tools_agent`: a model in a loop with one tool.

use std::sync::Arc;

use mesh_agents::{ToolCx, tool};
use mesh_graph::{Ctx, Graph, NodeResult, START, View};
use mesh_model::Role;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::{
    Built,
    speech::Speech,
    talk::{Talk, TalkUpdate, after_model, tools},
};

#[derive(Deserialize, JsonSchema)]
struct Search {
    query: String,
}

pub(crate) fn graph() -> Built {
    let search = tool("search", "Look up `query` in a fake search index.", search);
    let mut graph = Graph::<Talk>::new("tools_agent");
    graph.lenient_input();
    graph.node("model", model);
    graph.node("tools", tools([Arc::new(search) as _])?);
    graph.edge(START, "model");
    graph.route("model", after_model).targets(["tools"]);
    graph.edge("tools", "model");
    Ok(graph.compile()?.app(()).untyped())
}

async fn model(state: View<Talk>, ctx: Ctx) -> NodeResult<TalkUpdate> {
    // By what was said and not by turns: every run on a fresh thread makes exactly one call.
    let answered = state.messages.iter().any(|message| message.role() == Role::Tool);
    let message = if answered {
        let mut speech = Speech::with_id(&ctx, "ai-tools-done");
        speech.say("done.").await?;
        speech.end().await?
    } else {
        let mut speech = Speech::with_id(&ctx, "ai-tools-call");
        speech.call("tc-1", "search", json!({"query": "v3"})).await?;
        speech.end().await?
    };
    Ok(Talk::update().messages(message))
}

async fn search(search: Search, _: ToolCx) -> NodeResult<String> {
    Ok(format!("result for '{}'", search.query))
}
