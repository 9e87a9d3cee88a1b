//! Pieces of a message's text, and what they have in common.
//!
//! A model says a message piece by piece, and all that changes from one to the next is the text.
//! So the rest is written once, and a piece is its text between the two halves of it.

use std::{io::Write as _, sync::Arc};

use serde_json::{Map, Value as Json};

use super::{
    event::{Body, Event},
    facts::Facts,
    messages,
};

/// Member of a message that is its text.
const CONTENT: &str = "content";

/// What all pieces of a message's text have in common: everything but the text.
#[derive(Debug)]
pub struct PieceFrame {
    id: Arc<str>,
    /// The message without its text.
    rest: Map<String, Json>,
    /// How many of its members stand before the text.
    before: usize,
    facts: Arc<Facts>,
    /// One JSON text up to where the text stands.
    head: String,
    /// And what comes after it.
    tail: String,
}

/// Equal when every text makes the same piece with both.
impl PartialEq for PieceFrame {
    fn eq(&self, other: &Self) -> bool {
        (&self.head, &self.tail) == (&other.head, &other.tail)
    }
}

impl Eq for PieceFrame {}

impl PieceFrame {
    /// For pieces like this one, beside which these facts stand. None for what is no piece of a
    /// message's text.
    pub fn new(piece: &Json, facts: Map<String, Json>) -> Option<Self> {
        Self::of(piece, Arc::new(Facts::new(facts)))
    }

    pub(crate) fn of(piece: &Json, facts: Arc<Facts>) -> Option<Self> {
        if !messages::is_chunk(piece) {
            return None;
        }
        let message = piece.as_object()?;
        let id = Arc::from(messages::id(piece)?);
        message.get(CONTENT)?.as_str()?;
        let (mut head, mut tail) = (b"[{".to_vec(), Vec::new());
        let mut before = None;
        for (at, (key, value)) in message.iter().enumerate() {
            let half = if before.is_none() { &mut head } else { &mut tail };
            if !half.ends_with(b"{") {
                half.push(b',');
            }
            // Writing to memory does not fail.
            let _ = serde_json::to_writer(&mut *half, key);
            half.push(b':');
            if key == CONTENT {
                before = Some(at);
            } else {
                let _ = serde_json::to_writer(&mut *half, value);
            }
        }
        let _ = write!(tail, "}},{}]", facts.text());
        let rest = message.iter().filter(|(key, _)| *key != CONTENT);
        Some(Self {
            id,
            rest: rest.map(|(key, value)| (key.clone(), value.clone())).collect(),
            before: before?,
            facts,
            head: String::from_utf8(head).ok()?,
            tail: String::from_utf8(tail).ok()?,
        })
    }

    /// The message's id.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Appends [`Event::public_text`] of the piece with this text.
    pub fn write(&self, text: &str, out: &mut Vec<u8>) {
        out.reserve(self.head.len() + text.len() + self.tail.len() + 8);
        out.extend_from_slice(self.head.as_bytes());
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut *out, text);
        out.extend_from_slice(self.tail.as_bytes());
    }

    /// The message without its text, and what stands beside it.
    pub fn parts(&self) -> (&Map<String, Json>, &Json) {
        (&self.rest, self.facts.json())
    }

    pub(super) fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// The piece with this text, and what stands beside it, as one JSON text.
    pub(super) fn text(&self, text: &str) -> String {
        format!("{}{}{}", self.head, Json::from(text), self.tail)
    }

    /// The piece with this text.
    pub(super) fn message(&self, text: &str) -> Json {
        let mut rest = self.rest.iter().map(|(key, value)| (key.clone(), value.clone()));
        let mut message = Map::new();
        message.extend(rest.by_ref().take(self.before));
        message.insert(CONTENT.to_owned(), Json::from(text));
        message.extend(rest);
        Json::Object(message)
    }

    /// Whether a message is a piece between the halves of this frame.
    fn fits(&self, message: &Map<String, Json>, facts: &Arc<Facts>) -> bool {
        Arc::ptr_eq(facts, &self.facts)
            && message.get(CONTENT).is_some_and(Json::is_string)
            && message.len() == self.rest.len() + 1
            && message.iter().filter(|(key, _)| *key != CONTENT).eq(&self.rest)
    }
}

