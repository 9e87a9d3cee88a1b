//! The driver: runs planned tasks, commits what they gave, streams what happens.
//!
//! Everything that decides lives in `superstep`; this file only acts. A run that is dropped or
//! fails leaves its thread as the last checkpoint says.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use serde_json::Value as Json;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    channel::Values,
    checkpoint::{
        Blob, CheckpointId, Place, SNAPSHOT_EVERY, Source, StoredUpdate, TaskCommit, TaskId,
        TaskPath, TaskRecord,
    },
    checkpointer::{self, Checkpointer, Commit, Head, Loaded},
    command::Output,
    context::{Asked, TaskContext, TaskShared},
    env::Env,
    error::{Error, Failure, FailureKind, NodeError, NodeErrorKind, NodeResult, TaskFailure},
    graph::{Core, Leads, NodeId, START_ID},
    interrupt::{Interrupt, InterruptId, Resume},
    live::{Effect, Entry, Facts, Live, Ready, StartInput, encode_value},
    names::INTERRUPT,
    node::Input,
    reducer::{self, panic_message},
    state::Update,
    stream::{Body, Event, Mode, Sink, interrupt_update},
    superstep::{self, Cause, Change, Planned},
};

/// How long tasks of a cancelled run may take to end by themselves before they are dropped.
pub const CANCEL_GRACE: Duration = Duration::from_millis(250);

/// How long the siblings of a failed task may go on, so that work already paid for is kept.
pub const SIBLING_GRACE: Duration = Duration::from_secs(30);

/// Node supersteps of one invocation before [`Error::RecursionLimit`], unless the run says
/// otherwise.
pub const RECURSION_LIMIT: u32 = 10_007;

/// When a checkpoint has to be durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// Before the next superstep starts.
    Sync,
    /// While the next superstep runs; at most one checkpoint is on its way.
    #[default]
    Async,
    /// Only at the end of the run, at an interrupt or at a failure.
    Exit,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nothing is left to run.
    Done,
    /// It waits for answers, or stopped at a breakpoint.
    Interrupted,
    /// It was cancelled; unfinished tasks run again on resume.
    Cancelled,
}

/// Something a run wants to be known although it did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The run ended because a router returned an empty list.
    EmptyFanOut {
        /// The node that was routed from.
        node: String,
    },
    /// The run ended while a join was waiting.
    PartialJoin {
        /// The join's target.
        target: String,
        /// The sources that never came.
        missing: Vec<String>,
    },
    /// An answer was given to a question that the node did not ask again.
    StaleAnswer {
        /// The node.
        node: String,
        /// The interrupt.
        id: InterruptId,
    },
}

/// Where breakpoints are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Breakpoints {
    /// Nowhere.
    #[default]
    None,
    /// At every node.
    All,
    /// At these nodes.
    At(Vec<String>),
}

impl Breakpoints {
    fn matches(&self, core: &Core, nodes: impl IntoIterator<Item = NodeId>) -> bool {
        let mut nodes = nodes.into_iter().filter(|node| *node != START_ID);
        match self {
            Self::None => false,
            Self::All => nodes.next().is_some(),
            Self::At(names) => {
                nodes.any(|node| names.iter().any(|name| **name == *core.node(node).name))
            }
        }
    }
}

/// What a run was asked to do.
pub(crate) enum Request {
    /// Begin with this input.
    Input(StartInput),
    /// Go on with unfinished work.
    Continue,
    /// Answer, update or go somewhere.
    Command { resume: Option<Resume>, start: StartInput },
}

/// What all tasks of one graph in one run share.
pub(crate) struct RunShared {
    pub(crate) core: Arc<Core>,
    pub(crate) deps: Arc<dyn Any + Send + Sync>,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) checkpointer: Option<Arc<dyn Checkpointer>>,
    /// Where checkpoints go; none without a checkpointer.
    pub(crate) place: Option<Place>,
    pub(crate) ns: Arc<[String]>,
    pub(crate) ns_text: Arc<str>,
    pub(crate) run_id: Arc<str>,
    /// Stands in for a checkpoint in task ids when nothing is stored.
    pub(crate) unsaved: CheckpointId,
    pub(crate) sink: Sink,
    pub(crate) cancel: CancellationToken,
    pub(crate) slots: Option<Arc<Semaphore>>,
    pub(crate) limits: Limits,
    /// Answers given to this run, for the children that asked.
    pub(crate) answers: Mutex<Arc<BTreeMap<InterruptId, Json>>>,
    pub(crate) parents: BTreeMap<String, CheckpointId>,
    pub(crate) metadata: BTreeMap<String, Json>,
    pub(crate) warnings: Arc<Mutex<Vec<Warning>>>,
}

/// The options of a run that its children inherit, and those they do not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    pub(crate) recursion: u32,
    pub(crate) durability: Durability,
    pub(crate) before: Breakpoints,
    pub(crate) after: Breakpoints,
}

