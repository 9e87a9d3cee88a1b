//! Nodes: async functions from a view of the state, or from an argument, to an update.

use std::{any::TypeId, future::Future, marker::PhantomData, ops::Deref, sync::Arc};

use futures::future::BoxFuture;

use crate::{
    channel::{Schema, Values},
    command::{IntoStep, Output},
    context::{Ctx, TaskContext},
    error::{NodeError, NodeResult},
    state::{Part, State, View},
    value::{Codec, Datum, Value, codec},
};

/// A node of a graph under construction, typed by the argument it takes from a `Send`.
///
/// `A = ()` is a node that reads state.
pub struct Node<A = ()> {
    pub(crate) name: Arc<str>,
    arg: PhantomData<fn(A)>,
}

impl<A> Node<A> {
    pub(crate) fn named(name: &Arc<str>) -> Self {
        Self { name: Arc::clone(name), arg: PhantomData }
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<A> Clone for Node<A> {
    fn clone(&self) -> Self {
        Self::named(&self.name)
    }
}

/// Anything that names a node in an edge: a name, or a node made before.
pub trait Named {
    /// The name.
    fn node_name(&self) -> Arc<str>;
}

impl Named for &str {
    fn node_name(&self) -> Arc<str> {
        Arc::from(*self)
    }
}

impl Named for String {
    fn node_name(&self) -> Arc<str> {
        Arc::from(self.as_str())
    }
}

impl<A> Named for &Node<A> {
    fn node_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
}

impl<A> Named for Node<A> {
    fn node_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
}

/// The argument of a `Send`, verbatim: nothing of the state is mixed in.
#[derive(Debug, Clone)]
pub struct Arg<T>(pub Arc<T>);

impl<T> Deref for Arg<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// What a task runs on.
#[derive(Clone)]
pub(crate) enum Input {
    /// The snapshot that all tasks of the superstep share.
    Snapshot(Arc<Values>),
    /// Argument of a `Send`.
    Arg(Value),
}

/// How the arguments of a node's `Send`s cross borders.
#[derive(Clone)]
pub(crate) enum ArgCodec {
    /// The node reads state: its argument is an update of these keys.
    State,
    /// The node takes any JSON.
    Json,
    /// The node takes a value of its own type.
    Typed(Arc<dyn Codec>),
}

/// A node as the driver calls it.
pub(crate) trait NodeFn: Send + Sync {
    fn call(&self, input: Input, ctx: TaskContext) -> BoxFuture<'static, NodeResult<StepOutput>>;
    fn arg(&self) -> ArgCodec;
    /// The channels it reads, if it does not see the whole state.
    fn reads(&self) -> Option<&[usize]> {
        None
    }
    /// The mounted graph, if it is one: such a node waits for its graph and must not hold a
    /// concurrency slot meanwhile.
    fn mount(&self) -> Option<&crate::mount::Mount> {
        None
    }
    /// What is wrong with it as a node called `node` of a graph with this channel table.
    fn mistakes(&self, _node: &str, _schema: &Schema) -> Vec<crate::error::Mistake> {
        Vec::new()
    }
}

/// What a node function may take first: a [`View`] of the state, or the [`Arg`] of a `Send`.
#[diagnostic::on_unimplemented(
    message = "a node of a graph over `{S}` cannot take `{Self}` as its first parameter",
    note = "take `View<{S}>` to read state (or a `View` of a part of it), or `Arg<T>` to be the target of a `Send` with a `T`"
)]
pub trait NodeInput<S: State>: Sized + Send + 'static {
    /// What a `Send` to such a node carries; `()` for nodes that read state.
    type Arg;
    /// How that argument crosses borders; `None` for nodes that read state.
    #[doc(hidden)]
    fn codec() -> Option<Arc<dyn Codec>>;
    /// The part of the state it reads, unless that is the state itself or nothing.
    #[doc(hidden)]
    fn part() -> Option<PartSchema> {
        None
    }
    #[doc(hidden)]
    fn take(input: &TaskInput<'_>) -> NodeResult<Self>;
}

/// A part of a state, with its keys.
pub struct PartSchema {
    pub(crate) part: TypeId,
    pub(crate) schema: Schema,
}

impl PartSchema {
    /// The keys of `P` when it is a part of `S` other than `S` itself. All of them are private:
    /// what is input and output is said where the state of the graph is declared.
    pub(crate) fn of<S: State, P: Part<S>>() -> Option<Self> {
        if TypeId::of::<P>() == TypeId::of::<S>() {
            return None;
        }
        Some(Self { part: TypeId::of::<P>(), schema: P::schema().private() })
    }
}

/// What a task was started with, as [`NodeInput`] reads it.
pub struct TaskInput<'a> {
    schema: &'a Schema,
    input: &'a Input,
    positions: Option<&'a [usize]>,
}

impl<'a> TaskInput<'a> {
    pub(crate) fn new(
        schema: &'a Schema,
        input: &'a Input,
        positions: Option<&'a [usize]>,
    ) -> Self {
        Self { schema, input, positions }
    }
}

impl<S: State, P: Part<S>> NodeInput<S> for View<P> {
    type Arg = ();

    fn codec() -> Option<Arc<dyn Codec>> {
        None
    }

