//! One execution of a task: the node, its routers and the stored form of the result.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::future::BoxFuture;
use smallvec::SmallVec;

use crate::{
    channel::Values,
    checkpoint::TaskId,
    command::Output,
    context::TaskContext,
    error::{BoxError, Error, Failure, FailureKind, NodeError, NodeErrorKind, NodeResult},
    graph::{Core, Leads, NodeId},
    ids,
    interrupt::Interrupt,
    live::{Effect, StartInput},
    node::{Input, StepOutput},
    parent::{ToParent, no_parent},
    reducer::{self, panic_message},
    run::Keep,
    state::Update,
};

use super::attempt::{self, Called, Interrupted};

/// How one execution of a task ended. What is large in it is boxed: it changes hands often.
pub(super) enum TaskEnd {
    Done {
        effect: Box<Effect>,
        answered: Vec<Interrupt>,
    },
    Suspended {
        open: Vec<Interrupt>,
        answered: Vec<Interrupt>,
    },
    /// It gave its graph up with a command to the parent.
    ToParent(Box<ToParent>),
    Failed(Box<Failed>),
    Cancelled,
}

/// An execution that failed.
pub(super) struct Failed {
    pub(super) failure: Failure,
    /// The child graph's own error, of a mount.
    pub(super) inner: Option<Box<Error>>,
    /// The node's own error.
    pub(super) source: Option<BoxError>,
    pub(super) answered: Vec<Interrupt>,
}

impl TaskEnd {
    pub(super) fn failed(failure: Failure) -> Self {
        let failed = Failed { failure, inner: None, source: None, answered: Vec::new() };
        Self::Failed(Box::new(failed))
    }

    /// The end of a task in which user code panicked.
    pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> Self {
        let message = format!("panicked: {}", panic_message(panic));
        Self::failed(Failure::new(FailureKind::Panic, message))
    }
}

/// One execution of a task: the node, then its routers, then the stored form; all or nothing.
///
/// Written out as a future, so that a task costs the future of its node and none besides.
pub(super) struct Execution {
    task: TaskContext,
    stage: Stage,
    /// What the routers of the node see besides its writes, once that is known.
    snapshot: Option<Arc<Values>>,
    keep: Keep,
}