impl RunShared {
    fn answers(&self) -> Arc<BTreeMap<InterruptId, Json>> {
        Arc::clone(&self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn warn(&self, warning: Warning) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }
}

/// A run that ended without failing.
pub(crate) struct Finished {
    pub(crate) status: Status,
    pub(crate) values: Arc<Values>,
    pub(crate) interrupts: Vec<Interrupt>,
    pub(crate) checkpoint: Option<CheckpointId>,
}

/// Runs a graph until it is done, interrupted, cancelled or failed.
pub(crate) async fn drive(
    shared: Arc<RunShared>,
    request: Request,
    at: Option<CheckpointId>,
) -> Result<Finished, Error> {
    let mut driver = Driver::new(shared);
    let result = match driver.begin(request, at).await {
        Ok(Begun::Idle) => driver.idle().await,
        Ok(Begun::Ready) => driver.run().await,
        Err(error) => Err(error),
    };
    // Whatever the end: what was being saved is saved before the caller hears of it.
    match (driver.settle().await, result) {
        (Ok(()), result) => result,
        (Err(storage), Ok(_)) => Err(storage),
        (Err(_), Err(error)) => Err(error),
    }
}

/// Runs a mounted graph below a task.
pub(crate) async fn drive_child(
    core: Arc<Core>,
    task: &TaskContext,
    input: Update,
) -> Result<Finished, Error> {
    let parent = &task.0.run;
    let ns = task.namespace();
    let ns_text: Arc<str> = Arc::from(ns.join("|"));
    let place = parent
        .place
        .as_ref()
        .map(|place| Place { thread: place.thread.clone(), ns: ns_text.to_string() });
    let mut parents = parent.parents.clone();
    parents.insert(parent.ns_text.to_string(), task.0.base);
    let stored = match (&parent.checkpointer, &place) {
        (Some(checkpointer), Some(place)) => checkpointer.load(place, None).await?.is_some(),
        _ => false,
    };
    let shared = Arc::new(RunShared {
        core,
        deps: Arc::clone(&parent.deps),
        env: Arc::clone(&parent.env),
        checkpointer: parent.checkpointer.clone(),
        place,
        ns,
        ns_text,
        run_id: Arc::clone(&parent.run_id),
        unsaved: CheckpointId(task.id().0),
        sink: parent.sink.for_child(),
        cancel: task.0.cancel.clone(),
        slots: parent.slots.clone(),
        limits: Limits {
            before: Breakpoints::None,
            after: Breakpoints::None,
            ..parent.limits.clone()
        },
        answers: Mutex::new(parent.answers()),
        parents,
        metadata: parent.metadata.clone(),
        warnings: Arc::clone(&parent.warnings),
    });
    let request = if stored {
        // The task was started before: its graph goes on where it stopped.
        Request::Continue
    } else {
        Request::Input(StartInput { update: input, ..StartInput::default() })
    };
    // Boxed: a graph may be mounted in itself through any number of levels.
    let run: BoxFuture<'_, _> = Box::pin(drive(shared, request, None));
    run.await
}

enum Begun {
    /// There is work.
    Ready,
    /// The thread is finished and nothing was asked for.
    Idle,
}

pub(crate) struct Driver {
    pub(crate) shared: Arc<RunShared>,
    pub(crate) live: Live,
    /// What is stored of the tasks of the current checkpoint.
    pub(crate) records: BTreeMap<TaskId, TaskRecord>,
    /// Version at the last breakpoint that was passed.
    passed: u64,
    steps: u32,
    /// Whether the next checkpoint may leave the thread's head behind.
    pub(crate) branching: bool,
    /// A checkpoint on its way to storage.
    saving: Option<BoxFuture<'static, Result<(), checkpointer::Error>>>,
    /// With [`Durability::Exit`]: what the run changed and did not save.
    unsaved: Option<Unsaved>,
    /// The last superstep had a router that returned an empty list.
    empty_fan_out: Vec<NodeId>,
    /// Channels that commands changed since the last checkpoint, which stores them whole.
    between: Vec<usize>,
    /// The stored record of the commands given at this checkpoint.
    command: Option<TaskRecord>,
}

/// Changes that wait for the end of the run.
struct Unsaved {
    origin: Option<CheckpointId>,
    channels: Vec<bool>,
    source: Source,
}

/// A task of the current superstep.
struct Slot {
    planned: Planned,
    record: TaskRecord,
    /// The record holds something that storage does not have.
    unsaved: bool,
    state: SlotState,
}

enum SlotState {
    Waiting,
    Done(Effect),
    Suspended,
    Failed {
        inner: Option<Box<Error>>,
        /// Tasks that were still running: tells the first failure in time.
        left: usize,
    },
    Cancelled,
}

/// How one execution of a task ended.
enum TaskEnd {
    Done { effect: Effect, answered: Vec<Interrupt> },
    Suspended { open: Vec<Interrupt>, answered: Vec<Interrupt> },
    Failed { failure: Failure, inner: Option<Box<Error>>, answered: Vec<Interrupt> },
    Cancelled,
}

impl Driver {
    pub(crate) fn new(shared: Arc<RunShared>) -> Self {
        let live = Live::new(&shared.core);
        Self {
            shared,
            live,
            records: BTreeMap::new(),
            passed: 0,
            steps: 0,
            branching: false,
            saving: None,
            unsaved: None,
            empty_fan_out: Vec::new(),
            between: Vec::new(),
            command: None,
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.shared.core
    }

    pub(crate) fn base(&self) -> CheckpointId {
        self.live.id.unwrap_or(self.shared.unsaved)
    }

    pub(crate) fn storage(&self) -> Option<(Arc<dyn Checkpointer>, Place)> {
        Some((self.shared.checkpointer.clone()?, self.shared.place.clone()?))
    }

    fn finished(&self, status: Status, interrupts: Vec<Interrupt>) -> Finished {
        Finished {
            status,
            values: Arc::clone(&self.live.values),
            interrupts,
            checkpoint: self.live.id,
        }
    }

    // ---- beginning ----

    async fn begin(&mut self, request: Request, at: Option<CheckpointId>) -> Result<Begun, Error> {
        let loaded = match self.storage() {
            Some((checkpointer, place)) => {
                let loaded = checkpointer.load(&place, at).await?;
                match (at, &loaded) {
                    (Some(checkpoint), None) => {
                        return Err(Error::UnknownCheckpoint { thread: place.thread, checkpoint });
                    }
                    _ => loaded,
                }
            }
            None => None,
        };
        let Some(loaded) = loaded else { return self.begin_new(request).await };
        self.live = Live::restore(self.core(), &loaded)?;
        self.branching = at.is_some();
        match request {
            Request::Input(start) => {
                let again = loaded.checkpoint.run_id.as_deref() == Some(&*self.shared.run_id);
                if again && self.shared.ns.is_empty() && at.is_none() {
                    // The same call sent twice: its input was taken the first time.
                    self.adopt(loaded.tasks)?;
                    return self.resume().await;
                }
                if at.is_none() {
                    // What a command wrote was accepted: it is part of the state that the new
                    // input finds.
                    let commands = loaded.tasks.into_iter().filter(|task| task.id == TaskId::NULL);
                    self.adopt(commands.collect())?;
                }
                self.take_input(start).await?;
                Ok(Begun::Ready)
            }
            Request::Continue => {
                let fresh_fork = matches!(loaded.checkpoint.source, Source::Fork | Source::Update)
                    && loaded.tasks.is_empty();
                if at.is_some() && !fresh_fork {
                    if self.live.ready.is_idle() {
                        return Ok(Begun::Idle);
                    }
                    self.fork().await?;
                } else {
                    self.adopt(loaded.tasks)?;
                    self.give(&self.shared.answers()).await?;
                }
                self.resume().await
            }
            Request::Command { resume, start } => self.command(loaded, resume, start, at).await,
        }
    }

    async fn begin_new(&mut self, request: Request) -> Result<Begun, Error> {
        let start = match request {
            Request::Input(start) => start,
            Request::Command { resume: None, start } if !start.is_empty() => start,
            Request::Command { resume: Some(_), .. } if self.shared.checkpointer.is_none() => {
                return Err(Error::NoCheckpointer);
            }
            Request::Command { resume: Some(_), .. } => return Err(Error::NothingToResume),
            Request::Continue | Request::Command { .. } => return Err(Error::EmptyInput),
        };
        self.take_input(start).await?;
        Ok(Begun::Ready)
    }

    /// Accepts an input: unfinished tasks and half-filled joins of the turn before are discarded.
    pub(crate) async fn take_input(&mut self, start: StartInput) -> Result<(), Error> {
        let mut ready = Ready::new(self.core());
        ready.input = Some(Arc::new(start));
        self.live.ready = ready;
        self.live.version += 1;
        self.live.step += 1;
        self.live.updated.clear();
        self.save(Source::Input, &[], &Written::default(), Vec::new()).await
    }

    /// Starts a branch at the loaded checkpoint: same state, new ids, no stored results.
    pub(crate) async fn fork(&mut self) -> Result<(), Error> {
        self.records.clear();
        self.live.step += 1;
        self.live.updated.clear();
        self.save(Source::Fork, &[], &Written::default(), Vec::new()).await
    }

    /// Takes over stored task records; a command's writes are applied again.
    pub(crate) fn adopt(&mut self, records: Vec<TaskRecord>) -> Result<(), Error> {
        for record in records {
            if record.id == TaskId::NULL {
                if let Some(commit) = &record.commit {
                    let effect = Effect::decode(self.core(), self.base(), commit)?;
                    self.apply_command(effect)?;
                }
                self.command = Some(record);
            } else {
                self.records.insert(record.id, record);
            }
        }
        Ok(())
    }

    async fn resume(&mut self) -> Result<Begun, Error> {
        if self.live.ready.is_idle() {
            return Ok(Begun::Idle);
        }
        self.passed = self.live.version;
        self.emit_values(&[]).await?;
        Ok(Begun::Ready)
    }

    async fn command(
        &mut self,
        loaded: Loaded,
        resume: Option<Resume>,
        start: StartInput,
        at: Option<CheckpointId>,
    ) -> Result<Begun, Error> {
        if resume.is_none() && start.is_empty() {
            return Err(Error::EmptyInput);
        }
        let finished = self.live.ready.is_idle();
        self.adopt(loaded.tasks)?;
        if let Some(resume) = resume {
            let open: Vec<Interrupt> =
                self.records.values().flat_map(TaskRecord::open_interrupts).cloned().collect();
            if at.is_some() && open.is_empty() {
                self.answer_again(resume).await?;
            } else {
                self.answer(resume, open).await?;
            }
        }
        if !start.is_empty() {
            self.write_between(start, finished).await?;
        }
        self.resume().await
    }

    /// Gives answers to the tasks that asked.
    async fn answer(&mut self, resume: Resume, open: Vec<Interrupt>) -> Result<(), Error> {
        let open = distinct(open);
        let answered: Vec<InterruptId> =
            self.records.values().flat_map(|record| record.answers.keys().copied()).collect();
        let answers = resume.settle(&open, &answered)?;
        self.give(&answers).await?;
        *self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(answers);
        Ok(())
    }

    /// Puts answers beside the questions of the loaded tasks, durably.
    async fn give(&mut self, answers: &BTreeMap<InterruptId, Json>) -> Result<(), Error> {
        let storage = self.storage();
        for record in self.records.values_mut() {
            let before = record.answers.len();
            for interrupt in &record.interrupts {
                if let Some(answer) = answers.get(&interrupt.id) {
                    record.answers.entry(interrupt.id).or_insert_with(|| answer.clone());
                }
            }
            if record.answers.len() > before
                && let (Some((checkpointer, place)), Some(id)) = (&storage, self.live.id)
            {
                checkpointer.put_task(place, id, record.clone()).await?;
            }
        }
        Ok(())
    }

    /// Answers a question of an older checkpoint that was answered before: a branch in which the
    /// new answer stands. Other answers of the same task are taken over.
    async fn answer_again(&mut self, resume: Resume) -> Result<(), Error> {
        let old: Vec<TaskRecord> = self.records.values().cloned().collect();
        let asked: Vec<Interrupt> =
            distinct(old.iter().flat_map(|record| record.interrupts.clone()).collect());
        let answers = resume.settle(&asked, &[])?;
        self.fork().await?;
        let core = Arc::clone(self.core());
        for planned in superstep::plan(&core, &self.live) {
            let path = planned.path(&core);
            let Some(old) = old.iter().find(|record| record.path == path) else { continue };
            if !old.interrupts.iter().any(|interrupt| answers.contains_key(&interrupt.id)) {
                continue;
            }
            let task = self.context(&planned, BTreeMap::new());
            let ns = task.namespace().join("|");
            let mut record = TaskRecord::new(task.id(), &old.node, path);
            let mut ordinal = 0;
            for interrupt in &old.interrupts {
                let id = InterruptId::of(&ns, interrupt.key.as_deref(), ordinal);
                ordinal += usize::from(interrupt.key.is_none());
                let answer = answers.get(&interrupt.id).or_else(|| old.answers.get(&interrupt.id));
                if let Some(answer) = answer {
                    record.answers.insert(id, answer.clone());
                }
                record.interrupts.push(Interrupt { id, ..interrupt.clone() });
            }
            if let (Some((checkpointer, place)), Some(id)) = (self.storage(), self.live.id) {
                self.settle().await?;
                checkpointer.put_task(&place, id, record.clone()).await?;
            }
            self.records.insert(record.id, record);
        }
        Ok(())
    }

    /// Applies a command's update and gotos to the state between two supersteps.
    async fn write_between(&mut self, start: StartInput, finished: bool) -> Result<(), Error> {
        let core = Arc::clone(self.core());
        let mut effect = start.into_effect();
        effect
            .encode(&core)
            .map_err(|error| Error::InvalidInput(Failure::unserializable(&error)))?;
        if finished {
            // Nothing is pending, so the update gets a checkpoint of its own.
            self.apply_command(effect)?;
            self.live.step += 1;
            return self.save(Source::Update, &[], &Written::default(), Vec::new()).await;
        }
        let mut record = self
            .command
            .take()
            .unwrap_or_else(|| TaskRecord::new(TaskId::NULL, "", TaskPath::Pull(String::new())));
        if let Some(new) = effect.commit.clone() {
            // One record holds all commands given at this checkpoint, in order.
            let all = record.commit.get_or_insert_default();
            all.updates.extend(new.updates);
            all.nodes.extend(new.nodes);
            all.sends.extend(new.sends);
        }
        self.apply_command(effect)?;
        self.store_record(&record).await?;
        self.command = Some(record);
        Ok(())
    }

    /// Applies a command's writes; the next checkpoint stores what they changed.
    fn apply_command(&mut self, effect: Effect) -> Result<(), Error> {
        let core = Arc::clone(self.core());
        let planned = Planned::stand_in(START_ID);
        let changes = superstep::apply_between(&core, &mut self.live, &mut [(&planned, effect)])
            .map_err(|conflict| Error::InvalidInput(conflict.failure))?;
        self.between.extend(changes.iter().map(|change| change.channel));
        Ok(())
    }

    /// Nothing to run: tells the state that is there.
    async fn idle(&mut self) -> Result<Finished, Error> {
        if self.shared.ns.is_empty() {
            self.emit_values(&[]).await?;
        }
        Ok(self.finished(Status::Done, Vec::new()))
    }

    // ---- the loop ----

    async fn run(&mut self) -> Result<Finished, Error> {
        let core = Arc::clone(self.core());
        loop {
            let planned = superstep::plan(&core, &self.live);
            if planned.is_empty() {
                self.warn_of_open_ends();
                self.save_exit().await?;
                return Ok(self.finished(Status::Done, Vec::new()));
            }
            let starting = matches!(planned[0].cause, Cause::Start);
            if !starting && self.steps >= self.shared.limits.recursion {
                self.save_exit().await?;
                return Err(Error::RecursionLimit { limit: self.shared.limits.recursion });
            }
            // Nodes that never wait would otherwise keep their thread for the whole run, and
            // could not be cancelled.
            tokio::task::consume_budget().await;
            if self.shared.cancel.is_cancelled() {
                self.save_exit().await?;
                return Ok(self.finished(Status::Cancelled, Vec::new()));
            }
            let mut slots = self.slots(planned)?;
            let waiting = slots.iter().filter(|slot| matches!(slot.state, SlotState::Waiting));
            if self.live.version > self.passed
                && self.shared.limits.before.matches(&core, waiting.map(|slot| slot.planned.node))
            {
                return self.stop_at_breakpoint().await;
            }
            self.execute(&mut slots).await?;
            self.steps += u32::from(!starting);
            if let Some(finished) = self.conclude(slots).await? {
                return Ok(finished);
            }
            if self.shared.limits.after.matches(&core, self.live.ran.iter().copied()) {
                return self.stop_at_breakpoint().await;
            }
        }
    }

    /// Matches planned tasks with what is stored of them.
    fn slots(&mut self, planned: Vec<Planned>) -> Result<Vec<Slot>, Error> {
        let core = Arc::clone(self.core());
        let base = self.base();
        let given = self.shared.answers();
        planned
            .into_iter()
            .map(|planned| {
                let mut slot = Slot {
                    record: TaskRecord::new(TaskId::NULL, "", planned.path(&core)),
                    planned,
                    unsaved: false,
                    state: SlotState::Waiting,
                };
                if self.records.is_empty() {
                    return Ok(slot);
                }
                let id = self.task_id(&slot.planned);
                if let Some(record) = self.records.remove(&id) {
                    if let Some(commit) = &record.commit {
                        slot.state = SlotState::Done(Effect::decode(&core, base, commit)?);
                    } else {
                        // A task whose questions are all open goes on waiting. One that just got
                        // an answer runs, even if it has more to ask.
                        let answered = record.interrupts.iter().any(|i| given.contains_key(&i.id));
                        if !answered && record.open_interrupts().next().is_some() {
                            slot.state = SlotState::Suspended;
                        }
                    }
                    slot.record = record;
                }
                Ok(slot)
            })
            .collect()
    }

    pub(crate) fn task_id(&self, planned: &Planned) -> TaskId {
        let shared = &self.shared;
        planned.cause.task_id(
            &shared.core,
            planned.node,
            self.base(),
            &shared.ns_text,
            self.live.step + 1,
        )
    }

    fn context(&self, planned: &Planned, answers: BTreeMap<InterruptId, Json>) -> TaskContext {
        TaskContext(Arc::new(TaskShared {
            run: Arc::clone(&self.shared),
            node: planned.node,
            cause: planned.cause.clone(),
            step: self.live.step + 1,
            remaining_steps: self.shared.limits.recursion.saturating_sub(self.steps),
            base: self.base(),
            id: OnceLock::new(),
            cancel: self.shared.cancel.clone(),
            answers,
            asked: Mutex::new(Asked::default()),
        }))
    }

    /// Runs all waiting tasks and notes how each ended, in order of ending.
    async fn execute(&mut self, slots: &mut [Slot]) -> Result<(), Error> {
        let waiting: Vec<usize> = slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| matches!(slot.state, SlotState::Waiting))
            .map(|(position, _)| position)
            .collect();
        let left = waiting.len();
        let mut running = Running::new(left > 1);
        for position in waiting {
            let slot = &slots[position];
            let task = self.context(&slot.planned, slot.record.answers.clone());
            let input = slot.planned.input(&self.live);
            let start = self.live.ready.input.clone().filter(|_| slot.planned.node == START_ID);
            running.add(position, run_task(task, input, start, self.storage().is_some()));
        }
        let ended = self.watch(slots, &mut running, left).await;
        if running.is_busy() {
            running.stop(self.sleep(CANCEL_GRACE)).await;
        }
        ended
    }

