//! The one border between what went wrong and what a client is told.
//!
//! A refusal has a stable code, a message that is safe to show, and a close code or HTTP status
//! that says whose fault it was. Causes stay in the log, under the reference.

use std::borrow::Cow;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use mesh_graph::{Error, Failure, checkpointer, error::TaskFailure, store};
use mesh_runtime::Limit;
use serde_json::{Value as Json, json};

use crate::{InvalidRequest, THREAD_ID_CHARS_MAX};

/// Code of a request that is not taken, whether before the run or by one of its nodes.
const INVALID_REQUEST: &str = "invalid_request";

/// Close code of a socket whose server made a mistake.
const INTERNAL: u16 = 1011;

/// How to authenticate, told to those who did not.
const CHALLENGE: &str = "Bearer realm=\"genesis-mesh\"";

/// The same, told to those who tried.
const CHALLENGE_AGAIN: &str = "Bearer realm=\"genesis-mesh\", error=\"invalid_token\"";

/// Form of the bodies of HTTP errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorFormat {
    /// `{"detail", "code", "pointer"?, "request_id"}`.
    #[default]
    Json,
    /// The text of `detail` alone, as `text/plain`.
    Text,
}

/// Why something is not done.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Refusal {
    // ---- the client's fault ----
    #[error("Not Found")]
    NotFound,
    #[error("Method Not Allowed")]
    MethodNotAllowed,
    /// A status and text that the wire prescribes; made by the functions below.
    #[error("{detail}")]
    Told {
        status: StatusCode,
        code: &'static str,
        detail: Cow<'static, str>,
        /// JSON Pointer to what is wrong in the request.
        pointer: Option<String>,
    },
    #[error("another request with this Idempotency-Key is being handled; try again")]
    KeyInUse,
    #[error("authentication is required: send `Authorization: Bearer …` or `x-api-key`")]
    NoCredential,
    #[error("the credential is not valid")]
    BadCredential,
    #[error("the service that has the keys for bearer tokens does not answer; try again later")]
    KeysUnavailable,
    #[error("Not authorized")]
    NotAuthorized,
    #[error("Invalid JSON in request body")]
    MalformedJson,
    #[error("the request body has to be JSON: send it with `Content-Type: application/json`")]
    NotJson,
    #[error("the request body is larger than {max} bytes")]
    BodyTooBig { max: usize },
    #[error("the request body did not arrive: nothing came for {seconds} s")]
    BodyTooSlow { seconds: u64 },
    #[error("there is no assistant `{name}`; {}", those_there_are(.known))]
    UnknownAssistant { name: String, known: Vec<String> },
    #[error("this address is a WebSocket: open it with a WebSocket client")]
    UpgradeRequired,
    #[error("the WebSocket handshake is not valid: {0}")]
    BadHandshake(&'static str),
    #[error("the Host header has to be present once and name a host")]
    BadHost,
    #[error("this server does not answer for host `{host}`: add it to server.allowed_hosts")]
    HostNotAllowed { host: String },
    #[error("pages of origin `{origin}` may not use this server: add it to server.allowed_origins")]
    OriginNotAllowed { origin: String },
    #[error("all {max} connections of this server are taken; try again later")]
    TooManyConnections { max: usize },
    #[error("{max} connections of this caller are busy; end some of them, or try again later")]
    TooManyOfCaller { max: usize },
    /// More than the server takes on, for this caller or at all.
    #[error("{limit}: at most {max}{}", if .limit.passes() { "; try again later" } else { "" })]
    Full { limit: Limit, max: usize },
    #[error("the request body is compressed; send it as it is")]
    Compressed,
    #[error("query parameter {0}")]
    InvalidQuery(String),
    #[error(
        "query parameter thread_id: expected 1 to {THREAD_ID_CHARS_MAX} printable characters \
         without spaces at either end"
    )]
    InvalidThreadId,
    #[error("thread {thread} is busy with another run")]
    ThreadBusy { thread: String },
    #[error("the thread has no unfinished run to resume")]
    NothingToResume,
    #[error("null resumes the run of a kept thread: add the query parameter thread_id")]
    ResumeWithoutThread,
    #[error("the run asks a question, and nobody can answer it: add the query parameter thread_id")]
    Unanswerable,
    #[error("no request came within {seconds} s")]
    NoRequest { seconds: u64 },
    #[error("the request is not JSON: {0}")]
    InvalidJson(String),
    #[error("{0}")]
    InvalidRequest(InvalidRequest),
    #[error("a frame came while the run was going on; a socket takes one request")]
    UnexpectedFrame,
    #[error("a binary frame came; the request is one text frame of JSON")]
    BinaryFrame,
    #[error("a text frame was not UTF-8")]
    InvalidUtf8,
    #[error("the message is larger than {max} bytes")]
    TooBig { max: usize },
    #[error("the WebSocket protocol was violated")]
    Protocol,
    #[error("the run was cancelled")]
    Cancelled,
    #[error("{detail}")]
    NoQuestion { pointer: String, detail: String },
    #[error("{max} calls of this connection are not answered yet; wait for some of them")]
    TooManyCalls { max: usize },
    #[error("{max} threads are followed on this connection; unsubscribe from some of them")]
    TooManySubscriptions { max: usize },
    #[error("/thread_id: the thread is not followed on this connection")]
    NotSubscribed,
    #[error("/op: there is no such call; expected one of {known}")]
    UnknownCall { known: String },
    #[error("a binary frame was not one map of MessagePack")]
    NotMessagePack,
    #[error("a text frame came where binary frames of MessagePack were agreed on")]
    TextFrame,
    // ---- ours ----
    #[error("the server is stopping")]
    Stopping,
    #[error("the server is not ready: runs of an earlier process are not settled yet")]
    Starting,
    #[error("node `{node}` failed; the server's log has the cause under the reference")]
    NodeFailed { node: String },
    /// A node gave its error a code, which makes its message one for clients.
    #[error("{message}")]
    Coded { code: String, message: String },
    #[error("the run reached its limit of {limit} supersteps")]
    RecursionLimit { limit: u32 },
    #[error("the thread could not be read or saved; the server's log has the cause")]
    Storage,
    #[error("the disk of this server is full; nothing was changed")]
    DiskFull,
    #[error("something went wrong in the server; its log has the cause under the reference")]
    Internal,
}

