//! A run as it is asked for, checked and put into the runtime's words.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use mesh_protocol::run::{
    CheckpointRef, Command, Durability, IfNotExists, MultitaskStrategy, Nodes, OnCompletion,
    RunConfig, RunCreate, StreamMode,
};
use mesh_runtime::{
    Error, Runtime, Scope,
    run::Multitask,
    runs::{NewRun, OF_THE_CALLER, Target},
};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{super::webhook::webhook, Making};
use crate::{auth::Caller, refusal::Refusal, routes::text_of, server::CopiedHeaders};

/// Headers that are never shown to graphs: they are secrets, or say whose a request is.
const NEVER_COPIED: [&str; 7] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-api-key",
    "x-tenant-id",
    "x-service-key",
    "x-auth-key",
];

/// Longest time before a run may start, in seconds: a year.
const AFTER_SECONDS_MAX: f64 = 31_536_000.0;

/// A run of this thread, or of its own.
///
/// # Errors
/// 404 for an assistant that is not there; 400 for two contexts; 422 with a pointer for a value
/// that cannot be, or an answer that does not fit its question.
pub(crate) async fn new_run(
    making: &Making,
    thread: Option<Uuid>,
    body: RunCreate,
) -> Result<NewRun, Refusal> {
    let Making { runtime, caller, shared, headers } = making;
    let name = &body.assistant_id;
    let none = || {
        let detail = format!(
            "No assistant found for \"{name}\". Give an assistant's id, or a graph's name."
        );
        Refusal::not_found("assistant_not_found", detail)
    };
    let assistant = match runtime.assistant(&Scope::All, name).await {
        Ok(assistant) if caller.may_run(assistant.owner.as_deref()) => assistant,
        Ok(_) | Err(Error::NoAssistant(_)) => return Err(none()),
        Err(error) => return Err(error.into()),
    };
    let target = match thread {
        Some(id) => {
            Target::Thread { id: id.to_string(), make: body.if_not_exists == IfNotExists::Create }
        }
        None => Target::Own { keep: body.on_completion == OnCompletion::Keep },
    };
    let multitask = match body.multitask_strategy {
        // A run that is alone on its thread meets no other.
        _ if thread.is_none() => Multitask::Enqueue,
        MultitaskStrategy::Reject => Multitask::Reject,
        MultitaskStrategy::Interrupt => Multitask::Interrupt,
        MultitaskStrategy::Rollback => Multitask::Rollback,
        MultitaskStrategy::Enqueue => Multitask::Enqueue,
    };
    let mut config = config(body.config.unwrap_or_default())?;
    let context = body.context.filter(|context| !context.is_null());
    if let Some(Json::Object(configurable)) = config.get_mut("configurable") {
        for name in OF_THE_CALLER {
            configurable.remove(name);
        }
        let both = !configurable.is_empty()
            && context
                .as_ref()
                .and_then(Json::as_object)
                .is_some_and(|entries| !entries.is_empty());
        if both {
            return Err(Error::TwoContexts.into());
        }
    }
    if context.as_ref().is_some_and(|context| !context.is_object()) {
        return Err(Refusal::invalid(Some("/context".to_owned()), "/context: expected an object"));
    }
    let command = body.command.map(command);
    if let (Some(id), Some(given)) = (thread, command.as_ref().and_then(|it| it.get("resume"))) {
        // So that whoever answers hears it at once, and the question stays open.
        let checked = runtime.check_answers(&Scope::All, &id.to_string(), given).await;
        checked.map_err(|error| match error {
            Error::Invalid { pointer, message } => {
                Refusal::invalid(Some(format!("/command/resume{pointer}")), message)
            }
            error => error.into(),
        })?;
    }
    let input = match (&command, body.input) {
        (Some(_), input) => input,
        (None, Json::Null) => Json::Null,
        (None, input) => prepared(runtime, &assistant.graph, input)?,
    };
    let mut metadata = body.metadata.unwrap_or_default();
    caller.sign(&mut metadata);
    let mut granted = copied(headers, &shared.copied_headers);
    grant(caller, &mut granted);
    let mut new = NewRun::new(Arc::new(assistant), target);
    new.input = input;
    new.command = command;
    new.config = config;
    new.context = context;
    new.metadata = metadata;
    new.granted = granted;
    new.checkpoint = checkpoint(body.checkpoint, body.checkpoint_id);
    new.interrupt_before = body.interrupt_before.map(nodes);
    new.interrupt_after = body.interrupt_after.map(nodes);
    if let Some(modes) = body.stream_mode {
        new.stream_mode = names(&modes.into_vec());
    }
    new.subgraphs = body.stream_subgraphs;
    new.resumable = body.stream_resumable;
    if let Some(target) = &body.webhook {
        webhook(shared.courier.as_deref(), target).await?;
    }
    new.webhook = body.webhook;
    new.feedback_keys = body.feedback_keys.map(Json::from);
    new.durability = durability(body.durability, body.checkpoint_during);
    new.multitask = multitask;
    new.after_ms = after_ms(body.after_seconds.unwrap_or(0.0))?;
    Ok(new)
}

