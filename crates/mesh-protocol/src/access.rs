//! Who may ask, and the models that the server is configured with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whoever asks, as the server knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Me {
    /// The name that what they create carries as its owner; null where nobody is asked who they
    /// are.
    pub identity: Option<String>,
    /// A name for people; null where nobody is asked who they are.
    pub display_name: Option<String>,
    /// What they may do.
    pub scopes: Vec<String>,
    /// Whether everything is allowed, with everybody's things.
    pub admin: bool,
}

/// An API key without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Key {
    /// The part of the key that is no secret.
    pub id: String,
    /// Whether it opens anything.
    pub state: KeyState,
    /// Whose things its holder sees.
    pub identity: String,
    /// A name for people.
    pub display_name: String,
    /// What its holder may do.
    pub scopes: Vec<String>,
    /// Whether everything is allowed, with everybody's things.
    pub admin: bool,
    /// When it was made.
    pub created_at: String,
    /// From when on it is worthless; null lasts.
    pub expires_at: Option<String>,
    /// When it was taken back.
    pub revoked_at: Option<String>,
}

/// Whether a key opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// It does.
    Good,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
}

/// What a new key is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyCreate {
    /// Whose things its holder sees: 1 to 200 characters.
    #[schemars(length(min = 1, max = 200))]
    pub identity: String,
    /// A name for people; the identity if it is left out.
    #[serde(default)]
    pub display_name: Option<String>,
    /// What its holder may do, such as `threads:read`; everything with their own things if it is
    /// empty.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Whether everything is allowed, with everybody's things.
    #[serde(default)]
    pub admin: bool,
    /// Days until it is worthless; it lasts if this is left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 36500))]
    pub expires_days: Option<u32>,
}

/// A key that was just made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KeyMade {
    /// The whole key. It is shown this once and kept nowhere.
    pub secret: String,
    /// What is kept of it.
    pub key: Key,
}

/// A model as the configuration has it, without its secrets.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Model {
    /// What it is for.
    pub role: String,
    /// Its name at its server.
    pub name: String,
    /// The host of its server.
    pub host: String,
    /// Tokens of one reply at most; null where each call says so.
    pub max_tokens: Option<u32>,
    /// Sampling temperature; null where each call says so.
    pub temperature: Option<f64>,
    /// Whether a key for its server is configured.
    pub has_key: bool,
}

/// How a model answered when it was tried.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ModelTried {
    /// Whether it answered.
    pub ok: bool,
    /// Milliseconds until the whole answer, or the failure, was there.
    pub took_ms: u64,
    /// Why it did not answer, for a person; null if it did.
    pub problem: Option<String>,
}
