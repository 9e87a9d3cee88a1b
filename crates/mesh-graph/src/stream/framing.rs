//! Events as items of LangGraph's `stream`, in both of its versions.

use serde_json::{Value as Json, json};

use crate::interrupt::Interrupt;

use super::{event::Event, mode::Mode};

/// How an event is wrapped for a reader of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Framing {
    /// The payload, after the namespace and the mode as far as they can differ: `payload`,
    /// `[mode, payload]`, `[ns, payload]` or `[ns, mode, payload]`.
    V1 {
        /// Several modes may come: each item says its own.
        list: bool,
        /// Children may come: each item says its namespace.
        subgraphs: bool,
    },
    /// `{"type": mode, "ns": […], "data": payload}`; `values` have their questions beside the
    /// state, in `interrupts`.
    V2,
}

impl Framing {
    /// The item of an event.
    pub fn frame(self, event: &Event) -> Json {
        let (ns, mode) = (&*event.ns, event.mode.name());
        match self {
            Self::V1 { list: false, subgraphs: false } => event.data(),
            Self::V1 { list: true, subgraphs: false } => json!([mode, event.data()]),
            Self::V1 { list: false, subgraphs: true } => json!([ns, event.data()]),
            Self::V1 { list: true, subgraphs: true } => json!([ns, mode, event.data()]),
            Self::V2 if event.mode == Mode::Values => json!({
                "type": mode,
                "ns": ns,
                "data": event.bare_values(),
                "interrupts": event.interrupts().iter().map(Interrupt::to_json).collect::<Vec<_>>(),
            }),
            Self::V2 => json!({ "type": mode, "ns": ns, "data": event.data() }),
        }
    }
}
