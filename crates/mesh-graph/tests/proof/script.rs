//! What a node or a router of a random graph does, as plain data: a table from what it sees to
//! what it gives. The model and the nodes of the engine read the same table, so that the two can
//! only differ in what becomes of it.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// A condition on the state that a node or a router sees.
#[derive(Debug, Clone)]
pub(crate) enum When {
    Always,
    /// Few tasks have run so far. Whoever sends asks this, so that no graph grows without end.
    SpentBelow(i64),
    SpentFrom(i64),
    SumOdd,
    SumEven,
    PassingSeen,
    AnySeen,
}

impl When {
    pub(crate) fn holds(&self, seen: &Json) -> bool {
        let spent = seen["spent"].as_i64().unwrap_or_default();
        let odd = seen["sum"].as_i64().unwrap_or_default().rem_euclid(2) == 1;
        match self {
            Self::Always => true,
            Self::SpentBelow(limit) => spent < *limit,
            Self::SpentFrom(limit) => spent >= *limit,
            Self::SumOdd => odd,
            Self::SumEven => !odd,
            Self::PassingSeen => !seen["passing"].is_null(),
            Self::AnySeen => !seen["any"].is_null(),
        }
    }
}

/// One thing that a node gives.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Appends a line that tells the name, and a digest of all that was seen and answered.
    Log,
    /// Counts the task.
    Spend,
    Add(i64),
    Last(Option<i64>),
    Any(i64),
    Passing(i64),
    Mark(&'static str, i64),
    /// Replaces the list by one line.
    Reset,
    ResetSum(i64),
    /// The writes after this belong to a further update of the same task.
    Split,
    Go(Target),
}

/// Where a goto or a router leads.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Node(String),
    End,
    /// A direct task for a node that takes a [`Job`].
    Send(String, i64),
    /// A direct task for a node that reads state.
    SendState(String, i64),
}

/// The argument of a direct task. The tag tells who sent it, and is unique within a superstep.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub(crate) struct Job {
    pub(crate) n: i64,
    /// What counts as spent for the receiver, so that chains of sends end.
    pub(crate) spent: i64,
    pub(crate) tag: String,
}

/// What a node does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    /// Every task fails in this many executions before it succeeds.
    pub(crate) fails: u32,
    /// It fails by panicking.
    pub(crate) panics: bool,
    pub(crate) asks: Asks,
    pub(crate) rules: Vec<(When, Vec<Act>)>,
}

/// The questions a node asks before it gives anything.
#[derive(Debug, Clone, Default)]
pub(crate) enum Asks {
    #[default]
    Nothing,
    /// One after the other, by key.
    Keys(Vec<&'static str>),
    /// All at once.
    Together(Vec<&'static str>),
    /// One after the other, by place.
    Places(usize),
}

impl Asks {
    /// The names of the questions, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Keys(keys) | Self::Together(keys) => {
                keys.iter().map(|key| (*key).to_owned()).collect()
            }
            Self::Places(count) => (0..*count).map(|place| format!("#{place}")).collect(),
        }
    }

    pub(crate) fn at_once(&self) -> bool {
        matches!(self, Self::Together(_))
    }
}

/// A router after a node.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) from: String,
    /// The router returns nothing in this many calls before it works; counted over all its tasks.
    pub(crate) fails: u32,
    /// The first choice whose condition holds; an empty list if there is none.
    pub(crate) choices: Vec<(When, Vec<Target>)>,
}

/// A fan-out after a node: as many tasks as the sum says.
#[derive(Debug, Clone)]
pub(crate) struct FanOut {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) modulo: i64,
    pub(crate) if_empty: Option<String>,
}

impl FanOut {
    pub(crate) fn jobs(&self, seen: &Json) -> Vec<Job> {
        let count = seen["sum"].as_i64().unwrap_or_default().rem_euclid(self.modulo);
        let count = if When::SpentBelow(10).holds(seen) { count } else { 0 };
        let (tag, told) = (tag_of(seen), told_apart(seen));
        let spent = spent_by_sends(seen);
        (0..count)
            .map(|n| Job { n, spent, tag: format!("{tag}/{}*{n}{told}", self.from) })
            .collect()
    }
}

/// A write of a node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Write {
    pub(crate) key: &'static str,
    pub(crate) overwrite: bool,
    pub(crate) value: Json,
}

/// A place to go to, with the argument of a direct task.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    Node(String),
    End,
    Job(String, Job),
    State(String, Json),
}

