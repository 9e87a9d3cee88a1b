//! What was measured, added up.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::call::Heard;

/// The answers of one worker or of all.
#[derive(Default)]
pub(crate) struct Figures {
    took: Vec<Duration>,
    first: Vec<Duration>,
    events: u64,
}

impl Figures {
    pub(crate) fn add(&mut self, heard: &Heard) {
        self.took.push(heard.took);
        self.first.push(heard.first);
        self.events += heard.events;
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.took.extend(other.took);
        self.first.extend(other.first);
        self.events += other.events;
    }

    /// Times are milliseconds; `first_*` is the time to the first event that tells of the graph.
    pub(crate) fn report(mut self, case: &str, concurrency: usize, took: Duration) -> Json {
        self.took.sort_unstable();
        self.first.sort_unstable();
        let seconds = took.as_secs_f64();
        json!({
            "case": case,
            "concurrency": concurrency,
            "seconds": seconds,
            "requests": self.took.len(),
            "per_second": self.took.len() as f64 / seconds,
            "events_per_second": self.events as f64 / seconds,
            "p50_ms": at(&self.took, 0.5),
            "p99_ms": at(&self.took, 0.99),
            "first_p50_ms": at(&self.first, 0.5),
            "first_p99_ms": at(&self.first, 0.99),
        })
    }
}

/// The time below which this part of the sorted times lies, in milliseconds; null of none.
fn at(sorted: &[Duration], part: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = (last as f64 * part).round() as usize;
    sorted.get(place).map(|time| time.as_secs_f64() * 1000.0)
}
