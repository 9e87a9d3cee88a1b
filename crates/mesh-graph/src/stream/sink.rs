//! The sending end of a run's stream.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::checkpoint::TaskId;

use super::{
    EVENT_BUFFER,
    event::{Body, Event},
    messages,
    mode::{Mode, Modes},
    show::Shown,
};

/// The sending end, cloned into every graph of a run; silent by default.
#[derive(Clone, Default)]
pub(crate) struct Sink {
    line: Option<Arc<Line>>,
    /// What the values and updates of this graph are cut to.
    shown: Shown,
    /// The tasks that this graph runs below, from the root; empty while nobody reads.
    within: Option<Arc<[TaskId]>>,
}

struct Line {
    events: mpsc::Sender<Box<Event>>,
    modes: Modes,
    subgraphs: bool,
    ordered: bool,
    told_first: bool,
    /// With merging: pieces of messages that found the buffer full, at most one per message.
    pending: Option<Mutex<Vec<Event>>>,
}

/// What a reader asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    pub(crate) modes: Modes,
    pub(crate) subgraphs: bool,
    pub(crate) ordered: bool,
    pub(crate) merge_tokens: bool,
    pub(crate) told_first: bool,
}

impl Sink {
    pub(crate) fn new(wanted: Wanted, shown: Shown) -> (Self, mpsc::Receiver<Box<Event>>) {
        let Wanted { modes, subgraphs, ordered, merge_tokens, told_first } = wanted;
        let (events, receiver) = mpsc::channel(EVENT_BUFFER);
        let pending = merge_tokens.then(Mutex::default);
        let line = Line { events, modes, subgraphs, ordered, told_first, pending };
        (Self { line: Some(Arc::new(line)), shown, within: None }, receiver)
    }

    /// The sink of a graph that runs below `task`: silent unless children were asked for.
    pub(crate) fn for_child(&self, task: impl FnOnce() -> TaskId) -> Self {
        match &self.line {
            Some(line) if line.subgraphs => {
                let outer = self.within.iter().flat_map(|tasks| tasks.iter().copied());
                let within = Some(outer.chain([task()]).collect());
                Self { line: self.line.clone(), shown: Shown::All, within }
            }
            _ => Self::default(),
        }
    }

    /// Whether the reader wants tasks in their order, and so has to know how they begin and end.
    pub(crate) fn ordered(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.ordered)
    }

    /// Whether what is about to be stored is told before.
    pub(crate) fn told_first(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.told_first)
    }

    /// Whether there is a reader.
    pub(crate) fn is_read(&self) -> bool {
        self.line.is_some()
    }

    pub(crate) fn wants(&self, mode: Mode) -> bool {
        self.line.as_ref().is_some_and(|line| line.modes.has(mode))
    }

    pub(crate) fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Sends one event, which gets its number from the reader; waits while the buffer is full. A
    /// reader that left is not an error: whoever drops the run cancels it.
    pub(crate) async fn send(&self, mut event: Box<Event>) {
        let Some(line) = &self.line else { return };
        self.place(&mut event);
        if let (Some(_), Some(task)) = (&line.pending, event.task_id) {
            line.flush(|pending| pending.task_id == Some(task)).await;
        }
        // Mostly there is room, and then nothing has to be set up for waiting.
        if let Err(TrySendError::Full(event)) = line.events.try_send(event) {
            let _ = line.events.send(event).await;
        }
    }

    /// Sends a message or a piece of one. With merging a piece that finds the buffer full waits
    /// aside, and the pieces of its message that follow are added to it.
    pub(crate) async fn send_message(&self, mut event: Box<Event>) {
        let Some(line) = &self.line else { return };
        self.place(&mut event);
        if line.pending.is_some() {
            match line.offer(event) {
                None => return,
                Some(refused) => event = refused,
            }
        }
        self.send(event).await;
    }

    /// Whether pieces of messages may wait aside.
    pub(crate) fn merges(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.pending.is_some())
    }

    /// Sends what waits aside of a task that ends.
    pub(crate) async fn flush_task(&self, task: TaskId) {
        if let Some(line) = &self.line {
            line.flush(|pending| pending.task_id == Some(task)).await;
        }
    }

    /// Sends what waits aside, whichever task it comes from.
    pub(crate) async fn flush(&self) {
        if let Some(line) = &self.line {
            line.flush(|_| true).await;
        }
    }

    fn place(&self, event: &mut Event) {
        event.within.clone_from(&self.within);
    }
}

impl Line {
    /// Takes a message if it can go now or be added to what waits; gives it back otherwise.
    /// Sending happens under the lock, so no piece overtakes another of its message.
    fn offer(&self, event: Box<Event>) -> Option<Box<Event>> {
        let mut pending = self.pending.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pending.iter().position(|waiting| same_message(waiting, &event));
        let event = match known {
            Some(place) => {
                if !merge(&mut pending[place], &event) {
                    return Some(event);
                }
                Box::new(pending.remove(place))
            }
            None => event,
        };
        match self.events.try_send(event) {
            Ok(()) | Err(TrySendError::Closed(_)) => None,
            Err(TrySendError::Full(event)) if messages::is_piece(&event) => {
                pending.push(*event);
                None
            }
            Err(TrySendError::Full(event)) => Some(event),
        }
    }

    async fn flush(&self, which: impl Fn(&Event) -> bool) {
        let Some(pending) = &self.pending else { return };
        let locked = || pending.lock().unwrap_or_else(PoisonError::into_inner);
        while locked().iter().any(&which) {
            let Ok(room) = self.events.reserve().await else { return };
            let mut pending = locked();
            if let Some(place) = pending.iter().position(&which) {
                room.send(Box::new(pending.remove(place)));
            }
        }
    }
}

fn same_message(a: &Event, b: &Event) -> bool {
    (a.task_id, a.attempt) == (b.task_id, b.attempt)
        && message_id(a).is_some_and(|id| message_id(b) == Some(id))
}

/// The id of the message that an event is of, if that has one.
fn message_id(event: &Event) -> Option<&str> {
    match &event.body {
        Body::Message { message, .. } => messages::id(message),
        Body::Piece { frame, .. } => Some(frame.id()),
        _ => None,
    }
}

fn merge(waiting: &mut Event, more: &Event) -> bool {
    if let (Body::Piece { frame, text }, Body::Piece { frame: same, text: more }) =
        (&mut waiting.body, &more.body)
        && frame == same
    {
        text.push_str(more);
        return true;
    }
    let more = match &more.body {
        Body::Message { message, .. } => Cow::Borrowed(message),
        Body::Piece { frame, text } => Cow::Owned(frame.message(text)),
        _ => return false,
    };
    if let Body::Piece { frame, text } = &waiting.body {
        let (message, facts) = (frame.message(text), Arc::clone(frame.facts()));
        waiting.body = Body::Message { message, facts, returned: false };
    }
    match &mut waiting.body {
        Body::Message { message, .. } => messages::merge(message, &more),
        _ => false,
    }
}
