//! What a subscription makes of the entries of its thread's log: which are told, how, and how many
//! may be. Pure.

use axum::body::Bytes;
use mesh_graph::Mode;
use mesh_protocol::socket::Follow;
use mesh_runtime::{
    early::Early,
    log::{Entry, Kind},
};
use serde_json::Value as Json;

use super::{filter::Filter, piece::Piece};
use crate::refusal::Refusal;

/// Credit that a subscription may have at once.
pub(super) const CREDIT_MAX: u32 = 1 << 20;

/// Largest state that is told as a patch, in bytes: the one before is kept for it.
const PATCH_BYTES_MAX: usize = 256 << 10;

/// An event that is to be sent.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    pub(super) entry: Entry,
    /// The first number that it stands for, if it stands for several.
    pub(super) from: Option<u64>,
    /// In place of the entry's data: how it differs from that of an event before it.
    pub(super) patch: Option<Patch>,
}

/// How a state differs from one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Patch {
    /// JSON Patch (RFC 6902).
    pub(super) text: Bytes,
    /// Number of the event with the state before.
    pub(super) base: u64,
}

/// A subscription's view of a log.
#[derive(Debug)]
pub(super) struct Reading {
    filter: Filter,
    credit: Option<u32>,
    merge: bool,
    patcher: Option<Patcher>,
    held: Option<Piece>,
    /// Number of the last entry that was taken, or where this began.
    taken: u64,
    /// Number of the last entry before those that are held.
    sent: u64,
    /// Number of an entry that was passed over since something was told: its text came early.
    passed: Option<u64>,
}

/// The last root state that was told.
#[derive(Debug, Default)]
struct Patcher(Option<(u64, Json)>);

impl Reading {
    /// Begins after this number. `at` is where in the call that stands.
    ///
    /// # Errors
    /// As [`Filter::new`]; a credit above [`CREDIT_MAX`].
    pub(super) fn new(follow: &Follow, at: &str, after: u64) -> Result<Self, Refusal> {
        if let Some(credit) = follow.credit.filter(|credit| *credit > CREDIT_MAX) {
            return Err(too_much(&format!("{at}/credit"), u64::from(credit)));
        }
        Ok(Self {
            filter: Filter::new(follow, at)?,
            credit: follow.credit,
            merge: follow.merge,
            patcher: follow.patch.then(Patcher::default),
            held: None,
            taken: after,
            sent: after,
            passed: None,
        })
    }

    /// Begins after this number instead.
    pub(super) fn begin(&mut self, after: u64) {
        (self.taken, self.sent) = (after, after);
    }

    /// Whether an entry can be taken.
    pub(super) fn may_take(&self) -> bool {
        self.credit != Some(0)
    }

    /// Lets more events be told. A subscription without a limit has none afterwards either.
    ///
    /// # Errors
    /// More than [`CREDIT_MAX`] in all.
    pub(super) fn add_credit(&mut self, add: u32) -> Result<(), Refusal> {
        let Some(credit) = self.credit else { return Ok(()) };
        let sum = u64::from(credit) + u64::from(add);
        if sum > u64::from(CREDIT_MAX) {
            return Err(too_much("/add", sum));
        }
        self.credit = Some(sum as u32);
        Ok(())
    }

    /// Number of the last entry that was told, or that nobody wants to be told.
    pub(super) fn cursor(&self) -> u64 {
        if self.held.is_some() { self.sent } else { self.taken }
    }

    /// Takes the next entry of the log. Only if [`Reading::may_take`].
    pub(super) fn take(&mut self, entry: Entry, told: &mut Vec<Told>) {
        let (before, seq) = (self.taken, entry.seq);
        self.taken = seq;
        if !self.filter.takes(&entry) {
            return;
        }
        if let Some(piece) = &mut self.held {
            if piece.join(&entry) {
                return;
            }
            self.flush(told);
        }
        if let Some(credit) = &mut self.credit {
            *credit = credit.saturating_sub(1);
        }
        if !self.merge || !Piece::is(&entry) {
            return self.tell(entry, None, told);
        }
        self.sent = before;
        self.held = Some(Piece::new(entry));
    }

    /// Passes over the next entry of the log: its text came early.
    pub(super) fn pass(&mut self, entry: &Entry, told: &mut Vec<Told>) {
        self.flush(told);
        self.taken = entry.seq;
        if self.filter.takes(entry) {
            self.passed = Some(entry.seq);
        }
    }

    /// Whether the client wants this text, which is not stored yet.
    pub(super) fn wants_early(&self, early: &Early) -> bool {
        self.filter.takes(&early.said.entry)
    }

    /// Takes text that is not stored yet and [wanted](Self::wants_early). Gives the number of the
    /// last entry that was passed over, if the client does not know of it. Only if
    /// [`Reading::may_take`], and after [`Reading::flush`].
    pub(super) fn take_early(&mut self) -> Option<u64> {
        if let Some(credit) = &mut self.credit {
            *credit = credit.saturating_sub(1);
        }
        self.passed.take()
    }

    /// Tells what is held: nothing more is ready.
    pub(super) fn flush(&mut self, told: &mut Vec<Told>) {
        if let Some(piece) = self.held.take() {
            let (entry, from) = piece.whole();
            self.tell(entry, from, told);
        }
    }

    fn tell(&mut self, entry: Entry, from: Option<u64>, told: &mut Vec<Told>) {
        let patch = match &mut self.patcher {
            Some(patcher) if is_root_state(&entry) => patcher.next(&entry),
            _ => None,
        };
        self.passed = None;
        told.push(Told { entry, from, patch });
    }
}

