//! What was told and is not on its way to the log, in its order. Pure.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    early::{Place, Said},
    log::Entry,
};

/// Bytes of text that one entry has at most, if others were added to it.
const TEXT_BYTES: usize = 4 << 10;

/// Bytes of text that wait before they are written, whatever the time. More than that, and what was
/// not looked at, waits among the events, which hold up the run when there are too many.
const WAITING_BYTES: usize = 32 << 10;

/// Entries that wait before they are written, whatever the time.
const WAITING_ENTRIES: usize = 256;

/// Messages of one execution of which it is known how long they are. Text of further ones has no
/// place and is not told early.
const MESSAGES_MAX: usize = 4096;

/// Pieces that are looked at for one of the same message.
const GROWING: usize = 16;

/// Which entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) number: u64,
    /// It tells what is about to be stored, so it is written with that or not at all: a run whose
    /// write failed has not done what it told.
    pub(super) is_ahead: bool,
}

/// Text of a message.
#[derive(Debug)]
pub(super) struct Text {
    said: Arc<Said>,
    /// Where its message stands among those that are known.
    message: usize,
    at_ms: i64,
    from: Place,
    to: Place,
    content: String,
    /// Bytes of it that were told early.
    told: usize,
}

#[derive(Debug)]
enum Item {
    Entry(Entry),
    Text(Text),
}

/// A message that pieces were sent of.
#[derive(Debug, Default)]
struct Message {
    said: Option<Arc<Said>>,
    /// Where it ends by now.
    to: Place,
    /// Up to where it was told early, or is on the log.
    told: Place,
}

/// What waits.
#[derive(Debug)]
pub(super) struct Waiting {
    items: VecDeque<(Mark, Item)>,
    /// Entries so far.
    count: u64,
    /// Pieces of a message may become one entry.
    merges: bool,
    messages: Vec<Message>,
    /// Where the messages with these ids stand.
    places: HashMap<Arc<str>, usize>,
    /// The message that text was added to last, and where it stands.
    last: Option<(Arc<Said>, usize)>,
    /// Bytes of text among what waits.
    text_bytes: usize,
    /// Entries that wait and are no text.
    others: usize,
    /// Texts that wait and were not told early, or not to their end.
    untold: usize,
    /// Entries that are no text and not on the log, oldest first.
    unkept: VecDeque<u64>,
    /// Everything up to here is on the log.
    kept: u64,
    /// The number on the log of the last entry that is there and no text.
    behind: u64,
}

/// Entries on their way, and what they were.
#[derive(Debug, Default)]
pub(super) struct Taken {
    marks: Vec<Mark>,
    texts: Vec<Option<Text>>,
    pub(super) entries: Vec<Entry>,
}

impl Text {
    fn entry(&self) -> Entry {
        let mut data = Vec::new();
        self.said.frame.write(&self.content, &mut data);
        let (at_ms, text_at) = (self.at_ms, Some(self.from.chars));
        Entry { data: Bytes::from(data), at_ms, text_at, ..self.said.entry.clone() }
    }

    fn is_told(&self) -> bool {
        self.told == self.content.len()
    }
}

impl Waiting {
    pub(super) fn new(merges: bool) -> Self {
        Self {
            items: VecDeque::new(),
            count: 0,
            merges,
            messages: Vec::new(),
            places: HashMap::new(),
            last: None,
            text_bytes: 0,
            others: 0,
            untold: 0,
            unkept: VecDeque::new(),
            kept: 0,
            behind: 0,
        }
    }

    /// Entries so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether something waits that is not text.
    pub(super) fn has_others(&self) -> bool {
        self.others > 0
    }

    /// Whether so much waits that no more should be added.
    pub(super) fn is_full(&self) -> bool {
        self.text_bytes >= WAITING_BYTES || self.items.len() >= WAITING_ENTRIES
    }

    /// Whether the next entry is told ahead of what it is stored with.
    pub(super) fn begins_ahead(&self) -> bool {
        self.items.front().is_some_and(|(mark, _)| mark.is_ahead)
    }

    /// Adds an entry.
    pub(super) fn push(&mut self, entry: Entry, is_ahead: bool) {
        self.count += 1;
        self.others += 1;
        self.unkept.push_back(self.count);
        let mark = Mark { number: self.count, is_ahead };
        self.items.push_back((mark, Item::Entry(entry)));
    }

    /// What the pieces of the message with this id have in common, if one came that had a text.
    pub(super) fn said(&self, id: &str) -> Option<&Arc<Said>> {
        self.messages.get(*self.places.get(id)?)?.said.as_ref()
    }

    /// Notes a text of the message with this id that is not added as text. Gives where it begins;
    /// none for one message too many.
    pub(super) fn grow(&mut self, id: &str, text: &str) -> Option<u64> {
        let place = self.place(id)?;
        let message = self.messages.get_mut(place)?;
        let from = message.to;
        message.to = from.plus(text);
        if message.told == from {
            // Nobody is told it early, so it has to be on the log before more is.
            message.told = message.to;
        }
        Some(from.chars)
    }

