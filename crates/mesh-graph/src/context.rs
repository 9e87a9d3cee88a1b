//! What a node is given besides its input.

use std::{
    any::Any,
    collections::BTreeMap,
    marker::PhantomData,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value as Json, json};
use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint::{CheckpointId, ForkedFrom, TaskId},
    config::Config,
    control::Control,
    error::{NodeError, NodeErrorKind, NodeResult},
    graph::{NodeId, prepend_tags},
    interrupt::{Interrupt, InterruptId},
    permits::Held,
    rescue::Rescue,
    run::{Instances, RunShared},
    step::Steps,
    store::Store,
    stream::{ATTEMPT, Body, Event, Facts, Mode, PLACE, PieceFrame, Task, ToolEvent},
    superstep::Cause,
    timeout::{Progress, Timeout},
};

/// A task's surroundings, as the driver makes them.
#[derive(Clone)]
pub(crate) struct TaskContext(pub(crate) Arc<TaskShared>);

pub(crate) struct TaskShared {
    pub(crate) run: Arc<RunShared>,
    pub(crate) node: NodeId,
    pub(crate) cause: Cause,
    pub(crate) step: i64,
    /// Supersteps left in this invocation, this one included.
    pub(crate) remaining_steps: u32,
    /// The checkpoint the task belongs to.
    pub(crate) base: CheckpointId,
    /// Known if somebody is sure to ask; hashed whenever it is asked for otherwise.
    pub(crate) id: Option<TaskId>,
    /// What is known of it from before; none for most.
    pub(crate) before: Option<Box<Before>>,
    /// Where the thread's per-thread graphs stand.
    pub(crate) instances: Option<Arc<Instances>>,
    /// What becomes of it while it runs; made when there is something.
    pub(crate) course: OnceLock<Box<Course>>,
    /// Durable steps; made when the task has its first one.
    pub(crate) steps: OnceLock<Steps>,
    /// Set when this is a functional task that a task called.
    pub(crate) call: Option<Box<Called>>,
    /// Counted from 1.
    pub(crate) attempt: u32,
    /// When the first attempt began; for a node without policies, when somebody first asked.
    pub(crate) first_attempt_at_ms: OnceLock<i64>,
    pub(crate) timed: Option<Box<Timed>>,
    /// Of an error handler: what it is called for.
    pub(crate) rescue: Option<Arc<Rescue>>,
}

/// What earlier executions of a task left.
#[derive(Default)]
pub(crate) struct Before {
    /// Answers stored for this task.
    pub(crate) answers: BTreeMap<InterruptId, Json>,
    /// Questions that earlier executions of the task asked, its own and those of graphs below.
    pub(crate) earlier: Vec<Interrupt>,
    pub(crate) forked_from: Option<ForkedFrom>,
}

/// What becomes of a task while it runs. Most tasks never have any of it.
#[derive(Default)]
pub(crate) struct Course {
    /// Answered questions of graphs below that it did not know of when it started.
    pub(crate) below: Mutex<Vec<(Interrupt, Json)>>,
    /// What the task holds while its node runs.
    pub(crate) held: Mutex<Held>,
    /// What the task has asked and called.
    asked: Mutex<Asked>,
    /// What stands beside its messages, with what was asked to stand there besides: the same for
    /// all pieces of a message.
    beside: Mutex<Option<Beside>>,
}

impl Before {
    /// None when there is nothing to remember.
    pub(crate) fn noted(self) -> Option<Box<Self>> {
        let empty =
            self.answers.is_empty() && self.earlier.is_empty() && self.forked_from.is_none();
        (!empty).then(|| Box::new(self))
    }
}

/// No answers were given.
static NO_ANSWERS: BTreeMap<InterruptId, Json> = BTreeMap::new();

impl TaskShared {
    /// Answers stored for this task.
    pub(crate) fn answers(&self) -> &BTreeMap<InterruptId, Json> {
        self.before.as_ref().map_or(&NO_ANSWERS, |before| &before.answers)
    }

    /// Questions that earlier executions of the task asked.
    pub(crate) fn earlier(&self) -> &[Interrupt] {
        self.before.as_ref().map_or(&[], |before| &before.earlier)
    }

