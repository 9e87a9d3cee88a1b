//! The worker: takes runs whose turn has come, keeps hold of them, and hands them over when the
//! server stops.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mesh_graph::{Control, Store};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    Error, Run, Runtime, Scope,
    execute::Execution,
    run::{CancelAction, RunStatus},
    runs::{Claim, NewRun, REAP_BATCH, Renewal, claim, renew},
};

/// How long a claim on a run holds.
pub const LEASE: Duration = Duration::from_secs(10);

/// How often claims are prolonged.
pub const RENEW_EVERY: Duration = Duration::from_secs(3);

/// After so long without a claim prolonged, counted from the asking, a worker lets go by itself:
/// before others may take the run.
pub const LEASE_TRUSTED: Duration = Duration::from_secs(7);

/// How often runs are looked for whose worker is gone or whose time is up.
pub const REAP_EVERY: Duration = Duration::from_secs(2);

/// How often due runs are looked for while something is going on, whatever was heard of them.
pub const LOOK_EVERY_BUSY: Duration = Duration::from_secs(1);

/// How often due runs are looked for while nothing is going on.
pub const LOOK_EVERY_IDLE: Duration = Duration::from_secs(15);

/// Runs that are executed at once unless it is said otherwise. Most of them wait for a model, and
/// one that waits takes some ten kilobytes.
pub const RUNS_AT_ONCE: usize = 512;

/// Runs that one transaction claims.
pub const CLAIM_BATCH: usize = 32;

/// How long handing over takes at most, once no step boundary is waited for any more.
pub const HAND_OVER_TIME: Duration = Duration::from_secs(5);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkOptions {
    /// Runs that are executed at once; more wait for their turn.
    pub runs_at_once: usize,
    /// How long a run may take from its first claim on; for ever without.
    pub time_limit: Option<Duration>,
    /// How long running steps may take to end when the worker is to stop.
    pub drain_timeout: Duration,
    /// Where graphs and their nodes run. A node that blocks a thread, or computes for long without
    /// a pause, then takes it from other nodes alone: claims are kept, runs are cancelled and
    /// clients are answered elsewhere. Without one, all share the runtime of the worker.
    pub executor: Option<Handle>,
}

impl Default for WorkOptions {
    fn default() -> Self {
        Self {
            runs_at_once: RUNS_AT_ONCE,
            time_limit: None,
            drain_timeout: Duration::from_secs(30),
            executor: None,
        }
    }
}

/// A run that this worker has.
#[derive(Debug)]
pub(crate) struct Held {
    id: Uuid,
    epoch: u64,
    /// Fires when the run is to end.
    pub(crate) cancel: CancellationToken,
    /// Fires when the run is not this worker's any more.
    pub(crate) lost: CancellationToken,
    /// Fires when the run is to be handed over without waiting for the end of its step.
    pub(crate) hand_over: CancellationToken,
    pub(crate) control: Control,
    dropped: Arc<AtomicU64>,
}

impl Held {
    /// A result came too late and was let go.
    pub(crate) fn note_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        tracing::info!(run = %self.id, "what the run did came too late");
    }
}

/// A worker at work.
pub(crate) struct Worker {
    id: Uuid,
    options: WorkOptions,
    places: Arc<Semaphore>,
    /// Owns every execution, and every creation that may become one.
    tasks: TaskTracker,
    /// Where creations and executions are looked after.
    home: Handle,
    store: Arc<dyn Store>,
    state: Mutex<Holding>,
    dropped: Arc<AtomicU64>,
}

#[derive(Default)]
struct Holding {
    runs: HashMap<Uuid, Arc<Held>>,
    stopping: bool,
}

impl Runtime {
    /// Executes runs until `stop` fires; then hands over what is running at its next step
    /// boundary, or, after [`WorkOptions::drain_timeout`], as it is. Only one worker at a time.
    ///
    /// # Errors
    /// What looking after the runs that another process left behind reports; see
    /// [`Runtime::settle_after_start`].
    ///
    /// # Cancel safety
    /// Dropping the future lets go of every run as a crash would.
    pub async fn work(&self, options: WorkOptions, stop: CancellationToken) -> Result<(), Error> {
        self.settle_after_start().await?;
        let worker = Arc::new(Worker {
            id: Uuid::from_u128(self.env().new_id()),
            places: Arc::new(Semaphore::new(options.runs_at_once.min(Semaphore::MAX_PERMITS))),
            options,
            tasks: TaskTracker::new(),
            home: Handle::current(),
            store: Arc::clone(self.store()),
            state: Mutex::default(),
            dropped: Arc::default(),
        });
        self.set_worker(Some(Arc::clone(&worker)));
        let _gone = Gone { runtime: self.clone(), worker: Arc::clone(&worker) };
        let working = async {
            worker.claim_runs(self, &stop).await;
            worker.drain(self).await;
        };
        tokio::select! {
            () = working => {}
            () = worker.keep_claims(self) => {}
            () = look_after(self) => {}
        }
        Ok(())
    }

