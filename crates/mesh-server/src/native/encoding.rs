//! Frames as bytes, and one encoding of an event for all that follow its thread.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use mesh_protocol::socket::{self as wire, Frame};
use mesh_runtime::{
    early::{Early, Said},
    log::Entry,
};
use serde::Serialize;
use serde_json::Value as Json;
use uuid::Uuid;

use super::reading::{Patch, Told};
use crate::{JSON_DEPTH_MAX, refusal::Refusal, socket::Encoded};

/// Events of one thread whose encodings are remembered for its other followers; as many small and
/// as many large ones.
const SHARED_EVENTS: usize = 128;

/// Bytes of the small ones, and of the large ones if there is more than one.
const SHARED_BYTES: usize = 512 << 10;

/// Bytes from which an event is large. Of these sockets hold no copies, so that followers who stand
/// still at one of them hold it together, if they find it here.
const LARGE: usize = 4 << 10;

/// How frames are written on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// JSON in text frames.
    Json,
    /// MessagePack in binary frames.
    MsgPack,
}

impl Encoding {
    /// That of a subprotocol. JSON if none was agreed to.
    pub(super) fn of(protocol: Option<&str>) -> Self {
        if protocol == Some(wire::SUBPROTOCOL_MSGPACK) { Self::MsgPack } else { Self::Json }
    }

    /// The subprotocol's name.
    pub(super) fn protocol(self) -> &'static str {
        match self {
            Self::Json => wire::SUBPROTOCOL,
            Self::MsgPack => wire::SUBPROTOCOL_MSGPACK,
        }
    }

    /// A frame of any kind.
    pub(super) fn frame(self, frame: &Frame) -> Encoded {
        match self {
            // Only maps with keys that are no strings fail, and there are none.
            Self::Json => Encoded::text(&serde_json::to_vec(frame).unwrap_or_default()),
            Self::MsgPack => Encoded::binary(&packed(frame)),
        }
    }

    /// An event.
    pub(super) fn event(self, thread: &str, told: &Told) -> Encoded {
        let Told { entry, from, patch } = told;
        match self {
            Self::Json => {
                let mut text = Vec::with_capacity(entry.data.len() + 256);
                write_event(&mut text, thread, entry, *from, patch.as_ref());
                Encoded::text(&text)
            }
            Self::MsgPack => Encoded::binary(&packed(&event(thread, entry, *from, patch.as_ref()))),
        }
    }

    /// Text that is not stored yet; `first` says what message it is of.
    pub(super) fn delta(
        self,
        thread: &str,
        early: &Early,
        after: Option<u64>,
        first: bool,
    ) -> Encoded {
        if self == Self::MsgPack || first {
            return self.frame(&delta(thread, early, after, first));
        }
        let mut text = Vec::with_capacity(early.text.len() + 192);
        write_delta(&mut text, thread, early, after);
        Encoded::text(&text)
    }
}

/// What a client sent in MessagePack, as JSON.
pub(super) fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut from = rmp_serde::Deserializer::new(std::io::Cursor::new(bytes));
    from.set_max_depth(JSON_DEPTH_MAX + 2);
    let json: Result<Json, _> = serde::Deserialize::deserialize(&mut from);
    let ends = from.position() == bytes.len() as u64;
    json.ok()
        .filter(|_| ends)
        .and_then(|json| serde_json::to_vec(&json).ok())
        .ok_or(Refusal::NotMessagePack)
}

fn packed(frame: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Ids as text, as in JSON.
    let mut packer = rmp_serde::Serializer::new(&mut bytes).with_struct_map().with_human_readable();
    // Fails for nothing that a frame is made of.
    let _ = frame.serialize(&mut packer);
    bytes
}

/// An event as a type of the wire.
fn event(thread: &str, entry: &Entry, from: Option<u64>, patch: Option<&Patch>) -> Frame {
    let json = |text: &[u8]| serde_json::from_slice::<Json>(text).unwrap_or_default();
    Frame::Event(wire::Event {
        thread_id: thread.to_owned(),
        seq: entry.seq,
        from,
        run_id: Some(entry.run).filter(|run| !run.is_nil()),
        kind: entry.kind.name().to_owned(),
        ns: (!entry.ns.is_empty()).then(|| entry.ns.split('|').map(str::to_owned).collect()),
        step: entry.step,
        node: entry.node.as_deref().map(str::to_owned),
        at_ms: entry.at_ms,
        data: patch.is_none().then(|| json(&entry.data)),
        patch: patch.map(|patch| json(&patch.text)),
        base: patch.map(|patch| patch.base),
        at: entry.text_at,
    })
}

