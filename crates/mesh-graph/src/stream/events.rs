//! The events of a run, apart from the run.

use std::task::{Context, Poll};

use super::{event::Event, reader::Reader};

/// The events of a run that is driven by somebody else; see [`crate::Run::split`].
pub struct Events {
    reader: Reader,
    /// The next one, looked at and not taken yet.
    next: Option<Box<Event>>,
}

impl Events {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader, next: None }
    }

    /// The next event, if it was told already. It stays the next one until it is taken.
    pub fn peek(&mut self) -> Option<&Event> {
        if self.next.is_none() {
            self.next = self.reader.try_next();
        }
        self.next.as_deref()
    }

    /// Takes the next event, if it was told already.
    pub fn try_next(&mut self) -> Option<Box<Event>> {
        self.next.take().or_else(|| self.reader.try_next())
    }

    /// Ready once there is an event to take, with true, or none will come, with false.
    pub fn poll_told(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.next.is_none() {
            self.next = std::task::ready!(self.reader.poll_next(context));
        }
        Poll::Ready(self.next.is_some())
    }

    /// Takes the next event, or none when the run has ended.
    ///
    /// # Cancel safety
    /// No event is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Box<Event>> {
        std::future::poll_fn(|context| self.poll_told(context)).await;
        self.next.take()
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("next", &self.next).finish_non_exhaustive()
    }
}
