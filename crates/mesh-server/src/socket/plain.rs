//! The plain socket: one request in, what its run tells out, a close code at the end.
//!
//! One task owns a socket and its run. While the run goes on, reading and writing are two futures
//! of that task: a client that leaves is noticed although a write is waiting for it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use axum::{
    extract::{RawQuery, Request, State},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use mesh_graph::{Mode, Run, RunHandle, Status, Untyped};
use serde_json::Value as Json;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Heard, Left, NORMAL, Socket,
    frames::{Frames, from_any_depth},
};
use crate::{
    Assistant, LEAVE_WAIT,
    auth::{Action, Caller, SUBPROTOCOL, Scope},
    extract::PathText,
    query::Query,
    refusal::{self, Refusal},
    routes::{id_of, text_of},
    server::Shared,
    threads::Taken,
};

/// Opens the socket of an assistant. What is wrong with the address is told on the socket, since
/// a browser shows its script nothing of a failed handshake; without a handshake it is told here.
pub(crate) async fn open(
    State(shared): State<Arc<Shared>>,
    PathText(name): PathText<String>,
    RawQuery(query): RawQuery,
    caller: Caller,
    mut request: Request,
) -> Response {
    let id = id_of(&request);
    let assistant = shared.assistants.get(&name).cloned().ok_or_else(|| {
        Refusal::UnknownAssistant { name, known: shared.assistants.keys().cloned().collect() }
    });
    let unknown = assistant.as_ref().err().cloned();
    let asked = assistant
        .and_then(|assistant| Ok((assistant, Query::parse(query.as_deref().unwrap_or_default())?)));
    let call = Call { id, caller, asked };
    let bytes_max = shared.limits.message_bytes_max;
    let server = Arc::clone(&shared);
    let session = move |socket| serve(server, call, socket);
    match (super::open(&shared, &mut request, &[SUBPROTOCOL], bytes_max, session), unknown) {
        (Ok(response), _) => response,
        (Err(Refusal::UpgradeRequired), Some(unknown)) => unknown.into_response(),
        (Err(refusal), _) => refusal.into_response(),
    }
}

