//! Checkpoints in SQLite. What they mean is decided in `mesh_graph::checkpointer`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mesh_graph::{
    CheckpointId, Checkpointer,
    checkpoint::{Checkpoint, Place, TaskRecord},
    checkpointer::{
        Commit, Error, Filter, Head, Loaded, Retention, chain, check_format, doomed_with_runs,
        merge_record, sort_records,
    },
    stored,
};
use mesh_runtime::ledger::{Ride, Rider};
use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    Fault, Sqlite,
    known::{Known, Standing},
    ledger::Rows,
    readers::Readers,
    records::{Referring, Refs, Values, checksum_with},
    upkeep,
    writer::Unanswered,
};

/// Keeps checkpoints in a [`Sqlite`] database; made by [`Sqlite::checkpointer`].
#[derive(Clone)]
pub struct SqliteCheckpointer {
    database: Sqlite,
    /// What goes along with every write of a run.
    rider: Option<Arc<dyn Rider>>,
    /// The writes of that run.
    own: Unanswered,
}

impl std::fmt::Debug for SqliteCheckpointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteCheckpointer")
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

impl SqliteCheckpointer {
    pub(super) fn new(database: Sqlite) -> Self {
        Self { database, rider: None, own: Unanswered::default() }
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.database.inner.known)
    }

    pub(super) fn with(database: Sqlite, rider: Arc<dyn Rider>) -> Self {
        Self { database, rider: Some(rider), own: Unanswered::default() }
    }

    /// Looks at one checkpoint, behind every write that could change it. A rider refuses what is
    /// left of other runs, so among its own writes those of this run are all there are.
    async fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T, Error> {
        if self.rider.is_some() && !self.own.any() {
            return Readers::look(self.database.answered(), operation).await;
        }
        self.database.look(operation).await
    }

    /// Writes, and after it in the same transaction what goes along with it: of a write that was
    /// refused nothing has gone along.
    async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Result<T, Error> {
        let Some(rider) = &self.rider else { return self.database.write(operation).await };
        // Between the operation and what is told after it, on one thread: the lock never waits.
        let ride = Arc::new(Mutex::new(Some(rider.board())));
        let after = Arc::clone(&ride);
        let (note, tell) = self.database.listeners().telling();
        let counted = self.own.count();
        let then = move |committed: bool| {
            drop(counted);
            if let Some(ride) = locked(&after).take() {
                ride.ended(committed);
            }
            tell(committed);
        };
        let with_ride = move |connection: &Connection| {
            let given = operation(connection)?;
            if let Some(ride) = &mut *locked(&ride) {
                let mut rows = Rows::new(connection);
                let written = ride.write(&mut rows);
                written.map_err(|error| Fault::Refused(Error::Storage(Box::new(error))))?;
                note.take(rows.added);
            }
            Ok(given)
        };
        self.database.write_then(with_ride, Some(Box::new(then))).await
    }
}

type Riding = Mutex<Option<Box<dyn Ride>>>;

fn locked(ride: &Riding) -> MutexGuard<'_, Option<Box<dyn Ride>>> {
    ride.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) type Outcome<T> = Result<T, Fault<Error>>;

#[async_trait]
impl Checkpointer for SqliteCheckpointer {
    async fn put(&self, commit: Commit) -> Result<(), Error> {
        let known = self.known();
        self.write(move |connection| put(connection, &known, commit)).await
    }

    async fn put_task(
        &self,
        place: &Place,
        checkpoint: CheckpointId,
        record: TaskRecord,
    ) -> Result<(), Error> {
        let (known, place) = (self.known(), place.clone());
        self.write(move |connection| {
            let place = make_place(connection, &known, &place)?.place;
            put_record(connection, place, checkpoint, record, None)
        })
        .await
    }

    async fn load(&self, place: &Place, id: Option<CheckpointId>) -> Result<Option<Loaded>, Error> {
        let place = place.clone();
        self.read(move |connection| load(connection, &place, id)).await
    }

    async fn list(&self, place: &Place, filter: &Filter) -> Result<Vec<Loaded>, Error> {
        let (place, filter) = (place.clone(), filter.clone());
        self.database.read(move |connection| list(connection, &place, &filter)).await
    }

    async fn delete_thread(&self, thread: &str) -> Result<(), Error> {
        let thread = thread.to_owned();
        self.database
            .write(move |connection| {
                connection
                    .prepare_cached("DELETE FROM places WHERE thread = ?")?
                    .execute([thread])?;
                Ok(())
            })
            .await
    }

