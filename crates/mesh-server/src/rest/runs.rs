//! `/runs` and `/threads/{thread_id}/runs`: runs that are made, followed, waited for and ended.

pub(crate) mod create;
pub(super) mod leaving;
pub(super) mod stream;
mod tails;
mod wait;

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::future::BoxFuture;
use mesh_protocol::run::{
    BulkCancelStatus, OnDisconnect, Run as WireRun, RunCreate, RunSelect, RunsCancel,
};
use mesh_runtime::{
    Error, Run, Runtime, Scope, idempotency,
    run::{CancelAction, RunStatus},
    runs::{RunQuery, Selection, shown},
};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Kept, Operation, Tag, operation::JSON, params::Params, search};
use crate::{
    auth::{Action, Caller},
    extract::{JsonBody, OfRun, OfThread, PathId, parse},
    idempotency::Repeat,
    refusal::Refusal,
    server::Shared,
};
pub(crate) use create::{headers_kept, new_run};
pub(crate) use leaving::Leaving;

pub(super) const TAG: Tag = Tag {
    name: "Runs",
    description: "One invocation of an assistant: on a thread, or on one of its own that goes \
                  with it.",
};

/// Runs that one request makes, at most.
pub(crate) const RUNS_AT_ONCE_MAX: usize = 1000;

/// Runs of a list that does not say how many it wants.
const LISTED: u32 = 10;

/// Runs of a list, at most.
const LISTED_MAX: u32 = 1000;

const EVENTS: &str = "text/event-stream";

