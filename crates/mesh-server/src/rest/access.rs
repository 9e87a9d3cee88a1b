//! `/me`, `/keys` and `/models`: who asks, who may ask, and the models of the server.
//!
//! Keys are the business of administrators who showed who they are. A server that asks nobody
//! gives nobody a key: whoever reaches it today could come back with it when it does ask.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use jiff::Timestamp;
use mesh_protocol::access::{Key, KeyCreate, KeyMade, KeyState, Me, Model, ModelTried};
use mesh_runtime::{
    Error,
    api_key::{API_KEYS_MAX, ApiKey, ApiKeys},
};
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout};

use super::{Operation, Tag};
use crate::{
    auth::{Action, Caller, KeyWish, NoKey, Principal},
    extract::{JsonBody, PathText},
    refusal::Refusal,
    server::Shared,
};

pub(super) const TAG: Tag =
    Tag { name: "Access", description: "Who asks, who may ask, and the models of the server." };

/// Longest wait for a model that is tried.
const MODEL_WAIT: Duration = Duration::from_secs(30);
/// Days that a key may last, if it does not last for good.
const DAYS_MAX: u32 = 36_500;
const DAY: Duration = Duration::from_hours(24);

/// What can be asked about access.
pub(super) fn operations() -> Vec<Operation> {
    let denied = "The caller is no administrator, or the server asks nobody who they are";
    vec![
        Operation::get("/me", "get_me", me)
            .summary("Says who asks")
            .gives::<Me>("The caller, as the server knows them"),
        Operation::get("/keys", "list_keys", list)
            .summary("Lists the API keys, without their secrets")
            .gives::<Vec<Key>>("All keys, the oldest first")
            .refuses(403, denied),
        Operation::post("/keys", "create_key", create)
            .summary("Makes an API key, which is shown this once")
            .body::<KeyCreate>()
            .gives::<KeyMade>("The key, and what is kept of it")
            .refuses(403, denied)
            .refuses(409, "There are as many keys as there may be"),
        Operation::delete("/keys/{key_id}", "revoke_key", revoke)
            .summary("Takes an API key back")
            .gives_nothing(204, "It opens nothing any more, within seconds")
            .refuses(403, denied)
            .refuses(404, "There is no such key that could be taken back"),
        Operation::get("/models", "list_models", models)
            .summary("Lists the models that the server is configured with")
            .gives::<Vec<Model>>("The models by role, without their secrets"),
        Operation::post("/models/{role}/test", "test_model", attempt)
            .summary("Asks a model for a word, and says how long it took")
            .gives::<ModelTried>("How it answered")
            .refuses(404, "There is no model of this role"),
    ]
}

async fn me(caller: Caller) -> Result<Json<Me>, Refusal> {
    if caller.is_stranger() {
        return Err(Refusal::NoCredential);
    }
    let principal = caller.principal();
    Ok(Json(Me {
        identity: principal.map(|who| who.identity.clone()),
        display_name: principal.map(|who| who.display_name.clone()),
        scopes: principal.map(|who| who.scopes.clone()).unwrap_or_default(),
        admin: principal.is_some_and(|who| who.admin),
    }))
}

/// The keys, for an administrator.
fn keys<'a>(
    shared: &'a Shared,
    caller: &'a Caller,
) -> Result<(&'a Arc<dyn ApiKeys>, &'a Principal), Refusal> {
    if caller.is_stranger() {
        return Err(Refusal::NoCredential);
    }
    let (Some(kept), Some(who)) = (shared.auth.kept_keys(), caller.principal()) else {
        let detail = "This server asks nobody who they are: keys are made on its machine, with \
                      `genesis-mesh keys create`";
        return Err(Refusal::told(StatusCode::FORBIDDEN, "keys_not_here", detail));
    };
    if !who.admin {
        tracing::info!(identity = who.identity, "not authorized for keys");
        return Err(Refusal::NotAuthorized);
    }
    Ok((kept, who))
}

async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
) -> Result<Json<Vec<Key>>, Refusal> {
    let (kept, _) = keys(&shared, &caller)?;
    let now_ms = shared.auth.now_ms();
    Ok(Json(kept.list().await?.iter().map(|key| wire(key, now_ms)).collect()))
}

