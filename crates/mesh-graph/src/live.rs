//! A thread in memory, between a checkpoint and the next: values by channel, and what is ready.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value as Json;
use smallvec::SmallVec;

use crate::{
    channel::{KeyError, Schema, Values},
    checkpoint::{
        Blob, ChannelEntry, Checkpoint, CheckpointId, FORMAT, Pending, PendingInput, PendingSend,
        Source, StoredUpdate, StoredWrite, TaskCommit, TaskId,
    },
    checkpointer::Loaded,
    error::Error,
    graph::{Core, JoinId, Leads, NodeId, Sent},
    made::Made,
    node::ArgCodec,
    reducer,
    run::Instances,
    state::{Update, Write},
    stored,
    value::Value,
};

/// A thread in memory.
pub(crate) struct Live {
    /// The checkpoint this stands on; none before the first.
    pub(crate) id: Option<CheckpointId>,
    pub(crate) parent: Option<CheckpointId>,
    /// Step of that checkpoint; −2 before the first.
    pub(crate) step: i64,
    pub(crate) version: u64,
    pub(crate) values: Arc<Values>,
    pub(crate) entries: Vec<Option<Entry>>,
    /// Entries of keys that the schema no longer has: carried on, so nothing is lost.
    pub(crate) foreign: Vec<ChannelEntry>,
    pub(crate) ready: Ready,
    pub(crate) ran: SmallVec<[NodeId; 4]>,
    pub(crate) updated: SmallVec<[usize; 4]>,
    /// The writes since the input, for a parent that replays them.
    pub(crate) made: Option<Box<Made>>,
    /// Where per-thread graphs below stand; shared with the tasks.
    pub(crate) instances: Option<Arc<Instances>>,
}

/// Version and place of a channel's stored value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) version: u64,
    pub(crate) at: CheckpointId,
    pub(crate) depth: u32,
}

/// What the next superstep starts from.
#[derive(Clone, Default)]
pub(crate) struct Ready {
    pub(crate) input: Option<Arc<StartInput>>,
    /// Triggered nodes, ascending, without doubles; never deferred ones.
    pub(crate) nodes: SmallVec<[NodeId; 4]>,
    pub(crate) sends: Vec<Sent>,
    /// Sources that arrived, by join.
    pub(crate) joins: Vec<SmallVec<[NodeId; 4]>>,
    /// Joins at which all sources have arrived.
    pub(crate) complete: SmallVec<[JoinId; 2]>,
    /// Deferred nodes that were asked for, ascending.
    pub(crate) deferred: SmallVec<[NodeId; 2]>,
}

/// An input for START to apply.
#[derive(Clone, Default)]
pub(crate) struct StartInput {
    pub(crate) update: Update,
    pub(crate) leads: Leads,
}

impl Ready {
    pub(crate) fn new(core: &Core) -> Self {
        Self { joins: vec![SmallVec::new(); core.joins.len()], ..Self::default() }
    }

    /// Whether nothing is left to run.
    pub(crate) fn is_idle(&self) -> bool {
        self.input.is_none()
            && self.nodes.is_empty()
            && self.sends.is_empty()
            && self.complete.is_empty()
            && self.deferred.is_empty()
    }

    /// Takes over where a task leads.
    pub(crate) fn follow(&mut self, core: &Core, leads: Leads) {
        for node in leads.nodes {
            if core.node(node).defer {
                insert(&mut self.deferred, node);
            } else {
                insert(&mut self.nodes, node);
            }
        }
        self.sends.extend(leads.sends);
    }

    /// Notes that `source` arrived at `join`.
    pub(crate) fn arrive(&mut self, core: &Core, join: JoinId, source: NodeId) {
        let arrived = &mut self.joins[join as usize];
        insert(arrived, source);
        if arrived.len() == core.joins[join as usize].sources.len() {
            insert(&mut self.complete, join);
        }
    }

    /// Empties a join whose target ran for it.
    pub(crate) fn reset_join(&mut self, join: JoinId) {
        self.joins[join as usize].clear();
        self.complete.retain(|complete| *complete != join);
    }
}

/// Inserts into an ascending list without doubles.
fn insert<const N: usize>(list: &mut SmallVec<[u32; N]>, item: u32)
where
    [u32; N]: smallvec::Array<Item = u32>,
{
    if let Err(position) = list.binary_search(&item) {
        list.insert(position, item);
    }
}