/// What can be asked about runs.
pub(super) fn operations() -> Vec<Operation> {
    let no_thread = "There is no such thread or assistant";
    let busy = "The thread has a run, and the new one does not wait";
    let modes = || json!({ "type": "array", "items": { "type": "string" } });
    let flag = || json!({ "type": "boolean" });
    let stream = |operation: Operation| {
        operation
            .gives_as(
                EVENTS,
                frame,
                "Frames of `event`, `data` and `id`; the schema is that of one",
            )
            .header("content-location", "Path of the run")
            .header("location", "Where the stream can be had again, with `Last-Event-ID`")
    };
    let value = |operation: Operation| {
        operation
            .gives_as(JSON, anything, "The last values, with `__interrupt__` or `__error__`")
            .header("content-location", "Path of the run")
            .header("location", "Where the values can be waited for again")
    };
    let made = |operation: Operation| {
        operation
            .once(told_again)
            .gives::<WireRun>("The run, pending")
            .header("content-location", "Its path")
    };
    let joined = |operation: Operation| {
        operation
            .query("stream_mode", modes(), "Only frames of these modes")
            .query("cancel_on_disconnect", flag(), "Cancels the run when the client leaves")
            .description(
                "The header `Last-Event-ID` says after which frame to go on; `-1` begins with \
                 the first one. Without it only what comes from now on is sent.",
            )
    };
    vec![
        Operation::post("/runs/batch", "create_runs", create_many)
            .summary("Makes runs, all or none, each on a thread of its own")
            .body::<Vec<RunCreate>>()
            .once(many_again)
            .gives::<Vec<WireRun>>("The runs, pending")
            .refuses(404, "There is no such assistant"),
        Operation::post("/runs/cancel", "cancel_runs", cancel_many)
            .summary("Cancels runs")
            .query("action", json!({ "enum": ["after_step", "interrupt", "rollback"] }), "How")
            .body::<RunsCancel>()
            .gives_nothing(204, "They are cancelled")
            .refuses(404, "There are none to cancel"),
        made(Operation::post("/runs", "create_stateless_run", create_own))
            .summary("Makes a run on a thread of its own")
            .body::<RunCreate>()
            .refuses(404, "There is no such assistant"),
        stream(Operation::post("/runs/stream", "stream_stateless_run", stream_own))
            .once(streamed_again)
            .summary("Makes a run on a thread of its own and streams it")
            .body::<RunCreate>()
            .refuses(404, "There is no such assistant"),
        value(Operation::post("/runs/wait", "wait_stateless_run", wait_own))
            .once(waited_again)
            .summary("Makes a run on a thread of its own and waits for it")
            .body::<RunCreate>()
            .refuses(404, "There is no such assistant"),
        joined(stream(Operation::get("/runs/{run_id}/stream", "join_stream", join_stream_own)))
            .summary("Streams a run"),
        made(Operation::post("/threads/{thread_id}/runs", "create_run", create))
            .summary("Makes a run")
            .body::<RunCreate>()
            .refuses(404, no_thread)
            .refuses(409, busy),
        Operation::get("/threads/{thread_id}/runs", "list_runs", list)
            .summary("The runs of a thread, newest first")
            .query("limit", json!({ "type": "integer", "minimum": 1, "maximum": LISTED_MAX }), "")
            .query("offset", json!({ "type": "integer", "minimum": 0 }), "Rows to leave out")
            .query("status", json!({ "type": "string" }), "Only runs that stand so")
            .query("select", modes(), "Members of each run")
            .gives::<Vec<WireRun>>("The runs; only the chosen members of each")
            .refuses(404, "There is no such thread"),
        stream(Operation::post("/threads/{thread_id}/runs/stream", "stream_run", stream_new))
            .once(streamed_again)
            .summary("Makes a run and streams it")
            .body::<RunCreate>()
            .refuses(404, no_thread)
            .refuses(409, busy),
        value(Operation::post("/threads/{thread_id}/runs/wait", "wait_run", wait_new))
            .once(waited_again)
            .summary("Makes a run and waits for it")
            .body::<RunCreate>()
            .refuses(404, no_thread)
            .refuses(409, busy),
        Operation::get("/threads/{thread_id}/runs/{run_id}", "get_run", get)
            .summary("A run")
            .gives::<WireRun>("The run")
            .refuses(404, "There is no such run"),
        Operation::delete("/threads/{thread_id}/runs/{run_id}", "delete_run", delete)
            .summary("Removes a run with what it saved")
            .gives_nothing(204, "It is gone")
            .refuses(404, "There is no such run"),
        value(Operation::get("/threads/{thread_id}/runs/{run_id}/join", "join_run", join))
            .summary("Waits for a run")
            .query("cancel_on_disconnect", flag(), "Cancels the run when the client leaves")
            .refuses(404, "There is no such thread"),
        joined(stream(Operation::get(
            "/threads/{thread_id}/runs/{run_id}/stream",
            "join_run_stream",
            join_stream,
        )))
        .summary("Streams a run"),
        Operation::post("/threads/{thread_id}/runs/{run_id}/cancel", "cancel_run", cancel)
            .summary("Cancels a run")
            .query("wait", flag(), "Answers when it has ended")
            .query("action", json!({ "enum": ["after_step", "interrupt", "rollback"] }), "How")
            .gives_nothing(202, "It is to end")
            .gives_as(JSON, anything, "It has ended: its last values")
            .refuses(404, "There is no such run, or it has ended"),
        Operation::get("/threads/{thread_id}/stream", "join_thread_stream", join_thread)
            .summary("Streams all runs of a thread")
            .description(
                "Stays open from run to run. The header `Last-Event-ID` says after which frame \
                 to go on; `-` begins with the first one.",
            )
            .query("stream_modes", modes(), "`run_modes`, `lifecycle` or `state_update`")
            .gives_as(
                EVENTS,
                frame,
                "Frames of `event`, `data` and `id`; the schema is that of one",
            )
            .refuses(404, "There is no such thread"),
    ]
}

fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({})
}

/// One frame of a stream. OpenAPI 3.1 has no words for a sequence of them; its readers take the
/// schema of such an answer for that of one.
fn frame(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["data"],
        "properties": {
            "event": { "type": "string", "description": "Stream mode, or kind of the frame" },
            "data": { "type": "string", "description": "JSON" },
            "id": { "type": "string", "description": "Cursor for `Last-Event-ID`" },
        },
    })
}