    fn part() -> Option<PartSchema> {
        PartSchema::of::<S, P>()
    }

    fn take(input: &TaskInput<'_>) -> NodeResult<Self> {
        match input.input {
            Input::Snapshot(values) => Ok(Self::at(input.schema, values, input.positions)),
            Input::Arg(value) => match value.downcast_ref::<Values>() {
                Some(values) => Ok(Self::at(input.schema, values, input.positions)),
                None => Err(NodeError::msg("the argument is no partial state")),
            },
        }
    }
}

impl<S: State, T: Datum> NodeInput<S> for Arg<T> {
    type Arg = T;

    fn codec() -> Option<Arc<dyn Codec>> {
        Some(codec::<T>())
    }

    fn take(input: &TaskInput<'_>) -> NodeResult<Self> {
        match input.input {
            Input::Arg(value) => Arc::clone(value).downcast::<T>().map(Arg).map_err(|_| {
                NodeError::msg(format!("the argument is no {}", std::any::type_name::<T>()))
            }),
            Input::Snapshot(_) => Err(NodeError::msg(
                "the node takes the argument of a `Send`, but an edge led to it",
            )),
        }
    }
}

/// An async function that can be a node: `async fn(View<S> | Arg<T>, Ctx<D>) -> NodeResult<_>`.
#[diagnostic::on_unimplemented(
    message = "this function is not a node of a graph over `{S}` with dependencies `{D}`",
    label = "expected `async fn(View<{S}> or Arg<T>, Ctx<{D}>) -> NodeResult<…>`",
    note = "both parameters are owned, and the result is an update of `{S}`, a `Step<{S}>` or `()`"
)]
pub trait Handler<S: State, D, In>: Send + Sync + 'static {
    #[doc(hidden)]
    fn call(&self, input: In, ctx: Ctx<D>) -> BoxFuture<'static, NodeResult<StepOutput>>;
}

/// What a node function returns when it is called. Implemented for every future.
#[diagnostic::on_unimplemented(
    message = "a node is an `async fn`, and this function returns `{Self}` at once",
    label = "expected an `async fn`",
    note = "write `async fn`; work that blocks its thread goes into `tokio::task::spawn_blocking`"
)]
pub trait NodeFuture: Future {}

#[diagnostic::do_not_recommend]
impl<Fut: Future> NodeFuture for Fut {}

/// What a node function comes to: a [`NodeResult`] of something that [`IntoStep`] allows.
#[diagnostic::on_unimplemented(
    message = "a node returns a `NodeResult`, and this one returns `{Self}`",
    label = "expected `async fn(…) -> NodeResult<…>`",
    note = "wrap what it returns in `Ok(…)`; `?` makes a `NodeError` of every other error"
)]
pub trait NodeOutput<S: State> {
    #[doc(hidden)]
    fn into_output(self) -> NodeResult<StepOutput>;
}

impl<S: State, Out: IntoStep<S>> NodeOutput<S> for NodeResult<Out> {
    fn into_output(self) -> NodeResult<StepOutput> {
        Ok(StepOutput(self?.into_step().output))
    }
}

/// A finished call of a [`Handler`].
pub struct StepOutput(pub(crate) Output);

impl<S, D, In, F, Fut> Handler<S, D, In> for F
where
    S: State,
    D: Send + Sync + 'static,
    F: Fn(In, Ctx<D>) -> Fut + Send + Sync + 'static,
    Fut: NodeFuture + Send + 'static,
    Fut::Output: NodeOutput<S>,
{
    fn call(&self, input: In, ctx: Ctx<D>) -> BoxFuture<'static, NodeResult<StepOutput>> {
        let future = self(input, ctx);
        Box::pin(async move { future.await.into_output() })
    }
}

/// A typed handler behind the untyped [`NodeFn`].
pub(crate) struct HandlerNode<S, D, In, H> {
    pub(crate) handler: H,
    /// Where the fields of the part that it reads are in the graph's schema.
    pub(crate) positions: Option<Arc<[usize]>>,
    #[expect(clippy::type_complexity, reason = "a marker that is never called")]
    pub(crate) types: PhantomData<fn() -> (S, D, In)>,
}

impl<S, D, In, H> NodeFn for HandlerNode<S, D, In, H>
where
    S: State,
    D: Send + Sync + 'static,
    In: NodeInput<S>,
    H: Handler<S, D, In>,
{
    fn call(&self, input: Input, ctx: TaskContext) -> BoxFuture<'static, NodeResult<StepOutput>> {
        let positions = self.positions.as_deref();
        let taken = In::take(&TaskInput::new(&ctx.0.run.core.schema, &input, positions));
        // The snapshot is let go before the node runs, so that the barrier finds it unshared.
        drop(input);
        match (taken, Ctx::<D>::new(ctx)) {
            (Ok(taken), Ok(ctx)) => self.handler.call(taken, ctx),
            (Err(error), _) | (_, Err(error)) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn reads(&self) -> Option<&[usize]> {
        self.positions.as_deref()
    }

    fn arg(&self) -> ArgCodec {
        match In::codec() {
            Some(codec) => ArgCodec::Typed(codec),
            None => ArgCodec::State,
        }
    }
}
