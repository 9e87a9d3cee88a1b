//! Threads in SQLite.
//!
//! Values are rows of their own: they are the large part of a thread, and what happens on it
//! changes the rest much more often. A thread that was buried keeps its number and gets a name that
//! no thread has, so that nothing finds it while its rows are being removed.

use std::{collections::BTreeMap, fmt::Write as _, ops::ControlFlow};

use mesh_runtime::{
    Error, Scope, Stamp, Thread,
    containment::{contains, marks},
    page::{Direction, Page},
    thread::{
        ThreadStatus, Ttl, TtlStrategy,
        rows::{Change, Filter, Search, Size, Sizes, SortBy, ThreadRows},
    },
};
use rusqlite::{OptionalExtension, Row, params, types::Value};
use serde_json::{Map, Value as Json};

use super::{
    super::{Fault, upkeep},
    Rows, failed,
};

/// The status of a thread that was buried.
const BURIED: &str = "buried";

/// Marks of a filter that SQLite looks for before the filter itself is applied to a row: more of
/// them would cost more than they save.
const MARKS_MAX: usize = 4;

/// Columns of a thread, in the order of [`RawThread`].
macro_rules! columns {
    () => {
        "t.id, t.owner, t.created_at, t.updated_at, t.state_updated_at, t.status, t.next_seq, \
         t.metadata_json, t.config_json, t.interrupts_json, t.error_json, t.ttl_minutes, \
         t.ttl_strategy, t.expires_at"
    };
}

