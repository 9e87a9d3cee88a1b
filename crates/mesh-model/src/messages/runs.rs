//! Entries in runs that are shared between versions of a list.
//!
//! Appended runs have the lengths of a binary counter, behind at most one run of another length. So
//! there are at most log2(n) + 2 of them, which is what a copy costs, and an entry is moved at most
//! log2(n) times however many versions of the list are alive.

use std::collections::HashMap;
use std::sync::Arc;

use super::Entry;

/// Runs up to this long are searched entry by entry, which is faster than hashing.
const SCAN_MAX: usize = 16;

/// A list of entries in shared runs.
#[derive(Clone, Default)]
pub(super) struct Runs {
    runs: Vec<Arc<Run>>,
    len: usize,
}

#[derive(Clone, Default)]
struct Run {
    entries: Vec<Entry>,
    /// Positions by id, once the run is longer than [`SCAN_MAX`].
    by_id: HashMap<Arc<str>, usize>,
    /// Entries that `by_id` covers.
    indexed: usize,
}

/// Where an entry stands: run, and position in it.
#[derive(Clone, Copy)]
pub(super) struct Place(usize, usize);

impl Run {
    fn find(&self, id: &str) -> Option<usize> {
        if self.entries.len() > SCAN_MAX {
            return self.by_id.get(id).copied();
        }
        self.entries.iter().position(|entry| entry.id() == Some(id))
    }

    fn index(&mut self) {
        if self.entries.len() <= SCAN_MAX {
            return;
        }
        for (position, entry) in self.entries.iter().enumerate().skip(self.indexed) {
            if let Some(id) = entry.id() {
                self.by_id.insert(Arc::from(id), position);
            }
        }
        self.indexed = self.entries.len();
    }
}

impl Runs {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.runs.iter().flat_map(|run| run.entries.iter())
    }

    pub(super) fn at(&self, place: Place) -> Option<&Entry> {
        self.runs.get(place.0)?.entries.get(place.1)
    }

    pub(super) fn find(&self, id: &str) -> Option<Place> {
        let mut newest_first = self.runs.iter().enumerate().rev();
        newest_first.find_map(|(run, held)| Some(Place(run, held.find(id)?)))
    }

    /// Appends. A run that is not longer than the one after it takes that one in.
    pub(super) fn push(&mut self, entry: Entry) {
        self.len += 1;
        self.runs.push(Arc::new(Run { entries: vec![entry], ..Run::default() }));
        while let [.., longer, last] = &mut self.runs[..]
            && longer.entries.len() <= last.entries.len()
        {
            let taken = std::mem::take(last);
            let joined = Arc::make_mut(longer);
            match Arc::try_unwrap(taken) {
                Ok(run) => joined.entries.extend(run.entries),
                Err(shared) => joined.entries.extend(shared.entries.iter().cloned()),
            }
            joined.index();
            self.runs.pop();
        }
    }

    /// Puts an entry with the same id in the place of another.
    pub(super) fn replace(&mut self, place: Place, entry: Entry) {
        if let Some(run) = self.runs.get_mut(place.0) {
            let run = Arc::make_mut(run);
            if let Some(slot) = run.entries.get_mut(place.1) {
                *slot = entry;
            }
        }
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(self.len);
        for run in self.runs {
            match Arc::try_unwrap(run) {
                Ok(run) => entries.extend(run.entries),
                Err(shared) => entries.extend(shared.entries.iter().cloned()),
            }
        }
        entries
    }
}

impl PartialEq for Runs {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl FromIterator<Entry> for Runs {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut run = Run { entries: entries.into_iter().collect(), ..Run::default() };
        run.index();
        let len = run.entries.len();
        let runs = if len == 0 { Vec::new() } else { vec![Arc::new(run)] };
        Self { runs, len }
    }
}
