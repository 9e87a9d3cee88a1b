//! The writes that a graph has made since its input, for a parent that replays them.
//!
//! Kept beside the values of the graph and stored like the updates of a list: every checkpoint
//! holds what its step added. Only graphs that are mounted with [`crate::Sharing::Writes`] have it.

use std::sync::Arc;

use crate::{
    channel::{KeyError, Schema},
    checkpoint::{Blob, ChannelEntry, CheckpointId, Name, Payload, StoredWrite},
    checkpointer::Loaded,
    graph::START_ID,
    live::{Entry, Size, decode_writes, encode_writes},
    state::{Update, Write},
    stored,
    superstep::Done,
    value::CodecError,
};

/// Where the log is kept among the values of a checkpoint. No field of a struct is called so.
const KEY: &str = "|made|";

/// The log of a graph's writes.
pub(crate) struct Made {
    /// The channels whose writes are logged, by index.
    watched: Arc<[bool]>,
    /// All writes since the input, in apply order.
    pub(crate) writes: Vec<Write>,
    /// How many of them are stored.
    stored: usize,
    entry: Option<Entry>,
}

impl Made {
    /// An empty log of these channels.
    pub(crate) fn new(watched: Arc<[bool]>) -> Self {
        Self { watched, writes: Vec::new(), stored: 0, entry: None }
    }

    /// The log as a stored checkpoint has it.
    pub(crate) fn restore(
        watched: Arc<[bool]>,
        schema: &Schema,
        loaded: &Loaded,
    ) -> Result<Self, KeyError> {
        let mut made = Self::new(watched);
        let stored = loaded.checkpoint.channels.iter().zip(&loaded.values);
        let Some((entry, blobs)) = stored.into_iter().find(|(entry, _)| entry.key == KEY) else {
            return Ok(made);
        };
        let unreadable = |source: CodecError| KeyError { key: KEY.to_owned(), source };
        let mut writes: Vec<StoredWrite> = Vec::new();
        for blob in blobs {
            match blob {
                Blob::Full(whole) => {
                    writes = whole.bytes().and_then(stored::decode).map_err(unreadable)?;
                }
                Blob::Delta { updates, .. } => {
                    for update in updates {
                        writes.push(update.bytes().and_then(stored::decode).map_err(unreadable)?);
                    }
                }
            }
        }
        made.writes = decode_writes(schema, &writes)?.writes.into_vec();
        made.stored = made.writes.len();
        made.entry = Some(Entry::restored(entry, blobs));
        Ok(made)
    }

    /// Whether a stored entry is that of a log.
    pub(crate) fn is_entry(entry: &ChannelEntry) -> bool {
        entry.key == KEY
    }

    /// The logged writes among the results of a superstep. What START writes is the input.
    pub(crate) fn pick(&self, done: &[Done<'_>]) -> Vec<Write> {
        done.iter()
            .filter(|(planned, _)| planned.node != START_ID)
            .flat_map(|(_, effect)| &effect.updates)
            .flat_map(|update| &update.writes)
            .filter(|write| self.watched[write.channel])
            .cloned()
            .collect()
    }

    /// Begins anew, for a new input.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(Arc::clone(&self.watched));
    }

    /// The same log for another place, which has nothing of it yet.
    pub(crate) fn forget_place(&mut self) {
        self.stored = 0;
        self.entry = None;
    }

    /// The stored form of what was added since the checkpoint before `id`, if anything was.
    pub(crate) fn blob(
        &mut self,
        schema: &Schema,
        id: CheckpointId,
        version: u64,
    ) -> Result<Option<(Name, Blob)>, KeyError> {
        if self.stored == self.writes.len() {
            return Ok(None);
        }
        let unserializable = |source: CodecError| KeyError { key: KEY.to_owned(), source };
        let added = self.writes.len() - self.stored;
        let depth = self.entry.map_or(0, |entry| entry.depth).saturating_add(added as u32);
        let size = self.entry.map_or(Size::default(), |entry| entry.size);
        let whole = size.is_due(depth);
        let from = if whole { 0 } else { self.stored };
        let mut writes = Update::default();
        writes.writes.extend(self.writes[from..].iter().cloned());
        let writes = encode_writes(schema, &writes);
        let blob = if whole {
            Blob::Full(stored::encode(&writes).map_err(unserializable)?.into())
        } else {
            let updates: Result<Vec<Payload>, CodecError> =
                writes.iter().map(|write| stored::encode(write).map(Payload::from)).collect();
            Blob::Delta {
                base: self.entry.map(|entry| entry.at),
                updates: updates.map_err(unserializable)?,
            }
        };
        self.stored = self.writes.len();
        let mut size = size;
        let added = Size::of(std::slice::from_ref(&blob));
        if whole {
            size = added;
        } else {
            size.added += added.added;
        }
        let depth = if whole { 0 } else { depth };
        self.entry = Some(Entry { version, at: id, depth, size });
        Ok(Some((KEY.into(), blob)))
    }

    /// The log's entry in a checkpoint.
    pub(crate) fn channel_entry(&self) -> Option<ChannelEntry> {
        self.entry.map(|entry| ChannelEntry {
            key: KEY.into(),
            version: entry.version,
            at: entry.at,
            depth: entry.depth,
        })
    }
}
