//! Where checkpoints are kept: the trait, and an implementation in memory.
//!
//! Every operation is idempotent. A conformance suite for implementations is in `testing`.

mod retention;

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    checkpoint::{
        Blob, Checkpoint, CheckpointId, FORMAT, Name, Place, SNAPSHOT_LATEST, TaskId, TaskRecord,
    },
    error::BoxError,
    stored,
    value::CodecError,
};

pub use self::retention::{Fact, PlaceFacts, Reach, Retention, doomed_with_runs};

/// What a checkpointer reports.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The place's newest checkpoint is not the one the caller continued from.
    #[error("thread {thread} was continued meanwhile")]
    HeadMoved {
        /// The thread.
        thread: String,
    },
    /// A checkpoint has a layout that this build does not read.
    #[error(
        "checkpoint {id} has format {found}; this build reads format {}",
        crate::checkpoint::FORMAT
    )]
    Format {
        /// The checkpoint.
        id: CheckpointId,
        /// Its format.
        found: u16,
    },
    /// Stored bytes are missing or damaged.
    #[error("checkpoint {id} is damaged: {reason}")]
    Damaged {
        /// The checkpoint.
        id: CheckpointId,
        /// What is missing.
        reason: String,
    },
    /// A thread cannot be copied here: there is another one.
    #[error("thread {thread} has checkpoints of its own")]
    Occupied {
        /// The thread that was to be the copy.
        thread: String,
    },
    /// There is no room left in the storage. Reading goes on.
    #[error("the disk is full")]
    DiskFull,
    /// The storage itself failed.
    #[error("storage failed")]
    Storage(#[source] BoxError),
}

/// One checkpoint with all that has to become durable together with it.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The thread and namespace.
    pub place: Arc<Place>,
    /// The checkpoint.
    pub checkpoint: Box<Checkpoint>,
    /// The values it changed, by key.
    pub blobs: Vec<(Name, Blob)>,
    /// Task records of its parent that were not stored before.
    pub tasks: Vec<TaskRecord>,
    /// What the place's newest checkpoint must be for this to be stored.
    pub expected_head: Head,
}

/// A condition on the newest checkpoint of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// Must be this one, or none.
    Is(Option<CheckpointId>),
    /// Anything: the caller starts a branch from an older checkpoint.
    Any,
}

/// A checkpoint with its values and the records of its tasks.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// For every channel entry, in the entries' order: blobs to fold, oldest first, beginning with
    /// a full value or with a delta that has no base.
    pub values: Vec<Vec<Blob>>,
    /// Records of the tasks of the next superstep, in apply order.
    pub tasks: Vec<TaskRecord>,
}

/// Which checkpoints to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only checkpoints older than this one.
    pub before: Option<CheckpointId>,
    /// Only this checkpoint and those it was made from: one line of the tree.
    pub branch: Option<CheckpointId>,
    /// At most this many.
    pub limit: Option<usize>,
    /// Only checkpoints whose metadata has all these entries (`source`, `step` and `run_id` are
    /// entries too).
    pub metadata: BTreeMap<String, serde_json::Value>,
}

impl Filter {
    /// Whether a checkpoint is one of those meant, as far as it can be told from the checkpoint
    /// alone: its line is followed by whoever lists.
    pub fn admits(&self, checkpoint: &Checkpoint) -> bool {
        self.before.is_none_or(|before| checkpoint.id < before)
            && self.metadata.iter().all(|(key, wanted)| match key.as_str() {
                "source" => *wanted == checkpoint.source.to_string(),
                "step" => *wanted == checkpoint.step,
                "run_id" => wanted.as_str() == checkpoint.run_id.as_deref(),
                _ => checkpoint.metadata.get(key) == Some(wanted),
            })
    }
}

/// Keeps the checkpoints of threads.
///
/// # Cancel safety
/// A dropped `put` may or may not have taken effect; it is never half stored.
#[async_trait]
pub trait Checkpointer: Send + Sync {
    /// Stores a checkpoint, its values and its parent's task records, all or nothing. Putting the
    /// same checkpoint again changes nothing.
    ///
    /// # Errors
    /// [`Error::HeadMoved`] when the head is not as expected.
    async fn put(&self, commit: Commit) -> Result<(), Error>;

