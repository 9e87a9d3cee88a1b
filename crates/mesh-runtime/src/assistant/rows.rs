//! What a database keeps of assistants.

use std::ops::ControlFlow;

use uuid::Uuid;

use super::{Assistant, AssistantOrder};
use crate::Error;

/// Assistants and their versions, within one transaction.
pub trait AssistantRows {
    /// An assistant as it is now.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn assistant(&mut self, id: Uuid) -> Result<Option<Assistant>, Error>;

    /// Adds an assistant and its version.
    ///
    /// # Errors
    /// [`Error::Storage`], also when there is one with the id already.
    fn insert_assistant(&mut self, assistant: &Assistant) -> Result<(), Error>;

    /// Makes an assistant be as this version of it, which is stored if it is new and replaced if
    /// there is one of its number.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn update_assistant(&mut self, assistant: &Assistant) -> Result<(), Error>;

    /// Removes an assistant with its versions. Says whether it was there.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn remove_assistant(&mut self, id: Uuid) -> Result<bool, Error>;

    /// Visits all assistants in this order, as long as the visitor goes on. With a graph, only
    /// those of the graph.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn visit_assistants(
        &mut self,
        graph: Option<&str>,
        order: AssistantOrder,
        visit: &mut dyn FnMut(Assistant) -> ControlFlow<()>,
    ) -> Result<(), Error>;

    /// One version of an assistant. Its `updated_at` is that of the assistant.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn assistant_version(&mut self, id: Uuid, version: u32) -> Result<Option<Assistant>, Error>;

    /// Visits all versions of an assistant, the newest first, as long as the visitor goes on.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn visit_assistant_versions(
        &mut self,
        id: Uuid,
        visit: &mut dyn FnMut(Assistant) -> ControlFlow<()>,
    ) -> Result<(), Error>;

    /// The highest number that a version of the assistant has.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn last_assistant_version(&mut self, id: Uuid) -> Result<Option<u32>, Error>;
}
