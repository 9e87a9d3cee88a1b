//! Accepting connections, and stopping.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, extract::Request, response::Response};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use mesh_graph::{env::Env, store};
use mesh_runtime::{Error, Graphs, Ledger, Policy, Runtime, WorkOptions, graphs, outbox::Courier};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    runtime::Handle,
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    ACCEPT_RETRY, About, Access, Assistant, CLOSE_WAIT, ErrorFormat, HEADER_BYTES_MAX, IDLE_WAIT,
    LEAVE_WAIT, Limits, REFUSALS_MAX,
    auth::Auth,
    callers::{Busy, Callers},
    idempotency::Handled,
    metrics::{Bound, Metrics},
    models::Models,
    native::Encodings,
    pace::{HeadClock, Pace},
    patient::Patient,
    protocol::Watchers,
    refusal::Refusal,
    routes::{self, Connection},
    texts::Texts,
};

/// Time after the drain in which cancelled runs end and sockets say goodbye. What is left then is
/// dropped.
const STOP_MARGIN: Duration = LEAVE_WAIT.saturating_add(CLOSE_WAIT);

/// Which headers of a request the graphs of its run can read, as entries of `configurable`.
/// Credentials are never among them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CopiedHeaders {
    /// All whose names begin with `x-`, except `x-api-key`, `x-tenant-id` and `x-service-key`.
    #[default]
    Extensions,
    /// Those with these names, lower case; none for an empty list.
    Only(Vec<String>),
}

/// Pause before the worker is started again that could not begin.
const WORK_RETRY: Duration = Duration::from_secs(1);

/// A server cannot be made from what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two assistants would have one path.
    #[error("there are two assistants `{name}`")]
    DuplicateAssistant {
        /// The name.
        name: String,
    },
    /// The name cannot be part of a path.
    #[error(
        "assistant name `{name}`: expected 1 to 64 ASCII letters, digits, hyphens and underscores"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// A limit that would let nothing happen.
    #[error("limit {limit}: expected {expected}")]
    BadLimit {
        /// The limit by name.
        limit: &'static str,
        /// What would be accepted.
        expected: &'static str,
    },
}

/// Graphs behind doors. Made by [`Server::new`], run by [`Server::serve`].
pub struct Server {
    about: About,
    assistants: BTreeMap<String, Assistant>,
    limits: Limits,
    access: Access,
    /// Graphs besides those of the assistants.
    graphs: Graphs,
    policy: Policy,
    runtime: Option<Runtime>,
    courier: Option<Arc<dyn Courier>>,
    texts: Option<Arc<dyn Texts>>,
    models: Option<Arc<dyn Models>>,
    error_format: ErrorFormat,
    development: bool,
    auth: Auth,
    unsafe_settings: Vec<String>,
    copied_headers: CopiedHeaders,
    executor: Option<Handle>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("assistants", &self.assistants)
            .field("limits", &self.limits)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// What all requests and sockets of a running server share.
pub(crate) struct Shared {
    pub(crate) about: About,
    pub(crate) assistants: BTreeMap<String, Assistant>,
    pub(crate) limits: Limits,
    pub(crate) access: Access,
    /// Threads, runs and all else that is kept; none on a server that keeps nothing.
    pub(crate) runtime: Option<Runtime>,
    /// Carries what webhooks are told.
    pub(crate) courier: Option<Arc<dyn Courier>>,
    /// Where texts are that states name by address.
    pub(crate) texts: Option<Arc<dyn Texts>>,
    /// The models that the server is configured with.
    pub(crate) models: Option<Arc<dyn Models>>,
    pub(crate) error_format: ErrorFormat,
    /// Whether operations are there that suites need and nobody else.
    pub(crate) development: bool,
    /// Keys of requests that are being handled.
    pub(crate) handled: Handled,
    /// Who may ask.
    pub(crate) auth: Auth,
    /// Names of the switches that were set against good advice.
    pub(crate) unsafe_settings: Vec<String>,
    pub(crate) copied_headers: CopiedHeaders,
    /// Where graphs run, if not here.
    pub(crate) executor: Option<Handle>,
    pub(crate) started: Instant,
    /// Connections that pass on what the runs of a thread tell.
    pub(crate) watchers: Arc<Watchers>,
    /// Frames of native sockets that are shared.
    pub(crate) encodings: Encodings,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Places for connections.
    pub(crate) places: Arc<Semaphore>,
    /// Connections by who has them.
    pub(crate) callers: Arc<Callers>,
    /// Owns every connection and every socket.
    pub(crate) tasks: TaskTracker,
    /// Fires when nothing new may begin.
    pub(crate) stop: CancellationToken,
    /// Fires when what is running has to end.
    pub(crate) cancel: CancellationToken,
    /// Fires when what still has not ended is dropped.
    pub(crate) abort: CancellationToken,
}

impl Shared {
    /// The state of a server that was just started.
    pub(crate) fn new(server: Server, stop: CancellationToken) -> Self {
        let places = Arc::new(Semaphore::new(server.limits.connections_max));
        let callers = Callers::new(server.limits.connections_of_caller_max);
        Self {
            about: server.about,
            assistants: server.assistants,
            limits: server.limits,
            access: server.access,
            runtime: server.runtime,
            handled: Handled::default(),
            courier: server.courier,
            texts: server.texts,
            models: server.models,
            error_format: server.error_format,
            development: server.development,
            auth: server.auth,
            unsafe_settings: server.unsafe_settings,
            copied_headers: server.copied_headers,
            executor: server.executor,
            started: Instant::now(),
            watchers: Arc::default(),
            encodings: Encodings::default(),
            metrics: Metrics::default(),
            places,
            callers,
            tasks: TaskTracker::new(),
            stop,
            cancel: CancellationToken::new(),
            abort: CancellationToken::new(),
        }
    }

