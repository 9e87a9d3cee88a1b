//! The rows of runs in SQLite, and of threads as far as runs change them.

use mesh_graph::checkpointer::doomed_with_runs;
use mesh_runtime::{
    Error, Run, Stamp,
    run::{CancelAction, Kwargs, Multitask, RunStatus},
    runs::{Change, Head, Left, Letter, Now, OpenRuns, Prolonged, RunQuery, RunRows, Standing},
    thread::ThreadStatus,
};
use rusqlite::{OptionalExtension, Params, Row};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{
    Fault,
    ledger::{Rows, failed},
    upkeep,
};

/// What a run is read from, with its thread `t`.
const RUN: &str = "r.id, t.id, r.assistant, r.graph, r.owner, r.status, r.multitask, r.created_at,
    r.updated_at, r.started_at, r.ended_at, r.attempt, r.epoch, r.lease_owner, r.lease_until_ms,
    r.not_before, r.deadline, r.cancel_at, r.cancel_action, r.base, r.metadata_json, r.error_json,
    r.doc";

impl RunRows for Rows<'_> {
    fn head(&mut self, thread: &str) -> Result<Option<Head>, Error> {
        let found = self.one(
            "SELECT owner, status, metadata_json, config_json, (
                 SELECT count(*) FROM runs
                 WHERE thread = threads.number AND status IN ('pending', 'running')
             ), (
                 SELECT octet_length(values_json) FROM thread_values
                 WHERE thread = threads.number
             ) FROM threads WHERE id = ?",
            [thread],
            |row| {
                Ok((
                    row.get(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, String>(3)?,
                    row.get::<_, u32>(4)?,
                    row.get::<_, Option<u32>>(5)?,
                ))
            },
        )?;
        let Some((owner, status, metadata, config, open, bytes)) = found else { return Ok(None) };
        let status = known(ThreadStatus::named(&status), "thread")?;
        let (metadata, config) = (parsed(&metadata, "thread")?, parsed(&config, "thread")?);
        let (open, state_bytes) = (open as usize, bytes.unwrap_or(0).into());
        Ok(Some(Head { owner, status, metadata, config, open, state_bytes }))
    }

    fn enter(
        &mut self,
        thread: &str,
        at: Stamp,
        metadata: &Map<String, Json>,
        config: &Map<String, Json>,
    ) -> Result<(), Error> {
        self.execute(
            "UPDATE threads SET rest = iif(status = 'busy', rest, status), status = 'busy',
                 updated_at = ?2, metadata_json = ?3, config_json = ?4
             WHERE id = ?1",
            (thread, at.0, text(metadata)?, text(config)?),
        )?;
        Ok(())
    }

    fn leave(&mut self, thread: &str, at: Stamp, left: Left<'_>) -> Result<bool, Error> {
        let of_state = left.state.map(|state| text(&state.interrupts)).transpose()?;
        let settled: Option<(i64, String)> = self.one(
            "UPDATE threads SET rest = coalesce(?3, rest),
                 status = iif(EXISTS (
                     SELECT 1 FROM runs
                     WHERE thread = threads.number AND status IN ('pending', 'running')
                 ), 'busy', coalesce(?3, rest)),
                 updated_at = ?2,
                 state_updated_at = iif(?5 IS NULL, state_updated_at, ?2),
                 error_json = iif(?3 IS NULL, error_json, ?4),
                 interrupts_json = coalesce(?5, interrupts_json),
                 expires_at = coalesce(?6, ?2 + cast(ttl_minutes * 60e6 AS INTEGER), expires_at),
                 ttl_strategy = iif(?6 IS NULL, ttl_strategy, 'delete')
             WHERE id = ?1 RETURNING number, status",
            (
                thread,
                at.0,
                left.rest.map(ThreadStatus::name),
                left.error.map(text).transpose()?,
                of_state,
                left.expires_at.map(|at| at.0),
            ),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let (number, status) = settled.ok_or_else(|| Error::NoThread(thread.to_owned()))?;
        if let Some(state) = left.state {
            let values =
                std::str::from_utf8(&state.values).map_err(|error| damaged("state", error))?;
            self.execute(
                "INSERT INTO thread_values (thread, values_json) VALUES (?, ?)
                 ON CONFLICT (thread) DO UPDATE SET values_json = excluded.values_json",
                (number, values),
            )?;
        }
        Ok(status == "busy")
    }

    fn run(&mut self, id: Uuid) -> Result<Option<Run>, Error> {
        let sql = format!(
            "SELECT {RUN} FROM runs r JOIN threads t ON t.number = r.thread WHERE r.id = ?"
        );
        self.one(&sql, [id.as_bytes()], RawRun::read)?.map(RawRun::decode).transpose()
    }

    fn standing(&mut self, id: Uuid) -> Result<Option<Standing>, Error> {
        let found = self.one(
            "SELECT status, epoch, started_at, attempt, cancel_at, cancel_action
             FROM runs WHERE id = ?",
            [id.as_bytes()],
            |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, Option<i64>>(2)?,
                    row.get(3)?,
                    row.get::<_, Option<i64>>(4)?,
                    row.get::<_, Option<String>>(5)?,
                ))
            },
        )?;
        let Some((status, epoch, started_at, attempt, cancel_at, action)) = found else {
            return Ok(None);
        };
        let action = cancel_action(action.as_deref())?;
        Ok(Some(Standing {
            status: known(RunStatus::named(&status), "run")?,
            epoch: epoch.cast_unsigned(),
            started_at: started_at.map(Stamp),
            attempt,
            cancel: cancel_at.map(|at| (Stamp(at), action)),
        }))
    }

    fn insert_run(&mut self, run: &Run) -> Result<(), Error> {
        let written = self.execute(
            "INSERT INTO runs (id, thread, assistant, graph, owner, status, multitask, created_at,
                 updated_at, started_at, ended_at, attempt, epoch, lease_owner, lease_until_ms,
                 not_before, deadline, cancel_at, cancel_action, base, metadata_json, error_json,
                 doc)
             SELECT ?, number, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
             FROM threads WHERE threads.id = ?",
            rusqlite::params![
                run.id.as_bytes(),
                run.assistant.as_bytes(),
                run.graph,
                run.owner,
                run.status.name(),
                run.multitask.name(),
                run.created_at.0,
                run.updated_at.0,
                run.started_at.map(|at| at.0),
                run.ended_at.map(|at| at.0),
                run.attempt,
                run.epoch.cast_signed(),
                run.lease_owner.as_ref().map(Uuid::as_bytes),
                run.lease_until,
                run.not_before.map(|at| at.0),
                run.deadline.map(|at| at.0),
                run.cancel_at.map(|at| at.0),
                run.cancel_action.name(),
                run.base,
                text(&run.metadata)?,
                run.error.as_ref().map(text).transpose()?,
                text(&run.kwargs)?,
                run.thread,
            ],
        )?;
        if written == 1 { Ok(()) } else { Err(Error::NoThread(run.thread.clone())) }
    }

    fn update_run(&mut self, change: Change<'_>) -> Result<bool, Error> {
        let run = change.run;
        let written = self.execute(
            "UPDATE runs SET status = ?, updated_at = ?, started_at = ?, ended_at = ?, attempt = ?,
                 epoch = ?, lease_owner = ?, lease_until_ms = ?, deadline = ?, cancel_at = ?,
                 cancel_action = ?, base = ?, error_json = ?
             WHERE id = ? AND status = ? AND epoch = ?",
            rusqlite::params![
                run.status.name(),
                run.updated_at.0,
                run.started_at.map(|at| at.0),
                run.ended_at.map(|at| at.0),
                run.attempt,
                run.epoch.cast_signed(),
                run.lease_owner.as_ref().map(Uuid::as_bytes),
                run.lease_until,
                run.deadline.map(|at| at.0),
                run.cancel_at.map(|at| at.0),
                run.cancel_action.name(),
                run.base,
                run.error.as_ref().map(text).transpose()?,
                run.id.as_bytes(),
                change.status.name(),
                change.epoch.cast_signed(),
            ],
        )?;
        Ok(written == 1)
    }

    fn prolong(
        &mut self,
        id: Uuid,
        epoch: u64,
        lease_until: i64,
    ) -> Result<Option<Prolonged>, Error> {
        self.one(
            "UPDATE runs SET lease_until_ms = ?
             WHERE id = ? AND epoch = ? AND status = 'running'
                 AND (cancel_at IS NULL OR cancel_action = 'after_step')
             RETURNING cancel_at IS NOT NULL",
            (lease_until, id.as_bytes(), epoch.cast_signed()),
            |row| Ok(Prolonged { ends_after_step: row.get(0)? }),
        )
    }

    fn progressed(&mut self, id: Uuid, epoch: u64) -> Result<(), Error> {
        self.execute(
            "UPDATE runs SET attempt = 1 WHERE id = ? AND epoch = ? AND status = 'running'",
            (id.as_bytes(), epoch.cast_signed()),
        )?;
        Ok(())
    }

    fn delete_run(&mut self, id: Uuid) -> Result<(), Error> {
        self.execute("DELETE FROM runs WHERE id = ?", [id.as_bytes()])?;
        Ok(())
    }

    fn forget_checkpoints(&mut self, thread: &str, run: Uuid) -> Result<(), Error> {
        let runs = [run.to_string()];
        let forgotten =
            upkeep::forget(self.connection, thread, |places| doomed_with_runs(places, &runs));
        match forgotten {
            Ok(_) => Ok(()),
            Err(Fault::Refused(error)) => Err(damaged("checkpoint", error)),
            Err(Fault::Sqlite(error)) => Err(failed(error)),
        }
    }

    fn count_open_runs(&mut self) -> Result<OpenRuns, Error> {
        self.connection
            .prepare_cached(
                "SELECT count(*) FILTER (WHERE status = 'pending'),
                        count(*) FILTER (WHERE status = 'running')
                 FROM runs WHERE status IN ('pending', 'running')",
            )
            .and_then(|mut query| {
                query.query_row([], |row| {
                    let count = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
                    Ok(OpenRuns { pending: count(0)?, running: count(1)? })
                })
            })
            .map_err(failed)
    }

    fn count_pending(&mut self, owner: Option<&str>, max: usize) -> Result<usize, Error> {
        let count: Option<u32> = self.one(
            "SELECT count(*) FROM (
                 SELECT 1 FROM runs WHERE owner IS ? AND status = 'pending' LIMIT ?
             )",
            (owner, max as i64),
            |row| row.get(0),
        )?;
        Ok(count.unwrap_or(0) as usize)
    }

    fn open_runs(&mut self, thread: &str) -> Result<Vec<Run>, Error> {
        self.list(
            "WHERE t.id = ? AND r.status IN ('pending', 'running') ORDER BY r.created_at, r.id",
            [thread],
        )
    }

    fn runs(&mut self, thread: &str, query: &RunQuery) -> Result<Vec<Run>, Error> {
        let (limit, offset) = (query.limit as i64, query.offset as i64);
        match query.status {
            Some(status) => self.list(
                "WHERE t.id = ? AND r.status = ? ORDER BY r.created_at DESC, r.id DESC
                 LIMIT ? OFFSET ?",
                (thread, status.name(), limit, offset),
            ),
            None => self.list(
                "WHERE t.id = ? ORDER BY r.created_at DESC, r.id DESC LIMIT ? OFFSET ?",
                (thread, limit, offset),
            ),
        }
    }

    fn due_runs(&mut self, at: Stamp, limit: usize) -> Result<Vec<Run>, Error> {
        // SQLite takes an index of open runs only for a query that says the same of the status. The
        // index has all that decides, so that rows are read of those alone that are given back.
        self.list(
            "WHERE r.id IN (
                 SELECT p.id FROM runs p
                 WHERE p.status = 'pending' AND p.status IN ('pending', 'running')
                     AND coalesce(p.not_before, 0) <= ?1 AND NOT EXISTS (
                         SELECT 1 FROM runs o
                         WHERE o.thread = p.thread AND o.status = 'running'
                     ) AND (p.started_at IS NOT NULL OR NOT EXISTS (
                         SELECT 1 FROM runs o
                         WHERE o.thread = p.thread
                             AND o.status = 'pending' AND o.started_at IS NOT NULL
                     ) AND NOT EXISTS (
                         SELECT 1 FROM runs o
                         WHERE o.thread = p.thread
                             AND o.status = 'pending' AND o.status IN ('pending', 'running')
                             AND (o.created_at, o.id) < (p.created_at, p.id)
                             AND coalesce(o.not_before, 0) <= ?1
                     ))
                 ORDER BY p.created_at, p.id LIMIT ?2
             ) ORDER BY r.created_at, r.id",
            (at.0, limit as i64),
        )
    }

    fn next_due(&mut self, after: Stamp) -> Result<Option<Stamp>, Error> {
        let next: Option<Option<i64>> = self.one(
            "SELECT min(not_before) FROM runs WHERE status = 'pending' AND not_before > ?",
            [after.0],
            |row| row.get(0),
        )?;
        Ok(next.flatten().map(Stamp))
    }

    fn overdue_runs(&mut self, now: Now, limit: usize) -> Result<Vec<Uuid>, Error> {
        self.ids(
            "SELECT id FROM runs WHERE status = 'running'
                 AND (coalesce(lease_until_ms, 0) <= ? OR deadline <= ?)
             ORDER BY created_at LIMIT ?",
            (now.ms, now.at.0, limit as i64),
        )
    }

    fn open_ids(
        &mut self,
        status: Option<RunStatus>,
        owner: Option<&str>,
        until: Stamp,
        action: CancelAction,
        limit: usize,
    ) -> Result<Vec<Uuid>, Error> {
        self.ids(
            "SELECT id FROM runs WHERE status IN ('pending', 'running')
                 AND (?1 IS NULL OR status = ?1) AND (?2 IS NULL OR owner = ?2)
                 AND created_at <= ?3
                 AND (cancel_at IS NULL OR (?5 AND cancel_action = 'after_step'))
             ORDER BY created_at LIMIT ?4",
            (
                status.map(RunStatus::name),
                owner,
                until.0,
                limit as i64,
                action > CancelAction::AfterStep,
            ),
        )
    }

    fn post(&mut self, letter: &Letter) -> Result<(), Error> {
        self.execute(
            "INSERT INTO outbox (id, run, target, body, next_at, created_at, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, 'waiting')",
            (
                letter.id.as_bytes(),
                letter.run.as_bytes(),
                &letter.target,
                &letter.body,
                letter.at.0,
            ),
        )?;
        Ok(())
    }
}

