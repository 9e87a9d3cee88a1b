//! `agent`: something for every stream, a question in the middle, a graph below at the end.

use mesh_agents::messages;
use mesh_graph::{Compiled, Ctx, Graph, NodeResult, START, State, View};
use mesh_model::{Message, Messages};
use serde_json::{Value as Json, json};

use crate::{
    Built,
    speech::{Speech, assistant, call},
};

#[derive(State)]
struct Trip {
    #[state(rule = messages)]
    messages: Messages,
    value: String,
    #[state(append)]
    items: Vec<String>,
}

#[derive(State)]
struct Sub {
    #[state(rule = messages)]
    messages: Messages,
    note: String,
}

pub(crate) fn graph() -> Built {
    let mut sub = Graph::<Sub>::new("sub");
    sub.node("sub", sub_node);
    sub.edge(START, "sub");
    let sub = sub.compile()?;

    let mut graph = Graph::<Trip>::new("agent");
    graph.lenient_input();
    graph.node("stream_message", stream_message);
    graph.node("call_tool", call_tool);
    graph.node("ask_human", ask_human);
    graph.node("run_subgraph", move |_: View<Trip>, ctx: Ctx| run_subgraph(sub.clone(), ctx));
    graph.edge(START, "stream_message");
    graph.sequence(["stream_message", "call_tool", "ask_human", "run_subgraph"]);
    Ok(graph.compile()?.app(()).untyped())
}

async fn progress(ctx: &Ctx, step: &str, phase: &str) -> NodeResult<()> {
    ctx.emit(&json!({"name": "progress", "step": step, "phase": phase})).await
}

async fn stream_message(_: View<Trip>, ctx: Ctx) -> NodeResult<TripUpdate> {
    progress(&ctx, "stream_message", "start").await?;
    let mut speech = Speech::new(&ctx);
    speech.say("Hello,").await?;
    speech.say(" world!").await?;
    let message = speech.end().await?;
    progress(&ctx, "stream_message", "end").await?;
    Ok(Trip::update().messages(message).value("x").push_items("streamed"))
}

async fn call_tool(_: View<Trip>, ctx: Ctx) -> NodeResult<TripUpdate> {
    progress(&ctx, "call_tool", "start").await?;
    let calls = vec![call("tc-1", "search", &json!({"query": "v3"}))];
    let said = Messages::from(assistant("", calls).with_id("ai-msg-2"))
        .and(Message::tool("tc-1", "result for 'v3'"));
    progress(&ctx, "call_tool", "end").await?;
    Ok(Trip::update().messages(said).push_items("tool"))
}

async fn ask_human(_: View<Trip>, ctx: Ctx) -> NodeResult<TripUpdate> {
    progress(&ctx, "ask_human", "start").await?;
    let answer = match ctx.interrupt_next("Are we good?")? {
        Json::String(text) => text,
        other => other.to_string(),
    };
    let end = json!({"name": "progress", "step": "ask_human", "phase": "end", "answer": answer});
    ctx.emit(&end).await?;
    let message = assistant(format!("Human said: {answer}"), Vec::new()).with_id("ai-msg-3");
    Ok(Trip::update().messages(message).push_items("asked"))
}

async fn sub_node(_: View<Sub>, ctx: Ctx) -> NodeResult<SubUpdate> {
    progress(&ctx, "sub_node", "start").await?;
    let message = assistant("from subgraph", Vec::new()).with_id("sub-msg-1");
    progress(&ctx, "sub_node", "end").await?;
    Ok(Sub::update().messages(message).note("ran"))
}

async fn run_subgraph(sub: Compiled<Sub>, ctx: Ctx) -> NodeResult<TripUpdate> {
    progress(&ctx, "run_subgraph", "start").await?;
    let done = ctx.call(&sub, Sub::update().messages(Messages::new()).note("")).await?;
    progress(&ctx, "run_subgraph", "end").await?;
    Ok(Trip::update().messages((*done.messages).clone()).push_items("sub"))
}
