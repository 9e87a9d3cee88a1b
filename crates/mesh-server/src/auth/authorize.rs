//! The built-in rule: who may do what, and whose things it may touch. Pure; decided from what the
//! authenticator said and what is stored, never from what a request claims about itself.

use super::{Action, Principal, Resource, Scope};

/// What the rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes, among the things that this scope takes in. What is outside it is as if it were not
    /// there.
    Allow(Scope),
    /// No, whatever it is about.
    Deny,
}

/// Decides whether `principal` may do `action`.
///
/// A principal acts on its own things, and an administrator on everybody's. Scopes say what it
/// may do with them:
///
/// | scope | allows |
/// | --- | --- |
/// | `*` | everything |
/// | `me` | threads, runs, store and crons; reading assistants |
/// | `threads:*`, `threads:write` | everything with threads and runs |
/// | `threads:read` | reading and searching them |
/// | `threads:create_run` | that action alone |
///
/// and so on for `assistants`, `store`, `crons` and `server`; `*` may stand for the part before
/// the colon. A principal without scopes may do nothing.
///
/// Items of the store have no owner: [`authorize_namespace`] decides about them as well.
pub fn authorize(principal: &Principal, action: Action) -> Decision {
    if principal.admin {
        return Decision::Allow(Scope::All);
    }
    if principal.scopes.iter().any(|scope| permits(scope, action)) {
        Decision::Allow(Scope::Owner(principal.identity.clone()))
    } else {
        Decision::Deny
    }
}

/// Decides about an action of the store. `labels` are those that every item concerned has in its
/// namespace: the namespace of an item, the prefix of a search, prefix and suffix of a listing.
///
/// Besides [`authorize`]: unless an administrator asks, one of them has to be the identity.
pub fn authorize_namespace<S: AsRef<str>>(
    principal: &Principal,
    action: Action,
    labels: &[S],
) -> Decision {
    let decision = authorize(principal, action);
    match decision {
        Decision::Allow(Scope::Owner(owner)) if !labels.iter().any(|l| l.as_ref() == owner) => {
            Decision::Deny
        }
        decided => decided,
    }
}

/// Whether one scope allows an action.
fn permits(scope: &str, action: Action) -> bool {
    let resource = action.resource();
    match scope.split_once(':') {
        None => match scope {
            "*" => true,
            "me" => match resource {
                Resource::Threads | Resource::Store | Resource::Crons => true,
                Resource::Assistants => action.is_read(),
                Resource::Server => false,
            },
            _ => false,
        },
        Some((of, verb)) => {
            let of_this = of == "*" || of == resource.name();
            let this_verb = match verb {
                "*" | "write" => true,
                "read" => action.is_read(),
                verb => verb == action.verb(),
            };
            of_this && this_verb
        }
    }
}
