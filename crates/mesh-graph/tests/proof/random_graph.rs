//! A seed becomes a case: a graph with its nodes' tables, and the calls made on a thread of it.

use mesh_graph::Durability;
use serde_json::{Value as Json, json};

use crate::script::{Act, Asks, FanOut, Route, Script, Target, When};

/// Numbers from a seed; splitmix64.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn number(&mut self) -> i64 {
        self.below(5) as i64
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }
}

/// A graph as plain data. Every node is named by one letter, in no particular order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flow {
    pub(crate) nodes: Vec<Node>,
    pub(crate) edges: Vec<(String, String)>,
    pub(crate) joins: Vec<(Vec<String>, String)>,
    pub(crate) routes: Vec<Route>,
    pub(crate) fans: Vec<FanOut>,
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) defer: bool,
    /// Takes a job instead of reading state: the target of sends.
    pub(crate) takes: bool,
    pub(crate) work: Work,
}

#[derive(Debug, Clone)]
pub(crate) enum Work {
    Script(Script),
    Mount(Box<Flow>),
}

impl Flow {
    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }
}

/// Something asked of a thread.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    /// A run with this input.
    Input(Json),
    /// A run that goes on.
    Resume,
    /// Answers to all open questions, or to the first, by id; or one answer without an id.
    AnswerAll,
    AnswerFirst,
    AnswerOnly,
    /// A command on top of what is there.
    Command {
        update: Option<Json>,
        goto: Vec<String>,
    },
    /// A change of the state as if the node had given it.
    Update {
        as_node: String,
        values: Option<Json>,
    },
}

/// A call: what is asked, where, and with which options.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) ask: Ask,
    /// From the checkpoint with this number, modulo how many there are, instead of the newest.
    pub(crate) at: Option<usize>,
    pub(crate) durability: Durability,
    pub(crate) limit: u32,
    pub(crate) before: Vec<String>,
    pub(crate) after: Vec<String>,
}

/// All that a seed stands for.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) flow: Flow,
    pub(crate) calls: Vec<Call>,
    /// Whether threads are stored.
    pub(crate) stored: bool,
}

impl Case {
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let flow = Maker { rng: &mut rng }.flow(0);
        let stored = !rng.percent(8);
        let calls = if stored {
            let count = 1 + rng.below(6);
            (0..count).map(|nth| call(&mut rng, &flow, nth)).collect()
        } else {
            vec![Call { ask: Ask::Input(input(&mut rng)), ..plain(&mut rng, &flow) }]
        };
        Self { seed, flow, calls, stored }
    }
}

fn plain(rng: &mut Rng, flow: &Flow) -> Call {
    let durability = match rng.below(4) {
        0 | 1 => Durability::Async,
        2 => Durability::Sync,
        _ => Durability::Exit,
    };
    let limit = if rng.percent(20) { 1 + rng.below(4) as u32 } else { 12 };
    let mut some = |chance| {
        if !rng.percent(chance) {
            return Vec::new();
        }
        flow.nodes.iter().filter(|_| rng.percent(40)).map(|node| node.name.clone()).collect()
    };
    let (before, after) = (some(10), some(7));
    Call { ask: Ask::Resume, at: None, durability, limit, before, after }
}

fn call(rng: &mut Rng, flow: &Flow, nth: usize) -> Call {
    let ask = match rng.below(if nth == 0 { 2 } else { 20 }) {
        _ if nth == 0 && !rng.percent(4) => Ask::Input(input(rng)),
        0..=5 => Ask::Resume,
        6..=8 => Ask::AnswerAll,
        9 | 10 => Ask::AnswerFirst,
        11 => Ask::AnswerOnly,
        12..=15 => Ask::Input(input(rng)),
        16 | 17 => command(rng, flow),
        _ => update(rng, flow),
    };
    let travels = matches!(ask, Ask::Input(_) | Ask::Resume | Ask::Update { .. });
    let at = (nth > 0 && travels && rng.percent(25)).then(|| rng.below(30));
    Call { ask, at, ..plain(rng, flow) }
}

fn input(rng: &mut Rng) -> Json {
    let mut input = json!({});
    if rng.percent(60) {
        input["sum"] = json!(rng.number());
    }
    if rng.percent(30) {
        input["log"] = json!(["in"]);
    }
    if rng.percent(15) {
        input["passing"] = json!(rng.number());
    }
    if rng.percent(10) {
        input["log"] = json!({ "__overwrite__": ["anew"] });
    }
    input
}

