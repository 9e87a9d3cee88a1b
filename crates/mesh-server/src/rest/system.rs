//! The server itself: whether it is ready, who it is, and what can be asked of it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use mesh_protocol::system::{Flags, Host, Info, Metric, Ok as Ready, ServedGraph, Truncate};
use mesh_runtime::policy::WRITES_WAITING_MAX;
use schemars::{Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Kept, Operation, Tag, operation::JSON, params::Params};
use crate::{
    BODY_BYTES_MAX, BODY_WAIT, HEADER_BYTES_MAX, HEADER_WAIT, IDLE_WAIT, JSON_DEPTH_MAX,
    LOGIN_WAIT, OUT_BYTES_MAX, PINGS_MISSED_MAX, THREAD_ID_CHARS_MAX,
    auth::{Action, Caller},
    extract::JsonBody,
    metrics, openapi,
    refusal::Refusal,
    server::Shared,
};

pub(super) const TAG: Tag = Tag { name: "System", description: "The server itself." };

/// What can be asked about the server.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/ok", "get_ok", ok)
            .summary("Whether the server is ready")
            .query("check_db", json!({ "type": "boolean" }), "Asks the database, too")
            .gives::<Ready>("It is")
            .refuses(503, "It is not: it has just begun, or the database does not answer")
            .open(),
        Operation::get("/info", "get_info", info)
            .summary("Who this is, and what it serves")
            .gives::<Info>("Names, flags, graphs and limits")
            .open(),
        Operation::get("/openapi.json", "get_document", document)
            .summary("This document")
            .gives_as(JSON, any_object, "OpenAPI 3.1")
            .open(),
        Operation::get("/metrics", "get_metrics", numbers)
            .summary("Numbers about the server")
            .query(
                "format",
                json!({ "enum": ["prometheus", "json"] }),
                "The text of Prometheus without",
            )
            .gives_as(metrics::TEXT, any_text, "What was counted since the start")
            .also(JSON, SchemaGenerator::subschema_for::<Vec<Metric>>)
            .refuses(422, "The format is none"),
        Operation::post("/internal/truncate", "truncate", truncate)
            .summary("Removes what is kept")
            .body::<Truncate>()
            .gives::<Ready>("It is gone")
            .development(),
    ]
}

fn any_object(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object" })
}

fn any_text(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "string" })
}

fn uncached(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// Alive and ready: the port opens only after set-up, and what an earlier process left is settled.
async fn ok(State(shared): State<Arc<Shared>>, params: Params) -> Result<Response, Refusal> {
    if shared.runtime.as_ref().is_some_and(|runtime| !runtime.is_settled()) {
        return Err(Refusal::Starting);
    }
    if params.flag("check_db")? == Some(true)
        && let Some(runtime) = &shared.runtime
    {
        runtime.ledger().read(|_| Ok(())).await?;
    }
    Ok(uncached(Ready { ok: true }))
}

/// Who this is and what it serves.
async fn info(State(shared): State<Arc<Shared>>) -> Response {
    let kept = shared.runtime.is_some();
    let assistants = shared.assistants.values().map(|assistant| ServedGraph {
        name: assistant.name.clone(),
        description: assistant.description.clone(),
        socket: format!("/ws/{}", assistant.name),
        keeps_threads: kept,
        input_schema: assistant.input_schema.clone(),
    });
    let limits = &shared.limits;
    let policy = shared.runtime.as_ref().map(|runtime| *runtime.policy()).unwrap_or_default();
    let limits: [(&str, Value); 20] = [
        ("message_bytes_max", limits.message_bytes_max.into()),
        ("body_bytes_max", BODY_BYTES_MAX.into()),
        ("json_depth_max", JSON_DEPTH_MAX.into()),
        ("connections_max", limits.connections_max.into()),
        ("connections_of_caller_max", limits.connections_of_caller_max.into()),
        ("header_bytes_max", HEADER_BYTES_MAX.into()),
        ("pending_runs_max", policy.pending_runs_max.into()),
        ("state_bytes_max", policy.state_bytes_max.into()),
        ("writes_waiting_max", WRITES_WAITING_MAX.into()),
        ("header_wait_s", HEADER_WAIT.as_secs().into()),
        ("body_wait_s", BODY_WAIT.as_secs().into()),
        ("idle_wait_s", IDLE_WAIT.as_secs().into()),
        ("thread_id_chars_max", THREAD_ID_CHARS_MAX.into()),
        ("login_wait_s", LOGIN_WAIT.as_secs().into()),
        ("first_frame_wait_s", limits.first_frame_wait.as_secs_f64().into()),
        ("ping_every_s", limits.ping_every.as_secs_f64().into()),
        ("pings_missed_max", PINGS_MISSED_MAX.into()),
        ("write_timeout_s", limits.write_timeout.as_secs_f64().into()),
        ("drain_timeout_s", limits.drain_timeout.as_secs_f64().into()),
        ("socket_out_bytes_max", OUT_BYTES_MAX.into()),
    ];
    let limits: BTreeMap<String, Value> =
        limits.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    uncached(Info {
        name: shared.about.name.clone(),
        description: shared.about.description.clone(),
        version: shared.about.version.clone(),
        langgraph_py_version: None,
        flags: Flags {
            assistants: kept,
            crons: kept,
            langsmith: false,
            langsmith_tracing_replicas: false,
        },
        host: Host {
            kind: "self-hosted".to_owned(),
            project_id: None,
            host_revision_id: None,
            revision_id: None,
            tenant_id: None,
        },
        uptime_s: shared.started.elapsed().as_secs(),
        assistants: assistants.collect(),
        authentication: shared.auth.is_on(),
        unsafe_settings: shared.unsafe_settings.clone(),
        limits,
    })
}

/// The OpenAPI document.
async fn document(State(shared): State<Arc<Shared>>) -> Response {
    uncached(openapi::document(&shared))
}

/// Numbers about the server.
async fn numbers(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    params: Params,
) -> Result<Response, Refusal> {
    caller.scope(Action::ReadServer)?;
    let json = match params.text("format") {
        None | Some("" | "prometheus") => false,
        Some("json") => true,
        Some(_) => {
            let detail = "query parameter format: expected prometheus or json";
            return Err(Refusal::invalid(None, detail));
        }
    };
    let gathered = metrics::gather(&shared).await?;
    if json {
        return Ok(uncached(gathered));
    }
    let headers = [(header::CONTENT_TYPE, metrics::TEXT), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, metrics::text(&gathered)).into_response())
}

/// Removes what is kept.
async fn truncate(
    Kept(runtime): Kept,
    caller: Caller,
    JsonBody(body): JsonBody<Truncate>,
) -> Result<Json<Ready>, Refusal> {
    caller.scope(Action::UpdateServer)?;
    let what = mesh_runtime::truncate::Truncate {
        runs: body.runs == Some(true),
        threads: body.threads == Some(true),
        assistants: body.assistants == Some(true),
        checkpoints: body.checkpointer == Some(true),
        items: body.store == Some(true),
    };
    tracing::info!(?what, "what is kept is removed");
    runtime.truncate(what).await?;
    Ok(Json(Ready { ok: true }))
}
