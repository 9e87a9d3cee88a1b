//! From what a graph tells to its thread's log.
//!
//! Events wait here until they are written, with the checkpoint or the task's result that they
//! tell if there is one, else by themselves after a moment. They are written in the order in which
//! they were told, whichever write takes them along: a write takes all that was told before it was
//! asked for and is not on its way yet.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use mesh_graph::{Event, Events, env::Env};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Error, Ledger, Run, Tx,
    ledger::{Ride, Rider},
    log::{Entry, Kind},
    runs::guard,
};

/// How long an event waits for a checkpoint that takes it along, and for more events. Then it is
/// written by itself.
pub(crate) const LINGER: Duration = Duration::from_millis(5);

/// What one execution of a run tells, on its way to the log.
pub(crate) struct Teller {
    thread: String,
    run: Uuid,
    epoch: u64,
    told: Mutex<Told>,
}

struct Told {
    events: Option<Events>,
    /// Entries that are not on their way, oldest first. At most what the run may tell while one
    /// write is under way: then it waits for room among the events.
    waiting: VecDeque<(Mark, Entry)>,
    /// Entries so far.
    count: u64,
    /// The namespace that was told of last, and its text.
    ns: (Arc<[String]>, Arc<str>),
    /// Steps of this execution have to be noted: workers were lost with earlier ones.
    note_progress: bool,
    fenced: bool,
}

/// Which entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    number: u64,
    /// It tells what is about to be stored, so it is written with that or not at all: a run whose
    /// write failed has not done what it told.
    is_ahead: bool,
}

impl Teller {
    /// For one execution of a run, which begins with these entries.
    pub(crate) fn new(run: &Run, first: Option<Entry>) -> Self {
        let mut told = Told {
            events: None,
            waiting: VecDeque::new(),
            count: 0,
            ns: (Arc::from([]), Arc::from("")),
            note_progress: run.attempt > 1,
            fenced: false,
        };
        if let Some(first) = first {
            told.push(first, false);
        }
        Self { thread: run.thread.clone(), run: run.id, epoch: run.epoch, told: Mutex::new(told) }
    }

    /// Takes events from here from now on.
    pub(crate) fn listen(&self, events: Events) {
        self.told().events = Some(events);
    }

    /// Whether a write found that the run is not this execution's any more.
    pub(crate) fn is_fenced(&self) -> bool {
        self.told().fenced
    }

    /// Everything that is not on its way. Nothing may be.
    pub(crate) fn take(&self) -> Vec<Entry> {
        let mut told = self.told();
        told.gather(self.run, true);
        told.waiting.drain(..).map(|(_, entry)| entry).collect()
    }

    /// Writes what nothing else takes along, until `quit` fires or no event will come. A write
    /// under way is waited for.
    ///
    /// # Errors
    /// [`Error::Fenced`]; [`Error::DiskFull`]; [`Error::Storage`]. What could not be written waits
    /// again.
    pub(crate) async fn pump(
        self: &Arc<Self>,
        ledger: &dyn Ledger,
        env: &dyn Env,
        quit: &CancellationToken,
    ) -> Result<(), Error> {
        loop {
            let told = std::future::poll_fn(|context| self.told().poll(context));
            let more = tokio::select! {
                biased;
                () = quit.cancelled() => return Ok(()),
                more = told => more,
            };
            tokio::select! {
                biased;
                () = quit.cancelled() => return Ok(()),
                () = env.sleep(LINGER) => {}
            }
            if let Some(mut ride) = self.ride(false) {
                let (back, wrote) = ledger
                    .write(move |tx| {
                        let wrote = ride.write(tx);
                        // A refusal is told beside the ride, which has to come back.
                        match wrote {
                            Ok(()) => Ok((ride, Ok(()))),
                            Err(error @ Error::Fenced { .. }) => Ok((ride, Err(error))),
                            Err(error) => Err(error),
                        }
                    })
                    .await?;
                Box::new(back).ended(true);
                wrote?;
            } else if !more {
                return Ok(());
            }
        }
    }

