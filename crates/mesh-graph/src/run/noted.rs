//! The record of a task, made when there is something to note: most tasks of a run that stores
//! nothing never have any.

use std::ops::{Deref, DerefMut};

use crate::checkpoint::TaskRecord;

/// A record that reads as an empty one until something is written to it.
#[derive(Default)]
pub(super) struct Noted(Option<Box<TaskRecord>>);

/// What is known of a task nothing is known of.
static NOTHING: TaskRecord = TaskRecord::nothing();

impl Noted {
    /// The record, if anything was noted.
    pub(super) fn noted(&self) -> Option<&TaskRecord> {
        self.0.as_deref()
    }

    pub(super) fn into_record(self) -> TaskRecord {
        self.0.map_or_else(TaskRecord::nothing, |record| *record)
    }
}

impl From<TaskRecord> for Noted {
    fn from(record: TaskRecord) -> Self {
        Self(Some(Box::new(record)))
    }
}

impl Deref for Noted {
    type Target = TaskRecord;
    fn deref(&self) -> &TaskRecord {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for Noted {
    fn deref_mut(&mut self) -> &mut TaskRecord {
        self.0.get_or_insert_with(|| Box::new(TaskRecord::nothing()))
    }
}