async fn create(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    JsonBody(body): JsonBody<KeyCreate>,
) -> Result<Json<KeyMade>, Refusal> {
    let (kept, who) = keys(&shared, &caller)?;
    if let Some(days) = body.expires_days.filter(|days| !(1..=DAYS_MAX).contains(days)) {
        let detail = format!("expires_days: {days}, expected 1 to {DAYS_MAX}");
        return Err(Refusal::invalid(Some("/expires_days".to_owned()), detail));
    }
    let wish = KeyWish {
        identity: body.identity,
        display_name: body.display_name,
        scopes: body.scopes,
        admin: body.admin,
        lasts: body.expires_days.map(|days| DAY.saturating_mul(days)),
    };
    let now_ms = shared.auth.now_ms();
    let (key, secret) = wish.make(now_ms).map_err(unmade)?;
    kept.add(key.clone()).await.map_err(|error| match error {
        Error::Full { .. } => {
            let detail = format!("there are {API_KEYS_MAX} keys, which is as many as there may be");
            Refusal::conflict("too_many_keys", detail)
        }
        error => error.into(),
    })?;
    tracing::warn!(
        by = who.identity, key = key.id, identity = key.identity, admin = key.admin,
        scopes = ?key.scopes, "an API key was made"
    );
    let secret = secret.expose_secret().to_owned();
    Ok(Json(KeyMade { secret, key: wire(&key, now_ms) }))
}

fn unmade(error: NoKey) -> Refusal {
    let pointer = match &error {
        NoKey::Identity => "/identity",
        NoKey::Name => "/display_name",
        NoKey::Scope { .. } | NoKey::Scopes => "/scopes",
        NoKey::NoRandom => {
            tracing::error!(%error, "no key can be made");
            return Refusal::Internal;
        }
    };
    Refusal::invalid(Some(pointer.to_owned()), error.to_string())
}

async fn revoke(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    PathText(id): PathText<String>,
) -> Result<StatusCode, Refusal> {
    let (kept, who) = keys(&shared, &caller)?;
    if !kept.revoke(&id, shared.auth.now_ms()).await? {
        let detail = format!("there is no key {id} that could be taken back");
        return Err(Refusal::not_found("key_not_found", detail));
    }
    tracing::warn!(by = who.identity, key = id, "an API key was taken back");
    Ok(StatusCode::NO_CONTENT)
}

fn wire(key: &ApiKey, now_ms: i64) -> Key {
    let time = |ms: i64| Timestamp::from_millisecond(ms).unwrap_or_default().to_string();
    Key {
        id: key.id.clone(),
        state: if key.revoked_ms.is_some() {
            KeyState::Revoked
        } else if key.is_good(now_ms) {
            KeyState::Good
        } else {
            KeyState::Expired
        },
        identity: key.identity.clone(),
        display_name: key.display_name.clone(),
        scopes: key.scopes.clone(),
        admin: key.admin,
        created_at: time(key.created_ms),
        expires_at: key.expires_ms.map(time),
        revoked_at: key.revoked_ms.map(time),
    }
}

async fn models(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
) -> Result<Json<Vec<Model>>, Refusal> {
    caller.scope(Action::ReadServer)?;
    Ok(Json(shared.models.as_ref().map(|models| models.list()).unwrap_or_default()))
}

async fn attempt(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    PathText(role): PathText<String>,
) -> Result<Json<ModelTried>, Refusal> {
    // It may cost money.
    caller.scope(Action::UpdateServer)?;
    let missing =
        || Refusal::not_found("model_not_found", format!("there is no model of role {role}"));
    let models = shared.models.as_ref().ok_or_else(missing)?;
    let began = Instant::now();
    let problem = match timeout(MODEL_WAIT, models.attempt(&role)).await {
        Ok(None) => return Err(missing()),
        Ok(Some(Ok(()))) => None,
        Ok(Some(Err(problem))) => Some(problem),
        Err(_) => Some(format!("no answer within {} s", MODEL_WAIT.as_secs())),
    };
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Json(ModelTried { ok: problem.is_none(), took_ms, problem }))
}
