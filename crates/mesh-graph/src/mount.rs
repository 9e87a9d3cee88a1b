//! Mounted graphs: a compiled graph as a node of another one.
//!
//! Only what the two mapping functions say crosses between parent and child. The child runs under
//! the caller's task and inherits its dependencies, streams, cancellation and checkpointer.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::{
    channel::{Schema, Values},
    command::Output,
    context::TaskContext,
    error::{NodeError, NodeErrorKind, NodeResult},
    graph::Core,
    node::{ArgCodec, Input, NodeFn, StepOutput},
    run::{self, Status},
    state::{State, Update, View},
    value::{Datum, codec},
};

/// Makes the child's input from the task's.
type Enter = Box<dyn Fn(&Input) -> NodeResult<Update> + Send + Sync>;
/// Makes the parent's update from the child's final state.
type Leave = Arc<dyn Fn(&Schema, &Values) -> Update + Send + Sync>;

/// A mounted graph with its two mappings.
pub(crate) struct Mount {
    child: Arc<Core>,
    enter: Enter,
    leave: Leave,
    arg: ArgCodec,
}

impl Mount {
    pub(crate) fn reading_state<S: State, C: State>(
        parent: &Arc<Schema>,
        child: Arc<Core>,
        input: impl Fn(&View<S>) -> C::Update + Send + Sync + 'static,
        output: impl Fn(&View<C>) -> S::Update + Send + Sync + 'static,
    ) -> Self {
        let parent = Arc::clone(parent);
        let enter = Box::new(move |given: &Input| {
            let view = match given {
                Input::Snapshot(values) => View::<S>::new(&parent, values),
                Input::Arg(value) => match value.downcast_ref::<Values>() {
                    Some(values) => View::<S>::new(&parent, values),
                    None => return Err(NodeError::msg("the argument is no partial state")),
                },
            };
            Ok(input(&view).into())
        });
        Self { child, enter, leave: leaving::<S, C>(output), arg: ArgCodec::State }
    }

    pub(crate) fn taking_argument<S: State, C: State, A: Datum>(
        child: Arc<Core>,
        input: impl Fn(&A) -> C::Update + Send + Sync + 'static,
        output: impl Fn(&View<C>) -> S::Update + Send + Sync + 'static,
    ) -> Self {
        let enter = Box::new(move |given: &Input| match given {
            Input::Arg(value) => match value.downcast_ref::<A>() {
                Some(arg) => Ok(input(arg).into()),
                None => Err(NodeError::msg(format!(
                    "the argument is no {}",
                    std::any::type_name::<A>()
                ))),
            },
            Input::Snapshot(_) => Err(NodeError::msg(
                "the mounted graph takes the argument of a `Send`, but an edge led to it",
            )),
        });
        Self { child, enter, leave: leaving::<S, C>(output), arg: ArgCodec::Typed(codec::<A>()) }
    }
}

fn leaving<S: State, C: State>(
    output: impl Fn(&View<C>) -> S::Update + Send + Sync + 'static,
) -> Leave {
    Arc::new(move |schema, values| output(&View::<C>::new(schema, values)).into())
}

impl NodeFn for Mount {
    fn call(&self, input: Input, ctx: TaskContext) -> BoxFuture<'static, NodeResult<StepOutput>> {
        let entered = (self.enter)(&input);
        drop(input);
        let child = Arc::clone(&self.child);
        let leave = Arc::clone(&self.leave);
        Box::pin(async move {
            let finished = run::drive_child(Arc::clone(&child), &ctx, entered?)
                .await
                .map_err(|error| NodeError(NodeErrorKind::Child(Box::new(error))))?;
            if let Some(command) = finished.to_parent {
                let output = command.into_output(&ctx.0.run.core.schema);
                return output.map(StepOutput).map_err(NodeError::refused);
            }
            match finished.status {
                Status::Done => {
                    let update = leave(&child.schema, &finished.values);
                    Ok(StepOutput(Output { updates: vec![update], ..Output::default() }))
                }
                Status::Interrupted => Err(ctx.suspend_for(finished.interrupts)),
                Status::Cancelled => Err(NodeError(NodeErrorKind::Cancelled)),
            }
        })
    }

    fn arg(&self) -> ArgCodec {
        self.arg.clone()
    }

    fn mounted(&self) -> Option<Arc<Core>> {
        Some(Arc::clone(&self.child))
    }
}
