//! Where a request may carry a credential: in a header, in a WebSocket's subprotocol, or in a
//! socket's first message. Never in an address: addresses end up in logs and histories.

use axum::http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::keys;

/// Header of clients that send a key and no scheme.
const API_KEY: &str = "x-api-key";

/// The subprotocol that a client offers beside [`SUBPROTOCOL_BEARER`], and that is agreed to: the
/// other one would be repeated in the response.
pub(crate) const SUBPROTOCOL: &str = "genesis-mesh";

/// Begin of the subprotocol that is a credential. Keys and tokens have only characters that a
/// subprotocol may have.
const SUBPROTOCOL_BEARER: &str = "genesis-mesh.bearer.";

/// Longest credential, in bytes. Tokens of busy directories reach a few thousand.
const CREDENTIAL_BYTES_MAX: usize = 16 << 10;

/// What somebody shows to say who they are.
#[derive(Debug)]
pub(crate) enum Credential {
    /// One of our keys.
    ApiKey(SecretString),
    /// A signed token of somebody whose keys are known.
    Token(SecretString),
}

/// A credential that cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl Credential {
    fn read(text: &str) -> Result<Self, Malformed> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Malformed("empty, or with characters that no credential has"));
        }
        if text.len() > CREDENTIAL_BYTES_MAX {
            return Err(Malformed("too long"));
        }
        let secret = SecretString::from(text);
        Ok(if keys::looks_like(text) { Self::ApiKey(secret) } else { Self::Token(secret) })
    }
}

/// The credential of a request. A bearer token goes before `x-api-key`, which some clients always
/// send; other schemes belong to proxies and are passed over.
pub(crate) fn of_headers(headers: &HeaderMap) -> Result<Option<Credential>, Malformed> {
    let text =
        |value: &HeaderValue| value.to_str().map(str::to_owned).map_err(|_| Malformed("not ASCII"));
    let mut bearers = Vec::new();
    for value in headers.get_all(header::AUTHORIZATION) {
        let value = text(value)?;
        if let Some(bearer) = of_scheme(&value) {
            bearers.push(Credential::read(bearer)?);
        }
    }
    if bearers.is_empty() {
        for protocol in subprotocols(headers) {
            if let Some(bearer) = protocol.strip_prefix(SUBPROTOCOL_BEARER) {
                bearers.push(Credential::read(bearer)?);
            }
        }
    }
    if bearers.is_empty() {
        for value in headers.get_all(API_KEY) {
            bearers.push(Credential::read(&text(value)?)?);
        }
    }
    match bearers.len() {
        0 | 1 => Ok(bearers.pop()),
        _ => Err(Malformed("given more than once")),
    }
}

/// The credential of a socket's first message, `{"authorization": "…"}`, with `Bearer` before it
/// or without. `None` if the message is something else.
pub(crate) fn of_message(text: &str) -> Option<Result<Credential, Malformed>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Hello {
        authorization: SecretString,
    }
    let hello: Hello = serde_json::from_str(text).ok()?;
    let told = hello.authorization.expose_secret();
    Some(Credential::read(of_scheme(told).unwrap_or(told)))
}

/// The part after `Bearer`.
fn of_scheme(value: &str) -> Option<&str> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(rest)
}

/// The subprotocols that a client offers.
pub(crate) fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

#[cfg(test)]
mod tests;
