//! The receiving end of a run's stream: numbers, order, and no message twice.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::sync::mpsc;

use crate::run::Warning;

use super::{
    event::{Body, Event},
    messages,
    ordered::Order,
    piece::PieceFrame,
};

/// What a run handle reads from.
pub(crate) struct Reader {
    events: mpsc::Receiver<Box<Event>>,
    seq: u64,
    /// Ids of the messages that were shown or were part of an input: one for each message of the
    /// run, as the state itself has.
    seen: HashSet<String>,
    /// What the last piece of a text is between; its message was seen.
    frame: Option<Arc<PieceFrame>>,
    order: Option<Order>,
    warnings: Arc<Mutex<Vec<Warning>>>,
}

impl Reader {
    pub(crate) fn new(
        events: mpsc::Receiver<Box<Event>>,
        ordered: bool,
        warnings: Arc<Mutex<Vec<Warning>>>,
    ) -> Self {
        let order = ordered.then(Order::default);
        Self { events, seq: 0, seen: HashSet::new(), frame: None, order, warnings }
    }

    /// The next event that is shown, if it is there already.
    pub(crate) fn try_next(&mut self) -> Option<Box<Event>> {
        loop {
            let mut event = self.try_arrived()?;
            if self.number(&mut event) {
                return Some(event);
            }
        }
    }

    /// As [`Reader::next`].
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Box<Event>>> {
        loop {
            let Some(mut event) = std::task::ready!(self.poll_arrived(context)) else {
                return Poll::Ready(None);
            };
            if self.number(&mut event) {
                return Poll::Ready(Some(event));
            }
        }
    }

    /// The next event that is shown.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| self.poll_next(context)).await.map(|event| *event)
    }

    /// Lets go of everything that is still to come.
    pub(crate) async fn drain(&mut self) {
        while self.events.recv().await.is_some() {}
    }

    fn poll_arrived(&mut self, context: &mut Context<'_>) -> Poll<Option<Box<Event>>> {
        loop {
            if let Some(event) = self.order.as_mut().and_then(Order::pop) {
                return Poll::Ready(Some(Box::new(event)));
            }
            let arrived = std::task::ready!(self.events.poll_recv(context));
            match (arrived, &mut self.order) {
                (arrived, None) => return Poll::Ready(arrived),
                (Some(event), Some(_)) => self.hold(*event),
                (None, Some(order)) => {
                    if order.flush() == 0 {
                        return Poll::Ready(None);
                    }
                }
            }
        }
    }

    fn try_arrived(&mut self) -> Option<Box<Event>> {
        loop {
            if let Some(event) = self.order.as_mut().and_then(Order::pop) {
                return Some(Box::new(event));
            }
            let arrived = self.events.try_recv().ok();
            match (arrived, &mut self.order) {
                (arrived, None) => return arrived,
                (Some(event), Some(_)) => self.hold(*event),
                (None, Some(order)) => {
                    if !self.events.is_closed() || order.flush() == 0 {
                        return None;
                    }
                }
            }
        }
    }

    /// Puts an event in its place in task order.
    fn hold(&mut self, event: Event) {
        if let Some(order) = &mut self.order
            && let Some(held) = order.take(event)
        {
            let warning = Warning::OrderGivenUp { held };
            self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
        }
    }

    /// Gives the event its number, if it is shown.
    fn number(&mut self, event: &mut Event) -> bool {
        let shown = self.admits(&event.body);
        if shown {
            self.seq += 1;
            event.seq = self.seq;
        }
        shown
    }

    /// Whether the event is for the reader and no message that was shown before.
    fn admits(&mut self, body: &Body) -> bool {
        match body {
            Body::Message { message, returned, .. } => match messages::id(message) {
                Some(id) if self.seen.contains(id) => !returned,
                Some(id) => {
                    self.seen.insert(id.to_owned());
                    true
                }
                None => true,
            },
            Body::Piece { frame, .. } => {
                if !self.frame.as_ref().is_some_and(|last| Arc::ptr_eq(last, frame)) {
                    self.seen.insert(frame.id().to_string());
                    self.frame = Some(Arc::clone(frame));
                }
                true
            }
            Body::Known(ids) => {
                self.seen.extend(ids.iter().cloned());
                false
            }
            Body::Step(_) | Body::Ended => false,
            _ => true,
        }
    }
}
