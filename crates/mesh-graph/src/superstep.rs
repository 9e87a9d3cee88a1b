//! One superstep as pure functions: [`plan`] decides what runs, [`apply`] what becomes of it.
//!
//! No clock, no I/O, no randomness: the same thread state gives the same tasks in the same order,
//! and the same results give the same next state, in whatever order they arrived.
//! Semantics: LangGraph's prepare and apply phases; see "how we differ" for the exceptions.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};
use twox_hash::XxHash3_128;

use crate::{
    checkpoint::{CheckpointId, Name, TaskId, TaskPath},
    error::{Failure, FailureKind},
    graph::{Core, JoinId, NodeId, START_ID},
    live::{Effect, Live},
    node::Input,
    reducer,
    timeout::Timeout,
    value::Value,
};

/// Bytes up to which what a task id is made of is spelled without an allocation.
const SPELLED_SHORT: usize = 160;

/// A task of the next superstep.
pub(crate) struct Planned {
    pub(crate) node: NodeId,
    pub(crate) cause: Cause,
    /// Argument of the `Send` that made it.
    arg: Option<Value>,
    /// Time limit of the `Send` that made it.
    pub(crate) timeout: Option<Box<Timeout>>,
}

/// What made a task.
#[derive(Clone)]
pub(crate) enum Cause {
    /// The hidden task that applies an input.
    Start,
    /// Edges led to the node: a plain one, joins, or both.
    Pull {
        /// Whether a plain edge, a route or a goto led here.
        branch: bool,
        /// The joins that completed for it.
        joins: Vec<JoinId>,
    },
    /// The `Send` at this index.
    Push(u32),
    /// The task with this id failed, and the node handles its error.
    Rescue(TaskId),
}

impl Planned {
    /// Stands for a node whose result comes from outside.
    pub(crate) fn stand_in(node: NodeId) -> Self {
        Self { node, cause: Cause::Start, arg: None, timeout: None }
    }

    /// A task that a plain edge led to.
    fn pull(node: NodeId) -> Self {
        let cause = Cause::Pull { branch: true, joins: Vec::new() };
        Self { node, cause, arg: None, timeout: None }
    }

    /// Where it stands in apply order.
    pub(crate) fn path(&self, core: &Core) -> TaskPath {
        match &self.cause {
            Cause::Push(index) => TaskPath::Push(*index),
            _ => TaskPath::Pull(Name::from(&*core.node(self.node).name)),
        }
    }

    /// The task's input: the shared snapshot, or the argument of its `Send`.
    pub(crate) fn input(&self, live: &Live) -> Input {
        match &self.arg {
            Some(arg) => Input::Arg(Arc::clone(arg)),
            None => Input::Snapshot(Arc::clone(&live.values)),
        }
    }
}

impl Cause {
    /// The names of what triggered a task of `node`, as streams show them.
    pub(crate) fn triggers(&self, core: &Core, node: NodeId) -> Vec<String> {
        match self {
            Self::Start => vec![crate::names::START.to_owned()],
            Self::Push(_) | Self::Rescue(_) => vec!["__pregel_push".to_owned()],
            Self::Pull { branch, joins } => {
                let own = branch.then(|| core.node(node).trigger.to_string());
                let joins = joins.iter().map(|id| core.joins[*id as usize].name.to_string());
                let mut triggers: Vec<String> = own.into_iter().chain(joins).collect();
                triggers.sort_unstable();
                triggers
            }
        }
    }

