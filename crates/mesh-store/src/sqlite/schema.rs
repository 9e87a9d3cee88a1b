//! The tables, and how a database of an older build gets them.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, config::DbConfig};

use super::Synchronous;
use crate::Error;

/// Marks a database file as ours: "GMsh".
const APPLICATION_ID: u32 = 0x474D_7368;

/// Bytes that the write-ahead log keeps after it was copied into the database.
const WAL_BYTES_KEPT: i64 = 64 << 20;

/// Prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 64;

/// One script per schema version, applied in order. A script that was released is never edited.
///
/// Ids are 16 bytes, big end first, so that they sort as they do in Rust. `checksum` is over
/// `body` (and `refs` after it), which has the stored form of `mesh_graph::stored`.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE places (
        place INTEGER PRIMARY KEY,
        thread TEXT NOT NULL,
        ns TEXT NOT NULL,
        UNIQUE (thread, ns)
    ) STRICT;

    CREATE TABLE checkpoints (
        place INTEGER NOT NULL REFERENCES places ON DELETE CASCADE,
        id BLOB NOT NULL CHECK (length(id) = 16),
        format INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (place, id)
    ) STRICT, WITHOUT ROWID;

    -- A channel's values lie side by side, so a chain of deltas is read from few pages.
    CREATE TABLE blobs (
        place INTEGER NOT NULL REFERENCES places ON DELETE CASCADE,
        key TEXT NOT NULL,
        at BLOB NOT NULL CHECK (length(at) = 16),
        checksum INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (place, key, at)
    ) STRICT, WITHOUT ROWID;

    -- Without a reference to checkpoints: a record may be stored before its checkpoint.
    CREATE TABLE tasks (
        place INTEGER NOT NULL REFERENCES places ON DELETE CASCADE,
        checkpoint BLOB NOT NULL CHECK (length(checkpoint) = 16),
        task BLOB NOT NULL CHECK (length(task) = 16),
        checksum INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (place, checkpoint, task)
    ) STRICT, WITHOUT ROWID;
