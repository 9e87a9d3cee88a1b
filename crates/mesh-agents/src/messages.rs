//! The rule of a `messages` channel: updates replace by id, append and remove.
//!
//! What an update means is [`Messages::add`]'s; this says it to the graph engine, which knows no
//! messages. Ids are given where a task's update is made ready to be stored.

use std::sync::Arc;

use mesh_graph::{
    Ids,
    channel::{Channel, Rule},
    reducer::{Reduce, ReduceError},
    value::Value,
};
use mesh_model::Messages;

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
    Rule::Reduce(Arc::new(AddMessages))
}

/// A channel of messages, for graphs whose schema is put together at run time.
pub fn messages_channel(key: &str) -> Channel {
    Channel::new::<Messages>(key, messages())
}

struct AddMessages;

fn own(value: Value) -> Result<Arc<Messages>, ReduceError> {
    let wrong = |_| ReduceError::Type { expected: std::any::type_name::<Messages>() };
    value.downcast::<Messages>().map_err(wrong)
}

fn add(talk: &mut Messages, update: Arc<Messages>) -> Result<(), ReduceError> {
    let update = Arc::try_unwrap(update).unwrap_or_else(|shared| (*shared).clone());
    talk.add(update).map_err(|error| ReduceError::Refused { reason: error.to_string() })
}

impl Reduce for AddMessages {
    fn initial(&self) -> Option<Value> {
        Some(Arc::new(Messages::new()))
    }

    fn prepare(
        &self,
        write: &mut Value,
        overwrite: bool,
        ids: &mut Ids<'_>,
    ) -> Result<(), ReduceError> {
        let mut update = own(std::mem::replace(write, Arc::new(())))?;
        let list = Arc::make_mut(&mut update);
        list.identify(|| ids.give());
        if overwrite {
            // It will be the conversation itself, which holds messages only, each id once.
            let mut talk = Messages::new();
            talk.add(std::mem::take(list))
                .map_err(|error| ReduceError::Refused { reason: error.to_string() })?;
            *list = talk;
        }
        *write = update;
        Ok(())
    }

    fn fold(&self, current: Value, updates: Vec<Value>) -> Result<Value, ReduceError> {
        let mut talk = own(current)?;
        let list = Arc::make_mut(&mut talk);
        for update in updates {
            add(list, own(update)?)?;
        }
        Ok(talk)
    }

    fn holds_messages(&self) -> bool {
        true
    }

    fn batches_freely(&self) -> bool {
        true
    }
}