    /// The id of the task of `node`: the same checkpoint gives the same id, a fork another one.
    pub(crate) fn task_id(
        &self,
        core: &Core,
        node: NodeId,
        base: CheckpointId,
        ns: &str,
        step: i64,
    ) -> TaskId {
        // Told apart by length, so that no two tasks spell the same. Nobody gains by a collision:
        // a fast hash will do, as it does for the reference.
        let name = core.node(node).name.as_bytes();
        let (kind, of): (u8, u128) = match self {
            Self::Start => (0, 0),
            // Whatever triggers it: a goto to a node that waits for an answer, or has finished
            // beside one that failed, makes no other task of it.
            Self::Pull { .. } => (1, 0),
            Self::Push(index) => (2, u128::from(*index)),
            Self::Rescue(failed) => (3, failed.0),
        };
        let mut head = [0_u8; 49];
        head[..16].copy_from_slice(&base.0.to_be_bytes());
        head[16..32].copy_from_slice(&of.to_be_bytes());
        head[32..40].copy_from_slice(&step.to_be_bytes());
        head[40..48].copy_from_slice(&(ns.len() as u64).to_be_bytes());
        head[48] = kind;
        let parts: [&[u8]; 3] = [&head, ns.as_bytes(), name];
        let length = parts.iter().map(|part| part.len()).sum();
        let mut short = [0_u8; SPELLED_SHORT];
        let hash = match short.get_mut(..length) {
            Some(spelled) => {
                let mut rest = &mut *spelled;
                for part in parts {
                    let (place, after) = rest.split_at_mut(part.len());
                    place.copy_from_slice(part);
                    rest = after;
                }
                XxHash3_128::oneshot(spelled)
            }
            None => XxHash3_128::oneshot(&parts.concat()),
        };
        // The null id belongs to commands.
        TaskId(hash.max(1))
    }
}

/// The tasks of a superstep, mostly one.
pub(crate) type Tasks = SmallVec<[Planned; 1]>;

/// A task of the superstep with what it gave.
pub(crate) type Done<'a> = (&'a Planned, Box<Effect>);

/// The tasks of the next superstep in apply order: nodes by name, then sends by index. Empty when
/// the graph is done.
pub(crate) fn plan(core: &Core, live: &Live) -> Tasks {
    let ready = &live.ready;
    if ready.input.is_some() {
        return smallvec![Planned::stand_in(START_ID)];
    }
    if let ([only], [], []) = (&ready.nodes[..], &ready.complete[..], &ready.sends[..]) {
        return smallvec![Planned::pull(*only)];
    }
    let mut tasks = pulls(core, live, false);
    tasks.extend(ready.sends.iter().enumerate().map(|(index, sent)| Planned {
        node: sent.node,
        cause: Cause::Push(index as u32),
        arg: Some(Arc::clone(&sent.arg)),
        timeout: sent.timeout.clone(),
    }));
    if tasks.is_empty() {
        // Nothing else is left: whoever waited for that runs now, all together.
        tasks = pulls(core, live, true);
    }
    tasks
}

/// Tasks for the nodes that edges led to; only deferred ones, or none of them.
fn pulls(core: &Core, live: &Live, deferred: bool) -> Tasks {
    let ready = &live.ready;
    let branches = if deferred { &ready.deferred[..] } else { &ready.nodes[..] };
    let mut tasks: Tasks = branches.iter().map(|node| Planned::pull(*node)).collect();
    for join in &ready.complete {
        let target = core.joins[*join as usize].target;
        if core.node(target).defer != deferred {
            continue;
        }
        match tasks.binary_search_by_key(&target, |task| task.node) {
            Ok(position) => {
                if let Cause::Pull { joins, .. } = &mut tasks[position].cause {
                    joins.push(*join);
                }
            }
            Err(position) => {
                let cause = Cause::Pull { branch: false, joins: vec![*join] };
                tasks.insert(position, Planned { node: target, cause, arg: None, timeout: None });
            }
        }
    }
    tasks
}

/// A channel that a superstep changed, and how to store the change.
pub(crate) struct Change {
    pub(crate) channel: usize,
    /// The writes whose folding describes the change, in apply order.
    pub(crate) folded: SmallVec<[Place; 2]>,
    /// The one write whose value the channel now has.
    pub(crate) replaced_by: Option<Place>,
}

impl Change {
    /// A change that is described by the channel's whole new value.
    pub(crate) fn whole(channel: usize) -> Self {
        Self { channel, folded: SmallVec::new(), replaced_by: None }
    }
}

/// Position of a write: task, update of the task, write of the update.
pub(crate) type Place = (usize, usize, usize);

/// Writes of one superstep that cannot stand together.
#[derive(Debug)]
pub(crate) struct Conflict {
    /// Positions of the tasks concerned.
    pub(crate) tasks: Vec<usize>,
    pub(crate) failure: Failure,
    /// Values of the thread went down with it: only what is stored can be gone back to. Takes a
    /// panic in `Clone` or `Ord` of a list's or map's items.
    pub(crate) values_lost: bool,
}

