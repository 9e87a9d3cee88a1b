//! One run per thread at a time.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

/// The threads that a run of this server is on. As many entries as there are such runs.
#[derive(Debug, Default)]
pub(crate) struct Threads(Mutex<HashSet<String>>);

/// A thread taken by a run; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    threads: Arc<Threads>,
    thread: String,
}

impl Threads {
    /// Takes a thread, unless another run has it.
    pub(crate) fn take(self: &Arc<Self>, thread: &str) -> Option<Taken> {
        let mut busy = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        busy.insert(thread.to_owned())
            .then(|| Taken { threads: Arc::clone(self), thread: thread.to_owned() })
    }
}

impl Taken {
    /// The thread.
    pub(crate) fn name(&self) -> &str {
        &self.thread
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut busy = self.threads.0.lock().unwrap_or_else(PoisonError::into_inner);
        busy.remove(&self.thread);
    }
}
