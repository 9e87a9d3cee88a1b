//! Long-term memory: items that outlive threads, found by namespace and key, by what their values
//! hold, or by what they mean.
//!
//! The [`Store`] trait is what nodes and servers use; [`MemoryStore`] is the implementation in
//! this crate. Everything that must be the same in every store (names, filters, paths, lifetimes,
//! ranking) is decided here; an implementation only keeps rows. It never calls a model by itself:
//! vectors come from the [`Embed`] that it was given.
//!
//! Semantics: LangGraph's `BaseStore`, with the differences named at [`Filter`] and
//! [`Lifetime`].

mod filter;
mod index;
mod memory;
mod prepared;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Map, Value as Json};
use tokio_util::sync::CancellationToken;

use crate::{env::Env, error::BoxError};

pub use self::{
    filter::Filter,
    index::{Embed, Index, PARTS_MAX},
    memory::{ITEMS_MAX, MemoryStore},
    prepared::{NewItem, Options, Prepared, Ranking, Refresh, Work, has_label, score},
};

/// The value of an item: a JSON object.
pub type Object = Map<String, Json>;

/// Items that [`Search`] returns unless it says otherwise.
pub const SEARCH_LIMIT: usize = 10;

/// Namespaces that [`Namespaces`] returns unless it says otherwise.
pub const NAMESPACES_LIMIT: usize = 100;

/// First labels that belong to the engine and its server.
pub const RESERVED_ROOTS: [&str; 2] = ["langgraph", "mesh"];

/// What a store refuses or reports.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A namespace cannot be written to.
    #[error("namespace {namespace:?}: expected {expected}")]
    Namespace {
        /// The namespace.
        namespace: Vec<String>,
        /// What it should be.
        expected: &'static str,
    },
    /// A value is not an object.
    #[error("value of `{key}`: expected an object")]
    NotAnObject {
        /// The item's key.
        key: String,
    },
    /// A filter has an operator that is not one.
    #[error(
        "filter operator `{operator}`: expected $eq, $ne, $gt, $gte, $lt, $lte, $in or $exists"
    )]
    UnknownOperator {
        /// The operator.
        operator: String,
    },
    /// A filter's operator cannot be used with its operand.
    #[error("filter operator `{operator}`: expected {expected}")]
    Operand {
        /// The operator.
        operator: &'static str,
        /// What its operand should be.
        expected: &'static str,
    },
    /// A path into values cannot be read.
    #[error("index path `{path}`: expected {expected}")]
    Path {
        /// The path.
        path: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A lifetime is no time.
    #[error("ttl {minutes}: expected minutes above 0, at most a thousand years")]
    Ttl {
        /// The lifetime that was given.
        minutes: f64,
    },
    /// An item has more indexed parts than are embedded for one.
    #[error("value of `{key}` has {parts} parts to index; expected at most {PARTS_MAX}")]
    TooManyParts {
        /// The item's key.
        key: String,
        /// How many there are.
        parts: usize,
    },
    /// Texts could not be turned into vectors.
    #[error("texts cannot be embedded")]
    Embedding(#[source] BoxError),
    /// An embedding does not have the shape that the index was made for.
    #[error("embedding: expected {expected} and got {found}")]
    BadEmbedding {
        /// What was expected.
        expected: String,
        /// What came.
        found: String,
    },
    /// The store has no room for another item. Deleting items makes some.
    #[error("the store is full: it holds {limit} items")]
    Full {
        /// Its bound.
        limit: usize,
    },
    /// A stored item cannot be read.
    #[error("item `{key}` is damaged: {reason}")]
    Damaged {
        /// The item's key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no room left in the storage. Reading goes on.
    #[error("the disk is full")]
    DiskFull,
    /// The storage itself failed.
    #[error("storage failed")]
    Storage(#[source] BoxError),
}

/// One thing that is remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Where it is, label by label.
    pub namespace: Vec<String>,
    /// Its name there.
    pub key: String,
    /// What is remembered.
    pub value: Object,
    /// When the key was written first, milliseconds since 1970 (UTC).
    pub created_at_ms: i64,
    /// When it was written last: later than when it was written before, also within one
    /// millisecond.
    pub updated_at_ms: i64,
    /// How long it is remembered after it was written or read, in milliseconds; for ever without.
    pub ttl_ms: Option<i64>,
}

/// An item that a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The item.
    pub item: Item,
    /// Cosine similarity to the query, from −1 to 1. None without a query, without an index, and
    /// for items that have no vectors.
    pub score: Option<f64>,
}

/// Which parts of a value are embedded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Indexing {
    /// Those that the store's [`Index`] names.
    #[default]
    Default,
    /// None: a search by meaning lists the item last.
    Off,
    /// These paths: `$` is the whole value, else such as `a.b`, `a[*].t`, `a[0]` or `a[-1]`.
    Paths(Vec<String>),
}

