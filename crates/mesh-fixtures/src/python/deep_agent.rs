//! `deep_agent`: a supervisor whose tool `task` runs another agent.

use std::sync::Arc;

use mesh_agents::{ToolCx, tool};
use mesh_graph::{Compiled, Ctx, Graph, NodeError, NodeResult, START, View};
use mesh_model::Message;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::{
    Built,
    speech::Speech,
    talk::{Talk, TalkUpdate, after_model, answered, text_of, tools},
};

const RESEARCHER: &str = "researcher";

#[derive(Deserialize, JsonSchema)]
struct Task {
    subagent_type: String,
    description: String,
}

pub(crate) fn graph() -> Built {
    let mut researcher = Graph::<Talk>::new(RESEARCHER);
    researcher.node("model", research);
    researcher.edge(START, "model");
    let researcher = researcher.compile()?;

    let task = tool("task", "Hands a task to a sub-agent.", move |task: Task, cx: ToolCx| {
        delegate(researcher.clone(), task, cx)
    });
    let mut graph = Graph::<Talk>::new("deep_agent");
    graph.lenient_input();
    graph.node("model", supervise);
    graph.node("tools", tools([Arc::new(task) as _])?);
    graph.edge(START, "model");
    graph.route("model", after_model).targets(["tools"]);
    graph.edge("tools", "model");
    Ok(graph.compile()?.app(()).untyped())
}

async fn supervise(state: View<Talk>, ctx: Ctx) -> NodeResult<TalkUpdate> {
    let message = if answered(&state.messages) {
        let mut speech = Speech::with_id(&ctx, "sup-2");
        speech.say("Research complete.").await?;
        speech.end().await?
    } else {
        let args = json!({"subagent_type": RESEARCHER, "description": "research v3 streaming"});
        let mut speech = Speech::with_id(&ctx, "sup-1");
        speech.call("tc-task-1", "task", args).await?;
        speech.end().await?
    };
    Ok(Talk::update().messages(message))
}

async fn research(_: View<Talk>, ctx: Ctx) -> NodeResult<TalkUpdate> {
    let mut speech = Speech::with_id(&ctx, "res-1");
    speech.say("v3 streaming is event-typed and thread-centric.").await?;
    Ok(Talk::update().messages(speech.end().await?))
}

async fn delegate(researcher: Compiled<Talk>, task: Task, cx: ToolCx) -> NodeResult<String> {
    if task.subagent_type != RESEARCHER {
        let found = task.subagent_type;
        return Err(NodeError::msg(format!("subagent_type: `{found}`, expected `{RESEARCHER}`")));
    }
    let input = Talk::update().messages(Message::user(task.description));
    let done = cx.ctx().call(&researcher, input).await?;
    Ok(text_of(done.messages.last()))
}
