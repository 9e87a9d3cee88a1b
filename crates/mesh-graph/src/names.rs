//! Reserved names and the rules for node names.
//!
//! The literal strings are visible on the wire (streams, drawings, state), so they stay as other
//! people's clients know them.

/// Where a run enters a graph. Appears in edges only.
pub const START: &str = "__start__";
/// Where a branch ends. Appears in edges only.
pub const END: &str = "__end__";
/// As `as_node` of a state update: apply the values as a new input.
pub const INPUT: &str = "__input__";
/// As `as_node` of a state update: copy the addressed checkpoint as its sibling.
pub const COPY: &str = "__copy__";
/// The channel of what an entrypoint saved for its next run.
pub(crate) const PREVIOUS: &str = "__previous__";
/// Key under which a functional task's result is reported.
pub(crate) const RETURN: &str = "__return__";
/// Key under which pending interrupts are reported.
pub const INTERRUPT: &str = "__interrupt__";

/// Begins the name of the hidden node that handles the errors of one node.
pub const ERROR_HANDLER: &str = "__error_handler__";
/// The hidden node that handles the errors of all nodes without a handler of their own.
pub const DEFAULT_ERROR_HANDLER: &str = "__default_error_handler__";

/// Names that no node may have.
const RESERVED: [&str; 12] = [
    START,
    END,
    INPUT,
    INTERRUPT,
    "__resume__",
    "__error__",
    "__error_source_node__",
    "__no_writes__",
    "__pregel_tasks",
    RETURN,
    PREVIOUS,
    "__snapshot_bumps__",
];

/// Separators of namespaces: between levels, and between node and task id.
const SEPARATORS: [char; 2] = ['|', ':'];

/// Whether `name` is that of a hidden node that handles errors.
pub(crate) fn is_handler(name: &str) -> bool {
    name == DEFAULT_ERROR_HANDLER || name.starts_with(ERROR_HANDLER)
}

/// Why `name` may not name a node, or `None` when it may.
pub(crate) fn refuse(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name == COPY || is_handler(name) || RESERVED.contains(&name) {
        Some("is reserved")
    } else if name.contains(SEPARATORS) {
        Some("contains a namespace separator (`|` or `:`)")
    } else {
        None
    }
}
