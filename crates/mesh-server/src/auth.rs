//! Who may ask: API keys, bearer tokens, and what their holders may do.
//!
//! Authentication turns what a request shows into a [`Principal`]; authorization is a pure
//! decision about a principal and an [`Action`]. Handlers see both as one value, the
//! `Caller`, and hand its [`Scope`] to storage. Nothing here keeps, logs or repeats a
//! credential, reads one from an address, or believes what a request says about its sender.

mod action;
mod authorize;
mod caller;
mod credential;
mod issue;
mod key_set;
mod keys;
mod tokens;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::http::HeaderMap;
use jsonwebtoken::errors::ErrorKind;
use mesh_graph::env::{Env, SystemEnv};
pub use mesh_runtime::Scope;
use mesh_runtime::api_key::ApiKeys;
use secrecy::ExposeSecret;

use crate::refusal::Refusal;

pub use action::{Action, Resource};
pub use authorize::{Decision, authorize, authorize_namespace};
pub(crate) use caller::Caller;
pub(crate) use credential::{SUBPROTOCOL, of_message, subprotocols};
pub use issue::{KeyWish, NAME_CHARS_MAX, NoKey, SCOPES_MAX};
pub use key_set::{
    KEY_SET_BYTES_MAX, KEYS_FETCHED_EVERY, KEYS_FRESH_FOR, KEYS_KEPT_FOR, KeySource,
};
pub use keys::{KEY_RANDOM_BYTES, NewKey, keys_in};
pub use tokens::{BadRules, CLOCK_SKEW_S, JWT_SECRET_BYTES_MIN, TokenKeys, TokenRules};

use credential::{Credential, Malformed};
use keys::Keys;
use tokens::Tokens;

/// Somebody who showed who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Principal {
    /// The name that what they create carries as its owner, stable for ever.
    pub identity: String,
    /// A name for people.
    pub display_name: String,
    /// What they may do; see [`authorize`].
    pub scopes: Vec<String>,
    /// Whether everybody's things are theirs, and everything is allowed.
    pub admin: bool,
}

/// Longest identity, in characters.
pub const IDENTITY_CHARS_MAX: usize = 200;

impl Principal {
    /// A principal under this identity, which also is its display name, without any scope.
    /// `None` for an identity that cannot be one: empty, longer than [`IDENTITY_CHARS_MAX`], with
    /// control characters, or `*`, which means any label in a search of namespaces.
    pub fn new(identity: impl Into<String>) -> Option<Self> {
        let identity = identity.into();
        let fits = (1..=IDENTITY_CHARS_MAX).contains(&identity.chars().count())
            && !identity.chars().any(char::is_control)
            && identity != "*";
        fits.then(|| Self {
            display_name: identity.clone(),
            identity,
            scopes: Vec::new(),
            admin: false,
        })
    }

    /// Whether there is any action that it may do.
    pub fn may_anything(&self) -> bool {
        Action::ALL.iter().any(|action| authorize(self, *action) != Decision::Deny)
    }
}

/// What the server asks of those who come: nothing, unless it is told of keys or tokens.
pub struct Auth {
    env: Arc<dyn Env>,
    keys: Option<Keys>,
    tokens: Option<Tokens>,
    /// Credentials that were refused since the start.
    refused: AtomicU64,
}

