//! Looking at a thread: its state now, and its history.
//!
//! Shapes follow LangGraph's state snapshots, which other people's clients read.

use std::{collections::BTreeMap, marker::PhantomData, sync::Arc};

use serde_json::{Map, Value as Json};

use crate::{
    app::Untyped,
    channel::{KeyError, Schema, Values},
    checkpoint::{CheckpointId, Place, Source, TaskId, TaskPath, TaskRecord},
    checkpointer::Loaded,
    error::{Error, Failure},
    graph::{Core, START_ID},
    interrupt::Interrupt,
    live::{Effect, Live, decode_writes},
    state::{State, View},
    stream::{REDACTED, Shown},
    superstep::{self, Planned},
};

/// A thread at one checkpoint.
pub struct StateSnapshot<S> {
    schema: Arc<Schema>,
    values: Arc<Values>,
    /// The nodes that would run next, in apply order.
    pub next: Vec<String>,
    /// Where its graph stands inside its ancestors: empty for the root.
    pub ns: String,
    /// The checkpoint; none for a thread that does not exist.
    pub checkpoint: Option<CheckpointId>,
    /// The checkpoint it was made from.
    pub parent: Option<CheckpointId>,
    /// Why it was made.
    pub source: Option<Source>,
    /// Its step.
    pub step: Option<i64>,
    /// The run that made it.
    pub run_id: Option<String>,
    /// When it was made, milliseconds since 1970 (UTC).
    pub created_at_ms: Option<i64>,
    /// The caller's own entries.
    pub metadata: BTreeMap<String, Json>,
    /// The keys that its step changed.
    pub updated: Vec<String>,
    /// Version of every stored key.
    pub versions: BTreeMap<String, u64>,
    /// Checkpoints of the ancestor graphs, by namespace.
    pub parents: BTreeMap<String, CheckpointId>,
    /// The tasks of the next superstep, and what is known of them.
    pub tasks: Vec<TaskSnapshot>,
    /// All open questions.
    pub interrupts: Vec<Interrupt>,
    /// Where the per-thread graphs below it stand, by namespace.
    pub(crate) instances: BTreeMap<String, CheckpointId>,
    state: PhantomData<fn() -> S>,
}

/// A task of a snapshot.
#[derive(Debug, Clone)]
pub struct TaskSnapshot {
    /// Its id.
    pub id: TaskId,
    /// Its node.
    pub name: String,
    /// Its place in apply order.
    pub path: TaskPath,
    /// What made its last attempt fail.
    pub error: Option<Failure>,
    /// The questions it asked.
    pub interrupts: Vec<Interrupt>,
    /// What it gave, once it finished: an object of its writes.
    pub result: Option<Json>,
    /// Namespace of the graph mounted there, if it is one that is stored.
    pub child_ns: Option<String>,
    /// The state of that graph, when it was asked for ([`crate::App::state_tree`]) and has begun.
    pub child: Option<Arc<StateSnapshot<Untyped>>>,
}

impl<S> StateSnapshot<S> {
    /// The checkpoints of the graph and of all its ancestors, by namespace.
    pub fn checkpoint_map(&self) -> BTreeMap<String, CheckpointId> {
        let mut map = self.parents.clone();
        map.extend(self.checkpoint.map(|own| (self.ns.clone(), own)));
        map
    }

    /// The values as a JSON object; keys that were never written are absent.
    ///
    /// # Errors
    /// When a value has no JSON form.
    pub fn json(&self) -> Result<Json, KeyError> {
        self.schema.to_json(&self.values, |_, _| true)
    }

    /// The values as streams show them: keys that are marked `sensitive` as [`crate::REDACTED`],
    /// and of a function with one result that result alone.
    pub fn shown(&self) -> Json {
        Shown::All.values(&self.schema, &self.values, Vec::new())
    }

    /// The result of one of its tasks, as streams show it.
    pub fn shown_result(&self, task: &TaskSnapshot) -> Option<Json> {
        let mut result = task.result.clone()?;
        if let Json::Object(members) = &mut result {
            for (key, value) in members {
                let channel = self.schema.index(key).and_then(|at| self.schema.channels().get(at));
                if channel.is_some_and(|channel| channel.sensitive) {
                    *value = REDACTED.into();
                }
            }
        }
        Some(result)
    }
}

impl<S: State> StateSnapshot<S> {
    /// The values, typed.
    pub fn state(&self) -> View<S> {
        View::new(&self.schema, &self.values)
    }
}

impl<S> std::fmt::Debug for StateSnapshot<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateSnapshot")
            .field("checkpoint", &self.checkpoint)
            .field("step", &self.step)
            .field("source", &self.source)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// The snapshot of a thread that does not exist.
pub(crate) fn empty<S>(core: &Core) -> StateSnapshot<S> {
    StateSnapshot {
        schema: Arc::clone(&core.schema),
        values: Arc::new(Values(vec![None; core.schema.channels().len()])),
        next: Vec::new(),
        ns: String::new(),
        instances: BTreeMap::new(),
        checkpoint: None,
        parent: None,
        source: None,
        step: None,
        run_id: None,
        created_at_ms: None,
        metadata: BTreeMap::new(),
        updated: Vec::new(),
        versions: BTreeMap::new(),
        parents: BTreeMap::new(),
        tasks: Vec::new(),
        interrupts: Vec::new(),
        state: PhantomData,
    }
}

