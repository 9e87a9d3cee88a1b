//! A conversation as a graph keeps it, and how updates are added to it.
//!
//! The list is also its own update: what a node returns is a short list that may replace messages
//! by id and remove others. Adding is pure; ids come from the caller.
//! Semantics: LangGraph's `add_messages`.

mod runs;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::{Message, MessageError};
use runs::Runs;

/// In place of an id, removes every message before it.
pub const REMOVE_ALL: &str = "__remove_all__";

/// A list of messages: the conversation so far, or an update of it.
///
/// Cloning shares the messages, and appending to a clone costs what is appended (amortised, times
/// the logarithm of the length), so every superstep and every checkpoint can hold its own version.
///
/// ```
/// use mesh_model::{Message, Messages};
///
/// let mut talk = Messages::from(Message::user("Hello").with_id("1"));
/// let edited = Messages::from(Message::user("Hello?").with_id("1")).and(Message::assistant("Yes?"));
/// talk.add(edited)?;
/// assert_eq!(talk.iter().map(|message| message.text()).collect::<Vec<_>>(), ["Hello?", "Yes?"]);
/// # Ok::<(), mesh_model::AddError>(())
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Messages {
    entries: Runs,
}

/// One entry of a list. A conversation holds messages only; removals are for updates.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    Message(Arc<Message>),
    Remove(Arc<str>),
    RemoveAll,
}

impl Entry {
    fn id(&self) -> Option<&str> {
        match self {
            Self::Message(message) => message.id.as_deref(),
            Self::Remove(_) | Self::RemoveAll => None,
        }
    }

    fn shared(&self) -> Option<Arc<Message>> {
        match self {
            Self::Message(message) => Some(Arc::clone(message)),
            Self::Remove(_) | Self::RemoveAll => None,
        }
    }

    fn message(&self) -> Option<&Message> {
        match self {
            Self::Message(message) => Some(message),
            Self::Remove(_) | Self::RemoveAll => None,
        }
    }
}

/// An update cannot be added to a conversation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// A removal names a message that is not there.
    #[error("there is no message `{id}` to remove")]
    UnknownId {
        /// The id as given.
        id: String,
    },
}

/// A value is not a list of messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessagesError {
    /// An entry is not a message.
    #[error("messages[{index}]: {source}")]
    BadMessage {
        /// Its position, from 0; 0 for a single message.
        index: usize,
        /// What is wrong with it.
        source: MessageError,
    },
    /// A removal does not say what to remove.
    #[error("messages[{index}]: expected the id of the message to remove, a text")]
    RemovesNothing {
        /// Its position, from 0.
        index: usize,
    },
}

impl Messages {
    /// No messages.
    pub fn new() -> Self {
        Self::default()
    }

    /// An update that drops everything said before it.
    pub fn cleared() -> Self {
        Self::new().with(Entry::RemoveAll)
    }

    /// The same list with another message, or several, at its end.
    pub fn and(mut self, messages: impl Into<Self>) -> Self {
        for entry in messages.into().entries.into_entries() {
            self.entries.push(entry);
        }
        self
    }

    /// The same update, which also removes the message with this id.
    pub fn and_remove(self, id: impl AsRef<str>) -> Self {
        match id.as_ref() {
            REMOVE_ALL => self.with(Entry::RemoveAll),
            id => self.with(Entry::Remove(Arc::from(id))),
        }
    }

    fn with(mut self, entry: Entry) -> Self {
        self.entries.push(entry);
        self
    }

