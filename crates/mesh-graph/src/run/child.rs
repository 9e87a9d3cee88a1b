//! A graph run below a task: mounted as its node, or called inside it.
//!
//! Decides where the child's checkpoints go and what it starts from: an input, its own unfinished
//! work, or, after the parent was sent back in time, an older state of its own.

use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::BoxFuture;

use crate::{
    channel::Values,
    checkpoint::{Checkpoint, CheckpointId, ForkedFrom, Place, Source, TaskId},
    checkpointer::{Checkpointer, Filter},
    context::TaskContext,
    error::{Error, Failure, FailureKind, NodeError, NodeErrorKind, NodeResult},
    graph::{Child, Core, Kept},
    live::StartInput,
    names,
    state::{Update, Write},
    stream::Sink,
};

use super::{Breakpoints, Finished, Limits, OnPending, Request, RunShared, Status, drive};

/// Checkpoints of per-thread graphs, by namespace.
pub(crate) type Instances = BTreeMap<String, CheckpointId>;

/// The ancestors of a task, from the root: superstep and task.
type Chain = Arc<[(i64, TaskId)]>;

/// What a graph knows of what is above it. Empty for a root graph.
#[derive(Clone, Default)]
pub(crate) struct Above {
    /// The task it runs below.
    pub(crate) caller: Option<TaskId>,
    chain: Chain,
    /// Who uses which per-thread graph in this run.
    claims: Arc<Mutex<HashMap<String, Chain>>>,
    /// Where the thread's per-thread graphs stand, as far as its ancestors know.
    instances: Instances,
    /// The channels whose writes the parent wants to know.
    pub(crate) watched: Option<Arc<[bool]>>,
}

impl Above {
    /// Notes the per-thread graphs that a finished task of the superstep has used before this run.
    pub(super) fn claim(&self, instances: &Instances, step: i64, task: TaskId) {
        if !instances.is_empty() {
            let chain: Chain = self.chain.iter().copied().chain([(step, task)]).collect();
            let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
            claims.extend(instances.keys().map(|ns| (ns.clone(), Arc::clone(&chain))));
        }
    }
}

/// A graph to run below a task.
pub(crate) struct Below {
    pub(crate) core: Arc<Core>,
    pub(crate) deps: Arc<dyn Any + Send + Sync>,
    pub(crate) watched: Option<Arc<[bool]>>,
    ns: Arc<[String]>,
    kept: Kept,
    before: Breakpoints,
    after: Breakpoints,
}

/// How a call inside a node is told from its others.
#[derive(Default)]
pub(crate) struct CallName {
    pub(crate) key: Option<String>,
    pub(crate) instance: Option<String>,
}

/// What a child that finished leaves behind.
pub(crate) struct Done {
    pub(crate) values: Arc<Values>,
    /// The watched writes.
    pub(crate) made: Vec<Write>,
}

impl Below {
    /// The graph below this task: mounted there, or called with this name.
    ///
    /// # Errors
    /// When the name cannot be part of a namespace, or was used before in the task.
    pub(crate) fn of(child: Child, task: &TaskContext, call: Option<CallName>) -> NodeResult<Self> {
        let Child { core, mut kept, before, after } = child;
        let mut suffix = None;
        if let Some(CallName { key, instance }) = call {
            for (name, word) in [(&key, "key"), (&instance, "instance")] {
                if let Some((name, reason)) =
                    name.as_deref().and_then(|name| Some((name, names::refuse(name)?)))
                {
                    return Err(NodeError::msg(format!("the call's {word} `{name}` {reason}")));
                }
            }
            suffix = task.asked().name_call(key)?;
            if let (Kept::PerThread(kept), Some(instance)) = (&mut kept, instance) {
                *kept = Some(Arc::from(instance));
            }
        }
        let ns: Arc<[String]> = match &kept {
            Kept::PerThread(instance) => {
                let own = instance.as_deref().unwrap_or(task.node_name());
                let above = task.0.run.ns.iter().map(|level| without_task(level));
                above.chain([own.to_owned()]).chain(suffix).collect()
            }
            Kept::PerCall | Kept::Unsaved => {
                task.namespace().iter().cloned().chain(suffix).collect()
            }
        };
        let deps = Arc::clone(&task.0.run.deps);
        Ok(Self { core, deps, watched: None, ns, kept, before, after })
    }
}

/// A namespace without the ids of its tasks.
pub(crate) fn without_tasks(ns: &str) -> String {
    ns.split('|').map(without_task).collect::<Vec<_>>().join("|")
}

/// A level of a namespace without the id of its task; ordinals and keys of calls stay.
fn without_task(level: &str) -> String {
    match level.split_once(':') {
        Some((node, _)) if !node.is_empty() => node.to_owned(),
        _ => level.to_owned(),
    }
}

