//! What a run tells, as the frames that its readers get.
//!
//! A [`Renderer`] reads the log of one run from its beginning and counts the frames that it makes.
//! It looks at nothing but the entries and what the run was asked to tell, so whoever reads the
//! log again gets the same frames with the same numbers, byte for byte. Payloads that the wire has
//! as the log has them are passed on uncopied.

mod callbacks;
mod json_parts;
mod messages;

use std::{collections::HashMap, fmt::Display, io::Write as _, sync::Arc};

use axum::body::Bytes;
use mesh_graph::Mode;
use mesh_protocol::StreamMode;
use mesh_runtime::{
    Stamp,
    log::{Entry, Kind},
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;
use uuid::Uuid;

use callbacks::Callbacks;
use messages::Messages;

/// What is told last, among values, of a run that stopped at a breakpoint.
const AT_BREAKPOINT: &[u8] = br#"{"__interrupt__":[]}"#;

/// One frame. Cloning shares the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Name of the event, without the namespace.
    pub(crate) name: &'static str,
    /// Where it happened; empty for the root.
    pub(crate) ns: Arc<str>,
    /// One JSON text on one line.
    pub(crate) data: Bytes,
    /// Its number within its run: 0, 1, 2 …
    pub(crate) id: u64,
}

impl Frame {
    /// The one frame of a stream that cannot be had.
    pub(crate) fn error(error: &str, message: &str) -> Self {
        Self { name: "error", ns: Arc::from(""), data: json(&Failure { error, message }), id: 0 }
    }

    /// Appends the frame as server-sent events have it.
    pub(crate) fn write(&self, id: impl Display, out: &mut Vec<u8>) {
        self.write_head(out);
        // Writing to memory does not fail.
        let _ = write!(out, "id: {id}\n\n");
    }

    /// Appends the frame so that readers do not count it among those they have.
    pub(crate) fn write_unnumbered(&self, out: &mut Vec<u8>) {
        self.write_head(out);
        out.push(b'\n');
    }

    fn write_head(&self, out: &mut Vec<u8>) {
        out.reserve(self.data.len() + self.ns.len() + 64);
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(self.name.as_bytes());
        if !self.ns.is_empty() {
            out.push(b'|');
            out.extend_from_slice(self.ns.as_bytes());
        }
        out.extend_from_slice(b"\ndata: ");
        out.extend_from_slice(&self.data);
        out.push(b'\n');
    }
}

#[derive(Serialize)]
struct Failure<'a> {
    error: &'a str,
    message: &'a str,
}

/// A set of stream modes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted(u16);

impl Wanted {
    pub(crate) fn has(self, mode: StreamMode) -> bool {
        self.0 & (1 << mode as u16) != 0
    }

    /// The modes with these names; other names are none.
    pub(crate) fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        names.into_iter().filter_map(StreamMode::named).collect()
    }

    /// Whether a frame belongs to one of the modes. An error belongs to all.
    pub(crate) fn takes(self, frame: &Frame) -> bool {
        use StreamMode as M;
        match frame.name {
            "error" => true,
            "messages" => self.has(M::MessagesTuple) || self.has(M::Messages),
            name => match name.split('/').next().and_then(StreamMode::named) {
                Some(mode) => self.has(mode),
                None => false,
            },
        }
    }
}

impl FromIterator<StreamMode> for Wanted {
    fn from_iter<I: IntoIterator<Item = StreamMode>>(modes: I) -> Self {
        Self(modes.into_iter().fold(0, |set, mode| set | 1 << mode as u16))
    }
}

/// Makes the frames of one run.
#[derive(Debug)]
pub(crate) struct Renderer {
    run: Uuid,
    wanted: Wanted,
    subgraphs: bool,
    next: u64,
    root: Arc<str>,
    messages: Option<Messages>,
    callbacks: Option<Callbacks>,
    /// Names of the tools that are at work, by call.
    tools: HashMap<String, String>,
}

/// What of a task's entry says whether it begins.
#[derive(Deserialize)]
struct TaskShape {
    triggers: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Ended<'a> {
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
    #[serde(default)]
    breakpoint: bool,
}

#[derive(Deserialize)]
struct Config<'a> {
    #[serde(borrow)]
    configurable: &'a RawValue,
}

#[derive(Deserialize)]
struct Checkpoint<'a> {
    #[serde(borrow)]
    config: Config<'a>,
    #[serde(default, borrow)]
    parent_config: Option<Config<'a>>,
}

