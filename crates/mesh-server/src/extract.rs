//! What handlers are given of a request: its body as a checked value, its path's ids.
//!
//! Whatever comes out of here is within its bounds, is UTF-8 without NUL, and is of its type;
//! whatever does not fit is refused with the text that the wire has for it. Nothing here knows
//! what a request is about.

mod scan;

use std::{
    fmt::{self, Write as _},
    marker::PhantomData,
    ops::Deref,
    str,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path, RawPathParams, Request},
    http::{HeaderMap, header, request::Parts},
};
use futures::StreamExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{BODY_BYTES_MAX, BODY_WAIT, JSON_DEPTH_MAX, refusal::Refusal};
use scan::Flaw;

/// Bytes set aside for a body before any has come, at most.
const BODY_BYTES_EXPECTED_MAX: usize = 64 << 10;

/// The body of a request as JSON. `application/json`, any `…+json`, and `text/plain` are read.
///
/// Refused: another type (415), more than [`BODY_BYTES_MAX`] (413), a pause longer than
/// [`BODY_WAIT`] (408), what is no JSON, is nested deeper than [`JSON_DEPTH_MAX`], has NUL or
/// half a surrogate pair in a string, or is no `T` (all 422, the last with a pointer).
#[derive(Debug, Clone)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T, S> FromRequest<S> for JsonBody<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        check_headers(&parts.headers)?;
        let bytes = read(body, &parts.headers).await?;
        if let Some(progress) = parts.extensions.get::<BodyProgress>() {
            progress.finish();
        }
        parse(&bytes).map(Self)
    }
}

/// Whether the body of a request was read to its end. What is left of one that was not stands in
/// the way of the next request on its connection, which then has to end with the answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct BodyProgress(Arc<AtomicBool>);

impl BodyProgress {
    /// For a request that announces a body; none for one without.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let announced = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
        (announced || headers.contains_key(header::TRANSFER_ENCODING)).then(Self::default)
    }

    /// Nothing of it is left.
    pub(crate) fn finish(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether nothing of it is left.
    pub(crate) fn is_read(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether the body says that it is JSON. One that says nothing is taken at its word only when
/// there is no body, so that a form on a foreign page cannot pass for a request of ours.
fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        // What cannot be unpacked needs no bound for what comes out.
        return Err(Refusal::Compressed);
    }
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        let empty = BodyProgress::of(headers).is_none();
        return if empty { Err(Refusal::MalformedJson) } else { Err(Refusal::NotJson) };
    };
    let essence = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let is_json = matches!(&*essence, "application/json" | "text/plain")
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    if is_json { Ok(()) } else { Err(Refusal::NotJson) }
}

/// Reads a body within its bounds.
pub(crate) async fn read(body: Body, headers: &HeaderMap) -> Result<Bytes, Refusal> {
    let too_big = || Refusal::BodyTooBig { max: BODY_BYTES_MAX };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok())
        .unwrap_or(0);
    if announced > BODY_BYTES_MAX as u64 {
        return Err(too_big());
    }
    let announced = announced as usize;
    let mut chunks = body.into_data_stream();
    let mut whole = Vec::new();
    loop {
        let Ok(next) = timeout(BODY_WAIT, chunks.next()).await else {
            return Err(Refusal::BodyTooSlow { seconds: BODY_WAIT.as_secs() });
        };
        match next {
            None => return Ok(whole.into()),
            // The client broke off; nobody reads the answer.
            Some(Err(_)) => return Err(Refusal::MalformedJson),
            // Most bodies are one chunk, which then is not copied.
            Some(Ok(chunk)) if whole.is_empty() && chunk.len() == announced => return Ok(chunk),
            Some(Ok(chunk)) => {
                if chunk.len() > BODY_BYTES_MAX - whole.len() {
                    return Err(too_big());
                }
                if whole.is_empty() {
                    whole.reserve(announced.min(BODY_BYTES_EXPECTED_MAX));
                }
                whole.extend_from_slice(&chunk);
            }
        }
    }
}

