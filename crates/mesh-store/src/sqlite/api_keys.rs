//! The table of API keys.

use std::path::Path;

use async_trait::async_trait;
use mesh_runtime::{
    Error, Limit,
    api_key::{API_KEYS_MAX, ApiKey, ApiKeys},
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Fault, Owner, Sqlite, Synchronous, ledger::failed, readers::Readers};

/// The API keys of a database that another process may have open.
///
/// Gives nothing else of the database: all the rest belongs to its owner, who remembers what it
/// wrote.
#[derive(Debug)]
pub struct KeysBeside {
    database: Sqlite,
}

impl KeysBeside {
    /// Opens the keys in this database file, making it if there is none. A change waits while the
    /// other process commits, which sees it from then on.
    ///
    /// # Errors
    /// As [`Sqlite::open`]; in use only if the other process is of another build.
    ///
    /// # Cancel safety
    /// As [`Sqlite::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, crate::Error> {
        let path = path.as_ref().to_path_buf();
        let database = Sqlite::open_as(path, Synchronous::default(), Owner::Welcome).await?;
        Ok(Self { database })
    }

    /// The keys.
    pub fn keys(&self) -> &dyn ApiKeys {
        &self.database
    }

    /// Lets go of the file.
    ///
    /// # Cancel safety
    /// As [`Sqlite::close`].
    pub async fn close(self) {
        self.database.close().await;
    }
}

const COLUMNS: &str =
    "id, hash, identity, display_name, scopes_json, admin, created_ms, expires_ms, revoked_ms";

#[async_trait]
impl ApiKeys for Sqlite {
    async fn add(&self, key: ApiKey) -> Result<(), Error> {
        self.write(move |connection| add(connection, &key).map_err(Fault::Refused)).await
    }

    async fn get(&self, id: &str) -> Result<Option<ApiKey>, Error> {
        let id = id.to_owned();
        Readers::read(self.answered(), move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM api_keys WHERE id = ?1");
            let found = connection.prepare_cached(&sql)?.query_row([id], read).optional()?;
            Ok(found)
        })
        .await
    }

    async fn list(&self) -> Result<Vec<ApiKey>, Error> {
        Readers::read(self.answered(), move |connection| {
            let sql = format!("SELECT {COLUMNS} FROM api_keys ORDER BY created_ms, id");
            let mut statement = connection.prepare_cached(&sql)?;
            let keys = statement.query_map([], read)?.collect::<Result<_, _>>()?;
            Ok(keys)
        })
        .await
    }

    async fn revoke(&self, id: &str, now_ms: i64) -> Result<bool, Error> {
        let id = id.to_owned();
        self.write(move |connection| {
            let sql = "UPDATE api_keys SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms IS NULL";
            Ok(connection.prepare_cached(sql)?.execute(params![id, now_ms])? > 0)
        })
        .await
    }

    async fn any(&self) -> Result<bool, Error> {
        Readers::read(self.answered(), move |connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM api_keys)";
            Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
        })
        .await
    }
}

fn add(connection: &Connection, key: &ApiKey) -> Result<(), Error> {
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let kept = count("SELECT count(*) FROM api_keys").map_err(failed)?;
    if kept >= API_KEYS_MAX as i64 {
        return Err(Error::Full { limit: Limit::ApiKeys, max: API_KEYS_MAX });
    }
    let scopes = serde_json::to_string(&key.scopes)
        .map_err(|source| Error::Damaged { what: "API key", source: Box::new(source) })?;
    let added = connection
        .execute(
            &format!(
                "INSERT INTO api_keys ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
                 ON CONFLICT DO NOTHING"
            ),
            params![
                key.id,
                key.hash,
                key.identity,
                key.display_name,
                scopes,
                key.admin,
                key.created_ms,
                key.expires_ms,
                key.revoked_ms,
            ],
        )
        .map_err(failed)?;
    if added == 0 {
        return Err(Error::Exists { what: "API key", id: key.id.clone() });
    }
    Ok(())
}

fn read(row: &Row<'_>) -> Result<ApiKey, rusqlite::Error> {
    let scopes: String = row.get(4)?;
    let damaged = |error: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, Box::new(error))
    };
    Ok(ApiKey {
        id: row.get(0)?,
        hash: row.get(1)?,
        identity: row.get(2)?,
        display_name: row.get(3)?,
        scopes: serde_json::from_str(&scopes).map_err(damaged)?,
        admin: row.get(5)?,
        created_ms: row.get(6)?,
        expires_ms: row.get(7)?,
        revoked_ms: row.get(8)?,
    })
}

#[cfg(test)]
mod tests;
