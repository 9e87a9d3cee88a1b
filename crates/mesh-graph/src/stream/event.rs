//! Events: what is told, and how it reads in JSON.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

use crate::{
    channel::{Schema, Values},
    checkpoint::{CheckpointId, Place, Source, TaskId},
    error::{Failure, NodeError, NodeErrorKind},
    graph::{Core, NodeId},
    interrupt::Interrupt,
    names::{INTERRUPT, RETURN},
    node::{ArgCodec, Input},
    state::Update,
    superstep::Cause,
};

use super::{
    facts::Facts,
    mode::Mode,
    piece::PieceFrame,
    show::{self, Shown},
};

/// One event of a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// Number within the run: 1, 2, 3 … without gaps.
    pub seq: u64,
    /// Which stream it belongs to.
    pub mode: Mode,
    /// Namespace of the graph it comes from: empty for the root, one `node:task` per level.
    pub ns: Arc<[String]>,
    /// Superstep it belongs to: that of a checkpoint or of the values, or the one a task runs in.
    pub step: i64,
    /// The task it comes from; none for what concerns the whole graph.
    pub task_id: Option<TaskId>,
    /// Which attempt of the task it comes from: 1, 2, 3 …
    pub attempt: u32,
    /// When it was sent, milliseconds since 1970 (UTC), by the run's own clock.
    pub at_ms: i64,
    pub(crate) node: Option<Arc<str>>,
    /// The tasks that its graph runs below, from the root; none for the root itself.
    pub(crate) within: Option<Arc<[TaskId]>>,
    /// Told ahead of the storage call that it belongs to.
    pub(crate) ahead: bool,
    pub(crate) body: Body,
}

/// The task an event comes from.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) id: TaskId,
    pub(crate) node: Arc<str>,
    pub(crate) attempt: u32,
}

/// Payloads that cost something to render are kept as they are until somebody reads them.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Json(Json),
    Values {
        schema: Arc<Schema>,
        shown: Shown,
        values: Arc<Values>,
        interrupts: Arc<[Interrupt]>,
    },
    Updates {
        schema: Arc<Schema>,
        shown: Shown,
        updates: Vec<Update>,
        /// The task's result comes from the node cache.
        cached: bool,
    },
    /// The questions of a task, or none at a breakpoint.
    Interrupts(Arc<[Interrupt]>),
    Told(Arc<Told>),
    /// Begin or end of a graph, with the error that it failed with.
    Lifecycle {
        data: Json,
        error: Option<Arc<Said>>,
    },
    /// A message with the facts of its task; `returned` by the node rather than sent by it.
    Message {
        message: Json,
        facts: Arc<Facts>,
        returned: bool,
    },
    /// A piece of a message's text that was sent.
    Piece {
        frame: Arc<PieceFrame>,
        text: String,
    },
    /// Not shown: ids of messages that are part of a graph's input.
    Known(Vec<String>),
    /// Not shown: these tasks are about to run side by side.
    Step(Arc<[TaskId]>),
    /// Not shown: the task has nothing more to say.
    Ended,
}

/// An error in words, and what of it may be told to strangers.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) full: String,
    pub(crate) public: Option<String>,
}

/// Who reads a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// The program itself: errors with all their causes.
    Program,
    /// Whoever is connected: of errors only what a node meant for clients.
    Stranger,
}

/// What the streams `tasks`, `checkpoints` and `debug` share.
pub(crate) enum Told {
    Start {
        core: Arc<Core>,
        node: NodeId,
        id: TaskId,
        cause: Cause,
        input: Input,
    },
    Result {
        core: Arc<Core>,
        node: NodeId,
        id: TaskId,
        updates: Vec<Update>,
        error: Option<Failure>,
        interrupts: Vec<Interrupt>,
        cached: bool,
    },
    CallStart {
        id: TaskId,
        name: Arc<str>,
        input: Json,
    },
    CallEnd {
        id: TaskId,
        name: Arc<str>,
        /// Its result and whether that comes from the node cache, or its error.
        ended: Result<(Json, bool), Said>,
    },
    Checkpoint {
        core: Arc<Core>,
        place: Arc<Place>,
        id: CheckpointId,
        parent: Option<CheckpointId>,
        source: Source,
        step: i64,
        parents: Arc<BTreeMap<String, CheckpointId>>,
        metadata: Arc<BTreeMap<String, Json>>,
        values: Arc<Values>,
        tasks: Vec<NextTask>,
    },
}

