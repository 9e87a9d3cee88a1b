//! Making keys: what one may be asked to be.

use std::time::Duration;

use aws_lc_rs::rand;
use mesh_runtime::api_key::ApiKey;
use secrecy::SecretString;

use super::{KEY_RANDOM_BYTES, NewKey, Principal};

/// Longest name for people, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// Scopes of one key.
pub const SCOPES_MAX: usize = 32;
/// Characters of a scope.
const SCOPE_CHARS_MAX: usize = 100;
/// What a key may do unless something is said.
const SCOPES_DEFAULT: &str = "*";

/// What a new key is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyWish {
    /// Whose things its holder sees.
    pub identity: String,
    /// A name for people; none takes the identity.
    pub display_name: Option<String>,
    /// What its holder may do; empty for everything with their own things.
    pub scopes: Vec<String>,
    /// Whether everything is allowed, with everybody's things.
    pub admin: bool,
    /// How long it lasts; none lasts.
    pub lasts: Option<Duration>,
}

/// Why no key is made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoKey {
    /// The identity cannot be one.
    #[error(
        "identity: expected 1 to {} characters without control characters, and not *",
        super::IDENTITY_CHARS_MAX
    )]
    Identity,
    /// The name for people cannot be one.
    #[error("display_name: expected 1 to {NAME_CHARS_MAX} characters without control characters")]
    Name,
    /// A scope that no action has.
    #[error("scope {scope}: expected `*`, `me`, or resource:verb such as threads:read")]
    Scope {
        /// The scope.
        scope: String,
    },
    /// More scopes than anybody can read.
    #[error("scopes: expected at most {SCOPES_MAX}")]
    Scopes,
    /// The operating system gave no random bytes.
    #[error("there are no random bytes to make a key of")]
    NoRandom,
}

impl KeyWish {
    /// Checks what is asked for.
    ///
    /// # Errors
    /// [`NoKey`] names the first field that cannot be.
    pub fn check(&self) -> Result<(), NoKey> {
        Principal::new(&*self.identity).ok_or(NoKey::Identity)?;
        if let Some(name) = &self.display_name
            && (!(1..=NAME_CHARS_MAX).contains(&name.chars().count())
                || name.chars().any(char::is_control))
        {
            return Err(NoKey::Name);
        }
        if self.scopes.len() > SCOPES_MAX {
            return Err(NoKey::Scopes);
        }
        for scope in &self.scopes {
            // One that allows nothing is a mistake, such as a misspelt one.
            let mut holder = Principal::new("somebody").ok_or(NoKey::Identity)?;
            holder.scopes = vec![scope.clone()];
            if scope.chars().count() > SCOPE_CHARS_MAX || !holder.may_anything() {
                return Err(NoKey::Scope { scope: scope.clone() });
            }
        }
        Ok(())
    }

    /// Makes the key: what is to be kept of it, and the key itself, which is shown once.
    ///
    /// # Errors
    /// As [`KeyWish::check`], and when there are no random bytes.
    pub fn make(self, now_ms: i64) -> Result<(ApiKey, SecretString), NoKey> {
        self.check()?;
        let mut random = [0; KEY_RANDOM_BYTES];
        rand::fill(&mut random).map_err(|_| NoKey::NoRandom)?;
        let NewKey { key, id, hash } = NewKey::from_random(&random);
        let lasts = self.lasts.map(|lasts| i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX));
        let mut scopes = self.scopes;
        if scopes.is_empty() {
            scopes.push(SCOPES_DEFAULT.to_owned());
        }
        let kept = ApiKey {
            id,
            hash,
            display_name: self.display_name.unwrap_or_else(|| self.identity.clone()),
            identity: self.identity,
            scopes,
            admin: self.admin,
            created_ms: now_ms,
            expires_ms: lasts.map(|lasts| now_ms.saturating_add(lasts)),
            revoked_ms: None,
        };
        Ok((kept, key))
    }
}
