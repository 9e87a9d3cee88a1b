//! What a run tells while it runs.
//!
//! Modes and payloads are those of LangGraph, because other people's clients read them.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;

use crate::{channel::Schema, interrupt::Interrupt, state::Update};

/// Events held for a reader that is slower than the run; then the run waits.
pub const EVENT_BUFFER: usize = 256;

/// A kind of stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The whole state after every superstep that changed it.
    Values,
    /// The update of every task as it finishes.
    Updates,
    /// Whatever nodes send by [`crate::Ctx::emit`].
    Custom,
    /// Model tokens and messages, sent by [`crate::Ctx::message`].
    Messages,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 4] = [Self::Values, Self::Updates, Self::Custom, Self::Messages];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Values => "values",
            Self::Updates => "updates",
            Self::Custom => "custom",
            Self::Messages => "messages",
        }
    }
}

/// A name that is no stream mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown stream mode `{name}`; the modes are values, updates, custom, messages")]
pub struct UnknownStreamMode {
    /// The name that was given.
    pub name: String,
}

impl std::str::FromStr for Mode {
    type Err = UnknownStreamMode;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == name)
            .ok_or_else(|| UnknownStreamMode { name: name.to_owned() })
    }
}

/// A set of stream modes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Modes(u8);

impl Modes {
    /// No stream at all.
    pub const NONE: Self = Self(0);

    /// Whether `mode` is in the set.
    pub fn has(self, mode: Mode) -> bool {
        self.0 & (1 << mode as u8) != 0
    }

    /// The set with `mode`.
    pub fn with(self, mode: Mode) -> Self {
        Self(self.0 | (1 << mode as u8))
    }
}

impl FromIterator<Mode> for Modes {
    fn from_iter<I: IntoIterator<Item = Mode>>(modes: I) -> Self {
        modes.into_iter().fold(Self::NONE, Self::with)
    }
}

/// One event of a run.
#[derive(Debug, Clone)]
pub struct Event {
    /// Number within the run: 1, 2, 3 … without gaps.
    pub seq: u64,
    /// Which stream it belongs to.
    pub mode: Mode,
    /// Namespace of the graph it comes from: empty for the root, one `node:task` per level.
    pub ns: Arc<[String]>,
    /// Superstep it belongs to.
    pub step: i64,
    pub(crate) node: Option<Arc<str>>,
    pub(crate) body: Body,
}

/// Payloads that cost something to render are kept as they are until somebody reads them.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Json(Json),
    Updates { schema: Arc<Schema>, updates: Vec<Update> },
}

impl Event {
    /// An event that has no number yet.
    pub(crate) fn new(
        mode: Mode,
        ns: &Arc<[String]>,
        step: i64,
        node: Option<&Arc<str>>,
        body: Body,
    ) -> Self {
        Self { seq: 0, mode, ns: Arc::clone(ns), step, node: node.cloned(), body }
    }

    /// The node it comes from: of an update, a custom event or a message. None for values and for
    /// interrupts, which concern the whole run.
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// The payload in JSON, as `spec`-reading clients expect it for this mode.
    pub fn data(&self) -> Json {
        match &self.body {
            Body::Json(json) => json.clone(),
            Body::Updates { schema, updates } => {
                render_updates(schema, self.node().unwrap_or_default(), updates)
            }
        }
    }
}

/// `{"node": update | null | [updates…]}`.
fn render_updates(schema: &Schema, node: &str, updates: &[Update]) -> Json {
    // A value that JSON cannot express was refused when its task finished, if anything is stored;
    // without storage it is shown as null rather than ending the run.
    let render = |update: &Update| update.to_json(schema).unwrap_or_default();
    let payload = match updates {
        [] => Json::Null,
        [only] if only.is_empty() => Json::Null,
        [only] => render(only),
        several => Json::Array(several.iter().map(render).collect()),
    };
    json!({ node: payload })
}

/// `{"__interrupt__": […]}`.
pub(crate) fn interrupt_update(interrupts: &[Interrupt]) -> Json {
    let interrupts: Vec<Json> = interrupts.iter().map(Interrupt::to_json).collect();
    json!({ crate::names::INTERRUPT: interrupts })
}

/// The sending end, cloned into every task.
#[derive(Clone, Default)]
pub(crate) struct Sink {
    events: Option<mpsc::Sender<Event>>,
    modes: Modes,
    subgraphs: bool,
}

impl Sink {
    pub(crate) fn new(modes: Modes, subgraphs: bool) -> (Self, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(EVENT_BUFFER);
        (Self { events: Some(events), modes, subgraphs }, receiver)
    }

    /// The sink of a child graph: silent unless children were asked for.
    pub(crate) fn for_child(&self) -> Self {
        if self.subgraphs { self.clone() } else { Self::default() }
    }

    pub(crate) fn wants(&self, mode: Mode) -> bool {
        self.events.is_some() && self.modes.has(mode)
    }

    /// Sends one event, which gets its number from the reader; waits while the buffer is full. A
    /// reader that left is not an error: whoever drops the run cancels it.
    pub(crate) async fn send(&self, event: Event) {
        if let Some(events) = &self.events {
            let _ = events.send(event).await;
        }
    }
}