    /// Adds text to the message that this is of. False, and nothing changes, for one message too
    /// many.
    pub(super) fn push_text(&mut self, said: &Arc<Said>, text: &str, at_ms: i64) -> bool {
        let place = match &self.last {
            Some((last, place)) if Arc::ptr_eq(last, said) => *place,
            _ => {
                let Some(place) = self.place(said.frame.id()) else { return false };
                self.last = Some((Arc::clone(said), place));
                place
            }
        };
        let Some(message) = self.messages.get_mut(place) else { return false };
        if !message.said.as_ref().is_some_and(|known| Arc::ptr_eq(known, said)) {
            message.said = Some(Arc::clone(said));
        }
        let from = message.to;
        let to = from.plus(text);
        message.to = to;
        self.text_bytes += text.len();
        if let Some(grown) = self.growing(said, text.len()) {
            let was_told = grown.is_told();
            grown.content.push_str(text);
            (grown.to, grown.at_ms) = (to, at_ms);
            self.untold += usize::from(was_told);
            return true;
        }
        self.count += 1;
        self.untold += 1;
        let said = Arc::clone(said);
        let content = text.to_owned();
        let text = Text { said, message: place, at_ms, from, to, content, told: 0 };
        self.items.push_back((Mark { number: self.count, is_ahead: false }, Item::Text(text)));
        true
    }

    /// Where the message with this id stands; none for one too many.
    fn place(&mut self, id: &str) -> Option<usize> {
        if let Some(place) = self.places.get(id) {
            return Some(*place);
        }
        let place = self.messages.len();
        if place >= MESSAGES_MAX {
            return None;
        }
        self.messages.push(Message::default());
        self.places.insert(Arc::from(id), place);
        Some(place)
    }

    /// Text of the same message that waits and takes more, with nothing but text behind it.
    fn growing(&mut self, said: &Arc<Said>, more: usize) -> Option<&mut Text> {
        if !self.merges {
            return None;
        }
        let texts = self.items.iter_mut().rev().take(GROWING).map_while(|(_, item)| match item {
            Item::Text(text) => Some(text),
            Item::Entry(_) => None,
        });
        let mut same = texts.filter(|text| Arc::ptr_eq(&text.said, said));
        same.next().filter(|text| text.content.len() + more <= TEXT_BYTES)
    }

    /// Calls `tell` with text that may be told early and was not, since everything before it but text
    /// is on the log: its message, where it begins, and the entry behind which it comes.
    pub(super) fn tell(&mut self, mut tell: impl FnMut(&Arc<Said>, Place, &str, u64)) {
        if self.untold == 0 {
            return;
        }
        let limit = self.unkept.front().copied().unwrap_or(u64::MAX);
        let mut missing = self.untold;
        let start = self.items.iter().rposition(|(_, item)| {
            missing -= usize::from(matches!(item, Item::Text(text) if !text.is_told()));
            missing == 0
        });
        for (mark, item) in self.items.range_mut(start.unwrap_or(0)..) {
            if mark.number > limit {
                break;
            }
            let Item::Text(text) = item else { continue };
            let Some(message) = self.messages.get_mut(text.message) else { continue };
            let (before, new) = text.content.split_at(text.told);
            let from = text.from.plus(before);
            // What comes before it may be on its way, untold.
            if new.is_empty() || message.told != from {
                continue;
            }
            tell(&text.said, from, new, self.behind);
            message.told = text.to;
            text.told = text.content.len();
            self.untold -= 1;
        }
    }

    /// Takes the first entries: those up to this one, and with `all` also those that are told
    /// ahead.
    pub(super) fn take(&mut self, upto: u64, all: bool) -> Taken {
        let goes = |mark: &Mark| mark.number <= upto && (all || !mark.is_ahead);
        let count = self.items.iter().take_while(|(mark, _)| goes(mark)).count();
        let mut taken = Taken::default();
        for _ in 0..count {
            let Some((mark, item)) = self.items.pop_front() else { break };
            taken.marks.push(mark);
            match item {
                Item::Entry(entry) => {
                    self.others -= 1;
                    taken.entries.push(entry);
                    taken.texts.push(None);
                }
                Item::Text(text) => {
                    self.text_bytes -= text.content.len();
                    self.untold -= usize::from(!text.is_told());
                    taken.entries.push(text.entry());
                    taken.texts.push(Some(text));
                }
            }
        }
        taken
    }

    /// Takes everything.
    pub(super) fn take_all(&mut self) -> Vec<Entry> {
        self.take(u64::MAX, true).entries
    }

    /// What was taken is on the log, under the numbers that its entries have.
    pub(super) fn keep(&mut self, taken: Taken) {
        let Taken { marks, texts, entries } = taken;
        for ((mark, text), entry) in marks.into_iter().zip(texts).zip(entries) {
            self.kept = self.kept.max(mark.number);
            match text {
                None => self.behind = self.behind.max(entry.seq),
                Some(text) => {
                    if let Some(message) = self.messages.get_mut(text.message) {
                        message.told = message.told.max(text.to);
                    }
                }
            }
        }
        while self.unkept.front().is_some_and(|number| *number <= self.kept) {
            self.unkept.pop_front();
        }
    }

    /// What was taken did not arrive.
    pub(super) fn give_back(&mut self, taken: Taken) {
        let Taken { marks, texts, entries } = taken;
        for ((mark, text), entry) in marks.into_iter().zip(texts).zip(entries) {
            let item = match text {
                None => {
                    self.others += 1;
                    Item::Entry(entry)
                }
                Some(text) => {
                    self.text_bytes += text.content.len();
                    self.untold += usize::from(!text.is_told());
                    Item::Text(text)
                }
            };
            self.items.push_back((mark, item));
        }
        self.items.make_contiguous().sort_by_key(|(mark, _)| *mark);
    }
}

impl Taken {
    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }
}
