//! Typed state: what `#[derive(State)]` stands for.
//!
//! A state struct names the channels of a graph, one per field. Nodes read a [`View`] of it and
//! return an update; nobody ever changes a state in place.

use std::{any::TypeId, fmt, marker::PhantomData, ops::Deref, sync::Arc};

use serde_json::{Map, Value as Json};
use smallvec::SmallVec;

use crate::{
    channel::{Channel, KeyError, Schema, Values},
    error::Failure,
    reducer,
    value::Value,
};

/// A typed state: a channel table, a view of it, and an update of it.
///
/// Derive it: `#[derive(State)]` on a struct with named fields. Field attributes, at most one rule
/// each: none (last value), `append`, `add`, `merge`, `reducer = path` (a function of two values), `rule =
/// path` (a function that gives the channel's rule), `topic`, `topic(accumulate)`, `any`,
/// `ephemeral`, `untracked`, `remaining_steps`, `is_last_step`; `input`, `output` to narrow the graph's input and
/// output to the marked keys; `sensitive` to keep a key out of every
/// stream; and `messages` to say that a key holds chat messages.
///
/// On the struct, `#[state(version = 2, migrate = path)]` counts its shapes: what an older version
/// stored is passed through the [`crate::Migrate`] function when it is loaded.
///
/// ```
/// # use mesh_graph::State;
/// # use serde_json::{Value, json};
/// #[derive(State)]
/// #[state(version = 2, migrate = to_current)]
/// struct Order {
///     cents: i64, // version 1 had whole euros
/// }
///
/// fn to_current(
///     from: u32,
///     key: &str,
///     value: Value,
/// ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
///     Ok(match (from, key) {
///         (1, "cents") => json!(value.as_i64().ok_or("expected a number")? * 100),
///         _ => value,
///     })
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a graph state",
    label = "put `#[derive(State)]` on it",
    note = "a state is a struct with named fields; each field becomes a channel"
)]
pub trait State: Sized + Send + Sync + 'static {
    /// What nodes read: one shared field per channel.
    type View: Send + Sync + 'static;
    /// What nodes return: a list of writes with a method per field.
    type Update: From<Update> + Into<Update> + Default + Send + 'static;

    /// The channel table, in order of the fields.
    fn schema() -> Schema;
    /// The view of `values`, which belong to a schema made by [`State::schema`].
    fn view(reader: &Reader<'_>) -> Self::View;
    /// An empty update.
    fn update() -> Self::Update {
        Self::Update::default()
    }
}

/// A state whose keys are keys of the state `S` as well: what some of its nodes read or write.
///
/// A state is a part of itself. Another struct becomes one by
/// `#[derive(State)] #[state(part_of = S)]`: a node of a graph over `S` may take a [`View`] of it
/// and return its update. Keys that `S` does not have are added to the graph; they are private,
/// neither input nor output. A key that `S` has must have the same type; its rule is the one that
/// says more than "last value", wherever it stands.
///
/// Semantics: LangGraph's input schemas of nodes, and its private state.
///
/// ```
/// # use mesh_graph::{Ctx, Graph, NodeResult, State, View};
/// # #[derive(State)] struct Blog { topic: String }
/// #[derive(State)]
/// #[state(part_of = Blog)]
/// struct Research {
///     topic: String,
///     sources: Vec<String>, // private: `Blog` does not have it
/// }
///
/// async fn search(state: View<Research>, _: Ctx) -> NodeResult<ResearchUpdate> {
///     Ok(Research::update().sources(vec![format!("a book on {}", *state.topic)]))
/// }
///
/// # let mut graph = Graph::<Blog>::new("blog");
/// graph.node("search", search);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no part of the state `{S}`",
    label = "a node over `{S}` reads a view of `{S}` or of a part of it",
    note = "to make it a part, put `#[state(part_of = {S})]` on the struct, below `#[derive(State)]`"
)]
pub trait Part<S: State>: State {}

/// Read access to a snapshot by channel index, for derived views.
pub struct Reader<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) values: &'a Values,
    /// Where the fields of a part are in the schema.
    pub(crate) positions: Option<&'a [usize]>,
}

impl Reader<'_> {
    /// The value of the channel at `index`, or its default when it was never written.
    pub fn field<T: Default + Send + Sync + 'static>(&self, index: usize) -> Shared<T> {
        let index = self.positions.map_or(index, |positions| positions[index]);
        let channel = &self.schema.channels()[index];
        let value = self.values.get(index).unwrap_or(&channel.default);
        // Writes are checked by type where they enter, so the cast only fails for a view of
        // another schema; its default is then the least surprising answer.
        debug_assert!(value.is::<T>(), "channel `{}` holds another type", channel.key);
        Shared(Arc::clone(value).downcast::<T>().unwrap_or_default())
    }

    /// The value of the channel at `index`, if it was ever written.
    pub(crate) fn written<T: Send + Sync + 'static>(&self, index: usize) -> Option<Arc<T>> {
        Arc::clone(self.values.get(index)?).downcast::<T>().ok()
    }
}

