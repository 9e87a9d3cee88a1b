//! A graph ready to run: with its dependencies, its checkpointer and its clock.

mod handle;
mod request;

use std::{any::Any, collections::BTreeMap, marker::PhantomData, sync::Arc};

use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;

use crate::{
    cache::NodeCache,
    channel::Schema,
    checkpoint::{CheckpointId, Place, TaskId},
    checkpointer::{Checkpointer, Filter},
    command::Goto,
    control::Control,
    env::{Env, SystemEnv},
    error::{BoxError, Error, Failure},
    graph::{Child, Compiled, Core, Drawing, Kept, Lint, Mounted, Xray},
    inside::{self, Inside},
    interrupt::Resume,
    observer::Observer,
    run::{Breakpoints, Durability, Limits, OnPending, RECURSION_LIMIT, RunShared, SiblingPolicy},
    snapshot::{self, StateSnapshot},
    state::{State, Update},
    store::Store,
    stream::{Sink, Wanted},
    update::{self, Resolution, StateUpdate},
};

use self::request::Asked;
pub use self::{
    handle::{Outcome, RunHandle},
    request::Run,
};

/// The state of a graph whose Rust type is not known here; values are JSON.
pub enum Untyped {}

/// A graph with everything it needs to run. Cloning is cheap.
///
/// ```
/// # use mesh_graph::{Ctx, Graph, NodeResult, State, View, START, END};
/// # #[derive(State)] struct Count { #[state(add)] n: i64 }
/// # async fn one(_: View<Count>, _: Ctx) -> NodeResult<CountUpdate> { Ok(Count::update().n(1)) }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut graph = Graph::<Count>::new("count");
/// # graph.node("one", one); graph.edge(START, "one");
/// let app = graph.compile()?.app(());
/// let outcome = app.run(Count::update().n(41)).invoke().await?;
/// assert_eq!(outcome.state().n, 42);
/// # Ok(()) }
/// ```
pub struct App<S = Untyped> {
    inner: Arc<Inner>,
    state: PhantomData<fn() -> S>,
}

impl<S> Clone for App<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), state: PhantomData }
    }
}

impl<S> std::fmt::Debug for App<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("graph", &self.inner.core.name).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Inner {
    core: Arc<Core>,
    kept: Kept,
    deps: Arc<dyn Any + Send + Sync>,
    env: Arc<dyn Env>,
    checkpointer: Option<Arc<dyn Checkpointer>>,
    store: Option<Arc<dyn Store>>,
    cache: Option<Arc<dyn NodeCache>>,
    before: Breakpoints,
    after: Breakpoints,
    observer: Option<Arc<dyn Observer>>,
}

impl<S, D: Send + Sync + 'static> Compiled<S, D> {
    /// Makes the graph ready to run with these dependencies.
    pub fn app(&self, deps: D) -> App<S> {
        let Child { core, kept, before, after } = self.child();
        App {
            inner: Arc::new(Inner {
                core,
                kept,
                deps: Arc::new(deps),
                env: Arc::new(SystemEnv),
                checkpointer: None,
                store: None,
                cache: None,
                before,
                after,
                observer: None,
            }),
            state: PhantomData,
        }
    }
}