/// The snapshot of a loaded checkpoint: as it was at the start of its next superstep, or, `live`,
/// with what tasks of that superstep have given already.
pub(crate) fn of<S>(
    core: &Arc<Core>,
    place: &Place,
    loaded: &Loaded,
    live: bool,
) -> Result<StateSnapshot<S>, Error> {
    let checkpoint = &loaded.checkpoint;
    let mut thread = Live::restore(core, loaded)?;
    if live {
        apply_commands(core, &mut thread, loaded)?;
    }
    let planned = superstep::plan(core, &thread);
    let records: BTreeMap<TaskId, &TaskRecord> =
        loaded.tasks.iter().map(|record| (record.id, record)).collect();
    let mut tasks = Vec::with_capacity(planned.len());
    let mut next = Vec::new();
    let mut done = Vec::new();
    for task in &planned {
        let id = task.cause.task_id(core, task.node, checkpoint.id, &place.ns, thread.step + 1);
        let record = records.get(&id).copied();
        let commit = record.and_then(|record| record.commit.as_ref());
        if live && let Some(commit) = commit {
            done.push((task, Box::new(Effect::decode(core, checkpoint.id, commit)?)));
        } else {
            next.push(core.node(task.node).name.to_string());
        }
        tasks.push(task_snapshot(core, place, loaded, task, id, record, live)?);
    }
    let interrupts = open_interrupts(&loaded.tasks);
    if !done.is_empty() {
        // A conflict shows the state before: the run will report it.
        let _ = superstep::apply(core, &mut thread, &mut done);
    }
    Ok(StateSnapshot {
        values: thread.values,
        next,
        ns: place.ns.clone(),
        instances: checkpoint.instances.clone(),
        checkpoint: Some(checkpoint.id),
        parent: checkpoint.parent,
        source: Some(checkpoint.source),
        step: Some(checkpoint.step),
        run_id: checkpoint.run_id.as_deref().map(str::to_owned),
        created_at_ms: Some(checkpoint.at_ms),
        metadata: (*checkpoint.metadata).clone(),
        updated: checkpoint.updated.iter().map(ToString::to_string).collect(),
        versions: checkpoint
            .channels
            .iter()
            .map(|entry| (entry.key.to_string(), entry.version))
            .collect(),
        parents: (*checkpoint.parents).clone(),
        tasks,
        interrupts,
        ..empty(core)
    })
}

fn apply_commands(core: &Arc<Core>, thread: &mut Live, loaded: &Loaded) -> Result<(), Error> {
    let id = loaded.checkpoint.id;
    let commands = loaded.tasks.iter().filter(|record| record.id == TaskId::NULL);
    for commit in commands.filter_map(|record| record.commit.as_ref()) {
        let planned = Planned::stand_in(START_ID);
        let effect = Effect::decode(core, id, commit)?;
        let _ = superstep::apply_between(core, thread, &mut [(&planned, Box::new(effect))]);
    }
    Ok(())
}

fn open_interrupts(records: &[TaskRecord]) -> Vec<Interrupt> {
    let mut open: Vec<Interrupt> = Vec::new();
    for interrupt in
        records.iter().filter(|r| r.commit.is_none()).flat_map(TaskRecord::open_interrupts)
    {
        if !open.iter().any(|known| known.id == interrupt.id) {
            open.push(interrupt.clone());
        }
    }
    open
}

fn task_snapshot(
    core: &Arc<Core>,
    place: &Place,
    loaded: &Loaded,
    task: &Planned,
    id: TaskId,
    record: Option<&TaskRecord>,
    live: bool,
) -> Result<TaskSnapshot, Error> {
    let spec = core.node(task.node);
    let mount = spec.run.as_ref().and_then(|run| run.mount());
    let child_ns = mount.and_then(|mount| mount.child_ns(&place.ns, &spec.name, id));
    let commit = record.and_then(|record| record.commit.as_ref());
    // START has no record: what it gives is the input that the checkpoint waits to apply.
    let input = loaded.checkpoint.pending.input.as_ref();
    let input = input.filter(|_| task.node == START_ID && !live);
    let updates = match (commit, input) {
        (Some(commit), _) => Some(&*commit.updates),
        (None, Some(input)) => Some(std::slice::from_ref(&input.writes)),
        (None, None) => None,
    };
    let result = match updates {
        Some(updates) => {
            let checkpoint = loaded.checkpoint.id;
            let unreadable = |source| Error::UnreadableCheckpoint { checkpoint, source };
            let mut object = Map::new();
            for writes in updates {
                let update = decode_writes(&core.schema, writes).map_err(unreadable)?;
                if let Json::Object(shown) = update.to_json(&core.schema).map_err(unreadable)? {
                    object.extend(shown);
                }
            }
            Some(Json::Object(object))
        }
        None => None,
    };
    Ok(TaskSnapshot {
        id,
        name: spec.name.to_string(),
        path: task.path(core),
        error: record.and_then(|record| record.error.clone()),
        interrupts: record.map(|record| record.interrupts.clone()).unwrap_or_default(),
        result,
        child_ns,
        child: None,
    })
}
