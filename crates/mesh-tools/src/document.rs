//! Reads one document at an address that the operator configured, such as an issuer's key set.
//!
//! Since a person chose the address, it may be private. Nothing in the document is followed: no
//! redirects, no proxy of the environment, no cookies.

use std::time::Duration;

use reqwest::{Client, StatusCode, header::ACCEPT, redirect};
use url::{Host, Url};

/// Why a [`ConfiguredDocument`] cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Whoever sits between could change the document.
    #[error("expected an https address; http is for this machine alone")]
    NotSecure,
    /// The HTTP client could not start.
    #[error("the HTTP client could not be set up")]
    Client(#[source] reqwest::Error),
}

/// Why a document cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody answered, or not in time.
    #[error("no answer")]
    NoAnswer(#[source] reqwest::Error),
    /// The answer was not the document.
    #[error("answered with status {status}")]
    Status {
        /// The status.
        status: StatusCode,
    },
    /// The document is larger than it may be.
    #[error("larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
}

/// A document at a configured address.
#[derive(Debug, Clone)]
pub struct ConfiguredDocument {
    client: Client,
    url: Url,
    bytes_max: usize,
}

impl ConfiguredDocument {
    /// The document at `url`, of at most `bytes_max` bytes, got within `time_max`. Nothing is
    /// asked yet.
    ///
    /// # Errors
    /// [`BuildError`] if it would travel unprotected over a network.
    pub fn new(url: Url, bytes_max: usize, time_max: Duration) -> Result<Self, BuildError> {
        let is_here = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && is_here) {
            return Err(BuildError::NotSecure);
        }
        let client = Client::builder()
            .user_agent(concat!("genesis-mesh/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .referer(false)
            .redirect(redirect::Policy::none())
            .timeout(time_max)
            .build()
            .map_err(BuildError::Client)?;
        Ok(Self { client, url, bytes_max })
    }

    /// Reads the document.
    ///
    /// # Errors
    /// [`Error`] says what came instead.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn fetch(&self) -> Result<Vec<u8>, Error> {
        let request =
            self.client.get(self.url.clone()).header(ACCEPT, "application/json, */*;q=0.1");
        let mut response = request.send().await.map_err(Error::NoAnswer)?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(Error::Status { status });
        }
        let mut whole = Vec::new();
        // The decompressed bytes are counted, as they come.
        while let Some(chunk) = response.chunk().await.map_err(Error::NoAnswer)? {
            if chunk.len() > self.bytes_max - whole.len() {
                return Err(Error::TooLarge { bytes_max: self.bytes_max });
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }
}
