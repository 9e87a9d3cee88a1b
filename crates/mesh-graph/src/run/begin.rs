//! How a run begins: with an input, with what is unfinished, or with a command.
//!
//! Semantics: LangGraph's first phase of the loop; see "how we differ" for the exceptions.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use serde_json::Value as Json;

use crate::{
    checkpoint::{CheckpointId, ForkedFrom, Name, Place, Source, TaskId, TaskPath, TaskRecord},
    checkpointer::Loaded,
    error::{Error, Failure},
    graph::START_ID,
    ids,
    interrupt::{Interrupt, InterruptId, Resume},
    live::{Effect, Ready, StartInput, stored_commit},
    superstep::{self, Change, Planned},
};

use super::{
    Finished, OnPending, Request, Status,
    driver::{Driver, distinct},
    saving::Written,
    telling::Standing,
};

pub(super) enum Begun {
    /// There is work.
    Ready,
    /// The thread is finished and nothing was asked for.
    Idle,
}

impl Driver {
    pub(super) async fn begin(
        &mut self,
        request: Request,
        at: Option<CheckpointId>,
    ) -> Result<Begun, Error> {
        let request = match request {
            Request::Anew(start) => {
                self.branching = true;
                return self.begin_new(Request::Input(start)).await;
            }
            Request::Reanswer { from, at } => return self.reanswer(from, at).await,
            request => request,
        };
        let loaded = match self.storage() {
            Some((checkpointer, place)) => {
                let loaded = checkpointer.load(&place, at).await?;
                match (at, &loaded) {
                    (Some(checkpoint), None) => {
                        let thread = place.thread.clone();
                        return Err(Error::UnknownCheckpoint { thread, checkpoint });
                    }
                    _ => loaded,
                }
            }
            None => None,
        };
        let Some(loaded) = loaded else { return self.begin_new(request).await };
        self.live = self.restore(&loaded)?;
        self.standing = Some(Standing::on(&loaded.checkpoint));
        self.branching = at.is_some();
        match request {
            Request::Input(start) => {
                if self.shared.limits.on_pending == OnPending::Reject {
                    self.live.must_be_whole()?;
                }
                let again = loaded.checkpoint.run_id.as_deref() == Some(&*self.shared.run_id);
                if again && self.shared.ns.is_empty() && at.is_none() {
                    // The same call sent twice: its input was taken the first time.
                    self.live.must_be_whole()?;
                    self.adopt(loaded.tasks)?;
                    return self.resume().await;
                }
                if at.is_none() {
                    // What a command wrote was accepted: it is part of the state that the new
                    // input finds.
                    let (commands, tasks) =
                        loaded.tasks.into_iter().partition(|task| task.id == TaskId::NULL);
                    self.adopt(commands)?;
                    self.give_up_pending(tasks)?;
                }
                self.take_input(start).await?;
                Ok(Begun::Ready)
            }
            Request::Continue => {
                self.live.must_be_whole()?;
                // Nothing may have been run from it: tasks of the same ids would find what they left.
                // What came after it need not have left records, so it has to be the newest.
                let fresh_fork = at.is_some()
                    && matches!(loaded.checkpoint.source, Source::Fork | Source::Update)
                    && loaded.tasks.is_empty()
                    && self.head().await? == at;
                if at.is_some() && !fresh_fork {
                    if self.live.ready.is_idle() {
                        return Ok(Begun::Idle);
                    }
                    self.fork().await?;
                } else {
                    let own = loaded.checkpoint.run_id.as_deref() == Some(&*self.shared.run_id);
                    if self.shared.limits.takes_over && own {
                        self.steps = loaded.checkpoint.run_steps;
                    }
                    self.adopt(loaded.tasks)?;
                    self.give(&self.shared.answers()).await?;
                }
                self.resume().await
            }
            Request::Command { resume, start } => {
                self.live.must_be_whole()?;
                self.command(loaded, resume, start, at).await
            }
            Request::Anew(_) | Request::Reanswer { .. } => Err(Error::EmptyInput),
        }
    }

