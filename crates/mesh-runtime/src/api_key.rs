//! Keys of programs that may ask, as they are kept: their hashes, and what they allow.

use async_trait::async_trait;

use crate::Error;

/// API keys kept at once, revoked ones included; one more is refused.
pub const API_KEYS_MAX: usize = 10_000;

/// What is kept of an API key. The key itself is nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The part of the key that is no secret, by which it is found.
    pub id: String,
    /// Hash of the whole key.
    pub hash: [u8; 32],
    /// Whose things its holder sees.
    pub identity: String,
    /// A name for people.
    pub display_name: String,
    /// What its holder may do.
    pub scopes: Vec<String>,
    /// Whether everything is allowed, with everybody's things.
    pub admin: bool,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// From when on it is worthless; `None` lasts.
    pub expires_ms: Option<i64>,
    /// When it was taken back.
    pub revoked_ms: Option<i64>,
}

impl ApiKey {
    /// Whether the key opens anything at this time.
    pub fn is_good(&self, now_ms: i64) -> bool {
        self.revoked_ms.is_none() && self.expires_ms.is_none_or(|end| now_ms < end)
    }
}

/// Where API keys are kept.
#[async_trait]
pub trait ApiKeys: Send + Sync + std::fmt::Debug {
    /// Keeps one more key.
    ///
    /// # Errors
    /// [`Error::Full`] at [`API_KEYS_MAX`], [`Error::Exists`] if the id is taken.
    ///
    /// # Cancel safety
    /// A dropped future may or may not have kept it.
    async fn add(&self, key: ApiKey) -> Result<(), Error>;

    /// The key with this id, also when it was revoked.
    ///
    /// # Errors
    /// When storage fails.
    async fn get(&self, id: &str) -> Result<Option<ApiKey>, Error>;

    /// All keys, the oldest first.
    ///
    /// # Errors
    /// When storage fails.
    async fn list(&self) -> Result<Vec<ApiKey>, Error>;

    /// Takes a key back. `false` if there is none with this id, or it was taken back before.
    ///
    /// # Errors
    /// When storage fails.
    ///
    /// # Cancel safety
    /// A dropped future may or may not have taken effect.
    async fn revoke(&self, id: &str, now_ms: i64) -> Result<bool, Error>;

    /// Whether there is, or ever was, any key.
    ///
    /// # Errors
    /// When storage fails.
    async fn any(&self) -> Result<bool, Error>;
}
