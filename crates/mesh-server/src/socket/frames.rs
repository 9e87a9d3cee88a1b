//! What a run told, as the plain socket shows it.
//!
//! Frames and their numbers follow from the entries of the run's log and from what the run was
//! made to tell, so who reads the log again gets the same frames under the same numbers.

use std::io::Write as _;

use mesh_graph::{INTERRUPT, Mode, Modes};
use mesh_runtime::{
    Run, Stamp,
    early::Early,
    log::{Entry, Kind},
    run::{FROM_ANY_DEPTH, MERGED_PIECES},
};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::Socket;
use crate::{begun::Begun, query::Query};

/// Writes the frames of one run, and counts them.
#[derive(Debug)]
pub(super) struct Frames {
    is_wrapped: bool,
    /// What the run was made to tell.
    told: Modes,
    subgraphs: bool,
    from_any_depth: bool,
    /// What of it this client wants.
    only: Option<Modes>,
    seq: u64,
    /// The last frame that the client has.
    after: u64,
    /// Text comes before it is stored, so every piece says where its text begins.
    tells_early: bool,
    /// The client may come back.
    is_named: bool,
    /// The client was not told of the last number: the text of that frame came early.
    is_passed: bool,
    /// Messages of which a whole piece came early.
    begun: Begun,
    /// Whether the run's questions were passed on.
    asked: bool,
}

/// Whether the stream shows what mounted graphs tell even when nobody asked for them: what a node
/// says of its work is of interest wherever the node is.
pub(crate) fn from_any_depth(mode: Mode) -> bool {
    matches!(mode, Mode::Messages | Mode::Custom | Mode::Tools)
}

/// Names of what a run has to tell for this client, as runs have them.
pub(super) fn stream_mode(query: &Query) -> Vec<String> {
    let modes = query.modes.unwrap_or_else(|| Modes::from_iter([Mode::Updates]));
    let name = |mode: Mode| if mode == Mode::Messages { "messages-tuple" } else { mode.name() };
    let mut names: Vec<String> = modes.iter().map(|mode| name(mode).to_owned()).collect();
    if query.tells_early() {
        names.push(MERGED_PIECES.to_owned());
    }
    if modes.iter().any(from_any_depth) {
        names.push(FROM_ANY_DEPTH.to_owned());
    }
    names
}

impl Frames {
    /// For a run that this client made.
    pub(super) fn new(run: &Run, query: &Query) -> Self {
        Self { is_wrapped: query.modes.is_some(), only: None, ..Self::again(run, query, 0) }
    }

    /// For a run that this client comes back to, after the frame with this number.
    pub(super) fn again(run: &Run, query: &Query, after: u64) -> Self {
        let names = run.kwargs.stream_mode.iter().map(String::as_str);
        let mode = |name| match name {
            "messages-tuple" => Some(Mode::Messages),
            name => name.parse().ok(),
        };
        Self {
            is_wrapped: true,
            told: names.clone().filter_map(mode).collect(),
            subgraphs: run.kwargs.subgraphs,
            from_any_depth: names.clone().any(|name| name == FROM_ANY_DEPTH),
            only: query.modes,
            seq: 0,
            after,
            tells_early: query.tells_early(),
            is_named: query.thread.is_some(),
            is_passed: false,
            begun: Begun::default(),
            asked: false,
        }
    }

    /// Feeds the socket the frames of an entry: mostly one, or none.
    pub(super) fn feed(&mut self, entry: &Entry, socket: &mut Socket) {
        let Kind::Event(mode) = entry.kind else { return };
        if !self.sees(mode, &entry.ns) {
            return;
        }
        if self.told.has(mode) {
            self.asked |= mode == Mode::Updates && is_question(&entry.data);
            let at = entry.text_at.filter(|_| self.tells_early);
            self.frame(mode, &entry.ns, &entry.data, at, socket);
        }
        if self.told.has(Mode::Debug)
            && let Some(data) = debug(mode, entry)
        {
            self.frame(Mode::Debug, &entry.ns, &data, None, socket);
        }
    }

    /// Counts the frame of an entry whose text came early.
    pub(super) fn pass(&mut self, entry: &Entry) {
        if self.told.has(Mode::Messages) && self.sees(Mode::Messages, &entry.ns) {
            self.seq += 1;
            self.is_passed = true;
        }
    }

