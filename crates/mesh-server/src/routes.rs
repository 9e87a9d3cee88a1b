//! The paths of the server, and what every request passes on its way to them.

use std::{
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::Arc,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use futures::FutureExt;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    ErrorFormat, auth::Caller, callers::Busy, cors, extract::BodyProgress, handshake, held, native,
    page, protocol, refusal::Refusal, rest, server::Shared, socket, studio,
};

/// Id of a request: in the response, in the log, and the id of the run it starts.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the page may load and who may show it: its own files, nobody else's, and no frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// Headers of every response.
const SAFETY: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The connection that a request came in on.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    /// The client.
    pub(crate) peer: SocketAddr,
    /// Our address that it reached.
    pub(crate) local: IpAddr,
    /// The connection's place among [`crate::Limits::connections_max`]; a socket keeps it on.
    pub(crate) _place: Arc<OwnedSemaphorePermit>,
    /// Its place among those of its caller, where that is known; a socket keeps it on.
    pub(crate) busy: Option<Arc<Busy>>,
}

/// Id of the request at hand.
#[derive(Debug, Clone)]
struct RequestId(Arc<str>);

/// All paths, behind [`gate`].
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let for_suites = if shared.development {
        Router::new().route("/internal/echo", get(socket::open_echo))
    } else {
        Router::new()
    };
    Router::new()
        .route("/", get(async || Redirect::temporary("/studio/")))
        .route("/icon.svg", get(async || page::ICON))
        .route("/studio", get(async || Redirect::permanent("/studio/")))
        .route("/studio/", get(studio::page))
        .route("/studio/{*path}", get(studio::at))
        .route("/docs", get(async || page::DOCS))
        .route("/docs/style.css", get(async || page::DOCS_STYLE))
        .route("/docs/script.js", get(async || page::DOCS_SCRIPT))
        .route("/ws", get(native::open))
        .route("/ws/{assistant}", get(socket::open_plain))
        .route("/threads/{thread_id}/stream/events", get(protocol::socket::open))
        .merge(for_suites)
        .merge(rest::routes(&shared))
        .method_not_allowed_fallback(wrong_method)
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), gate))
        .with_state(shared)
}

/// What every request passes: an id, the check of who asks, a span, a net for panics, and the
/// headers of every response.
pub(crate) async fn gate(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id: Arc<str> = Arc::from(Uuid::now_v7().to_string());
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let progress = BodyProgress::of(request.headers());
    if let Some(progress) = &progress {
        request.extensions_mut().insert(progress.clone());
    }
    let span = tracing::debug_span!(
        "request",
        request_id = &*id,
        method = %request.method(),
        path = request.uri().path(),
    );
    let connection = request.extensions().get::<Connection>();
    let checked = match connection {
        Some(Connection { local, .. }) => {
            shared.access.check(request.headers(), request.uri(), *local)
        }
        None => Err(Refusal::Internal),
    };
    let page = checked.as_ref().ok().cloned().flatten();
    let is_studio = studio::is_below(request.uri().path());
    let handled = async {
        let admitted = match checked {
            Ok(_) => match cors::preflight(&request) {
                Some(answer) => return answer,
                None => admit(&shared, &mut request).await,
            },
            Err(refusal) => Err(refusal),
        };
        let mut response = match admitted {
            Err(refusal) => refusal.into_response(),
            Ok(busy) => match AssertUnwindSafe(next.run(request)).catch_unwind().await {
                Ok(response) => match busy {
                    Some(busy) => held::until_sent(response, busy),
                    None => response,
                },
                Err(panic) => {
                    let panic = text_of(&*panic);
                    tracing::error!(reference = &*id, panic, "a handler panicked");
                    Refusal::Internal.into_response()
                }
            },
        };
        let Some(refusal) = response.extensions_mut().remove::<Refusal>() else {
            return response;
        };
        tracing::debug!(code = refusal.code(), "refused");
        shared.metrics.note(&refusal);
        refusal.to_response(&id, shared.error_format)
    };
    let mut response = handled.instrument(span).await;
    let stays_open = response.status() == StatusCode::SWITCHING_PROTOCOLS
        || progress.is_none_or(|progress| progress.is_read());
    shared.metrics.answered(response.status());
    let headers = response.headers_mut();
    for (name, value) in SAFETY {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_studio {
        let policy = HeaderValue::from_static(studio::CONTENT_SECURITY_POLICY);
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    // The client is told that the connection ends, so that it does not send its next request into
    // a connection that is being closed.
    if !stays_open {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(origin) = page {
        cors::allow(headers, origin, shared.access.any_origin);
    }
    response
}

/// Paths that everybody may read: whether the server lives, what it is, and its own pages. None
/// tells anything of what it keeps.
const PUBLIC: [&str; 6] = ["/", "/ok", "/info", "/openapi.json", "/docs", "/icon.svg"];

/// Finds out who asks, for the handlers. Takes the credential out of the request: nothing behind
/// this has any use for it. Gives its place among those of its caller, where callers have some.
async fn admit(shared: &Shared, request: &mut Request) -> Result<Option<Arc<Busy>>, Refusal> {
    let path = request.uri().path();
    let is_public = PUBLIC.contains(&path) || path.starts_with("/docs/") || studio::is_below(path);
    let caller = if is_public && shared.auth.is_on() {
        Caller::stranger()
    } else {
        match shared.auth.of_headers(request.headers()).await? {
            Some(caller) => caller,
            // The script of a page can send no header with a handshake.
            None if is_socket(path) && handshake::is_wanted(request.headers()) => {
                Caller::stranger()
            }
            None => return Err(Refusal::NoCredential),
        }
    };
    let headers = request.headers_mut();
    headers.remove(header::AUTHORIZATION);
    headers.remove("x-api-key");
    let busy = caller.owner().map(|identity| shared.enter(identity)).transpose()?.map(Arc::new);
    if let Some(connection) = request.extensions_mut().get_mut::<Connection>() {
        connection.busy.clone_from(&busy);
    }
    request.extensions_mut().insert(caller);
    if may_write(request.method())
        && let Some(runtime) = &shared.runtime
    {
        runtime.check_writes()?;
    }
    Ok(busy)
}

/// Whether a request with this method may change anything.
fn may_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether this is the path of a socket, whose first message may say who opened it.
fn is_socket(path: &str) -> bool {
    path == "/ws"
        || path.starts_with("/ws/")
        || (path.starts_with("/threads/") && path.ends_with("/stream/events"))
}

/// The text of a panic, where it has one.
pub(crate) fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

async fn not_found() -> Refusal {
    Refusal::NotFound
}

async fn wrong_method() -> Refusal {
    Refusal::MethodNotAllowed
}

/// The answer on a connection for which there is no place.
pub(crate) fn no_place(max: usize, format: ErrorFormat) -> Response {
    let id = Uuid::now_v7().to_string();
    let mut response = Refusal::TooManyConnections { max }.to_response(&id, format);
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in SAFETY {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Id of the request, as it is in its answer.
pub(crate) fn id_of(request: &Request) -> Arc<str> {
    match request.extensions().get::<RequestId>() {
        Some(RequestId(id)) => Arc::clone(id),
        None => Arc::from(""),
    }
}

#[cfg(test)]
mod tests;
