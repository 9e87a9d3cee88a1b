//! A naive model of the engine: what a thread is and what a run does to it, in the slowest and most
//! obvious way that the rules of execution can be written down.
//!
//! Everything is a channel with a version: state keys, edges, joins, direct tasks and the input.
//! A node runs when one of its channels has a version it has not seen. Nothing here is shared with
//! the engine, which keeps edges and joins as what they are and knows no such versions.

use std::collections::{BTreeMap, BTreeSet};

use mesh_graph::Durability;
use serde_json::{Map, Value as Json, json};

use crate::{
    observed::{self, Observed},
    random_graph::{Ask, Call, Case, Flow, Work},
    script::{self, Given, Job, Way, Write},
};

const START: &str = "__start__";
const SENDS: &str = "__sends__";

/// The state keys, in order of their declaration.
const KEYS: [&str; 8] = ["tag", "log", "sum", "spent", "last", "any", "passing", "marks"];

/// How a channel takes writes.
#[derive(Debug, Clone, PartialEq)]
enum Rule {
    /// One write per step.
    Last,
    /// The last write of a step; gone in the step after.
    Any,
    /// One write per step; gone in the step after.
    Passing,
    List,
    Sum,
    Table,
    /// An edge to a node.
    Edge,
    /// An edge to a node that waits until nothing else is left.
    LateEdge,
    /// All of these sources, each at least once.
    Join(BTreeSet<String>),
    LateJoin(BTreeSet<String>),
    Sends,
    Input,
}

#[derive(Debug, Clone)]
struct Channel {
    rule: Rule,
    value: Option<Json>,
    /// Of a channel that waits: nothing else was left.
    released: bool,
    version: u64,
}

/// Two writes that cannot stand together.
struct Clash;

impl Channel {
    fn new(rule: Rule) -> Self {
        let value = match rule {
            Rule::List => Some(json!([])),
            Rule::Sum => Some(json!(0)),
            Rule::Table => Some(json!({})),
            _ => None,
        };
        Self { rule, value, released: false, version: 0 }
    }

    fn arrived(&self) -> BTreeSet<String> {
        let names = self.value.as_ref().and_then(Json::as_array);
        names.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
    }

    fn available(&self) -> bool {
        match &self.rule {
            Rule::Join(all) => self.arrived() == *all,
            Rule::LateJoin(all) => self.released && self.arrived() == *all,
            Rule::LateEdge => self.released && self.value.is_some(),
            _ => self.value.is_some(),
        }
    }

    /// Takes all writes of a step, or the news that there was none. Tells whether it changed.
    fn update(&mut self, writes: &[(Json, bool)]) -> Result<bool, Clash> {
        let Some((last, _)) = writes.last() else {
            let clears = matches!(
                self.rule,
                Rule::Any | Rule::Passing | Rule::Edge | Rule::Sends | Rule::Input
            );
            return Ok(clears && self.value.take().is_some());
        };
        match &self.rule {
            Rule::Last | Rule::Passing if writes.len() > 1 => return Err(Clash),
            Rule::Last | Rule::Passing | Rule::Any | Rule::Edge | Rule::Input => {
                self.value = Some(last.clone());
            }
            Rule::LateEdge => {
                self.value = Some(last.clone());
                self.released = false;
            }
            Rule::List | Rule::Sum | Rule::Table => {
                let mut whole = writes.iter().filter(|(_, overwrite)| *overwrite);
                match (whole.next(), whole.next()) {
                    (Some(_), Some(_)) => return Err(Clash),
                    (Some((value, _)), None) => self.value = Some(value.clone()),
                    (None, _) => writes.iter().for_each(|(value, _)| self.reduce(value)),
                }
            }
            Rule::Join(_) | Rule::LateJoin(_) => {
                let before = self.arrived();
                let mut now = before.clone();
                now.extend(writes.iter().filter_map(|(v, _)| v.as_str()).map(str::to_owned));
                self.value = Some(json!(now));
                return Ok(now != before);
            }
            Rule::Sends => {
                self.value = Some(writes.iter().map(|(value, _)| value.clone()).collect());
            }
        }
        Ok(true)
    }

    fn reduce(&mut self, new: &Json) {
        match (&mut self.value, new) {
            (Some(Json::Array(list)), Json::Array(new)) => list.extend(new.iter().cloned()),
            (Some(Json::Object(table)), Json::Object(new)) => table.extend(new.clone()),
            (Some(sum), new) => {
                *sum = json!(sum.as_i64().unwrap_or(0) + new.as_i64().unwrap_or(0));
            }
            (None, new) => self.value = Some(new.clone()),
        }
    }

    /// A node that this channel triggered has run.
    fn consume(&mut self) -> bool {
        let resets = match self.rule {
            Rule::Join(_) | Rule::LateJoin(_) | Rule::LateEdge => self.available(),
            _ => false,
        };
        if resets {
            self.value = None;
            self.released = false;
        }
        resets
    }

    /// Nothing else is left to run.
    fn release(&mut self) -> bool {
        let waits = match &self.rule {
            Rule::LateEdge => self.value.is_some(),
            Rule::LateJoin(all) => self.arrived() == *all,
            _ => false,
        };
        waits && !std::mem::replace(&mut self.released, true)
    }
}

/// All writes of a step to one channel: its name, the positions of the tasks, the values.
type Group = (String, Vec<usize>, Vec<(Json, bool)>);
type Channels = BTreeMap<String, Channel>;
/// Versions that a node has seen of its channels.
type Seen = BTreeMap<String, BTreeMap<String, u64>>;

/// Where a task stands in order of application.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Path {
    Pull(String),
    Push(usize),
}

/// What makes a task the same one when it is prepared again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct TaskId {
    base: u64,
    path: Path,
}

struct Task {
    id: TaskId,
    node: String,
    triggers: Vec<String>,
    /// The argument of a direct task.
    arg: Option<Json>,
}

/// What a finished task gave: writes to channels, in order, each with whether it overwrites.
#[derive(Debug, Clone, Default)]
struct Commit {
    writes: Vec<(String, Json, bool)>,
    /// As streams show it.
    shown: Json,
    empty_route: bool,
}