/// A run that was just made, and for whom.
struct Made {
    shared: Arc<Shared>,
    runtime: Runtime,
    scope: Scope,
    run: Run,
    /// The thread is nobody's business.
    is_own: bool,
    on_disconnect: OnDisconnect,
}

impl Made {
    fn leaving(&self) -> Option<Leaving> {
        (self.on_disconnect == OnDisconnect::Cancel).then(|| self.always_leaving())
    }

    fn always_leaving(&self) -> Leaving {
        Leaving::new(&self.shared, &self.runtime, &self.scope, &self.run)
    }

    /// The run's path, as far as the client knows its thread.
    fn path(&self) -> String {
        if self.is_own { own_path(&self.run) } else { path(&self.run) }
    }
}

fn path(run: &Run) -> String {
    format!("/threads/{}/runs/{}", run.thread, run.id)
}

fn own_path(run: &Run) -> String {
    format!("/runs/{}", run.id)
}

/// Adds a header that says a path. All our paths are made of ids and words.
fn put(response: &mut Response, name: HeaderName, path: &str) {
    if let Ok(value) = HeaderValue::from_str(path) {
        response.headers_mut().insert(name, value);
    }
}

/// What making a run needs besides its body.
pub(crate) struct Making {
    pub(crate) shared: Arc<Shared>,
    pub(crate) runtime: Runtime,
    pub(crate) caller: Caller,
    pub(crate) headers: HeaderMap,
}

impl Making {
    /// Makes one run: on this thread, or on one of its own.
    async fn make(self, thread: Option<Uuid>, body: RunCreate) -> Result<Made, Refusal> {
        let scope = self.caller.scope(Action::CreateRun)?;
        let on_disconnect = body.on_disconnect;
        let new = new_run(&self, thread, body).await?;
        let run = self.runtime.create_run(&scope, new).await?;
        Ok(Made {
            shared: self.shared,
            runtime: self.runtime,
            scope,
            run,
            is_own: thread.is_none(),
            on_disconnect,
        })
    }
}

impl axum::extract::FromRequestParts<Arc<Shared>> for Making {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        shared: &Arc<Shared>,
    ) -> Result<Self, Refusal> {
        let Kept(runtime) = Kept::from_request_parts(parts, shared).await?;
        let caller = parts.extensions.get::<Caller>().cloned().unwrap_or_default();
        Ok(Self { shared: Arc::clone(shared), runtime, caller, headers: parts.headers.clone() })
    }
}

/// The run itself.
fn told(made: &Made) -> Response {
    let mut response = Json(shown(&made.run)).into_response();
    put(&mut response, header::CONTENT_LOCATION, &made.path());
    response
}

/// Its stream from its beginning.
async fn streamed(made: Made) -> Result<Response, Refusal> {
    let tail = tails::of_new_run(&made.runtime, &made.run).await?;
    let leaving = made.leaving();
    let mut response = stream::response(&made.shared, tail, leaving);
    put(&mut response, header::CONTENT_LOCATION, &made.path());
    put(&mut response, header::LOCATION, &format!("{}/stream", made.path()));
    Ok(response)
}

/// Its last values, when it has ended.
async fn waited(made: Made) -> Response {
    let mut response =
        wait::response_of_new(&made.shared, &made.runtime, &made.run, made.leaving()).await;
    // Even when the thread is the run's own: this is where a broken wait goes on.
    put(&mut response, header::CONTENT_LOCATION, &path(&made.run));
    put(&mut response, header::LOCATION, &format!("{}/join", path(&made.run)));
    response
}

async fn create(
    making: Making,
    thread: PathId<OfThread>,
    JsonBody(body): JsonBody<RunCreate>,
) -> Result<Response, Refusal> {
    Ok(told(&making.make(Some(*thread), body).await?))
}

async fn create_own(
    making: Making,
    JsonBody(body): JsonBody<RunCreate>,
) -> Result<Response, Refusal> {
    Ok(told(&making.make(None, body).await?))
}

async fn stream_new(
    making: Making,
    thread: PathId<OfThread>,
    JsonBody(body): JsonBody<RunCreate>,
) -> Result<Response, Refusal> {
    streamed(making.make(Some(*thread), body).await?).await
}

