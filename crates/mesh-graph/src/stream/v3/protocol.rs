//! The translation itself.

use std::{collections::HashSet, ops::Range, sync::Arc};

use serde_json::{Map, Value as Json, json};

use crate::{names::INTERRUPT, stream::Mode};

use super::{
    Envelope,
    item::Item,
    message::{Messages, Part},
    short,
};

/// What is said of a message whose execution was lost; another one begins anew.
const LOST: &str = "the run was taken up again";

/// What is said of a message that the end of its run left open.
const CUT_OFF: &str = "the run ended";

/// What is said of a message whose task failed.
const CALL_FAILED: &str = "the call failed";

/// What is said of a message whose task begins again.
const AGAIN: &str = "tried again";

/// Methods, in the order of the switches that [`Protocol::only`] sets.
const METHODS: [&str; 9] = [
    "values",
    "updates",
    "custom",
    "messages",
    "tasks",
    "checkpoints",
    "lifecycle",
    "tools",
    "input.requested",
];

/// How a run ended, as its server knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End<'a> {
    /// It came to its end.
    Completed,
    /// It failed, with what may be said about it.
    Failed(&'a str),
    /// It stopped at a question or a breakpoint, or was cancelled.
    Interrupted,
}

/// Translates what one run tells.
///
/// What an envelope is, and its number, depends on nothing but the items, so whoever translates
/// them again gets the same envelopes.
#[derive(Debug)]
pub struct Protocol {
    run_id: Arc<str>,
    /// The number of the last envelope.
    seq: u64,
    /// Numbers from here on are not to be given.
    bound: u64,
    public: bool,
    /// Which of [`METHODS`] are made; the others are only counted.
    made: [bool; METHODS.len()],
    /// Values that wait for the checkpoint of their superstep, at most one per graph.
    held: Vec<Held>,
    messages: Messages,
    requested: HashSet<String>,
    /// Graphs below the root that have begun and not ended.
    open: Vec<(Arc<[String]>, Json)>,
    /// Tool calls that are at work: where, in which node, and their ids.
    calls: Vec<(Arc<[String]>, Arc<str>, String)>,
    /// The name of the root graph, once it is known.
    graph: Option<String>,
    /// Begin and end are told by [`Protocol::begin`] and [`Protocol::end`].
    is_framed: bool,
    has_begun: bool,
    /// The run tells of its graphs, and so of all that the protocol is made of.
    tells_all: bool,
    ready: Vec<Envelope>,
}

/// Where and when something happened.
#[derive(Debug, Clone)]
struct Place {
    ns: Arc<[String]>,
    node: Option<Arc<str>>,
    at_ms: i64,
}

#[derive(Debug)]
struct Held {
    place: Place,
    step: i64,
    data: Json,
}

impl Place {
    fn of(item: &Item<'_>) -> Self {
        Self { ns: Arc::clone(&item.ns), node: item.node.cloned(), at_ms: item.at_ms }
    }

    fn root(at_ms: i64) -> Self {
        Self { ns: Arc::from([]), node: None, at_ms }
    }
}

impl Protocol {
    /// For the run with this id, whose first envelope comes after the number `after`.
    pub fn new(run_id: &str, after: u64) -> Self {
        Self {
            run_id: Arc::from(run_id),
            seq: after,
            bound: u64::MAX,
            public: false,
            made: [true; METHODS.len()],
            held: Vec::new(),
            messages: Messages::default(),
            requested: HashSet::new(),
            open: Vec::new(),
            calls: Vec::new(),
            graph: None,
            is_framed: false,
            has_begun: false,
            tells_all: false,
            ready: Vec::new(),
        }
    }

    /// Leaves out the causes of errors; see [`Item::public`].
    pub fn public(mut self) -> Self {
        self.public = true;
        self
    }