impl Renderer {
    /// For a run that was asked to tell these modes.
    pub(crate) fn new(run: Uuid, wanted: Wanted, subgraphs: bool) -> Self {
        // Who asks for both forms of messages gets the tuples.
        let accumulates =
            wanted.has(StreamMode::Messages) && !wanted.has(StreamMode::MessagesTuple);
        Self {
            run,
            wanted,
            subgraphs,
            next: 0,
            root: Arc::from(""),
            messages: accumulates.then(Messages::default),
            callbacks: wanted.has(StreamMode::Events).then(|| Callbacks::new(run)),
            tools: HashMap::new(),
        }
    }

    /// Appends the frames of the next entry: none, one or several. Entries of other runs have none.
    pub(crate) fn take(&mut self, entry: &Entry, frames: &mut Vec<Frame>) {
        if entry.run != self.run {
            return;
        }
        match entry.kind {
            Kind::Begun => {
                self.push(frames, "metadata", None, entry.data.clone());
                let told = self.callbacks.as_mut().map(Callbacks::begin);
                self.push_events(frames, told.into_iter().collect());
            }
            Kind::Event(_) | Kind::Returned if !entry.ns.is_empty() && !self.subgraphs => {}
            Kind::Event(mode) => self.take_event(mode, entry, frames),
            Kind::Returned => self.take_event(Mode::Messages, entry, frames),
            Kind::Ended => self.end(entry, frames),
            Kind::Updated => {}
        }
    }

    fn take_event(&mut self, mode: Mode, entry: &Entry, frames: &mut Vec<Frame>) {
        use StreamMode as M;
        let data = || entry.data.clone();
        match mode {
            Mode::Values => {
                if self.wanted.has(M::Values) {
                    self.push(frames, "values", Some(entry), data());
                }
                if entry.ns.is_empty() {
                    if let Some(callbacks) = &mut self.callbacks {
                        callbacks.values(&entry.data);
                    }
                    let messages = self.messages.as_mut();
                    if let Some(complete) = messages.and_then(|all| all.values(&entry.data)) {
                        self.push(frames, "messages/complete", None, complete);
                    }
                }
            }
            Mode::Updates if self.wanted.has(M::Updates) => {
                self.push(frames, "updates", Some(entry), data());
            }
            Mode::Custom if self.wanted.has(M::Custom) => {
                self.push(frames, "custom", Some(entry), data());
            }
            Mode::Messages => {
                if self.wanted.has(M::MessagesTuple) {
                    self.push(frames, "messages", Some(entry), data());
                }
                if let Some(messages) = &mut self.messages
                    && let Some((metadata, partial)) = messages.chunk(&entry.data)
                {
                    if let Some(metadata) = metadata {
                        self.push(frames, "messages/metadata", Some(entry), metadata);
                    }
                    self.push(frames, "messages/partial", Some(entry), partial);
                }
                let told = self.callbacks.as_mut().map(|all| all.message(&entry.data));
                self.push_events(frames, told.unwrap_or_default());
            }
            Mode::Tasks => self.take_task(entry, frames),
            Mode::Checkpoints => {
                if self.wanted.has(M::Checkpoints) {
                    self.push(frames, "checkpoints", Some(entry), data());
                }
                if self.wanted.has(M::Debug) {
                    let payload = checkpoint_of_debug(&entry.data);
                    self.push_debug(frames, entry, "checkpoint", &payload);
                }
            }
            Mode::Tools if self.wanted.has(M::Tools) => {
                if let Some(told) = self.tool(&entry.data) {
                    self.push(frames, "tools", Some(entry), told);
                }
            }
            _ => {}
        }
    }

    fn take_task(&mut self, entry: &Entry, frames: &mut Vec<Frame>) {
        let shape: Result<TaskShape, _> = serde_json::from_slice(&entry.data);
        let begins = shape.is_ok_and(|shape| shape.triggers.is_some());
        let payload = if begins {
            json_parts::with_member(&entry.data, "interrupts", b"[]")
        } else {
            entry.data.clone()
        };
        if self.wanted.has(StreamMode::Tasks) {
            self.push(frames, "tasks", Some(entry), payload.clone());
        }
        if self.wanted.has(StreamMode::Debug) {
            let kind = if begins { "task" } else { "task_result" };
            self.push_debug(frames, entry, kind, &payload);
        }
        let told = self.callbacks.as_mut().map(|all| all.task(entry, begins));
        self.push_events(frames, told.unwrap_or_default());
    }

