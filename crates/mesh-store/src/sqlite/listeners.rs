//! Who hears what was added to the logs, and when: after the commit, in its order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use mesh_runtime::{ledger::Listener, log::Entry};

use super::writer::Then;

/// Entries that a transaction added, by thread.
pub(super) type Added = Vec<(String, Vec<Entry>)>;

/// The listeners of a database.
#[derive(Clone, Default)]
pub(super) struct Listeners(Arc<Mutex<Vec<Weak<dyn Listener>>>>);

impl Listeners {
    pub(super) fn add(&self, listener: &Arc<dyn Listener>) {
        let mut listeners = locked(&self.0);
        listeners.retain(|known| known.strong_count() > 0);
        listeners.push(Arc::downgrade(listener));
    }

    /// Where an operation notes what it added, and what tells it once it is committed.
    pub(super) fn telling(&self) -> (Noted, Then) {
        let noted = Noted::default();
        let (listeners, after) = (self.clone(), noted.clone());
        let tell = Box::new(move |committed: bool| {
            let added = std::mem::take(&mut *locked(&after.0));
            if committed && !added.is_empty() {
                listeners.tell(&added);
            }
        });
        (noted, tell)
    }

    fn tell(&self, added: &Added) {
        let listeners: Vec<_> = locked(&self.0).iter().filter_map(Weak::upgrade).collect();
        for listener in listeners {
            for (thread, entries) in added {
                listener.added(thread, entries);
            }
        }
    }
}

/// Between an operation and what is told after it.
#[derive(Clone, Default)]
pub(super) struct Noted(Arc<Mutex<Added>>);

impl Noted {
    /// Keeps this to be told.
    pub(super) fn take(&self, added: Added) {
        *locked(&self.0) = added;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
