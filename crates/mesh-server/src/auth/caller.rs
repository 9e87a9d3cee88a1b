//! Who sent the request at hand, as handlers see it.

use std::{convert::Infallible, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use serde_json::{Map, Value as Json};

use super::{Action, Decision, Principal, Scope, authorize, authorize_namespace};
use crate::refusal::Refusal;

/// Key of the metadata in which what somebody created names its owner.
const OWNER: &str = "owner";

/// Who asks: an extension of every request that passed the gate, and an extractor.
///
/// Without any authenticator everybody is the same caller, who may do everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    who: Who,
}

#[derive(Debug, Clone, Default)]
enum Who {
    /// Passed no gate, or asks before it said who it is: may do nothing.
    #[default]
    Stranger,
    /// There is no authenticator.
    Anybody,
    Known(Arc<Principal>),
}

impl Caller {
    /// Whoever asks a server without authentication.
    pub(crate) fn anybody() -> Self {
        Self { who: Who::Anybody }
    }

    /// Somebody who showed who they are.
    pub(crate) fn known(principal: Arc<Principal>) -> Self {
        Self { who: Who::Known(principal) }
    }

    /// Somebody who has to show who they are before anything is done.
    pub(crate) fn stranger() -> Self {
        Self::default()
    }

    pub(crate) fn is_stranger(&self) -> bool {
        matches!(self.who, Who::Stranger)
    }

    /// Who it is, if the server asks for that.
    pub(crate) fn principal(&self) -> Option<&Principal> {
        match &self.who {
            Who::Known(principal) => Some(principal),
            Who::Stranger | Who::Anybody => None,
        }
    }

    /// The owner of what this caller creates.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.principal().map(|principal| &*principal.identity)
    }

    /// Whose things `action` may touch. Storage is asked with this scope and gives nothing else,
    /// so that a foreign thing and a missing one look alike.
    ///
    /// # Errors
    /// [`Refusal::NotAuthorized`] when the caller may not do it at all.
    pub(crate) fn scope(&self, action: Action) -> Result<Scope, Refusal> {
        self.decided(|principal| authorize(principal, action))
    }

    /// As [`Caller::scope`], for an action of the store; see [`authorize_namespace`].
    ///
    /// # Errors
    /// [`Refusal::NotAuthorized`] also when no label is the caller's identity.
    pub(crate) fn namespace_scope<S: AsRef<str>>(
        &self,
        action: Action,
        labels: &[S],
    ) -> Result<Scope, Refusal> {
        self.decided(|principal| authorize_namespace(principal, action, labels))
    }

    /// As [`Caller::namespace_scope`], for an action on all that is below these labels: below none
    /// it is for the caller's own. Gives the label that every namespace then has to have.
    ///
    /// # Errors
    /// As [`Caller::namespace_scope`].
    pub(crate) fn below<S: AsRef<str>>(
        &self,
        action: Action,
        labels: &[S],
    ) -> Result<Option<String>, Refusal> {
        if !labels.is_empty() {
            return self.namespace_scope(action, labels).map(|_| None);
        }
        Ok(match self.scope(action)? {
            Scope::All => None,
            Scope::Owner(owner) => Some(owner),
        })
    }

    /// Whether a run may be started of an assistant with this owner: those of the server have
    /// none and are everybody's.
    pub(crate) fn may_run(&self, owner: Option<&str>) -> bool {
        match &self.who {
            Who::Stranger => false,
            Who::Anybody => true,
            Who::Known(principal) => {
                principal.admin || owner.is_none_or(|owner| owner == principal.identity)
            }
        }
    }

    /// Writes the owner into the metadata of something that is created. Clients cannot choose it.
    pub(crate) fn sign(&self, metadata: &mut Map<String, Json>) {
        if let Some(owner) = self.owner() {
            metadata.insert(OWNER.to_owned(), owner.into());
        }
    }

    /// Keeps the owner in the metadata with which something is changed: it is the caller, except
    /// that an administrator changes nobody's owner.
    pub(crate) fn keep_owner(&self, metadata: &mut Map<String, Json>) {
        match self.principal() {
            Some(principal) if principal.admin => {
                metadata.remove(OWNER);
            }
            Some(_) => self.sign(metadata),
            None => {}
        }
    }

    fn decided(&self, decide: impl FnOnce(&Principal) -> Decision) -> Result<Scope, Refusal> {
        match &self.who {
            Who::Stranger => Err(Refusal::NoCredential),
            Who::Anybody => Ok(Scope::All),
            Who::Known(principal) => match decide(principal) {
                Decision::Allow(scope) => Ok(scope),
                Decision::Deny => {
                    tracing::info!(identity = principal.identity, "not authorized");
                    Err(Refusal::NotAuthorized)
                }
            },
        }
    }
}

/// Never fails: a request without the extension comes from a stranger, who may do nothing.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
