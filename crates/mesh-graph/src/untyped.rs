//! Graphs over a state that is described by a value: nodes read JSON and return JSON.
//!
//! A front end of its own over the one engine: it makes the same channel table, the same nodes and
//! edges as a typed graph, for graphs that come from a file or run in another language.

use std::{fmt, marker::PhantomData, ops::Index, sync::Arc};

use futures::future::BoxFuture;
use serde_json::{Map, Value as Json};

use crate::{
    app::{Command, Untyped},
    channel::{Schema, Values},
    command::{IntoRoute, Output, Route, Send},
    context::{Ctx, TaskContext},
    error::{Failure, NodeError, NodeResult},
    graph::{FanOut, Graph, NodeOptions, RouteOptions},
    keys::Keys,
    node::{ArgCodec, Input, Named, NodeFn, StepOutput},
    parent::ToParent,
    state::Update,
};

/// What a node of an untyped graph reads: the keys of the state, or the argument of the [`Send`]
/// that made its task.
///
/// A key that was never written and has no default is absent. Indexing an absent key gives null,
/// as indexing a [`serde_json::Value`] does; [`JsonView::get`] tells the two apart.
pub struct JsonView(Seen);

enum Seen {
    State { schema: Arc<Schema>, values: Values },
    Argument(Arc<Json>),
}

impl JsonView {
    fn state(schema: &Arc<Schema>, values: Values) -> Self {
        Self(Seen::State { schema: Arc::clone(schema), values })
    }

    /// What a task sees of its input, or of the keys among it that its node reads.
    fn of(schema: &Arc<Schema>, input: &Input, reads: Option<&[usize]>) -> NodeResult<Self> {
        let values = match input {
            Input::Snapshot(values) => values,
            Input::Arg(arg) => {
                let arg = Arc::clone(arg).downcast::<Json>();
                let arg = arg.map_err(|_| NodeError::msg("the argument is no JSON value"))?;
                return Ok(Self(Seen::Argument(arg)));
            }
        };
        let Some(reads) = reads else { return Ok(Self::state(schema, (**values).clone())) };
        let mut seen = Values(vec![None; values.0.len()]);
        for index in reads {
            seen.0[*index].clone_from(&values.0[*index]);
        }
        Ok(Self::state(schema, seen))
    }

    /// The value of a key of the state, or of the argument if that is an object.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match &self.0 {
            Seen::State { schema, values } => values.get(schema.index(key)?)?.downcast_ref(),
            Seen::Argument(arg) => arg.get(key),
        }
    }

    /// The argument of the `Send` that made the task, if one did.
    pub fn argument(&self) -> Option<&Json> {
        match &self.0 {
            Seen::State { .. } => None,
            Seen::Argument(arg) => Some(arg),
        }
    }

    /// A copy of everything: an object of the keys that have a value, or the argument.
    pub fn to_json(&self) -> Json {
        match &self.0 {
            Seen::State { schema, values } => {
                let mut object = Map::new();
                for (channel, value) in schema.channels().iter().zip(&values.0) {
                    if let Some(json) = value.as_ref().and_then(|v| v.downcast_ref::<Json>()) {
                        object.insert(channel.key.to_string(), json.clone());
                    }
                }
                Json::Object(object)
            }
            Seen::Argument(arg) => (**arg).clone(),
        }
    }
}

impl Index<&str> for JsonView {
    type Output = Json;
    fn index(&self, key: &str) -> &Json {
        static NULL: Json = Json::Null;
        self.get(key).unwrap_or(&NULL)
    }
}

impl fmt::Debug for JsonView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_json().fmt(f)
    }
}

/// What a node of an untyped graph returns. Nodes seldom name it: `()`, a [`Json`] value, a
/// [`Command`], a [`Send`] and lists of these become one.
///
/// Null is no update and an object is one; any other JSON is an
/// [`InvalidUpdate`](crate::FailureKind::InvalidUpdate). So is a list of objects alone: several
/// updates of one task are a list with a `Command` or a `Send` among them.
#[derive(Debug)]
pub enum JsonStep {
    /// An object of state keys, or null for no update.
    Update(Json),
    /// An update and gotos, or a command to the parent. Its `resume` has to be empty.
    Command(Command),
    /// A direct task.
    Send(Send),
    /// Updates, commands and sends, in this order.
    List(Vec<JsonStep>),
}