/// Writes an event as JSON: what [`event`] gives, without reading the data.
fn write_event(
    out: &mut Vec<u8>,
    thread: &str,
    entry: &Entry,
    from: Option<u64>,
    patch: Option<&Patch>,
) {
    use std::io::Write as _;
    // Writing into memory cannot fail.
    let text = |out: &mut Vec<u8>, text: &str| drop(serde_json::to_writer(out, text));
    out.extend_from_slice(b"{\"type\":\"event\",\"thread_id\":");
    text(out, thread);
    let _ = write!(out, ",\"seq\":{}", entry.seq);
    if let Some(from) = from {
        let _ = write!(out, ",\"from\":{from}");
    }
    if !entry.run.is_nil() {
        let _ = write!(out, ",\"run_id\":\"{}\"", entry.run);
    }
    out.extend_from_slice(b",\"kind\":");
    text(out, entry.kind.name());
    if !entry.ns.is_empty() {
        out.extend_from_slice(b",\"ns\":[");
        for (index, level) in entry.ns.split('|').enumerate() {
            if index > 0 {
                out.push(b',');
            }
            text(out, level);
        }
        out.push(b']');
    }
    let _ = write!(out, ",\"step\":{}", entry.step);
    if let Some(node) = &entry.node {
        out.extend_from_slice(b",\"node\":");
        text(out, node);
    }
    let _ = write!(out, ",\"at_ms\":{}", entry.at_ms);
    match patch {
        None => {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(&entry.data);
        }
        Some(Patch { text, base }) => {
            out.extend_from_slice(b",\"patch\":");
            out.extend_from_slice(text);
            let _ = write!(out, ",\"base\":{base}");
        }
    }
    if let Some(at) = entry.text_at {
        let _ = write!(out, ",\"at\":{at}");
    }
    out.push(b'}');
}

/// Text that is not stored yet, as a type of the wire; `first` says what message it is of.
fn delta(thread: &str, early: &Early, after: Option<u64>, first: bool) -> Frame {
    let Early { said, at, text } = early;
    let of = first.then(|| {
        let (chunk, metadata) = said.frame.parts();
        let entry = &said.entry;
        wire::Message {
            run_id: entry.run,
            ns: (!entry.ns.is_empty()).then(|| entry.ns.split('|').map(str::to_owned).collect()),
            step: entry.step,
            node: entry.node.as_deref().map(str::to_owned),
            chunk: Json::Object(chunk.clone()),
            metadata: metadata.clone(),
        }
    });
    Frame::Delta(wire::Delta {
        thread_id: thread.to_owned(),
        message_id: said.frame.id().to_string(),
        at: *at,
        text: text.clone(),
        after,
        of,
    })
}

/// Writes text that is not stored yet as JSON: what [`delta`] gives when it is not the first.
fn write_delta(out: &mut Vec<u8>, thread: &str, early: &Early, after: Option<u64>) {
    use std::io::Write as _;
    // Writing into memory cannot fail.
    let text = |out: &mut Vec<u8>, text: &str| drop(serde_json::to_writer(out, text));
    out.extend_from_slice(b"{\"type\":\"delta\",\"thread_id\":");
    text(out, thread);
    out.extend_from_slice(b",\"message_id\":");
    text(out, early.said.frame.id());
    let _ = write!(out, ",\"at\":{},\"text\":", early.at);
    text(out, &early.text);
    if let Some(after) = after {
        let _ = write!(out, ",\"after\":{after}");
    }
    out.push(b'}');
}

/// Encodings that followers of the same thread share.
#[derive(Debug, Default)]
pub(crate) struct Encodings(Mutex<HashMap<Uuid, Weak<OfThread>>>);

/// Encodings of a thread's last events, as long as somebody follows it.
#[derive(Debug, Default)]
pub(super) struct OfThread(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    small: Ring,
    large: Ring,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<(Key, Encoding, Encoded)>,
    bytes: usize,
}

