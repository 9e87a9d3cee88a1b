//! Attempts: a task's node is tried, tried again as its policies say, and handed to its error
//! handler when it has failed for good.
//!
//! A node without policies is called once and nothing here costs it anything. Attempts belong to
//! their superstep: siblings do not wait for a task that backs off, and no superstep passes.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use tokio::task::JoinSet;

use crate::{
    channel::Values,
    checkpoint::TaskRecord,
    context::{Before, TaskContext, TaskShared, Timed},
    env::Env,
    error::{Error, Failure, NodeResult},
    graph::NodeId,
    names,
    node::{ArgCodec, Input, NodeFn, StepOutput},
    policy::Handling,
    rescue::{Caught, Rescue},
    retry::{self, FailedAttempt},
    step::{StepName, Steps},
    superstep::{Cause, Planned},
    timeout::{Progress, TimeoutKind},
};

use super::{
    CANCEL_GRACE,
    cached::run_cached,
    driver::Driver,
    running::{Job, Running},
    slot::Slot,
    task::{Execution, Failed, TaskEnd},
};

/// How the call of a node ended.
pub(super) type Called = Result<NodeResult<StepOutput>, Interrupted>;

/// Why a call did not return.
pub(super) enum Interrupted {
    Panicked(Box<dyn Any + Send>),
    TimedOut(Failure),
}

/// Calls a node under its limits: it waits for its slots first, and its clock starts when it has
/// them.
pub(super) async fn call(run: Arc<dyn NodeFn>, input: Input, task: TaskContext) -> Called {
    let shared = &task.0.run;
    task.take_permits().await;
    let mounted = run.mount().is_some();
    let given = task.clone();
    let call = AssertUnwindSafe(async move { run.call(input, given).await }).catch_unwind();
    let caught = match &task.0.timed {
        None => Ok(call.await),
        Some(timed) => within(timed, &shared.env, call, mounted).await,
    };
    task.drop_permits();
    let caught = caught.map_err(Interrupted::TimedOut)?;
    caught.map_err(Interrupted::Panicked)
}

/// Runs `call` until it ends or until a time limit is reached; then it is dropped.
async fn within<T: Send + 'static>(
    timed: &Timed,
    env: &Arc<dyn Env>,
    call: impl Future<Output = T> + Send + 'static,
    in_place: bool,
) -> Result<T, Failure> {
    let mut spawned = JoinSet::new();
    // A node may block its thread, and must not keep its own clock from ticking. A mounted graph
    // does not block, and is dropped more surely in place: it writes checkpoints.
    let mut call: BoxFuture<'_, Option<T>> = if in_place {
        Box::pin(call.map(Some))
    } else {
        spawned.spawn(call);
        Box::pin(async { spawned.join_next().await.and_then(Result::ok) })
    };
    let reached = tokio::select! {
        biased;
        ended = &mut call => match ended {
            Some(value) => return Ok(value),
            // Only a runtime that shuts down drops a task that nobody aborted.
            None => return std::future::pending().await,
        },
        () = sleep(env, timed.timeout.run) => TimeoutKind::Run,
        () = idle(timed, env) => TimeoutKind::Idle,
    };
    drop(call);
    spawned.abort_all();
    tokio::select! {
        biased;
        () = async { while spawned.join_next().await.is_some() {} } => {}
        () = env.sleep(CANCEL_GRACE) => {}
    }
    let after = match reached {
        TimeoutKind::Run => timed.timeout.run,
        TimeoutKind::Idle => timed.timeout.idle,
    };
    Err(Failure::timeout(reached, after.unwrap_or_default()))
}

