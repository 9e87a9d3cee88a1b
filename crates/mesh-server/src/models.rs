//! The models that the server is configured with: what they are, and whether they answer.

use async_trait::async_trait;
use mesh_protocol::access::Model;

/// Models by role. They are changed where the server is started, never here.
#[async_trait]
pub trait Models: Send + Sync {
    /// All of them, without their secrets; none where no model is configured.
    fn list(&self) -> Vec<Model>;

    /// Asks the model of this role for a word. `None` if there is no such role.
    ///
    /// The error says why it did not answer, for a person, and holds no secret.
    ///
    /// # Cancel safety
    /// Dropping the future ends the call.
    async fn attempt(&self, role: &str) -> Option<Result<(), String>>;
}
