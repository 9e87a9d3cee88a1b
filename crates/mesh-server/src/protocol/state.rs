//! `state.get` and `state.listCheckpoints`: what a thread is and was.

use mesh_runtime::thread::state::{At, History};
use serde_json::{Map, Value as Json, json};

use super::command::{Command, Desk, Fault};

/// Checkpoints of a list that does not say how many it wants.
const LISTED: usize = 10;

/// Checkpoints of a list, at most.
const LISTED_MAX: u64 = 1000;

/// `state.get`: the state of a graph of the thread, or some of its keys.
pub(super) async fn get(desk: &Desk, command: &Command) -> Result<Json, Fault> {
    let scope = desk.reading()?;
    let ns = command.namespace()?;
    let keys: Option<Vec<String>> = match command.params.get("keys") {
        None | Some(Json::Null) => None,
        Some(keys) => Some(
            serde_json::from_value(keys.clone())
                .map_err(|_| Fault::invalid("keys: expected a list of strings"))?,
        ),
    };
    let at = At { ns, checkpoint: None };
    let thread = desk.thread.to_string();
    let mut state = desk.runtime.thread_state(&scope, &thread, &at, false).await?;
    let id = state.pointer("/checkpoint/checkpoint_id").cloned().unwrap_or_default();
    if !at.ns.is_empty() && id.is_null() {
        return Err(no_namespace(&at.ns));
    }
    let mut values = state["values"].take();
    if let (Some(keys), Json::Object(members)) = (keys, &mut values) {
        members.retain(|key, _| keys.contains(key));
    }
    Ok(json!({ "values": values, "checkpoint": { "id": id, "ns": at.ns } }))
}

fn no_namespace(ns: &str) -> Fault {
    Fault::new("no_such_namespace", format!("Unknown namespace: {ns}"))
}

/// `state.listCheckpoints`: the checkpoints of a graph of the thread, newest first.
pub(super) async fn list(desk: &Desk, command: &Command) -> Result<Json, Fault> {
    let scope = desk.reading()?;
    let limit = match command.params.get("limit") {
        None | Some(Json::Null) => LISTED,
        Some(limit) => match limit.as_u64() {
            Some(limit @ 1..=LISTED_MAX) => limit as usize,
            _ => return Err(Fault::invalid(format!("limit: expected 1 to {LISTED_MAX}"))),
        },
    };
    let before = match command.params.get("before") {
        None | Some(Json::Null) => None,
        Some(before) => {
            let id = before.as_str().and_then(|id| id.parse().ok());
            Some(id.ok_or_else(|| {
                Fault::new("no_such_checkpoint", format!("Unknown checkpoint: {before}"))
            })?)
        }
    };
    let at = At { ns: command.namespace()?, checkpoint: None };
    let asked = History { at, before, limit, metadata: Map::new() };
    let states = desk.runtime.thread_history(&scope, &desk.thread.to_string(), &asked).await?;
    let checkpoints: Vec<Json> = states
        .iter()
        .map(|state| {
            json!({
                "id": state["checkpoint"]["checkpoint_id"],
                "timestamp": state["created_at"],
                "step": state["metadata"]["step"],
                "metadata": state["metadata"],
            })
        })
        .collect();
    Ok(json!({ "checkpoints": checkpoints }))
}
