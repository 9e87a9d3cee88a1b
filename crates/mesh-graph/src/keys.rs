//! The state of an untyped graph, described by a value: its keys and the rule of each.
//!
//! The same channel table that `#[derive(State)]` makes of a struct; every value in it is JSON.

use std::{collections::BTreeMap, sync::Arc};

use jsonschema::Validator;
use serde_json::{Value as Json, json};

use crate::{
    channel::{Channel, Managed, Rule, Schema},
    error::Mistake,
    names::INTERRUPT,
    reducer::{self, Reduce},
    stored,
    value::{Codec, CodecError, Value},
};

/// The keys of a state whose values are JSON.
///
/// ```
/// use mesh_graph::{Key, Keys};
/// use serde_json::json;
///
/// let keys = Keys::new()
///     .key(Key::new("topic").schema(json!({"type": "string"})))
///     .key(Key::new("sections").append())
///     .key(Key::new("draft").private());
/// ```
///
/// Semantics: LangGraph's state schemas given as `TypedDict`s.
#[derive(Default)]
pub struct Keys {
    keys: Vec<Key>,
    reducers: BTreeMap<String, Arc<dyn Reduce>>,
}

impl Keys {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key. A key that is added twice has to say the same both times; a plain declaration
    /// never overrides a rule.
    pub fn key(mut self, key: Key) -> Self {
        self.keys.push(key);
        self
    }

    /// Gives a reducer the name by which [`Key::reducer`] finds it, before `append`, `merge` and
    /// `add`.
    ///
    /// The function takes the current value and an update and must be pure: a replay calls it
    /// again and must get the same value. Without a default the first write is stored as it is.
    pub fn define<F>(mut self, name: &str, reduce: F) -> Self
    where
        F: Fn(Json, Json) -> Json + Send + Sync + 'static,
    {
        self.reducers.insert(name.to_owned(), reducer::json::function(reduce));
        self
    }

    /// As [`Keys::define`], for a reducer that does more than a function can. Its values have to be
    /// [`Json`] ones.
    pub fn define_reducer(mut self, name: &str, reducer: Arc<dyn Reduce>) -> Self {
        self.reducers.insert(name.to_owned(), reducer);
        self
    }

    /// The channel table, with every mistake in it.
    pub(crate) fn schema(self, mistakes: &mut Vec<Mistake>) -> Schema {
        let mut schema = Schema::new(Vec::new());
        for key in self.keys {
            let name = key.name.to_string();
            match key.channel(&self.reducers) {
                Ok(channel) => {
                    schema.contribute(Schema::new(vec![channel]), mistakes);
                }
                Err(problem) => mistakes.push(Mistake::BadKey { key: name, problem }),
            }
        }
        schema
    }
}

impl FromIterator<Key> for Keys {
    fn from_iter<I: IntoIterator<Item = Key>>(keys: I) -> Self {
        Self { keys: keys.into_iter().collect(), reducers: BTreeMap::new() }
    }
}

/// One key of a state: by default a last value, part of the input and of the output.
#[must_use = "a key belongs into `Keys`"]
pub struct Key {
    name: Arc<str>,
    rule: KeyRule,
    schema: Option<Json>,
    default: Option<Json>,
    input: bool,
    output: bool,
    sensitive: bool,
    messages: bool,
}

enum KeyRule {
    Rule(Rule),
    Named(String),
    Append,
    Merge,
    Add,
    Topic { accumulate: bool },
}

