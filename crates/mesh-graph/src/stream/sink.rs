//! The sending end of a run's stream.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::checkpoint::TaskId;

use super::{
    EVENT_BUFFER,
    event::Event,
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
    events: mpsc::Sender<Event>,
    modes: Modes,
    subgraphs: bool,
    ordered: bool,
}

impl Sink {
    pub(crate) fn new(
        modes: Modes,
        subgraphs: bool,
        ordered: bool,
        shown: Shown,
    ) -> (Self, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(EVENT_BUFFER);
        let line = Line { events, modes, subgraphs, ordered };
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

    pub(crate) fn wants(&self, mode: Mode) -> bool {
        self.line.as_ref().is_some_and(|line| line.modes.has(mode))
    }

    pub(crate) fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Sends one event, which gets its number from the reader; waits while the buffer is full. A
    /// reader that left is not an error: whoever drops the run cancels it.
    pub(crate) async fn send(&self, mut event: Event) {
        if let Some(line) = &self.line {
            if let Some(within) = &self.within {
                event.within = Arc::clone(within);
            }
            let _ = line.events.send(event).await;
        }
    }
}
