//! The logs of threads in SQLite: pages of entries, side by side in the order in which they are
//! read.

mod page;

use mesh_runtime::{
    Error,
    log::{Entry, Kind, LogRows},
};
use rusqlite::{Connection, OptionalExtension};
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
                "INSERT INTO log (thread, first, last, run, epoch, begins, ended_ms, entries)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .map_err(failed)?;
        let mut rest = &mut *entries;
        while !rest.is_empty() {
            let (page, after) = rest.split_at_mut(page::fitting(rest));
            let first = seq;
            for entry in page.iter_mut() {
                entry.seq = seq.cast_unsigned();
                seq += 1;
            }
            let ended = page.last().filter(|last| last.kind == Kind::Ended);
            insert
                .execute((
                    number,
                    first,
                    seq - 1,
                    run.as_bytes(),
                    epoch.cast_signed(),
                    page.iter().any(|entry| entry.kind == Kind::Begun),
                    ended.map(|ended| ended.at_ms),
                    page::encode(page)?,
                ))
                .map_err(failed)?;
            rest = after;
        }
        self.added.push((thread.to_owned(), entries.to_vec()));
        Ok(())
    }

    fn entries(&mut self, thread: &str, after: u64, limit: usize) -> Result<Vec<Entry>, Error> {
        let Some(number) = self.thread_number(thread)? else { return Ok(Vec::new()) };
        self.paged(number, None, (after.saturating_add(1), u64::MAX), limit)
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
        let (begins, from, to) = self
            .connection
            .prepare_cached(
                "SELECT max(begins), min(first), max(last) FILTER (WHERE ended_ms IS NOT NULL)
                 FROM log WHERE run = ? AND (begins OR ended_ms IS NOT NULL)",
            )
            .and_then(|mut query| {
                query.query_row([run.as_bytes()], |row| {
                    let begins = row.get::<_, Option<bool>>(0)?.unwrap_or_default();
                    Ok((begins, row.get::<_, Option<i64>>(1)?, row.get::<_, Option<i64>>(2)?))
                })
            })
            .map_err(failed)?;
        // What began before the oldest entry that is kept has no beginning any more.
        let from = from.filter(|_| begins).map_or(0, i64::cast_unsigned);
        let to = to.map_or(u64::MAX, i64::cast_unsigned);
        self.paged(number, Some(run), (from.max(after.saturating_add(1)), to), limit)
    }

    fn begin_upto(&mut self, thread: &str, upto: u64) -> Result<Option<u64>, Error> {
        let Some(number) = self.thread_number(thread)? else { return Ok(None) };
        let mut query = self
            .connection
            .prepare_cached(
                "SELECT min(first) FROM log WHERE (begins OR ended_ms IS NOT NULL) AND begins
                 AND run = (SELECT run FROM log WHERE thread = ?1 AND first <= ?2 AND begins
                            ORDER BY first DESC LIMIT 1)",
            )
            .map_err(failed)?;
        let upto = i64::try_from(upto).unwrap_or(i64::MAX);
        let first: Option<i64> =
            query.query_row((number, upto), |row| row.get(0)).map_err(failed)?;
        Ok(first.map(i64::cast_unsigned))
    }

    fn last_seq(&mut self, thread: &str) -> Result<u64, Error> {
        let next: Option<i64> = self
            .connection
            .prepare_cached("SELECT next_seq FROM threads WHERE id = ?")
            .and_then(|mut query| query.query_row([thread], |row| row.get(0)).optional())
            .map_err(failed)?;
        Ok(next.map_or(0, |next| next.saturating_sub(1).cast_unsigned()))
    }

    fn incarnation(&mut self) -> Result<u64, Error> {
        let made: i64 = self
            .connection
            .prepare_cached("SELECT made_ms FROM incarnation")
            .and_then(|mut query| query.query_row([], |row| row.get(0)))
            .map_err(failed)?;
        Ok(made.cast_unsigned())
    }

    fn oldest_seq(&mut self, thread: &str) -> Result<Option<u64>, Error> {
        let Some(number) = self.thread_number(thread)? else { return Ok(None) };
        let oldest: Option<i64> = self
            .connection
            .prepare_cached("SELECT min(first) FROM log WHERE thread = ?")
            .and_then(|mut query| query.query_row([number], |row| row.get(0)))
            .map_err(failed)?;
        Ok(oldest.map(i64::cast_unsigned))
    }

    fn forget_entries(&mut self, ended_before_ms: i64, max: usize) -> Result<usize, Error> {
        let mut ends = self
            .connection
            .prepare_cached(
                "SELECT log.thread, log.last FROM log
                 JOIN threads ON threads.number = log.thread
                 WHERE log.ended_ms < ? AND threads.status <> 'busy'
                 ORDER BY log.ended_ms LIMIT ?",
            )
            .map_err(failed)?;
        let ends: Vec<(i64, i64)> = ends
            .query_map((ended_before_ms, max as i64), |row| Ok((row.get(0)?, row.get(1)?)))
            .and_then(Iterator::collect)
            .map_err(failed)?;
        let mut delete = self
            .connection
            .prepare_cached(
                "DELETE FROM log WHERE thread = ? AND first <= ? RETURNING last - first + 1",
            )
            .map_err(failed)?;
        let mut gone = 0;
        for end in ends {
            let pages = delete.query_map(end, |row| row.get::<_, i64>(0)).map_err(failed)?;
            for entries in pages {
                gone += usize::try_from(entries.map_err(failed)?).unwrap_or_default();
            }
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

    /// Entries of a thread with numbers from the first to the second of `between`, in order; of
    /// one run only, if one is given; at most `limit`.
    fn paged(
        &self,
        thread: i64,
        run: Option<Uuid>,
        between: (u64, u64),
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let (from, to) = between;
        let mut query = self
            .connection
            .prepare_cached(
                "SELECT first, run, entries FROM log
                 WHERE thread = ?1 AND first <= ?3 AND first >= coalesce(
                     (SELECT max(first) FROM log WHERE thread = ?1 AND first <= ?2), 0)
                 ORDER BY first",
            )
            .map_err(failed)?;
        let number = |seq: u64| i64::try_from(seq).unwrap_or(i64::MAX);
        let mut pages = query.query((thread, number(from), number(to))).map_err(failed)?;
        let mut entries = Vec::new();
        while entries.len() < limit
            && let Some(row) = pages.next().map_err(failed)?
        {
            let of = Uuid::from_bytes(row.get(1).map_err(failed)?);
            if run.is_some_and(|run| run != of) {
                continue;
            }
            let first = row.get::<_, i64>(0).map_err(failed)?.cast_unsigned();
            let bytes = row.get_ref(2).and_then(|value| Ok(value.as_blob()?)).map_err(failed)?;
            let page = page::decode(bytes, first, of)?;
            let wanted = page.into_iter().filter(|entry| (from..=to).contains(&entry.seq));
            entries.extend(wanted.take(limit - entries.len()));
        }
        Ok(entries)
    }
}

/// How many entries a thread's pages have, which takes reading them all.
///
/// # Errors
/// [`Error::Damaged`]; [`Error::Storage`].
pub(super) fn count(connection: &Connection, thread: i64) -> Result<u64, Error> {
    let mut query = connection
        .prepare_cached("SELECT first, run, entries FROM log WHERE thread = ?")
        .map_err(failed)?;
    let mut pages = query.query([thread]).map_err(failed)?;
    let mut count = 0;
    while let Some(row) = pages.next().map_err(failed)? {
        let first = row.get::<_, i64>(0).map_err(failed)?.cast_unsigned();
        let run = Uuid::from_bytes(row.get(1).map_err(failed)?);
        let bytes = row.get_ref(2).and_then(|value| Ok(value.as_blob()?)).map_err(failed)?;
        count += page::decode(bytes, first, run)?.len() as u64;
    }
    Ok(count)
}
