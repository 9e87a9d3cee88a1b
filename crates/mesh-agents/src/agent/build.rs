//! Building an agent: its options, and the graph they make.

use std::sync::Arc;

use futures::future::BoxFuture;
use mesh_graph::{
    Arg, CompileError, Compiled, Ctx, END, Goto, Graph, NodeResult, START, Send, View,
};
use mesh_model::{ChatModel, ChatRequest, Message, ResponseSchema, ToolCall};
use schemars::{JsonSchema, generate::SchemaSettings};

use super::{
    AgentState, AgentStateUpdate, AgentStateView, ResponseStrategy, history, model,
    response::Response,
};
use crate::{
    middleware::{Hook, Hooked, Jump, Middleware},
    tools::{Tool, ToolErrors, ToolJob, ToolNode, ToolNodeError, last_assistant},
};

/// The node that runs tool calls.
const TOOLS: &str = "tools";

/// An agent that reasons and acts: its nodes are `agent` and `tools`.
///
/// ```
/// use std::sync::Arc;
///
/// use mesh_agents::{AgentState, ToolCx, react_agent, tool};
/// use mesh_graph::NodeResult;
/// use mesh_model::{Message, testing::{ScriptedModel, ScriptedReply}};
/// use serde_json::json;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct City {
///     city: String,
/// }
///
/// async fn weather(City { city }: City, _: ToolCx) -> NodeResult<String> {
///     Ok(format!("It is sunny in {city}."))
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = ScriptedModel::new("demo")
///     .then(ScriptedReply::tool_call("1", "weather", &json!({"city": "Rome"})))
///     .then(ScriptedReply::text("Sunny."));
/// let agent = react_agent(Arc::new(model), vec![Arc::new(tool("weather", "Tells it.", weather))])
///     .prompt("You are brief.")
///     .build::<()>()?;
/// let question = AgentState::update().messages(Message::user("How is the weather in Rome?"));
/// let outcome = agent.app(()).run(question).invoke().await?;
/// assert_eq!(outcome.state().messages.last().map(|last| last.text().into_owned()).as_deref(),
///     Some("Sunny."));
/// # Ok(()) }
/// ```
pub fn react_agent(model: Arc<dyn ChatModel>, tools: Vec<Arc<dyn Tool>>) -> AgentBuilder {
    AgentBuilder::new("agent", model, tools)
}

/// An agent with middleware: its nodes are `model` and `tools`, and one for each hook. Everything
/// else is as in [`react_agent`].
pub fn create_agent(model: Arc<dyn ChatModel>, tools: Vec<Arc<dyn Tool>>) -> AgentBuilder {
    AgentBuilder::new("model", model, tools)
}

/// An agent under construction.
#[must_use = "an agent is made by `build`"]
pub struct AgentBuilder {
    node: &'static str,
    model: Arc<dyn ChatModel>,
    tools: Vec<Arc<dyn Tool>>,
    name: Option<String>,
    prompt: Option<String>,
    options: ChatRequest,
    middleware: Vec<Arc<dyn Middleware>>,
    response: Option<(ResponseSchema, ResponseStrategy)>,
    errors: ToolErrors,
    concurrency: Option<usize>,
    repair: bool,
}