/// Reads JSON that came from outside.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    match scan::scan(bytes, JSON_DEPTH_MAX) {
        Ok(()) => {}
        Err(Flaw::Nul) => return Err(Refusal::invalid(None, "strings cannot contain NUL")),
        Err(Flaw::LoneSurrogate) => {
            return Err(Refusal::invalid(None, "strings cannot contain half of a surrogate pair"));
        }
        Err(Flaw::TooDeep) => {
            let detail = format!("the request is nested deeper than {JSON_DEPTH_MAX} levels");
            return Err(Refusal::invalid(None, detail));
        }
    }
    // The parser looks only at the strings that it keeps.
    let text = str::from_utf8(bytes).map_err(|_| Refusal::MalformedJson)?;
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => not_of_type::<T>(text),
        // A number where a word is expected is reported like this, too.
        Category::Syntax if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
            not_of_type::<T>(text)
        }
        Category::Syntax | Category::Eof | Category::Io => Refusal::MalformedJson,
    })
}

/// Says what is wrong with a value, and where. Reads it once more: following the path costs
/// something, and most requests are right.
fn not_of_type<T: DeserializeOwned>(text: &str) -> Refusal {
    let mut json = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Ok(_) => Refusal::MalformedJson,
        Err(error) => wrong(&error),
    }
}

/// Reads a value out of JSON that [`parse`] has read.
pub(crate) fn typed<T: DeserializeOwned>(json: serde_json::Value) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(json).map_err(|error| wrong(&error))
}

/// What is wrong with a value, and where.
fn wrong(error: &serde_path_to_error::Error<serde_json::Error>) -> Refusal {
    let pointer = pointer(error.path());
    // Without the line and column that serde_json adds: the pointer says it better.
    let text = error.inner().to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    let at = if pointer.is_empty() { "the request" } else { &*pointer };
    Refusal::invalid(Some(pointer.clone()), format!("{at}: {text}"))
}

/// A path as a JSON Pointer.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment as S;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            S::Seq { index } => {
                let _ = write!(pointer, "/{index}");
            }
            S::Map { key } | S::Enum { variant: key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            S::Unknown => {}
        }
    }
    pointer
}

/// The parameters of a path as text; as axum's `Path`, with a refusal of ours.
#[derive(Debug, Clone)]
pub(crate) struct PathText<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for PathText<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Self(text)),
            // Of all that can be wrong, this alone is in a client's hands.
            Err(_) => Err(Refusal::invalid(None, "the address does not decode to UTF-8")),
        }
    }
}

/// A kind of thing that a path names by its id.
pub(crate) trait IdKind {
    /// Name of the parameter in the route.
    const PARAMETER: &'static str;
    /// What is said about an id that is none.
    const REFUSAL: &'static str;
}

/// The thread of a path with `{thread_id}`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfThread;
/// The run of a path with `{run_id}`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfRun;
/// The cron of a path with `{cron_id}`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfCron;

impl IdKind for OfThread {
    const PARAMETER: &'static str = "thread_id";
    const REFUSAL: &'static str = "Invalid thread ID: must be a UUID";
}
impl IdKind for OfRun {
    const PARAMETER: &'static str = "run_id";
    const REFUSAL: &'static str = "Invalid run ID: must be a UUID";
}
impl IdKind for OfCron {
    const PARAMETER: &'static str = "cron_id";
    const REFUSAL: &'static str = "Invalid cron ID: must be a UUID";
}

/// An id out of the path, in its one canonical form, whatever form the client wrote.
pub(crate) struct PathId<K> {
    id: Uuid,
    kind: PhantomData<fn() -> K>,
}

impl<K: IdKind> PathId<K> {
    /// Reads an id, wherever it stands.
    ///
    /// # Errors
    /// 422 with the text of its kind.
    pub(crate) fn parse(text: &str) -> Result<Uuid, Refusal> {
        Uuid::try_parse(text).map_err(|_| {
            Refusal::told(axum::http::StatusCode::UNPROCESSABLE_ENTITY, "invalid_id", K::REFUSAL)
        })
    }
}

impl<K> fmt::Debug for PathId<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl<K> Clone for PathId<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for PathId<K> {}

impl<K> Deref for PathId<K> {
    type Target = Uuid;

    fn deref(&self) -> &Uuid {
        &self.id
    }
}

impl<K, S> FromRequestParts<S> for PathId<K>
where
    K: IdKind,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        // Fails for a path that does not decode to UTF-8, which holds no id.
        let parameters = RawPathParams::from_request_parts(parts, state).await;
        let text = parameters.ok().and_then(|all| {
            all.iter().find(|(name, _)| *name == K::PARAMETER).map(|(_, text)| text.to_owned())
        });
        let id = Self::parse(text.as_deref().unwrap_or_default())?;
        Ok(Self { id, kind: PhantomData })
    }
}

#[cfg(test)]
mod tests;
