//! A store in memory, gone with the process.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{
    Error, Found, Item, Options, Prepared, Ranking, Refresh, Reply, Store, Work,
    prepared::{has_label, score},
};

/// Items that a [`MemoryStore`] holds, unless it is made with another bound: at a few kilobytes
/// each, some hundred megabytes.
pub const ITEMS_MAX: usize = 100_000;

/// Items in memory, up to a bound. When it is reached, expired items make room; without any, a
/// batch with a new key is refused as [`Error::Full`].
#[derive(Debug)]
pub struct MemoryStore {
    options: Options,
    items_max: usize,
    shelves: Mutex<Shelves>,
}

#[derive(Debug, Default)]
struct Shelves {
    namespaces: BTreeMap<Vec<String>, BTreeMap<String, Row>>,
    items: usize,
    /// Counts puts, so that "written last" has an answer within a millisecond, too.
    puts: u64,
}

#[derive(Debug)]
struct Row {
    item: Item,
    vectors: Vec<Vec<f32>>,
    expires_at_ms: Option<i64>,
    put: u64,
}

impl Row {
    fn lives(&self, now_ms: i64) -> bool {
        self.expires_at_ms.is_none_or(|expires| expires > now_ms)
    }

    fn refresh(&mut self, refresh: Refresh, now_ms: i64) {
        if let (Refresh(true), Some(ttl)) = (refresh, self.item.ttl_ms) {
            self.expires_at_ms = Some(now_ms.saturating_add(ttl));
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl MemoryStore {
    /// An empty store for up to [`ITEMS_MAX`] items.
    pub fn new(options: Options) -> Self {
        Self { options, items_max: ITEMS_MAX, shelves: Mutex::default() }
    }

    /// Holds up to this many items.
    pub fn items_max(mut self, items: usize) -> Self {
        self.items_max = items;
        self
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        // No user code runs under the lock, and no change below is made in two steps that could
        // be torn apart by a panic.
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn batch(&self, ops: Vec<super::Op>) -> Result<Vec<Reply>, Error> {
        let Prepared { now_ms, work } = self.options.prepare(ops).await?;
        let mut shelves = self.shelves();
        shelves.make_room(&work, self.items_max, now_ms)?;
        let mut replies = Vec::with_capacity(work.len());
        for work in &work {
            replies.push(shelves.read(work, now_ms));
        }
        for work in work {
            shelves.write(work, now_ms);
        }
        Ok(replies)
    }

    async fn sweep(&self) -> Result<usize, Error> {
        let now_ms = self.options.now_ms();
        Ok(self.shelves().sweep(now_ms))
    }
}

impl Shelves {
    fn get(&mut self, namespace: &[String], key: &str, now_ms: i64) -> Option<&mut Row> {
        self.namespaces.get_mut(namespace)?.get_mut(key).filter(|row| row.lives(now_ms))
    }

    fn make_room(&mut self, work: &[Work], items_max: usize, now_ms: i64) -> Result<(), Error> {
        let new = |shelves: &Self| {
            let is_new = |work: &&Work| match work {
                Work::Put { namespace, key, .. } => {
                    !shelves.namespaces.get(namespace).is_some_and(|rows| rows.contains_key(key))
                }
                _ => false,
            };
            work.iter().filter(is_new).count()
        };
        let gone = |work: &[Work], shelves: &Self| {
            let is_gone = |work: &&Work| match work {
                Work::Delete { namespace, key } => {
                    shelves.namespaces.get(namespace).is_some_and(|rows| rows.contains_key(key))
                }
                _ => false,
            };
            work.iter().filter(is_gone).count()
        };
        let fits = |shelves: &Self| {
            let new = new(shelves);
            new == 0 || shelves.items + new <= items_max + gone(work, shelves)
        };
        if fits(self) {
            return Ok(());
        }
        self.sweep(now_ms);
        if fits(self) { Ok(()) } else { Err(Error::Full { limit: items_max }) }
    }

    fn read(&mut self, work: &Work, now_ms: i64) -> Reply {
        match work {
            Work::Put { .. } | Work::Delete { .. } | Work::Superseded => Reply::Done,
            Work::Get { namespace, key, refresh } => {
                let row = self.get(namespace, key, now_ms);
                Reply::Item(row.map(|row| {
                    row.refresh(*refresh, now_ms);
                    row.item.clone()
                }))
            }
            Work::Search { prefix, label, filter, query, limit, offset, refresh } => {
                let mut rows: Vec<&mut Row> = self
                    .namespaces
                    .range_mut(prefix.clone()..)
                    .take_while(|(namespace, _)| namespace.starts_with(prefix))
                    .filter(|(namespace, _)| has_label(namespace, label.as_deref()))
                    .flat_map(|(_, rows)| rows.values_mut())
                    .filter(|row| row.lives(now_ms) && filter.matches(&row.item.value))
                    .collect();
                rows.sort_by_key(|row| Reverse(row.put));
                let mut ranking = Ranking::default();
                for row in rows {
                    let vectors = row.vectors.iter().map(Vec::as_slice);
                    ranking.add(query.as_ref().and_then(|query| score(query, vectors)), row);
                }
                let found = ranking.page(*offset, *limit).map(|(score, row)| {
                    row.refresh(*refresh, now_ms);
                    Found { item: row.item.clone(), score }
                });
                Reply::Found(found.collect())
            }
            Work::Namespaces(asked) => {
                let head = asked.head();
                let all = self
                    .namespaces
                    .range(head.to_vec()..)
                    .take_while(|(namespace, _)| namespace.starts_with(head))
                    .filter(|(_, rows)| rows.values().any(|row| row.lives(now_ms)))
                    .map(|(namespace, _)| namespace.clone());
                Reply::Namespaces(asked.select(all))
            }
        }
    }

    fn write(&mut self, work: Work, now_ms: i64) {
        match work {
            Work::Put { namespace, key, item } => {
                let known = self.get(&namespace, &key, now_ms);
                let (created_at_ms, updated_at_ms) = known.map_or((now_ms, now_ms), |row| {
                    let before = row.item.updated_at_ms;
                    (row.item.created_at_ms, now_ms.max(before.saturating_add(1)))
                });
                self.puts += 1;
                let row = Row {
                    item: Item {
                        namespace: namespace.clone(),
                        key: key.clone(),
                        value: item.value,
                        created_at_ms,
                        updated_at_ms,
                        ttl_ms: item.ttl_ms,
                    },
                    vectors: item.vectors,
                    expires_at_ms: item.ttl_ms.map(|ttl| now_ms.saturating_add(ttl)),
                    put: self.puts,
                };
                if self.namespaces.entry(namespace).or_default().insert(key, row).is_none() {
                    self.items += 1;
                }
            }
            Work::Delete { namespace, key } => {
                if let Some(rows) = self.namespaces.get_mut(&namespace) {
                    self.items -= usize::from(rows.remove(&key).is_some());
                    if rows.is_empty() {
                        self.namespaces.remove(&namespace);
                    }
                }
            }
            _ => {}
        }
    }

    fn sweep(&mut self, now_ms: i64) -> usize {
        let before = self.items;
        let items = &mut self.items;
        self.namespaces.retain(|_, rows| {
            rows.retain(|_, row| {
                let lives = row.lives(now_ms);
                *items -= usize::from(!lives);
                lives
            });
            !rows.is_empty()
        });
        before - self.items
    }
}
