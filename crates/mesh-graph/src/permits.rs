//! How many nodes may run at once: over the whole run, of one node, and of one named group.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use smallvec::SmallVec;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::context::TaskContext;

/// A limit that a node runs under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Shared by all nodes that name it; none for the node's own limit.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) tasks: usize,
}

/// The limits in use in a run, shared by the graphs mounted in it.
#[derive(Default)]
pub(crate) struct LimitTable(Mutex<HashMap<LimitKey, Arc<Semaphore>>>);

#[derive(PartialEq, Eq, Hash)]
enum LimitKey {
    /// A shared limit.
    Named(Arc<str>),
    /// A node's own: of one graph at one place. A mount may have one, because what runs inside it
    /// has another place and cannot wait for it.
    Own { ns: Arc<str>, node: u32 },
}

/// What a task holds while its node runs.
#[derive(Default)]
pub(crate) struct Held {
    permits: SmallVec<[OwnedSemaphorePermit; 2]>,
    /// Graphs below that it waits for at the moment.
    waits: usize,
    /// It gave its permits back for as long as it waits.
    lent: bool,
}

impl LimitTable {
    /// The semaphore of a limit, made when it is first asked for.
    fn of(&self, limit: &Limit, task: &TaskContext) -> Arc<Semaphore> {
        let key = match &limit.name {
            Some(name) => LimitKey::Named(Arc::clone(name)),
            None => LimitKey::Own { ns: Arc::clone(&task.0.run.ns_text), node: task.0.node },
        };
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(table.entry(key).or_insert_with(|| Arc::new(Semaphore::new(limit.tasks))))
    }
}

impl TaskContext {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.course().held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the task may run.
    ///
    /// The node's own limit is taken first, then shared ones by name, then the run's slot: one
    /// order for all, so that no two tasks wait for each other, and the widest last, so that few
    /// hold what many need while they wait. A mount waits for its graph and takes no slot.
    pub(crate) async fn take_permits(&self) {
        let run = &self.0.run;
        let spec = run.core.node(self.0.node);
        let own = spec.policies.as_ref().map_or(&[][..], |policies| &policies.limits);
        let slots = run
            .slots
            .as_ref()
            .filter(|_| spec.run.as_ref().is_none_or(|node| node.mount().is_none()));
        if own.is_empty() && slots.is_none() {
            return;
        }
        let mut permits = SmallVec::new();
        for limit in own {
            // Semaphores of a run are never closed.
            permits.extend(run.limit_table.of(limit, self).acquire_owned().await.ok());
        }
        if let Some(slots) = slots {
            permits.extend(Arc::clone(slots).acquire_owned().await.ok());
        }
        *self.held() = Held { permits, ..Held::default() };
    }

    /// Gives back what [`TaskContext::take_permits`] took.
    pub(crate) fn drop_permits(&self) {
        if self.0.course.get().is_some() {
            self.held().permits.clear();
        }
    }

    /// Waits for a graph that runs below this task, whose nodes may need what the task holds.
    pub(crate) async fn without_permits<T>(&self, wait: impl Future<Output = T>) -> T {
        let waiting = Waiting::begin(self);
        let done = wait.await;
        drop(waiting);
        // Whoever waits for several graphs at once takes part again when the last one is done.
        let again = {
            let mut held = self.held();
            held.waits == 0 && std::mem::take(&mut held.lent)
        };
        if again {
            self.take_permits().await;
        }
        done
    }
}

/// One graph below that a task waits for; a wait that is dropped has ended, too.
struct Waiting<'a>(&'a TaskContext);

impl<'a> Waiting<'a> {
    fn begin(task: &'a TaskContext) -> Self {
        let mut held = task.held();
        held.waits += 1;
        if !held.permits.is_empty() {
            held.permits.clear();
            held.lent = true;
        }
        Self(task)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.held().waits -= 1;
    }
}
