//! How each value is stored once: what a task wrote, or an input brought, is a part of the next
//! checkpoint's values once its superstep is applied. It is stored there, and the record or the
//! waiting input refers to it.

use std::collections::HashMap;

use mesh_graph::{
    CheckpointId,
    checkpoint::{Blob, Checkpoint, Name, Payload, StoredWrite, TaskRecord},
    checkpointer::Error,
    stored,
};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Fault,
    checkpoints::{Outcome, bytes, checksum, stored_body},
};

/// Values up to this many bytes are stored twice: referring to them would take as much.
const REFERRED_MIN: usize = 24;

/// Where the values are that a record leaves out.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refs {
    /// The checkpoint whose blobs hold them.
    at: u128,
    /// Update of the task, write of the update, and part of the blob of the write's key.
    parts: Vec<(u32, u32, u32)>,
}

/// The values of a checkpoint that is being stored, to be referred to.
pub(super) struct Values<'a> {
    at: CheckpointId,
    by_key: HashMap<&'a str, Parts<'a>>,
}

struct Parts<'a> {
    blob: &'a Blob,
    /// Where to go on looking: records come in the order in which they were folded.
    next: usize,
}

impl<'a> Values<'a> {
    pub(super) fn of(at: CheckpointId, blobs: &'a [(Name, Blob)]) -> Self {
        let parts = |(key, blob): &'a (Name, Blob)| (&**key, Parts { blob, next: 0 });
        Self { at, by_key: blobs.iter().map(parts).collect() }
    }

    /// Empties the values of a record that are here, and says where they are.
    pub(super) fn take_from(&mut self, record: &mut TaskRecord) -> Option<Refs> {
        self.take(&mut record.commit.as_mut()?.updates)
    }

    /// Undoes what [`Values::take_from`] did to a record.
    pub(super) fn put_back(&mut self, record: &mut TaskRecord, refs: &Refs) {
        let Some(commit) = &mut record.commit else { return };
        for (update, position, part) in &refs.parts {
            let writes = commit.updates.get_mut(*update as usize);
            let Some(write) = writes.and_then(|writes| writes.get_mut(*position as usize)) else {
                continue;
            };
            let parts = self.by_key.get(&*write.key);
            if let Some(value) = parts.and_then(|parts| self::part(parts.blob, *part as usize)) {
                write.value = value.clone();
            }
        }
    }

    /// As [`Values::take_from`], for the input that a checkpoint waits to apply.
    pub(super) fn take_from_input(&mut self, checkpoint: &mut Checkpoint) -> Option<Refs> {
        let input = checkpoint.pending.input.as_mut()?;
        self.take(std::slice::from_mut(&mut input.writes))
    }

    fn take(&mut self, updates: &mut [Vec<StoredWrite>]) -> Option<Refs> {
        let mut refs = Refs { at: self.at.0, parts: Vec::new() };
        for (update, writes) in updates.iter_mut().enumerate() {
            for (position, write) in writes.iter_mut().enumerate() {
                // Handed over encoded; what is not is told when the record is.
                let Ok(value) = write.value.bytes() else { continue };
                if value.len() < REFERRED_MIN {
                    continue;
                }
                let parts = self.by_key.get_mut(&*write.key);
                if let Some(part) = parts.and_then(|parts| parts.find(value)) {
                    write.value = Payload::default();
                    refs.parts.push((update as u32, position as u32, part as u32));
                }
            }
        }
        Some(refs).filter(|refs| !refs.parts.is_empty())
    }
}

impl Parts<'_> {
    fn find(&mut self, value: &[u8]) -> Option<usize> {
        let count = match self.blob {
            Blob::Full(_) => 1,
            Blob::Delta { updates, .. } => updates.len(),
        };
        let found = (self.next..count).chain(0..self.next.min(count)).find(|part| {
            let part = self::part(self.blob, *part);
            part.is_some_and(|part| part.bytes().is_ok_and(|bytes| bytes == value))
        })?;
        self.next = found + 1;
        Some(found)
    }
}

