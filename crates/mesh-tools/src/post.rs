//! Sending a message to an address that a client gave, under [`Guard`].

use std::time::Duration;

use reqwest::{Client, header::CONTENT_TYPE, redirect};
use url::Url;

use crate::{
    Guard,
    fetch::BuildError,
    guard::{Forbidden, GuardedResolver},
};

/// Time for one message, all in all.
pub const POST_TIME_MAX: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read; what it says does not matter.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Sends messages. Cheap to clone.
///
/// # Cancel safety
/// Dropping the future of a message closes its connection; it may have arrived.
#[derive(Debug, Clone)]
pub struct Post {
    client: Client,
    guard: Guard,
}

/// Why a message did not arrive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// The address is none that messages may go to.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The receiver answered with a status that says no.
    #[error("status {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// There was no connection, no answer, or none in time.
    #[error("no answer: {0}")]
    Unreachable(String),
}

impl Post {
    /// A sender under `guard`. It follows no redirects and uses no proxy.
    ///
    /// # Errors
    /// [`BuildError::Client`].
    pub fn new(user_agent: &str, guard: Guard) -> Result<Self, BuildError> {
        let client = Client::builder()
            .user_agent(user_agent)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .timeout(POST_TIME_MAX)
            .dns_resolver(GuardedResolver::new(guard.clone()))
            .build()
            .map_err(BuildError::Client)?;
        Ok(Self { client, guard })
    }

    /// Whether messages may go to this address. Its name has to resolve, and to a permitted
    /// address.
    ///
    /// # Errors
    /// [`PostError`] says why not.
    pub async fn check(&self, url: &Url) -> Result<(), PostError> {
        self.guard.check(url)?;
        if let Some(url::Host::Domain(name)) = url.host() {
            let unknown = || PostError::Unreachable(format!("{name} cannot be resolved"));
            let lookup = tokio::net::lookup_host((name, 0));
            let answers = tokio::time::timeout(POST_TIME_MAX, lookup).await;
            let mut answers = answers.map_err(|_| unknown())?.map_err(|_| unknown())?;
            if !answers.any(|answer| self.guard.permits(answer.ip())) {
                return Err(Forbidden::NotPublic.into());
            }
        }
        Ok(())
    }

    /// Sends JSON with these headers besides.
    ///
    /// # Errors
    /// [`PostError`]; any status from 300 on is an error.
    pub async fn send(
        &self,
        url: &Url,
        headers: &[(&'static str, String)],
        json: Vec<u8>,
    ) -> Result<(), PostError> {
        self.guard.check(url)?;
        let mut request =
            self.client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(json);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let unreachable = |error: reqwest::Error| {
            // Without the address, which may hold what only its owner should know.
            PostError::Unreachable(error.without_url().to_string())
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        // So that the connection can be used again; more than this is not worth it.
        let mut left = ANSWER_BYTES_MAX;
        while let Ok(Some(chunk)) = response.chunk().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
        if status.is_success() {
            Ok(())
        } else {
            Err(PostError::Status { status: status.as_u16() })
        }
    }
}