fn those_there_are(names: &[String]) -> String {
    match names {
        [] => "this server has none".to_owned(),
        names => format!("there is: {}", names.join(", ")),
    }
}

impl Refusal {
    /// What is named is not there, or not for this caller; the two look alike.
    pub(crate) fn not_found(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::told(StatusCode::NOT_FOUND, code, detail)
    }

    /// What is there already, or goes on already, stands against it.
    pub(crate) fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::told(StatusCode::CONFLICT, code, detail)
    }

    /// A request that the wire answers with 400.
    pub(crate) fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::told(StatusCode::BAD_REQUEST, code, detail)
    }

    /// A value that is not what it has to be: 422. `pointer` leads to it, if it is in the body.
    pub(crate) fn invalid(pointer: Option<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Told {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: INVALID_REQUEST,
            detail: detail.into(),
            pointer,
        }
    }

    /// The same about a value that stands further inside of the request.
    pub(crate) fn within(self, at: &str) -> Self {
        match self {
            Self::Told { status, code, detail, pointer: Some(pointer) } => {
                let inner = format!("{at}{pointer}");
                let detail = match detail.strip_prefix(&*pointer) {
                    Some(rest) if !pointer.is_empty() => format!("{inner}{rest}").into(),
                    _ => detail,
                };
                Self::Told { status, code, detail, pointer: Some(inner) }
            }
            other => other,
        }
    }

    /// Any status and text.
    pub(crate) fn told(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Told { status, code, detail: detail.into(), pointer: None }
    }

    /// The HTTP status before an upgrade.
    pub(crate) fn status(&self) -> StatusCode {
        self.facts().1
    }

    /// Code, HTTP status before an upgrade, close code after it.
    fn facts(&self) -> (&str, StatusCode, u16) {
        use StatusCode as S;
        match self {
            Self::NotFound => ("not_found", S::NOT_FOUND, 1008),
            Self::MethodNotAllowed => ("method_not_allowed", S::METHOD_NOT_ALLOWED, 1008),
            Self::Told { status, code, .. } => {
                (code, *status, if status.is_server_error() { 1011 } else { 1008 })
            }
            Self::KeyInUse => ("key_in_use", S::CONFLICT, 1008),
            Self::NoCredential => ("unauthenticated", S::UNAUTHORIZED, 1008),
            Self::BadCredential => ("invalid_credential", S::UNAUTHORIZED, 1008),
            Self::KeysUnavailable => ("keys_unavailable", S::SERVICE_UNAVAILABLE, 1013),
            Self::NotAuthorized => ("not_authorized", S::FORBIDDEN, 1008),
            Self::MalformedJson => ("invalid_json", S::UNPROCESSABLE_ENTITY, 1008),
            Self::NotJson => ("not_json", S::UNSUPPORTED_MEDIA_TYPE, 1008),
            Self::BodyTooSlow { .. } => ("too_slow", S::REQUEST_TIMEOUT, 1008),
            Self::UnknownAssistant { .. } => ("unknown_assistant", S::NOT_FOUND, 1008),
            Self::UpgradeRequired => ("upgrade_required", S::UPGRADE_REQUIRED, 1008),
            Self::BadHandshake(_) => ("invalid_handshake", S::BAD_REQUEST, 1002),
            Self::BadHost => ("invalid_host", S::BAD_REQUEST, 1008),
            Self::HostNotAllowed { .. } => ("host_not_allowed", S::FORBIDDEN, 1008),
            Self::OriginNotAllowed { .. } => ("origin_not_allowed", S::FORBIDDEN, 1008),
            Self::TooManyConnections { .. } => {
                ("too_many_connections", S::SERVICE_UNAVAILABLE, 1013)
            }
            Self::TooManyOfCaller { .. } => ("too_many_connections", S::TOO_MANY_REQUESTS, 1013),
            // Of one thread or one caller, or of all.
            Self::Full { limit, .. } => match limit {
                Limit::RunsOfThread | Limit::PendingRuns => ("full", S::TOO_MANY_REQUESTS, 1013),
                Limit::State => ("full", S::TOO_MANY_REQUESTS, 1008),
                _ => ("full", S::SERVICE_UNAVAILABLE, 1013),
            },
            Self::Compressed => ("compressed", S::UNSUPPORTED_MEDIA_TYPE, 1008),
            Self::Starting => ("starting", S::SERVICE_UNAVAILABLE, 1013),
            Self::InvalidQuery(_) | Self::InvalidThreadId => {
                ("invalid_query", S::BAD_REQUEST, 1008)
            }
            Self::ThreadBusy { .. } => ("thread_busy", S::CONFLICT, 1008),
            Self::NothingToResume | Self::ResumeWithoutThread => {
                ("nothing_to_resume", S::CONFLICT, 1008)
            }
            Self::Unanswerable => ("unanswerable", S::CONFLICT, 1008),
            Self::NoRequest { .. } => ("no_request", S::REQUEST_TIMEOUT, 1008),
            Self::InvalidJson(_) => ("invalid_json", S::BAD_REQUEST, 1008),
            Self::InvalidRequest(_) => (INVALID_REQUEST, S::UNPROCESSABLE_ENTITY, 1008),
            Self::UnexpectedFrame => ("unexpected_frame", S::BAD_REQUEST, 1008),
            Self::BinaryFrame => ("binary_frame", S::BAD_REQUEST, 1003),
            Self::NoQuestion { .. } => ("no_question", S::CONFLICT, 1008),
            Self::TooManyCalls { .. } => ("too_many_calls", S::TOO_MANY_REQUESTS, 1008),
            Self::TooManySubscriptions { .. } => {
                ("too_many_subscriptions", S::TOO_MANY_REQUESTS, 1008)
            }
            Self::NotSubscribed => ("not_subscribed", S::CONFLICT, 1008),
            Self::UnknownCall { .. } => ("unknown_op", S::UNPROCESSABLE_ENTITY, 1008),
            Self::NotMessagePack => ("invalid_message_pack", S::BAD_REQUEST, 1007),
            Self::TextFrame => ("text_frame", S::BAD_REQUEST, 1003),
            Self::InvalidUtf8 => ("invalid_utf8", S::BAD_REQUEST, 1007),
            Self::BodyTooBig { .. } | Self::TooBig { .. } => {
                ("too_big", S::PAYLOAD_TOO_LARGE, 1009)
            }
            Self::Protocol => ("protocol_error", S::BAD_REQUEST, 1002),
            Self::Cancelled => ("cancelled", S::CONFLICT, 1008),
            Self::Stopping => ("server_stopping", S::SERVICE_UNAVAILABLE, 1012),
            // The one code that says whose fault it was: a node looked closer at the request.
            Self::Coded { code, .. } if code == INVALID_REQUEST => {
                (code, S::UNPROCESSABLE_ENTITY, 1008)
            }
            Self::Coded { code, .. } => (code, S::INTERNAL_SERVER_ERROR, 1011),
            Self::NodeFailed { .. } => ("node_failed", S::INTERNAL_SERVER_ERROR, 1011),
            Self::RecursionLimit { .. } => ("recursion_limit", S::INTERNAL_SERVER_ERROR, 1011),
            Self::DiskFull => ("disk_full", S::INSUFFICIENT_STORAGE, 1011),
            Self::Storage => ("storage_failed", S::INTERNAL_SERVER_ERROR, 1011),
            Self::Internal => ("internal", S::INTERNAL_SERVER_ERROR, 1011),
        }
    }

    /// The stable name of the error.
    pub(crate) fn code(&self) -> &str {
        self.facts().0
    }

    /// How a socket is closed after it.
    pub(crate) fn close_code(&self) -> u16 {
        self.facts().2
    }

    /// Whether the server is to blame, so that its log has a cause to look up.
    pub(crate) fn is_ours(&self) -> bool {
        self.close_code() == INTERNAL
    }

    /// JSON Pointer to what is wrong.
    pub(crate) fn pointer(&self) -> Option<&str> {
        match self {
            Self::UnknownCall { .. } => Some("/op"),
            Self::NotSubscribed => Some("/thread_id"),
            Self::NoQuestion { pointer, .. } => Some(pointer),
            Self::InvalidRequest(invalid) => Some(&invalid.pointer),
            Self::Told { pointer, .. } => pointer.as_deref(),
            _ => None,
        }
    }

    /// As a frame of a socket: `{"error": {"code", "message", "pointer"?, "reference"?}}`. The
    /// reference is there when the log has more to say under it.
    pub(crate) fn to_json(&self, reference: &str) -> Json {
        let mut error = json!({ "code": self.code(), "message": self.to_string() });
        if let Some(pointer) = self.pointer() {
            error["pointer"] = pointer.into();
        }
        if self.is_ours() {
            error["reference"] = reference.into();
        }
        json!({ "error": error })
    }

    /// As an HTTP response: `{"detail", "code", "pointer"?, "request_id"}`, or the text alone.
    pub(crate) fn to_response(&self, request_id: &str, format: ErrorFormat) -> Response {
        let (kind, body) = match format {
            ErrorFormat::Json => {
                let mut body = json!({
                    "detail": self.to_string(),
                    "code": self.code(),
                    "request_id": request_id,
                });
                if let Some(pointer) = self.pointer() {
                    body["pointer"] = pointer.into();
                }
                ("application/json", body.to_string())
            }
            ErrorFormat::Text => ("text/plain; charset=utf-8", self.to_string()),
        };
        let mut response = (
            self.status(),
            [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")],
            body,
        )
            .into_response();
        let headers = response.headers_mut();
        match self {
            Self::UpgradeRequired | Self::BadHandshake(_) => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            Self::NoCredential => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
            }
            Self::BadCredential => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE_AGAIN));
            }
            Self::KeyInUse | Self::Starting | Self::Full { limit: Limit::Writes, .. } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // RFC 9110, section 15.5.16: what would be taken.
            Self::Compressed => {
                headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            Self::TooManyConnections { .. }
            | Self::TooManyOfCaller { .. }
            | Self::TooManyCalls { .. }
            | Self::TooManySubscriptions { .. }
            | Self::KeysUnavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            Self::Full { limit, .. } if limit.passes() => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            // What is left of the body is not worth reading.
            Self::BodyTooBig { .. } | Self::BodyTooSlow { .. } => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// A handler may give a refusal as its response: the gate writes it out, since it alone knows the
/// request's id and the format of errors.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What a client of the REST doors is told; causes that are ours go to the log. Handlers that have
/// another text for a case look at it before.
impl From<mesh_runtime::Error> for Refusal {
    fn from(error: mesh_runtime::Error) -> Self {
        use mesh_runtime::Error as E;
        match error {
            E::NoAssistant(_) => Self::not_found("assistant_not_found", "Assistant not found"),
            E::NoVersion { assistant, version } => {
                let detail = format!("Version {version} not found for assistant {assistant}");
                Self::not_found("version_not_found", detail)
            }
            E::NoGraph { graph, known } => {
                let known: Vec<String> = known.iter().map(|id| format!("'{id}'")).collect();
                let known = known.join(", ");
                let detail = format!("Graph '{graph}' not found. Expected one of: [{known}]");
                Self::not_found("graph_not_found", detail)
            }
            E::NoThread(id) => {
                Self::not_found("thread_not_found", format!("Thread with ID {id} not found"))
            }
            E::NoGraphYet { thread } => {
                let detail = format!(
                    "Thread '{thread}' has no assigned graph ID. Run an assistant on it first, or \
                     make it with metadata.graph_id."
                );
                Self::bad_request("no_graph", detail)
            }
            E::NoCheckpoint(id) => {
                Self::not_found("checkpoint_not_found", format!("Checkpoint {id} not found"))
            }
            E::NoRun(_) => Self::not_found("run_not_found", "Run not found"),
            E::NoCron(_) => Self::not_found("cron_not_found", "Cron not found"),
            E::Exists { what: "thread", id } => {
                Self::conflict("exists", format!("Thread with ID {id} already exists"))
            }
            E::Exists { id, .. } => {
                Self::conflict("exists", format!("Assistant {id} already exists"))
            }
            E::TwoContexts => Self::bad_request(
                "two_contexts",
                "Cannot specify both configurable and context. Give the context alone.",
            ),
            E::KeyInUse => Self::KeyInUse,
            E::Busy { .. } => Self::conflict(
                "thread_busy",
                "Thread is already running a task. Wait for it to finish or choose a different \
                 multitask strategy.",
            ),
            E::InFlight { thread, runs } => {
                let runs: Vec<String> = runs.iter().map(uuid::Uuid::to_string).collect();
                let runs = runs.join(", ");
                let detail = format!("Thread {thread} has in-flight runs: {runs}");
                Self::conflict("runs_in_flight", detail)
            }
            E::Invalid { pointer, message } => Self::invalid(Some(pointer), message),
            E::NotMade { graph, message } => {
                Self::invalid(None, format!("Graph '{graph}' cannot be made: {message}"))
            }
            E::Full { limit, max } => Self::Full { limit, max },
            E::Stopping => Self::Stopping,
            E::DiskFull | E::Store(store::Error::DiskFull) => Self::DiskFull,
            E::Graph(error) => {
                log(&error);
                of_run(&error, None)
            }
            error @ (E::Storage(_) | E::Damaged { .. }) => {
                log(&error);
                Self::Storage
            }
            error => {
                log(&error);
                Self::Internal
            }
        }
    }
}

/// The whole chain of causes.
fn log(error: &(dyn std::error::Error + 'static)) {
    let mut chain = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        chain.push_str(": ");
        chain.push_str(&error.to_string());
        cause = error.source();
    }
    tracing::error!(error = chain, "a request failed");
}

/// What a client is told about a run that could not go on. The innermost cause decides; who
/// calls this logs the whole chain.
pub(crate) fn of_run(error: &Error, thread: Option<&str>) -> Refusal {
    let thread = thread.unwrap_or_default();
    match error {
        Error::InvalidInput(failure) => Refusal::InvalidRequest(invalid_input(failure)),
        Error::EmptyInput | Error::NothingToResume => Refusal::NothingToResume,
        Error::HeadMoved { .. } => Refusal::ThreadBusy { thread: thread.to_owned() },
        Error::RecursionLimit { limit } => Refusal::RecursionLimit { limit: *limit },
        // Without a code: the outer node's name, as a client knows the graph from outside.
        Error::Task(task) => match error.root_cause() {
            Error::Task(TaskFailure {
                failure: Failure { code: Some(code), message, .. }, ..
            }) => Refusal::Coded { code: code.clone(), message: message.clone() },
            _ => Refusal::NodeFailed { node: task.node.clone() },
        },
        Error::CheckpointFailed(checkpointer::Error::DiskFull) => Refusal::DiskFull,
        Error::CheckpointFailed(_) => Refusal::Storage,
        Error::UnreadableCheckpoint { .. } | Error::UnknownStoredNode { .. } => Refusal::conflict(
            "state_of_another_graph",
            format!(
                "what the thread has saved does not fit its graph; another graph, or an older \
                 version of it, has saved it: {error}"
            ),
        ),
        _ => Refusal::Internal,
    }
}

/// An input that passed [`crate::Assistant::prepare`] and that the graph still does not take.
fn invalid_input(failure: &Failure) -> InvalidRequest {
    InvalidRequest { pointer: failure.pointer(), message: failure.message.clone() }
}