async fn stream_own(
    making: Making,
    JsonBody(body): JsonBody<RunCreate>,
) -> Result<Response, Refusal> {
    streamed(making.make(None, body).await?).await
}

async fn wait_new(
    making: Making,
    thread: PathId<OfThread>,
    JsonBody(body): JsonBody<RunCreate>,
) -> Result<Response, Refusal> {
    Ok(waited(making.make(Some(*thread), body).await?).await)
}

async fn wait_own(
    making: Making,
    JsonBody(body): JsonBody<RunCreate>,
) -> Result<Response, Refusal> {
    Ok(waited(making.make(None, body).await?).await)
}

async fn create_many(
    making: Making,
    JsonBody(bodies): JsonBody<Vec<RunCreate>>,
) -> Result<Response, Refusal> {
    let scope = making.caller.scope(Action::CreateRun)?;
    if !(1..=RUNS_AT_ONCE_MAX).contains(&bodies.len()) {
        let detail = format!("{} runs, expected 1 to {RUNS_AT_ONCE_MAX}", bodies.len());
        return Err(Refusal::invalid(Some(String::new()), detail));
    }
    let mut new = Vec::with_capacity(bodies.len());
    for body in bodies {
        new.push(new_run(&making, None, body).await?);
    }
    let runs = making.runtime.create_runs(&scope, new).await?;
    Ok(Json(runs.iter().map(shown).collect::<Vec<_>>()).into_response())
}

/// The run that a request made before, for the same caller.
async fn made_again(repeat: Repeat) -> Result<Made, Refusal> {
    let scope = repeat.caller.scope(Action::CreateRun)?;
    let body: RunCreate = parse(&repeat.body)?;
    let id = match &repeat.made {
        idempotency::Made::Runs(ids) if let [id] = ids[..] => id,
        _ => return Err(Refusal::Internal),
    };
    let run = repeat.runtime.run(&scope, None, id).await?;
    Ok(Made {
        shared: repeat.shared,
        runtime: repeat.runtime,
        scope,
        run,
        is_own: repeat.path.starts_with("/runs"),
        on_disconnect: body.on_disconnect,
    })
}

fn told_again(repeat: Repeat) -> BoxFuture<'static, Result<Response, Refusal>> {
    Box::pin(async move { Ok(told(&made_again(repeat).await?)) })
}

fn streamed_again(repeat: Repeat) -> BoxFuture<'static, Result<Response, Refusal>> {
    Box::pin(async move { streamed(made_again(repeat).await?).await })
}

fn waited_again(repeat: Repeat) -> BoxFuture<'static, Result<Response, Refusal>> {
    Box::pin(async move { Ok(waited(made_again(repeat).await?).await) })
}

fn many_again(repeat: Repeat) -> BoxFuture<'static, Result<Response, Refusal>> {
    Box::pin(async move {
        let scope = repeat.caller.scope(Action::CreateRun)?;
        let idempotency::Made::Runs(ids) = repeat.made else { return Err(Refusal::Internal) };
        let mut runs = Vec::with_capacity(ids.len());
        for id in ids {
            runs.push(shown(&repeat.runtime.run(&scope, None, id).await?));
        }
        Ok(Json(runs).into_response())
    })
}

async fn list(
    Kept(runtime): Kept,
    caller: Caller,
    thread: PathId<OfThread>,
    params: Params,
) -> Result<Response, Refusal> {
    let scope = caller.scope(Action::SearchThreads)?;
    let limit = params.number("limit")?.unwrap_or(LISTED);
    if !(1..=LISTED_MAX).contains(&limit) {
        let detail = format!("query parameter limit: {limit}, expected 1 to {LISTED_MAX}");
        return Err(Refusal::invalid(None, detail));
    }
    let offset = params.number("offset")?.unwrap_or(0);
    let select = params.choices::<RunSelect>("select")?;
    let status = params.text("status").filter(|status| !status.is_empty());
    let named = status.map(RunStatus::named);
    let query =
        RunQuery { status: named.flatten(), limit: limit as usize, offset: offset as usize };
    let mut runs = runtime.runs(&scope, &thread.to_string(), &query).await?;
    // No run stands in a way that there is not.
    if named == Some(None) {
        runs.clear();
    }
    let rows: Vec<Map<String, Value>> = runs.iter().map(shown).collect();
    match select {
        None => Ok(Json(rows).into_response()),
        Some(select) => Ok(Json(search::selected(&rows, &select)?).into_response()),
    }
}

