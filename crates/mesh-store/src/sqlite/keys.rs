//! Idempotency keys in SQLite.

use mesh_runtime::{
    Error,
    idempotency::{Kept, Key, KeyRows},
};
use rusqlite::OptionalExtension;

use super::ledger::{Rows, failed};

impl KeyRows for Rows<'_> {
    fn key(&mut self, key: &Key, now_ms: i64) -> Result<Option<Kept>, Error> {
        let row = self
            .connection
            .prepare_cached(
                "SELECT request, made, is_whole FROM idempotency
                 WHERE principal = ? AND key = ? AND expires_at > ?",
            )
            .and_then(|mut query| {
                let read = |row: &rusqlite::Row<'_>| {
                    Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?))
                };
                query.query_row((&key.principal, &key.text, now_ms), read).optional()
            })
            .map_err(failed)?;
        row.map(|(request, made, is_whole)| {
            let made = serde_json::from_str(&made).map_err(|error| Error::Damaged {
                what: "idempotency key",
                source: error.into(),
            })?;
            Ok(Kept { request, made, is_whole })
        })
        .transpose()
    }

    fn put_key(
        &mut self,
        key: &Key,
        kept: &Kept,
        now_ms: i64,
        expires_ms: i64,
    ) -> Result<bool, Error> {
        let made =
            serde_json::to_string(&kept.made).map_err(|error| Error::Storage(error.into()))?;
        self.connection
            .prepare_cached(
                "INSERT INTO idempotency (principal, key, request, made, is_whole, expires_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (principal, key) DO UPDATE SET
                     request = excluded.request, made = excluded.made,
                     is_whole = excluded.is_whole, expires_at = excluded.expires_at
                 WHERE expires_at <= ?7",
            )
            .and_then(|mut insert| {
                insert.execute((
                    &key.principal,
                    &key.text,
                    kept.request,
                    made,
                    kept.is_whole,
                    expires_ms,
                    now_ms,
                ))
            })
            .map(|written| written > 0)
            .map_err(failed)
    }

    fn settle_key(&mut self, key: &Key) -> Result<(), Error> {
        self.connection
            .prepare_cached("UPDATE idempotency SET is_whole = 1 WHERE principal = ? AND key = ?")
            .and_then(|mut update| update.execute((&key.principal, &key.text)))
            .map(drop)
            .map_err(failed)
    }

    fn remove_key(&mut self, key: &Key) -> Result<(), Error> {
        self.connection
            .prepare_cached("DELETE FROM idempotency WHERE principal = ? AND key = ?")
            .and_then(|mut delete| delete.execute((&key.principal, &key.text)))
            .map(drop)
            .map_err(failed)
    }

    fn forget_keys(&mut self, now_ms: i64, limit: usize) -> Result<usize, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.connection
            .prepare_cached(
                "DELETE FROM idempotency WHERE (principal, key) IN (
                     SELECT principal, key FROM idempotency WHERE expires_at <= ? LIMIT ?
                 )",
            )
            .and_then(|mut delete| delete.execute((now_ms, limit)))
            .map_err(failed)
    }
}