/// A task of a checkpoint's next superstep.
pub(crate) struct NextTask {
    pub(crate) id: TaskId,
    pub(crate) node: NodeId,
    /// What it gave, once it finished.
    pub(crate) updates: Option<Vec<Update>>,
    pub(crate) error: Option<Failure>,
    pub(crate) interrupts: Vec<Interrupt>,
}

impl Said {
    fn show(&self, reader: Reader) -> Json {
        let public = self.public.as_deref().unwrap_or(FAILED);
        let message = if reader == Reader::Program { &self.full } else { public };
        json!({ "error": "node", "message": message })
    }

    /// What a node or a functional task says.
    pub(crate) fn of_node(error: &NodeError) -> Self {
        let public = match &error.0 {
            NodeErrorKind::Failed { code: Some(_), error, .. } => Some(error.to_string()),
            _ => None,
        };
        Self { full: error.to_string(), public }
    }
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start { id, .. } => write!(f, "Start({id})"),
            Self::Result { id, .. } => write!(f, "Result({id})"),
            Self::CallStart { id, .. } => write!(f, "CallStart({id})"),
            Self::CallEnd { id, .. } => write!(f, "CallEnd({id})"),
            Self::Checkpoint { id, .. } => write!(f, "Checkpoint({id})"),
        }
    }
}

impl Event {
    /// An event that has no number yet.
    pub(crate) fn new(
        mode: Mode,
        ns: &Arc<[String]>,
        step: i64,
        task: Option<Task>,
        at_ms: i64,
        body: Body,
    ) -> Self {
        let (task_id, attempt, node) = match task {
            Some(task) => (Some(task.id), task.attempt, Some(task.node)),
            None => (None, 1, None),
        };
        Self {
            seq: 0,
            mode,
            ns: Arc::clone(ns),
            step,
            task_id,
            attempt,
            at_ms,
            node,
            within: None,
            ahead: false,
            body,
        }
    }

    /// The tasks that its graph runs below, from the root.
    pub(crate) fn within(&self) -> &[TaskId] {
        self.within.as_deref().unwrap_or_default()
    }

    /// The node it comes from; none for what concerns the whole graph.
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// Whether it tells what is handed to storage next, and so should be kept with it or not at
    /// all; see [`crate::Run::tell_first`].
    pub fn is_ahead(&self) -> bool {
        self.ahead
    }

    /// Whether it is a message that its node returned, rather than one that was sent as it came
    /// about.
    pub fn is_returned(&self) -> bool {
        matches!(self.body, Body::Message { returned: true, .. })
    }

    /// The open questions that a `values` or `updates` event tells; empty for every other one.
    pub fn interrupts(&self) -> &[Interrupt] {
        match &self.body {
            Body::Values { interrupts, .. } | Body::Interrupts(interrupts) => interrupts,
            _ => &[],
        }
    }

    /// Whether it tells open questions, or that there are none where the run stops.
    pub(crate) fn tells_interrupts(&self) -> bool {
        match &self.body {
            Body::Values { interrupts, .. } => !interrupts.is_empty(),
            Body::Interrupts(_) => true,
            _ => false,
        }
    }

    /// The payload in JSON, as clients of LangGraph expect it for this mode.
    pub fn data(&self) -> Json {
        self.render(Reader::Program)
    }

    /// The payload for readers that must not see the causes of errors, which may name paths and
    /// addresses: an error shows its kind, or the code and message that its node gave it by
    /// [`crate::NodeError::coded`].
    pub fn public_data(&self) -> Json {
        self.render(Reader::Stranger)
    }

