//! Tools: typed functions that a model may call, and the node that runs its calls.
//!
//! A tool sees the arguments that the model wrote, checked against its schema, and a [`ToolCx`].
//! What the program knows better than the model, such as the state or the user's id, is injected:
//! it is not in the schema that the model reads, and what a model writes there is thrown away.
//! Semantics: LangGraph's `ToolNode` and its injected arguments.

mod function;
mod node;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use mesh_graph::{Ctx, Goto, NodeError, NodeResult, ToolEvent};
use mesh_model::{Content, Kind, Message, Messages, ToolSpec, ToolStatus};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value as Json, json};

pub use function::{FnTool, tool};
pub(crate) use node::last_assistant;
pub use node::{
    ErrorKind, NextTool, NoAssistantMessage, TOOL_CALLS_MAX, TellError, ToolErrors, ToolJob,
    ToolNode, ToolNodeError, ToolRequest, ToolTimeout, tools_condition,
};

/// A function that a model may call. [`tool`] makes one of an async function.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tool that a model may call",
    note = "make one of an async function with `mesh_agents::tool`, or implement `Tool`"
)]
#[async_trait]
pub trait Tool: Send + Sync {
    /// Name, description and the schema of the arguments, as the model reads them. Injected
    /// arguments are taken out by [`ToolNode`].
    fn spec(&self) -> &ToolSpec;

    /// What the program gives it besides the model's arguments.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Whether its result ends an agent's loop: the model does not see it first.
    fn return_direct(&self) -> bool {
        false
    }

    /// Whether it may hand over to another agent. An agent then runs all calls of a reply in one
    /// task, so that the hand-over takes the other results along.
    fn hands_over(&self) -> bool {
        false
    }

    /// Wall clock for one call; none for as long as it takes.
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// Runs one call. `args` fit the schema; injected ones are in.
    ///
    /// # Errors
    /// Any error; [`ToolErrors`] says what becomes of it.
    ///
    /// # Cancel safety
    /// The future is dropped when the run is cancelled or the time is up.
    async fn call(&self, args: Map<String, Json>, cx: ToolCx) -> NodeResult<ToolOutput>;
}

/// What a tool is given besides the model's arguments.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Needs {
    /// Arguments that the program fills in, by name.
    pub args: Vec<(String, Inject)>,
    /// [`ToolCx::state`] holds the state.
    pub state: bool,
    /// The run must have a store.
    pub store: bool,
}

impl Needs {
    /// Whether the state has to be handed along.
    pub(crate) fn wants_state(&self) -> bool {
        self.state || self.args.iter().any(|(_, inject)| !matches!(inject, Inject::CallId))
    }
}

/// What the program puts in an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inject {
    /// The whole state, as a JSON object.
    State,
    /// One key of the state, or one of its `vars`; null when there is none.
    Key(String),
    /// The id of the call.
    CallId,
}

/// The surroundings of one tool call. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct ToolCx {
    pub(crate) ctx: Ctx,
    pub(crate) call_id: Arc<str>,
    pub(crate) tool: Arc<str>,
    pub(crate) state: Option<Arc<Json>>,
}

impl ToolCx {
    /// The id of the call, which its result has to carry.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// The task: streams, store, cancellation. Questions are asked by [`ToolCx::interrupt`].
    pub fn ctx(&self) -> &Ctx {
        &self.ctx
    }

    /// The state as a JSON object, for tools that ask for it in [`Needs::state`].
    pub fn state(&self) -> Option<&Json> {
        self.state.as_deref()
    }

    /// Asks a person, as [`Ctx::interrupt`] does; `key` names the question within this call. Once
    /// answered, the call starts again from the top.
    ///
    /// # Errors
    /// As [`Ctx::interrupt`].
    pub fn interrupt<A: DeserializeOwned>(
        &self,
        key: &str,
        question: &(impl Serialize + ?Sized),
    ) -> NodeResult<A> {
        self.ctx.interrupt(&format!("{}/{key}", self.call_id), question)
    }

    /// Tells a part of the output on the `tools` stream, while the call goes on.
    ///
    /// # Errors
    /// When the part has no JSON form.
    ///
    /// # Cancel safety
    /// Dropping the future may lose the part.
    pub async fn progress(&self, part: &(impl Serialize + Sync + ?Sized)) -> NodeResult<()> {
        let delta = &serde_json::to_value(part)?;
        self.ctx.tool(ToolEvent::OutputDelta { tool_call_id: &self.call_id, delta }).await
    }

    /// The message that answers this call.
    pub fn reply(&self, content: impl Into<Content>) -> Message {
        let mut message = Message::tool(&*self.call_id, content);
        message.name = Some(self.tool.to_string());
        message
    }
}

/// What a tool gives.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ToolOutput {
    /// An answer for the model, and data for the program that the model does not see.
    Answer {
        /// What the model reads.
        content: Content,
        /// What it does not.
        artifact: Option<Json>,
    },
    /// An update of the state, with a goto if wanted.
    Command(ToolCommand),
}

