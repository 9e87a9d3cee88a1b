//! The functional interface: a graph written as one function that starts tasks.
//!
//! An [`Entrypoint`] is a graph of one node with the channels `__start__`, `__end__` and
//! `__previous__`. A functional [`Task`] it starts runs beside it at once; its result is a durable
//! step of the entrypoint, so that only unfinished tasks run when the function starts again from
//! its top. There is no second mechanism: what nodes have by [`Ctx`], tasks have.
//!
//! Semantics: LangGraph's `entrypoint` and `task`, except that a task whose name, key or argument
//! changed is an error and not the old result.

use std::{
    marker::PhantomData,
    ops::Deref,
    panic::{AssertUnwindSafe, resume_unwind},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;
use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    app::{App, Outcome, Run},
    cache::{self, CacheKey, CachePolicy},
    canonical::InputHash,
    channel::{Channel, Rule, Schema},
    checkpoint::TaskId,
    command::Output,
    context::{Asked, Called, Ctx, TaskContext},
    error::{CompileError, Failure, FailureKind, NodeError, NodeErrorKind, NodeResult},
    graph::{Compiled, Graph},
    interrupt::{Interrupt, InterruptId},
    names::{self, END, PREVIOUS, START},
    node::{ArgCodec, Input, NodeFn, StepOutput},
    reducer::panic_message,
    retry::Retry,
    run::{SIBLING_GRACE, Status},
    state::{Reader, State, Update},
    step::{Claim, Wanted},
    stored,
    stream::{Body as StreamBody, Mode, Said, Told, show_update},
    superstep::Cause,
    timeout::Timeout,
    value::{Datum, codec},
};

const INPUT_AT: usize = 0;
const VALUE_AT: usize = 1;
const SAVED_AT: usize = 2;

/// The state of an entrypoint's graph: input, result, and what the next run finds as previous.
#[expect(clippy::type_complexity, reason = "a marker that is never called")]
pub struct Flow<In, Out, Save = Out>(PhantomData<fn() -> (In, Out, Save)>);

/// What a [`Flow`] has given.
pub struct FlowView<Out, Save> {
    /// The result of the last run that finished.
    pub value: Option<Arc<Out>>,
    /// What that run saved for the next one.
    pub previous: Option<Arc<Save>>,
}

impl<In: Datum, Out: Datum, Save: Datum> State for Flow<In, Out, Save> {
    type View = FlowView<Out, Save>;
    type Update = Update;

    fn schema() -> Schema {
        Schema::single(
            vec![
                channel::<In>(START, Rule::Ephemeral { guarded: true }).visible(true, false),
                channel::<Out>(END, Rule::LastValue).visible(false, true),
                channel::<Save>(PREVIOUS, Rule::LastValue).visible(false, false),
            ],
            INPUT_AT,
            VALUE_AT,
        )
    }

    fn view(reader: &Reader<'_>) -> Self::View {
        FlowView { value: reader.written(VALUE_AT), previous: reader.written(SAVED_AT) }
    }
}

/// A channel whose type needs no default: it is absent until it is written.
fn channel<T: Datum>(key: &str, rule: Rule) -> Channel {
    Channel {
        key: Arc::from(key),
        rule,
        codec: codec::<T>(),
        default: Arc::new(()),
        initial: None,
        input: false,
        output: false,
        sensitive: false,
        messages: false,
    }
}

/// A result and, apart from it, what the next run on the thread finds as previous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Final<Out, Save> {
    /// What the run returns.
    pub value: Out,
    /// What is kept for the next run.
    pub save: Save,
}

