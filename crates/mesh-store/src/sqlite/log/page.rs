//! A page of a log: entries of one run that were stored together, in one row.
//!
//! Neighbours have most of their bytes in common, most of all the tokens of a message, which each
//! come with the same facts about their task. So an entry is written as what it does not share
//! with the one before it. A page is read from its beginning, and is never changed.

use std::sync::Arc;

use bytes::Bytes;
use mesh_graph::stored;
use mesh_runtime::{
    Error,
    log::{Entry, Kind},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Bytes of data that a page is closed at. One reader in the middle of a log reads at most this
/// much for nothing, and an entry more.
const PAGE_BYTES: usize = 64 << 10;

/// Bytes that are compared at a time.
const COMPARED: usize = 32;

/// An entry as it stands in a page, without what is like the entry before it.
#[derive(Serialize, Deserialize)]
struct Line<S>(
    /// Kind.
    Option<S>,
    /// Namespace.
    Option<S>,
    /// Superstep.
    Option<i64>,
    /// Node; an entry without one has an empty name here.
    Option<S>,
    /// Milliseconds since the entry before.
    i64,
    /// Bytes of data at the beginning that are those of the entry before.
    usize,
    /// Bytes of data at the end that are those of the entry before.
    usize,
    /// What is between them.
    S,
    /// Where the text of a message's piece begins.
    Option<u64>,
);

/// How many of the next entries go into one page: those up to the end of a run, and up to about
/// [`PAGE_BYTES`]. One at least, if there is any.
pub(super) fn fitting(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let full = entries.iter().position(|entry| {
        bytes += entry.data.len();
        bytes >= PAGE_BYTES || entry.kind == Kind::Ended
    });
    full.map_or(entries.len(), |last| last + 1)
}

/// The stored form of entries.
///
/// # Errors
/// [`Error::Damaged`] for data that is no text.
pub(super) fn encode(entries: &[Entry]) -> Result<Vec<u8>, Error> {
    let mut lines = Vec::with_capacity(entries.len());
    let mut before: Option<(&Entry, &str)> = None;
    for entry in entries {
        let data = std::str::from_utf8(&entry.data).map_err(damaged)?;
        let (start, end) = before.map_or((0, 0), |(_, before)| shared(before, data));
        let before_entry = before.map(|(entry, _)| entry);
        let differs = |same: fn(&Entry, &Entry) -> bool| {
            before_entry.is_none_or(|before| !same(before, entry))
        };
        lines.push(Line(
            differs(|a, b| a.kind == b.kind).then(|| entry.kind.name()),
            differs(|a, b| a.ns == b.ns).then_some(&*entry.ns),
            differs(|a, b| a.step == b.step).then_some(entry.step),
            differs(|a, b| a.node == b.node).then(|| entry.node.as_deref().unwrap_or_default()),
            entry.at_ms.wrapping_sub(before_entry.map_or(0, |before| before.at_ms)),
            start,
            end,
            &data[start..data.len() - end],
            entry.text_at,
        ));
        before = Some((entry, data));
    }
    stored::encode(&lines).map_err(damaged)
}

/// The entries of a page, in order, whose first one has the number `first`.
///
/// # Errors
/// [`Error::Damaged`] for bytes that [`encode`] does not write.
pub(super) fn decode(page: &[u8], first: u64, run: Uuid) -> Result<Vec<Entry>, Error> {
    let lines: Vec<Line<String>> = stored::decode(page).map_err(damaged)?;
    let mut entries: Vec<Entry> = Vec::with_capacity(lines.len());
    for (seq, line) in (first..).zip(lines) {
        let before = entries.last();
        let Line(kind, ns, step, node, at_ms, start, end, between, text_at) = line;
        let first_is_whole = || damaged("the first entry of a page leaves something out");
        let kind = match kind {
            Some(kind) => kind.parse().map_err(damaged)?,
            None => before.ok_or_else(first_is_whole)?.kind,
        };
        let ns = match (ns, before) {
            (Some(ns), _) => Arc::from(ns),
            (None, before) => Arc::clone(&before.ok_or_else(first_is_whole)?.ns),
        };
        let step = match step {
            Some(step) => step,
            None => before.ok_or_else(first_is_whole)?.step,
        };
        let node = match node.as_deref() {
            Some("") => None,
            Some(node) => Some(Arc::from(node)),
            None => before.ok_or_else(first_is_whole)?.node.clone(),
        };
        let data = whole(before.map_or(&[][..], |before| &before.data), start, &between, end)?;
        let at_ms = before.map_or(0, |before| before.at_ms).wrapping_add(at_ms);
        entries.push(Entry { seq, run, kind, ns, step, node, at_ms, data, text_at });
    }
    Ok(entries)
}

/// How many bytes at the beginning and at the end of a text are those of the text before it: whole
/// characters, and none of either text twice.
fn shared(before: &str, text: &str) -> (usize, usize) {
    let (a, b) = (before.as_bytes(), text.as_bytes());
    let equal = |(a, b): &(&[u8], &[u8])| a == b;
    let blocks = a.chunks(COMPARED).zip(b.chunks(COMPARED)).take_while(equal);
    let start: usize = blocks.map(|(block, _)| block.len()).sum();
    let more = a[start..].iter().zip(&b[start..]).take_while(|(a, b)| a == b);
    let start = text.floor_char_boundary(start + more.count());

    let (a, b) = (&a[start..], &b[start..]);
    let blocks = a.rchunks(COMPARED).zip(b.rchunks(COMPARED)).take_while(equal);
    let end: usize = blocks.map(|(block, _)| block.len()).sum();
    let (a, b) = (&a[..a.len() - end], &b[..b.len() - end]);
    let more = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b);
    let end = end + more.count();
    (start, text.len() - text.ceil_char_boundary(text.len() - end))
}

fn whole(before: &[u8], start: usize, between: &str, end: usize) -> Result<Bytes, Error> {
    let from = before.len().checked_sub(end);
    let (Some(start), Some(end)) = (before.get(..start), from.and_then(|from| before.get(from..)))
    else {
        return Err(damaged("an entry shares more with the one before it than that has"));
    };
    let mut data = Vec::with_capacity(start.len() + between.len() + end.len());
    data.extend_from_slice(start);
    data.extend_from_slice(between.as_bytes());
    data.extend_from_slice(end);
    String::from_utf8(data).map(Bytes::from).map_err(damaged)
}

fn damaged(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Damaged { what: "log entry", source: source.into() }
}

#[cfg(test)]
mod tests;
