//! A connection's place in a thread's events: what it sends next.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use mesh_graph::v3::{Envelope, Subscription};
use mesh_runtime::{Error, Runtime, Scope, log::PAGE};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    feed::Feed,
    filter::{may_want, only_controls},
    pause::{Watcher, hold, is_news},
    translator::Translator,
};
use crate::server::Shared;

/// Entries of a log that are read to say how many events a new subscription will be sent of those
/// that were before it. Of a longer log that is not said.
const COUNTED_ENTRIES_MAX: usize = 10_000;

/// What a client wants to hear.
#[derive(Debug)]
struct Want {
    id: Uuid,
    what: Subscription,
    /// Of the events up to here it has been sent what it wants.
    served: u64,
}

/// What a connection sends of a thread.
pub(crate) struct Tail {
    shared: Arc<Shared>,
    runtime: Runtime,
    scope: Scope,
    thread: String,
    feed: Feed,
    wants: Vec<Want>,
    /// Events of the last entry that were not looked at yet.
    ready: VecDeque<Envelope>,
    /// Until when news among them are held back; none on a connection that holds nothing back.
    due: Option<Instant>,
    opened: Instant,
    /// Counts this connection among those that pass on what runs tell.
    watcher: Option<Watcher>,
}

impl Tail {
    /// Of a thread that need not be there yet, for one subscription.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub(crate) async fn open(
        shared: &Arc<Shared>,
        runtime: &Runtime,
        scope: &Scope,
        thread: &str,
        id: Uuid,
        what: Subscription,
    ) -> Result<Self, Error> {
        let feed = Feed::open(runtime, scope, thread, what.since).await?;
        let mut tail = Self {
            shared: Arc::clone(shared),
            runtime: runtime.clone(),
            scope: scope.clone(),
            thread: thread.to_owned(),
            feed,
            wants: Vec::new(),
            ready: VecDeque::new(),
            due: None,
            opened: Instant::now(),
            watcher: None,
        };
        let since = what.since.min(tail.feed.end());
        tail.wants.push(Want { id, what: Subscription { since, ..what }, served: since });
        tail.listen();
        Ok(tail)
    }

    /// Sends what fits this subscription as well, also of what was before, but nothing twice.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub(crate) async fn add(&mut self, id: Uuid, what: Subscription) -> Result<(), Error> {
        // Everything before what is ready has been looked at.
        let reached = match self.ready.front() {
            Some(next) => next.seq - 1,
            None => self.feed.reached(),
        };
        let from = reached.min(what.since);
        let feed = Feed::open(&self.runtime, &self.scope, &self.thread, from).await?;
        for want in &mut self.wants {
            want.served = want.served.max(reached);
        }
        let since = what.since.min(feed.end());
        self.wants.push(Want { id, what: Subscription { since, ..what }, served: since });
        self.feed = feed;
        self.ready.clear();
        self.listen();
        Ok(())
    }

    /// Sends what fits this subscription alone no more.
    pub(crate) fn remove(&mut self, id: Uuid) {
        self.wants.retain(|want| want.id != id);
        self.listen();
    }

    /// Makes the feed tell what is wanted, and counts the connection in or out.
    fn listen(&mut self) {
        let wants = &self.wants;
        self.feed.only(|method| wants.iter().any(|want| may_want(&want.what, method)));
        if wants.iter().all(|want| only_controls(&want.what)) {
            self.watcher = None;
        } else if self.watcher.is_none() {
            let from = self.feed.at();
            self.watcher = Some(self.shared.watchers.watch(&self.thread, from));
        }
    }

    /// Everything that was given before has been passed on.
    pub(crate) fn passed(&self) {
        if let Some(watcher) = &self.watcher
            && self.ready.is_empty()
        {
            watcher.pass(self.feed.at());
        }
    }

    /// Waits for the next entry of the log, or for the time of what is held back, and gives an
    /// event, if there is one.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Option<Envelope>, Error> {
        if self.ready.is_empty() {
            let told = self.feed.next().await?;
            if told.is_new {
                for want in &mut self.wants {
                    (want.what.since, want.served) = (0, 0);
                }
            }
            self.due = self.watcher.is_none().then(|| {
                let hold = self.shared.limits.pause_hold;
                let age = self.runtime.env().now_ms().saturating_sub(told.at_ms);
                let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
                Instant::now() + hold.saturating_sub(age.min(self.opened.elapsed()))
            });
            self.ready = told.events.into();
        }
        let Some(next) = self.ready.front() else { return Ok(None) };
        let is_wanted = self.is_wanted(next);
        if is_wanted
            && let Some(due) = self.due
            && is_news(next)
        {
            hold(&self.shared.watchers, &self.thread, self.feed.at(), due).await;
        }
        let next = self.ready.pop_front();
        if let Some(next) = &next {
            for want in &mut self.wants {
                want.served = want.served.max(next.seq);
            }
        }
        Ok(next.filter(|_| is_wanted))
    }

    /// Whether somebody wants the event who was not sent it, and nobody has it.
    fn is_wanted(&self, event: &Envelope) -> bool {
        let mut wanted = false;
        for want in self.wants.iter().filter(|want| want.what.wants(event)) {
            if event.seq <= want.served {
                return false;
            }
            wanted = true;
        }
        wanted
    }
}

/// How many events a new subscription will be sent of those that were before it; none where the
/// log is too long to say it.
///
/// # Errors
/// [`Error::Damaged`]; [`Error::Storage`].
pub(crate) async fn replayed(
    runtime: &Runtime,
    scope: &Scope,
    thread: &str,
    what: &Subscription,
) -> Result<Option<usize>, Error> {
    let (scope, thread, what) = (scope.clone(), thread.to_owned(), what.clone());
    runtime
        .ledger()
        .read(move |tx| {
            if tx.thread_outline(&thread, &scope)?.is_none() {
                return Ok(Some(0));
            }
            let (mut read, mut events) = (0, 0);
            let mut after = Feed::begin(tx, &thread, what.since)?;
            let mut translator = Translator::new(|method| may_want(&what, method));
            loop {
                let page = tx.entries(&thread, after, PAGE)?;
                for entry in &page {
                    let told = translator.translate(entry)?;
                    events += told.iter().filter(|event| what.wants(event)).count();
                }
                read += page.len();
                match page.last() {
                    Some(_) if read > COUNTED_ENTRIES_MAX => return Ok(None),
                    Some(last) if page.len() == PAGE => after = last.seq,
                    _ => return Ok(Some(events)),
                }
            }
        })
        .await
}