/// An agent cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The tools do not fit together.
    #[error(transparent)]
    Tools(#[from] ToolNodeError),
    /// The form of the answer cannot be used.
    #[error("the schema of the response `{name}` cannot be used: {problem}")]
    Response {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A team is to begin with an agent that it does not have.
    #[error("the team has no agent `{agent}` to begin with")]
    NoMember {
        /// The name as given.
        agent: String,
    },
    /// The graph cannot be compiled: two middlewares have one name, or a name cannot be used.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// What the nodes of an agent share.
pub(super) struct Agent {
    pub(super) name: String,
    /// Whether replies carry the name.
    pub(super) named: bool,
    pub(super) model: Arc<dyn ChatModel>,
    pub(super) prompt: Option<String>,
    pub(super) options: ChatRequest,
    pub(super) tools: Arc<ToolNode>,
    pub(super) middleware: Vec<Arc<dyn Middleware>>,
    pub(super) response: Option<Response>,
    pub(super) repair: bool,
    /// Numbers of hooks: between the model and its tools, between tools and model, at the end.
    model_hooks: u32,
    loop_hooks: u32,
    end_hooks: u32,
}

impl Agent {
    /// Supersteps needed, the model's own included, to run these calls and to end in order.
    pub(super) fn steps_to_run(&self, calls: &[ToolCall]) -> u32 {
        let tools = 1 + self.model_hooks + 1;
        if self.tools.all_return_direct(calls) {
            return tools + self.end_hooks;
        }
        tools + self.loop_hooks + 1 + self.model_hooks + self.end_hooks
    }

    /// Supersteps needed to ask the model once more.
    pub(super) fn steps_to_try_again(&self) -> u32 {
        let ask = 1 + self.model_hooks;
        ask + self.loop_hooks + ask + self.end_hooks
    }
}

impl AgentBuilder {
    fn new(node: &'static str, model: Arc<dyn ChatModel>, tools: Vec<Arc<dyn Tool>>) -> Self {
        Self {
            node,
            model,
            tools,
            name: None,
            prompt: None,
            options: ChatRequest::default(),
            middleware: Vec::new(),
            response: None,
            errors: ToolErrors::Raise,
            concurrency: None,
            repair: false,
        }
    }

    /// Names the agent: its graph, and its replies.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(crate) fn name_unless_named(self, name: &str) -> Self {
        if self.name.is_some() { self } else { self.name(name) }
    }

    /// What the model is told before the conversation.
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = Some(prompt.into());
        self
    }

    /// Options of every request to the model: temperature, limits, seed, stops. Its messages,
    /// tools and schema are the agent's.
    pub fn options(mut self, options: ChatRequest) -> Self {
        self.options = options;
        self
    }

    /// Adds a tool.
    pub fn tool(mut self, tool: Arc<dyn Tool>) -> Self {
        self.tools.push(tool);
        self
    }

    /// Adds a middleware, inside of those before it.
    pub fn middleware(mut self, middleware: impl Middleware + 'static) -> Self {
        self.middleware.push(Arc::new(middleware));
        self
    }

    /// Asks for answers of type `T`, put in `structured_response`.
    pub fn response<T: JsonSchema>(self, name: &str, strategy: ResponseStrategy) -> Self {
        let settings = SchemaSettings::draft2020_12().for_deserialize();
        let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
        self.response_schema(ResponseSchema { name: name.to_owned(), schema }, strategy)
    }

    /// Asks for answers that fit this schema, put in `structured_response`.
    pub fn response_schema(mut self, schema: ResponseSchema, strategy: ResponseStrategy) -> Self {
        self.response = Some((schema, strategy));
        self
    }

    /// Says what becomes of a tool that fails; by default the run fails.
    pub fn on_tool_error(mut self, errors: ToolErrors) -> Self {
        self.errors = errors;
        self
    }

    /// Runs at most this many tool calls at once, over all runs; at least 1.
    pub fn tool_concurrency(mut self, calls: usize) -> Self {
        self.concurrency = Some(calls);
        self
    }

    /// Answers calls that a cancelled run left without a result by an error message, instead of
    /// failing with [`super::InvalidHistory`].
    pub fn repair_history(mut self) -> Self {
        self.repair = true;
        self
    }

    /// Builds the agent's graph, for an app with dependencies `D` that it does not use.
    ///
    /// # Errors
    /// [`BuildError`] names what does not fit.
    pub fn build<D: std::marker::Send + Sync + 'static>(
        self,
    ) -> Result<Compiled<AgentState, D>, BuildError> {
        let named = self.name.is_some();
        let name = self.name.unwrap_or_else(|| "agent".to_owned());
        let own = self.middleware.iter().flat_map(|middleware| middleware.tools());
        let mut tools = ToolNode::new(self.tools.into_iter().chain(own))?.on_error(self.errors);
        if let Some(calls) = self.concurrency {
            tools = tools.max_concurrency(calls)?;
        }
        for middleware in &self.middleware {
            tools = tools.wrap(Arc::clone(middleware));
        }
        let response = match self.response {
            Some((schema, strategy)) => Some(response(schema, strategy, &tools)?),
            None => None,
        };
        let count = |hook: Hook| {
            self.middleware.iter().filter(|one| one.hooks().contains(&hook)).count() as u32
        };
        let agent = Arc::new(Agent {
            model_hooks: count(Hook::AfterModel),
            loop_hooks: count(Hook::BeforeModel),
            end_hooks: count(Hook::AfterAgent),
            named,
            model: self.model,
            prompt: self.prompt,
            options: self.options,
            tools: Arc::new(tools),
            middleware: self.middleware,
            response,
            repair: self.repair,
            name,
        });
        Ok(graph(&agent, self.node)?)
    }
}

