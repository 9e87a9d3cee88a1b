//! WebSockets: the connection that every kind of them stands on, and the plain one.
//!
//! A [`Socket`] is one client's connection after its handshake. It owns everything that is the
//! same whatever is said on it: frames and their faults, pings, small buffers, writing in batches,
//! giving up on a client that takes nothing, and the goodbye. It knows nothing of runs.
//!
//! [`open`] checks the handshake and runs a session, which is one loop:
//!
//! ```text
//! let mut stop = pin!(shared.stop.cancelled()); // once: a wait that is made anew is dear
//! loop {
//!     tokio::select! {
//!         biased;
//!         heard = socket.next() => match heard { // `hear`, where what is said has answers
//!             Ok(Heard::Text(text)) => …,         // answer with `socket.feed_text(…)`
//!             Ok(Heard::Binary(bytes)) => …,
//!             Ok(Heard::Room) => {}               // there is room again: the guard below is new
//!             Err(Left::Gone) => break,           // nobody is there to be told
//!             Err(Left::Wrong(refusal)) => return socket.refuse(&refusal, &id).await,
//!         },
//!         () = &mut stop => return socket.close(1012, "server_stopping").await,
//!         entry = follow.next(), if socket.has_room() => {
//!             socket.feed_text(&frame(entry?));
//!             // What is ready goes out in the same write.
//!             while socket.has_room() && let Some(told) = follow.at_hand() { … }
//!         }
//!     }
//! }
//! socket.close(1000, "").await
//! ```
//!
//! - Reading, writing and pinging all happen inside [`Socket::next`], which is cancel-safe. So a
//!   session has to come back to it; it has no other duty. `next` comes first in the `select!`:
//!   what was fed is written at once, and a client that left is noticed before anything else.
//! - `feed_*` only add to what waits. A session that asks [`Socket::has_room`] before it feeds
//!   holds at most [`OUT_BYTES_MAX`] and one frame, however slow the client is.
//! - Frames for many sockets are encoded once, as [`Encoded`], and shared.
//! - An idle socket holds no buffer: a few hundred bytes and its task.

mod codec;
mod echo;
mod frames;
mod outbox;
mod plain;

use std::{
    collections::VecDeque,
    future::Future,
    io::{self, IoSlice},
    mem::MaybeUninit,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{body::Bytes, extract::Request, response::Response};
use futures::future::BoxFuture;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until, timeout},
};

use crate::{
    CLOSE_WAIT, HANDSHAKE_WAIT, LOGIN_WAIT, OUT_BYTES_MAX, PINGS_MISSED_MAX,
    auth::{self, Caller},
    handshake,
    patient::Patient,
    refusal::Refusal,
    routes::Connection,
    server::Shared,
};

use codec::{Arrived, Decoder, Fault, Opcode};
use outbox::Outbox;

pub(crate) use echo::open as open_echo;
pub(crate) use frames::from_any_depth;
pub(crate) use outbox::Encoded;
pub(crate) use plain::open as open_plain;

/// Bytes that are read at a time, on the stack.
const CHUNK: usize = 16 << 10;

/// Answers to pings that wait to be written. Of the pings beyond the last one is answered when
/// these are written, which is what the protocol asks for (RFC 6455, section 5.5.3).
const PONGS_MAX: usize = 64;

/// Longest reason in a close frame, in bytes (RFC 6455, section 5.5).
const REASON_BYTES_MAX: usize = 123;

/// Code of a close frame after which everything is well.
pub(crate) const NORMAL: u16 = 1000;

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A message of text.
    Text(String),
    /// A message of bytes.
    Binary(Vec<u8>),
    /// Nothing: there was no room for more frames, and now there is.
    Room,
}

/// Why a socket is over.
#[derive(Debug, Clone)]
pub(crate) enum Left {
    /// The client closed it, went away, answers no pings or takes no bytes.
    Gone,
    /// What it sent cannot be read: not the protocol, not UTF-8, or too big.
    Wrong(Refusal),
}

/// How far a socket is.
#[derive(Debug)]
enum Standing {
    Open,
    /// The client sent its close frame; the answer waits to be written.
    Closed,
    /// Nothing more is understood of what comes, but the client may still read.
    Broken(Refusal),
    /// There is no connection any more.
    Dead,
}

/// One client's connection after its handshake; see the module.
pub(crate) struct Socket {
    stream: TcpStream,
    /// Who is at the other end, and the connection's place.
    connection: Connection,
    protocol: Option<&'static str>,
    decoder: Decoder,
    arrived: VecDeque<Arrived>,
    outbox: Outbox,
    standing: Standing,
    /// The session was told that there is no room.
    is_full: bool,
    /// Answers to pings among what waits.
    pongs: usize,
    /// The last ping for whose answer there was no place.
    unanswered: Option<Vec<u8>>,
    /// Fires at the next ping, or when the client has taken nothing for too long.
    timer: Pin<Box<Sleep>>,
    ping_at: Instant,
    ping_every: Duration,
    /// Pings since anything came.
    missed: u32,
    /// When a write could not go on.
    stalled: Option<Instant>,
    patience: Duration,
}

