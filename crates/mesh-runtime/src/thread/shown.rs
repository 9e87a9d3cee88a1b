//! How the state of a thread is shown: one JSON shape for reading it, for its history, for its log
//! and for the states of mounted graphs in it.
//!
//! Semantics: the thread states of LangGraph's servers, which other people's clients read.

use mesh_graph::{
    CheckpointId, Failure, Interrupt, StateSnapshot, TaskSnapshot, Untyped, checkpoint::TaskPath,
};
use serde_json::{Map, Value as Json, json};

use super::ThreadStatus;
use crate::Stamp;

/// The state of a thread, with all members that the state of a thread has.
///
/// Tasks of mounted graphs refer to the state below them, or hold it if `snapshot` does.
pub fn shown(thread: &str, snapshot: &StateSnapshot<Untyped>) -> Json {
    let mut shown = nested(thread, snapshot);
    let tasks = shown["tasks"].as_array().into_iter().flatten();
    let interrupts = tasks.filter_map(|task| task["interrupts"].as_array()).flatten();
    let interrupts: Vec<Json> = interrupts.cloned().collect();
    shown["interrupts"] = interrupts.into();
    shown["checkpoint_id"] = json!(snapshot.checkpoint);
    shown["parent_checkpoint_id"] = json!(snapshot.parent);
    shown
}

/// The state of a place where there is no checkpoint `id`, or none at all.
pub fn shown_empty(thread: &str, ns: &str, id: Option<&str>) -> Json {
    let checkpoint =
        id.map(|id| json!({ "thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": id }));
    json!({
        "values": {},
        "next": [],
        "tasks": [],
        "metadata": null,
        "created_at": null,
        "checkpoint": checkpoint,
        "parent_checkpoint": null,
        "interrupts": [],
        "checkpoint_id": id,
        "parent_checkpoint_id": null,
    })
}

/// The state of a graph below the root: without the members that repeat others.
fn nested(thread: &str, snapshot: &StateSnapshot<Untyped>) -> Json {
    let Some(id) = snapshot.checkpoint else {
        let mut empty = shown_empty(thread, &snapshot.ns, None);
        if let Json::Object(members) = &mut empty {
            for repeated in ["interrupts", "checkpoint_id", "parent_checkpoint_id"] {
                members.remove(repeated);
            }
        }
        return empty;
    };
    let passed = snapshot.tasks.iter().all(|task| task.result.is_some());
    let tasks: Vec<Json> =
        snapshot.tasks.iter().map(|task| shown_task(thread, snapshot, task, passed)).collect();
    json!({
        "values": snapshot.shown(),
        "next": snapshot.next,
        "tasks": tasks,
        "metadata": metadata(thread, snapshot),
        "created_at": snapshot.created_at_ms.map(|ms| Stamp(0).plus_ms(ms)),
        "checkpoint": checkpoint(thread, snapshot, id),
        "parent_checkpoint": snapshot.parent.map(|id| checkpoint(thread, snapshot, id)),
    })
}

/// A checkpoint of the snapshot's place, as clients name it.
pub fn checkpoint(thread: &str, snapshot: &StateSnapshot<Untyped>, id: CheckpointId) -> Json {
    let mut shown = json!({
        "thread_id": thread, "checkpoint_ns": snapshot.ns, "checkpoint_id": id,
    });
    if !snapshot.ns.is_empty() {
        let mut map = snapshot.parents.clone();
        map.insert(snapshot.ns.clone(), id);
        shown["checkpoint_map"] = json!(map);
    }
    shown
}

/// The entries of the checkpoint, with what every one has. A thread that is a copy shows its own
/// id in them.
fn metadata(thread: &str, snapshot: &StateSnapshot<Untyped>) -> Json {
    let mut metadata: Map<String, Json> = snapshot.metadata.clone().into_iter().collect();
    metadata.insert("thread_id".to_owned(), thread.into());
    metadata.insert("source".to_owned(), json!(snapshot.source.map(|source| source.to_string())));
    metadata.insert("step".to_owned(), json!(snapshot.step));
    metadata.insert("parents".to_owned(), json!(snapshot.parents));
    if let Some(run) = &snapshot.run_id {
        metadata.insert("run_id".to_owned(), json!(run));
    }
    Json::Object(metadata)
}

fn shown_task(
    thread: &str,
    snapshot: &StateSnapshot<Untyped>,
    task: &TaskSnapshot,
    passed: bool,
) -> Json {
    let path = match &task.path {
        TaskPath::Pull(node) => json!(["__pregel_pull", node]),
        TaskPath::Push(index) => json!(["__pregel_push", index]),
    };
    let state = task.child.as_ref().map(|child| nested(thread, child));
    let below = match (&state, &task.child_ns) {
        (None, Some(ns)) => Some(json!({ "thread_id": thread, "checkpoint_ns": ns })),
        _ => None,
    };
    // In the past a question shows beside what the task gave then; until the superstep has passed
    // only what is still open does.
    let interrupts = task.interrupts.iter();
    let interrupts = interrupts.filter(|one| passed || is_open(snapshot, one));
    json!({
        "id": task.id,
        "name": task.name,
        "path": path,
        "error": task.error.as_ref().map(error_text),
        "interrupts": interrupts.map(shown_interrupt).collect::<Vec<_>>(),
        "checkpoint": below,
        "state": state,
        "result": snapshot.shown_result(task),
    })
}

fn is_open(snapshot: &StateSnapshot<Untyped>, interrupt: &Interrupt) -> bool {
    snapshot.interrupts.iter().any(|open| open.id == interrupt.id)
}

fn shown_interrupt(interrupt: &Interrupt) -> Json {
    let mut shown = json!({ "id": interrupt.id, "value": interrupt.value });
    if let Some(schema) = &interrupt.response_schema {
        shown["response_schema"] = schema.clone();
    }
    shown
}

/// An error as LangGraph writes one: `ValueError('Boo!')`.
fn error_text(failure: &Failure) -> String {
    let shown = failure.shown();
    let (name, message) = (&shown["error"], &shown["message"]);
    let message = message.as_str().unwrap_or_default();
    let quote = if message.contains('\'') && !message.contains('"') { '"' } else { '\'' };
    let mut text = String::from(name.as_str().unwrap_or_default());
    text.push('(');
    text.push(quote);
    for c in message.chars() {
        match c {
            '\n' => text.push_str("\\n"),
            '\\' => text.push_str("\\\\"),
            c if c == quote => text.extend(['\\', c]),
            c => text.push(c),
        }
    }
    text.extend([quote, ')']);
    text
}

/// What a thread's row says of its state.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The root state.
    pub values: Json,
    /// Open questions by task id.
    pub interrupts: Map<String, Json>,
    /// What the thread is when no run is on it.
    pub status: ThreadStatus,
}

impl Settled {
    /// What the row of a thread says when this is the newest state of its root.
    pub fn of(snapshot: &StateSnapshot<Untyped>) -> Self {
        let mut interrupts = Map::new();
        for task in &snapshot.tasks {
            let open = task.interrupts.iter().filter(|one| is_open(snapshot, one));
            let open: Vec<Json> = open.map(shown_interrupt).collect();
            if !open.is_empty() {
                interrupts.insert(task.id.to_string(), open.into());
            }
        }
        let status =
            if snapshot.next.is_empty() { ThreadStatus::Idle } else { ThreadStatus::Interrupted };
        Self { values: snapshot.shown(), interrupts, status }
    }
}