/// A field of a view: reads like `&T` and cannot be changed.
///
/// It has no `Clone` of its own, so `view.field.clone()` clones the value.
pub struct Shared<T>(Arc<T>);

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: PartialEq<U>, U> PartialEq<U> for Shared<T> {
    fn eq(&self, other: &U) -> bool {
        *self.0 == *other
    }
}

impl<T> Shared<T> {
    /// The value behind its reference count, to keep it without copying.
    pub fn share(&self) -> Arc<T> {
        Arc::clone(&self.0)
    }
}

/// An immutable view of a state, as all tasks of one superstep see it.
pub struct View<S: State> {
    fields: S::View,
    state: PhantomData<fn() -> S>,
}

impl<S: State> View<S> {
    pub(crate) fn new(schema: &Schema, values: &Values) -> Self {
        Self::at(schema, values, None)
    }

    /// A view of a part, whose fields are at `positions` of the schema.
    pub(crate) fn at(schema: &Schema, values: &Values, positions: Option<&[usize]>) -> Self {
        Self { fields: S::view(&Reader { schema, values, positions }), state: PhantomData }
    }
}

impl<S: State> Deref for View<S> {
    type Target = S::View;
    fn deref(&self) -> &S::View {
        &self.fields
    }
}

impl<S: State> fmt::Debug for View<S>
where
    S::View: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields.fmt(f)
    }
}

/// One write of an update.
#[derive(Clone)]
pub(crate) struct Write {
    pub(crate) channel: usize,
    /// Replace the value instead of reducing into it.
    pub(crate) overwrite: bool,
    pub(crate) value: Value,
}

/// A list of writes in field order of the calls that made it.
///
/// A write of another Rust type than the channel's is refused when its task finishes; that the
/// type can be kept at all is asked once, where the channel is made.
///
/// Users meet it through the update type of their state; see [`State::update`].
#[derive(Clone, Default)]
pub struct Update {
    pub(crate) writes: SmallVec<[Write; 2]>,
    /// The part of the state that the indices count in; the state itself by default.
    pub(crate) part: Option<&'static PartTable>,
}

/// A part of a state, without its type.
pub(crate) struct PartTable {
    pub(crate) id: fn() -> TypeId,
    pub(crate) schema: fn() -> Schema,
}

struct TableOf<P>(PhantomData<P>);

impl<P: State> TableOf<P> {
    const TABLE: PartTable = PartTable { id: TypeId::of::<P>, schema: P::schema };
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Update({} writes)", self.writes.len())
    }
}

impl Update {
    /// An empty update of a part of some state: its indices are those of `P`.
    pub fn of_part<P: State>() -> Self {
        Self { writes: SmallVec::new(), part: Some(&TableOf::<P>::TABLE) }
    }