fn command(rng: &mut Rng, flow: &Flow) -> Ask {
    let update = rng.percent(60).then(|| json!({ "sum": rng.number(), "log": ["told"] }));
    let reads: Vec<String> =
        flow.nodes.iter().filter(|node| !node.takes).map(|node| node.name.clone()).collect();
    let goto =
        if rng.percent(70) { rng.pick(&reads).cloned().into_iter().collect() } else { vec![] };
    Ask::Command { update, goto }
}

fn update(rng: &mut Rng, flow: &Flow) -> Ask {
    let names: Vec<String> = flow.nodes.iter().map(|node| node.name.clone()).collect();
    let as_node = rng.pick(&names).cloned().unwrap_or_default();
    let values = rng.percent(70).then(|| match rng.below(3) {
        0 => json!({ "sum": rng.number() }),
        1 => json!({ "log": ["edited"], "last": rng.number() }),
        _ => json!({ "log": { "__overwrite__": ["reset"] }, "passing": 1 }),
    });
    Ask::Update { as_node, values }
}

struct Maker<'a> {
    rng: &'a mut Rng,
}

impl Maker<'_> {
    fn flow(&mut self, depth: usize) -> Flow {
        let count = 1 + self.rng.below(if depth == 0 { 7 } else { 3 });
        // Names in an order that differs from the order of declaration.
        let mut letters: Vec<char> = ('a'..='h').collect();
        for at in (1..letters.len()).rev() {
            letters.swap(at, self.rng.below(at + 1));
        }
        let names: Vec<String> = letters[..count].iter().map(char::to_string).collect();
        // The first node always reads state, so that there is a way in.
        let takes: Vec<bool> = (0..count).map(|at| at > 0 && self.rng.percent(18)).collect();
        let split = |wanted: bool| -> Vec<String> {
            names
                .iter()
                .zip(&takes)
                .filter(|(_, t)| **t == wanted)
                .map(|(n, _)| n.clone())
                .collect()
        };
        let (reads, jobs) = (split(false), split(true));

        let mut flow = Flow::default();
        flow.edges.push(("__start__".to_owned(), names[0].clone()));
        // Mostly forward edges: a graph in which much happens, and which mostly ends.
        for (at, name) in names.iter().enumerate() {
            let forward: Vec<String> =
                names[at + 1..].iter().filter(|name| reads.contains(name)).cloned().collect();
            for _ in 0..self.rng.below(3) {
                if let Some(to) = self.rng.pick(&forward).cloned() {
                    flow.edges.push((name.clone(), to));
                }
            }
            if self.rng.percent(6) && !takes[at] {
                flow.edges.push(("__start__".to_owned(), name.clone()));
            }
            if self.rng.percent(2)
                && let Some(back) = self.rng.pick(&reads).cloned()
            {
                flow.edges.push((name.clone(), back));
            }
            if self.rng.percent(5) {
                flow.edges.push((name.clone(), "__end__".to_owned()));
            }
        }
        // An edge given twice is a mistake of this generator, not a case.
        let mut seen: Vec<(String, String)> = Vec::new();
        flow.edges.retain(|edge| {
            !seen.contains(edge) && {
                seen.push(edge.clone());
                true
            }
        });
        for _ in 0..self.rng.below(3) {
            let mut sources: Vec<String> =
                names.iter().filter(|_| self.rng.percent(40)).cloned().collect();
            sources.truncate(3);
            if let (true, Some(to)) = (sources.len() > 1, self.rng.pick(&reads).cloned())
                && (!sources.contains(&to) || self.rng.percent(10))
                && flow.joins.iter().all(|join| *join != (sources.clone(), to.clone()))
            {
                flow.joins.push((sources, to));
            }
        }
        let mut froms = names.clone();
        froms.push("__start__".to_owned());
        for _ in 0..self.rng.below(3) {
            let Some(from) = self.rng.pick(&froms).cloned() else { continue };
            let targets = self.targets(&reads, &jobs);
            let others = self.targets(&reads, &jobs);
            let fails = u32::from(from != "__start__" && self.rng.percent(8));
            let when = self.when();
            let limit = 3 + self.rng.below(8) as i64;
            let mut choices = vec![(When::SpentFrom(limit), vec![Target::End]), (when, targets)];
            if self.rng.percent(70) {
                choices.push((When::Always, others));
            }
            flow.routes.push(Route { from, fails, choices });
        }
        if let (true, Some(to)) = (self.rng.percent(35), self.rng.pick(&jobs).cloned())
            && let Some(from) = self.rng.pick(&froms).cloned()
        {
            let if_empty = self.rng.percent(50).then(|| self.rng.pick(&reads).cloned()).flatten();
            // Going round on an empty list would never end.
            let if_empty = if_empty.filter(|_| from == "__start__");
            let modulo = 2 + self.rng.below(3) as i64;
            flow.fans.push(FanOut { from, to, modulo, if_empty });
        }
        for (name, takes) in names.into_iter().zip(takes) {
            let work = if depth < 2 && self.rng.percent(if depth == 0 { 12 } else { 6 }) {
                Work::Mount(Box::new(self.flow(depth + 1)))
            } else {
                let leads = flow.routes.iter().any(|route| route.from == name)
                    || flow.fans.iter().any(|fan| fan.from == name);
                Work::Script(self.script(&reads, &jobs, !leads))
            };
            let defer = self.rng.percent(12);
            flow.nodes.push(Node { name, defer, takes, work });
        }
        flow
    }

    fn targets(&mut self, reads: &[String], jobs: &[String]) -> Vec<Target> {
        let mut targets = Vec::new();
        for _ in 0..self.rng.below(4) {
            targets.push(self.target(reads, jobs));
        }
        targets
    }

    fn target(&mut self, reads: &[String], jobs: &[String]) -> Target {
        match self.rng.below(6) {
            0 | 1 if !jobs.is_empty() => {
                Target::Send(jobs[self.rng.below(jobs.len())].clone(), self.rng.number())
            }
            2 => Target::SendState(reads[self.rng.below(reads.len())].clone(), self.rng.number()),
            3 => Target::End,
            _ => Target::Node(reads[self.rng.below(reads.len())].clone()),
        }
    }

    fn when(&mut self) -> When {
        match self.rng.below(7) {
            0 | 1 => When::Always,
            2 => When::SpentBelow(1 + self.rng.below(6) as i64),
            3 => When::SumOdd,
            4 => When::SumEven,
            5 => When::PassingSeen,
            _ => When::AnySeen,
        }
    }

    fn script(&mut self, reads: &[String], jobs: &[String], silent: bool) -> Script {
        let mut rules = vec![(When::Always, vec![Act::Log, Act::Spend])];
        if silent && self.rng.percent(20) {
            return Script::default();
        }
        for _ in 0..self.rng.below(4) {
            let when = self.when();
            let mut acts = Vec::new();
            for _ in 0..=self.rng.below(2) {
                acts.push(match self.rng.below(11) {
                    0..=2 => Act::Add(self.rng.number()),
                    3 => Act::Last(self.rng.percent(80).then(|| self.rng.number())),
                    4 => Act::Any(self.rng.number()),
                    5 => Act::Passing(self.rng.number()),
                    6 => Act::Mark("left", self.rng.number()),
                    7 => Act::Mark("right", self.rng.number()),
                    8 if self.rng.percent(40) => Act::Reset,
                    9 if self.rng.percent(40) => Act::ResetSum(self.rng.number()),
                    10 => Act::Split,
                    _ => Act::Log,
                });
            }
            rules.push((when, acts));
        }
        if self.rng.percent(15) {
            let limit = 1 + self.rng.below(8) as i64;
            let ways = (0..=self.rng.below(2)).map(|_| Act::Go(self.target(reads, jobs))).collect();
            rules.push((When::SpentBelow(limit), ways));
        }
        let fails = if self.rng.percent(9) { 1 + self.rng.below(2) as u32 } else { 0 };
        let asks = if self.rng.percent(9) {
            match self.rng.below(4) {
                0 => Asks::Keys(vec!["one"]),
                1 => Asks::Keys(vec!["one", "two"]),
                2 => Asks::Together(vec!["one", "two"]),
                _ => Asks::Places(1 + self.rng.below(2)),
            }
        } else {
            Asks::Nothing
        };
        Script { fails, panics: self.rng.percent(15), asks, rules }
    }
}