fn response(
    schema: ResponseSchema,
    strategy: ResponseStrategy,
    tools: &ToolNode,
) -> Result<Response, BuildError> {
    let validator = jsonschema::validator_for(&schema.schema).map_err(|error| {
        BuildError::Response { name: schema.name.clone(), problem: error.to_string() }
    })?;
    if tools.specs().iter().any(|tool| tool.name == schema.name) {
        return Err(ToolNodeError::Duplicate { tool: schema.name }.into());
    }
    let by_tool = match strategy {
        ResponseStrategy::Auto => !tools.is_empty(),
        ResponseStrategy::Tool => true,
        ResponseStrategy::Provider => false,
    };
    Ok(Response { schema, by_tool, validator })
}

/// The names of an agent's nodes in the order they are passed.
struct Way {
    before_agent: Vec<(String, Arc<dyn Middleware>)>,
    before_model: Vec<(String, Arc<dyn Middleware>)>,
    model: String,
    after_model: Vec<(String, Arc<dyn Middleware>)>,
    after_agent: Vec<(String, Arc<dyn Middleware>)>,
}

impl Way {
    fn of(agent: &Agent, model: &str) -> Self {
        let hooked = |hook: Hook| {
            let with = agent.middleware.iter().filter(move |one| one.hooks().contains(&hook));
            with.map(move |one| (format!("{}.{}", one.name(), hook.name()), Arc::clone(one)))
        };
        Self {
            before_agent: hooked(Hook::BeforeAgent).collect(),
            before_model: hooked(Hook::BeforeModel).collect(),
            model: model.to_owned(),
            after_model: hooked(Hook::AfterModel).rev().collect(),
            after_agent: hooked(Hook::AfterAgent).rev().collect(),
        }
    }

    /// Where the model's loop begins.
    fn entry(&self) -> Arc<str> {
        Arc::from(self.before_model.first().map_or(self.model.as_str(), |(name, _)| name))
    }

    /// Where it ends.
    fn exit(&self) -> Arc<str> {
        Arc::from(self.after_agent.first().map_or(END, |(name, _)| name.as_str()))
    }
}

/// Decides where an agent goes after its model and its hooks.
#[derive(Clone)]
struct Router {
    agent: Arc<Agent>,
    tools: mesh_graph::Node<ToolJob>,
    entry: Arc<str>,
    exit: Arc<str>,
}

/// What follows a node unless it jumps.
#[derive(Clone)]
enum Then {
    Node(Arc<str>),
    /// What the model's last reply asks for.
    Reply,
}

impl Router {
    fn jump_or(&self, state: &AgentStateView, then: &Then) -> Vec<Goto> {
        match (*state.jump_to, then) {
            (Some(Jump::Model), _) => vec![Goto::Node(Arc::clone(&self.entry))],
            (Some(Jump::End), _) => vec![Goto::Node(Arc::clone(&self.exit))],
            (Some(Jump::Tools), _) => match self.jobs(state) {
                jobs if jobs.is_empty() => vec![Goto::Node(Arc::clone(&self.entry))],
                jobs => jobs,
            },
            (None, Then::Node(node)) => vec![Goto::Node(Arc::clone(node))],
            (None, Then::Reply) => self.after_reply(state),
        }
    }

    fn jobs(&self, state: &AgentStateView) -> Vec<Goto> {
        let jobs = self.agent.tools.jobs(history::pending(&state.messages), state);
        jobs.into_iter().map(|job| Goto::Send(Send::to(&self.tools, job))).collect()
    }

    fn after_reply(&self, state: &AgentStateView) -> Vec<Goto> {
        let jobs = self.jobs(state);
        if !jobs.is_empty() {
            return jobs;
        }
        let called = last_assistant(&state.messages).is_some_and(|m| !m.tool_calls().is_empty());
        if called && state.structured_response.is_none() {
            // All calls were answered in place of the tools: the model has to hear that.
            return vec![Goto::Node(Arc::clone(&self.entry))];
        }
        vec![Goto::Node(Arc::clone(&self.exit))]
    }

