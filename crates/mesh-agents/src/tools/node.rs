//! The node that runs a model's tool calls.

use std::{any::type_name, error::Error, fmt, sync::Arc, time::Duration};

use futures::{StreamExt, future::BoxFuture, stream};
use indexmap::IndexMap;
use mesh_graph::{Arg, Ctx, END, Goto, NodeError, NodeResult, Step, ToolEvent, View};
use mesh_model::{Kind, Message, Messages, ToolCall, ToolSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use tokio::sync::Semaphore;

use super::{Inject, Needs, Tool, ToolAnswer, ToolCommand, ToolCx};
use crate::{
    agent::{AgentState, AgentStateUpdate, AgentStateView},
    middleware::Middleware,
};

/// Calls of one task that run at once; more wait. Providers stop at 128 calls in a reply.
pub const TOOL_CALLS_MAX: usize = 128;

/// Problems with arguments that are told to the model at once.
const PROBLEMS_MAX: usize = 8;

/// Runs the tool calls of a model.
///
/// Calls run at once and are answered in their order, one message each. Interrupts inside of tools
/// suspend the task; a call of an unknown tool, or with arguments that do not fit, is answered by
/// an error message that the model can act on.
pub struct ToolNode {
    tools: IndexMap<Arc<str>, Held>,
    errors: ToolErrors,
    middleware: Vec<Arc<dyn Middleware>>,
    slots: Option<Semaphore>,
}

/// A tool with what was made of its specification.
struct Held {
    tool: Arc<dyn Tool>,
    needs: Needs,
    /// Without the injected arguments.
    spec: ToolSpec,
    validator: jsonschema::Validator,
}

/// Tools cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ToolNodeError {
    /// Two tools have one name.
    #[error("there are two tools `{tool}`")]
    Duplicate {
        /// The name.
        tool: String,
    },
    /// The schema of a tool's arguments cannot be used.
    #[error("tool `{tool}`: the schema of its arguments cannot be used: {problem}")]
    Schema {
        /// The tool.
        tool: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A limit has no meaning.
    #[error("max_concurrency: expected at least 1")]
    NoSlots,
}

/// What becomes of a tool that fails. Interrupts and cancellation are no failures; unknown tools
/// and arguments that do not fit are always told to the model.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum ToolErrors {
    /// The node fails with the tool's error.
    #[default]
    Raise,
    /// The model is told the error's text.
    Tell,
    /// The model is told this text.
    Say(String),
    /// The model is told the text of errors of these kinds; others are raised. See
    /// [`ToolErrors::only`].
    Only(Vec<ErrorKind>),
    /// The model is told what the function makes of the error; none raises it.
    With(TellError),
}

/// What the model is told of an error; none raises it.
pub type TellError = Arc<dyn Fn(&(dyn Error + 'static)) -> Option<String> + Send + Sync>;

/// A type of errors, see [`ToolErrors::only`].
#[derive(Clone, Copy)]
pub struct ErrorKind {
    name: &'static str,
    is: fn(&(dyn Error + 'static)) -> bool,
}

impl ErrorKind {
    fn of<E: Error + 'static>() -> Self {
        Self { name: type_name::<E>(), is: |error| error.is::<E>() }
    }
}

impl fmt::Debug for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl ToolErrors {
    /// Tells the model errors of this type; others are raised.
    pub fn only<E: Error + 'static>() -> Self {
        Self::Only(vec![ErrorKind::of::<E>()])
    }

    /// Tells the model errors of this type, too.
    pub fn or<E: Error + 'static>(self) -> Self {
        match self {
            Self::Only(mut kinds) => {
                kinds.push(ErrorKind::of::<E>());
                Self::Only(kinds)
            }
            Self::Raise => Self::only::<E>(),
            other => other,
        }
    }

    /// What the model is told, or none to raise the error.
    fn text(&self, tool: &str, error: &(dyn Error + 'static)) -> Option<String> {
        let told =
            || Some(format!("Tool `{tool}` failed: {error}. Correct the call or do without it."));
        match self {
            Self::Raise => None,
            Self::Tell => told(),
            Self::Say(text) => Some(text.clone()),
            Self::Only(kinds) => {
                if kinds.iter().any(|kind| (kind.is)(error)) {
                    told()
                } else {
                    None
                }
            }
            Self::With(text) => text(error),
        }
    }
}

impl fmt::Debug for ToolErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raise => f.write_str("Raise"),
            Self::Tell => f.write_str("Tell"),
            Self::Say(text) => f.debug_tuple("Say").field(text).finish(),
            Self::Only(kinds) => f.debug_tuple("Only").field(kinds).finish(),
            Self::With(_) => f.write_str("With"),
        }
    }
}