/// What is known of a task.
#[derive(Debug, Clone, Default)]
struct Record {
    commit: Option<Commit>,
    error: Option<String>,
    /// Every question it asked, by place or key.
    asked: Vec<Json>,
    answers: BTreeMap<String, Json>,
    /// Its last execution ended with a question.
    suspended: bool,
}

impl Record {
    fn open(&self) -> Vec<Json> {
        let open = self.asked.iter().filter(|asked| !self.answers.contains_key(&asked.to_string()));
        open.cloned().collect()
    }
}

#[derive(Debug, Clone)]
struct Checkpoint {
    parent: Option<u64>,
    step: i64,
    source: &'static str,
    channels: Channels,
    seen: Seen,
    updated: Vec<String>,
    tasks: BTreeMap<Path, Record>,
    /// Writes of commands given here.
    commands: Vec<(String, Json, bool)>,
}

/// All threads of one graph: its own, and one for every mounted graph that was run.
#[derive(Default)]
pub(crate) struct World {
    order: u64,
    stored: bool,
    next_id: u64,
    places: BTreeMap<Vec<TaskId>, BTreeMap<u64, Checkpoint>>,
    executions: BTreeMap<(Vec<TaskId>, TaskId), u32>,
    routed: BTreeMap<(String, u64), u32>,
    /// Starts by what was started.
    starts: BTreeMap<String, u32>,
    answers: BTreeMap<String, Json>,
    warnings: Vec<String>,
    events: Vec<observed::Told>,
    executed: usize,
}

/// Executions after which a case is too large to be worth its time.
const EXECUTIONS_MAX: usize = 600;

/// How a run ended.
struct End {
    what: Ended,
    time: u64,
}

enum Ended {
    Done,
    Interrupted(Vec<Json>),
    Failed(String),
}

/// A thread in memory while a run goes on.
struct Live {
    flow: Flow,
    ns: Vec<TaskId>,
    id: Option<u64>,
    step: i64,
    channels: Channels,
    seen: Seen,
    updated: Vec<String>,
    records: BTreeMap<Path, Record>,
    commands: Vec<(String, Json, bool)>,
    /// With a checkpoint per run: where it began and what it is now.
    unsaved: Option<(Option<u64>, &'static str)>,
    durability: Durability,
    limit: u32,
    steps: u32,
    passed: Option<u64>,
    before: Vec<String>,
    after: Vec<String>,
    empty: Vec<String>,
    time: u64,
}

/// How one execution of a task ended.
enum TaskEnd {
    Done(Commit),
    Suspended(Vec<Json>),
    /// As it is stored, and as the run tells it.
    Failed {
        stored: String,
        told: String,
    },
}

impl TaskEnd {
    fn failed(error: impl Into<String>) -> Self {
        let stored = error.into();
        Self::Failed { told: stored.clone(), stored }
    }
}

impl Live {
    fn new(flow: &Flow, ns: &[TaskId]) -> Self {
        let mut channels = Channels::new();
        for key in KEYS {
            channels.insert(key.to_owned(), Channel::new(rule_of(key)));
        }
        channels.insert(START.to_owned(), Channel::new(Rule::Input));
        channels.insert(SENDS.to_owned(), Channel::new(Rule::Sends));
        for node in &flow.nodes {
            let rule = if node.defer { Rule::LateEdge } else { Rule::Edge };
            channels.insert(edge_to(&node.name), Channel::new(rule));
        }
        for (at, (sources, to)) in flow.joins.iter().enumerate() {
            let all = sources.iter().cloned().collect();
            let late = flow.node(to).is_some_and(|node| node.defer);
            let rule = if late { Rule::LateJoin(all) } else { Rule::Join(all) };
            channels.insert(join_at(at), Channel::new(rule));
        }
        Self {
            flow: flow.clone(),
            ns: ns.to_vec(),
            id: None,
            step: -2,
            channels,
            seen: Seen::new(),
            updated: Vec::new(),
            records: BTreeMap::new(),
            commands: Vec::new(),
            unsaved: None,
            durability: Durability::Sync,
            limit: 0,
            steps: 0,
            passed: None,
            before: Vec::new(),
            after: Vec::new(),
            empty: Vec::new(),
            time: 0,
        }
    }

    fn load(flow: &Flow, ns: &[TaskId], id: u64, checkpoint: &Checkpoint) -> Self {
        Self {
            id: Some(id),
            step: checkpoint.step,
            channels: checkpoint.channels.clone(),
            seen: checkpoint.seen.clone(),
            updated: checkpoint.updated.clone(),
            ..Self::new(flow, ns)
        }
    }

    /// The values that readers by key find.
    fn values(&self) -> Json {
        let mut values = Map::new();
        for key in KEYS {
            if let Some(value) = &self.channels[key].value {
                values.insert(key.to_owned(), value.clone());
            }
        }
        Json::Object(values)
    }

    fn version(&self) -> u64 {
        self.channels.values().map(|channel| channel.version).max().unwrap_or(0)
    }

    /// The triggers of every node, by node.
    fn triggers(&self) -> BTreeMap<String, Vec<String>> {
        let mut triggers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        triggers.insert(START.to_owned(), vec![START.to_owned()]);
        for node in &self.flow.nodes {
            triggers.insert(node.name.clone(), vec![edge_to(&node.name)]);
        }
        for (at, (_, to)) in self.flow.joins.iter().enumerate() {
            triggers.entry(to.clone()).or_default().push(join_at(at));
        }
        triggers
    }

    fn fires(&self, node: &str, trigger: &str) -> bool {
        let channel = &self.channels[trigger];
        let seen = self.seen.get(node).and_then(|seen| seen.get(trigger));
        channel.available() && seen.is_none_or(|seen| channel.version > *seen)
    }