    fn after_tools(&self, state: &AgentStateView) -> Goto {
        let calls = last_assistant(&state.messages).map(Message::tool_calls).unwrap_or_default();
        let ends = self.agent.tools.all_return_direct(calls);
        Goto::Node(Arc::clone(if ends { &self.exit } else { &self.entry }))
    }
}

fn graph<D: std::marker::Send + Sync + 'static>(
    agent: &Arc<Agent>,
    model: &str,
) -> Result<Compiled<AgentState, D>, CompileError> {
    let way = Way::of(agent, model);
    let mut graph = Graph::<AgentState, D>::new(&agent.name);
    let asked = Arc::clone(agent);
    graph.node(model, move |state: View<AgentState>, ctx: Ctx<D>| {
        let agent = Arc::clone(&asked);
        async move { model::ask(&agent, &state, ctx.bare()).await }
    });
    let run = agent.tools.job_node::<D>();
    let tools = graph.node(TOOLS, move |job: Arg<ToolJob>, ctx: Ctx<D>| run(job, ctx)).id();
    let router = Router { agent: Arc::clone(agent), tools, entry: way.entry(), exit: way.exit() };

    let entry = Then::Node(way.entry());
    add_hooks(&mut graph, &router, &way.before_agent, Hook::BeforeAgent, &entry);
    let ask = Then::Node(Arc::from(model));
    add_hooks(&mut graph, &router, &way.before_model, Hook::BeforeModel, &ask);
    add_hooks(&mut graph, &router, &way.after_model, Hook::AfterModel, &Then::Reply);
    let end = Then::Node(Arc::from(END));
    add_hooks(&mut graph, &router, &way.after_agent, Hook::AfterAgent, &end);

    let first = way.before_agent.first().map(|(name, _)| name.clone());
    graph.edge(START, first.unwrap_or_else(|| way.entry().to_string()));
    if let Some((hook, _)) = way.after_model.first() {
        graph.edge(model, hook.as_str());
    } else {
        let router = router.clone();
        let targets = [TOOLS.to_owned(), way.entry().to_string(), way.exit().to_string()];
        graph
            .route(model, move |state: &View<AgentState>| router.after_reply(state))
            .targets(targets);
    }
    let targets = [way.entry().to_string(), way.exit().to_string()];
    graph.route(TOOLS, move |state: &View<AgentState>| router.after_tools(state)).targets(targets);
    graph.compile()
}

/// Adds a chain of hooks: each leads to the next, the last one to `then`, unless one jumps.
fn add_hooks<D: std::marker::Send + Sync + 'static>(
    graph: &mut Graph<AgentState, D>,
    router: &Router,
    chain: &[(String, Arc<dyn Middleware>)],
    hook: Hook,
    then: &Then,
) {
    for (position, (name, middleware)) in chain.iter().enumerate() {
        let middleware = Arc::clone(middleware);
        graph.node(name, move |state: View<AgentState>, ctx: Ctx<D>| {
            run_hook(Arc::clone(&middleware), hook, state, ctx.bare())
        });
        let then = match chain.get(position + 1) {
            Some((next, _)) => Then::Node(Arc::from(next.as_str())),
            None => then.clone(),
        };
        let mut targets = vec![router.entry.to_string(), router.exit.to_string()];
        targets.push(TOOLS.to_owned());
        if let Then::Node(node) = &then {
            targets.push(node.to_string());
        }
        let router = router.clone();
        graph
            .route(name.as_str(), move |state: &View<AgentState>| router.jump_or(state, &then))
            .targets(targets);
    }
}

fn run_hook(
    middleware: Arc<dyn Middleware>,
    hook: Hook,
    state: View<AgentState>,
    ctx: Ctx,
) -> BoxFuture<'static, NodeResult<AgentStateUpdate>> {
    Box::pin(async move {
        let Hooked { update, jump } = match hook {
            Hook::BeforeAgent => middleware.before_agent(&state, &ctx).await?,
            Hook::BeforeModel => middleware.before_model(&state, &ctx).await?,
            Hook::AfterModel => middleware.after_model(&state, &ctx).await?,
            Hook::AfterAgent => middleware.after_agent(&state, &ctx).await?,
        };
        // The router of this node sees what the step before wrote unless this one writes.
        Ok(if jump.is_some() || state.jump_to.is_some() { update.jump_to(jump) } else { update })
    })
}
