//! A graph called inside a node: part of the node's task, with checkpoints of its own.

use std::{any::Any, future::IntoFuture, marker::PhantomData, sync::Arc};

use futures::future::BoxFuture;
use serde_json::Value as Json;

use crate::{
    channel::{Schema, Values},
    context::{Ctx, TaskContext},
    error::{NodeError, NodeResult},
    graph::{Child, Compiled},
    run::{self, Below, CallName},
    state::{State, Update, View},
};

impl<D: Send + Sync + 'static> Ctx<D> {
    /// Runs a graph inside this node, as part of its task: with the node's dependencies, streams,
    /// cancellation and checkpointer. Await the call to get the graph's final state.
    ///
    /// When the node starts again, after an answer or a failure, a call that was made before goes
    /// on where its graph stopped; one that finished returns its result at once. Calls are told
    /// apart by their order, or by a [`Call::key`], which survives a changed order. What the graph
    /// below asks, the node asks; a command to the parent becomes the node's own result. Both end
    /// the node through the call's error, so return it by `?`.
    ///
    /// ```
    /// # use mesh_graph::{Compiled, Ctx, NodeResult, State, View};
    /// # #[derive(State)] struct Draft { text: String }
    /// # #[derive(State)] struct Check { text: String, verdict: String }
    /// async fn review(draft: View<Draft>, ctx: Ctx<Compiled<Check, ()>>) -> NodeResult<DraftUpdate> {
    ///     let input = Check::update().text(draft.text.clone());
    ///     let check = ctx.call_with(ctx.deps(), (), input).key("review").await?;
    ///     Ok(Draft::update().text(check.verdict.clone()))
    /// }
    /// ```
    pub fn call<C: State>(&self, graph: &Compiled<C, D>, input: C::Update) -> Call<C> {
        self.begin(graph.child(), self.share_deps(), Ok(input.into()))
    }

    /// As [`Ctx::call`], for a graph with other dependencies than this one.
    pub fn call_with<C: State, E: Send + Sync + 'static>(
        &self,
        graph: &Compiled<C, E>,
        deps: impl Into<Arc<E>>,
        input: C::Update,
    ) -> Call<C> {
        self.begin(graph.child(), deps.into(), Ok(input.into()))
    }

    /// As [`Ctx::call`], with an input in JSON: an object of the graph's input keys.
    pub fn call_json<C>(&self, graph: &Compiled<C, D>, input: Json) -> Call<C> {
        let child = graph.child();
        let input = Update::from_input(&child.core.schema, input);
        self.begin(child, self.share_deps(), input.map_err(NodeError::refused))
    }

    fn begin<C>(
        &self,
        child: Child,
        deps: Arc<dyn Any + Send + Sync>,
        input: NodeResult<Update>,
    ) -> Call<C> {
        let task = self.task().clone();
        Call { task, child, deps, input, name: CallName::default(), state: PhantomData }
    }
}

/// A graph about to be run inside a node. It runs once this is awaited.
#[must_use = "a call runs when it is awaited"]
pub struct Call<C> {
    task: TaskContext,
    child: Child,
    deps: Arc<dyn Any + Send + Sync>,
    input: NodeResult<Update>,
    name: CallName,
    state: PhantomData<fn() -> C>,
}

impl<C> Call<C> {
    /// Names the call inside its node, so that it finds its own state again wherever it stands.
    pub fn key(mut self, key: &str) -> Self {
        self.name.key = Some(key.to_owned());
        self
    }

    /// Which state a graph that is kept per thread continues; by default the node's. Tasks of one
    /// superstep need one each. A graph that is not kept per thread has no use for it.
    pub fn instance(mut self, instance: &str) -> Self {
        self.name.instance = Some(instance.to_owned());
        self
    }

    /// Runs the graph, and returns its output keys as a JSON object.
    ///
    /// # Errors
    /// As awaiting the call, and when a value has no JSON form.
    ///
    /// # Cancel safety
    /// As awaiting the call.
    pub async fn json(self) -> NodeResult<Json> {
        let (schema, values) = self.run().await?;
        Ok(schema.to_json(&values, |_, channel| channel.output)?)
    }

    async fn run(self) -> NodeResult<(Arc<Schema>, Arc<Values>)> {
        let input = self.input?;
        let schema = Arc::clone(&self.child.core.schema);
        let mut below = Below::of(self.child, &self.task, Some(self.name))?;
        below.deps = self.deps;
        let done = run::drive_child(below, &self.task, input);
        let done = self.task.without_permits(done).await;
        Ok((schema, done?.values))
    }
}

impl<C: State> IntoFuture for Call<C> {
    type Output = NodeResult<View<C>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    /// Runs the graph, and returns its final state.
    ///
    /// # Errors
    /// What ends the graph ends the call: a failure, a question, cancellation, or a command to the
    /// parent.
    ///
    /// # Cancel safety
    /// Dropping the future stops the graph; with a checkpointer its finished work is kept and the
    /// call goes on there when the node runs again.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (schema, values) = self.run().await?;
            Ok(View::new(&schema, &values))
        })
    }
}