",
    "
    -- `namespace` is its labels, each followed by a dot. A row that is written again gets a new
    -- number, so numbers are in the order of the last writes. Times and `ttl` are milliseconds.
    CREATE TABLE items (
        item INTEGER PRIMARY KEY,
        namespace TEXT NOT NULL,
        key TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        ttl INTEGER,
        expires_at INTEGER,
        checksum INTEGER NOT NULL,
        body BLOB NOT NULL,
        UNIQUE (namespace, key)
    ) STRICT;

    CREATE INDEX items_expiry ON items (expires_at) WHERE expires_at IS NOT NULL;

    -- All vectors of an item one after the other, four bytes per number, little end first.
    CREATE TABLE vectors (
        item INTEGER PRIMARY KEY REFERENCES items ON DELETE CASCADE,
        dims INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
",
    "
    -- Where values are that `body` leaves out, because a checkpoint's blob has them already.
    ALTER TABLE tasks ADD COLUMN refs BLOB;
    ALTER TABLE checkpoints ADD COLUMN refs BLOB;

    -- With rows of its own number: in a tree that is its own table every row above a kilobyte
    -- would take a page for itself.
    CREATE TABLE blobs_by_number (
        place INTEGER NOT NULL REFERENCES places ON DELETE CASCADE,
        key TEXT NOT NULL,
        at BLOB NOT NULL CHECK (length(at) = 16),
        checksum INTEGER NOT NULL,
        body BLOB NOT NULL,
        UNIQUE (place, key, at)
    ) STRICT;
    INSERT INTO blobs_by_number SELECT place, key, at, checksum, body FROM blobs;
    DROP TABLE blobs;
    ALTER TABLE blobs_by_number RENAME TO blobs;
",
    "
    -- A superstep writes the records of its tasks and the checkpoint it makes: in one tree they
    -- mostly lie on one page. `task` is empty in the row of the checkpoint itself. Without a
    -- reference among them: a record may be stored before its checkpoint.
    CREATE TABLE steps (
        place INTEGER NOT NULL REFERENCES places ON DELETE CASCADE,
        checkpoint BLOB NOT NULL CHECK (length(checkpoint) = 16),
        task BLOB NOT NULL CHECK (length(task) = 16 OR length(task) = 0 AND format IS NOT NULL),
        format INTEGER,
        checksum INTEGER NOT NULL,
        body BLOB NOT NULL,
        refs BLOB,
        PRIMARY KEY (place, checkpoint, task)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO steps SELECT place, id, x'', format, checksum, body, refs FROM checkpoints;
    INSERT INTO steps SELECT place, checkpoint, task, NULL, checksum, body, refs FROM tasks;
    DROP TABLE checkpoints;
    DROP TABLE tasks;
    CREATE VIEW checkpoints AS
        SELECT place, checkpoint AS id, format, checksum, body, refs FROM steps WHERE task = x'';
    CREATE VIEW tasks AS
        SELECT place, checkpoint, task, checksum, body, refs FROM steps WHERE task > x'';

    -- What the server keeps. Times are microseconds since 1970 (UTC) unless they end in `_ms`;
    -- `doc` and everything that ends in `_json` is JSON text. Ids of runs, assistants and crons are
    -- 16 bytes; threads are text, as in `places`.
    -- When the database was made: one row. Cursors of another database mean nothing here.
    CREATE TABLE incarnation (made_ms INTEGER NOT NULL) STRICT;
    INSERT INTO incarnation VALUES (CAST(unixepoch('subsec') * 1000 AS INTEGER));

    CREATE TABLE assistants (
        id BLOB PRIMARY KEY CHECK (length(id) = 16),
        owner TEXT,
        graph TEXT NOT NULL,
        name TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        version INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX assistants_by_graph ON assistants (graph);

    -- `doc` is all that a version holds; `graph` and `name` above are those of the current one.
    CREATE TABLE assistant_versions (
        assistant BLOB NOT NULL REFERENCES assistants ON DELETE CASCADE,
        version INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        doc TEXT NOT NULL,
        PRIMARY KEY (assistant, version)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE threads (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        owner TEXT,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        state_updated_at INTEGER NOT NULL,
        status TEXT NOT NULL,
        -- What the status is when no run is open.
        rest TEXT NOT NULL DEFAULT 'idle',
        next_seq INTEGER NOT NULL DEFAULT 1,
        metadata_json TEXT NOT NULL,
        config_json TEXT NOT NULL,
        interrupts_json TEXT,
        error_json TEXT,
        ttl_minutes REAL,
        ttl_strategy TEXT,
        expires_at INTEGER
    ) STRICT;
    CREATE INDEX threads_by_creation ON threads (created_at, id);
    CREATE INDEX threads_by_update ON threads (updated_at, id);
    CREATE INDEX threads_by_expiry ON threads (expires_at) WHERE expires_at IS NOT NULL;
    CREATE INDEX threads_buried ON threads (number) WHERE status = 'buried';

    -- Apart: they are large, and the rest of a thread changes more often.
    CREATE TABLE thread_values (
        thread INTEGER PRIMARY KEY REFERENCES threads ON DELETE CASCADE,
        values_json TEXT NOT NULL
    ) STRICT;

    -- `doc` is what a run was asked to do and never changes.
    CREATE TABLE runs (
        id BLOB PRIMARY KEY CHECK (length(id) = 16),
        thread INTEGER NOT NULL REFERENCES threads ON DELETE CASCADE,
        assistant BLOB NOT NULL,
        graph TEXT NOT NULL,
        owner TEXT,
        status TEXT NOT NULL,
        multitask TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        started_at INTEGER,
        ended_at INTEGER,
        attempt INTEGER NOT NULL DEFAULT 0,
        epoch INTEGER NOT NULL DEFAULT 0,
        lease_owner BLOB,
        lease_until_ms INTEGER,
        not_before INTEGER,
        deadline INTEGER,
        cancel_at INTEGER,
        cancel_action TEXT,
        base TEXT,
        metadata_json TEXT NOT NULL,
        error_json TEXT,
        doc TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX runs_one_running ON runs (thread) WHERE status = 'running';
    CREATE INDEX runs_by_thread ON runs (thread, created_at, id);
    -- With all that says whether it is a run's turn: many may wait, and their rows are large.
    CREATE INDEX runs_open ON runs (status, created_at, id, thread, not_before, started_at)
        WHERE status IN ('pending', 'running');
    CREATE INDEX runs_pending_of ON runs (owner) WHERE status = 'pending';
    CREATE INDEX runs_begun ON runs (thread) WHERE status = 'pending' AND started_at IS NOT NULL;
    CREATE INDEX runs_not_due ON runs (not_before)
        WHERE status = 'pending' AND not_before IS NOT NULL;
    CREATE INDEX runs_open_by_thread ON runs (thread, status, created_at, id, not_before)
        WHERE status IN ('pending', 'running');

    -- The log: what was told together is one page of entries, side by side as it is read.
    CREATE TABLE log (
        thread INTEGER NOT NULL REFERENCES threads ON DELETE CASCADE,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL CHECK (last >= first),
        run BLOB NOT NULL,
        epoch INTEGER NOT NULL,
        begins INTEGER NOT NULL,
        ended_ms INTEGER,
        entries BLOB NOT NULL,
        PRIMARY KEY (thread, first)
    ) STRICT, WITHOUT ROWID;
    -- Where a run's entries begin and end on its thread.
    CREATE INDEX log_of_run ON log (run) WHERE begins OR ended_ms IS NOT NULL;
    CREATE INDEX log_by_end ON log (ended_ms) WHERE ended_ms IS NOT NULL;

    CREATE TABLE crons (
        id BLOB PRIMARY KEY CHECK (length(id) = 16),
        owner TEXT,
        assistant BLOB NOT NULL,
        thread TEXT,
        enabled INTEGER NOT NULL,
        next_run INTEGER,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        end_time INTEGER,
        doc TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX crons_due ON crons (next_run) WHERE enabled AND next_run IS NOT NULL;

    -- One row per instant that a cron has fired for.
    CREATE TABLE cron_fires (
        cron BLOB NOT NULL REFERENCES crons ON DELETE CASCADE,
        scheduled_for INTEGER NOT NULL,
        run BLOB NOT NULL,
        PRIMARY KEY (cron, scheduled_for)
    ) STRICT, WITHOUT ROWID;

    -- What requests have made that came under a key of their sender's.
    CREATE TABLE idempotency (
        principal TEXT NOT NULL,
        key TEXT NOT NULL,
        request BLOB NOT NULL CHECK (length(request) = 32),
        made TEXT NOT NULL,
        is_whole INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        PRIMARY KEY (principal, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

    -- What has to be told to others: webhooks.
    CREATE TABLE outbox (
        id BLOB PRIMARY KEY CHECK (length(id) = 16),
        run BLOB NOT NULL,
        target TEXT NOT NULL,
        body BLOB NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        next_at INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        state TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX outbox_due ON outbox (next_at) WHERE state = 'waiting';

    -- `hash` is of the whole key, which is kept nowhere.
    CREATE TABLE api_keys (
        id TEXT PRIMARY KEY,
        hash BLOB NOT NULL CHECK (length(hash) = 32),
        identity TEXT NOT NULL,
        display_name TEXT NOT NULL,
        scopes_json TEXT NOT NULL,
        admin INTEGER NOT NULL,
        created_ms INTEGER NOT NULL,
        expires_ms INTEGER,
        revoked_ms INTEGER
    ) STRICT, WITHOUT ROWID;
",
];

/// Settings that belong to a connection and are not kept in the file.
pub(super) fn configure(
    connection: &Connection,
    writing: Option<Synchronous>,
) -> Result<(), rusqlite::Error> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // Else SQLite plans some statements anew whenever it is given other values.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "busy_timeout", 5000)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -16_000)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    // What is stored in the file must not be able to call functions with side effects.
    connection.pragma_update(None, "trusted_schema", false)?;
    if let Some(synchronous) = writing {
        connection.pragma_update(None, "synchronous", synchronous.word())?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // The writer sees to it.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    } else {
        connection.pragma_update(None, "query_only", true)?;
    }
    Ok(())
}

/// Whether a database is one of ours and has the schema of this build.
pub(super) fn is_current(connection: &Connection) -> Result<bool, rusqlite::Error> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u32>(0));
    Ok(number("PRAGMA application_id")? == APPLICATION_ID
        && number("PRAGMA user_version")? == MIGRATIONS.len() as u32)
}

/// Brings a database to the newest schema, after making sure that it is one of ours.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let failed = |error| Error::of(path.to_path_buf(), error);
    let number = |connection: &Connection, sql: &str| {
        connection.query_row(sql, [], |row| row.get::<_, u32>(0)).map_err(failed)
    };
    let owner = number(connection, "PRAGMA application_id")?;
    let tables = number(connection, "SELECT count(*) FROM sqlite_schema")?;
    if owner != APPLICATION_ID && (owner != 0 || tables > 0) {
        return Err(Error::Foreign { path: path.to_path_buf() });
    }
    let found = number(connection, "PRAGMA user_version")?;
    let supported = MIGRATIONS.len() as u32;
    if found > supported {
        return Err(Error::Newer { path: path.to_path_buf(), found, supported });
    }
    // Only now is the file changed.
    let mode: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(Error::NoWriteAheadLog { path: path.to_path_buf() });
    }
    apply(connection, path, found)
}

/// Gives a new database in memory the newest schema.
pub(super) fn make(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    apply(connection, path, 0)
}

/// Runs the scripts of all versions after `found`.
fn apply(connection: &mut Connection, path: &Path, found: u32) -> Result<(), Error> {
    let failed = |error| Error::of(path.to_path_buf(), error);
    for (version, script) in (1..).zip(MIGRATIONS).skip(found as usize) {
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        transaction.execute_batch(script).map_err(failed)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        transaction.pragma_update(None, "user_version", version).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}
