//! A run that was described and not started yet.

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use serde_json::Value as Json;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint::{CheckpointId, Place},
    config::Config,
    control::Control,
    error::Error,
    graph::{Kept, Leads},
    live::StartInput,
    parent::no_parent,
    run::{
        self, Above, Breakpoints, Durability, Limits, OnPending, Request, RunShared, SiblingPolicy,
    },
    state::Update,
    stream::{Events, Framing, Mode, Modes, OutputKeys, Reader, Shown, Sink, Wanted, v3},
};

use super::{
    Command, Inner,
    handle::{Outcome, RunHandle},
};

pub(super) enum Asked {
    Update(Update),
    Json(Json),
    Continue,
    Command(Command),
}

/// A run that was described and not started yet.
#[expect(clippy::struct_field_names, reason = "`run_id` is the word on the wire")]
#[must_use = "a run starts with `invoke` or `start`"]
pub struct Run<S> {
    pub(super) inner: Arc<Inner>,
    pub(super) request: Asked,
    pub(super) thread: Option<String>,
    pub(super) at: Option<CheckpointId>,
    pub(super) wanted: Wanted,
    pub(super) output_keys: Option<OutputKeys>,
    pub(super) limits: Limits,
    pub(super) control: Control,
    pub(super) concurrency: Option<usize>,
    pub(super) run_id: Option<String>,
    pub(super) cancel: CancellationToken,
    pub(super) metadata: BTreeMap<String, Json>,
    pub(super) config: Option<Arc<Config>>,
    pub(super) state: PhantomData<fn() -> S>,
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

    /// Goes on for an execution of the same run that was lost after it had saved its last
    /// checkpoint: a breakpoint that the thread stands at was not passed yet, and the supersteps
    /// that the run has taken count towards its [`recursion_limit`](Self::recursion_limit).
    pub fn take_over(mut self) -> Self {
        self.limits.takes_over = true;
        self
    }

    /// Tells what is about to be stored (how a task ended, the values and the checkpoint of a
    /// superstep) before it is handed to storage instead of after, for a reader that keeps events
    /// together with what they tell; see [`Event::is_ahead`](crate::Event::is_ahead).
    pub fn tell_first(mut self) -> Self {
        self.wanted.told_first = true;
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

    /// What its nodes, and those of graphs below it, read by [`crate::Ctx::config`].
    pub fn config(mut self, config: Arc<Config>) -> Self {
        self.config = Some(config);
        self
    }

    /// All entries that its checkpoints and messages have.
    fn all_metadata(&self) -> BTreeMap<String, Json> {
        let Some(config) = &self.config else { return self.metadata.clone() };
        let given = config.metadata.iter().map(|(key, value)| (key.clone(), value.clone()));
        let mut all: BTreeMap<String, Json> = given.collect();
        all.extend(self.metadata.iter().map(|(key, value)| (key.clone(), value.clone())));
        all
    }

    pub(super) fn shared(&self, sink: Sink) -> Result<RunShared, Error> {
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
            (Some(_), Some(thread)) => {
                Some(Arc::new(Place { thread: thread.clone(), ns: String::new() }))
            }
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
            parents: Arc::default(),
            metadata: Arc::new(self.all_metadata()),
            config: self.config.clone(),
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
    pub fn start(self) -> Result<RunHandle<S>, Error> {
        let Prepared { shown, shared, request, at, events, cancel, control } = self.prepare()?;
        let mut handle = RunHandle {
            run_id: Arc::clone(&shared.run_id),
            warnings: Arc::clone(&shared.warnings),
            schema: Arc::clone(&shared.core.schema),
            shown,
            cancel,
            events,
            control,
            task: JoinSet::new(),
            state: PhantomData,
        };
        // Boxed: on its way to its task it would otherwise be copied whole about ten times.
        handle.task.spawn(Box::pin(run::drive(shared, request, at)));
        Ok(handle)
    }

    /// The run in two parts: its events, which anybody may take, and the run itself, which does
    /// something only while its future is awaited. Somebody has to take the events, or the run
    /// waits for room; dropping them is fine.
    ///
    /// # Errors
    /// As [`Run::start`]; the future's are those of [`Run::invoke`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the running nodes; finished work is kept.
    #[expect(clippy::type_complexity, reason = "two parts, and each is named by its type")]
    pub fn split(self) -> Result<(Events, BoxFuture<'static, Result<Outcome<S>, Error>>), Error> {
        let Prepared { shown, shared, request, at, events, .. } = self.prepare()?;
        let run = async move {
            let warnings = Arc::clone(&shared.warnings);
            let schema = Arc::clone(&shared.core.schema);
            let finished = run::drive(shared, request, at).await?;
            Ok(Outcome::new(schema, shown, finished, &warnings))
        };
        Ok((Events::new(events), Box::pin(run)))
    }

    fn prepare(mut self) -> Result<Prepared, Error> {
        let shown = self.shown()?;
        let (sink, events) = Sink::new(self.wanted, shown.clone().unwrap_or_default());
        let shared = Arc::new(self.shared(sink)?);
        let request = self.ask()?;
        let events = Reader::new(events, self.wanted.ordered, Arc::clone(&shared.warnings));
        let Self { at, cancel, control, .. } = self;
        Ok(Prepared { shown, shared, request, at, events, cancel, control })
    }
}

/// A run that only has to be driven.
struct Prepared {
    shown: Option<Shown>,
    shared: Arc<RunShared>,
    request: Request,
    at: Option<CheckpointId>,
    events: Reader,
    cancel: CancellationToken,
    control: Control,
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
