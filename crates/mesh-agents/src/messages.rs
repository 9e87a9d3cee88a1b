//! The rule of a `messages` channel: updates replace by id, append and remove.
//!
//! What an update means is [`Messages::add`]'s; this says it to the graph engine, which knows no
//! messages. Ids are given where a task's update is made ready to be stored.

use std::{marker::PhantomData, sync::Arc};

use mesh_graph::{
    Ids,
    channel::Rule,
    reducer::{Reduce, ReduceError},
    value::Value,
};
use mesh_model::Messages;
use serde_json::Value as Json;

/// The rule of a list of messages, for `#[state(rule = messages)]` on a field of type
/// [`Messages`].
///
/// ```
/// use mesh_agents::messages;
/// use mesh_graph::State;
/// use mesh_model::{Message, Messages};
///
/// #[derive(State)]
/// struct Chat {
///     #[state(rule = messages)]
///     messages: Messages,
/// }
///
/// let update = Chat::update().messages(Message::user("Hello"));
/// # let _ = update;
/// ```
pub fn messages() -> Rule {
    Rule::Reduce(Arc::new(AddMessages::<Messages>(PhantomData)))
}

/// The same for a key of an untyped state, whose values are JSON: give it a name by
/// [`mesh_graph::Keys::define_reducer`].
///
/// Every superstep that adds to such a list reads it anew, which costs its length; a list of type
/// [`Messages`] costs what is added.
///
/// ```
/// use mesh_agents::json_messages;
/// use mesh_graph::{Key, Keys};
///
/// let keys = Keys::new()
///     .define_reducer("add_messages", json_messages())
///     .key(Key::new("messages").reducer("add_messages"));
/// # let _ = keys;
/// ```
pub fn json_messages() -> Arc<dyn Reduce> {
    Arc::new(AddMessages::<Json>(PhantomData))
}

/// The reducer of lists of messages that are kept as a `T`.
struct AddMessages<T>(PhantomData<fn() -> T>);

/// A form in which a list of messages is kept.
trait Kept: Clone + Send + Sync + Sized + 'static {
    fn read(self) -> Result<Messages, ReduceError>;
    fn keep(list: Messages) -> Result<Self, ReduceError>;
}

impl Kept for Messages {
    fn read(self) -> Result<Messages, ReduceError> {
        Ok(self)
    }

    fn keep(list: Messages) -> Result<Self, ReduceError> {
        Ok(list)
    }
}

impl Kept for Json {
    fn read(self) -> Result<Messages, ReduceError> {
        Messages::from_wire(self).map_err(refused)
    }

    fn keep(list: Messages) -> Result<Self, ReduceError> {
        serde_json::to_value(list).map_err(refused)
    }
}

fn refused(error: impl std::fmt::Display) -> ReduceError {
    ReduceError::Refused { reason: error.to_string() }
}

/// The list behind a value, which is copied only if somebody else looks at it.
fn read<T: Kept>(value: Value) -> Result<Messages, ReduceError> {
    let wrong = |_| ReduceError::Type { expected: std::any::type_name::<T>() };
    let kept = value.downcast::<T>().map_err(wrong)?;
    Arc::try_unwrap(kept).unwrap_or_else(|shared| (*shared).clone()).read()
}

impl<T: Kept> Reduce for AddMessages<T> {
    fn name(&self) -> &'static str {
        "messages"
    }

    fn initial(&self) -> Option<Value> {
        Some(Arc::new(T::keep(Messages::new()).ok()?))
    }

    fn prepare(
        &self,
        write: &mut Value,
        overwrite: bool,
        ids: &mut Ids<'_>,
    ) -> Result<(), ReduceError> {
        let mut list = read::<T>(std::mem::replace(write, Arc::new(())))?;
        list.identify(|| ids.give());
        if overwrite {
            // It will be the conversation itself, which holds messages only, each id once.
            let mut talk = Messages::new();
            talk.add(list).map_err(refused)?;
            list = talk;
        }
        *write = Arc::new(T::keep(list)?);
        Ok(())
    }

    fn fold(&self, current: Value, updates: Vec<Value>) -> Result<Value, ReduceError> {
        let mut talk = read::<T>(current)?;
        for update in updates {
            talk.add(read::<T>(update)?).map_err(refused)?;
        }
        Ok(Arc::new(T::keep(talk)?))
    }

    fn holds_messages(&self) -> bool {
        true
    }

    fn batches_freely(&self) -> bool {
        true
    }
}
