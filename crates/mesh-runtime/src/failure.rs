//! Why a run failed, in the words that clients know.

use mesh_graph::{Error, FailureKind};
use serde_json::{Value as Json, json};

/// `{"error", "message"}` for what a graph reports. The causes of an error that its node did not
/// mean for clients stay out of it. Of an input that the graph does not take, `pointer` says what
/// is wrong in it.
pub(crate) fn shown(error: &Error) -> Json {
    if let Error::InvalidInput(failure) = error {
        let mut shown = told("InvalidUpdateError", &failure.message);
        shown["pointer"] = json!(failure.pointer());
        return shown;
    }
    let root = error.root_cause();
    if let Some(failure) = root.failure() {
        if let Some(code) = &failure.code {
            return told(code, &failure.message);
        }
        let node = match root {
            Error::Task(task) => task.node.as_str(),
            _ => "",
        };
        return match &failure.kind {
            FailureKind::Node => told("NodeError", &format!("node `{node}` failed")),
            FailureKind::Panic => told("NodeError", &format!("node `{node}` panicked")),
            FailureKind::CancelledByNode => {
                told("CancelledError", &format!("node `{node}` was cancelled"))
            }
            FailureKind::NodeTimeout { .. } => {
                told("NodeTimeoutError", &format!("node `{node}` {}", failure.message))
            }
            _ => told("InvalidUpdateError", &failure.message),
        };
    }
    let name = match root {
        Error::EmptyInput => "EmptyInputError",
        Error::RecursionLimit { .. } => "GraphRecursionError",
        Error::AmbiguousResume { .. } => {
            let text = "When there are multiple pending interrupts, you must specify the \
                        interrupt id when resuming.";
            return told("RuntimeError", text);
        }
        Error::StepTimeout { .. } => "TimeoutError",
        Error::InvalidOption { .. }
        | Error::UnknownCheckpoint { .. }
        | Error::UnknownNamespace { .. }
        | Error::UnknownInterrupt { .. }
        | Error::InvalidAnswer { .. } => "ValueError",
        Error::Unserializable(_) => "TypeError",
        _ => "RuntimeError",
    };
    told(name, &root.to_string())
}

/// Something that happened to a run from outside its graph.
pub(crate) fn told(error: &str, message: &str) -> Json {
    json!({ "error": error, "message": message })
}
