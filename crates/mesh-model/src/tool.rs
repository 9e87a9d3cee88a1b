//! Tools as a model sees them: what it may call, and the calls it makes.

use serde_json::{Map, Value};

/// A tool offered to the model in a request.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Name the model calls it by; providers accept letters, digits, `_` and `-`, 1 to 64 of them.
    pub name: String,
    /// When and how to call it, for the model to read.
    pub description: String,
    /// JSON Schema of the arguments; its root is an object.
    pub parameters: Value,
}

impl ToolSpec {
    /// A tool with the schema of its arguments.
    pub fn new(name: impl Into<String>, description: impl Into<String>, parameters: Value) -> Self {
        Self { name: name.into(), description: description.into(), parameters }
    }
}

/// A complete call that a model asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// Joins the call to its result; unique within the conversation.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments by name. Not yet checked against the tool's schema.
    pub args: Map<String, Value>,
}

/// A call whose arguments are not a JSON object, kept so that the model can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidToolCall {
    /// Id as sent, if any.
    pub id: Option<String>,
    /// Name as sent, if any.
    pub name: Option<String>,
    /// The arguments as the model wrote them.
    pub args: String,
    /// Why they cannot be used.
    pub error: String,
}

/// One piece of a streamed tool call. The pieces of one call share `index`; `args` concatenate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCallDelta {
    /// Which call of the reply this belongs to, from 0.
    pub index: u32,
    /// Id, on the first piece.
    pub id: Option<String>,
    /// Name, on the first piece.
    pub name: Option<String>,
    /// Fragment of the JSON text of the arguments; may be empty.
    pub args: String,
}
