//! Events as a client reads them.

use mesh_graph::{Event, INTERRUPT, Interrupt, Mode};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::query::Query;

/// Turns events into frames, and counts them.
#[derive(Debug)]
pub(super) struct Frames {
    wrapped: bool,
    subgraphs: bool,
    updates: bool,
    seq: u64,
    /// Whether the run's questions were passed on.
    asked: bool,
}

#[derive(Serialize)]
struct Wrapped<'a> {
    event: Mode,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    ns: &'a [String],
    data: &'a Json,
    seq: u64,
}

/// Whether the stream shows what mounted graphs tell even when nobody asked for them: what a node
/// says of its work is of interest wherever the node is.
pub(crate) fn from_any_depth(mode: Mode) -> bool {
    matches!(mode, Mode::Messages | Mode::Custom | Mode::Tools)
}

impl Frames {
    pub(super) fn new(query: &Query) -> Self {
        Self {
            wrapped: query.modes.is_some(),
            subgraphs: query.subgraphs,
            updates: query.modes.is_none_or(|modes| modes.has(Mode::Updates)),
            seq: 0,
            asked: false,
        }
    }

    /// The text of the event's frame, or none for an event that was not asked for.
    pub(super) fn render(&mut self, event: &Event) -> Option<String> {
        if !from_any_depth(event.mode) && !event.ns.is_empty() && !self.subgraphs {
            return None;
        }
        let data = event.public_data();
        self.asked |= event.mode == Mode::Updates && data.get(INTERRUPT).is_some();
        Some(self.frame(event.mode, &event.ns, data))
    }

    /// The frame of the questions that a run ended with, unless an event told them. A run that
    /// was resumed without an answer has no event: nobody asked anew.
    pub(super) fn questions(&mut self, interrupts: &[Interrupt]) -> Option<String> {
        if self.asked || !self.updates || interrupts.is_empty() {
            return None;
        }
        let questions: Vec<Json> = interrupts.iter().map(Interrupt::to_json).collect();
        Some(self.frame(Mode::Updates, &[], json!({ INTERRUPT: questions })))
    }

    fn frame(&mut self, event: Mode, ns: &[String], data: Json) -> String {
        if !self.wrapped {
            return data.to_string();
        }
        self.seq += 1;
        let frame = Wrapped { event, ns, data: &data, seq: self.seq };
        // Only maps with keys that are no strings fail, and there are none.
        serde_json::to_string(&frame).unwrap_or_default()
    }
}