    /// Results of runs that came when the run was not its worker's any more, and were let go;
    /// since the worker began.
    pub fn results_dropped(&self) -> u64 {
        self.worker().map_or(0, |worker| worker.dropped.load(Ordering::Relaxed))
    }

    /// Whether this process executes the run.
    pub fn executes(&self, run: Uuid) -> bool {
        self.worker().is_some_and(|worker| worker.state().runs.contains_key(&run))
    }

    /// Makes a run; see [`create()`](crate::runs::create). A worker of this process that has room
    /// takes it at once; it is given back as it was made, pending.
    ///
    /// # Errors
    /// As [`create()`](crate::runs::create); [`Error::DiskFull`].
    ///
    /// # Cancel safety
    /// A dropped future may or may not have made it.
    pub async fn create_run(&self, scope: &Scope, new: NewRun) -> Result<Run, Error> {
        let place = self.worker().and_then(Worker::place);
        let Some((worker, place)) = place else {
            return Ok(self.create_run_for(scope, new, None).await?.run);
        };
        // By the worker: whoever asked may go away, and the run must not wait for its lease then.
        let (runtime, scope, tasks) = (self.clone(), scope.clone(), worker.tasks.clone());
        let home = worker.home.clone();
        let creation = async move {
            let created = runtime.create_run_for(&scope, new, Some(worker.claim())).await?;
            let mut run = created.run;
            if created.is_claimed {
                worker.start(&runtime.with_claim(None), run.clone(), place);
                run.status = RunStatus::Pending;
            }
            Ok(run)
        };
        tasks.spawn_on(creation, &home).await.map_err(|_| Error::Stopping)?
    }
}