impl From<()> for JsonStep {
    fn from((): ()) -> Self {
        Self::Update(Json::Null)
    }
}

impl From<Json> for JsonStep {
    fn from(json: Json) -> Self {
        Self::Update(json)
    }
}

impl From<Command> for JsonStep {
    fn from(command: Command) -> Self {
        Self::Command(command)
    }
}

impl From<Send> for JsonStep {
    fn from(send: Send) -> Self {
        Self::Send(send)
    }
}

impl<T: Into<JsonStep>> From<Vec<T>> for JsonStep {
    fn from(list: Vec<T>) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

impl JsonStep {
    /// The output it stands for in a graph with this channel table.
    ///
    /// # Errors
    /// [`Failure`] says what is no update, or which key or value does not fit.
    fn into_output(self, schema: &Schema) -> Result<Output, Failure> {
        let mut output = Output::default();
        match self {
            Self::List(items) => {
                let routed = |item: &Self| matches!(item, Self::Command(_) | Self::Send(_));
                if !items.is_empty() && !items.iter().any(routed) {
                    return Err(Failure::invalid_update(
                        "expected an object of state keys, found a list without a command or Send",
                    ));
                }
                for item in items {
                    item.add_to(&mut output, schema)?;
                }
            }
            other => other.add_to(&mut output, schema)?,
        }
        Ok(output)
    }

