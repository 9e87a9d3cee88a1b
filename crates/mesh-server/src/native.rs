//! The native socket: one WebSocket for everything that a client does with threads and runs.
//!
//! One task serves a connection. It reads calls and carries them out, some at a time; it follows
//! the threads that the client subscribed to; and it never waits for the client with anything but
//! room for a frame in its hands. What is decided is decided by the pure parts below it:
//! [`queue`] the order of calls, [`filter`], [`piece`] and [`reading`] what is told of a log.
//!
//! Events are entries of logs under their own numbers, so a cursor is a number, and coming back is
//! asking for what follows. A client without credit or without room holds nothing here but its
//! place: what it missed is read from the log when it wants it.

mod call;
mod carry;
mod encoding;
mod filter;
mod piece;
mod queue;
mod reading;
mod subscription;

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use futures::{
    StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::FuturesUnordered,
};
use mesh_protocol::socket::{
    Call, CallId, Frame, GoawayReason, Hello, OpenRun, Outcome, Problem, SUBPROTOCOL,
    SUBPROTOCOL_MSGPACK, SocketLimits,
};
use mesh_runtime::{
    Runtime, Scope,
    run::CancelAction,
    runs::Selection,
    watch::{Changes, Seen, Watch},
};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    LEAVE_WAIT, RETRY_MS,
    auth::{Action, Caller},
    refusal::Refusal,
    rest::{Kept, Making, headers_kept, wire_thread},
    routes::id_of,
    server::Shared,
    socket::{self, Heard, Left, NORMAL, Socket},
};

use call::NoCall;
use carry::{Carried, Effect, carry};
pub(crate) use encoding::Encodings;
use encoding::{Encoding, unpacked};
use filter::NAMESPACES_MAX;
use queue::{CALLS_MAX, Queue};
use reading::CREDIT_MAX;
use subscription::{Over, SUBSCRIPTIONS_MAX, Subscriptions};

/// Threads that are told of together when they changed.
const WATCHED_AT_ONCE: usize = 64;

/// Pause between two such: however often threads change, this often they are looked up.
const WATCHED_EVERY: Duration = Duration::from_millis(50);

/// How long what was read ahead is kept for a client that takes nothing. A client that is quick
/// makes room within it; what others want later is read again.
const HELD_FOR: Duration = Duration::from_millis(50);

/// Runs of a connection that end with it, at most.
const LEAVING_MAX: usize = 1024;

/// Code of the close frame when the server stops.
const SERVICE_RESTART: u16 = 1012;

/// Opens a native socket.
pub(crate) async fn open(
    State(shared): State<Arc<Shared>>,
    Kept(runtime): Kept,
    caller: Caller,
    mut request: Request,
) -> Response {
    let id = id_of(&request);
    let headers = headers_kept(request.headers(), &shared.copied_headers);
    let bytes_max = shared.limits.message_bytes_max;
    let server = Arc::clone(&shared);
    let session = move |socket: Socket| {
        let span = tracing::info_span!("socket", connection = &*id, peer = %socket.peer());
        serve(server, runtime, caller, headers, id, socket).instrument(span)
    };
    let protocols = [SUBPROTOCOL, SUBPROTOCOL_MSGPACK];
    match socket::open(&shared, &mut request, &protocols, bytes_max, session) {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

/// Serves one connection to its end.
async fn serve(
    shared: Arc<Shared>,
    runtime: Runtime,
    caller: Caller,
    headers: HeaderMap,
    id: Arc<str>,
    mut socket: Socket,
) {
    let encoding = Encoding::of(socket.protocol());
    let begun = async {
        let caller = socket.who(&shared, caller).await?;
        let incarnation = runtime.incarnation().await.map_err(|error| Left::Wrong(error.into()))?;
        Ok((caller, incarnation))
    };
    let (caller, incarnation) = match begun.await {
        Ok(begun) => begun,
        Err(Left::Gone) => return,
        Err(Left::Wrong(refusal)) => {
            shared.metrics.note(&refusal);
            return refuse(socket, encoding, &refusal, &id).await;
        }
    };
    socket.feed(&encoding.frame(&Frame::Hello(Hello {
        protocol: encoding.protocol().to_owned(),
        server: shared.about.name.clone(),
        version: shared.about.version.clone(),
        incarnation,
        connection: id.to_string(),
        limits: SocketLimits {
            subscriptions: SUBSCRIPTIONS_MAX,
            calls: CALLS_MAX,
            message_bytes: shared.limits.message_bytes_max,
            credit: CREDIT_MAX,
            namespaces: NAMESPACES_MAX,
        },
    })));
    let mut session = Session {
        making: Making { shared, runtime, caller, headers },
        id,
        encoding,
        calls: Queue::default(),
        running: FuturesUnordered::new(),
        subscriptions: Subscriptions::default(),
        watching: None,
        leaving: Vec::new(),
        opening: 0,
        held_since: None,
    };
    let end = session.converse(&mut socket).await;
    Box::pin(session.leave(&end)).await;
    match end {
        End::Gone => socket.close(NORMAL, "").await,
        End::Wrong(refusal) => {
            session.making.shared.metrics.note(&refusal);
            refuse(socket, encoding, &refusal, &session.id).await;
        }
        End::Stopping => socket.close(SERVICE_RESTART, "server_stopping").await,
    }
}

/// Tells why the connection ends, and ends it.
fn refuse<'a>(
    mut socket: Socket,
    encoding: Encoding,
    refusal: &'a Refusal,
    reference: &str,
) -> BoxFuture<'a, ()> {
    tracing::info!(code = refusal.code(), "refused");
    let error = problem(refusal, reference);
    socket.feed(&encoding.frame(&Frame::Error { id: None, error }));
    socket.close(refusal.close_code(), refusal.code())
}