/// How long an item is remembered.
///
/// Unlike LangGraph's stores, an expired item cannot be seen from the moment it expires, whether
/// or not it was swept away.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Lifetime {
    /// As the store's [`Ttl`] says.
    #[default]
    Default,
    /// Until it is deleted.
    Forever,
    /// This many minutes after it was written, or read if that refreshes it.
    Minutes(f64),
}

/// How long items are remembered when nobody says otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ttl {
    /// Minutes; none is for ever.
    pub default_minutes: Option<f64>,
    /// Whether reading an item starts its time anew.
    pub refresh_on_read: bool,
}

impl Default for Ttl {
    /// For ever; reading refreshes what was given a lifetime.
    fn default() -> Self {
        Self { default_minutes: None, refresh_on_read: true }
    }
}

/// Writes or deletes an item.
#[derive(Debug, Clone)]
pub struct Put {
    /// Where.
    pub namespace: Vec<String>,
    /// Its name there; any text.
    pub key: String,
    /// What to remember; none deletes the item.
    pub value: Option<Object>,
    /// Which parts are embedded.
    pub index: Indexing,
    /// How long it is remembered.
    pub ttl: Lifetime,
}

impl Put {
    /// Writes `value` with the store's own index and lifetime.
    pub fn new(namespace: &[&str], key: &str, value: Object) -> Self {
        Self {
            namespace: owned(namespace),
            key: key.to_owned(),
            value: Some(value),
            index: Indexing::Default,
            ttl: Lifetime::Default,
        }
    }

    /// Deletes an item; that it is not there is fine.
    pub fn delete(namespace: &[&str], key: &str) -> Self {
        Self { value: None, ..Self::new(namespace, key, Object::new()) }
    }
}

/// Reads an item.
#[derive(Debug, Clone)]
pub struct Get {
    /// Where.
    pub namespace: Vec<String>,
    /// Its name there.
    pub key: String,
    /// Whether its time starts anew; by default as the store's [`Ttl`] says.
    pub refresh: Option<bool>,
}

impl Get {
    /// Reads an item.
    pub fn new(namespace: &[&str], key: &str) -> Self {
        Self { namespace: owned(namespace), key: key.to_owned(), refresh: None }
    }
}

/// Looks for items.
///
/// Without a query, or in a store without an index, the item written last comes first. With one,
/// the most similar comes first; items without vectors come after those, the one written last
/// first.
#[derive(Debug, Clone)]
pub struct Search {
    /// Namespaces that begin with these labels; all of them when empty.
    pub prefix: Vec<String>,
    /// Only namespaces that have this label somewhere.
    pub label: Option<String>,
    /// What the value has to hold.
    pub filter: Filter,
    /// What the item should be about.
    pub query: Option<String>,
    /// At most this many.
    pub limit: usize,
    /// Leaves out this many of the first.
    pub offset: usize,
    /// Whether the time of found items starts anew; by default as the store's [`Ttl`] says.
    pub refresh: Option<bool>,
}

