//! What the driver itself tells the streams. Nothing is built for a stream that nobody reads.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value as Json, json};

use crate::{
    channel::Values,
    checkpoint::{Checkpoint, CheckpointId, Source, TaskRecord},
    error::Error,
    graph::START_ID,
    interrupt::Interrupt,
    live::{Effect, decode_writes},
    node::Input,
    state::Update,
    stream::{self, Body, Event, Mode, NextTask, Said, Task, Told},
    superstep::{self, Planned},
};

use super::{
    Finished, Status,
    driver::Driver,
    slot::{Slot, SlotState},
};

/// What is known of the checkpoint that a run stands on, besides the state.
pub(crate) struct Standing {
    source: Source,
    /// The entries it was stored with; none for a checkpoint of this run.
    stored: Option<Stored>,
}

pub(crate) struct Stored {
    metadata: Arc<BTreeMap<String, Json>>,
    parents: Arc<BTreeMap<String, CheckpointId>>,
}

impl Standing {
    /// On a checkpoint of this run.
    pub(crate) fn own(source: Source) -> Self {
        Self { source, stored: None }
    }

    /// On a checkpoint that was loaded.
    pub(crate) fn on(checkpoint: &Checkpoint) -> Self {
        let stored =
            Stored { metadata: checkpoint.metadata.clone(), parents: checkpoint.parents.clone() };
        Self { source: checkpoint.source, stored: Some(stored) }
    }
}

impl Driver {
    fn wants(&self, mode: Mode) -> bool {
        self.shared.sink.wants(mode)
    }

    /// Whether checkpoints are told.
    pub(super) fn shows_checkpoints(&self) -> bool {
        self.wants(Mode::Checkpoints) || self.wants(Mode::Debug)
    }

    /// Whether tasks are told.
    fn shows_tasks(&self) -> bool {
        self.wants(Mode::Tasks) || self.wants(Mode::Debug)
    }

    /// Whether anything is told of tasks that begin.
    pub(super) fn shows_starts(&self) -> bool {
        self.shared.sink.ordered() || self.wants(Mode::Messages) || self.shows_tasks()
    }

