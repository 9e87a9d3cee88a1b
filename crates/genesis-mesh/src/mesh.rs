//! `GenesisMesh`: a mesh made of parts, set up, then served.
//!
//! Three types, one after the other: [`Builder`] collects parts, [`GenesisMesh`] is a mesh whose
//! parts fit, [`ReadyMesh`] one whose storage is open. Only the last one can serve. Several
//! may live in one process, each with a data directory and a port of its own. Nothing here prints.

mod data_dir;
mod listen;
mod signal;

use std::{net::SocketAddr, path::PathBuf, pin::pin, sync::Arc};

use mesh_graph::{env::SystemEnv, store};
use mesh_runtime::{
    Policy,
    api_key::ApiKeys,
    graphs::{Graphs, Served},
    outbox::Courier,
};
use mesh_server::{
    About, Access, Assistant, ErrorFormat, Limits, Models, Server, Texts, auth::Auth,
};
use mesh_store::Sqlite;
use tokio::{net::TcpListener, runtime::Handle};
use tokio_util::sync::CancellationToken;

use crate::{
    PRODUCT, VERSION, auth,
    settings::{self, Settings},
};

pub use crate::auth::AuthError;
pub use data_dir::SetupError;
pub(crate) use data_dir::make as make_data_dir;
pub use listen::ServeError;
pub use mesh_server::BuildError;
pub use signal::{Signal, stop_signal};

/// Name of the program on the wire.
const NAME: &str = "genesis-mesh";
/// The one database file of a data directory.
pub(crate) const DATABASE: &str = "genesis-mesh.db";

/// A mesh whose parts fit together. Nothing is open yet.
///
/// ```no_run
/// use genesis_mesh::mesh::GenesisMesh;
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mesh = GenesisMesh::builder().data_dir("/srv/mesh").build()?;
/// mesh.setup().await?.serve("127.0.0.1", 8080).await?;
/// # Ok(()) }
/// ```
///
/// Serving before set-up does not compile:
///
/// ```compile_fail,E0599
/// use genesis_mesh::mesh::GenesisMesh;
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mesh = GenesisMesh::builder().data_dir("/srv/mesh").build()?;
/// mesh.serve("127.0.0.1", 8080).await?;
/// # Ok(()) }
/// ```
#[must_use = "a mesh does nothing until it is set up and served"]
#[derive(Debug)]
pub struct GenesisMesh {
    server: Server,
    parts: Parts,
}

