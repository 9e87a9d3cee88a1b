//! A task of the superstep under way: what is known of it, and how far it is.

use std::sync::PoisonError;

use crate::{
    context::TaskContext, error::Error, live::Effect, parent::ToParent, superstep::Planned,
};

use super::noted::Noted;

/// A task of the current superstep.
pub(super) struct Slot {
    pub(super) planned: Planned,
    pub(super) record: Noted,
    /// The record holds something that storage does not have.
    pub(super) unsaved: bool,
    pub(super) state: SlotState,
    /// The execution that is under way or has ended.
    pub(super) task: Option<TaskContext>,
    /// Attempts that were begun, of the node or, once that has failed for good, of its handler.
    pub(super) attempt: u32,
    pub(super) first_at_ms: Option<i64>,
}

impl Slot {
    pub(super) fn new(planned: Planned) -> Self {
        Self {
            planned,
            record: Noted::default(),
            unsaved: false,
            state: SlotState::Waiting,
            task: None,
            attempt: 0,
            first_at_ms: None,
        }
    }

    /// Takes over the durable steps that the task has had so far.
    pub(super) fn keep_steps(&mut self) {
        if let Some(steps) = self.task.as_ref().and_then(|task| task.0.steps.get()) {
            self.record.steps = steps.records();
        }
    }

    /// Takes over the questions and answers of graphs below that the task was not told of.
    pub(super) fn keep_answers_below(&mut self) {
        let Some(course) = self.task.as_ref().and_then(|task| task.0.course.get()) else { return };
        let mut below = course.below.lock().unwrap_or_else(PoisonError::into_inner);
        let below = std::mem::take(&mut *below);
        for (interrupt, answer) in below {
            self.record.answers.entry(interrupt.id).or_insert(answer);
            if !self.record.interrupts.iter().any(|known| known.id == interrupt.id) {
                self.record.interrupts.push(interrupt);
            }
        }
    }
}

pub(super) enum SlotState {
    Waiting,
    /// It was done, and what it gave is part of the state.
    Applied,
    Done(Box<Effect>),
    Suspended,
    /// It has a command for the parent graph.
    ToParent(Box<ToParent>),
    Failed {
        inner: Option<Box<Error>>,
        /// Tasks that were still running: tells the first failure in time.
        left: usize,
    },
    Cancelled,
}
