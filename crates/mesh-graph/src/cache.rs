//! The node cache: what a node gave for an input is given again, and the node is not run.
//!
//! A policy says which nodes take part; an [`App`](crate::App) without a backend ignores it. Only
//! whole results are kept, never errors or anything a person was asked for. A cache that fails
//! costs time and nothing else.
//!
//! Semantics: LangGraph's cache policies, except that keys are hashes of canonical JSON.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use crate::{canonical::InputHash, error::BoxError};

/// Results that a [`MemoryCache`] keeps unless it is told otherwise.
pub const CACHE_ENTRIES: usize = 1024;

/// Bytes of results that a [`MemoryCache`] keeps unless it is told otherwise: 64 MiB.
pub const CACHE_BYTES: usize = 64 << 20;

/// What of an input makes the key.
type KeyFn = Arc<dyn Fn(&Json) -> Json + Send + Sync>;

/// Says that a node's results, or a functional task's, may be given again for the same input.
///
/// The key is the graph's name, the node's name, the node's version and a hash of the node's input
/// in JSON: the state it sees, or the argument of its `Send` or call.
#[derive(Clone, Default)]
pub struct CachePolicy {
    key: Option<KeyFn>,
    ttl: Option<Duration>,
    version: String,
}

impl CachePolicy {
    /// The whole input is the key, and results do not expire.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the key from the input, in place of the whole input. The order of map keys never
    /// matters.
    pub fn key(mut self, key: impl Fn(&Json) -> Json + Send + Sync + 'static) -> Self {
        self.key = Some(Arc::new(key));
        self
    }

    /// A result is given for this long, by the run's clock.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The node's version, for caches that outlive a build: results of other versions are not
    /// given. Change it with the node's code or with what follows the node.
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    pub(crate) fn of_node(&self, graph: &str, node: &str, input: &Json) -> CacheKey {
        self.of("node", graph, node, input)
    }

    pub(crate) fn of_call(&self, graph: &str, task: &str, input: &Json) -> CacheKey {
        self.of("call", graph, task, input)
    }

    /// The kind keeps a functional task apart from a node that has its name.
    fn of(&self, kind: &str, graph: &str, node: &str, input: &Json) -> CacheKey {
        let input = self.key.as_ref().map_or_else(|| input.clone(), |key| key(input));
        CacheKey {
            graph: graph.to_owned(),
            node: node.to_owned(),
            version: self.version.clone(),
            input: InputHash::of(&json!([kind, input])),
        }
    }

    /// When a result of now expires.
    pub(crate) fn expires_ms(&self, now_ms: i64) -> Option<i64> {
        let ttl = i64::try_from(self.ttl?.as_millis()).unwrap_or(i64::MAX);
        Some(now_ms.saturating_add(ttl))
    }
}

impl fmt::Debug for CachePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachePolicy")
            .field("whole_input", &self.key.is_none())
            .field("ttl", &self.ttl)
            .field("version", &self.version)
            .finish()
    }
}

/// What a result is kept under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CacheKey {
    /// The graph.
    pub graph: String,
    /// The node, or the functional task.
    pub node: String,
    /// The node's version, as its policy says.
    pub version: String,
    /// The hash of the input.
    pub input: InputHash,
}

/// Keeps results of nodes between runs. Values are opaque bytes.
///
/// It may forget anything at any time. Its errors are logged and otherwise treated as a miss.
#[async_trait]
pub trait NodeCache: Send + Sync {
    /// The result kept under `key`, unless it has expired at `now_ms`.
    ///
    /// # Errors
    /// Only failures of the backend; the node is run then.
    async fn get(&self, key: &CacheKey, now_ms: i64) -> Result<Option<Vec<u8>>, BoxError>;

    /// Keeps a result, in place of an older one, until `expires_ms` if that is given.
    ///
    /// # Errors
    /// Only failures of the backend; the result is not kept then.
    async fn put(
        &self,
        key: CacheKey,
        result: Vec<u8>,
        expires_ms: Option<i64>,
    ) -> Result<(), BoxError>;

    /// Forgets the results of these nodes of a graph, of all versions; of all its nodes without a
    /// list.
    ///
    /// # Errors
    /// Only failures of the backend.
    async fn clear(&self, graph: &str, nodes: Option<&[&str]>) -> Result<(), BoxError>;
}