/// A graph written as one async function.
///
/// ```
/// # use mesh_graph::{Ctx, Entrypoint, FlowCtx, NodeResult, Task};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let double = Task::new("double", |n: i64, _: Ctx| async move { Ok(2 * n) });
/// let sum = Entrypoint::new("sum", move |n: i64, cx: FlowCtx<(), i64>| {
///     let double = double.clone();
///     async move {
///         // Both run at once.
///         let (a, b) = (cx.start(&double, n), cx.start(&double, n + 1));
///         Ok(a.await? + b.await? + cx.previous().copied().unwrap_or(0))
///     }
/// });
/// let outcome = sum.compile()?.app(()).enter(1).invoke().await?;
/// assert_eq!(outcome.value().as_deref(), Some(&6));
/// # Ok(()) }
/// ```
pub struct Entrypoint<In, Out, Save = Out, D = ()> {
    graph: Graph<Flow<In, Out, Save>, D>,
    name: String,
    cache: Option<CachePolicy>,
    retry: Option<Vec<Retry>>,
    timeout: Option<Timeout>,
    run: Body<In, Out, Save, D>,
}

type Body<In, Out, Save, D> = Arc<
    dyn Fn(In, FlowCtx<D, Save>) -> BoxFuture<'static, NodeResult<Final<Out, Save>>> + Send + Sync,
>;

impl<In: Datum, T: Datum, D: Send + Sync + 'static> Entrypoint<In, T, T, D> {
    /// A graph of this function. Its result is also what the next run on the thread finds as
    /// previous.
    pub fn new<F, Fut>(name: &str, run: F) -> Self
    where
        F: Fn(In, FlowCtx<D, T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = NodeResult<T>> + Send + 'static,
    {
        Self::saving(name, move |input, cx| {
            run(input, cx).map(|value| value.map(|value| Final { save: value.clone(), value }))
        })
    }
}

impl<In: Datum, Out: Datum, Save: Datum, D: Send + Sync + 'static> Entrypoint<In, Out, Save, D> {
    /// A graph of this function, which says itself what the next run finds as previous.
    pub fn saving<F, Fut>(name: &str, run: F) -> Self
    where
        F: Fn(In, FlowCtx<D, Save>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = NodeResult<Final<Out, Save>>> + Send + 'static,
    {
        Self {
            graph: Graph::new(name),
            name: name.to_owned(),
            cache: None,
            retry: None,
            timeout: None,
            run: Arc::new(move |input, cx| Box::pin(run(input, cx))),
        }
    }

    /// The whole function's result may be given again for the same input and the same previous.
    pub fn cache(mut self, policy: CachePolicy) -> Self {
        self.cache = Some(policy);
        self
    }

    /// The function is tried again when it failed, as a node is. Tasks that finished are not run
    /// again.
    pub fn retry(mut self, policies: impl Into<Vec<Retry>>) -> Self {
        self.retry = Some(policies.into());
        self
    }

    /// Limits the time of an attempt, with all its tasks.
    pub fn timeout(mut self, timeout: impl Into<Timeout>) -> Self {
        self.timeout = Some(timeout.into());
        self
    }

    /// Makes it a graph: it runs, is stored and streamed like every other. Its input and its
    /// result are single values, in JSON too.
    ///
    /// # Errors
    /// [`CompileError`] when the name cannot be a node's, or a policy has no meaning.
    pub fn compile(mut self) -> Result<Compiled<Flow<In, Out, Save>, D>, CompileError> {
        let mut node = self.graph.draft::<()>(&self.name, Arc::new(EntryNode { run: self.run }));
        if let Some(policy) = self.cache {
            node = node.cache(policy);
        }
        if let Some(policies) = self.retry {
            node = node.retry(policies);
        }
        if let Some(timeout) = self.timeout {
            node.timeout(timeout);
        }
        self.graph.edge(START, self.name.as_str());
        self.graph.compile()
    }
}

impl<In: Datum, Out: Datum, Save: Datum> App<Flow<In, Out, Save>> {
    /// A run of the entrypoint with this input.
    pub fn enter(&self, input: In) -> Run<Flow<In, Out, Save>> {
        let mut update = Update::default();
        update.write(INPUT_AT, input);
        self.run(update)
    }
}