    /// Adds a write to the channel at `index`: the channel's rule decides what becomes of it.
    pub fn write<T: Send + Sync + 'static>(&mut self, index: usize, value: T) {
        self.writes.push(Write { channel: index, overwrite: false, value: Arc::new(value) });
    }

    /// Adds a write that replaces the channel's value and drops other writes of the step to it.
    pub fn overwrite<T: Send + Sync + 'static>(&mut self, index: usize, value: T) {
        self.writes.push(Write { channel: index, overwrite: true, value: Arc::new(value) });
    }

    /// Adds items to the list written last to the channel at `index`, or starts one.
    pub fn extend<T: Send + Sync + 'static>(
        &mut self,
        index: usize,
        items: impl IntoIterator<Item = T>,
    ) {
        if let Some(last) = self.writes.last_mut()
            && last.channel == index
            && !last.overwrite
            && let Some(list) =
                Arc::get_mut(&mut last.value).and_then(|v| v.downcast_mut::<Vec<T>>())
        {
            list.extend(items);
            return;
        }
        self.write(index, items.into_iter().collect::<Vec<T>>());
    }

    /// Whether it writes nothing.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The update that a JSON input makes: an object of input keys, or the bare value of the only
    /// one.
    ///
    /// # Errors
    /// As [`Update::from_json`].
    pub(crate) fn from_input(schema: &Schema, json: Json) -> Result<Self, Failure> {
        let Some(only) = schema.sole_input() else {
            return Self::from_json(schema, json, |channel| channel.input);
        };
        let channel = &schema.channels()[only];
        let value = channel
            .codec
            .from_json(json)
            .map_err(|source| Failure::bad_value(&channel.key, &source))?;
        let mut update = Self::default();
        update.writes.push(Write { channel: only, overwrite: false, value });
        Ok(update)
    }

    /// The update of a JSON object. `{"__overwrite__": v}` and
    /// `{"type": "__overwrite__", "value": v}` replace instead of reducing.
    ///
    /// # Errors
    /// [`Failure`] of kind `InvalidUpdate` when `json` is no object, `UnknownKey` for a key outside
    /// the schema, `BadValue` for a value of another type. A managed key is ignored.
    pub(crate) fn from_json(
        schema: &Schema,
        json: Json,
        allowed: impl Fn(&Channel) -> bool,
    ) -> Result<Self, Failure> {
        let Json::Object(object) = json else {
            return Err(Failure::invalid_update("expected an object of state keys"));
        };
        let mut update = Self::default();
        for (key, value) in object {
            let found = schema.index(&key);
            if found.is_some_and(|index| schema.is_managed(index)) {
                continue;
            }
            let found = found.filter(|index| allowed(&schema.channels()[*index]));
            let Some(index) = found else {
                return Err(Failure::unknown_key(&key, schema));
            };
            let (value, overwrite) = unwrap_overwrite(value);
            let value = schema.channels()[index]
                .codec
                .from_json(value)
                .map_err(|source| Failure::bad_value(&key, &source))?;
            update.writes.push(Write { channel: index, overwrite, value });
        }
        Ok(update)
    }

    /// The update of a command: an object of state keys, or a list of `[key, value]` pairs, by
    /// which a key can be written several times.
    ///
    /// # Errors
    /// As [`Update::from_json`].
    pub(crate) fn of_command(schema: &Schema, json: Json) -> Result<Self, Failure> {
        let Json::Array(pairs) = json else { return Self::from_json(schema, json, |_| true) };
        let mut update = Self::default();
        for pair in pairs {
            let pair = match pair {
                Json::Array(pair) => <[Json; 2]>::try_from(pair).ok(),
                _ => None,
            };
            let Some([Json::String(key), value]) = pair else {
                return Err(Failure::invalid_update("expected a list of [key, value] pairs"));
            };
            let object = Json::Object(Map::from_iter([(key, value)]));
            update.writes.extend(Self::from_json(schema, object, |_| true)?.writes);
        }
        Ok(update)
    }

    /// The update of a change from outside: an object of state keys, or a list of such objects and
    /// `[key, value]` pairs.
    ///
    /// # Errors
    /// As [`Update::from_json`].
    pub(crate) fn of_patch(schema: &Schema, json: Json) -> Result<Self, Failure> {
        let Json::Array(parts) = json else { return Self::from_json(schema, json, |_| true) };
        let mut update = Self::default();
        for part in parts {
            let part = match part {
                Json::Object(_) => Self::from_json(schema, part, |_| true)?,
                pair => Self::of_command(schema, Json::Array(vec![pair]))?,
            };
            update.writes.extend(part.writes);
        }
        Ok(update)
    }

    /// The JSON object of the writes: what the `updates` stream shows. Several writes to one key
    /// show the last one.
    pub(crate) fn to_json(&self, schema: &Schema) -> Result<Json, KeyError> {
        let mut object = Map::new();
        for write in &self.writes {
            let channel = &schema.channels()[write.channel];
            let json = channel
                .codec
                .to_json(&write.value)
                .map_err(|source| KeyError { key: channel.key.to_string(), source })?;
            object.insert(channel.key.to_string(), json);
        }
        Ok(Json::Object(object))
    }

    /// The values a node sees when this update is its argument: nothing but these keys.
    ///
    /// # Errors
    /// [`Failure`] when a key is written twice and its reducer fails.
    pub(crate) fn into_values(self, schema: &Schema) -> Result<Values, Failure> {
        let mut values = Values(vec![None; schema.channels().len()]);
        for write in self.writes {
            let slot = &mut values.0[write.channel];
            let channel = &schema.channels()[write.channel];
            *slot = match (channel.rule.reducer(), slot.take()) {
                (Some(reducer), Some(current)) if !write.overwrite => {
                    let folded = reducer::fold(&**reducer, Some(current), vec![write.value]);
                    Some(folded.map_err(|error| Failure::reducer(&channel.key, &error))?)
                }
                _ => Some(write.value),
            };
        }
        Ok(values)
    }
}

/// Unwraps both JSON forms of an overwrite.
fn unwrap_overwrite(json: Json) -> (Json, bool) {
    const MARK: &str = "__overwrite__";
    match json {
        Json::Object(mut object) if object.len() == 1 && object.contains_key(MARK) => {
            (object.remove(MARK).unwrap_or_default(), true)
        }
        Json::Object(mut object)
            if object.len() == 2
                && object.get("type").and_then(Json::as_str) == Some(MARK)
                && object.contains_key("value") =>
        {
            (object.remove("value").unwrap_or_default(), true)
        }
        other => (other, false),
    }
}