    /// Notes how tasks end until `left` of them have, or until their time is up.
    async fn watch(
        &mut self,
        slots: &mut [Slot],
        running: &mut Running,
        mut left: usize,
    ) -> Result<(), Error> {
        let mut failed = false;
        let mut grace: Option<BoxFuture<'static, ()>> = None;
        while left > 0 {
            let ended = tokio::select! {
                biased;
                ended = running.next() => Some(ended),
                () = self.shared.cancel.cancelled(), if grace.is_none() || failed => {
                    failed = false;
                    grace = Some(self.sleep(CANCEL_GRACE));
                    continue;
                }
                () = poll_grace(&mut grace), if grace.is_some() => None,
            };
            let Some((position, end)) = ended else {
                // Time is up: what still runs is dropped and runs again on resume.
                for slot in slots.iter_mut() {
                    if matches!(slot.state, SlotState::Waiting) {
                        slot.state = SlotState::Cancelled;
                    }
                }
                break;
            };
            left -= 1;
            self.note(&mut slots[position], end, left).await?;
            if matches!(slots[position].state, SlotState::Failed { .. }) && grace.is_none() {
                failed = true;
                grace = Some(self.sleep(SIBLING_GRACE));
            }
        }
        Ok(())
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let env = Arc::clone(&self.shared.env);
        Box::pin(async move { env.sleep(time).await })
    }

