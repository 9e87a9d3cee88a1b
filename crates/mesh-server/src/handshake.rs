//! The opening handshake of a WebSocket (RFC 6455, section 4.2).

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header},
};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{auth::subprotocols, refusal::Refusal};

/// Length of the client's key: 16 bytes in base64.
const KEY_LENGTH: usize = 24;

/// A handshake that is one.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// What to answer.
    pub(crate) response: Response<Body>,
    /// The connection, once the answer is sent.
    pub(crate) upgrade: OnUpgrade,
    /// The subprotocol that was agreed to.
    pub(crate) protocol: Option<&'static str>,
}

/// Whether the client means to open a WebSocket, well or badly.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    has_token(headers, &header::UPGRADE, "websocket")
}

/// Checks the handshake.
///
/// Of the subprotocols that the client offers, the first that is among `protocols` is agreed to;
/// one that carries a credential never is. No extension is agreed to: compression would cost
/// every socket the memory of its windows.
pub(crate) fn accept(
    request: &mut Request,
    protocols: &[&'static str],
) -> Result<Accepted, Refusal> {
    let headers = request.headers();
    if !is_wanted(headers) || !has_token(headers, &header::CONNECTION, "upgrade") {
        return Err(Refusal::UpgradeRequired);
    }
    if request.method() != Method::GET {
        return Err(Refusal::BadHandshake("expected GET"));
    }
    let version = headers.get(header::SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes);
    if version != Some(b"13") {
        return Err(Refusal::BadHandshake("expected Sec-WebSocket-Version 13"));
    }
    let Some(key) = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .map(HeaderValue::as_bytes)
        .filter(|key| key.len() == KEY_LENGTH)
    else {
        return Err(Refusal::BadHandshake("expected a Sec-WebSocket-Key of 16 bytes in base64"));
    };
    let answer = HeaderValue::from_str(&derive_accept_key(key))
        .map_err(|_| Refusal::BadHandshake("the Sec-WebSocket-Key cannot be answered"))?;
    let known = |offered| protocols.iter().copied().find(|protocol| *protocol == offered);
    let protocol = subprotocols(headers).find_map(known);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, answer);
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    Ok(Accepted { response, upgrade: hyper::upgrade::on(request), protocol })
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}
