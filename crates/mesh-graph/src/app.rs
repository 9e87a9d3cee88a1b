//! A graph ready to run: with its dependencies, its checkpointer and its clock.

use std::{
    any::Any,
    collections::BTreeMap,
    marker::PhantomData,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value as Json;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    cache::NodeCache,
    channel::{KeyError, Schema, Values},
    checkpoint::{CheckpointId, Place, TaskId},
    checkpointer::{Checkpointer, Filter},
    command::Goto,
    control::Control,
    env::{Env, SystemEnv},
    error::{BoxError, Error, Failure},
    graph::{Compiled, Core, Drawing, Kept, Leads, Lint, Xray},
    inside::{self, Inside},
    interrupt::{Interrupt, Resume},
    live::StartInput,
    names::INTERRUPT,
    observer::Observer,
    parent::no_parent,
    run::{
        self, Above, Breakpoints, Durability, Finished, Limits, OnPending, RECURSION_LIMIT,
        Request, RunShared, SiblingPolicy, Status, Warning,
    },
    snapshot::{self, StateSnapshot},
    state::{State, Update, View},
    store::Store,
    stream::{Event, Framing, Mode, Modes, OutputKeys, Reader, Shown, Sink, Wanted, v3},
    update::{self, Resolution, StateUpdate},
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
        App {
            inner: Arc::new(Inner {
                core: self.core(),
                kept: self.child().kept,
                deps: Arc::new(deps),
                env: Arc::new(SystemEnv),
                checkpointer: None,
                store: None,
                cache: None,
                before: Breakpoints::None,
                after: Breakpoints::None,
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
        self.check_breakpoints(&at)?;
        Ok(self.change(|inner| inner.before = at))
    }

    /// Stops every run after these nodes, unless the run says otherwise.
    ///
    /// # Errors
    /// [`Failure`] names a node that the graph does not have.
    pub fn break_after(self, at: Breakpoints) -> Result<Self, Failure> {
        self.check_breakpoints(&at)?;
        Ok(self.change(|inner| inner.after = at))
    }

    fn check_breakpoints(&self, at: &Breakpoints) -> Result<(), Failure> {
        match at {
            Breakpoints::At(names) => {
                match names.iter().find(|name| self.inner.core.find(name).is_none()) {
                    Some(name) => Err(Failure::unknown_target(name)),
                    None => Ok(()),
                }
            }
            Breakpoints::None | Breakpoints::All => Ok(()),
        }
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

    /// JSON Schema of the input.
    pub fn input_schema(&self) -> Json {
        self.inner.core.schema.input_schema()
    }

    /// JSON Schema of the output.
    pub fn output_schema(&self) -> Json {
        self.inner.core.schema.output_schema()
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
                step_timeout: None,
            },
            control: Control::new(),
            concurrency: None,
            run_id: None,
            cancel: CancellationToken::new(),
            metadata: BTreeMap::new(),
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
        run.shared(Sink::default())
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
    as_node: Option<String>,
    at: Option<CheckpointId>,
}

impl Patch {
    /// These values.
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

    /// Where it goes, and what it writes there.
    pub(crate) fn for_state(
        self,
        schema: &Schema,
    ) -> Result<(Option<CheckpointId>, StateUpdate), Error> {
        let values = self.values.map(|json| Update::from_json(schema, json, |_| true));
        let values = values.transpose().map_err(Error::InvalidStateUpdate)?;
        Ok((self.at, StateUpdate { values, as_node: self.as_node }))
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

enum Asked {
    Update(Update),
    Json(Json),
    Continue,
    Command(Command),
}

/// A run that was described and not started yet.
#[expect(clippy::struct_field_names, reason = "`run_id` is the word on the wire")]
#[must_use = "a run starts with `invoke` or `start`"]
pub struct Run<S> {
    inner: Arc<Inner>,
    request: Asked,
    thread: Option<String>,
    at: Option<CheckpointId>,
    wanted: Wanted,
    output_keys: Option<OutputKeys>,
    limits: Limits,
    control: Control,
    concurrency: Option<usize>,
    run_id: Option<String>,
    cancel: CancellationToken,
    metadata: BTreeMap<String, Json>,
    state: PhantomData<fn() -> S>,
}

impl<S> Run<S> {
    /// On this thread.
    pub fn thread(mut self, thread: &str) -> Self {
        self.thread = Some(thread.to_owned());
        self
    }

    /// From this checkpoint of the thread: a branch, unless it is an unstarted fork.
    pub fn at(mut self, checkpoint: CheckpointId) -> Self {
        self.at = Some(checkpoint);
        self
    }

    /// Streams these modes.
    pub fn stream(mut self, modes: impl IntoIterator<Item = Mode>) -> Self {
        self.wanted.modes = modes.into_iter().collect();
        self
    }

    /// Streams what mounted graphs do, too.
    pub fn subgraphs(mut self) -> Self {
        self.wanted.subgraphs = true;
        self
    }

    /// Lets model calls go on while the reader is slower than they are: pieces of a message that
    /// find [`crate::EVENT_BUFFER`] full are added up and sent as one. Everything else still waits
    /// for the reader, and nothing is dropped.
    pub fn merge_tokens(mut self) -> Self {
        self.wanted.merge_tokens = true;
        self
    }

    /// Tells the events of parallel tasks in task order instead of as they happen, so that a
    /// deterministic graph tells the same every time. Up to [`crate::ORDERED_HELD_MAX`] events of
    /// later tasks are held back meanwhile.
    pub fn ordered(mut self) -> Self {
        self.wanted.ordered = true;
        self
    }

    /// Cuts the `values` and `updates` streams of the root graph, and [`Outcome::json`], to one key
    /// (`"blog"`, shown bare) or to several (`["plan", "blog"]`).
    pub fn output_keys(mut self, keys: impl Into<OutputKeys>) -> Self {
        self.output_keys = Some(keys.into());
        self
    }

    /// At most this many node supersteps; at least 1.
    pub fn recursion_limit(mut self, limit: u32) -> Self {
        self.limits.recursion = limit;
        self
    }

    /// When checkpoints have to be durable.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.limits.durability = durability;
        self
    }

    /// At most this many nodes at once, over all mounted graphs; they start in task order. A mount
    /// that waits for its graph does not count.
    pub fn max_concurrency(mut self, nodes: usize) -> Self {
        self.concurrency = Some(nodes);
        self
    }

    /// What becomes of the thread's unfinished superstep when the run has an input.
    pub fn on_pending(mut self, on_pending: OnPending) -> Self {
        self.limits.on_pending = on_pending;
        self
    }

    /// What happens to running tasks when one of their superstep has failed, here and in mounted
    /// graphs.
    pub fn on_sibling_failure(mut self, policy: SiblingPolicy) -> Self {
        self.limits.siblings = policy;
        self
    }

    /// Ends the run with [`Error::StepTimeout`] when a superstep takes longer. Mounted graphs are
    /// limited as part of their parent's superstep.
    pub fn step_timeout(mut self, limit: Duration) -> Self {
        self.limits.step_timeout = Some(limit);
        self
    }

    /// Listens to this control; see [`Control::request_drain`].
    pub fn control(mut self, control: Control) -> Self {
        self.control = control;
        self
    }

    /// Stops before these nodes, instead of where the app says.
    pub fn break_before(mut self, at: Breakpoints) -> Self {
        self.limits.before = at;
        self
    }

    /// Stops after these nodes, instead of where the app says.
    pub fn break_after(mut self, at: Breakpoints) -> Self {
        self.limits.after = at;
        self
    }

    /// The run's id. The same id sent again on an unfinished run resumes it.
    pub fn run_id(mut self, id: &str) -> Self {
        self.run_id = Some(id.to_owned());
        self
    }

    /// Ends the run when this token fires.
    pub fn cancel_on(mut self, token: CancellationToken) -> Self {
        self.cancel = token;
        self
    }

    /// An entry for the metadata of the run's checkpoints.
    pub fn metadata(mut self, key: &str, value: Json) -> Self {
        self.metadata.insert(key.to_owned(), value);
        self
    }

    fn shared(&self, sink: Sink) -> Result<RunShared, Error> {
        let inner = &self.inner;
        if self.limits.recursion == 0 {
            return Err(Error::InvalidOption { option: "recursion_limit", expected: "at least 1" });
        }
        if matches!(inner.kept, Kept::PerThread(_)) {
            let expected = "a graph below a task: a root graph has its thread";
            return Err(Error::InvalidOption { option: "per_thread", expected });
        }
        if self.concurrency == Some(0) {
            return Err(Error::InvalidOption { option: "max_concurrency", expected: "at least 1" });
        }
        if self.limits.step_timeout == Some(Duration::ZERO) {
            return Err(Error::InvalidOption {
                option: "step_timeout",
                expected: "more than zero",
            });
        }
        let place = match (&inner.checkpointer, &self.thread) {
            (Some(_), Some(thread)) => Some(Place { thread: thread.clone(), ns: String::new() }),
            (Some(_), None) => return Err(Error::MissingThreadId),
            (None, _) => None,
        };
        let run_id = match &self.run_id {
            Some(id) => Arc::from(id.as_str()),
            None => Arc::from(uuid::Uuid::from_u128(inner.env.new_id()).to_string()),
        };
        Ok(RunShared {
            core: Arc::clone(&inner.core),
            deps: Arc::clone(&inner.deps),
            env: Arc::clone(&inner.env),
            checkpointer: inner.checkpointer.clone(),
            store: inner.store.clone(),
            cache: inner.cache.clone(),
            place,
            ns: Arc::from([]),
            ns_text: Arc::from(""),
            run_id,
            unsaved: CheckpointId(inner.env.new_id()),
            sink,
            cancel: self.cancel.clone(),
            slots: self.concurrency.map(|nodes| Arc::new(Semaphore::new(nodes))),
            limit_table: Arc::default(),
            control: self.control.clone(),
            observer: inner.observer.clone(),
            progress: None,
            limits: self.limits.clone(),
            answers: Mutex::default(),
            parents: BTreeMap::new(),
            metadata: self.metadata.clone(),
            warnings: Arc::default(),
            above: Above::default(),
        })
    }

    fn shown(&self) -> Result<Option<Shown>, Error> {
        let schema = &self.inner.core.schema;
        match &self.output_keys {
            Some(keys) => Shown::of(keys, schema).map(Some),
            None => Ok(schema.sole_output().map(Shown::One)),
        }
    }

    fn ask(&mut self) -> Result<Request, Error> {
        let core = &self.inner.core;
        Ok(match std::mem::replace(&mut self.request, Asked::Continue) {
            Asked::Update(update) => Request::Input(StartInput { update, leads: Leads::default() }),
            Asked::Json(mut json) => {
                if let (true, Some(object)) = (core.lenient_input, json.as_object_mut()) {
                    object.retain(|key, _| core.schema.is_input(key));
                }
                let update = Update::from_input(&core.schema, json).map_err(Error::InvalidInput)?;
                Request::Input(StartInput { update, leads: Leads::default() })
            }
            Asked::Continue => Request::Continue,
            Asked::Command(command) if command.to_parent => {
                return Err(Error::InvalidInput(no_parent()));
            }
            Asked::Command(command) => {
                let update = match command.update {
                    Some(json) => {
                        Update::of_command(&core.schema, json).map_err(Error::InvalidInput)?
                    }
                    None => Update::default(),
                };
                let mut leads = Leads::default();
                for goto in command.goto {
                    core.resolve(goto, &mut leads).map_err(Error::InvalidInput)?;
                }
                Request::Command { resume: command.resume, start: StartInput { update, leads } }
            }
        })
    }

    /// Runs to the end, without a stream.
    ///
    /// # Errors
    /// [`Error`] says why the run could not go on; the thread stays as its last checkpoint.
    ///
    /// # Cancel safety
    /// Dropping the future drops the running nodes; finished work is kept.
    pub async fn invoke(mut self) -> Result<Outcome<S>, Error> {
        let shown = self.shown()?;
        let shared = Arc::new(self.shared(Sink::default())?);
        let request = self.ask()?;
        let warnings = Arc::clone(&shared.warnings);
        let schema = Arc::clone(&shared.core.schema);
        let finished = run::drive(shared, request, self.at).await?;
        Ok(Outcome::new(schema, shown, finished, &warnings))
    }

    /// Runs to the end and gives what LangGraph's `invoke` gives: for the `values` stream, which
    /// is the default, the result, in version 2 as `{"value", "interrupts"}`; for any other choice
    /// of streams, or a list of them, the list of all items.
    ///
    /// # Errors
    /// As [`Run::invoke`]; a value without JSON form is [`Error::Unserializable`].
    ///
    /// # Cancel safety
    /// As [`Run::invoke`].
    pub async fn invoke_as(self, framing: Framing) -> Result<Json, Error> {
        let only_values =
            self.wanted.modes == Modes::NONE || self.wanted.modes.iter().eq([Mode::Values]);
        match framing {
            Framing::V1 { list: false, subgraphs: false } if only_values => {
                self.invoke().await?.json().map_err(Error::Unserializable)
            }
            Framing::V2 if only_values && !self.wanted.subgraphs => {
                let mut outcome = self.invoke().await?;
                let interrupts: Vec<Json> =
                    outcome.interrupts.drain(..).map(|interrupt| interrupt.to_json()).collect();
                let value = outcome.json().map_err(Error::Unserializable)?;
                Ok(serde_json::json!({ "value": value, "interrupts": interrupts }))
            }
            _ => {
                let mut handle = self.start()?;
                let mut items = Vec::new();
                while let Some(event) = handle.next().await {
                    items.push(framing.frame(&event));
                }
                handle.finish().await?;
                Ok(Json::Array(items))
            }
        }
    }

    /// Starts the run beside the caller, who reads its events from the handle.
    ///
    /// # Errors
    /// What can be refused before anything runs; see [`Error`].
    pub fn start(mut self) -> Result<RunHandle<S>, Error> {
        let shown = self.shown()?;
        let (sink, events) = Sink::new(self.wanted, shown.clone().unwrap_or_default());
        let shared = Arc::new(self.shared(sink)?);
        let request = self.ask()?;
        let mut handle = RunHandle {
            run_id: Arc::clone(&shared.run_id),
            warnings: Arc::clone(&shared.warnings),
            schema: Arc::clone(&shared.core.schema),
            shown,
            cancel: self.cancel.clone(),
            events: Reader::new(events, self.wanted.ordered, Arc::clone(&shared.warnings)),
            control: self.control.clone(),
            task: JoinSet::new(),
            state: PhantomData,
        };
        handle.task.spawn(run::drive(shared, request, self.at));
        Ok(handle)
    }
}

impl<S> Run<S> {
    /// Starts the run beside the caller, who reads it as the events of LangGraph's protocol,
    /// version 3, children included. They are numbered from one after `after`: the last number of
    /// the thread, or 0.
    ///
    /// # Errors
    /// As [`Run::start`].
    pub fn start_v3(mut self, after: u64) -> Result<v3::Events<S>, Error> {
        self.wanted.modes = v3::MODES.into_iter().collect();
        self.wanted.subgraphs = true;
        Ok(v3::Events::new(self.start()?, after))
    }
}

/// A run that was started. Dropping it drops the running nodes; finished work is kept.
pub struct RunHandle<S> {
    run_id: Arc<str>,
    warnings: Arc<Mutex<Vec<Warning>>>,
    schema: Arc<Schema>,
    shown: Option<Shown>,
    cancel: CancellationToken,
    control: Control,
    events: Reader,
    task: JoinSet<Result<Finished, Error>>,
    state: PhantomData<fn() -> S>,
}

impl<S> RunHandle<S> {
    /// The run's id.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The next event, or none when the run has ended.
    ///
    /// # Cancel safety
    /// No event is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.next().await
    }

    /// Asks the run to end; nodes have [`run::CANCEL_GRACE`] to finish by themselves.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Asks the run to stop before its next superstep, as [`Status::Drained`].
    pub fn drain(&self, reason: &str) {
        self.control.request_drain(reason);
    }

    /// Waits for the end; events nobody read are let go.
    ///
    /// # Errors
    /// [`Error`] says why the run could not go on.
    pub async fn finish(mut self) -> Result<Outcome<S>, Error> {
        self.events.drain().await;
        match self.task.join_next().await {
            Some(Ok(finished)) => {
                Ok(Outcome::new(self.schema, self.shown, finished?, &self.warnings))
            }
            // The driver catches what nodes do; a panic of its own is a bug, told as what it is.
            Some(Err(panic)) => Err(Error::Task(crate::error::TaskFailure {
                node: String::new(),
                task_id: String::new(),
                failure: Failure::new(crate::error::FailureKind::Panic, panic.to_string()),
                inner: None,
            })),
            None => Err(Error::EmptyInput),
        }
    }
}

/// How a run ended, and with what state.
pub struct Outcome<S> {
    schema: Arc<Schema>,
    shown: Option<Shown>,
    values: Arc<Values>,
    /// Done, interrupted, cancelled or drained.
    pub status: Status,
    /// Why it was drained, if it was.
    pub drained: Option<String>,
    /// Open questions.
    pub interrupts: Vec<Interrupt>,
    /// What should be known besides.
    pub warnings: Vec<Warning>,
    /// The thread's newest checkpoint.
    pub checkpoint: Option<CheckpointId>,
    state: PhantomData<fn() -> S>,
}

impl<S> Outcome<S> {
    fn new(
        schema: Arc<Schema>,
        shown: Option<Shown>,
        finished: Finished,
        warnings: &Mutex<Vec<Warning>>,
    ) -> Self {
        let mut warnings = warnings.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Self {
            schema,
            shown,
            values: finished.values,
            status: finished.status,
            drained: finished.drained,
            interrupts: finished.interrupts,
            warnings: std::mem::take(&mut warnings),
            checkpoint: finished.checkpoint,
            state: PhantomData,
        }
    }

    /// The output keys as a JSON object, with `__interrupt__` when questions are open. After
    /// [`Run::output_keys`] with one key: its bare value, null before the first write.
    ///
    /// # Errors
    /// When a value has no JSON form.
    pub fn json(&self) -> Result<Json, KeyError> {
        let mut json = match &self.shown {
            None => self.schema.to_json(&self.values, |_, channel| channel.output)?,
            Some(Shown::One(only)) if self.interrupts.is_empty() => {
                let all = self.schema.to_json(&self.values, |index, _| index == *only)?;
                let key = &**self.schema.key(*only);
                return Ok(all.get(key).cloned().unwrap_or_default());
            }
            Some(Shown::One(_)) => Json::Object(serde_json::Map::new()),
            Some(shown) => self.schema.to_json(&self.values, |index, _| shown.has(index))?,
        };
        if let (Some(object), false) = (json.as_object_mut(), self.interrupts.is_empty()) {
            let shown = self.interrupts.iter().map(Interrupt::to_json).collect();
            object.insert(INTERRUPT.to_owned(), Json::Array(shown));
        }
        Ok(json)
    }
}

impl<S: State> Outcome<S> {
    /// The state, typed.
    pub fn state(&self) -> View<S> {
        View::new(&self.schema, &self.values)
    }
}

impl<S> std::fmt::Debug for Outcome<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outcome")
            .field("status", &self.status)
            .field("interrupts", &self.interrupts)
            .field("warnings", &self.warnings)
            .field("checkpoint", &self.checkpoint)
            .finish_non_exhaustive()
    }
}
