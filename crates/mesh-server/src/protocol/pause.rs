//! Holding back the news that a run has paused or ended.
//!
//! Some clients keep one connection for how runs go and another one for what they tell, and stop
//! reading the second one when the first one says that the run paused. What is still on its way
//! then is lost to them. So a connection that only hears how runs go waits with that news: for a
//! moment, and until what was told before has been passed on to the others.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mesh_graph::v3::Envelope;
use tokio::time::{Instant, sleep, sleep_until};

/// How long the other connections of a thread may take to pass on what was told before, beyond
/// [`crate::Limits::pause_hold`]. A client that does not read keeps nobody waiting longer.
pub(super) const OTHERS_WAIT: Duration = Duration::from_secs(2);

/// How often it is looked whether they have.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Connections that pass on what runs tell, by thread.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    by_thread: Mutex<HashMap<String, Vec<Arc<AtomicU64>>>>,
}

/// One such connection. It is counted out when this is dropped.
#[derive(Debug)]
pub(super) struct Watcher {
    watchers: Arc<Watchers>,
    thread: String,
    /// The last entry of the log whose events were passed on.
    passed: Arc<AtomicU64>,
}

impl Watchers {
    /// Counts a connection in that has, or does not want, the events up to this entry.
    pub(super) fn watch(self: &Arc<Self>, thread: &str, from: u64) -> Watcher {
        let passed = Arc::new(AtomicU64::new(from));
        self.locked().entry(thread.to_owned()).or_default().push(Arc::clone(&passed));
        Watcher { watchers: Arc::clone(self), thread: thread.to_owned(), passed }
    }

    /// Whether all connections of the thread have passed on the events up to this entry.
    fn have_passed(&self, thread: &str, entry: u64) -> bool {
        self.locked()
            .get(thread)
            .is_none_or(|all| all.iter().all(|one| one.load(Ordering::Relaxed) >= entry))
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, Vec<Arc<AtomicU64>>>> {
        self.by_thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    /// The events up to this entry were passed on.
    pub(super) fn pass(&self, entry: u64) {
        self.passed.fetch_max(entry, Ordering::Relaxed);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut by_thread = self.watchers.locked();
        if let Some(all) = by_thread.get_mut(&self.thread) {
            all.retain(|one| !Arc::ptr_eq(one, &self.passed));
            if all.is_empty() {
                by_thread.remove(&self.thread);
            }
        }
    }
}

/// Whether an event says that a run pauses or has ended.
pub(super) fn is_news(event: &Envelope) -> bool {
    match event.method {
        "input.requested" => true,
        "lifecycle" if event.ns.is_empty() => {
            matches!(event.data["event"].as_str(), Some("completed" | "failed" | "interrupted"))
        }
        _ => false,
    }
}

/// Waits until the events up to an entry were passed on by everybody, but until `due` in any case,
/// and not much longer.
pub(super) async fn hold(watchers: &Watchers, thread: &str, entry: u64, due: Instant) {
    sleep_until(due).await;
    while !watchers.have_passed(thread, entry) && Instant::now() < due + OTHERS_WAIT {
        sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests;
