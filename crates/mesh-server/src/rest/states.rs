//! `/threads/…/state` and `/history`: what a thread is, was, and shall be.

use axum::Json;
use mesh_graph::{CheckpointId, Error as GraphError, FailureKind, Patch};
use mesh_protocol::state::{
    Before, CheckpointRef, HistoryAsked, StateAsked, StateUpdate, StateUpdated, ThreadState,
};
use mesh_runtime::{
    Error,
    thread::state::{At, History, StateChange},
};
use serde_json::{Value, json};

use super::{
    Kept, Operation,
    params::Params,
    search::{selected, window},
};
use crate::{
    auth::{Action, Caller},
    extract::{JsonBody, OfThread, PathId, PathText},
    refusal::Refusal,
};

/// What can be asked about states.
pub(super) fn operations() -> Vec<Operation> {
    let missing = "There is no such thread";
    let foreign = "What is saved does not fit the graph: another one has saved it";
    let subgraphs = "Whether the states of mounted graphs are given, too";
    vec![
        Operation::get("/threads/{thread_id}/state", "get_state", get)
            .summary("Gives the state of a thread")
            .query("subgraphs", json!({ "type": "boolean" }), subgraphs)
            .gives::<ThreadState>("Its newest state")
            .refuses(404, missing)
            .refuses(409, foreign),
        Operation::get("/threads/{thread_id}/state/{checkpoint_id}", "get_state_at", get_at)
            .summary("Gives the state of a thread at a checkpoint")
            .query("subgraphs", json!({ "type": "boolean" }), subgraphs)
            .gives::<ThreadState>("The state; empty when there is no such checkpoint")
            .refuses(404, missing)
            .refuses(409, foreign),
        Operation::post("/threads/{thread_id}/state/checkpoint", "post_state_at", post_at)
            .summary("Gives the state of a thread, or of a graph mounted in it, at a checkpoint")
            .body::<StateAsked>()
            .gives::<ThreadState>("The state; empty when there is no such checkpoint")
            .refuses(404, missing)
            .refuses(409, foreign),
        Operation::post("/threads/{thread_id}/state", "update_state", update)
            .summary("Changes the state of a thread, as if a node had returned the values")
            .body::<StateUpdate>()
            .gives::<StateUpdated>("The checkpoint that it has now")
            .refuses(400, "The thread has no graph yet, or the change does not fit it")
            .refuses(404, missing)
            .refuses(409, "A run is on the thread, or what is saved does not fit its graph"),
        Operation::get("/threads/{thread_id}/history", "get_history", get_history)
            .summary("Gives the states of a thread, newest first")
            .query("limit", json!({ "type": "integer" }), "At most this many: 10 without")
            .query("before", json!({ "type": "string" }), "Only those older than this checkpoint")
            .gives::<Vec<ThreadState>>("The states")
            .refuses(404, missing)
            .refuses(409, foreign),
        Operation::post("/threads/{thread_id}/history", "post_history", post_history)
            .summary("Gives the states of a thread, newest first")
            .body::<HistoryAsked>()
            .gives::<Vec<ThreadState>>("The states")
            .refuses(404, missing)
            .refuses(409, foreign),
    ]
}

async fn get(
    Kept(runtime): Kept,
    caller: Caller,
    id: PathId<OfThread>,
    params: Params,
) -> Result<Json<Value>, Refusal> {
    let scope = caller.scope(Action::ReadThread)?;
    let subgraphs = params.flag("subgraphs")?.unwrap_or(false);
    let state = runtime.thread_state(&scope, &id.to_string(), &At::default(), subgraphs).await;
    state.map(Json).map_err(refusal)
}

async fn get_at(
    Kept(runtime): Kept,
    caller: Caller,
    id: PathId<OfThread>,
    PathText((_, checkpoint)): PathText<(String, String)>,
    params: Params,
) -> Result<Json<Value>, Refusal> {
    let scope = caller.scope(Action::ReadThread)?;
    let subgraphs = params.flag("subgraphs")?.unwrap_or(false);
    let at = At { ns: String::new(), checkpoint: Some(checkpoint) };
    let state = runtime.thread_state(&scope, &id.to_string(), &at, subgraphs).await;
    state.map(Json).map_err(refusal)
}

async fn post_at(
    Kept(runtime): Kept,
    caller: Caller,
    id: PathId<OfThread>,
    JsonBody(body): JsonBody<StateAsked>,
) -> Result<Json<Value>, Refusal> {
    let scope = caller.scope(Action::ReadThread)?;
    let at = at(body.checkpoint, None);
    let subgraphs = body.subgraphs.unwrap_or(false);
    let state = runtime.thread_state(&scope, &id.to_string(), &at, subgraphs).await;
    state.map(Json).map_err(refusal)
}

