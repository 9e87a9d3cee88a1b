//! Channels: the named slots of state and the rule by which each takes writes.
//!
//! Only state keys are channels here. Edges, joins and sends are kept as what they are (see
//! `checkpoint::Pending`), so a step costs what it changes, not what the graph could do.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value as Json};

use crate::{
    reducer::Reduce,
    value::{Codec, CodecError, Datum, Value, codec},
};

/// The rule by which a channel takes the writes of one superstep.
#[derive(Clone)]
#[non_exhaustive]
pub enum Rule {
    /// Exactly one write; a second one is a conflict.
    LastValue,
    /// Any number of writes, the last in apply order stays; cleared by the next step without one.
    AnyValue,
    /// Readable in the next superstep only. Guarded: at most one write.
    Ephemeral {
        /// Whether a second write in one step is a conflict.
        guarded: bool,
    },
    /// Like the last value, but never stored.
    Untracked {
        /// Whether a second write in one step is a conflict.
        guarded: bool,
    },
    /// Folded by a reducer.
    Reduce(Arc<dyn Reduce>),
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::LastValue => "LastValue",
            Self::AnyValue => "AnyValue",
            Self::Ephemeral { .. } => "Ephemeral",
            Self::Untracked { .. } => "Untracked",
            Self::Reduce(_) => "Reduce",
        })
    }
}

impl Rule {
    /// Whether two plain writes in one superstep are a conflict.
    pub(crate) fn single_writer(&self) -> bool {
        match self {
            Self::LastValue => true,
            Self::Ephemeral { guarded } | Self::Untracked { guarded } => *guarded,
            Self::AnyValue | Self::Reduce(_) => false,
        }
    }

    /// Whether the value goes when a step passes without a write.
    pub(crate) fn clears(&self) -> bool {
        matches!(self, Self::AnyValue | Self::Ephemeral { .. })
    }

    /// Whether the value is part of a checkpoint.
    pub(crate) fn stored(&self) -> bool {
        !matches!(self, Self::Untracked { .. })
    }
}

/// One channel of a schema.
#[derive(Clone)]
pub struct Channel {
    /// The state key.
    pub key: Arc<str>,
    /// How it takes writes.
    pub rule: Rule,
    /// How its values cross borders.
    pub codec: Arc<dyn Codec>,
    /// What a typed view shows before the first write.
    pub default: Value,
    /// Part of the input schema.
    pub input: bool,
    /// Part of the output schema.
    pub output: bool,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel")
            .field("key", &self.key)
            .field("rule", &self.rule)
            .field("type", &self.codec.type_name())
            .finish_non_exhaustive()
    }
}

impl Channel {
    /// A channel of type `T`, in the input and the output schema.
    pub fn new<T: Datum + Default>(key: &str, rule: Rule) -> Self {
        let default = match &rule {
            Rule::Reduce(reducer) => reducer.initial(),
            _ => Arc::new(T::default()),
        };
        Self { key: Arc::from(key), rule, codec: codec::<T>(), default, input: true, output: true }
    }

    /// Says which schemas the key belongs to.
    pub fn visible(mut self, input: bool, output: bool) -> Self {
        self.input = input;
        self.output = output;
        self
    }

    /// The value before the first write, as far as readers by key can see it: reducers start with
    /// their empty value, everything else is absent.
    pub(crate) fn initial(&self) -> Option<Value> {
        match &self.rule {
            Rule::Reduce(reducer) => Some(reducer.initial()),
            _ => None,
        }
    }
}

/// The channel table of a graph.
#[derive(Debug, Clone)]
pub struct Schema {
    channels: Vec<Channel>,
    by_key: HashMap<Arc<str>, usize>,
}

impl Schema {
    /// A table of these channels, in this order. Of two channels with one key the first stays:
    /// a derived schema cannot have two.
    pub fn new(channels: Vec<Channel>) -> Self {
        let mut by_key = HashMap::with_capacity(channels.len());
        for (index, channel) in channels.iter().enumerate() {
            by_key.entry(Arc::clone(&channel.key)).or_insert(index);
        }
        Self { channels, by_key }
    }

    /// All channels in order of declaration.
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// The position of a key.
    pub fn index(&self, key: &str) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn key(&self, index: usize) -> &Arc<str> {
        &self.channels[index].key
    }

    /// The values before the first write.
    pub(crate) fn initial_values(&self) -> Values {
        Values(self.channels.iter().map(Channel::initial).collect())
    }

    /// JSON Schema of the input: an object of the input keys, nothing else allowed.
    pub fn input_schema(&self) -> Json {
        self.object_schema(|channel| channel.input)
    }

    /// JSON Schema of the output: an object of the output keys.
    pub fn output_schema(&self) -> Json {
        self.object_schema(|channel| channel.output)
    }

    fn object_schema(&self, shown: impl Fn(&Channel) -> bool) -> Json {
        let properties: Map<String, Json> = self
            .channels
            .iter()
            .filter(|channel| shown(channel))
            .map(|channel| (channel.key.to_string(), channel.codec.schema()))
            .collect();
        serde_json::json!({
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        })
    }

    /// The JSON object of all available values, optionally of the output keys alone.
    pub(crate) fn to_json(&self, values: &Values, output_only: bool) -> Result<Json, KeyError> {
        let mut object = Map::new();
        for (channel, value) in self.channels.iter().zip(&values.0) {
            if let Some(value) = value
                && (channel.output || !output_only)
            {
                let json = channel
                    .codec
                    .to_json(value)
                    .map_err(|source| KeyError { key: channel.key.to_string(), source })?;
                object.insert(channel.key.to_string(), json);
            }
        }
        Ok(Json::Object(object))
    }
}

/// A value of one key could not cross a border.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key `{key}`")]
pub struct KeyError {
    /// The state key.
    pub key: String,
    /// What was wrong with its value.
    #[source]
    pub source: CodecError,
}

/// The values of all channels at one moment, by channel index. Cloning shares the values.
#[derive(Clone, Default)]
pub struct Values(pub(crate) Vec<Option<Value>>);

impl Values {
    /// The value of a channel, if it has one.
    pub fn get(&self, index: usize) -> Option<&Value> {
        self.0.get(index).and_then(Option::as_ref)
    }
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Values({} of {} set)", self.0.iter().flatten().count(), self.0.len())
    }
}
