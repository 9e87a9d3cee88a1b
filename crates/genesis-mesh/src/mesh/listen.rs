//! Opening the port, with errors that say what to change.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, lookup_host};

/// A mesh cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The host is no address, and no name that is known.
    #[error("cannot listen on {host}: there is no such host")]
    UnknownHost {
        /// The host.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The address belongs to another machine.
    #[error("cannot listen on {address}: it is not an address of this machine")]
    NotOurs {
        /// `host:port`.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another program listens there.
    #[error("cannot listen on {address}: the port is in use")]
    InUse {
        /// `host:port`.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system allows it only to others.
    #[error("cannot listen on {address}: permission denied")]
    Forbidden {
        /// `host:port`.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else the system may say.
    #[error("cannot listen on {address}")]
    Bind {
        /// `host:port`.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Other machines could use it, and nothing says who may.
    #[error(
        "cannot serve on {address}: other machines can reach it, and nobody is asked who they are"
    )]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// The listener that was given has no address.
    #[error("the listener has no address")]
    Listener(#[source] io::Error),
}

impl ServeError {
    /// Whether the host that was asked for cannot be right, whatever else runs on the machine.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::UnknownHost { .. } | Self::NotOurs { .. } | Self::Open { .. })
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::InUse { .. } => {
                Some("stop the program that listens there, or choose another port with --port")
            }
            Self::Forbidden { .. } => {
                Some("ports below 1024 need a privilege; choose another port with --port")
            }
            Self::UnknownHost { .. } | Self::NotOurs { .. } => {
                Some("--host 127.0.0.1 is for this machine, --host 0.0.0.0 for all its addresses")
            }
            Self::Open { .. } => Some(
                "make a key with `genesis-mesh keys create --identity NAME`, or set \
                 auth.jwt_secret, auth.jwks_url or auth.jwks_file; to let everybody in all the \
                 same, set auth.unsafe_no_authentication",
            ),
            Self::Bind { .. } | Self::Listener(_) => None,
        }
    }
}

/// Listens on the first address of `host` that can be listened on.
pub(crate) async fn bind(host: &str, port: u16) -> Result<TcpListener, ServeError> {
    let address =
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let unknown = |source| ServeError::UnknownHost { host: host.to_owned(), source };
    let found = lookup_host((host, port)).await.map_err(unknown)?;
    let mut last = None;
    for candidate in found {
        match TcpListener::bind(candidate).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    let Some(source) = last else {
        return Err(unknown(io::Error::from(io::ErrorKind::NotFound)));
    };
    Err(match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::InUse { address, source },
        io::ErrorKind::AddrNotAvailable => ServeError::NotOurs { address, source },
        io::ErrorKind::PermissionDenied => ServeError::Forbidden { address, source },
        _ => ServeError::Bind { address, source },
    })
}