/// Runs a graph below a task, until it is done.
///
/// # Errors
/// Whatever ends it otherwise, as the error that the task's node returns: its failure, its
/// questions, its cancellation, or its command to the parent.
pub(crate) async fn drive_child(
    below: Below,
    task: &TaskContext,
    input: Update,
) -> NodeResult<Done> {
    let parent = &task.0.run;
    let ns_text: Arc<str> = Arc::from(below.ns.join("|"));
    let per_thread = matches!(below.kept, Kept::PerThread(_));
    let above = above(&below, &ns_text, task)?;
    let watched = below.watched.is_some();
    let place = parent
        .place
        .as_ref()
        .map(|place| Arc::new(Place { thread: place.thread.clone(), ns: ns_text.to_string() }));
    let mut parents = (*parent.parents).clone();
    parents.insert(parent.ns_text.to_string(), task.0.base);
    // Answers of this run, and those that are stored beside the task: the run they were given to
    // may have ended before its child heard of them.
    let mut answers = task.0.answers().clone();
    answers.extend(parent.answers().iter().map(|(id, answer)| (*id, answer.clone())));
    let shared = Arc::new(RunShared {
        core: below.core,
        deps: below.deps,
        env: Arc::clone(&parent.env),
        checkpointer: match below.kept {
            Kept::Unsaved => None,
            Kept::PerCall | Kept::PerThread(_) => parent.checkpointer.clone(),
        },
        store: parent.store.clone(),
        cache: parent.cache.clone(),
        place,
        ns: below.ns,
        ns_text,
        run_id: Arc::clone(&parent.run_id),
        unsaved: CheckpointId(task.id().0),
        sink: if task.is_hidden() { Sink::default() } else { parent.sink.for_child(|| task.id()) },
        cancel: task.0.run.cancel.clone(),
        slots: parent.slots.clone(),
        limit_table: Arc::clone(&parent.limit_table),
        control: parent.control.clone(),
        observer: parent.observer.clone(),
        progress: task.progress().cloned(),
        limits: Limits {
            before: below.before,
            after: below.after,
            on_pending: OnPending::Discard,
            step_timeout: None,
            ..parent.limits.clone()
        },
        answers: Mutex::new(Arc::new(answers)),
        parents: Arc::new(parents),
        metadata: Arc::clone(&parent.metadata),
        config: parent.config.clone(),
        warnings: Arc::clone(&parent.warnings),
        above,
    });
    let failed = |error| NodeError(NodeErrorKind::Child(Box::new(error)));
    let (request, at) = start(&shared, task, per_thread, input).await.map_err(failed)?;
    // Boxed: a graph may be mounted in itself through any number of levels.
    let run: BoxFuture<'_, _> = Box::pin(drive(Arc::clone(&shared), request, at));
    let finished = run.await.map_err(failed)?;
    if let Some(command) = finished.to_parent {
        let output = command.into_output(&parent.core.schema).map_err(NodeError::refused)?;
        return Err(NodeError(NodeErrorKind::Output(Box::new(output))));
    }
    let Finished { status, values, interrupts, checkpoint, made, instances, answered, .. } =
        finished;
    {
        let mut asked = task.asked();
        let known = task.0.earlier().iter().filter(|earlier| {
            task.0.answers().contains_key(&earlier.id)
                && !interrupts.iter().any(|open| open.id == earlier.id)
        });
        asked.answered.extend(known.cloned());
        if status == Status::Done {
            asked.entered.extend(instances);
            if let (true, Some(checkpoint)) = (per_thread, checkpoint) {
                asked.entered.insert(shared.ns_text.to_string(), checkpoint);
            }
        }
    }
    if !answered.is_empty() {
        task.0.course().below.lock().unwrap_or_else(PoisonError::into_inner).extend(answered);
    }
    match status {
        Status::Done => Ok(Done { values, made: if watched { made } else { Vec::new() } }),
        Status::Interrupted => Err(task.suspend_for(interrupts)),
        // A drained graph goes on with its parent's task.
        Status::Cancelled | Status::Drained => Err(NodeError(NodeErrorKind::Cancelled)),
    }
}

