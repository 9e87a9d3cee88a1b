//! Frames on their way to a client.
//!
//! A body reads on only when the connection takes more, so a slow client holds nothing but its
//! own place in the log; one that takes no byte for [`crate::WRITE_TIMEOUT`] is closed like any
//! other. What is ready goes out together, and the first frame waits for no other.

use std::{convert::Infallible, io, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use futures::{FutureExt, stream};
use mesh_runtime::{Error, Runtime};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{leaving::Leaving, tails::After, wait};
use crate::{
    FLUSH_BYTES, HEARTBEAT_EVERY, RETRY_MS, auth::Caller, frames::Frame, frames::Wanted,
    refusal::Refusal, rest::Kept, rest::params::Params, server::Shared,
};

/// A line that shows that the connection lives. Without an empty line after it: some clients take
/// that for an event of its own.
const HEARTBEAT: &[u8] = b": heartbeat\n";

/// Where frames come from.
pub(in crate::rest) trait Tail: Send + 'static {
    /// Waits for what comes next and appends its frames, which may be none; false at the end.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    fn next(&mut self, out: &mut Vec<u8>) -> impl Future<Output = Result<bool, Error>> + Send;
}

/// What a client that joins a stream says.
pub(super) struct Joining {
    pub(super) shared: Arc<Shared>,
    pub(super) runtime: Runtime,
    pub(super) caller: Caller,
    pub(super) after: After,
    /// Only frames of these modes.
    pub(super) only: Option<Wanted>,
    pub(super) cancels: bool,
}

impl FromRequestParts<Arc<Shared>> for Joining {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        let Kept(runtime) = Kept::from_request_parts(parts, shared).await?;
        let caller = parts.extensions.get::<Caller>().cloned().unwrap_or_default();
        let Ok(params): Result<Params, Infallible> =
            Params::from_request_parts(parts, shared).await;
        let words = params.list("stream_mode");
        let only = (!words.is_empty()).then(|| Wanted::named(words.iter().map(|word| &**word)));
        let cancels = params.flag("cancel_on_disconnect")?.unwrap_or(false);
        let last = parts.headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let after = After::named(last);
        Ok(Self { shared: Arc::clone(shared), runtime, caller, after, only, cancels })
    }
}

/// The answer for a run that is not there: a stream with nothing else in it.
pub(super) fn no_run() -> Response {
    let mut out = Vec::new();
    Frame::error("HTTPException", "404: Run not found").write(0, &mut out);
    of_events(Body::from(out))
}

/// A stream of frames.
pub(in crate::rest) fn response(
    shared: &Arc<Shared>,
    tail: impl Tail,
    leaving: Option<Leaving>,
) -> Response {
    let random = shared.runtime.as_ref().map_or(0, |runtime| runtime.env().random());
    let flow = Flow {
        tail,
        leaving,
        stop: shared.stop.clone(),
        retry_ms: RETRY_MS.start + random % (RETRY_MS.end - RETRY_MS.start),
        left: Left::Everything,
    };
    of_events(Body::from_stream(stream::unfold(flow, |mut flow| async move {
        let chunk = flow.next().await?;
        Some((chunk, flow))
    })))
}

fn of_events(body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    let mut put = |name, value| headers.insert(name, HeaderValue::from_static(value));
    put(header::CONTENT_TYPE, "text/event-stream; charset=utf-8");
    put(header::CACHE_CONTROL, "no-store");
    put(HeaderName::from_static("x-accel-buffering"), "no");
    response
}

/// What is left to be sent.
enum Left {
    Everything,
    /// That the stream breaks off here.
    Break,
    Nothing,
}

/// A stream on its way to a client.
struct Flow<T> {
    tail: T,
    leaving: Option<Leaving>,
    stop: CancellationToken,
    retry_ms: u64,
    left: Left,
}

impl<T: Tail> Flow<T> {
    /// What goes out next; none at the end.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self.left {
            Left::Nothing => return None,
            Left::Break => {
                // Lets what was sent before out of its buffer.
                tokio::task::yield_now().await;
                self.left = Left::Nothing;
                return Some(Err(wait::stopping()));
            }
            Left::Everything => {}
        }
        let mut out = Vec::new();
        let mut heartbeat = std::pin::pin!(sleep(HEARTBEAT_EVERY));
        loop {
            let turn = tokio::select! {
                biased;
                // Clients take the broken connection for what it is, and come back to us or to
                // whoever stands here then.
                () = self.stop.cancelled() => {
                    self.left = Left::Break;
                    return Some(Ok(format!("retry: {}\n", self.retry_ms).into()));
                }
                turn = self.tail.next(&mut out) => turn,
                () = &mut heartbeat => return Some(Ok(Bytes::from_static(HEARTBEAT))),
            };
            self.note(turn, &mut out);
            while matches!(self.left, Left::Everything) && out.len() < FLUSH_BYTES {
                let Some(turn) = self.tail.next(&mut out).now_or_never() else { break };
                self.note(turn, &mut out);
            }
            if !out.is_empty() {
                return Some(Ok(out.into()));
            }
            if matches!(self.left, Left::Nothing) {
                return None;
            }
        }
    }

    fn note(&mut self, turn: Result<bool, Error>, out: &mut Vec<u8>) {
        match turn {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "a stream cannot be read on");
                // Told without a number, so that a client that comes back misses nothing.
                let error = Frame::error("InternalServerError", "the stream cannot be read on");
                error.write_unnumbered(out);
            }
        }
        self.left = Left::Nothing;
        if let Some(leaving) = self.leaving.take() {
            leaving.let_go();
        }
    }
}

#[cfg(test)]
mod tests;