/// Checks a handshake and answers it; once the answer is sent, `session` begins. It is dropped
/// when the server does not wait any longer.
///
/// Of the subprotocols that the client offers, the first that is among `protocols` is agreed to.
/// Messages of up to `bytes_max` bytes are taken.
///
/// # Errors
/// The handshake is not one.
pub(crate) fn open<S, F>(
    shared: &Shared,
    request: &mut Request,
    protocols: &[&'static str],
    bytes_max: usize,
    session: S,
) -> Result<Response, Refusal>
where
    S: FnOnce(Socket) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let handshake::Accepted { response, upgrade, protocol } =
        handshake::accept(request, protocols)?;
    let connection = request.extensions_mut().remove::<Connection>().ok_or(Refusal::Internal)?;
    let (ping_every, patience) = (shared.limits.ping_every, shared.limits.write_timeout);
    shared.tasks.spawn(shared.abort.clone().run_until_cancelled_owned(async move {
        let upgraded = match timeout(HANDSHAKE_WAIT, upgrade).await {
            Ok(Ok(upgraded)) => upgraded,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the connection ended before its upgrade");
                return;
            }
            Err(_) => {
                tracing::debug!("the answer to the handshake was not taken");
                return;
            }
        };
        let Some((stream, begun)) = taken_apart(upgraded) else {
            tracing::error!("a connection is not of the kind that is accepted");
            return;
        };
        let ping_at = Instant::now() + ping_every;
        let mut socket = Socket {
            stream,
            connection,
            protocol,
            decoder: Decoder::new(bytes_max),
            arrived: VecDeque::new(),
            outbox: Outbox::default(),
            standing: Standing::Open,
            is_full: false,
            pongs: 0,
            unanswered: None,
            timer: Box::pin(sleep_until(ping_at)),
            ping_at,
            ping_every,
            missed: 0,
            stalled: None,
            patience,
        };
        socket.take(&mut Vec::from(begun));
        // A future of its own, so that the handshake's is gone.
        Box::pin(session(socket)).await;
    }));
    Ok(response)
}

/// The stream under an upgraded connection, and what was read from it already.
fn taken_apart(upgraded: Upgraded) -> Option<(TcpStream, Bytes)> {
    let parts = upgraded.downcast::<TokioIo<Patient<TcpStream>>>().ok()?;
    Some((parts.io.into_inner().into_inner(), parts.read_buf))
}

