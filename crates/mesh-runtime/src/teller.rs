//! From what a graph tells to its thread's log.
//!
//! Events wait here until they are written, with the checkpoint or the task's result that they
//! tell if there is one, else by themselves after a moment. They are written in the order in which
//! they were told, whichever write takes them along: a write takes all that was told before it was
//! asked for and is not on its way yet.
//!
//! Text of messages is told to whoever wants it as soon as it comes about, if everything but text
//! that was told before it is on the log; see [`crate::early`]. Nothing else ever is.

mod waiting;

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use mesh_graph::{Event, Events, Mode, PieceFrame, env::Env};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Error, Ledger, Run, Tx,
    early::Said,
    hub::{Hub, Telling},
    ledger::{Ride, Rider},
    log::{Entry, Kind},
    runs::guard,
};

use waiting::{Taken, Waiting};

/// How long an event waits for a checkpoint that takes it along, and for more events. Then it is
/// written by itself.
pub(crate) const LINGER: Duration = Duration::from_millis(5);

/// How long text waits at most, unless somebody waits for it to be on the log. Whoever wants it
/// sooner is told it early.
pub(crate) const TEXT_LINGER: Duration = Duration::from_millis(250);

/// Text of all runs is written at multiples of this: what is due at one time is one transaction.
const TEXT_TICK: Duration = Duration::from_millis(50);

/// What one execution of a run tells, on its way to the log.
pub(crate) struct Teller {
    thread: String,
    run: Uuid,
    epoch: u64,
    told: Mutex<Told>,
}

struct Told {
    events: Option<Events>,
    /// Entries that are not on their way.
    waiting: Waiting,
    /// Where text is told early; none for a run that tells no messages.
    telling: Option<Telling>,
    /// The message that text was told of last.
    said: Option<Arc<Said>>,
    /// The namespace that was told of last, and its text.
    ns: (Arc<[String]>, Arc<str>),
    /// Steps of this execution have to be noted: workers were lost with earlier ones.
    note_progress: bool,
    fenced: bool,
    /// The pump, where it cannot go on before a write takes along what is told ahead of it.
    held_up: Option<Waker>,
}

/// What a pump has to know of what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// Nothing but text, if anything.
    Text,
    /// Something else.
    Other,
    /// So much that it should be written.
    Full,
}

type Write<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

type Sleep<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Writes what nothing else takes along.
struct Pump<'a> {
    teller: &'a Arc<Teller>,
    ledger: &'a dyn Ledger,
    env: &'a dyn Env,
    /// When what waits is written; none while nothing waits.
    due: Option<Sleep<'a>>,
    /// It is written after [`LINGER`].
    is_soon: bool,
    writing: Option<Write<'a>>,
}

impl Teller {
    /// For one execution of a run, which begins with these entries.
    pub(crate) fn new(run: &Run, first: Option<Entry>, hub: &Arc<Hub>) -> Self {
        let tells_text = run.kwargs.recorded().has(Mode::Messages);
        let mut told = Told {
            events: None,
            waiting: Waiting::new(run.kwargs.merges_pieces()),
            telling: tells_text.then(|| hub.tell(&run.thread)),
            said: None,
            ns: (Arc::from([]), Arc::from("")),
            note_progress: run.attempt > 1,
            fenced: false,
            held_up: None,
        };
        if let Some(first) = first {
            told.waiting.push(first, false);
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
        told.waiting.take_all()
    }

    /// Writes what nothing else takes along, until `quit` fires or no event will come, and tells
    /// text early meanwhile. A write under way is waited for.
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
        let mut pump = Pump { teller: self, ledger, env, due: None, is_soon: true, writing: None };
        tokio::select! {
            biased;
            () = quit.cancelled() => {}
            ended = std::future::poll_fn(|context| pump.poll(context)) => return ended,
        }
        match pump.writing {
            Some(writing) => writing.await,
            None => Ok(()),
        }
    }