impl Ring {
    fn find(&self, key: &Key, encoding: Encoding) -> Option<Encoded> {
        let mut last_first = self.events.iter().rev();
        let found = last_first.find(|(known, of, _)| *of == encoding && known == key);
        found.map(|(_, _, event)| event.clone())
    }

    fn push(&mut self, key: Key, encoding: Encoding, event: Encoded) {
        self.bytes += event.len();
        self.events.push_back((key, encoding, event));
        // The newest stays, however large it is: that one is worth most.
        while self.events.len() > SHARED_EVENTS
            || (self.bytes > SHARED_BYTES && self.events.len() > 1)
        {
            let Some((_, _, oldest)) = self.events.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }
}

/// What is told.
#[derive(Debug, PartialEq)]
enum Key {
    /// The log of a thread that is made again has the same numbers, but other runs and times.
    Event {
        seq: u64,
        run: Uuid,
        at_ms: i64,
        /// An entry of which text was told early comes with the rest of it.
        text_at: Option<u64>,
    },
    /// Text that is not stored yet.
    Delta { said: Same, at: u64, bytes: usize, after: Option<u64>, first: bool },
}

/// What pieces of a message have in common, which is equal to itself alone: another execution of
/// the run may say something else in the same place of the same message.
#[derive(Debug)]
struct Same(Arc<Said>);

impl PartialEq for Same {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Encodings {
    /// Those of a thread.
    pub(super) fn of(&self, thread: Uuid) -> Arc<OfThread> {
        let mut all = locked(&self.0);
        if let Some(known) = all.get(&thread).and_then(Weak::upgrade) {
            return known;
        }
        // As often as something is added, so that it costs little.
        if all.len().is_power_of_two() {
            all.retain(|_, known| known.strong_count() > 0);
        }
        let new = Arc::new(OfThread::default());
        all.insert(thread, Arc::downgrade(&new));
        new
    }
}

impl OfThread {
    /// An event that all followers get alike, encoded once.
    pub(super) fn event(
        self: &Arc<Self>,
        encoding: Encoding,
        thread: &str,
        told: &Told,
    ) -> Encoded {
        let Entry { seq, run, at_ms, text_at, .. } = told.entry;
        let encode = || encoding.event(thread, told);
        if told.from.is_some() || told.patch.is_some() {
            return encode();
        }
        self.shared(encoding, || Key::Event { seq, run, at_ms, text_at }, encode)
    }

    /// Text that is not stored yet, which followers who are equally far get alike.
    pub(super) fn delta(
        self: &Arc<Self>,
        encoding: Encoding,
        thread: &str,
        early: &Early,
        after: Option<u64>,
        first: bool,
    ) -> Encoded {
        let Early { said, at, text } = early;
        let (at, bytes) = (*at, text.len());
        self.shared(
            encoding,
            || Key::Delta { said: Same(Arc::clone(said)), at, bytes, after, first },
            || encoding.delta(thread, early, after, first),
        )
    }