    /// Stores what is known of a task of the superstep after `checkpoint`, as [`merge_record`]
    /// says: a commit that is already stored stays, unless the record has an error and no commit,
    /// which withdraws it; questions, answers and the error are replaced; steps are added.
    ///
    /// The checkpoint itself need not be stored yet.
    ///
    /// # Errors
    /// Only storage failures.
    async fn put_task(
        &self,
        place: &Place,
        checkpoint: CheckpointId,
        record: TaskRecord,
    ) -> Result<(), Error>;

    /// Whether payloads are kept as values in the memory of this process. What is handed to a
    /// checkpointer that keeps bytes has been encoded, and a value that cannot be fails the task
    /// that wrote it.
    fn keeps_values(&self) -> bool {
        false
    }

    /// The checkpoint with this id, or the newest one.
    ///
    /// # Errors
    /// [`Error::Format`], [`Error::Damaged`] or a storage failure.
    async fn load(&self, place: &Place, id: Option<CheckpointId>) -> Result<Option<Loaded>, Error>;

    /// Checkpoints, newest id first, with their values and task records.
    ///
    /// # Errors
    /// As [`Checkpointer::load`].
    async fn list(&self, place: &Place, filter: &Filter) -> Result<Vec<Loaded>, Error>;

    /// Forgets a thread with all its namespaces.
    ///
    /// # Errors
    /// Only storage failures.
    async fn delete_thread(&self, thread: &str) -> Result<(), Error>;

    /// Forgets the checkpoints that these runs made on a thread, in all its namespaces, and says
    /// how many there were. What the runs stored beside older checkpoints (answers, results) stays
    /// there, and so do values that later checkpoints are made of.
    ///
    /// A checkpoint whose parent is gone begins its line.
    ///
    /// # Errors
    /// As [`Checkpointer::load`].
    async fn delete_for_runs(&self, thread: &str, runs: &[String]) -> Result<usize, Error>;

    /// Copies a thread with all its namespaces; ids stay as they are. Copying again adds
    /// checkpoints that are new and changes none. A thread that does not exist has nothing to copy.
    ///
    /// # Errors
    /// [`Error::Occupied`] when `to` has checkpoints that `from` does not have.
    async fn copy_thread(&self, from: &str, to: &str) -> Result<(), Error>;

    /// Forgets the checkpoints of a thread that need not be kept, in all its namespaces, and says
    /// how many there were. What stays can be loaded as before; see [`Retention`] for what stays
    /// in any case.
    ///
    /// # Errors
    /// As [`Checkpointer::load`].
    async fn prune(&self, thread: &str, keep: Retention) -> Result<usize, Error>;
}

/// Checkpoints in memory, gone with the process.
///
/// Values never change once they are written, so they are kept as they are and shared with whoever
/// reads them: a step costs what it changed, and nothing is encoded.
#[derive(Debug, Default)]
pub struct MemoryCheckpointer {
    places: Mutex<HashMap<Arc<Place>, Shelf>>,
    /// Keeps bytes instead.
    encoding: bool,
}

#[derive(Debug, Default, Clone)]
struct Shelf {
    // Boxed: a tree moves its entries about.
    checkpoints: BTreeMap<CheckpointId, Box<Checkpoint>>,
    blobs: HashMap<(CheckpointId, Name), Blob>,
    tasks: BTreeMap<(CheckpointId, TaskId), Box<TaskRecord>>,
}

