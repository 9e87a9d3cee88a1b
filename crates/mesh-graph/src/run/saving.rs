//! What a run stores, and when: checkpoints as the durability says, each after the one before.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::{
    channel::KeyError,
    checkpoint::{Blob, CheckpointId, Name, Place, Source, TaskCommit, TaskRecord},
    checkpointer::{Checkpointer, Commit, Head},
    error::Error,
    live::{Entry, Facts, Size, payload},
    payload::Payload,
    superstep::{self, Change},
};

use super::{
    Durability, Keep,
    driver::{Driver, Unsaved},
    telling::Standing,
};

impl Driver {
    pub(super) fn exits_only(&self) -> bool {
        self.shared.limits.durability == Durability::Exit
    }

    /// Makes the state a checkpoint. `written` and `records`, which are the parent's tasks, hold the
    /// stored form of the writes that `changes` refer to.
    pub(crate) async fn save(
        &mut self,
        source: Source,
        changes: &[Change],
        written: &Written,
        records: Vec<TaskRecord>,
    ) -> Result<(), Error> {
        let Some((checkpointer, place)) = self.storage() else { return Ok(()) };
        self.command = None;
        self.standing = Some(Standing::own(source));
        let between = std::mem::take(&mut self.between);
        if self.exits_only() {
            let channels = self.core().schema.channels().len();
            let unsaved = self.unsaved.get_or_insert_with(|| Unsaved {
                origin: self.live.id,
                channels: vec![false; channels],
                source,
            });
            unsaved.source = source;
            for channel in changes.iter().map(|change| change.channel).chain(between) {
                unsaved.channels[channel] = true;
            }
            // Task ids need a checkpoint of their own even while it is not saved.
            self.live.id = Some(CheckpointId(self.shared.env.new_id()));
            return Ok(());
        }
        let id = CheckpointId(self.shared.env.new_id());
        let parent = self.live.id.replace(id);
        self.live.parent = parent;
        let mut blobs = Vec::with_capacity(changes.len() + between.len());
        for change in changes.iter().filter(|change| !between.contains(&change.channel)) {
            self.blob(id, change, |place| written.value(&records, place), &mut blobs);
        }
        for (position, channel) in between.iter().enumerate() {
            if !between[..position].contains(channel) {
                self.full_blob(id, *channel, None, &mut blobs);
            }
        }
        self.made_blob(id, &mut blobs)?;
        let commit = self.commit(place, id, source, parent, blobs, records)?;
        self.tell_ahead(source).await?;
        self.put(checkpointer, commit).await
    }

    pub(super) fn commit(
        &mut self,
        place: Arc<Place>,
        id: CheckpointId,
        source: Source,
        head: Option<CheckpointId>,
        blobs: Vec<(Name, Blob)>,
        tasks: Vec<TaskRecord>,
    ) -> Result<Commit, Error> {
        let facts = Facts {
            at_ms: self.shared.env.now_ms(),
            run_id: Some(&self.shared.run_id).filter(|id| !id.is_empty()),
            run_steps: self.steps,
            parents: &self.shared.parents,
            metadata: &self.shared.metadata,
            caller: self.shared.above.caller,
        };
        let checkpoint = self.live.checkpoint(&self.shared.core, id, source, &facts);
        if self.shared.keep() == Keep::Bytes {
            checkpoint.pending.encode().map_err(Error::Unserializable)?;
            for (key, blob) in &blobs {
                let wrap =
                    |source| Error::Unserializable(KeyError { key: key.to_string(), source });
                blob.encode().map_err(wrap)?;
            }
        }
        let expected_head =
            if std::mem::take(&mut self.branching) { Head::Any } else { Head::Is(head) };
        Ok(Commit { place, checkpoint: Box::new(checkpoint), blobs, tasks, expected_head })
    }

    /// Hands a checkpoint to storage after the one before it has arrived there.
    pub(super) async fn put(
        &mut self,
        checkpointer: Arc<dyn Checkpointer>,
        commit: Commit,
    ) -> Result<(), Error> {
        self.settle().await?;
        if self.shared.limits.durability != Durability::Async {
            return Ok(checkpointer.put(commit).await?);
        }
        let mut saving: BoxFuture<'static, _> =
            Box::pin(async move { checkpointer.put(commit).await });
        match futures::poll!(&mut saving) {
            std::task::Poll::Ready(saved) => saved?,
            std::task::Poll::Pending => self.saving = Some(saving),
        }
        Ok(())
    }

