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

/// The id of a message or of a part of one.
pub(crate) fn id(message: &Json) -> Option<&str> {
    message.get("id").and_then(Json::as_str)
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