    async fn delete_for_runs(&self, thread: &str, runs: &[String]) -> Result<usize, Error> {
        let (thread, runs) = (thread.to_owned(), runs.to_vec());
        self.database
            .write(move |connection| {
                upkeep::forget(connection, &thread, |places| doomed_with_runs(places, &runs))
            })
            .await
    }

    async fn copy_thread(&self, from: &str, to: &str) -> Result<(), Error> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.database.write(move |connection| upkeep::copy(connection, &from, &to)).await
    }

    async fn prune(&self, thread: &str, keep: Retention) -> Result<usize, Error> {
        let thread = thread.to_owned();
        self.database
            .write(move |connection| {
                upkeep::forget(connection, &thread, |places| keep.doomed(places))
            })
            .await
    }
}

// ---- writing ----

fn put(connection: &Connection, known: &Known, commit: Commit) -> Outcome<()> {
    let id = commit.checkpoint.id;
    let Standing { place, head: newest } = make_place(connection, known, &commit.place)?;
    // One that is newer than all others cannot be there yet.
    if newest.is_some_and(|newest| newest >= id) && find(connection, place, id)?.is_some() {
        return Ok(());
    }
    if let Head::Is(expected) = commit.expected_head
        && newest != expected
    {
        return Err(Fault::Refused(Error::HeadMoved { thread: commit.place.thread.clone() }));
    }
    if let Some(parent) = commit.checkpoint.parent {
        let mut values = Values::of(id, &commit.blobs);
        if commit.tasks.is_empty() {
            shorten_input(connection, place, parent, &mut values)?;
        }
        for record in commit.tasks {
            put_record(connection, place, parent, record, Some(&mut values))?;
        }
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO blobs (place, key, at, checksum, body) VALUES (?, ?, ?, ?, ?)",
    )?;
    for (key, blob) in &commit.blobs {
        let body = encode(blob)?;
        insert.execute((place, &**key, bytes(id), checksum(&body), body))?;
    }
    let body = encode(&commit.checkpoint)?;
    connection
        .prepare_cached(
            "INSERT INTO steps (place, checkpoint, task, format, checksum, body)
             VALUES (?, ?, x'', ?, ?, ?)",
        )?
        .execute((place, bytes(id), commit.checkpoint.v, checksum(&body), body))?;
    known.learn(&commit.place, Standing { place, head: newest.max(Some(id)) });
    Ok(())
}

/// An input that has just been applied is among the values of the checkpoint that is being stored:
/// its parent needs only refer to it. A superstep without records is the one that applies an input.
fn shorten_input(
    connection: &Connection,
    place: i64,
    parent: CheckpointId,
    values: &mut Values<'_>,
) -> Outcome<()> {
    let Some(Outline { mut checkpoint, refs: None }) = find(connection, place, parent)? else {
        return Ok(());
    };
    let Some(refs) = values.take_from_input(&mut checkpoint) else { return Ok(()) };
    let (body, refs) = (encode(&checkpoint)?, encode(&refs)?);
    let checksum = checksum_with(&body, Some(&refs));
    connection
        .prepare_cached(
            "UPDATE steps SET checksum = ?, body = ?, refs = ?
             WHERE place = ? AND checkpoint = ? AND task = x''",
        )?
        .execute((checksum, body, refs, place, bytes(parent)))?;
    Ok(())
}

/// Stores or merges a record. Values that are among those of the checkpoint that is being stored
/// with it are only referred to.
fn put_record(
    connection: &Connection,
    place: i64,
    checkpoint: CheckpointId,
    record: TaskRecord,
    values: Option<&mut Values<'_>>,
) -> Outcome<()> {
    let key = (place, bytes(checkpoint), record.id.0.to_be_bytes());
    let (mut record, mut values) = (record, values);
    let refs = values.as_mut().and_then(|values| values.take_from(&mut record));
    // Most records are new.
    let row = RecordRow::of(&record, refs.as_ref())?;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO steps (place, checkpoint, task, checksum, body, refs)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )?
        .execute((key.0, key.1, key.2, row.checksum, row.body, row.refs))?;
    if inserted > 0 {
        return Ok(());
    }
    let mut merged = connection
        .prepare_cached(
            "SELECT checksum, body, refs FROM tasks
             WHERE place = ? AND checkpoint = ? AND task = ?",
        )?
        .query_row(key, Referring::read)?
        .record(connection, place, checkpoint)?;
    if let (Some(values), Some(refs)) = (&mut values, &refs) {
        values.put_back(&mut record, refs);
    }
    merge_record(&mut merged, record);
    let refs = values.and_then(|values| values.take_from(&mut merged));
    let row = RecordRow::of(&merged, refs.as_ref())?;
    connection
        .prepare_cached(
            "UPDATE steps SET checksum = ?4, body = ?5, refs = ?6
             WHERE place = ?1 AND checkpoint = ?2 AND task = ?3",
        )?
        .execute((key.0, key.1, key.2, row.checksum, row.body, row.refs))?;
    Ok(())
}