impl Socket {
    /// Who is at the other end.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.connection.peer
    }

    /// The subprotocol that was agreed to.
    pub(crate) fn protocol(&self) -> Option<&'static str> {
        self.protocol
    }

    /// Whether there is room for a frame. If not, [`Socket::next`] gives [`Heard::Room`] when
    /// there is.
    pub(crate) fn has_room(&mut self) -> bool {
        self.is_full = self.outbox.len() >= OUT_BYTES_MAX;
        !self.is_full
    }

    /// Whether nothing waits.
    pub(crate) fn is_written(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Adds a message of text to what waits.
    pub(crate) fn feed_text(&mut self, text: &str) {
        self.outbox.push(Opcode::Text, text.as_bytes());
    }

    /// Adds a message of bytes to what waits.
    pub(crate) fn feed_binary(&mut self, bytes: &Bytes) {
        self.outbox.push_shared(Opcode::Binary, bytes);
    }

    /// Adds a message of text that `write` appends, without a buffer in between. It has to be
    /// UTF-8.
    pub(crate) fn feed_with<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.outbox.push_with(write)
    }

    /// Adds a frame that was encoded for many.
    pub(crate) fn feed(&mut self, frame: &Encoded) {
        self.outbox.push_encoded(frame);
    }

    /// What the client says next. Meanwhile what waits is written and pings are sent.
    ///
    /// # Errors
    /// [`Left`], and the same again from then on.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Heard, Left> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// What the client says next, as [`Socket::next`], if there is room for an answer. Who reads
    /// nothing is heard no further: everything that is said has an answer, and those would pile up.
    ///
    /// # Errors
    /// As [`Socket::next`].
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn hear(&mut self) -> Result<Heard, Left> {
        if self.has_room() {
            return self.next().await;
        }
        self.flush().await?;
        Ok(Heard::Room)
    }

    /// Writes all that waits. Only for a session that has nothing to hear meanwhile: others come
    /// back to [`Socket::next`], which writes as well.
    ///
    /// # Errors
    /// [`Left::Gone`].
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn flush(&mut self) -> Result<(), Left> {
        std::future::poll_fn(|context| {
            self.poll_write(context);
            if !self.outbox.is_empty() {
                self.poll_timer(context);
            }
            match self.standing {
                Standing::Dead => Poll::Ready(Err(Left::Gone)),
                _ if self.outbox.is_empty() => Poll::Ready(Ok(())),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// Waits until a stranger has said who it is; others are known.
    ///
    /// # Errors
    /// [`Left::Wrong`] also for a message that is no login, none in time, a wrong credential, and
    /// one whose owner has too many connections.
    ///
    /// # Cancel safety
    /// A message may be lost when the future is dropped.
    pub(crate) async fn who(&mut self, shared: &Shared, caller: Caller) -> Result<Caller, Left> {
        if !caller.is_stranger() {
            return Ok(caller);
        }
        // Boxed, so that sockets of those who are known are small.
        Box::pin(self.login(shared)).await
    }

    async fn login(&mut self, shared: &Shared) -> Result<Caller, Left> {
        let text = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return Err(Left::Wrong(Refusal::Stopping)),
            text = timeout(LOGIN_WAIT, self.text()) => {
                text.map_err(|_| Left::Wrong(Refusal::NoCredential))??
            }
        };
        let credential = auth::of_message(&text).ok_or(Left::Wrong(Refusal::NoCredential))?;
        drop(text);
        let caller = shared.auth.check(credential).await.map_err(Left::Wrong)?;
        if let Some(identity) = caller.owner() {
            let busy = shared.enter(identity).map_err(Left::Wrong)?;
            self.connection.busy = Some(Arc::new(busy));
        }
        Ok(caller)
    }

    /// The next message, which has to be text.
    ///
    /// # Errors
    /// [`Left`]; bytes are [`Refusal::BinaryFrame`].
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn text(&mut self) -> Result<String, Left> {
        loop {
            match self.next().await? {
                Heard::Text(text) => return Ok(text),
                Heard::Binary(_) => return Err(Left::Wrong(Refusal::BinaryFrame)),
                Heard::Room => {}
            }
        }
    }

    /// Tells the client why nothing more is done, as a frame and by the code of the close frame,
    /// and ends the connection. `reference` is what the log knows it by.
    pub(crate) fn refuse<'a>(mut self, refusal: &'a Refusal, reference: &str) -> BoxFuture<'a, ()> {
        tracing::info!(code = refusal.code(), "refused");
        if matches!(self.standing, Standing::Open | Standing::Broken(_)) {
            self.feed_text(&refusal.to_json(reference).to_string());
        }
        // A node chose its code, and it may be long; the error frame has all of it.
        let fits = Some(refusal.code()).filter(|code| code.len() <= REASON_BYTES_MAX);
        self.close(refusal.close_code(), fits.unwrap_or_default())
    }

    /// Ends the connection as the protocol has it: what waits is written, then the close frame,
    /// and the client has [`CLOSE_WAIT`] to answer it. `reason` has at most 123 bytes. Where the
    /// client closed first, its own code was the answer.
    ///
    /// Boxed: what a goodbye takes is not held by every socket that is open.
    pub(crate) fn close(self, code: u16, reason: &str) -> BoxFuture<'_, ()> {
        Box::pin(self.end(code, reason))
    }

    async fn end(mut self, code: u16, reason: &str) {
        match self.standing {
            Standing::Dead => return,
            Standing::Closed => {}
            Standing::Open | Standing::Broken(_) => {
                let mut payload = code.to_be_bytes().to_vec();
                payload.extend_from_slice(reason.as_bytes());
                self.outbox.push(Opcode::Close, &payload);
            }
        }
        let goodbye = async {
            self.flush().await?;
            // The client's own close frame, or the end of the connection. What it says now comes
            // too late.
            while matches!(self.standing, Standing::Open) {
                self.next().await?;
            }
            Ok::<(), Left>(())
        };
        let _ = timeout(CLOSE_WAIT, goodbye).await;
        if matches!(self.standing, Standing::Dead) {
            return;
        }
        // Closing a connection with unread bytes resets it, and a reset may overtake the frames
        // above on their way. So what still comes in, such as the rest of a message that was too
        // big, is read and thrown away for a while.
        let Self { mut stream, connection: _place, .. } = self;
        let linger = async {
            stream.shutdown().await?;
            let mut waste = Vec::with_capacity(CHUNK);
            while stream.read_buf(&mut waste).await? > 0 {
                waste.clear();
            }
            Ok(())
        };
        let _: Result<io::Result<()>, _> = timeout(CLOSE_WAIT, linger).await;
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Heard, Left>> {
        self.poll_write(context);
        if self.is_full && self.outbox.len() < OUT_BYTES_MAX {
            self.is_full = false;
            return Poll::Ready(Ok(Heard::Room));
        }
        loop {
            while let Some(arrived) = self.arrived.pop_front() {
                match arrived {
                    Arrived::Text(text) => return Poll::Ready(Ok(Heard::Text(text))),
                    Arrived::Binary(bytes) => return Poll::Ready(Ok(Heard::Binary(bytes))),
                    Arrived::Ping(payload) => self.pong(payload),
                    Arrived::Pong => {}
                    Arrived::Close(code) => self.answer_close(code),
                }
            }
            match &self.standing {
                Standing::Open => {}
                Standing::Closed | Standing::Dead => return Poll::Ready(Err(Left::Gone)),
                Standing::Broken(refusal) => {
                    return Poll::Ready(Err(Left::Wrong(refusal.clone())));
                }
            }
            if self.poll_read(context).is_pending() {
                break;
            }
        }
        // Answers to pings.
        self.poll_write(context);
        self.poll_timer(context);
        match self.standing {
            Standing::Dead => Poll::Ready(Err(Left::Gone)),
            _ => Poll::Pending,
        }
    }

    /// Reads a chunk; pending when there is none.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut chunk = [MaybeUninit::uninit(); CHUNK];
        let mut chunk = ReadBuf::uninit(&mut chunk);
        match ready!(Pin::new(&mut self.stream).poll_read(context, &mut chunk)) {
            Ok(()) if chunk.filled().is_empty() => self.standing = Standing::Dead,
            Ok(()) => self.take(chunk.filled_mut()),
            Err(error) => self.died("cannot read from the client", &error),
        }
        Poll::Ready(())
    }

    /// Understands what was read.
    fn take(&mut self, bytes: &mut [u8]) {
        if bytes.is_empty() {
            return;
        }
        self.missed = 0;
        if let Err(fault) = self.decoder.push(bytes, &mut self.arrived) {
            self.standing = Standing::Broken(match fault {
                Fault::Protocol => Refusal::Protocol,
                Fault::Utf8 => Refusal::InvalidUtf8,
                Fault::TooBig => Refusal::TooBig { max: self.decoder.bytes_max() },
            });
        }
    }

    fn pong(&mut self, payload: Vec<u8>) {
        if self.pongs < PONGS_MAX {
            self.pongs += 1;
            self.outbox.push(Opcode::Pong, &payload);
        } else {
            self.unanswered = Some(payload);
        }
    }

    fn answer_close(&mut self, code: Option<u16>) {
        let payload = code.map(u16::to_be_bytes);
        self.outbox.push(Opcode::Close, payload.as_ref().map_or(&[], |code| &code[..]));
        self.standing = Standing::Closed;
    }

    /// Writes what the system takes.
    fn poll_write(&mut self, context: &mut Context<'_>) {
        loop {
            while !self.outbox.is_empty() && !matches!(self.standing, Standing::Dead) {
                let stream = Pin::new(&mut self.stream);
                let write = |slices: &[IoSlice<'_>]| match slices {
                    // Mostly, and less work for the system.
                    [slice] => stream.poll_write(context, slice),
                    slices => stream.poll_write_vectored(context, slices),
                };
                match self.outbox.write(write) {
                    Poll::Ready(Ok(_)) => self.stalled = None,
                    Poll::Ready(Err(error)) => self.died("cannot write to the client", &error),
                    Poll::Pending => return self.note_stall(),
                }
            }
            self.pongs = 0;
            match self.unanswered.take() {
                Some(payload) => self.pong(payload),
                None => return,
            }
        }
    }

    fn note_stall(&mut self) {
        if self.stalled.is_none() {
            let now = Instant::now();
            self.stalled = Some(now);
            self.timer.as_mut().reset(self.ping_at.min(now + self.patience));
        }
    }

    /// Does what is due by the clock.
    fn poll_timer(&mut self, context: &mut Context<'_>) {
        while self.timer.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            if self.stalled.is_some_and(|since| now >= since + self.patience) {
                tracing::debug!("the client takes no bytes");
                self.standing = Standing::Dead;
                return;
            }
            if now >= self.ping_at {
                // A ping behind other frames would ask how fast the client reads.
                if self.outbox.is_empty() {
                    if self.missed >= PINGS_MISSED_MAX {
                        tracing::debug!("the client answers no pings");
                        self.standing = Standing::Dead;
                        return;
                    }
                    self.missed += 1;
                    self.outbox.push(Opcode::Ping, &[]);
                }
                self.ping_at = now + self.ping_every;
            }
            let stalled = self.stalled.map(|since| since + self.patience);
            let due = stalled.map_or(self.ping_at, |due| due.min(self.ping_at));
            self.timer.as_mut().reset(due);
            self.poll_write(context);
        }
    }

    fn died(&mut self, what: &str, error: &io::Error) {
        tracing::debug!(%error, "{what}");
        self.standing = Standing::Dead;
    }
}