impl<In: Datum, Out: Datum, Save: Datum> Outcome<Flow<In, Out, Save>> {
    /// What the entrypoint returned; none when the run did not finish.
    pub fn value(&self) -> Option<Arc<Out>> {
        self.state().value.clone().filter(|_| self.status == Status::Done)
    }
}

/// The entrypoint's node.
struct EntryNode<In, Out, Save, D> {
    run: Body<In, Out, Save, D>,
}

impl<In: Datum, Out: Datum, Save: Datum, D: Send + Sync + 'static> NodeFn
    for EntryNode<In, Out, Save, D>
{
    fn call(&self, input: Input, task: TaskContext) -> BoxFuture<'static, NodeResult<StepOutput>> {
        let Input::Snapshot(values) = &input else {
            return ready(Err(NodeError::msg("an entrypoint takes no `Send`")));
        };
        let given = values.get(INPUT_AT).and_then(|value| value.downcast_ref::<In>()).cloned();
        let previous =
            values.get(SAVED_AT).and_then(|value| Arc::clone(value).downcast::<Save>().ok());
        drop(input);
        let Some(given) = given else {
            return ready(Err(NodeError::msg("the entrypoint was given no input")));
        };
        let calls = Arc::new(Mutex::new(JoinSet::new()));
        let cx = match Ctx::new(task.clone()) {
            Ok(ctx) => FlowCtx { ctx, previous, calls: Arc::clone(&calls) },
            Err(error) => return ready(Err(error)),
        };
        let run = Arc::clone(&self.run);
        Box::pin(async move {
            // It waits for its tasks, so it must not hold the slot that they may need.
            task.drop_permits();
            let ended = AssertUnwindSafe(async { run(given, cx).await }).catch_unwind().await;
            let failed = match &ended {
                Ok(Ok(_)) => false,
                Ok(Err(error)) => !matches!(error.0, NodeErrorKind::Suspended),
                Err(_) => true,
            };
            let calls = std::mem::take(&mut *calls.lock().unwrap_or_else(PoisonError::into_inner));
            finish(calls, &task, failed).await;
            let Final { value, save } = match ended {
                Ok(ended) => ended?,
                Err(panic) => resume_unwind(panic),
            };
            let mut update = Update::default();
            update.write(VALUE_AT, value);
            update.write(SAVED_AT, save);
            Ok(StepOutput(Output { updates: vec![update], ..Output::default() }))
        })
    }

    fn arg(&self) -> ArgCodec {
        ArgCodec::State
    }
}

fn ready<T: Send + 'static>(result: NodeResult<T>) -> BoxFuture<'static, NodeResult<T>> {
    Box::pin(std::future::ready(result))
}

/// Lets the tasks that were started come to their end, so that their work is kept and all of their
/// questions are asked; beside a failure only for as long as siblings have.
async fn finish(mut calls: JoinSet<()>, task: &TaskContext, failed: bool) {
    let env = Arc::clone(&task.0.run.env);
    let grace = async {
        if failed { env.sleep(SIBLING_GRACE).await } else { std::future::pending().await }
    };
    let all = async { while calls.join_next().await.is_some() {} };
    tokio::select! {
        biased;
        () = all => {}
        // What still runs is dropped, and runs again on resume.
        () = grace => {}
    }
}

/// What an entrypoint is given besides its input: all that a node has, its tasks, and what the
/// last run saved.
pub struct FlowCtx<D = (), Save = ()> {
    ctx: Ctx<D>,
    previous: Option<Arc<Save>>,
    calls: Arc<Mutex<JoinSet<()>>>,
}

impl<D, Save> Deref for FlowCtx<D, Save> {
    type Target = Ctx<D>;
    fn deref(&self) -> &Ctx<D> {
        &self.ctx
    }
}

