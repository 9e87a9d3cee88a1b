//! Crons in SQLite.

use std::ops::ControlFlow;

use mesh_runtime::{
    Cron, Error, Stamp,
    cron::{CronRows, CronSort},
    page::Direction,
};
use rusqlite::{OptionalExtension, Row};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::ledger::{Rows, failed};

/// What of a cron nothing is looked up by.
#[derive(Serialize, Deserialize)]
struct Doc {
    schedule: String,
    timezone: Option<String>,
    payload: Map<String, Json>,
    metadata: Map<String, Json>,
    on_run_completed: Option<String>,
    granted: Map<String, Json>,
}

const COLUMNS: &str =
    "id, owner, assistant, thread, enabled, next_run, created_at, updated_at, end_time, doc";

/// A row as it is stored.
struct Raw {
    id: [u8; 16],
    owner: Option<String>,
    assistant: [u8; 16],
    thread: Option<String>,
    enabled: bool,
    next_run: Option<i64>,
    created_at: i64,
    updated_at: i64,
    end_time: Option<i64>,
    doc: String,
}

impl Raw {
    /// In the order of [`COLUMNS`].
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            owner: row.get(1)?,
            assistant: row.get(2)?,
            thread: row.get(3)?,
            enabled: row.get(4)?,
            next_run: row.get(5)?,
            created_at: row.get(6)?,
            updated_at: row.get(7)?,
            end_time: row.get(8)?,
            doc: row.get(9)?,
        })
    }

    fn decode(self) -> Result<Cron, Error> {
        let doc: Doc = serde_json::from_str(&self.doc)
            .map_err(|error| Error::Damaged { what: "cron", source: error.into() })?;
        Ok(Cron {
            id: Uuid::from_bytes(self.id),
            assistant: Uuid::from_bytes(self.assistant),
            thread: self.thread,
            schedule: doc.schedule,
            timezone: doc.timezone,
            end_time: self.end_time.map(Stamp),
            payload: doc.payload,
            next_run: self.next_run.map(Stamp),
            metadata: doc.metadata,
            on_run_completed: doc.on_run_completed,
            enabled: self.enabled,
            created_at: Stamp(self.created_at),
            updated_at: Stamp(self.updated_at),
            owner: self.owner,
            granted: doc.granted,
        })
    }
}

impl CronRows for Rows<'_> {
    fn cron(&mut self, id: Uuid) -> Result<Option<Cron>, Error> {
        self.connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM crons WHERE id = ?"))
            .and_then(|mut query| query.query_row([id.as_bytes()], Raw::read).optional())
            .map_err(failed)?
            .map(Raw::decode)
            .transpose()
    }

    fn put_cron(&mut self, cron: &Cron) -> Result<(), Error> {
        let doc = Doc {
            schedule: cron.schedule.clone(),
            timezone: cron.timezone.clone(),
            payload: cron.payload.clone(),
            metadata: cron.metadata.clone(),
            on_run_completed: cron.on_run_completed.clone(),
            granted: cron.granted.clone(),
        };
        let doc = serde_json::to_string(&doc).map_err(|error| Error::Storage(error.into()))?;
        self.connection
            .prepare_cached(
                "INSERT INTO crons (id, owner, assistant, thread, enabled, next_run, created_at,
                                    updated_at, end_time, doc)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (id) DO UPDATE SET
                     enabled = excluded.enabled, next_run = excluded.next_run,
                     updated_at = excluded.updated_at, end_time = excluded.end_time,
                     doc = excluded.doc",
            )
            .and_then(|mut insert| {
                insert.execute((
                    cron.id.as_bytes(),
                    &cron.owner,
                    cron.assistant.as_bytes(),
                    &cron.thread,
                    cron.enabled,
                    cron.next_run.map(|at| at.0),
                    cron.created_at.0,
                    cron.updated_at.0,
                    cron.end_time.map(|at| at.0),
                    doc,
                ))
            })
            .map(drop)
            .map_err(failed)
    }

    fn remove_cron(&mut self, id: Uuid) -> Result<bool, Error> {
        self.connection
            .prepare_cached("DELETE FROM crons WHERE id = ?")
            .and_then(|mut delete| delete.execute([id.as_bytes()]))
            .map(|removed| removed > 0)
            .map_err(failed)
    }

    fn visit_crons(
        &mut self,
        assistant: Option<Uuid>,
        thread: Option<&str>,
        by: CronSort,
        direction: Direction,
        visit: &mut dyn FnMut(Cron) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let column = match by {
            CronSort::Id => "id",
            CronSort::Assistant => "assistant",
            CronSort::Thread => "thread",
            CronSort::CreatedAt => "created_at",
            CronSort::UpdatedAt => "updated_at",
            CronSort::NextRun => "next_run",
            CronSort::EndTime => "end_time",
        };
        let direction = match direction {
            Direction::Ascending => "ASC",
            Direction::Descending => "DESC",
        };
        // Both are words of ours. Nothing of a request becomes part of a statement.
        let sql = format!(
            "SELECT {COLUMNS} FROM crons
             WHERE (?1 IS NULL OR assistant = ?1) AND (?2 IS NULL OR thread = ?2)
             ORDER BY {column} {direction}, id {direction}"
        );
        let mut query = self.connection.prepare_cached(&sql).map_err(failed)?;
        let assistant = assistant.map(Uuid::into_bytes);
        let rows = query.query_map((assistant, thread), Raw::read).map_err(failed)?;
        for row in rows {
            if visit(row.map_err(failed)?.decode()?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn due_crons(&mut self, until: Stamp, limit: usize) -> Result<Vec<Cron>, Error> {
        let mut query = self
            .connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM crons
                 WHERE enabled AND next_run IS NOT NULL AND next_run <= ?
                 ORDER BY next_run LIMIT ?"
            ))
            .map_err(failed)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query.query_map((until.0, limit), Raw::read).map_err(failed)?;
        rows.map(|row| row.map_err(failed)?.decode()).collect()
    }

    fn next_cron(&mut self) -> Result<Option<Stamp>, Error> {
        self.connection
            .prepare_cached(
                "SELECT min(next_run) FROM crons WHERE enabled AND next_run IS NOT NULL",
            )
            .and_then(|mut query| query.query_row([], |row| row.get::<_, Option<i64>>(0)))
            .map(|next| next.map(Stamp))
            .map_err(failed)
    }

    fn note_fire(&mut self, cron: Uuid, instant: Stamp, run: Uuid) -> Result<bool, Error> {
        self.connection
            .prepare_cached(
                "INSERT INTO cron_fires (cron, scheduled_for, run) VALUES (?, ?, ?)
                 ON CONFLICT DO NOTHING",
            )
            .and_then(|mut insert| insert.execute((cron.as_bytes(), instant.0, run.as_bytes())))
            .map(|inserted| inserted > 0)
            .map_err(failed)
    }

    fn forget_fires(&mut self, cron: Uuid, before: Stamp) -> Result<(), Error> {
        self.connection
            .prepare_cached("DELETE FROM cron_fires WHERE cron = ? AND scheduled_for < ?")
            .and_then(|mut delete| delete.execute((cron.as_bytes(), before.0)))
            .map(drop)
            .map_err(failed)
    }
}
