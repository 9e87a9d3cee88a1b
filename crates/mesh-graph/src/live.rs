//! A thread in memory, between a checkpoint and the next: values by channel, and what is ready.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde_json::Value as Json;
use smallvec::SmallVec;

use crate::{
    channel::{KeyError, Schema, Values},
    checkpoint::{
        Blob, ChannelEntry, Checkpoint, CheckpointId, FORMAT, Name, Pending, PendingInput,
        PendingSend, SNAPSHOT_EVERY, SNAPSHOT_LATEST, Source, StoredWrite, TaskCommit, TaskId,
    },
    checkpointer::Loaded,
    error::Error,
    graph::{Core, JoinId, Leads, NodeId, Sent},
    join::{Gathering, Settled},
    made::Made,
    node::ArgCodec,
    payload::Payload,
    reducer,
    run::Instances,
    state::{Update, Write},
    stored,
    value::{Codec, CodecError, Value, codec},
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
    /// A node that the checkpoint waits for and the graph does not have.
    pub(crate) gone: Option<Box<str>>,
}

/// Version and place of a channel's stored value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) version: u64,
    pub(crate) at: CheckpointId,
    pub(crate) depth: u32,
    pub(crate) size: Size,
}

/// Bytes that a channel's stored value takes, as far as they are encoded.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Size {
    /// In the last full value.
    pub(crate) whole: usize,
    /// In the updates since.
    pub(crate) added: usize,
}

impl Entry {
    /// As a checkpoint that was loaded has it.
    pub(crate) fn restored(entry: &ChannelEntry, blobs: &[Blob]) -> Self {
        let (version, at, depth) = (entry.version, entry.at, entry.depth);
        Self { version, at, depth, size: Size::of(blobs) }
    }
}

/// Bytes of an update, on average, from which on reading many of them costs no more than reading
/// them as one value.
const LARGE_UPDATE: usize = 4096;

/// Bytes of a full value that are always worth writing to have fewer parts.
const SMALL_VALUE: usize = 1 << 16;

impl Size {
    /// The size of a stored value.
    pub(crate) fn of(blobs: &[Blob]) -> Self {
        let mut size = Self::default();
        for blob in blobs {
            match blob {
                Blob::Full(value) => size = Self { whole: value.size(), added: 0 },
                Blob::Delta { updates, .. } => {
                    size.added += updates.iter().map(Payload::size).sum::<usize>();
                }
            }
        }
        size
    }

    /// Whether a value of this size, after `depth` updates, is to be stored whole: it makes loads
    /// shorter, and must not cost much more than what was added since the last time.
    pub(crate) fn is_due(self, depth: u32) -> bool {
        let worth = || {
            self.added < LARGE_UPDATE * depth as usize
                && (self.whole + self.added < SMALL_VALUE || self.added >= self.whole / 4)
        };
        depth > SNAPSHOT_LATEST || (depth > SNAPSHOT_EVERY && worth())
    }
}

/// What the next superstep starts from.
#[derive(Clone, Default)]
pub(crate) struct Ready {
    pub(crate) input: Option<Arc<StartInput>>,
    /// Triggered nodes, ascending, without doubles; never deferred ones.
    pub(crate) nodes: SmallVec<[NodeId; 4]>,
    pub(crate) sends: Vec<Sent>,
    /// How far each join has come.
    pub(crate) joins: Vec<Gathering>,
    /// Joins whose target is to run for them.
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
        Self { joins: vec![Gathering::default(); core.joins.len()], ..Self::default() }
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
    pub(crate) fn follow(&mut self, core: &Core, leads: &mut Leads) {
        for node in leads.nodes.drain(..) {
            if core.node(node).defer {
                insert(&mut self.deferred, node);
            } else {
                insert(&mut self.nodes, node);
            }
        }
        self.sends.append(&mut leads.sends);
        for source in leads.absent.drain(..) {
            self.miss(core, source);
        }
    }

    /// Notes that `source` arrived at `join`. A loose join waits for [`Ready::settle`].
    pub(crate) fn arrive(&mut self, core: &Core, join: JoinId, source: NodeId) {
        let spec = &core.joins[join as usize];
        if self.joins[join as usize].arrive(spec, source) && !spec.is_loose() {
            insert(&mut self.complete, join);
        }
    }

