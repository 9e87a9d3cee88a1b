//! `agent_simple`: the fake model and tool again, with a `Send`, settings and the caller's name.

use std::sync::Arc;

use mesh_agents::messages;
use mesh_graph::{Arg, Ctx, Goto, Graph, NodeResult, START, Send, State, View};
use mesh_model::{Message, Messages};
use serde_json::{Value as Json, json};

use crate::{Built, speech::Speech, talk::text_of, turns::Turns};

#[derive(State)]
struct Simple {
    key_one: String,
    key_two: String,
    sleep: f64,
    #[state(rule = messages)]
    messages: Messages,
}

pub(crate) fn graph() -> Built {
    // Clients have to bear a line separator inside of an event.
    let turns = Arc::new(Turns::new(&["begin", "end\u{2028}"]));
    let mut graph = Graph::<Simple>::new("agent_simple");
    graph.lenient_input();
    graph.node("agent", move |state: View<Simple>, ctx: Ctx| agent(Arc::clone(&turns), state, ctx));
    let tool = graph.node("tool", tool).id();
    graph.edge(START, "agent");
    graph
        .route("agent", move |state: &View<Simple>| match state.messages.last() {
            Some(last) if !last.text().starts_with("end") => {
                Goto::from(Send::to(&tool, last.clone()))
            }
            _ => Goto::from(mesh_graph::END),
        })
        .targets(["tool"]);
    graph.edge("tool", "agent");
    Ok(graph.compile()?.app(()).untyped())
}

async fn agent(turns: Arc<Turns>, state: View<Simple>, ctx: Ctx) -> NodeResult<SimpleUpdate> {
    let settings = &ctx.config().configurable;
    if let Some(header) = settings.get("x-configurable-header").filter(|value| !value.is_null()) {
        let header = header.as_str().map_or_else(|| header.to_string(), str::to_owned);
        return Ok(Simple::update().messages(Message::user(format!("end: {header}"))));
    }
    let user = settings.get("langgraph_auth_user").and_then(|user| user.get("identity"));
    let user = user.and_then(Json::as_str).unwrap_or("ALL");
    if let Ok(store) = ctx.store()
        && store.get(&[user], "key_one").await?.is_none()
    {
        let text = text_of(state.messages.last());
        store.put(&[user], "key_one", json!({"text": text})).await?;
    }
    let thread = ctx.info().thread_id;
    let speech = Speech::new(&ctx);
    let message = speech.spell(turns.next(thread.as_deref().unwrap_or("$"))).await?;
    Ok(Simple::update().messages(message))
}

async fn tool(message: Arg<Message>, _: Ctx) -> NodeResult<SimpleUpdate> {
    let text = format!("tool_call__{}", message.text());
    Ok(Simple::update().messages(Message::tool("tool_call_id", text)))
}