    /// Boards what was told; without `all`, only up to what another write is about to take along.
    /// None if there is nothing.
    fn ride(self: &Arc<Self>, all: bool) -> Option<Written> {
        let mut told = self.told();
        told.gather(self.run, all);
        if told.waiting.is_empty() || (told.waiting.begins_ahead() && !all) {
            return None;
        }
        let upto = told.waiting.count();
        Some(Written { teller: Arc::clone(self), upto, step: all, taken: Taken::default() })
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rider for Arc<Teller> {
    fn board(&self) -> Box<dyn Ride> {
        let mut told = self.told();
        told.gather(self.run, true);
        if let Some(pump) = told.held_up.take() {
            pump.wake();
        }
        let upto = told.waiting.count();
        Box::new(Written { teller: Arc::clone(self), upto, step: true, taken: Taken::default() })
    }
}

impl<'a> Pump<'a> {
    /// Ready once nothing more will be told, or a write failed.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let run = self.teller.run;
        loop {
            if let Some(writing) = &mut self.writing {
                let Poll::Ready(wrote) = writing.as_mut().poll(context) else {
                    self.teller.told().tell(run, context);
                    return Poll::Pending;
                };
                self.writing = None;
                wrote?;
            }
            let Some(due) = &mut self.due else {
                if !ready!(self.teller.told().poll(context)) {
                    return Poll::Ready(Ok(()));
                }
                let waits = self.teller.told().tell(run, context);
                self.wait(waits != Some(Waits::Text));
                continue;
            };
            match self.teller.told().tell(run, context) {
                Some(Waits::Other) if !self.is_soon => {
                    self.wait(true);
                    continue;
                }
                Some(Waits::Full) => {}
                _ => ready!(due.as_mut().poll(context)),
            }
            self.due = None;
            self.writing = self.teller.ride(false).map(|ride| {
                let write: Write<'a> = Box::pin(ride.go(self.ledger));
                write
            });
            if self.writing.is_none() {
                // What waits is written with something else, which may take a while.
                self.wait(true);
                if self.teller.told().poll(context) == Poll::Ready(false) {
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    fn wait(&mut self, is_soon: bool) {
        self.is_soon = is_soon;
        let linger = if is_soon { LINGER } else { text_linger(self.env.now_ms()) };
        self.due = Some(self.env.sleep(linger));
    }
}

/// How long text waits that came at this time, in milliseconds.
fn text_linger(now_ms: i64) -> Duration {
    let tick = TEXT_TICK.as_millis() as i64;
    let rest = tick - now_ms.rem_euclid(tick);
    TEXT_LINGER.saturating_sub(TEXT_TICK) + Duration::from_millis(rest as u64)
}

impl Told {
    /// Ready with true once something waits, and with false once nothing more will come.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if !self.waiting.is_empty() {
            return Poll::Ready(true);
        }
        match &mut self.events {
            Some(events) => events.poll_told(context),
            None => Poll::Ready(false),
        }
    }

    /// Takes in what is told and tells text early, and is woken by what comes next; if anybody is
    /// told early. Says what waits, if that is nobody else's business.
    fn tell(&mut self, run: Uuid, context: &mut Context<'_>) -> Option<Waits> {
        let (some_early, some_wait) = self.telling.as_ref()?.readers();
        if !some_early {
            return None;
        }
        loop {
            self.gather(run, false);
            if self.waiting.is_full() {
                break;
            }
            let events = self.events.as_mut()?;
            if events.peek().is_some() {
                // It is told ahead of a write that takes it along.
                self.held_up = Some(context.waker().clone());
                break;
            }
            if events.poll_told(context) != Poll::Ready(true) {
                break;
            }
        }
        self.tell_text();
        Some(if self.waiting.is_full() {
            Waits::Full
        } else if some_wait || self.waiting.has_others() {
            Waits::Other
        } else {
            Waits::Text
        })
    }

    /// Tells text early that may be and was not.
    fn tell_text(&mut self) {
        let Some(telling) = &self.telling else { return };
        let mut any = false;
        self.waiting.tell(|said, from, text, behind| {
            telling.add(said, from, text, behind);
            any = true;
        });
        if any {
            telling.wake();
        }
    }

    /// Turns events into entries; without `all`, as long as there is room and none is told ahead.
    fn gather(&mut self, run: Uuid, all: bool) {
        while let Some(events) = &mut self.events {
            if !all && (self.waiting.is_full() || events.peek().is_some_and(Event::is_ahead)) {
                return;
            }
            let Some(event) = events.try_next() else { return };
            self.push(run, &event);
        }
    }

    fn push(&mut self, run: Uuid, event: &Event) {
        let text = event.piece().filter(|(_, text)| !text.is_empty() && !event.is_ahead());
        let text_at = match text {
            Some((frame, text)) => {
                let said = self.said(run, event, frame);
                if self.waiting.push_text(&said, text, event.at_ms) {
                    return;
                }
                None
            }
            None => event.said().and_then(|(id, text)| self.waiting.grow(id, text)),
        };
        let entry = Entry { text_at, ..self.entry(run, event, event.public_text()) };
        self.waiting.push(entry, event.is_ahead());
    }

    /// What this piece of a text has in common with others of its message.
    fn said(&mut self, run: Uuid, event: &Event, frame: &Arc<PieceFrame>) -> Arc<Said> {
        if let Some(said) = self.said.as_ref().filter(|said| Arc::ptr_eq(&said.frame, frame)) {
            return Arc::clone(said);
        }
        let entry = self.entry(run, event, String::new());
        let known = self.waiting.said(frame.id()).filter(|known| {
            let of = &known.entry;
            known.frame == *frame
                && (of.step, &of.ns, &of.node) == (entry.step, &entry.ns, &entry.node)
        });
        let said = match known {
            Some(known) => Arc::clone(known),
            None => Arc::new(Said { frame: Arc::clone(frame), entry }),
        };
        self.said = Some(Arc::clone(&said));
        said
    }

    fn entry(&mut self, run: Uuid, event: &Event, data: String) -> Entry {
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
            data: Bytes::from(data),
            text_at: None,
        }
    }
}

/// What goes along with one write.
struct Written {
    teller: Arc<Teller>,
    upto: u64,
    /// It goes along with a step of the graph.
    step: bool,
    taken: Taken,
}

impl Written {
    /// Writes it by itself.
    async fn go(mut self, ledger: &dyn Ledger) -> Result<(), Error> {
        let (back, wrote) = ledger
            .write(move |tx| {
                let wrote = self.write(tx);
                // A refusal is told beside the ride, which has to come back.
                match wrote {
                    Ok(()) => Ok((self, Ok(()))),
                    Err(error @ Error::Fenced { .. }) => Ok((self, Err(error))),
                    Err(error) => Err(error),
                }
            })
            .await?;
        Box::new(back).ended(true);
        wrote
    }

    fn give_back(&mut self) {
        if !self.taken.is_empty() {
            let taken = std::mem::take(&mut self.taken);
            self.teller.told().waiting.give_back(taken);
        }
    }
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
        let note = {
            let mut told = self.teller.told();
            self.taken = told.waiting.take(self.upto, self.step);
            self.step && std::mem::take(&mut told.note_progress)
        };
        if note {
            tx.progressed(*run, *epoch)?;
        }
        let wrote = tx.append(thread, *run, *epoch, &mut self.taken.entries);
        if wrote.is_err() {
            self.give_back();
        }
        wrote
    }

    fn ended(mut self: Box<Self>, committed: bool) {
        if committed && !self.taken.is_empty() {
            let taken = std::mem::take(&mut self.taken);
            let mut told = self.teller.told();
            told.waiting.keep(taken);
            told.tell_text();
        }
        // What is left is given back.
        drop(self);
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests;