    /// One more connection of a caller.
    ///
    /// # Errors
    /// [`Refusal::TooManyOfCaller`].
    pub(crate) fn enter(&self, identity: &str) -> Result<Busy, Refusal> {
        let max = self.callers.max();
        self.callers.enter(identity).ok_or(Refusal::TooManyOfCaller { max })
    }
}

impl Server {
    /// A server of these assistants.
    ///
    /// # Errors
    /// [`BuildError`] names the assistant or the limit that cannot be.
    pub fn new(
        about: About,
        assistants: impl IntoIterator<Item = Assistant>,
        limits: Limits,
        access: Access,
    ) -> Result<Self, BuildError> {
        let mut by_name = BTreeMap::new();
        for assistant in assistants {
            let name = assistant.name().to_owned();
            if !assistant.name_is_usable() {
                return Err(BuildError::BadName { name });
            }
            if by_name.insert(name.clone(), assistant).is_some() {
                return Err(BuildError::DuplicateAssistant { name });
            }
        }
        let bad = |limit, expected| Err(BuildError::BadLimit { limit, expected });
        if limits.message_bytes_max == 0 {
            return bad("message_bytes_max", "at least 1");
        }
        if !(1..=Semaphore::MAX_PERMITS).contains(&limits.connections_max) {
            return bad("connections_max", "at least 1 and at most the permits of a semaphore");
        }
        if limits.connections_of_caller_max == 0 {
            return bad("connections_of_caller_max", "at least 1");
        }
        if limits.ping_every.is_zero() {
            return bad("ping_every", "more than 0 s");
        }
        Ok(Self {
            about,
            assistants: by_name,
            limits,
            access,
            graphs: Graphs::default(),
            policy: Policy::default(),
            runtime: None,
            courier: None,
            texts: None,
            models: None,
            error_format: ErrorFormat::default(),
            development: false,
            auth: Auth::default(),
            unsafe_settings: Vec::new(),
            copied_headers: CopiedHeaders::default(),
            executor: None,
        })
    }

    /// Serves one more graph, which `/info` does not list among the assistants.
    pub fn graph(mut self, id: impl Into<String>, graph: graphs::Served) -> Self {
        self.graphs.insert(id, graph);
        self
    }

    /// Takes on and keeps what this says. Takes effect with [`Server::keep_in`].
    ///
    /// # Errors
    /// [`BuildError::BadLimit`] for a bound of 0 and a time that is none.
    pub fn policy(mut self, policy: Policy) -> Result<Self, BuildError> {
        let bad = |limit, expected| Err(BuildError::BadLimit { limit, expected });
        if policy.pending_runs_max == 0 {
            return bad("pending_runs_max", "at least 1");
        }
        if policy.state_bytes_max == 0 {
            return bad("state_bytes_max", "at least 1");
        }
        if policy.threads_swept_every.is_zero() || policy.items_swept_every.is_zero() {
            return bad("sweep interval", "more than 0 s");
        }
        if policy.thread_ttl.is_some_and(|(minutes, _)| !minutes.is_finite() || minutes <= 0.0) {
            return bad("ttl of threads", "more than 0 minutes");
        }
        if store::Options::default().ttl(policy.item_ttl).is_err() {
            return bad("ttl of items", "more than 0 minutes, at most a thousand years");
        }
        self.policy = policy;
        Ok(self)
    }

