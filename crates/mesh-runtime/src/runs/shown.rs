//! A run as clients see it.

use serde_json::{Map, Value as Json, json};

use super::{Now, rows::State};
use crate::Run;

/// A run as clients see it, in answers and in what webhooks get.
pub fn shown(run: &Run) -> Map<String, Json> {
    let kwargs = &run.kwargs;
    let durability = kwargs.durability.as_deref().unwrap_or("async");
    let kwargs = json!({
        "input": kwargs.input,
        "command": kwargs.command,
        "config": kwargs.config,
        "context": kwargs.context,
        "stream_mode": kwargs.stream_mode,
        "interrupt_before": kwargs.interrupt_before,
        "interrupt_after": kwargs.interrupt_after,
        "webhook": kwargs.webhook,
        "feedback_keys": kwargs.feedback_keys,
        "temporary": kwargs.temporary,
        "subgraphs": kwargs.subgraphs,
        "resumable": kwargs.resumable,
        "checkpoint_during": durability != "exit",
        "durability": durability,
    });
    let entries = [
        ("run_id", json!(run.id)),
        ("thread_id", json!(run.thread)),
        ("assistant_id", json!(run.assistant)),
        ("metadata", json!(run.metadata)),
        ("status", json!(run.status)),
        ("kwargs", kwargs),
        ("multitask_strategy", json!(run.multitask)),
        ("created_at", json!(run.created_at)),
        ("updated_at", json!(run.updated_at)),
        ("langsmith_session_name", Json::Null),
    ];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What the webhook of a run that has ended gets.
pub(super) fn letter(run: &Run, now: Now, state: Option<&State>) -> Vec<u8> {
    let mut body = shown(run);
    let values = state.and_then(|state| serde_json::from_slice(&state.values).ok());
    body.insert("run_started_at".to_owned(), json!(run.started_at));
    body.insert("run_ended_at".to_owned(), json!(run.ended_at));
    body.insert("webhook_sent_at".to_owned(), json!(now.at));
    body.insert("values".to_owned(), values.unwrap_or(Json::Null));
    if let Some(error) = &run.error {
        body.insert("error".to_owned(), error.clone());
    }
    Json::Object(body).to_string().into_bytes()
}
