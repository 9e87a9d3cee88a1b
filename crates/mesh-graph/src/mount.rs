//! Mounted graphs: a compiled graph as a node of another one.
//!
//! What crosses between parent and child is what two mapping functions say, or the keys that both
//! share. The child runs under the caller's task and inherits its dependencies, streams,
//! cancellation and checkpointer.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::{
    channel::{Schema, Values},
    checkpoint::TaskId,
    command::Output,
    context::TaskContext,
    error::{Mistake, NodeError, NodeResult},
    graph::{Child, Core, Kept},
    names,
    node::{ArgCodec, Input, NodeFn, StepOutput},
    run::{self, Below},
    shared::{self, Sharing},
    state::{State, Update, View},
    value::{Datum, codec},
};

/// Makes the child's input from the task's.
type Enter = Box<dyn Fn(&Input) -> NodeResult<Update> + Send + Sync>;
/// Makes the parent's update from the child's final state.
type Leave = Arc<dyn Fn(&Schema, &Values) -> Update + Send + Sync>;

/// A mounted graph and what crosses into it and out of it.
pub(crate) struct Mount {
    child: Child,
    crossing: Crossing,
    arg: ArgCodec,
}

/// What crosses between a mounted graph and its parent.
enum Crossing {
    Mapped { enter: Enter, leave: Leave },
    Shared(Sharing),
}

impl Mount {
    pub(crate) fn reading_state<S: State, C: State>(
        parent: &Arc<Schema>,
        child: Child,
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
        let crossing = Crossing::Mapped { enter, leave: leaving::<S, C>(output) };
        Self { child, crossing, arg: ArgCodec::State }
    }

    pub(crate) fn taking_argument<S: State, C: State, A: Datum>(
        child: Child,
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
        let crossing = Crossing::Mapped { enter, leave: leaving::<S, C>(output) };
        Self { child, crossing, arg: ArgCodec::Typed(codec::<A>()) }
    }

    /// A graph that shares the keys it has in common with its parent. `arg` is how the arguments of
    /// `Send`s to it cross borders: partial state of the parent, or a JSON object of the child's
    /// input.
    pub(crate) fn sharing(child: Child, sharing: Sharing, arg: ArgCodec) -> Self {
        Self { child, crossing: Crossing::Shared(sharing), arg }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.child.core
    }

    /// Whether the child has one state for the whole thread.
    pub(crate) fn per_thread(&self) -> bool {
        matches!(self.child.kept, Kept::PerThread(_))
    }

    /// The name of the child's state, if it has one.
    pub(crate) fn instance(&self) -> Option<&str> {
        match &self.child.kept {
            Kept::PerThread(instance) => instance.as_deref(),
            Kept::PerCall | Kept::Unsaved => None,
        }
    }

    /// Where the child of this task of `node` in the graph at `ns` is stored, if it is.
    pub(crate) fn child_ns(&self, ns: &str, node: &str, task: TaskId) -> Option<String> {
        let own = match &self.child.kept {
            Kept::Unsaved => return None,
            Kept::PerCall => format!("{node}:{task}"),
            Kept::PerThread(instance) => instance.as_deref().unwrap_or(node).to_owned(),
        };
        if ns.is_empty() {
            return Some(own);
        }
        let above = if self.per_thread() { run::without_tasks(ns) } else { ns.to_owned() };
        Some(format!("{above}|{own}"))
    }

    /// The child's channels whose writes the parent wants to know.
    pub(crate) fn watched(&self, parent: &Schema) -> Option<Arc<[bool]>> {
        match self.crossing {
            Crossing::Shared(Sharing::Writes) => {
                Some(shared::watched(parent, &self.child.core.schema))
            }
            Crossing::Shared(Sharing::Values) | Crossing::Mapped { .. } => None,
        }
    }
}

fn leaving<S: State, C: State>(
    output: impl Fn(&View<C>) -> S::Update + Send + Sync + 'static,
) -> Leave {
    Arc::new(move |schema, values| output(&View::<C>::new(schema, values)).into())
}

/// What is needed of a crossing once the child has finished.
enum Leaving {
    Mapped(Leave),
    Shared(Sharing),
}

impl NodeFn for Mount {
    fn call(&self, input: Input, ctx: TaskContext) -> BoxFuture<'static, NodeResult<StepOutput>> {
        let parent = Arc::clone(&ctx.0.run.core);
        let (entered, leaving) = match &self.crossing {
            Crossing::Mapped { enter, leave } => {
                (enter(&input), Leaving::Mapped(Arc::clone(leave)))
            }
            Crossing::Shared(sharing) => (
                shared::enter(&parent.schema, &self.child.core.schema, &input),
                Leaving::Shared(*sharing),
            ),
        };
        drop(input);
        let watched = self.watched(&parent.schema);
        let child = self.child.clone();
        Box::pin(async move {
            let core = Arc::clone(&child.core);
            let mut below = Below::of(child, &ctx, None)?;
            below.watched = watched;
            let done = run::drive_child(below, &ctx, entered?).await?;
            let updates = match leaving {
                Leaving::Mapped(leave) => vec![leave(&core.schema, &done.values)],
                Leaving::Shared(Sharing::Values) => {
                    shared::final_values(&parent.schema, &core.schema, &done.values)?
                }
                Leaving::Shared(Sharing::Writes) => {
                    shared::replayed(&parent.schema, &core.schema, &done.made)?
                }
            };
            Ok(StepOutput(Output { updates, ..Output::default() }))
        })
    }

    fn arg(&self) -> ArgCodec {
        self.arg.clone()
    }

    fn mount(&self) -> Option<&Mount> {
        Some(self)
    }

    fn mistakes(&self, node: &str, schema: &Schema) -> Vec<Mistake> {
        let mut mistakes = match self.crossing {
            Crossing::Shared(_) => shared::mistakes(node, schema, &self.child.core.schema),
            Crossing::Mapped { .. } => Vec::new(),
        };
        if let Kept::PerThread(Some(instance)) = &self.child.kept
            && let Some(reason) = names::refuse(instance)
        {
            mistakes.push(Mistake::BadName { name: instance.to_string(), reason });
        }
        mistakes
    }
}
