//! API keys: `gm_`, sixteen digits that name the key, `_`, and 256 random bits in hexadecimal.
//!
//! What is kept is a hash. A slow one, as for passwords, would add nothing: nobody guesses 256
//! bits.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mesh_runtime::{
    Error,
    api_key::{ApiKey, ApiKeys},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::{Principal, Rejected};

/// Begin of every key, so that people and scanners of secrets recognise one.
const PREFIX: &str = "gm_";

/// Bytes of the part that names a key, and of the part that is secret.
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// Random bytes that a new key is made of.
pub const KEY_RANDOM_BYTES: usize = ID_BYTES + SECRET_BYTES;

/// What the hash is for, so that the same bytes hashed for something else are no key.
const HASH_CONTEXT: &str = "genesis-mesh 2026-11-22 api key";

/// How long a key that was looked up is believed: a revoked one works that much longer.
const BELIEVED_FOR: Duration = Duration::from_secs(5);

/// Keys that are remembered. When there are more, all are looked up again.
const REMEMBERED_MAX: usize = 1024;

/// A key that was just made. It is shown once and kept nowhere.
#[derive(Debug)]
#[non_exhaustive]
pub struct NewKey {
    /// The whole key.
    pub key: SecretString,
    /// The part by which it is found; no secret.
    pub id: String,
    /// The hash to keep.
    pub hash: [u8; 32],
}

impl NewKey {
    /// The key made of these bytes, which have to come from a source fit for secrets.
    pub fn from_random(random: &[u8; KEY_RANDOM_BYTES]) -> Self {
        let (id, secret) = random.split_at(ID_BYTES);
        let id = hex(id);
        let key = SecretString::from(format!("{PREFIX}{id}_{}", hex(secret)));
        let hash = hash(key.expose_secret());
        Self { key, id, hash }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn hash(key: &str) -> [u8; 32] {
    blake3::derive_key(HASH_CONTEXT, key.as_bytes())
}

/// Whether this is meant to be a key of ours and no token.
pub(super) fn looks_like(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// The id in a key of the right form.
fn id_of(key: &str) -> Option<&str> {
    let (id, secret) = key.strip_prefix(PREFIX)?.split_once('_')?;
    let is_hex = |text: &str, bytes: usize| {
        text.len() == 2 * bytes && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    (is_hex(id, ID_BYTES) && is_hex(secret, SECRET_BYTES)).then_some(id)
}

/// The keys in some bytes, wherever they stand: the id of each, and the hash that is kept of it if
/// it is a key of ours.
pub fn keys_in(bytes: &[u8]) -> impl Iterator<Item = (&str, [u8; 32])> {
    const KEY_BYTES: usize = PREFIX.len() + 2 * ID_BYTES + 1 + 2 * SECRET_BYTES;
    bytes.windows(KEY_BYTES).filter(|window| window.starts_with(PREFIX.as_bytes())).filter_map(
        |window| {
            let key = std::str::from_utf8(window).ok()?;
            Some((id_of(key)?, hash(key)))
        },
    )
}

/// Checks keys against those that are kept.
#[derive(Debug)]
pub(super) struct Keys {
    kept: Arc<dyn ApiKeys>,
    remembered: Mutex<HashMap<String, Remembered>>,
}

#[derive(Debug, Clone)]
struct Remembered {
    key: Arc<ApiKey>,
    holder: Arc<Principal>,
    since: Instant,
}

impl Keys {
    pub(super) fn new(kept: Arc<dyn ApiKeys>) -> Self {
        Self { kept, remembered: Mutex::default() }
    }

    /// Where they are kept.
    pub(super) fn kept(&self) -> &Arc<dyn ApiKeys> {
        &self.kept
    }

    /// Whose key this is.
    pub(super) async fn check(&self, key: &str, now_ms: i64) -> Result<Arc<Principal>, Rejected> {
        let id = id_of(key).ok_or(Rejected::Malformed("not the form of a key"))?;
        let found = match self.remembered(id) {
            Some(found) => found,
            None => self.look_up(id).await?,
        };
        // Of constant time, as the comparison of hashes in blake3 is.
        let is_it = blake3::Hash::from_bytes(hash(key)) == blake3::Hash::from_bytes(found.key.hash);
        if !is_it {
            return Err(Rejected::WrongKey { id: id.to_owned() });
        }
        if !found.key.is_good(now_ms) {
            return Err(Rejected::KeyOver { id: id.to_owned() });
        }
        Ok(found.holder)
    }

    fn remembered(&self, id: &str) -> Option<Remembered> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(id).filter(|found| found.since.elapsed() < BELIEVED_FOR).cloned()
    }

    async fn look_up(&self, id: &str) -> Result<Remembered, Rejected> {
        // Before the question, so that an answer is never believed for longer than it should be.
        let since = Instant::now();
        let key = match self.kept.get(id).await {
            Ok(key) => key.ok_or_else(|| Rejected::UnknownKey { id: id.to_owned() })?,
            Err(error) => return Err(Rejected::Storage(error)),
        };
        let unusable = || {
            Rejected::Storage(Error::Invalid {
                pointer: String::new(),
                message: format!("API key {id} has no usable identity"),
            })
        };
        let mut holder = Principal::new(&*key.identity).ok_or_else(unusable)?;
        holder.display_name.clone_from(&key.display_name);
        holder.scopes.clone_from(&key.scopes);
        holder.admin = key.admin;
        let found = Remembered { key: Arc::new(key), holder: Arc::new(holder), since };
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(id.to_owned(), found.clone());
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
