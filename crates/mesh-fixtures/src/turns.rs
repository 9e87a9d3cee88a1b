//! Which of its canned replies a fake model gives next, per thread.

use std::sync::{Mutex, PoisonError};

use indexmap::IndexMap;

/// Threads whose turn is remembered; of more, the ones heard of first begin anew.
pub const THREADS_MAX: usize = 4096;

/// Replies that come round in turn, on every thread from the first one.
pub(crate) struct Turns {
    replies: &'static [&'static str],
    given: Mutex<IndexMap<String, usize>>,
}

impl Turns {
    /// `replies` must not be empty: an empty list gives empty replies.
    pub(crate) fn new(replies: &'static [&'static str]) -> Self {
        Self { replies, given: Mutex::default() }
    }

    /// The next reply on this thread.
    pub(crate) fn next(&self, thread: &str) -> &'static str {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if given.len() >= THREADS_MAX && !given.contains_key(thread) {
            given.shift_remove_index(0);
        }
        let turn = given.entry(thread.to_owned()).or_insert(0);
        let reply = self.replies.get(*turn).copied().unwrap_or_default();
        *turn = (*turn + 1) % self.replies.len().max(1);
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_come_round_on_each_thread_by_itself() {
        let turns = Turns::new(&["begin", "end"]);
        let said = ["a", "a", "b", "a", "b"].map(|thread| turns.next(thread));
        assert_eq!(said, ["begin", "end", "begin", "begin", "end"]);
    }

    #[test]
    fn the_table_of_threads_is_bounded_and_the_oldest_begins_anew() {
        let turns = Turns::new(&["begin", "end"]);
        for thread in 0..=THREADS_MAX {
            turns.next(&thread.to_string());
        }
        assert_eq!(turns.given.lock().unwrap().len(), THREADS_MAX);
        assert_eq!((turns.next("1"), turns.next("0")), ("end", "begin"));
    }
}
