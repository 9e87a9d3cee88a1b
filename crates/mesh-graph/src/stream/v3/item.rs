//! What a run told, wherever it is read from.

use std::{borrow::Cow, sync::Arc};

use serde_json::Value as Json;

use crate::{
    interrupt::Interrupt,
    names::INTERRUPT,
    stream::{Event, Mode},
};

/// One thing that a run told: an event, or what was kept of one.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    /// Which stream it belongs to.
    pub mode: Mode,
    /// Namespace of the graph it comes from: empty for the root.
    pub ns: Cow<'a, Arc<[String]>>,
    /// The superstep.
    pub step: i64,
    /// The node it comes from, if it comes from one.
    pub node: Option<&'a Arc<str>>,
    /// When it was told, milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// A message that its node returned, rather than one that was sent as it came about.
    pub is_returned: bool,
    data: Data<'a>,
}

#[derive(Debug, Clone)]
enum Data<'a> {
    Event {
        event: &'a Event,
        public: bool,
    },
    /// One JSON text.
    Text(&'a str),
}

impl<'a> Item<'a> {
    /// An event as it is.
    pub fn of(event: &'a Event) -> Self {
        Self {
            mode: event.mode,
            ns: Cow::Borrowed(&event.ns),
            step: event.step,
            node: event.node.as_ref(),
            at_ms: event.at_ms,
            is_returned: event.is_returned(),
            data: Data::Event { event, public: false },
        }
    }

    /// Leaves out the causes of errors; see [`Event::public_data`]. Changes nothing about an item
    /// that was kept.
    pub fn public(mut self) -> Self {
        if let Data::Event { public, .. } = &mut self.data {
            *public = true;
        }
        self
    }

    /// What was kept of an event: `text` is its payload, [`Event::public_text`].
    pub fn kept(
        mode: Mode,
        ns: Arc<[String]>,
        step: i64,
        node: Option<&'a Arc<str>>,
        at_ms: i64,
        text: &'a str,
    ) -> Self {
        let data = Data::Text(text);
        Self { mode, ns: Cow::Owned(ns), step, node, at_ms, is_returned: false, data }
    }

    /// The same, of a message that its node returned.
    pub fn returned(mut self) -> Self {
        self.is_returned = true;
        self
    }

    /// The payload. Null if it was kept as something that is no JSON.
    pub(super) fn json(&self) -> Json {
        match &self.data {
            Data::Event { event, public: true } => event.public_data(),
            Data::Event { event, public: false } => event.data(),
            Data::Text(text) => serde_json::from_str(text).unwrap_or_default(),
        }
    }

    /// The questions that an item of values or updates tells; none for most of them, and that is
    /// found out without reading them. An empty list of them is a breakpoint's.
    pub(super) fn interrupts(&self) -> Option<Vec<Json>> {
        match &self.data {
            Data::Event { event, .. } => event
                .tells_interrupts()
                .then(|| event.interrupts().iter().map(Interrupt::to_json).collect()),
            Data::Text(text) if text.contains(INTERRUPT) => {
                match serde_json::from_str(text).ok()? {
                    Json::Object(mut members) => match members.remove(INTERRUPT)? {
                        Json::Array(interrupts) => Some(interrupts),
                        _ => None,
                    },
                    _ => None,
                }
            }
            Data::Text(_) => None,
        }
    }
}