impl Live {
    /// A thread without a checkpoint.
    pub(crate) fn new(core: &Core) -> Self {
        Self {
            id: None,
            parent: None,
            step: -2,
            version: 0,
            values: Arc::new(core.schema.initial_values()),
            entries: vec![None; core.schema.channels().len()],
            foreign: Vec::new(),
            ready: Ready::new(core),
            ran: SmallVec::new(),
            updated: SmallVec::new(),
            made: None,
            instances: None,
        }
    }

    /// The thread as a stored checkpoint says.
    pub(crate) fn restore(core: &Core, loaded: &Loaded) -> Result<Self, Error> {
        let checkpoint = &loaded.checkpoint;
        let id = checkpoint.id;
        let unreadable = |source: KeyError| Error::UnreadableCheckpoint { checkpoint: id, source };
        let mut live = Self::new(core);
        live.id = Some(id);
        live.parent = checkpoint.parent;
        live.step = checkpoint.step;
        live.version = checkpoint.version;
        live.instances =
            Some(&checkpoint.instances).filter(|map| !map.is_empty()).cloned().map(Arc::new);
        let values = Arc::make_mut(&mut live.values);
        for (entry, blobs) in checkpoint.channels.iter().zip(&loaded.values) {
            let Some(index) = core.schema.index(&entry.key) else {
                if !Made::is_entry(entry) {
                    live.foreign.push(entry.clone());
                }
                continue;
            };
            values.0[index] = Some(fold(&core.schema, index, blobs).map_err(unreadable)?);
            live.entries[index] =
                Some(Entry { version: entry.version, at: entry.at, depth: entry.depth });
        }
        let unknown =
            |node: &str| Error::UnknownStoredNode { checkpoint: id, node: node.to_owned() };
        let pending = &checkpoint.pending;
        if let Some(input) = &pending.input {
            let mut leads = Leads::default();
            for node in &input.nodes {
                leads.nodes.push(core.find(node).ok_or_else(|| unknown(node))?);
            }
            leads.sends = decode_sends(core, &input.sends).map_err(|node| unknown(&node))?;
            let update = decode_writes(&core.schema, &input.writes).map_err(unreadable)?;
            live.ready.input = Some(Arc::new(StartInput { update, leads }));
        }
        for node in &pending.nodes {
            insert(&mut live.ready.nodes, core.find(node).ok_or_else(|| unknown(node))?);
        }
        for node in &pending.deferred {
            insert(&mut live.ready.deferred, core.find(node).ok_or_else(|| unknown(node))?);
        }
        live.ready.sends = decode_sends(core, &pending.sends).map_err(|node| unknown(&node))?;
        for (name, arrived) in &pending.joins {
            // A join that the graph no longer has waits for nobody.
            let Some(join) = core.joins.iter().position(|join| *join.name == **name) else {
                continue;
            };
            for source in arrived {
                // Nor for a node that is none of its sources.
                let known = &core.joins[join].sources;
                if let Some(source) = core.find(source).filter(|source| known.contains(source)) {
                    live.ready.arrive(core, join as JoinId, source);
                }
            }
        }
        live.ran = checkpoint.ran.iter().filter_map(|node| core.find(node)).collect();
        live.updated = checkpoint.updated.iter().filter_map(|key| core.schema.index(key)).collect();
        Ok(live)
    }

    /// Writes this state down as a checkpoint with the given id.
    pub(crate) fn checkpoint(
        &self,
        core: &Core,
        id: CheckpointId,
        source: Source,
        facts: &Facts<'_>,
    ) -> Result<Checkpoint, KeyError> {
        let schema = &core.schema;
        let name = |node: &NodeId| core.node(*node).name.to_string();
        let channels = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| {
                entry.map(|entry| ChannelEntry {
                    key: schema.key(index).to_string(),
                    version: entry.version,
                    at: entry.at,
                    depth: entry.depth,
                })
            })
            .chain(self.foreign.iter().cloned())
            .chain(self.made.as_ref().and_then(|made| made.channel_entry()))
            .collect();
        let input = match &self.ready.input {
            Some(input) => Some(PendingInput {
                writes: encode_writes(schema, &input.update)?,
                nodes: input.leads.nodes.iter().map(name).collect(),
                sends: encode_sends(core, &input.leads.sends)?,
            }),
            None => None,
        };
        let joins = core
            .joins
            .iter()
            .zip(&self.ready.joins)
            .filter(|(_, arrived)| !arrived.is_empty())
            .map(|(join, arrived)| (join.name.to_string(), arrived.iter().map(name).collect()))
            .collect();
        Ok(Checkpoint {
            v: FORMAT,
            id,
            parent: self.parent,
            at_ms: facts.at_ms,
            step: self.step,
            source,
            run_id: facts.run_id.map(str::to_owned),
            version: self.version,
            channels,
            updated: self.updated.iter().map(|index| schema.key(*index).to_string()).collect(),
            ran: self.ran.iter().map(name).collect(),
            pending: Pending {
                input,
                nodes: self.ready.nodes.iter().map(name).collect(),
                sends: encode_sends(core, &self.ready.sends)?,
                joins,
                deferred: self.ready.deferred.iter().map(name).collect(),
            },
            parents: facts.parents.clone(),
            metadata: facts.metadata.clone(),
            caller: facts.caller,
            instances: self.instances.as_deref().cloned().unwrap_or_default(),
        })
    }
}