fn problem(refusal: &Refusal, reference: &str) -> Problem {
    Problem {
        code: refusal.code().to_owned(),
        message: refusal.to_string(),
        pointer: refusal.pointer().map(str::to_owned),
        reference: refusal.is_ours().then(|| reference.to_owned()),
    }
}

/// Why a conversation ended.
enum End {
    /// The client left.
    Gone,
    /// It sent what cannot be answered.
    Wrong(Refusal),
    /// The server stops.
    Stopping,
}

/// Threads that changed, read anew.
struct Looked {
    watch: Watch,
    changes: Changes,
    /// Those that are looked at next.
    rest: Changes,
    seen: Result<Vec<Seen>, mesh_runtime::Error>,
}

/// One connection.
struct Session {
    making: Making,
    id: Arc<str>,
    encoding: Encoding,
    calls: Queue<Call>,
    running: FuturesUnordered<BoxFuture<'static, Carried>>,
    subscriptions: Subscriptions,
    watching: Option<BoxFuture<'static, Looked>>,
    /// Runs that are cancelled when the client leaves, with their threads.
    leaving: Vec<(String, Uuid)>,
    /// Calls that are being carried out and will follow a thread.
    opening: usize,
    /// Since when something is held that cannot be told.
    held_since: Option<Instant>,
}

impl Session {
    async fn converse(&mut self, socket: &mut Socket) -> End {
        let stop = self.making.shared.stop.clone();
        let mut stop = pin!(stop.cancelled());
        loop {
            while let Some(call) = self.calls.next() {
                self.begin(socket, call);
            }
            let has_room = socket.has_room();
            self.note_held();
            let let_go = OptionFuture::from(self.held_since.map(|at| sleep_until(at + HELD_FOR)));
            tokio::select! {
                biased;
                heard = socket.hear() => match heard {
                    Ok(Heard::Text(text)) if self.encoding == Encoding::Json => {
                        if let Err(refusal) = self.hear(socket, text.as_bytes()) {
                            return End::Wrong(refusal);
                        }
                    }
                    Ok(Heard::Binary(bytes)) if self.encoding == Encoding::MsgPack => {
                        let heard = unpacked(&bytes).and_then(|text| self.hear(socket, &text));
                        if let Err(refusal) = heard {
                            return End::Wrong(refusal);
                        }
                    }
                    Ok(Heard::Text(_)) => return End::Wrong(Refusal::TextFrame),
                    Ok(Heard::Binary(_)) => return End::Wrong(Refusal::BinaryFrame),
                    Ok(Heard::Room) => {}
                    Err(Left::Gone) => return End::Gone,
                    Err(Left::Wrong(refusal)) => return End::Wrong(refusal),
                },
                () = &mut stop => {
                    self.say_goodbye(socket).await;
                    return End::Stopping;
                }
                Some(carried) = self.running.next() => self.answer(socket, carried),
                Some(looked) = OptionFuture::from(self.watching.as_mut()), if has_room => {
                    self.tell_changes(socket, looked);
                }
                ready = self.subscriptions.ready(), if has_room => {
                    if let Some(over) = self.subscriptions.tell(ready, self.encoding, socket) {
                        self.end(socket, over);
                    }
                }
                Some(()) = let_go => {
                    self.subscriptions.let_go();
                    self.held_since = None;
                }
            }
        }
    }