    /// The tasks of the next superstep: nodes by name, then direct tasks by index.
    fn plan(&self) -> Vec<Task> {
        let base = self.id.unwrap_or(0);
        let mut tasks = Vec::new();
        for (node, triggers) in self.triggers() {
            let fired: Vec<String> =
                triggers.into_iter().filter(|trigger| self.fires(&node, trigger)).collect();
            if !fired.is_empty() {
                let id = TaskId { base, path: Path::Pull(node.clone()) };
                tasks.push(Task { id, node, triggers: fired, arg: None });
            }
        }
        let sends = self.channels[SENDS].value.as_ref().and_then(Json::as_array);
        for (index, send) in sends.into_iter().flatten().enumerate() {
            let id = TaskId { base, path: Path::Push(index) };
            let node = send["node"].as_str().unwrap_or_default().to_owned();
            tasks.push(Task { id, node, triggers: Vec::new(), arg: Some(send["arg"].clone()) });
        }
        // Who waits until nothing else is left, waits also for what came up after it was released.
        if tasks.iter().any(|task| !self.waits(task)) {
            tasks.retain(|task| !self.waits(task));
        }
        tasks
    }

    fn waits(&self, task: &Task) -> bool {
        task.arg.is_none() && self.flow.node(&task.node).is_some_and(|node| node.defer)
    }

    /// Applies what tasks gave, all at once; says which tasks clash, and about what.
    fn apply(
        &mut self,
        done: &[(&Task, &Commit)],
        tick: bool,
    ) -> Result<bool, (Vec<usize>, String)> {
        let next = self.version() + 1;
        let mut channels = self.channels.clone();
        let mut seen = self.seen.clone();
        for (task, _) in done {
            for trigger in &task.triggers {
                let version = self.channels[trigger].version;
                seen.entry(task.node.clone()).or_default().insert(trigger.clone(), version);
            }
        }
        for (task, _) in done {
            for trigger in &task.triggers {
                if let Some(channel) = channels.get_mut(trigger)
                    && channel.consume()
                {
                    channel.version = next;
                }
            }
        }
        // In order of their first write.
        let mut groups: Vec<Group> = Vec::new();
        for (position, (_, commit)) in done.iter().enumerate() {
            for (name, value, overwrite) in &commit.writes {
                let at = groups.iter().position(|group| group.0 == *name);
                let at = at.unwrap_or_else(|| {
                    groups.push((name.clone(), Vec::new(), Vec::new()));
                    groups.len() - 1
                });
                groups[at].1.push(position);
                groups[at].2.push((value.clone(), *overwrite));
            }
        }
        let mut updated = Vec::new();
        for (name, mut writers, mut writes) in groups {
            let Some(channel) = channels.get_mut(&name) else { continue };
            if !tick && channel.rule == Rule::Sends {
                // No step passes: what was sent before is still to be run.
                let sent = channel.value.take().unwrap_or_default();
                let sent = sent.as_array().into_iter().flatten().map(|send| (send.clone(), false));
                writes = sent.chain(writes).collect();
            }
            match channel.update(&writes) {
                Ok(true) => channel.version = next,
                Ok(false) => {}
                Err(Clash) => {
                    writers.dedup();
                    return Err((writers, name));
                }
            }
            updated.push(name);
        }
        if tick {
            for (name, channel) in &mut channels {
                if !updated.contains(name) && channel.update(&[]).is_ok_and(|changed| changed) {
                    channel.version = next;
                }
            }
        }
        self.channels = channels;
        self.seen = seen;
        self.updated = updated.into_iter().filter(|name| KEYS.contains(&&**name)).collect();
        if self.plan().iter().all(|task| self.waits(task)) {
            for channel in self.channels.values_mut() {
                if channel.release() {
                    channel.version = next;
                }
            }
        }
        Ok(!self.updated.is_empty())
    }

    /// The writes that follow a node: edges, joins and routers. Routers see the step's snapshot
    /// with the node's own writes.
    fn exits(&self, world: &mut World, node: &str, commit: &mut Commit) -> Result<(), String> {
        for (from, to) in &self.flow.edges {
            if from == node && to != "__end__" {
                commit.writes.push((edge_to(to), Json::Null, false));
            }
        }
        for (at, (sources, _)) in self.flow.joins.iter().enumerate() {
            if sources.iter().any(|source| source == node) {
                commit.writes.push((join_at(at), json!(node), false));
            }
        }
        let routed = self.flow.routes.iter().any(|route| route.from == node)
            || self.flow.fans.iter().any(|fan| fan.from == node);
        if !routed {
            return Ok(());
        }
        let mut fresh = self.channels.clone();
        for key in KEYS {
            let writes: Vec<(Json, bool)> = commit
                .writes
                .iter()
                .filter(|(name, ..)| name == key)
                .map(|(_, value, overwrite)| (value.clone(), *overwrite))
                .collect();
            if let (Some(channel), Some((last, _))) = (fresh.get_mut(key), writes.last())
                && channel.update(&writes).is_err()
            {
                // Writes that clash are the barrier's business; until then the last one stands.
                channel.value = Some(last.clone());
            }
        }
        let seen = seen_by(&fresh);
        let routes = self.flow.routes.iter().enumerate().filter(|(_, route)| route.from == node);
        for (nth, route) in routes {
            let calls = world
                .routed
                .entry((format!("{node}?{nth}"), script::digest(&script::canonical(&seen))))
                .or_default();
            *calls += 1;
            if *calls <= route.fails {
                return Err("invalid_route".to_owned());
            }
            let ways = route.choose(&seen, nth);
            commit.empty_route |= ways.is_empty();
            Self::follow(ways, commit);
        }
        for fan in self.flow.fans.iter().filter(|fan| fan.from == node) {
            let jobs = fan.jobs(&seen);
            if let (true, Some(other)) = (jobs.is_empty(), &fan.if_empty) {
                commit.writes.push((edge_to(other), Json::Null, false));
            }
            Self::follow(
                jobs.into_iter().map(|job| Way::Job(fan.to.clone(), job)).collect(),
                commit,
            );
        }
        Ok(())
    }