impl Rows<'_> {
    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<Option<T>, Error> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut query| query.query_row(params, read).optional())
            .map_err(failed)
    }

    fn execute(&self, sql: &str, params: impl Params) -> Result<usize, Error> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params))
            .map_err(failed)
    }

    fn list(&self, rest: &str, params: impl Params) -> Result<Vec<Run>, Error> {
        let sql = format!("SELECT {RUN} FROM runs r JOIN threads t ON t.number = r.thread {rest}");
        let mut query = self.connection.prepare_cached(&sql).map_err(failed)?;
        let rows = query.query_map(params, RawRun::read).map_err(failed)?;
        rows.map(|row| row.map_err(failed)?.decode()).collect()
    }

    fn ids(&self, sql: &str, params: impl Params) -> Result<Vec<Uuid>, Error> {
        let mut query = self.connection.prepare_cached(sql).map_err(failed)?;
        let rows =
            query.query_map(params, |row| Ok(Uuid::from_bytes(row.get(0)?))).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}

/// A row whose texts were not looked into yet.
struct RawRun {
    run: Run,
    status: String,
    multitask: String,
    cancel_action: Option<String>,
    metadata: String,
    error: Option<String>,
    doc: String,
}

impl RawRun {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        let stamp =
            |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Stamp));
        Ok(Self {
            run: Run {
                id: Uuid::from_bytes(row.get(0)?),
                thread: row.get(1)?,
                assistant: Uuid::from_bytes(row.get(2)?),
                graph: row.get(3)?,
                owner: row.get(4)?,
                status: RunStatus::Pending,
                multitask: Multitask::default(),
                created_at: Stamp(row.get(7)?),
                updated_at: Stamp(row.get(8)?),
                started_at: stamp(9)?,
                ended_at: stamp(10)?,
                attempt: row.get(11)?,
                epoch: row.get::<_, i64>(12)?.cast_unsigned(),
                lease_owner: row.get::<_, Option<[u8; 16]>>(13)?.map(Uuid::from_bytes),
                lease_until: row.get(14)?,
                not_before: stamp(15)?,
                deadline: stamp(16)?,
                cancel_at: stamp(17)?,
                cancel_action: CancelAction::default(),
                base: row.get(19)?,
                metadata: Map::new(),
                error: None,
                kwargs: Kwargs::default(),
            },
            status: row.get(5)?,
            multitask: row.get(6)?,
            cancel_action: row.get(18)?,
            metadata: row.get(20)?,
            error: row.get(21)?,
            doc: row.get(22)?,
        })
    }

    fn decode(self) -> Result<Run, Error> {
        Ok(Run {
            status: known(RunStatus::named(&self.status), "run")?,
            multitask: known(Multitask::named(&self.multitask), "run")?,
            cancel_action: cancel_action(self.cancel_action.as_deref())?,
            metadata: parsed(&self.metadata, "run")?,
            error: self.error.map(|error| parsed(&error, "run")).transpose()?,
            kwargs: parsed(&self.doc, "run")?,
            ..self.run
        })
    }
}

fn damaged(
    what: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::Damaged { what, source: source.into() }
}

fn text<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Storage(Box::new(error)))
}

fn parsed<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| damaged(what, error))
}

fn known<T>(named: Option<T>, what: &'static str) -> Result<T, Error> {
    named.ok_or_else(|| damaged(what, "it has a word that is not known"))
}

fn cancel_action(name: Option<&str>) -> Result<CancelAction, Error> {
    name.map_or(Ok(CancelAction::default()), |name| known(CancelAction::named(name), "run"))
}