impl<S> App<S> {
    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.inner));
        self
    }

    /// Keeps the checkpoints of all runs here.
    pub fn checkpointer(self, checkpointer: Arc<dyn Checkpointer>) -> Self {
        self.change(|inner| inner.checkpointer = Some(checkpointer))
    }

    /// What nodes remember across threads is kept here; they reach it by [`crate::Ctx::store`].
    pub fn store(self, store: Arc<dyn Store>) -> Self {
        self.change(|inner| inner.store = Some(store))
    }

    /// Keeps the results of nodes with a [`crate::CachePolicy`] here. Without it policies are
    /// ignored.
    pub fn cache(self, cache: Arc<dyn NodeCache>) -> Self {
        self.change(|inner| inner.cache = Some(cache))
    }

    /// Forgets the cached results of these nodes or functional tasks of this graph, or of all.
    /// Graphs mounted in it have results under their own names. Without a cache there is nothing
    /// to forget.
    ///
    /// # Errors
    /// What the cache reports.
    pub async fn clear_cache(&self, nodes: Option<&[&str]>) -> Result<(), BoxError> {
        match &self.inner.cache {
            Some(cache) => cache.clear(&self.inner.core.name, nodes).await,
            None => Ok(()),
        }
    }

    /// Takes time and ids from here instead of from the machine.
    pub fn env(self, env: Arc<dyn Env>) -> Self {
        self.change(|inner| inner.env = env)
    }

    /// Tells this observer when a run pauses for people and when it goes on.
    pub fn observer(self, observer: Arc<dyn Observer>) -> Self {
        self.change(|inner| inner.observer = Some(observer))
    }

    /// Stops every run before these nodes, unless the run says otherwise.
    ///
    /// # Errors
    /// [`Failure`] names a node that the graph does not have.
    pub fn break_before(self, at: Breakpoints) -> Result<Self, Failure> {
        at.check(&self.inner.core)?;
        Ok(self.change(|inner| inner.before = at))
    }

    /// Stops every run after these nodes, unless the run says otherwise.
    ///
    /// # Errors
    /// [`Failure`] names a node that the graph does not have.
    pub fn break_after(self, at: Breakpoints) -> Result<Self, Failure> {
        at.check(&self.inner.core)?;
        Ok(self.change(|inner| inner.after = at))
    }

    /// The graph's name.
    pub fn name(&self) -> &str {
        &self.inner.core.name
    }

    /// What may be wrong with the graph although it compiles.
    pub fn lint(&self) -> Vec<Lint> {
        self.inner.core.lint()
    }

    /// A picture of the graph with its breakpoints.
    pub fn draw(&self, xray: Xray) -> Drawing {
        self.inner.core.draw(xray, &self.inner.before, &self.inner.after)
    }

    /// The same, with those mounted graphs opened whose paths are wanted: names of nodes on the way
    /// to them, joined by `:`. One that is closed hides what is mounted in it.
    pub fn draw_where(&self, opens: &dyn Fn(&str) -> bool) -> Drawing {
        self.inner.core.draw_where(opens, &self.inner.before, &self.inner.after)
    }

    /// JSON Schema of the input.
    pub fn input_schema(&self) -> Json {
        self.inner.core.schema.input_schema()
    }

    /// JSON Schema of the output.
    pub fn output_schema(&self) -> Json {
        self.inner.core.schema.output_schema()
    }

    /// JSON Schema of the state: all keys that a checkpoint has.
    pub fn state_schema(&self) -> Json {
        self.inner.core.schema.state_schema()
    }

    /// The keys of the state that a checkpoint has, each with the rule by which it takes writes.
    pub fn channels(&self) -> Vec<crate::channel::ChannelRule> {
        self.inner.core.schema.rules()
    }

    /// The graphs that are mounted in this one and in each other, by the names of the nodes on the
    /// way to them.
    pub fn mounted(&self) -> Vec<Mounted> {
        let mut mounted = Vec::new();
        self.inner.core.mounted("", &mut mounted);
        mounted
    }

    /// JSON Schema of what its nodes read by [`crate::Ctx::context`]; see [`crate::Graph::context`].
    pub fn context_schema(&self) -> Option<&Json> {
        self.inner.core.context.as_ref()
    }

    /// The same graph without its Rust type, as a server holds it: JSON in, JSON out.
    pub fn untyped(&self) -> App<Untyped> {
        App { inner: Arc::clone(&self.inner), state: PhantomData }
    }

    fn request(&self, request: Asked) -> Run<S> {
        Run {
            inner: Arc::clone(&self.inner),
            request,
            thread: None,
            at: None,
            wanted: Wanted::default(),
            output_keys: None,
            limits: Limits {
                recursion: RECURSION_LIMIT,
                durability: Durability::default(),
                before: self.inner.before.clone(),
                after: self.inner.after.clone(),
                on_pending: OnPending::default(),
                siblings: SiblingPolicy::default(),
                takes_over: false,
                step_timeout: None,
            },
            control: Control::new(),
            concurrency: None,
            run_id: None,
            cancel: CancellationToken::new(),
            metadata: BTreeMap::new(),
            config: None,
            state: PhantomData,
        }
    }

    /// A run with an input in JSON: an object of input keys.
    pub fn run_json(&self, input: Json) -> Run<S> {
        self.request(Asked::Json(input))
    }

    /// A run that goes on with what the thread left unfinished.
    pub fn resume(&self) -> Run<S> {
        self.request(Asked::Continue)
    }

    /// A run that answers the thread's questions.
    pub fn answer(&self, resume: Resume) -> Run<S> {
        self.request(Asked::Command(Command { resume: Some(resume), ..Command::default() }))
    }

    /// A run that begins with a command.
    pub fn command(&self, command: Command) -> Run<S> {
        self.request(Asked::Command(command))
    }

    pub(crate) fn core(&self) -> Arc<Core> {
        Arc::clone(&self.inner.core)
    }

    pub(crate) fn storage(&self) -> Result<&Arc<dyn Checkpointer>, Error> {
        self.inner.checkpointer.as_ref().ok_or(Error::NoCheckpointer)
    }

    pub(crate) fn shared(&self, thread: &str) -> Result<RunShared, Error> {
        if self.inner.checkpointer.is_none() {
            return Err(Error::NoCheckpointer);
        }
        let run = self.request(Asked::Continue).thread(thread);
        let mut shared = run.shared(Sink::default())?;
        // A change from outside is of no run.
        shared.run_id = Arc::from("");
        Ok(shared)
    }

    /// The thread now: its newest checkpoint with what its unfinished superstep has given already.
    /// A thread that does not exist gives an empty snapshot.
    ///
    /// # Errors
    /// [`Error::NoCheckpointer`], or what reading the checkpoint reports.
    pub async fn state(&self, thread: &str) -> Result<StateSnapshot<S>, Error> {
        self.state_in(thread, "", None).await
    }

    /// The thread as it was at the start of the superstep after `checkpoint`.
    ///
    /// # Errors
    /// As [`App::state`].
    pub async fn state_at(
        &self,
        thread: &str,
        checkpoint: CheckpointId,
    ) -> Result<StateSnapshot<S>, Error> {
        self.state_in(thread, "", Some(checkpoint)).await
    }

    async fn state_in(
        &self,
        thread: &str,
        ns: &str,
        at: Option<CheckpointId>,
    ) -> Result<StateSnapshot<S>, Error> {
        let place = Place { thread: thread.to_owned(), ns: ns.to_owned() };
        let checkpointer = self.inner.checkpointer.as_ref().ok_or(Error::NoCheckpointer)?;
        match checkpointer.load(&place, at).await? {
            Some(loaded) => snapshot::of(&self.inner.core, &place, &loaded, at.is_none()),
            None => Ok(snapshot::empty(&self.inner.core)),
        }
    }

    /// The thread now, or at one of its checkpoints, with the states of the graphs mounted in its
    /// tasks, and of those below them: in [`crate::TaskSnapshot::child`].
    ///
    /// # Errors
    /// As [`App::state`].
    pub async fn state_tree(
        &self,
        thread: &str,
        at: Option<CheckpointId>,
    ) -> Result<StateSnapshot<S>, Error> {
        let mut snapshot = self.state_in(thread, "", at).await?;
        let StateSnapshot { tasks, instances, .. } = &mut snapshot;
        inside::fill(&**self.storage()?, &self.inner.core, thread, tasks, instances).await?;
        Ok(snapshot)
    }

    /// The graph mounted at this namespace, to look at its state and to change it.
    ///
    /// # Errors
    /// [`Error::UnknownNamespace`] when no graph is mounted there.
    pub fn inside(&self, ns: &str) -> Result<Inside, Error> {
        Inside::of(self.untyped(), ns)
    }

    /// Gives the result of one pending task of the thread's unfinished superstep: one that failed,
    /// was interrupted or never ran. The others stay as they are; resuming the thread runs them.
    ///
    /// # Errors
    /// [`Error::InvalidStateUpdate`] when there is no such pending task, or what is given does not
    /// fit.
    pub async fn resolve_task(
        &self,
        thread: &str,
        task: TaskId,
        resolution: Resolution,
    ) -> Result<(), Error> {
        update::resolve_task(Arc::new(self.shared(thread)?), task, resolution).await
    }

    /// The thread's checkpoints, newest first, all branches mixed; `parent` tells the tree.
    ///
    /// # Errors
    /// As [`App::state`].
    pub async fn history(
        &self,
        thread: &str,
        filter: &Filter,
    ) -> Result<Vec<StateSnapshot<S>>, Error> {
        let place = Place { thread: thread.to_owned(), ns: String::new() };
        let checkpointer = self.inner.checkpointer.as_ref().ok_or(Error::NoCheckpointer)?;
        let loaded = checkpointer.list(&place, filter).await?;
        loaded.iter().map(|loaded| snapshot::of(&self.inner.core, &place, loaded, false)).collect()
    }

    /// Applies JSON values to a thread as if a node had returned them, with its edges and routers,
    /// and returns the new checkpoint. See [`Patch`].
    ///
    /// # Errors
    /// [`Error::InvalidStateUpdate`] names what does not fit; [`Error::AmbiguousUpdate`] when no
    /// node is named and several ran last.
    pub async fn update_state(&self, thread: &str, patch: Patch) -> Result<CheckpointId, Error> {
        let at = patch.at;
        self.bulk_update(thread, at, vec![vec![patch]]).await
    }

    /// Applies several supersteps of updates, one inner list per superstep, on top of `at` or of
    /// the newest checkpoint.
    ///
    /// # Errors
    /// As [`App::update_state`].
    pub async fn bulk_update(
        &self,
        thread: &str,
        at: Option<CheckpointId>,
        supersteps: Vec<Vec<Patch>>,
    ) -> Result<CheckpointId, Error> {
        let schema = &self.inner.core.schema;
        let mut typed = Vec::with_capacity(supersteps.len());
        for superstep in supersteps {
            let mut updates = Vec::with_capacity(superstep.len());
            for patch in superstep {
                updates.push(patch.for_state(schema)?.1);
            }
            typed.push(updates);
        }
        update::bulk_update(Arc::new(self.shared(thread)?), at, typed).await
    }
}