    /// Feeds the frame of text that is not stored yet. It has no number. The first one of a message
    /// is a whole piece, the others are what is new.
    pub(super) fn feed_early(&mut self, early: &Early, socket: &mut Socket) {
        let Early { said, at, text } = early;
        let is_wanted = self.told.has(Mode::Messages)
            && self.only.is_none_or(|only| only.has(Mode::Messages))
            && self.sees(Mode::Messages, &said.entry.ns)
            && self.seq >= self.after;
        if !is_wanted {
            return;
        }
        let is_first = self.begun.is_first(said);
        let passed = (self.is_named && std::mem::take(&mut self.is_passed)).then_some(self.seq);
        socket.feed_with(|out| {
            out.reserve(text.len() + 192);
            begin(Mode::Messages, &said.entry.ns, out);
            // Writing to memory does not fail.
            if is_first {
                said.frame.write(text, out);
            } else {
                out.extend_from_slice(b"[{\"content\":");
                let _ = serde_json::to_writer(&mut *out, text);
                out.extend_from_slice(b",\"id\":");
                let _ = serde_json::to_writer(&mut *out, &**said.frame.id());
                out.extend_from_slice(b",\"type\":\"AIMessageChunk\"},{}]");
            }
            let _ = write!(out, ",\"at\":{at}");
            if let Some(passed) = passed {
                let _ = write!(out, ",\"after\":{passed}");
            }
            out.push(b'}');
        });
    }

    /// Whether the client sees events of this mode from there.
    fn sees(&self, mode: Mode, ns: &str) -> bool {
        ns.is_empty() || self.subgraphs || (self.from_any_depth && from_any_depth(mode))
    }

    /// Feeds the frame of the questions that a run ended with, unless an event told them. A run
    /// that was resumed without an answer has no event: nobody asked anew.
    pub(super) fn feed_questions(&mut self, asked: &Map<String, Json>, socket: &mut Socket) {
        let questions: Vec<&Json> = asked.values().filter_map(Json::as_array).flatten().collect();
        if self.lacks_questions() && !questions.is_empty() {
            let data = json!({ INTERRUPT: questions }).to_string();
            self.frame(Mode::Updates, "", data.as_bytes(), None, socket);
        }
    }

    /// Whether questions would be told, and were not.
    pub(super) fn lacks_questions(&self) -> bool {
        self.told.has(Mode::Updates) && !self.asked
    }

    fn frame(&mut self, mode: Mode, ns: &str, data: &[u8], at: Option<u64>, socket: &mut Socket) {
        self.seq += 1;
        if self.seq <= self.after || self.only.is_some_and(|only| !only.has(mode)) {
            return;
        }
        self.is_passed = false;
        socket.feed_with(|out| {
            if !self.is_wrapped {
                return out.extend_from_slice(data);
            }
            out.reserve(data.len() + ns.len() + 64);
            begin(mode, ns, out);
            out.extend_from_slice(data);
            // Writing to memory does not fail.
            if let Some(at) = at {
                let _ = write!(out, ",\"at\":{at}");
            }
            let _ = write!(out, ",\"seq\":{}}}", self.seq);
        });
    }
}

/// Writes a frame up to its data.
fn begin(mode: Mode, ns: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = write!(out, "{{\"event\":\"{}\"", mode.name());
    if !ns.is_empty() {
        out.extend_from_slice(b",\"ns\":");
        let levels: Vec<&str> = ns.split('|').collect();
        let _ = serde_json::to_writer(&mut *out, &levels);
    }
    out.extend_from_slice(b",\"data\":");
}

/// Whether an update is that of the run as a whole that tells its questions.
fn is_question(data: &[u8]) -> bool {
    // A key begins the object, since there is no other.
    data.strip_prefix(b"{\"").is_some_and(|rest| rest.starts_with(INTERRUPT.as_bytes()))
}

/// What `debug` makes of a task or a checkpoint.
fn debug(mode: Mode, entry: &Entry) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Shape {
        triggers: Option<serde::de::IgnoredAny>,
    }
    let kind = match mode {
        Mode::Checkpoints => "checkpoint",
        Mode::Tasks => {
            let begins = serde_json::from_slice(&entry.data)
                .is_ok_and(|shape: Shape| shape.triggers.is_some());
            if begins { "task" } else { "task_result" }
        }
        _ => return None,
    };
    let mut data = Vec::with_capacity(entry.data.len() + 96);
    let at = Stamp(entry.at_ms.saturating_mul(1000));
    let at = serde_json::to_string(&at).unwrap_or_default();
    let step = entry.step;
    // Writing to memory does not fail.
    let _ = write!(data, "{{\"step\":{step},\"timestamp\":{at},\"type\":\"{kind}\",\"payload\":");
    data.extend_from_slice(&entry.data);
    data.push(b'}');
    Some(data)
}
