//! What can go wrong, sorted by what a caller can do about it.

use serde::{Deserialize, Serialize};

use crate::{
    channel::{KeyError, Schema},
    checkpoint::CheckpointId,
    checkpointer,
    command::Output,
    interrupt::InterruptId,
    reducer::ReduceError,
    retry::{Classify, Retryable, classify},
    timeout::TimeoutKind,
    value::CodecError,
};

/// An error of any type, as sources keep it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A run could not go on. The thread stays as its last checkpoint says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is neither an input nor anything to resume.
    #[error("nothing to run: the input is empty and the thread has no unfinished work")]
    EmptyInput,
    /// The input does not fit the graph's input schema.
    #[error("invalid input: {0}")]
    InvalidInput(Failure),
    /// An option of the run has no meaning.
    #[error("{option}: expected {expected}")]
    InvalidOption {
        /// The option by name.
        option: &'static str,
        /// What would be accepted.
        expected: &'static str,
    },
    /// The run is to be cut to a key that the state does not have.
    #[error("output_keys: `{0}` is no key of the state")]
    UnknownOutputKey(String),
    /// A checkpointer needs to know the thread.
    #[error("thread_id is missing: a graph with a checkpointer runs on a thread")]
    MissingThreadId,
    /// This needs stored state.
    #[error("the graph has no checkpointer, so nothing was stored to continue from")]
    NoCheckpointer,
    /// The thread has an unfinished superstep, and the run was told not to discard it; see
    /// [`crate::OnPending::Reject`].
    #[error("the thread has unfinished tasks ({}): resume it before giving it a new input", nodes.join(", "))]
    PendingTasks {
        /// The nodes that would run next, finished or not.
        nodes: Vec<String>,
    },
    /// An answer was given, but nothing asks.
    #[error("nothing to resume: no interrupt is pending")]
    NothingToResume,
    /// One answer was given for several questions.
    #[error("{} interrupts are pending: answer them by id", pending.len())]
    AmbiguousResume {
        /// The pending interrupts.
        pending: Vec<InterruptId>,
    },
    /// An answer names an interrupt that is not pending.
    #[error("interrupt {id} is not pending")]
    UnknownInterrupt {
        /// The id that was given; empty when the map of answers was empty.
        id: String,
        /// Why it was refused.
        reason: UnknownInterrupt,
        /// The pending interrupts.
        pending: Vec<InterruptId>,
    },
    /// An answer does not fit the question's schema. The interrupt stays pending.
    #[error("the answer to interrupt {id} does not fit its schema: {problem}")]
    InvalidAnswer {
        /// The interrupt.
        id: InterruptId,
        /// What does not fit, and where.
        problem: String,
    },
    /// The addressed checkpoint does not exist.
    #[error("thread {thread} has no checkpoint {checkpoint}")]
    UnknownCheckpoint {
        /// The thread.
        thread: String,
        /// The checkpoint that was asked for.
        checkpoint: CheckpointId,
    },
    /// No graph is mounted at this namespace, or it never ran there.
    #[error("there is no graph at namespace `{ns}`")]
    UnknownNamespace {
        /// The namespace.
        ns: String,
    },
    /// A stored checkpoint waits for a node that the graph no longer has.
    #[error("checkpoint {checkpoint} waits for node `{node}`, which the graph does not have")]
    UnknownStoredNode {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The node.
        node: String,
    },
    /// A stored value no longer fits its channel.
    #[error("checkpoint {checkpoint} cannot be read: {source}")]
    UnreadableCheckpoint {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The key, and what was wrong.
        #[source]
        source: KeyError,
    },
    /// Node supersteps of this invocation are used up. State is saved; resuming counts anew.
    #[error("recursion limit of {limit} supersteps reached without finishing")]
    RecursionLimit {
        /// The limit.
        limit: u32,
    },
    /// The state has a value that cannot be stored or shown, made by a reducer or fit for storage
    /// but not for JSON.
    #[error("the state cannot be written down")]
    Unserializable(#[source] KeyError),
    /// A node failed after all that was allowed to save it.
    #[error("node `{}` failed: {}", .0.node, .0.failure)]
    Task(TaskFailure),
    /// A state update names no node and several ran last.
    #[error("several nodes ran last ({}): say as which node to update", nodes.join(", "))]
    AmbiguousUpdate {
        /// The candidates.
        nodes: Vec<String>,
    },
    /// A state update is not allowed as given.
    #[error("invalid state update: {0}")]
    InvalidStateUpdate(Failure),
    /// Another run moved the thread's head meanwhile.
    #[error("another run continued thread {thread} meanwhile")]
    HeadMoved {
        /// The thread.
        thread: String,
    },
    /// A superstep took longer than the run allows. What had finished is kept, the rest runs again
    /// on resume.
    #[error("superstep {step} took longer than {limit:?}")]
    StepTimeout {
        /// The superstep.
        step: i64,
        /// The limit.
        limit: std::time::Duration,
    },
    /// A checkpoint could not be saved or read; at most one further superstep has run.
    #[error("checkpoint storage failed")]
    CheckpointFailed(#[source] checkpointer::Error),
}

impl Error {
    /// The innermost error: descends through the failed mounts to the graph where it began.
    pub fn root_cause(&self) -> &Self {
        match self {
            Self::Task(TaskFailure { inner: Some(inner), .. }) => inner.root_cause(),
            other => other,
        }
    }

    /// Whether trying again may help: what the failed node's error says.
    pub fn retryable(&self) -> Retryable {
        match self.root_cause() {
            Self::Task(task) => task.failure.retryable,
            Self::StepTimeout { .. } => Retryable::Yes,
            _ => Retryable::No,
        }
    }

    /// What failed, when a node did or what was given does not fit: for a client, the class of the
    /// error is its `code` and the text its `message`.
    pub fn failure(&self) -> Option<&Failure> {
        match self.root_cause() {
            Self::Task(task) => Some(&task.failure),
            Self::InvalidInput(failure) | Self::InvalidStateUpdate(failure) => Some(failure),
            _ => None,
        }
    }

    /// The kind of failure, when a node failed.
    pub fn failure_kind(&self) -> Option<&FailureKind> {
        self.failure().map(|failure| &failure.kind)
    }
}

impl From<checkpointer::Error> for Error {
    fn from(error: checkpointer::Error) -> Self {
        match error {
            checkpointer::Error::HeadMoved { thread } => Self::HeadMoved { thread },
            other => Self::CheckpointFailed(other),
        }
    }
}

/// Why an answer was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownInterrupt {
    /// No such id on this thread.
    Unknown,
    /// It was answered before.
    Answered,
    /// The map of answers holds none.
    EmptyMap,
}

