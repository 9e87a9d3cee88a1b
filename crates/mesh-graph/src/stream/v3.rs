//! Events as LangGraph's event protocol (version 3) has them: one numbered envelope for everything.
//!
//! [`Protocol`] translates the events of one run; it keeps what is open (messages, the values that
//! wait for their checkpoint) and nothing else. Who keeps the envelopes can hand out those after a
//! number again, see [`after`].

mod message;
mod short;

use std::{
    borrow::Cow,
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use serde_json::{Value as Json, json};

use crate::{
    app::{Outcome, RunHandle},
    error::Error,
    interrupt::{Interrupt, InterruptId},
};

use super::{
    event::{Body, Event, Told},
    mode::Mode,
};

use self::message::Messages;

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
    /// Its number: one more than that of the envelope before.
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

/// Translates the events of one run.
#[derive(Debug)]
pub struct Protocol {
    run_id: Arc<str>,
    seq: u64,
    /// Envelopes of this run so far.
    made: u64,
    public: bool,
    /// Values that wait for the checkpoint of their superstep, at most one per graph.
    held: Vec<Event>,
    messages: Messages,
    requested: HashSet<InterruptId>,
    ready: Vec<Envelope>,
}

impl Protocol {
    /// For the run with this id, whose first envelope comes after the number `after`.
    pub fn new(run_id: &str, after: u64) -> Self {
        Self {
            run_id: Arc::from(run_id),
            seq: after,
            made: 0,
            public: false,
            held: Vec::new(),
            messages: Messages::default(),
            requested: HashSet::new(),
            ready: Vec::new(),
        }
    }

    /// Leaves out the causes of errors; see [`Event::public_data`].
    pub fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// The envelopes of the next event: none, one or several. The run has to stream [`MODES`] with
    /// its children.
    pub fn take(&mut self, event: &Event) -> Vec<Envelope> {
        // A checkpoint goes before the values of its superstep, which were told first.
        let waiting = self.held.iter().position(|held| held.ns == event.ns);
        let held = waiting.map(|position| self.held.swap_remove(position));
        let first = event.mode == Mode::Checkpoints
            && held.as_ref().is_some_and(|held| held.step == event.step);
        if first {
            self.translate(event);
        }
        if let Some(held) = held {
            self.values(&held);
        }
        if event.mode == Mode::Values && event.interrupts().is_empty() {
            self.held.push(event.clone());
        } else if !first {
            self.translate(event);
        }
        std::mem::take(&mut self.ready)
    }

    /// What is left when the run was dropped before its end. A run that ended leaves nothing.
    pub fn flush(&mut self) -> Vec<Envelope> {
        for held in std::mem::take(&mut self.held) {
            self.values(&held);
        }
        std::mem::take(&mut self.ready)
    }

    fn push(&mut self, event: &Event, method: &'static str, data: Json) {
        self.seq += 1;
        self.made += 1;
        self.ready.push(Envelope {
            seq: self.seq,
            event_id: format!("{}:{}", self.run_id, self.made),
            method,
            ns: Arc::clone(&event.ns),
            at_ms: event.at_ms,
            node: event.node.clone(),
            data,
            interrupts: Vec::new(),
        });
    }

    fn translate(&mut self, event: &Event) {
        let data = || if self.public { event.public_data() } else { event.data() };
        match (event.mode, &event.body) {
            (Mode::Values, _) => self.values(event),
            (Mode::Updates, Body::Interrupts(interrupts)) => {
                self.push(event, "updates", json!({}));
                self.request(event, interrupts);
            }
            (Mode::Updates, _) => {
                let data = short::shortened(data());
                self.push(event, "updates", data);
            }
            (Mode::Messages, Body::Message { message, facts, returned: false }) => {
                let parts = self.messages.take(event, message, facts.json());
                self.tell_parts(event, parts);
            }
            (Mode::Checkpoints, Body::Told(told)) => {
                if let Told::Checkpoint { id, parent, step, source, .. } = &**told {
                    let mut data = json!({ "id": id, "step": step, "source": source });
                    if let Some(parent) = parent {
                        data["parent_id"] = json!(parent);
                    }
                    self.push(event, "checkpoints", data);
                }
            }
            (Mode::Tasks, body) => {
                if let (Body::Told(told), Some(task)) = (body, event.task_id)
                    && let Told::Result { error, .. } = &**told
                {
                    let parts = self.messages.end(task, error.is_some());
                    let data = data();
                    self.tell_parts(event, parts);
                    self.push(event, "tasks", data);
                } else {
                    let data = data();
                    self.push(event, "tasks", data);
                }
            }
            (Mode::Custom, _) => self.push(event, "custom", data()),
            (Mode::Tools, _) => self.push(event, "tools", data()),
            (Mode::Lifecycle, _) => {
                let mut data = data();
                if event.ns.is_empty()
                    && let Some(root) = data.as_object_mut()
                {
                    root.remove("namespace");
                    if root.get("event") == Some(&json!("started")) {
                        root.insert("event".to_owned(), json!("running"));
                    }
                }
                self.push(event, "lifecycle", data);
            }
            // Messages that nodes return were streamed, or came from no model.
            (Mode::Messages | Mode::Checkpoints | Mode::Debug, _) => {}
        }
    }

    fn tell_parts(&mut self, event: &Event, parts: Vec<Json>) {
        for mut part in parts {
            part["run_id"] = json!(&*self.run_id);
            self.push(event, "messages", part);
        }
    }

    fn values(&mut self, event: &Event) {
        let interrupts = event.interrupts();
        // Questions of tasks that were not run again were told by no update.
        self.request(event, interrupts);
        let data = short::shortened(event.bare_values());
        if !interrupts.is_empty() && data.as_object().is_some_and(serde_json::Map::is_empty) {
            return;
        }
        self.push(event, "values", data);
        if let Some(envelope) = self.ready.last_mut() {
            envelope.interrupts = interrupts.iter().map(Interrupt::to_json).collect();
        }
    }

    /// Each question is told once, by the graph that asks.
    fn request(&mut self, event: &Event, interrupts: &[Interrupt]) {
        for interrupt in interrupts {
            if self.requested.insert(interrupt.id) {
                let data = json!({ "interrupt_id": interrupt.id, "payload": interrupt.value });
                self.push(event, "input.requested", data);
            }
        }
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
                self.ready.extend(self.protocol.take(&event));
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
