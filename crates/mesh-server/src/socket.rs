//! The plain socket: one request in, what its run tells out, a close code at the end.
//!
//! One task owns a socket and its run. While the run goes on, reading and writing are two futures
//! of that task: a client that leaves is noticed although a write is waiting for it.

mod frames;

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use futures::{
    FutureExt, SinkExt, Stream, StreamExt,
    stream::{SplitSink, SplitStream},
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use mesh_graph::{Mode, Run, RunHandle, Status, Untyped};
use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::OwnedSemaphorePermit,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Error as WsError, Message, Utf8Bytes,
        error::{CapacityError, ProtocolError},
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    Assistant, BATCH_MAX, CLOSE_WAIT, LEAVE_WAIT, LOGIN_WAIT, PINGS_MISSED_MAX,
    auth::{self, Action, Caller, Scope},
    query::Query,
    refusal::{self, Refusal},
    routes::{Connection, text_of},
    server::Shared,
    threads::Taken,
};

use frames::Frames;
pub(crate) use frames::from_any_depth;

/// Read buffer of a socket. Requests are small, and there may be many idle sockets.
const READ_BUFFER: usize = 8 << 10;

/// Bytes of frames collected before they are written, if no flush comes first.
const WRITE_BUFFER: usize = 32 << 10;

/// Longest reason in a close frame, in bytes (RFC 6455, section 5.5).
const REASON_BYTES_MAX: usize = 123;

type Ws = WebSocketStream<TokioIo<Upgraded>>;