/// How far an execution is.
enum Stage {
    /// Not begun: with the input of the node.
    Due(Input),
    /// START, which applies the input of the run.
    Entering(Option<Arc<StartInput>>),
    /// The node runs, and nothing watches over it.
    Running(BoxFuture<'static, NodeResult<StepOutput>>),
    /// The node runs under its limits.
    Watched(BoxFuture<'static, Called>),
    Over,
}

impl Execution {
    /// `around` is the superstep's snapshot, for the routers of a task with an argument of its own.
    pub(super) fn new(
        task: TaskContext,
        input: Input,
        around: Option<Arc<Values>>,
        keep: Keep,
    ) -> Self {
        Self { task, stage: Stage::Due(input), snapshot: around, keep }
    }

    /// The execution of START.
    pub(super) fn entering(
        task: TaskContext,
        snapshot: &Arc<Values>,
        start: Option<Arc<StartInput>>,
        keep: Keep,
    ) -> Self {
        let routed = task.is_routed().then(|| Arc::clone(snapshot));
        Self { task, stage: Stage::Entering(start), snapshot: routed, keep }
    }

    /// Calls the node.
    fn begin(&mut self, input: Input) -> Stage {
        let shared = &*self.task.0;
        let core = &shared.run.core;
        let spec = core.node(shared.node);
        let input = managed(core, input, shared.remaining_steps);
        if let Input::Snapshot(values) = &input {
            self.snapshot = self.task.is_routed().then(|| Arc::clone(values));
        }
        let Some(node) = &spec.run else { return Stage::Entering(None) };
        if shared.run.slots.is_some() || spec.policies.is_some() || shared.timed.is_some() {
            let called = attempt::call(Arc::clone(node), input, self.task.clone());
            Stage::Watched(Box::pin(called))
        } else {
            Stage::Running(node.call(input, self.task.clone()))
        }
    }

    /// What became of the task, now that its node has ended.
    fn conclude(&mut self, called: Called, leads: Leads) -> TaskEnd {
        let output = match called {
            Ok(Ok(StepOutput(output))) => Ok(output),
            Ok(Err(NodeError(NodeErrorKind::Output(output)))) => Ok(*output),
            Ok(Err(error)) => Err(error),
            Err(Interrupted::Panicked(panic)) => return TaskEnd::panicked(&*panic),
            Err(Interrupted::TimedOut(failure)) => return TaskEnd::failed(failure),
        };
        let task = &self.task;
        let core = &task.0.run.core;
        let mut answered = Vec::new();
        let mut entered = None;
        if let Some(asked) = task.take_asked() {
            answered = asked.answered;
            entered = Some(asked.entered).filter(|entered| !entered.is_empty());
            // The engine's own record decides: a node that swallowed the suspension is suspended.
            if asked.stopped || !asked.open.is_empty() {
                return TaskEnd::Suspended { open: asked.open, answered };
            }
        }
        match output {
            Ok(Output { parent: Some(command), .. }) => {
                if task.0.run.ns.is_empty() {
                    return TaskEnd::failed(no_parent());
                }
                TaskEnd::ToParent(command)
            }
            Ok(output) => {
                let snapshot = self.snapshot.take();
                let id = || task.id();
                let effect = effect_of(core, task.exits(), output, leads, snapshot, self.keep, &id);
                let mut effect = match effect {
                    Ok(effect) => effect,
                    Err(failure) => return TaskEnd::failed(failure),
                };
                if let Some(declared) = &core.node(task.0.node).writes
                    && let Some(failure) = undeclared_write(core, declared, &effect)
                {
                    return TaskEnd::failed(failure);
                }
                if let (Some(commit), Some(entered)) = (&mut effect.commit, &entered) {
                    commit.instances.clone_from(entered);
                }
                effect.instances = entered;
                TaskEnd::Done { effect, answered }
            }
            Err(error) if matches!(error.0, NodeErrorKind::Cancelled) => TaskEnd::Cancelled,
            // A node that gives up because its run was cancelled has not failed: it runs again.
            Err(NodeError(NodeErrorKind::Failed { .. })) if task.0.run.cancel.is_cancelled() => {
                TaskEnd::Cancelled
            }
            Err(error) => {
                let (failure, inner, source) = error.into_failure();
                TaskEnd::Failed(Box::new(Failed { failure, inner, source, answered }))
            }
        }
    }
}

impl Future for Execution {
    type Output = TaskEnd;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<TaskEnd> {
        let this = self.get_mut();
        if let Stage::Due(_) = this.stage
            && let Stage::Due(input) = std::mem::replace(&mut this.stage, Stage::Over)
        {
            this.stage = this.begin(input);
        }
        let mut leads = Leads::default();
        let called = match &mut this.stage {
            Stage::Running(node) => Ok(ready!(node.as_mut().poll(context))),
            Stage::Watched(node) => ready!(node.as_mut().poll(context)),
            Stage::Entering(start) => {
                let mut output = Output::default();
                if let Some(start) = start {
                    output.updates.push(start.update.clone());
                    leads = start.leads.clone();
                }
                Ok(Ok(StepOutput(output)))
            }
            Stage::Due(_) | Stage::Over => return Poll::Pending,
        };
        // Lets go of what the node held, so that the barrier finds the state unshared.
        this.stage = Stage::Over;
        Poll::Ready(this.conclude(called, leads))
    }
}

/// Fills in the managed keys, if the state has any.
fn managed(core: &Core, input: Input, remaining_steps: u32) -> Input {
    let filled = match &input {
        Input::Snapshot(values) => core.schema.managed(values, remaining_steps),
        Input::Arg(arg) => arg
            .downcast_ref::<Values>()
            .and_then(|partial| core.schema.managed(partial, remaining_steps)),
    };
    match (filled, &input) {
        (Some(values), Input::Snapshot(_)) => Input::Snapshot(Arc::new(values)),
        (Some(values), Input::Arg(_)) => Input::Arg(Arc::new(values)),
        (None, _) => input,
    }
}

/// The failure of a task that writes what its node does not declare.
fn undeclared_write(core: &Core, declared: &[usize], effect: &Effect) -> Option<Failure> {
    let writes = effect.updates.iter().flat_map(|update| &update.writes);
    let other = writes.map(|write| write.channel).find(|channel| !declared.contains(channel))?;
    let keys: Vec<&str> = declared.iter().map(|index| &**core.schema.key(*index)).collect();
    let (key, keys) = (core.schema.key(other), keys.join(", "));
    Some(Failure::invalid_update(format!("it writes `{key}`; it declares to write {keys}")))
}

/// Follows the node's exits and makes the result storable.
pub(crate) fn effect_of(
    core: &Arc<Core>,
    node: NodeId,
    mut output: Output,
    leads: Leads,
    snapshot: Option<Arc<Values>>,
    store: Keep,
    task: &dyn Fn() -> TaskId,
) -> Result<Box<Effect>, Failure> {
    let spec = core.node(node);
    let schema = &core.schema;
    for update in &mut output.updates {
        core.place(update)?;
    }
    for write in output.updates.iter().flat_map(|update| &update.writes) {
        let fits = schema.channels().get(write.channel).is_some_and(|channel| {
            channel.codec.accepts(&write.value) && !schema.is_managed(write.channel)
        });
        if !fits {
            return Err(Failure::invalid_update("a write does not fit the graph's state"));
        }
    }
    ids::prepare(core, &mut output.updates, task)?;
    let mut leads = leads;
    // A node's own sends come before those of its routers.
    for goto in output.goto {
        core.resolve(goto, &mut leads)?;
    }
    leads.nodes.extend_from_slice(&spec.exits.edges);
    if !spec.exits.routers.is_empty() {
        let fresh = fresh_values(core, snapshot, &output.updates)?;
        for router in &spec.exits.routers {
            let decided = std::panic::catch_unwind(AssertUnwindSafe(|| {
                core.decide(router, &fresh, &mut leads)
            }));
            match decided {
                Ok(decided) => decided?,
                Err(panic) => {
                    let message = format!("its router panicked: {}", panic_message(&*panic));
                    return Err(Failure::new(FailureKind::Panic, message));
                }
            }
        }
    }
    let mut effect = Box::new(Effect {
        updates: output.updates,
        leads,
        joins: SmallVec::from_slice(&spec.exits.joins),
        ..Effect::default()
    });
    match store {
        Keep::Nothing => {}
        Keep::Values => {
            effect.make_storable(core);
        }
        Keep::Bytes => {
            let encoded = effect.make_storable(core).encode();
            encoded.map_err(|error| Failure::unserializable(&error))?;
        }
    }
    Ok(effect)
}

/// What a router sees: the superstep's snapshot with its own task's writes, nobody else's.
fn fresh_values(
    core: &Arc<Core>,
    snapshot: Option<Arc<Values>>,
    updates: &[Update],
) -> Result<Values, Failure> {
    let mut fresh = match snapshot {
        Some(snapshot) => (*snapshot).clone(),
        None => core.schema.initial_values(),
    };
    let writes = updates.iter().flat_map(|update| &update.writes);
    for write in writes.clone() {
        if core.schema.channels()[write.channel].rule.starts_over() {
            fresh.0[write.channel] = None;
        }
    }
    // As at the barrier: an overwrite drops the task's other writes to the key.
    let replaced: Vec<usize> =
        writes.clone().filter(|write| write.overwrite).map(|write| write.channel).collect();
    for write in writes {
        if !write.overwrite && replaced.contains(&write.channel) {
            continue;
        }
        let slot = &mut fresh.0[write.channel];
        let value = Arc::clone(&write.value);
        *slot = Some(match core.schema.channels()[write.channel].rule.reducer() {
            Some(reducer) if !write.overwrite => {
                reducer::fold(&**reducer, slot.take(), vec![value])
                    .map_err(|error| Failure::reducer(core.schema.key(write.channel), &error))?
            }
            _ => value,
        });
    }
    Ok(fresh)
}