fn is_root_state(entry: &Entry) -> bool {
    entry.kind == Kind::Event(Mode::Values) && entry.ns.is_empty()
}

fn too_much(pointer: &str, credit: u64) -> Refusal {
    let detail = format!("{pointer}: a credit of {credit}, expected at most {CREDIT_MAX}");
    Refusal::invalid(Some(pointer.to_owned()), detail)
}

impl Patcher {
    /// How this state differs from the last one, if that is shorter than the state.
    fn next(&mut self, entry: &Entry) -> Option<Patch> {
        let last = self.0.take();
        if entry.data.len() > PATCH_BYTES_MAX {
            return None;
        }
        let new: Json = serde_json::from_slice(&entry.data).ok()?;
        let patch = last.and_then(|(base, old)| {
            let text = serde_json::to_vec(&json_patch::diff(&old, &new)).ok()?;
            (text.len() < entry.data.len()).then(|| Patch { text: text.into(), base })
        });
        self.0 = Some((entry.seq, new));
        patch
    }
}

#[cfg(test)]
mod tests {
    use mesh_graph::Mode;
    use mesh_protocol::socket::Follow;
    use mesh_runtime::log::{Entry, Kind};
    use serde_json::{Value as Json, json};
    use uuid::Uuid;

    use super::{CREDIT_MAX, PATCH_BYTES_MAX, Reading, Told};

    fn entry(seq: u64, kind: Kind, data: &Json) -> Entry {
        Entry { seq, ..Entry::of_run(Uuid::from_u128(7), kind, 5, data) }
    }

    fn chunk(seq: u64, text: &str) -> Entry {
        entry(seq, Kind::Event(Mode::Messages), &json!([{ "id": "m", "content": text }, {}]))
    }

    fn values(seq: u64, data: &Json) -> Entry {
        entry(seq, Kind::Event(Mode::Values), data)
    }

    fn reading(follow: Follow) -> Reading {
        Reading::new(&follow, "/follow", 0).unwrap()
    }

    fn seqs(told: &[Told]) -> Vec<u64> {
        told.iter().map(|told| told.entry.seq).collect()
    }

    #[test]
    fn every_event_takes_credit_and_what_is_filtered_out_takes_none() {
        let follow =
            Follow { credit: Some(2), modes: Some(vec!["values".to_owned()]), ..Follow::default() };
        let (mut reading, mut told) = (reading(follow), Vec::new());
        reading.take(entry(1, Kind::Begun, &json!({})), &mut told);
        reading.take(chunk(2, "x"), &mut told);
        assert!(reading.may_take());
        assert_eq!(reading.cursor(), 2);
        reading.take(values(3, &json!({})), &mut told);
        assert!(!reading.may_take());
        assert_eq!(seqs(&told), [1, 3]);
        reading.add_credit(1).unwrap();
        assert!(reading.may_take());
        assert!(reading.add_credit(CREDIT_MAX).is_err());
    }

    #[test]
    fn who_has_no_limit_gets_none_by_giving_credit() {
        let mut reading = reading(Follow::default());
        reading.add_credit(CREDIT_MAX).unwrap();
        reading.add_credit(CREDIT_MAX).unwrap();
        assert!(reading.may_take());
    }

    #[test]
    fn pieces_that_are_ready_together_are_one_event_for_one_credit() {
        let follow = Follow { merge: true, credit: Some(3), ..Follow::default() };
        let (mut reading, mut told) = (reading(follow), Vec::new());
        reading.take(entry(1, Kind::Begun, &json!({})), &mut told);
        for seq in 2..=5 {
            reading.take(chunk(seq, "x"), &mut told);
        }
        assert_eq!(seqs(&told), [1]);
        // Whoever is told to go away now has the first event alone.
        assert_eq!(reading.cursor(), 1);
        reading.take(entry(6, Kind::Ended, &json!({})), &mut told);
        assert_eq!(seqs(&told), [1, 5, 6]);
        assert_eq!(told[1].from, Some(2));
        assert_eq!(reading.cursor(), 6);
        assert!(!reading.may_take());
    }

    #[test]
    fn what_is_held_is_told_when_nothing_more_is_ready() {
        let follow = Follow { merge: true, ..Follow::default() };
        let (mut reading, mut told) = (reading(follow), Vec::new());
        reading.take(chunk(1, "x"), &mut told);
        assert_eq!((seqs(&told), reading.cursor()), (vec![], 0));
        reading.flush(&mut told);
        assert_eq!((seqs(&told), reading.cursor()), (vec![1], 1));
        assert_eq!(told[0].from, None);
    }

    #[test]
    fn a_state_is_told_by_what_changed_if_that_is_shorter() {
        let follow = Follow { patch: true, ..Follow::default() };
        let (mut reading, mut told) = (reading(follow), Vec::new());
        let long = "x".repeat(100);
        let first = json!({ "a": long, "n": 1 });
        let second = json!({ "a": long, "n": 2 });
        reading.take(values(1, &first), &mut told);
        reading.take(values(2, &second), &mut told);
        reading.take(values(3, &json!({})), &mut told);
        let huge = json!({ "a": "x".repeat(PATCH_BYTES_MAX) });
        reading.take(values(4, &huge), &mut told);
        reading.take(values(5, &first), &mut told);
        let patches: Vec<_> = told.iter().map(|told| told.patch.as_ref()).collect();
        assert_eq!(patches[0], None);
        let patch = patches[1].unwrap();
        assert_eq!(patch.base, 1);
        let text: Json = serde_json::from_slice(&patch.text).unwrap();
        assert_eq!(text, json!([{ "op": "replace", "path": "/n", "value": 2 }]));
        assert_eq!(patches[2..], [None; 3]);
    }
}