    fn follow(ways: Vec<Way>, commit: &mut Commit) {
        for way in ways {
            match way {
                Way::End => {}
                Way::Node(name) => commit.writes.push((edge_to(&name), Json::Null, false)),
                Way::Job(node, Job { n, spent, tag }) => {
                    let arg = json!({ "n": n, "spent": spent, "tag": tag });
                    let send = json!({ "node": node, "arg": arg });
                    commit.writes.push((SENDS.to_owned(), send, false));
                }
                Way::State(node, arg) => {
                    let send = json!({ "node": node, "arg": arg });
                    commit.writes.push((SENDS.to_owned(), send, false));
                }
            }
        }
    }
}

fn edge_to(node: &str) -> String {
    format!("branch:to:{node}")
}

fn join_at(at: usize) -> String {
    format!("join:{at}")
}

fn rule_of(key: &str) -> Rule {
    match key {
        "log" => Rule::List,
        "sum" | "spent" => Rule::Sum,
        "marks" => Rule::Table,
        "any" => Rule::Any,
        "passing" => Rule::Passing,
        _ => Rule::Last,
    }
}

/// What a typed view shows of these channels: defaults for what was never written.
fn seen_by(channels: &Channels) -> Json {
    let mut seen = Map::new();
    for key in KEYS {
        seen.insert(key.to_owned(), channels[key].value.clone().unwrap_or_else(|| default(key)));
    }
    Json::Object(seen)
}

/// What a node sees that runs on these keys alone.
pub(crate) fn seen_in(arg: &Json) -> Json {
    let mut seen = Map::new();
    for key in KEYS {
        seen.insert(key.to_owned(), arg.get(key).cloned().unwrap_or_else(|| default(key)));
    }
    Json::Object(seen)
}

fn default(key: &str) -> Json {
    match key {
        "tag" => json!(""),
        "log" => json!([]),
        "sum" | "spent" => json!(0),
        "marks" => json!({}),
        _ => Json::Null,
    }
}

/// The writes of a JSON object of state keys, in order of its entries.
fn writes_of(update: &Json) -> Vec<(String, Json, bool)> {
    let entries = update.as_object().into_iter().flatten();
    entries
        .map(|(key, value)| match value.get("__overwrite__") {
            Some(value) => (key.clone(), value.clone(), true),
            None => (key.clone(), value.clone(), false),
        })
        .collect()
}

/// `null`, one object, or a list of objects, as the stream of updates shows a task's result.
fn shown(updates: &[Vec<Write>]) -> Json {
    let object = |writes: &Vec<Write>| -> Json {
        writes
            .iter()
            .map(|write| (write.key.to_owned(), write.value.clone()))
            .collect::<Map<_, _>>()
            .into()
    };
    let told: Vec<&Vec<Write>> = updates.iter().filter(|writes| !writes.is_empty()).collect();
    match told[..] {
        [] => Json::Null,
        [only] => object(only),
        ref several => several.iter().map(|writes| object(writes)).collect(),
    }
}

impl World {
    pub(crate) fn new(case: &Case, order: u64) -> Self {
        Self { order, stored: case.stored, next_id: 1, ..Self::default() }
    }

    /// One call on the root graph's thread.
    pub(crate) fn call(&mut self, flow: &Flow, call: &Call) -> Observed {
        self.events.clear();
        self.warnings.clear();
        self.answers.clear();
        let at = call.at.map(|nth| {
            let ids: Vec<u64> =
                self.places.get(&vec![]).into_iter().flatten().map(|(id, _)| *id).collect();
            ids.get(nth % ids.len().max(1)).copied()
        });
        let at = at.flatten();
        if let Ask::Update { as_node, values } = &call.ask {
            let end = match self.update_state(flow, as_node, values.as_ref(), at) {
                Ok(()) => "updated".to_owned(),
                Err(error) => error,
            };
            return Observed { end, ..Observed::default() };
        }
        let (mut live, begun) = match self.begin(flow, call, at) {
            Ok(begun) => begun,
            Err(error) => return Observed { end: format!("error {error}"), ..Observed::default() },
        };
        let end = if begun {
            self.run(&mut live)
        } else {
            self.tell(&live, "values", live.values());
            self.put_exit(&mut live);
            End { what: Ended::Done, time: live.time }
        };
        let mut values = live.values();
        let end = match end.what {
            Ended::Done => "done".to_owned(),
            Ended::Interrupted(questions) => {
                if !questions.is_empty() {
                    values["__interrupt__"] = questions.into();
                }
                "interrupted".to_owned()
            }
            Ended::Failed(error) => {
                values = Json::Null;
                self.warnings.clear();
                format!("error {error}")
            }
        };
        self.warnings.sort();
        Observed {
            end,
            values,
            warnings: std::mem::take(&mut self.warnings),
            events: std::mem::take(&mut self.events),
        }
    }

    fn head(&self, ns: &[TaskId]) -> Option<u64> {
        self.places.get(ns)?.keys().next_back().copied()
    }

    /// What the run starts from, and whether there is anything to run.
    fn begin(&mut self, flow: &Flow, call: &Call, at: Option<u64>) -> Result<(Live, bool), String> {
        let loaded = at.or_else(|| self.head(&[]));
        let mut live = match loaded {
            Some(id) => Live::load(flow, &[], id, &self.places[&vec![]][&id]),
            None => Live::new(flow, &[]),
        };
        live.durability = call.durability;
        live.limit = call.limit;
        live.before.clone_from(&call.before);
        live.after.clone_from(&call.after);
        match &call.ask {
            Ask::Input(input) => {
                if at.is_none() {
                    self.adopt_commands(&mut live);
                }
                self.take_input(&mut live, input, &[]);
                return Ok((live, true));
            }
            Ask::Resume => {
                if loaded.is_none() {
                    return Err("empty input".to_owned());
                }
                if let Some(id) = at
                    && !self.is_fresh_fork(id)
                {
                    if live.plan().is_empty() {
                        return Ok((live, false));
                    }
                    live.step += 1;
                    live.updated.clear();
                    self.put(&mut live, "fork", BTreeMap::new());
                } else {
                    self.adopt(&mut live);
                }
            }
            Ask::AnswerAll | Ask::AnswerFirst | Ask::AnswerOnly => {
                if loaded.is_none() {
                    return Err("nothing to resume".to_owned());
                }
                self.adopt(&mut live);
                self.answer(&mut live, &call.ask)?;
            }
            Ask::Command { update, goto } => {
                let writes = update.as_ref().map(writes_of).unwrap_or_default();
                if writes.is_empty() && goto.is_empty() {
                    return Err("empty input".to_owned());
                }
                if loaded.is_none() {
                    let update = update.clone().unwrap_or_else(|| json!({}));
                    self.take_input(&mut live, &update, goto);
                    return Ok((live, true));
                }
                let finished = live.plan().is_empty();
                self.adopt(&mut live);
                let gotos = goto.iter().map(|node| (edge_to(node), Json::Null, false));
                let writes: Vec<_> = writes.into_iter().chain(gotos).collect();
                apply_command(&mut live, &writes);
                if finished {
                    live.step += 1;
                    self.put(&mut live, "update", BTreeMap::new());
                } else {
                    live.commands.extend(writes);
                    self.store_tasks(&live);
                }
            }
            Ask::Update { .. } => {}
        }
        if live.plan().is_empty() {
            return Ok((live, false));
        }
        live.passed = Some(live.version());
        self.tell(&live, "values", live.values());
        Ok((live, true))
    }