/// What one execution gives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    pub(crate) updates: Vec<Vec<Write>>,
    pub(crate) ways: Vec<Way>,
}

pub(crate) fn tag_of(seen: &Json) -> &str {
    seen["tag"].as_str().unwrap_or_default()
}

/// Tells apart what the routers of several tasks of one node send: they see the same state, each
/// with the writes of its own task.
fn told_apart(seen: &Json) -> String {
    format!("~{:03x}", digest(&canonical(seen)) % 0x1000)
}

fn spent_by_sends(seen: &Json) -> i64 {
    seen["spent"].as_i64().unwrap_or_default() + 3
}

pub(crate) fn question(seen: &Json, node: &str, step: i64, name: &str) -> Json {
    json!({ "ask": format!("{}|{node}|{step}|{name}", tag_of(seen)) })
}

/// The answer that everybody gives to a question.
pub(crate) fn answer(question: &Json) -> Json {
    json!(digest(&question.to_string()) % 1000)
}

impl Script {
    pub(crate) fn perform(&self, node: &str, seen: &Json, answers: &[Json]) -> Given {
        let mut given = Given { updates: vec![Vec::new()], ways: Vec::new() };
        for (when, acts) in &self.rules {
            if !when.holds(seen) {
                continue;
            }
            for act in acts {
                Self::act(act, node, seen, answers, &mut given);
            }
        }
        given
    }

    fn act(act: &Act, node: &str, seen: &Json, answers: &[Json], given: &mut Given) {
        let line = || {
            let told = format!("{}{answers:?}", canonical(seen));
            let (tag, digest) = (tag_of(seen), digest(&told) % 0x1_0000);
            json!([format!("{tag}|{node}|{digest:04x}")])
        };
        let (key, overwrite, value) = match act {
            Act::Log => ("log", false, line()),
            Act::Reset => ("log", true, line()),
            Act::Spend => ("spent", false, json!(1)),
            Act::Add(n) => ("sum", false, json!(n)),
            Act::ResetSum(n) => ("sum", true, json!(n)),
            Act::Last(n) => ("last", false, json!(n)),
            Act::Any(n) => ("any", false, json!(n)),
            Act::Passing(n) => ("passing", false, json!(n)),
            Act::Mark(name, n) => ("marks", false, json!({ *name: n })),
            Act::Split => return given.updates.push(Vec::new()),
            Act::Go(target) => {
                let way = target.way(node, seen, given.ways.len());
                return given.ways.push(way);
            }
        };
        let Some(update) = given.updates.last_mut() else { return };
        match (update.last_mut(), value) {
            // Lines given one after the other are one write.
            (
                Some(Write { key: "log", overwrite: false, value: Json::Array(lines) }),
                Json::Array(new),
            ) if key == "log" && !overwrite => {
                lines.extend(new);
            }
            (_, value) => update.push(Write { key, overwrite, value }),
        }
    }
}

impl Target {
    /// `nth` is the number of the way among those of its task.
    pub(crate) fn way(&self, node: &str, seen: &Json, nth: usize) -> Way {
        let tag = format!("{}/{node}+{nth}", tag_of(seen));
        match self {
            Self::Node(name) => Way::Node(name.clone()),
            Self::End => Way::End,
            Self::Send(to, n) => {
                Way::Job(to.clone(), Job { n: *n, spent: spent_by_sends(seen), tag })
            }
            Self::SendState(to, n) => {
                let arg = json!({ "sum": n, "spent": spent_by_sends(seen), "tag": tag });
                Way::State(to.clone(), arg)
            }
        }
    }
}

impl Route {
    pub(crate) fn choose(&self, seen: &Json, nth: usize) -> Vec<Way> {
        let chosen = self.choices.iter().find(|(when, _)| when.holds(seen));
        let targets = chosen.map_or(&[][..], |(_, targets)| targets);
        let router = format!("{}?{nth}{}", self.from, told_apart(seen));
        targets.iter().enumerate().map(|(at, target)| target.way(&router, seen, at)).collect()
    }
}

/// JSON with the entries of objects in order of their keys.
pub(crate) fn canonical(json: &Json) -> String {
    match json {
        Json::Object(object) => {
            let sorted: std::collections::BTreeMap<_, _> = object.iter().collect();
            let entries: Vec<String> = sorted
                .into_iter()
                .map(|(key, value)| format!("{key}:{}", canonical(value)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

/// FNV-1a: the same on every machine.
pub(crate) fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
