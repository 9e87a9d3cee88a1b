//! What of the state a stream shows: the keys that were asked for, and no secret.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use crate::{
    channel::{Channel, Schema, Values},
    error::Error,
    names::INTERRUPT,
    state::Update,
    value::Value,
};

/// What streams show in place of a value whose key is marked `sensitive`.
pub const REDACTED: &str = "[redacted]";

/// The state keys that the `values` and `updates` streams and the result of a run are cut to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputKeys {
    /// One key: its bare value is shown.
    One(String),
    /// These keys: an object with nothing but them.
    Many(Vec<String>),
}

impl From<&str> for OutputKeys {
    fn from(key: &str) -> Self {
        Self::One(key.to_owned())
    }
}

impl<const N: usize> From<[&str; N]> for OutputKeys {
    fn from(keys: [&str; N]) -> Self {
        Self::Many(keys.map(str::to_owned).to_vec())
    }
}

impl From<Vec<String>> for OutputKeys {
    fn from(keys: Vec<String>) -> Self {
        Self::Many(keys)
    }
}

/// [`OutputKeys`] by channel.
#[derive(Debug, Clone, Default)]
pub(crate) enum Shown {
    #[default]
    All,
    One(usize),
    Many(Arc<[usize]>),
}

impl Shown {
    pub(crate) fn of(keys: &OutputKeys, schema: &Schema) -> Result<Self, Error> {
        let find =
            |key: &String| schema.index(key).ok_or_else(|| Error::UnknownOutputKey(key.clone()));
        Ok(match keys {
            OutputKeys::One(key) => Self::One(find(key)?),
            OutputKeys::Many(keys) => Self::Many(keys.iter().map(find).collect::<Result<_, _>>()?),
        })
    }

    pub(crate) fn has(&self, channel: usize) -> bool {
        match self {
            Self::All => true,
            Self::One(only) => *only == channel,
            Self::Many(keys) => keys.contains(&channel),
        }
    }

    /// The state, with `interrupts` (already JSON) under their own key unless there are none.
    pub(crate) fn values(&self, schema: &Schema, values: &Values, interrupts: Vec<Json>) -> Json {
        if let (Self::All, Some(only)) = (self, schema.sole_output()) {
            return Self::One(only).values(schema, values, interrupts);
        }
        let interrupts = (!interrupts.is_empty()).then_some(Json::Array(interrupts));
        if let Self::One(only) = self {
            return match interrupts {
                // A bare value has no room for questions.
                Some(interrupts) => json!({ INTERRUPT: interrupts }),
                None => values.get(*only).map_or(Json::Null, |value| {
                    schema.channels().get(*only).map_or(Json::Null, |channel| show(channel, value))
                }),
            };
        }
        let mut object = Map::new();
        for (index, channel) in schema.channels().iter().enumerate() {
            if let Some(value) = values.get(index)
                && self.has(index)
            {
                object.insert(channel.key.to_string(), show(channel, value));
            }
        }
        if let Some(interrupts) = interrupts {
            object.insert(INTERRUPT.to_owned(), interrupts);
        }
        Json::Object(object)
    }

    /// `update | null | [updates…]` of one task: an object per update that writes a shown key, or
    /// with a single key the bare values.
    pub(crate) fn updates(&self, schema: &Schema, updates: &[Update]) -> Json {
        if let (Self::All, Some(only)) = (self, schema.sole_output()) {
            return Self::One(only).updates(schema, updates);
        }
        let mut shown = Vec::new();
        for update in updates {
            let mut object = Map::new();
            let has = |channel| self.has(channel) && !schema.is_managed(channel);
            for write in update.writes.iter().filter(|write| has(write.channel)) {
                let Some(channel) = schema.channels().get(write.channel) else { continue };
                let value = show(channel, &write.value);
                if matches!(self, Self::One(_)) {
                    shown.push(value);
                } else {
                    object.insert(channel.key.to_string(), value);
                }
            }
            if !object.is_empty() {
                shown.push(Json::Object(object));
            }
        }
        match shown.len() {
            0 => Json::Null,
            1 => shown.swap_remove(0),
            _ => Json::Array(shown),
        }
    }
}

/// All writes of a task by key; several writes to one key as `{"$writes": […]}`.
pub(crate) fn result(schema: &Schema, updates: &[Update]) -> Json {
    let mut by_channel: Vec<(usize, Vec<Json>)> = Vec::new();
    let sole = schema.sole_output();
    for write in updates.iter().flat_map(|update| &update.writes) {
        let Some(channel) = schema.channels().get(write.channel) else { continue };
        if sole.is_some_and(|only| only != write.channel) {
            continue;
        }
        let value = show(channel, &write.value);
        match by_channel.iter_mut().find(|(index, _)| *index == write.channel) {
            Some((_, values)) => values.push(value),
            None => by_channel.push((write.channel, vec![value])),
        }
    }
    let entries = by_channel.into_iter().map(|(index, mut values)| {
        let value = match values.len() {
            1 => values.swap_remove(0),
            _ => json!({ "$writes": values }),
        };
        (schema.key(index).to_string(), value)
    });
    Json::Object(entries.collect())
}

/// A value as readers see it. One that JSON cannot express was refused when its task finished, if
/// anything is stored; without storage it is shown as null rather than ending the run.
fn show(channel: &Channel, value: &Value) -> Json {
    if channel.sensitive {
        return json!(REDACTED);
    }
    channel.codec.to_json(value).unwrap_or_default()
}
