//! The sending end of a run's stream.

use std::sync::Arc;

use tokio::sync::mpsc;

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
}

struct Line {
    events: mpsc::Sender<Event>,
    modes: Modes,
    subgraphs: bool,
}

impl Sink {
    pub(crate) fn new(
        modes: Modes,
        subgraphs: bool,
        shown: Shown,
    ) -> (Self, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(EVENT_BUFFER);
        let line = Line { events, modes, subgraphs };
        (Self { line: Some(Arc::new(line)), shown }, receiver)
    }

    /// The sink of a child graph: silent unless children were asked for.
    pub(crate) fn for_child(&self) -> Self {
        match &self.line {
            Some(line) if line.subgraphs => Self { line: self.line.clone(), shown: Shown::All },
            _ => Self::default(),
        }
    }

    pub(crate) fn wants(&self, mode: Mode) -> bool {
        self.line.as_ref().is_some_and(|line| line.modes.has(mode))
    }

    pub(crate) fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Sends one event, which gets its number from the reader; waits while the buffer is full. A
    /// reader that left is not an error: whoever drops the run cancels it.
    pub(crate) async fn send(&self, event: Event) {
        if let Some(line) = &self.line {
            let _ = line.events.send(event).await;
        }
    }
}
