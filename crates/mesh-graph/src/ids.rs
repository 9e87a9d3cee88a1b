//! Ids for the parts of an update that need one, such as messages.
//!
//! They are given before the update is stored or shown, so that whoever sees it sees the same ids.
//! They follow from the task: a task that runs again gives the same ids, a fork gives others.

use crate::{
    checkpoint::TaskId, error::Failure, graph::Core, interrupt::first_128, reducer::ReduceError,
    state::Update,
};

/// Ids for one task's updates, in order; see [`crate::reducer::Reduce::prepare`].
pub struct Ids<'a> {
    seed: &'a dyn Fn() -> TaskId,
    /// Hashing the task's id is put off until the first id is wanted.
    task: Option<TaskId>,
    given: u64,
}

impl<'a> Ids<'a> {
    pub(crate) fn new(seed: &'a dyn Fn() -> TaskId) -> Self {
        Self { seed, task: None, given: 0 }
    }

    /// The next id: a UUID's text that follows from the task and from how many came before.
    pub fn give(&mut self) -> String {
        let task = *self.task.get_or_insert_with(self.seed);
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"part").update(&task.0.to_be_bytes()).update(&self.given.to_be_bytes());
        self.given += 1;
        uuid::Uuid::from_u128(first_128(&hasher.finalize())).to_string()
    }
}

impl std::fmt::Debug for Ids<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ids").field("given", &self.given).finish_non_exhaustive()
    }
}

/// Lets every reducer make its writes ready to be stored.
pub(crate) fn prepare(
    core: &Core,
    updates: &mut [Update],
    seed: &dyn Fn() -> TaskId,
) -> Result<(), Failure> {
    let mut ids = Ids::new(seed);
    for write in updates.iter_mut().flat_map(|update| &mut update.writes) {
        // A write outside the schema is reported where its type is checked.
        if let Some(channel) = core.schema.channels().get(write.channel)
            && let crate::channel::Rule::Reduce(reducer) = &channel.rule
        {
            let refused = |error: ReduceError| Failure::reducer(&channel.key, &error);
            reducer.prepare(&mut write.value, write.overwrite, &mut ids).map_err(refused)?;
        }
    }
    Ok(())
}
