//! `agent`: a fake model and a fake tool in turn, with a question, pauses and the store.

use std::{sync::Arc, time::Duration};

use mesh_agents::messages;
use mesh_graph::{Ctx, END, Graph, NodeError, NodeResult, START, State, View};
use mesh_model::{Message, Messages, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::{Built, speech::Speech, talk::text_of, turns::Turns};

/// The longest pause of a step: a number from a client must not overflow the clock.
const PAUSE_MAX: Duration = Duration::from_hours(1);

#[derive(State)]
struct Conversation {
    #[state(rule = messages)]
    messages: Messages,
    #[state(key = "sharedStateValue")]
    shared_state_value: Option<String>,
    interrupt: bool,
    #[state(key = "keyOne")]
    key_one: Option<String>,
    #[state(key = "keyTwo")]
    key_two: Option<String>,
    sleep: Option<Sleep>,
    #[state(key = "sharedStateFromStoreConfig")]
    shared_state_from_store_config: Option<Map<String, Json>>,
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Sleep {
    Seconds(f64),
    Steps { steps: u32, ms: u64 },
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is shown; the suite reads no model from it")]
struct Context {
    model_name: String,
}

pub(crate) fn graph() -> Built {
    let turns = Arc::new(Turns::new(&["begin", "end"]));
    let mut graph = Graph::<Conversation>::new("agent");
    graph.lenient_input().context::<Context>();
    graph.node("agent", move |state: View<Conversation>, ctx: Ctx| {
        agent(Arc::clone(&turns), state, ctx)
    });
    graph.node("tool", tool);
    graph.node("checkSharedState", check_shared_state);
    graph.edge(START, "agent");
    graph.route("agent", after_agent).targets(["tool", "checkSharedState", END]);
    graph.edge("tool", "agent");
    Ok(graph.compile()?.app(()).untyped())
}

async fn agent(
    turns: Arc<Turns>,
    state: View<Conversation>,
    ctx: Ctx,
) -> NodeResult<ConversationUpdate> {
    if *state.interrupt {
        ctx.interrupt_next("i want to interrupt")?;
    }
    let human = state.messages.last().is_some_and(|last| last.role() == Role::User);
    if let (Some(sleep), true) = (*state.sleep, human) {
        pause(sleep, &ctx).await?;
    }
    let thread = ctx.info().thread_id;
    let speech = Speech::new(&ctx);
    let message = speech.spell(turns.next(thread.as_deref().unwrap_or("$"))).await?;
    if let (Ok(store), None) = (ctx.store(), &*state.shared_state_from_store_config) {
        let value = match ctx.config().configurable.get("user_id") {
            Some(user) => json!({"id": user}),
            None => json!({}),
        };
        store.put(&["sharedState", "data"], "user_id", value).await?;
    }
    Ok(Conversation::update().interrupt(false).messages(message))
}

async fn pause(sleep: Sleep, ctx: &Ctx) -> NodeResult<()> {
    match sleep {
        Sleep::Seconds(seconds) => {
            let pause = Duration::try_from_secs_f64(seconds).ok();
            let pause = pause.ok_or_else(|| {
                NodeError::msg(format!("sleep: {seconds}, expected seconds from 0"))
            })?;
            tokio::time::sleep(pause.min(PAUSE_MAX)).await;
        }
        Sleep::Steps { steps, ms } => {
            for step in 0..steps {
                ctx.emit(&json!({"type": "sleep", "step": step})).await?;
                tokio::time::sleep(Duration::from_millis(ms).min(PAUSE_MAX)).await;
            }
        }
    }
    Ok(())
}

async fn tool(state: View<Conversation>, ctx: Ctx) -> NodeResult<ConversationUpdate> {
    let mut stored = None;
    if let Ok(store) = ctx.store() {
        stored = store.get(&["sharedState", "data"], "user_id").await?.map(|item| item.value);
    }
    let mut said = Messages::new();
    if let Some(last) = state.messages.last() {
        said = said.and(Message::tool("tool_call_id", format!("tool_call__{}", last.text())));
    }
    Ok(Conversation::update().messages(said).shared_state_from_store_config(stored))
}

async fn check_shared_state(_: View<Conversation>, ctx: Ctx) -> NodeResult<()> {
    if let Ok(store) = ctx.store() {
        let item = store.get(&["inputtedState", "data"], "my_key").await?;
        if !item.is_some_and(|item| item.value.get("isTrue") == Some(&json!(true))) {
            return Err(NodeError::coded("Error", "Value is not true"));
        }
    }
    Ok(())
}

fn after_agent(state: &View<Conversation>) -> &'static str {
    match &*text_of(state.messages.iter().next()) {
        "should_end" => END,
        "___check_state_value" => "checkSharedState",
        _ if text_of(state.messages.last()) == "end" => END,
        _ => "tool",
    }
}