    /// What others got under this key, else what is encoded for it.
    fn shared(
        self: &Arc<Self>,
        encoding: Encoding,
        key: impl FnOnce() -> Key,
        encode: impl FnOnce() -> Encoded,
    ) -> Encoded {
        if Arc::strong_count(self) == 1 {
            return encode();
        }
        let key = key();
        let mut recent = locked(&self.0);
        if let Some(known) =
            recent.small.find(&key, encoding).or_else(|| recent.large.find(&key, encoding))
        {
            return known;
        }
        let new = encode();
        let ring = if new.len() < LARGE { &mut recent.small } else { &mut recent.large };
        ring.push(key, encoding, new.clone());
        new
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mesh_graph::{Mode, PieceFrame};
    use mesh_runtime::{
        early::{Early, Said},
        log::{Entry, Kind},
    };
    use serde_json::{Map, Value as Json, json};
    use uuid::Uuid;

    use super::{
        Encoding, Encodings, SHARED_EVENTS, delta, event, unpacked, write_delta, write_event,
    };
    use crate::native::reading::{Patch, Told};

    fn entry(seq: u64) -> Entry {
        let data = json!({ "text": "a \"b\" \u{1F600}" });
        Entry {
            seq,
            ns: Arc::from("outer:1|in \"ner:2"),
            node: Some(Arc::from("no\\de")),
            step: -1,
            ..Entry::of_run(Uuid::from_u128(9), Kind::Event(Mode::Custom), 77, &data)
        }
    }

    #[test]
    fn an_event_is_written_as_its_type_has_it() {
        let patch = Patch { text: "[]".into(), base: 4 };
        let by_hand = Entry { ns: Arc::from(""), node: None, run: Uuid::nil(), ..entry(1) };
        for (entry, from, patch) in
            [(entry(5), None, None), (entry(5), Some(3), Some(&patch)), (by_hand, None, None)]
        {
            let mut out = Vec::new();
            write_event(&mut out, "t\"1", &entry, from, patch);
            let written: Json = serde_json::from_slice(&out).unwrap();
            let typed = serde_json::to_value(event("t\"1", &entry, from, patch)).unwrap();
            assert_eq!(written, typed);
        }
    }

    fn early(at: u64, text: &str) -> Early {
        let piece = json!({ "type": "AIMessageChunk", "id": "m\"1", "content": "" });
        let frame = Arc::new(PieceFrame::new(&piece, Map::new()).unwrap());
        Early { said: Arc::new(Said { frame, entry: entry(0) }), at, text: text.to_owned() }
    }

    #[test]
    fn a_delta_is_written_as_its_type_has_it() {
        let early = early(7, "a \"b\" \u{1F600}\n");
        for after in [None, Some(9)] {
            let mut out = Vec::new();
            write_delta(&mut out, "t\"1", &early, after);
            let written: Json = serde_json::from_slice(&out).unwrap();
            let typed = serde_json::to_value(delta("t\"1", &early, after, false)).unwrap();
            assert_eq!(written, typed);
        }
    }

    #[test]
    fn followers_who_are_equally_far_share_text_that_is_not_stored() {
        let encodings = Encodings::default();
        let thread = Uuid::from_u128(1);
        let (one, other) = (encodings.of(thread), encodings.of(thread));
        let told = early(3, "Hello");
        let first = one.delta(Encoding::Json, "t", &told, None, false);
        assert!(first.is_same(&other.delta(Encoding::Json, "t", &told, None, false)));
        assert!(!first.is_same(&other.delta(Encoding::MsgPack, "t", &told, None, false)));
        assert!(!first.is_same(&other.delta(Encoding::Json, "t", &told, None, true)));
        assert!(!first.is_same(&other.delta(Encoding::Json, "t", &told, Some(2), false)));
        let more = Early { text: "Hello, you".to_owned(), ..told.clone() };
        assert!(!first.is_same(&other.delta(Encoding::Json, "t", &more, None, false)));
        let later = Early { at: 4, ..told };
        assert!(!first.is_same(&other.delta(Encoding::Json, "t", &later, None, false)));
        // Another execution says something else in the same place.
        let again = early(3, "Hallo");
        assert!(!first.is_same(&other.delta(Encoding::Json, "t", &again, None, false)));
    }

    #[test]
    fn followers_of_a_thread_share_what_was_encoded_for_one_of_them() {
        let encodings = Encodings::default();
        let thread = Uuid::from_u128(1);
        let (one, other) = (encodings.of(thread), encodings.of(thread));
        let told = |seq| Told { entry: entry(seq), from: None, patch: None };
        let first = one.event(Encoding::Json, "t", &told(1));
        assert!(first.is_same(&other.event(Encoding::Json, "t", &told(1))));
        assert!(!first.is_same(&other.event(Encoding::MsgPack, "t", &told(1))));
        for seq in 2..=SHARED_EVENTS as u64 + 1 {
            one.event(Encoding::Json, "t", &told(seq));
        }
        assert!(!first.is_same(&other.event(Encoding::Json, "t", &told(1))));
        drop((one, other));
        assert_eq!(Arc::strong_count(&encodings.of(thread)), 1);
    }

    #[test]
    fn what_is_no_message_pack_is_refused() {
        let call = json!({ "op": "ping", "id": 1 });
        let packed = rmp_serde::to_vec_named(&call).unwrap();
        let json: Json = serde_json::from_slice(&unpacked(&packed).unwrap()).unwrap();
        assert_eq!(json, call);
        for wrong in [&packed[..3], &[packed.clone(), vec![1]].concat(), b"{}", &[0x91; 2000]] {
            assert!(unpacked(wrong).is_err());
        }
    }
}
