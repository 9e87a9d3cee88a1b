//! Channels: the named slots of state and the rule by which each takes writes.
//!
//! Only state keys are channels here. Edges, joins and sends are kept as what they are (see
//! `checkpoint::Pending`), so a step costs what it changes, not what the graph could do.

mod schema;

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use serde_json::{Map, Value as Json};

use crate::{
    error::Mistake,
    reducer::{self, Reduce},
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
    /// A list of what was written, in apply order: of the last superstep alone, or of all.
    Topic {
        /// Whether the list is kept; otherwise a step without a write clears it.
        accumulate: bool,
        /// Appends lists of items.
        append: Arc<dyn Reduce>,
    },
    /// Computed for every task: never stored, never written, no part of inputs and outputs.
    Managed(Managed),
}

/// What a managed key shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Managed {
    /// Supersteps that the invocation may still run, this one included; counts down to 1.
    RemainingSteps,
    /// Whether this is the last superstep before the recursion limit.
    IsLastStep,
}

impl Managed {
    fn json(self, remaining_steps: u32) -> Json {
        match self {
            Self::RemainingSteps => Json::from(remaining_steps),
            Self::IsLastStep => Json::from(remaining_steps == 1),
        }
    }
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::LastValue => "LastValue",
            Self::AnyValue => "AnyValue",
            Self::Ephemeral { .. } => "Ephemeral",
            Self::Untracked { .. } => "Untracked",
            Self::Reduce(_) => "Reduce",
            Self::Topic { .. } => "Topic",
            Self::Managed(_) => "Managed",
        })
    }
}

impl Rule {
    /// Its name for people: that of the reducer, where there is one.
    pub fn name(&self) -> &'static str {
        match self {
            Self::LastValue => "last_value",
            Self::AnyValue => "any_value",
            Self::Ephemeral { .. } => "ephemeral",
            Self::Untracked { .. } => "untracked",
            Self::Reduce(reducer) => reducer.name(),
            Self::Topic { .. } => "topic",
            Self::Managed(_) => "managed",
        }
    }

    /// Whether two plain writes in one superstep are a conflict.
    pub(crate) fn single_writer(&self) -> bool {
        match self {
            Self::LastValue => true,
            Self::Ephemeral { guarded } | Self::Untracked { guarded } => *guarded,
            Self::AnyValue | Self::Reduce(_) | Self::Topic { .. } | Self::Managed(_) => false,
        }
    }

    /// Whether the value goes when a step passes without a write.
    pub(crate) fn clears(&self) -> bool {
        matches!(
            self,
            Self::AnyValue | Self::Ephemeral { .. } | Self::Topic { accumulate: false, .. }
        )
    }

    /// Whether the value is part of a checkpoint.
    pub(crate) fn stored(&self) -> bool {
        !matches!(self, Self::Untracked { .. } | Self::Managed(_))
    }

    /// The reducer, if writes are folded.
    pub(crate) fn reducer(&self) -> Option<&Arc<dyn Reduce>> {
        match self {
            Self::Reduce(reducer) | Self::Topic { append: reducer, .. } => Some(reducer),
            _ => None,
        }
    }

    /// Whether folding forgets what was there before the superstep.
    pub(crate) fn starts_over(&self) -> bool {
        matches!(self, Self::Topic { accumulate: false, .. })
    }

    /// Whether the key was declared with nothing said about its rule.
    fn plain(&self) -> bool {
        matches!(self, Self::LastValue)
    }

    /// Whether two declarations of a key say the same.
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::LastValue, Self::LastValue) | (Self::AnyValue, Self::AnyValue) => true,
            (Self::Ephemeral { guarded: a }, Self::Ephemeral { guarded: b })
            | (Self::Untracked { guarded: a }, Self::Untracked { guarded: b })
            | (Self::Topic { accumulate: a, .. }, Self::Topic { accumulate: b, .. }) => a == b,
            (Self::Reduce(a), Self::Reduce(b)) => reducer::same(a, b),
            (Self::Managed(a), Self::Managed(b)) => a == b,
            _ => false,
        }
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
    /// The value before the first write, as readers by key see it; none is an absent key.
    pub(crate) initial: Option<Value>,
    /// Part of the input schema.
    pub input: bool,
    /// Part of the output schema.
    pub output: bool,
    /// Shown to nobody but nodes and storage: streams show [`crate::REDACTED`] in its place.
    pub sensitive: bool,
    /// Holds chat messages, one or a list, whose JSON form has `type`, `content` and `id`: the
    /// `messages` stream shows those that nodes write to it.
    pub messages: bool,
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
        let initial = match &rule {
            Rule::Reduce(reducer) => reducer.initial(),
            _ => None,
        };
        let default = initial.clone().unwrap_or_else(|| Arc::new(T::default()));
        let codec = codec::<T>();
        let messages = matches!(&rule, Rule::Reduce(reducer) if reducer.holds_messages());
        Self {
            key: Arc::from(key),
            rule,
            codec,
            default,
            initial,
            input: true,
            output: true,
            sensitive: false,
            messages,
        }
    }

    /// Keeps the value out of every stream: [`crate::REDACTED`] is shown in its place. Storage,
    /// the state interface and the result of the run have it as it is.
    pub fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// Says that the channel holds chat messages; see [`Channel::messages`]. A reducer can say so
    /// for all its channels.
    pub fn of_messages(mut self) -> Self {
        self.messages = true;
        self
    }

    /// Says which schemas the key belongs to.
    pub fn visible(mut self, input: bool, output: bool) -> Self {
        self.input = input;
        self.output = output;
        self
    }
}