/// The graph's input out of what the client sent. A panic of the graph's rule is this request's
/// error.
fn prepared(runtime: &Runtime, graph: &str, input: Json) -> Result<Json, Refusal> {
    let rule = runtime.graphs().get(graph).and_then(|served| served.prepare.clone());
    let Some(rule) = rule else { return Ok(input) };
    match catch_unwind(AssertUnwindSafe(|| rule(input))) {
        Ok(Ok(input)) => Ok(input),
        Ok(Err(invalid)) => {
            Err(Refusal::invalid(Some(format!("/input{}", invalid.pointer)), invalid.message))
        }
        Err(panic) => {
            tracing::error!(panic = text_of(&*panic), "checking an input panicked");
            Err(Refusal::Internal)
        }
    }
}

fn config(config: RunConfig) -> Result<Map<String, Json>, Refusal> {
    if config.recursion_limit == Some(0) {
        let pointer = "/config/recursion_limit";
        let detail = format!("{pointer}: 0, expected at least 1");
        return Err(Refusal::invalid(Some(pointer.to_owned()), detail));
    }
    match serde_json::to_value(config) {
        Ok(Json::Object(mut members)) => {
            members.retain(|_, value| !value.is_null());
            Ok(members)
        }
        _ => Err(Refusal::Internal),
    }
}

fn command(command: Command) -> Json {
    let members = [("resume", command.resume), ("update", command.update), ("goto", command.goto)];
    let given = members.into_iter().filter_map(|(name, value)| {
        value.filter(|value| !value.is_null()).map(|value| (name.to_owned(), value))
    });
    Json::Object(given.collect())
}

/// The checkpoint to start from; none for a thread alone, whose newest that is.
fn checkpoint(reference: Option<CheckpointRef>, id: Option<String>) -> Option<Json> {
    let CheckpointRef { checkpoint_ns, checkpoint_id, checkpoint_map, .. } =
        reference.unwrap_or_default();
    let checkpoint_id = checkpoint_id.or(id)?;
    let mut members = Map::new();
    members.insert("checkpoint_id".to_owned(), checkpoint_id.into());
    if let Some(ns) = checkpoint_ns {
        members.insert("checkpoint_ns".to_owned(), ns.into());
    }
    if let Some(map) = checkpoint_map {
        members.insert("checkpoint_map".to_owned(), map.into());
    }
    Some(Json::Object(members))
}

fn nodes(nodes: Nodes) -> Json {
    match nodes {
        Nodes::Name(name) if name == "*" => json!(name),
        Nodes::Name(name) => json!([name]),
        Nodes::Names(names) => json!(names),
    }
}

/// Each mode once, in order.
fn names(modes: &[StreamMode]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(modes.len());
    for mode in modes {
        if !names.iter().any(|name| name == mode.name()) {
            names.push(mode.name().to_owned());
        }
    }
    names
}

fn durability(given: Option<Durability>, checkpoint_during: Option<bool>) -> Option<String> {
    let older = |during| if during { Durability::Async } else { Durability::Exit };
    given.or(checkpoint_during.map(older)).map(|durability| durability.name().to_owned())
}

fn after_ms(seconds: f64) -> Result<i64, Refusal> {
    if !(0.0..=AFTER_SECONDS_MAX).contains(&seconds) {
        let detail = format!("/after_seconds: {seconds}, expected 0 to {AFTER_SECONDS_MAX}");
        return Err(Refusal::invalid(Some("/after_seconds".to_owned()), detail));
    }
    // In range, so that nothing is cut off but parts of a millisecond.
    Ok((seconds * 1000.0).ceil() as i64)
}

/// The headers of a request that a run made later can need, in memory of their own: what came
/// with a request shares one large buffer, which a socket that only waits must not hold.
pub(crate) fn headers_kept(headers: &HeaderMap, which: &CopiedHeaders) -> HeaderMap {
    let own = |(name, value): (&HeaderName, &HeaderValue)| {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    };
    meant(headers, which).filter_map(own).collect()
}

/// Those that graphs can read.
fn meant<'a>(
    headers: &'a HeaderMap,
    which: &'a CopiedHeaders,
) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
    let is_meant = move |name: &HeaderName| match which {
        CopiedHeaders::Extensions => name.as_str().starts_with("x-"),
        CopiedHeaders::Only(names) => names.iter().any(|listed| listed == name.as_str()),
    };
    headers.iter().filter(move |(name, _)| is_meant(name) && !NEVER_COPIED.contains(&name.as_str()))
}

/// Headers that graphs can read.
fn copied(headers: &HeaderMap, which: &CopiedHeaders) -> Map<String, Json> {
    meant(headers, which)
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), json!(value.to_str().ok()?))))
        .collect()
}

/// Who asks, as graphs can read it.
pub(crate) fn grant(caller: &Caller, granted: &mut Map<String, Json>) {
    if let Some(principal) = caller.principal() {
        let identity = &*principal.identity;
        granted.insert("user_id".to_owned(), json!(identity));
        granted.insert("langgraph_auth_user_id".to_owned(), json!(identity));
        granted.insert("langgraph_auth_permissions".to_owned(), json!(principal.scopes));
        granted.insert(
            "langgraph_auth_user".to_owned(),
            json!({
                "identity": identity,
                "display_name": principal.display_name,
                "permissions": principal.scopes,
                "is_authenticated": true,
            }),
        );
    }
}
