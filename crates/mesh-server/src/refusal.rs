//! The one border between what went wrong and what a client is told.
//!
//! A refusal has a stable code, a message that is safe to show, and a close code or HTTP status
//! that says whose fault it was. Causes stay in the log, under the reference.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use mesh_graph::{Error, Failure, FailureKind, error::TaskFailure};
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::{InvalidRequest, THREAD_ID_CHARS_MAX};

/// Code of a request that is not taken, whether before the run or by one of its nodes.
const INVALID_REQUEST: &str = "invalid_request";

/// Why something is not done.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Refusal {
    // ---- the client's fault ----
    #[error("there is nothing at {path}; the paths are in /openapi.json")]
    NotFound { path: String },
    #[error("{method} is not possible here; the paths and methods are in /openapi.json")]
    MethodNotAllowed { method: String },
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
    #[error("query parameter {0}")]
    InvalidQuery(String),
    #[error(
        "query parameter thread_id: expected 1 to {THREAD_ID_CHARS_MAX} printable characters \
         without spaces at either end"
    )]
    InvalidThreadId,
    #[error("query parameter thread_id: this server keeps no threads")]
    NoThreads,
    #[error("thread {thread} belongs to assistant `{owner}`")]
    ForeignThread { thread: String, owner: String },
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
    #[error("{max} runs go on without their client already; try again later")]
    TooManyDetached { max: usize },
    // ---- ours ----
    #[error("the server is stopping")]
    Stopping,
    #[error("node `{node}` failed; the server's log has the cause under the reference")]
    NodeFailed { node: String },
    /// A node gave its error a code, which makes its message one for clients.
    #[error("{message}")]
    Coded { code: String, message: String },
    #[error("the run reached its limit of {limit} supersteps")]
    RecursionLimit { limit: u32 },
    #[error("the thread could not be read or saved; the server's log has the cause")]
    Storage,
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
    /// Code, HTTP status before an upgrade, close code after it.
    fn facts(&self) -> (&str, StatusCode, u16) {
        use StatusCode as S;
        match self {
            Self::NotFound { .. } => ("not_found", S::NOT_FOUND, 1008),
            Self::MethodNotAllowed { .. } => ("method_not_allowed", S::METHOD_NOT_ALLOWED, 1008),
            Self::UnknownAssistant { .. } => ("unknown_assistant", S::NOT_FOUND, 1008),
            Self::UpgradeRequired => ("upgrade_required", S::UPGRADE_REQUIRED, 1008),
            Self::BadHandshake(_) => ("invalid_handshake", S::BAD_REQUEST, 1002),
            Self::BadHost => ("invalid_host", S::BAD_REQUEST, 1008),
            Self::HostNotAllowed { .. } => ("host_not_allowed", S::FORBIDDEN, 1008),
            Self::OriginNotAllowed { .. } => ("origin_not_allowed", S::FORBIDDEN, 1008),
            Self::TooManyConnections { .. } => {
                ("too_many_connections", S::SERVICE_UNAVAILABLE, 1013)
            }
            Self::InvalidQuery(_) | Self::InvalidThreadId => {
                ("invalid_query", S::BAD_REQUEST, 1008)
            }
            Self::NoThreads => ("no_threads", S::BAD_REQUEST, 1008),
            Self::ForeignThread { .. } => ("foreign_thread", S::CONFLICT, 1008),
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
            Self::InvalidUtf8 => ("invalid_utf8", S::BAD_REQUEST, 1007),
            Self::TooBig { .. } => ("too_big", S::PAYLOAD_TOO_LARGE, 1009),
            Self::Protocol => ("protocol_error", S::BAD_REQUEST, 1002),
            Self::TooManyDetached { .. } => ("too_many_runs", S::SERVICE_UNAVAILABLE, 1013),
            Self::Stopping => ("server_stopping", S::SERVICE_UNAVAILABLE, 1012),
            // The one code that says whose fault it was: a node looked closer at the request.
            Self::Coded { code, .. } if code == INVALID_REQUEST => {
                (code, S::UNPROCESSABLE_ENTITY, 1008)
            }
            Self::Coded { code, .. } => (code, S::INTERNAL_SERVER_ERROR, 1011),
            Self::NodeFailed { .. } => ("node_failed", S::INTERNAL_SERVER_ERROR, 1011),
            Self::RecursionLimit { .. } => ("recursion_limit", S::INTERNAL_SERVER_ERROR, 1011),
            Self::Storage => ("storage_failed", S::INTERNAL_SERVER_ERROR, 1011),
            Self::Internal => ("internal", S::INTERNAL_SERVER_ERROR, 1011),
        }
    }

    /// The stable name of the error.
    pub(crate) fn code(&self) -> &str {
        self.facts().0
    }

    /// How a socket is closed after it.
    pub(crate) fn close_code(&self) -> CloseCode {
        CloseCode::from(self.facts().2)
    }

    /// Whether the server is to blame, so that its log has a cause to look up.
    pub(crate) fn is_ours(&self) -> bool {
        self.close_code() == CloseCode::Error
    }

    fn pointer(&self) -> Option<&str> {
        match self {
            Self::InvalidRequest(invalid) => Some(&invalid.pointer),
            _ => None,
        }
    }

    /// `{"error": {"code", "message", "pointer"?, "reference"?}}`. The reference is there when
    /// the log has more to say under it.
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

    /// The refusal as an HTTP response.
    pub(crate) fn to_response(&self, reference: &str) -> Response {
        let mut response = (
            self.facts().1,
            [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")],
            self.to_json(reference).to_string(),
        )
            .into_response();
        let headers = response.headers_mut();
        match self {
            Self::UpgradeRequired | Self::BadHandshake(_) => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            Self::TooManyConnections { .. } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
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
        Error::CheckpointFailed(_)
        | Error::UnreadableCheckpoint { .. }
        | Error::UnknownStoredNode { .. } => Refusal::Storage,
        _ => Refusal::Internal,
    }
}

/// An input that passed [`crate::Assistant::prepare`] and that the graph still does not take.
fn invalid_input(failure: &Failure) -> InvalidRequest {
    let pointer = match &failure.kind {
        FailureKind::UnknownKey { key }
        | FailureKind::BadValue { key }
        | FailureKind::Unserializable { key }
        | FailureKind::Reducer { key } => {
            format!("/{}", key.replace('~', "~0").replace('/', "~1"))
        }
        _ => String::new(),
    };
    InvalidRequest { pointer, message: failure.message.clone() }
}
