//! Who may ask, as the settings have it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use mesh_server::auth::{Auth, BadRules, KEY_SET_BYTES_MAX, KeySource, TokenKeys, TokenRules};
use mesh_tools::document::{BuildError, ConfiguredDocument};
use tokio::io::AsyncReadExt;

use crate::settings;

/// Longest wait for the keys of an issuer of tokens.
const KEY_SET_TIME_MAX: Duration = Duration::from_secs(10);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Settings about who may ask that do not hold together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// It would be chance which one counts.
    #[error("{first} and {second} are both set: expected one of them")]
    TwoKeySources {
        /// A setting.
        first: &'static str,
        /// Another one.
        second: &'static str,
    },
    /// Tokens of everybody would be taken.
    #[error("auth.jwt_secret, auth.jwks_url, auth.jwks_file, auth.issuer and auth.audiences")]
    Rules(#[from] BadRules),
    /// Rules for tokens that nothing can check.
    #[error(
        "{setting} is set, but nothing that checks tokens: expected auth.jwt_secret, auth.jwks_url or auth.jwks_file beside it"
    )]
    RulesWithoutKeys {
        /// The setting.
        setting: &'static str,
    },
    /// The client for the key set cannot be made.
    #[error("auth.jwks_url")]
    Client(#[from] BuildError),
}

/// The rules for tokens, if any are configured.
pub(crate) fn token_rules(settings: &settings::Auth) -> Result<Option<TokenRules>, AuthError> {
    let given = [
        ("auth.jwt_secret", settings.jwt_secret.is_some()),
        ("auth.jwks_url", settings.jwks_url.is_some()),
        ("auth.jwks_file", settings.jwks_file.is_some()),
    ];
    let mut given = given.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name);
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        return Err(AuthError::TwoKeySources { first, second });
    }
    let keys = if let Some(secret) = &settings.jwt_secret {
        TokenKeys::Secret(secret.clone())
    } else if let Some(url) = &settings.jwks_url {
        let bytes_max = KEY_SET_BYTES_MAX;
        let document = ConfiguredDocument::new(url.clone(), bytes_max, KEY_SET_TIME_MAX)?;
        TokenKeys::Set(Arc::new(OfAddress(document)))
    } else if let Some(path) = &settings.jwks_file {
        TokenKeys::Set(Arc::new(OfFile(path.clone())))
    } else {
        let rules = [
            ("auth.issuer", settings.issuer.is_some()),
            ("auth.audiences", !settings.audiences.is_empty()),
            ("auth.subjects", !settings.subjects.is_empty()),
        ];
        return match rules.into_iter().find(|(_, is_set)| *is_set) {
            Some((setting, _)) => Err(AuthError::RulesWithoutKeys { setting }),
            None => Ok(None),
        };
    };
    Ok(Some(TokenRules {
        keys,
        issuer: settings.issuer.clone(),
        audiences: settings.audiences.clone(),
        subjects: settings.subjects.iter().cloned().collect(),
    }))
}

/// Adds the rules for tokens, if there are any.
pub(crate) fn with_tokens(auth: Auth, rules: Option<TokenRules>) -> Result<Auth, AuthError> {
    match rules {
        Some(rules) => Ok(auth.tokens(rules)?),
        None => Ok(auth),
    }
}

/// A key set that the issuer serves.
#[derive(Debug)]
struct OfAddress(ConfiguredDocument);

#[async_trait]
impl KeySource for OfAddress {
    async fn fetch(&self) -> Result<String, BoxError> {
        Ok(String::from_utf8(self.0.fetch().await?)?)
    }
}

/// A key set that lies in a file, which may be replaced while the mesh runs.
#[derive(Debug)]
struct OfFile(PathBuf);

#[async_trait]
impl KeySource for OfFile {
    async fn fetch(&self) -> Result<String, BoxError> {
        let file = tokio::fs::File::open(&self.0).await?;
        let mut text = String::new();
        // One byte more than fits shows that there is more.
        file.take(KEY_SET_BYTES_MAX as u64 + 1).read_to_string(&mut text).await?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
