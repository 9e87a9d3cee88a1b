//! Changing a thread's state from outside: as if a node had returned the values.
//!
//! Semantics: LangGraph's `update_state` and `bulk_update_state`; finished siblings of an
//! unfinished superstep are folded in first instead of being dropped.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::{
    checkpoint::{CheckpointId, Source, TaskId, TaskRecord},
    command::{Goto, Output},
    error::{Error, Failure},
    graph::{Core, Leads, NodeId, START_ID},
    live::{Effect, Ready, StartInput, stored_commit},
    names::{COPY, END, INPUT},
    node::Input,
    run::{Driver, Keep, RunShared, Written, effect_of},
    state::Update,
    superstep::{self, Change, Planned},
};

/// Values to apply to a thread as one node's result.
#[derive(Debug, Clone, Default)]
pub(crate) struct StateUpdate {
    /// The writes; none to follow the node's edges alone.
    pub(crate) values: Option<Update>,
    /// Where to go besides the node's edges.
    pub(crate) goto: Vec<Goto>,
    /// The node; by default the one that ran last.
    pub(crate) as_node: Option<String>,
}

fn invalid(message: impl Into<String>) -> Error {
    Error::InvalidStateUpdate(Failure::invalid_update(message))
}

/// What became of a task, said from outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolution {
    /// A JSON object of state keys, as if the node had returned it: its edges and routers are
    /// followed.
    Update(Json),
    /// Nothing: the task writes nothing and leads nowhere.
    Skip,
}

/// Stores the result of one pending task of a thread's newest checkpoint.
pub(crate) async fn resolve_task(
    shared: Arc<RunShared>,
    task: TaskId,
    resolution: Resolution,
) -> Result<(), Error> {
    let mut driver = Driver::new(shared);
    let Some((checkpointer, place)) = driver.storage() else { return Err(Error::NoCheckpointer) };
    let unknown = || invalid(format!("task: {task} is not pending"));
    let loaded = checkpointer.load(&place, None).await?.ok_or_else(unknown)?;
    let checkpoint = loaded.checkpoint.id;
    driver.live = driver.restore(&loaded)?;
    driver.live.must_be_whole()?;
    driver.adopt(loaded.tasks)?;
    let core = Arc::clone(driver.core());
    let waiting = superstep::plan(&core, &driver.live);
    let planned = waiting
        .iter()
        .find(|planned| planned.node != START_ID && driver.task_id(planned) == task)
        .ok_or_else(unknown)?;
    let record = driver.records.remove(&task).unwrap_or_else(|| {
        TaskRecord::new(task, &core.node(planned.node).name, planned.path(&core))
    });
    if record.commit.is_some() {
        return Err(invalid(format!("task: {task} has finished")));
    }
    let mut effect = match resolution {
        Resolution::Update(json) => {
            let update = Update::from_json(&core.schema, json, |_| true)
                .map_err(Error::InvalidStateUpdate)?;
            let output = Output { updates: vec![update], ..Output::default() };
            let snapshot = match planned.input(&driver.live) {
                Input::Snapshot(values) => Some(values),
                Input::Arg(_) => None,
            };
            effect_of(&core, planned.node, output, Leads::default(), snapshot, Keep::Bytes, &|| {
                task
            })
            .map_err(Error::InvalidStateUpdate)?
        }
        Resolution::Skip => {
            let mut nothing = Box::new(Effect::default());
            nothing.make_storable(&core).encode().map_err(Error::Unserializable)?;
            nothing
        }
    };
    let record =
        TaskRecord { commit: stored_commit(&core.schema, &mut effect), error: None, ..record };
    checkpointer.put_task(&place, checkpoint, record).await?;
    Ok(())
}