    /// Streams and stores how a task ended. The last task of a step is stored with the step.
    async fn note(&mut self, slot: &mut Slot, end: TaskEnd, left: usize) -> Result<(), Error> {
        let core = Arc::clone(self.core());
        if slot.record.node.is_empty() && self.storage().is_some() {
            slot.record = TaskRecord::new(
                self.task_id(&slot.planned),
                &core.node(slot.planned.node).name,
                slot.planned.path(&core),
            );
        }
        slot.unsaved = true;
        let mut store = left > 0;
        match end {
            TaskEnd::Done { effect, answered } => {
                self.warn_of_stale_answers(slot, &answered);
                slot.record.interrupts = answered;
                slot.record.commit.clone_from(&effect.commit);
                slot.record.error = None;
                slot.state = SlotState::Done(effect);
            }
            TaskEnd::Suspended { open, answered } => {
                slot.record.interrupts = answered.into_iter().chain(open).collect();
                slot.record.error = None;
                slot.state = SlotState::Suspended;
                store = true;
            }
            TaskEnd::Failed { failure, inner, answered } => {
                if !answered.is_empty() {
                    slot.record.interrupts = answered;
                }
                slot.record.error = Some(failure);
                slot.state = SlotState::Failed { inner, left };
                store = true;
            }
            TaskEnd::Cancelled => {
                slot.state = SlotState::Cancelled;
                slot.unsaved = false;
                store = false;
            }
        }
        // With a checkpoint per run there is nothing to keep task results beside until its end.
        if store && self.unsaved.is_none() {
            self.store_record(&slot.record).await?;
            slot.unsaved = false;
        }
        // Told after it is stored, so that a finished sibling a client has seen is not run again
        // after a crash. The task that completes a superstep is stored with the superstep.
        match &slot.state {
            SlotState::Done(effect) => self.emit_update(&slot.planned, effect).await,
            SlotState::Suspended => {
                let open: Vec<Interrupt> = slot.record.open_interrupts().cloned().collect();
                self.emit(Mode::Updates, || interrupt_update(&open)).await;
            }
            _ => {}
        }
        Ok(())
    }

