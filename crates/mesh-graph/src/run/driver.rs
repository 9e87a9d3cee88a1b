//! The driver: one run of one graph, superstep by superstep.
//!
//! It plans, runs the tasks, notes how each ended and applies the results. Decisions are
//! `superstep`'s; what storage gets is in `saving`, what readers get in `telling`.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use futures::future::BoxFuture;
use serde_json::Value as Json;
use smallvec::SmallVec;

use crate::{
    checkpoint::{CheckpointId, Place, Source, TaskId, TaskRecord},
    checkpointer::{self, Checkpointer, Loaded},
    error::{Error, Failure, FailureKind, TaskFailure},
    graph::{Core, NodeId, START_ID},
    interrupt::Interrupt,
    live::{Effect, Live, stored_commit},
    made::Made,
    parent::ToParent,
    stream::Mode,
    superstep::{self, Cause, Done, Planned, Tasks},
};

use super::{
    CANCEL_GRACE, Finished, RunShared, SiblingPolicy, Status, Warning,
    running::Running,
    saving::Written,
    slot::{Slot, SlotState},
    task::{Failed, TaskEnd},
    telling::Standing,
};

pub(crate) struct Driver {
    pub(crate) shared: Arc<RunShared>,
    pub(crate) live: Live,
    /// What is stored of the tasks of the current checkpoint.
    pub(crate) records: BTreeMap<TaskId, TaskRecord>,
    /// Version at the last breakpoint that was passed.
    pub(super) passed: u64,
    pub(super) steps: u32,
    /// Whether the next checkpoint may leave the thread's head behind.
    pub(crate) branching: bool,
    /// A checkpoint on its way to storage.
    pub(super) saving: Option<BoxFuture<'static, Result<(), checkpointer::Error>>>,
    /// With [`Durability::Exit`]: what the run changed and did not save.
    pub(super) unsaved: Option<Unsaved>,
    /// The last superstep had a router that returned an empty list.
    pub(super) empty_fan_out: Vec<NodeId>,
    /// Channels that commands changed since the last checkpoint, which stores them whole.
    pub(super) between: Vec<usize>,
    /// Tasks that got an answer in this run.
    pub(super) just_answered: BTreeSet<TaskId>,
    /// The stored record of the commands given at this checkpoint.
    pub(super) command: Option<TaskRecord>,
    /// What streams tell of the checkpoint it stands on; none without one.
    pub(super) standing: Option<Standing>,
    /// Questions below a parent whose answers were taken in this run.
    pub(super) answered: Vec<(Interrupt, Json)>,
    /// Streams know which messages the state had when the run began.
    pub(super) messages_known: bool,
    /// The superstep took longer than it may.
    pub(super) step_timed_out: bool,
    /// The checkpoint that was told before it was handed to storage.
    pub(super) told_ahead: Option<CheckpointId>,
    /// What is told now belongs to the storage call that comes next.
    pub(super) ahead: bool,
}

/// Changes that wait for the end of the run.
pub(super) struct Unsaved {
    pub(super) origin: Option<CheckpointId>,
    pub(super) channels: Vec<bool>,
    pub(super) source: Source,
}