    /// What becomes of it, to note something.
    pub(crate) fn course(&self) -> &Course {
        self.course.get_or_init(Box::default)
    }

    /// The surroundings of a functional task that this one starts.
    pub(crate) fn called(&self, cause: Cause, id: TaskId, steps: Steps, call: Called) -> Self {
        Self {
            run: Arc::clone(&self.run),
            node: self.node,
            cause,
            step: self.step,
            remaining_steps: self.remaining_steps,
            base: self.base,
            id: Some(id),
            before: self.before.as_ref().and_then(|before| {
                let (answers, earlier) = (before.answers.clone(), before.earlier.clone());
                Before { answers, earlier, forked_from: None }.noted()
            }),
            instances: self.instances.clone(),
            course: OnceLock::new(),
            steps: OnceLock::from(steps),
            call: Some(Box::new(call)),
            attempt: self.attempt,
            first_attempt_at_ms: OnceLock::new(),
            timed: self.timed.clone(),
            rescue: None,
        }
    }
}

/// What stands beside messages.
struct Beside {
    /// The entries that it was asked to have besides.
    asked: Map<String, Json>,
    facts: Arc<Facts>,
    /// What the last piece of a text was between.
    frame: Option<Arc<PieceFrame>>,
}

/// Who called a functional task.
pub(crate) struct Called {
    /// The task whose record keeps the result.
    pub(crate) caller: TaskContext,
    /// The functional task's own name.
    pub(crate) name: Arc<str>,
}

/// The time limit of an attempt, and its progress.
#[derive(Clone)]
pub(crate) struct Timed {
    pub(crate) timeout: Timeout,
    pub(crate) progress: Arc<Progress>,
}

/// The questions a task has put so far in this execution.
#[derive(Default)]
pub(crate) struct Asked {
    ordinal: usize,
    pub(crate) keys: Vec<String>,
    pub(crate) open: Vec<Interrupt>,
    /// A graph below stopped at a breakpoint of its own, which asks nothing.
    pub(crate) stopped: bool,
    pub(crate) answered: Vec<Interrupt>,
    /// Calls without a key so far, and the keys of the others.
    calls: usize,
    call_keys: Vec<String>,
    /// Where the per-thread graphs that the task used stand since.
    pub(crate) entered: Instances,
}

impl Asked {
    /// What tells a call from the first one without a key: its ordinal or its key.
    pub(crate) fn name_call(&mut self, key: Option<String>) -> NodeResult<Option<String>> {
        let Some(key) = key else {
            let ordinal = self.calls;
            self.calls += 1;
            return Ok((ordinal > 0).then(|| ordinal.to_string()));
        };
        if self.call_keys.contains(&key) {
            return Err(NodeError::msg(format!("the task called a graph as `{key}` before")));
        }
        let level = format!(":{key}");
        self.call_keys.push(key);
        Ok(Some(level))
    }
}

impl TaskContext {
    pub(crate) fn id(&self) -> TaskId {
        let shared = &*self.0;
        shared.id.unwrap_or_else(|| {
            let run = &shared.run;
            shared.cause.task_id(&run.core, shared.node, shared.base, &run.ns_text, shared.step)
        })
    }

    pub(crate) fn node_name(&self) -> &Arc<str> {
        match &self.0.call {
            Some(call) => &call.name,
            None => &self.0.run.core.node(self.0.node).name,
        }
    }

    /// The namespace of what runs below this task: `ns|node:task`.
    pub(crate) fn namespace(&self) -> Arc<[String]> {
        let own = format!("{}:{}", self.node_name(), self.id());
        self.0.run.ns.iter().cloned().chain([own]).collect()
    }

    pub(crate) fn asked(&self) -> std::sync::MutexGuard<'_, Asked> {
        self.0.course().asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All questions and calls of this execution so far, if there are any.
    pub(crate) fn take_asked(&self) -> Option<Asked> {
        self.0.course.get().map(|_| std::mem::take(&mut *self.asked()))
    }

    /// The node whose exits are followed.
    pub(crate) fn exits(&self) -> NodeId {
        self.0.rescue.as_ref().map_or(self.0.node, |rescue| rescue.exits)
    }

