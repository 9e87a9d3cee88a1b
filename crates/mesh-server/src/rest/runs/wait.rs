//! Waiting for the last values of a run.
//!
//! The head of the answer goes out soon, whatever the run does: clients count open requests, and
//! proxies give up on silent ones. While the run goes on a line feed now and then shows that the
//! connection lives; in front of JSON it means nothing.

use std::{io, pin::Pin, sync::Arc};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures::{Stream, stream};
use mesh_runtime::{Error, Run, Runtime, follow::RunEnd};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::leaving::Leaving;
use crate::{HEARTBEAT_EVERY, QUICK_RUN, server::Shared};

/// What waiting gives, once it does.
type Ending = Pin<Box<dyn Future<Output = Bytes> + Send>>;

/// The last values of a run that was just made, when it has ended.
pub(super) async fn response_of_new(
    shared: &Arc<Shared>,
    runtime: &Runtime,
    run: &Run,
    leaving: Option<Leaving>,
) -> Response {
    let (runtime, new) = (runtime.clone(), run.clone());
    let ended = async move { runtime.ended_new(&new).await };
    respond(shared, ending(run, ended, false), leaving).await
}

/// The last values of a run, when it has ended.
pub(super) async fn response(
    shared: &Arc<Shared>,
    runtime: &Runtime,
    run: &Run,
    leaving: Option<Leaving>,
) -> Response {
    respond(shared, ending(run, ended(runtime, run), false), leaving).await
}

/// The same for a run that was cancelled, and that may be gone by that.
pub(super) async fn response_after_cancel(
    shared: &Arc<Shared>,
    runtime: &Runtime,
    run: &Run,
) -> Response {
    respond(shared, ending(run, ended(runtime, run), true), None).await
}

/// The answer for a run that is not there.
pub(super) fn no_run() -> Response {
    whole(error("HTTPException", "404: Run not found"))
}

fn ended(runtime: &Runtime, run: &Run) -> impl Future<Output = Result<RunEnd, Error>> + use<> {
    let (runtime, thread, id) = (runtime.clone(), run.thread.clone(), run.id);
    async move { runtime.ended(&thread, id).await }
}

fn ending(
    run: &Run,
    ended: impl Future<Output = Result<RunEnd, Error>> + Send + 'static,
    gone_is_empty: bool,
) -> Ending {
    let id = run.id;
    Box::pin(async move {
        match ended.await {
            Ok(end) => value(end),
            Err(Error::NoRun(_)) if gone_is_empty => Bytes::from_static(b"{}"),
            Err(Error::NoRun(_)) => error("HTTPException", "404: Run not found"),
            Err(failure) => {
                tracing::error!(error = %failure, run_id = %id, "cannot wait for a run");
                error("InternalServerError", "the end of the run cannot be read")
            }
        }
    })
}

/// The value of a run that has ended: its error, or its last values.
fn value(end: RunEnd) -> Bytes {
    match (end.error, end.values) {
        (Some(error), _) => json!({ "__error__": error }).to_string().into(),
        (None, Some(values)) if &*values != b"null" => values,
        (None, _) => Bytes::from_static(b"{}"),
    }
}

fn error(error: &str, message: &str) -> Bytes {
    json!({ "__error__": { "error": error, "message": message } }).to_string().into()
}

async fn respond(shared: &Arc<Shared>, mut ending: Ending, leaving: Option<Leaving>) -> Response {
    // The value of a run that is over by then goes out in one piece with its head.
    if let Ok(value) = timeout(QUICK_RUN, &mut ending).await {
        if let Some(leaving) = leaving {
            leaving.let_go();
        }
        return whole(value);
    }
    of_json(Body::from_stream(slowly(shared, ending, leaving)))
}

fn whole(value: Bytes) -> Response {
    of_json(Body::from(value))
}

fn of_json(body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn slowly(
    shared: &Arc<Shared>,
    ending: Ending,
    leaving: Option<Leaving>,
) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let stop = shared.stop.clone();
    stream::unfold(Some((ending, leaving, stop)), |waiting| async {
        let (mut ending, leaving, stop) = waiting?;
        tokio::select! {
            biased;
            value = &mut ending => {
                if let Some(leaving) = leaving {
                    leaving.let_go();
                }
                Some((Ok(value), None))
            }
            // Broken off rather than ended, so that clients ask again where we said.
            () = stop.cancelled() => Some((Err(stopping()), None)),
            () = sleep(HEARTBEAT_EVERY) => {
                Some((Ok(Bytes::from_static(b"\n")), Some((ending, leaving, stop))))
            }
        }
    })
}

/// Ends a body in a way that clients take for a broken connection.
pub(super) fn stopping() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the server is stopping")
}
