//! Long-term memory in SQLite. What it means is decided in `mesh_graph::store`.
//!
//! A namespace is kept as its labels, each followed by a dot (labels have none), so that all
//! namespaces below a prefix are one range of the index. Filters and similarities are worked out
//! in Rust, row by row: a search reads what lies below its prefix and keeps one page of it.

use async_trait::async_trait;
use mesh_graph::{
    store::{
        Error, Found, Item, NewItem, Object, Op, Options, Prepared, Ranking, Refresh, Reply, Store,
        Work, has_label, score,
    },
    stored,
};
use rusqlite::{Connection, OptionalExtension, Row, types::Value};

use super::{Fault, Sqlite, checkpoints::checksum};

/// Expired items that one transaction of a sweep removes, so that others get their turn.
const SWEEP_GROUP: usize = 500;

/// Keeps items in a [`Sqlite`] database; made by [`Sqlite::store`].
///
/// It holds as many items as the disk has room for.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    database: Sqlite,
    options: Options,
}

impl SqliteStore {
    pub(super) fn new(database: Sqlite, options: Options) -> Self {
        Self { database, options }
    }
}

type Outcome<T> = Result<T, Fault<Error>>;

#[async_trait]
impl Store for SqliteStore {
    async fn batch(&self, ops: Vec<Op>) -> Result<Vec<Reply>, Error> {
        let Prepared { now_ms, work } = self.options.prepare(ops).await?;
        let writes = |work: &Work| matches!(work, Work::Put { .. } | Work::Delete { .. });
        if work.iter().any(writes) {
            return self.database.write(move |connection| batch(connection, work, now_ms)).await;
        }
        let (replies, read) = self
            .database
            .read(move |connection| -> Outcome<_> {
                let mut read = Vec::new();
                let replies = read_all(connection, &work, now_ms, &mut read)?;
                Ok((replies, read))
            })
            .await?;
        if !read.is_empty() {
            self.database.write(move |connection| refresh(connection, &read, now_ms)).await?;
        }
        Ok(replies)
    }

    async fn sweep(&self) -> Result<usize, Error> {
        let now_ms = self.options.now_ms();
        let mut swept = 0;
        loop {
            let group: Result<usize, Error> = self
                .database
                .write(move |connection| -> Outcome<usize> {
                    Ok(connection
                        .prepare_cached(
                            "DELETE FROM items WHERE item IN
                             (SELECT item FROM items WHERE expires_at <= ? LIMIT ?)",
                        )?
                        .execute((now_ms, SWEEP_GROUP as i64))?)
                })
                .await;
            let group = group?;
            swept += group;
            if group < SWEEP_GROUP {
                return Ok(swept);
            }
        }
    }
}

/// Reads, then writes, in one transaction.
fn batch(connection: &Connection, work: Vec<Work>, now_ms: i64) -> Outcome<Vec<Reply>> {
    let mut read = Vec::new();
    let replies = read_all(connection, &work, now_ms, &mut read)?;
    refresh(connection, &read, now_ms)?;
    for work in work {
        match work {
            Work::Put { namespace, key, item } => put(connection, &namespace, &key, item, now_ms)?,
            Work::Delete { namespace, key } => {
                connection
                    .prepare_cached("DELETE FROM items WHERE namespace = ? AND key = ?")?
                    .execute((joined(&namespace), key))?;
            }
            _ => {}
        }
    }
    Ok(replies)
}