    /// Whether routers decide where the task leads.
    pub(crate) fn is_routed(&self) -> bool {
        !self.0.run.core.node(self.exits()).exits.routers.is_empty()
    }

    /// Progress of this attempt and of those it runs below.
    pub(crate) fn progress(&self) -> Option<&Arc<Progress>> {
        match &self.0.timed {
            Some(timed) => Some(&timed.progress),
            None => self.0.run.progress.as_ref(),
        }
    }

    fn note_progress(&self, heartbeat: bool) {
        if let Some(progress) = self.progress() {
            progress.note(heartbeat);
        }
    }

    /// Whether streams leave the node out.
    pub(crate) fn is_hidden(&self) -> bool {
        self.0.run.core.node(self.0.node).tags.hidden
    }

    pub(crate) fn wants(&self, mode: Mode) -> bool {
        self.0.run.sink.wants(mode) && !self.is_hidden()
    }

    /// What stands beside a message of this task: where it comes from, and what run, node and
    /// `metadata` say besides, the later ones first.
    pub(crate) fn facts(&self, metadata: &Map<String, Json>) -> Arc<Facts> {
        self.beside(metadata, |beside| Arc::clone(&beside.facts))
    }

    /// Looks at what stands beside a message with this `metadata`.
    fn beside<R>(&self, metadata: &Map<String, Json>, look: impl FnOnce(&mut Beside) -> R) -> R {
        let mut last = self.0.course().beside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(beside) = last.as_mut().filter(|beside| beside.asked == *metadata) {
            return look(beside);
        }
        let facts = Arc::new(Facts::new(self.gather_facts(metadata)));
        look(last.insert(Beside { asked: metadata.clone(), facts, frame: None }))
    }

    fn gather_facts(&self, metadata: &Map<String, Json>) -> Map<String, Json> {
        let shared = &self.0;
        let spec = shared.run.core.node(shared.node);
        let mut facts = Map::new();
        facts.extend(shared.run.metadata.iter().map(|(key, value)| (key.clone(), value.clone())));
        facts.extend(spec.metadata.clone());
        let path = match &shared.cause {
            Cause::Push(index) => json!(["__pregel_push", index]),
            _ => json!(["__pregel_pull", &**self.node_name()]),
        };
        let triggers = shared.cause.triggers(&shared.run.core, shared.node);
        facts.insert("langgraph_step".to_owned(), json!(shared.step));
        facts.insert("langgraph_node".to_owned(), json!(&**self.node_name()));
        facts.insert("langgraph_triggers".to_owned(), json!(triggers));
        facts.insert("langgraph_path".to_owned(), path);
        let ns = self.namespace().join("|");
        facts.insert(PLACE.to_owned(), json!(ns));
        facts.insert("checkpoint_ns".to_owned(), json!(ns));
        if let Some(place) = &shared.run.place {
            facts.insert("thread_id".to_owned(), json!(place.thread));
        }
        facts.insert("run_id".to_owned(), json!(&*shared.run.run_id));
        if shared.attempt > 1 {
            facts.insert(ATTEMPT.to_owned(), json!(shared.attempt));
        }
        facts.extend(metadata.clone());
        spec.tags.join(&mut facts);
        if let Some(config) = &shared.run.config {
            prepend_tags(&config.tags, &mut facts);
        }
        facts
    }

    pub(crate) async fn send(&self, mode: Mode, body: Body) {
        let shared = &self.0;
        let task =
            Task { id: self.id(), node: Arc::clone(self.node_name()), attempt: shared.attempt };
        let at_ms = shared.run.env.now_ms();
        let event =
            Box::new(Event::new(mode, &shared.run.ns, shared.step, Some(task), at_ms, body));
        match mode {
            Mode::Messages => shared.run.sink.send_message(event).await,
            _ => shared.run.sink.send(event).await,
        }
    }

    /// Notes the questions of a child graph as this task's own.
    pub(crate) fn suspend_for(&self, interrupts: Vec<Interrupt>) -> NodeError {
        let mut asked = self.asked();
        asked.stopped |= interrupts.is_empty();
        asked.open.extend(interrupts);
        drop(asked);
        NodeError(NodeErrorKind::Suspended)
    }
}

