//! What a node is allowed when it is slow or fails: retries, time limits, an error handler,
//! concurrency limits. Most nodes have none, and pay nothing.

use std::{marker::PhantomData, sync::Arc};

use crate::{
    Untyped,
    context::Ctx,
    error::{Mistake, NodeResult},
    graph::{Graph, NodeId, NodeOptions},
    names,
    node::{ArgCodec, NodeFn, NodeInput},
    permits::Limit,
    rescue::{Caught, ErrorHandler, HandlerOf, Then},
    retry::Retry,
    state::State,
    timeout::Timeout,
    untyped::{JsonStep, JsonView, json_node},
};

/// The policies of one node of a compiled graph.
#[derive(Default)]
pub(crate) struct Policies {
    pub(crate) retry: Vec<Retry>,
    pub(crate) timeout: Option<Timeout>,
    pub(crate) handler: Option<Handling>,
    /// In the order in which they are taken.
    pub(crate) limits: Vec<Limit>,
    /// The attempts of earlier runs count.
    pub(crate) durable_attempts: bool,
}

/// The handler of a node's errors.
#[derive(Clone, Copy)]
pub(crate) struct Handling {
    pub(crate) node: NodeId,
    /// The failed node's exits are followed.
    pub(crate) follow: bool,
}

/// An error handler of a graph under construction.
#[derive(Clone)]
pub(crate) struct HandlerDraft {
    pub(crate) run: Arc<dyn NodeFn>,
    pub(crate) then: Then,
}

/// The policies of a node, or of all nodes, under construction.
#[derive(Default)]
pub(crate) struct PolicyDraft {
    /// None: the default. An empty list: no retries.
    pub(crate) retry: Option<Vec<Retry>>,
    pub(crate) timeout: Option<Timeout>,
    pub(crate) handler: Option<HandlerDraft>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) durable_attempts: bool,
}

impl PolicyDraft {
    /// The policies of a node, its own before the default ones; none when there is nothing to
    /// watch. `handler` is the hidden node of the handler that applies.
    pub(crate) fn resolve(
        &self,
        defaults: &Self,
        handler: Option<Handling>,
    ) -> Option<Box<Policies>> {
        let mut limits = self.limits.clone();
        // The node's own first, then names in order: see `TaskContext::take_permits`.
        limits.sort_by(|a, b| a.name.cmp(&b.name));
        let policies = Policies {
            retry: self.retry.clone().or_else(|| defaults.retry.clone()).unwrap_or_default(),
            timeout: self.timeout.or(defaults.timeout),
            handler,
            limits,
            durable_attempts: self.durable_attempts,
        };
        let any = !policies.retry.is_empty()
            || policies.timeout.is_some()
            || policies.handler.is_some()
            || !policies.limits.is_empty()
            || policies.durable_attempts;
        any.then(|| Box::new(policies))
    }

    /// Adds what is wrong with the policies of `of` to `mistakes`.
    pub(crate) fn check(&self, of: &str, mistakes: &mut Vec<Mistake>) {
        let mut wrong = |option: &'static str, expected: &'static str| {
            mistakes.push(Mistake::BadOption { node: of.to_owned(), option, expected });
        };
        for (option, expected) in self.retry.iter().flatten().filter_map(Retry::refuse) {
            wrong(option, expected);
        }
        if self.timeout.is_some_and(|timeout| !timeout.is_valid()) {
            wrong("timeout", "more than zero");
        }
        if self.limits.iter().any(|limit| limit.tasks == 0) {
            wrong("limit", "at least 1");
        }
    }
}

/// The hidden node that handles the errors of `node`.
pub(crate) fn handler_name(node: &str) -> String {
    format!("{}{node}", names::ERROR_HANDLER)
}

/// Whether a handler can take what the node takes.
pub(crate) fn fits(handler: &ArgCodec, node: &ArgCodec) -> Result<(), &'static str> {
    match (handler, node) {
        (ArgCodec::State | ArgCodec::Json, _) => Ok(()),
        (ArgCodec::Typed(taken), ArgCodec::Typed(given))
            if taken.type_name() == given.type_name() =>
        {
            Ok(())
        }
        (ArgCodec::Typed(taken), _) => Err(taken.type_name()),
    }
}

fn draft<S, D, In, H>(handler: H, then: Then) -> HandlerDraft
where
    S: State,
    D: Send + Sync + 'static,
    In: NodeInput<S>,
    H: ErrorHandler<S, D, In>,
{
    let part = In::part().map(|part| part.part);
    HandlerDraft {
        run: Arc::new(HandlerOf { handler, part, types: PhantomData::<fn() -> (S, D, In)> }),
        then,
    }
}

impl<S, D> Graph<S, D> {
    /// Retries for every node without its own, error handlers included: one policy, or a list of
    /// which the first that is meant for a failure decides.
    pub fn default_retry(&mut self, policies: impl Into<Vec<Retry>>) -> &mut Self {
        self.defaults.retry = Some(policies.into());
        self
    }