    /// Keeps threads, runs and all else in this ledger, and opens the doors to them.
    pub fn keep_in(mut self, ledger: Arc<dyn Ledger>, env: Arc<dyn Env>) -> Self {
        let mut graphs = self.graphs.clone();
        for (name, assistant) in &self.assistants {
            graphs.insert(name.clone(), assistant.served());
        }
        self.runtime = Some(Runtime::with_policy(ledger, graphs, env, self.policy));
        self
    }

    /// Tells webhooks how runs end, by this courier. Without one, runs with a webhook are refused.
    pub fn courier(mut self, courier: Arc<dyn Courier>) -> Self {
        self.courier = Some(courier);
        self
    }

    /// Shows the texts that states of threads name by their address. Without it, none is found.
    pub fn texts(mut self, texts: Arc<dyn Texts>) -> Self {
        self.texts = Some(texts);
        self
    }

    /// Shows these models, and lets them be tried. Without it, there are none.
    pub fn models(mut self, models: Arc<dyn Models>) -> Self {
        self.models = Some(models);
        self
    }

    /// Makes what is kept ready for requests: every graph has an assistant of itself, and runs that
    /// an earlier process had wait for a worker or are over. To be called once, before serving;
    /// does nothing on a server that keeps nothing.
    ///
    /// On a full disk the server begins without that: it can be read from, is not ready, and does
    /// the rest as soon as there is room.
    ///
    /// # Errors
    /// What storage reports.
    ///
    /// # Cancel safety
    /// A dropped future may or may not have taken effect; calling again does the rest.
    pub async fn start(&self) -> Result<(), Error> {
        let Some(runtime) = &self.runtime else { return Ok(()) };
        let begun = async {
            runtime.ensure_assistants().await?;
            runtime.settle_after_start().await
        };
        match begun.await {
            Err(Error::DiskFull) => {
                tracing::error!("the disk is full: what an earlier process left stays as it is");
                Ok(())
            }
            begun => begun,
        }
    }

    /// Opens operations that suites need: `POST /internal/truncate` removes what is kept. Never for
    /// a server that keeps something of worth.
    pub fn development(mut self) -> Self {
        self.development = true;
        self
    }

    /// Answers for one more `Host`; see [`Access::hosts`].
    pub fn answer_to(mut self, host: impl Into<String>) -> Self {
        self.access.hosts.push(host.into());
        self
    }

    /// Copies these headers of a request into the `configurable` of the run that it makes.
    pub fn copy_headers(mut self, headers: CopiedHeaders) -> Self {
        self.copied_headers = headers;
        self
    }

    /// Runs graphs and their nodes on this runtime. A node that blocks a thread there keeps no
    /// request and no socket waiting. Without one, they share the runtime that serves.
    pub fn execute_on(mut self, executor: Handle) -> Self {
        self.executor = Some(executor);
        self
    }

    /// Writes the bodies of HTTP errors in this form.
    pub fn error_format(mut self, format: ErrorFormat) -> Self {
        self.error_format = format;
        self
    }

    /// Lets in only those that `auth` lets in.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Whether anybody has to say who they are.
    pub fn asks_who(&self) -> bool {
        self.auth.is_on()
    }

    /// Tells in `/info` that these settings make the server less safe.
    pub fn unsafe_settings(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.unsafe_settings.extend(names);
        self
    }

    /// The names of the assistants, in order.
    pub fn assistants(&self) -> impl Iterator<Item = &str> {
        self.assistants.keys().map(String::as_str)
    }

    /// Serves until `stop` fires, then gives running work [`Limits::drain_timeout`] to finish,
    /// cancels what is left, and returns when every connection has ended.
    ///
    /// # Cancel safety
    /// Dropping the future stops accepting and ends every connection and run at once.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let shared = Arc::new(Shared::new(self, stop));
        // Tasks of a tracker outlive it; this ends them if the caller drops us.
        let _abort = shared.abort.clone().drop_guard();
        work(&shared);
        accept(&shared, &listener).await;
        // Closed before the drain: a client that comes now is refused by the system.
        drop(listener);
        drain(&shared).await;
    }
}

