//! Where a connection stands between its requests, and how long it may stand there.
//!
//! Whoever answers on a connection tells when it begins and when it is done; whoever reads from it
//! sees when something of the next request comes. Between two requests a client may take its time,
//! and the library counts that ([`crate::IDLE_WAIT`]). Once it has begun to send a head it may not
//! ([`HEADER_WAIT`]), and neither may one that has just connected.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use axum::{http::StatusCode, response::Response};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{HEADER_WAIT, held};

/// Nothing of the next request is there.
const IDLE: u8 = 0;
/// Some of its head is there, or the connection is new.
const HEAD: u8 = 1;
/// Its head is there; it is being answered, or the connection is no HTTP any more.
const ANSWER: u8 = 2;

/// Where a connection stands. Clones are of the same connection.
#[derive(Debug, Clone)]
pub(crate) struct Pace(Arc<AtomicU8>);

impl Pace {
    /// Of a connection that was just accepted.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU8::new(HEAD)))
    }

    /// The head of a request is there.
    pub(crate) fn answering(&self) {
        self.0.store(ANSWER, Ordering::Relaxed);
    }

    /// The next request may come when this answer is sent. Handed over to another protocol, a
    /// connection has no requests any more.
    pub(crate) fn answered(self, response: Response) -> Response {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return response;
        }
        held::until_sent(response, Answering(self))
    }
}

/// A request that is being answered.
struct Answering(Pace);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.store(IDLE, Ordering::Relaxed);
    }
}

/// Counts the time of a head.
#[derive(Debug)]
pub(crate) struct HeadClock {
    pace: Pace,
    /// When the head has to be there, as far as one is coming.
    due: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl HeadClock {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, due: Instant::now() + HEADER_WAIT, timer: None }
    }

    /// Notes whether something came; an error when a head has taken too long.
    pub(crate) fn watch(
        &mut self,
        cx: &mut Context<'_>,
        read: Poll<io::Result<()>>,
        some_came: bool,
    ) -> Poll<io::Result<()>> {
        match self.pace.0.load(Ordering::Relaxed) {
            IDLE if some_came => {
                self.due = Instant::now() + HEADER_WAIT;
                self.pace.0.store(HEAD, Ordering::Relaxed);
            }
            HEAD if read.is_pending() => {
                let due = self.due;
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
                return timer.as_mut().poll(cx).map(|()| {
                    Err(io::Error::new(io::ErrorKind::TimedOut, "the head of a request is late"))
                });
            }
            HEAD => return read,
            _ => {}
        }
        self.timer = None;
        read
    }
}