    /// Notes that `source` will not arrive at the joins that it is an optional source of.
    fn miss(&mut self, core: &Core, source: NodeId) {
        for join in &core.loose {
            if core.joins[*join as usize].optional.contains(&source) {
                self.joins[*join as usize].miss(source);
            }
        }
    }

    /// Decides the joins that need not wait for all, once a whole superstep has been noted.
    pub(crate) fn settle(&mut self, core: &Core) {
        for join in &core.loose {
            if self.complete.contains(join) {
                continue;
            }
            let spec = &core.joins[*join as usize];
            if let Settled::Fires = self.joins[*join as usize].settle(spec) {
                insert(&mut self.complete, *join);
            }
        }
    }

    /// Takes note that the target of a join ran for it.
    pub(crate) fn reset_join(&mut self, core: &Core, join: JoinId) {
        self.joins[join as usize].fire(&core.joins[join as usize]);
        self.complete.retain(|complete| *complete != join);
    }
}

/// Inserts into an ascending list without doubles.
pub(crate) fn insert<const N: usize>(list: &mut SmallVec<[u32; N]>, item: u32)
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
            gone: None,
        }
    }

    /// Fails if the checkpoint that this stands on waits for a node that the graph does not have:
    /// its superstep cannot be run.
    pub(crate) fn must_be_whole(&self) -> Result<(), Error> {
        match (&self.gone, self.id) {
            (Some(node), Some(checkpoint)) => {
                Err(Error::UnknownStoredNode { checkpoint, node: node.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// The thread as a stored checkpoint says. Of nodes that the graph does not have, nothing is
    /// due; see [`Live::must_be_whole`].
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
            live.entries[index] = Some(Entry::restored(entry, blobs));
        }
        let unfit = |node: &str| Error::UnknownStoredNode { checkpoint: id, node: node.to_owned() };
        let mut gone = None;
        let mut found = |node: &Name| {
            let found = core.find(node);
            if found.is_none() {
                gone.get_or_insert_with(|| Box::from(&**node));
            }
            found
        };
        let pending = &checkpoint.pending;
        if let Some(input) = &pending.input {
            let mut leads = Leads::default();
            leads.nodes.extend(input.nodes.iter().filter_map(&mut found));
            let known = input.sends.iter().filter(|send| found(&send.node).is_some());
            leads.sends = decode_sends(core, known).map_err(|node| unfit(&node))?;
            leads.absent = input.absent.iter().filter_map(|node| core.find(node)).collect();
            let update = decode_writes(&core.schema, &input.writes).map_err(unreadable)?;
            live.ready.input = Some(Arc::new(StartInput { update, leads }));
        }
        for node in pending.nodes.iter().filter_map(&mut found) {
            insert(&mut live.ready.nodes, node);
        }
        for node in pending.deferred.iter().filter_map(&mut found) {
            insert(&mut live.ready.deferred, node);
        }
        let known = pending.sends.iter().filter(|send| found(&send.node).is_some());
        live.ready.sends = decode_sends(core, known).map_err(|node| unfit(&node))?;
        live.gone = gone;
        // A join that the graph no longer has waits for nobody, nor for a node that is none of
        // its sources.
        let join = |name: &str| core.joins.iter().position(|join| *join.name == *name);
        for (name, arrived) in &pending.joins {
            let Some(join) = join(name) else { continue };
            let known = &core.joins[join].sources;
            for source in arrived {
                if let Some(source) = core.find(source).filter(|source| known.contains(source)) {
                    live.ready.arrive(core, join as JoinId, source);
                }
            }
        }
        for (name, absent) in &pending.absent {
            let Some(join) = join(name) else { continue };
            let known = &core.joins[join].optional;
            for source in absent {
                if let Some(source) = core.find(source).filter(|source| known.contains(source)) {
                    live.ready.joins[join].miss(source);
                }
            }
        }
        for name in &pending.fired {
            if let Some(join) = join(name).filter(|join| core.joins[*join].is_loose()) {
                live.ready.joins[join].fired = true;
            }
        }
        live.ready.settle(core);
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
    ) -> Checkpoint {
        let schema = &core.schema;
        let name = |node: &NodeId| Name::from(&*core.node(*node).name);
        let channels = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| {
                entry.map(|entry| ChannelEntry {
                    key: Name::from(&**schema.key(index)),
                    version: entry.version,
                    at: entry.at,
                    depth: entry.depth,
                })
            })
            .chain(self.foreign.iter().cloned())
            .chain(self.made.as_ref().and_then(|made| made.channel_entry()))
            .collect();
        let input = self.ready.input.as_ref().map(|input| PendingInput {
            writes: tracked(schema, encode_writes(schema, &input.update)),
            nodes: input.leads.nodes.iter().map(name).collect(),
            sends: encode_sends(core, &input.leads.sends),
            absent: input.leads.absent.iter().map(name).collect(),
        });
        let mut joins = BTreeMap::new();
        let mut absent = BTreeMap::new();
        let mut fired = Vec::new();
        for (join, gathering) in core.joins.iter().zip(&self.ready.joins) {
            let note = |into: &mut BTreeMap<_, _>, nodes: &[NodeId]| {
                if !nodes.is_empty() {
                    into.insert(Name::from(&*join.name), nodes.iter().map(name).collect());
                }
            };
            note(&mut joins, &gathering.arrived);
            note(&mut absent, &gathering.absent);
            if gathering.fired {
                fired.push(Name::from(&*join.name));
            }
        }
        Checkpoint {
            v: FORMAT,
            id,
            parent: self.parent,
            at_ms: facts.at_ms,
            step: self.step,
            source,
            run_id: facts.run_id.cloned(),
            run_steps: facts.run_steps,
            version: self.version,
            channels,
            updated: self.updated.iter().map(|index| Name::from(&**schema.key(*index))).collect(),
            ran: self.ran.iter().map(name).collect(),
            pending: Pending {
                input,
                nodes: self.ready.nodes.iter().map(name).collect(),
                sends: encode_sends(core, &self.ready.sends),
                joins,
                absent,
                fired,
                deferred: self.ready.deferred.iter().map(name).collect(),
            },
            parents: Arc::clone(facts.parents),
            metadata: Arc::clone(facts.metadata),
            caller: facts.caller,
            instances: self.instances.as_deref().cloned().unwrap_or_default(),
        }
    }
}

/// What a checkpoint records of its run.
pub(crate) struct Facts<'a> {
    pub(crate) at_ms: i64,
    pub(crate) run_id: Option<&'a Arc<str>>,
    pub(crate) run_steps: u32,
    pub(crate) parents: &'a Arc<BTreeMap<String, CheckpointId>>,
    pub(crate) metadata: &'a Arc<BTreeMap<String, Json>>,
    pub(crate) caller: Option<TaskId>,
}