/// What the child is told of its ancestors; claims its instance, if it has one.
fn above(below: &Below, ns_text: &str, task: &TaskContext) -> NodeResult<Above> {
    let parent = &task.0.run.above;
    let chain: Chain = parent.chain.iter().copied().chain([(task.0.step, task.id())]).collect();
    if matches!(below.kept, Kept::PerThread(_)) {
        let mut claims = parent.claims.lock().unwrap_or_else(PoisonError::into_inner);
        if claims.get(ns_text).is_some_and(|other| side_by_side(other, &chain)) {
            return Err(NodeError::refused(Failure::new(
                FailureKind::InstanceBusy { instance: ns_text.to_owned() },
                format!(
                    "two tasks of one superstep use the per-thread graph `{ns_text}`; give their \
                     calls different instances"
                ),
            )));
        }
        claims.insert(ns_text.to_owned(), Arc::clone(&chain));
    }
    let mut instances = parent.instances.clone();
    if let Some(own) = &task.0.instances {
        instances.extend(own.iter().map(|(ns, id)| (ns.clone(), *id)));
    }
    Ok(Above {
        caller: Some(task.id()),
        chain,
        claims: Arc::clone(&parent.claims),
        instances,
        watched: below.watched.clone(),
    })
}

/// Whether two tasks belong to one superstep, themselves or by the ancestors at which they part.
fn side_by_side(one: &[(i64, TaskId)], other: &[(i64, TaskId)]) -> bool {
    let parting = one.iter().zip(other).find(|(one, other)| one.1 != other.1);
    parting.is_some_and(|(one, other)| one.0 == other.0)
}

/// What the child has to do, and at which of its checkpoints.
async fn start(
    shared: &RunShared,
    task: &TaskContext,
    per_thread: bool,
    input: Update,
) -> Result<(Request, Option<CheckpointId>), Error> {
    let input = StartInput { update: input, ..StartInput::default() };
    let (Some(checkpointer), Some(place)) = (&shared.checkpointer, &shared.place) else {
        return Ok((Request::Input(input), None));
    };
    let head = checkpointer.load(place, None).await?;
    if let Some(head) = &head {
        // The namespace of a graph that is kept per call has the task in it.
        let caller = head.checkpoint.caller;
        if caller == Some(task.id()) || !per_thread {
            // The task was started before: its graph goes on where it stopped.
            return Ok((Request::Continue, None));
        }
    }
    let forked_from = task.0.before.as_ref().and_then(|before| before.forked_from.as_ref());
    if let Some(old) = forked_from
        && let Some((from, at)) = asked_at(shared, task, old, per_thread).await?
    {
        return Ok((Request::Reanswer { from, at }, None));
    }
    let Some(head) = head else { return Ok((Request::Input(input), None)) };
    let Some(at) = shared.above.instances.get(&*shared.ns_text) else {
        // It was run on other branches of the thread only.
        return Ok((Request::Anew(input), None));
    };
    let edited = is_edit_of(&**checkpointer, place, &head.checkpoint, *at).await?;
    Ok((Request::Input(input), (!edited).then_some(*at)))
}

/// Whether a checkpoint is this one, or what changes from outside have made of it. No task tells
/// the graph's ancestors of those.
///
/// # Errors
/// What reading the checkpoints reports.
pub(crate) async fn is_edit_of(
    checkpointer: &dyn Checkpointer,
    place: &Place,
    checkpoint: &Checkpoint,
    of: CheckpointId,
) -> Result<bool, Error> {
    let mut now = (checkpoint.id, checkpoint.parent, checkpoint.source);
    // A parent is older than its child, so this ends.
    while now.0 > of {
        let (_, Some(parent), Source::Update) = now else { return Ok(false) };
        let Some(loaded) = checkpointer.load(place, Some(parent)).await? else { return Ok(false) };
        let Checkpoint { id, parent, source, .. } = loaded.checkpoint;
        if id >= now.0 {
            return Ok(false);
        }
        now = (id, parent, source);
    }
    Ok(now.0 == of)
}

/// Where the graph below the task that this one is a fork of asked the question that is answered
/// anew: the oldest such checkpoint, because what came after it depends on the answer.
async fn asked_at(
    shared: &RunShared,
    task: &TaskContext,
    old: &ForkedFrom,
    per_thread: bool,
) -> Result<Option<(Place, CheckpointId)>, Error> {
    let (Some(checkpointer), Some(place)) = (&shared.checkpointer, &shared.place) else {
        return Ok(None);
    };
    let mut from = Place::clone(place);
    if !per_thread {
        // Below the task's own level stand the ordinal or the key of a call.
        let own = task.0.run.ns.len() + 1;
        let levels = [&old.ns].into_iter().chain(&shared.ns[own..]);
        from.ns = levels.map(String::as_str).collect::<Vec<_>>().join("|");
    }
    let given = task.0.answers();
    let newest_first = checkpointer.list(&from, &Filter::default()).await?;
    let found = newest_first.into_iter().rev().find(|loaded| {
        let asked = loaded.tasks.iter().flat_map(|record| &record.interrupts);
        (!per_thread || loaded.checkpoint.caller == Some(old.task))
            && asked.into_iter().any(|interrupt| given.contains_key(&interrupt.id))
    });
    Ok(found.map(|loaded| (from, loaded.checkpoint.id)))
}
