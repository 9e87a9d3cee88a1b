//! Events as LangGraph's event protocol (version 3) has them: one numbered envelope for everything.
//!
//! [`Protocol`] translates what one run tells; it keeps what is open (messages, graphs, the values
//! that wait for their checkpoint) and nothing else. It reads [`Item`]s: the events of a run that
//! goes on, or what somebody kept of them as text. Who keeps the envelopes can hand out those after
//! a number again, see [`after`].

mod item;
mod message;
mod protocol;
mod short;

use std::{borrow::Cow, collections::VecDeque, sync::Arc};

use serde_json::{Value as Json, json};

use crate::{
    app::{Outcome, RunHandle},
    error::Error,
};

use super::mode::Mode;

pub use self::{
    item::Item,
    protocol::{End, Protocol},
};

/// The streams that the protocol is made of. Those of children belong to it.
pub const MODES: [Mode; 8] = [
    Mode::Values,
    Mode::Updates,
    Mode::Custom,
    Mode::Messages,
    Mode::Tasks,
    Mode::Checkpoints,
    Mode::Lifecycle,
    Mode::Tools,
];

/// One event of the protocol.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Envelope {
    /// Its number: greater than that of the envelope before.
    pub seq: u64,
    /// Unique among all runs, and the same whenever the event is sent again.
    pub event_id: String,
    /// What kind of event it is: `values`, `messages`, `lifecycle`, `input.requested` …
    pub method: &'static str,
    /// Namespace of the graph it comes from: empty for the root.
    pub ns: Arc<[String]>,
    /// When it was sent, milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// The node it comes from, if it comes from one.
    pub node: Option<Arc<str>>,
    /// The payload.
    pub data: Json,
    /// Open questions, beside the last values of a graph that was interrupted.
    pub interrupts: Vec<Json>,
}

impl Envelope {
    /// The event as it is sent.
    pub fn to_json(&self) -> Json {
        let mut params = json!({
            "namespace": &*self.ns,
            "timestamp": self.at_ms,
            "data": self.data,
        });
        if let Some(node) = &self.node {
            params["node"] = json!(&**node);
        }
        if !self.interrupts.is_empty() {
            params["interrupts"] = json!(self.interrupts);
        }
        json!({
            "type": "event",
            "event_id": self.event_id,
            "seq": self.seq,
            "method": self.method,
            "params": params,
        })
    }

    /// The channel that a client subscribes to for it: its method, but `input` for
    /// `input.requested` and `custom:<name>` for custom events with a name.
    pub fn channel(&self) -> Cow<'static, str> {
        match self.method {
            "input.requested" => Cow::Borrowed("input"),
            "custom" => match self.data.get("name").and_then(Json::as_str) {
                Some(name) if !name.is_empty() => Cow::Owned(format!("custom:{name}")),
                _ => Cow::Borrowed("custom"),
            },
            method => Cow::Borrowed(method),
        }
    }
}

/// The envelopes of a recording that come after the one with this number. The recording has to be
/// in order; it need not begin with number 1.
pub fn after(recorded: &[Envelope], seq: u64) -> &[Envelope] {
    &recorded[recorded.partition_point(|envelope| envelope.seq <= seq)..]
}

/// What a client wants to hear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The channels; `custom` includes all named ones.
    pub channels: Vec<String>,
    /// Namespaces to begin with; all when there is none. A level without `:` fits any task of the
    /// node.
    pub namespaces: Vec<Vec<String>>,
    /// How many levels below such a namespace at most.
    pub depth: Option<usize>,
    /// Only what comes after this number.
    pub since: u64,
}

impl Subscription {
    /// Whether the client wants this one.
    pub fn wants(&self, envelope: &Envelope) -> bool {
        let channel = envelope.channel();
        let listed = |wanted: &str| self.channels.iter().any(|listed| listed == wanted);
        envelope.seq > self.since
            && (listed(&channel) || channel.starts_with("custom:") && listed("custom"))
            && (self.namespaces.is_empty()
                || self.namespaces.iter().any(|prefix| self.covers(prefix, &envelope.ns)))
    }

    fn covers(&self, prefix: &[String], ns: &[String]) -> bool {
        let fits = |(wanted, level): (&String, &String)| {
            wanted == level
                || !wanted.contains(':') && level.split(':').next() == Some(wanted.as_str())
        };
        prefix.len() <= ns.len()
            && prefix.iter().zip(ns).all(fits)
            && self.depth.is_none_or(|depth| ns.len() - prefix.len() <= depth)
    }
}

/// A run that was started and is read as protocol events. Dropping it drops the running nodes.
pub struct Events<S> {
    handle: RunHandle<S>,
    protocol: Protocol,
    ready: VecDeque<Envelope>,
}

impl<S> Events<S> {
    pub(crate) fn new(handle: RunHandle<S>, after: u64) -> Self {
        let protocol = Protocol::new(handle.run_id(), after);
        Self { handle, protocol, ready: VecDeque::new() }
    }

    /// The next envelope, or none when the run has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Envelope> {
        loop {
            if let Some(envelope) = self.ready.pop_front() {
                return Some(envelope);
            }
            if let Some(event) = self.handle.next().await {
                self.ready.extend(self.protocol.take(&Item::of(&event)));
            } else {
                self.ready.extend(self.protocol.flush());
                if self.ready.is_empty() {
                    return None;
                }
            }
        }
    }

    /// Asks the run to end.
    pub fn cancel(&self) {
        self.handle.cancel();
    }

    /// Waits for the end; events nobody read are let go.
    ///
    /// # Errors
    /// [`Error`] says why the run could not go on.
    pub async fn finish(self) -> Result<Outcome<S>, Error> {
        self.handle.finish().await
    }
}

impl<S> std::fmt::Debug for Events<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}