/// The columns of a task's row that hold what is known of it.
struct RecordRow {
    checksum: i64,
    body: Vec<u8>,
    refs: Option<Vec<u8>>,
}

impl RecordRow {
    fn of(record: &TaskRecord, refs: Option<&Refs>) -> Outcome<Self> {
        let body = encode(record)?;
        let refs = refs.map(encode).transpose()?;
        Ok(Self { checksum: checksum_with(&body, refs.as_deref()), body, refs })
    }
}

/// Where a place stands. It gets a number when it is written to for the first time.
fn make_place(connection: &Connection, known: &Known, place: &Place) -> Outcome<Standing> {
    if let Some(standing) = known.get(place) {
        return Ok(standing);
    }
    let standing = if let Some(number) = find_place(connection, place)? {
        Standing { place: number, head: head(connection, number)? }
    } else {
        connection
            .prepare_cached("INSERT INTO places (thread, ns) VALUES (?, ?)")?
            .execute((&place.thread, &place.ns))?;
        Standing { place: connection.last_insert_rowid(), head: None }
    };
    known.learn(place, standing);
    Ok(standing)
}

// ---- reading ----

fn find_place(connection: &Connection, place: &Place) -> Outcome<Option<i64>> {
    let found = connection
        .prepare_cached("SELECT place FROM places WHERE thread = ? AND ns = ?")?
        .query_row((&place.thread, &place.ns), |row| row.get(0))
        .optional()?;
    Ok(found)
}

fn head(connection: &Connection, place: i64) -> Outcome<Option<CheckpointId>> {
    let newest = connection
        .prepare_cached("SELECT id FROM checkpoints WHERE place = ? ORDER BY id DESC LIMIT 1")?
        .query_row([place], |row| row.get::<_, [u8; 16]>(0))
        .optional()?;
    Ok(newest.map(from_bytes))
}

fn load(
    connection: &Connection,
    place: &Place,
    id: Option<CheckpointId>,
) -> Outcome<Option<Loaded>> {
    let Some(place) = find_place(connection, place)? else { return Ok(None) };
    let Some(id) = id.map_or_else(|| head(connection, place), |id| Ok(Some(id)))? else {
        return Ok(None);
    };
    find(connection, place, id)?.map(|found| fill(connection, place, found)).transpose()
}

pub(super) fn list(
    connection: &Connection,
    place: &Place,
    filter: &Filter,
) -> Outcome<Vec<Loaded>> {
    let Some(place) = find_place(connection, place)? else { return Ok(Vec::new()) };
    let limit = filter.limit.unwrap_or(usize::MAX);
    if let Some(branch) = filter.branch {
        return list_line(connection, place, branch, filter, limit);
    }
    // Two statements, so that each is a plain range of the primary key.
    let (sql, before) = match filter.before {
        Some(before) => (
            "SELECT checksum, body, refs, id, format FROM checkpoints
             WHERE place = ? AND id < ? ORDER BY id DESC",
            before,
        ),
        None => (
            "SELECT checksum, body, refs, id, format FROM checkpoints
             WHERE place = ? AND id <= ? ORDER BY id DESC",
            CheckpointId(u128::MAX),
        ),
    };
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map((place, bytes(before)), StoredCheckpoint::read)?;
    let mut listed = Vec::new();
    for row in rows {
        if listed.len() == limit {
            break;
        }
        let outline = row?.decode()?;
        if filter.admits(&outline.checkpoint) {
            listed.push(fill(connection, place, outline)?);
        }
    }
    Ok(listed)
}

/// Follows the parents from `branch` on. A parent is always older, so a damaged link cannot make
/// it go in circles.
fn list_line(
    connection: &Connection,
    place: i64,
    branch: CheckpointId,
    filter: &Filter,
    limit: usize,
) -> Outcome<Vec<Loaded>> {
    let mut listed = Vec::new();
    let mut next = Some(branch);
    while let Some(id) = next
        && listed.len() < limit
    {
        let Some(outline) = find(connection, place, id)? else { break };
        next = outline.checkpoint.parent.filter(|parent| *parent < id);
        if filter.admits(&outline.checkpoint) {
            listed.push(fill(connection, place, outline)?);
        }
    }
    Ok(listed)
}

fn find(connection: &Connection, place: i64, id: CheckpointId) -> Outcome<Option<Outline>> {
    let found = connection
        .prepare_cached(
            "SELECT checksum, body, refs, id, format FROM checkpoints WHERE place = ? AND id = ?",
        )?
        .query_row((place, bytes(id)), StoredCheckpoint::read)
        .optional()?;
    found.map(|found| found.decode()).transpose()
}