impl Default for Auth {
    fn default() -> Self {
        Self::new(Arc::new(SystemEnv))
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("keys", &self.keys.is_some())
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

impl Auth {
    /// Asks nobody who they are. The clock is for the end of keys and tokens.
    pub fn new(env: Arc<dyn Env>) -> Self {
        Self { env, keys: None, tokens: None, refused: AtomicU64::new(0) }
    }

    /// Lets in the holders of these keys.
    pub fn keys(mut self, kept: Arc<dyn ApiKeys>) -> Self {
        self.keys = Some(Keys::new(kept));
        self
    }

    /// Lets in the holders of tokens under these rules.
    ///
    /// # Errors
    /// [`BadRules`] that would let in whom nobody meant.
    pub fn tokens(mut self, rules: TokenRules) -> Result<Self, BadRules> {
        self.tokens = Some(Tokens::new(rules)?);
        Ok(self)
    }

    /// Whether anybody has to say who they are.
    pub fn is_on(&self) -> bool {
        self.keys.is_some() || self.tokens.is_some()
    }

    /// The keys that are kept, if they let anybody in.
    pub(crate) fn kept_keys(&self) -> Option<&Arc<dyn ApiKeys>> {
        self.keys.as_ref().map(Keys::kept)
    }

    /// Now, by the clock that ends keys.
    pub(crate) fn now_ms(&self) -> i64 {
        self.env.now_ms()
    }

    /// Credentials that were refused since the start.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Who sent a request with these headers; `None` if they do not say.
    pub(crate) async fn of_headers(&self, headers: &HeaderMap) -> Result<Option<Caller>, Refusal> {
        if !self.is_on() {
            return Ok(Some(Caller::anybody()));
        }
        match credential::of_headers(headers).transpose() {
            None => Ok(None),
            Some(credential) => self.check(credential).await.map(Some),
        }
    }

    /// Whose credential this is.
    pub(crate) async fn check(
        &self,
        credential: Result<Credential, Malformed>,
    ) -> Result<Caller, Refusal> {
        let now_ms = self.env.now_ms();
        let checked = match (credential, &self.keys, &self.tokens) {
            (Ok(Credential::ApiKey(key)), Some(keys), _) => {
                keys.check(key.expose_secret(), now_ms).await
            }
            (Ok(Credential::Token(token)), _, Some(tokens)) => {
                tokens.check(token.expose_secret(), now_ms).await
            }
            (Ok(_), ..) => Err(Rejected::WrongKind),
            (Err(malformed), ..) => Err(Rejected::Malformed(malformed.0)),
        };
        checked.map(Caller::known).map_err(|rejected| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            // The reason is for the log alone: who tries credentials learns nothing from it.
            match &rejected {
                Rejected::Storage(error) => {
                    tracing::error!(%error, "API keys cannot be read");
                    Refusal::Storage
                }
                Rejected::NoKeys => Refusal::KeysUnavailable,
                rejected => {
                    tracing::warn!(%rejected, "a login failed");
                    Refusal::BadCredential
                }
            }
        })
    }
}

/// Why a credential opens nothing; for the log. Nothing of it is secret.
#[derive(Debug, thiserror::Error)]
enum Rejected {
    #[error("malformed credential: {0}")]
    Malformed(&'static str),
    #[error("a kind of credential that is not configured")]
    WrongKind,
    #[error("API key {id} is not known")]
    UnknownKey { id: String },
    #[error("API key {id} with a wrong secret")]
    WrongKey { id: String },
    #[error("API key {id} has expired or was revoked")]
    KeyOver { id: String },
    #[error("API keys cannot be read")]
    Storage(#[source] mesh_runtime::Error),
    #[error("token: {}", token_problem(.0))]
    Token(ErrorKind),
    #[error("token: expired")]
    Expired,
    #[error("token: not valid yet")]
    NotYet,
    #[error("token: its subject is not let in")]
    UnknownSubject,
    #[error("token: signed with a key that is not known, or not for this")]
    UnknownSigner,
    #[error("the keys for tokens cannot be had")]
    NoKeys,
}

/// What is wrong with a token, in words that repeat nothing of it.
fn token_problem(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "wrong signature",
        ErrorKind::InvalidAlgorithm => "an algorithm that is not taken",
        ErrorKind::InvalidIssuer => "another issuer",
        ErrorKind::InvalidAudience => "another audience",
        ErrorKind::MissingRequiredClaim(_) => "a claim is missing",
        ErrorKind::Json(_) => "its claims are not of the right type",
        _ => "cannot be checked",
    }
}

#[cfg(test)]
mod tests;
