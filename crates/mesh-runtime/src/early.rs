//! Text of messages that is told before it is on the log.
//!
//! Only text, and only behind everything that was told before it: no state is ever told early. Text
//! that was told early stands on the log a moment later, unless its execution breaks off, and then
//! whoever reads the log finds what is true. A position in the text of a message, in characters,
//! says how far a reader is with it, so that it gets every character once. Pure.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use bytes::Bytes;
use mesh_graph::{Mode, PieceFrame};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::log::{Entry, Kind};

/// What the pieces of a message's text have in common.
#[derive(Debug)]
pub struct Said {
    /// Everything but the text.
    pub frame: Arc<PieceFrame>,
    /// An entry of a piece, without number and data.
    pub entry: Entry,
}

/// Text that is not on the log yet.
#[derive(Debug, Clone)]
pub struct Early {
    /// The message.
    pub said: Arc<Said>,
    /// Where the text begins in that of its message, in characters.
    pub at: u64,
    /// The text.
    pub text: String,
}

/// A place in the text of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Place {
    pub(crate) chars: u64,
    pub(crate) bytes: u64,
}

/// The end of a message's text that was told and is not on the log.
#[derive(Debug)]
struct Growing {
    said: Arc<Said>,
    /// The last entry before it that is no text: a reader has to have that one.
    behind: u64,
    from: Place,
    to: Place,
    text: String,
}

/// All such text of one execution. Its teller bounds how much there is.
#[derive(Debug, Default)]
pub(crate) struct Growth(Vec<Growing>);

impl Growth {
    /// Adds text, which continues what was told of its message or, if nothing of it is here, what
    /// is on the log. `from` is where it begins.
    pub(crate) fn add(&mut self, said: &Arc<Said>, from: Place, text: &str, behind: u64) {
        let to = from.plus(text);
        let same = |one: &&mut Growing| {
            Arc::ptr_eq(&one.said, said) && one.to == from && one.behind == behind
        };
        if let Some(one) = self.0.iter_mut().rev().find(same) {
            one.text.push_str(text);
            one.to = to;
            return;
        }
        let text = text.to_owned();
        self.0.push(Growing { said: Arc::clone(said), behind, from, to, text });
    }

    /// Forgets what is on the log with this entry.
    pub(crate) fn settle(&mut self, entry: &Entry) {
        if self.0.is_empty() {
            return;
        }
        let Some(Stored { id, to, .. }) = Stored::of(entry) else { return };
        for one in &mut self.0 {
            if **one.said.frame.id() != *id || one.from.chars >= to {
                continue;
            }
            let gone = byte_of(&one.text, to - one.from.chars);
            one.from = one.from.plus(&one.text[..gone]);
            one.text.drain(..gone);
        }
        self.0.retain(|one| !one.text.is_empty());
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Text that this reader, who has everything on the log up to `after`, was not told; of one run
    /// only, if one is given.
    pub(crate) fn next(&self, after: u64, run: Option<Uuid>, told: &mut Told) -> Option<Early> {
        let is_due =
            |one: &&Growing| one.behind <= after && run.is_none_or(|run| run == one.said.entry.run);
        self.0.iter().filter(is_due).find_map(|one| {
            let id = one.said.frame.id();
            let place = told.0.get(id).copied().unwrap_or(one.from);
            if place.chars < one.from.chars || place.chars >= one.to.chars {
                return None;
            }
            let start = usize::try_from(place.bytes - one.from.bytes).ok()?;
            let text = one.text.get(start..)?.to_owned();
            told.0.insert(Arc::clone(id), one.to);
            Some(Early { said: Arc::clone(&one.said), at: place.chars, text })
        })
    }
}

impl Place {
    /// Where a text ends that begins here.
    pub(crate) fn plus(self, text: &str) -> Self {
        Self { chars: self.chars + count(text), bytes: self.bytes + text.len() as u64 }
    }
}

/// Characters of a text.
fn count(text: &str) -> u64 {
    if text.is_ascii() { text.len() as u64 } else { text.chars().count() as u64 }
}

/// Where this many characters of a text end; its end, if it has fewer.
fn byte_of(text: &str, chars: u64) -> usize {
    let chars = usize::try_from(chars).unwrap_or(usize::MAX);
    if text.is_ascii() {
        return chars.min(text.len());
    }
    text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at)
}

/// The messages of which a reader was told text that it has not seen on the log: how far it is with
/// each. As many as grow at a time.
#[derive(Debug, Default)]
pub(crate) struct Told(HashMap<Arc<str>, Place>);

/// What an entry is to a reader that was told text early.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum News {
    /// All of it is new, or, with the rest of its text, all that it has.
    Entry(Entry),
    /// Only its number is.
    Number(Entry),
}

impl Told {
    /// What the next entry of the log is to this reader.
    pub(crate) fn take(&mut self, entry: Entry) -> News {
        if self.0.is_empty() {
            return News::Entry(entry);
        }
        if matches!(entry.kind, Kind::Begun | Kind::Ended) {
            // What was not stored by now never is.
            self.0.clear();
            return News::Entry(entry);
        }
        let Some(Stored { id, from, to, text }) = Stored::of(&entry) else {
            return News::Entry(entry);
        };
        let Some(place) = self.0.get(&*id).copied() else { return News::Entry(entry) };
        if place.chars <= to {
            self.0.remove(&*id);
        }
        if from == to || place.chars <= from {
            return News::Entry(entry);
        }
        if place.chars >= to {
            return News::Number(entry);
        }
        let rest = &text[byte_of(&text, place.chars - from)..];
        match with_text(&entry, rest) {
            Some(data) => News::Entry(Entry { data, text_at: Some(place.chars), ..entry }),
            None => News::Entry(entry),
        }
    }

    /// Forgets what was told of an execution that is over.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The text of a message, as far as an entry has it.
struct Stored<'a> {
    id: Cow<'a, str>,
    text: Cow<'a, str>,
    from: u64,
    to: u64,
}

impl<'a> Stored<'a> {
    fn of(entry: &'a Entry) -> Option<Self> {
        #[derive(Deserialize)]
        struct Chunk<'a> {
            #[serde(borrow)]
            id: Cow<'a, str>,
            #[serde(borrow)]
            content: Cow<'a, str>,
        }
        let from = entry.text_at?;
        if entry.kind != Kind::Event(Mode::Messages) {
            return None;
        }
        let (Chunk { id, content: text }, _): (Chunk<'_>, IgnoredAny) =
            serde_json::from_slice(&entry.data).ok()?;
        let to = from + count(&text);
        Some(Self { id, text, from, to })
    }
}

/// The data of a message's piece with another text.
fn with_text(entry: &Entry, text: &str) -> Option<Bytes> {
    let mut data: Json = serde_json::from_slice(&entry.data).ok()?;
    *data.get_mut(0)?.get_mut("content")? = Json::from(text);
    Some(Bytes::from(data.to_string()))
}
