//! `/threads`: trees of checkpoints, each under one id.

use std::collections::BTreeMap;

use axum::{
    Json,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use futures::future::BoxFuture;
use mesh_graph::{Goto, Patch, Send};
use mesh_protocol::{
    assistant::IfExists,
    thread::{
        ChannelSize, ChannelStorage, Pruned, StorageSize, Superstep, SuperstepUpdate, Thread,
        ThreadCount, ThreadCreate, ThreadPatch, ThreadPrune, ThreadSearch, ThreadSelect,
        ThreadSortBy, ThreadStatus, ThreadStorage, ThreadTtl, TtlRequest, TtlStrategy,
    },
};
use mesh_runtime::{
    Error, assistant as kept_assistant,
    idempotency::Made,
    thread as kept,
    thread::{
        operations::NewThread,
        rows::{Filter, Search, Size, SortBy},
    },
};
use serde_json::{Map, Value, json};

use super::{
    Kept, Operation, Tag,
    extracted::Path,
    params::Params,
    search::{direction, paged, window},
    states,
};
use crate::{
    auth::{Action, Caller},
    extract::{JsonBody, OfThread, PathId},
    idempotency::Repeat,
    refusal::Refusal,
};

pub(super) const TAG: Tag = Tag {
    name: "Threads",
    description: "A tree of checkpoints under one id, with what happened on it.",
};

/// Paths that a search may extract.
const EXTRACTS_MAX: usize = 10;

/// Threads that one request may prune.
const PRUNED_MAX: usize = 1000;

/// Longest time to live: a hundred years, in minutes.
const TTL_MINUTES_MAX: f64 = 52_560_000.0;

/// What can be asked about threads.
pub(super) fn operations() -> Vec<Operation> {
    let missing = "There is no such thread";
    let mut operations = vec![
        Operation::post("/threads", "create_thread", create)
            .once(again)
            .summary("Makes a thread")
            .body::<ThreadCreate>()
            .gives::<Thread>("The thread")
            .refuses(400, "The supersteps do not fit the graph, or there is none")
            .refuses(409, "There is one with this id already"),
        Operation::post("/threads/search", "search_threads", search)
            .summary("Finds threads")
            .body::<ThreadSearch>()
            .gives_chosen::<Thread>("The threads; only the chosen members of each")
            .paged(),
        Operation::post("/threads/count", "count_threads", count)
            .summary("Counts threads")
            .body::<ThreadCount>()
            .gives::<u64>("How many there are"),
        Operation::post("/threads/prune", "prune_threads", prune)
            .summary("Removes threads, or all their checkpoints but the newest")
            .body::<ThreadPrune>()
            .gives::<Pruned>("How many of them there were"),
        Operation::get("/threads/{thread_id}", "get_thread", get)
            .summary("Gives a thread")
            .query("include", json!({ "type": "string" }), "`ttl`: also how long it is kept")
            .gives::<Thread>("The thread")
            .refuses(404, missing),
        Operation::patch("/threads/{thread_id}", "update_thread", patch)
            .summary("Changes the metadata of a thread, or how long it is kept")
            .description("With `Prefer: return=minimal` it answers 204.")
            .body::<ThreadPatch>()
            .gives::<Thread>("The thread")
            .gives_nothing(204, "It is changed")
            .refuses(404, missing),
        Operation::delete("/threads/{thread_id}", "delete_thread", delete)
            .summary("Removes a thread with its runs, checkpoints and log")
            .description("Runs that are on it are cancelled.")
            .gives_nothing(204, "It is removed")
            .refuses(404, missing),
        Operation::post("/threads/{thread_id}/copy", "copy_thread", copy)
            .summary("Copies a thread with its checkpoints and open questions")
            .once(again)
            .gives::<Thread>("The copy")
            .refuses(409, missing),
        Operation::get("/threads/{thread_id}/storage", "get_thread_storage", storage)
            .summary("Gives what a thread takes in storage")
            .gives::<ThreadStorage>("Numbers and bytes")
            .refuses(404, missing),
    ];
    operations.extend(states::operations());
    operations
}

async fn create(
    Kept(runtime): Kept,
    caller: Caller,
    JsonBody(body): JsonBody<ThreadCreate>,
) -> Result<Json<Thread>, Refusal> {
    let scope = caller.scope(Action::CreateThread)?;
    let id = body.thread_id.as_deref().map(PathId::<OfThread>::parse).transpose()?;
    let ttl = body.ttl.map(time_to_live).transpose()?;
    let supersteps = body.supersteps.unwrap_or_default();
    let supersteps: Vec<Vec<Patch>> = supersteps
        .into_iter()
        .enumerate()
        .map(|(index, superstep)| patches(index, superstep))
        .collect::<Result<_, _>>()?;
    let mut metadata = body.metadata.unwrap_or_default();
    caller.sign(&mut metadata);
    let if_exists = match body.if_exists.unwrap_or_default() {
        IfExists::Raise => kept_assistant::IfExists::Raise,
        IfExists::DoNothing => kept_assistant::IfExists::DoNothing,
    };
    let runtime = if supersteps.is_empty() { runtime } else { runtime.in_parts() };
    let new = NewThread { id, metadata, ttl, if_exists };
    let (thread, is_new) = runtime.create_thread(&scope, caller.owner(), new).await?;
    if supersteps.is_empty() || !is_new {
        return Ok(Json(wire(thread)));
    }
    let id = &*thread.id;
    if let Err(error) = runtime.add_supersteps(&scope, id, supersteps).await {
        // Nobody knows of it yet: a thread is made with its state or not at all.
        runtime.delete_thread(&scope, id).await?;
        runtime.drop_key().await?;
        return Err(states::refusal(error));
    }
    runtime.settle_key().await?;
    Ok(Json(wire(runtime.thread(&scope, id).await?)))
}

/// The answer for a thread that was made before.
fn again(repeat: Repeat) -> BoxFuture<'static, Result<Response, Refusal>> {
    Box::pin(async move {
        let scope = repeat.caller.scope(Action::CreateThread)?;
        let Made::Thread(id) = repeat.made else { return Err(Refusal::Internal) };
        Ok(Json(wire(repeat.runtime.thread(&scope, &id).await?)).into_response())
    })
}

