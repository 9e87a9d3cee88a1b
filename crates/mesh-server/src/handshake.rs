//! The opening handshake of a WebSocket (RFC 6455, section 4.2).

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header},
};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{
    auth::{SUBPROTOCOL, subprotocols},
    refusal::Refusal,
};

/// Length of the client's key: 16 bytes in base64.
const KEY_LENGTH: usize = 24;

/// Whether the client means to open a WebSocket, well or badly.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    has_token(headers, &header::UPGRADE, "websocket")
}

/// Checks the handshake. Gives the response to send, and the connection once it is sent.
///
/// Of the subprotocols that are offered, [`SUBPROTOCOL`] alone is agreed to: the other one that
/// there is carries a credential. No extension is agreed to: there is none yet.
pub(crate) fn accept(request: &mut Request) -> Result<(Response<Body>, OnUpgrade), Refusal> {
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
    let agreed = subprotocols(headers).any(|offered| offered == SUBPROTOCOL);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, answer);
    if agreed {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    Ok((response, hyper::upgrade::on(request)))
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}
