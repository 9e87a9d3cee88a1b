//! `/threads/…/texts`: what a graph has read, where its state names it by address.

use std::sync::Arc;

use axum::{Json, extract::State};
use mesh_protocol::thread::SourceText;
use serde_json::Value;

use super::{Kept, Operation};
use crate::{
    auth::{Action, Caller},
    extract::{OfThread, PathId, PathText},
    refusal::Refusal,
    server::Shared,
};

/// What can be asked about texts.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/threads/{thread_id}/texts/{address}", "get_text", get)
            .summary("Gives a text that the state of a thread names")
            .description(
                "Graphs that read documents keep the texts beside their state, which names each \
                 by its address. Only addresses that stand in the thread's values are answered.",
            )
            .gives::<SourceText>("The text")
            .refuses(404, "There is no such thread, or its values do not name this address"),
    ]
}

async fn get(
    State(shared): State<Arc<Shared>>,
    Kept(runtime): Kept,
    caller: Caller,
    id: PathId<OfThread>,
    PathText((_, address)): PathText<(String, String)>,
) -> Result<Json<SourceText>, Refusal> {
    let scope = caller.scope(Action::ReadThread)?;
    let thread = runtime.thread(&scope, &id.to_string()).await?;
    let missing = || {
        let detail = format!("Thread {} names no text {address}", thread.id);
        Refusal::not_found("text_not_found", detail)
    };
    let (true, Some(texts)) = (names(thread.values.as_ref(), &address), &shared.texts) else {
        return Err(missing());
    };
    let text = texts.text(&address).await.map_err(|error| {
        tracing::error!(error = &*error, "a text cannot be read");
        Refusal::Internal
    })?;
    text.map(|text| Json(SourceText { address: address.clone(), text })).ok_or_else(missing)
}

/// Whether the address stands anywhere in the values, as a text of its own.
fn names(values: Option<&Value>, address: &str) -> bool {
    let mut left: Vec<&Value> = values.into_iter().collect();
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) if text == address => return true,
            Value::Array(items) => left.extend(items),
            Value::Object(members) => left.extend(members.values()),
            _ => {}
        }
    }
    false
}