/// Applies lists of updates, one list per superstep, and returns the newest checkpoint.
pub(crate) async fn bulk_update(
    shared: Arc<RunShared>,
    at: Option<CheckpointId>,
    supersteps: Vec<Vec<StateUpdate>>,
) -> Result<CheckpointId, Error> {
    if supersteps.is_empty() || supersteps.iter().any(Vec::is_empty) {
        return Err(invalid("a bulk update needs supersteps, and every superstep an update"));
    }
    let mut driver = Driver::new(shared);
    let (Some(checkpointer), Some(place)) =
        (driver.shared.checkpointer.clone(), driver.shared.place.clone())
    else {
        return Err(Error::NoCheckpointer);
    };
    let loaded = checkpointer.load(&place, at).await?;
    match (at, loaded) {
        (Some(checkpoint), None) => {
            return Err(Error::UnknownCheckpoint { thread: place.thread.clone(), checkpoint });
        }
        (_, Some(loaded)) => {
            driver.live = driver.restore(&loaded)?;
            driver.live.must_be_whole()?;
            let head = match at {
                Some(_) => checkpointer.load(&place, None).await?.map(|head| head.checkpoint.id),
                None => None,
            };
            driver.branching = at.is_some() && head != at;
            // Tasks of an older checkpoint belong to the branch that went on from there.
            if !driver.branching {
                driver.adopt(loaded.tasks)?;
            }
        }
        (None, None) => {}
    }
    for superstep in supersteps {
        one_superstep(&mut driver, superstep).await?;
    }
    driver.settle().await?;
    driver.live.id.ok_or(Error::NoCheckpointer)
}

async fn one_superstep(driver: &mut Driver, mut updates: Vec<StateUpdate>) -> Result<(), Error> {
    let fresh = driver.live.id.is_none();
    if updates.len() > 1 && updates.iter().any(|update| update.as_node.is_none()) {
        return Err(invalid("as_node: required for every update of a superstep with several"));
    }
    if let [only] = &mut updates[..] {
        match only.as_node.as_deref() {
            Some(INPUT) => {
                let update = only.values.take().unwrap_or_default();
                let mut leads = Leads::default();
                for goto in std::mem::take(&mut only.goto) {
                    driver.core().resolve(goto, &mut leads).map_err(Error::InvalidStateUpdate)?;
                }
                return driver.take_input(StartInput { update, leads }).await;
            }
            Some(name @ (COPY | END)) if !only.goto.is_empty() => {
                return Err(invalid(format!("goto: expected none with as_node {name}")));
            }
            Some(COPY) if fresh => return Err(invalid("there is no checkpoint to copy")),
            Some(COPY) => return copy(driver).await,
            Some(END) => return clear(driver, only.values.is_some()).await,
            _ => {}
        }
    }
    let core = Arc::clone(driver.core());
    let mut chosen = Vec::with_capacity(updates.len());
    for update in updates {
        let node = match &update.as_node {
            Some(name) => core
                .find(name)
                .ok_or_else(|| Error::InvalidStateUpdate(Failure::unknown_target(name)))?,
            None => last_node(driver, &core)?,
        };
        chosen.push((node, update.values, update.goto));
    }
    chosen.sort_by_key(|(node, ..)| *node);
    apply(driver, &core, chosen).await
}

/// The node that a nameless update speaks for: the one that ran last.
fn last_node(driver: &Driver, core: &Core) -> Result<NodeId, Error> {
    if driver.live.id.is_none() {
        return Ok(START_ID);
    }
    match &driver.live.ran[..] {
        [only] => Ok(*only),
        [] if core.nodes.len() == 2 => Ok(1),
        [] => Ok(START_ID),
        several => Err(Error::AmbiguousUpdate {
            nodes: several.iter().map(|node| core.node(*node).name.to_string()).collect(),
        }),
    }
}

/// Copies the addressed checkpoint as its sibling.
async fn copy(driver: &mut Driver) -> Result<(), Error> {
    driver.live.id = driver.live.parent;
    driver.branching = true;
    driver.fork().await
}

/// Drops all unfinished work; what finished siblings gave is kept.
async fn clear(driver: &mut Driver, has_values: bool) -> Result<(), Error> {
    if has_values {
        return Err(invalid(format!("values: expected none with as_node {END}")));
    }
    let core = Arc::clone(driver.core());
    let changes = fold_siblings(driver, &core, &[])?;
    driver.live.ready = Ready::new(&core);
    driver.records.clear();
    driver.save(Source::Update, &changes, &Written::default(), Vec::new()).await
}

