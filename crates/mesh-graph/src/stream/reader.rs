//! The receiving end of a run's stream: numbers, order, and no message twice.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::mpsc;

use crate::run::Warning;

use super::{
    event::{Body, Event},
    messages,
    ordered::Order,
};

/// What a run handle reads from.
pub(crate) struct Reader {
    events: mpsc::Receiver<Event>,
    seq: u64,
    /// Ids of the messages that were shown or were part of an input: one for each message of the
    /// run, as the state itself has.
    seen: HashSet<String>,
    order: Option<Order>,
    warnings: Arc<Mutex<Vec<Warning>>>,
}

impl Reader {
    pub(crate) fn new(
        events: mpsc::Receiver<Event>,
        ordered: bool,
        warnings: Arc<Mutex<Vec<Warning>>>,
    ) -> Self {
        let order = ordered.then(Order::default);
        Self { events, seq: 0, seen: HashSet::new(), order, warnings }
    }

    /// The next event that is shown.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            let mut event = self.arrived().await?;
            if self.admits(&event.body) {
                self.seq += 1;
                event.seq = self.seq;
                return Some(event);
            }
        }
    }

    /// Lets go of everything that is still to come.
    pub(crate) async fn drain(&mut self) {
        while self.events.recv().await.is_some() {}
    }

    async fn arrived(&mut self) -> Option<Event> {
        let Some(order) = &mut self.order else { return self.events.recv().await };
        loop {
            if let Some(event) = order.pop() {
                return Some(event);
            }
            match self.events.recv().await {
                Some(event) => {
                    if let Some(held) = order.take(event) {
                        let warning = Warning::OrderGivenUp { held };
                        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
                    }
                }
                None if order.flush() == 0 => return None,
                None => {}
            }
        }
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
            Body::Known(ids) => {
                self.seen.extend(ids.iter().cloned());
                false
            }
            Body::Step(_) | Body::Ended => false,
            _ => true,
        }
    }
}