impl<S: State> App<S> {
    /// A run with an input.
    pub fn run(&self, input: S::Update) -> Run<S> {
        self.request(Asked::Update(input.into()))
    }
}

/// A change to a thread's state from outside.
#[derive(Debug, Clone, Default)]
pub struct Patch {
    values: Option<Json>,
    goto: Vec<Goto>,
    as_node: Option<String>,
    at: Option<CheckpointId>,
}

impl Patch {
    /// These values: an object of state keys, or a list of such objects and `[key, value]` pairs.
    pub fn values(json: Json) -> Self {
        Self { values: Some(json), ..Self::default() }
    }

    /// No values: only the node's edges are followed.
    pub fn none() -> Self {
        Self::default()
    }

    /// As the result of this node. By default the one that ran last.
    pub fn as_node(mut self, node: &str) -> Self {
        self.as_node = Some(node.to_owned());
        self
    }

    /// Where to go besides the node's edges, as if the node had said so.
    pub fn goto(mut self, goto: impl IntoIterator<Item: Into<Goto>>) -> Self {
        self.goto.extend(goto.into_iter().map(Into::into));
        self
    }

    /// Where it goes, and what it writes there.
    pub(crate) fn for_state(
        self,
        schema: &Schema,
    ) -> Result<(Option<CheckpointId>, StateUpdate), Error> {
        let values = self.values.map(|json| Update::of_patch(schema, json));
        let values = values.transpose().map_err(Error::InvalidStateUpdate)?;
        Ok((self.at, StateUpdate { values, goto: self.goto, as_node: self.as_node }))
    }

    /// On top of this checkpoint instead of the newest.
    pub fn at(mut self, checkpoint: CheckpointId) -> Self {
        self.at = Some(checkpoint);
        self
    }
}

/// Update, goto and answers, as one input.
#[derive(Debug, Default)]
pub struct Command {
    /// Answers to open questions.
    pub resume: Option<Resume>,
    /// What to write first: a JSON object of state keys, or a list of `[key, value]` pairs.
    pub update: Option<Json>,
    /// Where to go besides.
    pub goto: Vec<Goto>,
    /// Meant for the parent graph. A thread's own graph has none, so this is refused with
    /// [`crate::FailureKind::NoParent`]; a node commands its parent by [`crate::Step::parent`].
    pub to_parent: bool,
}