/// What a node is given besides its input: dependencies, streams, questions, and the facts of the
/// task. Cloning is cheap.
pub struct Ctx<D = ()> {
    task: TaskContext,
    deps: Arc<D>,
}

impl<D> Clone for Ctx<D> {
    fn clone(&self) -> Self {
        Self { task: self.task.clone(), deps: Arc::clone(&self.deps) }
    }
}

/// A message whose text is sent piece by piece; see [`Ctx::saying`].
pub struct Saying {
    task: TaskContext,
    /// None if nobody reads.
    frame: Option<Arc<PieceFrame>>,
}

impl Saying {
    /// Sends a piece of the text. Waits as [`Ctx::message`] does.
    pub async fn say(&self, text: impl Into<String>) {
        self.task.note_progress(false);
        if let Some(frame) = &self.frame {
            let body = Body::Piece { frame: Arc::clone(frame), text: text.into() };
            self.task.send(Mode::Messages, body).await;
        }
    }
}

impl std::fmt::Debug for Saying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saying").field("frame", &self.frame).finish_non_exhaustive()
    }
}

/// The facts of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The thread, if the run has one.
    pub thread_id: Option<String>,
    /// The run.
    pub run_id: String,
    /// The node.
    pub node: String,
    /// The task's id.
    pub task_id: TaskId,
    /// The superstep it runs in: node supersteps count from 1.
    pub step: i64,
    /// Where its graph is mounted: empty for the root.
    pub ns: Arc<[String]>,
    /// Which attempt of the node this is, counted from 1.
    pub attempt: u32,
}

