//! What of a thread may be forgotten: decided here for every checkpointer, from what it knows of
//! its checkpoints. Pure; an implementation only removes rows.
//!
//! Whatever is asked for, the newest checkpoint of a place stays, and so does every checkpoint at
//! which a question is open or under which a mounted graph has not ended. Values are another
//! matter: those that a checkpoint that stays is rebuilt from are kept however old they are; see
//! [`Reach`].

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    num::NonZeroUsize,
};

use crate::checkpoint::{Checkpoint, CheckpointId, Pending, TaskRecord};

/// Which checkpoints of a thread are kept.
///
/// A branch is a checkpoint that none was made from, with those it was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// All of them.
    All,
    /// The newest ones of every branch.
    LastPerBranch(NonZeroUsize),
    /// Those made at this time or later, milliseconds since 1970 (UTC).
    Since {
        /// The time.
        at_ms: i64,
    },
    /// Of every place only the newest: LangGraph's `keep_latest`.
    Heads,
}

/// What has to be known of a checkpoint to decide about it.
#[derive(Debug, Clone)]
pub struct Fact {
    id: CheckpointId,
    parent: Option<CheckpointId>,
    at_ms: i64,
    run_id: Option<String>,
    /// Checkpoints of the ancestors, by namespace.
    parents: Vec<(String, CheckpointId)>,
    /// Where per-thread graphs below it stand, by namespace.
    instances: Vec<(String, CheckpointId)>,
    /// Something is left to run.
    unfinished: bool,
    /// A question of one of its tasks waits for an answer.
    asks: bool,
}

impl Fact {
    /// The facts of a checkpoint and the records of its tasks.
    pub fn of<'a>(
        checkpoint: &Checkpoint,
        tasks: impl IntoIterator<Item = &'a TaskRecord>,
    ) -> Self {
        let asks =
            |task: &TaskRecord| task.commit.is_none() && task.open_interrupts().next().is_some();
        Self {
            id: checkpoint.id,
            parent: checkpoint.parent,
            at_ms: checkpoint.at_ms,
            run_id: checkpoint.run_id.clone(),
            parents: checkpoint.parents.iter().map(|(ns, id)| (ns.clone(), *id)).collect(),
            instances: checkpoint.instances.iter().map(|(ns, id)| (ns.clone(), *id)).collect(),
            unfinished: is_unfinished(&checkpoint.pending),
            asks: tasks.into_iter().any(asks),
        }
    }
}

/// Joins that wait for sources do not count: nothing of them can run.
fn is_unfinished(pending: &Pending) -> bool {
    pending.input.is_some()
        || !pending.nodes.is_empty()
        || !pending.sends.is_empty()
        || !pending.deferred.is_empty()
}

/// All checkpoints of one place.
#[derive(Debug, Clone)]
pub struct PlaceFacts {
    /// The namespace.
    pub ns: String,
    /// Its checkpoints, oldest first.
    pub checkpoints: Vec<Fact>,
}

impl PlaceFacts {
    fn head(&self) -> Option<&Fact> {
        self.checkpoints.last()
    }

    /// The namespace of the graph this one is mounted in; none for the root.
    fn parent_ns(&self) -> Option<&str> {
        if self.ns.is_empty() {
            return None;
        }
        Some(self.task_ns().rsplit_once('|').map_or("", |(parent, _)| parent))
    }

    /// The namespace without the ordinal or the key of a call inside a node.
    fn task_ns(&self) -> &str {
        match self.ns.rsplit_once('|') {
            Some((task, call))
                if call.starts_with(':') || call.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                task
            }
            _ => &self.ns,
        }
    }

    /// Whether it belongs to one task of its parent, and not to the thread as a whole.
    fn is_of_a_task(&self) -> bool {
        let last = self.task_ns().rsplit('|').next().unwrap_or_default();
        last.contains(':')
    }
}

type Kept = HashMap<String, BTreeSet<CheckpointId>>;

impl Retention {
    /// The checkpoints of a thread that may go, for every place in the order given.
    pub fn doomed(&self, places: &[PlaceFacts]) -> Vec<Vec<CheckpointId>> {
        if *self == Self::All {
            return vec![Vec::new(); places.len()];
        }
        let mut kept: Kept =
            places.iter().map(|place| (place.ns.clone(), self.kept(place))).collect();
        for place in places {
            let Some(head) = place.head().filter(|head| head.unfinished || head.asks) else {
                continue;
            };
            for (ns, id) in &head.parents {
                kept.entry(ns.clone()).or_default().insert(*id);
            }
        }
        doomed_by(places, kept)
    }

    fn kept(&self, place: &PlaceFacts) -> BTreeSet<CheckpointId> {
        let all = &place.checkpoints;
        let mut kept: BTreeSet<CheckpointId> =
            all.iter().filter(|fact| fact.asks).map(|fact| fact.id).collect();
        kept.extend(place.head().map(|fact| fact.id));
        match self {
            Self::All => kept.extend(all.iter().map(|fact| fact.id)),
            Self::Heads => {}
            Self::Since { at_ms } => {
                kept.extend(all.iter().filter(|fact| fact.at_ms >= *at_ms).map(|fact| fact.id));
            }
            Self::LastPerBranch(count) => {
                let by_id: HashMap<CheckpointId, &Fact> =
                    all.iter().map(|fact| (fact.id, fact)).collect();
                let inner: HashSet<CheckpointId> =
                    all.iter().filter_map(|fact| fact.parent).collect();
                for leaf in all.iter().filter(|fact| !inner.contains(&fact.id)) {
                    let line =
                        std::iter::successors(Some(leaf), |fact| by_id.get(&fact.parent?).copied());
                    kept.extend(line.take(count.get()).map(|fact| fact.id));
                }
            }
        }
        kept
    }
}

