//! What happened since the start, in numbers, for those who watch a server.
//!
//! Counted where it is told: from the logs of threads, after the commit that made it true.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;

use crate::{
    Limit,
    ledger::Listener,
    log::{Entry, Kind},
    run::RunStatus,
};

/// Statuses in which runs end, in the order in which they are counted.
const ENDS: [RunStatus; 4] =
    [RunStatus::Success, RunStatus::Error, RunStatus::Timeout, RunStatus::Interrupted];

/// Limits that clients reach, with their names, in the order in which they are counted.
const FULL: [(Limit, &str); 4] = [
    (Limit::RunsOfThread, "runs_of_thread"),
    (Limit::PendingRuns, "pending_runs"),
    (Limit::Writes, "writes"),
    (Limit::State, "state"),
];

/// Counts what is added to logs.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    entries: AtomicU64,
    bytes: AtomicU64,
    begun: AtomicU64,
    ended: [AtomicU64; ENDS.len()],
    full: [AtomicU64; FULL.len()],
}

/// What happened since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Entries added to the logs of threads.
    pub entries: u64,
    /// Bytes of their data.
    pub bytes: u64,
    /// Executions of runs that began.
    pub begun: u64,
    /// Runs that ended, by how.
    pub ended: [(RunStatusName, u64); ENDS.len()],
    /// What was refused because a limit was reached, by which.
    pub full: [(&'static str, u64); FULL.len()],
}

/// The name of a status on the wire.
pub type RunStatusName = &'static str;

/// The member of a last entry that is counted.
#[derive(Deserialize)]
struct End {
    status: RunStatus,
}

impl Counter {
    /// The numbers now. Each is right by itself; two may be of slightly different moments.
    pub(crate) fn read(&self) -> Counts {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let mut ended = [("", 0); ENDS.len()];
        for ((shown, status), number) in ended.iter_mut().zip(ENDS).zip(&self.ended) {
            *shown = (status.name(), read(number));
        }
        let mut full = [("", 0); FULL.len()];
        for ((shown, (_, name)), number) in full.iter_mut().zip(FULL).zip(&self.full) {
            *shown = (name, read(number));
        }
        Counts {
            full,
            entries: read(&self.entries),
            bytes: read(&self.bytes),
            begun: read(&self.begun),
            ended,
        }
    }
}

impl Counter {
    /// Something was refused because a limit was reached.
    pub(crate) fn full(&self, limit: Limit) {
        let known = FULL.iter().position(|(one, _)| *one == limit);
        if let Some(number) = known.and_then(|at| self.full.get(at)) {
            number.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Listener for Counter {
    fn added(&self, _: &str, entries: &[Entry]) {
        let add = |number: &AtomicU64, more: u64| number.fetch_add(more, Ordering::Relaxed);
        add(&self.entries, entries.len() as u64);
        add(&self.bytes, entries.iter().map(|entry| entry.data.len() as u64).sum());
        for entry in entries {
            match entry.kind {
                Kind::Begun => {
                    add(&self.begun, 1);
                }
                Kind::Ended => {
                    let end = serde_json::from_slice::<End>(&entry.data);
                    let status =
                        end.ok().and_then(|end| ENDS.iter().position(|s| *s == end.status));
                    if let Some(number) = status.and_then(|status| self.ended.get(status)) {
                        add(number, 1);
                    }
                }
                Kind::Event(_) | Kind::Returned | Kind::Updated => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::Counter;
    use crate::{
        ledger::Listener,
        log::{Entry, Kind},
    };

    #[test]
    fn runs_are_counted_by_how_they_ended() {
        let counter = Counter::default();
        let entry = |kind, data| Entry::of_run(Uuid::nil(), kind, 0, &data);
        counter.added("t", &[entry(Kind::Begun, json!({}))]);
        counter.added(
            "t",
            &[
                entry(Kind::Updated, json!({})),
                entry(Kind::Ended, json!({ "status": "error", "error": { "message": "no" } })),
                entry(Kind::Ended, json!({ "status": "success" })),
                entry(Kind::Ended, json!({ "status": "success" })),
            ],
        );
        let counts = counter.read();
        assert_eq!((counts.entries, counts.begun), (5, 1));
        let ended = [("success", 2), ("error", 1), ("timeout", 0), ("interrupted", 0)];
        assert_eq!(counts.ended, ended);
    }
}