    /// Sends an event, which is made at once.
    fn send(
        &self,
        mode: Mode,
        step: i64,
        task: Option<Task>,
        body: Body,
    ) -> impl Future<Output = ()> + Send + '_ {
        let at_ms = self.shared.env.now_ms();
        let mut event = Box::new(Event::new(mode, &self.shared.ns, step, task, at_ms, body));
        event.ahead = self.ahead;
        self.shared.sink.send(event)
    }

    /// Tells the streams `mode` and `debug`, which share their payloads.
    async fn tell(&mut self, mode: Mode, step: i64, task: Option<Task>, told: Told) {
        let told = Arc::new(told);
        for mode in [mode, Mode::Debug] {
            if self.wants(mode) {
                self.send(mode, step, task.clone(), Body::Told(Arc::clone(&told))).await;
            }
        }
    }

    fn task(&self, slot: &Slot) -> Task {
        let id = match &slot.task {
            Some(task) => task.id(),
            None => self.task_id(&slot.planned),
        };
        let node = slot.task.as_ref().map_or(slot.planned.node, |task| task.0.node);
        Task { id, node: Arc::clone(&self.core().node(node).name), attempt: slot.attempt.max(1) }
    }

    /// The state, and the questions that the run ends with. What of it has no JSON form is shown
    /// as null.
    pub(super) async fn tell_values(&mut self, interrupts: &[Interrupt]) {
        if self.wants(Mode::Values) {
            let body = Body::Values {
                schema: Arc::clone(&self.core().schema),
                shown: self.shared.sink.shown().clone(),
                values: Arc::clone(&self.live.values),
                interrupts: interrupts.into(),
            };
            self.send(Mode::Values, self.live.step, None, body).await;
        }
    }

    /// The checkpoint that the run stands on, with the tasks that are next.
    pub(super) async fn tell_checkpoint(&mut self, planned: &[Planned]) -> Result<(), Error> {
        if !self.shows_checkpoints() {
            return Ok(());
        }
        let (Some((_, place)), Some(id), Some(standing)) =
            (self.storage(), self.live.id, &self.standing)
        else {
            return Ok(());
        };
        let mut tasks = Vec::with_capacity(planned.len());
        for planned in planned {
            tasks.push(self.next_task(id, planned)?);
        }
        let (metadata, parents) = match &standing.stored {
            Some(stored) => (stored.metadata.clone(), stored.parents.clone()),
            None => (self.shared.metadata.clone(), self.shared.parents.clone()),
        };
        let told = Told::Checkpoint {
            core: Arc::clone(self.core()),
            place,
            id,
            parent: self.live.parent,
            source: standing.source,
            step: self.live.step,
            parents,
            metadata,
            values: Arc::clone(&self.live.values),
            tasks,
        };
        self.tell(Mode::Checkpoints, self.live.step, None, told).await;
        Ok(())
    }

    fn next_task(&self, checkpoint: CheckpointId, planned: &Planned) -> Result<NextTask, Error> {
        let id = self.task_id(planned);
        let mut next =
            NextTask { id, node: planned.node, updates: None, error: None, interrupts: Vec::new() };
        if let Some(record) = self.records.get(&id) {
            next.interrupts.clone_from(&record.interrupts);
            next.error.clone_from(&record.error);
            next.updates = self.stored_updates(checkpoint, record)?;
        }
        Ok(next)
    }

    fn stored_updates(
        &self,
        checkpoint: CheckpointId,
        record: &TaskRecord,
    ) -> Result<Option<Vec<Update>>, Error> {
        let schema = &self.core().schema;
        let decode = |commit: &crate::checkpoint::TaskCommit| {
            commit.updates.iter().map(|writes| decode_writes(schema, writes)).collect()
        };
        record
            .commit
            .as_ref()
            .map(decode)
            .transpose()
            .map_err(|source| Error::UnreadableCheckpoint { checkpoint, source })
    }

    /// The checkpoint of a run that stops without planning on.
    pub(super) async fn tell_last_checkpoint(&mut self) -> Result<(), Error> {
        if self.shows_checkpoints() {
            let planned = superstep::plan(self.core(), &self.live);
            self.tell_checkpoint(&planned).await?;
        }
        Ok(())
    }

    /// The tasks that are about to run, in task order, and what their streams have to know.
    pub(super) async fn tell_starts(&mut self, slots: &[Slot]) {
        if self.wants(Mode::Messages) {
            self.tell_known_messages(slots).await;
        }
        self.tell_task_starts(slots).await;
        let waiting = || slots.iter().filter(|slot| matches!(slot.state, SlotState::Waiting));
        if self.shared.sink.ordered() && waiting().nth(1).is_some() {
            let tasks = waiting().map(|slot| self.task(slot).id).collect();
            self.send(Mode::Tasks, self.live.step + 1, None, Body::Step(tasks)).await;
        }
    }

    /// Messages that are there already are not shown when a node returns them. All later ones have
    /// been shown: only what nodes return becomes part of the state.
    async fn tell_known_messages(&mut self, slots: &[Slot]) {
        let core = Arc::clone(self.core());
        if !core.schema.has_messages() || slots.iter().any(|slot| slot.planned.node == START_ID) {
            return;
        }
        let mut known = Vec::new();
        if !std::mem::replace(&mut self.messages_known, true) {
            known.extend(stream::known(&core.schema, &self.live.values));
        }
        for slot in slots {
            if let Input::Arg(arg) = slot.planned.input(&self.live)
                && let Some(values) = arg.downcast_ref::<Values>()
            {
                known.extend(stream::known(&core.schema, values));
            }
            if let SlotState::Done(effect) = &slot.state {
                let written = stream::written(&core.schema, &effect.updates);
                known.extend(written.iter().filter_map(stream::message_id).map(str::to_owned));
            }
        }
        if !known.is_empty() {
            self.send(Mode::Messages, self.live.step + 1, None, Body::Known(known)).await;
        }
    }

    async fn tell_task_starts(&mut self, slots: &[Slot]) {
        if !self.shows_tasks() {
            return;
        }
        let waiting = slots
            .iter()
            .filter(|slot| matches!(slot.state, SlotState::Waiting) && self.shows(slot));
        let waiting: Vec<&Slot> = waiting.collect();
        for slot in waiting {
            let task = self.task(slot);
            let told = Told::Start {
                core: Arc::clone(self.core()),
                node: slot.planned.node,
                id: task.id,
                cause: slot.planned.cause.clone(),
                input: slot.planned.input(&self.live),
            };
            self.tell(Mode::Tasks, self.live.step + 1, Some(task), told).await;
        }
    }

    /// An error handler that is about to run, as the task it is.
    pub(super) async fn tell_handler(&mut self, slot: &Slot) {
        if let Some(context) = &slot.task
            && self.shows_tasks()
        {
            let task = self.task(slot);
            let told = Told::Start {
                core: Arc::clone(self.core()),
                node: context.0.node,
                id: task.id,
                cause: context.0.cause.clone(),
                input: self.input(slot),
            };
            self.tell(Mode::Tasks, self.live.step + 1, Some(task), told).await;
        }
    }

    /// A task that failed for good and whose error is about to be handled.
    pub(super) async fn tell_caught(&mut self, slot: &Slot) {
        if self.shows_tasks() {
            let task = self.task(slot);
            let told = Told::Result {
                core: Arc::clone(self.core()),
                node: slot.planned.node,
                id: task.id,
                updates: Vec::new(),
                error: slot.record.caught.clone(),
                interrupts: Vec::new(),
                cached: false,
            };
            self.tell(Mode::Tasks, self.live.step + 1, Some(task), told).await;
        }
    }

    /// Whether streams show the task at all.
    fn shows(&self, slot: &Slot) -> bool {
        slot.planned.node != START_ID && !self.core().node(slot.planned.node).tags.hidden
    }

    /// How a task ended: the messages of its update, the update or its questions, its result.
    pub(super) async fn tell_end(&mut self, slot: &Slot) {
        if self.shared.sink.merges() {
            let task = self.task(slot).id;
            self.shared.sink.flush_task(task).await;
        }
        let shown = self.shows(slot);
        if shown && self.wants(Mode::Messages) {
            self.tell_messages(slot).await;
        }
        let suspended = matches!(slot.state, SlotState::Suspended);
        if (shown || suspended) && (self.wants(Mode::Updates) || self.shows_tasks()) {
            self.tell_result(slot, shown).await;
        }
        if self.shared.sink.ordered() {
            // The place of a task whose error was handled is its own, not its handler's.
            let task = Task { id: self.task_id(&slot.planned), ..self.task(slot) };
            self.send(Mode::Tasks, self.live.step + 1, Some(task), Body::Ended).await;
        }
    }

    async fn tell_messages(&mut self, slot: &Slot) {
        let (SlotState::Done(effect), Some(context)) = (&slot.state, &slot.task) else { return };
        let messages = stream::written(&self.core().schema, &effect.updates);
        if messages.is_empty() {
            return;
        }
        let facts = context.facts(&Map::new());
        let task = self.task(slot);
        for message in messages {
            let body = Body::Message { message, facts: Arc::clone(&facts), returned: true };
            self.send(Mode::Messages, self.live.step + 1, Some(task.clone()), body).await;
        }
    }

    async fn tell_result(&mut self, slot: &Slot, shown: bool) {
        let effect: Option<&Effect> = match &slot.state {
            SlotState::Done(effect) => Some(effect),
            SlotState::Suspended | SlotState::Failed { .. } | SlotState::ToParent(_) => None,
            SlotState::Waiting | SlotState::Applied | SlotState::Cancelled => return,
        };
        let suspended = matches!(slot.state, SlotState::Suspended);
        let open = || slot.record.open_interrupts().filter(|_| suspended).cloned();
        let step = self.live.step + 1;
        let task = self.task(slot);
        if self.wants(Mode::Updates) {
            // A command to the parent is told where it takes effect.
            if let Some(effect) = effect {
                let body = Body::Updates {
                    schema: Arc::clone(&self.core().schema),
                    shown: self.shared.sink.shown().clone(),
                    updates: effect.updates.clone(),
                    cached: effect.cached,
                };
                self.send(Mode::Updates, step, Some(task.clone()), body).await;
            } else if suspended {
                self.send(
                    Mode::Updates,
                    step,
                    Some(task.clone()),
                    Body::Interrupts(open().collect()),
                )
                .await;
            }
        }
        if shown && self.shows_tasks() {
            let told = Told::Result {
                core: Arc::clone(self.core()),
                node: slot.task.as_ref().map_or(slot.planned.node, |task| task.0.node),
                id: task.id,
                updates: effect.map(|effect| effect.updates.clone()).unwrap_or_default(),
                error: slot.record.error.clone().filter(|_| effect.is_none() && !suspended),
                interrupts: open().collect(),
                cached: effect.is_some_and(|effect| effect.cached),
            };
            self.tell(Mode::Tasks, step, Some(task), told).await;
        }
    }

    /// The run stops here because it was told to, not because somebody asks.
    pub(super) async fn tell_breakpoint(&mut self) {
        if self.wants(Mode::Updates) {
            self.send(Mode::Updates, self.live.step + 1, None, Body::Interrupts([].into())).await;
        }
    }

    /// The graph begins to run.
    pub(super) async fn tell_started(&mut self) {
        if self.wants(Mode::Lifecycle) {
            self.tell_lifecycle("started", None).await;
        }
    }

    /// How the graph ended.
    pub(super) async fn tell_ended(&mut self, end: &Result<Finished, Error>) {
        if self.wants(Mode::Lifecycle) {
            match end {
                Ok(finished) => {
                    let event = match finished.status {
                        Status::Done => "completed",
                        Status::Interrupted | Status::Cancelled => "interrupted",
                        Status::Drained => "drained",
                    };
                    self.tell_lifecycle(event, None).await;
                }
                Err(error) => self.tell_lifecycle("failed", Some(error)).await,
            }
        }
    }

    async fn tell_lifecycle(&mut self, event: &str, error: Option<&Error>) {
        let shared = &self.shared;
        let mut data = json!({
            "event": event,
            "namespace": &*shared.ns,
            "graph_name": &*shared.core.name,
        });
        if let Some(task) = shared.above.caller {
            data["trigger_call_id"] = json!(task);
        }
        let error = error.map(|error| {
            let public = match error.root_cause() {
                Error::Task(task) if task.failure.code.is_some() => {
                    Some(task.failure.message.clone())
                }
                _ => None,
            };
            Arc::new(Said { full: error.to_string(), public })
        });
        self.send(Mode::Lifecycle, self.live.step, None, Body::Lifecycle { data, error }).await;
    }
}