/// A task that failed.
#[derive(Debug)]
pub struct TaskFailure {
    /// The node.
    pub node: String,
    /// The task's id, in hex groups.
    pub task_id: String,
    /// What went wrong.
    pub failure: Failure,
    /// The child graph's own error, when the node is a mounted graph.
    pub inner: Option<Box<Error>>,
}

/// A stored description of what went wrong: readable after a restart, by handlers and people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What a caller can tell apart.
    pub kind: FailureKind,
    /// A stable name that the node gave its error, meant for clients; see [`NodeError::coded`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What failed, in one sentence.
    pub message: String,
    /// Why, outermost cause first.
    pub chain: Vec<String>,
    /// Whether another attempt may help.
    #[serde(default)]
    pub retryable: Retryable,
    /// The attempt that failed, counted from 1; 0 when no attempt of a node did.
    #[serde(default)]
    pub attempt: u32,
}

/// Kinds of task failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The node's own error.
    Node,
    /// The node panicked.
    Panic,
    /// The node waited for something that was cancelled, by its own doing and not by the run's.
    CancelledByNode,
    /// The node took too long.
    NodeTimeout {
        /// Which limit was reached.
        limit: TimeoutKind,
        /// The limit, in milliseconds.
        after_ms: u64,
    },
    /// An edge, goto or `Send` names a node that does not exist.
    UnknownTarget {
        /// The name that was given.
        target: String,
    },
    /// A router returned nothing, START, or a label outside its map.
    InvalidRoute,
    /// What was returned is no update of the state.
    InvalidUpdate,
    /// An update names a key outside the schema.
    UnknownKey {
        /// The key that was given.
        key: String,
    },
    /// A value does not fit its key.
    BadValue {
        /// The key.
        key: String,
    },
    /// A value cannot be stored.
    Unserializable {
        /// The key.
        key: String,
    },
    /// Two tasks of one superstep wrote a key that takes one write.
    ConcurrentUpdate {
        /// The key.
        key: String,
        /// The nodes that wrote it, in apply order.
        nodes: Vec<String>,
    },
    /// A reducer failed.
    Reducer {
        /// The key.
        key: String,
    },
    /// A task used one key for two steps.
    DuplicateStep {
        /// The step.
        step: String,
    },
    /// A stored step was asked for with another task, another input or another type.
    StepMismatch {
        /// The step.
        step: String,
    },
    /// A task made more steps than [`crate::STEPS_MAX`].
    TooManySteps,
    /// A mounted graph failed; its error is beside this.
    Child,
    /// A command to the parent was given to a root graph.
    NoParent,
    /// Two tasks of one superstep use one per-thread graph.
    InstanceBusy {
        /// The namespace of that graph.
        instance: String,
    },
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.chain {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// JSON Pointer (RFC 6901) to what is wrong in an input or an update; empty for all of it.
    pub fn pointer(&self) -> String {
        match &self.kind {
            FailureKind::UnknownKey { key }
            | FailureKind::BadValue { key }
            | FailureKind::Unserializable { key }
            | FailureKind::Reducer { key } => {
                format!("/{}", key.replace('~', "~0").replace('/', "~1"))
            }
            _ => String::new(),
        }
    }

    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: None,
            message: message.into(),
            chain: Vec::new(),
            retryable: Retryable::No,
            attempt: 0,
        }
    }

    pub(crate) fn timeout(limit: TimeoutKind, after: std::time::Duration) -> Self {
        let message = match limit {
            TimeoutKind::Run => format!("took longer than {after:?}"),
            TimeoutKind::Idle => format!("made no progress for {after:?}"),
        };
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        Self {
            retryable: Retryable::Yes,
            ..Self::new(FailureKind::NodeTimeout { limit, after_ms }, message)
        }
    }

    pub(crate) fn invalid_update(message: impl Into<String>) -> Self {
        Self::new(FailureKind::InvalidUpdate, message)
    }

    pub(crate) fn invalid_route(message: impl Into<String>) -> Self {
        Self::new(FailureKind::InvalidRoute, message)
    }

    pub(crate) fn unknown_target(target: &str) -> Self {
        Self::new(
            FailureKind::UnknownTarget { target: target.to_owned() },
            format!("there is no node `{target}` to go to"),
        )
    }

    pub(crate) fn unknown_key(key: &str, schema: &Schema) -> Self {
        let known: Vec<&str> = schema.channels().iter().map(|c| &*c.key).collect();
        Self::new(
            FailureKind::UnknownKey { key: key.to_owned() },
            format!("there is no state key `{key}`; the keys are {}", known.join(", ")),
        )
    }

    pub(crate) fn bad_value(key: &str, source: &CodecError) -> Self {
        Self::new(FailureKind::BadValue { key: key.to_owned() }, format!("key `{key}`: {source}"))
    }

    pub(crate) fn reducer(key: &str, error: &ReduceError) -> Self {
        Self::new(FailureKind::Reducer { key: key.to_owned() }, format!("key `{key}`: {error}"))
    }

    pub(crate) fn unserializable(error: &KeyError) -> Self {
        Self::new(
            FailureKind::Unserializable { key: error.key.clone() },
            format!("key `{}`: {}", error.key, error.source),
        )
    }
}