impl Key {
    /// A key that holds the last value written; two writes in one superstep are a conflict.
    pub fn new(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            rule: KeyRule::Rule(Rule::LastValue),
            schema: None,
            default: None,
            input: true,
            output: true,
            sensitive: false,
            messages: false,
        }
    }

    fn with(mut self, rule: KeyRule) -> Self {
        self.rule = rule;
        self
    }

    /// A list that grows by the lists written. Starts empty.
    pub fn append(self) -> Self {
        self.with(KeyRule::Append)
    }

    /// An object into which the objects written are merged. Starts empty.
    pub fn merge(self) -> Self {
        self.with(KeyRule::Merge)
    }

    /// A number to which the numbers written are added. Starts at 0.
    pub fn add(self) -> Self {
        self.with(KeyRule::Add)
    }

    /// Writes are folded by `reduce(current, update) -> new`, a pure function. Without a default
    /// the first write is stored as it is.
    pub fn reduce<F>(self, reduce: F) -> Self
    where
        F: Fn(Json, Json) -> Json + Send + Sync + 'static,
    {
        self.with(KeyRule::Rule(Rule::Reduce(reducer::json::function(reduce))))
    }

    /// Writes are folded by the reducer of this name: `append`, `merge`, `add`, or one that
    /// [`Keys::define`] knows.
    pub fn reducer(self, name: &str) -> Self {
        self.with(KeyRule::Named(name.to_owned()))
    }

    /// A list of what the last superstep wrote: an item, or the items of a list. Absent in the
    /// superstep after one without a write.
    pub fn topic(self) -> Self {
        self.with(KeyRule::Topic { accumulate: false })
    }

    /// A list of everything that was ever written: items, or the items of lists.
    pub fn accumulating_topic(self) -> Self {
        self.with(KeyRule::Topic { accumulate: true })
    }

    /// Keeps the last of any number of writes, until a superstep passes without one.
    pub fn any(self) -> Self {
        self.with(KeyRule::Rule(Rule::AnyValue))
    }

    /// Readable in the next superstep only; one write per superstep.
    pub fn ephemeral(self) -> Self {
        self.with(KeyRule::Rule(Rule::Ephemeral { guarded: true }))
    }

    /// A last value that is never stored: absent when the thread is loaded again.
    pub fn untracked(self) -> Self {
        self.with(KeyRule::Rule(Rule::Untracked { guarded: true }))
    }

    /// Computed for every task and never stored; writes are ignored. It has to be
    /// [private](Key::private).
    pub fn managed(self, what: Managed) -> Self {
        self.with(KeyRule::Rule(Rule::Managed(what)))
    }

    /// Takes any number of writes per superstep, the last of which stays: for ephemeral and
    /// untracked keys, which else take one. Other rules are not changed.
    pub fn unguarded(mut self) -> Self {
        if let KeyRule::Rule(Rule::Ephemeral { guarded } | Rule::Untracked { guarded }) =
            &mut self.rule
        {
            *guarded = false;
        }
        self
    }

    /// Every write has to fit this JSON Schema; of a topic, every item.
    pub fn schema(mut self, schema: Json) -> Self {
        self.schema = Some(schema);
        self
    }

    /// The value before the first write. Only for keys that keep their value.
    pub fn default(mut self, value: Json) -> Self {
        self.default = Some(value);
        self
    }

    /// Part of the input alone.
    pub fn input_only(mut self) -> Self {
        (self.input, self.output) = (true, false);
        self
    }

    /// Part of the output alone.
    pub fn output_only(mut self) -> Self {
        (self.input, self.output) = (false, true);
        self
    }

    /// Part of neither input nor output; nodes, state and the `values` stream show it.
    pub fn private(mut self) -> Self {
        (self.input, self.output) = (false, false);
        self
    }

    /// Keeps the value out of every stream: [`crate::REDACTED`] is shown in its place.
    pub fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// Holds chat messages, one or a list: the `messages` stream shows those that nodes write.
    pub fn of_messages(mut self) -> Self {
        self.messages = true;
        self
    }

    /// The channel it stands for, or what is wrong with it.
    fn channel(self, reducers: &BTreeMap<String, Arc<dyn Reduce>>) -> Result<Channel, String> {
        // A bar marks what the engine itself keeps among the values of a checkpoint.
        if self.name.is_empty() || self.name.starts_with('|') || &*self.name == INTERRUPT {
            return Err("cannot be the name of a key".to_owned());
        }
        let (rule, form) = rule(self.rule, reducers)?;
        let validator = match &self.schema {
            Some(schema) => {
                let validator = jsonschema::validator_for(schema);
                Some(validator.map_err(|error| format!("has no valid JSON Schema: {error}"))?)
            }
            None => None,
        };
        let codec = JsonCodec { form, schema: self.schema, validator };
        let mut initial = match &rule {
            Rule::Reduce(reducer) => reducer.initial(),
            _ => None,
        };
        if let Some(default) = self.default {
            if !matches!(rule, Rule::LastValue | Rule::Reduce(_) | Rule::Untracked { .. }) {
                return Err("has a default, but does not keep its value".to_owned());
            }
            let value = codec.from_json(default);
            initial = Some(value.map_err(|error| format!("has a default that is wrong: {error}"))?);
        }
        let held = matches!(&rule, Rule::Reduce(reducer) if reducer.holds_messages());
        Ok(Channel {
            key: self.name,
            rule,
            codec: Arc::new(codec),
            default: initial.clone().unwrap_or_else(|| Arc::new(Json::Null)),
            initial,
            input: self.input,
            output: self.output,
            sensitive: self.sensitive,
            messages: self.messages || held,
        })
    }
}