    /// Boards what was told; without `all`, only up to what another write is about to take along.
    /// None if there is nothing.
    fn ride(self: &Arc<Self>, all: bool) -> Option<Written> {
        let mut told = self.told();
        told.gather(self.run, all);
        let (first, _) = told.waiting.front()?;
        if first.is_ahead && !all {
            return None;
        }
        Some(Written { teller: Arc::clone(self), upto: told.count, step: all, taken: Vec::new() })
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rider for Arc<Teller> {
    fn board(&self) -> Box<dyn Ride> {
        let mut told = self.told();
        told.gather(self.run, true);
        let upto = told.count;
        Box::new(Written { teller: Arc::clone(self), upto, step: true, taken: Vec::new() })
    }
}

impl Told {
    fn push(&mut self, entry: Entry, is_ahead: bool) {
        self.count += 1;
        self.waiting.push_back((Mark { number: self.count, is_ahead }, entry));
    }

    /// Ready with true once something waits, and with false once nothing more will come.
    fn poll(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<bool> {
        if !self.waiting.is_empty() {
            return std::task::Poll::Ready(true);
        }
        match &mut self.events {
            Some(events) => events.poll_told(context),
            None => std::task::Poll::Ready(false),
        }
    }

    /// Turns events into entries.
    fn gather(&mut self, run: Uuid, all: bool) {
        while let Some(events) = &mut self.events {
            if !all && events.peek().is_some_and(Event::is_ahead) {
                return;
            }
            let Some(event) = events.try_next() else { return };
            let entry = self.entry(run, &event);
            self.push(entry, event.is_ahead());
        }
    }

    fn entry(&mut self, run: Uuid, event: &Event) -> Entry {
        if self.ns.0 != event.ns {
            self.ns = (Arc::clone(&event.ns), Arc::from(event.ns.join("|")));
        }
        Entry {
            seq: 0,
            run,
            kind: if event.is_returned() { Kind::Returned } else { Kind::Event(event.mode) },
            ns: Arc::clone(&self.ns.1),
            step: event.step,
            node: event.node().map(Arc::from),
            at_ms: event.at_ms,
            data: Bytes::from(event.public_text()),
        }
    }

    /// What was on its way and did not arrive.
    fn give_back(&mut self, taken: Vec<(Mark, Entry)>) {
        self.waiting.extend(taken);
        self.waiting.make_contiguous().sort_by_key(|(mark, _)| *mark);
    }
}

/// What goes along with one write.
struct Written {
    teller: Arc<Teller>,
    upto: u64,
    /// It goes along with a step of the graph.
    step: bool,
    taken: Vec<(Mark, Entry)>,
}

impl Ride for Written {
    fn write(&mut self, tx: &mut dyn Tx) -> Result<(), Error> {
        let Teller { thread, run, epoch, .. } = &*self.teller;
        if let Err(error) = guard(tx, *run, *epoch) {
            if matches!(error, Error::Fenced { .. }) {
                self.teller.told().fenced = true;
            }
            return Err(error);
        }
        let (taken, note) = {
            let mut told = self.teller.told();
            let goes = |mark: &Mark| mark.number <= self.upto && (self.step || !mark.is_ahead);
            let count = told.waiting.iter().take_while(|(mark, _)| goes(mark)).count();
            let taken: Vec<_> = told.waiting.drain(..count).collect();
            (taken, self.step && std::mem::take(&mut told.note_progress))
        };
        if note {
            tx.progressed(*run, *epoch)?;
        }
        let (marks, mut entries): (Vec<Mark>, Vec<Entry>) = taken.into_iter().unzip();
        let wrote = tx.append(thread, *run, *epoch, &mut entries);
        self.taken = marks.into_iter().zip(entries).collect();
        if wrote.is_err() {
            let taken = std::mem::take(&mut self.taken);
            self.teller.told().give_back(taken);
        }
        wrote
    }

    fn ended(mut self: Box<Self>, committed: bool) {
        if committed {
            self.taken.clear();
        }
        // What is left is given back.
        drop(self);
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if !self.taken.is_empty() {
            let taken = std::mem::take(&mut self.taken);
            self.teller.told().give_back(taken);
        }
    }
}
