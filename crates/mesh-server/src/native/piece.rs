//! Pieces of one message that are ready together, as one. Pure.
//!
//! Two pieces are merged only when nothing of them is lost by it: everything but their text is the
//! same. Whatever else happens on the thread is never merged, and never passed over by it.

use axum::body::Bytes;
use mesh_graph::Mode;
use mesh_runtime::log::{Entry, Kind};
use serde_json::{Map, Value as Json};

/// Longest text of a merged piece, in bytes.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// The last piece of a message, and those before it that it stands for.
#[derive(Debug)]
pub(super) struct Piece {
    entry: Entry,
    from: u64,
    /// What it says besides its text; none until a second piece came.
    parsed: Option<Parsed>,
}

#[derive(Debug)]
struct Parsed {
    chunk: Map<String, Json>,
    metadata: Json,
    text: String,
}

/// Member of a chunk that is its text.
const TEXT: &str = "content";

impl Parsed {
    fn of(entry: &Entry) -> Option<Self> {
        let (mut chunk, metadata): (Map<String, Json>, Json) =
            serde_json::from_slice(&entry.data).ok()?;
        // Without a name nobody knows which message it is a piece of.
        chunk.get("id").filter(|id| id.is_string())?;
        match chunk.remove(TEXT) {
            Some(Json::String(text)) => Some(Self { chunk, metadata, text }),
            _ => None,
        }
    }
}

impl Piece {
    /// Whether the entry can be one.
    pub(super) fn is(entry: &Entry) -> bool {
        entry.kind == Kind::Event(Mode::Messages)
    }

    /// The piece that an entry [is](Self::is).
    pub(super) fn new(entry: Entry) -> Self {
        Self { from: entry.seq, entry, parsed: None }
    }

    /// Takes in the piece that follows. False, and nothing changes, if the two do not belong
    /// together.
    pub(super) fn join(&mut self, next: &Entry) -> bool {
        let last = &self.entry;
        let alike = next.kind == last.kind
            && next.run == last.run
            && next.step == last.step
            && next.ns == last.ns
            && next.node == last.node;
        if !alike {
            return false;
        }
        if self.parsed.is_none() {
            self.parsed = Parsed::of(last);
        }
        let (Some(so_far), Some(new)) = (&mut self.parsed, Parsed::of(next)) else { return false };
        if so_far.chunk != new.chunk
            || so_far.metadata != new.metadata
            || so_far.text.len() + new.text.len() > TEXT_BYTES_MAX
        {
            return false;
        }
        so_far.text.push_str(&new.text);
        // The text begins where that of the first piece does.
        self.entry.seq = next.seq;
        self.entry.at_ms = next.at_ms;
        true
    }

    /// The entry that stands for all pieces, and the number of the first of them if there are
    /// several.
    pub(super) fn whole(self) -> (Entry, Option<u64>) {
        let Self { mut entry, from, parsed } = self;
        if from == entry.seq {
            return (entry, None);
        }
        if let Some(Parsed { mut chunk, metadata, text }) = parsed {
            chunk.insert(TEXT.to_owned(), Json::String(text));
            let data = Json::Array(vec![Json::Object(chunk), metadata]);
            entry.data = Bytes::from(data.to_string());
        }
        (entry, Some(from))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mesh_graph::Mode;
    use mesh_runtime::log::{Entry, Kind};
    use serde_json::{Value as Json, json};
    use uuid::Uuid;

    use super::{Piece, TEXT_BYTES_MAX};

    fn entry(seq: u64, kind: Kind, data: &Json) -> Entry {
        Entry {
            seq,
            node: Some(Arc::from("write")),
            ..Entry::of_run(Uuid::from_u128(7), kind, 5, data)
        }
    }

    fn chunk(seq: u64, id: &str, text: &str) -> Entry {
        let data = json!([{ "id": id, "content": text, "more": [1] }, { "node": "write" }]);
        entry(seq, Kind::Event(Mode::Messages), &data)
    }

    #[test]
    fn pieces_of_a_message_become_one_with_all_their_text() {
        let mut piece = Piece::new(chunk(3, "m", "Hel"));
        assert!(piece.join(&chunk(4, "m", "lo, ")));
        assert!(piece.join(&chunk(5, "m", "you")));
        let (whole, from) = piece.whole();
        assert_eq!((whole.seq, from), (5, Some(3)));
        let data: Json = serde_json::from_slice(&whole.data).unwrap();
        assert_eq!(data[0], json!({ "id": "m", "content": "Hello, you", "more": [1] }));
        assert_eq!(data[1], json!({ "node": "write" }));
    }

    #[test]
    fn a_piece_that_came_alone_stays_as_it_was() {
        let one = chunk(3, "m", "Hel");
        assert_eq!(Piece::new(one.clone()).whole(), (one, None));
    }

    #[test]
    fn nothing_is_merged_that_says_something_else_besides() {
        let of = |data: &Json| entry(4, Kind::Event(Mode::Messages), data);
        let metadata = json!({ "node": "write" });
        for other in [
            chunk(4, "another", "lo"),
            of(&json!([{ "id": "m", "content": "lo", "more": [2] }, metadata])),
            of(&json!([{ "id": "m", "content": "lo", "more": [1] }, { "node": "x" }])),
            of(&json!([{ "id": "m", "content": ["lo"], "more": [1] }, metadata])),
            of(&json!([{ "id": "m", "content": "lo", "more": [1], "last": true }, metadata])),
            of(&json!("no chunk")),
            entry(4, Kind::Event(Mode::Updates), &json!({})),
            Entry { step: 9, ..chunk(4, "m", "lo") },
            Entry { node: None, ..chunk(4, "m", "lo") },
            Entry { run: Uuid::nil(), ..chunk(4, "m", "lo") },
        ] {
            let mut piece = Piece::new(chunk(3, "m", "Hel"));
            assert!(!piece.join(&other), "{other:?}");
            assert_eq!(piece.whole(), (chunk(3, "m", "Hel"), None));
        }
    }

    #[test]
    fn a_message_without_a_name_is_left_alone() {
        let of = |seq| entry(seq, Kind::Event(Mode::Messages), &json!([{ "content": "x" }, {}]));
        assert!(!Piece::new(of(1)).join(&of(2)));
    }

    #[test]
    fn a_merged_piece_has_a_longest_length() {
        let half = "x".repeat(TEXT_BYTES_MAX / 2);
        let mut piece = Piece::new(chunk(1, "m", &half));
        assert!(piece.join(&chunk(2, "m", &half)));
        assert!(!piece.join(&chunk(3, "m", "x")));
        assert_eq!(piece.whole().0.seq, 2);
    }
}
