//! The Studio at `/studio/`: files that are compiled in. What it shows it asks of the public wires,
//! like any other client.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use mesh_studio::File;

use crate::{extract::PathText, refusal::Refusal};

/// What the Studio may load and who may show it: this server's own files and wires, no code in
/// the page, no frame.
pub(crate) const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Whether this is an address of the Studio.
pub(crate) fn is_below(path: &str) -> bool {
    path.strip_prefix("/studio").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The page itself.
pub(crate) async fn page() -> Result<Response, Refusal> {
    shown("")
}

/// A file of the Studio, or the page for any address that is none.
pub(crate) async fn at(PathText(path): PathText<String>) -> Result<Response, Refusal> {
    shown(&path)
}

fn shown(path: &str) -> Result<Response, Refusal> {
    let file = mesh_studio::at(path).ok_or(Refusal::NotFound)?;
    let headers = [(header::CONTENT_TYPE, file.media_type()), (header::CACHE_CONTROL, kept(file))];
    Ok((headers, file.bytes).into_response())
}

/// How long a browser may keep a file. The page is asked for each time: a newer binary names newer
/// files in it.
fn kept(file: &File) -> &'static str {
    if file.is_immutable() { "public, max-age=31536000, immutable" } else { "no-cache" }
}