/// Merges what is newly known of a task into what is stored.
///
/// The first commit stays, so that a task which is executed twice counts once. Only an error
/// without a commit withdraws it: that is how a superstep says that the results it had stored
/// cannot stand together. Questions, answers and the error are replaced. Steps are only ever added:
/// the first result of each stays, and a record that brings steps and nothing else changes nothing
/// else.
pub fn merge_record(stored: &mut TaskRecord, mut new: TaskRecord) {
    let only_steps = new.commit.is_none()
        && new.error.is_none()
        && new.interrupts.is_empty()
        && new.answers.is_empty()
        && new.caught.is_none()
        && new.attempts == 0;
    let mut steps = std::mem::take(&mut stored.steps);
    for step in std::mem::take(&mut new.steps) {
        if !steps.iter().any(|known| known.path == step.path) {
            steps.push(step);
        }
    }
    if only_steps && !steps.is_empty() {
        stored.steps = steps;
        return;
    }
    new.steps = steps;
    let withdrawn = new.commit.is_none() && new.error.is_some();
    // Commands are no results: a later record holds the earlier ones, too.
    let replaces = withdrawn || new.id == TaskId::NULL;
    if !replaces && let Some(first) = stored.commit.take() {
        new.commit = Some(first);
    }
    *stored = new;
}

/// Refuses a checkpoint whose layout this build does not read.
///
/// # Errors
/// [`Error::Format`].
pub fn check_format(id: CheckpointId, found: u16) -> Result<(), Error> {
    if found == FORMAT { Ok(()) } else { Err(Error::Format { id, found }) }
}

/// Sorts the records of a checkpoint's tasks as [`Loaded::tasks`] has them.
pub fn sort_records(tasks: &mut [TaskRecord]) {
    tasks.sort_by(|a, b| a.path.cmp(&b.path).then(a.id.cmp(&b.id)));
}

impl Shelf {
    fn put_task(&mut self, checkpoint: CheckpointId, record: TaskRecord) {
        match self.tasks.entry((checkpoint, record.id)) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(Box::new(record));
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                merge_record(entry.get_mut(), record);
            }
        }
    }

    fn tasks_of(
        &self,
        checkpoint: CheckpointId,
    ) -> impl Iterator<Item = (&(CheckpointId, TaskId), &TaskRecord)> {
        let range = (checkpoint, TaskId::NULL)..=(checkpoint, TaskId(u128::MAX));
        self.tasks.range(range).map(|(key, record)| (key, &**record))
    }

    fn facts(&self) -> Vec<Fact> {
        let tasks = |id| -> Vec<TaskRecord> {
            self.tasks_of(id).map(|(_, record)| TaskRecord::clone(record)).collect()
        };
        self.checkpoints.iter().map(|(id, checkpoint)| Fact::of(checkpoint, &tasks(*id))).collect()
    }

    fn forget(&mut self, doomed: &[CheckpointId]) {
        for id in doomed {
            self.checkpoints.remove(id);
            let tasks: Vec<_> = self.tasks_of(*id).map(|(key, _)| *key).collect();
            for key in tasks {
                self.tasks.remove(&key);
            }
        }
        let mut reach = Reach::default();
        for checkpoint in self.checkpoints.values() {
            let base = |key: &str, at| -> Result<_, Infallible> {
                Ok(self.blobs.get(&(at, Name::from(key))).and_then(Blob::base))
            };
            let Ok(()) = reach.add(checkpoint, base);
        }
        self.blobs.retain(|(at, key), _| reach.needs(key, *at));
    }

    fn loaded(&self, checkpoint: &Checkpoint) -> Result<Loaded, Error> {
        check_format(checkpoint.id, checkpoint.v)?;
        let mut values = Vec::with_capacity(checkpoint.channels.len());
        for entry in &checkpoint.channels {
            let blob = |at| Ok(self.blobs.get(&(at, entry.key.clone())).cloned());
            values.push(chain(checkpoint.id, entry.at, blob)?);
        }
        let mut tasks: Vec<TaskRecord> =
            self.tasks_of(checkpoint.id).map(|(_, record)| record.clone()).collect();
        sort_records(&mut tasks);
        Ok(Loaded { checkpoint: checkpoint.clone(), values, tasks })
    }
}

/// Blobs that one value may be spread over before the chain is taken for damaged. A delta holds
/// at least one update and there is a full value every [`SNAPSHOT_LATEST`] updates.
pub const CHAIN_MAX: usize = SNAPSHOT_LATEST as usize + 1;

