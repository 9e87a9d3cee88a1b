//! What pages of other origins may do (the Fetch standard's CORS), once [`crate::Access`] has
//! let their origin in.
//!
//! Credentials here are headers that a script sets on purpose; nothing is ever taken from a
//! browser's own store, so `Access-Control-Allow-Credentials` is never sent.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

/// Methods that any path has.
const METHODS: HeaderValue =
    HeaderValue::from_static("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");

/// Response headers that scripts may read besides the harmless ones.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "content-location, location, x-pagination-total, x-pagination-next, x-request-id",
);

/// How long a browser may remember the answer to a preflight, in seconds.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("600");

const ASKS_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOWS_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// The answer to a browser that asks whether a page may send a request. `None` if this is no
/// such question.
pub(crate) fn preflight(request: &Request) -> Option<Response> {
    let asked = request.headers();
    let is_one = request.method() == Method::OPTIONS
        && asked.contains_key(header::ORIGIN)
        && asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !is_one {
        return None;
    }
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
    // The origin is trusted, so it may send what it likes.
    for names in asked.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.append(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    if asked.get(&ASKS_PRIVATE_NETWORK).is_some_and(|asks| asks == "true") {
        headers.insert(ALLOWS_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    Some(response)
}

/// Lets the page of `origin`, which was let in, read a response.
pub(crate) fn allow(headers: &mut HeaderMap, origin: HeaderValue, any_origin: bool) {
    let allowed = if any_origin { HeaderValue::from_static("*") } else { origin };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}