/// Lets the step pass with what finished tasks of it gave, except tasks of `replaced`.
///
/// The changes say only which keys changed: their new values are stored whole.
fn fold_siblings(
    driver: &mut Driver,
    core: &Arc<Core>,
    replaced: &[NodeId],
) -> Result<Vec<Change>, Error> {
    let base = driver.base();
    let planned = superstep::plan(core, &driver.live);
    let mut done = Vec::new();
    for planned in planned.iter().filter(|planned| !replaced.contains(&planned.node)) {
        let record = driver.records.get(&driver.task_id(planned));
        if let Some(commit) = record.and_then(|record| record.commit.as_ref()) {
            done.push((planned, Box::new(Effect::decode(core, base, commit)?)));
        }
    }
    let changes = superstep::apply(core, &mut driver.live, &mut done)
        .map_err(|conflict| Error::InvalidStateUpdate(conflict.failure))?;
    driver.live.ready.input = None;
    Ok(changes.into_iter().map(|change| Change::whole(change.channel)).collect())
}

/// Applies the updates as the results of their nodes, with their edges and routers.
async fn apply(
    driver: &mut Driver,
    core: &Arc<Core>,
    chosen: Vec<(NodeId, Option<Update>, Vec<Goto>)>,
) -> Result<(), Error> {
    let nodes: Vec<NodeId> = chosen.iter().map(|(node, ..)| *node).collect();
    let records = records(driver, core, &nodes);
    // The nodes count as having run: what waited for them waits no more.
    for join in driver.live.ready.complete.clone() {
        if nodes.contains(&core.joins[join as usize].target) {
            driver.live.ready.reset_join(core, join);
        }
    }
    driver.live.ready.deferred.retain(|node| !nodes.contains(node));
    let mut changes = fold_siblings(driver, core, &nodes)?;

    let planned: Vec<Planned> = nodes.iter().map(|node| Planned::stand_in(*node)).collect();
    let mut done = Vec::with_capacity(planned.len());
    for (planned, (node, values, goto)) in planned.iter().zip(chosen) {
        // What comes from outside is nobody's second attempt: its parts get fresh ids.
        let seed = TaskId(driver.shared.env.new_id());
        let updates = values.into_iter().collect();
        let output = Output { updates, goto, ..Output::default() };
        let snapshot = Some(Arc::clone(&driver.live.values));
        let effect =
            effect_of(core, node, output, Leads::default(), snapshot, Keep::Bytes, &|| seed)
                .map_err(Error::InvalidStateUpdate)?;
        done.push((planned, effect));
    }
    let commits: Vec<_> =
        done.iter_mut().map(|(_, effect)| stored_commit(&core.schema, effect)).collect();
    let updated = superstep::apply_between(core, &mut driver.live, &mut done)
        .map_err(|conflict| Error::InvalidStateUpdate(conflict.failure))?;
    for change in updated {
        if !changes.iter().any(|known| known.channel == change.channel) {
            changes.push(Change::whole(change.channel));
        }
    }
    driver.live.updated = changes.iter().map(|change| change.channel).collect();
    driver.live.ran = nodes.into_iter().collect();
    driver.records.clear();
    let records = records
        .into_iter()
        .zip(commits)
        .map(|(record, commit)| TaskRecord { commit, ..record })
        .collect();
    driver.save(Source::Update, &changes, &Written::default(), records).await
}

/// Records to keep the results under, so that history shows them as the results of the tasks that
/// the checkpoint was waiting for.
fn records(driver: &Driver, core: &Arc<Core>, nodes: &[NodeId]) -> Vec<TaskRecord> {
    if driver.branching {
        // What the older checkpoint shows is how the branch before went on from it.
        return Vec::new();
    }
    let waiting = superstep::plan(core, &driver.live);
    nodes
        .iter()
        .map(|node| {
            let stand_in = Planned::stand_in(*node);
            // A task that has finished keeps its own result.
            let waits = |task: &&Planned| {
                let record = driver.records.get(&driver.task_id(task));
                task.node == *node && record.is_none_or(|record| record.commit.is_none())
            };
            let task = waiting.iter().find(waits).unwrap_or(&stand_in);
            TaskRecord::new(driver.task_id(task), &core.node(*node).name, task.path(core))
        })
        .collect()
}
