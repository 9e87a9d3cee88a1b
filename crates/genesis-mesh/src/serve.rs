//! Serving as the settings have it: the command without a subcommand.
//!
//! Addresses go to stdout, once the mesh answers; everything else goes to stderr.

use std::{
    convert::Infallible,
    fmt::Write as _,
    io::{self, Write as _},
    net::SocketAddr,
    sync::Arc,
};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{
    PRODUCT, VERSION, assistants, blogger,
    cli::Serve,
    mesh::{BuildError, GenesisMesh, ServeError, SetupError, stop_signal},
    models,
    settings::Settings,
    shelf::DataDirShelf,
    webhooks,
};

/// Why the mesh does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeFailure {
    /// An assistant cannot be made as the settings have it.
    #[error(transparent)]
    Assistant(#[from] blogger::BuildError),
    /// The client for webhooks cannot be set up.
    #[error("webhooks")]
    Webhooks(#[from] mesh_tools::fetch::BuildError),
    /// Fixtures cannot be served as the command line asks.
    #[cfg(feature = "fixtures")]
    #[error("--fixtures")]
    Fixtures(#[from] crate::fixtures::FixturesError),
    /// Its parts do not fit together.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Its data directory cannot be used.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ServeError),
}

impl ServeFailure {
    /// Whether the command line or the configuration was wrong, rather than the moment.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Listen(error) => error.is_usage(),
            Self::Assistant(_) => true,
            #[cfg(feature = "fixtures")]
            Self::Fixtures(_) => true,
            Self::Setup(SetupError::Auth(_)) => true,
            Self::Build(_) | Self::Setup(_) | Self::Webhooks(_) => false,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Listen(error) => error.hint(),
            Self::Setup(error) => error.hint(),
            Self::Assistant(_) | Self::Build(_) | Self::Webhooks(_) => None,
            #[cfg(feature = "fixtures")]
            Self::Fixtures(_) => None,
        }
    }
}

/// Serves until SIGTERM or SIGINT, then lets running work finish. A second signal ends the
/// process at once. Graphs run on `executor`.
///
/// # Errors
/// [`ServeFailure`], before anything is served.
pub async fn run(
    settings: &Settings,
    options: &Serve,
    executor: Handle,
) -> Result<(), ServeFailure> {
    let mesh = GenesisMesh::builder()
        .settings(settings)
        .execute_on(executor)
        .courier(Arc::new(webhooks::of(settings)?))
        .texts(Arc::new(DataDirShelf::new(&settings.data_dir)))
        .models(Arc::new(models::of(settings)?))
        .assistants(assistants::all(settings)?);
    #[cfg(feature = "fixtures")]
    let mesh = crate::fixtures::add(mesh, options)?;
    let mesh = mesh.build()?.setup().await?;
    let (host, port) = (settings.server.host.clone(), settings.server.port);
    let names: Vec<String> = mesh.assistants().map(str::to_owned).collect();
    let announced = settings.clone();
    let stop = CancellationToken::new();
    let serving = mesh
        .stop_on(stop.clone())
        .on_listening(move |address| announce(&announced, address, &names))
        .serve(&host, port);
    tokio::select! {
        // First, so that signals are heard before anybody is told where to find us.
        biased;
        never = stop_on_signals(&stop) => match never {},
        served = serving => Ok(served?),
    }
}

/// The first signal stops the mesh, the second the process.
async fn stop_on_signals(stop: &CancellationToken) -> Infallible {
    stop_signal().await;
    complain("stopping; once more to stop at once");
    stop.cancel();
    let again = stop_signal().await;
    std::process::exit(again.exit_code().into());
}

/// Says where the mesh answers.
fn announce(settings: &Settings, address: SocketAddr, assistants: &[String]) {
    // Only now the port is known.
    if settings.server.port == 0 {
        for warning in settings.self_url_warnings(address.port()) {
            complain(&format!("warning: {warning}"));
        }
    }
    let place = place(&settings.server.host, address);
    let mut text = format!("{PRODUCT} {VERSION}\n  studio  http://{place}/studio/\n");
    for name in assistants {
        let _ = writeln!(text, "  socket  ws://{place}/ws/{name}");
    }
    if address.ip().is_unspecified() {
        let _ = writeln!(text, "  and on port {} of every address of this machine", address.port());
    }
    text.push_str("Ctrl-C stops it.\n");
    // Nobody may be reading, and that is no reason not to serve.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    let _ = io::stdout().lock().flush();
}

/// `host:port` as a browser on this machine takes it.
fn place(host: &str, address: SocketAddr) -> String {
    if host.parse::<std::net::IpAddr>().is_err() {
        return format!("{host}:{}", address.port());
    }
    let mut shown = address;
    if address.ip().is_unspecified() {
        shown.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    shown.to_string()
}

/// One line on stderr, where a failure to write is nobody's to hear.
fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
