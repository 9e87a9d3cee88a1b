//! Threads as rows: what a database does with them.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::{Thread, ThreadStatus, Ttl, TtlStrategy};
use crate::{
    Error, Scope, Stamp,
    page::{Direction, Page, Window},
};

/// What changes about a thread; what is `None` stays. Every change also begins the time anew after
/// which a thread with a [`Ttl`] goes.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// When. Becomes `updated_at`.
    pub at: Stamp,
    /// Whether the state changed, so that `at` becomes `state_updated_at`, too.
    pub of_state: bool,
    /// All entries of the metadata.
    pub metadata: Option<Map<String, Json>>,
    /// The configuration.
    pub config: Option<Map<String, Json>>,
    /// What it is doing.
    pub status: Option<ThreadStatus>,
    /// The root state.
    pub values: Option<Json>,
    /// Open questions by task id.
    pub interrupts: Option<Map<String, Json>>,
    /// What its last run failed with; `Some(None)` takes that away.
    pub error: Option<Option<Json>>,
    /// How long it is kept; its `expires_at` does not count here.
    pub ttl: Option<Ttl>,
}

impl Change {
    /// Nothing but the time of a change.
    pub fn at(at: Stamp) -> Self {
        Self { at, ..Self::default() }
    }
}

/// Which threads.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Whose.
    pub scope: Scope,
    /// One of these, if given.
    pub ids: Option<Vec<String>>,
    /// Whose metadata contains all this; see [`crate::containment`].
    pub metadata: Map<String, Json>,
    /// Whose values contain all this. Empty: whether it has values or not.
    pub values: Map<String, Json>,
    /// That are doing this.
    pub status: Option<ThreadStatus>,
}

impl Filter {
    /// All threads that a caller sees.
    pub fn all(scope: Scope) -> Self {
        Self { scope, ids: None, metadata: Map::new(), values: Map::new(), status: None }
    }
}

/// What a page of threads is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortBy {
    /// Their ids.
    Id,
    /// The names of their statuses.
    Status,
    /// When they were made.
    #[default]
    CreatedAt,
    /// When they were last changed.
    UpdatedAt,
    /// When their state last changed.
    StateUpdatedAt,
}

/// A page of a search.
#[derive(Debug, Clone)]
pub struct Search {
    /// Which threads.
    pub filter: Filter,
    /// Their order.
    pub by: SortBy,
    /// Whether the smallest is first or the largest.
    pub direction: Direction,
    /// Which of them.
    pub window: Window,
    /// Whether their values are read; without, they are none.
    pub with_values: bool,
}

/// A number of rows, and the bytes of what they hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What the checkpoints of a thread take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Checkpoints without their values.
    pub checkpoints: Size,
    /// Stored values by channel: a row per version.
    pub channels: BTreeMap<String, Size>,
    /// Results of tasks.
    pub tasks: Size,
}

/// The threads, within one transaction. Of a thread that was buried nothing is found.
pub trait ThreadRows {
    /// Adds a thread.
    ///
    /// # Errors
    /// [`Error::Exists`]; [`Error::Storage`].
    fn insert_thread(&mut self, thread: &Thread) -> Result<(), Error>;

    /// A thread, if this caller sees it.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn thread(&mut self, id: &str, scope: &Scope) -> Result<Option<Thread>, Error>;

    /// As [`ThreadRows::thread`], without reading the values, which may be large: they are none.
    ///
    /// # Errors
    /// As [`ThreadRows::thread`].
    fn thread_outline(&mut self, id: &str, scope: &Scope) -> Result<Option<Thread>, Error>;

    /// Changes a thread.
    ///
    /// # Errors
    /// [`Error::NoThread`]; [`Error::Storage`].
    fn change_thread(&mut self, id: &str, change: &Change) -> Result<(), Error>;

    /// A page of the threads that match, without reading the values of others unless they are
    /// filtered by.
    ///
    /// # Errors
    /// As [`ThreadRows::thread`].
    fn search_threads(&mut self, search: &Search) -> Result<Page<Thread>, Error>;

    /// How many threads match.
    ///
    /// # Errors
    /// As [`ThreadRows::thread`].
    fn count_threads(&mut self, filter: &Filter) -> Result<u64, Error>;

    /// Ids of threads that match, at most `limit`, in no particular order.
    ///
    /// # Errors
    /// As [`ThreadRows::thread`].
    fn thread_ids(&mut self, filter: &Filter, limit: usize) -> Result<Vec<String>, Error>;

    /// Threads whose time is up, at most `limit`, the longest overdue first. None that a run is on.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn expired_threads(
        &mut self,
        now: Stamp,
        limit: usize,
    ) -> Result<Vec<(String, TtlStrategy)>, Error>;

    /// Takes a thread away from everybody, together with its runs that have not ended: from now on
    /// its id is free and nothing of it is found. Its rows go with [`ThreadRows::clear_graves`].
    /// Whether there was one.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn bury_thread(&mut self, id: &str) -> Result<bool, Error>;

    /// Removes rows of buried threads: events, checkpoints, runs and at last the threads
    /// themselves, about `max` in all. Returns how many went; zero when nothing is left.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn clear_graves(&mut self, max: usize) -> Result<usize, Error>;

    /// Lets a thread whose time is up be, until something happens on it again.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn let_rest(&mut self, id: &str) -> Result<(), Error>;

    /// Copies the checkpoints of a thread, those of mounted graphs included, to one that has none.
    ///
    /// # Errors
    /// [`Error::Storage`], also when it has some.
    fn copy_checkpoints(&mut self, from: &str, to: &str) -> Result<(), Error>;

    /// What the checkpoints of a thread take, those of mounted graphs included.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn checkpoint_sizes(&mut self, thread: &str) -> Result<Sizes, Error>;
}
