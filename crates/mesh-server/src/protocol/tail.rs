//! A connection's place in a thread's events: what it sends next.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use mesh_graph::v3::{Envelope, Subscription};
use mesh_runtime::{Error, Runtime, Scope};
use tokio::time::Instant;

use super::{
    feed::Feed,
    filter::{may_want, only_controls},
    pause::{Watcher, hold, is_news},
};
use crate::server::Shared;

/// What a connection sends of a thread.
pub(crate) struct Tail {
    shared: Arc<Shared>,
    runtime: Runtime,
    thread: String,
    feed: Feed,
    /// What the client wants to hear; an event that fits several is sent once.
    wants: Vec<Subscription>,
    /// Events of the last entry that were not sent yet.
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
        wants: Subscription,
    ) -> Result<Self, Error> {
        let feed = Feed::open(runtime, scope, thread, wants.since).await?;
        let mut tail = Self {
            shared: Arc::clone(shared),
            runtime: runtime.clone(),
            thread: thread.to_owned(),
            feed,
            wants: Vec::new(),
            ready: VecDeque::new(),
            due: None,
            opened: Instant::now(),
            watcher: None,
        };
        tail.want(vec![wants]);
        Ok(tail)
    }

    /// Sends what fits one of these from now on.
    pub(crate) fn want(&mut self, wants: Vec<Subscription>) {
        self.feed.only(|method| wants.iter().any(|one| may_want(one, method)));
        if only_controls(&wants) {
            self.watcher = None;
        } else if self.watcher.is_none() {
            let from = self.feed.at();
            self.watcher = Some(self.shared.watchers.watch(&self.thread, from));
        }
        self.wants = wants;
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
                self.wants.iter_mut().for_each(|one| one.since = 0);
            }
            let mut events = told.events;
            events.retain(|event| self.wants.iter().any(|one| one.wants(event)));
            self.due = self.watcher.is_none().then(|| {
                let hold = self.shared.limits.pause_hold;
                let age = self.runtime.env().now_ms().saturating_sub(told.at_ms);
                let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
                Instant::now() + hold.saturating_sub(age.min(self.opened.elapsed()))
            });
            self.ready = events.into();
        }
        if let (Some(due), Some(next)) = (self.due, self.ready.front())
            && is_news(next)
        {
            hold(&self.shared.watchers, &self.thread, self.feed.at(), due).await;
        }
        Ok(self.ready.pop_front())
    }
}
