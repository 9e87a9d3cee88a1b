//! The agent's model: one call of it, and what its reply means for the loop.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use mesh_graph::{Ctx, NodeError, NodeResult, View};
use mesh_model::{
    ChatModel, ChatRequest, Content, Kind, Message, Messages, Reply, ResponseSchema, ToolSpec,
};

use super::{
    AgentState, AgentStateUpdate,
    build::Agent,
    history,
    response::{self, Read},
};
use crate::{middleware::Middleware, tokens::Tokens};

/// What an agent says instead of calling tools when the recursion limit leaves no superstep to run
/// them and to hear what they gave.
pub const MORE_STEPS: &str = "Sorry, I need more steps to finish this.";

/// One call of an agent's model, as middleware sees and changes it.
#[derive(Clone)]
pub struct ModelRequest {
    /// The model.
    pub model: Arc<dyn ChatModel>,
    /// What the agent is told first, if anything.
    pub prompt: Option<String>,
    /// The conversation, without the prompt.
    pub messages: Vec<Arc<Message>>,
    /// The tools that the model may call.
    pub tools: Vec<ToolSpec>,
    /// The form that the answer must have, when the provider is to see to it.
    pub response_schema: Option<ResponseSchema>,
}

/// The rest of the way to the model. It may be called again, to try once more.
pub struct NextModel<'a> {
    agent: &'a Agent,
    rest: &'a [Arc<dyn Middleware>],
    ctx: &'a Ctx,
    calls: &'a AtomicU32,
}

impl NextModel<'_> {
    /// Goes on to the next middleware, or to the model. The reply's id follows from the task; a
    /// further call of the same task has `-r1`, `-r2` … behind it.
    ///
    /// # Errors
    /// What the model or a middleware says.
    ///
    /// # Cancel safety
    /// Dropping the future ends the request.
    pub async fn call(&self, request: ModelRequest) -> NodeResult<Reply> {
        if let Some((first, rest)) = self.rest.split_first() {
            let (agent, ctx, calls) = (self.agent, self.ctx, self.calls);
            return first.wrap_model_call(request, NextModel { agent, rest, ctx, calls }).await;
        }
        let ModelRequest { model, prompt, messages, tools, response_schema } = request;
        let prompt = prompt.map(|prompt| Arc::new(Message::system(prompt)));
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let tokens = Tokens::new(self.ctx, &*model).after_calls(call);
        let request = ChatRequest {
            messages: prompt.into_iter().chain(messages).collect(),
            tools,
            response_schema,
            reply_id: Some(tokens.id(0)),
            ..self.agent.options.clone()
        };
        let mut observe = tokens.observer();
        let mut observe = |delta: &_| observe(0, delta);
        let reply = tokens.forward(model.complete_observed(request, &mut observe)).await?;
        Ok(reply?)
    }
}

/// The node that asks the model.
pub(super) async fn ask(
    agent: &Agent,
    state: &View<AgentState>,
    ctx: Ctx,
) -> NodeResult<AgentStateUpdate> {
    let mut rewritten = None;
    if let Err(error) = history::check(&state.messages) {
        if !agent.repair {
            return Err(NodeError::coded("invalid_history", error));
        }
        rewritten = Some(history::repaired(&state.messages));
    }
    let messages = rewritten.as_ref().unwrap_or(&state.messages).to_vec();
    let mut tools = agent.tools.specs();
    let mut response_schema = None;
    if let Some(response) = &agent.response {
        if response.by_tool {
            tools.push(response.tool());
        } else {
            response_schema = Some(response.schema.clone());
        }
    }
    let request = ModelRequest {
        model: Arc::clone(&agent.model),
        prompt: agent.prompt.clone(),
        messages,
        tools,
        response_schema,
    };
    let calls = AtomicU32::new(0);
    let next = NextModel { agent, rest: &agent.middleware, ctx: &ctx, calls: &calls };
    let mut message = next.call(request).await?.message;
    if agent.named {
        message.name = Some(agent.name.clone());
    }

    let mut update = AgentState::update();
    let mut new = match rewritten {
        Some(talk) => Messages::cleared().and(talk),
        None => Messages::new(),
    };
    let read = response::read(agent.response.as_ref(), &message)?;
    if state.structured_response.is_some() && !matches!(read, Read::Answer { .. }) {
        // The answer of the turn before is not this one's.
        update = update.structured_response(None);
    }
    match read {
        Read::Answer { value, results } => {
            update = update.structured_response(Some(value));
            new = new.and(message).and(results);
        }
        Read::Wrong { results } if ctx.remaining_steps() >= agent.steps_to_try_again() => {
            new = new.and(message).and(results);
        }
        Read::Wrong { .. } => new = new.and(out_of_steps(message)),
        Read::Other => {
            let calls = message.tool_calls();
            let needed = agent.steps_to_run(calls);
            let enough = calls.is_empty() || ctx.remaining_steps() >= needed;
            new = new.and(if enough { message } else { out_of_steps(message) });
        }
    }
    Ok(update.messages(new))
}

/// The reply without its calls, which there are no steps left to run.
fn out_of_steps(mut message: Message) -> Message {
    if let Kind::Assistant { tool_calls, invalid_tool_calls, .. } = &mut message.kind {
        tool_calls.clear();
        invalid_tool_calls.clear();
    }
    message.content = Content::from(MORE_STEPS);
    message
}
