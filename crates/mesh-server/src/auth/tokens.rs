//! Bearer tokens: JSON Web Tokens (RFC 7519) of one issuer.
//!
//! The algorithm is never the token's choice: a secret checks HS256 alone, and a key of a key set
//! checks what it is made for. Time comes from outside.

use std::{collections::BTreeSet, sync::Arc};

use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    Principal, Rejected,
    key_set::{KeySet, KeySource},
};

/// Shortest secret, in bytes: as long as what HS256 makes of it (RFC 7518, section 3.2).
pub const JWT_SECRET_BYTES_MIN: usize = 32;

/// By how much clocks may differ, in seconds.
pub const CLOCK_SKEW_S: i64 = 30;

/// The role that makes an administrator.
const ADMIN: &str = "admin";

/// Whose tokens are taken.
#[derive(Debug)]
pub struct TokenRules {
    /// What checks signatures.
    pub keys: TokenKeys,
    /// The `iss` that tokens have to have. Needed with a key set.
    pub issuer: Option<String>,
    /// Tokens have to have one of these as `aud`. Needed with a key set.
    pub audiences: Vec<String>,
    /// The only `sub` there may be; empty for any.
    pub subjects: BTreeSet<String>,
}

/// What checks the signatures of tokens.
#[derive(Debug)]
pub enum TokenKeys {
    /// A secret that the issuer has as well; HS256.
    Secret(SecretString),
    /// A JSON Web Key Set (RFC 7517), which changes now and then.
    Set(Arc<dyn KeySource>),
}

/// Rules that would let in whom nobody meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRules {
    /// The secret could be guessed.
    #[error("the secret for tokens: expected at least {JWT_SECRET_BYTES_MIN} bytes")]
    ShortSecret,
    /// The key set's tokens for other services would be taken.
    #[error("a key set needs an issuer and at least one audience beside it")]
    NoIssuerOrAudience,
}

/// Rules that hold together.
#[derive(Debug)]
pub(super) struct Tokens {
    keys: Keys,
    issuer: Option<String>,
    audiences: Vec<String>,
    subjects: BTreeSet<String>,
}

enum Keys {
    Secret(DecodingKey),
    Set(KeySet),
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Secret(_) => f.write_str("Secret(***)"),
            Self::Set(set) => set.fmt(f),
        }
    }
}

/// What is read of a token. `exp` and `sub` have to be there.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    scope: Words,
    #[serde(default)]
    scopes: Words,
    #[serde(default)]
    permissions: Words,
    #[serde(default)]
    roles: Words,
}

/// Several words, as a list or with spaces between them (RFC 8693, section 4.2).
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Words {
    List(Vec<String>),
    Text(String),
    #[default]
    None,
}

impl Words {
    fn into_words(self) -> Vec<String> {
        match self {
            Self::List(words) => words,
            Self::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
            Self::None => Vec::new(),
        }
    }
}

impl Tokens {
    pub(super) fn new(rules: TokenRules) -> Result<Self, BadRules> {
        let keys = match rules.keys {
            TokenKeys::Secret(secret) => {
                let secret = secret.expose_secret().as_bytes();
                if secret.len() < JWT_SECRET_BYTES_MIN {
                    return Err(BadRules::ShortSecret);
                }
                Keys::Secret(DecodingKey::from_secret(secret))
            }
            TokenKeys::Set(source) => {
                if rules.issuer.is_none() || rules.audiences.is_empty() {
                    return Err(BadRules::NoIssuerOrAudience);
                }
                Keys::Set(KeySet::new(source))
            }
        };
        Ok(Self {
            keys,
            issuer: rules.issuer,
            audiences: rules.audiences,
            subjects: rules.subjects,
        })
    }

    /// Whose token this is.
    pub(super) async fn check(&self, token: &str, now_ms: i64) -> Result<Arc<Principal>, Rejected> {
        let header =
            decode_header(token).map_err(|_| Rejected::Malformed("not the form of a token"))?;
        if header.crit.is_some() {
            return Err(Rejected::Malformed("a token with critical extensions"));
        }
        let claims = match &self.keys {
            Keys::Secret(key) => self.decode(token, key, Algorithm::HS256)?,
            Keys::Set(set) => {
                let Header { alg, kid, .. } = header;
                let key = set.find(kid.as_deref(), alg).await?;
                self.decode(token, &key, alg)?
            }
        };
        self.judge(claims, now_ms)
    }

    /// Checks signature, issuer and audience.
    fn decode(&self, token: &str, key: &DecodingKey, alg: Algorithm) -> Result<Claims, Rejected> {
        let mut rules = Validation::new(alg);
        // Time is judged here, by the clock that everything else goes by.
        rules.validate_exp = false;
        rules.validate_nbf = false;
        rules.required_spec_claims.clear();
        if let Some(issuer) = &self.issuer {
            rules.set_issuer(&[issuer]);
            rules.required_spec_claims.insert("iss".to_owned());
        }
        if self.audiences.is_empty() {
            rules.validate_aud = false;
        } else {
            rules.set_audience(&self.audiences);
            rules.required_spec_claims.insert("aud".to_owned());
        }
        match decode::<Claims>(token, key, &rules) {
            Ok(decoded) => Ok(decoded.claims),
            Err(error) => Err(Rejected::Token(error.into_kind())),
        }
    }

    /// Checks time and subject.
    fn judge(&self, claims: Claims, now_ms: i64) -> Result<Arc<Principal>, Rejected> {
        let now = (now_ms / 1000) as f64;
        let skew = CLOCK_SKEW_S as f64;
        // So asked that what is no number is refused.
        let lasts = now < claims.exp + skew;
        if !lasts {
            return Err(Rejected::Expired);
        }
        let has_begun = claims.nbf.is_none_or(|begin| begin <= now + skew);
        if !has_begun {
            return Err(Rejected::NotYet);
        }
        if !self.subjects.is_empty() && !self.subjects.contains(&claims.sub) {
            return Err(Rejected::UnknownSubject);
        }
        let mut holder = Principal::new(claims.sub).ok_or(Rejected::UnknownSubject)?;
        if let Some(name) = claims.name {
            holder.display_name = name;
        }
        holder.admin = claims.roles.into_words().iter().any(|role| role == ADMIN);
        for words in [claims.scopes, claims.scope, claims.permissions] {
            holder.scopes.extend(words.into_words());
        }
        Ok(Arc::new(holder))
    }
}

#[cfg(test)]
mod tests;
