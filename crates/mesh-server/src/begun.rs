//! Messages that grow, and of which a client knows what they are: it is told only their text.

use std::sync::Arc;

use mesh_runtime::early::Said;

/// Messages that are remembered. Of others that grow at the same time a client is told more than
/// once what they are.
const GROWING: usize = 16;

/// The messages that one client knows of.
#[derive(Debug, Default)]
pub(crate) struct Begun(Vec<Arc<Said>>);

impl Begun {
    /// Whether the client has to be told what the message is; from now on it knows.
    pub(crate) fn is_first(&mut self, said: &Arc<Said>) -> bool {
        if self.0.iter().any(|known| Arc::ptr_eq(known, said)) {
            return false;
        }
        if self.0.len() == GROWING {
            self.0.remove(0);
        }
        self.0.push(Arc::clone(said));
        true
    }
}