    /// Makes envelopes of these methods only. The others are counted as if they were made, so that
    /// numbers and ids do not depend on who listens. May be changed at any time.
    pub fn only(&mut self, wants: impl Fn(&'static str) -> bool) {
        self.made = METHODS.map(wants);
    }

    /// Gives the next envelopes these numbers, from the first one on. What finds no number any
    /// more is left out.
    pub fn number(&mut self, numbers: Range<u64>) {
        self.seq = numbers.start.saturating_sub(1);
        self.bound = numbers.end;
    }

    /// An execution of the run begins; what the graph itself says of its begin and end is left out
    /// from now on. What an execution before it left open is ended.
    pub fn begin(&mut self, graph: Option<&str>, at_ms: i64) -> Vec<Envelope> {
        self.is_framed = true;
        self.tell_held();
        let parts = self.messages.end_all(Some(LOST));
        self.tell_parts(&Place::root(at_ms), parts);
        if let Some(graph) = graph {
            self.graph = Some(graph.to_owned());
        }
        if !self.has_begun {
            self.has_begun = true;
            self.tell_root("running", None, at_ms);
        }
        std::mem::take(&mut self.ready)
    }

    /// The run has ended. What it left open is ended first.
    pub fn end(&mut self, graph: Option<&str>, end: End<'_>, at_ms: i64) -> Vec<Envelope> {
        self.tell_held();
        let parts = self.messages.end_all(Some(CUT_OFF));
        self.tell_parts(&Place::root(at_ms), parts);
        let (event, error) = match end {
            End::Completed => ("completed", None),
            End::Failed(error) => ("failed", Some(error)),
            End::Interrupted => ("interrupted", None),
        };
        // The innermost ones began last.
        for (ns, mut data) in std::mem::take(&mut self.open).into_iter().rev() {
            data["event"] = json!(event);
            if let Some(error) = error {
                data["error"] = json!(error);
            }
            let place = Place { ns, ..Place::root(at_ms) };
            self.push(&place, "lifecycle", || data);
        }
        if let Some(graph) = graph {
            self.graph = Some(graph.to_owned());
        }
        self.tell_root(event, error, at_ms);
        std::mem::take(&mut self.ready)
    }

    /// The envelopes of the next item: none, one or several. Of a run that streams
    /// [`super::MODES`] with its children everything is told; of another one what there is.
    pub fn take(&mut self, item: &Item<'_>) -> Vec<Envelope> {
        // A checkpoint goes before the values of its superstep, which were told first.
        let waiting = self.held.iter().position(|held| held.place.ns == *item.ns);
        let held = waiting.map(|position| self.held.swap_remove(position));
        let first = item.mode == Mode::Checkpoints
            && held.as_ref().is_some_and(|held| held.step == item.step);
        if first {
            self.translate(item);
        }
        if let Some(held) = held {
            self.push(&held.place, "values", || held.data);
        }
        if !first {
            self.translate(item);
        }
        std::mem::take(&mut self.ready)
    }

    /// What is left when the run was dropped before its end. A run that ended leaves nothing.
    pub fn flush(&mut self) -> Vec<Envelope> {
        self.tell_held();
        std::mem::take(&mut self.ready)
    }

    fn makes(&self, method: &'static str) -> bool {
        METHODS.iter().position(|known| *known == method).is_some_and(|place| self.made[place])
    }

    fn push(&mut self, place: &Place, method: &'static str, data: impl FnOnce() -> Json) {
        if self.seq.saturating_add(1) >= self.bound {
            tracing::warn!(run = &*self.run_id, method, "an event too many is not told");
            return;
        }
        self.seq += 1;
        if !self.makes(method) {
            return;
        }
        self.ready.push(Envelope {
            seq: self.seq,
            event_id: format!("{}:{}", self.run_id, self.seq),
            method,
            ns: Arc::clone(&place.ns),
            at_ms: place.at_ms,
            node: place.node.clone(),
            data: data(),
            interrupts: Vec::new(),
        });
    }

    fn tell_held(&mut self) {
        for held in std::mem::take(&mut self.held) {
            self.push(&held.place, "values", || held.data);
        }
    }

    fn tell_root(&mut self, event: &str, error: Option<&str>, at_ms: i64) {
        let graph = self.graph.clone();
        self.push(&Place::root(at_ms), "lifecycle", || {
            let mut data = json!({ "event": event });
            if let Some(graph) = graph {
                data["graph_name"] = json!(graph);
            }
            if let Some(error) = error {
                data["error"] = json!(error);
            }
            data
        });
    }

    fn json(&self, item: &Item<'_>) -> Json {
        if self.public { item.clone().public().json() } else { item.json() }
    }

    fn translate(&mut self, item: &Item<'_>) {
        let place = Place::of(item);
        match item.mode {
            Mode::Values => self.values(item, place),
            Mode::Updates => {
                if let Some(interrupts) = item.interrupts() {
                    self.push(&place, "updates", || json!({}));
                    self.request(&place, &interrupts);
                } else {
                    let data = self.data_for(item, "updates");
                    self.push(&place, "updates", || short::shortened(data));
                }
            }
            Mode::Messages if !item.is_returned => {
                let data = self.json(item);
                if let Some([piece, facts]) = data.as_array().map(Vec::as_slice) {
                    let parts = self.messages.take(&item.ns, piece, facts);
                    self.tell_parts(&place, parts);
                }
            }
            Mode::Checkpoints => {
                let data = self.data_for(item, "checkpoints");
                self.push(&place, "checkpoints", || checkpoint(&data));
            }
            Mode::Tasks => self.task(item, &place),
            Mode::Custom => {
                let data = self.data_for(item, "custom");
                self.push(&place, "custom", || data);
            }
            Mode::Tools => {
                let data = self.json(item);
                self.note_call(&place, &data);
                self.push(&place, "tools", || data);
            }
            Mode::Lifecycle => self.lifecycle(item, &place),
            // Messages that nodes return were streamed, or came from no model.
            Mode::Messages | Mode::Debug => {}
        }
    }

    /// The payload, if anybody wants it.
    fn data_for(&self, item: &Item<'_>, method: &'static str) -> Json {
        if self.makes(method) { self.json(item) } else { Json::Null }
    }

    fn tell_parts(&mut self, place: &Place, parts: Vec<Part>) {
        for Part { ns, mut event } in parts {
            event["run_id"] = json!(&*self.run_id);
            let place = Place { ns, ..place.clone() };
            self.push(&place, "messages", || event);
        }
    }

    fn values(&mut self, item: &Item<'_>, place: Place) {
        let Some(interrupts) = item.interrupts() else {
            let data = short::shortened(self.data_for(item, "values"));
            if self.tells_all {
                self.held.push(Held { place, step: item.step, data });
            } else {
                self.push(&place, "values", || data);
            }
            return;
        };
        // Questions of tasks that were not run again were told by no update.
        self.request(&place, &interrupts);
        let mut data = self.data_for(item, "values");
        if let Json::Object(members) = &mut data {
            members.remove(INTERRUPT);
            if members.is_empty() {
                return;
            }
        }
        self.push(&place, "values", || short::shortened(data));
        if let Some(envelope) = self.ready.last_mut().filter(|last| last.method == "values") {
            envelope.interrupts = interrupts;
        }
    }

    /// Each question is told once, by the graph that asks.
    fn request(&mut self, place: &Place, interrupts: &[Json]) {
        for interrupt in interrupts {
            let Some(id) = interrupt.get("id").and_then(Json::as_str) else { continue };
            if self.requested.insert(id.to_owned()) {
                let payload = interrupt.get("value").cloned().unwrap_or_default();
                let data = json!({ "interrupt_id": id, "payload": payload });
                self.push(place, "input.requested", || data);
            }
        }
    }

    fn task(&mut self, item: &Item<'_>, place: &Place) {
        let data = self.json(item);
        let parts = match data.get("id").and_then(Json::as_str) {
            None => Vec::new(),
            // What an execution before this one left open.
            Some(id) if data.get("triggers").is_some() => self.messages.end(id, Some(AGAIN)),
            Some(id) => {
                let failed = data.get("error").is_some_and(|error| !error.is_null());
                self.messages.end(id, failed.then_some(CALL_FAILED))
            }
        };
        self.tell_parts(place, parts);
        self.push(place, "tasks", || data);
    }

    fn note_call(&mut self, place: &Place, data: &Json) {
        let text = |key: &str| data.get(key).and_then(Json::as_str);
        let (Some(node), Some(call)) = (&place.node, text("tool_call_id")) else { return };
        match text("event") {
            Some("tool-started") => {
                self.calls.push((Arc::clone(&place.ns), Arc::clone(node), call.to_owned()));
            }
            Some("tool-finished" | "tool-error") => {
                self.calls.retain(|(ns, _, open)| *ns != place.ns || open != call);
            }
            _ => {}
        }
    }

    /// The tool call that began the graph at a namespace: the only one that is at work in its
    /// node. Of several it is not known which.
    fn cause(&self, ns: &[String]) -> Option<&str> {
        let (own, parent) = ns.split_last()?;
        let node = own.split(':').next()?;
        let mut calls = self.calls.iter().filter(|(ns, of, _)| **ns == *parent && **of == *node);
        let (_, _, call) = calls.next()?;
        calls.next().is_none().then_some(call)
    }

    fn lifecycle(&mut self, item: &Item<'_>, place: &Place) {
        self.tells_all = true;
        let mut data = self.json(item);
        let Some(members) = data.as_object_mut() else { return };
        let event = members.get("event").and_then(Json::as_str).map(str::to_owned);
        if place.ns.is_empty() {
            if self.is_framed {
                return;
            }
            members.remove("namespace");
            if event.as_deref() == Some("started") {
                members.insert("event".to_owned(), json!("running"));
            }
        } else {
            match event.as_deref() {
                Some("started") => {
                    if let Some(call) = self.cause(&place.ns) {
                        let cause = json!({ "type": "toolCall", "tool_call_id": call });
                        members.insert("cause".to_owned(), cause);
                    }
                    self.open.retain(|(ns, _)| *ns != place.ns);
                    self.open.push((Arc::clone(&place.ns), Json::Object(members.clone())));
                }
                // Another execution goes on with it.
                Some("drained") => return,
                _ => self.open.retain(|(ns, _)| *ns != place.ns),
            }
        }
        self.push(place, "lifecycle", || data);
    }
}

/// What the protocol tells of a checkpoint.
fn checkpoint(data: &Json) -> Json {
    let at = |pointer: &str| data.pointer(pointer).cloned().unwrap_or_default();
    let mut told = Map::new();
    told.insert("id".to_owned(), at("/config/configurable/checkpoint_id"));
    told.insert("step".to_owned(), at("/metadata/step"));
    told.insert("source".to_owned(), at("/metadata/source"));
    if let Some(parent) = data.pointer("/parent_config/configurable/checkpoint_id") {
        told.insert("parent_id".to_owned(), parent.clone());
    }
    Json::Object(told)
}