/// The rule of a key, and what its values look like.
fn rule(
    rule: KeyRule,
    reducers: &BTreeMap<String, Arc<dyn Reduce>>,
) -> Result<(Rule, Form), String> {
    let append = || -> Arc<dyn Reduce> { Arc::new(reducer::json::Append) };
    Ok(match rule {
        KeyRule::Rule(rule) => (rule, Form::Any),
        KeyRule::Append => (Rule::Reduce(append()), Form::List),
        KeyRule::Merge => (Rule::Reduce(Arc::new(reducer::json::Merge)), Form::Object),
        KeyRule::Add => (Rule::Reduce(Arc::new(reducer::json::Add)), Form::Any),
        KeyRule::Topic { accumulate } => {
            (Rule::Topic { accumulate, append: append() }, Form::Topic)
        }
        KeyRule::Named(name) => match (reducers.get(&name), &*name) {
            (Some(reducer), _) => (Rule::Reduce(Arc::clone(reducer)), Form::Any),
            (None, "append") => return self::rule(KeyRule::Append, reducers),
            (None, "merge") => return self::rule(KeyRule::Merge, reducers),
            (None, "add") => return self::rule(KeyRule::Add, reducers),
            (None, _) => {
                let defined = reducers.keys().map(String::as_str);
                let known: Vec<&str> =
                    ["append", "merge", "add"].into_iter().chain(defined).collect();
                return Err(format!(
                    "names the reducer `{name}`; the reducers are {}",
                    known.join(", ")
                ));
            }
        },
    })
}

/// What the values of a key look like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Any,
    List,
    Object,
    /// A list; a write that is none is a list of one.
    Topic,
}

impl Form {
    fn check(self, json: &Json) -> Result<(), CodecError> {
        let expected = match self {
            Self::List | Self::Topic if !json.is_array() => "a list",
            Self::Object if !json.is_object() => "an object",
            _ => return Ok(()),
        };
        let shown = match json {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "a string",
            Json::Array(_) => "a list",
            Json::Object(_) => "an object",
        };
        Err(CodecError::Mismatch { expected, reason: format!("found {shown}") })
    }
}

/// Values that are JSON already, with what is known of their form.
struct JsonCodec {
    form: Form,
    schema: Option<Json>,
    validator: Option<Validator>,
}

impl JsonCodec {
    fn json(value: &Value) -> Result<&Json, CodecError> {
        value.downcast_ref::<Json>().ok_or_else(|| CodecError::Mismatch {
            expected: JSON,
            reason: "a value of another Rust type".to_owned(),
        })
    }

    /// Checks a value, or every item of a topic.
    fn fits_schema(&self, json: &Json) -> Result<(), CodecError> {
        match (self.form, json) {
            (Form::Topic, Json::Array(items)) => {
                items.iter().try_for_each(|item| self.validate(item))
            }
            (_, json) => self.validate(json),
        }
    }

    fn validate(&self, json: &Json) -> Result<(), CodecError> {
        let Some(validator) = &self.validator else { return Ok(()) };
        validator.validate(json).map_err(|error| CodecError::Mismatch {
            expected: "a value that fits the key's JSON Schema",
            reason: format!("at `{}`: {error}", error.instance_path()),
        })
    }
}

/// The type of all values here, for messages.
const JSON: &str = "a JSON value";

impl Codec for JsonCodec {
    fn type_name(&self) -> &'static str {
        JSON
    }

    fn accepts(&self, value: &Value) -> bool {
        let fits = |json: &Json| self.form.check(json).is_ok() && self.fits_schema(json).is_ok();
        value.downcast_ref::<Json>().is_some_and(fits)
    }

    fn schema(&self) -> Json {
        let own = self.schema.clone();
        match self.form {
            Form::Any => own.unwrap_or_else(|| Json::from(true)),
            Form::List => own.unwrap_or_else(|| json!({"type": "array"})),
            Form::Object => own.unwrap_or_else(|| json!({"type": "object"})),
            Form::Topic => {
                json!({"type": "array", "items": own.unwrap_or_else(|| Json::from(true))})
            }
        }
    }

    fn to_json(&self, value: &Value) -> Result<Json, CodecError> {
        Self::json(value).cloned()
    }

    fn from_json(&self, json: Json) -> Result<Value, CodecError> {
        let json = match (self.form, json) {
            (Form::Topic, item) if !item.is_array() => Json::Array(vec![item]),
            (_, json) => json,
        };
        self.form.check(&json)?;
        self.fits_schema(&json)?;
        Ok(Arc::new(json))
    }

    fn encode(&self, value: &Value) -> Result<Vec<u8>, CodecError> {
        stored::encode(Self::json(value)?)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Value, CodecError> {
        let json = stored::decode::<Json>(bytes)?;
        self.form.check(&json)?;
        Ok(Arc::new(json))
    }
}