/// Answers every operation from what is stored; `read` gets the items whose time starts anew.
fn read_all(
    connection: &Connection,
    work: &[Work],
    now_ms: i64,
    read: &mut Vec<i64>,
) -> Outcome<Vec<Reply>> {
    work.iter()
        .map(|work| {
            Ok(match work {
                Work::Put { .. } | Work::Delete { .. } | Work::Superseded => Reply::Done,
                Work::Get { namespace, key, refresh } => {
                    let row = connection
                        .prepare_cached(
                            "SELECT item, namespace, key, created_at, updated_at, ttl, checksum,
                                    body
                             FROM items
                             WHERE namespace = ? AND key = ?
                               AND (expires_at IS NULL OR expires_at > ?)",
                        )?
                        .query_row((joined(namespace), key, now_ms), Kept::read)
                        .optional()?;
                    if let Some(kept) = &row {
                        kept.note(*refresh, read);
                    }
                    Reply::Item(row.map(|kept| kept.item()).transpose()?)
                }
                Work::Search { query: None, .. } => {
                    Reply::Found(newest(connection, work, now_ms, read)?)
                }
                Work::Search { query: Some(query), .. } => {
                    Reply::Found(nearest(connection, work, query, now_ms, read)?)
                }
                Work::Namespaces(asked) => {
                    let (from, to) = range(asked.head());
                    let mut statement = connection.prepare_cached(
                        "SELECT DISTINCT namespace FROM items
                         WHERE namespace >= ? AND namespace < ?
                           AND (expires_at IS NULL OR expires_at > ?)",
                    )?;
                    let rows =
                        statement.query_map((from, to, now_ms), |row| row.get::<_, String>(0))?;
                    let all: Vec<Vec<String>> = rows
                        .map(|row| row.map(|joined| labels(&joined)))
                        .collect::<Result<_, _>>()?;
                    Reply::Namespaces(asked.select(all))
                }
            })
        })
        .collect()
}

/// What lies below a prefix, the item written last first. Only numbers are sorted; an item is
/// read when its turn comes.
pub(super) const BELOW: &str = "
    SELECT item, namespace, key, created_at, updated_at, ttl, checksum, body
    FROM items
    WHERE item IN (
        SELECT item FROM items
        WHERE namespace >= ? AND namespace < ? AND (expires_at IS NULL OR expires_at > ?)
    )
    ORDER BY item DESC";

fn newest(
    connection: &Connection,
    work: &Work,
    now_ms: i64,
    read: &mut Vec<i64>,
) -> Outcome<Vec<Found>> {
    let Work::Search { prefix, label, filter, limit, offset, refresh, .. } = work else {
        return Ok(Vec::new());
    };
    let (from, to) = range(prefix);
    let mut statement = connection.prepare_cached(BELOW)?;
    let rows = statement.query_map((from, to, now_ms), Kept::read)?;
    let mut skipped = 0;
    let mut found = Vec::new();
    for row in rows {
        if found.len() == *limit {
            break;
        }
        let kept = row?;
        let item = kept.item()?;
        if !has_label(&item.namespace, label.as_deref()) || !filter.matches(&item.value) {
            continue;
        }
        if skipped < *offset {
            skipped += 1;
            continue;
        }
        kept.note(*refresh, read);
        found.push(Found { item, score: None });
    }
    Ok(found)
}

fn nearest(
    connection: &Connection,
    work: &Work,
    query: &[f32],
    now_ms: i64,
    read: &mut Vec<i64>,
) -> Outcome<Vec<Found>> {
    let Work::Search { prefix, label, filter, limit, offset, refresh, .. } = work else {
        return Ok(Vec::new());
    };
    let (from, to) = range(prefix);
    let mut ranking = Ranking::default();
    let mut statement = connection.prepare_cached(BELOW)?;
    let mut vectors =
        connection.prepare_cached("SELECT body FROM vectors WHERE item = ? AND dims = ?")?;
    for row in statement.query_map((from, to, now_ms), Kept::read)? {
        let kept = row?;
        let item = kept.item()?;
        if !has_label(&item.namespace, label.as_deref()) || !filter.matches(&item.value) {
            continue;
        }
        let own = vectors
            .query_row((kept.number, query.len() as i64), |row| row.get::<_, Vec<u8>>(0))
            .optional()?;
        let own = own.map(|bytes| floats(&bytes)).unwrap_or_default();
        ranking.add(score(query, own.chunks_exact(query.len().max(1))), kept.number);
    }
    let mut one = connection.prepare_cached(
        "SELECT item, namespace, key, created_at, updated_at, ttl, checksum, body
         FROM items WHERE item = ?",
    )?;
    ranking
        .page(*offset, *limit)
        .map(|(score, number)| {
            let kept = one.query_row([number], Kept::read)?;
            kept.note(*refresh, read);
            Ok(Found { item: kept.item()?, score })
        })
        .collect()
}