    /// The messages, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.entries.iter().filter_map(Entry::message)
    }

    /// The newest message.
    pub fn last(&self) -> Option<&Message> {
        self.iter().next_back()
    }

    /// The message with this id.
    pub fn get(&self, id: &str) -> Option<&Message> {
        self.entries.find(id).and_then(|place| self.entries.at(place)).and_then(Entry::message)
    }

    /// Number of entries; removals of an update count as well.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// The messages as a request takes them: shared, not copied.
    pub fn to_vec(&self) -> Vec<Arc<Message>> {
        self.entries.iter().filter_map(Entry::shared).collect()
    }

    /// Gives every message without an id one, in order. To be called once per update, before it is
    /// stored: what is stored has the ids that everybody sees from then on.
    pub fn identify(&mut self, mut new_id: impl FnMut() -> String) {
        let nameless = |entry: &Entry| matches!(entry, Entry::Message(m) if m.id.is_none());
        if !self.entries.iter().any(nameless) {
            return;
        }
        let entries = std::mem::take(&mut self.entries).into_entries();
        self.entries = entries
            .into_iter()
            .map(|entry| match entry {
                Entry::Message(mut message) if message.id.is_none() => {
                    Arc::make_mut(&mut message).id = Some(new_id());
                    Entry::Message(message)
                }
                other => other,
            })
            .collect();
    }

    /// Adds an update: a message with a known id takes the place of the one there, a new one is
    /// appended; removals take effect when the whole update is in, unless a later entry of it
    /// brings the message back. What stands before the last "remove all" is dropped.
    ///
    /// Adding several updates one after the other gives the same list however they are grouped.
    ///
    /// # Errors
    /// [`AddError::UnknownId`]; the list is then as it was.
    pub fn add(&mut self, update: Self) -> Result<(), AddError> {
        let mut entries = update.entries.into_entries();
        let cleared = entries.iter().rposition(|entry| matches!(entry, Entry::RemoveAll));
        if let Some(last) = cleared {
            entries.drain(..=last);
        }
        self.check_removals(&entries, cleared.is_some())?;
        if cleared.is_some() {
            self.entries = Runs::default();
        }
        let mut removed: HashSet<Arc<str>> = HashSet::new();
        for entry in entries {
            if let Entry::Remove(id) = entry {
                removed.insert(id);
                continue;
            }
            match entry.id().and_then(|id| self.entries.find(id)) {
                Some(place) => {
                    if let (false, Some(id)) = (removed.is_empty(), entry.id()) {
                        removed.remove(id);
                    }
                    self.entries.replace(place, entry);
                }
                None => self.entries.push(entry),
            }
        }
        if !removed.is_empty() {
            let entries = std::mem::take(&mut self.entries).into_entries();
            let stays = |entry: &Entry| entry.id().is_none_or(|id| !removed.contains(id));
            self.entries = entries.into_iter().filter(stays).collect();
        }
        Ok(())
    }

    /// Finds a removal of something that is neither in the list nor earlier in the update.
    fn check_removals(&self, update: &[Entry], cleared: bool) -> Result<(), AddError> {
        for (position, entry) in update.iter().enumerate() {
            let Entry::Remove(id) = entry else { continue };
            let here = !cleared && self.entries.find(id).is_some();
            if !here && !update[..position].iter().any(|earlier| earlier.id() == Some(&**id)) {
                return Err(AddError::UnknownId { id: id.to_string() });
            }
        }
        Ok(())
    }

    /// Reads one message or a list of them, in any form that [`Message::from_wire`] reads; a list
    /// may also hold removals, `{"type": "remove", "id": …}`. A list of two texts is two messages:
    /// a `[role, content]` pair stands inside a list.
    ///
    /// # Errors
    /// [`MessagesError`] names the entry and what was expected.
    pub fn from_wire(wire: Value) -> Result<Self, MessagesError> {
        let list = match wire {
            Value::Array(list) => list,
            single => vec![single],
        };
        let entries = list.into_iter().enumerate().map(|(index, wire)| entry(index, wire));
        Ok(Self { entries: entries.collect::<Result<_, _>>()? })
    }
}

fn entry(index: usize, wire: Value) -> Result<Entry, MessagesError> {
    if wire.get("type").and_then(Value::as_str) == Some("remove") {
        return match wire.get("id").and_then(Value::as_str) {
            Some(REMOVE_ALL) => Ok(Entry::RemoveAll),
            Some(id) => Ok(Entry::Remove(Arc::from(id))),
            None => Err(MessagesError::RemovesNothing { index }),
        };
    }
    match Message::from_wire(wire) {
        Ok(message) => Ok(Entry::Message(Arc::new(message))),
        Err(source) => Err(MessagesError::BadMessage { index, source }),
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter()).finish()
    }
}

impl From<Message> for Messages {
    fn from(message: Message) -> Self {
        Self::new().with(Entry::Message(Arc::new(message)))
    }
}

impl From<Vec<Message>> for Messages {
    fn from(messages: Vec<Message>) -> Self {
        messages.into_iter().collect()
    }
}

impl FromIterator<Message> for Messages {
    fn from_iter<I: IntoIterator<Item = Message>>(messages: I) -> Self {
        let entries = messages.into_iter().map(|message| Entry::Message(Arc::new(message)));
        Self { entries: entries.collect() }
    }
}

impl Serialize for Messages {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let remove = |id: &str| json!({ "type": "remove", "content": "", "id": id });
        serializer.collect_seq(self.entries.iter().map(|entry| match entry {
            Entry::Message(message) => message.to_wire(),
            Entry::Remove(id) => remove(id),
            Entry::RemoveAll => remove(REMOVE_ALL),
        }))
    }
}

impl<'de> Deserialize<'de> for Messages {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_wire(Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for Messages {
    fn schema_name() -> Cow<'static, str> {
        "Messages".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let message = generator.subschema_for::<Message>();
        json_schema!({ "type": "array", "items": message })
    }
}
