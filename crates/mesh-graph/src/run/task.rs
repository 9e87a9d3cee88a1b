//! One execution of a task: the node, its routers and the stored form of the result.

use std::{panic::AssertUnwindSafe, sync::Arc};

use crate::{
    channel::Values,
    checkpoint::TaskId,
    command::Output,
    context::{Asked, TaskContext},
    error::{BoxError, Error, Failure, FailureKind, NodeError, NodeErrorKind, NodeResult},
    graph::{Core, Leads, NodeId},
    ids,
    interrupt::Interrupt,
    live::{Effect, StartInput},
    node::Input,
    parent::{ToParent, no_parent},
    reducer::{self, panic_message},
    run::Keep,
    state::Update,
};

use super::attempt::{self, Interrupted};

/// How one execution of a task ended.
pub(super) enum TaskEnd {
    Done {
        effect: Effect,
        answered: Vec<Interrupt>,
    },
    Suspended {
        open: Vec<Interrupt>,
        answered: Vec<Interrupt>,
    },
    /// It gave its graph up with a command to the parent.
    ToParent(Box<ToParent>),
    Failed {
        failure: Failure,
        /// The child graph's own error, of a mount.
        inner: Option<Box<Error>>,
        /// The node's own error.
        source: Option<BoxError>,
        answered: Vec<Interrupt>,
    },
    Cancelled,
}

impl TaskEnd {
    pub(super) fn failed(failure: Failure) -> Self {
        Self::Failed { failure, inner: None, source: None, answered: Vec::new() }
    }
}

/// One execution of a task: the node, then its routers, then the stored form; all or nothing.
///
/// `around` is the superstep's snapshot, for the routers of a task with an argument of its own.
pub(super) async fn run_task(
    task: TaskContext,
    input: Input,
    around: Option<Arc<Values>>,
    start: Option<Arc<StartInput>>,
    store: Keep,
) -> TaskEnd {
    let core = Arc::clone(&task.0.run.core);
    let spec = core.node(task.0.node);
    let input = managed(&core, input, task.0.remaining_steps);
    let exits = task.exits();
    let routed = !core.node(exits).exits.routers.is_empty();
    let snapshot = match &input {
        Input::Snapshot(values) => routed.then(|| Arc::clone(values)),
        Input::Arg(_) => around,
    };
    let output: NodeResult<(Output, Leads)> = match (&spec.run, start) {
        (None, Some(start)) => {
            drop(input);
            let updates = vec![start.update.clone()];
            Ok((Output { updates, ..Output::default() }, start.leads.clone()))
        }
        (None, None) => Ok((Output::default(), Leads::default())),
        (Some(run), _) => match attempt::call(run, input, &task).await {
            Ok(Err(NodeError(NodeErrorKind::Output(output)))) => Ok((*output, Leads::default())),
            Ok(result) => result.map(|output| (output.0, Leads::default())),
            Err(Interrupted::Panicked(panic)) => {
                let message = format!("panicked: {}", panic_message(&*panic));
                return TaskEnd::failed(Failure::new(FailureKind::Panic, message));
            }
            Err(Interrupted::TimedOut(failure)) => return TaskEnd::failed(failure),
        },
    };
    let Asked { open, stopped, answered, entered, .. } = task.take_asked();
    // The engine's own record decides: a node that swallowed the suspension is suspended as well.
    if stopped || !open.is_empty() {
        return TaskEnd::Suspended { open, answered };
    }
    match output {
        Ok((Output { parent: Some(command), .. }, _)) => {
            if task.0.run.ns.is_empty() {
                return TaskEnd::failed(no_parent());
            }
            TaskEnd::ToParent(command)
        }
        Ok((output, leads)) => {
            match effect_of(&core, exits, output, leads, snapshot, store, &|| task.id()) {
                Ok(mut effect) => {
                    if let Some(declared) = &spec.writes
                        && let Some(failure) = undeclared_write(&core, declared, &effect)
                    {
                        return TaskEnd::failed(failure);
                    }
                    if !entered.is_empty() {
                        if let Some(commit) = &mut effect.commit {
                            commit.instances.clone_from(&entered);
                        }
                        effect.instances = entered;
                    }
                    TaskEnd::Done { effect, answered }
                }
                Err(failure) => TaskEnd::failed(failure),
            }
        }
        Err(error) if matches!(error.0, NodeErrorKind::Cancelled) => TaskEnd::Cancelled,
        // A node that gives up because its run was cancelled has not failed: it runs again.
        Err(NodeError(NodeErrorKind::Failed { .. })) if task.0.run.cancel.is_cancelled() => {
            TaskEnd::Cancelled
        }
        Err(error) => {
            let (failure, inner, source) = error.into_failure();
            TaskEnd::Failed { failure, inner, source, answered }
        }
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
) -> Result<Effect, Failure> {
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
    let mut effect = Effect {
        updates: output.updates,
        leads,
        joins: spec.exits.joins.iter().copied().collect(),
        ..Effect::default()
    };
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
