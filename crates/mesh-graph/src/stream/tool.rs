//! What a tool does, as the `tools` stream tells it.

use serde::Serialize;
use serde_json::Value as Json;

/// One thing that happened to a tool call. The engine knows no tools: nodes that call some say so
/// by [`crate::Ctx::tool`].
///
/// Its JSON form is the payload of the `tools` events of LangGraph's event protocol.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "event")]
#[non_exhaustive]
pub enum ToolEvent<'a> {
    /// The tool was called.
    #[serde(rename = "tool-started")]
    Started {
        /// The id that the model gave the call.
        tool_call_id: &'a str,
        /// The tool.
        tool_name: &'a str,
        /// What it was called with.
        input: &'a Json,
    },
    /// The tool gave a part of its output.
    #[serde(rename = "tool-output-delta")]
    OutputDelta {
        /// The call.
        tool_call_id: &'a str,
        /// The part.
        delta: &'a Json,
    },
    /// The tool is done.
    #[serde(rename = "tool-finished")]
    Finished {
        /// The call.
        tool_call_id: &'a str,
        /// What it gave: a tool message, or a command.
        output: &'a Json,
    },
    /// The tool failed.
    #[serde(rename = "tool-error")]
    Error {
        /// The call.
        tool_call_id: &'a str,
        /// What went wrong.
        message: &'a str,
        /// A stable name of what went wrong, if it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<&'a str>,
    },
}