    fn making(&self) -> Making {
        let Making { shared, runtime, caller, headers } = &self.making;
        Making {
            shared: Arc::clone(shared),
            runtime: runtime.clone(),
            caller: caller.clone(),
            headers: headers.clone(),
        }
    }

    fn feed(&self, socket: &mut Socket, frame: &Frame) {
        socket.feed(&self.encoding.frame(frame));
    }

    /// Takes a message of JSON.
    ///
    /// # Errors
    /// It is none that could be answered.
    fn hear(&mut self, socket: &mut Socket, text: &[u8]) -> Result<(), Refusal> {
        match call::read(text) {
            Ok(call) => {
                let (id, thread) = call::about(&call);
                if self.calls.is_full() {
                    let refusal = Refusal::TooManyCalls { max: CALLS_MAX };
                    self.refuse(socket, id.clone(), &refusal);
                } else {
                    self.calls.push(thread, call);
                }
                Ok(())
            }
            Err(NoCall { id: Some(id), refusal }) => {
                self.refuse(socket, id, &refusal);
                Ok(())
            }
            Err(NoCall { id: None, refusal }) => Err(refusal),
        }
    }

    /// Begins to carry out a call, if there is a place for what it opens.
    fn begin(&mut self, socket: &mut Socket, call: Call) {
        let (id, thread) = call::about(&call);
        if call::follows(&call) && !thread.is_some_and(|thread| self.subscriptions.has(thread)) {
            if self.subscriptions.len() + self.opening >= SUBSCRIPTIONS_MAX {
                let refusal = Refusal::TooManySubscriptions { max: SUBSCRIPTIONS_MAX };
                self.refuse(socket, id.clone(), &refusal);
                self.calls.done(thread);
                return;
            }
            self.opening += 1;
        }
        let making = self.making();
        self.running.push(Box::pin(carry(making, call)));
    }

    fn refuse(&self, socket: &mut Socket, id: CallId, refusal: &Refusal) {
        tracing::debug!(code = refusal.code(), "refused");
        self.making.shared.metrics.note(refusal);
        let error = problem(refusal, &self.id);
        self.feed(socket, &Frame::Error { id: Some(id), error });
    }

    /// Answers a call that was carried out.
    fn answer(&mut self, socket: &mut Socket, carried: Carried) {
        let Carried { id, thread, follows, result } = carried;
        self.calls.done(thread);
        if follows && !thread.is_some_and(|thread| self.subscriptions.has(thread)) {
            self.opening = self.opening.saturating_sub(1);
        }
        let done = result.and_then(|(outcome, effect)| {
            let before = self.take(effect)?;
            Ok((outcome, before))
        });
        match done {
            Ok((result, before)) => {
                self.feed(socket, &Frame::Ack { id, result });
                for frame in &before {
                    self.feed(socket, frame);
                }
            }
            Err(refusal) => self.refuse(socket, id, &refusal),
        }
    }

    /// Does to this connection what a call does. Gives the frames that come right after the answer.
    ///
    /// # Errors
    /// There is no place for it.
    fn take(&mut self, effect: Effect) -> Result<Vec<Frame>, Refusal> {
        let shared = Arc::clone(&self.making.shared);
        match effect {
            Effect::None => {}
            Effect::Started { leaves, open } => {
                if let Some(leaves) = leaves {
                    if self.leaving.len() == LEAVING_MAX {
                        self.leaving.remove(0);
                    }
                    self.leaving.push(leaves);
                }
                if let Some(opened) = open {
                    self.subscriptions.open(*opened, &shared.encodings);
                }
            }
            Effect::Open(mut opened) => {
                let before = std::mem::take(&mut opened.before);
                self.subscriptions.open(*opened, &shared.encodings);
                return Ok(before);
            }
            Effect::Close(thread) => self.subscriptions.close(thread),
            Effect::Credit(thread, add) => self.subscriptions.credit(thread, add)?,
            Effect::Watch(watch, changed) => self.look(watch, changed),
            Effect::Unwatch => self.watching = None,
        }
        Ok(Vec::new())
    }