impl<D: Send + Sync + 'static, Save> FlowCtx<D, Save> {
    /// What the last finished run on this thread saved; none in the first one.
    pub fn previous(&self) -> Option<&Save> {
        self.previous.as_deref()
    }

    /// Starts a task: it runs at once, beside the entrypoint and the other tasks. Await what is
    /// returned for its result, where its error can be caught as well. A task that nobody awaits
    /// still comes to its end before the entrypoint does.
    ///
    /// A task that finished in an earlier execution of this entrypoint is not run: its result is
    /// given again. Tasks are told apart by the order of their starts; see [`FlowCtx::start_as`].
    pub fn start<A, R>(&self, task: &Task<A, R, D>, arg: A) -> Started<R>
    where
        A: Serialize + Send + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        self.begin(None, task, arg)
    }

    /// As [`FlowCtx::start`], under a key that finds the result again in a changed order.
    pub fn start_as<A, R>(&self, key: &str, task: &Task<A, R, D>, arg: A) -> Started<R>
    where
        A: Serialize + Send + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        self.begin(Some(key), task, arg)
    }

    fn begin<A, R>(&self, key: Option<&str>, task: &Task<A, R, D>, arg: A) -> Started<R>
    where
        A: Serialize + Send + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        match self.prepare(key, task, &arg) {
            Ok(Prepared::Known(value)) => Started(ready(Ok(value))),
            Ok(Prepared::Run(call)) => {
                let (tell, told) = oneshot::channel();
                let run = Arc::clone(&task.run);
                let deps = self.ctx.share_deps();
                let work = move |ctx| run(arg, Ctx::with(ctx, deps));
                let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
                calls.spawn(async move {
                    // Nobody may be waiting any more; the result is kept either way.
                    let _ = tell.send(call.run(work).await);
                });
                Started(Box::pin(async move {
                    told.await.unwrap_or(Err(NodeError(NodeErrorKind::Cancelled)))
                }))
            }
            Err(error) => Started(ready(Err(error))),
        }
    }

    fn prepare<A, R>(
        &self,
        key: Option<&str>,
        task: &Task<A, R, D>,
        arg: &A,
    ) -> NodeResult<Prepared<R>>
    where
        A: Serialize,
        R: DeserializeOwned,
    {
        if let Some(reason) = names::refuse(&task.name) {
            return Err(NodeError::msg(format!("the name of task `{}` {reason}", task.name)));
        }
        let caller = self.ctx.task();
        let arg = serde_json::to_value(arg)?;
        let claim = caller.steps().claim(Wanted::Call(key), &task.name, InputHash::of(&arg))?;
        let context = called(caller, &task.name, &claim);
        let earlier = context.earlier_own();
        if let Some(value) = caller.steps().known(&claim)? {
            caller.asked().answered.extend(earlier);
            return Ok(Prepared::Known(value));
        }
        let given = caller.0.run.answers();
        let open = |id: &InterruptId| !caller.0.answers().contains_key(id);
        if earlier.iter().any(|asked| open(&asked.id))
            && !earlier.iter().any(|asked| given.contains_key(&asked.id))
        {
            // Nothing new for it: it goes on waiting and is not run to ask again.
            let (open, answered): (Vec<_>, Vec<_>) =
                earlier.into_iter().partition(|asked| open(&asked.id));
            let mut asked = caller.asked();
            asked.answered.extend(answered);
            asked.open.extend(open);
            return Err(NodeError(NodeErrorKind::Suspended));
        }
        let run = &caller.0.run;
        let cache = task.cache.as_ref().filter(|_| earlier.is_empty()).and_then(|policy| {
            run.cache.as_ref()?;
            Some((policy.of_call(&run.core.name, &task.name, &arg), Arc::clone(policy)))
        });
        Ok(Prepared::Run(Box::new(Pending { context, claim, arg, cache })))
    }
}

