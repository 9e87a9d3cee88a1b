//! The plain socket: one request in, what its run tells out, a close code at the end.
//!
//! A run is made as the REST doors make it, and what it tells is read from its log. So the socket
//! holds nothing that a client could lose with it: one that was cut off comes back for the rest.

use std::{iter::once, sync::Arc, time::Duration};

use axum::{
    extract::{RawQuery, Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use futures::stream::{FuturesUnordered, StreamExt};
use mesh_protocol::run::{IfNotExists, MultitaskStrategy, OnDisconnect, RunCreate};
use mesh_runtime::{
    Assistant, Error, Follow, Run, RunEnd, Runtime, Scope, Start, Told, log::Kind, run::RunStatus,
    runs::RunQuery,
};
use serde_json::Value as Json;
use tokio::time::{sleep, timeout};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    Heard, Left, NORMAL, Socket,
    frames::{Frames, stream_mode},
};
use crate::{
    InvalidRequest,
    auth::{Action, Caller, SUBPROTOCOL},
    extract::{PathText, parse},
    query::Query,
    refusal::Refusal,
    rest::{Leaving, Making, headers_kept, kept, new_run},
    routes::id_of,
    server::Shared,
};

/// How often a socket of a stopping server looks whether its run is still executed here.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// How long what was read of the log is held for a client that takes nothing. Then it is let go,
/// and read again when there is room: a thousand stalled sockets hold nothing but their places.
const HELD_FOR: Duration = Duration::from_secs(1);

/// Where the names that clients give their threads become ids.
const THREAD_NAMES: Uuid = Uuid::from_u128(0x9d6b_6a0e_5c0f_4b53_8a1d_3f27_6c4e_b0a1);

/// Opens the socket of an assistant. What is wrong with the address is told on the socket, since
/// a browser shows its script nothing of a failed handshake; without a handshake it is told here.
pub(crate) async fn open(
    State(shared): State<Arc<Shared>>,
    PathText(name): PathText<String>,
    RawQuery(query): RawQuery,
    caller: Caller,
    mut request: Request,
) -> Response {
    let call = Call {
        id: id_of(&request),
        caller: caller.clone(),
        assistant: name.clone(),
        query: Query::parse(query.as_deref().unwrap_or_default()),
        headers: headers_kept(request.headers(), &shared.copied_headers),
    };
    let bytes_max = shared.limits.message_bytes_max;
    let server = Arc::clone(&shared);
    let session = move |socket| serve(server, call, socket);
    match super::open(&shared, &mut request, &[SUBPROTOCOL], bytes_max, session) {
        Ok(response) => response,
        Err(Refusal::UpgradeRequired) => {
            let found = async { assistant(&kept(&shared)?, &caller, &name).await };
            found.await.err().unwrap_or(Refusal::UpgradeRequired).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// A socket that somebody opened.
struct Call {
    /// Id of the request.
    id: Arc<str>,
    /// Who opened it; a stranger has to say so first.
    caller: Caller,
    assistant: String,
    /// What the address asks for, or why that cannot be had.
    query: Result<Query, Refusal>,
    /// Of the handshake, those that its run may need.
    headers: HeaderMap,
}

/// How a conversation ended.
enum End {
    /// The run ended well.
    Done,
    /// It did not, and the client is told why.
    Refused(Refusal),
    /// Nobody is there to be told.
    Gone,
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Left> for End {
    fn from(left: Left) -> Self {
        match left {
            Left::Gone => Self::Gone,
            Left::Wrong(refusal) => Self::Refused(refusal),
        }
    }
}

/// Serves one socket to its end.
fn serve(shared: Arc<Shared>, call: Call, mut socket: Socket) -> impl Future<Output = ()> {
    let span = tracing::info_span!(
        "socket",
        request_id = &*call.id,
        peer = %socket.peer(),
        assistant = call.assistant,
        run_id = tracing::field::Empty,
    );
    async move {
        let mut reference = Arc::clone(&call.id);
        let end = match begin(&shared, call, &mut socket).await {
            Ok(going) => {
                reference = going.run.id.to_string().into();
                tracing::Span::current().record("run_id", &*reference);
                // Of its own, so that sockets that only wait are small.
                Box::pin(follow(&shared, *going, &mut socket)).await
            }
            Err(end) => end,
        };
        match end {
            End::Refused(refusal) => {
                shared.metrics.note(&refusal);
                socket.refuse(&refusal, &reference).await;
            }
            End::Done | End::Gone => socket.close(NORMAL, "").await,
        }
    }
    .instrument(span)
}

/// A run that is followed.
struct Going {
    runtime: Runtime,
    run: Run,
    follow: Follow,
    frames: Frames,
    /// Cancels the run unless it is let go.
    leaving: Option<Leaving>,
}

/// Waits for the request and makes its run, or finds the one that the client comes back to.
async fn begin(shared: &Arc<Shared>, call: Call, socket: &mut Socket) -> Result<Box<Going>, End> {
    let Call { id: _, caller, assistant: name, query, headers } = call;
    let caller = socket.who(shared, caller).await?;
    let scope = caller.scope(Action::CreateRun)?;
    let query = query?;
    let runtime = kept(shared)?;
    // Boxed, as all that a socket does not need while it only waits for its request.
    let assistant = Box::pin(assistant(&runtime, &caller, &name)).await?;
    let thread = query.thread.as_deref().map(|name| thread_id(&caller, name));
    if let (Some(thread), Some(after)) = (thread, query.after) {
        let scope = caller.scope(Action::ReadThread)?;
        let again = again(&runtime, &scope, &assistant, &query, thread, after);
        return Ok(Box::new(Box::pin(again).await?));
    }
    drop(assistant);
    let wait = shared.limits.first_frame_wait;
    let text = tokio::select! {
        biased;
        () = shared.stop.cancelled() => return Err(Refusal::Stopping.into()),
        text = timeout(wait, socket.text()) => {
            text.map_err(|_| Refusal::NoRequest { seconds: wait.as_secs() })??
        }
    };
    let asked = Asked { caller, scope, assistant: name, query, headers, thread };
    Box::pin(make(shared, runtime, asked, &text)).await.map(Box::new)
}

/// What makes a run, besides its input.
struct Asked {
    caller: Caller,
    scope: Scope,
    assistant: String,
    query: Query,
    headers: HeaderMap,
    thread: Option<Uuid>,
}

/// Makes the run of a request.
async fn make(
    shared: &Arc<Shared>,
    runtime: Runtime,
    asked: Asked,
    text: &str,
) -> Result<Going, End> {
    let Asked { caller, scope, assistant, query, headers, thread } = asked;
    let input = request(text)?;
    if input.is_null() && thread.is_none() {
        return Err(Refusal::ResumeWithoutThread.into());
    }
    let body = RunCreate {
        assistant_id: assistant,
        input,
        if_not_exists: IfNotExists::Create,
        multitask_strategy: MultitaskStrategy::Reject,
        stream_subgraphs: query.subgraphs,
        stream_resumable: thread.is_some(),
        on_disconnect: if query.detach { OnDisconnect::Continue } else { OnDisconnect::Cancel },
        ..RunCreate::default()
    };
    let making = Making { shared: Arc::clone(shared), runtime: runtime.clone(), caller, headers };
    let mut new = new_run(&making, thread, body).await.map_err(of_the_input)?;
    new.stream_mode = stream_mode(&query);
    let run = match runtime.create_run(&scope, new).await {
        Ok(run) => run,
        Err(Error::Busy { thread }) => {
            let thread = query.thread.unwrap_or(thread);
            return Err(Refusal::ThreadBusy { thread }.into());
        }
        Err(error) => return Err(Refusal::from(error).into()),
    };
    let leaving = (!query.detach).then(|| Leaving::new(shared, &runtime, &scope, &run));
    let frames = Frames::new(&run, &query);
    let follow = runtime.follow_new(&run).await;
    let follow = as_asked(follow.map_err(Refusal::from)?, &query);
    Ok(Going { runtime, run, follow, frames, leaving })
}

/// With text that is not stored yet, if the client wants that.
fn as_asked(follow: Follow, query: &Query) -> Follow {
    if query.tells_early() { follow.early() } else { follow }
}

/// The newest run of a thread, for a client that comes back to it. Leaving it once more cancels
/// nothing: who made the run said what leaving means, and left.
async fn again(
    runtime: &Runtime,
    scope: &Scope,
    assistant: &Assistant,
    query: &Query,
    thread: Uuid,
    after: u64,
) -> Result<Going, Refusal> {
    let newest = RunQuery { status: None, limit: 1, offset: 0 };
    let runs = runtime.runs(scope, &thread.to_string(), &newest).await?;
    let run = runs.into_iter().find(|run| run.assistant == assistant.id);
    let run = run.ok_or_else(|| Refusal::from(Error::NoRun(Uuid::nil())))?;
    let follow = runtime.follow_run(&run.thread, run.id, Start::Beginning).await?;
    let frames = Frames::again(&run, query, after);
    let follow = as_asked(follow, query);
    Ok(Going { runtime: runtime.clone(), run, follow, frames, leaving: None })
}

/// The assistant by its id or the name of its graph, if this caller may run it.
async fn assistant(runtime: &Runtime, caller: &Caller, name: &str) -> Result<Assistant, Refusal> {
    match runtime.assistant(&Scope::All, name).await {
        Ok(found) if caller.may_run(found.owner.as_deref()) => Ok(found),
        Ok(_) | Err(Error::NoAssistant(_)) => {
            let known = runtime.graphs().ids().map(str::to_owned).collect();
            Err(Refusal::UnknownAssistant { name: name.to_owned(), known })
        }
        Err(error) => Err(error.into()),
    }
}

/// The thread that somebody calls by this name: an id means itself, and everybody has names of
/// their own.
fn thread_id(caller: &Caller, name: &str) -> Uuid {
    Uuid::parse_str(name).unwrap_or_else(|_| {
        let owner = caller.owner().unwrap_or_default();
        Uuid::new_v5(&Uuid::new_v5(&THREAD_NAMES, owner.as_bytes()), name.as_bytes())
    })
}

/// The request of a client as JSON.
fn request(text: &str) -> Result<Json, Refusal> {
    parse(text.as_bytes()).map_err(|refusal| match refusal {
        // There may be much of it: say where.
        Refusal::MalformedJson => match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Err(error) => Refusal::InvalidJson(error.to_string()),
            Ok(_) => Refusal::MalformedJson,
        },
        Refusal::Told { code: "invalid_request", detail, .. } => {
            Refusal::InvalidJson(detail.into_owned())
        }
        other => other,
    })
}

/// The request is the run's input, so pointers begin there.
fn of_the_input(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Told { pointer: Some(pointer), detail, .. } if pointer.starts_with("/input") => {
            let pointer = pointer["/input".len()..].to_owned();
            Refusal::InvalidRequest(InvalidRequest { pointer, message: detail.into_owned() })
        }
        other => other,
    }
}

/// Passes on what a run tells until one of the two ends.
async fn follow(shared: &Shared, going: Going, socket: &mut Socket) -> End {
    let Going { runtime, run, mut follow, mut frames, leaving } = going;
    let turn = tell(shared, &runtime, &run, &mut follow, &mut frames, socket).await;
    match turn {
        Turn::Ended(end) => {
            if let Some(leaving) = leaving {
                leaving.let_go();
            }
            let asks = end.status == RunStatus::Success && end.unfinished && !end.breakpoint;
            if asks && frames.lacks_questions() {
                match runtime.thread(&Scope::All, &run.thread).await {
                    Ok(thread) => {
                        frames.feed_questions(&thread.interrupts.unwrap_or_default(), socket);
                    }
                    Err(error) => return Refusal::from(error).into(),
                }
            }
            if asks && run.kwargs.temporary {
                return Refusal::Unanswerable.into();
            }
            ended(&end)
        }
        // What `leaving` says becomes of the run.
        Turn::Over(end) => end,
    }
}

/// Why following a run stopped.
enum Turn {
    /// The run has nothing more to tell.
    Ended(RunEnd),
    /// The client, or the server, did what ends it.
    Over(End),
}

/// Passes on entries, several per write when they come fast, until the run ends or the client says
/// something, which it must not, or leaves.
async fn tell(
    shared: &Shared,
    runtime: &Runtime,
    run: &Run,
    follow: &mut Follow,
    frames: &mut Frames,
    socket: &mut Socket,
) -> Turn {
    // Looked at when the server stops, not for each frame.
    let mut stop: FuturesUnordered<_> = once(stopped(shared, runtime, run.id)).collect();
    loop {
        let first = tokio::select! {
            // The client first: when it left, nothing else matters.
            biased;
            heard = socket.next() => match heard {
                Ok(Heard::Room) => continue,
                Ok(Heard::Text(_)) => return Turn::Over(Refusal::UnexpectedFrame.into()),
                Ok(Heard::Binary(_)) => return Turn::Over(Refusal::BinaryFrame.into()),
                Err(left) => return Turn::Over(left.into()),
            },
            told = follow.told(), if socket.has_room() => told,
            Some(()) = stop.next() => return Turn::Over(Refusal::Stopping.into()),
            () = sleep(HELD_FOR), if !socket.has_room() => {
                follow.let_go();
                continue;
            }
        };
        let mut next = first;
        loop {
            let entry = match next {
                Ok(Some(Told::Entry(entry))) => Some(entry),
                Ok(Some(Told::Number(entry))) => {
                    frames.pass(&entry);
                    None
                }
                Ok(Some(Told::Early(early))) => {
                    frames.feed_early(&early, socket);
                    None
                }
                // Its thread went away with it.
                Ok(None) => return Turn::Over(Refusal::Cancelled.into()),
                Err(error) => return Turn::Over(Refusal::from(error).into()),
            };
            if let Some(entry) = entry {
                if entry.kind == Kind::Ended {
                    return match RunEnd::of(&entry.data) {
                        Ok(end) => Turn::Ended(end),
                        Err(error) => Turn::Over(Refusal::from(error).into()),
                    };
                }
                frames.feed(&entry, socket);
            }
            if !socket.has_room() {
                break;
            }
            let Some(told) = follow.at_hand() else { break };
            next = Ok(Some(told));
        }
    }
}

/// Waits until the server stops and nobody here executes the run any more: it ended, or whoever
/// serves its thread next goes on with it.
async fn stopped(shared: &Shared, runtime: &Runtime, run: Uuid) {
    shared.stop.cancelled().await;
    while runtime.executes(run) {
        tokio::select! {
            () = shared.cancel.cancelled() => return,
            () = sleep(LOOK_EVERY) => {}
        }
    }
    // What it told last is on its way.
    sleep(LOOK_EVERY).await;
}

/// How the client learns how the run ended.
fn ended(end: &RunEnd) -> End {
    match end.status {
        RunStatus::Success => End::Done,
        RunStatus::Interrupted => Refusal::Cancelled.into(),
        RunStatus::Error | RunStatus::Timeout | RunStatus::Pending | RunStatus::Running => {
            let member = |name| end.error.as_ref().and_then(|error| error.get(name)?.as_str());
            let message = member("message").unwrap_or("the run failed").to_owned();
            let name = member("error").unwrap_or_default();
            let pointer = member("pointer").map(str::to_owned);
            failed(name, message, pointer).into()
        }
    }
}

/// The refusal for a failed run: names that the runtime gives become codes, and a node's own name
/// for its error is one.
fn failed(name: &str, message: String, pointer: Option<String>) -> Refusal {
    let code = match name {
        "InvalidUpdateError" if let Some(pointer) = pointer => {
            return Refusal::InvalidRequest(InvalidRequest { pointer, message });
        }
        "EmptyInputError" => return Refusal::NothingToResume,
        "InternalError" => return Refusal::Internal,
        "NodeError" | "CancelledError" | "NodeTimeoutError" | "InvalidUpdateError" => {
            let message = format!("{message}; the server's log has the cause under the reference");
            return Refusal::Coded { code: "node_failed".to_owned(), message };
        }
        "GraphRecursionError" => "recursion_limit",
        "TimeoutError" => "run_timeout",
        "WorkerLost" => "worker_lost",
        "" => "run_failed",
        own => own,
    };
    Refusal::Coded { code: code.to_owned(), message }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_socket_that_waits_takes_little() {
        fn size<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(super::serve);
        assert!(size <= 2176, "{size} bytes");
    }
}