/// The changes of a superstep.
fn patches(index: usize, superstep: Superstep) -> Result<Vec<Patch>, Refusal> {
    let patch = |(nth, update): (usize, SuperstepUpdate)| {
        let at = |member: &str| format!("/supersteps/{index}/updates/{nth}/{member}");
        let (values, goto) = match update.command {
            Some(command) => (command.update, gotos(command.goto, || at("command/goto"))?),
            None => (update.values, Vec::new()),
        };
        let patch = values.map_or_else(Patch::none, Patch::values).goto(goto);
        Ok(match &update.as_node {
            Some(node) => patch.as_node(node),
            None => patch,
        })
    };
    superstep.updates.into_iter().enumerate().map(patch).collect()
}

/// A node, a task of its own, or a list of both.
fn gotos(goto: Option<Value>, at: impl Fn() -> String) -> Result<Vec<Goto>, Refusal> {
    let one = |goto: Value| match goto {
        Value::String(node) => Some(Goto::from(node)),
        Value::Object(mut send) => {
            let input = send.remove("input").or_else(|| send.remove("args")).unwrap_or_default();
            match send.remove("node") {
                Some(Value::String(node)) => Some(Goto::from(Send::json(&node, input))),
                _ => None,
            }
        }
        _ => None,
    };
    let all = match goto {
        None => Some(Vec::new()),
        Some(Value::Array(list)) => list.into_iter().map(one).collect(),
        Some(goto) => one(goto).map(|goto| vec![goto]),
    };
    all.ok_or_else(|| {
        let at = at();
        let detail = format!("{at}: expected a node, {{node, input}}, or a list of these");
        Refusal::invalid(Some(at), detail)
    })
}

fn time_to_live(asked: TtlRequest) -> Result<(f64, kept::TtlStrategy), Refusal> {
    let (minutes, strategy) = match asked {
        TtlRequest::Minutes(minutes) => (minutes, None),
        TtlRequest::Full { ttl, strategy } => (ttl, strategy),
    };
    // Of what is compared with no number, nothing is true.
    if !(minutes > 0.0 && minutes <= TTL_MINUTES_MAX) {
        let detail = format!("/ttl: {minutes}, expected more than 0 and at most {TTL_MINUTES_MAX}");
        return Err(Refusal::invalid(Some("/ttl".to_owned()), detail));
    }
    Ok((minutes, strategy_kept(strategy.unwrap_or_default())))
}

fn strategy_kept(strategy: TtlStrategy) -> kept::TtlStrategy {
    match strategy {
        TtlStrategy::Delete => kept::TtlStrategy::Delete,
        TtlStrategy::KeepLatest => kept::TtlStrategy::KeepLatest,
    }
}

async fn get(
    Kept(runtime): Kept,
    caller: Caller,
    id: PathId<OfThread>,
    params: Params,
) -> Result<Json<Thread>, Refusal> {
    let scope = caller.scope(Action::ReadThread)?;
    let thread = runtime.thread(&scope, &id.to_string()).await?;
    let with_ttl = params.list("include").iter().any(|part| part == "ttl");
    let ttl = thread.ttl.filter(|_| with_ttl).map(|ttl| ThreadTtl {
        strategy: match ttl.strategy {
            kept::TtlStrategy::Delete => TtlStrategy::Delete,
            kept::TtlStrategy::KeepLatest => TtlStrategy::KeepLatest,
        },
        ttl_minutes: ttl.minutes,
        expires_at: ttl.expires_at.to_string(),
    });
    Ok(Json(Thread { ttl, ..wire(thread) }))
}