    /// Looks at the threads that changed: these, and then those that change next.
    fn look(&mut self, watch: Watch, mut rest: Changes) {
        let runtime = self.making.runtime.clone();
        let scope = self.making.caller.scope(Action::SearchThreads);
        self.watching = Some(Box::pin(async move {
            if rest.is_empty() {
                sleep(WATCHED_EVERY).await;
                rest = watch.changes(WATCHED_AT_ONCE).await;
            }
            let changes = rest.take(WATCHED_AT_ONCE);
            let there = changes.threads.iter().filter(|(_, gone)| gone.is_none());
            let ids = there.map(|(id, _)| id.clone()).collect();
            let seen = match &scope {
                Ok(scope) => runtime.see_threads(scope, ids).await,
                // It was asked before this began.
                Err(_) => Ok(Vec::new()),
            };
            Looked { watch, changes, rest, seen }
        }));
    }

    /// Tells of threads that changed, and looks for more.
    fn tell_changes(&mut self, socket: &mut Socket, looked: Looked) {
        let Looked { watch, changes, rest, seen } = looked;
        let lost = match seen {
            Ok(seen) => {
                for (thread, runs) in seen {
                    let runs = runs.iter().map(|run| OpenRun {
                        run_id: run.id,
                        status: run.status.name().to_owned(),
                        assistant_id: run.assistant,
                        created_at: run.created_at.to_string(),
                    });
                    let runs = runs.collect();
                    let thread_id = thread.id.clone();
                    let thread = Some(Box::new(wire_thread(thread)));
                    self.feed(socket, &Frame::Thread { thread_id, thread, runs });
                }
                changes.lost
            }
            Err(error) => {
                tracing::error!(%error, "threads cannot be read");
                true
            }
        };
        let scope = self.making.caller.scope(Action::SearchThreads);
        let sees =
            |owner: Option<&str>| scope.as_ref().is_ok_and(|scope: &Scope| scope.sees(owner));
        for (thread_id, gone) in changes.threads {
            if gone.is_some_and(|gone| sees(gone.owner.as_deref())) {
                self.feed(socket, &Frame::Thread { thread_id, thread: None, runs: Vec::new() });
            }
        }
        if lost {
            self.feed(socket, &Frame::Resync {});
        }
        self.look(watch, rest);
    }

    fn end(&self, socket: &mut Socket, Over { thread, reason }: Over) {
        self.feed(socket, &Frame::End { thread_id: thread, reason });
    }

    /// Notes since when something is held for a client that takes nothing.
    fn note_held(&mut self) {
        if self.subscriptions.holds() {
            self.held_since.get_or_insert_with(Instant::now);
        } else {
            self.held_since = None;
        }
    }

    /// Sends the client away, after the calls that are being carried out.
    async fn say_goodbye(&mut self, socket: &mut Socket) {
        let runtime = &self.making.runtime;
        let retry_ms = RETRY_MS.start + runtime.env().random() % (RETRY_MS.end - RETRY_MS.start);
        let _ = timeout(LEAVE_WAIT, async {
            while !self.running.is_empty() {
                let Some(carried) = self.running.next().await else { break };
                self.answer(socket, carried);
            }
        })
        .await;
        while let Some(call) = self.calls.next() {
            let (id, thread) = call::about(&call);
            self.refuse(socket, id.clone(), &Refusal::Stopping);
            self.calls.done(thread);
        }
        let cursors: BTreeMap<String, u64> = self.subscriptions.cursors().collect();
        let reason = GoawayReason::Stopping;
        self.feed(socket, &Frame::Goaway { reason, retry_ms, cursors });
    }

    /// Cancels the runs that end with this connection, if the client ended it.
    async fn leave(&mut self, end: &End) {
        // Calls that are being carried out are carried out: nobody knows how far they are.
        while let Some(carried) = self.running.next().await {
            if let Ok((Outcome::Started(_), Effect::Started { leaves, .. })) = carried.result {
                self.leaving.extend(leaves);
            }
        }
        if matches!(end, End::Stopping) {
            return;
        }
        let Ok(scope) = self.making.caller.scope(Action::CreateRun) else { return };
        for (thread, run) in std::mem::take(&mut self.leaving) {
            let selection = Selection::Runs { thread: Some(thread), ids: vec![run] };
            let runtime = &self.making.runtime;
            if let Err(error) = runtime.cancel(&scope, &selection, CancelAction::Interrupt).await {
                tracing::warn!(%error, "cannot cancel the run of a client that left");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_socket_that_waits_takes_little() {
        fn size<A, B, C, D, E, G, F>(_: fn(A, B, C, D, E, G) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(super::serve);
        assert!(size <= 2560, "{size} bytes");
    }
}
