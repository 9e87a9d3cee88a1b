//! Control of a run from beside it, and from inside its nodes.

use std::sync::{Arc, OnceLock};

/// A handle to ask a run to stop at the next occasion. Cloning is cheap; all clones mean the same
/// run and the graphs mounted in it.
///
/// Semantics: LangGraph's `RunControl`.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<OnceLock<String>>);

impl Control {
    /// A control that asks for nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to stop before its next superstep, as [`crate::Status::Drained`]; what is
    /// running finishes. A run that has nothing left to do is done, and a breakpoint in the same
    /// place wins. The first reason stays.
    pub fn request_drain(&self, reason: &str) {
        let _ = self.0.set(reason.to_owned());
    }

    /// The reason that was given, if a drain was asked for.
    pub fn drain_reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}