    fn end(&mut self, entry: &Entry, frames: &mut Vec<Frame>) {
        let Ok(ended) = serde_json::from_slice::<Ended<'_>>(&entry.data) else { return };
        if ended.breakpoint && self.wanted.has(StreamMode::Values) {
            self.push(frames, "values", None, Bytes::from_static(AT_BREAKPOINT));
        }
        if let Some(error) = ended.error {
            let error = entry.data.slice_ref(error.get().as_bytes());
            self.push(frames, "error", None, error);
        } else {
            let told = self.callbacks.as_mut().map(Callbacks::end);
            self.push_events(frames, told.into_iter().collect());
        }
    }

    fn push(
        &mut self,
        frames: &mut Vec<Frame>,
        name: &'static str,
        of: Option<&Entry>,
        data: Bytes,
    ) {
        let ns = of.map_or(&self.root, |entry| &entry.ns);
        frames.push(Frame { name, ns: Arc::clone(ns), data, id: self.next });
        self.next += 1;
    }

    fn push_events(&mut self, frames: &mut Vec<Frame>, told: Vec<Bytes>) {
        for data in told {
            self.push(frames, "events", None, data);
        }
    }

    fn push_debug(
        &mut self,
        frames: &mut Vec<Frame>,
        entry: &Entry,
        kind: &'static str,
        payload: &Bytes,
    ) {
        #[derive(Serialize)]
        struct Debug<'a> {
            step: i64,
            timestamp: Stamp,
            #[serde(rename = "type")]
            kind: &'a str,
            payload: &'a RawValue,
        }
        let Ok(payload) = serde_json::from_slice(payload) else { return };
        let timestamp = Stamp(entry.at_ms.saturating_mul(1000));
        let data = json(&Debug { step: entry.step, timestamp, kind, payload });
        self.push(frames, "debug", Some(entry), data);
    }

    /// What a tool does, in the words of this stream.
    fn tool(&mut self, data: &Bytes) -> Option<Bytes> {
        #[derive(Deserialize)]
        struct Tool<'a> {
            event: &'a str,
            #[serde(rename = "tool_call_id")]
            call: String,
            #[serde(rename = "tool_name")]
            name: Option<String>,
            #[serde(borrow)]
            input: Option<&'a RawValue>,
            #[serde(borrow)]
            delta: Option<&'a RawValue>,
            #[serde(borrow)]
            output: Option<&'a RawValue>,
            #[serde(borrow)]
            message: Option<&'a RawValue>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Told<'a> {
            event: &'a str,
            tool_call_id: &'a str,
            name: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            input: Option<&'a RawValue>,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a RawValue>,
            #[serde(skip_serializing_if = "Option::is_none")]
            output: Option<&'a RawValue>,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<&'a RawValue>,
        }
        let tool: Tool<'_> = serde_json::from_slice(data).ok()?;
        let event = match tool.event {
            "tool-started" => "on_tool_start",
            "tool-output-delta" => "on_tool_event",
            "tool-finished" => "on_tool_end",
            "tool-error" => "on_tool_error",
            _ => return None,
        };
        if let Some(name) = tool.name {
            self.tools.insert(tool.call.clone(), name);
        }
        let ends = matches!(event, "on_tool_end" | "on_tool_error");
        let known =
            if ends { self.tools.remove(&tool.call) } else { self.tools.get(&tool.call).cloned() };
        Some(json(&Told {
            event,
            tool_call_id: &tool.call,
            name: known.as_deref().unwrap_or_default(),
            input: tool.input,
            data: tool.delta,
            output: tool.output,
            error: tool.message,
        }))
    }
}

/// A checkpoint with the two references that only this stream has.
fn checkpoint_of_debug(data: &Bytes) -> Bytes {
    let Ok(shape) = serde_json::from_slice::<Checkpoint<'_>>(data) else { return data.clone() };
    let own = shape.config.configurable.get();
    let parent = shape.parent_config.map_or("null", |config| config.configurable.get());
    let data = json_parts::with_member(data, "checkpoint", own.as_bytes());
    json_parts::with_member(&data, "parent_checkpoint", parent.as_bytes())
}

/// As JSON text. Fails only for maps with keys that are no strings, and there are none.
fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
