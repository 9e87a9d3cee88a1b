//! Keys that a mounted graph shares with its parent: the same name, and a value that fits both.
//!
//! The parent's values of these keys are the child's input; what comes back is either what the
//! child wrote or what it ended with. Keys that only one side has never cross. Works on channel
//! tables alone, so either side may be typed or JSON.

use crate::{
    channel::{Channel, Rule, Schema, Values},
    error::{Failure, Mistake, NodeError, NodeResult},
    node::Input,
    parent::cross,
    reducer,
    state::{Update, Write},
    value::Value,
};

/// What a parent takes over from a mounted graph that shares its keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sharing {
    /// The writes that the child made, replayed through the parent's own reducers.
    #[default]
    Writes,
    /// The child's final value of every shared key, as one write each. This is what LangGraph
    /// does: a parent's list that appends gets its own items a second time.
    Values,
}

/// The channels that both graphs have, as (parent's, child's) indices, and that `part` of the
/// child's interface includes. What is computed for every task is nobody's to share.
fn both<'a>(
    parent: &'a Schema,
    child: &'a Schema,
    part: impl Fn(&Channel) -> bool + 'a,
) -> impl Iterator<Item = (usize, usize)> + 'a {
    let own = |channel: &Channel| !matches!(channel.rule, Rule::Managed(_));
    let theirs = child.channels().iter().enumerate();
    theirs
        .filter(move |(_, channel)| part(channel) && own(channel))
        .filter_map(|(index, channel)| Some((parent.index(&channel.key)?, index)))
        .filter(move |(ours, _)| own(&parent.channels()[*ours]))
}

/// Whether values of one channel can be had from the other's: the same Rust type, or JSON.
fn fit(one: &Channel, other: &Channel) -> bool {
    let json = |channel: &Channel| channel.default.is::<serde_json::Value>();
    one.codec.accepts(&other.default) || json(one) || json(other)
}

/// The shared keys whose types do not fit.
pub(crate) fn mistakes(node: &str, parent: &Schema, child: &Schema) -> Vec<Mistake> {
    both(parent, child, |channel| channel.input || channel.output)
        .filter(|(ours, theirs)| !fit(&parent.channels()[*ours], &child.channels()[*theirs]))
        .map(|(ours, theirs)| Mistake::SharedKey {
            node: node.to_owned(),
            key: parent.key(ours).to_string(),
            parent: parent.channels()[ours].codec.type_name(),
            child: child.channels()[theirs].codec.type_name(),
        })
        .collect()
}

/// The child's input: the parent's values of the shared keys, or the argument of a `Send`.
pub(crate) fn enter(parent: &Schema, child: &Schema, given: &Input) -> NodeResult<Update> {
    let values = match given {
        Input::Snapshot(values) => &**values,
        Input::Arg(value) => {
            if let Some(json) = value.downcast_ref::<serde_json::Value>() {
                return Update::from_json(child, json.clone(), |channel| channel.input)
                    .map_err(NodeError::refused);
            }
            value
                .downcast_ref::<Values>()
                .ok_or_else(|| NodeError::msg("the argument is no partial state"))?
        }
    };
    let mut update = Update::default();
    for (ours, theirs) in both(parent, child, |channel| channel.input) {
        if let Some(value) = values.get(ours) {
            let value = crossed(value, parent, ours, child, theirs)?;
            update.writes.push(Write { channel: theirs, overwrite: false, value });
        }
    }
    Ok(update)
}

/// The child's final values of the shared keys, for the parent.
pub(crate) fn final_values(
    parent: &Schema,
    child: &Schema,
    values: &Values,
) -> NodeResult<Vec<Update>> {
    let mut update = Update::default();
    for (ours, theirs) in both(parent, child, |channel| channel.output) {
        if let Some(value) = values.get(theirs) {
            let value = crossed(value, child, theirs, parent, ours)?;
            update.writes.push(Write { channel: ours, overwrite: false, value });
        }
    }
    Ok(vec![update])
}

/// Which of the child's channels the parent replays the writes of.
pub(crate) fn watched(parent: &Schema, child: &Schema) -> std::sync::Arc<[bool]> {
    let mut watched = vec![false; child.channels().len()];
    for (_, theirs) in both(parent, child, |channel| channel.output) {
        watched[theirs] = true;
    }
    watched.into()
}

/// The child's writes as updates of the parent. The n-th write of a key is in the n-th update, as
/// if the mounted node had returned them one after the other.
pub(crate) fn replayed(parent: &Schema, child: &Schema, made: &[Write]) -> NodeResult<Vec<Update>> {
    let mut updates: Vec<Update> = Vec::new();
    for (ours, theirs) in both(parent, child, |channel| channel.output) {
        let writes: Vec<&Write> = made.iter().filter(|write| write.channel == theirs).collect();
        let cross = |write: &&Write| crossed(&write.value, child, theirs, parent, ours);
        let replaced = writes.iter().rposition(|write| write.overwrite);
        let replay: Vec<Write> = match (&parent.channels()[ours].rule, replaced) {
            (Rule::Reduce(reducer), Some(position)) => {
                // An overwrite drops what its own superstep adds, so what the child added after
                // it has to be part of it.
                let later: NodeResult<Vec<Value>> =
                    writes[position + 1..].iter().map(cross).collect();
                let value = reducer::fold(&**reducer, Some(cross(&writes[position])?), later?)
                    .map_err(|error| {
                        NodeError::refused(Failure::reducer(parent.key(ours), &error))
                    })?;
                vec![Write { channel: ours, overwrite: true, value }]
            }
            (Rule::Reduce(_) | Rule::Topic { .. }, None) => {
                let plain =
                    |write| Ok(Write { channel: ours, overwrite: false, value: cross(write)? });
                writes.iter().map(plain).collect::<NodeResult<_>>()?
            }
            // Every other rule knows one value: the last.
            _ => match writes.last() {
                Some(last) => {
                    vec![Write { channel: ours, overwrite: false, value: cross(last)? }]
                }
                None => Vec::new(),
            },
        };
        for (position, write) in replay.into_iter().enumerate() {
            if updates.len() == position {
                updates.push(Update::default());
            }
            updates[position].writes.push(write);
        }
    }
    Ok(updates)
}

fn crossed(
    value: &Value,
    from: &Schema,
    source: usize,
    to: &Schema,
    target: usize,
) -> NodeResult<Value> {
    cross(value, &*from.channels()[source].codec, &*to.channels()[target].codec)
        .map_err(|error| NodeError::refused(Failure::bad_value(to.key(target), &error)))
}