    fn add_to(self, output: &mut Output, schema: &Schema) -> Result<(), Failure> {
        match self {
            Self::Update(Json::Null) => {}
            Self::Update(json) => output.updates.push(Update::from_json(schema, json, |_| true)?),
            Self::Send(send) => output.goto.push(send.into()),
            Self::List(_) => {
                return Err(Failure::invalid_update("a list in a list of updates is no update"));
            }
            Self::Command(command) if command.resume.is_some() => {
                return Err(Failure::invalid_update(
                    "a node's command cannot resume: that is for the input of a run",
                ));
            }
            Self::Command(command) if command.to_parent => {
                let updates = command.update.into_iter().collect();
                let command = ToParent::json(updates, command.goto);
                let command = match output.parent.take() {
                    Some(before) => before.and(command),
                    None => command,
                };
                output.parent = Some(Box::new(command));
            }
            Self::Command(command) => {
                if let Some(update) = command.update {
                    output.updates.push(Update::of_command(schema, update)?);
                }
                output.goto.extend(command.goto);
            }
        }
        Ok(())
    }
}

/// An untyped function as a node.
pub(crate) fn json_node<D, F, Fut, Out>(node: F) -> Arc<dyn NodeFn>
where
    D: std::marker::Send + Sync + 'static,
    F: Fn(JsonView, Ctx<D>) -> Fut + std::marker::Send + Sync + 'static,
    Fut: Future<Output = NodeResult<Out>> + std::marker::Send + 'static,
    Out: Into<JsonStep> + 'static,
{
    Arc::new(JsonNode { node, deps: PhantomData })
}

/// A node of an untyped graph.
struct JsonNode<D, F> {
    node: F,
    deps: PhantomData<fn(D)>,
}

impl<D, F, Fut, Out> NodeFn for JsonNode<D, F>
where
    D: std::marker::Send + Sync + 'static,
    F: Fn(JsonView, Ctx<D>) -> Fut + std::marker::Send + Sync + 'static,
    Fut: Future<Output = NodeResult<Out>> + std::marker::Send + 'static,
    Out: Into<JsonStep>,
{
    fn call(&self, input: Input, ctx: TaskContext) -> BoxFuture<'static, NodeResult<StepOutput>> {
        let core = Arc::clone(&ctx.0.run.core);
        let reads = core.node(ctx.0.node).reads.as_deref();
        let view = JsonView::of(&core.schema, &input, reads);
        // The snapshot is let go before the node runs, so that the barrier finds it unshared.
        drop(input);
        match (view, Ctx::<D>::new(ctx)) {
            (Ok(view), Ok(ctx)) => {
                let future = (self.node)(view, ctx);
                Box::pin(async move {
                    let output = future.await?.into().into_output(&core.schema);
                    Ok(StepOutput(output.map_err(NodeError::refused)?))
                })
            }
            (Err(error), _) | (_, Err(error)) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn arg(&self) -> ArgCodec {
        ArgCodec::Json
    }
}

/// Graphs whose state is described by [`Keys`].
///
/// ```
/// use mesh_graph::{Ctx, Graph, JsonView, Key, Keys, NodeResult, START, Untyped};
/// use serde_json::{Value, json};
///
/// async fn greet(state: JsonView, _: Ctx) -> NodeResult<Value> {
///     Ok(json!({"lines": [format!("Hello, {}", state["name"].as_str().unwrap_or("you"))]}))
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = Keys::new().key(Key::new("name")).key(Key::new("lines").append());
/// let mut graph = Graph::<Untyped>::untyped("talk", keys);
/// graph.node_json("greet", greet);
/// graph.edge(START, "greet");
/// let outcome = graph.compile()?.app(()).run_json(json!({"name": "Ann"})).invoke().await?;
/// assert_eq!(outcome.json()?["lines"], json!(["Hello, Ann"]));
/// # Ok(()) }
/// ```
impl<D: std::marker::Send + Sync + 'static> Graph<Untyped, D> {
    /// An empty graph over a state with these keys.
    pub fn untyped(name: &str, keys: Keys) -> Self {
        let mut graph = Self::over(name, Schema::new(Vec::new()));
        graph.keys(keys);
        graph
    }

    /// Adds the keys of another schema: a narrower input or output, or what only some nodes read.
    /// A key that is there already has to have the same rule, or one of the two none.
    pub fn keys(&mut self, keys: Keys) -> &mut Self {
        self.contribute_keys(keys);
        self
    }

    /// Adds a node that reads all keys. It runs when an edge, a join, a route or a `Send` leads to
    /// it; after a `Send` it reads the argument and nothing else.
    pub fn node_json<F, Fut, Out>(
        &mut self,
        name: &str,
        node: F,
    ) -> NodeOptions<'_, Json, Untyped, D>
    where
        F: Fn(JsonView, Ctx<D>) -> Fut + std::marker::Send + Sync + 'static,
        Fut: Future<Output = NodeResult<Out>> + std::marker::Send + 'static,
        Out: Into<JsonStep> + 'static,
    {
        self.draft(name, json_node(node))
    }

    /// Adds a node that reads these keys alone.
    pub fn node_json_reading<F, Fut, Out>(
        &mut self,
        name: &str,
        keys: impl IntoIterator<Item = impl AsRef<str>>,
        node: F,
    ) -> NodeOptions<'_, Json, Untyped, D>
    where
        F: Fn(JsonView, Ctx<D>) -> Fut + std::marker::Send + Sync + 'static,
        Fut: Future<Output = NodeResult<Out>> + std::marker::Send + 'static,
        Out: Into<JsonStep> + 'static,
    {
        let keys = keys.into_iter().map(|key| Arc::from(key.as_ref())).collect();
        self.draft(name, json_node(node)).reads(keys)
    }

    /// After `from`, `decide` names where to go: a node, END, a [`Send`], or a list of these. It
    /// sees the superstep's snapshot with `from`'s own writes, and forms one task with it.
    pub fn route_json<R: IntoRoute>(
        &mut self,
        from: impl Named,
        decide: impl Fn(&JsonView) -> R + std::marker::Send + Sync + 'static,
    ) -> RouteOptions<'_> {
        self.draft_route(
            &from,
            Arc::new(move |schema, values| {
                decide(&JsonView::state(schema, values.clone())).into_route()
            }),
        )
    }

    /// After `from`, runs `to` once for every argument that `list` returns. What follows an empty
    /// list has to be said by [`FanOut::if_empty`]; `compile` reports it otherwise.
    pub fn fan_out_json(
        &mut self,
        from: impl Named,
        to: impl Named,
        list: impl Fn(&JsonView) -> Vec<Json> + std::marker::Send + Sync + 'static,
    ) -> FanOut<'_> {
        let target = to.node_name();
        let decide = move |schema: &Arc<Schema>, values: &Values| {
            let args = list(&JsonView::state(schema, values.clone()));
            let sends: Vec<Send> = args.into_iter().map(|arg| Send::json(&target, arg)).collect();
            Route::from(sends)
        };
        self.draft_fan_out(&from, to.node_name(), Arc::new(decide))
    }
}