fn put(
    connection: &Connection,
    namespace: &[String],
    key: &str,
    item: NewItem,
    now_ms: i64,
) -> Outcome<()> {
    let namespace = joined(namespace);
    let known = connection
        .prepare_cached(
            "SELECT created_at, updated_at, expires_at IS NULL OR expires_at > ?
             FROM items WHERE namespace = ? AND key = ?",
        )?
        .query_row((now_ms, &namespace, key), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get(2)?))
        })
        .optional()?;
    // The row gets a new, higher number: items are in the order in which they were written last.
    if known.is_some() {
        connection
            .prepare_cached("DELETE FROM items WHERE namespace = ? AND key = ?")?
            .execute((&namespace, key))?;
    }
    let (created_at, updated_at) = match known {
        Some((created_at, updated_at, true)) => {
            (created_at, now_ms.max(updated_at.saturating_add(1)))
        }
        Some((_, _, false)) | None => (now_ms, now_ms),
    };
    let body = stored::encode(&item.value)
        .map_err(|error| Fault::Refused(Error::Storage(Box::new(error))))?;
    connection
        .prepare_cached(
            "INSERT INTO items
             (namespace, key, created_at, updated_at, ttl, expires_at, checksum, body)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute((
            namespace,
            key,
            created_at,
            updated_at,
            item.ttl_ms,
            item.ttl_ms.map(|ttl| now_ms.saturating_add(ttl)),
            checksum(&body),
            body,
        ))?;
    if let Some(first) = item.vectors.first() {
        let bytes: Vec<u8> =
            item.vectors.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
        connection
            .prepare_cached("INSERT INTO vectors (item, dims, body) VALUES (?, ?, ?)")?
            .execute((connection.last_insert_rowid(), first.len() as i64, bytes))?;
    }
    Ok(())
}

/// Starts the time of items anew.
fn refresh(connection: &Connection, items: &[i64], now_ms: i64) -> Outcome<()> {
    let mut update =
        connection.prepare_cached("UPDATE items SET expires_at = ? + ttl WHERE item = ?")?;
    for item in items {
        // One that was deleted meanwhile is not there, and one that was written anew has just
        // begun its time.
        update.execute((now_ms, item))?;
    }
    Ok(())
}

/// Labels as one text, each followed by a dot.
fn joined(labels: &[String]) -> String {
    labels.iter().flat_map(|label| [label.as_str(), "."]).collect()
}

fn labels(joined: &str) -> Vec<String> {
    joined.split_terminator('.').map(str::to_owned).collect()
}

/// Where namespaces with these first labels begin, and what comes after the last of them.
fn range(prefix: &[String]) -> (String, Value) {
    let from = joined(prefix);
    let to = match from.strip_suffix('.') {
        // `/` follows the dot.
        Some(labels) => Value::Text(format!("{labels}/")),
        // SQLite puts bytes after all texts.
        None => Value::Blob(Vec::new()),
    };
    (from, to)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|chunk| f32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]))
        .collect()
}

/// A row whose value was not looked into yet.
struct Kept {
    number: i64,
    namespace: String,
    key: String,
    created_at_ms: i64,
    updated_at_ms: i64,
    ttl: Option<i64>,
    checksum: i64,
    body: Vec<u8>,
}

impl Kept {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            number: row.get(0)?,
            namespace: row.get(1)?,
            key: row.get(2)?,
            created_at_ms: row.get(3)?,
            updated_at_ms: row.get(4)?,
            ttl: row.get(5)?,
            checksum: row.get(6)?,
            body: row.get(7)?,
        })
    }

    fn note(&self, refresh: Refresh, read: &mut Vec<i64>) {
        if refresh.0 && self.ttl.is_some() {
            read.push(self.number);
        }
    }

    fn item(&self) -> Outcome<Item> {
        let damaged = |reason| Fault::Refused(Error::Damaged { key: self.key.clone(), reason });
        if checksum(&self.body) != self.checksum {
            return Err(damaged("it does not have its checksum".to_owned()));
        }
        let value: Object =
            stored::decode(&self.body).map_err(|error| damaged(error.to_string()))?;
        Ok(Item {
            namespace: labels(&self.namespace),
            key: self.key.clone(),
            value,
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
            ttl_ms: self.ttl,
        })
    }
}