    async fn store_record(&mut self, record: &TaskRecord) -> Result<(), Error> {
        if let (Some((checkpointer, place)), Some(id)) = (self.storage(), self.live.id) {
            // The checkpoint that the record stands beside must not come after it.
            self.settle().await?;
            checkpointer.put_task(&place, id, record.clone()).await?;
        }
        Ok(())
    }

    /// Applies a complete superstep, or says how the run ends with an incomplete one.
    async fn conclude(&mut self, mut slots: Vec<Slot>) -> Result<Option<Finished>, Error> {
        let complete = slots.iter().all(|slot| matches!(slot.state, SlotState::Done(_)));
        if complete {
            return self.barrier(slots).await.map(|()| None);
        }
        // Most tasks were stored as they ended, but not the last one, and with a checkpoint per
        // run none of them.
        self.save_exit().await?;
        for slot in &slots {
            if slot.unsaved {
                self.store_record(&slot.record).await?;
            }
        }
        let first = slots.iter().enumerate().filter_map(|(position, slot)| match slot.state {
            SlotState::Failed { left, .. } => Some((left, position)),
            _ => None,
        });
        if let Some((_, first)) = first.max_by_key(|(left, _)| *left) {
            let slot = slots.swap_remove(first);
            let inner = match slot.state {
                SlotState::Failed { inner, .. } => inner,
                _ => None,
            };
            return Err(Error::Task(TaskFailure {
                node: self.core().node(slot.planned.node).name.to_string(),
                task_id: self.task_id(&slot.planned).to_string(),
                failure: slot
                    .record
                    .error
                    .unwrap_or_else(|| Failure::new(FailureKind::Node, "failed without a message")),
                inner,
            }));
        }
        if slots.iter().any(|slot| matches!(slot.state, SlotState::Cancelled)) {
            return Ok(Some(self.finished(Status::Cancelled, Vec::new())));
        }
        let interrupts = distinct(
            slots.iter().flat_map(|slot| slot.record.open_interrupts().cloned()).collect(),
        );
        self.emit_values(&interrupts).await?;
        Ok(Some(self.finished(Status::Interrupted, interrupts)))
    }

    /// Applies all results at once and saves the checkpoint.
    async fn barrier(&mut self, slots: Vec<Slot>) -> Result<(), Error> {
        let core = Arc::clone(self.core());
        let storing = self.storage().is_some();
        let mut records = Vec::with_capacity(if storing { slots.len() } else { 0 });
        let mut planned = Vec::with_capacity(slots.len());
        let mut effects = Vec::with_capacity(slots.len());
        for slot in slots {
            if storing {
                records.push(slot.record);
            }
            planned.push(slot.planned);
            if let SlotState::Done(effect) = slot.state {
                effects.push(effect);
            }
        }
        self.empty_fan_out.clear();
        for (planned, effect) in planned.iter().zip(&effects) {
            if effect.leads.empty_fan_out {
                self.empty_fan_out.push(planned.node);
            }
        }
        let mut done: Vec<(&Planned, Effect)> = planned.iter().zip(effects).collect();
        let changes = match superstep::apply(&core, &mut self.live, &mut done) {
            Ok(changes) => changes,
            Err(conflict) => return Err(self.refuse(conflict, &planned, records).await?),
        };
        let written = Written(done.into_iter().map(|(_, effect)| effect.commit).collect());
        self.records.clear();
        if matches!(planned[..], [Planned { cause: Cause::Start, .. }]) {
            // The hidden START task is no task that anybody resumes or looks at.
            records.clear();
        }
        self.save(Source::Loop, &changes, &written, records).await?;
        if !changes.is_empty() || matches!(planned.first().map(|p| &p.cause), Some(Cause::Start)) {
            self.emit_values(&[]).await?;
        }
        Ok(())
    }