/// A tool took longer than its timeout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no result after {} ms", limit.as_millis())]
pub struct ToolTimeout {
    /// The tool's timeout.
    pub limit: Duration,
}

/// There are no calls to run because no model has spoken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("messages: expected an assistant message whose tool calls can be run")]
pub struct NoAssistantMessage;

/// The arguments of a call cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problems}")]
pub(crate) struct BadArguments {
    problems: String,
}

impl BadArguments {
    pub(super) fn of(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let path = error.path().to_string();
        let problems = match path.as_str() {
            "." => error.inner().to_string(),
            path => format!("{path}: {}", error.inner()),
        };
        Self { problems }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("tool `{tool}` needs a store, and the app has none")]
struct MissingStore {
    tool: String,
}

/// Tool calls on their way to the node, as the argument of a `Send`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ToolJob {
    calls: Vec<JobCall>,
    /// Handed along only when a tool wants it: it is stored with the `Send`.
    state: Option<Json>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct JobCall {
    id: String,
    name: String,
    args: Map<String, Json>,
}

impl ToolJob {
    fn calls(&self) -> Vec<ToolCall> {
        let calls = self.calls.iter().cloned();
        calls.map(|JobCall { id, name, args }| ToolCall { id, name, args }).collect()
    }
}

/// One call on its way to its tool; see [`Middleware::wrap_tool_call`].
#[derive(Debug, Clone)]
pub struct ToolRequest {
    /// The call. A changed call is run as changed; its answer belongs to the id in `cx`.
    pub call: ToolCall,
    /// Its surroundings.
    pub cx: ToolCx,
}

/// The rest of the way to the tool. It may be called again, to try once more.
pub struct NextTool<'a> {
    node: &'a ToolNode,
    rest: &'a [Arc<dyn Middleware>],
}

impl NextTool<'_> {
    /// Goes on to the next middleware, or to the tool.
    ///
    /// # Errors
    /// What the tool's failure is raised as.
    ///
    /// # Cancel safety
    /// As [`Tool::call`].
    pub async fn call(&self, request: ToolRequest) -> NodeResult<ToolAnswer> {
        match self.rest.split_first() {
            Some((first, rest)) => {
                first.wrap_tool_call(request, NextTool { node: self.node, rest }).await
            }
            None => self.node.execute(request).await,
        }
    }
}

