//! A run that was started, and how a run ended.

use std::{
    marker::PhantomData,
    sync::{Arc, Mutex},
};

use serde_json::Value as Json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    channel::{KeyError, Schema, Values},
    checkpoint::CheckpointId,
    control::Control,
    error::{Error, Failure},
    interrupt::Interrupt,
    names::INTERRUPT,
    run::{Finished, Status, Warning},
    state::{State, View},
    stream::{Event, Reader, Shown},
};

/// A run that was started. Dropping it drops the running nodes; finished work is kept.
pub struct RunHandle<S> {
    pub(super) run_id: Arc<str>,
    pub(super) warnings: Arc<Mutex<Vec<Warning>>>,
    pub(super) schema: Arc<Schema>,
    pub(super) shown: Option<Shown>,
    pub(super) cancel: CancellationToken,
    pub(super) control: Control,
    pub(super) events: Reader,
    pub(super) task: JoinSet<Result<Finished, Error>>,
    pub(super) state: PhantomData<fn() -> S>,
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

    /// Asks the run to end; nodes have [`crate::CANCEL_GRACE`] to finish by themselves.
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
    pub(super) fn new(
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
    /// [`crate::Run::output_keys`] with one key: its bare value, null before the first write.
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

impl<S> Outcome<S> {
    /// The whole state as a JSON object; keys that were never written are absent.
    ///
    /// # Errors
    /// When a value has no JSON form.
    pub fn state_json(&self) -> Result<Json, KeyError> {
        self.schema.to_json(&self.values, |_, _| true)
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