/// Executes runs, on a server that keeps some, until the server stops.
fn work(shared: &Shared) {
    let Some(runtime) = shared.runtime.clone() else { return };
    let options = WorkOptions {
        drain_timeout: shared.limits.drain_timeout,
        executor: shared.executor.clone(),
        ..WorkOptions::default()
    };
    let stop = shared.stop.clone();
    let (keeper, courier) = (runtime.clone(), shared.courier.clone());
    shared.tasks.spawn(shared.stop.clone().run_until_cancelled_owned(async move {
        let letters = async {
            if let Some(courier) = courier {
                keeper.deliver_letters(courier).await;
            }
        };
        futures::join!(keeper.keep_house(), letters);
    }));
    shared.tasks.spawn(shared.abort.clone().run_until_cancelled_owned(async move {
        // Fails only while what [`Server::start`] does cannot be done: on a full disk, for
        // instance, which somebody may clear.
        let work = async || {
            runtime.ensure_assistants().await?;
            runtime.work(options.clone(), stop.clone()).await
        };
        while let Err(error) = work().await {
            tracing::error!(%error, "runs are not executed; trying again");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(WORK_RETRY) => {}
            }
        }
    }));
}

/// Accepts connections until the server stops.
async fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    let router = routes::router(Arc::clone(shared));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_the_client(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again");
                tokio::select! {
                    () = shared.stop.cancelled() => return,
                    () = tokio::time::sleep(ACCEPT_RETRY) => continue,
                }
            }
        };
        // Frames are small and somebody waits for each.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let served = if let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() {
            shared.metrics.connected();
            let local = stream.local_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |a| a.ip());
            let connection = Connection { peer, local, _place: Arc::new(place), busy: None };
            Served::Routes(router.clone(), connection)
        } else {
            shared.metrics.refused();
            let Ok(place) = Arc::clone(&refusals).try_acquire_owned() else { continue };
            Served::NoPlace(place)
        };
        let abort = shared.abort.clone();
        let shared = Arc::clone(shared);
        let tasks = shared.tasks.clone();
        tasks.spawn(abort.run_until_cancelled_owned(async move {
            match served {
                Served::Routes(router, connection) => {
                    connect(&shared, stream, to_routes(router, connection)).await;
                }
                Served::NoPlace(_place) => {
                    tracing::warn!(%peer, "refused a connection: no place");
                    connect(&shared, stream, to_refusal(&shared)).await;
                }
            }
        }));
    }
}

/// What a connection gets.
enum Served {
    Routes(Router, Connection),
    NoPlace(tokio::sync::OwnedSemaphorePermit),
}

fn to_routes(
    router: Router,
    connection: Connection,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> {
    let router = TowerToHyperService::new(router);
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(connection.clone());
        router.call(request)
    })
}

fn to_refusal(
    shared: &Shared,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + use<>
{
    let (max, format) = (shared.limits.connections_max, shared.error_format);
    service_fn(move |_| std::future::ready(Ok(routes::no_place(max, format))))
}

/// Serves one connection until it ends, is upgraded, or the server stops.
async fn connect<IO, S>(shared: &Shared, stream: IO, service: S)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>,
{
    let pace = Pace::new();
    let heads = HeadClock::new(pace.clone());
    let stream = TokioIo::new(Patient::new(stream, shared.limits.write_timeout, heads));
    let service = service_fn(move |request| {
        pace.answering();
        let (pace, answer) = (pace.clone(), service.call(request));
        async move { answer.await.map(|response| pace.answered(response)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The time without any byte of a request; that of a head which has begun is shorter, and
        // counted where it is read.
        .header_read_timeout(IDLE_WAIT)
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(stream, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shared.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Answered by the library, before anything of ours sees the request.
        if error.is_parse_too_large() {
            shared.metrics.reached(Bound::Head);
        }
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Waits for what is running, first patiently, then not.
async fn drain(shared: &Shared) {
    let tasks = &shared.tasks;
    tasks.close();
    if !tasks.is_empty() {
        tracing::info!(open = tasks.len(), "stopping: waiting for running work");
    }
    if timeout(shared.limits.drain_timeout, tasks.wait()).await.is_err() {
        tracing::warn!(open = tasks.len(), "stopping: cancelling what is still running");
        shared.cancel.cancel();
        if timeout(STOP_MARGIN, tasks.wait()).await.is_err() {
            shared.abort.cancel();
            tasks.wait().await;
        }
    }
}

/// Errors of accepting that concern one connection and say nothing about the next.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused)
}

#[cfg(test)]
mod tests;