async fn update(
    Kept(runtime): Kept,
    caller: Caller,
    id: PathId<OfThread>,
    JsonBody(body): JsonBody<StateUpdate>,
) -> Result<Json<Value>, Refusal> {
    let scope = caller.scope(Action::UpdateThread)?;
    let patch = body.values.map_or_else(Patch::none, Patch::values);
    let patch = match &body.as_node {
        Some(node) => patch.as_node(node),
        None => patch,
    };
    let change = StateChange { at: at(body.checkpoint, body.checkpoint_id), patch };
    let made = runtime.change_state(&scope, &id.to_string(), change).await.map_err(refusal)?;
    let checkpoint_id = made["checkpoint_id"].clone();
    Ok(Json(json!({
        "checkpoint": made, "configurable": made, "checkpoint_id": checkpoint_id,
    })))
}

async fn get_history(
    Kept(runtime): Kept,
    caller: Caller,
    id: PathId<OfThread>,
    params: Params,
) -> Result<Json<Vec<Value>>, Refusal> {
    let scope = caller.scope(Action::ReadThread)?;
    // Some clients write a checkpoint as JSON here.
    let before = params.text("before").filter(|text| !text.is_empty());
    let before = before.map(|text| match serde_json::from_str::<CheckpointRef>(text) {
        Ok(checkpoint) => Before::Checkpoint(checkpoint),
        Err(_) => Before::Id(text.to_owned()),
    });
    let asked = HistoryAsked { limit: params.number("limit")?, before, ..HistoryAsked::default() };
    let states = runtime.thread_history(&scope, &id.to_string(), &history(asked)?).await;
    states.map(Json).map_err(refusal)
}

async fn post_history(
    Kept(runtime): Kept,
    caller: Caller,
    id: PathId<OfThread>,
    JsonBody(body): JsonBody<HistoryAsked>,
) -> Result<Json<Vec<Value>>, Refusal> {
    let scope = caller.scope(Action::ReadThread)?;
    let select = body.select.clone();
    let states = runtime.thread_history(&scope, &id.to_string(), &history(body)?).await;
    let states = states.map_err(refusal)?;
    Ok(Json(match select {
        None => states,
        Some(select) => selected(&states, &select)?,
    }))
}

fn history(asked: HistoryAsked) -> Result<History, Refusal> {
    let before = match asked.before {
        None => None,
        Some(Before::Id(id)) => Some(id),
        Some(Before::Configured { configurable: named } | Before::Checkpoint(named)) => {
            at(Some(named), None).checkpoint
        }
    };
    let before = before.map(|text| {
        text.parse::<CheckpointId>().map_err(|_| {
            let detail = format!("/before: `{text}` is no id of a checkpoint");
            Refusal::invalid(Some("/before".to_owned()), detail)
        })
    });
    Ok(History {
        at: at(asked.checkpoint, None),
        before: before.transpose()?,
        limit: window(asked.limit, None)?.limit,
        metadata: asked.metadata.unwrap_or_default(),
    })
}

/// The place that a client names in one of its ways.
fn at(named: Option<CheckpointRef>, id: Option<String>) -> At {
    let named = named.unwrap_or_default();
    let ns = named.checkpoint_ns.unwrap_or_default();
    let filled = |text: &String| !text.is_empty();
    let checkpoint = named.checkpoint_id.or(id).filter(filled);
    let mapped = || named.checkpoint_map.as_ref()?.get(&ns).cloned();
    let checkpoint = checkpoint.or_else(mapped);
    At { ns, checkpoint }
}

/// What is told of a state that could not be read or changed.
pub(crate) fn refusal(error: Error) -> Refusal {
    let error = match error {
        Error::Graph(error) => *error,
        error => return error.into(),
    };
    let invalid = |detail: String| Refusal::bad_request("invalid_update", detail);
    match error {
        GraphError::InvalidStateUpdate(failure) => match failure.kind {
            FailureKind::UnknownTarget { target } => {
                invalid(format!("Node {target} does not exist"))
            }
            _ => invalid(failure.message),
        },
        GraphError::AmbiguousUpdate { .. } => invalid(error.to_string()),
        GraphError::UnknownCheckpoint { checkpoint, .. } => {
            Error::NoCheckpoint(checkpoint.to_string()).into()
        }
        GraphError::UnknownNamespace { ns } => {
            Refusal::not_found("namespace_not_found", format!("No graph at namespace '{ns}'"))
        }
        GraphError::HeadMoved { thread } => Refusal::conflict(
            "thread_changed",
            format!("Thread {thread} was changed by somebody else meanwhile"),
        ),
        error => Error::from(error).into(),
    }
}