/// A cache in memory, gone with the process. It is bounded by entries and by bytes; when it is
/// full, what was not used for the longest time goes first. A result that is larger than the
/// whole cache is not kept.
pub struct MemoryCache {
    entries_max: usize,
    bytes_max: usize,
    shelf: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    entries: HashMap<Arc<CacheKey>, Entry>,
    /// Keys by last use, the oldest first.
    order: BTreeMap<u64, Arc<CacheKey>>,
    uses: u64,
    bytes: usize,
}

struct Entry {
    result: Vec<u8>,
    expires_ms: Option<i64>,
    used: u64,
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self::bounded(CACHE_ENTRIES, CACHE_BYTES)
    }
}

impl MemoryCache {
    /// At most this many results with this many bytes altogether.
    pub fn bounded(entries: usize, bytes: usize) -> Self {
        Self { entries_max: entries, bytes_max: bytes, shelf: Mutex::default() }
    }

    /// How many results it keeps.
    pub fn len(&self) -> usize {
        self.shelf().entries.len()
    }

    /// Whether it keeps nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shelf = self.shelf();
        f.debug_struct("MemoryCache")
            .field("entries", &shelf.entries.len())
            .field("bytes", &shelf.bytes)
            .finish_non_exhaustive()
    }
}

impl Shelf {
    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn forget(&mut self, key: &CacheKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
            self.bytes -= entry.result.len();
        }
    }

    fn make_room(&mut self, entries_max: usize, bytes_max: usize) {
        while (self.entries.len() > entries_max || self.bytes > bytes_max)
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.forget(&oldest);
        }
    }
}

#[async_trait]
impl NodeCache for MemoryCache {
    async fn get(&self, key: &CacheKey, now_ms: i64) -> Result<Option<Vec<u8>>, BoxError> {
        let mut shelf = self.shelf();
        let used = shelf.next_use();
        let Some(entry) = shelf.entries.get_mut(key) else { return Ok(None) };
        if entry.expires_ms.is_some_and(|expires| expires <= now_ms) {
            shelf.forget(key);
            return Ok(None);
        }
        let result = entry.result.clone();
        let before = std::mem::replace(&mut entry.used, used);
        if let Some(key) = shelf.order.remove(&before) {
            shelf.order.insert(used, key);
        }
        Ok(Some(result))
    }

    async fn put(
        &self,
        key: CacheKey,
        result: Vec<u8>,
        expires_ms: Option<i64>,
    ) -> Result<(), BoxError> {
        let mut shelf = self.shelf();
        shelf.forget(&key);
        if result.len() > self.bytes_max || self.entries_max == 0 {
            return Ok(());
        }
        let used = shelf.next_use();
        let key = Arc::new(key);
        shelf.bytes += result.len();
        shelf.order.insert(used, Arc::clone(&key));
        shelf.entries.insert(key, Entry { result, expires_ms, used });
        shelf.make_room(self.entries_max, self.bytes_max);
        Ok(())
    }

    async fn clear(&self, graph: &str, nodes: Option<&[&str]>) -> Result<(), BoxError> {
        let mut shelf = self.shelf();
        let meant: Vec<Arc<CacheKey>> = shelf
            .order
            .values()
            .filter(|key| key.graph == graph)
            .filter(|key| nodes.is_none_or(|nodes| nodes.contains(&&*key.node)))
            .cloned()
            .collect();
        for key in meant {
            shelf.forget(&key);
        }
        Ok(())
    }
}

/// What a backend keeps of `key`. Its failures are misses.
pub(crate) async fn look_up(cache: &dyn NodeCache, key: &CacheKey, now_ms: i64) -> Option<Vec<u8>> {
    match cache.get(key, now_ms).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(node = key.node, error = &*error, "the node cache cannot be read");
            None
        }
    }
}

/// Hands a result to a backend. Its failures only mean that nothing is kept.
pub(crate) async fn keep(
    cache: &dyn NodeCache,
    key: CacheKey,
    result: Vec<u8>,
    expires_ms: Option<i64>,
) {
    let node = key.node.clone();
    if let Err(error) = cache.put(key, result, expires_ms).await {
        tracing::warn!(node, error = &*error, "the node cache cannot be written");
    }
}