/// Collects the blobs of one value of checkpoint `id`, oldest first, given how to read the blob
/// that a checkpoint wrote.
///
/// # Errors
/// [`Error::Damaged`] when a blob is missing or the chain has no end; what `blob` reports.
pub fn chain(
    id: CheckpointId,
    newest: CheckpointId,
    mut blob: impl FnMut(CheckpointId) -> Result<Option<Blob>, Error>,
) -> Result<Vec<Blob>, Error> {
    let mut blobs = Vec::new();
    let mut next = Some(newest);
    while let Some(at) = next {
        if blobs.len() == CHAIN_MAX {
            let reason = format!("a value is spread over more than {CHAIN_MAX} parts");
            return Err(Error::Damaged { id, reason });
        }
        let blob = blob(at)?.ok_or_else(|| Error::Damaged {
            id,
            reason: format!("a value written at {at} is missing"),
        })?;
        next = blob.base();
        blobs.push(blob);
    }
    blobs.reverse();
    Ok(blobs)
}

impl MemoryCheckpointer {
    /// One that keeps bytes, as a database does: values are encoded when they are written and
    /// decoded when they are read. For tests of what a restart would bring back.
    pub fn encoding() -> Self {
        Self { encoding: true, ..Self::default() }
    }

    /// What would be left of `stored` after a restart.
    fn bytes_of<T: Serialize + DeserializeOwned>(
        &self,
        id: CheckpointId,
        stored: T,
    ) -> Result<T, Error> {
        if !self.encoding {
            return Ok(stored);
        }
        let damaged = |error: CodecError| Error::Damaged { id, reason: error.to_string() };
        stored::encode(&stored).and_then(|bytes| stored::decode(&bytes)).map_err(damaged)
    }

