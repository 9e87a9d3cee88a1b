//! The reference at `/docs` and the icon: a document, a style sheet, a script and a picture, all
//! compiled in.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

/// A compiled-in file and its type.
pub(crate) struct Asset {
    kind: &'static str,
    text: &'static str,
}

/// The icon at `/icon.svg`.
pub(crate) const ICON: Asset =
    Asset { kind: "image/svg+xml", text: include_str!("../assets/icon.svg") };

/// The reference at `/docs`, which shows `/openapi.json`.
pub(crate) const DOCS: Asset =
    Asset { kind: "text/html; charset=utf-8", text: include_str!("../assets/docs.html") };

/// Its style sheet at `/docs/style.css`.
pub(crate) const DOCS_STYLE: Asset =
    Asset { kind: "text/css; charset=utf-8", text: include_str!("../assets/docs.css") };

/// Its script at `/docs/script.js`.
pub(crate) const DOCS_SCRIPT: Asset =
    Asset { kind: "text/javascript; charset=utf-8", text: include_str!("../assets/docs.js") };

impl IntoResponse for Asset {
    fn into_response(self) -> Response {
        // A newer binary brings newer files, so a browser asks again each time.
        let headers = [(header::CONTENT_TYPE, self.kind), (header::CACHE_CONTROL, "no-cache")];
        (headers, self.text).into_response()
    }
}