    /// Waits for the checkpoint on its way.
    pub(crate) async fn settle(&mut self) -> Result<(), Error> {
        match self.saving.take() {
            Some(saving) => Ok(saving.await?),
            None => Ok(()),
        }
    }

    /// With [`Durability::Exit`]: saves what the run changed, as one checkpoint.
    pub(super) async fn save_exit(&mut self) -> Result<(), Error> {
        let Some(unsaved) = self.unsaved.take() else { return Ok(()) };
        let Some((checkpointer, place)) = self.storage() else { return Ok(()) };
        let id = self.base();
        self.live.parent = unsaved.origin;
        let mut blobs = Vec::new();
        for (channel, changed) in unsaved.channels.iter().enumerate() {
            if *changed {
                self.full_blob(id, channel, None, &mut blobs);
            }
        }
        self.made_blob(id, &mut blobs)?;
        let commit = self.commit(place, id, unsaved.source, unsaved.origin, blobs, Vec::new())?;
        self.put(checkpointer, commit).await?;
        // The checkpoints in between were never there; this one is.
        self.tell_last_checkpoint().await
    }

    /// The stored form of the writes that were logged since the last checkpoint.
    fn made_blob(&mut self, id: CheckpointId, blobs: &mut Vec<(Name, Blob)>) -> Result<(), Error> {
        if let Some(made) = &mut self.live.made {
            let blob = made.blob(&self.shared.core.schema, id, self.live.version);
            blobs.extend(blob.map_err(Error::Unserializable)?);
        }
        Ok(())
    }

    /// The stored form of a changed channel, and where it is from now on.
    fn blob<'a>(
        &mut self,
        id: CheckpointId,
        change: &Change,
        written: impl Fn(superstep::Place) -> Option<&'a Payload>,
        blobs: &mut Vec<(Name, Blob)>,
    ) {
        let entry = self.live.entries[change.channel];
        let depth = entry.map_or(0, |entry| entry.depth) + change.folded.len() as u32;
        if change.folded.is_empty() || entry.is_some_and(|entry| entry.size.is_due(depth)) {
            let reuse = change.replaced_by.and_then(&written);
            self.full_blob(id, change.channel, reuse, blobs);
            return;
        }
        let updates: Option<Vec<Payload>> =
            change.folded.iter().map(|place| written(*place).cloned()).collect();
        let Some(updates) = updates else {
            self.full_blob(id, change.channel, None, blobs);
            return;
        };
        let base = entry.map(|entry| entry.at);
        let mut size = entry.map_or(Size::default(), |entry| entry.size);
        size.added += updates.iter().map(Payload::size).sum::<usize>();
        let key = Name::from(&**self.core().schema.key(change.channel));
        blobs.push((key, Blob::Delta { base, updates }));
        self.live.entries[change.channel] =
            Some(Entry { version: self.live.version, at: id, depth, size });
    }

    pub(super) fn full_blob(
        &mut self,
        id: CheckpointId,
        channel: usize,
        reuse: Option<&Payload>,
        blobs: &mut Vec<(Name, Blob)>,
    ) {
        let core = Arc::clone(self.core());
        let rule = &core.schema.channels()[channel].rule;
        let entry = match self.live.values.get(channel) {
            Some(value) if rule.stored() => {
                let value = reuse.cloned().unwrap_or_else(|| payload(&core.schema, channel, value));
                // What is not encoded yet is about as long as what was folded into it.
                let before = self.live.entries[channel].map_or(Size::default(), |e| e.size);
                let whole = match value.size() {
                    0 => before.whole + before.added,
                    size => size,
                };
                let size = Size { whole, added: 0 };
                blobs.push((Name::from(&**core.schema.key(channel)), Blob::Full(value)));
                Some(Entry { version: self.live.version, at: id, depth: 0, size })
            }
            _ => None,
        };
        self.live.entries[channel] = entry;
    }
}

/// The stored form of the writes of one superstep, by task, where the tasks' records have none or
/// only a part of it.
#[derive(Default)]
pub(crate) struct Written(pub(crate) Vec<Option<Box<TaskCommit>>>);

impl Written {
    fn value<'a>(
        &'a self,
        records: &'a [TaskRecord],
        (task, update, write): superstep::Place,
    ) -> Option<&'a Payload> {
        let commit = match self.0.get(task)? {
            Some(commit) => commit,
            None => records.get(task)?.commit.as_ref()?,
        };
        Some(&commit.updates.get(update)?.get(write)?.value)
    }
}
