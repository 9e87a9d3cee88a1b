//! Commands to the parent: what a task of a mounted graph asks of the graph it is mounted in.
//!
//! Such a command is written by somebody who may not know the parent's channel table, so its
//! updates go by key and become the parent's own writes where the mounted node returns. It never
//! reaches further than one level; a command may hold another one for the level above.
//! Semantics: LangGraph's `Command(graph=PARENT)`; several of one superstep are merged.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::{
    channel::Schema,
    command::{Goto, Output},
    error::{Failure, FailureKind},
    state::{State, Update, Write},
    value::{Codec, CodecError, Value},
};

/// A command to the parent.
#[derive(Default)]
pub(crate) struct ToParent {
    updates: Vec<Foreign>,
    goto: Vec<Goto>,
    /// What the parent in turn asks of its own parent.
    above: Option<Box<ToParent>>,
}

/// An update for a state that is known by its keys only.
enum Foreign {
    Keyed(Vec<KeyedWrite>),
    Json(Json),
}

/// A write by key, with the codec of the state it was made for.
struct KeyedWrite {
    key: Arc<str>,
    overwrite: bool,
    value: Value,
    codec: Arc<dyn Codec>,
}

impl std::fmt::Debug for ToParent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ToParent({} updates, {:?})", self.updates.len(), self.goto)
    }
}

impl ToParent {
    /// The command that `output`, made for the parent's state `P`, stands for.
    pub(crate) fn typed<P: State>(output: Output) -> Self {
        let own = P::schema();
        let keyed = |update: Update| {
            let of_part = update.part.map(|part| (part.schema)());
            let schema = of_part.as_ref().unwrap_or(&own);
            let writes = update.writes.into_iter().filter_map(|write| {
                // An index outside the table cannot come from the state's own update type.
                let channel = schema.channels().get(write.channel)?;
                Some(KeyedWrite {
                    key: Arc::clone(&channel.key),
                    overwrite: write.overwrite,
                    value: write.value,
                    codec: Arc::clone(&channel.codec),
                })
            });
            Foreign::Keyed(writes.collect())
        };
        Self {
            updates: output.updates.into_iter().map(keyed).collect(),
            goto: output.goto,
            above: output.parent,
        }
    }

    /// The command with these JSON objects of the parent's keys.
    pub(crate) fn json(updates: Vec<Json>, goto: Vec<Goto>) -> Self {
        Self { updates: updates.into_iter().map(Foreign::Json).collect(), goto, above: None }
    }

    /// This command and, after it, another one of the same superstep.
    pub(crate) fn and(mut self, next: Self) -> Self {
        self.updates.extend(next.updates);
        self.goto.extend(next.goto);
        self.above = match (self.above, next.above) {
            (Some(above), Some(next)) => Some(Box::new(above.and(*next))),
            (above, next) => above.or(next),
        };
        self
    }

    /// What the mounted node returns for it, in a graph with this channel table.
    ///
    /// # Errors
    /// [`Failure`] names a key that the parent does not have, or a value that does not fit it.
    pub(crate) fn into_output(self, schema: &Schema) -> Result<Output, Failure> {
        let mut updates = Vec::with_capacity(self.updates.len());
        for update in self.updates {
            updates.push(match update {
                Foreign::Json(json) => Update::of_command(schema, json)?,
                Foreign::Keyed(writes) => keyed(schema, writes)?,
            });
        }
        Ok(Output { updates, goto: self.goto, parent: self.above })
    }
}

fn keyed(schema: &Schema, writes: Vec<KeyedWrite>) -> Result<Update, Failure> {
    let mut update = Update::default();
    for KeyedWrite { key, overwrite, value, codec } in writes {
        let channel = schema.index(&key).ok_or_else(|| Failure::unknown_key(&key, schema))?;
        let value = cross(&value, &*codec, &*schema.channels()[channel].codec)
            .map_err(|source| Failure::bad_value(&key, &source))?;
        update.writes.push(Write { channel, overwrite, value });
    }
    Ok(update)
}

/// Takes a value from a channel of one graph to a channel of another: as it is when both have the
/// same Rust type, through JSON otherwise. JSON itself is looked at again, because the other
/// channel may have a schema of its own.
///
/// # Errors
/// [`CodecError`] when the value has no JSON form or the other channel refuses it.
pub(crate) fn cross(value: &Value, from: &dyn Codec, to: &dyn Codec) -> Result<Value, CodecError> {
    if to.accepts(value) && !value.is::<Json>() {
        return Ok(Arc::clone(value));
    }
    to.from_json(from.to_json(value)?)
}

/// The failure of a command to a parent that is not there.
pub(crate) fn no_parent() -> Failure {
    Failure::new(
        FailureKind::NoParent,
        "a command to the parent was given to a root graph, which has none",
    )
}
