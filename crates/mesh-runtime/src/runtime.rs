//! The runtime: the ledger, the graphs and the machine that executes runs, as one handle.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use mesh_graph::{Store, env::Env, store::Options};
use tokio::{sync::Notify, time::Instant};

use crate::{
    Error, Graphs, Ledger, Policy, Stamp,
    counts::{Counter, Counts},
    hub::Hub,
    idempotency::Claim,
    ledger::Listener,
    log::{Entry, Kind},
    runs::{Now, OpenRuns, Told},
    stamp::Stamps,
    watch::Watchers,
    worker::Worker,
};

/// Everything that handlers of requests need. Cloning is cheap.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
    /// What the request that this handle is for came under.
    claim: Option<Arc<Claim>>,
}

struct Inner {
    ledger: Arc<dyn Ledger>,
    graphs: Graphs,
    policy: Policy,
    store: Arc<dyn Store>,
    env: Arc<dyn Env>,
    stamps: Stamps,
    /// Where the clock of leases is at 0.
    begun: Instant,
    /// Given when a run may have become due.
    due: Notify,
    /// Given when a letter may have been written.
    posted: Notify,
    /// Given when a cron was made or changed.
    crons: Notify,
    hub: Arc<Hub>,
    worker: Mutex<Option<Arc<Worker>>>,
    counter: Arc<Counter>,
    watchers: Arc<Watchers>,
    /// Whether the runs that another process has left behind are settled.
    settled: AtomicBool,
}

impl Runtime {
    /// A runtime over a ledger that serves these graphs.
    pub fn new(ledger: Arc<dyn Ledger>, graphs: Graphs, env: Arc<dyn Env>) -> Self {
        Self::with_policy(ledger, graphs, env, Policy::default())
    }

    /// The same with bounds and times of its own. Items for which [`Policy::item_ttl`] is no time
    /// are kept for ever.
    pub fn with_policy(
        ledger: Arc<dyn Ledger>,
        graphs: Graphs,
        env: Arc<dyn Env>,
        policy: Policy,
    ) -> Self {
        let hub = Arc::new(Hub::default());
        ledger.listen(&(Arc::clone(&hub) as Arc<dyn Listener>));
        let counter = Arc::new(Counter::default());
        ledger.listen(&(Arc::clone(&counter) as Arc<dyn Listener>));
        let watchers = Arc::new(Watchers::default());
        ledger.listen(&(Arc::clone(&watchers) as Arc<dyn Listener>));
        let options = Options::default().env(Arc::clone(&env));
        let options = options.clone().ttl(policy.item_ttl).unwrap_or(options);
        let store = ledger.store(options);
        Self {
            inner: Arc::new(Inner {
                ledger,
                graphs,
                policy,
                store,
                env,
                stamps: Stamps::default(),
                begun: Instant::now(),
                due: Notify::new(),
                posted: Notify::new(),
                crons: Notify::new(),
                hub,
                worker: Mutex::default(),
                counter,
                watchers,
                settled: AtomicBool::new(false),
            }),
            claim: None,
        }
    }

    /// The same, for a request that came under a key; or without one.
    pub(crate) fn with_claim(&self, claim: Option<Arc<Claim>>) -> Self {
        Self { inner: Arc::clone(&self.inner), claim }
    }

    /// What the request that this handle is for came under.
    pub(crate) fn claim(&self) -> Option<&Arc<Claim>> {
        self.claim.as_ref()
    }

    /// Where everything is kept.
    pub fn ledger(&self) -> &dyn Ledger {
        &*self.inner.ledger
    }

    /// What was decided about bounds and times.
    pub fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    /// Counts a refusal that a limit is the reason of.
    pub(crate) fn noted<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::Full { limit, .. }) = &done {
            self.inner.counter.full(*limit);
        }
        done
    }

    /// Whether the runs that another process has left behind are settled: see
    /// [`Runtime::settle_after_start`]. Before that, they look as if somebody executed them.
    pub fn is_settled(&self) -> bool {
        self.inner.settled.load(Ordering::Acquire)
    }

    pub(crate) fn set_settled(&self) {
        self.inner.settled.store(true, Ordering::Release);
    }

    /// What is remembered across threads.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// What happened since the start, in numbers.
    pub fn counts(&self) -> Counts {
        self.inner.counter.read()
    }

    /// Runs that wait and runs that a worker has, of everybody.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn open_runs(&self) -> Result<OpenRuns, Error> {
        self.ledger().read(|tx| tx.count_open_runs()).await
    }

    /// What was just added to logs.
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.inner.hub
    }

    /// Those who watch all threads.
    pub(crate) fn watchers(&self) -> &Watchers {
        &self.inner.watchers
    }

    /// The worker of this process, while there is one.
    pub(crate) fn worker(&self) -> Option<Arc<Worker>> {
        self.inner.worker.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_worker(&self, worker: Option<Arc<Worker>>) {
        *self.inner.worker.lock().unwrap_or_else(PoisonError::into_inner) = worker;
    }

    /// The graphs that are served.
    pub fn graphs(&self) -> &Graphs {
        &self.inner.graphs
    }

    /// Clock, ids and chance.
    pub fn env(&self) -> &Arc<dyn Env> {
        &self.inner.env
    }

    /// The time of a change: now, and later than every one given before.
    pub fn stamp(&self) -> Stamp {
        self.inner.stamps.next(&*self.inner.env)
    }

    /// The time of a change by both clocks.
    pub fn now(&self) -> Now {
        let ms = self.inner.begun.elapsed().as_millis();
        Now { at: self.stamp(), ms: i64::try_from(ms).unwrap_or(i64::MAX) }
    }

    /// Waits until a run may have become due by what somebody did; not for its time to come.
    ///
    /// # Cancel safety
    /// What was told is kept until somebody waits for it.
    pub async fn until_due(&self) {
        self.inner.due.notified().await;
    }

    /// Waits until a letter may have been written.
    ///
    /// # Cancel safety
    /// As [`Runtime::until_due`].
    pub(crate) async fn until_posted(&self) {
        self.inner.posted.notified().await;
    }

    /// Says that a letter may have been written.
    pub(crate) fn posted(&self) {
        self.inner.posted.notify_one();
    }

    /// Says that a cron was made or changed, so that the next instant is looked up again.
    pub fn crons_changed(&self) {
        self.inner.crons.notify_one();
    }

    /// Waits until somebody says so.
    pub(crate) async fn until_crons_changed(&self) {
        self.inner.crons.notified().await;
    }

    /// Tells what a committed transaction changed to those who wait for it.
    pub(crate) fn tell(&self, told: &Told) {
        for (thread, owner) in &told.buried {
            self.hub().gone(thread);
            self.watchers().gone(thread, owner.as_deref());
        }
        if told.due {
            self.inner.due.notify_one();
        }
        let ended = |entries: &Vec<Entry>| entries.iter().any(|entry| entry.kind == Kind::Ended);
        if told.entries.iter().any(|(_, entries)| ended(entries)) {
            self.posted();
        }
        if !(told.owners.is_empty() && told.stopping.is_empty())
            && let Some(worker) = self.worker()
        {
            told.owners.iter().for_each(|run| worker.poke(*run));
            told.stopping.iter().for_each(|run| worker.stop_after_step(*run));
        }
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("graphs", &self.inner.graphs).finish_non_exhaustive()
    }
}