    /// Marks the tasks of a conflict as failed and withdraws their results; siblings stay done.
    async fn refuse(
        &mut self,
        conflict: superstep::Conflict,
        planned: &[Planned],
        records: Vec<TaskRecord>,
    ) -> Result<Error, Error> {
        let core = Arc::clone(self.core());
        if !conflict.values_lost {
            self.save_exit().await?;
        }
        for (position, mut record) in records.into_iter().enumerate() {
            if conflict.tasks.contains(&position) {
                record.commit = None;
                record.error = Some(conflict.failure.clone());
            }
            self.store_record(&record).await?;
        }
        let first = &planned[conflict.tasks.first().copied().unwrap_or_default()];
        Ok(Error::Task(TaskFailure {
            node: core.node(first.node).name.to_string(),
            task_id: self.task_id(first).to_string(),
            failure: conflict.failure,
            inner: None,
        }))
    }

    async fn stop_at_breakpoint(&mut self) -> Result<Finished, Error> {
        self.save_exit().await?;
        self.emit(Mode::Updates, || interrupt_update(&[])).await;
        Ok(self.finished(Status::Interrupted, Vec::new()))
    }

    fn warn_of_open_ends(&self) {
        let core = self.core();
        for node in &self.empty_fan_out {
            self.shared.warn(Warning::EmptyFanOut { node: core.node(*node).name.to_string() });
        }
        for (join, arrived) in core.joins.iter().zip(&self.live.ready.joins) {
            if !arrived.is_empty() && arrived.len() < join.sources.len() {
                let missing = join.sources.iter().filter(|source| !arrived.contains(source));
                self.shared.warn(Warning::PartialJoin {
                    target: core.node(join.target).name.to_string(),
                    missing: missing.map(|id| core.node(*id).name.to_string()).collect(),
                });
            }
        }
    }

    fn warn_of_stale_answers(&self, slot: &Slot, answered: &[Interrupt]) {
        for id in slot.record.answers.keys() {
            let leaf = self.core().node(slot.planned.node).run.as_ref();
            if leaf.is_some_and(|run| run.mounted().is_none())
                && !answered.iter().any(|interrupt| interrupt.id == *id)
            {
                self.shared.warn(Warning::StaleAnswer {
                    node: self.core().node(slot.planned.node).name.to_string(),
                    id: *id,
                });
            }
        }
    }

    // ---- saving ----

    fn exits_only(&self) -> bool {
        self.shared.limits.durability == Durability::Exit
    }

    /// Makes the state a checkpoint. `written` holds the stored form of the writes that `changes`
    /// refer to; `records` are the parent's tasks.
    pub(crate) async fn save(
        &mut self,
        source: Source,
        changes: &[Change],
        written: &Written,
        records: Vec<TaskRecord>,
    ) -> Result<(), Error> {
        let Some((checkpointer, place)) = self.storage() else { return Ok(()) };
        self.command = None;
        let between = std::mem::take(&mut self.between);
        if self.exits_only() {
            let channels = self.core().schema.channels().len();
            let unsaved = self.unsaved.get_or_insert_with(|| Unsaved {
                origin: self.live.id,
                channels: vec![false; channels],
                source,
            });
            unsaved.source = source;
            for channel in changes.iter().map(|change| change.channel).chain(between) {
                unsaved.channels[channel] = true;
            }
            // Task ids need a checkpoint of their own even while it is not saved.
            self.live.id = Some(CheckpointId(self.shared.env.new_id()));
            return Ok(());
        }
        let id = CheckpointId(self.shared.env.new_id());
        let parent = self.live.id.replace(id);
        self.live.parent = parent;
        let mut blobs = Vec::with_capacity(changes.len() + between.len());
        for change in changes.iter().filter(|change| !between.contains(&change.channel)) {
            self.blob(id, change, written, &mut blobs)?;
        }
        for (position, channel) in between.iter().enumerate() {
            if !between[..position].contains(channel) {
                self.full_blob(id, *channel, None, &mut blobs)?;
            }
        }
        let commit = self.commit(place, id, source, parent, blobs, records)?;
        self.put(checkpointer, commit).await
    }

    fn commit(
        &mut self,
        place: Place,
        id: CheckpointId,
        source: Source,
        head: Option<CheckpointId>,
        blobs: Vec<(String, Blob)>,
        tasks: Vec<TaskRecord>,
    ) -> Result<Commit, Error> {
        let facts = Facts {
            at_ms: self.shared.env.now_ms(),
            run_id: Some(&self.shared.run_id),
            parents: &self.shared.parents,
            metadata: &self.shared.metadata,
        };
        let checkpoint = self
            .live
            .checkpoint(&self.shared.core, id, source, &facts)
            .map_err(Error::Unserializable)?;
        let expected_head =
            if std::mem::take(&mut self.branching) { Head::Any } else { Head::Is(head) };
        Ok(Commit { place, checkpoint, blobs, tasks, expected_head })
    }

    /// Hands a checkpoint to storage after the one before it has arrived there.
    async fn put(
        &mut self,
        checkpointer: Arc<dyn Checkpointer>,
        commit: Commit,
    ) -> Result<(), Error> {
        self.settle().await?;
        let mut saving: BoxFuture<'static, _> =
            Box::pin(async move { checkpointer.put(commit).await });
        match self.shared.limits.durability {
            Durability::Async => match futures::poll!(&mut saving) {
                std::task::Poll::Ready(saved) => saved?,
                std::task::Poll::Pending => self.saving = Some(saving),
            },
            Durability::Sync | Durability::Exit => saving.await?,
        }
        Ok(())
    }

    /// Waits for the checkpoint on its way.
    pub(crate) async fn settle(&mut self) -> Result<(), Error> {
        match self.saving.take() {
            Some(saving) => Ok(saving.await?),
            None => Ok(()),
        }
    }

    /// With [`Durability::Exit`]: saves what the run changed, as one checkpoint.
    async fn save_exit(&mut self) -> Result<(), Error> {
        let Some(unsaved) = self.unsaved.take() else { return Ok(()) };
        let Some((checkpointer, place)) = self.storage() else { return Ok(()) };
        let id = self.base();
        self.live.parent = unsaved.origin;
        let mut blobs = Vec::new();
        for (channel, changed) in unsaved.channels.iter().enumerate() {
            if *changed {
                self.full_blob(id, channel, None, &mut blobs)?;
            }
        }
        let commit = self.commit(place, id, unsaved.source, unsaved.origin, blobs, Vec::new())?;
        self.put(checkpointer, commit).await
    }

