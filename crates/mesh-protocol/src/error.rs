//! What a client gets instead of what it asked for.

use schemars::JsonSchema;
use serde::Serialize;

/// The body of every answer with a status of 400 or above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErrorBody {
    /// What is wrong, for people. Clients of LangGraph read this member alone.
    pub detail: String,
    /// A stable name for it, for programs.
    pub code: String,
    /// JSON Pointer (RFC 6901) to the part of the request that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The id of the request, by which the server's log knows it.
    pub request_id: String,
}