/// The surroundings of a task that `caller` starts.
fn called(caller: &TaskContext, name: &Arc<str>, claim: &Claim) -> TaskContext {
    let cause = Cause::Push(claim.place());
    let steps = caller.steps().inside(&claim.path);
    let call = Called { caller: caller.clone(), name: Arc::clone(name) };
    TaskContext(Arc::new(caller.0.called(cause, claim.task_id(caller.id()), steps, call)))
}

impl TaskContext {
    /// The questions that earlier executions of this very task asked, in order.
    fn earlier_own(&self) -> Vec<Interrupt> {
        if self.0.earlier().is_empty() {
            return Vec::new();
        }
        let ns = self.namespace().join("|");
        let mut ordinal = 0;
        let own = self.0.earlier().iter().filter(|asked| {
            let own = InterruptId::of(&ns, asked.key.as_deref(), ordinal) == asked.id;
            ordinal += usize::from(own && asked.key.is_none());
            own
        });
        own.cloned().collect()
    }

    /// Hands what this task asked, and what graphs below it did, to its caller, whose record keeps
    /// it. Returns whether it waits for somebody, and whether there was a question at all.
    fn hand_up(&self) -> (bool, bool) {
        let Some(call) = &self.0.call else { return (false, false) };
        if let Some(course) = self.0.course.get() {
            let mut below = course.below.lock().unwrap_or_else(PoisonError::into_inner);
            if !below.is_empty() {
                let above = &call.caller.0.course().below;
                above.lock().unwrap_or_else(PoisonError::into_inner).append(&mut below);
            }
        }
        let asked = self.take_asked().unwrap_or_default();
        let Asked { open, stopped, answered, entered, .. } = asked;
        let found = (stopped || !open.is_empty(), !open.is_empty() || !answered.is_empty());
        let mut asked = call.caller.asked();
        for question in answered {
            if !asked.answered.iter().any(|known| known.id == question.id) {
                asked.answered.push(question);
            }
        }
        asked.stopped |= stopped;
        asked.open.extend(open);
        asked.entered.extend(entered);
        found
    }

    async fn tell_call(&self, told: impl FnOnce(TaskId) -> Told) {
        if !self.wants(Mode::Tasks) && !self.wants(Mode::Debug) {
            return;
        }
        let told = Arc::new(told(self.id()));
        for mode in [Mode::Tasks, Mode::Debug] {
            if self.wants(mode) {
                self.send(mode, StreamBody::Told(Arc::clone(&told))).await;
            }
        }
    }

    async fn tell_call_start(&self, input: Json) {
        let name = Arc::clone(self.node_name());
        self.tell_call(|id| Told::CallStart { id, name, input }).await;
    }

    /// How the task ended, for whoever reads it. A value without a JSON form is shown as null, as
    /// in every stream.
    fn call_end<R: Serialize>(&self, ended: Result<(&R, bool), &NodeError>) -> Option<CallEnd> {
        let modes = [Mode::Updates, Mode::Tasks, Mode::Debug];
        let wanted = modes.into_iter().any(|mode| self.wants(mode));
        wanted.then(|| {
            ended
                .map(|(value, cached)| (serde_json::to_value(value).unwrap_or_default(), cached))
                .map_err(Said::of_node)
        })
    }

    async fn tell_call_end(&self, ended: Option<CallEnd>) {
        let Some(ended) = ended else { return };
        if let (Ok((value, cached)), true) = (&ended, self.wants(Mode::Updates)) {
            let update = show_update(self.node_name(), value.clone(), *cached);
            self.send(Mode::Updates, StreamBody::Json(update)).await;
        }
        let name = Arc::clone(self.node_name());
        self.tell_call(|id| Told::CallEnd { id, name, ended }).await;
    }
}

/// A functional task's result and whether it comes from the node cache, or its error.
type CallEnd = Result<(Json, bool), Said>;

enum Prepared<R> {
    /// It finished in an earlier execution.
    Known(R),
    Run(Box<Pending>),
}

/// A task about to run.
struct Pending {
    context: TaskContext,
    claim: Claim,
    arg: Json,
    /// Where its result may be found, and is kept.
    cache: Option<(CacheKey, Arc<CachePolicy>)>,
}