    /// A time limit for every node without its own, error handlers included.
    pub fn default_timeout(&mut self, timeout: impl Into<Timeout>) -> &mut Self {
        self.defaults.timeout = Some(timeout.into());
        self
    }
}

impl<S: State, D: Send + Sync + 'static> Graph<S, D> {
    /// A handler for the errors of every node without its own; other handlers' errors are not its
    /// business. See [`NodeOptions::on_error`].
    pub fn default_on_error<In, H>(&mut self, handler: H, then: Then) -> &mut Self
    where
        In: NodeInput<S, Arg = ()>,
        H: ErrorHandler<S, D, In>,
    {
        self.defaults.handler = Some(draft(handler, then));
        self
    }
}

impl<A, S: State, D: Send + Sync + 'static> NodeOptions<'_, A, S, D> {
    /// Runs `handler` when the node has failed for good, in the same superstep. Its update stands
    /// for the node's, and `then` says what follows besides the handler's own gotos. The error
    /// stays visible on the failed task. When the handler fails, the run fails with its error, and
    /// a resume runs the handler again, not the node.
    ///
    /// Questions, cancellation and drains never reach a handler.
    ///
    /// Semantics: LangGraph's `error_handler`, which always ends the branch without a goto.
    pub fn on_error<In, H>(self, handler: H, then: Then) -> Self
    where
        In: NodeInput<S>,
        H: ErrorHandler<S, D, In>,
    {
        self.draft.policies.handler = Some(draft(handler, then));
        self
    }
}

/// A handler of an untyped graph behind the untyped [`NodeFn`].
fn json_draft<D, F, Fut, Out>(handler: F) -> HandlerDraft
where
    D: Send + Sync + 'static,
    F: Fn(JsonView, Caught, Ctx<D>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = NodeResult<Out>> + Send + 'static,
    Out: Into<JsonStep> + 'static,
{
    let handler = Arc::new(handler);
    let run = json_node(move |view, ctx: Ctx<D>| {
        let (handler, caught) = (Arc::clone(&handler), ctx.caught());
        async move { handler(view, caught?, ctx).await.map(Into::into) }
    });
    HandlerDraft { run, then: Then::End }
}

impl<D: Send + Sync + 'static> Graph<Untyped, D> {
    /// As [`NodeOptions::on_error_json`], for every node without a handler of its own.
    pub fn default_on_error_json<F, Fut, Out>(&mut self, handler: F) -> &mut Self
    where
        F: Fn(JsonView, Caught, Ctx<D>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = NodeResult<Out>> + Send + 'static,
        Out: Into<JsonStep> + 'static,
    {
        self.defaults.handler = Some(json_draft(handler));
        self
    }
}

impl<A, D: Send + Sync + 'static> NodeOptions<'_, A, Untyped, D> {
    /// As [`NodeOptions::on_error`] of a typed graph; what follows is what the handler goes to, so
    /// that without a goto the branch ends. It reads what the failed node read.
    pub fn on_error_json<F, Fut, Out>(self, handler: F) -> Self
    where
        F: Fn(JsonView, Caught, Ctx<D>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = NodeResult<Out>> + Send + 'static,
        Out: Into<JsonStep> + 'static,
    {
        self.draft.policies.handler = Some(json_draft(handler));
        self
    }
}

impl<A, S, D> NodeOptions<'_, A, S, D> {
    /// Tries the node again when it fails: one policy, or a list of which the first that is meant
    /// for the failure decides. Attempts are counted over all policies together. An empty list
    /// turns the graph's default off.
    ///
    /// A retried mount goes on where its graph stopped, if there is a checkpointer.
    pub fn retry(self, policies: impl Into<Vec<Retry>>) -> Self {
        self.draft.policies.retry = Some(policies.into());
        self
    }

    /// Attempts of earlier runs of the same task count, too: a resume does not start over. Each
    /// attempt is stored before it begins.
    pub fn durable_attempts(self) -> Self {
        self.draft.policies.durable_attempts = true;
        self
    }

    /// Limits the time of an attempt.
    pub fn timeout(self, timeout: impl Into<Timeout>) -> Self {
        self.draft.policies.timeout = Some(timeout.into());
        self
    }

    /// At most this many tasks of the node at once, within one graph.
    pub fn max_concurrency(self, tasks: usize) -> Self {
        self.draft.policies.limits.push(Limit { name: None, tasks });
        self
    }

    /// At most this many tasks at once of all nodes that name this limit, over the whole run with
    /// its mounted graphs. Several limits hold together. A mount cannot have one, because it would
    /// hold it while the nodes inside wait for it.
    pub fn limit(self, name: &str, tasks: usize) -> Self {
        self.draft.policies.limits.push(Limit { name: Some(Arc::from(name)), tasks });
        self
    }
}
