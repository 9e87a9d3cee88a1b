//! One execution of a run: from the claim to the end that is written for it.
//!
//! The graph runs in a task of its own, where there is one on a runtime of its own, so that
//! whatever a node does to it, what has to be decided about the run (it is cancelled, it was lost,
//! the server stops) is decided in time. What it tells goes to the log together with what it
//! stores; its end is written with all that is left.

use std::{error::Error as _, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use mesh_graph::{
    App, CheckpointId, Checkpointer, Error as GraphError, Outcome, Status, Store, Untyped,
    checkpoint::Place, checkpointer,
};
use serde_json::{Map, Value as Json, json};
use tokio::{
    runtime::Handle,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Error, Run, Runtime,
    asked::{self, Asked},
    failure,
    graphs::{Purpose, Request},
    log::{Entry, Kind},
    runs::{self, Cause, State},
    teller::Teller,
    thread::shown::Settled,
    worker::{Held, STOP_ASKED},
};

/// How long a run that is to end may take for it; then it is abandoned.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// How long to wait before something that storage refused is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

type Ended = Result<Result<Outcome<Untyped>, GraphError>, JoinError>;

/// How an execution came to an end.
#[expect(clippy::large_enum_variant, reason = "one per execution, and never kept")]
enum End {
    /// The graph's own end.
    Graph(Ended),
    /// It was to end and did not.
    Abandoned,
    /// The server stops, and the graph came to no step boundary.
    HandedOver,
    /// The run is somebody else's, or nobody's.
    Lost,
}

/// One execution of one run.
pub(crate) struct Execution {
    runtime: Runtime,
    run: Run,
    held: Arc<Held>,
    store: Arc<dyn Store>,
    /// Where the graph runs.
    executor: Handle,
}

/// A graph that is ready to be driven.
struct Ready {
    app: App<Untyped>,
    teller: Arc<Teller>,
    asked: Asked,
    at: Option<CheckpointId>,
    /// It goes on from a checkpoint that an earlier execution of this run made.
    takes_over: bool,
}

impl Execution {
    pub(crate) fn new(
        runtime: Runtime,
        run: Run,
        held: Arc<Held>,
        store: Arc<dyn Store>,
        executor: Handle,
    ) -> Self {
        Self { runtime, run, held, store, executor }
    }

    /// Executes the run and writes its end, unless it was lost meanwhile.
    pub(crate) async fn execute(self) {
        let first = match self.first_entry().await {
            Ok(first) => first,
            Err(error) => return leave(&error),
        };
        let teller = Arc::new(Teller::new(&self.run, first, self.runtime.hub()));
        let ready = match self.prepare(&teller).await {
            Ok(Ok(ready)) => ready,
            Ok(Err(error)) => {
                let cause = Cause::Failed { error, state: None };
                return self.finish(&teller, cause).await;
            }
            // Storage may come back; a checkpoint that this graph cannot read stays as it is.
            Err(Error::Graph(error)) if !is_of_storage(&error) => {
                tracing::info!(%error, "the run failed before it began");
                let cause = Cause::Failed { error: failure::shown(&error), state: None };
                return self.finish(&teller, cause).await;
            }
            Err(error) => return leave(&error),
        };
        let mut ready = ready;
        let end = loop {
            let end = self.drive(&mut ready).await;
            // The answer was taken by an execution that was lost: it need not be given again.
            let taken = matches!(
                &end,
                End::Graph(Ok(Err(
                    GraphError::NothingToResume | GraphError::UnknownInterrupt { .. }
                )))
            );
            if !(taken && self.run.epoch > 1 && matches!(ready.asked, Asked::Command(_))) {
                break end;
            }
            ready.asked = Asked::Continue;
        };
        if let Some(cause) = self.cause(&ready, end).await {
            self.finish(&teller, cause).await;
        }
    }

    /// The entry that an execution begins with. One that goes on where another was told to stop
    /// has none.
    async fn first_entry(&self) -> Result<Option<Entry>, Error> {
        let Run { id, attempt, epoch, .. } = self.run;
        if epoch > 1 && attempt <= 1 {
            let thread = self.run.thread.clone();
            let begun =
                self.runtime.ledger().read(move |tx| tx.run_entries(&thread, id, 0, 1)).await?;
            if !begun.is_empty() {
                return Ok(None);
            }
        }
        let data = json!({ "run_id": id, "attempt": attempt });
        let mut entry = Entry::of_run(id, Kind::Begun, self.runtime.env().now_ms(), &data);
        entry.step = i64::from(attempt);
        entry.node = Some(Arc::from(self.run.graph.as_str()));
        Ok(Some(entry))
    }

    /// The graph with its storage, and what to ask of it; or why the run fails.
    async fn prepare(&self, teller: &Arc<Teller>) -> Result<Result<Ready, Json>, Error> {
        let (runtime, run) = (&self.runtime, &self.run);
        let Some(served) = runtime.graphs().get(&run.graph) else {
            let text = format!("there is no graph `{}`", run.graph);
            return Ok(Err(failure::told("ValueError", &text)));
        };
        let configurable = run.kwargs.config.get("configurable").and_then(Json::as_object);
        let request = Request {
            purpose: Purpose::Run,
            configurable: configurable.cloned().unwrap_or_default(),
        };
        let app = match served.app(&request) {
            Ok(app) => app,
            Err(message) => return Ok(Err(failure::told("GraphLoadError", &message))),
        };
        let rider = Arc::new(Arc::clone(teller));
        let checkpointer = runtime.ledger().checkpointer_with(rider);
        let app = app
            .checkpointer(Arc::clone(&checkpointer))
            .store(Arc::clone(&self.store))
            .env(Arc::clone(runtime.env()));
        let asked = Asked::of(&run.kwargs);
        let mut ready =
            Ready { app, teller: Arc::clone(teller), asked, at: None, takes_over: false };
        if run.epoch > 1 && self.stands_on_own(&*checkpointer).await? {
            ready.asked = Asked::Continue;
            ready.takes_over = true;
            return Ok(Ok(ready));
        }
        ready.at = match asked::checkpoint(&run.kwargs) {
            Ok(at) => at,
            Err(id) => {
                let text = format!("checkpoint_id: `{id}` is no id of a checkpoint");
                return Ok(Err(failure::told("ValueError", &text)));
            }
        };
        if ready.at.is_some() && ready.at == self.head(&*checkpointer).await? {
            ready.at = None;
        }
        if ready.at.is_none() && ready.asked.needs_work(&run.kwargs) {
            let state = ready.app.state(&run.thread).await?;
            if state.next.is_empty() {
                return Ok(Err(failure::shown(&GraphError::EmptyInput)));
            }
        }
        Ok(Ok(ready))
    }

    /// Whether the thread's newest checkpoint was made by this run.
    async fn stands_on_own(&self, checkpointer: &dyn Checkpointer) -> Result<bool, Error> {
        let loaded = self.newest(checkpointer).await?;
        Ok(loaded.is_some_and(|loaded| {
            loaded.checkpoint.run_id.as_deref() == Some(self.run.id.to_string().as_str())
        }))
    }

    async fn head(&self, checkpointer: &dyn Checkpointer) -> Result<Option<CheckpointId>, Error> {
        Ok(self.newest(checkpointer).await?.map(|loaded| loaded.checkpoint.id))
    }

    async fn newest(
        &self,
        checkpointer: &dyn Checkpointer,
    ) -> Result<Option<checkpointer::Loaded>, Error> {
        let place = Place { thread: self.run.thread.clone(), ns: String::new() };
        checkpointer.load(&place, None).await.map_err(|error| GraphError::from(error).into())
    }

    /// Runs the graph until it ends or has to.
    async fn drive(&self, ready: &mut Ready) -> End {
        let (events, graph) = loop {
            let mut started = asked::with_options(ready.asked.begin(&ready.app), &self.run)
                .cancel_on(self.held.cancel.clone())
                .control(self.held.control.clone());
            if let Some(at) = ready.at {
                started = started.at(at);
            }
            if ready.takes_over {
                started = started.take_over();
            }
            match started.split() {
                Ok(parts) => break parts,
                Err(error) if ready.asked.passes_over(&error) => {}
                Err(error) => return End::Graph(Ok(Err(error))),
            }
        };
        ready.teller.listen(events);
        let mut driver = JoinSet::new();
        driver.spawn_on(graph, &self.executor);
        let ended = async move {
            tokio::select! {
                biased;
                () = self.held.lost.cancelled() => End::Lost,
                ended = driver.join_next() => ended.map_or(End::Lost, End::Graph),
                () = self.overstayed() => End::Abandoned,
                () = self.held.hand_over.cancelled() => End::HandedOver,
            }
        };
        // Looked at when one of these happens, not for each event that is told meanwhile.
        let mut ended: FuturesUnordered<_> = std::iter::once(ended).collect();
        let quit = CancellationToken::new();
        let pump = self.pump(&ready.teller, &quit);
        tokio::pin!(pump);
        let mut pumping = true;
        let end = loop {
            tokio::select! {
                biased;
                Some(end) = ended.next() => break end,
                pumped = &mut pump, if pumping => match pumped {
                    Ok(()) => pumping = false,
                    Err(_) => return End::Lost,
                },
            }
        };
        if matches!(end, End::Lost) {
            return end;
        }
        drop(ended);
        // What is on its way has to arrive before the end is written.
        quit.cancel();
        if pumping && pump.await.is_err() {
            return End::Lost;
        }
        end
    }

    /// Writes what is told between checkpoints. What storage refuses is tried again; meanwhile the
    /// run waits as soon as it has told more than there is room for.
    async fn pump(&self, teller: &Arc<Teller>, quit: &CancellationToken) -> Result<(), Error> {
        let (ledger, env) = (self.runtime.ledger(), &**self.runtime.env());
        loop {
            match teller.pump(ledger, env, quit).await {
                Err(error) if !matches!(error, Error::Fenced { .. }) => {
                    tracing::warn!(%error, "the log was not written");
                    tokio::select! {
                        () = quit.cancelled() => return Ok(()),
                        () = env.sleep(RETRY_EVERY) => {}
                    }
                }
                done => return done,
            }
        }
    }

    /// Waits until the run should have ended.
    async fn overstayed(&self) {
        self.held.cancel.cancelled().await;
        self.runtime.env().sleep(CANCEL_GRACE).await;
    }

    /// What becomes of the run; nothing if that is not for this execution to say.
    async fn cause(&self, ready: &Ready, end: End) -> Option<Cause> {
        let outcome = match end {
            End::Lost => {
                self.held.note_dropped();
                return None;
            }
            End::HandedOver => return Some(Cause::Drained),
            End::Abandoned => {
                let state = self.state(&ready.app).await;
                return Some(Cause::Cancelled { state, forced: false });
            }
            End::Graph(Ok(outcome)) => outcome,
            // Nobody here did that: what it ran on is shut down, and the process is about to end.
            End::Graph(Err(ended)) if ended.is_cancelled() => return None,
            End::Graph(Err(panic)) => {
                tracing::error!(%panic, "the engine panicked");
                let error = failure::told("InternalError", "the run came to an unexpected end");
                return Some(Cause::Failed { error, state: self.state(&ready.app).await });
            }
        };
        match outcome {
            Ok(outcome) => match outcome.status {
                Status::Done => match outcome.state_json() {
                    Ok(values) => Some(Cause::Done(State {
                        values: Bytes::from(values.to_string()),
                        interrupts: Map::new(),
                        unfinished: false,
                        breakpoint: false,
                    })),
                    Err(error) => {
                        let error = failure::shown(&GraphError::Unserializable(error));
                        Some(Cause::Failed { error, state: None })
                    }
                },
                Status::Interrupted => {
                    let breakpoint = outcome.interrupts.is_empty();
                    let state = self.state(&ready.app).await;
                    // Without its state the run is not over: another execution finds it there.
                    state.map(|state| Cause::Done(State { breakpoint, ..state }))
                }
                Status::Cancelled => {
                    let state = self.state(&ready.app).await;
                    Some(Cause::Cancelled { state, forced: false })
                }
                Status::Drained if self.held.control.drain_reason() == Some(STOP_ASKED) => {
                    let state = self.state(&ready.app).await;
                    Some(Cause::Cancelled { state, forced: false })
                }
                Status::Drained => Some(Cause::Drained),
            },
            Err(GraphError::CheckpointFailed(
                error @ (checkpointer::Error::DiskFull | checkpointer::Error::Storage(_)),
            )) => {
                if ready.teller.is_fenced() {
                    self.held.note_dropped();
                } else {
                    // It is tried again once its lease has passed.
                    let error =
                        error.source().map_or_else(|| error.to_string(), ToString::to_string);
                    tracing::warn!(error, "the run could not be stored");
                }
                None
            }
            Err(error) => {
                tracing::info!(%error, "the run failed");
                let state = self.state(&ready.app).await;
                Some(Cause::Failed { error: failure::shown(&error), state })
            }
        }
    }

    /// The state as it is stored.
    async fn state(&self, app: &App<Untyped>) -> Option<State> {
        let snapshot = match app.state(&self.run.thread).await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::warn!(%error, "the state that it leaves is not known");
                return None;
            }
        };
        let interrupts = Settled::of(&snapshot).interrupts;
        Some(State {
            values: Bytes::from(snapshot.json().ok()?.to_string()),
            interrupts,
            unfinished: !snapshot.next.is_empty(),
            breakpoint: false,
        })
    }

    /// Writes the end, with everything that was told and is not on the log yet. What storage
    /// refuses is tried again for as long as the run is this execution's.
    async fn finish(&self, teller: &Teller, cause: Cause) {
        let told = teller.take();
        loop {
            let (cause, told, mut run) = (cause.clone(), told.clone(), self.run.clone());
            let now = self.runtime.now();
            let wrote = self
                .runtime
                .ledger()
                .write(move |tx| runs::finish(tx, now, &mut run, cause, told))
                .await;
            match wrote {
                Ok(told) => return self.runtime.tell(&told),
                Err(Error::Fenced { .. }) => return self.held.note_dropped(),
                Err(error) => {
                    tracing::warn!(%error, "its end was not written");
                }
            }
            tokio::select! {
                () = self.held.lost.cancelled() => return,
                () = self.runtime.env().sleep(RETRY_EVERY) => {}
            }
        }
    }
}

/// The run could not even begin: it is tried again once its lease has passed.
fn leave(error: &Error) {
    tracing::warn!(%error, "the run was not begun");
}

/// Whether the database failed rather than the graph.
fn is_of_storage(error: &GraphError) -> bool {
    matches!(error, GraphError::CheckpointFailed(checkpointer::Error::Storage(_)))
}