async fn get(
    Kept(runtime): Kept,
    caller: Caller,
    thread: PathId<OfThread>,
    run: PathId<OfRun>,
) -> Result<Json<Map<String, Value>>, Refusal> {
    let scope = caller.scope(Action::ReadThread)?;
    let run = runtime.run(&scope, Some(&thread.to_string()), *run).await?;
    Ok(Json(shown(&run)))
}

async fn delete(
    Kept(runtime): Kept,
    caller: Caller,
    thread: PathId<OfThread>,
    run: PathId<OfRun>,
) -> Result<StatusCode, Refusal> {
    let scope = caller.scope(Action::DeleteThread)?;
    runtime.delete_run(&scope, Some(&thread.to_string()), *run).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How to cancel; what is no action interrupts.
fn action(params: &Params) -> CancelAction {
    params.text("action").and_then(CancelAction::named).unwrap_or_default()
}

async fn cancel(
    State(shared): State<Arc<Shared>>,
    Kept(runtime): Kept,
    caller: Caller,
    thread: PathId<OfThread>,
    id: PathId<OfRun>,
    params: Params,
) -> Result<Response, Refusal> {
    let scope = caller.scope(Action::UpdateThread)?;
    let wait = params.flag("wait")?.unwrap_or(false);
    let thread = thread.to_string();
    // Before, since a run that is rolled back is not there afterwards.
    let run = if wait {
        match runtime.run(&scope, Some(&thread), *id).await {
            Ok(run) => Some(run),
            Err(Error::NoRun(_) | Error::NoThread(_)) => return Err(nothing_to_cancel()),
            Err(error) => return Err(error.into()),
        }
    } else {
        None
    };
    let selection = Selection::Runs { thread: Some(thread), ids: vec![*id] };
    let cancelled = runtime.cancel(&scope, &selection, action(&params)).await?;
    if cancelled.known == 0 {
        return Err(nothing_to_cancel());
    }
    if cancelled.runs.is_empty() {
        return Err(Refusal::not_found(
            "run_ended",
            "No matching runs to cancel. Runs that have ended cannot be cancelled.",
        ));
    }
    match run {
        None => Ok(StatusCode::ACCEPTED.into_response()),
        Some(run) => Ok(wait::response_after_cancel(&shared, &runtime, &run).await),
    }
}

fn nothing_to_cancel() -> Refusal {
    Refusal::not_found("run_not_found", "No runs found to cancel.")
}

async fn cancel_many(
    Kept(runtime): Kept,
    caller: Caller,
    params: Params,
    JsonBody(body): JsonBody<RunsCancel>,
) -> Result<StatusCode, Refusal> {
    let scope = caller.scope(Action::UpdateThread)?;
    let selection = match body {
        RunsCancel { status: Some(status), .. } => Selection::Open(match status {
            BulkCancelStatus::Pending => Some(RunStatus::Pending),
            BulkCancelStatus::Running => Some(RunStatus::Running),
            BulkCancelStatus::All => None,
        }),
        RunsCancel { thread_id: Some(thread), run_ids: Some(ids), .. }
            if ids.len() <= RUNS_AT_ONCE_MAX =>
        {
            Selection::Runs { thread: Some(thread.to_string()), ids }
        }
        RunsCancel { run_ids: Some(ids), .. } if ids.len() > RUNS_AT_ONCE_MAX => {
            let detail =
                format!("/run_ids: {} ids, expected at most {RUNS_AT_ONCE_MAX}", ids.len());
            return Err(Refusal::invalid(Some("/run_ids".to_owned()), detail));
        }
        _ => {
            let detail = "expected either status, or thread_id and run_ids";
            return Err(Refusal::invalid(Some(String::new()), detail));
        }
    };
    let cancelled = runtime.cancel(&scope, &selection, action(&params)).await?;
    if cancelled.runs.is_empty() { Err(nothing_to_cancel()) } else { Ok(StatusCode::NO_CONTENT) }
}

async fn join(
    State(shared): State<Arc<Shared>>,
    Kept(runtime): Kept,
    caller: Caller,
    thread: PathId<OfThread>,
    id: PathId<OfRun>,
    params: Params,
) -> Result<Response, Refusal> {
    let scope = caller.scope(Action::ReadThread)?;
    let cancels = params.flag("cancel_on_disconnect")?.unwrap_or(false);
    let thread = thread.to_string();
    let run = match runtime.run(&scope, Some(&thread), *id).await {
        Ok(run) => run,
        Err(Error::NoRun(_)) => {
            // A thread that is not there is refused; a run that is not there is an answer.
            let none = RunQuery { status: None, limit: 1, offset: 0 };
            runtime.runs(&scope, &thread, &none).await?;
            return Ok(wait::no_run());
        }
        Err(error) => return Err(error.into()),
    };
    let leaving = cancels.then(|| Leaving::new(&shared, &runtime, &scope, &run));
    let mut response = wait::response(&shared, &runtime, &run, leaving).await;
    put(&mut response, header::CONTENT_LOCATION, &path(&run));
    put(&mut response, header::LOCATION, &format!("{}/join", path(&run)));
    Ok(response)
}

async fn join_stream(
    joining: stream::Joining,
    thread: PathId<OfThread>,
    run: PathId<OfRun>,
) -> Result<Response, Refusal> {
    joined(joining, Some(thread.to_string()), *run).await
}

async fn join_stream_own(
    joining: stream::Joining,
    run: PathId<OfRun>,
) -> Result<Response, Refusal> {
    joined(joining, None, *run).await
}

async fn joined(
    joining: stream::Joining,
    thread: Option<String>,
    id: Uuid,
) -> Result<Response, Refusal> {
    let scope = joining.caller.scope(Action::ReadThread)?;
    let (shared, runtime) = (&joining.shared, &joining.runtime);
    let tail = match runtime.run(&scope, thread.as_deref(), id).await {
        Ok(run) => match tails::of_joined_run(runtime, &run, joining.after, joining.only).await {
            Ok(tail) => Ok((run, tail)),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let (run, tail) = match tail {
        Ok(found) => found,
        Err(Error::NoRun(_) | Error::NoThread(_)) => return Ok(stream::no_run()),
        Err(error) => return Err(error.into()),
    };
    let leaving = joining.cancels.then(|| Leaving::new(shared, runtime, &scope, &run));
    let mut response = stream::response(shared, tail, leaving);
    let path = if thread.is_some() { path(&run) } else { own_path(&run) };
    put(&mut response, header::CONTENT_LOCATION, &path);
    put(&mut response, header::LOCATION, &format!("{path}/stream"));
    Ok(response)
}

async fn join_thread(
    State(shared): State<Arc<Shared>>,
    Kept(runtime): Kept,
    caller: Caller,
    thread: PathId<OfThread>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Refusal> {
    let scope = caller.scope(Action::ReadThread)?;
    let thread = thread.to_string();
    let one = RunQuery { status: None, limit: 1, offset: 0 };
    runtime.runs(&scope, &thread, &one).await?;
    let mut told = tails::Told::default();
    for word in params.list("stream_modes").into_iter().chain(params.list("stream_mode")) {
        // Run modes stand here, too, when a client follows a thread as it follows a run.
        told.add(&word);
    }
    let from = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let tail = tails::of_thread(&runtime, &thread, from, told).await?;
    let mut response = stream::response(&shared, tail, None);
    put(&mut response, header::LOCATION, &format!("/threads/{thread}/stream"));
    Ok(response)
}
