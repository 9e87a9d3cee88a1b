//! The rows of crons, as a database keeps them.

use std::ops::ControlFlow;

use uuid::Uuid;

use super::{Cron, CronSort};
use crate::{Error, Stamp, page::Direction};

/// The rows of crons.
pub trait CronRows {
    /// The cron with this id.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Storage`].
    fn cron(&mut self, id: Uuid) -> Result<Option<Cron>, Error>;

    /// Adds a cron, or replaces the one of this id.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn put_cron(&mut self, cron: &Cron) -> Result<(), Error>;

    /// Removes a cron and what is known of its firing. Says whether it was there.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn remove_cron(&mut self, id: Uuid) -> Result<bool, Error>;

    /// Visits crons in this order, those of an assistant or of a thread only if one is given,
    /// until it is told to stop.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Storage`].
    fn visit_crons(
        &mut self,
        assistant: Option<Uuid>,
        thread: Option<&str>,
        by: CronSort,
        direction: Direction,
        visit: &mut dyn FnMut(Cron) -> ControlFlow<()>,
    ) -> Result<(), Error>;

    /// Enabled crons whose next instant is not after this one, the earliest first.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Storage`].
    fn due_crons(&mut self, until: Stamp, limit: usize) -> Result<Vec<Cron>, Error>;

    /// The earliest next instant of all enabled crons.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn next_cron(&mut self) -> Result<Option<Stamp>, Error>;

    /// Notes that a cron fired for an instant. Says whether it had not yet.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn note_fire(&mut self, cron: Uuid, instant: Stamp, run: Uuid) -> Result<bool, Error>;

    /// Forgets instants before this one.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn forget_fires(&mut self, cron: Uuid, before: Stamp) -> Result<(), Error>;
}