impl ToolNode {
    /// A node with these tools.
    ///
    /// # Errors
    /// [`ToolNodeError`] names a tool that is there twice or whose schema cannot be used.
    pub fn new(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Result<Self, ToolNodeError> {
        let mut held: IndexMap<Arc<str>, Held> = IndexMap::new();
        for tool in tools {
            let needs = tool.needs();
            let spec = without_injected(tool.spec(), &needs);
            let validator = jsonschema::validator_for(&spec.parameters).map_err(|error| {
                ToolNodeError::Schema { tool: spec.name.clone(), problem: error.to_string() }
            })?;
            let name: Arc<str> = Arc::from(spec.name.as_str());
            if held.contains_key(&name) {
                return Err(ToolNodeError::Duplicate { tool: spec.name });
            }
            held.insert(name, Held { tool, needs, spec, validator });
        }
        Ok(Self { tools: held, errors: ToolErrors::Raise, middleware: Vec::new(), slots: None })
    }

    /// Says what becomes of a tool that fails.
    pub fn on_error(mut self, errors: ToolErrors) -> Self {
        self.errors = errors;
        self
    }

    /// Runs at most this many calls at once, over all runs that share this node.
    ///
    /// # Errors
    /// [`ToolNodeError::NoSlots`] for 0.
    pub fn max_concurrency(mut self, calls: usize) -> Result<Self, ToolNodeError> {
        if calls == 0 {
            return Err(ToolNodeError::NoSlots);
        }
        self.slots = Some(Semaphore::new(calls.min(Semaphore::MAX_PERMITS)));
        Ok(self)
    }

    /// Puts a middleware around every call, inside of those before it.
    pub fn wrap(mut self, middleware: Arc<dyn Middleware>) -> Self {
        self.middleware.push(middleware);
        self
    }

    /// The tools as a model reads them, without injected arguments.
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.tools.values().map(|held| held.spec.clone()).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// Whether all these calls are of tools whose result ends an agent's loop.
    pub(crate) fn all_return_direct(&self, calls: &[ToolCall]) -> bool {
        let direct = |name: &str| self.tools.get(name).is_some_and(|h| h.tool.return_direct());
        !calls.is_empty() && calls.iter().all(|call| direct(&call.name))
    }

    /// The tasks for these calls: one each, or one for all when a tool may hand over.
    pub(crate) fn jobs(&self, calls: Vec<ToolCall>, state: &AgentStateView) -> Vec<ToolJob> {
        let known = |call: &ToolCall| self.tools.get(call.name.as_str());
        let together = calls.iter().filter_map(known).any(|held| held.tool.hands_over());
        let wanted = |calls: &[ToolCall]| {
            calls.iter().filter_map(known).any(|held| held.needs.wants_state())
        };
        let groups: Vec<Vec<ToolCall>> =
            if together { vec![calls] } else { calls.into_iter().map(|call| vec![call]).collect() };
        groups
            .into_iter()
            .map(|calls| ToolJob {
                state: wanted(&calls).then(|| state.to_json()),
                calls: calls
                    .into_iter()
                    .map(|ToolCall { id, name, args }| JobCall { id, name, args })
                    .collect(),
            })
            .collect()
    }

    /// Runs these calls; the answers are in their order. `state` is for tools that want it.
    ///
    /// # Errors
    /// The first failure, in order of the calls, that [`ToolErrors`] raises, after all calls have
    /// ended; or the suspension of a tool that asked a question.
    ///
    /// # Cancel safety
    /// Dropping the future drops the running tools.
    pub async fn run<D: Send + Sync + 'static>(
        &self,
        calls: Vec<ToolCall>,
        state: Option<Json>,
        ctx: &Ctx<D>,
    ) -> NodeResult<Vec<ToolAnswer>> {
        let state = state.map(Arc::new);
        let running = calls.into_iter().map(|call| {
            let cx = ToolCx {
                ctx: ctx.bare(),
                call_id: Arc::from(call.id.as_str()),
                tool: Arc::from(call.name.as_str()),
                state: state.clone(),
            };
            self.one(ToolRequest { call, cx })
        });
        let ended: Vec<NodeResult<ToolAnswer>> =
            stream::iter(running).buffered(TOOL_CALLS_MAX).collect().await;
        let mut answers = Vec::with_capacity(ended.len());
        let mut failed = None;
        for end in ended {
            match end {
                Ok(answer) => answers.push(answer),
                // A suspension goes before failures: the question is asked, the rest runs again.
                Err(error) if error.own().is_none() => return Err(error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(answers),
        }
    }

    /// Runs the calls of the last assistant message.
    ///
    /// # Errors
    /// [`NoAssistantMessage`], and as [`ToolNode::run`].
    ///
    /// # Cancel safety
    /// As [`ToolNode::run`].
    pub async fn run_messages<D: Send + Sync + 'static>(
        &self,
        messages: &Messages,
        state: Option<Json>,
        ctx: &Ctx<D>,
    ) -> NodeResult<Vec<ToolAnswer>> {
        let last = last_assistant(messages).ok_or(NoAssistantMessage)?;
        self.run(last.tool_calls().to_vec(), state, ctx).await
    }

    /// This node for a graph over [`AgentState`]: runs the calls of the last assistant message.
    pub fn node<D: Send + Sync + 'static>(
        self: &Arc<Self>,
    ) -> impl Fn(View<AgentState>, Ctx<D>) -> BoxFuture<'static, NodeResult<Step<AgentState>>>
    + Send
    + Sync
    + 'static {
        let node = Arc::clone(self);
        move |view, ctx| {
            let node = Arc::clone(&node);
            Box::pin(async move {
                let state = node.wants_state().then(|| view.to_json());
                Ok(step(node.run_messages(&view.messages, state, &ctx).await?))
            })
        }
    }

    /// This node as the target of `Send`s with a [`ToolJob`].
    pub fn job_node<D: Send + Sync + 'static>(
        self: &Arc<Self>,
    ) -> impl Fn(Arg<ToolJob>, Ctx<D>) -> BoxFuture<'static, NodeResult<Step<AgentState>>>
    + Send
    + Sync
    + 'static {
        let node = Arc::clone(self);
        move |job, ctx| {
            let node = Arc::clone(&node);
            Box::pin(async move { Ok(step(node.run(job.calls(), job.state.clone(), &ctx).await?)) })
        }
    }

    fn wants_state(&self) -> bool {
        self.tools.values().any(|held| held.needs.wants_state())
    }

    /// One call through all middleware.
    async fn one(&self, request: ToolRequest) -> NodeResult<ToolAnswer> {
        let cx = request.cx.clone();
        let next = NextTool { node: self, rest: &self.middleware };
        match next.call(request).await {
            Ok(answer) => Ok(answer),
            Err(error) => self.told(&cx, error),
        }
    }

    /// The answer that tells the model of a failure, if it is to be told.
    fn told(&self, cx: &ToolCx, error: NodeError) -> NodeResult<ToolAnswer> {
        let Some(own) = error.own() else { return Err(error) };
        if own.is::<MissingStore>() || own.is::<super::UnansweredCall>() {
            return Err(error);
        }
        if own.is::<BadArguments>() {
            let text = format!("The arguments of `{}` do not fit: {own}. Correct them.", cx.tool);
            return Ok(ToolAnswer::error(cx, text));
        }
        match self.errors.text(&cx.tool, own) {
            Some(text) => Ok(ToolAnswer::error(cx, text)),
            None => Err(error),
        }
    }

    /// Checks the arguments and calls the tool.
    async fn execute(&self, request: ToolRequest) -> NodeResult<ToolAnswer> {
        let ToolRequest { call, cx } = request;
        let Some(held) = self.tools.get(call.name.as_str()) else {
            let known: Vec<&str> = self.tools.keys().map(|name| &**name).collect();
            let text =
                format!("`{}` is not a valid tool, try one of [{}].", call.name, known.join(", "));
            return Ok(ToolAnswer::error(&cx, text));
        };
        if held.needs.store && cx.ctx.store().is_err() {
            return Err(MissingStore { tool: call.name }.into());
        }
        let mut args = call.args;
        for (name, _) in &held.needs.args {
            args.remove(name);
        }
        let args = Json::Object(args);
        let problems: Vec<String> = held
            .validator
            .iter_errors(&args)
            .take(PROBLEMS_MAX)
            .map(|error| match error.instance_path().as_str() {
                "" => error.to_string(),
                path => format!("{path}: {error}"),
            })
            .collect();
        if !problems.is_empty() {
            return self.told(&cx, BadArguments { problems: problems.join("; ") }.into());
        }
        let (tool_call_id, tool_name) = (cx.call_id(), &*cx.tool);
        cx.ctx.tool(ToolEvent::Started { tool_call_id, tool_name, input: &args }).await?;
        let mut args = match args {
            Json::Object(args) => args,
            _ => Map::new(),
        };
        for (name, inject) in &held.needs.args {
            args.insert(name.clone(), injected(inject, &cx));
        }
        let slot = match &self.slots {
            Some(slots) => slots.acquire().await.ok(),
            None => None,
        };
        let called = held.tool.call(args, cx.clone());
        let output = match held.tool.timeout() {
            Some(limit) => match tokio::time::timeout(limit, called).await {
                Ok(output) => output,
                Err(_) => Err(ToolTimeout { limit }.into()),
            },
            None => called.await,
        };
        drop(slot);
        match output.and_then(|output| ToolAnswer::of(&cx, output)) {
            Ok(answer) => {
                if cx.ctx.wants_tools() {
                    let output = answer.to_json();
                    cx.ctx.tool(ToolEvent::Finished { tool_call_id, output: &output }).await?;
                }
                Ok(answer)
            }
            Err(error) => {
                // A question is no end: the call begins anew once it is answered.
                if let Some(own) = error.own() {
                    let message = own.to_string();
                    let code = own.is::<ToolTimeout>().then_some("timeout");
                    let event = ToolEvent::Error { tool_call_id, message: &message, code };
                    cx.ctx.tool(event).await?;
                }
                self.told(&cx, error)
            }
        }
    }
}

