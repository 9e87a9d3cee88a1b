//! `agent_with_stats`: one call of a tool, and at the end of the run what it came to.

use mesh_graph::{Ctx, Graph, NodeResult, START, View};
use mesh_model::{Messages, Role};
use serde_json::json;

use super::agent_with_tools::weather;
use crate::{
    Built,
    speech::{assistant, call},
    talk::{Talk, TalkUpdate, after_model, answered, tools},
};

pub(crate) fn graph() -> Built {
    let mut graph = Graph::<Talk>::new("agent_with_stats");
    graph.lenient_input();
    graph.node("agent", agent);
    graph.node("tools", tools([weather()])?);
    graph.edge(START, "agent");
    graph.route("agent", after_model).targets(["tools"]);
    graph.edge("tools", "agent");
    Ok(graph.compile()?.app(()).untyped())
}

async fn agent(state: View<Talk>, ctx: Ctx) -> NodeResult<TalkUpdate> {
    if !answered(&state.messages) {
        let calls = vec![call("call_stats_1", "weather", &json!({"query": "SF"}))];
        return Ok(Talk::update().messages(assistant("", calls)));
    }
    // This reply ends the run: what is told here comes right before its end.
    let (tool_calls, tokens) = stats(&state.messages);
    ctx.emit(&json!({"name": "toolCallCount", "payload": tool_calls})).await?;
    ctx.emit(&json!({"name": "totalTokens", "payload": tokens})).await?;
    Ok(Talk::update().messages(assistant("Done.", Vec::new())))
}

/// Answered tool calls, and tokens that models report, since a person spoke last.
fn stats(messages: &Messages) -> (usize, u64) {
    let run = || messages.iter().rev().take_while(|message| message.role() != Role::User);
    let tool_calls = run().filter(|message| message.role() == Role::Tool).count();
    let usage = run().filter_map(mesh_model::Message::usage);
    (tool_calls, usage.map(|usage| usage.input_tokens + usage.output_tokens).sum())
}
