//! What of a thread may be forgotten: decided here for every checkpointer, from what it knows of
//! its checkpoints. Pure; an implementation only removes rows.
//!
//! Whatever is asked for, the newest checkpoint of a place stays, and so does every checkpoint at
//! which a question is open or under which a mounted graph has not ended. Values are another
//! matter: those that a checkpoint that stays is rebuilt from are kept however old they are; see
//! [`Reach`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    num::NonZeroUsize,
    sync::Arc,
};

use crate::checkpoint::{Checkpoint, CheckpointId, Name, Pending, TaskRecord};

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
    run_id: Option<Arc<str>>,
    /// The namespace of the graph it is mounted in, and the checkpoint of that; none for a root.
    below: Option<(String, CheckpointId)>,
    /// Checkpoints of the other ancestors, by namespace.
    parents: Vec<(String, CheckpointId)>,
    /// Where the graphs that live as long as the thread stand here, by namespace.
    instances: Vec<(String, CheckpointId)>,
    /// Namespaces that tasks to come will look at, because they repeat what was asked there.
    repeats: Vec<String>,
    /// Something is left to run.
    unfinished: bool,
    /// A question of one of its tasks waits for an answer.
    asks: bool,
}

impl Fact {
    /// The facts of a checkpoint and the records of its tasks.
    pub fn of(checkpoint: &Checkpoint, tasks: &[TaskRecord]) -> Self {
        let named = |map: &BTreeMap<String, CheckpointId>| -> Vec<(String, CheckpointId)> {
            map.iter().map(|(ns, id)| (ns.clone(), *id)).collect()
        };
        let parents = named(&checkpoint.parents);
        let mut instances = named(&checkpoint.instances);
        for commit in tasks.iter().filter_map(|task| task.commit.as_ref()) {
            instances.extend(named(&commit.instances));
        }
        let unfinished = tasks.iter().filter(|task| task.commit.is_none());
        Self {
            id: checkpoint.id,
            parent: checkpoint.parent,
            at_ms: checkpoint.at_ms,
            run_id: checkpoint.run_id.clone(),
            below: parents.iter().max_by_key(|(ns, _)| ns.len()).cloned(),
            parents,
            instances,
            repeats: unfinished
                .clone()
                .filter_map(|task| Some(task.forked_from.as_ref()?.ns.clone()))
                .collect(),
            unfinished: is_unfinished(&checkpoint.pending),
            asks: unfinished.clone().any(|task| task.open_interrupts().next().is_some()),
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

    /// Whether it belongs to one task of its parent, and not to the thread as a whole: a level of
    /// its namespace has the id of a task. Levels without a node tell calls of one task apart.
    fn is_of_a_task(&self) -> bool {
        self.ns.split('|').any(|level| level.find(':').is_some_and(|colon| colon > 0))
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
                if let Some(above) = kept.get_mut(ns) {
                    above.insert(*id);
                }
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
    let of_a_run = |fact: &&Fact| {
        fact.run_id.as_ref().is_some_and(|run| runs.iter().any(|doomed| **doomed == **run))
    };
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
    // Whoever goes back to a checkpoint finds the thread's graphs as they were then, and all of
    // what its tasks repeat. Those may name others in turn.
    let mut repeated: HashSet<&str> = HashSet::new();
    loop {
        let mut found = Vec::new();
        for place in places {
            let own = &kept[&place.ns];
            for fact in place.checkpoints.iter().filter(|fact| own.contains(&fact.id)) {
                found.extend(fact.instances.iter().cloned());
                repeated.extend(fact.repeats.iter().map(String::as_str));
            }
        }
        for place in places.iter().filter(|place| is_in(&place.ns, &repeated)) {
            found.extend(place.checkpoints.iter().map(|fact| (place.ns.clone(), fact.id)));
        }
        let mut grown = false;
        for (ns, id) in found {
            grown |= kept.get_mut(&ns).is_some_and(|own| own.insert(id));
        }
        if !grown {
            break;
        }
    }
    let mut outer_first: Vec<&PlaceFacts> = places.iter().collect();
    outer_first.sort_by_key(|place| place.ns.matches('|').count());
    for place in outer_first {
        if !place.is_of_a_task() || is_in(&place.ns, &repeated) {
            continue;
        }
        // Without the checkpoint of its task nobody can come here again.
        let reachable = place.checkpoints.iter().any(|fact| match &fact.below {
            Some((ns, id)) => kept.get(ns).is_some_and(|above| above.contains(id)),
            None => true,
        });
        if !reachable {
            kept.insert(place.ns.clone(), BTreeSet::new());
        }
    }
    places
        .iter()
        .map(|place| {
            let own = &kept[&place.ns];
            let goes = |fact: &&Fact| !own.contains(&fact.id);
            place.checkpoints.iter().filter(goes).map(|fact| fact.id).collect()
        })
        .collect()
}

/// Whether a namespace is one of these or below one of them.
fn is_in(ns: &str, these: &HashSet<&str>) -> bool {
    these.iter().any(|this| {
        ns.strip_prefix(this).is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
    })
}

/// The values of a place that its checkpoints are made of, collected from what stays.
#[derive(Debug, Default)]
pub struct Reach {
    blobs: HashSet<(Name, CheckpointId)>,
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
        self.blobs.insert((key.into(), at));
    }

    /// Whether a blob is needed.
    pub fn needs(&self, key: &str, at: CheckpointId) -> bool {
        self.blobs.contains(&(key.into(), at))
    }
}