    /// A fork or an update from outside that nothing was run from.
    fn is_fresh_fork(&self, id: u64) -> bool {
        let checkpoints = &self.places[&vec![]];
        matches!(checkpoints[&id].source, "fork" | "update")
            && checkpoints[&id].tasks.is_empty()
            && checkpoints.keys().next_back() == Some(&id)
            && checkpoints[&id].commands.is_empty()
    }

    fn take_input(&mut self, live: &mut Live, input: &Json, goto: &[String]) {
        // What was unfinished is discarded, with half-filled joins and with who waited.
        let next = live.version() + 1;
        for (name, channel) in &mut live.channels {
            if !KEYS.contains(&&**name) {
                channel.value = None;
                channel.released = false;
            }
        }
        if let Some(channel) = live.channels.get_mut(START) {
            channel.value = Some(json!({ "update": input, "goto": goto }));
            channel.version = next;
        }
        live.step += 1;
        live.updated.clear();
        self.put(live, "input", BTreeMap::new());
    }

    fn adopt_commands(&self, live: &mut Live) {
        let Some(id) = live.id else { return };
        let commands = self.places[&live.ns][&id].commands.clone();
        if !commands.is_empty() {
            apply_command(live, &commands);
            live.commands = commands;
        }
    }

    fn adopt(&self, live: &mut Live) {
        self.adopt_commands(live);
        if let Some(id) = live.id {
            live.records = self.places[&live.ns][&id].tasks.clone();
        }
    }

    fn answer(&mut self, live: &mut Live, ask: &Ask) -> Result<(), String> {
        let mut open: Vec<Json> = Vec::new();
        for record in live.records.values() {
            for question in record.open() {
                if !open.contains(&question) {
                    open.push(question);
                }
            }
        }
        let chosen = match (ask, &open[..]) {
            (_, []) => return Err("nothing to resume".to_owned()),
            (Ask::AnswerAll, all) => all.to_vec(),
            (Ask::AnswerFirst, [first, ..]) | (_, [first]) => vec![first.clone()],
            _ => return Err("ambiguous resume".to_owned()),
        };
        for question in chosen {
            self.answers.insert(question.to_string(), script::answer(&question));
        }
        self.give(live);
        self.store_tasks(live);
        Ok(())
    }

    /// Puts the answers of this run beside the questions of the loaded tasks.
    fn give(&self, live: &mut Live) {
        for record in live.records.values_mut() {
            for question in record.open() {
                if let Some(answer) = self.answers.get(&question.to_string()) {
                    record.answers.insert(question.to_string(), answer.clone());
                }
            }
        }
    }

    fn run(&mut self, live: &mut Live) -> End {
        loop {
            let tasks = live.plan();
            if tasks.is_empty() {
                self.warn_of_open_ends(live);
                self.put_exit(live);
                return End { what: Ended::Done, time: live.time };
            }
            let starting = tasks[0].node == START;
            if !starting && live.steps >= live.limit {
                self.put_exit(live);
                return End { what: Ended::Failed("recursion limit".to_owned()), time: live.time };
            }
            let listed = |names: &[String], node: &str| names.iter().any(|name| name == node);
            if live.passed.is_none_or(|passed| live.version() > passed)
                && tasks.iter().any(|task| listed(&live.before, &task.node))
            {
                return self.stop(live);
            }
            if let Some(end) = self.superstep(live, &tasks) {
                return end;
            }
            live.steps += u32::from(!starting);
            if tasks.iter().any(|task| listed(&live.after, &task.node)) {
                return self.stop(live);
            }
        }
    }

    fn stop(&mut self, live: &mut Live) -> End {
        self.put_exit(live);
        self.tell(live, "updates", json!({ "__interrupt__": [] }));
        End { what: Ended::Interrupted(Vec::new()), time: live.time }
    }

