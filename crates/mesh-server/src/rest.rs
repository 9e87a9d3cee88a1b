//! The REST doors, one file per resource, with the paths of the LangGraph Agent Server.
//!
//! A resource is a list of [`Operation`]s. The routes and `/openapi.json` are both made of that
//! list, so that neither has anything that the other does not have.

mod access;
mod assistants;
mod crons;
mod extracted;
mod operation;
mod params;
mod protocol;
pub(crate) mod runs;
mod search;
mod states;
mod store;
mod system;
mod texts;
mod threads;
mod webhook;

use std::sync::Arc;

use axum::{Router, extract::FromRequestParts, http::StatusCode, http::request::Parts, middleware};
use mesh_runtime::Runtime;

use crate::{
    idempotency::{Keyed, once},
    refusal::Refusal,
    server::Shared,
};

pub(crate) use operation::{Operation, Tag};
pub(crate) use runs::{Leaving, Making, headers_kept, new_run};
pub(crate) use states::refusal as state_refusal;
pub(crate) use threads::wire as wire_thread;

/// All operations, by resource; each resource adds its own. Some are only there on a server that
/// is for development.
pub(crate) fn operations(development: bool) -> Vec<(Tag, Vec<Operation>)> {
    let mut all = vec![
        (assistants::TAG, assistants::operations()),
        (
            threads::TAG,
            [threads::operations(), texts::operations()].into_iter().flatten().collect(),
        ),
        (runs::TAG, runs::operations()),
        (protocol::TAG, protocol::operations()),
        (crons::TAG, crons::operations()),
        (store::TAG, store::operations()),
        (access::TAG, access::operations()),
        (system::TAG, system::operations()),
    ];
    for (_, operations) in &mut all {
        operations.retain(|operation| development || !operation.development);
    }
    all
}

/// All paths.
pub(crate) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let all = operations(shared.development).into_iter().flat_map(|(_, operations)| operations);
    all.fold(Router::new(), |router, operation| {
        let handler = match operation.again {
            Some(again) => {
                let state = (Arc::clone(shared), again);
                operation.handler.route_layer(middleware::from_fn_with_state(state, once))
            }
            None => operation.handler,
        };
        router.route(operation.path, handler)
    })
}

/// Threads, runs and all else that is kept: refused on a server that keeps nothing.
pub(super) struct Kept(pub(super) Runtime);

impl FromRequestParts<Arc<Shared>> for Kept {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        if let Some(Keyed(runtime)) = parts.extensions.get() {
            return Ok(Self(runtime.clone()));
        }
        kept(shared).map(Self)
    }
}

/// Threads, runs and all else that is kept.
///
/// # Errors
/// This server keeps nothing.
pub(crate) fn kept(shared: &Shared) -> Result<Runtime, Refusal> {
    shared.runtime.clone().ok_or_else(|| {
        let detail = "this server keeps nothing";
        Refusal::told(StatusCode::NOT_IMPLEMENTED, "nothing_kept", detail)
    })
}
