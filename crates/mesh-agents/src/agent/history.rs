//! The conversation as providers accept it: every tool call has its result.

use std::collections::HashSet;

use mesh_model::{Kind, Message, Messages, ToolCall, ToolStatus};

use crate::tools::last_assistant;

/// A conversation has tool calls without results, which providers refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the conversation has tool calls without a result: {}", ids.join(", "))]
pub struct InvalidHistory {
    /// The ids of the calls.
    pub ids: Vec<String>,
}

/// What a call is answered with that nobody ran to its end.
const INTERRUPTED: &str = "The call was interrupted and has no result.";

fn answered(messages: &Messages) -> HashSet<&str> {
    messages
        .iter()
        .filter_map(|message| match &message.kind {
            Kind::Tool { tool_call_id, .. } => Some(tool_call_id.as_str()),
            _ => None,
        })
        .collect()
}

/// Calls of the last assistant message that have no result.
pub(super) fn pending(messages: &Messages) -> Vec<ToolCall> {
    let Some(last) = last_assistant(messages).filter(|last| !last.tool_calls().is_empty()) else {
        return Vec::new();
    };
    // Results stand behind their call: nothing older has to be looked at.
    let results: HashSet<&str> = messages
        .iter()
        .rev()
        .take_while(|message| !matches!(message.kind, Kind::Assistant { .. }))
        .filter_map(|message| match &message.kind {
            Kind::Tool { tool_call_id, .. } => Some(tool_call_id.as_str()),
            _ => None,
        })
        .collect();
    last.tool_calls().iter().filter(|call| !results.contains(call.id.as_str())).cloned().collect()
}

/// Whether all results stand behind their calls, before the next reply, as they mostly do.
fn in_order(messages: &Messages) -> bool {
    let mut open: Vec<&str> = Vec::new();
    for message in messages.iter() {
        match &message.kind {
            Kind::Tool { tool_call_id, .. } => open.retain(|id| id != tool_call_id),
            Kind::Assistant { .. } => {
                if !open.is_empty() {
                    return false;
                }
                open.extend(message.tool_calls().iter().map(|call| call.id.as_str()));
            }
            _ => {}
        }
    }
    open.is_empty()
}

/// Finds calls without results anywhere.
pub(super) fn check(messages: &Messages) -> Result<(), InvalidHistory> {
    if in_order(messages) {
        return Ok(());
    }
    let answered = answered(messages);
    let calls = messages.iter().flat_map(Message::tool_calls);
    let ids: Vec<String> = calls
        .filter(|call| !answered.contains(call.id.as_str()))
        .map(|call| call.id.clone())
        .collect();
    if ids.is_empty() { Ok(()) } else { Err(InvalidHistory { ids }) }
}

/// The conversation with an error result behind every call that has none.
pub(super) fn repaired(messages: &Messages) -> Messages {
    let answered = answered(messages);
    let mut all = Vec::with_capacity(messages.len() + 1);
    for message in messages.iter() {
        all.push(message.clone());
        for call in message.tool_calls() {
            if !answered.contains(call.id.as_str()) {
                let kind = Kind::Tool {
                    tool_call_id: call.id.clone(),
                    status: ToolStatus::Error,
                    artifact: None,
                };
                let mut result = Message::new(kind, INTERRUPTED);
                result.name = Some(call.name.clone());
                all.push(result);
            }
        }
    }
    Messages::from(all)
}