    fn superstep(&mut self, live: &mut Live, tasks: &[Task]) -> Option<End> {
        let mut ends: Vec<(u64, usize, TaskEnd)> = Vec::new();
        for (position, task) in tasks.iter().enumerate() {
            let record = live.records.entry(task.id.path.clone()).or_default();
            if record.commit.is_some() {
                continue;
            }
            let answered = record.asked.iter().any(|q| self.answers.contains_key(&q.to_string()));
            if record.suspended && !record.open().is_empty() && !answered {
                continue;
            }
            let answers = record.answers.clone();
            let (time, end) = self.execute(live, task, &answers);
            ends.push((time, position, end));
        }
        let last_to_end = ends.iter().max_by_key(|(time, position, _)| (*time, *position));
        let last_to_end = last_to_end.map(|(_, position, _)| tasks[*position].id.path.clone());
        // In order of ending: who was told first, and who failed first.
        ends.sort_by_key(|(time, position, _)| (*time, *position));
        let mut failed: Option<String> = None;
        for (time, position, end) in ends {
            let task = &tasks[position];
            live.time = live.time.max(time);
            let record = live.records.entry(task.id.path.clone()).or_default();
            record.suspended = false;
            match end {
                TaskEnd::Done(commit) => {
                    record.error = None;
                    let shown = commit.shown.clone();
                    record.commit = Some(commit);
                    if task.node != START {
                        self.tell_at(live, time, "updates", json!({ &task.node: shown }));
                    }
                }
                TaskEnd::Suspended(asked) => {
                    record.error = None;
                    record.suspended = true;
                    record.asked = asked;
                    let open = record.open();
                    self.tell_at(live, time, "updates", json!({ "__interrupt__": open }));
                }
                TaskEnd::Failed { stored, told } => {
                    record.error = Some(stored);
                    failed.get_or_insert(format!("{}:{told}", task.node));
                }
            }
        }
        let done: Vec<(&Task, Commit)> = tasks
            .iter()
            .filter_map(|task| Some((task, live.records.get(&task.id.path)?.commit.clone()?)))
            .collect();
        if done.len() < tasks.len() {
            self.put_exit(live);
            self.store_tasks(live);
            if let Some(error) = failed {
                return Some(End { what: Ended::Failed(error), time: live.time });
            }
            let mut open: Vec<Json> = Vec::new();
            for record in tasks.iter().filter_map(|task| live.records.get(&task.id.path)) {
                open.extend(record.open());
            }
            let mut values = live.values();
            values["__interrupt__"] = open.clone().into();
            self.tell(live, "values", values);
            return Some(End { what: Ended::Interrupted(open), time: live.time });
        }
        let refs: Vec<(&Task, &Commit)> =
            done.iter().map(|(task, commit)| (*task, commit)).collect();
        match live.apply(&refs, true) {
            Ok(changed) => {
                live.empty = done
                    .iter()
                    .filter(|(_, commit)| commit.empty_route)
                    .map(|(task, _)| task.node.clone())
                    .collect();
                live.step += 1;
                let starting = tasks[0].node == START;
                let mut records = std::mem::take(&mut live.records);
                if starting {
                    records.clear();
                }
                if live.durability == Durability::Exit && live.unsaved.is_none() {
                    // Beside a checkpoint that is stored, results are stored as they come. The one
                    // that completes the step is not: the step will be stored with the end.
                    let mut early = records.clone();
                    if let Some(last) = last_to_end {
                        early.remove(&last);
                    }
                    self.store_results(live, early);
                }
                self.put(live, "loop", records);
                if changed || starting {
                    self.tell(live, "values", live.values());
                }
                None
            }
            Err((positions, key)) => {
                let nodes: Vec<&str> =
                    positions.iter().map(|position| &*tasks[*position].node).collect();
                let error = format!("concurrent update of {key} by {}", nodes.join(","));
                for position in &positions {
                    if let Some(record) = live.records.get_mut(&tasks[*position].id.path) {
                        record.commit = None;
                        record.error = Some(error.clone());
                    }
                }
                self.put_exit(live);
                self.store_tasks(live);
                let what = Ended::Failed(format!("{}:{error}", nodes[0]));
                Some(End { what, time: live.time })
            }
        }
    }

    /// One execution of a task: when it ends, and how.
    fn execute(
        &mut self,
        live: &Live,
        task: &Task,
        answers: &BTreeMap<String, Json>,
    ) -> (u64, TaskEnd) {
        let mut commit = Commit::default();
        self.executed += 1;
        if self.is_too_large() {
            return (live.time, TaskEnd::failed("too large"));
        }
        if task.node == START {
            let input = live.channels[START].value.clone().unwrap_or_default();
            commit.writes = writes_of(&input["update"]);
            for node in input["goto"].as_array().into_iter().flatten() {
                commit.writes.push((edge_to(node.as_str().unwrap_or_default()), Json::Null, false));
            }
            let end = match live.exits(self, START, &mut commit) {
                Ok(()) => TaskEnd::Done(commit),
                Err(error) => TaskEnd::failed(error),
            };
            return (live.time, end);
        }
        let Some(node) = live.flow.node(&task.node).cloned() else {
            return (live.time, TaskEnd::failed("unknown node"));
        };
        let seen = match &task.arg {
            Some(arg) if node.takes => {
                seen_in(&json!({ "sum": arg["n"], "spent": arg["spent"], "tag": arg["tag"] }))
            }
            Some(arg) => seen_in(arg),
            None => seen_by(&live.channels),
        };
        let (time, given) = match &node.work {
            Work::Mount(child) => self.mount(live, task, child, &seen),
            Work::Script(script) => {
                let step = live.step + 1;
                let place = observed::place(script::tag_of(&seen), &node.name, step);
                *self.starts.entry(place.clone()).or_default() += 1;
                let count = self.executions.entry((live.ns.clone(), task.id.clone())).or_default();
                *count += 1;
                let time = live.time + observed::delay(self.order, &place, *count);
                if *count <= script.fails {
                    let kind = if script.panics { "panic" } else { "node" };
                    return (time, TaskEnd::failed(kind));
                }
                let mut asked = Vec::new();
                let mut got = Vec::new();
                for name in script.asks.names() {
                    let question = script::question(&seen, &node.name, step, &name);
                    let answer = answers.get(&question.to_string());
                    got.extend(answer.cloned());
                    asked.push(question);
                    if answer.is_none() && !script.asks.at_once() {
                        break;
                    }
                }
                if got.len() < asked.len() {
                    return (time, TaskEnd::Suspended(asked));
                }
                (time, Ok(script.perform(&node.name, &seen, &got)))
            }
        };
        let given: Given = match given {
            Ok(given) => given,
            Err(end) => return (time, end),
        };
        commit.shown = shown(&given.updates);
        for write in given.updates.iter().flatten() {
            commit.writes.push((write.key.to_owned(), write.value.clone(), write.overwrite));
        }
        Live::follow(given.ways, &mut commit);
        match live.exits(self, &node.name, &mut commit) {
            Ok(()) => (time, TaskEnd::Done(commit)),
            Err(error) => (time, TaskEnd::failed(error)),
        }
    }