    /// [`Event::public_data`] as one JSON text, which for messages is much less work.
    pub fn public_text(&self) -> String {
        match &self.body {
            Body::Json(json) => json.to_string(),
            Body::Message { message, facts, .. } => format!("[{message},{}]", facts.text()),
            Body::Piece { frame, text } => frame.text(text),
            _ => self.public_data().to_string(),
        }
    }

    fn render(&self, reader: Reader) -> Json {
        match &self.body {
            Body::Json(json) => json.clone(),
            Body::Values { schema, shown, values, interrupts } => {
                shown.values(schema, values, to_json(interrupts))
            }
            Body::Updates { schema, shown, updates, cached } => {
                let update = shown.updates(schema, updates);
                show_update(self.node().unwrap_or_default(), update, *cached)
            }
            Body::Interrupts(interrupts) => json!({ INTERRUPT: to_json(interrupts) }),
            Body::Message { message, facts, .. } => json!([message, facts.json()]),
            Body::Piece { frame, text } => {
                Json::Array(vec![frame.message(text), frame.facts().json().clone()])
            }
            Body::Known(_) | Body::Step(_) | Body::Ended => Json::Null,
            Body::Told(told) if self.mode == Mode::Debug => json!({
                "step": self.step,
                "timestamp": timestamp(self.at_ms),
                "type": told.kind(),
                "payload": told.payload(reader),
            }),
            Body::Told(told) => told.payload(reader),
            Body::Lifecycle { data, error } => {
                let mut data = data.clone();
                if let Some(error) = error {
                    let public = error.public.as_deref().unwrap_or(FAILED);
                    let text = if reader == Reader::Program { &error.full } else { public };
                    data["error"] = json!(text);
                }
                data
            }
        }
    }

    /// The payload of a `values` event without the questions, which are [`Event::interrupts`].
    pub(crate) fn bare_values(&self) -> Json {
        match &self.body {
            Body::Values { schema, shown, values, .. } => shown.values(schema, values, Vec::new()),
            _ => self.data(),
        }
    }
}

/// `{"node": update}`, and that it was cached if it was.
pub(crate) fn show_update(node: &str, update: Json, cached: bool) -> Json {
    let mut shown = json!({ node: update });
    if cached {
        shown["__metadata__"] = json!({ "cached": true });
    }
    shown
}

fn to_json(interrupts: &[Interrupt]) -> Vec<Json> {
    interrupts.iter().map(Interrupt::to_json).collect()
}

/// `2026-01-31T09:30:00.123Z`. A clock beyond the years that can be written shows 1970.
fn timestamp(at_ms: i64) -> String {
    format!("{:.3}", Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH))
}

impl Told {
    fn kind(&self) -> &'static str {
        match self {
            Self::Start { .. } | Self::CallStart { .. } => "task",
            Self::Result { .. } | Self::CallEnd { .. } => "task_result",
            Self::Checkpoint { .. } => "checkpoint",
        }
    }

    fn payload(&self, reader: Reader) -> Json {
        match self {
            Self::Start { core, node, id, cause, input } => json!({
                "id": id,
                "name": &*core.node(*node).name,
                "input": show_input(core, *node, input),
                "triggers": cause.triggers(core, *node),
                "metadata": core.node(*node).metadata,
            }),
            Self::Result { core, node, id, updates, error, interrupts, cached } => {
                let mut result = json!({
                    "id": id,
                    "name": &*core.node(*node).name,
                    "error": error.as_ref().map(|error| show_failure(error, reader)),
                    "result": show::result(&core.schema, updates),
                    "interrupts": to_json(interrupts),
                });
                if *cached {
                    result["cached"] = json!(true);
                }
                result
            }
            Self::CallStart { id, name, input } => json!({
                "id": id,
                "name": &**name,
                "input": [[input], {}],
                "triggers": ["__pregel_push"],
                "metadata": {},
            }),
            Self::CallEnd { id, name, ended } => {
                let (error, result) = match ended {
                    Ok((value, _)) => (Json::Null, json!({ RETURN: value })),
                    Err(said) => (said.show(reader), json!({})),
                };
                let mut shown = json!({
                    "id": id,
                    "name": &**name,
                    "error": error,
                    "result": result,
                    "interrupts": [],
                });
                if let Ok((_, true)) = ended {
                    shown["cached"] = json!(true);
                }
                shown
            }
            Self::Checkpoint { .. } => self.checkpoint(reader),
        }
    }

    fn checkpoint(&self, reader: Reader) -> Json {
        let Self::Checkpoint {
            core,
            place,
            id,
            parent,
            source,
            step,
            parents,
            metadata,
            values,
            tasks,
        } = self
        else {
            return Json::Null;
        };
        let config = |checkpoint: &CheckpointId| {
            json!({ "configurable": {
                "thread_id": place.thread,
                "checkpoint_ns": place.ns,
                "checkpoint_id": checkpoint,
            }})
        };
        let mut facts: Map<String, Json> =
            metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        facts.insert("source".to_owned(), json!(source));
        facts.insert("step".to_owned(), json!(step));
        facts.insert("parents".to_owned(), json!(**parents));
        let name = |task: &NextTask| core.node(task.node).name.to_string();
        json!({
            "config": config(id),
            "parent_config": parent.as_ref().map(config),
            "values": Shown::All.values(&core.schema, values, Vec::new()),
            "metadata": facts,
            "next": tasks.iter().map(name).collect::<Vec<_>>(),
            "tasks": tasks.iter().map(|task| task.show(core, place, reader)).collect::<Vec<_>>(),
        })
    }
}