/// Collects the parts of a mesh. Made by [`GenesisMesh::builder`].
#[derive(Default)]
pub struct Builder {
    assistants: Vec<Assistant>,
    limits: Limits,
    policy: Policy,
    access: Access,
    error_format: ErrorFormat,
    unsafe_settings: Vec<&'static str>,
    graphs: Graphs,
    courier: Option<Arc<dyn Courier>>,
    texts: Option<Arc<dyn Texts>>,
    models: Option<Arc<dyn Models>>,
    development: bool,
    executor: Option<Handle>,
    parts: Parts,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("assistants", &self.assistants)
            .field("graphs", &self.graphs)
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

/// What set-up needs.
#[derive(Default)]
struct Parts {
    data_dir: Option<PathBuf>,
    /// Who may ask, as the settings have it.
    auth: settings::Auth,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

impl GenesisMesh {
    /// A mesh without parts, with the default limits.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Makes and locks the data directory, if there is to be one, and hands storage to the
    /// assistants. Opens no port.
    ///
    /// # Errors
    /// [`SetupError`] names the path and what could not be done with it.
    pub async fn setup(self) -> Result<ReadyMesh, SetupError> {
        let Self { mut server, parts } = self;
        let rules = auth::token_rules(&parts.auth)?;
        let (data_dir, store) = match parts.data_dir {
            Some(path) => {
                let locked = data_dir::open(path.clone()).await?;
                (Some(locked), Sqlite::open(path.join(DATABASE)).await?)
            }
            None => (None, Sqlite::in_memory()?),
        };
        server = server.keep_in(store.ledger(), Arc::new(SystemEnv));
        server.start().await?;
        let may_be_open = parts.auth.unsafe_no_authentication;
        if !may_be_open {
            // A key that was revoked counts: whoever took back the last one lets nobody in.
            let any_key = store.any().await?;
            if any_key || rules.is_some() {
                let auth = Auth::default().keys(Arc::new(store.clone()));
                server = server.auth(auth::with_tokens(auth, rules)?);
            }
        }
        Ok(ReadyMesh {
            server,
            store,
            _data_dir: data_dir,
            stop: None,
            listening: None,
            may_be_open,
        })
    }
}

impl Builder {
    /// Takes limits, access rules and the data directory from settings.
    pub fn settings(mut self, settings: &Settings) -> Self {
        self.limits.message_bytes_max = settings.server.message_bytes_max;
        self.limits.connections_max = settings.server.connections_max;
        self.limits.connections_of_caller_max = settings.server.connections_of_caller_max;
        self.limits.drain_timeout = settings.server.drain_timeout;
        self.limits.pause_hold = settings.server.pause_hold;
        self.policy = Policy {
            pending_runs_max: settings.server.pending_runs_max,
            state_bytes_max: settings.server.state_bytes_max,
            thread_ttl: settings
                .thread_ttl
                .default_ttl
                .map(|minutes| (minutes, settings.thread_ttl.strategy)),
            threads_swept_every: settings.thread_ttl.sweep_interval,
            item_ttl: store::Ttl {
                default_minutes: settings.item_ttl.default_ttl,
                refresh_on_read: settings.item_ttl.refresh_on_read,
            },
            items_swept_every: settings.item_ttl.sweep_interval,
        };
        self.access = Access {
            hosts: settings.server.allowed_hosts.clone(),
            origins: settings.server.allowed_origins.clone(),
            any_origin: settings.server.unsafe_any_origin,
        };
        self.error_format = settings.server.error_format;
        self.unsafe_settings = settings.unsafe_settings();
        self.parts.auth = settings.auth.clone();
        self.data_dir(&settings.data_dir)
    }

    /// Serves this assistant.
    pub fn assistant(mut self, assistant: Assistant) -> Self {
        self.assistants.push(assistant);
        self
    }

    /// Serves these assistants.
    pub fn assistants(mut self, assistants: impl IntoIterator<Item = Assistant>) -> Self {
        self.assistants.extend(assistants);
        self
    }

    /// Holds all that is written in this folder, which is made if it is missing. Without one,
    /// nothing is written: threads, runs and all else are in memory and end with the mesh.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.parts.data_dir = Some(path.into());
        self
    }

    /// The limits of the server.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What is taken on, and how long it is kept.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Who may ask, besides the server's own address and pages.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Serves this graph, too; `/info` does not list it among the assistants.
    pub fn graph(mut self, id: impl Into<String>, graph: Served) -> Self {
        self.graphs.insert(id, graph);
        self
    }

    /// Tells webhooks how runs end, by this courier.
    pub fn courier(mut self, courier: Arc<dyn Courier>) -> Self {
        self.courier = Some(courier);
        self
    }

    /// Shows the texts that states of threads name by their address.
    pub fn texts(mut self, texts: Arc<dyn Texts>) -> Self {
        self.texts = Some(texts);
        self
    }

    /// Shows these models, and lets them be tried.
    pub fn models(mut self, models: Arc<dyn Models>) -> Self {
        self.models = Some(models);
        self
    }

    /// Opens what test suites need and nobody else may have; see [`Server::development`].
    pub fn development(mut self) -> Self {
        self.development = true;
        self
    }

    /// Runs graphs and their nodes on this runtime, which has to last as long as the mesh serves
    /// and needs its timers and its network enabled. A node that blocks a thread there keeps no
    /// request and no socket waiting. Without one, they share the runtime that serves.
    pub fn execute_on(mut self, executor: Handle) -> Self {
        self.executor = Some(executor);
        self
    }