    /// Runs a mounted graph below its task: from its start, or from where it stopped.
    fn mount(
        &mut self,
        parent: &Live,
        task: &Task,
        flow: &Flow,
        seen: &Json,
    ) -> (u64, Result<Given, TaskEnd>) {
        let ns: Vec<TaskId> = parent.ns.iter().cloned().chain([task.id.clone()]).collect();
        let mut live = match self.head(&ns).filter(|_| self.stored) {
            Some(id) => Live::load(flow, &ns, id, &self.places[&ns][&id]),
            None => Live::new(flow, &ns),
        };
        live.durability = parent.durability;
        live.limit = parent.limit;
        live.time = parent.time;
        let mut idle = false;
        if live.id.is_some() {
            self.adopt(&mut live);
            self.give(&mut live);
            self.store_tasks(&live);
            idle = live.plan().is_empty();
            if !idle {
                self.tell(&live, "values", live.values());
            }
        } else {
            self.take_input(&mut live, &enter(&task.node, seen), &[]);
        }
        let end =
            if idle { End { what: Ended::Done, time: live.time } } else { self.run(&mut live) };
        let given = match end.what {
            Ended::Done => Ok(leave(&live.values())),
            Ended::Interrupted(open) => Err(TaskEnd::Suspended(open)),
            Ended::Failed(told) => Err(TaskEnd::Failed { stored: "child".to_owned(), told }),
        };
        (end.time, given)
    }

    fn warn_of_open_ends(&mut self, live: &Live) {
        for node in &live.empty {
            self.warnings.push(format!("empty fan-out after {node}"));
        }
        for (at, (sources, to)) in live.flow.joins.iter().enumerate() {
            let arrived = live.channels[&join_at(at)].arrived();
            if !arrived.is_empty() && arrived.len() < sources.len() {
                let missing: Vec<&String> =
                    sources.iter().filter(|source| !arrived.contains(*source)).collect();
                self.warnings.push(format!("join of {to} misses {missing:?}"));
            }
        }
    }

    /// Makes the thread a checkpoint. `records` are the tasks of the step that led to it.
    fn put(&mut self, live: &mut Live, source: &'static str, records: BTreeMap<Path, Record>) {
        live.commands.clear();
        live.records.clear();
        let id = self.next_id;
        self.next_id += 1;
        let parent = live.id.replace(id);
        if !self.stored {
            return;
        }
        if live.durability == Durability::Exit {
            let origin = live.unsaved.map_or(parent, |(origin, _)| origin);
            live.unsaved = Some((origin, source));
            return;
        }
        if let Some(parent) = parent
            && let Some(before) = self.places.entry(live.ns.clone()).or_default().get_mut(&parent)
        {
            before.tasks.extend(records);
        }
        self.insert(live, id, parent, source);
    }

    fn put_exit(&mut self, live: &mut Live) {
        if let (Some((origin, source)), Some(id)) = (live.unsaved.take(), live.id) {
            self.insert(live, id, origin, source);
        }
    }

    fn insert(&mut self, live: &Live, id: u64, parent: Option<u64>, source: &'static str) {
        let checkpoint = Checkpoint {
            parent,
            step: live.step,
            source,
            channels: live.channels.clone(),
            seen: live.seen.clone(),
            updated: live.updated.clone(),
            tasks: BTreeMap::new(),
            commands: Vec::new(),
        };
        self.places.entry(live.ns.clone()).or_default().insert(id, checkpoint);
    }

    fn store_results(&mut self, live: &Live, records: BTreeMap<Path, Record>) {
        let place = self.places.get_mut(&live.ns);
        let stored = place.zip(live.id).and_then(|(place, id)| place.get_mut(&id));
        if let Some(checkpoint) = stored {
            checkpoint.tasks.extend(records);
        }
    }

    /// Stores what is known of the tasks of the step that was not applied.
    fn store_tasks(&mut self, live: &Live) {
        let Some(id) = live.id else { return };
        if let Some(checkpoint) = self.places.get_mut(&live.ns).and_then(|place| place.get_mut(&id))
        {
            let known = |record: &Record| {
                record.commit.is_some() || record.error.is_some() || !record.asked.is_empty()
            };
            let records = live.records.iter().filter(|(_, record)| known(record));
            checkpoint.tasks =
                records.map(|(path, record)| (path.clone(), record.clone())).collect();
            checkpoint.commands.clone_from(&live.commands);
        }
    }

    /// Changes the state as if a node had given these values.
    fn update_state(
        &mut self,
        flow: &Flow,
        as_node: &str,
        values: Option<&Json>,
        at: Option<u64>,
    ) -> Result<(), String> {
        let head = self.head(&[]);
        let loaded = at.or(head);
        let mut live = match loaded {
            Some(id) => Live::load(flow, &[], id, &self.places[&vec![]][&id]),
            None => Live::new(flow, &[]),
        };
        if loaded == head {
            self.adopt(&mut live);
        }
        // The step passes: with what its finished tasks gave, and with the node in whose name the
        // values are given, whose triggers count as seen.
        let tasks = live.plan();
        // The node counts as having run: what made it wait for its turn makes it wait no more.
        for trigger in live.triggers().remove(as_node).unwrap_or_default() {
            if let Some(channel) = live.channels.get_mut(&trigger) {
                let waits = match &channel.rule {
                    Rule::LateEdge => true,
                    Rule::LateJoin(all) => channel.arrived() == *all,
                    _ => false,
                };
                if waits {
                    channel.value = None;
                    channel.released = false;
                }
            }
        }
        let empty = Commit::default();
        let records = live.records.clone();
        let passed: Vec<(&Task, &Commit)> = tasks
            .iter()
            .filter_map(|task| match records.get(&task.id.path) {
                _ if task.node == as_node => Some((task, &empty)),
                record => Some((task, record?.commit.as_ref()?)),
            })
            .collect();
        let clash = |passed: &[(&Task, &Commit)], (positions, key): (Vec<usize>, String)| {
            let nodes: Vec<&str> = positions.iter().map(|at| &*passed[*at].0.node).collect();
            format!("error concurrent update of {key} by {}", nodes.join(","))
        };
        live.apply(&passed, true).map_err(|found| clash(&passed, found))?;
        let before = live.updated.clone();
        let writes = values.map(writes_of).unwrap_or_default();
        let mut commit = Commit { writes, ..Commit::default() };
        live.exits(self, as_node, &mut commit).map_err(|error| format!("error {error}"))?;
        let stand_in = Task {
            id: TaskId { base: 0, path: Path::Pull(as_node.to_owned()) },
            node: as_node.to_owned(),
            triggers: Vec::new(),
            arg: None,
        };
        let given = [(&stand_in, &commit)];
        live.apply(&given, false).map_err(|found| clash(&given, found))?;
        // What was given in the node's name is the result of the task that waited to run, unless
        // another branch went on from there.
        let waited = tasks.iter().find(|task| {
            let record = records.get(&task.id.path);
            task.node == as_node && record.is_none_or(|record| record.commit.is_none())
        });
        if let (Some(task), Some(id), true) = (waited, loaded, loaded == head)
            && let Some(checkpoint) = self.places.entry(Vec::new()).or_default().get_mut(&id)
        {
            let record = Record { commit: Some(commit), ..Record::default() };
            checkpoint.tasks.insert(task.id.path.clone(), record);
        }
        live.updated.extend(before);
        live.step += 1;
        live.durability = Durability::Sync;
        self.put(&mut live, "update", BTreeMap::new());
        Ok(())
    }

