//! Messages among values: which parts of an update are shown on the `messages` stream.
//!
//! The engine knows no messages. A channel that says it holds some is read in JSON: a message is an
//! object with `type` and `content`, and `id` tells it from others.

use serde_json::Value as Json;

use crate::{
    channel::{Channel, Schema, Values},
    state::Update,
    value::Value,
};

use super::event::{Body, Event};

/// The id of a message or of a part of one.
pub(crate) fn id(message: &Json) -> Option<&str> {
    message.get("id").and_then(Json::as_str)
}

/// Whether the event is a piece of a message that others may be added to.
pub(super) fn is_piece(event: &Event) -> bool {
    match &event.body {
        Body::Message { message, .. } => is_chunk(message),
        Body::Piece { .. } => true,
        _ => false,
    }
}

pub(super) fn is_chunk(message: &Json) -> bool {
    message.get("type").and_then(Json::as_str) == Some("AIMessageChunk") && id(message).is_some()
}

/// Adds a later piece of the same message to an earlier one, as clients would; false, and nothing
/// changed, when the two cannot be one piece.
pub(super) fn merge(piece: &mut Json, more: &Json) -> bool {
    if !is_chunk(piece) || !is_chunk(more) || id(piece) != id(more) {
        return false;
    }
    let (Json::Object(piece), Json::Object(more)) = (piece, more) else { return false };
    // What adds up differently in each client is left to the client.
    let both = |key: &str| {
        [&*piece, more].iter().all(|part| part.get(key).is_some_and(|value| !value.is_null()))
    };
    let fits = match (piece.get("content"), more.get("content")) {
        (Some(Json::String(_)), Some(Json::String(_)))
        | (Some(Json::Array(_)), Some(Json::Array(_)))
        | (_, None) => true,
        (_, Some(more)) => more.as_str() == Some(""),
    };
    if !fits || both("usage_metadata") {
        return false;
    }
    for (key, value) in more {
        match (piece.get_mut(key), value) {
            (Some(Json::String(text)), Json::String(more)) if key == "content" => {
                text.push_str(more);
            }
            (Some(Json::Array(items)), Json::Array(more)) => items.extend(more.iter().cloned()),
            (Some(Json::Object(entries)), Json::Object(more)) => entries.extend(more.clone()),
            (Some(_), Json::Null) => {}
            (Some(_), more) if key == "content" && more.as_str() == Some("") => {}
            _ => {
                piece.insert(key.clone(), value.clone());
            }
        }
    }
    true
}

/// All messages that an update writes, in order. Removals are none.
pub(crate) fn written(schema: &Schema, updates: &[Update]) -> Vec<Json> {
    if !schema.has_messages() {
        return Vec::new();
    }
    let writes = updates.iter().flat_map(|update| &update.writes);
    let channels = writes
        .filter_map(|write| Some((schema.channels().get(write.channel)?, &write.value)))
        .flat_map(|(channel, value)| messages(channel, value));
    channels.collect()
}

/// The ids of all messages in the state.
pub(crate) fn known(schema: &Schema, values: &Values) -> Vec<String> {
    if !schema.has_messages() {
        return Vec::new();
    }
    let present = schema
        .channels()
        .iter()
        .enumerate()
        .filter_map(|(index, channel)| Some((channel, values.get(index)?)));
    present
        .flat_map(|(channel, value)| messages(channel, value))
        .filter_map(|message| id(&message).map(str::to_owned))
        .collect()
}

fn messages(channel: &Channel, value: &Value) -> Vec<Json> {
    if !channel.messages || channel.sensitive {
        return Vec::new();
    }
    let is_message = |json: &Json| {
        json.get("content").is_some()
            && json.get("type").and_then(Json::as_str).is_some_and(|kind| kind != "remove")
    };
    match channel.codec.to_json(value) {
        Ok(Json::Array(items)) => items.into_iter().filter(is_message).collect(),
        Ok(item) if is_message(&item) => vec![item],
        Ok(_) | Err(_) => Vec::new(),
    }
}
