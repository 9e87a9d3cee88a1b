//! The logs of threads in SQLite: rows side by side in the order in which they are read.

use std::sync::Arc;

use bytes::Bytes;
use mesh_runtime::{
    Error,
    log::{Entry, LogRows},
};
use rusqlite::{OptionalExtension, Row};
use uuid::Uuid;

use super::ledger::{Rows, failed};

impl LogRows for Rows<'_> {
    fn append(
        &mut self,
        thread: &str,
        run: Uuid,
        epoch: u64,
        entries: &mut [Entry],
    ) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        let (number, mut seq) = self
            .connection
            .prepare_cached(
                "UPDATE threads SET next_seq = next_seq + ?2 WHERE id = ?1
                 RETURNING number, next_seq - ?2",
            )
            .and_then(|mut update| {
                update
                    .query_row((thread, entries.len() as i64), |row| {
                        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
                    })
                    .optional()
            })
            .map_err(failed)?
            .ok_or_else(|| Error::NoThread(thread.to_owned()))?;
        let mut insert = self
            .connection
            .prepare_cached(
                "INSERT INTO events (thread, seq, run, epoch, kind, ns, step, node, at_ms, data)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .map_err(failed)?;
        for entry in entries.iter_mut() {
            entry.seq = seq.cast_unsigned();
            let data = std::str::from_utf8(&entry.data)
                .map_err(|error| Error::Damaged { what: "log entry", source: error.into() })?;
            insert
                .execute((
                    number,
                    seq,
                    run.as_bytes(),
                    epoch.cast_signed(),
                    entry.kind.name(),
                    &*entry.ns,
                    entry.step,
                    entry.node.as_deref(),
                    entry.at_ms,
                    data,
                ))
                .map_err(failed)?;
            seq += 1;
        }
        self.added.push((thread.to_owned(), entries.to_vec()));
        Ok(())
    }

    fn entries(&mut self, thread: &str, after: u64, limit: usize) -> Result<Vec<Entry>, Error> {
        let Some(number) = self.thread_number(thread)? else { return Ok(Vec::new()) };
        let mut query = self
            .connection
            .prepare_cached(
                "SELECT seq, run, kind, ns, step, node, at_ms, data FROM events
                 WHERE thread = ? AND seq > ? ORDER BY seq LIMIT ?",
            )
            .map_err(failed)?;
        let rows = query
            .query_map((number, after.cast_signed(), limit as i64), RawEntry::read)
            .map_err(failed)?;
        rows.map(|row| row.map_err(failed)?.decode()).collect()
    }

    fn run_entries(
        &mut self,
        thread: &str,
        run: Uuid,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let Some(number) = self.thread_number(thread)? else { return Ok(Vec::new()) };
        // Only this stretch of the log has entries of the run.
        let (from, to) = self
            .connection
            .prepare_cached(
                "SELECT min(seq), max(seq) FILTER (WHERE kind = 'ended') FROM events
                 WHERE run = ? AND kind IN ('begun', 'ended')",
            )
            .and_then(|mut query| {
                query.query_row([run.as_bytes()], |row| {
                    Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
                })
            })
            .map_err(failed)?;
        // What began before the oldest entry that is kept has no beginning any more.
        let from = if to.is_none() || from != to { from.unwrap_or(0) } else { 0 };
        let from = from.max(after.saturating_add(1).cast_signed());
        let mut query = self
            .connection
            .prepare_cached(
                "SELECT seq, run, kind, ns, step, node, at_ms, data FROM events
                 WHERE thread = ? AND seq BETWEEN ? AND ? AND run = ? ORDER BY seq LIMIT ?",
            )
            .map_err(failed)?;
        let rows = query
            .query_map(
                (number, from, to.unwrap_or(i64::MAX), run.as_bytes(), limit as i64),
                RawEntry::read,
            )
            .map_err(failed)?;
        rows.map(|row| row.map_err(failed)?.decode()).collect()
    }

    fn last_seq(&mut self, thread: &str) -> Result<u64, Error> {
        let next: Option<i64> = self
            .connection
            .prepare_cached("SELECT next_seq FROM threads WHERE id = ?")
            .and_then(|mut query| query.query_row([thread], |row| row.get(0)).optional())
            .map_err(failed)?;
        Ok(next.map_or(0, |next| next.saturating_sub(1).cast_unsigned()))
    }

    fn oldest_seq(&mut self, thread: &str) -> Result<Option<u64>, Error> {
        let Some(number) = self.thread_number(thread)? else { return Ok(None) };
        let oldest: Option<i64> = self
            .connection
            .prepare_cached("SELECT min(seq) FROM events WHERE thread = ?")
            .and_then(|mut query| query.query_row([number], |row| row.get(0)))
            .map_err(failed)?;
        Ok(oldest.map(i64::cast_unsigned))
    }

    fn forget_entries(&mut self, ended_before_ms: i64, max: usize) -> Result<usize, Error> {
        let mut ends = self
            .connection
            .prepare_cached(
                "SELECT events.thread, events.seq FROM events
                 JOIN threads ON threads.number = events.thread
                 WHERE events.kind = 'ended' AND events.at_ms < ? AND threads.status <> 'busy'
                 ORDER BY events.at_ms LIMIT ?",
            )
            .map_err(failed)?;
        let ends: Vec<(i64, i64)> = ends
            .query_map((ended_before_ms, max as i64), |row| Ok((row.get(0)?, row.get(1)?)))
            .and_then(Iterator::collect)
            .map_err(failed)?;
        let mut delete = self
            .connection
            .prepare_cached("DELETE FROM events WHERE thread = ? AND seq <= ?")
            .map_err(failed)?;
        let mut gone = 0;
        for end in ends {
            gone += delete.execute(end).map_err(failed)?;
            if gone >= max {
                break;
            }
        }
        Ok(gone)
    }
}

impl Rows<'_> {
    fn thread_number(&self, thread: &str) -> Result<Option<i64>, Error> {
        self.connection
            .prepare_cached("SELECT number FROM threads WHERE id = ?")
            .and_then(|mut query| query.query_row([thread], |row| row.get(0)).optional())
            .map_err(failed)
    }
}

struct RawEntry {
    seq: i64,
    run: [u8; 16],
    kind: String,
    ns: String,
    step: i64,
    node: Option<String>,
    at_ms: i64,
    data: String,
}

impl RawEntry {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            seq: row.get(0)?,
            run: row.get(1)?,
            kind: row.get(2)?,
            ns: row.get(3)?,
            step: row.get(4)?,
            node: row.get(5)?,
            at_ms: row.get(6)?,
            data: row.get(7)?,
        })
    }

    fn decode(self) -> Result<Entry, Error> {
        let damaged = |source| Error::Damaged { what: "log entry", source: Box::new(source) };
        Ok(Entry {
            seq: self.seq.cast_unsigned(),
            run: Uuid::from_bytes(self.run),
            kind: self.kind.parse().map_err(damaged)?,
            ns: Arc::from(self.ns),
            step: self.step,
            node: self.node.map(Arc::from),
            at_ms: self.at_ms,
            data: Bytes::from(self.data),
        })
    }
}