    /// The stored form of a changed channel, and where it is from now on.
    fn blob(
        &mut self,
        id: CheckpointId,
        change: &Change,
        written: &Written,
        blobs: &mut Vec<(String, Blob)>,
    ) -> Result<(), Error> {
        let depth = self.live.entries[change.channel].map_or(0, |entry| entry.depth)
            + change.folded.len() as u32;
        if change.folded.is_empty() || depth > SNAPSHOT_EVERY {
            let reuse = change.replaced_by.and_then(|place| written.bytes(place));
            return self.full_blob(id, change.channel, reuse, blobs);
        }
        let updates: Option<Vec<StoredUpdate>> = change
            .folded
            .iter()
            .map(|place| written.bytes(*place).map(|bytes| StoredUpdate(bytes.to_vec())))
            .collect();
        let Some(updates) = updates else {
            return self.full_blob(id, change.channel, None, blobs);
        };
        let base = self.live.entries[change.channel].map(|entry| entry.at);
        let key = self.core().schema.key(change.channel).to_string();
        blobs.push((key, Blob::Delta { base, updates }));
        self.live.entries[change.channel] =
            Some(Entry { version: self.live.version, at: id, depth });
        Ok(())
    }

    fn full_blob(
        &mut self,
        id: CheckpointId,
        channel: usize,
        reuse: Option<&[u8]>,
        blobs: &mut Vec<(String, Blob)>,
    ) -> Result<(), Error> {
        let core = Arc::clone(self.core());
        let rule = &core.schema.channels()[channel].rule;
        let entry = match self.live.values.get(channel) {
            Some(value) if rule.stored() => {
                let bytes = match reuse {
                    Some(bytes) => bytes.to_vec(),
                    None => {
                        encode_value(&core.schema, channel, value).map_err(Error::Unserializable)?
                    }
                };
                blobs.push((core.schema.key(channel).to_string(), Blob::Full(bytes)));
                Some(Entry { version: self.live.version, at: id, depth: 0 })
            }
            _ => None,
        };
        self.live.entries[channel] = entry;
        Ok(())
    }

    // ---- streaming ----

    async fn emit(&mut self, mode: Mode, data: impl FnOnce() -> Json) {
        if self.shared.sink.wants(mode) {
            let body = Body::Json(data());
            let event = Event::new(mode, &self.shared.ns, self.live.step + 1, None, body);
            self.shared.sink.send(event).await;
        }
    }

    async fn emit_update(&mut self, planned: &Planned, effect: &Effect) {
        if planned.node == START_ID || !self.shared.sink.wants(Mode::Updates) {
            return;
        }
        let core = self.core();
        let body =
            Body::Updates { schema: Arc::clone(&core.schema), updates: effect.updates.clone() };
        let node = Some(&core.node(planned.node).name);
        let step = self.live.step + 1;
        self.shared.sink.send(Event::new(Mode::Updates, &self.shared.ns, step, node, body)).await;
    }

    async fn emit_values(&mut self, interrupts: &[Interrupt]) -> Result<(), Error> {
        if !self.shared.sink.wants(Mode::Values) {
            return Ok(());
        }
        let mut state =
            self.core().schema.to_json(&self.live.values, false).map_err(Error::Unserializable)?;
        if let (Some(state), false) = (state.as_object_mut(), interrupts.is_empty()) {
            let shown = interrupts.iter().map(Interrupt::to_json).collect();
            state.insert(INTERRUPT.to_owned(), Json::Array(shown));
        }
        let body = Body::Json(state);
        let event = Event::new(Mode::Values, &self.shared.ns, self.live.step, None, body);
        self.shared.sink.send(event).await;
        Ok(())
    }
}

/// The stored form of the writes of one superstep, by task.
#[derive(Default)]
pub(crate) struct Written(pub(crate) Vec<Option<TaskCommit>>);

impl Written {
    fn bytes(&self, (task, update, write): superstep::Place) -> Option<&[u8]> {
        let commit = self.0.get(task)?.as_ref()?;
        Some(&commit.updates.get(update)?.get(write)?.value)
    }
}

impl StartInput {
    fn is_empty(&self) -> bool {
        self.update.is_empty() && self.leads.nodes.is_empty() && self.leads.sends.is_empty()
    }