/// The writes of one superstep to one channel, taken from the tasks' updates.
struct Group {
    channel: usize,
    plain: SmallVec<[Place; 2]>,
    /// What the plain writes write, until it is folded.
    values: Vec<Value>,
    overwrites: SmallVec<[(Place, Value); 1]>,
    /// The channel's new value, where it had to be made before any was changed.
    folded: Option<Value>,
}

/// Channels of a state whose writes are grouped without an allocation.
const CHANNELS_FEW: usize = 32;

/// Applies the results of a superstep, given in apply order, and returns what changed.
///
/// Nothing is changed when the writes conflict, unless the conflict says so.
pub(crate) fn apply(
    core: &Core,
    live: &mut Live,
    done: &mut [Done<'_>],
) -> Result<Vec<Change>, Conflict> {
    let changes = take_writes(core, live, done)?;

    for (planned, _) in done.iter() {
        match &planned.cause {
            Cause::Start => live.ready.input = None,
            Cause::Pull { joins, .. } => {
                for join in joins {
                    live.ready.reset_join(core, *join);
                }
                if !live.ready.deferred.is_empty() {
                    live.ready.deferred.retain(|node| *node != planned.node);
                }
            }
            Cause::Push(_) | Cause::Rescue(_) => {}
        }
    }
    live.ready.nodes.clear();
    live.ready.sends.clear();
    live.version += 1;
    live.step += 1;
    if let [(only, _)] = done {
        live.ran.clear();
        live.ran.push(only.node);
    } else if !done.is_empty() {
        live.ran.clear();
        for (planned, _) in done.iter() {
            if !live.ran.contains(&planned.node) {
                live.ran.push(planned.node);
            }
        }
    }

    clear_passing(core, live, &changes);
    live.updated.clear();
    live.updated.extend(changes.iter().map(|change| change.channel));

    follow(core, live, done);
    Ok(changes)
}

/// Applies results between supersteps, as a command or a state update gives them: no step passes,
/// nothing is consumed or cleared.
pub(crate) fn apply_between(
    core: &Core,
    live: &mut Live,
    done: &mut [Done<'_>],
) -> Result<Vec<Change>, Conflict> {
    let changes = take_writes(core, live, done)?;
    live.version += 1;
    live.updated.clear();
    live.updated.extend(changes.iter().map(|change| change.channel));
    follow(core, live, done);
    Ok(changes)
}

/// Takes all writes into the channels, and into the log of a graph that has one.
fn take_writes(
    core: &Core,
    live: &mut Live,
    done: &mut [Done<'_>],
) -> Result<Vec<Change>, Conflict> {
    let logged = live.made.as_ref().map(|made| made.pick(done));
    let groups = group(core, done)?;
    let changes = write(core, live, groups)?;
    if let (Some(made), Some(logged)) = (&mut live.made, logged) {
        made.writes.extend(logged);
    }
    Ok(changes)
}

/// Takes over where the tasks lead.
fn follow(core: &Core, live: &mut Live, done: &mut [Done<'_>]) {
    for (planned, effect) in done {
        for join in &effect.joins {
            live.ready.arrive(core, *join, planned.node);
        }
        live.ready.follow(core, &mut effect.leads);
        if let Some(mut instances) = effect.instances.take() {
            let known = live.instances.get_or_insert_default();
            Arc::make_mut(known).append(&mut instances);
        }
    }
    live.ready.settle(core);
}

/// Sorts all writes by channel and finds conflicts, before anything is changed.
fn group(core: &Core, done: &mut [Done<'_>]) -> Result<Vec<Group>, Conflict> {
    let mut groups: Vec<Group> = Vec::new();
    let mut slot_of: SmallVec<[u32; CHANNELS_FEW]> = SmallVec::new();
    for (task, (_, effect)) in done.iter_mut().enumerate() {
        for (update, writes) in effect.updates.iter_mut().enumerate() {
            for (position, write) in std::mem::take(&mut writes.writes).into_iter().enumerate() {
                if slot_of.is_empty() {
                    slot_of.resize(core.schema.channels().len(), u32::MAX);
                }
                let slot = &mut slot_of[write.channel];
                if *slot == u32::MAX {
                    *slot = groups.len() as u32;
                    groups.push(Group {
                        channel: write.channel,
                        plain: SmallVec::new(),
                        values: Vec::new(),
                        overwrites: SmallVec::new(),
                        folded: None,
                    });
                }
                let group = &mut groups[*slot as usize];
                let place = (task, update, position);
                if write.overwrite {
                    group.overwrites.push((place, write.value));
                } else {
                    group.plain.push(place);
                    group.values.push(write.value);
                }
            }
        }
    }
    for group in &groups {
        let rule = &core.schema.channels()[group.channel].rule;
        let writers = if rule.reducer().is_some() {
            group.overwrites.len()
        } else if rule.single_writer() {
            group.overwrites.len() + group.plain.len()
        } else {
            0
        };
        if writers > 1 {
            let mut tasks: Vec<usize> = group.overwrites.iter().map(|(place, _)| place.0).collect();
            tasks.extend(group.plain.iter().map(|place| place.0));
            tasks.sort_unstable();
            tasks.dedup();
            let key = core.schema.key(group.channel);
            let nodes: Vec<String> =
                tasks.iter().map(|task| core.node(done[*task].0.node).name.to_string()).collect();
            let failure = Failure::new(
                FailureKind::ConcurrentUpdate { key: key.to_string(), nodes: nodes.clone() },
                format!(
                    "key `{key}` takes one write per superstep and got {writers}, from {}",
                    nodes.join(", ")
                ),
            );
            return Err(Conflict { tasks, failure, values_lost: false });
        }
    }
    Ok(groups)
}

/// Moves the grouped writes into the channels.
fn write(core: &Core, live: &mut Live, mut groups: Vec<Group>) -> Result<Vec<Change>, Conflict> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    // What can fail goes first and leaves the old values alone until all of it has succeeded.
    for group in &mut groups {
        if let Some(reducer) = core.schema.channels()[group.channel].rule.reducer()
            && group.overwrites.is_empty()
            && !reducer.cannot_fail()
        {
            let current = live.values.get(group.channel).cloned();
            group.folded = Some(fold(core, group, current, false)?);
        }
    }
    let values = Arc::make_mut(&mut live.values);
    let mut changes = Vec::with_capacity(groups.len());
    for mut group in groups {
        let slot = &mut values.0[group.channel];
        let rule = &core.schema.channels()[group.channel].rule;
        let mut change = Change::whole(group.channel);
        if let Some((place, value)) = group.overwrites.pop() {
            *slot = Some(value);
            change.replaced_by = Some(place);
        } else if let Some(reducer) = rule.reducer() {
            *slot = Some(match group.folded.take() {
                Some(folded) => folded,
                None => fold(core, &mut group, slot.take(), true)?,
            });
            if reducer.batches_freely() && !rule.starts_over() {
                change.folded = group.plain;
            }
        } else if let (Some(place), Some(value)) = (group.plain.last(), group.values.pop()) {
            *slot = Some(value);
            change.replaced_by = Some(*place);
        }
        changes.push(change);
    }
    Ok(changes)
}

/// Folds a group's writes into the current value of its channel. The group keeps their places.
fn fold(
    core: &Core,
    group: &mut Group,
    current: Option<Value>,
    values_lost: bool,
) -> Result<Value, Conflict> {
    let channel = &core.schema.channels()[group.channel];
    let Some(reducer) = channel.rule.reducer() else {
        return Ok(current.unwrap_or_else(|| Arc::clone(&channel.default)));
    };
    let current = current.filter(|_| !channel.rule.starts_over());
    let updates = std::mem::take(&mut group.values);
    reducer::fold(&**reducer, current, updates).map_err(|error| {
        let mut tasks: Vec<usize> = group.plain.iter().map(|place| place.0).collect();
        tasks.dedup();
        Conflict { tasks, failure: Failure::reducer(&channel.key, &error), values_lost }
    })
}

/// Clears the channels that live for one step only and were not written in this one.
fn clear_passing(core: &Core, live: &mut Live, changes: &[Change]) {
    for index in core.schema.passing() {
        let index = *index;
        if live.values.0[index].is_some() && !changes.iter().any(|change| change.channel == index) {
            Arc::make_mut(&mut live.values).0[index] = None;
            live.entries[index] = None;
        }
    }
}
