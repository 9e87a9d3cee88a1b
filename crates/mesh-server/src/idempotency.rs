//! Requests that may come twice and are done once: the header `Idempotency-Key`.
//!
//! A creation that came under a key leaves the key with what it made, in one transaction. The same
//! request under the same key gets the answer anew from that; nothing is made a second time, also
//! when the server was killed in between. What was refused leaves nothing and may be tried again.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::future::BoxFuture;
use mesh_runtime::{
    Error, Runtime, Scope,
    idempotency::{Key, Made},
};

use crate::{
    auth::Caller,
    extract::{self, BodyProgress},
    refusal::Refusal,
    server::Shared,
};

/// The header that has the key.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// Characters of a key, at most.
pub(crate) const KEY_CHARS_MAX: usize = 255;

/// Makes the answer of a request again.
pub(crate) type Again = fn(Repeat) -> BoxFuture<'static, Result<Response, Refusal>>;

/// A request that came before, and what it made then.
pub(crate) struct Repeat {
    pub(crate) shared: Arc<Shared>,
    pub(crate) runtime: Runtime,
    pub(crate) caller: Caller,
    pub(crate) made: Made,
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

/// The runtime for a request that came under a key: an extension of the request.
#[derive(Debug, Clone)]
pub(crate) struct Keyed(pub(crate) Runtime);

/// Keys of the requests that are being handled now. Each has a connection, so there are no more
/// of them than those.
#[derive(Debug, Default)]
pub(crate) struct Handled(Mutex<HashSet<Key>>);

impl Handled {
    /// None if a request with this key is being handled.
    pub(crate) fn begin(&self, key: &Key) -> Option<Handling<'_>> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.clone()).then(|| Handling { all: self, key: key.clone() })
    }
}

/// A request that is being handled, until this is dropped.
pub(crate) struct Handling<'a> {
    all: &'a Handled,
    key: Key,
}

impl Drop for Handling<'_> {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// What a request that makes something passes. Without a key it does nothing.
pub(crate) async fn once(
    State((shared, again)): State<(Arc<Shared>, Again)>,
    request: Request,
    next: Next,
) -> Response {
    match &shared.runtime {
        Some(runtime) if request.headers().contains_key(HEADER) => {
            let runtime = runtime.clone();
            let answered = answer(&shared, runtime, again, request, next).await;
            answered.unwrap_or_else(IntoResponse::into_response)
        }
        // What keeps nothing refuses all that would have to be kept.
        _ => next.run(request).await,
    }
}

async fn answer(
    shared: &Arc<Shared>,
    runtime: Runtime,
    again: Again,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let (mut parts, body) = request.into_parts();
    let caller = parts.extensions.get::<Caller>().cloned().unwrap_or_default();
    let text = key(&parts.headers)?;
    let key = Key { principal: caller.owner().unwrap_or_default().to_owned(), text };
    let body = extract::read(body, &parts.headers).await?;
    if let Some(progress) = parts.extensions.get::<BodyProgress>() {
        progress.finish();
    }
    let digest = digest(&parts, &body);
    let _handling = shared.handled.begin(&key).ok_or(Refusal::KeyInUse)?;
    if let Some(kept) = runtime.key(&key).await? {
        if kept.request != digest {
            return Err(Refusal::invalid(
                None,
                "header Idempotency-Key: it was used for another request",
            ));
        }
        if kept.is_whole {
            return again(Repeat {
                shared: Arc::clone(shared),
                runtime,
                caller,
                made: kept.made,
                path: parts.uri.path().to_owned(),
                body,
            })
            .await;
        }
        // Whoever made it went away in the middle of it, and nobody was told of it.
        if let Made::Thread(id) = &kept.made {
            match runtime.delete_thread(&Scope::All, id).await {
                Ok(()) | Err(Error::NoThread(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        runtime.keyed(key.clone(), digest).drop_key().await?;
    }
    parts.extensions.insert(Keyed(runtime.keyed(key, digest)));
    Ok(next.run(Request::from_parts(parts, Body::from(body))).await)
}

/// The key: printable ASCII.
fn key(headers: &HeaderMap) -> Result<String, Refusal> {
    let mut all = headers.get_all(HEADER).iter();
    let text = match (all.next(), all.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    };
    let fits = |text: &&str| {
        (1..=KEY_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
    };
    text.filter(fits).map(str::to_owned).ok_or_else(|| {
        let detail = format!(
            "header Idempotency-Key: expected it once, with 1 to {KEY_CHARS_MAX} printable ASCII \
             characters"
        );
        Refusal::invalid(None, detail)
    })
}

/// What a request asks for, in short.
fn digest(parts: &Parts, body: &Bytes) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    // Neither a method nor a target has a line feed in it.
    for part in [parts.method.as_str(), "\n", target, "\n"] {
        hasher.update(part.as_bytes());
    }
    hasher.update(body);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::{Handled, Key};
    use crate::{ErrorFormat, refusal::Refusal};

    #[test]
    fn a_key_is_one_requests_alone_until_that_is_handled() {
        let handled = Handled::default();
        let key = |principal: &str| Key { principal: principal.to_owned(), text: "k".to_owned() };
        let first = handled.begin(&key("ada"));
        assert!(first.is_some());
        assert!(handled.begin(&key("ada")).is_none());
        assert!(handled.begin(&key("bob")).is_some(), "keys of others are other keys");
        drop(first);
        assert!(handled.begin(&key("ada")).is_some());
    }

    #[test]
    fn who_comes_too_early_is_told_when_to_come_back() {
        let response = Refusal::KeyInUse.to_response("id", ErrorFormat::Json);
        assert_eq!(response.status(), 409);
        assert_eq!(response.headers()["retry-after"], "1");
    }
}