/// What a node returns when it cannot go on. Made from any error by `?`.
///
/// Like an `anyhow::Error` it is not itself a `std::error::Error`. A node that was interrupted
/// returns one as well; it cannot be told apart or turned into something else, because the engine
/// keeps its own record of the suspension.
pub struct NodeError(pub(crate) NodeErrorKind);

pub(crate) enum NodeErrorKind {
    /// The node's own error.
    Failed { code: Option<&'static str>, retryable: Option<Retryable>, error: BoxError },
    /// A mounted graph failed.
    Child(Box<Error>),
    /// The node's result comes from a graph below it that commanded its parent.
    Output(Box<Output>),
    /// What the node did or returned is something that the engine refuses.
    Refused(Box<Failure>),
    /// The node waits for an answer.
    Suspended,
    /// The run is being cancelled.
    Cancelled,
}

/// The result of a node.
pub type NodeResult<T> = Result<T, NodeError>;

impl NodeError {
    /// An error with this message and no cause.
    pub fn msg(message: impl Into<String>) -> Self {
        Self(NodeErrorKind::Failed { code: None, retryable: None, error: message.into().into() })
    }

    /// An error that clients may read: `code` is a stable name, and the error's message is fit for
    /// a person outside. Errors without a code are shown to operators only.
    pub fn coded(code: &'static str, error: impl Into<BoxError>) -> Self {
        Self(NodeErrorKind::Failed { code: Some(code), retryable: None, error: error.into() })
    }

