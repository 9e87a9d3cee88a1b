//! The order in which calls are carried out: those about one thread one after the other, as they
//! were sent; others at the same time. Pure.

use std::collections::{HashSet, VecDeque};

use uuid::Uuid;

/// Calls of one connection that are being carried out or wait for it. One more is refused.
pub(super) const CALLS_MAX: usize = 64;

/// Calls that wait, and what they wait for.
#[derive(Debug)]
pub(super) struct Queue<C> {
    waiting: VecDeque<(Option<Uuid>, C)>,
    /// Threads that a call is about that is being carried out.
    busy: HashSet<Uuid>,
    running: usize,
}

impl<C> Default for Queue<C> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), busy: HashSet::new(), running: 0 }
    }
}

impl<C> Queue<C> {
    /// Whether one more call is refused.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() + self.running >= CALLS_MAX
    }

    /// Adds a call, about a thread or about none.
    pub(super) fn push(&mut self, thread: Option<Uuid>, call: C) {
        self.waiting.push_back((thread, call));
    }

    /// The next call that may be carried out; from now on it is.
    pub(super) fn next(&mut self) -> Option<C> {
        let free = |(thread, _): &(Option<Uuid>, C)| {
            thread.is_none_or(|thread| !self.busy.contains(&thread))
        };
        let (thread, call) = self.waiting.remove(self.waiting.iter().position(free)?)?;
        self.busy.extend(thread);
        self.running += 1;
        Some(call)
    }

    /// A call about this thread, or about none, was carried out.
    pub(super) fn done(&mut self, thread: Option<Uuid>) {
        self.running = self.running.saturating_sub(1);
        if let Some(thread) = thread {
            self.busy.remove(&thread);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{CALLS_MAX, Queue};

    #[test]
    fn calls_about_one_thread_wait_for_each_other_and_for_nobody_else() {
        let (a, b) = (Some(Uuid::from_u128(1)), Some(Uuid::from_u128(2)));
        let mut queue = Queue::default();
        for (thread, call) in [(a, "a1"), (a, "a2"), (b, "b1"), (None, "x"), (a, "a3")] {
            queue.push(thread, call);
        }
        let ready: Vec<_> = std::iter::from_fn(|| queue.next()).collect();
        assert_eq!(ready, ["a1", "b1", "x"]);
        queue.done(b);
        assert_eq!(queue.next(), None);
        queue.done(a);
        assert_eq!(queue.next(), Some("a2"));
        assert_eq!(queue.next(), None);
        queue.done(a);
        assert_eq!(queue.next(), Some("a3"));
        queue.done(a);
        queue.done(None);
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn what_waits_and_what_runs_fill_the_queue_together() {
        let mut queue = Queue::default();
        for n in 0..CALLS_MAX {
            assert!(!queue.is_full());
            queue.push(None, n);
            if n % 2 == 0 {
                queue.next();
            }
        }
        assert!(queue.is_full());
        queue.done(None);
        assert!(!queue.is_full());
    }
}
