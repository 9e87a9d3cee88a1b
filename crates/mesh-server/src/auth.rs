//! Who may ask: API keys, bearer tokens, and what their holders may do.
//!
//! Authentication turns what a request shows into a [`Principal`]; authorization is a pure
//! decision about a principal and an [`Action`]. Handlers see both as one value, the
//! `Caller`, and hand its [`Scope`] to storage. Nothing here keeps, logs or repeats a
//! credential, reads one from an address, or believes what a request says about its sender.

mod action;
mod authorize;
mod caller;

pub use action::{Action, Resource};
pub use authorize::{Decision, authorize, authorize_namespace};
pub(crate) use caller::Caller;
pub use mesh_runtime::Scope;

/// Somebody who showed who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Principal {
    /// The name that what they create carries as its owner, stable for ever.
    pub identity: String,
    /// A name for people.
    pub display_name: String,
    /// What they may do; see [`authorize`].
    pub scopes: Vec<String>,
    /// Whether everybody's things are theirs, and everything is allowed.
    pub admin: bool,
}

/// Longest identity, in characters.
pub const IDENTITY_CHARS_MAX: usize = 200;

impl Principal {
    /// A principal under this identity, which also is its display name, without any scope.
    /// `None` for an identity that cannot be one: empty, longer than [`IDENTITY_CHARS_MAX`], with
    /// control characters, or `*`, which means any label in a search of namespaces.
    pub fn new(identity: impl Into<String>) -> Option<Self> {
        let identity = identity.into();
        let fits = (1..=IDENTITY_CHARS_MAX).contains(&identity.chars().count())
            && !identity.chars().any(char::is_control)
            && identity != "*";
        fits.then(|| Self {
            display_name: identity.clone(),
            identity,
            scopes: Vec::new(),
            admin: false,
        })
    }
}

#[cfg(test)]
mod tests;