impl ToolOutput {
    /// A value as JSON text; characters outside ASCII stay as they are.
    ///
    /// # Errors
    /// When the value has no JSON form.
    pub fn json(value: &(impl Serialize + ?Sized)) -> NodeResult<Self> {
        Ok(Self::from(serde_json::to_string(value)?))
    }

    /// The same answer with data that the model does not see. A command has none.
    pub fn with_artifact(self, data: Json) -> Self {
        match self {
            Self::Answer { content, .. } => Self::Answer { content, artifact: Some(data) },
            command @ Self::Command(_) => command,
        }
    }
}

impl From<Content> for ToolOutput {
    fn from(content: Content) -> Self {
        Self::Answer { content, artifact: None }
    }
}

impl From<String> for ToolOutput {
    fn from(text: String) -> Self {
        Self::from(Content::Text(text))
    }
}

impl From<&str> for ToolOutput {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl From<Json> for ToolOutput {
    fn from(value: Json) -> Self {
        match value {
            Json::String(text) => Self::from(text),
            other => Self::from(other.to_string()),
        }
    }
}

impl From<ToolCommand> for ToolOutput {
    fn from(command: ToolCommand) -> Self {
        Self::Command(command)
    }
}

/// An update of the agent's state by a tool, and where to go.
///
/// Unless it goes to the parent graph, its messages have to hold the answer to the call; see
/// [`ToolCx::reply`].
#[derive(Debug, Clone, Default)]
#[must_use = "a command does nothing until a tool returns it"]
pub struct ToolCommand {
    pub(crate) messages: Messages,
    pub(crate) vars: BTreeMap<String, Json>,
    pub(crate) active_agent: Option<String>,
    pub(crate) goto: Vec<Goto>,
    pub(crate) parent: bool,
}

impl ToolCommand {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds messages to the conversation.
    pub fn messages(mut self, messages: impl Into<Messages>) -> Self {
        self.messages = self.messages.and(messages);
        self
    }

    /// Sets one of the state's `vars`.
    pub fn var(mut self, key: impl Into<String>, value: Json) -> Self {
        self.vars.insert(key.into(), value);
        self
    }

    /// Sets which agent of a swarm talks from now on.
    pub fn active_agent(mut self, name: impl Into<String>) -> Self {
        self.active_agent = Some(name.into());
        self
    }

    /// Also goes to this node.
    pub fn goto(mut self, target: impl Into<Goto>) -> Self {
        self.goto.push(target.into());
        self
    }

    /// Makes it a command to the graph that the agent is mounted in. What the agent itself did
    /// reaches that graph through this command only.
    pub fn parent(mut self) -> Self {
        self.parent = true;
        self
    }

    /// Whether it answers this call.
    fn answers(&self, call: &str) -> bool {
        self.messages.iter().any(
            |message| matches!(&message.kind, Kind::Tool { tool_call_id, .. } if tool_call_id == call),
        )
    }
}

/// What one call came to: a message, or a tool's command.
#[derive(Debug, Clone)]
// No expectation: how large a message is depends on features that other crates give serde_json.
#[allow(clippy::large_enum_variant, reason = "one per call of a model, and moved once")]
pub enum ToolAnswer {
    /// The message that answers the call.
    Message(Message),
    /// What the tool commands.
    Command(ToolCommand),
}

impl ToolAnswer {
    /// The answer that says what went wrong, for the model to read.
    pub fn error(cx: &ToolCx, text: impl Into<String>) -> Self {
        let mut message = cx.reply(text.into());
        if let Kind::Tool { status, .. } = &mut message.kind {
            *status = ToolStatus::Error;
        }
        Self::Message(message)
    }

    /// What readers of the `tools` stream see: the message, or what a command writes.
    fn to_json(&self) -> Json {
        match self {
            Self::Message(message) => message.to_wire(),
            Self::Command(command) => json!({
                "messages": command.messages.iter().map(Message::to_wire).collect::<Vec<_>>(),
                "vars": command.vars,
            }),
        }
    }

    fn of(cx: &ToolCx, output: ToolOutput) -> NodeResult<Self> {
        match output {
            ToolOutput::Answer { content, artifact: data } => {
                let mut message = cx.reply(content);
                if let Kind::Tool { artifact, .. } = &mut message.kind {
                    *artifact = data;
                }
                Ok(Self::Message(message))
            }
            ToolOutput::Command(command) => {
                if command.parent || command.answers(&cx.call_id) {
                    Ok(Self::Command(command))
                } else {
                    let error = UnansweredCall { tool: cx.tool.to_string() };
                    Err(NodeError::from(error))
                }
            }
        }
    }
}

/// A tool returned a command whose messages do not answer its call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the command of tool `{tool}` has no message that answers its call: use `ToolCx::reply`")]
pub struct UnansweredCall {
    /// The tool.
    pub tool: String,
}
