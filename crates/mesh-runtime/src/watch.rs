//! Watching all threads: which of them changed, for those who show lists.
//!
//! Told are names, and whoever hears one reads how the thread is now. So a watcher that is slow
//! hears of a thread once, however often it changed, and is never behind what is true.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use crate::{
    Error, Run, Runtime, Scope, Stamp, Thread,
    ledger::Listener,
    log::{Entry, Kind},
    page::{Direction, PAGE_MAX, Window},
    thread::rows::{Filter, Search, SortBy},
};

/// Threads that a watcher remembers to tell of. Beyond it, it is told that it has to list anew.
pub const WATCHED_MAX: usize = 4096;

/// Runs that are told with a thread.
pub const RUNS_SEEN_MAX: usize = 10;

/// What changed since a watcher asked last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Threads that changed, by their ids, and for those that were deleted who owned them.
    pub threads: BTreeMap<String, Option<Gone>>,
    /// More changed than is remembered.
    pub lost: bool,
}

/// A thread that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Who owned it.
    pub owner: Option<String>,
}

/// A thread with the runs on it that have not ended, at most [`RUNS_SEEN_MAX`].
pub type Seen = (Thread, Vec<Run>);

/// All watchers of a runtime.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    /// How many there may be: most runtimes have none, and then nothing is locked.
    count: AtomicUsize,
    all: Mutex<Vec<Weak<Watched>>>,
}

#[derive(Debug, Default)]
struct Watched {
    changes: Mutex<Changes>,
    changed: Notify,
}

/// Somebody who watches. Ends when it is dropped.
#[derive(Debug)]
pub struct Watch(Arc<Watched>);

impl Watchers {
    fn watch(&self) -> Watch {
        let watched = Arc::new(Watched::default());
        let mut all = locked(&self.all);
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(&watched));
        self.count.store(all.len(), Ordering::Release);
        Watch(watched)
    }

    /// Says that a thread changed.
    pub(crate) fn touched(&self, thread: &str) {
        self.tell(thread, None);
    }

    /// Says that a thread was deleted.
    pub(crate) fn gone(&self, thread: &str, owner: Option<&str>) {
        self.tell(thread, Some(&Gone { owner: owner.map(str::to_owned) }));
    }

    fn tell(&self, thread: &str, gone: Option<&Gone>) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let all: Vec<Arc<Watched>> = locked(&self.all).iter().filter_map(Weak::upgrade).collect();
        for watched in all {
            watched.note(thread, gone);
        }
    }
}

impl Listener for Watchers {
    fn added(&self, thread: &str, entries: &[Entry]) {
        let of_runs =
            |entry: &Entry| matches!(entry.kind, Kind::Begun | Kind::Ended | Kind::Updated);
        if entries.iter().any(of_runs) {
            self.touched(thread);
        }
    }
}

impl Watched {
    fn note(&self, thread: &str, gone: Option<&Gone>) {
        let mut changes = locked(&self.changes);
        if changes.lost {
            return;
        }
        if let Some(noted) = changes.threads.get_mut(thread) {
            *noted = gone.cloned();
            return;
        }
        if changes.threads.len() == WATCHED_MAX {
            *changes = Changes { threads: BTreeMap::new(), lost: true };
        } else {
            changes.threads.insert(thread.to_owned(), gone.cloned());
        }
        drop(changes);
        self.changed.notify_one();
    }
}

impl Watch {
    /// Waits for changes and takes those of at most `max` threads.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn changes(&self, max: usize) -> Changes {
        loop {
            let taken = locked(&self.0.changes).take(max);
            if !taken.is_empty() {
                return taken;
            }
            self.0.changed.notified().await;
        }
    }
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        !self.lost && self.threads.is_empty()
    }

    /// Those of at most `max` threads; the rest stays.
    #[must_use]
    pub fn take(&mut self, max: usize) -> Self {
        let lost = std::mem::take(&mut self.lost);
        let rest = match self.threads.keys().nth(max).cloned() {
            Some(first) => self.threads.split_off(&first),
            None => BTreeMap::new(),
        };
        Self { threads: std::mem::replace(&mut self.threads, rest), lost }
    }
}

impl Runtime {
    /// Watches all threads from now on.
    pub fn watch(&self) -> Watch {
        self.watchers().watch()
    }

    /// The threads among these that a caller sees, without their values, each with its open runs.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn see_threads(&self, scope: &Scope, ids: Vec<String>) -> Result<Vec<Seen>, Error> {
        let scope = scope.clone();
        self.ledger()
            .read(move |tx| {
                let mut seen = Vec::with_capacity(ids.len());
                for id in ids {
                    let Some(thread) = tx.thread_outline(&id, &scope)? else { continue };
                    let mut runs = tx.open_runs(&id)?;
                    runs.truncate(RUNS_SEEN_MAX);
                    seen.push((thread, runs));
                }
                Ok(seen)
            })
            .await
    }

    /// The threads of a caller that changed after a time, as if they had been watched. More than
    /// a page of them are not told.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn threads_changed_since(
        &self,
        scope: &Scope,
        since: Stamp,
    ) -> Result<Changes, Error> {
        let search = Search {
            filter: Filter::all(scope.clone()),
            by: SortBy::UpdatedAt,
            direction: Direction::Descending,
            window: Window { limit: PAGE_MAX, offset: 0 },
            with_values: false,
        };
        let page = self.search_threads(search).await?;
        let is_new = |thread: &Thread| thread.updated_at > since;
        if page.next.is_some() && page.rows.iter().all(is_new) {
            return Ok(Changes { threads: BTreeMap::new(), lost: true });
        }
        let new = page.rows.into_iter().filter(is_new);
        Ok(Changes { threads: new.map(|thread| (thread.id, None)).collect(), lost: false })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::{Changes, Gone, WATCHED_MAX, Watchers};

    fn names(changes: &Changes) -> Vec<&str> {
        changes.threads.keys().map(String::as_str).collect()
    }

    #[tokio::test]
    async fn a_watcher_hears_of_a_thread_once_however_often_it_changed() {
        let watchers = Watchers::default();
        watchers.touched("before");
        let watch = watchers.watch();
        assert!(watch.changes(10).now_or_never().is_none());
        for thread in ["a", "b", "a", "a"] {
            watchers.touched(thread);
        }
        watchers.gone("b", Some("ada"));
        let changes = watch.changes(10).await;
        assert_eq!(names(&changes), ["a", "b"]);
        assert_eq!(changes.threads["b"], Some(Gone { owner: Some("ada".to_owned()) }));
        assert!(watch.changes(10).now_or_never().is_none());
    }

    #[tokio::test]
    async fn what_was_not_taken_stays() {
        let watchers = Watchers::default();
        let watch = watchers.watch();
        for thread in ["a", "b", "c"] {
            watchers.touched(thread);
        }
        assert_eq!(names(&watch.changes(2).await), ["a", "b"]);
        assert_eq!(names(&watch.changes(2).await), ["c"]);
    }

    #[tokio::test]
    async fn a_watcher_that_takes_nothing_is_told_to_list_anew() {
        let watchers = Watchers::default();
        let watch = watchers.watch();
        for n in 0..=WATCHED_MAX {
            watchers.touched(&n.to_string());
        }
        watchers.touched("later");
        assert_eq!(watch.changes(10).await, Changes { lost: true, ..Changes::default() });
        watchers.touched("after");
        assert_eq!(names(&watch.changes(10).await), ["after"]);
    }
}