    pub(crate) fn refused(failure: Failure) -> Self {
        Self(NodeErrorKind::Refused(Box::new(failure)))
    }

    /// The node's own error. None for what is no failure of the node itself: a suspension, a
    /// cancelled run, a mounted graph's end.
    pub fn own(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        match &self.0 {
            NodeErrorKind::Failed { error, .. } => Some(&**error),
            _ => None,
        }
    }

    /// An error that says itself whether it is worth another attempt.
    pub fn classified<E: Classify + Send + Sync + 'static>(error: E) -> Self {
        let retryable = Some(error.retryable());
        Self(NodeErrorKind::Failed { code: None, retryable, error: Box::new(error) })
    }

    /// The same error with its worth of another attempt said. Nothing changes for the failure of a
    /// mounted graph, which says it itself.
    pub fn retryable(mut self, says: Retryable) -> Self {
        if let NodeErrorKind::Failed { retryable, .. } = &mut self.0 {
            *retryable = Some(says);
        }
        self
    }

    /// The failure as it is stored, the child graph's own error, and the node's own error.
    pub(crate) fn into_failure(self) -> (Failure, Option<Box<Error>>, Option<BoxError>) {
        match self.0 {
            NodeErrorKind::Failed { code, retryable, error } => {
                let mut chain = Vec::new();
                let mut cause = error.source();
                while let Some(error) = cause {
                    chain.push(error.to_string());
                    cause = error.source();
                }
                let code = code.map(str::to_owned);
                let message = error.to_string();
                let cancelled = error
                    .downcast_ref::<tokio::task::JoinError>()
                    .is_some_and(tokio::task::JoinError::is_cancelled);
                let kind = if cancelled { FailureKind::CancelledByNode } else { FailureKind::Node };
                let retryable = retryable.unwrap_or_else(|| classify(&*error));
                let failure = Failure { code, chain, retryable, ..Failure::new(kind, message) };
                (failure, None, Some(error))
            }
            NodeErrorKind::Refused(failure) => (*failure, None, None),
            NodeErrorKind::Child(error) => {
                let retryable = error.retryable();
                let failure =
                    Failure { retryable, ..Failure::new(FailureKind::Child, error.to_string()) };
                (failure, Some(error), None)
            }
            NodeErrorKind::Output(_) => {
                let message = "a command was given outside of a task";
                (Failure::new(FailureKind::Node, message), None, None)
            }
            NodeErrorKind::Suspended => {
                (Failure::new(FailureKind::Node, "suspended outside of a task"), None, None)
            }
            NodeErrorKind::Cancelled => (Failure::new(FailureKind::Node, "cancelled"), None, None),
        }
    }
}

impl std::fmt::Debug for NodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for NodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            NodeErrorKind::Failed { error, .. } => write!(f, "{error}"),
            NodeErrorKind::Child(error) => write!(f, "{error}"),
            NodeErrorKind::Refused(failure) => {
                write!(f, "{failure}")
            }
            NodeErrorKind::Output(_) => f.write_str("a graph below commands its parent"),
            NodeErrorKind::Suspended => f.write_str("waiting for an answer"),
            NodeErrorKind::Cancelled => f.write_str("cancelled"),
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for NodeError {
    fn from(error: E) -> Self {
        Self(NodeErrorKind::Failed { code: None, retryable: None, error: Box::new(error) })
    }
}

