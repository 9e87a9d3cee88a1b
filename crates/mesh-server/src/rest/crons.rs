//! `/runs/crons`: runs that are made when the time has come.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures::future::BoxFuture;
use jiff::Timestamp;
use mesh_protocol::cron::{
    Cron, CronCount, CronCreate, CronPatch, CronSearch, CronSortBy, OnRunCompleted,
};
use mesh_runtime::{
    Error, Scope, Stamp,
    cron::{self as kept, CronFilter, CronSort, NewCron},
    idempotency::Made,
};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    Kept, Operation, Tag,
    runs::create::grant,
    search::{direction, paged, window},
    webhook::webhook,
};
use crate::{
    auth::{Action, Caller},
    extract::{JsonBody, OfCron, OfThread, PathId},
    idempotency::Repeat,
    refusal::Refusal,
    server::Shared,
};

pub(super) const TAG: Tag = Tag {
    name: "Crons",
    description: "Runs that are made when the time has come, once per instant. After a time in \
                  which the server was not there, a cron fires once.",
};

/// What can be asked about crons.
pub(super) fn operations() -> Vec<Operation> {
    let missing = "There is no such cron";
    vec![
        Operation::post("/runs/crons", "create_cron", create)
            .once(again)
            .summary("Makes a cron whose runs have a thread of their own each")
            .body::<CronCreate>()
            .gives::<Cron>("The cron")
            .refuses(404, "There is no such assistant"),
        Operation::post("/threads/{thread_id}/runs/crons", "create_thread_cron", create_on_thread)
            .once(again)
            .summary("Makes a cron whose runs are on one thread")
            .body::<CronCreate>()
            .gives::<Cron>("The cron")
            .refuses(404, "There is no such assistant or thread"),
        Operation::post("/runs/crons/search", "search_crons", search)
            .summary("Finds crons")
            .body::<CronSearch>()
            .gives_chosen::<Cron>("The crons; only the chosen members of each")
            .paged(),
        Operation::post("/runs/crons/count", "count_crons", count)
            .summary("Counts crons")
            .body::<CronCount>()
            .gives::<u64>("How many there are"),
        Operation::get("/runs/crons/{cron_id}", "get_cron", get)
            .summary("Gives a cron")
            .gives::<Cron>("The cron")
            .refuses(404, missing),
        Operation::patch("/runs/crons/{cron_id}", "update_cron", patch)
            .summary("Changes a cron, and plans its next instant anew")
            .body::<CronPatch>()
            .gives::<Cron>("The cron")
            .refuses(404, missing),
        Operation::delete("/runs/crons/{cron_id}", "delete_cron", delete)
            .summary("Removes a cron")
            .gives_nothing(204, "It is removed")
            .refuses(404, missing),
    ]
}

async fn create(
    kept: Kept,
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    JsonBody(body): JsonBody<CronCreate>,
) -> Result<Json<Cron>, Refusal> {
    make(kept, &shared, caller, None, body).await
}

async fn create_on_thread(
    kept: Kept,
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    thread: PathId<OfThread>,
    JsonBody(body): JsonBody<CronCreate>,
) -> Result<Json<Cron>, Refusal> {
    make(kept, &shared, caller, Some(thread.to_string()), body).await
}

async fn make(
    Kept(runtime): Kept,
    shared: &Shared,
    caller: Caller,
    thread: Option<String>,
    body: CronCreate,
) -> Result<Json<Cron>, Refusal> {
    let scope = caller.scope(Action::CreateCron)?;
    let courier = &shared.courier;
    let missing = || {
        let detail = format!("Assistant '{}' not found", body.assistant_id);
        Refusal::not_found("assistant_not_found", detail)
    };
    let assistant = match runtime.assistant(&Scope::All, &body.assistant_id).await {
        Ok(assistant) if caller.may_run(assistant.owner.as_deref()) => assistant,
        Ok(_) | Err(Error::NoAssistant(_) | Error::NoGraph { .. }) => return Err(missing()),
        Err(error) => return Err(error.into()),
    };
    if let Some(target) = &body.run.webhook {
        webhook(courier.as_deref(), target).await?;
    }
    let on_run_completed = thread.is_none().then(|| body.on_run_completed.unwrap_or_default());
    let mut metadata = body.metadata.clone().unwrap_or_default();
    caller.sign(&mut metadata);
    let mut granted = Map::new();
    grant(&caller, &mut granted);
    let new = NewCron {
        granted,
        id: Uuid::from_u128(runtime.env().new_id()),
        assistant: assistant.id,
        thread,
        end_time: body.end_time.as_deref().map(end_time).transpose()?,
        payload: entries(&body)?,
        metadata,
        on_run_completed: on_run_completed.map(|done| word(done).to_owned()),
        enabled: body.enabled.unwrap_or(true),
        schedule: body.schedule,
        timezone: body.timezone,
    };
    Ok(Json(wire(runtime.create_cron(&scope, new).await?)))
}

/// The answer for a cron that was made before.
fn again(repeat: Repeat) -> BoxFuture<'static, Result<Response, Refusal>> {
    Box::pin(async move {
        let scope = repeat.caller.scope(Action::CreateCron)?;
        let Made::Cron(id) = repeat.made else { return Err(Refusal::Internal) };
        let cron = repeat.runtime.ledger().read(move |tx| kept::get(tx, &scope, id)).await?;
        Ok(Json(wire(cron)).into_response())
    })
}