/// What a checkpoint records of its run.
pub(crate) struct Facts<'a> {
    pub(crate) at_ms: i64,
    pub(crate) run_id: Option<&'a str>,
    pub(crate) parents: &'a BTreeMap<String, CheckpointId>,
    pub(crate) metadata: &'a BTreeMap<String, Json>,
    pub(crate) caller: Option<TaskId>,
}

fn key_error(schema: &Schema, index: usize) -> impl Fn(crate::value::CodecError) -> KeyError {
    let key = schema.key(index).to_string();
    move |source| KeyError { key: key.clone(), source }
}

/// Rebuilds a channel's value from its blobs, oldest first.
fn fold(schema: &Schema, index: usize, blobs: &[Blob]) -> Result<Value, KeyError> {
    let channel = &schema.channels()[index];
    let wrap = key_error(schema, index);
    let mut value = channel.initial.clone();
    for blob in blobs {
        value = match blob {
            Blob::Full(bytes) => Some(channel.codec.decode(bytes).map_err(&wrap)?),
            Blob::Delta { updates, .. } => {
                let mut decoded = Vec::with_capacity(updates.len());
                for update in updates {
                    decoded.push(channel.codec.decode(&update.0).map_err(&wrap)?);
                }
                match channel.rule.reducer() {
                    Some(reducer) => {
                        let folded = reducer::fold(&**reducer, value, decoded);
                        Some(folded.map_err(|error| {
                            wrap(crate::value::CodecError::Mismatch {
                                expected: channel.codec.type_name(),
                                reason: error.to_string(),
                            })
                        })?)
                    }
                    // The key had a reducer when this was written: the last update stands.
                    None => decoded.pop().or(value),
                }
            }
        };
    }
    Ok(value.unwrap_or_else(|| Arc::clone(&channel.default)))
}

pub(crate) fn encode_value(
    schema: &Schema,
    index: usize,
    value: &Value,
) -> Result<Vec<u8>, KeyError> {
    schema.channels()[index].codec.encode(value).map_err(key_error(schema, index))
}

pub(crate) fn encode_writes(
    schema: &Schema,
    update: &Update,
) -> Result<Vec<StoredWrite>, KeyError> {
    update
        .writes
        .iter()
        .map(|write| {
            Ok(StoredWrite {
                key: schema.key(write.channel).to_string(),
                overwrite: write.overwrite,
                value: encode_value(schema, write.channel, &write.value)?,
            })
        })
        .collect()
}

/// Writes to keys that the schema no longer has are dropped: there is nobody to read them.
pub(crate) fn decode_writes(schema: &Schema, writes: &[StoredWrite]) -> Result<Update, KeyError> {
    let mut update = Update::default();
    for write in writes {
        let Some(channel) = schema.index(&write.key) else { continue };
        let codec = &schema.channels()[channel].codec;
        let value = codec.decode(&write.value).map_err(key_error(schema, channel))?;
        update.writes.push(Write { channel, overwrite: write.overwrite, value });
    }
    Ok(update)
}

