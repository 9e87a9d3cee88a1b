//! The REST doors, one file per resource, with the paths of the LangGraph Agent Server.

use std::sync::Arc;

use axum::Router;

use crate::server::Shared;

/// All paths; each resource adds its own.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
}
