//! Commands: one in, one answer out.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use mesh_graph::v3::Subscription;
use mesh_runtime::{Error, Runtime, Scope};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{Flaw, filter, respond, start, state, tree};
use crate::{
    auth::{Action, Caller},
    refusal::Refusal,
    server::Shared,
};

/// What is said of something that is no command.
pub(crate) const NO_COMMAND: &str =
    "Protocol commands must include an integer id and string method.";

/// A command as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    /// Its number, an integer of the client's choice.
    pub(crate) id: Json,
    pub(crate) method: String,
    pub(crate) params: Map<String, Json>,
}

impl Command {
    /// Reads a command.
    ///
    /// # Errors
    /// The id, or null, of something that is none.
    pub(crate) fn read(json: Json) -> Result<Self, Json> {
        let Json::Object(mut members) = json else { return Err(Json::Null) };
        let id = members.remove("id").unwrap_or_default();
        let method = members.remove("method");
        let (true, Some(Json::String(method))) = (id.is_i64() || id.is_u64(), method) else {
            return Err(if id.is_number() || id.is_string() { id } else { Json::Null });
        };
        let params = match members.remove("params") {
            Some(Json::Object(params)) => params,
            _ => Map::new(),
        };
        Ok(Self { id, method, params })
    }

    /// A text among the parameters.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.params.get(name)?.as_str()
    }

    /// A namespace among the parameters, joined.
    pub(super) fn namespace(&self) -> Result<String, Fault> {
        match self.params.get("namespace") {
            None | Some(Json::Null) => Ok(String::new()),
            Some(given) => match serde_json::from_value::<Vec<String>>(given.clone()) {
                Ok(parts) => Ok(parts.join("|")),
                Err(_) => Err(Fault::invalid("namespace: expected a list of strings")),
            },
        }
    }

    /// What a command of subscribing asks for.
    ///
    /// # Errors
    /// `invalid_argument`.
    pub(crate) fn subscription(&self) -> Result<Subscription, Fault> {
        filter::subscription(&self.params).map_err(|flaw| match flaw {
            Flaw::NoChannels => {
                Fault::invalid("subscription.subscribe requires a non-empty channels array.")
            }
            Flaw::Unknown(_) => {
                Fault::invalid("subscription.subscribe received an unsupported channel.")
            }
            Flaw::TooMany { member, max } => {
                Fault::invalid(format!("{member}: expected at most {max}"))
            }
        })
    }
}

/// Why a command is not carried out: a code of the protocol and a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// An argument is not what it has to be.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new("invalid_argument", message)
    }

    /// There is no subscription with this id.
    pub(crate) fn no_subscription(id: &str) -> Self {
        Self::new("no_such_subscription", format!("Unknown subscription: {id}"))
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let (status, message) = (refusal.status(), refusal.to_string());
        match status {
            StatusCode::UNPROCESSABLE_ENTITY => Self::invalid(message),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Self::new("permission_denied", message)
            }
            status => Self::new("unknown_error", format!("{}: {message}", status.as_u16())),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::NoThread(_) | Error::NoAssistant(_) => {
                Self::new("unknown_error", "404: Thread or assistant not found.")
            }
            error => Refusal::from(error).into(),
        }
    }
}

/// What carrying out a command needs besides it.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) shared: Arc<Shared>,
    pub(crate) runtime: Runtime,
    pub(crate) caller: Caller,
    /// Of the request that the command, or its connection, came in with.
    pub(crate) headers: HeaderMap,
    pub(crate) thread: Uuid,
}

impl Desk {
    /// What the caller may read of.
    ///
    /// # Errors
    /// `permission_denied`.
    pub(crate) fn reading(&self) -> Result<Scope, Fault> {
        Ok(self.caller.scope(Action::ReadThread)?)
    }
}

/// Carries out a command that does not concern the connection that it came in on. Subscribing has
/// no effect there is none: nothing that is asked for outside of a connection has one.
///
/// # Errors
/// [`Fault`] says which argument is wrong, or what is not there.
///
/// # Cancel safety
/// A dropped future may or may not have started a run.
pub(crate) async fn answer(desk: &Desk, command: &Command) -> Result<Json, Fault> {
    match &*command.method {
        "run.start" => start::start(desk, command).await,
        "input.respond" => respond::respond(desk, command).await,
        "agent.getTree" => tree::get(desk, command).await,
        "state.get" => state::get(desk, command).await,
        "state.listCheckpoints" => state::list(desk, command).await,
        "state.fork" => start::fork(desk, command).await,
        "subscription.subscribe" => {
            desk.reading()?;
            command.subscription()?;
            let id = Uuid::from_u128(desk.runtime.env().new_id());
            Ok(json!({ "subscription_id": id, "replayed_events": 0 }))
        }
        "subscription.unsubscribe" => Err(Fault::no_subscription(subscription_id(command)?)),
        "subscription.reconnect" => Err(Fault::new(
            "not_supported",
            "subscription.reconnect is not supported. Subscribe again, with since.",
        )),
        unknown => {
            Err(Fault::new("unknown_command", format!("Unknown protocol command: {unknown}")))
        }
    }
}

/// The subscription that a command names.
///
/// # Errors
/// `invalid_argument`.
pub(crate) fn subscription_id(command: &Command) -> Result<&str, Fault> {
    command
        .text("subscription_id")
        .ok_or_else(|| Fault::invalid("subscription.unsubscribe requires a subscription_id."))
}

/// The answer as it is sent. `applied` is the number of the last event that the client has.
pub(crate) fn envelope(id: &Json, answer: Result<Json, Fault>, applied: u64) -> Json {
    let meta = json!({ "applied_through_seq": applied });
    match answer {
        Ok(result) => json!({ "type": "success", "id": id, "result": result, "meta": meta }),
        Err(Fault { code, message }) => {
            json!({ "type": "error", "id": id, "error": code, "message": message, "meta": meta })
        }
    }
}
