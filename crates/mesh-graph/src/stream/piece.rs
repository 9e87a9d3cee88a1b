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
    message: Map<String, Json>,
    facts: Arc<Facts>,
    /// One JSON text up to where the text stands.
    head: String,
    /// And what comes after it.
    tail: String,
}

impl PieceFrame {
    /// For pieces like this one, beside which these facts stand. None for a message without an id
    /// or a text.
    pub fn new(message: &Map<String, Json>, facts: Map<String, Json>) -> Option<Self> {
        Self::of(message, Arc::new(Facts::new(facts)))
    }

    fn of(message: &Map<String, Json>, facts: Arc<Facts>) -> Option<Self> {
        let id = Arc::from(message.get("id")?.as_str()?);
        message.get(CONTENT)?.as_str()?;
        let (mut head, mut tail) = (b"[{".to_vec(), Vec::new());
        let mut before = true;
        for (key, value) in message {
            let half = if before { &mut head } else { &mut tail };
            if !half.ends_with(b"{") {
                half.push(b',');
            }
            // Writing to memory does not fail.
            let _ = serde_json::to_writer(&mut *half, key);
            half.push(b':');
            if key == CONTENT {
                before = false;
            } else {
                let _ = serde_json::to_writer(&mut *half, value);
            }
        }
        let _ = write!(tail, "}},{}]", facts.text());
        let rest = message.iter().filter(|(key, _)| *key != CONTENT);
        Some(Self {
            id,
            message: rest.map(|(key, value)| (key.clone(), value.clone())).collect(),
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
        (&self.message, self.facts.json())
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
            _ => None,
        }
    }

    /// Whether it is a piece of the text of the message that the frame is of, and differs from
    /// others in nothing but its text.
    pub fn fits(&self, frame: &PieceFrame) -> bool {
        let Body::Message { message: Json::Object(message), facts, returned: false } = &self.body
        else {
            return false;
        };
        (Arc::ptr_eq(facts, &frame.facts) || facts.json() == frame.facts.json())
            && message.get(CONTENT).is_some_and(Json::is_string)
            && message.len() == frame.message.len() + 1
            && message.iter().filter(|(key, _)| *key != CONTENT).eq(&frame.message)
    }

    /// The frame of a piece of a message's text, if it is one.
    pub fn piece_frame(&self) -> Option<PieceFrame> {
        let Body::Message { message, facts, returned: false } = &self.body else { return None };
        if !messages::is_piece(self) {
            return None;
        }
        PieceFrame::of(message.as_object()?, Arc::clone(facts))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Map, Value as Json, json};

    use super::{Body, Event, Facts};
    use crate::Mode;

    fn event(message: Json) -> Event {
        let facts = Map::from_iter([("langgraph_node".to_owned(), json!("write"))]);
        let facts = Arc::new(Facts::new(facts));
        let body = Body::Message { message, facts, returned: false };
        Event::new(Mode::Messages, &Arc::from([]), 1, None, 0, body)
    }

    fn piece(text: &str) -> Json {
        json!({ "type": "AIMessageChunk", "id": "m", "content": text, "additional_kwargs": {} })
    }

    #[test]
    fn a_piece_is_written_between_the_halves_of_its_frame_as_it_is_by_itself() {
        let frame = event(piece("x")).piece_frame().unwrap();
        for text in ["", "Hel", "a \"b\" \\ \n \u{1F600}"] {
            let event = event(piece(text));
            assert!(event.fits(&frame));
            let mut out = Vec::new();
            frame.write(text, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), event.public_text());
        }
        assert_eq!(&**frame.id(), "m");
    }

    #[test]
    fn what_says_more_than_text_fits_no_frame_of_others() {
        let frame = event(piece("x")).piece_frame().unwrap();
        for (member, value) in [
            ("id", json!("n")),
            ("content", json!(["x"])),
            ("additional_kwargs", json!({ "a": 1 })),
            ("usage_metadata", json!({})),
        ] {
            let mut other = piece("y");
            other[member] = value;
            assert!(!event(other).fits(&frame), "{member}");
        }
    }

    #[test]
    fn only_pieces_of_text_have_a_frame() {
        for wrong in [
            json!({ "type": "ai", "id": "m", "content": "x" }),
            json!({ "type": "AIMessageChunk", "content": "x" }),
            json!({ "type": "AIMessageChunk", "id": "m", "content": [] }),
            json!({ "type": "AIMessageChunk", "id": "m" }),
        ] {
            assert!(event(wrong).piece_frame().is_none());
        }
    }
}