async fn patch(
    Kept(runtime): Kept,
    caller: Caller,
    id: PathId<OfThread>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<ThreadPatch>,
) -> Result<Response, Refusal> {
    let scope = caller.scope(Action::UpdateThread)?;
    let ttl = body.ttl.map(time_to_live).transpose()?;
    let mut metadata = body.metadata.unwrap_or_default();
    caller.keep_owner(&mut metadata);
    let thread = runtime.patch_thread(&scope, &id.to_string(), metadata, ttl).await?;
    let minimal = headers.get_all("prefer").iter().any(|prefer| {
        let preferences = prefer.to_str().unwrap_or_default().split([',', ';']);
        preferences.map(str::trim).any(|one| one.eq_ignore_ascii_case("return=minimal"))
    });
    Ok(if minimal {
        StatusCode::NO_CONTENT.into_response()
    } else {
        Json(wire(thread)).into_response()
    })
}

async fn delete(
    Kept(runtime): Kept,
    caller: Caller,
    id: PathId<OfThread>,
) -> Result<StatusCode, Refusal> {
    let scope = caller.scope(Action::DeleteThread)?;
    runtime.delete_thread(&scope, &id.to_string()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn search(
    Kept(runtime): Kept,
    caller: Caller,
    JsonBody(body): JsonBody<ThreadSearch>,
) -> Result<Response, Refusal> {
    let scope = caller.scope(Action::SearchThreads)?;
    let window = window(body.limit, body.offset)?;
    let extract = extracts(body.extract.unwrap_or_default())?;
    let by = match body.sort_by {
        Some(ThreadSortBy::ThreadId) => SortBy::Id,
        Some(ThreadSortBy::Status) => SortBy::Status,
        Some(ThreadSortBy::CreatedAt) | None => SortBy::CreatedAt,
        Some(ThreadSortBy::UpdatedAt) => SortBy::UpdatedAt,
        Some(ThreadSortBy::StateUpdatedAt) => SortBy::StateUpdatedAt,
    };
    let selects = |member| body.select.as_ref().is_none_or(|select| select.contains(&member));
    let search = Search {
        filter: Filter {
            ids: body.ids.map(|ids| ids.iter().map(ToString::to_string).collect()),
            metadata: body.metadata.unwrap_or_default(),
            values: body.values.unwrap_or_default(),
            status: body.status.map(status_kept),
            scope,
        },
        by,
        direction: direction(body.sort_order),
        window,
        with_values: selects(ThreadSelect::Values)
            || extract.iter().any(|(_, path)| path.is_in_values()),
    };
    let page = runtime.search_threads(search).await?;
    let select = body.select.as_deref();
    let rows = page.rows.into_iter().map(|thread| chosen(wire(thread), &extract, select));
    let page = mesh_runtime::page::Page {
        rows: rows.collect::<Result<Vec<Value>, Refusal>>()?,
        next: page.next,
    };
    Ok(paged(window, page, |row| row, None::<&[ThreadSelect]>))
}

fn extracts(paths: BTreeMap<String, String>) -> Result<Vec<(String, Path)>, Refusal> {
    let refused = |detail: String| Refusal::invalid(Some("/extract".to_owned()), detail);
    if paths.len() > EXTRACTS_MAX {
        return Err(refused(format!("/extract: {} paths, at most {EXTRACTS_MAX}", paths.len())));
    }
    let parsed = paths.into_iter().map(|(name, path)| match Path::parse(&path) {
        Ok(path) => Ok((name, path)),
        Err(error) => Err(refused(error.to_string())),
    });
    parsed.collect()
}

/// A thread with what was extracted of it and the chosen members alone.
fn chosen(
    mut thread: Thread,
    extract: &[(String, Path)],
    select: Option<&[ThreadSelect]>,
) -> Result<Value, Refusal> {
    let json = |thread: &Thread| serde_json::to_value(thread).map_err(|_| Refusal::Internal);
    let mut whole = json(&thread)?;
    if !extract.is_empty() {
        let extracted = extract.iter().map(|(name, path)| (name.clone(), path.of(&whole)));
        thread.extracted = Some(extracted.collect());
        whole["extracted"] = json(&thread)?["extracted"].take();
    }
    if let (Some(select), Value::Object(members)) = (select, &mut whole) {
        let chosen = |name: &str| {
            name == "extracted" || select.iter().any(|one| json!(one).as_str() == Some(name))
        };
        members.retain(|name, _| chosen(name));
    }
    Ok(whole)
}

async fn count(
    Kept(runtime): Kept,
    caller: Caller,
    JsonBody(body): JsonBody<ThreadCount>,
) -> Result<Json<u64>, Refusal> {
    let filter = Filter {
        ids: None,
        metadata: body.metadata.unwrap_or_default(),
        values: body.values.unwrap_or_default(),
        status: body.status.map(status_kept),
        scope: caller.scope(Action::SearchThreads)?,
    };
    Ok(Json(runtime.count_threads(filter).await?))
}

async fn copy(
    Kept(runtime): Kept,
    caller: Caller,
    id: PathId<OfThread>,
) -> Result<Json<Thread>, Refusal> {
    let scope = caller.scope(Action::ReadThread)?;
    caller.scope(Action::CreateThread)?;
    let sign = |metadata: &mut Map<String, Value>| caller.sign(metadata);
    match runtime.copy_thread(&scope, caller.owner(), &id.to_string(), sign).await {
        Ok(copy) => Ok(Json(wire(copy))),
        Err(Error::NoThread(id)) => {
            Err(Refusal::conflict("thread_not_found", format!("Thread with ID {id} not found")))
        }
        Err(error) => Err(error.into()),
    }
}

async fn prune(
    Kept(runtime): Kept,
    caller: Caller,
    JsonBody(body): JsonBody<ThreadPrune>,
) -> Result<Json<Pruned>, Refusal> {
    let strategy = body.strategy.unwrap_or_default();
    let scope = caller.scope(match strategy {
        TtlStrategy::Delete => Action::DeleteThread,
        TtlStrategy::KeepLatest => Action::UpdateThread,
    })?;
    let count = body.thread_ids.len();
    if count > PRUNED_MAX {
        let detail = format!("/thread_ids: {count} threads, at most {PRUNED_MAX}");
        return Err(Refusal::invalid(Some("/thread_ids".to_owned()), detail));
    }
    let ids: Vec<String> = body.thread_ids.iter().map(ToString::to_string).collect();
    let pruned = runtime.prune_threads(&scope, &ids, strategy_kept(strategy)).await?;
    Ok(Json(Pruned { pruned_count: pruned as u64 }))
}

async fn storage(
    Kept(runtime): Kept,
    caller: Caller,
    id: PathId<OfThread>,
) -> Result<Json<ThreadStorage>, Refusal> {
    let scope = caller.scope(Action::ReadThread)?;
    let thread_id = id.to_string();
    let sizes = runtime.thread_sizes(&scope, &thread_id).await?;
    let by_channel: BTreeMap<String, ChannelSize> = sizes
        .channels
        .into_iter()
        .map(|(key, Size { count, bytes })| (key, ChannelSize { versions: count, bytes }))
        .collect();
    let channel_values = ChannelStorage {
        count: by_channel.values().map(|one| one.versions).sum(),
        bytes: by_channel.values().map(|one| one.bytes).sum(),
        by_channel,
    };
    let size = |Size { count, bytes }| StorageSize { count, bytes };
    Ok(Json(ThreadStorage {
        thread_id,
        total_bytes: sizes.checkpoints.bytes + channel_values.bytes + sizes.tasks.bytes,
        checkpoints: size(sizes.checkpoints),
        channel_values,
        pending_writes: size(sizes.tasks),
    }))
}

fn status_kept(status: ThreadStatus) -> kept::ThreadStatus {
    match status {
        ThreadStatus::Idle => kept::ThreadStatus::Idle,
        ThreadStatus::Busy => kept::ThreadStatus::Busy,
        ThreadStatus::Interrupted => kept::ThreadStatus::Interrupted,
        ThreadStatus::Error => kept::ThreadStatus::Error,
    }
}

/// A thread as the wire has it, without how long it is kept.
pub(crate) fn wire(thread: kept::Thread) -> Thread {
    // Something has happened on it: from then on it has both members.
    let had_state = thread.interrupts.is_some() || thread.error.is_some();
    Thread {
        thread_id: thread.id,
        created_at: thread.created_at.to_string(),
        updated_at: thread.updated_at.to_string(),
        state_updated_at: thread.state_updated_at.to_string(),
        metadata: thread.metadata,
        status: match thread.status {
            kept::ThreadStatus::Idle => ThreadStatus::Idle,
            kept::ThreadStatus::Busy => ThreadStatus::Busy,
            kept::ThreadStatus::Interrupted => ThreadStatus::Interrupted,
            kept::ThreadStatus::Error => ThreadStatus::Error,
        },
        config: thread.config,
        values: thread.values,
        error: had_state.then(|| thread.error.unwrap_or_default()),
        interrupts: had_state.then(|| thread.interrupts.unwrap_or_default()),
        ttl: None,
        extracted: None,
    }
}