/// A socket that somebody opened.
pub(crate) struct Call {
    /// Id of the request, and of the run it starts.
    pub(crate) id: Arc<str>,
    /// Who opened it; a stranger has to say so first.
    pub(crate) caller: Caller,
    /// What the address asks for, or why that cannot be had.
    pub(crate) asked: Result<(Assistant, Query), Refusal>,
    pub(crate) connection: Connection,
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

/// Serves one socket to its end, and its run, too, if that goes on without the client.
pub(crate) async fn serve(shared: Arc<Shared>, call: Call, upgrade: OnUpgrade) {
    let span = tracing::info_span!(
        "socket",
        run_id = &*call.id,
        peer = %call.connection.peer,
        assistant = tracing::field::Empty,
        thread_id = tracing::field::Empty,
    );
    if let Ok((assistant, query)) = &call.asked {
        span.record("assistant", assistant.name());
        span.record("thread_id", query.thread.as_deref());
    }
    converse(shared, call, upgrade).instrument(span).await;
}

async fn converse(shared: Arc<Shared>, call: Call, upgrade: OnUpgrade) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "the connection ended before its upgrade");
            return;
        }
    };
    let max = shared.limits.message_bytes_max;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(max))
        .max_frame_size(Some(max));
    let mut ws = Ws::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let Call { id, caller, asked, connection } = call;
    let begun = begin(&shared, &id, caller, asked, &mut ws).await;
    let (ws, end) = match begun {
        Ok(going) => follow(&shared, &id, going, ws, connection).await,
        Err(end) => (Some(ws), end),
    };
    if let Some(ws) = ws {
        leave(ws, &id, end).await;
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
    ws: &mut Ws,
) -> Result<Going, End> {
    let caller = if caller.is_stranger() { login(shared, ws).await? } else { caller };
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
        text = timeout(wait, first_text(ws)) => {
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

/// Waits for the message that says who opened the socket.
async fn login(shared: &Shared, ws: &mut Ws) -> Result<Caller, End> {
    let text = tokio::select! {
        biased;
        () = shared.stop.cancelled() => return Err(Refusal::Stopping.into()),
        text = timeout(LOGIN_WAIT, first_text(ws)) => text.map_err(|_| Refusal::NoCredential)??,
    };
    let credential = auth::of_message(&text).ok_or(Refusal::NoCredential)?;
    drop(text);
    Ok(shared.auth.check(credential).await?)
}

/// The request's text. A ping before it is no request.
async fn first_text(ws: &mut Ws) -> Result<Utf8Bytes, End> {
    loop {
        match heard(ws.next().await) {
            Heard::Text(text) => return Ok(text),
            Heard::Control => {}
            Heard::Wrong(refusal) => return Err(refusal.into()),
            Heard::Gone => return Err(End::Gone),
        }
    }
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
    ws: Ws,
    connection: Connection,
) -> (Option<Ws>, End) {
    let (mut sink, mut source) = ws.split();
    let missed = AtomicU32::new(0);
    let turn = tokio::select! {
        // The client first: when it left, nothing else matters.
        biased;
        turn = listen(&mut source, &missed) => turn,
        () = shared.cancel.cancelled() => Turn::Refused(Refusal::Stopping),
        turn = tell(shared, &mut sink, &mut going, &missed) => turn,
    };
    let Going { run, cancel, mut frames, thread, detach } = going;
    let thread_name = thread.as_ref().map(Taken::name);
    let mut ws = sink.reunite(source).ok();
    let end = match turn {
        Turn::Ended => match run.finish().await {
            Ok(outcome) => {
                for warning in &outcome.warnings {
                    tracing::warn!(?warning, "the run ended with a warning");
                }
                tracing::info!(status = ?outcome.status, "the run ended");
                if let (Some(ws), Some(text)) = (&mut ws, frames.questions(&outcome.interrupts)) {
                    // Only put into the buffer; the goodbye flushes, and notices a client that
                    // is gone.
                    let _ = timeout(CLOSE_WAIT, ws.feed(Message::text(text))).await;
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
            let goodbye = async {
                if let Some(ws) = ws {
                    leave(ws, id, End::Gone).await;
                }
                drop(connection);
            };
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
    (ws, end)
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

/// Listens to the client until it says something, which it must not, or leaves.
async fn listen(source: &mut SplitStream<Ws>, missed: &AtomicU32) -> Turn {
    loop {
        let heard = heard(source.next().await);
        missed.store(0, Ordering::Relaxed);
        match heard {
            Heard::Control => {}
            Heard::Text(_) => return Turn::Refused(Refusal::UnexpectedFrame),
            Heard::Wrong(refusal) => return Turn::Refused(refusal),
            Heard::Gone => return Turn::Gone,
        }
    }
}

/// Passes on events, several per flush when they come fast, and pings in between.
async fn tell(
    shared: &Shared,
    sink: &mut SplitSink<Ws, Message>,
    going: &mut Going,
    missed: &AtomicU32,
) -> Turn {
    let every = shared.limits.ping_every;
    let mut pings = interval_at(Instant::now() + every, every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let flow = tokio::select! {
            biased;
            _ = pings.tick() => ping(sink, missed).await,
            event = going.run.next() => match event {
                None => return Turn::Ended,
                Some(event) => pass_on(sink, going, event).await,
            },
        };
        match flow {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => {
                tracing::debug!("the client answers no pings");
                return Turn::Gone;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot write to the client");
                return Turn::Gone;
            }
        }
    }
}

/// Sends a ping; breaks when too many were not answered.
async fn ping(
    sink: &mut SplitSink<Ws, Message>,
    missed: &AtomicU32,
) -> Result<ControlFlow<()>, WsError> {
    if missed.fetch_add(1, Ordering::Relaxed) >= PINGS_MISSED_MAX {
        return Ok(ControlFlow::Break(()));
    }
    sink.send(Message::Ping(Bytes::new())).await?;
    Ok(ControlFlow::Continue(()))
}

/// Sends an event and those that are ready behind it, and flushes once.
async fn pass_on(
    sink: &mut SplitSink<Ws, Message>,
    going: &mut Going,
    event: mesh_graph::Event,
) -> Result<ControlFlow<()>, WsError> {
    let mut next = Some(event);
    let mut left = BATCH_MAX;
    while let Some(event) = next {
        if let Some(text) = going.frames.render(&event) {
            sink.feed(Message::text(text)).await?;
        }
        left -= 1;
        next = if left > 0 { going.run.next().now_or_never().flatten() } else { None };
    }
    sink.flush().await?;
    Ok(ControlFlow::Continue(()))
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

/// What came from a client.
enum Heard {
    Text(Utf8Bytes),
    /// A ping or a pong; the library answers pings.
    Control,
    Wrong(Refusal),
    Gone,
}

fn heard(item: Option<<Ws as Stream>::Item>) -> Heard {
    match item {
        None | Some(Ok(Message::Close(_))) => Heard::Gone,
        Some(Ok(Message::Text(text))) => Heard::Text(text),
        Some(Ok(Message::Binary(_))) => Heard::Wrong(Refusal::BinaryFrame),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Heard::Control,
        Some(Err(error)) => match error {
            WsError::Capacity(CapacityError::MessageTooLong { max_size, .. }) => {
                Heard::Wrong(Refusal::TooBig { max: max_size })
            }
            WsError::Utf8(_) => Heard::Wrong(Refusal::InvalidUtf8),
            WsError::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::ReceivedAfterClosing,
            ) => Heard::Gone,
            WsError::Protocol(_) => Heard::Wrong(Refusal::Protocol),
            _ => Heard::Gone,
        },
    }
}

/// Says goodbye: the error, if there is one, and the close frame.
async fn leave(mut ws: Ws, id: &str, end: End) {
    let (code, reason) = match &end {
        End::Refused(refusal) => {
            // A node chose its code, and it may be long; the error frame has all of it.
            let fits = Some(refusal.code()).filter(|code| code.len() <= REASON_BYTES_MAX);
            (refusal.close_code(), fits.unwrap_or_default().to_owned())
        }
        End::Done | End::Gone => (CloseCode::Normal, String::new()),
    };
    let goodbye = async {
        if matches!(end, End::Gone) {
            // The answer to the client's close frame, if it sent one.
            return ws.flush().await;
        }
        if let End::Refused(refusal) = &end {
            tracing::info!(code = refusal.code(), "refused");
            ws.feed(Message::text(refusal.to_json(id).to_string())).await?;
        }
        ws.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await?;
        // The client's own close frame, or the end of the connection. After an error of reading
        // there is nothing more to be understood, and this ends at once.
        while let Some(message) = ws.next().await {
            message?;
        }
        Ok::<(), WsError>(())
    };
    if let Ok(Err(error)) = timeout(CLOSE_WAIT, goodbye).await {
        tracing::debug!(%error, "the goodbye was cut short");
    }
    // Closing a connection with unread bytes resets it, and a reset may overtake the frames above
    // on their way. So what still comes in, such as the rest of a message that was too big, is
    // read and thrown away for a while.
    let mut stream = ws.into_inner();
    let linger = async {
        stream.shutdown().await?;
        let mut waste = [0; READ_BUFFER];
        while stream.read(&mut waste).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    let _ = timeout(CLOSE_WAIT, linger).await;
}
