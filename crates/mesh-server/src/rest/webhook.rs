//! Where a client wants to be told how a run ended.

use mesh_runtime::outbox::Courier;

use crate::refusal::Refusal;

/// Checks the address of a webhook before a run is made with it.
///
/// # Errors
/// 422 at `/webhook` for an address that is none or that must not be called, and on a server that
/// calls nobody.
pub(super) async fn webhook(courier: Option<&dyn Courier>, target: &str) -> Result<(), Refusal> {
    let refused = |detail: String| Refusal::invalid(Some("/webhook".to_owned()), detail);
    match courier {
        Some(courier) => courier.check(target).await.map_err(refused),
        None => Err(refused("webhook: this server calls nobody".to_owned())),
    }
}