impl Driver {
    pub(crate) fn new(shared: Arc<RunShared>) -> Self {
        let mut live = Live::new(&shared.core);
        live.made =
            shared.above.watched.as_ref().map(|watched| Box::new(Made::new(Arc::clone(watched))));
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
            just_answered: BTreeSet::new(),
            between: Vec::new(),
            command: None,
            standing: None,
            answered: Vec::new(),
            messages_known: false,
            step_timed_out: false,
            told_ahead: None,
            ahead: false,
        }
    }

    /// The thread as a stored checkpoint says.
    pub(crate) fn restore(&self, loaded: &Loaded) -> Result<Live, Error> {
        let mut live = Live::restore(self.core(), loaded)?;
        if let Some(watched) = &self.shared.above.watched {
            let made = Made::restore(Arc::clone(watched), &self.core().schema, loaded);
            let checkpoint = loaded.checkpoint.id;
            let unreadable = |source| Error::UnreadableCheckpoint { checkpoint, source };
            live.made = Some(Box::new(made.map_err(unreadable)?));
        }
        Ok(live)
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.shared.core
    }

    pub(crate) fn base(&self) -> CheckpointId {
        self.live.id.unwrap_or(self.shared.unsaved)
    }

    /// Whether anything is stored.
    pub(crate) fn stores(&self) -> bool {
        self.shared.checkpointer.is_some() && self.shared.place.is_some()
    }

    pub(crate) fn storage(&self) -> Option<(Arc<dyn Checkpointer>, Arc<Place>)> {
        Some((self.shared.checkpointer.clone()?, self.shared.place.clone()?))
    }

    /// Whether what is told of a task or a superstep goes before the storage call that it belongs
    /// to. With a checkpoint per run there is none until the end.
    fn tells_ahead(&self) -> bool {
        self.shared.sink.told_first() && self.stores() && !self.exits_only()
    }

    /// Tells the checkpoint that is about to be handed to storage.
    pub(super) async fn tell_ahead(&mut self, source: Source) -> Result<(), Error> {
        let followed = matches!(source, Source::Loop | Source::Input);
        if followed && self.tells_ahead() {
            self.ahead = true;
            let told = self.tell_last_checkpoint().await;
            self.ahead = false;
            self.told_ahead = self.live.id;
            told?;
        }
        Ok(())
    }

    pub(super) fn finished(&self, status: Status, interrupts: Vec<Interrupt>) -> Finished {
        Finished {
            status,
            values: Arc::clone(&self.live.values),
            interrupts,
            checkpoint: self.live.id,
            to_parent: None,
            made: self.live.made.as_ref().map(|made| made.writes.clone()).unwrap_or_default(),
            instances: self.live.instances.as_deref().cloned().unwrap_or_default(),
            answered: self.answered.clone(),
            drained: match status {
                Status::Drained => self.shared.control.drain_reason().map(str::to_owned),
                _ => None,
            },
        }
    }

    pub(super) async fn run(&mut self) -> Result<Finished, Error> {
        let shared = Arc::clone(&self.shared);
        let core = &*shared.core;
        let mut slots = Vec::new();
        let takes_over = self.shared.limits.takes_over && self.shared.ns.is_empty();
        if takes_over && self.shared.limits.after.matches(core, self.live.ran.iter().copied()) {
            return self.stop_at_breakpoint().await;
        }
        loop {
            let planned = superstep::plan(core, &self.live);
            if self.shows_checkpoints()
                && self.unsaved.is_none()
                && (self.told_ahead.is_none() || self.told_ahead != self.live.id)
            {
                self.tell_checkpoint(&planned).await?;
            }
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
            self.fill(&mut slots, planned)?;
            let waiting = slots.iter().filter(|slot| matches!(slot.state, SlotState::Waiting));
            if self.live.version > self.passed
                && self.shared.limits.before.matches(core, waiting.map(|slot| slot.planned.node))
            {
                return self.stop_at_breakpoint().await;
            }
            // After the breakpoint, so that a drain does not skip it.
            if self.shared.control.drain_reason().is_some() {
                self.save_exit().await?;
                return Ok(self.finished(Status::Drained, Vec::new()));
            }
            if self.shows_starts() {
                self.tell_starts(&slots).await;
            }
            self.execute(&mut slots).await?;
            self.steps += u32::from(!starting);
            if let Some(finished) = self.conclude(&mut slots).await? {
                return Ok(finished);
            }
            if self.shared.limits.after.matches(core, self.live.ran.iter().copied()) {
                if self.unsaved.is_none() {
                    self.tell_last_checkpoint().await?;
                }
                return self.stop_at_breakpoint().await;
            }
        }
    }

    /// Matches planned tasks with what is stored of them.
    fn fill(&mut self, slots: &mut Vec<Slot>, planned: Tasks) -> Result<(), Error> {
        slots.clear();
        slots.extend(planned.into_iter().map(Slot::new));
        if self.records.is_empty() {
            return Ok(());
        }
        let core = Arc::clone(self.core());
        let base = self.base();
        for slot in slots {
            let id = self.task_id(&slot.planned);
            let Some(record) = self.records.remove(&id) else { continue };
            if let Some(commit) = &record.commit {
                let effect = Box::new(Effect::decode(&core, base, commit)?);
                if let Some(instances) = &effect.instances {
                    self.shared.above.claim(instances, self.live.step + 1, id);
                }
                slot.state = SlotState::Done(effect);
            } else {
                // A task whose questions are all open goes on waiting. One that just got an
                // answer runs, even if it has more to ask.
                let answered = self.just_answered.contains(&id);
                if !answered && record.open_interrupts().next().is_some() {
                    slot.state = SlotState::Suspended;
                }
            }
            slot.record = record.into();
        }
        Ok(())
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

    /// Runs all waiting tasks and notes how each ended, in order of ending.
    pub(super) async fn execute(&mut self, slots: &mut [Slot]) -> Result<(), Error> {
        let waiting = |slot: &Slot| matches!(slot.state, SlotState::Waiting);
        let left = slots.iter().filter(|slot| waiting(slot)).count();
        let mut running = Running::new(left > 1);
        for (position, slot) in slots.iter_mut().enumerate().filter(|(_, slot)| waiting(slot)) {
            if !self.attempt_now(slot, position, &mut running) {
                self.attempt(slot, position, &mut running, Duration::ZERO).await?;
            }
        }
        let ended = self.watch(slots, &mut running, left).await;
        if running.is_busy() {
            running.stop(self.sleep(CANCEL_GRACE)).await;
        }
        ended
    }

    /// Notes how tasks end until `left` of them have, or until their time is up.
    pub(super) async fn watch(
        &mut self,
        slots: &mut [Slot],
        running: &mut Running,
        mut left: usize,
    ) -> Result<(), Error> {
        let mut failed = false;
        let mut grace: Option<BoxFuture<'static, ()>> = None;
        let mut step = self.shared.limits.step_timeout.map(|limit| self.sleep(limit));
        while left > 0 {
            // Most nodes end without waiting, and then there is nothing to wait for besides.
            let ended = match futures::poll!(poll_fn(|context| running.poll_next(context))) {
                Poll::Ready(ended) => Some(ended),
                Poll::Pending => tokio::select! {
                    biased;
                    ended = poll_fn(|context| running.poll_next(context)) => Some(ended),
                    () = self.shared.cancel.cancelled(), if grace.is_none() || failed => {
                        failed = false;
                        grace = Some(self.sleep(CANCEL_GRACE));
                        continue;
                    }
                    () = poll_grace(&mut grace), if grace.is_some() => None,
                    () = poll_grace(&mut step), if step.is_some() => {
                        self.step_timed_out = true;
                        None
                    }
                },
            };
            let Some((position, end)) = ended else {
                self.drop_waiting(slots);
                break;
            };
            let end = match end {
                TaskEnd::Failed { .. } => {
                    let slot = &mut slots[position];
                    match self.after_attempt(slot, position, running, end).await? {
                        Some(end) => end,
                        None => continue,
                    }
                }
                end => end,
            };
            left -= 1;
            let slot = &mut slots[position];
            let store = self.note(slot, end, left);
            if store || self.shared.sink.is_read() {
                self.tell_and_store(slot, store).await?;
            }
            if matches!(slots[position].state, SlotState::Failed { .. }) && grace.is_none() {
                match self.shared.limits.siblings {
                    SiblingPolicy::Finish { grace: time } => {
                        failed = true;
                        grace = Some(self.sleep(time));
                    }
                    SiblingPolicy::Cancel => {
                        self.drop_waiting(slots);
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let env = Arc::clone(&self.shared.env);
        Box::pin(async move { env.sleep(time).await })
    }

    /// Notes how a task ended, and says whether that is to be stored now: the last task of a step
    /// is stored with the step.
    fn note(&mut self, slot: &mut Slot, end: TaskEnd, left: usize) -> bool {
        self.identify(slot);
        slot.keep_steps();
        slot.unsaved = true;
        let mut store = left > 0;
        match end {
            TaskEnd::Done { mut effect, answered } => {
                self.warn_of_stale_answers(slot, &answered);
                if !answered.is_empty() || !slot.record.interrupts.is_empty() {
                    slot.record.interrupts = distinct(answered);
                }
                // The hidden START task is no task that anybody resumes or looks at.
                if effect.commit.is_some() && slot.planned.node != START_ID {
                    slot.record.commit = stored_commit(&self.shared.core.schema, &mut effect);
                }
                if slot.record.error.is_some() || slot.record.caught.is_some() {
                    // An error that was handled stays visible.
                    let caught = slot.record.caught.clone();
                    slot.record.error = caught;
                }
                slot.state = SlotState::Done(effect);
            }
            TaskEnd::Suspended { open, answered } => {
                slot.record.interrupts = distinct(answered.into_iter().chain(open).collect());
                let caught = slot.record.caught.clone();
                slot.record.error = caught;
                slot.state = SlotState::Suspended;
                store = true;
            }
            TaskEnd::Failed(failed) => {
                let Failed { failure, inner, answered, .. } = *failed;
                if !answered.is_empty() {
                    slot.record.interrupts = answered;
                }
                slot.record.error = Some(failure);
                slot.state = SlotState::Failed { inner, left };
                store = true;
            }
            TaskEnd::ToParent(command) => {
                // Counts once the parent has it: after a crash before that the task runs again.
                slot.state = SlotState::ToParent(command);
                slot.unsaved = false;
                store = false;
            }
            TaskEnd::Cancelled => {
                self.cancelled(slot);
                store = false;
            }
        }
        slot.keep_answers_below();
        if self.shared.above.caller.is_some() {
            let answers = &slot.record.answers;
            let asked = slot.record.interrupts.iter();
            let taken =
                asked.filter_map(|asked| Some((asked.clone(), answers.get(&asked.id)?.clone())));
            self.answered.extend(taken);
        }
        store
    }

    /// Streams how a task ended, and stores it if it is to be stored now.
    async fn tell_and_store(&mut self, slot: &mut Slot, store: bool) -> Result<(), Error> {
        let ahead = self.tells_ahead();
        if ahead {
            // Whatever was not stored of the task is stored with the superstep or its failure.
            self.ahead = slot.unsaved;
            self.tell_end(slot).await;
            self.ahead = false;
        }
        // With a checkpoint per run there is nothing to keep task results beside until its end.
        if store && self.unsaved.is_none() {
            self.store_record(&slot.record).await?;
            slot.unsaved = false;
        }
        // Told after it is stored, so that a finished sibling a client has seen is not run again
        // after a crash. The task that completes a superstep is stored with the superstep.
        if !ahead {
            self.tell_end(slot).await;
        }
        Ok(())
    }

    /// Gives the slot a record of its own, if results are stored and it has none yet.
    pub(super) fn identify(&self, slot: &mut Slot) {
        if slot.record.node.is_empty() && self.stores() {
            let core = self.core();
            slot.record = TaskRecord::new(
                self.task_id(&slot.planned),
                &core.node(slot.planned.node).name,
                slot.planned.path(core),
            )
            .into();
        }
    }

    /// Time is up: what still runs is dropped and runs again on resume.
    fn drop_waiting(&self, slots: &mut [Slot]) {
        for slot in slots {
            if matches!(slot.state, SlotState::Waiting) {
                self.cancelled(slot);
            }
        }
    }

    /// Notes that a task runs again on resume. Its steps are all that is kept of it, and only
    /// a run that stores nothing before its end has not stored them yet.
    fn cancelled(&self, slot: &mut Slot) {
        self.identify(slot);
        slot.keep_steps();
        slot.unsaved = self.exits_only() && !slot.record.steps.is_empty();
        slot.state = SlotState::Cancelled;
    }

    pub(super) async fn store_record(&mut self, record: &TaskRecord) -> Result<(), Error> {
        if let (Some((checkpointer, place)), Some(id)) = (self.storage(), self.live.id) {
            // The checkpoint that the record stands beside must not come after it.
            self.settle().await?;
            checkpointer.put_task(&place, id, record.clone()).await?;
        }
        Ok(())
    }

    /// Applies a complete superstep, or says how the run ends with an incomplete one.
    async fn conclude(&mut self, slots: &mut Vec<Slot>) -> Result<Option<Finished>, Error> {
        let complete = slots.iter().all(|slot| matches!(slot.state, SlotState::Done(_)));
        if complete {
            return self.barrier(slots).await.map(|()| None);
        }
        // Most tasks were stored as they ended, but not the last one, and with a checkpoint per
        // run none of them.
        self.save_exit().await?;
        for slot in slots.iter() {
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
                    .into_record()
                    .error
                    .unwrap_or_else(|| Failure::new(FailureKind::Node, "failed without a message")),
                inner,
            }));
        }
        if std::mem::take(&mut self.step_timed_out)
            && let Some(limit) = self.shared.limits.step_timeout
        {
            return Err(Error::StepTimeout { step: self.live.step + 1, limit });
        }
        if slots.iter().any(|slot| matches!(slot.state, SlotState::Cancelled)) {
            // A mounted graph that was drained gives its task back unfinished.
            let drained =
                self.shared.control.drain_reason().is_some() && !self.shared.cancel.is_cancelled();
            let status = if drained { Status::Drained } else { Status::Cancelled };
            return Ok(Some(self.finished(status, Vec::new())));
        }
        if slots.iter().any(|slot| matches!(slot.state, SlotState::ToParent(_))) {
            // Ends this graph for good: what siblings wrote or asked is let go.
            let commands = slots.drain(..).filter_map(|slot| match slot.state {
                SlotState::ToParent(command) => Some(*command),
                _ => None,
            });
            let mut finished = self.finished(Status::Done, Vec::new());
            finished.to_parent = commands.reduce(ToParent::and);
            return Ok(Some(finished));
        }
        let interrupts = distinct(
            slots.iter().flat_map(|slot| slot.record.open_interrupts().cloned()).collect(),
        );
        // A graph below that only stopped is a breakpoint of this one as well.
        if !interrupts.is_empty() {
            self.tell_values(&interrupts).await;
        }
        Ok(Some(self.finished(Status::Interrupted, interrupts)))
    }

    /// Applies all results at once and saves the checkpoint.
    async fn barrier(&mut self, slots: &mut Vec<Slot>) -> Result<(), Error> {
        self.empty_fan_out.clear();
        let mut done: SmallVec<[Done<'_>; 1]> = SmallVec::with_capacity(slots.len());
        for Slot { planned, state, .. } in slots.iter_mut() {
            if let SlotState::Done(effect) = std::mem::replace(state, SlotState::Applied) {
                if effect.leads.empty_fan_out {
                    self.empty_fan_out.push(planned.node);
                }
                done.push((planned, effect));
            }
        }
        let starting = matches!(done[..], [(Planned { cause: Cause::Start, .. }, _)]);
        let applied = superstep::apply(&self.shared.core, &mut self.live, &mut done);
        let storing = self.stores();
        let mut written = Written::default();
        if storing && applied.is_ok() {
            written.0.extend(done.drain(..).map(|(_, effect)| effect.commit));
        }
        drop(done);
        let changes = match applied {
            Ok(changes) => changes,
            Err(conflict) => return Err(self.refuse(conflict, slots).await?),
        };
        if !self.records.is_empty() {
            self.records.clear();
        }
        let sink = &self.shared.sink;
        let shown = sink.shown();
        let changed = sink.wants(Mode::Values)
            && (starting || changes.iter().any(|change| shown.has(change.channel)));
        let ahead = self.tells_ahead();
        if changed && ahead {
            self.ahead = true;
            self.tell_values(&[]).await;
            self.ahead = false;
        }
        if storing {
            let records = slots.drain(..).filter(|_| !starting);
            let records = records.map(|slot| slot.record.into_record()).collect();
            self.save(Source::Loop, &changes, &written, records).await?;
        }
        if changed && !ahead {
            self.tell_values(&[]).await;
        }
        Ok(())
    }

    /// Marks the tasks of a conflict as failed and withdraws their results; siblings stay done.
    pub(super) async fn refuse(
        &mut self,
        conflict: superstep::Conflict,
        slots: &mut Vec<Slot>,
    ) -> Result<Error, Error> {
        let core = Arc::clone(self.core());
        if !conflict.values_lost {
            self.save_exit().await?;
        }
        let first = conflict.tasks.first().copied().unwrap_or_default();
        let (node, task_id) = (slots[first].planned.node, self.task_id(&slots[first].planned));
        for (position, slot) in slots.drain(..).enumerate() {
            let mut record = slot.record;
            if conflict.tasks.contains(&position) {
                record.commit = None;
                record.error = Some(conflict.failure.clone());
            }
            self.store_record(&record).await?;
        }
        Ok(Error::Task(TaskFailure {
            node: core.node(node).name.to_string(),
            task_id: task_id.to_string(),
            failure: conflict.failure,
            inner: None,
        }))
    }

    pub(super) async fn stop_at_breakpoint(&mut self) -> Result<Finished, Error> {
        self.save_exit().await?;
        self.tell_breakpoint().await;
        Ok(self.finished(Status::Interrupted, Vec::new()))
    }

    pub(super) fn warn_of_open_ends(&self) {
        let core = self.core();
        for node in &self.empty_fan_out {
            self.shared.warn(Warning::EmptyFanOut { node: core.node(*node).name.to_string() });
        }
        for (join, gathering) in core.joins.iter().zip(&self.live.ready.joins) {
            if gathering.is_partial(join) {
                let missing = gathering.missing(join);
                self.shared.warn(Warning::PartialJoin {
                    target: core.node(join.target).name.to_string(),
                    missing: missing.map(|id| core.node(id).name.to_string()).collect(),
                });
            }
        }
    }

    pub(super) fn warn_of_stale_answers(&self, slot: &Slot, answered: &[Interrupt]) {
        for id in slot.record.answers.keys() {
            let leaf = self.core().node(slot.planned.node).run.as_ref();
            if slot.record.forked_from.is_none()
                && leaf.is_some_and(|run| run.mount().is_none())
                && !answered.iter().any(|interrupt| interrupt.id == *id)
            {
                self.shared.warn(Warning::StaleAnswer {
                    node: self.core().node(slot.planned.node).name.to_string(),
                    id: *id,
                });
            }
        }
    }
}

pub(super) fn distinct(interrupts: Vec<Interrupt>) -> Vec<Interrupt> {
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

pub(super) async fn poll_grace(grace: &mut Option<BoxFuture<'static, ()>>) {
    match grace {
        Some(grace) => grace.await,
        None => std::future::pending().await,
    }
}