impl NextTask {
    fn show(&self, core: &Core, place: &Place, reader: Reader) -> Json {
        let spec = core.node(self.node);
        let mount = spec.run.as_ref().and_then(|run| run.mount());
        let ns = mount.and_then(|mount| mount.child_ns(&place.ns, &spec.name, self.id));
        let child = ns.map(
            |ns| json!({ "configurable": { "thread_id": place.thread, "checkpoint_ns": ns } }),
        );
        let mut task = json!({
            "id": self.id,
            "name": &*spec.name,
            "interrupts": to_json(&self.interrupts),
            "state": child,
        });
        if let Some(error) = &self.error {
            task["error"] = show_failure(error, reader);
        } else if let Some(updates) = &self.updates {
            task["result"] = show::result(&core.schema, updates);
        }
        task
    }
}

fn show_input(core: &Core, node: NodeId, input: &Input) -> Json {
    let values = |values: &Values| match core.schema.sole_input() {
        Some(only) => Shown::One(only).values(&core.schema, values, Vec::new()),
        None => Shown::All.values(&core.schema, values, Vec::new()),
    };
    match input {
        Input::Snapshot(snapshot) => values(snapshot),
        Input::Arg(arg) => match core.node(node).run.as_ref().map(|run| run.arg()) {
            Some(ArgCodec::Typed(codec)) => codec.to_json(arg).unwrap_or_default(),
            Some(ArgCodec::Json) => arg.downcast_ref::<Json>().cloned().unwrap_or_default(),
            _ => arg.downcast_ref::<Values>().map_or(Json::Null, values),
        },
    }
}

/// Stands for an error that its node did not mean for strangers.
const FAILED: &str = "failed";

/// Its kind or code by name, and what happened in words.
fn show_failure(failure: &Failure, reader: Reader) -> Json {
    let error = failure.code.clone().map_or_else(|| kind_name(failure), Json::String);
    let message = match (reader, &failure.code) {
        (Reader::Program, _) => failure.to_string(),
        (Reader::Stranger, Some(_)) => failure.message.clone(),
        (Reader::Stranger, None) => FAILED.to_owned(),
    };
    json!({ "error": error, "message": message })
}

impl Failure {
    /// `{"error", "message"}` as whoever is connected may see it: its code and the message that
    /// its node gave it, or its kind alone.
    pub fn shown(&self) -> Json {
        show_failure(self, Reader::Stranger)
    }
}

/// The name under which the kind is stored.
fn kind_name(failure: &Failure) -> Json {
    match serde_json::to_value(&failure.kind) {
        Ok(Json::Object(kind)) => {
            kind.into_iter().next().map_or(Json::Null, |(name, _)| name.into())
        }
        Ok(name) => name,
        Err(_) => Json::Null,
    }
}