    fn places(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<Place>, Shelf>> {
        // A panic while the lock was held cannot leave a half-made entry: every change below is
        // a few inserts of values that exist already.
        self.places.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Removes what `choose` picks from the places of a thread, and what only that needed.
    fn forget(
        &self,
        thread: &str,
        choose: impl FnOnce(&[PlaceFacts]) -> Vec<Vec<CheckpointId>>,
    ) -> usize {
        let mut places = self.places();
        let own: Vec<Arc<Place>> =
            places.keys().filter(|place| place.thread == thread).cloned().collect();
        let facts: Vec<PlaceFacts> = own
            .iter()
            .map(|place| PlaceFacts { ns: place.ns.clone(), checkpoints: places[place].facts() })
            .collect();
        let mut forgotten = 0;
        for (place, doomed) in own.iter().zip(choose(&facts)) {
            let Some(shelf) = places.get_mut(place).filter(|_| !doomed.is_empty()) else {
                continue;
            };
            forgotten += doomed.len();
            shelf.forget(&doomed);
            if shelf.checkpoints.is_empty() {
                places.remove(place);
            }
        }
        forgotten
    }
}

#[async_trait]
impl Checkpointer for MemoryCheckpointer {
    async fn put(&self, commit: Commit) -> Result<(), Error> {
        let id = commit.checkpoint.id;
        let checkpoint = self.bytes_of(id, commit.checkpoint)?;
        let blobs = self.bytes_of(id, commit.blobs)?;
        let tasks = self.bytes_of(id, commit.tasks)?;
        let mut places = self.places();
        let shelf = places.entry(Arc::clone(&commit.place)).or_default();
        let head = shelf.checkpoints.keys().next_back().copied();
        // One that is newer than all others cannot be there yet.
        if head >= Some(id) && shelf.checkpoints.contains_key(&id) {
            return Ok(());
        }
        if let Head::Is(expected) = commit.expected_head
            && head != expected
        {
            return Err(Error::HeadMoved { thread: commit.place.thread.clone() });
        }
        if let Some(parent) = checkpoint.parent {
            for record in tasks {
                shelf.put_task(parent, record);
            }
        }
        for (key, blob) in blobs {
            shelf.blobs.insert((id, key), blob);
        }
        shelf.checkpoints.insert(id, checkpoint);
        Ok(())
    }

    async fn put_task(
        &self,
        place: &Place,
        checkpoint: CheckpointId,
        record: TaskRecord,
    ) -> Result<(), Error> {
        let record = self.bytes_of(checkpoint, record)?;
        let mut places = self.places();
        match places.get_mut(place) {
            Some(shelf) => shelf.put_task(checkpoint, record),
            None => places.entry(Arc::new(place.clone())).or_default().put_task(checkpoint, record),
        }
        Ok(())
    }

    fn keeps_values(&self) -> bool {
        !self.encoding
    }

    async fn load(&self, place: &Place, id: Option<CheckpointId>) -> Result<Option<Loaded>, Error> {
        let places = self.places();
        let Some(shelf) = places.get(place) else { return Ok(None) };
        let found = match id {
            Some(id) => shelf.checkpoints.get(&id),
            None => shelf.checkpoints.values().next_back(),
        };
        found.map(|checkpoint| shelf.loaded(checkpoint)).transpose()
    }

    async fn list(&self, place: &Place, filter: &Filter) -> Result<Vec<Loaded>, Error> {
        let places = self.places();
        let Some(shelf) = places.get(place) else { return Ok(Vec::new()) };
        let all: Box<dyn Iterator<Item = &Checkpoint> + Send> = match filter.branch {
            Some(branch) => {
                Box::new(line(branch, |id| shelf.checkpoints.get(&id).map(|found| &**found)))
            }
            None => Box::new(shelf.checkpoints.values().rev().map(|found| &**found)),
        };
        all.filter(|checkpoint| filter.admits(checkpoint))
            .take(filter.limit.unwrap_or(usize::MAX))
            .map(|checkpoint| shelf.loaded(checkpoint))
            .collect()
    }

    async fn delete_thread(&self, thread: &str) -> Result<(), Error> {
        self.places().retain(|place, _| place.thread != thread);
        Ok(())
    }

    async fn delete_for_runs(&self, thread: &str, runs: &[String]) -> Result<usize, Error> {
        Ok(self.forget(thread, |places| doomed_with_runs(places, runs)))
    }

    async fn copy_thread(&self, from: &str, to: &str) -> Result<(), Error> {
        if from == to {
            return Ok(());
        }
        let mut places = self.places();
        let at = |thread: &str, ns: &str| Place { thread: thread.to_owned(), ns: ns.to_owned() };
        let occupied = places.iter().filter(|(place, _)| place.thread == to).any(|(place, own)| {
            let source = places.get(&at(from, &place.ns));
            own.checkpoints
                .keys()
                .any(|id| source.is_none_or(|source| !source.checkpoints.contains_key(id)))
        });
        if occupied {
            return Err(Error::Occupied { thread: to.to_owned() });
        }
        let copies: Vec<(Arc<Place>, Shelf)> = places
            .iter()
            .filter(|(place, _)| place.thread == from)
            .map(|(place, shelf)| (Arc::new(at(to, &place.ns)), shelf.clone()))
            .collect();
        for (place, copy) in copies {
            let own = places.entry(place).or_default();
            // What both have stays as the copy has it.
            let before = std::mem::replace(own, copy);
            own.checkpoints.extend(before.checkpoints);
            own.blobs.extend(before.blobs);
            own.tasks.extend(before.tasks);
        }
        Ok(())
    }

    async fn prune(&self, thread: &str, keep: Retention) -> Result<usize, Error> {
        Ok(self.forget(thread, |places| keep.doomed(places)))
    }
}

/// A checkpoint and those it was made from, newest first, as far as they are known. A parent is
/// always older, so a damaged link cannot make it go in circles.
pub fn line<'a>(
    newest: CheckpointId,
    get: impl Fn(CheckpointId) -> Option<&'a Checkpoint>,
) -> impl Iterator<Item = &'a Checkpoint> {
    let mut next = get(newest);
    std::iter::from_fn(move || {
        let checkpoint = next?;
        next = checkpoint.parent.filter(|parent| *parent < checkpoint.id).and_then(&get);
        Some(checkpoint)
    })
}
