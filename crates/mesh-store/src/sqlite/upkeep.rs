//! Copying threads and forgetting parts of them. What may go is decided in
//! `mesh_graph::checkpointer`; one thread is gone through in one transaction.

use mesh_graph::{
    CheckpointId,
    checkpoint::{Blob, TaskRecord},
    checkpointer::{Error, Fact, PlaceFacts, Reach},
};
use rusqlite::{Connection, OptionalExtension};

use super::{
    Fault,
    checkpoints::{Outcome, Outline, StoredCheckpoint, bytes, from_bytes, records, stored_body},
    records::Referring,
};

/// Removes what `choose` picks from the places of a thread, and what only that needed.
pub(super) fn forget(
    connection: &Connection,
    thread: &str,
    choose: impl FnOnce(&[PlaceFacts]) -> Vec<Vec<CheckpointId>>,
) -> Outcome<usize> {
    let mut places = Vec::new();
    let mut facts = Vec::new();
    let mut statement =
        connection.prepare_cached("SELECT place, ns FROM places WHERE thread = ?")?;
    let rows = statement.query_map([thread], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?;
    for row in rows {
        let (place, ns) = row?;
        places.push(place);
        facts.push(PlaceFacts { ns, checkpoints: facts_of(connection, place)? });
    }
    let mut forgotten = 0;
    for (place, doomed) in places.into_iter().zip(choose(&facts)) {
        if doomed.is_empty() {
            continue;
        }
        forgotten += doomed.len();
        for id in doomed {
            let key = (place, bytes(id));
            connection
                .prepare_cached("DELETE FROM steps WHERE place = ? AND checkpoint = ?")?
                .execute(key)?;
        }
        let rest = connection
            .prepare_cached("SELECT 1 FROM checkpoints WHERE place = ?")?
            .exists([place])?;
        if rest {
            drop_blobs(connection, place)?;
        } else {
            connection.prepare_cached("DELETE FROM places WHERE place = ?")?.execute([place])?;
        }
    }
    touch(connection, thread)?;
    Ok(forgotten)
}

/// Changes nothing about the places of a thread. What the writer remembers of them is let go, as
/// with every change of a place's row: their checkpoints are not what they were.
fn touch(connection: &Connection, thread: &str) -> Outcome<()> {
    connection.prepare_cached("UPDATE places SET ns = ns WHERE thread = ?")?.execute([thread])?;
    Ok(())
}

fn facts_of(connection: &Connection, place: i64) -> Outcome<Vec<Fact>> {
    let mut statement = connection.prepare_cached(
        "SELECT checksum, body, refs, id, format FROM checkpoints WHERE place = ? ORDER BY id",
    )?;
    let mut facts = Vec::new();
    for row in statement.query_map([place], StoredCheckpoint::read)? {
        let checkpoint = row?.decode()?.checkpoint;
        let mut tasks: Vec<TaskRecord> = Vec::new();
        for stored in records(connection, place, checkpoint.id)? {
            tasks.push(stored.outline(checkpoint.id, "a task record")?.0);
        }
        facts.push(Fact::of(&checkpoint, &tasks));
    }
    Ok(facts)
}

/// Removes the values of a place that none of its checkpoints is made of.
fn drop_blobs(connection: &Connection, place: i64) -> Outcome<()> {
    let mut reach = Reach::default();
    let mut blob = connection.prepare_cached(
        "SELECT checksum, body FROM blobs WHERE place = ? AND key = ? AND at = ?",
    )?;
    let mut statement = connection.prepare_cached(
        "SELECT checksum, body, refs, id, format FROM checkpoints WHERE place = ?",
    )?;
    for row in statement.query_map([place], StoredCheckpoint::read)? {
        let Outline { checkpoint, refs } = row?.decode()?;
        if let (Some(refs), Some(input)) = (refs, &checkpoint.pending.input) {
            let updates = std::slice::from_ref(&input.writes);
            refs.blobs(updates).for_each(|(key, at)| reach.add_blob(key, at));
        }
        reach.add(&checkpoint, |key, at| -> Outcome<Option<CheckpointId>> {
            let row = blob.query_row((place, key, bytes(at)), stored_body).optional()?;
            let Some(row) = row else { return Ok(None) };
            Ok(row.decode::<Blob>(checkpoint.id, "a value")?.base())
        })?;
    }
    let mut statement = connection.prepare_cached(
        "SELECT checksum, body, refs, checkpoint FROM tasks WHERE place = ? AND refs IS NOT NULL",
    )?;
    let rows =
        statement.query_map([place], |row| Ok((Referring::read(row)?, from_bytes(row.get(3)?))))?;
    for row in rows {
        let (stored, checkpoint) = row?;
        let (record, refs) = stored.outline::<TaskRecord>(checkpoint, "a task record")?;
        if let (Some(refs), Some(commit)) = (refs, &record.commit) {
            refs.blobs(&commit.updates).for_each(|(key, at)| reach.add_blob(key, at));
        }
    }
    let mut statement = connection.prepare_cached("SELECT key, at FROM blobs WHERE place = ?")?;
    let rows = statement
        .query_map([place], |row| Ok((row.get::<_, String>(0)?, from_bytes(row.get(1)?))))?;
    let mut gone = Vec::new();
    for row in rows {
        let (key, at) = row?;
        if !reach.needs(&key, at) {
            gone.push((key, at));
        }
    }
    let mut delete =
        connection.prepare_cached("DELETE FROM blobs WHERE place = ? AND key = ? AND at = ?")?;
    for (key, at) in gone {
        delete.execute((place, key, bytes(at)))?;
    }
    Ok(())
}

/// Copies a thread row by row, as it is stored.
pub(super) fn copy(connection: &Connection, from: &str, to: &str) -> Outcome<()> {
    if from == to {
        return Ok(());
    }
    let occupied = connection
        .prepare_cached(
            "SELECT 1 FROM places p JOIN checkpoints c ON c.place = p.place
             WHERE p.thread = ?2 AND NOT EXISTS (
                 SELECT 1 FROM places q JOIN checkpoints d ON d.place = q.place
                 WHERE q.thread = ?1 AND q.ns = p.ns AND d.id = c.id
             )",
        )?
        .exists((from, to))?;
    if occupied {
        return Err(Fault::Refused(Error::Occupied { thread: to.to_owned() }));
    }
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO places (thread, ns)
             SELECT ?2, ns FROM places WHERE thread = ?1",
        )?
        .execute((from, to))?;
    for (table, columns) in [
        ("steps", "checkpoint, task, format, checksum, body, refs"),
        ("blobs", "key, at, checksum, body"),
    ] {
        connection
            .prepare_cached(&format!(
                "INSERT OR IGNORE INTO {table} (place, {columns})
                 SELECT q.place, {columns} FROM {table} t
                 JOIN places p ON p.place = t.place
                 JOIN places q ON q.thread = ?2 AND q.ns = p.ns
                 WHERE p.thread = ?1"
            ))?
            .execute((from, to))?;
    }
    touch(connection, to)
}