impl Search {
    /// The first [`SEARCH_LIMIT`] items below a namespace.
    pub fn under(prefix: &[&str]) -> Self {
        Self {
            prefix: owned(prefix),
            label: None,
            filter: Filter::default(),
            query: None,
            limit: SEARCH_LIMIT,
            offset: 0,
            refresh: None,
        }
    }

    /// Only items whose value holds what `filter` says; see [`Filter`].
    ///
    /// # Errors
    /// [`Error::UnknownOperator`] or [`Error::Operand`].
    pub fn filter(mut self, filter: &Json) -> Result<Self, Error> {
        self.filter = Filter::new(filter)?;
        Ok(self)
    }

    /// Those first that are most about this.
    pub fn query(mut self, query: &str) -> Self {
        self.query = Some(query.to_owned());
        self
    }
}

/// Lists namespaces that have items, sorted, each once.
#[derive(Debug, Clone)]
pub struct Namespaces {
    /// The first labels; `*` stands for any one.
    pub prefix: Vec<String>,
    /// The last labels; `*` stands for any one.
    pub suffix: Vec<String>,
    /// Only those that have this label somewhere.
    pub label: Option<String>,
    /// Cuts namespaces to this many labels.
    pub max_depth: Option<NonZeroUsize>,
    /// At most this many.
    pub limit: usize,
    /// Leaves out this many of the first.
    pub offset: usize,
}

impl Default for Namespaces {
    /// The first [`NAMESPACES_LIMIT`] of all.
    fn default() -> Self {
        Self {
            prefix: Vec::new(),
            suffix: Vec::new(),
            label: None,
            max_depth: None,
            limit: NAMESPACES_LIMIT,
            offset: 0,
        }
    }
}

impl Namespaces {
    /// The labels that every namespace in question begins with, for a search by range.
    pub fn head(&self) -> &[String] {
        let length = self.prefix.iter().take_while(|label| *label != "*").count();
        &self.prefix[..length]
    }

    /// Picks from all namespaces what was asked for.
    pub fn select(&self, all: impl IntoIterator<Item = Vec<String>>) -> Vec<Vec<String>> {
        let fits = |labels: &[String], pattern: &[String]| {
            labels.iter().zip(pattern).all(|(label, wanted)| wanted == "*" || wanted == label)
        };
        let depth = self.max_depth.map_or(usize::MAX, NonZeroUsize::get);
        let mut selected: Vec<Vec<String>> = all
            .into_iter()
            .filter(|namespace| {
                let length = namespace.len();
                self.prefix.len() <= length
                    && has_label(namespace, self.label.as_deref())
                    && self.suffix.len() <= length
                    && fits(namespace, &self.prefix)
                    && fits(&namespace[length - self.suffix.len()..], &self.suffix)
            })
            .map(|mut namespace| {
                namespace.truncate(depth);
                namespace
            })
            .collect();
        selected.sort();
        selected.dedup();
        selected.into_iter().skip(self.offset).take(self.limit).collect()
    }
}

/// One operation of a batch.
#[derive(Debug, Clone)]
pub enum Op {
    /// Answered with [`Reply::Done`].
    Put(Put),
    /// Answered with [`Reply::Item`].
    Get(Get),
    /// Answered with [`Reply::Found`].
    Search(Search),
    /// Answered with [`Reply::Namespaces`].
    Namespaces(Namespaces),
}

/// The answer to one operation of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// It was written or deleted.
    Done,
    /// The item, if there is one.
    Item(Option<Item>),
    /// The items that were found.
    Found(Vec<Found>),
    /// The namespaces.
    Namespaces(Vec<Vec<String>>),
}