/// A socket that somebody opened.
struct Call {
    /// Id of the request, and of the run it starts.
    id: Arc<str>,
    /// Who opened it; a stranger has to say so first.
    caller: Caller,
    /// What the address asks for, or why that cannot be had.
    asked: Result<(Assistant, Query), Refusal>,
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

/// Serves one socket to its end, and its run, too, if that goes on without the client.
async fn serve(shared: Arc<Shared>, call: Call, socket: Socket) {
    let span = tracing::info_span!(
        "socket",
        run_id = &*call.id,
        peer = %socket.peer(),
        assistant = tracing::field::Empty,
        thread_id = tracing::field::Empty,
    );
    if let Ok((assistant, query)) = &call.asked {
        span.record("assistant", assistant.name());
        span.record("thread_id", query.thread.as_deref());
    }
    converse(shared, call, socket).instrument(span).await;
}

async fn converse(shared: Arc<Shared>, call: Call, mut socket: Socket) {
    let Call { id, caller, asked } = call;
    let begun = begin(&shared, &id, caller, asked, &mut socket).await;
    let (socket, end) = match begun {
        Ok(going) => follow(&shared, &id, going, socket).await,
        Err(end) => (Some(socket), end),
    };
    match (socket, end) {
        (Some(socket), End::Refused(refusal)) => socket.refuse(&refusal, &id).await,
        (Some(socket), End::Done | End::Gone) => socket.close(NORMAL, "").await,
        (None, _) => {}
    }
}

/// A run that was started.
struct Going {
    run: RunHandle<Untyped>,
    /// Cancels the run, also while its end is being waited for.
    cancel: CancellationToken,
    frames: Frames,
    thread: Option<Taken>,
    /// The place of a run that goes on when the client leaves.
    detach: Option<OwnedSemaphorePermit>,
}

/// Waits for the request and starts its run.
async fn begin(
    shared: &Shared,
    id: &str,
    caller: Caller,
    asked: Result<(Assistant, Query), Refusal>,
    socket: &mut Socket,
) -> Result<Going, End> {
    let caller = socket.who(shared, caller).await?;
    let scope = caller.scope(Action::CreateRun)?;
    let (assistant, query) = asked?;
    // The threads of these sockets have no owner, and whoever knew a name would read them.
    if query.thread.is_some() && scope != Scope::All {
        return Err(Refusal::NotAuthorized.into());
    }
    if query.thread.is_some() && !assistant.keeps_threads() {
        return Err(Refusal::NoThreads.into());
    }
    let wait = shared.limits.first_frame_wait;
    let text = tokio::select! {
        biased;
        () = shared.stop.cancelled() => return Err(Refusal::Stopping.into()),
        text = timeout(wait, socket.text()) => {
            text.map_err(|_| Refusal::NoRequest { seconds: wait.as_secs() })??
        }
    };
    let request: Json =
        serde_json::from_str(&text).map_err(|error| Refusal::InvalidJson(error.to_string()))?;
    drop(text);
    let resumes = request.is_null();
    let input = match (resumes, &query.thread) {
        (true, None) => return Err(Refusal::ResumeWithoutThread.into()),
        (true, Some(_)) => Json::Null,
        (false, _) => prepare(&assistant, request, id)?,
    };
    let taken = match &query.thread {
        Some(thread) => {
            let busy = || Refusal::ThreadBusy { thread: thread.clone() };
            let taken = shared.threads.take(thread).ok_or_else(busy)?;
            check_owner(&assistant, thread, id).await?;
            Some(taken)
        }
        None => None,
    };
    let detach = if query.detach {
        let max = shared.limits.runs_detached_max;
        let place = Arc::clone(&shared.detached).try_acquire_owned();
        Some(place.map_err(|_| Refusal::TooManyDetached { max })?)
    } else {
        None
    };
    let app = match (&query.thread, &assistant.kept) {
        (Some(_), Some(kept)) => kept,
        _ => &assistant.app,
    };
    let mut run = if resumes { app.resume() } else { app.run_json(input) };
    if let Some(thread) = &query.thread {
        run = run.thread(thread);
    }
    let cancel = CancellationToken::new();
    run = run.run_id(id).cancel_on(cancel.clone()).metadata("assistant", assistant.name().into());
    let run =
        stream(run, &query).start().map_err(|error| failed(&error, query.thread.as_deref(), id))?;
    tracing::info!(resumes, "a run starts");
    Ok(Going { run, cancel, frames: Frames::new(&query), thread: taken, detach })
}

/// Asks the assistant whether it takes the request. A panic of its rule is this run's error.
fn prepare(assistant: &Assistant, request: Json, id: &str) -> Result<Json, Refusal> {
    let rule = Arc::clone(&assistant.prepare);
    match catch_unwind(AssertUnwindSafe(|| rule(request))) {
        Ok(result) => result.map_err(Refusal::InvalidRequest),
        Err(panic) => {
            let panic = text_of(&*panic);
            tracing::error!(reference = id, panic, "checking a request panicked");
            Err(Refusal::Internal)
        }
    }
}

/// Two graphs on one thread would read each other's state.
async fn check_owner(assistant: &Assistant, thread: &str, id: &str) -> Result<(), Refusal> {
    let Some(kept) = &assistant.kept else { return Ok(()) };
    let snapshot = kept.state(thread).await.map_err(|error| failed(&error, Some(thread), id))?;
    match snapshot.metadata.get("assistant").and_then(Json::as_str) {
        Some(owner) if owner != assistant.name() => {
            Err(Refusal::ForeignThread { thread: thread.to_owned(), owner: owner.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Asks the run for what the client wants to hear. Messages and custom events come from any
/// depth, so children have to tell theirs; what is not wanted of them is left out by [`Frames`].
fn stream(run: Run<Untyped>, query: &Query) -> Run<Untyped> {
    let modes = query.modes.unwrap_or_default();
    let run = match query.modes {
        None => run.stream([Mode::Updates]),
        Some(modes) => run.stream(modes.iter()),
    };
    if query.subgraphs || modes.iter().any(from_any_depth) { run.subgraphs() } else { run }
}

/// Passes on what the run tells until one of the two ends. Gives the socket back if there is
/// somebody to say goodbye to.
async fn follow(
    shared: &Shared,
    id: &str,
    mut going: Going,
    mut socket: Socket,
) -> (Option<Socket>, End) {
    let turn = tell(shared, &mut socket, &mut going).await;
    let Going { run, cancel, mut frames, thread, detach } = going;
    let thread_name = thread.as_ref().map(Taken::name);
    let end = match turn {
        Turn::Ended => match run.finish().await {
            Ok(outcome) => {
                for warning in &outcome.warnings {
                    tracing::warn!(?warning, "the run ended with a warning");
                }
                tracing::info!(status = ?outcome.status, "the run ended");
                if let Some(text) = frames.questions(&outcome.interrupts) {
                    socket.feed_text(&text);
                }
                match outcome.status {
                    Status::Done => End::Done,
                    Status::Interrupted if thread.is_some() => End::Done,
                    Status::Interrupted => End::Refused(Refusal::Unanswerable),
                    Status::Cancelled | Status::Drained => End::Refused(Refusal::Stopping),
                }
            }
            Err(error) => failed(&error, thread_name, id).into(),
        },
        Turn::Gone => {
            // The run must not wait for the goodbye, nor the goodbye for the run.
            let goodbye = socket.close(NORMAL, "");
            if detach.is_some() {
                tracing::info!("the client left; its run goes on");
                let run = finish_alone(shared, run, &cancel, thread_name, id);
                tokio::join!(goodbye, run);
            } else {
                tracing::info!("the client left; its run is cancelled");
                tokio::join!(goodbye, end_run(run));
            }
            return (None, End::Gone);
        }
        Turn::Refused(refusal) => {
            end_run(run).await;
            End::Refused(refusal)
        }
    };
    (Some(socket), end)
}

/// Why following a run stopped.
enum Turn {
    /// The run has nothing more to tell.
    Ended,
    /// The client left.
    Gone,
    /// The client, or the server, did what ends a run.
    Refused(Refusal),
}

/// Passes on events, several per write when they come fast, until the run ends or the client says
/// something, which it must not, or leaves.
async fn tell(shared: &Shared, socket: &mut Socket, going: &mut Going) -> Turn {
    let mut cancel = std::pin::pin!(shared.cancel.cancelled());
    loop {
        let event = tokio::select! {
            // The client first: when it left, nothing else matters.
            biased;
            heard = socket.next() => match heard {
                Ok(Heard::Room) => continue,
                Ok(Heard::Text(_)) => return Turn::Refused(Refusal::UnexpectedFrame),
                Ok(Heard::Binary(_)) => return Turn::Refused(Refusal::BinaryFrame),
                Err(Left::Wrong(refusal)) => return Turn::Refused(refusal),
                Err(Left::Gone) => return Turn::Gone,
            },
            () = &mut cancel => return Turn::Refused(Refusal::Stopping),
            event = going.run.next(), if socket.has_room() => event,
        };
        let mut next = event;
        loop {
            let Some(event) = next else { return Turn::Ended };
            if let Some(text) = going.frames.render(&event) {
                socket.feed_text(&text);
            }
            if !socket.has_room() {
                break;
            }
            let Some(ready) = going.run.next().now_or_never() else { break };
            next = ready;
        }
    }
}

/// Ends a run. Nodes have their grace; then they are dropped, and with them their requests.
async fn end_run(run: RunHandle<Untyped>) {
    run.cancel();
    match timeout(LEAVE_WAIT, run.finish()).await {
        Ok(Ok(outcome)) => tracing::info!(status = ?outcome.status, "the run ended"),
        Ok(Err(error)) => tracing::info!(error = %Chain(&error), "the run failed while ending"),
        Err(_) => tracing::info!("the run was dropped"),
    }
}

/// Waits for a run whose client left.
async fn finish_alone(
    shared: &Shared,
    run: RunHandle<Untyped>,
    cancel: &CancellationToken,
    thread: Option<&str>,
    id: &str,
) {
    let mut finish = std::pin::pin!(run.finish());
    let finished = tokio::select! {
        finished = finish.as_mut() => Some(finished),
        () = shared.cancel.cancelled() => {
            cancel.cancel();
            timeout(LEAVE_WAIT, finish).await.ok()
        }
    };
    match finished {
        Some(Ok(outcome)) => tracing::info!(status = ?outcome.status, "the run ended"),
        // Logged; nobody is there to be told.
        Some(Err(error)) => drop(failed(&error, thread, id)),
        None => tracing::info!("the run was dropped"),
    }
}

/// Logs why a run failed, and says what its client may know of it.
fn failed(error: &mesh_graph::Error, thread: Option<&str>, id: &str) -> Refusal {
    let refusal = refusal::of_run(error, thread);
    let code = refusal.code();
    if refusal.is_ours() {
        tracing::error!(reference = id, code, error = %Chain(error), "the run failed");
    } else {
        tracing::info!(code, error = %Chain(error), "the run was refused");
    }
    refusal
}

/// An error with its causes, on one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