/// A key of the state and how it takes writes, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRule {
    /// The state key.
    pub key: Arc<str>,
    /// `last_value`, `any_value`, `ephemeral`, `topic`, or the name of its reducer.
    pub rule: &'static str,
}

/// The channels that a step without a write clears.
fn passing(channels: &[Channel]) -> Vec<usize> {
    let clears = |index: &usize| channels[*index].rule.clears();
    (0..channels.len()).filter(clears).collect()
}

/// The channel table of a graph.
#[derive(Debug, Clone)]
pub struct Schema {
    channels: Vec<Channel>,
    by_key: HashMap<Arc<str>, usize>,
    managed: bool,
    messages: bool,
    /// The channels whose values go when a step passes without a write.
    passing: Vec<usize>,
    /// Set when the input and the output are a single value each: the positions of their keys.
    single: Option<(usize, usize)>,
}

impl Schema {
    /// A table whose input and output are single values, shown without their keys.
    pub(crate) fn single(channels: Vec<Channel>, input: usize, output: usize) -> Self {
        Self { single: Some((input, output)), ..Self::new(channels) }
    }

    /// The only input key, whose bare value is the input.
    pub(crate) fn sole_input(&self) -> Option<usize> {
        self.single.map(|(input, _)| input)
    }

    /// The only output key, whose bare value is the output.
    pub(crate) fn sole_output(&self) -> Option<usize> {
        self.single.map(|(_, output)| output)
    }

    /// A table of these channels, in this order. Of two channels with one key the first stays:
    /// a derived schema cannot have two.
    pub fn new(channels: Vec<Channel>) -> Self {
        let mut by_key = HashMap::with_capacity(channels.len());
        for (index, channel) in channels.iter().enumerate() {
            by_key.entry(Arc::clone(&channel.key)).or_insert(index);
        }
        let managed = channels.iter().any(|channel| matches!(channel.rule, Rule::Managed(_)));
        let messages = channels.iter().any(|channel| channel.messages);
        let passing = passing(&channels);
        Self { channels, by_key, managed, messages, passing, single: None }
    }

    /// Adds the keys of another schema and returns where they are. A key that is there already
    /// has to be of the same type; of its two rules a plain one gives way to the other.
    pub(crate) fn contribute(&mut self, other: Self, mistakes: &mut Vec<Mistake>) -> Arc<[usize]> {
        if self.channels.is_empty() {
            self.single = other.single;
        }
        let place = |channel: Channel| {
            let Some(index) = self.index(&channel.key) else {
                self.managed |= matches!(channel.rule, Rule::Managed(_));
                self.messages |= channel.messages;
                self.by_key.insert(Arc::clone(&channel.key), self.channels.len());
                self.channels.push(channel);
                return self.channels.len() - 1;
            };
            self.messages |= channel.messages;
            let known = &mut self.channels[index];
            known.sensitive |= channel.sensitive;
            known.messages |= channel.messages;
            let types = (known.codec.type_name(), channel.codec.type_name());
            let conflict = if types.0 != types.1 {
                Some(format!("the type {} and the type {}", types.0, types.1))
            } else if channel.rule.plain() || known.rule.same(&channel.rule) {
                None
            } else if known.rule.plain() {
                self.managed |= matches!(channel.rule, Rule::Managed(_));
                let (input, output) = (known.input, known.output);
                let (sensitive, messages) = (known.sensitive, known.messages);
                *known = Channel { input, output, sensitive, messages, ..channel };
                return index;
            } else {
                Some(format!(
                    "two rules, {:?} and {:?}, or two functions",
                    known.rule, channel.rule
                ))
            };
            if let Some(problem) = conflict {
                mistakes.push(Mistake::ChannelConflict { key: channel.key.to_string(), problem });
            } else {
                known.input |= channel.input;
                known.output |= channel.output;
            }
            index
        };
        let places = other.channels.into_iter().map(place).collect();
        self.passing = passing(&self.channels);
        places
    }