    /// Does with the unfinished superstep what the run says, before a new input is taken.
    fn give_up_pending(&mut self, tasks: Vec<TaskRecord>) -> Result<(), Error> {
        let on_pending = self.shared.limits.on_pending;
        if on_pending == OnPending::Discard || self.live.ready.is_idle() {
            return Ok(());
        }
        let core = Arc::clone(self.core());
        let base = self.base();
        let planned = superstep::plan(&core, &self.live);
        if on_pending == OnPending::Reject {
            let nodes = planned.iter().map(|task| core.node(task.node).name.to_string());
            return Err(Error::PendingTasks { nodes: nodes.collect() });
        }
        let mut done = Vec::new();
        for planned in &planned {
            let id = self.task_id(planned);
            let record = tasks.iter().find(|record| record.id == id);
            if let Some(commit) = record.and_then(|record| record.commit.as_ref()) {
                let updates = Effect::decode(&core, base, commit)?.updates;
                done.push((planned, Box::new(Effect { updates, ..Effect::default() })));
            }
        }
        if done.is_empty() {
            return Ok(());
        }
        let changes = superstep::apply_between(&core, &mut self.live, &mut done)
            .map_err(|conflict| Error::InvalidInput(conflict.failure))?;
        self.between.extend(changes.iter().map(|change| change.channel));
        Ok(())
    }

    /// The newest checkpoint of the place.
    async fn head(&mut self) -> Result<Option<CheckpointId>, Error> {
        let Some((checkpointer, place)) = self.storage() else { return Ok(None) };
        Ok(checkpointer.load(&place, None).await?.map(|head| head.checkpoint.id))
    }

    pub(super) async fn begin_new(&mut self, request: Request) -> Result<Begun, Error> {
        let start = match request {
            Request::Input(start) => start,
            Request::Command { resume: None, start } if !start.is_empty() => start,
            Request::Command { resume: Some(_), .. } if self.shared.checkpointer.is_none() => {
                return Err(Error::NoCheckpointer);
            }
            Request::Command { resume: Some(_), .. } => return Err(Error::NothingToResume),
            Request::Continue
            | Request::Command { .. }
            | Request::Anew(_)
            | Request::Reanswer { .. } => return Err(Error::EmptyInput),
        };
        self.take_input(start).await?;
        Ok(Begun::Ready)
    }

    /// Accepts an input: unfinished tasks and half-filled joins of the turn before are discarded.
    pub(crate) async fn take_input(&mut self, start: StartInput) -> Result<(), Error> {
        self.live.ready = Ready::new(self.core());
        self.live.gone = None;
        self.live.step += 1;
        let mut changes = Vec::new();
        if self.core().schema.sole_input().is_some() {
            // The input is one value that nothing merges: it needs no superstep of its own.
            changes = self.enter(start)?;
        } else {
            self.live.ready.input = Some(Arc::new(start));
            self.live.version += 1;
            self.live.updated.clear();
        }
        if let Some(made) = &mut self.live.made {
            made.restart();
        }
        if self.shared.above.caller.is_some() {
            // Below a task it knows only what it enters itself; the rest is its ancestors'.
            self.live.instances = None;
        }
        self.save(Source::Input, &changes, &Written::default(), Vec::new()).await
    }