    /// The mesh, if its parts fit together.
    ///
    /// # Errors
    /// [`BuildError`] names the assistant or the limit that cannot be.
    pub fn build(self) -> Result<GenesisMesh, BuildError> {
        let about = About {
            name: NAME.to_owned(),
            description: PRODUCT.to_owned(),
            version: VERSION.to_owned(),
        };
        let mut server = Server::new(about, self.assistants, self.limits, self.access)?
            .policy(self.policy)?
            .error_format(self.error_format)
            .unsafe_settings(self.unsafe_settings.into_iter().map(str::to_owned));
        for (id, graph) in self.graphs.iter() {
            server = server.graph(id, graph.clone());
        }
        if let Some(courier) = self.courier {
            server = server.courier(courier);
        }
        if let Some(texts) = self.texts {
            server = server.texts(texts);
        }
        if let Some(models) = self.models {
            server = server.models(models);
        }
        if self.development {
            server = server.development();
        }
        if let Some(executor) = self.executor {
            server = server.execute_on(executor);
        }
        Ok(GenesisMesh { server, parts: self.parts })
    }
}

/// A mesh that is set up. It holds its data directory until it is dropped.
#[must_use = "a mesh that is set up waits to be served"]
pub struct ReadyMesh {
    server: Server,
    store: Sqlite,
    _data_dir: Option<data_dir::Locked>,
    stop: Option<CancellationToken>,
    listening: Option<Box<dyn FnOnce(SocketAddr) + Send>>,
    /// Other machines may be let in without being asked who they are.
    may_be_open: bool,
}

impl std::fmt::Debug for ReadyMesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadyMesh").field("server", &self.server).finish_non_exhaustive()
    }
}

impl ReadyMesh {
    /// Stops when this token fires. Without a token, the mesh stops on SIGTERM and SIGINT.
    pub fn stop_on(mut self, token: CancellationToken) -> Self {
        self.stop = Some(token);
        self
    }

    /// Calls this with the address once the mesh answers on it.
    pub fn on_listening(mut self, call: impl FnOnce(SocketAddr) + Send + 'static) -> Self {
        self.listening = Some(Box::new(call));
        self
    }

    /// The names of the assistants, in order.
    pub fn assistants(&self) -> impl Iterator<Item = &str> {
        self.server.assistants()
    }

    /// Listens on a host and port (0 takes any free one) and serves until it is stopped: no new
    /// connections, time for running work, then an end. Returns when all is over.
    ///
    /// # Errors
    /// [`ServeError`] when it cannot listen there.
    ///
    /// # Cancel safety
    /// Dropping the future ends every connection and run at once.
    pub async fn serve(mut self, host: &str, port: u16) -> Result<(), ServeError> {
        let listener = listen::bind(host, port).await?;
        // Whoever listens on a name answers to it.
        if host.parse::<std::net::IpAddr>().is_err() {
            self.server = self.server.answer_to(host.to_ascii_lowercase());
        }
        self.serve_with(listener).await
    }

    /// Serves on a listener that is there already.
    ///
    /// # Errors
    /// [`ServeError::Listener`] when it has no address, [`ServeError::Open`] when other machines
    /// can reach it and it is not known who may ask.
    ///
    /// # Cancel safety
    /// As [`ReadyMesh::serve`].
    pub async fn serve_with(self, listener: TcpListener) -> Result<(), ServeError> {
        let address = listener.local_addr().map_err(ServeError::Listener)?;
        let is_local = address.ip().to_canonical().is_loopback();
        if !is_local && !self.may_be_open && !self.server.asks_who() {
            return Err(ServeError::Open { address });
        }
        let own_stop = CancellationToken::new();
        let stop = self.stop.clone().unwrap_or_else(|| own_stop.clone());
        let mut served = pin!(async {
            if let Some(listening) = self.listening {
                listening(address);
            }
            self.server.serve(listener, stop).await;
        });
        if self.stop.is_none() {
            tokio::select! {
                // First, so that signals are heard before anybody is told where to find us.
                biased;
                _ = stop_signal() => {
                    own_stop.cancel();
                    served.await;
                }
                () = served.as_mut() => {}
            }
        } else {
            served.await;
        }
        // Runs are over: what they saved last is committed before the process may end.
        self.store.close().await;
        Ok(())
    }
}