fn key_error(schema: &Schema, index: usize) -> impl Fn(CodecError) -> KeyError {
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
            Blob::Full(whole) => Some(whole.value(&*channel.codec).map_err(&wrap)?),
            Blob::Delta { updates, .. } => {
                let mut decoded = Vec::with_capacity(updates.len());
                for update in updates {
                    decoded.push(update.value(&*channel.codec).map_err(&wrap)?);
                }
                match channel.rule.reducer() {
                    Some(reducer) => {
                        let folded = reducer::fold(&**reducer, value, decoded);
                        Some(folded.map_err(|error| {
                            wrap(CodecError::Mismatch {
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

/// The stored form of a channel's value.
pub(crate) fn payload(schema: &Schema, index: usize, value: &Value) -> Payload {
    Payload::live(value, &schema.channels()[index].codec)
}

/// The stored form of writes; nothing is encoded yet.
pub(crate) fn encode_writes(schema: &Schema, update: &Update) -> Vec<StoredWrite> {
    update
        .writes
        .iter()
        .map(|write| StoredWrite {
            key: Name::from(&**schema.key(write.channel)),
            overwrite: write.overwrite,
            value: payload(schema, write.channel, &write.value),
        })
        .collect()
}

/// Without the writes to keys that are never stored.
fn tracked(schema: &Schema, mut writes: Vec<StoredWrite>) -> Vec<StoredWrite> {
    let stored = |index: usize| schema.channels()[index].rule.stored();
    writes.retain(|write| schema.index(&write.key).is_none_or(stored));
    writes
}

/// The part of a task's result that is stored: all of it but writes to untracked keys. It is taken
/// out of the effect, unless that has more.
pub(crate) fn stored_commit(schema: &Schema, effect: &mut Effect) -> Option<TaskCommit> {
    if schema.channels().iter().all(|channel| channel.rule.stored()) {
        return effect.commit.take().map(|commit| *commit);
    }
    let mut commit = effect.commit.as_deref().cloned()?;
    for writes in &mut commit.updates {
        *writes = tracked(schema, std::mem::take(writes));
    }
    Some(commit)
}

/// Writes to keys that the schema no longer has are dropped: there is nobody to read them.
pub(crate) fn decode_writes(schema: &Schema, writes: &[StoredWrite]) -> Result<Update, KeyError> {
    let mut update = Update::default();
    for write in writes {
        let Some(channel) = schema.index(&write.key) else { continue };
        let codec = &schema.channels()[channel].codec;
        let value = write.value.value(&**codec).map_err(key_error(schema, channel))?;
        update.writes.push(Write { channel, overwrite: write.overwrite, value });
    }
    Ok(update)
}

/// The stored form of direct tasks; nothing is encoded yet.
pub(crate) fn encode_sends(core: &Core, sends: &[Sent]) -> Vec<PendingSend> {
    sends
        .iter()
        .map(|sent| {
            let spec = core.node(sent.node);
            let arg = match spec.run.as_ref().map(|run| run.arg()) {
                Some(ArgCodec::Typed(codec)) => Payload::live(&sent.arg, &codec),
                Some(ArgCodec::Json) => {
                    let arg = match sent.arg.downcast_ref::<Json>() {
                        Some(json) => match core.schema.tracked(json) {
                            Cow::Borrowed(_) => Arc::clone(&sent.arg),
                            Cow::Owned(tracked) => Arc::new(tracked),
                        },
                        None => Arc::clone(&sent.arg),
                    };
                    Payload::live(&arg, &codec::<Json>())
                }
                Some(ArgCodec::State) | None => PartialState::payload(&core.schema, &sent.arg),
            };
            PendingSend { node: Name::from(&*spec.name), arg, timeout: sent.timeout.clone() }
        })
        .collect()
}

/// Fails with the name of a node that the graph no longer has, or whose argument changed type.
pub(crate) fn decode_sends<'a>(
    core: &Core,
    sends: impl IntoIterator<Item = &'a PendingSend>,
) -> Result<Vec<Sent>, String> {
    let decode = |send: &PendingSend| decode_send(core, send).ok_or_else(|| send.node.to_string());
    sends.into_iter().map(decode).collect()
}

fn decode_send(core: &Core, send: &PendingSend) -> Option<Sent> {
    let node = core.find(&send.node)?;
    let arg = match core.node(node).run.as_ref()?.arg() {
        ArgCodec::Typed(codec) => send.arg.value(&*codec),
        ArgCodec::Json => send.arg.value(&*codec::<Json>()),
        ArgCodec::State => send.arg.value(&PartialState(Arc::clone(&core.schema))),
    };
    let arg = arg.ok()?;
    Some(Sent { node, arg, timeout: send.timeout.clone() })
}

/// How the argument of a `Send` to a node that reads state is stored: the keys it has, encoded.
struct PartialState(Arc<Schema>);

impl PartialState {
    fn payload(schema: &Arc<Schema>, arg: &Value) -> Payload {
        let mut arg = Arc::clone(arg);
        if let Some(values) = arg.downcast_ref::<Values>() {
            let kept = |index: usize| schema.channels()[index].rule.stored();
            if values.0.iter().enumerate().any(|(index, value)| value.is_some() && !kept(index)) {
                let mut values = values.clone();
                for (index, value) in values.0.iter_mut().enumerate() {
                    value.take_if(|_| !kept(index));
                }
                arg = Arc::new(values);
            }
        }
        let codec: Arc<dyn Codec> = Arc::new(Self(Arc::clone(schema)));
        Payload::live(&arg, &codec)
    }

    fn mismatch(&self, reason: impl ToString) -> CodecError {
        CodecError::Mismatch { expected: self.type_name(), reason: reason.to_string() }
    }
}

impl Codec for PartialState {
    fn type_name(&self) -> &'static str {
        "partial state"
    }

    fn accepts(&self, value: &Value) -> bool {
        value.downcast_ref::<Values>().is_some_and(|v| v.0.len() == self.0.channels().len())
    }

    fn schema(&self) -> Json {
        self.0.input_schema()
    }

    fn to_json(&self, value: &Value) -> Result<Json, CodecError> {
        let values = value.downcast_ref::<Values>();
        let values = values.ok_or_else(|| self.mismatch("a value of another Rust type"))?;
        self.0.to_json(values, |_, _| true).map_err(|error| error.source)
    }

    fn from_json(&self, json: Json) -> Result<Value, CodecError> {
        let update = Update::from_json(&self.0, json, |_| true);
        let values = update.and_then(|update| update.into_values(&self.0));
        Ok(Arc::new(values.map_err(|failure| self.mismatch(failure))?))
    }

    fn encode(&self, value: &Value) -> Result<Vec<u8>, CodecError> {
        let values = value.downcast_ref::<Values>();
        let values = values.ok_or_else(|| self.mismatch("a value of another Rust type"))?;
        let mut partial = BTreeMap::new();
        for (index, value) in values.0.iter().enumerate() {
            if let Some(value) = value {
                partial.insert(&**self.0.key(index), payload(&self.0, index, value));
            }
        }
        // Asked one by one, so that an error tells what it was about.
        partial.values().try_for_each(|value| value.bytes().map(|_| ()))?;
        stored::encode(&partial)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Value, CodecError> {
        let partial: BTreeMap<String, Payload> = stored::decode(bytes)?;
        let mut values = Values(vec![None; self.0.channels().len()]);
        for (key, value) in partial {
            if let Some(index) = self.0.index(&key) {
                values.0[index] = Some(value.value(&*self.0.channels()[index].codec)?);
            }
        }
        Ok(Arc::new(values))
    }
}

/// What a finished task gave, in memory: its writes, where it leads, and its stored form.
#[derive(Default)]
pub(crate) struct Effect {
    pub(crate) updates: Vec<Update>,
    pub(crate) leads: Leads,
    pub(crate) joins: SmallVec<[JoinId; 2]>,
    /// Where the per-thread graphs that it used stand since.
    pub(crate) instances: Option<Instances>,
    /// The stored form, when there is a checkpointer, until the task's record has it.
    pub(crate) commit: Option<Box<TaskCommit>>,
    /// It comes from the node cache.
    pub(crate) cached: bool,
}

impl Effect {
    /// Makes the stored form of everything that has to survive a crash; nothing is encoded yet.
    pub(crate) fn make_storable(&mut self, core: &Core) -> &TaskCommit {
        let node = |id: &NodeId| Name::from(&*core.node(*id).name);
        self.commit.insert(Box::new(TaskCommit {
            updates: self.updates.iter().map(|u| encode_writes(&core.schema, u)).collect(),
            nodes: self.leads.nodes.iter().map(node).collect(),
            joins: self
                .joins
                .iter()
                .map(|id| Name::from(&*core.joins[*id as usize].name))
                .collect(),
            sends: encode_sends(core, &self.leads.sends),
            absent: self.leads.absent.iter().map(node).collect(),
            instances: self.instances.clone().unwrap_or_default(),
            empty_fan_out: self.leads.empty_fan_out,
        }))
    }

    /// The effect of a stored commit.
    pub(crate) fn decode(
        core: &Core,
        checkpoint: CheckpointId,
        commit: &TaskCommit,
    ) -> Result<Self, Error> {
        let unknown = |node: &str| Error::UnknownStoredNode { checkpoint, node: node.to_owned() };
        let instances = Some(&commit.instances).filter(|map| !map.is_empty()).cloned();
        let mut effect =
            Self { commit: Some(Box::new(commit.clone())), instances, ..Self::default() };
        for writes in &commit.updates {
            let update = decode_writes(&core.schema, writes)
                .map_err(|source| Error::UnreadableCheckpoint { checkpoint, source })?;
            effect.updates.push(update);
        }
        for node in &commit.nodes {
            effect.leads.nodes.push(core.find(node).ok_or_else(|| unknown(node))?);
        }
        effect.leads.sends = decode_sends(core, &commit.sends).map_err(|node| unknown(&node))?;
        effect.leads.empty_fan_out = commit.empty_fan_out;
        effect.leads.absent = commit.absent.iter().filter_map(|node| core.find(node)).collect();
        effect.joins = commit
            .joins
            .iter()
            .filter_map(|name| core.joins.iter().position(|join| *join.name == **name))
            .map(|join| join as JoinId)
            .collect();
        Ok(effect)
    }
}
