//! Texts that the states of threads name by their address instead of holding them.

use async_trait::async_trait;
use mesh_graph::error::BoxError;

/// Where such texts are. An address is made from the text, so what is at one never changes.
#[async_trait]
pub trait Texts: Send + Sync {
    /// The text at an address; none where there is none, or where this is no address.
    ///
    /// # Errors
    /// The place cannot be read.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    async fn text(&self, address: &str) -> Result<Option<String>, BoxError>;
}