async fn sleep(env: &Arc<dyn Env>, limit: Option<Duration>) {
    match limit {
        Some(limit) => env.sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Waits until there was no progress for as long as the limit says.
async fn idle(timed: &Timed, env: &Arc<dyn Env>) {
    loop {
        tokio::select! {
            biased;
            () = timed.progress.made() => {}
            () = sleep(env, timed.timeout.idle) => return,
        }
    }
}

/// Waits before an attempt. False when the run is cancelled meanwhile.
async fn backed_off(task: &TaskContext, env: &Arc<dyn Env>, wait: Duration) -> bool {
    if wait.is_zero() {
        return true;
    }
    tokio::select! {
        biased;
        () = task.0.run.cancel.cancelled() => false,
        () = env.sleep(wait) => true,
    }
}

/// The durable steps of a task's next attempt: results stay, names count from the start. What a
/// handler keeps is apart from what the node kept.
fn steps_of(slot: &Slot, handler: bool) -> Option<Steps> {
    let scope: &[StepName] =
        if handler { &[StepName::Call(names::ERROR_HANDLER.to_owned())] } else { &[] };
    if let Some(steps) = slot.task.as_ref().and_then(|task| task.0.steps.get()) {
        Some(steps.inside(scope))
    } else if !slot.record.steps.is_empty() {
        Some(Steps::stored(&slot.record.steps).inside(scope))
    } else if handler {
        Some(Steps::default().inside(scope))
    } else {
        None
    }
}

impl Driver {
    /// Begins the first attempt of a task, if there is nothing to store or to tell before it.
    pub(super) fn attempt_now(
        &mut self,
        slot: &mut Slot,
        position: usize,
        running: &mut Running,
    ) -> bool {
        let plain =
            slot.record.caught.is_none() && self.core().node(slot.planned.node).policies.is_none();
        if plain {
            let job = self.job(slot, Duration::ZERO);
            running.add(position, job);
        }
        plain
    }

    /// Begins the next attempt of a task after `wait`: of its node, or of the error handler once
    /// the node has failed for good.
    pub(super) async fn attempt(
        &mut self,
        slot: &mut Slot,
        position: usize,
        running: &mut Running,
        wait: Duration,
    ) -> Result<(), Error> {
        let policies = self.core().node(self.acting(slot)).policies.as_deref();
        if policies.is_some_and(|policies| policies.durable_attempts) {
            self.identify(slot);
            slot.attempt = slot.record.attempts;
            slot.record.attempts += 1;
            self.keep(slot).await?;
        }
        let job = self.job(slot, wait);
        let rescued = slot.task.as_ref().is_some_and(|task| task.0.rescue.is_some());
        if rescued && slot.attempt == 1 {
            self.tell_handler(slot).await;
        }
        running.add(position, job);
        Ok(())
    }

    /// The node that the slot's next attempt calls.
    fn acting(&self, slot: &Slot) -> NodeId {
        let handling = slot.record.caught.as_ref().and_then(|_| self.handling(slot));
        handling.map_or(slot.planned.node, |handling| handling.node)
    }

    /// The next attempt of a task, to be run after `wait`.
    fn job(&self, slot: &mut Slot, wait: Duration) -> Job {
        let core = self.core();
        let mut task = self.surroundings(&slot.planned, slot.record.noted());
        let mut timeout = slot.planned.timeout.as_deref().copied();
        if let (Some(caught), Some(handling)) = (&slot.record.caught, self.handling(slot)) {
            let failed = self.task_id(&slot.planned);
            let caught = Caught {
                node: core.node(slot.planned.node).name.to_string(),
                task_id: failed,
                failure: caught.clone(),
            };
            let exits = if handling.follow { slot.planned.node } else { handling.node };
            task.node = handling.node;
            task.cause = Cause::Rescue(failed);
            task.id = None;
            let path = slot.planned.path(core);
            task.rescue = Some(Arc::new(Rescue { caught, exits, path }));
            timeout = None;
        }
        let spec = core.node(task.node);
        slot.attempt += 1;
        task.attempt = slot.attempt;
        if let Some(policies) = spec.policies.as_deref() {
            let first = *slot.first_at_ms.get_or_insert_with(|| self.shared.env.now_ms());
            task.first_attempt_at_ms = OnceLock::from(first);
            timeout = timeout.or(policies.timeout);
        }
        if let Some(timeout) = timeout {
            let progress = Progress::new(timeout.refresh_on, self.shared.progress.clone());
            task.timed = Some(Box::new(Timed { timeout, progress: Arc::new(progress) }));
        }
        if let Some(steps) = steps_of(slot, task.rescue.is_some()) {
            task.steps = OnceLock::from(steps);
        }
        let keep = self.shared.keep();
        let task = TaskContext(Arc::new(task));
        // What the attempt before learnt of graphs below is known to the next one.
        slot.keep_answers_below();
        slot.task = Some(task.clone());
        if spec.run.is_none() {
            let start = self.live.ready.input.clone();
            return Job::Plain(Execution::entering(task, &self.live.values, start, keep));
        }
        let input = self.input(slot);
        let around = match &input {
            Input::Arg(_) => self.routed_snapshot(task.exits()),
            Input::Snapshot(_) => None,
        };
        if let (Some(policy), Some(cache)) = (&spec.cache, &self.shared.cache) {
            let (policy, cache) = (Arc::clone(policy), Arc::clone(cache));
            let env = Arc::clone(&self.shared.env);
            return Job::Around(Box::pin(async move {
                if !backed_off(&task, &env, wait).await {
                    return TaskEnd::Cancelled;
                }
                run_cached(task, input, around, keep, policy, cache).await
            }));
        }
        let execution = Execution::new(task.clone(), input, around, keep);
        if wait.is_zero() {
            return Job::Plain(execution);
        }
        let env = Arc::clone(&self.shared.env);
        Job::Around(Box::pin(async move {
            if !backed_off(&task, &env, wait).await {
                return TaskEnd::Cancelled;
            }
            execution.await
        }))
    }

    /// The surroundings of a task, as its first attempt has them.
    fn surroundings(&self, planned: &Planned, record: Option<&TaskRecord>) -> TaskShared {
        let mut before = record.and_then(|record| {
            let before = Before {
                answers: record.answers.clone(),
                earlier: record.interrupts.clone(),
                forked_from: record.forked_from.clone(),
            };
            before.noted()
        });
        if self.shared.checkpointer.is_none() && self.shared.above.caller.is_some() {
            // A graph below a task that keeps nothing itself: the task keeps the answers for it.
            let given = self.shared.answers();
            if !given.is_empty() {
                let answers = &mut before.get_or_insert_default().answers;
                answers.extend(given.iter().map(|(id, given)| (*id, given.clone())));
            }
        }
        let named = self.shared.sink.is_read() || self.stores();
        TaskShared {
            run: Arc::clone(&self.shared),
            node: planned.node,
            cause: planned.cause.clone(),
            step: self.live.step + 1,
            remaining_steps: self.shared.limits.recursion.saturating_sub(self.steps),
            base: self.base(),
            id: named.then(|| self.task_id(planned)),
            before,
            instances: self.live.instances.clone(),
            course: OnceLock::new(),
            steps: OnceLock::new(),
            call: None,
            attempt: 1,
            first_attempt_at_ms: OnceLock::new(),
            timed: None,
            rescue: None,
        }
    }

    /// What the routers of a node see besides its own writes; none for a node without routers.
    fn routed_snapshot(&self, node: NodeId) -> Option<Arc<Values>> {
        let core = self.core();
        let routed = !core.node(node).exits.routers.is_empty();
        routed.then(|| {
            let left = self.shared.limits.recursion.saturating_sub(self.steps);
            match core.schema.managed(&self.live.values, left) {
                Some(filled) => Arc::new(filled),
                None => Arc::clone(&self.live.values),
            }
        })
    }

    /// What the slot's task is given: a handler that reads state gets the snapshot when the node
    /// took something else.
    pub(super) fn input(&self, slot: &Slot) -> Input {
        let input = slot.planned.input(&self.live);
        if slot.record.caught.is_some()
            && let Input::Arg(given) = &input
            && !given.is::<Values>()
            && let Some(run) = &self.core().node(self.acting(slot)).run
            && matches!(run.arg(), ArgCodec::State)
            && self.handling(slot).is_some()
        {
            return Input::Snapshot(Arc::clone(&self.live.values));
        }
        input
    }

    /// What follows the end of an attempt: another attempt, or the error handler. Gives the end
    /// back when it is the task's.
    pub(super) async fn after_attempt(
        &mut self,
        slot: &mut Slot,
        position: usize,
        running: &mut Running,
        mut end: TaskEnd,
    ) -> Result<Option<TaskEnd>, Error> {
        let TaskEnd::Failed(failed) = &mut end else { return Ok(Some(end)) };
        let Failed { failure, inner, source, .. } = &mut **failed;
        failure.attempt = slot.attempt;
        let core = Arc::clone(self.core());
        let acting = slot.record.caught.as_ref().and_then(|_| self.handling(slot));
        let node = acting.map_or(slot.planned.node, |handling| handling.node);
        let Some(policies) = &core.node(node).policies else { return Ok(Some(end)) };
        if self.shared.cancel.is_cancelled() {
            return Ok(Some(end));
        }
        let error: Option<&(dyn std::error::Error + Send + Sync)> = match (source, inner) {
            (Some(error), _) => Some(&**error),
            (None, Some(inner)) => Some(&**inner),
            (None, None) => None,
        };
        let failed = FailedAttempt { failure, error };
        let again =
            retry::decide(&policies.retry, slot.attempt, &failed, || self.shared.env.random());
        if let Some(wait) = again {
            self.attempt(slot, position, running, wait).await?;
            return Ok(None);
        }
        if acting.is_some() || policies.handler.is_none() {
            return Ok(Some(end));
        }
        // Durable before the handler starts: from here on a resume runs the handler, not the node.
        self.identify(slot);
        slot.keep_steps();
        slot.record.caught = Some(failure.clone());
        slot.record.error = Some(failure.clone());
        self.tell_caught(slot).await;
        slot.record.attempts = 0;
        slot.attempt = 0;
        slot.first_at_ms = None;
        self.keep(slot).await?;
        self.attempt(slot, position, running, Duration::ZERO).await?;
        Ok(None)
    }

    /// The handler of the errors of a slot's node.
    pub(super) fn handling(&self, slot: &Slot) -> Option<Handling> {
        self.core().node(slot.planned.node).policies.as_ref()?.handler
    }

    /// Stores what is known of an unfinished task, unless nothing is stored before the run's end.
    async fn keep(&mut self, slot: &mut Slot) -> Result<(), Error> {
        slot.unsaved = true;
        if self.unsaved.is_none() {
            self.store_record(&slot.record).await?;
            slot.unsaved = false;
        }
        Ok(())
    }
}