    fn into_effect(self) -> Effect {
        let updates = if self.update.is_empty() { Vec::new() } else { vec![self.update] };
        Effect { updates, leads: self.leads, ..Effect::default() }
    }
}

fn distinct(interrupts: Vec<Interrupt>) -> Vec<Interrupt> {
    let mut seen = Vec::with_capacity(interrupts.len());
    interrupts
        .into_iter()
        .filter(|interrupt| {
            let new = !seen.contains(&interrupt.id);
            seen.push(interrupt.id);
            new
        })
        .collect()
}

async fn poll_grace(grace: &mut Option<BoxFuture<'static, ()>>) {
    match grace {
        Some(grace) => grace.await,
        None => std::future::pending().await,
    }
}

/// The tasks that are running. A single one runs in place; several run side by side on the
/// runtime's threads. Dropping it ends them.
enum Running {
    One(Option<(usize, BoxFuture<'static, TaskEnd>)>),
    Many(JoinSet<(usize, TaskEnd)>),
}

impl Running {
    fn new(many: bool) -> Self {
        if many { Self::Many(JoinSet::new()) } else { Self::One(None) }
    }

    fn add(&mut self, position: usize, task: impl Future<Output = TaskEnd> + Send + 'static) {
        match self {
            Self::One(slot) => *slot = Some((position, Box::pin(caught(task)))),
            Self::Many(set) => {
                set.spawn(async move { (position, caught(task).await) });
            }
        }
    }

    fn is_busy(&self) -> bool {
        match self {
            Self::One(task) => task.is_some(),
            Self::Many(set) => !set.is_empty(),
        }
    }

    /// Drops what is still running, and waits until it is gone: nothing of this run may write once
    /// the run has ended. Only code that blocks its thread is not waited for beyond `patience`.
    async fn stop(self, patience: BoxFuture<'static, ()>) {
        if let Self::Many(mut set) = self {
            set.abort_all();
            let gone = async { while set.join_next().await.is_some() {} };
            tokio::select! {
                biased;
                () = gone => {}
                () = patience => {}
            }
        }
    }

    /// The next task that ends. Never returns when none is left.
    async fn next(&mut self) -> (usize, TaskEnd) {
        match self {
            Self::One(slot) => {
                let Some((position, task)) = slot else { return std::future::pending().await };
                let ended = (*position, task.await);
                *slot = None;
                ended
            }
            Self::Many(set) => loop {
                match set.join_next().await {
                    Some(Ok(ended)) => return ended,
                    // Panics are caught inside; an aborted task has nobody waiting for it.
                    Some(Err(_)) => {}
                    None => return std::future::pending().await,
                }
            },
        }
    }
}

/// A task whose panics are failures, wherever in it user code runs: also where values are copied
/// or serialized.
async fn caught(task: impl Future<Output = TaskEnd> + Send) -> TaskEnd {
    AssertUnwindSafe(task).catch_unwind().await.unwrap_or_else(|panic| {
        let message = format!("panicked: {}", panic_message(&*panic));
        let failure = Failure::new(FailureKind::Panic, message);
        TaskEnd::Failed { failure, inner: None, answered: Vec::new() }
    })
}

/// One execution of a task: the node, then its routers, then the stored form; all or nothing.
async fn run_task(
    task: TaskContext,
    input: Input,
    start: Option<Arc<StartInput>>,
    store: bool,
) -> TaskEnd {
    let core = Arc::clone(&task.0.run.core);
    let spec = core.node(task.0.node);
    let routed = !spec.exits.routers.is_empty();
    let snapshot = match &input {
        Input::Snapshot(values) if routed => Some(Arc::clone(values)),
        _ => None,
    };
    let output: NodeResult<(Output, Leads)> = match (&spec.run, start) {
        (None, Some(start)) => {
            drop(input);
            let updates = vec![start.update.clone()];
            Ok((Output { updates, goto: Vec::new() }, start.leads.clone()))
        }
        (None, None) => Ok((Output::default(), Leads::default())),
        (Some(run), _) => {
            let slot = match (&task.0.run.slots, run.mounted()) {
                (Some(slots), None) => slots.acquire().await.ok(),
                _ => None,
            };
            let call = AssertUnwindSafe(async { run.call(input, task.clone()).await });
            let called = call.catch_unwind().await;
            drop(slot);
            match called {
                Ok(result) => result.map(|output| (output.0, Leads::default())),
                Err(panic) => {
                    let message = format!("panicked: {}", panic_message(&*panic));
                    let failure = Failure::new(FailureKind::Panic, message);
                    return TaskEnd::Failed { failure, inner: None, answered: Vec::new() };
                }
            }
        }
    };
    let (open, answered) = {
        let mut asked = task.asked();
        (std::mem::take(&mut asked.open), std::mem::take(&mut asked.answered))
    };
    // The engine's own record decides: a node that swallowed the suspension is suspended as well.
    if !open.is_empty() {
        return TaskEnd::Suspended { open, answered };
    }
    let failed = |failure| TaskEnd::Failed { failure, inner: None, answered: Vec::new() };
    match output {
        Ok((output, leads)) => {
            match effect_of(&core, task.0.node, output, leads, snapshot, store) {
                Ok(effect) => TaskEnd::Done { effect, answered },
                Err(failure) => failed(failure),
            }
        }
        Err(error) if matches!(error.0, NodeErrorKind::Cancelled) => TaskEnd::Cancelled,
        // A node that gives up because its run was cancelled has not failed: it runs again.
        Err(NodeError(NodeErrorKind::Failed { .. })) if task.0.cancel.is_cancelled() => {
            TaskEnd::Cancelled
        }
        Err(error) => {
            let (failure, inner) = error.into_failure();
            TaskEnd::Failed { failure, inner, answered }
        }
    }
}

/// Follows the node's exits and makes the result storable.
pub(crate) fn effect_of(
    core: &Arc<Core>,
    node: NodeId,
    output: Output,
    leads: Leads,
    snapshot: Option<Arc<Values>>,
    store: bool,
) -> Result<Effect, Failure> {
    let spec = core.node(node);
    let schema = &core.schema;
    for write in output.updates.iter().flat_map(|update| &update.writes) {
        let fits = schema
            .channels()
            .get(write.channel)
            .is_some_and(|channel| channel.codec.accepts(&write.value));
        if !fits {
            return Err(Failure::invalid_update("a write does not fit the graph's state"));
        }
    }
    let mut leads = leads;
    leads.nodes.extend(&spec.exits.edges);
    if !spec.exits.routers.is_empty() {
        let fresh = fresh_values(core, snapshot, &output.updates)?;
        for router in &spec.exits.routers {
            let decided = std::panic::catch_unwind(AssertUnwindSafe(|| {
                core.decide(router, &fresh, &mut leads)
            }));
            match decided {
                Ok(decided) => decided?,
                Err(panic) => {
                    let message = format!("its router panicked: {}", panic_message(&*panic));
                    return Err(Failure::new(FailureKind::Panic, message));
                }
            }
        }
    }
    for goto in output.goto {
        core.resolve(goto, &mut leads)?;
    }
    let mut effect = Effect {
        updates: output.updates,
        leads,
        joins: spec.exits.joins.iter().copied().collect(),
        commit: None,
    };
    if store {
        effect.encode(core).map_err(|error| Failure::unserializable(&error))?;
    }
    Ok(effect)
}

/// What a router sees: the superstep's snapshot with its own task's writes, nobody else's.
fn fresh_values(
    core: &Arc<Core>,
    snapshot: Option<Arc<Values>>,
    updates: &[Update],
) -> Result<Values, Failure> {
    let mut fresh = match snapshot {
        Some(snapshot) => (*snapshot).clone(),
        None => core.schema.initial_values(),
    };
    for write in updates.iter().flat_map(|update| &update.writes) {
        let slot = &mut fresh.0[write.channel];
        let value = Arc::clone(&write.value);
        *slot = Some(match &core.schema.channels()[write.channel].rule {
            crate::channel::Rule::Reduce(reducer) if !write.overwrite => {
                let current = slot.take().unwrap_or_else(|| reducer.initial());
                reducer::fold(&**reducer, current, vec![value])
                    .map_err(|error| Failure::reducer(core.schema.key(write.channel), &error))?
            }
            _ => value,
        });
    }
    Ok(fresh)
}
