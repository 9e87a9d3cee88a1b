//! What can go wrong when a model is asked, by what a caller does about it.

use std::time::Duration;

/// Cause of an error, for the log.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A call to a model failed.
///
/// Neither the message nor any source contains a key, a header, a prompt or a reply, so an error
/// may be logged and shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The provider asks to slow down.
    #[error("the model's provider limits the rate of requests")]
    RateLimited {
        /// How long the provider asks to wait, if it says so.
        retry_after: Option<Duration>,
    },
    /// The account has no quota or credit left; waiting a moment does not help.
    #[error("the account at the model's provider has no quota left")]
    QuotaExceeded,
    /// No connection, or the server failed (status 5xx, 408, 409).
    #[error("the model's server is not available{}", Status(*status))]
    Unavailable {
        /// HTTP status, if there was an answer.
        status: Option<u16>,
        /// How long the server asks to wait, if it says so.
        retry_after: Option<Duration>,
        /// The failed connection.
        #[source]
        source: Option<BoxError>,
    },
    /// The server was silent for longer than the configured limit.
    #[error("the model's server was silent for too long while {phase}")]
    Timeout {
        /// What was waited for.
        phase: TimeoutPhase,
    },
    /// The reply stopped before its end; what had arrived is incomplete.
    #[error("the model's reply was cut off before its end")]
    Cut {
        /// The broken connection, if it was one.
        #[source]
        source: Option<BoxError>,
    },
    /// The key is missing, wrong, or not allowed to do this.
    #[error("the model's server refused the credentials (status {status})")]
    Authentication {
        /// HTTP status, 401 or 403.
        status: u16,
    },
    /// The server knows no such model, or the base URL is wrong.
    #[error("the server knows no model \"{model}\", or its base URL is wrong (status 404)")]
    NotFound {
        /// Name of the model that was asked for.
        model: String,
    },
    /// Prompt and reply do not fit into the model's context.
    #[error("the request does not fit into the model's context")]
    ContextTooLong,
    /// The provider's safety filter stopped the request or the reply.
    #[error("the model's provider filtered the request or its reply")]
    ContentFiltered,
    /// The request cannot be sent as it is; found before anything left the process.
    #[error("the request cannot be sent to this model: {field}: expected {expected}")]
    InvalidRequest {
        /// Place in the request, such as `messages[2].content`.
        field: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// The server refused the request for another reason.
    #[error("the model's server refused the request{}{}", Status(*status), Code(code.as_deref()))]
    Refused {
        /// HTTP status, if the refusal was one.
        status: Option<u16>,
        /// The provider's machine-readable code, cut to letters, digits and `._-`.
        code: Option<String>,
    },
    /// The server's answer is not one this program can read.
    #[error("the model's server sent an unusable reply: {problem}")]
    BadReply {
        /// What is wrong with it.
        problem: ReplyProblem,
    },
    /// A scripted model was asked more often than its script foresees.
    #[error("the script of the model \"{model}\" has no reply for call {call}")]
    ScriptEmpty {
        /// Name of the scripted model.
        model: String,
        /// Number of the call, from 1.
        call: usize,
    },
}

impl ModelError {
    /// Whether asking again, unchanged, may succeed.
    pub fn retry(&self) -> Retry {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after, .. } => {
                retry_after.map_or(Retry::Yes, Retry::After)
            }
            Self::Timeout { .. } | Self::Cut { .. } => Retry::Yes,
            Self::QuotaExceeded
            | Self::Authentication { .. }
            | Self::NotFound { .. }
            | Self::ContextTooLong
            | Self::ContentFiltered
            | Self::InvalidRequest { .. }
            | Self::Refused { .. }
            | Self::BadReply { .. }
            | Self::ScriptEmpty { .. } => Retry::No,
        }
    }
}

/// Whether the same request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Yes, with a delay of the caller's choice.
    Yes,
    /// No: the same request fails the same way.
    No,
    /// Yes, but not before this much time has passed.
    After(Duration),
}

/// What a server was silent about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeoutPhase {
    /// The connection was being made.
    Connecting,
    /// The answer's first bytes were awaited.
    Answering,
    /// The next part of the reply was awaited.
    Streaming,
}

impl std::fmt::Display for TimeoutPhase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connecting => "the connection was made",
            Self::Answering => "its answer was awaited",
            Self::Streaming => "the rest of its reply was awaited",
        })
    }
}

/// Why a reply cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyProblem {
    /// An event of the stream is not JSON.
    #[error("an event is not JSON")]
    NotJson,
    /// The body is not UTF-8.
    #[error("a part of it is not UTF-8")]
    NotUtf8,
    /// The answer has no event at all, for example because it is a web page.
    #[error("it is not an event stream, so the base URL may be wrong")]
    NotAnEventStream,
    /// Text, reasoning and arguments together exceed [`REPLY_BYTES_MAX`](crate::REPLY_BYTES_MAX).
    #[error("it is longer than {max} bytes", max = crate::REPLY_BYTES_MAX)]
    TooLong,
    /// It has more than [`REPLY_TOOL_CALLS_MAX`](crate::REPLY_TOOL_CALLS_MAX) tool calls.
    #[error("it has more than {max} tool calls", max = crate::REPLY_TOOL_CALLS_MAX)]
    TooManyToolCalls,
}

/// Writes ` (status 500)`, or nothing.
struct Status(Option<u16>);

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |status| write!(f, " (status {status})"))
    }
}

/// Writes `: some_code`, or nothing.
struct Code<'a>(Option<&'a str>);

impl std::fmt::Display for Code<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |code| write!(f, ": {code}"))
    }
}