    fn tell(&mut self, live: &Live, mode: &'static str, data: Json) {
        self.tell_at(live, live.time, mode, data);
    }

    fn tell_at(&mut self, live: &Live, time: u64, mode: &'static str, data: Json) {
        let ns = format!("{:?}", live.ns);
        self.events.push(observed::Told { ns, mode, data, time });
    }

    /// The thread now: its newest checkpoint with what its unfinished step has given.
    pub(crate) fn state(&self, flow: &Flow) -> String {
        let Some(id) = self.head(&[]) else { return "no thread".to_owned() };
        let mut live = Live::load(flow, &[], id, &self.places[&vec![]][&id]);
        self.adopt(&mut live);
        let tasks = live.plan();
        let mut next = Vec::new();
        let mut done: Vec<(&Task, Commit)> = Vec::new();
        for task in &tasks {
            let record = live.records.get(&task.id.path).cloned().unwrap_or_default();
            if let Some(commit) = record.commit {
                done.push((task, commit));
            } else {
                next.push(task.node.clone());
            }
        }
        // Also of tasks that wait again for their turn since a command made others.
        let unfinished = live.records.values().filter(|record| record.commit.is_none());
        let open: Vec<Json> = unfinished.flat_map(Record::open).collect();
        let refs: Vec<(&Task, &Commit)> =
            done.iter().map(|(task, commit)| (*task, commit)).collect();
        if !refs.is_empty() {
            let _ = live.apply(&refs, true);
        }
        observed::state_line(&next, &live.values(), &open)
    }

    /// The checkpoints of the root graph, oldest first.
    pub(crate) fn history(&self, flow: &Flow) -> Vec<String> {
        let Some(place) = self.places.get(&vec![]) else { return Vec::new() };
        let number = |id: u64| place.keys().position(|known| *known == id);
        let mut lines = Vec::new();
        for (id, checkpoint) in place {
            let live = Live::load(flow, &[], *id, checkpoint);
            let mut tasks = Vec::new();
            let mut next = Vec::new();
            for task in live.plan() {
                let record = checkpoint.tasks.get(&task.id.path).cloned().unwrap_or_default();
                let mut result = Json::Null;
                if let Some(commit) = &record.commit {
                    let writes = commit.writes.iter().filter(|(name, ..)| KEYS.contains(&&**name));
                    result = writes
                        .map(|(name, value, _)| (name.clone(), value.clone()))
                        .collect::<Map<_, _>>()
                        .into();
                } else if task.node == START
                    && let Some(input) = &live.channels[START].value
                {
                    // START shows the input that the checkpoint waits to apply.
                    let writes = writes_of(&input["update"]).into_iter();
                    result = writes
                        .filter(|(name, ..)| KEYS.contains(&&**name))
                        .map(|(name, value, _)| (name, value))
                        .collect::<Map<_, _>>()
                        .into();
                }
                let mount = flow.node(&task.node).is_some_and(|n| matches!(n.work, Work::Mount(_)));
                let asked = if mount { Vec::new() } else { record.asked };
                tasks.push(observed::task_line(
                    &task.node,
                    record.error.as_deref(),
                    &asked,
                    &result,
                ));
                next.push(task.node);
            }
            let mut updated = checkpoint.updated.clone();
            updated.sort();
            updated.dedup();
            lines.push(observed::checkpoint_line(
                checkpoint.step,
                checkpoint.source,
                checkpoint.parent.and_then(number),
                &next,
                &updated,
                &live.values(),
                &tasks,
            ));
        }
        lines
    }

    /// Whether the case grew beyond what is compared; the rest of it means nothing.
    pub(crate) fn is_too_large(&self) -> bool {
        self.executed > EXECUTIONS_MAX
    }

    pub(crate) fn starts(&self) -> &BTreeMap<String, u32> {
        &self.starts
    }
}

fn apply_command(live: &mut Live, writes: &[(String, Json, bool)]) {
    let stand_in = Task {
        id: TaskId { base: 0, path: Path::Pull(String::new()) },
        node: START.to_owned(),
        triggers: Vec::new(),
        arg: None,
    };
    let commit = Commit { writes: writes.to_vec(), ..Commit::default() };
    let _ = live.apply(&[(&stand_in, &commit)], false);
}

/// The input of a mounted graph.
pub(crate) fn enter(node: &str, seen: &Json) -> Json {
    let tag = format!("{}/{node}.{}", script::tag_of(seen), seen["spent"]);
    json!({ "tag": tag, "sum": seen["sum"], "spent": seen["spent"] })
}

/// The update that a mounted graph's final state makes.
fn leave(values: &Json) -> Given {
    let write = |key, value| Write { key, overwrite: false, value };
    let sum = values["sum"].as_i64().unwrap_or_default().rem_euclid(7);
    let writes = vec![
        write("log", values["log"].clone()),
        write("sum", json!(sum)),
        write("spent", json!(1)),
        write("marks", values["marks"].clone()),
    ];
    Given { updates: vec![writes], ways: Vec::new() }
}