impl ThreadRows for Rows<'_> {
    fn insert_thread(&mut self, thread: &Thread) -> Result<(), Error> {
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT INTO threads (id, owner, created_at, updated_at, state_updated_at, status,
                     next_seq, metadata_json, config_json, interrupts_json, error_json,
                     ttl_minutes, ttl_strategy, expires_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (id) DO NOTHING",
            )
            .and_then(|mut insert| {
                insert.execute(params![
                    thread.id,
                    thread.owner,
                    thread.created_at.0,
                    thread.updated_at.0,
                    thread.state_updated_at.0,
                    thread.status.name(),
                    thread.next_seq.cast_signed(),
                    text(&thread.metadata),
                    text(&thread.config),
                    thread.interrupts.as_ref().map(text),
                    thread.error.as_ref().map(Json::to_string),
                    thread.ttl.map(|ttl| ttl.minutes),
                    thread.ttl.map(|ttl| ttl.strategy.name()),
                    thread.ttl.map(|ttl| ttl.expires_at.0),
                ])
            })
            .map_err(failed)?;
        if inserted == 0 {
            return Err(Error::Exists { what: "thread", id: thread.id.clone() });
        }
        match &thread.values {
            Some(values) => self.put_values(self.connection.last_insert_rowid(), values),
            None => Ok(()),
        }
    }

    fn thread(&mut self, id: &str, scope: &Scope) -> Result<Option<Thread>, Error> {
        let found = self
            .connection
            .prepare_cached(concat!(
                "SELECT ",
                columns!(),
                ", v.values_json FROM threads t
                 LEFT JOIN thread_values v ON v.thread = t.number WHERE t.id = ?"
            ))
            .and_then(|mut query| query.query_row([id], RawThread::read_whole).optional())
            .map_err(failed)?;
        seen(found, scope)
    }

    fn thread_outline(&mut self, id: &str, scope: &Scope) -> Result<Option<Thread>, Error> {
        let found = self
            .connection
            .prepare_cached(concat!("SELECT ", columns!(), " FROM threads t WHERE t.id = ?"))
            .and_then(|mut query| query.query_row([id], RawThread::read).optional())
            .map_err(failed)?;
        seen(found, scope)
    }

    fn change_thread(&mut self, id: &str, change: &Change) -> Result<(), Error> {
        let number: Option<i64> = self
            .connection
            .prepare_cached(
                "UPDATE threads SET
                     updated_at = ?2,
                     state_updated_at = coalesce(?3, state_updated_at),
                     status = coalesce(?4, status),
                     metadata_json = coalesce(?5, metadata_json),
                     config_json = coalesce(?6, config_json),
                     interrupts_json = coalesce(?7, interrupts_json),
                     error_json = CASE WHEN ?8 THEN ?9 ELSE error_json END,
                     ttl_minutes = coalesce(?10, ttl_minutes),
                     ttl_strategy = coalesce(?11, ttl_strategy),
                     expires_at = coalesce(
                         ?2 + CAST(coalesce(?10, ttl_minutes) * 60000000 AS INTEGER), expires_at)
                 WHERE id = ?1 RETURNING number",
            )
            .and_then(|mut update| {
                update
                    .query_row(
                        params![
                            id,
                            change.at.0,
                            change.of_state.then_some(change.at.0),
                            change.status.map(ThreadStatus::name),
                            change.metadata.as_ref().map(text),
                            change.config.as_ref().map(text),
                            change.interrupts.as_ref().map(text),
                            change.error.is_some(),
                            change.error.as_ref().and_then(Option::as_ref).map(Json::to_string),
                            change.ttl.map(|ttl| ttl.minutes),
                            change.ttl.map(|ttl| ttl.strategy.name()),
                        ],
                        |row| row.get(0),
                    )
                    .optional()
            })
            .map_err(failed)?;
        let number = number.ok_or_else(|| Error::NoThread(id.to_owned()))?;
        match &change.values {
            Some(values) => self.put_values(number, values),
            None => Ok(()),
        }
    }

    fn search_threads(&mut self, search: &Search) -> Result<Page<Thread>, Error> {
        let asked = Asked::of(&search.filter);
        let order = match search.by {
            SortBy::Id => "t.id",
            SortBy::Status => "t.status",
            SortBy::CreatedAt => "t.created_at",
            SortBy::UpdatedAt => "t.updated_at",
            SortBy::StateUpdatedAt => "t.state_updated_at",
        };
        let way = match search.direction {
            Direction::Ascending => "ASC",
            Direction::Descending => "DESC",
        };
        // The id after the time: as the index has them, and of equal times always in one order.
        let order = format!(" ORDER BY {order} {way}, t.id {way}");
        let found = Page::pick(search.window, |_| true, |visit| self.each(&asked, &order, visit))?;
        let mut page = Page { rows: Vec::with_capacity(found.rows.len()), next: found.next };
        for number in found.rows {
            let found = if search.with_values {
                self.connection
                    .prepare_cached(concat!(
                        "SELECT ",
                        columns!(),
                        ", v.values_json FROM threads t
                         LEFT JOIN thread_values v ON v.thread = t.number WHERE t.number = ?"
                    ))
                    .and_then(|mut query| query.query_row([number], RawThread::read_whole))
            } else {
                self.connection
                    .prepare_cached(concat!(
                        "SELECT ",
                        columns!(),
                        " FROM threads t WHERE t.number = ?"
                    ))
                    .and_then(|mut query| query.query_row([number], RawThread::read))
            };
            page.rows.push(found.map_err(failed)?.decode()?);
        }
        Ok(page)
    }

    fn count_threads(&mut self, filter: &Filter) -> Result<u64, Error> {
        let mut count = 0;
        self.each(&Asked::of(filter), "", |_| {
            count += 1;
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    fn thread_ids(&mut self, filter: &Filter, limit: usize) -> Result<Vec<String>, Error> {
        let mut numbers = Vec::new();
        if limit > 0 {
            self.each(&Asked::of(filter), "", |number| {
                numbers.push(number);
                if numbers.len() < limit {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
        }
        let mut query = self
            .connection
            .prepare_cached("SELECT id FROM threads WHERE number = ?")
            .map_err(failed)?;
        numbers
            .into_iter()
            .map(|number| query.query_row([number], |row| row.get(0)).map_err(failed))
            .collect()
    }

    fn expired_threads(
        &mut self,
        now: Stamp,
        limit: usize,
    ) -> Result<Vec<(String, TtlStrategy)>, Error> {
        let mut query = self
            .connection
            .prepare_cached(
                "SELECT id, ttl_strategy FROM threads
                 WHERE expires_at <= ? AND status NOT IN ('busy', 'buried')
                 ORDER BY expires_at LIMIT ?",
            )
            .map_err(failed)?;
        let rows = query
            .query_map((now.0, limit as i64), |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })
            .map_err(failed)?;
        rows.map(|row| {
            let (id, strategy) = row.map_err(failed)?;
            Ok((id, strategy_named(&strategy)?))
        })
        .collect()
    }

    fn bury_thread(&mut self, id: &str) -> Result<bool, Error> {
        let number: Option<i64> = self
            .connection
            .prepare_cached(
                "UPDATE threads SET id = char(1) || 'buried-' || number, status = ?2,
                     expires_at = NULL
                 WHERE id = ?1 RETURNING number",
            )
            .and_then(|mut update| update.query_row((id, BURIED), |row| row.get(0)).optional())
            .map_err(failed)?;
        let Some(number) = number else { return Ok(false) };
        self.run(
            "UPDATE places SET thread = char(1) || 'buried-' || ?2 WHERE thread = ?1",
            params![id, number],
        )?;
        // What a worker still does for them is refused from now on.
        self.run(
            "DELETE FROM runs WHERE thread = ? AND status IN ('pending', 'running')",
            params![number],
        )?;
        Ok(true)
    }

    fn clear_graves(&mut self, max: usize) -> Result<usize, Error> {
        let mut left = max;
        while left > 0 {
            let grave: Option<(i64, String)> = self
                .connection
                .prepare_cached("SELECT number, id FROM threads WHERE status = 'buried' LIMIT 1")
                .and_then(|mut query| {
                    query.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()
                })
                .map_err(failed)?;
            let Some((number, id)) = grave else { break };
            for sql in [
                "DELETE FROM log WHERE thread = ?1 AND first IN
                     (SELECT first FROM log WHERE thread = ?1 LIMIT ?2)",
                "DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE thread = ?1 LIMIT ?2)",
            ] {
                left -= self.run(sql, params![number, left as i64])?.min(left);
            }
            while left > 0
                && let Some(place) = self.place_of(&id)?
            {
                for sql in [
                    "DELETE FROM steps WHERE (place, checkpoint, task) IN
                         (SELECT place, checkpoint, task FROM steps WHERE place = ?1 LIMIT ?2)",
                    "DELETE FROM blobs WHERE rowid IN
                         (SELECT rowid FROM blobs WHERE place = ?1 LIMIT ?2)",
                ] {
                    left -= self.run(sql, params![place, left as i64])?.min(left);
                }
                if left > 0 {
                    self.run("DELETE FROM places WHERE place = ?", params![place])?;
                    left -= 1;
                }
            }
            if left > 0 {
                self.run("DELETE FROM threads WHERE number = ?", params![number])?;
                left -= 1;
            }
        }
        Ok(max - left)
    }

    fn let_rest(&mut self, id: &str) -> Result<(), Error> {
        self.run("UPDATE threads SET expires_at = NULL WHERE id = ?", params![id])?;
        Ok(())
    }

    fn copy_checkpoints(&mut self, from: &str, to: &str) -> Result<(), Error> {
        upkeep::copy(self.connection, from, to).map_err(|fault| match fault {
            Fault::Refused(error) => error.into(),
            Fault::Sqlite(error) => failed(error),
        })
    }

    fn checkpoint_sizes(&mut self, thread: &str) -> Result<Sizes, Error> {
        let size = |row: &Row<'_>, first: usize| -> Result<Size, rusqlite::Error> {
            let (count, bytes): (i64, i64) = (row.get(first)?, row.get(first + 1)?);
            Ok(Size { count: count.cast_unsigned(), bytes: bytes.cast_unsigned() })
        };
        let one = |sql: &str| {
            self.connection
                .prepare_cached(sql)
                .and_then(|mut query| query.query_row([thread], |row| size(row, 0)))
                .map_err(failed)
        };
        let checkpoints =
            one("SELECT count(*), coalesce(sum(length(c.body) + coalesce(length(c.refs), 0)), 0)
             FROM places p JOIN checkpoints c ON c.place = p.place WHERE p.thread = ?")?;
        let tasks =
            one("SELECT count(*), coalesce(sum(length(k.body) + coalesce(length(k.refs), 0)), 0)
             FROM places p JOIN tasks k ON k.place = p.place WHERE p.thread = ?")?;
        let mut query = self
            .connection
            .prepare_cached(
                "SELECT b.key, count(*), sum(length(b.body))
                 FROM places p JOIN blobs b ON b.place = p.place WHERE p.thread = ?
                 GROUP BY b.key",
            )
            .map_err(failed)?;
        let channels = query
            .query_map([thread], |row| Ok((row.get(0)?, size(row, 1)?)))
            .and_then(Iterator::collect::<Result<BTreeMap<String, Size>, _>>)
            .map_err(failed)?;
        Ok(Sizes { checkpoints, channels, tasks })
    }
}

impl Rows<'_> {
    fn run(&self, sql: &str, params: &[&dyn rusqlite::ToSql]) -> Result<usize, Error> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params))
            .map_err(failed)
    }

    fn put_values(&self, number: i64, values: &Json) -> Result<(), Error> {
        self.run(
            "INSERT INTO thread_values (thread, values_json) VALUES (?, ?)
             ON CONFLICT (thread) DO UPDATE SET values_json = excluded.values_json",
            params![number, values.to_string()],
        )?;
        Ok(())
    }

    fn place_of(&self, thread: &str) -> Result<Option<i64>, Error> {
        self.connection
            .prepare_cached("SELECT place FROM places WHERE thread = ? LIMIT 1")
            .and_then(|mut query| query.query_row([thread], |row| row.get(0)).optional())
            .map_err(failed)
    }

    /// Calls `visit` with the number of every thread that matches, until that breaks off. `order` is a text of this file.
    fn each(
        &self,
        asked: &Asked,
        order: &str,
        mut visit: impl FnMut(i64) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let sql = format!("{}{order}", asked.sql);
        let mut query = self.connection.prepare_cached(&sql).map_err(failed)?;
        let mut rows = query.query(rusqlite::params_from_iter(&asked.params)).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            if asked.admits(row)? && visit(row.get(0).map_err(failed)?).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// A filter as a statement, and what of it the statement cannot tell.
struct Asked {
    sql: String,
    params: Vec<Value>,
    /// What the columns after the number have to contain.
    parts: Vec<Json>,
}

impl Asked {
    fn of(filter: &Filter) -> Self {
        let mut columns = String::new();
        let mut tables = String::from(" FROM threads t");
        let mut conditions = String::from(" WHERE t.status <> 'buried'");
        let mut params: Vec<Value> = Vec::new();
        let mut parts = Vec::new();
        if let Some(owner) = filter.scope.owner() {
            conditions.push_str(" AND t.owner = ?");
            params.push(owner.to_owned().into());
        }
        if let Some(ids) = &filter.ids {
            conditions.push_str(" AND t.id IN (SELECT value FROM json_each(?))");
            params.push(Json::from(ids.clone()).to_string().into());
        }
        if let Some(status) = filter.status {
            conditions.push_str(" AND t.status = ?");
            params.push(status.name().to_owned().into());
        }
        if !filter.values.is_empty() {
            tables.push_str(" JOIN thread_values v ON v.thread = t.number");
        }
        for (part, column) in
            [(&filter.metadata, "t.metadata_json"), (&filter.values, "v.values_json")]
        {
            if part.is_empty() {
                continue;
            }
            let part = Json::Object(part.clone());
            for mark in marks(&part).into_iter().take(MARKS_MAX) {
                let _ = write!(conditions, " AND instr({column}, ?) > 0");
                params.push(mark.into());
            }
            let _ = write!(columns, ", {column}");
            parts.push(part);
        }
        Self { sql: format!("SELECT t.number{columns}{tables}{conditions}"), params, parts }
    }

    fn admits(&self, row: &Row<'_>) -> Result<bool, Error> {
        for (column, part) in (1..).zip(&self.parts) {
            let text: String = row.get(column).map_err(failed)?;
            if !contains(&parse::<Json>(&text)?, part) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn text(object: &Map<String, Json>) -> String {
    // The one way in which this fails, a key that is no text, does not exist here.
    serde_json::to_string(object).unwrap_or_default()
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text)
        .map_err(|error| Error::Damaged { what: "thread", source: Box::new(error) })
}

fn strategy_named(name: &str) -> Result<TtlStrategy, Error> {
    TtlStrategy::named(name).ok_or_else(|| unknown("strategy", name))
}

fn unknown(what: &str, name: &str) -> Error {
    Error::Damaged { what: "thread", source: format!("unknown {what} `{name}`").into() }
}

fn seen(found: Option<RawThread>, scope: &Scope) -> Result<Option<Thread>, Error> {
    found.filter(|raw| scope.sees(raw.owner.as_deref())).map(RawThread::decode).transpose()
}

struct RawThread {
    id: String,
    owner: Option<String>,
    created_at: i64,
    updated_at: i64,
    state_updated_at: i64,
    status: String,
    next_seq: i64,
    metadata: String,
    config: String,
    interrupts: Option<String>,
    error: Option<String>,
    ttl: Option<(f64, String, Option<i64>)>,
    values: Option<String>,
}

impl RawThread {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        let minutes: Option<f64> = row.get(11)?;
        Ok(Self {
            id: row.get(0)?,
            owner: row.get(1)?,
            created_at: row.get(2)?,
            updated_at: row.get(3)?,
            state_updated_at: row.get(4)?,
            status: row.get(5)?,
            next_seq: row.get(6)?,
            metadata: row.get(7)?,
            config: row.get(8)?,
            interrupts: row.get(9)?,
            error: row.get(10)?,
            ttl: minutes
                .map(|minutes| Ok::<_, rusqlite::Error>((minutes, row.get(12)?, row.get(13)?)))
                .transpose()?,
            values: None,
        })
    }

    fn read_whole(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self { values: row.get(14)?, ..Self::read(row)? })
    }

    fn decode(self) -> Result<Thread, Error> {
        let ttl = self.ttl.map(|(minutes, strategy, expires_at)| -> Result<Ttl, Error> {
            let ttl = Ttl::from(Stamp(self.updated_at), minutes, strategy_named(&strategy)?);
            Ok(Ttl { expires_at: expires_at.map_or(ttl.expires_at, Stamp), ..ttl })
        });
        Ok(Thread {
            id: self.id,
            created_at: Stamp(self.created_at),
            updated_at: Stamp(self.updated_at),
            state_updated_at: Stamp(self.state_updated_at),
            metadata: parse(&self.metadata)?,
            status: ThreadStatus::named(&self.status)
                .ok_or_else(|| unknown("status", &self.status))?,
            config: parse(&self.config)?,
            values: self.values.as_deref().map(parse).transpose()?,
            interrupts: self.interrupts.as_deref().map(parse).transpose()?,
            error: self.error.as_deref().map(parse).transpose()?,
            next_seq: self.next_seq.cast_unsigned(),
            ttl: ttl.transpose()?,
            owner: self.owner,
        })
    }
}