async fn get(
    Kept(runtime): Kept,
    caller: Caller,
    id: PathId<OfCron>,
) -> Result<Json<Cron>, Refusal> {
    let scope = caller.scope(Action::ReadCron)?;
    let id = *id;
    Ok(Json(wire(runtime.ledger().read(move |tx| kept::get(tx, &scope, id)).await?)))
}

async fn patch(
    Kept(runtime): Kept,
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    id: PathId<OfCron>,
    JsonBody(body): JsonBody<CronPatch>,
) -> Result<Json<Cron>, Refusal> {
    let scope = caller.scope(Action::UpdateCron)?;
    if let Some(target) = &body.run.webhook {
        webhook(shared.courier.as_deref(), target).await?;
    }
    let mut payload = entries(&body.run)?;
    if let Some(schedule) = &body.schedule {
        payload.insert("schedule".to_owned(), schedule.clone().into());
    }
    let patch = kept::CronPatch {
        schedule: body.schedule,
        timezone: body.timezone,
        end_time: match body.end_time {
            Some(Some(text)) => Some(Some(end_time(&text)?)),
            other => other.map(|_| None),
        },
        metadata: body.metadata.map(|mut metadata| {
            caller.keep_owner(&mut metadata);
            metadata
        }),
        on_run_completed: body.on_run_completed.map(|done| word(done).to_owned()),
        enabled: body.enabled,
        payload,
    };
    let (id, now) = (*id, runtime.stamp());
    let changed = runtime.ledger().write(move |tx| kept::update(tx, now, &scope, id, patch));
    let cron = changed.await?;
    runtime.crons_changed();
    Ok(Json(wire(cron)))
}

async fn delete(
    Kept(runtime): Kept,
    caller: Caller,
    id: PathId<OfCron>,
) -> Result<StatusCode, Refusal> {
    let scope = caller.scope(Action::DeleteCron)?;
    let id = *id;
    runtime.ledger().write(move |tx| kept::remove(tx, &scope, id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn search(
    Kept(runtime): Kept,
    caller: Caller,
    JsonBody(body): JsonBody<CronSearch>,
) -> Result<Response, Refusal> {
    let scope = caller.scope(Action::SearchCrons)?;
    let window = window(body.limit, body.offset)?;
    let filter = CronFilter {
        assistant: body.assistant_id,
        thread: body.thread_id,
        enabled: body.enabled,
        metadata: body.metadata,
    };
    let by = match body.sort_by {
        Some(CronSortBy::CronId) => CronSort::Id,
        Some(CronSortBy::AssistantId) => CronSort::Assistant,
        Some(CronSortBy::ThreadId) => CronSort::Thread,
        Some(CronSortBy::CreatedAt) | None => CronSort::CreatedAt,
        Some(CronSortBy::UpdatedAt) => CronSort::UpdatedAt,
        Some(CronSortBy::NextRunDate) => CronSort::NextRun,
        Some(CronSortBy::EndTime) => CronSort::EndTime,
    };
    let direction = direction(body.sort_order);
    let found = runtime
        .ledger()
        .read(move |tx| kept::search(tx, &scope, &filter, by, direction, window))
        .await?;
    Ok(paged(window, found, wire, body.select.as_deref()))
}

async fn count(
    Kept(runtime): Kept,
    caller: Caller,
    JsonBody(body): JsonBody<CronCount>,
) -> Result<Json<u64>, Refusal> {
    let scope = caller.scope(Action::SearchCrons)?;
    let filter = CronFilter {
        assistant: body.assistant_id,
        thread: body.thread_id,
        enabled: body.enabled,
        metadata: body.metadata,
    };
    let count = runtime.ledger().read(move |tx| kept::count(tx, &scope, &filter)).await?;
    Ok(Json(count as u64))
}

/// A request as the members that it has.
fn entries(body: &impl serde::Serialize) -> Result<Map<String, Value>, Refusal> {
    match serde_json::to_value(body) {
        Ok(Value::Object(entries)) => Ok(entries),
        _ => Err(Refusal::Internal),
    }
}

fn end_time(text: &str) -> Result<Stamp, Refusal> {
    text.parse::<Timestamp>().map(Stamp::from).map_err(|_| {
        let detail = format!("end_time: '{text}', expected a time such as 2027-01-31T09:30:00Z");
        Refusal::invalid(Some("/end_time".to_owned()), detail)
    })
}

fn word(done: OnRunCompleted) -> &'static str {
    match done {
        OnRunCompleted::Delete => "delete",
        OnRunCompleted::Keep => "keep",
    }
}

/// A cron as the wire has it.
fn wire(cron: mesh_runtime::Cron) -> Cron {
    Cron {
        cron_id: cron.id,
        assistant_id: cron.assistant,
        thread_id: cron.thread,
        user_id: cron.owner.unwrap_or_default(),
        end_time: cron.end_time.map(|at| at.to_string()),
        schedule: cron.schedule,
        timezone: cron.timezone,
        payload: cron.payload,
        // An instant of a schedule has whole seconds, and is shown so.
        next_run_date: cron
            .next_run
            .filter(|_| cron.enabled)
            .map(|at| format!("{}+00:00", at.timestamp().to_string().trim_end_matches('Z'))),
        metadata: cron.metadata,
        on_run_completed: cron.on_run_completed.map(|word| match &*word {
            "keep" => OnRunCompleted::Keep,
            _ => OnRunCompleted::Delete,
        }),
        enabled: cron.enabled,
        created_at: cron.created_at.to_string(),
        updated_at: cron.updated_at.to_string(),
    }
}