impl<D: Send + Sync + 'static> Ctx<D> {
    pub(crate) fn new(task: TaskContext) -> NodeResult<Self> {
        let deps: Arc<dyn Any + Send + Sync> = Arc::clone(&task.0.run.deps);
        match deps.downcast::<D>() {
            Ok(deps) => Ok(Self { task, deps }),
            Err(_) => Err(NodeError::msg("the graph was started with other dependencies")),
        }
    }

    pub(crate) fn with(task: TaskContext, deps: Arc<D>) -> Self {
        Self { task, deps }
    }

    pub(crate) fn task(&self) -> &TaskContext {
        &self.task
    }

    /// The dependencies that the graph was started with.
    pub fn deps(&self) -> &D {
        &self.deps
    }

    /// The dependencies by reference count, to hand them on.
    pub fn share_deps(&self) -> Arc<D> {
        Arc::clone(&self.deps)
    }

    /// What is remembered across threads: the store that the app was given.
    ///
    /// # Errors
    /// When the app has none; see [`crate::App::store`].
    pub fn store(&self) -> NodeResult<&Arc<dyn Store>> {
        let store = self.task.0.run.store.as_ref();
        store.ok_or_else(|| NodeError::msg("the app has no store: give it one with `App::store`"))
    }

    /// The same task for code that does not know the dependencies.
    pub fn bare(&self) -> Ctx {
        Ctx { task: self.task.clone(), deps: Arc::new(()) }
    }

    /// What the run was started with; empty when it was given nothing.
    pub fn config(&self) -> &Config {
        self.task.0.run.config.as_deref().unwrap_or(Config::none())
    }

    /// What the graph is told for this run, as a type of its own: [`Config::context`].
    ///
    /// # Errors
    /// Names the field that does not fit, as `context.model`, and what was expected.
    pub fn context<T: DeserializeOwned>(&self) -> NodeResult<T> {
        self.config().context()
    }

    /// The facts of this task.
    pub fn info(&self) -> Info {
        let shared = &self.task.0;
        Info {
            thread_id: shared.run.place.as_ref().map(|place| place.thread.clone()),
            run_id: shared.run.run_id.to_string(),
            node: self.task.node_name().to_string(),
            task_id: self.task.id(),
            step: shared.step,
            ns: Arc::clone(&shared.run.ns),
            attempt: shared.attempt,
        }
    }

    /// When the first attempt of the node began, milliseconds since 1970 (UTC), from the run's own
    /// clock. For a node without policies: when it first asked.
    pub fn first_attempt_at_ms(&self) -> i64 {
        let shared = &self.task.0;
        *shared.first_attempt_at_ms.get_or_init(|| shared.run.env.now_ms())
    }

    /// Says that the node makes progress, for [`Timeout::idle`].
    pub fn heartbeat(&self) {
        self.task.note_progress(true);
    }

    /// Asks for the run to stop after this superstep, and tells whether somebody did.
    pub fn control(&self) -> &Control {
        &self.task.0.run.control
    }

    /// Supersteps this invocation may still run, this one included: 1 in the last one before
    /// [`crate::Error::RecursionLimit`].
    pub fn remaining_steps(&self) -> u32 {
        self.task.0.remaining_steps
    }

    /// Milliseconds since 1970 (UTC), from the run's own clock.
    pub fn now_ms(&self) -> i64 {
        self.task.0.run.env.now_ms()
    }

    /// Fires when the run is cancelled. After it a node has a short time to finish before it is
    /// dropped.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.task.0.run.cancel
    }

    /// Sends `payload` on the `custom` stream. Waits while the reader is slower than the run.
    ///
    /// # Errors
    /// When the payload has no JSON form.
    pub async fn emit<T: Serialize + ?Sized>(&self, payload: &T) -> NodeResult<()> {
        self.task.note_progress(false);
        if self.task.wants(Mode::Custom) {
            let body = Body::Json(serde_json::to_value(payload)?);
            self.task.send(Mode::Custom, body).await;
        }
        Ok(())
    }

    /// Tells on the `tools` stream what a tool does.
    ///
    /// # Errors
    /// When the event has no JSON form.
    pub async fn tool(&self, event: ToolEvent<'_>) -> NodeResult<()> {
        if self.task.wants(Mode::Tools) {
            let body = Body::Json(serde_json::to_value(event)?);
            self.task.send(Mode::Tools, body).await;
        }
        Ok(())
    }

    /// Sends a message or a part of one on the `messages` stream, as `[message, facts]`: the facts
    /// say which node, step and task it comes from, and hold the entries of `metadata` besides. With
    /// the tag `nostream` among its `tags`, or on the node, nothing is sent: the message that the
    /// node returns is shown instead.
    ///
    /// A message that the node returns is not shown again when its `id` was sent here.
    ///
    /// # Errors
    /// When the message has no JSON form.
    pub async fn message<T: Serialize + ?Sized>(
        &self,
        message: &T,
        metadata: &Map<String, Json>,
    ) -> NodeResult<()> {
        self.task.note_progress(false);
        if !self.task.wants(Mode::Messages) {
            return Ok(());
        }
        if self.task.facts(metadata).streams() {
            let message = serde_json::to_value(message)?;
            let body = self
                .task
                .beside(metadata, |Beside { facts, frame, .. }| Body::sent(message, facts, frame));
            self.task.send(Mode::Messages, body).await;
        }
        Ok(())
    }

    /// Begins a message whose text is sent piece by piece: less work than [`Ctx::message`] for
    /// each of them, and the same to whoever reads them. `piece` is one of them, whatever its
    /// text, and is not sent.
    ///
    /// # Errors
    /// When it is no `AIMessageChunk` with an `id` and a text as its `content`.
    pub fn saying<T: Serialize + ?Sized>(
        &self,
        piece: &T,
        metadata: &Map<String, Json>,
    ) -> NodeResult<Saying> {
        let facts = self.task.wants(Mode::Messages).then(|| self.task.facts(metadata));
        let frame = match facts.filter(|facts| facts.streams()) {
            Some(facts) => {
                let piece = serde_json::to_value(piece)?;
                let frame = PieceFrame::of(&piece, facts).ok_or_else(|| {
                    NodeError::msg(
                        "expected an AIMessageChunk with an id and a text as its content",
                    )
                })?;
                Some(Arc::new(frame))
            }
            None => None,
        };
        Ok(Saying { task: self.task.clone(), frame })
    }

    /// Whether anybody reads the `messages` stream.
    pub fn wants_messages(&self) -> bool {
        self.task.wants(Mode::Messages)
    }

    /// Whether anybody reads the `tools` stream.
    pub fn wants_tools(&self) -> bool {
        self.task.wants(Mode::Tools)
    }

    /// Asks a question. Without an answer the task is suspended and the run ends as interrupted;
    /// once answered, the node starts again from the top and gets the answer here.
    ///
    /// `key` names the question inside its node, so that a changed branch cannot put an answer in
    /// another question. Everything before it has to bear being repeated.
    ///
    /// # Errors
    /// The suspension itself, to be returned by `?`; or an answer that does not fit `A`, or a key
    /// that was used before in this task.
    pub fn interrupt<A: DeserializeOwned>(
        &self,
        key: &str,
        question: &(impl Serialize + ?Sized),
    ) -> NodeResult<A> {
        let answer = self.ask(Some(key), question, None)?;
        Ok(serde_json::from_value(answer)?)
    }

    /// Asks a question whose answer has to fit the JSON Schema of `A`. It is checked before
    /// anything runs; an answer that does not fit leaves the question pending.
    ///
    /// # Errors
    /// As [`Ctx::interrupt`].
    pub fn interrupt_checked<A: DeserializeOwned + JsonSchema>(
        &self,
        key: &str,
        question: &(impl Serialize + ?Sized),
    ) -> NodeResult<A> {
        let schema = schemars::schema_for!(A).to_value();
        let answer = self.ask(Some(key), question, Some(schema))?;
        Ok(serde_json::from_value(answer)?)
    }

    /// Asks a question whose answer has to fit this JSON Schema, as [`Ctx::interrupt_checked`] does.
    ///
    /// # Errors
    /// As [`Ctx::interrupt`].
    pub fn interrupt_schema<A: DeserializeOwned>(
        &self,
        key: &str,
        question: &(impl Serialize + ?Sized),
        schema: Json,
    ) -> NodeResult<A> {
        let answer = self.ask(Some(key), question, Some(schema))?;
        Ok(serde_json::from_value(answer)?)
    }

    /// Asks a question known by its place alone: the first call without a key, the second, and so
    /// on.
    ///
    /// # Errors
    /// As [`Ctx::interrupt`].
    pub fn interrupt_next(&self, question: &(impl Serialize + ?Sized)) -> NodeResult<Json> {
        self.ask(None, question, None)
    }

    /// Asks several questions at once and returns all answers, in order, when all are there.
    ///
    /// # Errors
    /// As [`Ctx::interrupt`].
    pub fn interrupt_all<Q: Serialize>(&self, questions: &[(&str, Q)]) -> NodeResult<Vec<Json>> {
        let asked: Vec<NodeResult<Json>> =
            questions.iter().map(|(key, question)| self.ask(Some(key), question, None)).collect();
        asked.into_iter().collect()
    }

    fn ask(
        &self,
        key: Option<&str>,
        question: &(impl Serialize + ?Sized),
        response_schema: Option<Json>,
    ) -> NodeResult<Json> {
        let value = serde_json::to_value(question)?;
        let task_ns = self.task.namespace().join("|");
        let mut asked = self.task.asked();
        if let Some(key) = key {
            if asked.keys.iter().any(|used| used == key) {
                return Err(NodeError::msg(format!("the task asked `{key}` before")));
            }
            asked.keys.push(key.to_owned());
        }
        let id = InterruptId::of(&task_ns, key, asked.ordinal);
        if key.is_none() {
            asked.ordinal += 1;
        }
        let interrupt = Interrupt { value, id, response_schema, key: key.map(str::to_owned) };
        if let Some(answer) = self.task.0.answers().get(&id) {
            asked.answered.push(interrupt);
            return Ok(answer.clone());
        }
        asked.open.push(interrupt);
        Err(NodeError(NodeErrorKind::Suspended))
    }
}

impl<D> std::fmt::Debug for Ctx<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ctx")
            .field("node", self.task.node_name())
            .field("step", &self.task.0.step)
            .field("deps", &PhantomData::<D>)
            .finish_non_exhaustive()
    }
}