    /// Applies an input at once and follows the edges of START.
    fn enter(&mut self, start: StartInput) -> Result<Vec<Change>, Error> {
        let core = Arc::clone(self.core());
        let mut effect = start.into_effect();
        effect.leads.nodes.extend_from_slice(&core.node(START_ID).exits.edges);
        let planned = Planned::stand_in(START_ID);
        superstep::apply_between(&core, &mut self.live, &mut [(&planned, Box::new(effect))])
            .map_err(|conflict| Error::InvalidInput(conflict.failure))
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

    pub(super) async fn resume(&mut self) -> Result<Begun, Error> {
        if self.live.ready.is_idle() {
            return Ok(Begun::Idle);
        }
        // Resuming passes the breakpoint that the thread stands at. Who stands in for an execution
        // that was lost before it said so stops there.
        if !(self.shared.limits.takes_over && self.shared.ns.is_empty()) {
            self.passed = self.live.version;
        }
        self.observe(
            |observer, pause| observer.on_resume(pause),
            || {
                let unfinished = self.records.values().filter(|record| record.commit.is_none());
                let answered = unfinished.flat_map(|record| {
                    let interrupts = record.interrupts.iter();
                    interrupts.filter(|interrupt| record.answers.contains_key(&interrupt.id))
                });
                answered.cloned().collect::<Vec<_>>()
            },
        );
        if self.core().schema.sole_output().is_none() {
            // A single value is told when it is there.
            self.tell_values(&[]).await;
        }
        Ok(Begun::Ready)
    }

    pub(super) async fn command(
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
                let asked = self.records.values().flat_map(|record| record.interrupts.clone());
                let answers = resume.settle(&distinct(asked.collect()), &[])?;
                let ns = self.shared.ns_text.to_string();
                self.answer_again(&answers, &ns).await?;
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
    pub(super) async fn answer(
        &mut self,
        resume: Resume,
        open: Vec<Interrupt>,
    ) -> Result<(), Error> {
        let open = distinct(open);
        let answered: Vec<InterruptId> =
            self.records.values().flat_map(|record| record.answers.keys().copied()).collect();
        let answers = resume.settle(&open, &answered)?;
        self.give(&answers).await?;
        *self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(answers);
        Ok(())
    }

    /// Puts answers beside the questions of the loaded tasks, durably.
    pub(super) async fn give(
        &mut self,
        answers: &BTreeMap<InterruptId, Json>,
    ) -> Result<(), Error> {
        let storage = self.storage();
        for record in self.records.values_mut() {
            let before = record.answers.len();
            for interrupt in &record.interrupts {
                if let Some(answer) = answers.get(&interrupt.id) {
                    record.answers.entry(interrupt.id).or_insert_with(|| answer.clone());
                }
            }
            if record.answers.len() == before {
                continue;
            }
            self.just_answered.insert(record.id);
            if let (Some((checkpointer, place)), Some(id)) = (&storage, self.live.id) {
                checkpointer.put_task(place, id, record.clone()).await?;
            }
        }
        Ok(())
    }

    /// Answers questions of an older checkpoint that were answered before: a branch in which the
    /// new answers stand. `ns` is where that checkpoint is. Other answers of the same task are
    /// taken over; a graph below it goes on where it asked.
    async fn answer_again(
        &mut self,
        answers: &BTreeMap<InterruptId, Json>,
        ns: &str,
    ) -> Result<(), Error> {
        let old: Vec<TaskRecord> = self.records.values().cloned().collect();
        self.fork().await?;
        let core = Arc::clone(self.core());
        for planned in superstep::plan(&core, &self.live) {
            let path = planned.path(&core);
            let Some(old) = old.iter().find(|record| record.path == path) else { continue };
            if !old.interrupts.iter().any(|interrupt| answers.contains_key(&interrupt.id)) {
                continue;
            }
            let id = self.task_id(&planned);
            let task_ns = |ns: &str, id| {
                let own = format!("{}:{id}", old.node);
                if ns.is_empty() { own } else { format!("{ns}|{own}") }
            };
            let old_ns = task_ns(ns, old.id);
            let new_ns = task_ns(&self.shared.ns_text, id);
            let mut record = TaskRecord::new(id, &old.node, path);
            let mut ordinal = 0;
            for interrupt in &old.interrupts {
                let key = interrupt.key.as_deref();
                if InterruptId::of(&old_ns, key, ordinal) != interrupt.id {
                    // A graph below asked. It is found by the old id and asks under its own.
                    if let Some(answer) = answers.get(&interrupt.id) {
                        record.answers.insert(interrupt.id, answer.clone());
                    }
                    continue;
                }
                let id = InterruptId::of(&new_ns, key, ordinal);
                ordinal += usize::from(key.is_none());
                let answer = answers.get(&interrupt.id).or_else(|| old.answers.get(&interrupt.id));
                if let Some(answer) = answer {
                    record.answers.insert(id, answer.clone());
                }
                record.interrupts.push(Interrupt { id, ..interrupt.clone() });
            }
            record.forked_from = Some(ForkedFrom { task: old.id, ns: old_ns });
            if let (Some((checkpointer, place)), Some(id)) = (self.storage(), self.live.id) {
                self.settle().await?;
                checkpointer.put_task(&place, id, record.clone()).await?;
            }
            self.records.insert(record.id, record);
        }
        Ok(())
    }

    /// Begins below a task that was forked for a new answer, where the graph below the old task
    /// asked.
    async fn reanswer(&mut self, from: Place, at: CheckpointId) -> Result<Begun, Error> {
        let Some((checkpointer, place)) = self.storage() else {
            return Err(Error::NoCheckpointer);
        };
        let Some(loaded) = checkpointer.load(&from, Some(at)).await? else {
            return Err(Error::UnknownCheckpoint { thread: from.thread, checkpoint: at });
        };
        self.live = self.restore(&loaded)?;
        self.live.must_be_whole()?;
        self.branching = true;
        if from != *place {
            // What the other place has stored is not found from here: all of it is stored again.
            self.live.id = None;
            self.live.foreign.clear();
            let stored = 0..self.live.entries.len();
            self.between.extend(stored.filter(|channel| self.live.entries[*channel].is_some()));
            if let Some(made) = &mut self.live.made {
                made.forget_place();
            }
        }
        self.adopt(loaded.tasks)?;
        let asked: Vec<InterruptId> = self
            .records
            .values()
            .flat_map(|record| &record.interrupts)
            .map(|interrupt| interrupt.id)
            .collect();
        let mut answers = (*self.shared.answers()).clone();
        answers.retain(|id, _| asked.contains(id));
        self.answer_again(&answers, &from.ns).await?;
        self.resume().await
    }

    /// Applies a command's update and gotos to the state between two supersteps.
    pub(super) async fn write_between(
        &mut self,
        start: StartInput,
        finished: bool,
    ) -> Result<(), Error> {
        let core = Arc::clone(self.core());
        let mut effect = start.into_effect();
        // What comes from outside is nobody's second attempt: its parts get fresh ids.
        let seed = TaskId(self.shared.env.new_id());
        ids::prepare(&core, &mut effect.updates, &|| seed).map_err(Error::InvalidInput)?;
        effect
            .make_storable(&core)
            .encode()
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
            .unwrap_or_else(|| TaskRecord::new(TaskId::NULL, "", TaskPath::Pull(Name::EMPTY)));
        if let Some(new) = stored_commit(&core.schema, &mut effect) {
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
    pub(super) fn apply_command(&mut self, effect: Effect) -> Result<(), Error> {
        let core = Arc::clone(self.core());
        let planned = Planned::stand_in(START_ID);
        let changes =
            superstep::apply_between(&core, &mut self.live, &mut [(&planned, Box::new(effect))])
                .map_err(|conflict| Error::InvalidInput(conflict.failure))?;
        self.between.extend(changes.iter().map(|change| change.channel));
        Ok(())
    }

    /// Nothing to run: tells the state that is there.
    pub(super) async fn idle(&mut self) -> Result<Finished, Error> {
        // A command may have changed the state and led nowhere.
        self.save_exit().await?;
        if self.shared.ns.is_empty() {
            self.tell_values(&[]).await;
        }
        Ok(self.finished(Status::Done, Vec::new()))
    }
}

impl StartInput {
    pub(super) fn is_empty(&self) -> bool {
        self.update.is_empty() && self.leads.nodes.is_empty() && self.leads.sends.is_empty()
    }

    pub(super) fn into_effect(self) -> Effect {
        let updates = if self.update.is_empty() { Vec::new() } else { vec![self.update] };
        Effect { updates, leads: self.leads, ..Effect::default() }
    }
}