impl Body {
    /// A message that is sent, beside which these facts stand. A piece with some text is one of
    /// the frame of the last such piece, if it fits.
    pub(crate) fn sent(
        mut message: Json,
        facts: &Arc<Facts>,
        last: &mut Option<Arc<PieceFrame>>,
    ) -> Self {
        let has_text =
            message.get(CONTENT).and_then(Json::as_str).is_some_and(|text| !text.is_empty());
        if has_text {
            let fits = |frame: &&mut Arc<PieceFrame>| {
                message.as_object().is_some_and(|message| frame.fits(message, facts))
            };
            let frame = match last.as_mut().filter(fits) {
                Some(frame) => Some(Arc::clone(frame)),
                None => PieceFrame::of(&message, Arc::clone(facts)).map(Arc::new),
            };
            if let Some(frame) = frame
                && let Some(Json::String(text)) = message.get_mut(CONTENT)
            {
                *last = Some(Arc::clone(&frame));
                return Self::Piece { frame, text: std::mem::take(text) };
            }
        }
        Self::Message { message, facts: Arc::clone(facts), returned: false }
    }
}

impl Event {
    /// The id of the message that it is, or is a piece of, and the text, if it is one that was sent
    /// and has a text.
    pub fn said(&self) -> Option<(&str, &str)> {
        match &self.body {
            Body::Message { message, returned: false, .. } => {
                Some((messages::id(message)?, message.get(CONTENT)?.as_str()?))
            }
            Body::Piece { frame, text } => Some((frame.id(), text)),
            _ => None,
        }
    }

    /// The text, and what it is between, if it is a piece of a message's text. Pieces that were
    /// told under one frame come from one place in one superstep.
    pub fn piece(&self) -> Option<(&Arc<PieceFrame>, &str)> {
        match &self.body {
            Body::Piece { frame, text } => Some((frame, text)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Map, Value as Json, json};

    use super::{Body, Event, Facts, PieceFrame};
    use crate::Mode;

    fn facts() -> Arc<Facts> {
        let facts = Map::from_iter([("langgraph_node".to_owned(), json!("write"))]);
        Arc::new(Facts::new(facts))
    }

    fn event(body: Body) -> Event {
        Event::new(Mode::Messages, &Arc::from([]), 1, None, 0, body)
    }

    fn piece(text: &str) -> Json {
        json!({ "type": "AIMessageChunk", "id": "m", "content": text, "additional_kwargs": {} })
    }

    #[test]
    fn a_piece_reads_between_the_halves_of_its_frame_as_it_does_by_itself() {
        let facts = facts();
        let mut last = None;
        let first = event(Body::sent(piece("x"), &facts, &mut last));
        let frame = Arc::clone(first.piece().unwrap().0);
        for text in ["Hel", "a \"b\" \\ \n \u{1F600}"] {
            let sent = event(Body::sent(piece(text), &facts, &mut last));
            let (same, said) = sent.piece().unwrap();
            assert!(Arc::ptr_eq(same, &frame));
            assert_eq!((said, sent.said()), (text, Some(("m", text))));
            let whole =
                Body::Message { message: piece(text), facts: Arc::clone(&facts), returned: false };
            let whole = event(whole);
            assert_eq!(sent.data().to_string(), whole.data().to_string());
            assert_eq!(sent.public_text(), whole.public_text());
            let mut out = Vec::new();
            frame.write(text, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), whole.public_text());
        }
    }

    #[test]
    fn what_says_more_than_text_fits_no_frame_of_others() {
        let facts = facts();
        let frame = Arc::new(PieceFrame::of(&piece("x"), Arc::clone(&facts)).unwrap());
        for (member, value) in [
            ("id", json!("n")),
            ("content", json!(["x"])),
            ("additional_kwargs", json!({ "a": 1 })),
            ("usage_metadata", json!({})),
        ] {
            let mut other = piece("y");
            other[member] = value;
            let other = event(Body::sent(other, &facts, &mut Some(Arc::clone(&frame))));
            assert!(other.piece().is_none_or(|(other, _)| **other != *frame), "{member}");
        }
        let elsewhere = Body::sent(piece("y"), &self::facts(), &mut Some(Arc::clone(&frame)));
        let elsewhere = event(elsewhere);
        let (elsewhere, _) = elsewhere.piece().unwrap();
        assert!(!Arc::ptr_eq(elsewhere, &frame) && *elsewhere == frame);
    }

    #[test]
    fn only_pieces_of_text_have_a_frame() {
        for wrong in [
            json!({ "type": "ai", "id": "m", "content": "x" }),
            json!({ "type": "AIMessageChunk", "content": "x" }),
            json!({ "type": "AIMessageChunk", "id": "m", "content": [] }),
            json!({ "type": "AIMessageChunk", "id": "m", "content": "" }),
            json!({ "type": "AIMessageChunk", "id": "m" }),
        ] {
            assert!(event(Body::sent(wrong, &facts(), &mut None)).piece().is_none());
        }
    }
}