fn injected(inject: &Inject, cx: &ToolCx) -> Json {
    let state = cx.state().unwrap_or(&Json::Null);
    match inject {
        Inject::State => state.clone(),
        Inject::Key(key) => {
            let value = state.get(key).or_else(|| state.get("vars")?.get(key));
            value.cloned().unwrap_or_default()
        }
        Inject::CallId => Json::from(cx.call_id()),
    }
}

/// The specification without what the program fills in.
fn without_injected(spec: &ToolSpec, needs: &Needs) -> ToolSpec {
    let mut spec = spec.clone();
    for (name, _) in &needs.args {
        if let Some(properties) = spec.parameters["properties"].as_object_mut() {
            properties.remove(name);
        }
        if let Some(required) = spec.parameters["required"].as_array_mut() {
            required.retain(|known| known.as_str() != Some(name));
        }
    }
    spec
}

pub(crate) fn last_assistant(messages: &Messages) -> Option<&Message> {
    messages.iter().rev().find(|message| matches!(message.kind, Kind::Assistant { .. }))
}

/// The answers as a step of the agent. No answers are no update.
fn step(answers: Vec<ToolAnswer>) -> Step<AgentState> {
    let to_parent = |answer: &ToolAnswer| matches!(answer, ToolAnswer::Command(c) if c.parent);
    let parent = answers.iter().any(to_parent);
    let mut step = Step::none();
    let mut replies = Messages::new();
    // A key takes one write of a task: of several commands the last one says who talks.
    let mut active = None;
    for answer in answers {
        match answer {
            ToolAnswer::Message(message) => replies = replies.and(message),
            ToolAnswer::Command(mut command) => {
                active = command.active_agent.take().or(active);
                if !replies.is_empty() {
                    let replies = std::mem::take(&mut replies);
                    step = step.and(AgentState::update().messages(replies));
                }
                // A goto inside of the agent is void when the agent hands over to its parent.
                let goes = command.parent == parent;
                let (update, goto) = apart(command);
                step = step.and(update);
                if goes {
                    step = step.goto_all(goto);
                }
            }
        }
    }
    if !replies.is_empty() {
        step = step.and(AgentState::update().messages(replies));
    }
    if active.is_some() {
        step = step.and(AgentState::update().active_agent(active));
    }
    if parent { step.parent() } else { step }
}

fn apart(command: ToolCommand) -> (AgentStateUpdate, Vec<Goto>) {
    let ToolCommand { messages, vars, goto, active_agent: _, parent: _ } = command;
    let mut update = AgentState::update();
    if !messages.is_empty() {
        update = update.messages(messages);
    }
    if !vars.is_empty() {
        update = update.vars(vars);
    }
    (update, goto)
}

/// A router: to the node `tools` when the last message has calls, else to END.
pub fn tools_condition(state: &View<AgentState>) -> Goto {
    match state.messages.last() {
        Some(last) if !last.tool_calls().is_empty() => Goto::from("tools"),
        _ => Goto::from(END),
    }
}