/// Remembers items across threads.
///
/// # Cancel safety
/// A dropped call may or may not have taken effect; a batch is never half stored.
#[async_trait]
pub trait Store: Send + Sync {
    /// Carries out several operations and answers them in order. Reads see the store as it was
    /// before the batch; of several puts on one key the last one counts.
    ///
    /// # Errors
    /// [`Error`] names what is wrong with an operation; nothing of the batch was stored then.
    async fn batch(&self, ops: Vec<Op>) -> Result<Vec<Reply>, Error>;

    /// Removes items whose time is over, and says how many. They could not be seen before, so
    /// this only makes room.
    ///
    /// # Errors
    /// Only storage failures.
    async fn sweep(&self) -> Result<usize, Error>;

    /// Writes an item with the store's own index and lifetime. `value` is an object.
    ///
    /// # Errors
    /// As [`Store::batch`].
    async fn put(&self, namespace: &[&str], key: &str, value: Json) -> Result<(), Error> {
        let Json::Object(value) = value else {
            return Err(Error::NotAnObject { key: key.to_owned() });
        };
        self.batch(vec![Op::Put(Put::new(namespace, key, value))]).await.map(drop)
    }

    /// The item, if there is one.
    ///
    /// # Errors
    /// Only storage failures.
    async fn get(&self, namespace: &[&str], key: &str) -> Result<Option<Item>, Error> {
        match self.batch(vec![Op::Get(Get::new(namespace, key))]).await?.pop() {
            Some(Reply::Item(item)) => Ok(item),
            _ => Err(other_reply()),
        }
    }

    /// Deletes an item; that it is not there is fine.
    ///
    /// # Errors
    /// As [`Store::batch`].
    async fn delete(&self, namespace: &[&str], key: &str) -> Result<(), Error> {
        self.batch(vec![Op::Put(Put::delete(namespace, key))]).await.map(drop)
    }

    /// Looks for items.
    ///
    /// # Errors
    /// As [`Store::batch`].
    async fn search(&self, search: Search) -> Result<Vec<Found>, Error> {
        match self.batch(vec![Op::Search(search)]).await?.pop() {
            Some(Reply::Found(found)) => Ok(found),
            _ => Err(other_reply()),
        }
    }

    /// Lists namespaces that have items.
    ///
    /// # Errors
    /// Only storage failures.
    async fn list_namespaces(&self, asked: Namespaces) -> Result<Vec<Vec<String>>, Error> {
        match self.batch(vec![Op::Namespaces(asked)]).await?.pop() {
            Some(Reply::Namespaces(namespaces)) => Ok(namespaces),
            _ => Err(other_reply()),
        }
    }
}

/// A store that does not keep its contract.
fn other_reply() -> Error {
    Error::Storage("the store gave another answer than was asked for".into())
}

/// Sweeps a store every so often until `cancel` fires. The caller owns the future: a server puts
/// it among its own tasks. A sweep that fails is logged and tried again next time.
pub async fn keep_swept(
    store: Arc<dyn Store>,
    env: Arc<dyn Env>,
    every: Duration,
    cancel: CancellationToken,
) {
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = env.sleep(every) => {}
        }
        match store.sweep().await {
            Ok(swept) => tracing::debug!(swept, "expired items were removed"),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a sweep failed");
            }
        }
    }
}

fn owned(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

/// Refuses namespaces that nobody may write to.
fn check_namespace(namespace: &[String]) -> Result<(), Error> {
    let refused = |expected| Err(Error::Namespace { namespace: namespace.to_vec(), expected });
    let Some(root) = namespace.first() else {
        return refused("at least one label");
    };
    if namespace.iter().any(String::is_empty) {
        return refused("labels that are not empty");
    }
    if namespace.iter().any(|label| label.contains(['.', '\0'])) {
        return refused("labels without `.` and NUL");
    }
    if RESERVED_ROOTS.contains(&root.as_str()) {
        return refused("a first label other than `langgraph` and `mesh`, which are reserved");
    }
    Ok(())
}