/// A graph cannot be compiled. All mistakes are reported at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("graph `{graph}` cannot be compiled: {}", list(.mistakes))]
pub struct CompileError {
    /// The graph's name.
    pub graph: String,
    /// Everything that is wrong.
    pub mistakes: Vec<Mistake>,
}

fn list(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// One mistake in a graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mistake {
    /// Nothing leads from START.
    #[error("no edge leads from START: the graph needs an entry")]
    NoEntry,
    /// An edge, join, router or option names a node that does not exist.
    #[error("{place} names `{node}`, which is not a node")]
    UnknownNode {
        /// Where the name stands.
        place: String,
        /// The name.
        node: String,
    },
    /// Two nodes have one name.
    #[error("there are two nodes `{node}`")]
    DuplicateNode {
        /// The name.
        node: String,
    },
    /// The name cannot be used.
    #[error("node name `{name}` {reason}")]
    BadName {
        /// The name.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// END cannot have a successor.
    #[error("END cannot be the source of an edge")]
    EdgeFromEnd,
    /// START cannot be a target.
    #[error("START cannot be the target of an edge")]
    EdgeToStart,
    /// A join needs sources.
    #[error("the join into `{target}` has no sources")]
    EmptyJoin {
        /// The target.
        target: String,
    },
    /// A join cannot wait for so many sources.
    #[error("the {join} waits for {k} of its sources; expected 1 to {sources}")]
    JoinCount {
        /// The join, as `join:a+b:target`.
        join: String,
        /// What it waits for.
        k: usize,
        /// How many sources it has.
        sources: usize,
    },
    /// Only a source of a join can be optional for it.
    #[error("the {join} has an optional source `{node}`, which is none of its sources")]
    NoSource {
        /// The join, as `join:a+b:target`.
        join: String,
        /// The node.
        node: String,
    },
    /// Two joins differ only in what they wait for, so nobody could tell them apart.
    #[error("the {join} is there twice, with different options")]
    JoinTwice {
        /// The join, as `join:a+b:target`.
        join: String,
    },
    /// Two schemas say different things about one key.
    #[error("key `{key}` is declared twice, with {problem}")]
    ChannelConflict {
        /// The key.
        key: String,
        /// The two declarations.
        problem: String,
    },
    /// A key of an untyped state cannot be as it is described.
    #[error("key `{key}` {problem}")]
    BadKey {
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A node reads, or declares to write, a key that the state does not have.
    #[error("node `{node}` names the key `{key}`, which the state does not have")]
    UnknownKey {
        /// The node.
        node: String,
        /// The key.
        key: String,
    },
    /// A managed key is computed for each task: it can be neither given nor returned.
    #[error("key `{key}` is managed and cannot be part of the input or the output")]
    ManagedKeyVisible {
        /// The key.
        key: String,
    },
    /// A policy of a node, or of all nodes, cannot mean anything.
    #[error("{option} of `{node}`: expected {expected}")]
    BadOption {
        /// The node, or `all nodes` for a default.
        node: String,
        /// The option by name.
        option: &'static str,
        /// What would be accepted.
        expected: &'static str,
    },
    /// An error handler takes an argument that its node does not get.
    #[error("the error handler of `{node}` takes a {expected}, which the node does not")]
    HandlerArgument {
        /// The node.
        node: String,
        /// What the handler takes.
        expected: &'static str,
    },
    /// A mounted graph shares a key whose values do not fit.
    #[error("`{node}` shares the key `{key}`, which is {parent} here and {child} there")]
    SharedKey {
        /// The mounted node.
        node: String,
        /// The key.
        key: String,
        /// The Rust type in the parent.
        parent: &'static str,
        /// The Rust type in the mounted graph.
        child: &'static str,
    },
    /// A fan-out must say what follows an empty list.
    #[error("the fan-out from `{from}` does not say where to go when its list is empty")]
    NoEmptyCase {
        /// The source of the fan-out.
        from: String,
    },
}