impl Pending {
    async fn run<R, Fut>(self, work: impl FnOnce(TaskContext) -> Fut) -> NodeResult<R>
    where
        R: Serialize + DeserializeOwned,
        Fut: Future<Output = NodeResult<R>>,
    {
        let Self { context, claim, arg, cache } = self;
        let run = &context.0.run;
        if let (Some((key, _)), Some(backend)) = (&cache, &run.cache)
            && let Some(kept) = cache::look_up(&**backend, key, run.env.now_ms()).await
            && let Ok(value) = stored::decode::<R>(&kept)
        {
            context.keep_step(claim, kept).await?;
            let end = context.call_end(Ok((&value, true)));
            context.tell_call_end(end).await;
            return Ok(value);
        }
        context.take_permits().await;
        context.tell_call_start(arg).await;
        let ended = AssertUnwindSafe(async { work(context.clone()).await }).catch_unwind().await;
        context.drop_permits();
        let (suspended, asked) = context.hand_up();
        // The engine's own record decides, as it does for nodes.
        if suspended {
            return Err(NodeError(NodeErrorKind::Suspended));
        }
        let ended = ended.unwrap_or_else(|panic| {
            let message = format!("panicked: {}", panic_message(&*panic));
            Err(NodeError::refused(Failure::new(FailureKind::Panic, message)))
        });
        let value = match ended {
            Ok(value) => value,
            Err(error) => {
                let end = context.call_end::<R>(Err(&error));
                context.tell_call_end(end).await;
                return Err(error);
            }
        };
        let bytes = stored::encode(&value)?;
        if let (Some((key, policy)), Some(backend), false) = (cache, &run.cache, asked) {
            let expires_ms = policy.expires_ms(run.env.now_ms());
            cache::keep(&**backend, key, bytes.clone(), expires_ms).await;
        }
        context.keep_step(claim, bytes).await?;
        // Told after it is stored, so that a client never sees a result that is made again.
        let end = context.call_end(Ok((&value, false)));
        context.tell_call_end(end).await;
        Ok(value)
    }
}

/// A functional task: a named async function whose result an [`Entrypoint`] keeps.
///
/// Cloning is cheap.
pub struct Task<A, R, D = ()> {
    name: Arc<str>,
    run: Work<A, R, D>,
    cache: Option<Arc<CachePolicy>>,
}

type Work<A, R, D> = Arc<dyn Fn(A, Ctx<D>) -> BoxFuture<'static, NodeResult<R>> + Send + Sync>;

impl<A, R, D> Clone for Task<A, R, D> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), run: Arc::clone(&self.run), cache: self.cache.clone() }
    }
}

impl<A, R, D> Task<A, R, D> {
    /// A task of this function. The name may not be one that a node cannot have.
    pub fn new<F, Fut>(name: &str, run: F) -> Self
    where
        F: Fn(A, Ctx<D>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = NodeResult<R>> + Send + 'static,
    {
        let run: Work<A, R, D> = Arc::new(move |arg, ctx| Box::pin(run(arg, ctx)));
        Self { name: Arc::from(name), run, cache: None }
    }

    /// Its result may be given again for the same argument, in other runs too, where the app has
    /// a cache.
    pub fn cache(mut self, policy: CachePolicy) -> Self {
        self.cache = Some(Arc::new(policy));
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A task that was started. Await it for the result.
///
/// # Errors
/// What the task says, to be caught or returned; its question, to be returned; that its name, key
/// or argument is not the one of the stored result ([`FailureKind::StepMismatch`]).
///
/// # Cancel safety
/// Dropping it does not stop the task.
#[must_use = "a started task gives its result when it is awaited"]
pub struct Started<R>(BoxFuture<'static, NodeResult<R>>);

impl<R> Future for Started<R> {
    type Output = NodeResult<R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}