/// Adds the values and the task records of a checkpoint.
fn fill(connection: &Connection, place: i64, outline: Outline) -> Outcome<Loaded> {
    let Outline { mut checkpoint, refs } = outline;
    let id = checkpoint.id;
    if let (Some(refs), Some(input)) = (refs, &mut checkpoint.pending.input) {
        refs.give_back(connection, place, id, std::slice::from_mut(&mut input.writes))?;
    }
    let mut blobs = connection.prepare_cached(
        "SELECT checksum, body FROM blobs WHERE place = ? AND key = ? AND at = ?",
    )?;
    let mut values = Vec::with_capacity(checkpoint.channels.len());
    for entry in &checkpoint.channels {
        // `chain` speaks the language of checkpointers; what SQLite says passes by it.
        let mut failed = None;
        let parts = chain(id, entry.at, |at| {
            let row = blobs.query_row((place, &*entry.key, bytes(at)), stored_body).optional();
            match row {
                Ok(Some(row)) => row.open(id, "a value").map(Some),
                Ok(None) => Ok(None),
                Err(error) => {
                    failed = Some(error);
                    Ok(None)
                }
            }
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        values.push(parts.map_err(Fault::Refused)?);
    }
    let mut tasks = Vec::new();
    for stored in records(connection, place, id)? {
        tasks.push(stored.record(connection, place, id)?);
    }
    sort_records(&mut tasks);
    Ok(Loaded { checkpoint, values, tasks })
}

/// The records beside a checkpoint, not looked into yet.
pub(super) fn records(
    connection: &Connection,
    place: i64,
    checkpoint: CheckpointId,
) -> Outcome<Vec<Referring>> {
    let mut statement = connection.prepare_cached(
        "SELECT checksum, body, refs FROM tasks WHERE place = ? AND checkpoint = ?",
    )?;
    let rows = statement.query_map((place, bytes(checkpoint)), Referring::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

// ---- the stored form ----

pub(super) fn bytes(id: CheckpointId) -> [u8; 16] {
    id.0.to_be_bytes()
}

pub(super) fn from_bytes(bytes: [u8; 16]) -> CheckpointId {
    CheckpointId(u128::from_be_bytes(bytes))
}

/// SQLite does not notice a flipped bit inside a value; this does.
pub(super) fn checksum(body: &[u8]) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(body).as_bytes()[..8]);
    i64::from_be_bytes(first)
}

pub(super) fn encode<T: serde::Serialize>(value: &T) -> Outcome<Vec<u8>> {
    stored::encode(value).map_err(|error| Fault::Refused(Error::Storage(Box::new(error))))
}

/// A body that was not looked into yet.
pub(super) struct Stored {
    checksum: i64,
    body: Vec<u8>,
}

pub(super) fn stored_body(row: &Row<'_>) -> Result<Stored, rusqlite::Error> {
    Ok(Stored { checksum: row.get(0)?, body: row.get(1)? })
}

impl Stored {
    /// The value, if nothing happened to it. `what` it is part of the message.
    fn open<T: serde::de::DeserializeOwned>(
        &self,
        id: CheckpointId,
        what: &str,
    ) -> Result<T, Error> {
        if checksum(&self.body) != self.checksum {
            let reason = format!("{what} does not have its checksum");
            return Err(Error::Damaged { id, reason });
        }
        stored::decode(&self.body)
            .map_err(|error| Error::Damaged { id, reason: format!("{what}: {error}") })
    }

    pub(super) fn decode<T: serde::de::DeserializeOwned>(
        &self,
        id: CheckpointId,
        what: &str,
    ) -> Outcome<T> {
        self.open(id, what).map_err(Fault::Refused)
    }
}

/// A checkpoint without the values of its input that are elsewhere.
pub(super) struct Outline {
    pub(super) checkpoint: Checkpoint,
    pub(super) refs: Option<Refs>,
}

pub(super) struct StoredCheckpoint {
    id: CheckpointId,
    format: u16,
    stored: Referring,
}

impl StoredCheckpoint {
    pub(super) fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self { id: from_bytes(row.get(3)?), format: row.get(4)?, stored: Referring::read(row)? })
    }

    /// Another format is told before its unknown layout is looked at.
    pub(super) fn decode(&self) -> Outcome<Outline> {
        check_format(self.id, self.format).map_err(Fault::Refused)?;
        let (checkpoint, refs) = self.stored.outline(self.id, "the checkpoint")?;
        Ok(Outline { checkpoint, refs })
    }
}
