//! The keys of an issuer of tokens: fetched when they are needed, kept, fetched again when a
//! token names one that is not among them.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use mesh_graph::error::BoxError;
use tokio::time::Instant;

use super::Rejected;

/// Time between two fetches, so that made-up key names do not make us flood the issuer.
pub const KEYS_FETCHED_EVERY: Duration = Duration::from_mins(1);

/// How old keys may be before they are fetched again although the one that is needed is there: a
/// key that the issuer took back works that much longer.
pub const KEYS_FRESH_FOR: Duration = Duration::from_mins(10);

/// How old keys may be while the issuer does not answer.
pub const KEYS_KEPT_FOR: Duration = Duration::from_hours(12);

/// Keys of one set that are looked at.
const KEYS_MAX: usize = 64;

/// Largest key set, in bytes.
pub const KEY_SET_BYTES_MAX: usize = 256 << 10;

/// Where a key set comes from.
#[async_trait]
pub trait KeySource: Send + Sync + fmt::Debug {
    /// Fetches the set, as JSON of at most [`KEY_SET_BYTES_MAX`] bytes. Ends by itself within
    /// seconds.
    ///
    /// # Errors
    /// Whatever stood in the way; it is logged.
    async fn fetch(&self) -> Result<String, BoxError>;
}

type Fetch = Shared<BoxFuture<'static, Option<Arc<[Key]>>>>;

/// The keys of one issuer.
pub(super) struct KeySet {
    source: Arc<dyn KeySource>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The keys, and since when we have them.
    keys: Option<(Arc<[Key]>, Instant)>,
    /// When the last fetch began.
    tried: Option<Instant>,
    /// A fetch under way. Whoever waits drives it, so it goes on when another one left.
    fetch: Option<Fetch>,
}

struct Key {
    id: Option<String>,
    algorithms: &'static [Algorithm],
    decoding: Arc<DecodingKey>,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeySet").field(&self.source).finish()
    }
}

impl KeySet {
    pub(super) fn new(source: Arc<dyn KeySource>) -> Self {
        Self { source, state: Mutex::default() }
    }

    /// The key that a token says it was signed with.
    pub(super) async fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<DecodingKey>, Rejected> {
        let fetch = {
            let mut state = self.state();
            if let Some((keys, since)) = &state.keys
                && since.elapsed() < KEYS_FRESH_FOR
                && let Some(key) = choose(keys, id, algorithm)
            {
                return Ok(key);
            }
            let now = Instant::now();
            let may = state.tried.is_none_or(|tried| now - tried >= KEYS_FETCHED_EVERY);
            if state.fetch.is_none() && may {
                state.tried = Some(now);
                state.fetch = Some(fetch(Arc::clone(&self.source)).boxed().shared());
            }
            state.fetch.clone()
        };
        if let Some(fetch) = fetch {
            let fetched = fetch.clone().await;
            let mut state = self.state();
            // The first one that comes back settles it.
            if state.fetch.as_ref().is_some_and(|running| running.ptr_eq(&fetch)) {
                state.fetch = None;
                if let Some(keys) = fetched {
                    state.keys = Some((keys, Instant::now()));
                }
            }
        }
        let state = self.state();
        match &state.keys {
            Some((keys, since)) if since.elapsed() < KEYS_KEPT_FOR => {
                choose(keys, id, algorithm).ok_or(Rejected::UnknownSigner)
            }
            _ => Err(Rejected::NoKeys),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key with this id, or without one the only key of the algorithm.
fn choose(keys: &[Key], id: Option<&str>, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
    let mut fitting = keys.iter().filter(|key| {
        key.algorithms.contains(&algorithm) && (id.is_none() || key.id.as_deref() == id)
    });
    let first = fitting.next()?;
    match (id, fitting.next()) {
        (None, Some(_)) => None,
        _ => Some(Arc::clone(&first.decoding)),
    }
}

async fn fetch(source: Arc<dyn KeySource>) -> Option<Arc<[Key]>> {
    let text = match source.fetch().await {
        Ok(text) => text,
        Err(error) => {
            tracing::warn!(%error, ?source, "cannot fetch the keys for bearer tokens");
            return None;
        }
    };
    let keys = if text.len() <= KEY_SET_BYTES_MAX { read(&text) } else { None };
    if keys.is_none() {
        tracing::warn!(?source, "the keys for bearer tokens are no key set with a usable key");
    }
    keys
}

/// The usable keys of a set: public ones, for signatures. `None` if there is none.
fn read(text: &str) -> Option<Arc<[Key]>> {
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_str(text).ok()?;
    // One by one: a key of a kind that we do not know spoils no other.
    let keys: Arc<[Key]> = set
        .keys
        .into_iter()
        .take(KEYS_MAX)
        .filter_map(|key| usable(&serde_json::from_value(key).ok()?))
        .collect();
    (!keys.is_empty()).then_some(keys)
}

fn usable(jwk: &Jwk) -> Option<Key> {
    use Algorithm as A;
    if jwk.common.public_key_use.as_ref().is_some_and(|u| *u != PublicKeyUse::Signature) {
        return None;
    }
    // By the kind of key; a shared secret has no place in a public set.
    let possible: &'static [A] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => {
            &[A::RS256, A::RS384, A::RS512, A::PS256, A::PS384, A::PS512]
        }
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[A::ES256],
            EllipticCurve::P384 => &[A::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            &[A::EdDSA]
        }
        _ => return None,
    };
    let algorithms = match jwk.common.key_algorithm {
        None => possible,
        Some(named) => {
            let named: Algorithm = named.to_string().parse().ok()?;
            let at = possible.iter().position(|algorithm| *algorithm == named)?;
            &possible[at..=at]
        }
    };
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(Key { id: jwk.common.key_id.clone(), algorithms, decoding: Arc::new(key) })
}

#[cfg(test)]
mod tests;