    /// The channels whose values go when a step passes without a write.
    pub(crate) fn passing(&self) -> &[usize] {
        &self.passing
    }

    /// The same keys, none of them part of inputs and outputs.
    pub(crate) fn private(mut self) -> Self {
        for channel in &mut self.channels {
            (channel.input, channel.output) = (false, false);
        }
        self
    }

    /// A JSON argument without the keys that are never stored.
    pub(crate) fn tracked<'a>(&self, arg: &'a Json) -> Cow<'a, Json> {
        let Json::Object(object) = arg else { return Cow::Borrowed(arg) };
        let stored =
            |key: &str| self.index(key).is_none_or(|index| self.channels[index].rule.stored());
        if object.keys().all(|key| stored(key)) {
            return Cow::Borrowed(arg);
        }
        let kept = object.iter().filter(|(key, _)| stored(key));
        Cow::Owned(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// Whether `key` may be part of an input.
    pub(crate) fn is_input(&self, key: &str) -> bool {
        self.index(key).is_some_and(|index| self.channels[index].input)
    }

    /// Whether any channel holds chat messages.
    pub(crate) fn has_messages(&self) -> bool {
        self.messages
    }

    /// Whether the key at `index` is computed for each task; writes to it are ignored.
    pub(crate) fn is_managed(&self, index: usize) -> bool {
        matches!(self.channels[index].rule, Rule::Managed(_))
    }

    /// Reports managed keys in the input or the output.
    pub(crate) fn check(&self, mistakes: &mut Vec<Mistake>) {
        for channel in &self.channels {
            if matches!(channel.rule, Rule::Managed(_)) && (channel.input || channel.output) {
                mistakes.push(Mistake::ManagedKeyVisible { key: channel.key.to_string() });
            }
        }
    }

    /// The values with the managed keys of a task filled in, if the schema has any.
    pub(crate) fn managed(&self, values: &Values, remaining_steps: u32) -> Option<Values> {
        if !self.managed {
            return None;
        }
        let mut values = values.clone();
        for (channel, slot) in self.channels.iter().zip(&mut values.0) {
            if let Rule::Managed(managed) = channel.rule {
                *slot = channel.codec.from_json(managed.json(remaining_steps)).ok();
            }
        }
        Some(values)
    }

    /// All channels in order of declaration.
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    pub(crate) fn channels_mut(&mut self) -> &mut [Channel] {
        &mut self.channels
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
        Values(self.channels.iter().map(|channel| channel.initial.clone()).collect())
    }

    /// The keys that a checkpoint has, with their rules.
    pub(crate) fn rules(&self) -> Vec<ChannelRule> {
        let stored = self.channels.iter().filter(|channel| channel.rule.stored());
        let shown = |channel: &Channel| ChannelRule {
            key: Arc::clone(&channel.key),
            rule: channel.rule.name(),
        };
        stored.map(shown).collect()
    }

    /// JSON Schema of the input: an object of the input keys, nothing else allowed.
    pub fn input_schema(&self) -> Json {
        match self.sole_input() {
            Some(only) => self.channels[only].codec.schema(),
            None => self.object_schema(|channel| channel.input),
        }
    }

    /// JSON Schema of the output: an object of the output keys.
    pub fn output_schema(&self) -> Json {
        match self.sole_output() {
            Some(only) => self.channels[only].codec.schema(),
            None => self.object_schema(|channel| channel.output),
        }
    }

    /// JSON Schema of the state: an object of all keys that a checkpoint has. Those that hold chat
    /// messages say so, in the words of LangGraph's clients: `"langgraph_type": "messages"`.
    pub fn state_schema(&self) -> Json {
        self.object_schema(|channel| channel.rule.stored())
    }

    fn object_schema(&self, shown: impl Fn(&Channel) -> bool) -> Json {
        schema::object(self.channels.iter().filter(|channel| shown(channel)).map(|channel| {
            let mut schema = channel.codec.schema();
            if channel.messages
                && let Json::Object(members) = &mut schema
            {
                members.insert("langgraph_type".to_owned(), "messages".into());
            }
            (channel.key.to_string(), schema)
        }))
    }

    /// The JSON object of the available values of the keys that are `shown`.
    pub(crate) fn to_json(
        &self,
        values: &Values,
        shown: impl Fn(usize, &Channel) -> bool,
    ) -> Result<Json, KeyError> {
        let mut object = Map::new();
        for (index, (channel, value)) in self.channels.iter().zip(&values.0).enumerate() {
            if let Some(value) = value
                && shown(index, channel)
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
