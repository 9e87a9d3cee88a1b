//! Error handlers: what a graph does when a node has failed for good.
//!
//! A handler is a hidden node. It runs in the failed node's superstep and its writes take the
//! place of the failed task's; the error stays visible there.

use std::{any::TypeId, future::Future, marker::PhantomData, sync::Arc};

use futures::future::BoxFuture;

use crate::{
    checkpoint::{TaskId, TaskPath},
    command::IntoStep,
    context::{Ctx, TaskContext},
    error::{Failure, NodeError, NodeResult},
    graph::NodeId,
    node::{ArgCodec, Input, Named, NodeFn, NodeInput, StepOutput, TaskInput},
    state::State,
};

/// The error that a handler is called for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught {
    /// The node that failed.
    pub node: String,
    /// Its task.
    pub task_id: TaskId,
    /// What made its last attempt fail, as it is stored: the same before and after a restart.
    pub failure: Failure,
}

/// What follows a node whose error was handled, besides what the handler itself goes to.
///
/// Typed graphs have to say it: in LangGraph a handler without a goto ends its branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// The failed node's own edges, joins and routers, as if it had returned the handler's update.
    Follow,
    /// These nodes.
    Goto(Vec<Arc<str>>),
    /// Nothing: without a goto of the handler the branch ends.
    End,
}

impl Then {
    /// One node.
    pub fn goto(node: impl Named) -> Self {
        Self::Goto(vec![node.node_name()])
    }
}

/// An async function that can handle errors:
/// `async fn(View<S> | Arg<T>, Caught, Ctx<D>) -> NodeResult<_>`.
///
/// A handler that takes the state gets what the failed node read, or, when that was the typed
/// argument of a `Send`, the superstep's snapshot.
#[diagnostic::on_unimplemented(
    message = "this function cannot handle errors in a graph over `{S}` with dependencies `{D}`",
    label = "expected `async fn(View<{S}> or Arg<T>, Caught, Ctx<{D}>) -> NodeResult<…>`",
    note = "the parameters are owned, and the result is an update of `{S}`, a `Step<{S}>` or `()`"
)]
pub trait ErrorHandler<S: State, D, In>: Send + Sync + 'static {
    #[doc(hidden)]
    fn call(
        &self,
        input: In,
        caught: Caught,
        ctx: Ctx<D>,
    ) -> BoxFuture<'static, NodeResult<StepOutput>>;
}

impl<S, D, In, F, Fut, Out> ErrorHandler<S, D, In> for F
where
    S: State,
    D: Send + Sync + 'static,
    F: Fn(In, Caught, Ctx<D>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = NodeResult<Out>> + Send + 'static,
    Out: IntoStep<S>,
{
    fn call(
        &self,
        input: In,
        caught: Caught,
        ctx: Ctx<D>,
    ) -> BoxFuture<'static, NodeResult<StepOutput>> {
        let future = self(input, caught, ctx);
        Box::pin(async move { Ok(StepOutput(future.await?.into_step().output)) })
    }
}

/// What a handler's task knows besides its surroundings.
pub(crate) struct Rescue {
    pub(crate) caught: Caught,
    /// The node whose exits are followed: the failed one, or the handler itself.
    pub(crate) exits: NodeId,
    /// The failed task's place: what the handler keeps, it keeps there.
    pub(crate) path: TaskPath,
}

impl<D: Send + Sync + 'static> Ctx<D> {
    /// What this task, an error handler's, is called for.
    pub(crate) fn caught(&self) -> NodeResult<Caught> {
        match &self.task().0.rescue {
            Some(rescue) => Ok(rescue.caught.clone()),
            None => Err(NodeError::msg("an error handler ran without an error")),
        }
    }
}

/// A typed handler behind the untyped [`NodeFn`].
pub(crate) struct HandlerOf<S, D, In, H> {
    pub(crate) handler: H,
    /// The part of the state that it reads.
    pub(crate) part: Option<TypeId>,
    #[expect(clippy::type_complexity, reason = "a marker that is never called")]
    pub(crate) types: PhantomData<fn() -> (S, D, In)>,
}

impl<S, D, In, H> NodeFn for HandlerOf<S, D, In, H>
where
    S: State,
    D: Send + Sync + 'static,
    In: NodeInput<S>,
    H: ErrorHandler<S, D, In>,
{
    fn call(&self, input: Input, ctx: TaskContext) -> BoxFuture<'static, NodeResult<StepOutput>> {
        let core = &ctx.0.run.core;
        let positions = match self.part {
            Some(part) => {
                let positions = core.positions(part);
                if positions.is_none() {
                    let error = NodeError::msg(
                        "the handler reads a part of the state that the graph does not know: add \
                         it with `Graph::part`",
                    );
                    return Box::pin(std::future::ready(Err(error)));
                }
                positions
            }
            None => None,
        };
        let taken = In::take(&TaskInput::new(&core.schema, &input, positions));
        drop(input);
        let called = || {
            let ctx = Ctx::<D>::new(ctx)?;
            Ok(self.handler.call(taken?, ctx.caught()?, ctx))
        };
        called().unwrap_or_else(|error| Box::pin(std::future::ready(Err(error))))
    }

    fn arg(&self) -> ArgCodec {
        match In::codec() {
            Some(codec) => ArgCodec::Typed(codec),
            None => ArgCodec::State,
        }
    }
}