fn part(blob: &Blob, part: usize) -> Option<&Payload> {
    match blob {
        Blob::Full(value) => (part == 0).then_some(value),
        Blob::Delta { updates, .. } => updates.get(part),
    }
}

pub(super) fn checksum_with(body: &[u8], refs: Option<&[u8]>) -> i64 {
    match refs {
        Some(refs) => checksum(&[body, refs].concat()),
        None => checksum(body),
    }
}

/// A row whose values may be elsewhere, and that was not looked into yet.
pub(super) struct Referring {
    checksum: i64,
    body: Vec<u8>,
    refs: Option<Vec<u8>>,
}

impl Referring {
    /// A row that begins with checksum, body and refs.
    pub(super) fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self { checksum: row.get(0)?, body: row.get(1)?, refs: row.get(2)? })
    }

    /// The value without what is elsewhere. `what` it is part of the message.
    pub(super) fn outline<T: DeserializeOwned>(
        &self,
        checkpoint: CheckpointId,
        what: &str,
    ) -> Outcome<(T, Option<Refs>)> {
        let damaged = |reason: String| {
            let reason = format!("{what} {reason}");
            Fault::Refused(Error::Damaged { id: checkpoint, reason })
        };
        if checksum_with(&self.body, self.refs.as_deref()) != self.checksum {
            return Err(damaged("does not have its checksum".to_owned()));
        }
        let unreadable = |error| damaged(format!("cannot be read: {error}"));
        let value = stored::decode(&self.body).map_err(unreadable)?;
        let refs = self.refs.as_deref().map(stored::decode).transpose().map_err(unreadable)?;
        Ok((value, refs))
    }

    /// A task record with all its values.
    pub(super) fn record(
        &self,
        connection: &Connection,
        place: i64,
        checkpoint: CheckpointId,
    ) -> Outcome<TaskRecord> {
        let (mut record, refs) = self.outline::<TaskRecord>(checkpoint, "a task record")?;
        if let (Some(refs), Some(commit)) = (refs, &mut record.commit) {
            refs.give_back(connection, place, checkpoint, &mut commit.updates)?;
        }
        Ok(record)
    }
}

impl Refs {
    /// Puts values back where they were taken from.
    pub(super) fn give_back(
        &self,
        connection: &Connection,
        place: i64,
        checkpoint: CheckpointId,
        updates: &mut [Vec<StoredWrite>],
    ) -> Outcome<()> {
        let missing = || {
            let reason = "a value that it refers to is missing".to_owned();
            Fault::Refused(Error::Damaged { id: checkpoint, reason })
        };
        let mut blobs: HashMap<Name, Blob> = HashMap::new();
        for (update, position, part) in &self.parts {
            let write = updates
                .get_mut(*update as usize)
                .and_then(|writes| writes.get_mut(*position as usize))
                .ok_or_else(missing)?;
            if !blobs.contains_key(&write.key) {
                let row = connection
                    .prepare_cached(
                        "SELECT checksum, body FROM blobs WHERE place = ? AND key = ? AND at = ?",
                    )?
                    .query_row((place, &*write.key, bytes(CheckpointId(self.at))), stored_body)
                    .optional()?
                    .ok_or_else(missing)?;
                blobs.insert(write.key.clone(), row.decode(checkpoint, "a value")?);
            }
            let value = blobs.get(&write.key).and_then(|blob| self::part(blob, *part as usize));
            write.value = value.ok_or_else(missing)?.clone();
        }
        Ok(())
    }

    /// The blobs that these values are in, by key.
    pub(super) fn blobs<'a>(
        &'a self,
        updates: &'a [Vec<StoredWrite>],
    ) -> impl Iterator<Item = (&'a str, CheckpointId)> {
        self.parts.iter().filter_map(|(update, position, _)| {
            let write = updates.get(*update as usize)?.get(*position as usize)?;
            Some((&*write.key, CheckpointId(self.at)))
        })
    }
}