pub(crate) fn encode_sends(core: &Core, sends: &[Sent]) -> Result<Vec<PendingSend>, KeyError> {
    sends
        .iter()
        .map(|sent| {
            let spec = core.node(sent.node);
            let wrap = |source| KeyError { key: format!("Send to {}", spec.name), source };
            let arg = if let Some(ArgCodec::Typed(codec)) = spec.run.as_ref().map(|run| run.arg()) {
                codec.encode(&sent.arg).map_err(wrap)?
            } else if let Some(json) = sent.arg.downcast_ref::<Json>() {
                stored::encode(&*core.schema.tracked(json)).map_err(wrap)?
            } else {
                let values = sent.arg.downcast_ref::<Values>().cloned().unwrap_or_default();
                let mut partial = BTreeMap::new();
                for (index, value) in values.0.iter().enumerate() {
                    if let Some(value) = value
                        && core.schema.channels()[index].rule.stored()
                    {
                        let bytes = encode_value(&core.schema, index, value)?;
                        partial.insert(core.schema.key(index).to_string(), StoredUpdate(bytes));
                    }
                }
                stored::encode(&partial).map_err(wrap)?
            };
            Ok(PendingSend { node: spec.name.to_string(), arg, timeout: sent.timeout.clone() })
        })
        .collect()
}

/// Fails with the name of a node that the graph no longer has, or whose argument changed type.
pub(crate) fn decode_sends(core: &Core, sends: &[PendingSend]) -> Result<Vec<Sent>, String> {
    sends.iter().map(|send| decode_send(core, send).ok_or_else(|| send.node.clone())).collect()
}

fn decode_send(core: &Core, send: &PendingSend) -> Option<Sent> {
    let node = core.find(&send.node)?;
    let arg: Value = match core.node(node).run.as_ref()?.arg() {
        ArgCodec::Typed(codec) => codec.decode(&send.arg).ok()?,
        ArgCodec::Json => Arc::new(stored::decode::<Json>(&send.arg).ok()?),
        ArgCodec::State => {
            let partial: BTreeMap<String, StoredUpdate> = stored::decode(&send.arg).ok()?;
            let mut values = Values(vec![None; core.schema.channels().len()]);
            for (key, bytes) in partial {
                if let Some(index) = core.schema.index(&key) {
                    values.0[index] =
                        Some(core.schema.channels()[index].codec.decode(&bytes.0).ok()?);
                }
            }
            Arc::new(values)
        }
    };
    Some(Sent { node, arg, timeout: send.timeout.clone() })
}

/// What a finished task gave, in memory: its writes, where it leads, and its stored form.
#[derive(Default)]
pub(crate) struct Effect {
    pub(crate) updates: Vec<Update>,
    pub(crate) leads: Leads,
    pub(crate) joins: SmallVec<[JoinId; 2]>,
    /// Where the per-thread graphs that it used stand since.
    pub(crate) instances: Instances,
    /// The stored form, when there is a checkpointer.
    pub(crate) commit: Option<TaskCommit>,
    /// It comes from the node cache.
    pub(crate) cached: bool,
}

impl Effect {
    /// Encodes everything that has to survive a crash.
    pub(crate) fn encode(&mut self, core: &Core) -> Result<(), KeyError> {
        let mut updates = Vec::with_capacity(self.updates.len());
        for update in &self.updates {
            updates.push(encode_writes(&core.schema, update)?);
        }
        self.commit = Some(TaskCommit {
            updates,
            nodes: self.leads.nodes.iter().map(|id| core.node(*id).name.to_string()).collect(),
            joins: self.joins.iter().map(|id| core.joins[*id as usize].name.to_string()).collect(),
            sends: encode_sends(core, &self.leads.sends)?,
            instances: self.instances.clone(),
        });
        Ok(())
    }

    /// The effect of a stored commit.
    pub(crate) fn decode(
        core: &Core,
        checkpoint: CheckpointId,
        commit: &TaskCommit,
    ) -> Result<Self, Error> {
        let unknown = |node: &str| Error::UnknownStoredNode { checkpoint, node: node.to_owned() };
        let instances = commit.instances.clone();
        let mut effect = Self { commit: Some(commit.clone()), instances, ..Self::default() };
        for writes in &commit.updates {
            let update = decode_writes(&core.schema, writes)
                .map_err(|source| Error::UnreadableCheckpoint { checkpoint, source })?;
            effect.updates.push(update);
        }
        for node in &commit.nodes {
            effect.leads.nodes.push(core.find(node).ok_or_else(|| unknown(node))?);
        }
        effect.leads.sends = decode_sends(core, &commit.sends).map_err(|node| unknown(&node))?;
        effect.joins = commit
            .joins
            .iter()
            .filter_map(|name| core.joins.iter().position(|join| *join.name == **name))
            .map(|join| join as JoinId)
            .collect();
        Ok(effect)
    }
}