/// The checkpoints of a thread that go with these runs, for every place in the order given.
/// Nothing else keeps them; what was mounted under them goes, too.
pub fn doomed_with_runs(places: &[PlaceFacts], runs: &[String]) -> Vec<Vec<CheckpointId>> {
    let of_a_run = |fact: &&Fact| fact.run_id.as_ref().is_some_and(|run| runs.contains(run));
    let kept = places
        .iter()
        .map(|place| {
            let stays = place.checkpoints.iter().filter(|fact| !of_a_run(fact));
            (place.ns.clone(), stays.map(|fact| fact.id).collect())
        })
        .collect();
    doomed_by(places, kept)
}

/// Brings what is kept of mounted graphs in line with what is kept of those around them.
fn doomed_by(places: &[PlaceFacts], mut kept: Kept) -> Vec<Vec<CheckpointId>> {
    let mut outer_first: Vec<&PlaceFacts> = places.iter().collect();
    outer_first.sort_by_key(|place| place.ns.matches('|').count());
    for place in outer_first {
        let Some(parent_ns) = place.parent_ns() else { continue };
        let parents = kept.get(parent_ns).cloned().unwrap_or_default();
        let mounted_at =
            |fact: &Fact| fact.parents.iter().find(|(ns, _)| ns == parent_ns).map(|(_, id)| *id);
        let own = kept.entry(place.ns.clone()).or_default();
        if place.is_of_a_task() {
            // Without the checkpoint of its task nobody can come here again.
            let reachable = place
                .checkpoints
                .iter()
                .any(|fact| mounted_at(fact).is_none_or(|id| parents.contains(&id)));
            if !reachable {
                own.clear();
            }
            continue;
        }
        // A graph that lives as long as its thread: whoever goes back to a checkpoint of the
        // parent finds the child as it was then.
        for parent in &parents {
            let then = |before: bool| {
                place.checkpoints.iter().rev().find(|fact| {
                    mounted_at(fact)
                        .is_some_and(|id| if before { id < *parent } else { id == *parent })
                })
            };
            let known: Vec<CheckpointId> =
                [then(true), then(false)].into_iter().flatten().map(|fact| fact.id).collect();
            own.extend(known);
        }
    }
    keep_instances(places, &mut kept);
    places
        .iter()
        .map(|place| {
            let own = kept.get(&place.ns);
            let goes = |fact: &&Fact| own.is_none_or(|own| !own.contains(&fact.id));
            place.checkpoints.iter().filter(goes).map(|fact| fact.id).collect()
        })
        .collect()
}

/// Keeps the checkpoints of per-thread graphs that others of those kept go on from.
fn keep_instances(places: &[PlaceFacts], kept: &mut Kept) {
    let facts: HashMap<(&str, CheckpointId), &Fact> = places
        .iter()
        .flat_map(|place| place.checkpoints.iter().map(|fact| ((&*place.ns, fact.id), fact)))
        .collect();
    // Every checkpoint is looked at once at most: when it is kept.
    let mut open: Vec<(String, CheckpointId)> =
        kept.iter().flat_map(|(ns, ids)| ids.iter().map(|id| (ns.clone(), *id))).collect();
    while let Some((ns, id)) = open.pop() {
        let Some(fact) = facts.get(&(&*ns, id)) else { continue };
        for (below, at) in &fact.instances {
            if kept.entry(below.clone()).or_default().insert(*at) {
                open.push((below.clone(), *at));
            }
        }
    }
}

/// The values of a place that its checkpoints are made of, collected from what stays.
#[derive(Debug, Default)]
pub struct Reach {
    blobs: HashSet<(String, CheckpointId)>,
}

impl Reach {
    /// Everything that the values of a checkpoint are rebuilt from stays. `base` tells what the
    /// blob of a key that a checkpoint wrote is based on; nothing for one that is whole or
    /// missing, which is told when it is loaded.
    ///
    /// # Errors
    /// What `base` reports.
    pub fn add<E>(
        &mut self,
        checkpoint: &Checkpoint,
        mut base: impl FnMut(&str, CheckpointId) -> Result<Option<CheckpointId>, E>,
    ) -> Result<(), E> {
        for entry in &checkpoint.channels {
            let mut next = Some(entry.at);
            while let Some(at) = next {
                if !self.blobs.insert((entry.key.clone(), at)) {
                    break;
                }
                next = base(&entry.key, at)?;
            }
        }
        Ok(())
    }

    /// Keeps one blob for its own sake.
    pub fn add_blob(&mut self, key: &str, at: CheckpointId) {
        self.blobs.insert((key.to_owned(), at));
    }

    /// Whether a blob is needed.
    pub fn needs(&self, key: &str, at: CheckpointId) -> bool {
        self.blobs.contains(&(key.to_owned(), at))
    }
}
