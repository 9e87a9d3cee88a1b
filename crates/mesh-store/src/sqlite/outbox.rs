//! Letters in SQLite.

use mesh_runtime::{
    Error, Stamp,
    outbox::{Due, Fate, OutboxRows},
    runs::Letter,
};
use uuid::Uuid;

use super::ledger::{Rows, failed};

impl OutboxRows for Rows<'_> {
    fn due_letters(&mut self, until: Stamp, limit: usize) -> Result<Vec<Due>, Error> {
        let mut query = self
            .connection
            .prepare_cached(
                "SELECT id, run, target, body, created_at, attempts FROM outbox
                 WHERE state = 'waiting' AND next_at <= ? ORDER BY next_at LIMIT ?",
            )
            .map_err(failed)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query.query_map((until.0, limit), |row| {
            Ok(Due {
                letter: Letter {
                    id: Uuid::from_bytes(row.get(0)?),
                    run: Uuid::from_bytes(row.get(1)?),
                    target: row.get(2)?,
                    body: row.get(3)?,
                    at: Stamp(row.get(4)?),
                },
                attempts: row.get(5)?,
            })
        });
        rows.map_err(failed)?.map(|row| row.map_err(failed)).collect()
    }

    fn next_letter(&mut self) -> Result<Option<Stamp>, Error> {
        self.connection
            .prepare_cached("SELECT min(next_at) FROM outbox WHERE state = 'waiting'")
            .and_then(|mut query| query.query_row([], |row| row.get::<_, Option<i64>>(0)))
            .map(|next| next.map(Stamp))
            .map_err(failed)
    }

    fn settle_letter(&mut self, id: Uuid, fate: Fate) -> Result<(), Error> {
        let (state, next) = match fate {
            Fate::Delivered => ("delivered", None),
            Fate::Again(next) => ("waiting", Some(next.0)),
            Fate::Dead => ("dead", None),
        };
        self.connection
            .prepare_cached(
                "UPDATE outbox SET state = ?, next_at = coalesce(?, next_at),
                                   attempts = attempts + 1
                 WHERE id = ? AND state = 'waiting'",
            )
            .and_then(|mut update| update.execute((state, next, id.as_bytes())))
            .map(drop)
            .map_err(failed)
    }

    fn forget_letters(&mut self, before: Stamp, limit: usize) -> Result<usize, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.connection
            .prepare_cached(
                "DELETE FROM outbox WHERE id IN (
                     SELECT id FROM outbox WHERE state <> 'waiting' AND created_at < ? LIMIT ?
                 )",
            )
            .and_then(|mut delete| delete.execute((before.0, limit)))
            .map_err(failed)
    }
}