impl Worker {
    fn state(&self) -> MutexGuard<'_, Holding> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim(&self) -> Claim {
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Claim {
            worker: self.id,
            lease_ms: ms(LEASE),
            time_limit_ms: self.options.time_limit.map(ms),
        }
    }

    /// Room for one more run, if there is some.
    fn place(self: Arc<Self>) -> Option<(Arc<Self>, OwnedSemaphorePermit)> {
        if self.state().stopping {
            return None;
        }
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some((self, place))
    }

    /// Asks the run to end, if it is here.
    pub(crate) fn poke(&self, run: Uuid) {
        if let Some(held) = self.state().runs.get(&run) {
            held.cancel.cancel();
        }
    }

    /// Asks the run to end after the step that it is in, if it is here.
    pub(crate) fn stop_after_step(&self, run: Uuid) {
        if let Some(held) = self.state().runs.get(&run) {
            held.control.request_drain(STOP_ASKED);
        }
    }

    /// Executes a run that was claimed.
    fn start(self: &Arc<Self>, runtime: &Runtime, run: Run, place: OwnedSemaphorePermit) {
        let held = Arc::new(Held {
            id: run.id,
            epoch: run.epoch,
            cancel: CancellationToken::new(),
            lost: CancellationToken::new(),
            hand_over: CancellationToken::new(),
            control: Control::new(),
            dropped: Arc::clone(&self.dropped),
        });
        let mut state = self.state();
        if state.stopping {
            held.control.request_drain(STOPPING);
        }
        if let Some(before) = state.runs.insert(run.id, Arc::clone(&held)) {
            // An execution that this worker lost and has not noticed yet.
            before.lost.cancel();
        }
        drop(state);
        // Every line about the run says which one it is, whatever is logged at the least.
        let span = tracing::error_span!(
            "run",
            run_id = %run.id,
            thread_id = run.thread,
            assistant = %run.assistant,
        );
        let (worker, store) = (Arc::clone(self), Arc::clone(&self.store));
        let executor = self.options.executor.as_ref().unwrap_or(&self.home).clone();
        let execution = Execution::new(runtime.clone(), run, Arc::clone(&held), store, executor);
        let task = async move {
            execution.execute().await;
            let mut state = worker.state();
            // A later execution of the same run may be here already.
            if state.runs.get(&held.id).is_some_and(|known| known.epoch == held.epoch) {
                state.runs.remove(&held.id);
            }
            drop(state);
            drop(place);
        };
        self.tasks.spawn_on(task.instrument(span), &self.home);
    }

    /// Claims runs as long as there is room, until `stop` fires. What is being claimed then is
    /// claimed and begun: dropped in the middle, it would look as if its worker had died.
    async fn claim_runs(self: &Arc<Self>, runtime: &Runtime, stop: &CancellationToken) {
        loop {
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                first = Arc::clone(&self.places).acquire_owned() => first,
            };
            let Ok(first) = first else { return };
            let mut places = vec![first];
            while places.len() < CLAIM_BATCH
                && let Ok(place) = Arc::clone(&self.places).try_acquire_owned()
            {
                places.push(place);
            }
            let (now, how, max) = (runtime.now(), self.claim(), places.len());
            let claimed = runtime
                .ledger()
                .write(move |tx| Ok((claim(tx, now, how, max)?, tx.next_due(now.at)?)))
                .await;
            let mut wait =
                if self.state().runs.is_empty() { LOOK_EVERY_IDLE } else { LOOK_EVERY_BUSY };
            match claimed {
                Ok((runs, next)) => {
                    let more = runs.len() == max;
                    for (run, place) in runs.into_iter().zip(places.drain(..)) {
                        self.start(runtime, run, place);
                    }
                    if more {
                        continue;
                    }
                    if let Some(next) = next {
                        let ms = next.ms().saturating_sub(now.at.ms()).saturating_add(1);
                        wait = wait.min(Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
                    }
                }
                Err(error) => tracing::warn!(%error, "no run could be claimed"),
            }
            drop(places);
            tokio::select! {
                () = stop.cancelled() => return,
                () = runtime.until_due() => {}
                () = runtime.env().sleep(wait) => {}
            }
        }
    }

    /// Prolongs the claims on all runs that are here, and lets go of those that cannot be.
    async fn keep_claims(&self, runtime: &Runtime) {
        let trusted = i64::try_from(LEASE_TRUSTED.as_millis()).unwrap_or(i64::MAX);
        let mut renewed = runtime.now().ms;
        loop {
            runtime.env().sleep(RENEW_EVERY).await;
            let runs: Vec<Arc<Held>> = self.state().runs.values().cloned().collect();
            let now = runtime.now();
            if runs.is_empty() {
                renewed = now.ms;
                continue;
            }
            let held: Vec<(Uuid, u64)> = runs.iter().map(|run| (run.id, run.epoch)).collect();
            let lease = self.claim().lease_ms;
            let left = Duration::from_millis(
                u64::try_from(renewed.saturating_add(trusted).saturating_sub(now.ms)).unwrap_or(0),
            );
            let answered = tokio::select! {
                answered = runtime.ledger().write(move |tx| renew(tx, now, lease, &held)) => answered,
                () = runtime.env().sleep(left) => Err(Error::Stopping),
            };
            match answered {
                Ok(renewals) => {
                    renewed = now.ms;
                    for (run, renewal) in runs.iter().zip(renewals) {
                        match renewal {
                            Renewal::Held => {}
                            Renewal::Ending(CancelAction::AfterStep) => {
                                run.control.request_drain(STOP_ASKED);
                            }
                            Renewal::Ending(_) => run.cancel.cancel(),
                            Renewal::Lost => run.lost.cancel(),
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "claims were not prolonged");
                    if runtime.now().ms.saturating_sub(renewed) >= trusted {
                        for run in &runs {
                            run.lost.cancel();
                        }
                    }
                }
            }
        }
    }

    /// Takes nothing new and hands over what is running.
    async fn drain(&self, runtime: &Runtime) {
        let all = |act: &dyn Fn(&Held)| {
            let mut state = self.state();
            state.stopping = true;
            state.runs.values().for_each(|held| act(held));
        };
        all(&|held| held.control.request_drain(STOPPING));
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => return,
            () = runtime.env().sleep(self.options.drain_timeout) => {}
        }
        all(&|held| held.hand_over.cancel());
        tokio::select! {
            () = self.tasks.wait() => {}
            () = runtime.env().sleep(HAND_OVER_TIME) => {}
        }
    }
}

/// The reason of a drain that ends the run: somebody asked for it.
pub(crate) const STOP_ASKED: &str = "it was asked to stop after this step";

/// The reason that a run is given for its drain.
const STOPPING: &str = "the server is stopping";

/// Looks after runs whose worker is gone or whose time is up.
async fn look_after(runtime: &Runtime) {
    loop {
        runtime.env().sleep(REAP_EVERY).await;
        loop {
            match runtime.reap().await {
                Ok(REAP_BATCH) => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "overdue runs were not looked after");
                    break;
                }
            }
        }
    }
}

/// The worker is not there any more, whichever way it went.
struct Gone {
    runtime: Runtime,
    worker: Arc<Worker>,
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.runtime.set_worker(None);
        let mut state = self.worker.state();
        state.stopping = true;
        state.runs.values().for_each(|held| held.lost.cancel());
    }
}
