//! Hints about graphs that compile, for people and for tools.
//!
//! A hint is about what is declared: gotos that a node does not declare and the choices of an open
//! router are not known here, and nothing is guessed about them. It is never an error.

use std::{collections::VecDeque, fmt};

use serde::Serialize;

use crate::{join::JoinSpec, names, node::ArgCodec};

use super::core::{Core, NodeId, Router, START_ID, Target};

/// A hint about a graph that compiles. Serialized it is an object whose `kind` is the variant in
/// snake case; shown, a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Lint {
    /// No declared way leads to this node. Not looked for in a graph with an open router, which
    /// may lead anywhere.
    Unreachable {
        /// The node.
        node: String,
    },
    /// A join waits for a node that no declared way leads to.
    NeverJoins {
        /// The join, as `join:a+b:target`.
        join: String,
        /// The source that cannot run.
        source: String,
    },
    /// A join may wait for ever: some of its sources run only where a route or a goto leads to
    /// them, while others run without them.
    StarvedJoin {
        /// The join, as `join:a+b:target`.
        join: String,
        /// The sources that may not run, in the order of the join.
        sources: Vec<String>,
    },
    /// Two tasks of one superstep may both write a key that takes one write per superstep. Looked
    /// for among nodes that declare what they write, see [`crate::NodeOptions::writes`]. The
    /// targets of one route are taken for alternatives.
    WriteClash {
        /// The key.
        key: String,
        /// The two nodes; one, if it is a node that a fan-out runs several times.
        nodes: Vec<String>,
    },
    /// The node's own gotos, or the commands that a mounted graph gives to its parent, do not
    /// replace its static edges: both are followed.
    EdgeBesideGoto {
        /// The node.
        node: String,
    },
    /// A deferred node is the target of `Send`s, which do not wait.
    DeferredSend {
        /// The node.
        node: String,
    },
    /// A router does not declare where it may lead: drawings cannot show it, and a wrong target is
    /// found only when a run takes it.
    OpenRoute {
        /// The node that is routed from.
        node: String,
    },
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { node } => write!(f, "nothing leads to `{node}`"),
            Self::NeverJoins { join, source } => {
                write!(f, "the {join} waits for `{source}`, which nothing leads to")
            }
            Self::StarvedJoin { join, sources } => write!(
                f,
                "the {join} may wait for ever: nothing makes sure that {} runs when the others do; \
                 make it optional, or let every route lead to it",
                quoted(sources)
            ),
            Self::WriteClash { key, nodes } => write!(
                f,
                "key `{key}` takes one write per superstep and may get several, from {}; give it \
                 a reducer",
                quoted(nodes)
            ),
            Self::EdgeBesideGoto { node } => write!(
                f,
                "`{node}` has an edge beside its gotos: the edge is followed whatever they say"
            ),
            Self::DeferredSend { node } => {
                write!(f, "`{node}` is deferred and the target of sends, which do not wait")
            }
            Self::OpenRoute { node } => write!(
                f,
                "the route from `{node}` does not say where it may lead: declare its targets"
            ),
        }
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A set of nodes.
#[derive(Clone, PartialEq)]
struct Set(Vec<u64>);

impl Set {
    fn none(nodes: usize) -> Self {
        Self(vec![0; nodes.div_ceil(64)])
    }

    fn all(nodes: usize) -> Self {
        Self(vec![u64::MAX; nodes.div_ceil(64)])
    }

    fn has(&self, node: NodeId) -> bool {
        self.0[node as usize / 64] & (1 << (node % 64)) != 0
    }

    /// Whether it was new.
    fn add(&mut self, node: NodeId) -> bool {
        let new = !self.has(node);
        self.0[node as usize / 64] |= 1 << (node % 64);
        new
    }

    fn keep(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }
}

impl Router {
    fn is_open(&self) -> bool {
        self.closed.is_none() && self.labels.is_none()
    }

    /// The nodes that it is known to lead to.
    fn leads(&self) -> impl Iterator<Item = NodeId> + '_ {
        let closed = self.closed.iter().flatten().copied();
        let labels = self.labels.iter().flat_map(|labels| labels.values().copied());
        closed.chain(labels).chain(self.empty).filter_map(Target::node)
    }

    /// The target of a fan-out.
    fn sends_to(&self) -> Option<NodeId> {
        self.closed.iter().flatten().find_map(|target| target.node()).filter(|_| self.fan_out)
    }
}

impl JoinSpec {
    /// Whether these sources, and optional ones that do not come, are enough.
    fn fires_with(&self, ran: impl Fn(NodeId) -> bool) -> bool {
        let some = self.sources.iter().any(|source| ran(*source));
        let enough = |source: &&NodeId| ran(**source) || self.optional.contains(source);
        some && self.sources.iter().filter(enough).count() >= self.needed
    }
}

impl Core {
    /// What may be wrong although the graph compiles, in the order of [`Lint`]'s variants.
    pub(crate) fn lint(&self) -> Vec<Lint> {
        let reached = self.reached();
        let open = self.ids().any(|id| reached.has(id) && self.routers(id).any(Router::is_open));
        let mut lints = Vec::new();
        if !open {
            let lost =
                self.ids().filter(|id| !reached.has(*id) && !names::is_handler(self.name(*id)));
            lints.extend(lost.map(|id| Lint::Unreachable { node: self.name(id).to_owned() }));
            for join in &self.joins {
                let lost = join.sources.iter().filter(|source| !reached.has(**source));
                lints.extend(lost.map(|source| Lint::NeverJoins {
                    join: join.name.to_string(),
                    source: self.name(*source).to_owned(),
                }));
            }
        }
        self.lint_starved_joins(&reached, open, &mut lints);
        self.lint_write_clashes(&reached, &mut lints);
        for id in self.ids() {
            let spec = self.node(id);
            if !spec.exits.edges.is_empty() && !spec.targets.is_empty() {
                lints.push(Lint::EdgeBesideGoto { node: spec.name.to_string() });
            }
        }
        for id in self.ids().filter(|id| self.node(*id).defer) {
            let spec = self.node(id);
            let takes = spec.run.as_ref().map(|run| run.arg());
            if matches!(takes, Some(ArgCodec::Typed(_))) || self.is_fanned_out(id) {
                lints.push(Lint::DeferredSend { node: spec.name.to_string() });
            }
        }
        let open = self.ids().filter(|id| self.routers(*id).any(Router::is_open));
        lints.extend(open.map(|id| Lint::OpenRoute { node: self.name(id).to_owned() }));
        lints
    }

    fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        0..self.nodes.len() as NodeId
    }

    fn name(&self, id: NodeId) -> &str {
        &self.node(id).name
    }

    fn routers(&self, id: NodeId) -> impl Iterator<Item = &Router> {
        self.node(id).exits.routers.iter()
    }

    fn is_fanned_out(&self, node: NodeId) -> bool {
        self.ids().any(|id| self.routers(id).any(|router| router.sends_to() == Some(node)))
    }

    /// Where a node may lead besides its joins, one list per way that is followed on its own: each
    /// edge, each router, the node's gotos.
    fn ways(&self, id: NodeId) -> Vec<Vec<NodeId>> {
        let spec = self.node(id);
        let edges = spec.exits.edges.iter().map(|to| vec![*to]);
        let routers = spec.exits.routers.iter().map(|router| router.leads().collect());
        let gotos = spec.targets.iter().filter_map(|target| target.node()).collect();
        edges.chain(routers).chain([gotos]).collect()
    }

    /// The node that runs in the place of one that failed.
    fn handler(&self, id: NodeId) -> Option<NodeId> {
        let policies = self.node(id).policies.as_ref()?;
        policies.handler.map(|handler| handler.node)
    }

    fn join_targets(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        self.node(id).exits.joins.iter().map(|join| self.joins[*join as usize].target)
    }

    /// The nodes that some declared way leads to.
    fn reached(&self) -> Set {
        let mut reached = Set::none(self.nodes.len());
        let mut open = vec![START_ID];
        while let Some(id) = open.pop() {
            if !reached.add(id) {
                continue;
            }
            open.extend(self.ways(id).into_iter().flatten().chain(self.handler(id)));
            for join in &self.node(id).exits.joins {
                let join = &self.joins[*join as usize];
                if join.fires_with(|source| reached.has(source)) {
                    open.push(join.target);
                }
            }
        }
        reached
    }

    /// For every node, those that have run before it does, whatever was chosen on the way.
    fn before(&self, reached: &Set) -> Vec<Set> {
        let count = self.nodes.len();
        let mut ways: Vec<Vec<NodeId>> = vec![Vec::new(); count];
        for id in self.ids().filter(|id| reached.has(*id)) {
            for to in self.ways(id).into_iter().flatten().chain(self.handler(id)) {
                ways[to as usize].push(id);
            }
        }
        let mut before = vec![Set::all(count); count];
        before[START_ID as usize] = Set::none(count);
        let with = |before: &[Set], id: NodeId| {
            let mut set = before[id as usize].clone();
            set.add(id);
            set
        };
        // Sets only shrink, so this ends.
        loop {
            let mut changed = false;
            for id in self.ids().skip(1).filter(|id| reached.has(*id)) {
                let mut set = Set::all(count);
                for from in &ways[id as usize] {
                    set.keep(&with(&before, *from));
                }
                for join in self.joins.iter().filter(|join| join.target == id) {
                    let sources = join.sources.iter().filter(|source| reached.has(**source));
                    let mut all = Set::none(count);
                    for source in sources {
                        if join.is_loose() {
                            set.keep(&with(&before, *source));
                        } else {
                            all.merge(&with(&before, *source));
                        }
                    }
                    if !join.is_loose() {
                        set.keep(&all);
                    }
                }
                if set != before[id as usize] {
                    before[id as usize] = set;
                    changed = true;
                }
            }
            if !changed {
                return before;
            }
        }
    }

    /// Adds what runs for certain once all of `ran` have.
    fn follow_edges(&self, ran: &mut Set) {
        let mut open: Vec<NodeId> = self.ids().filter(|id| ran.has(*id)).collect();
        while let Some(id) = open.pop() {
            let spec = self.node(id);
            let joins = spec.exits.joins.iter().map(|join| &self.joins[*join as usize]);
            let joined: Vec<NodeId> = joins
                .filter(|join| join.fires_with(|source| ran.has(source)))
                .map(|join| join.target)
                .collect();
            for to in spec.exits.edges.iter().copied().chain(joined) {
                if ran.add(to) {
                    open.push(to);
                }
            }
        }
    }

    fn lint_starved_joins(&self, reached: &Set, open: bool, lints: &mut Vec<Lint>) {
        if self.joins.iter().all(|join| join.needed < 2) {
            return;
        }
        let before = self.before(reached);
        for join in &self.joins {
            let mut missing = Vec::new();
            for source in join.sources.iter().filter(|source| reached.has(**source)) {
                let mut ran = before[*source as usize].clone();
                ran.add(*source);
                self.follow_edges(&mut ran);
                if join.fires_with(|source| ran.has(source)) {
                    continue;
                }
                // Who cannot come at all has been told.
                missing.extend(join.sources.iter().filter(|other| {
                    !ran.has(**other)
                        && !join.optional.contains(other)
                        && (open || reached.has(**other))
                }));
            }
            let starved = join.sources.iter().filter(|source| missing.contains(source));
            let sources: Vec<String> = starved.map(|id| self.name(*id).to_owned()).collect();
            if !sources.is_empty() {
                lints.push(Lint::StarvedJoin { join: join.name.to_string(), sources });
            }
        }
    }

    fn lint_write_clashes(&self, reached: &Set, lints: &mut Vec<Lint>) {
        let declares = |id: NodeId| reached.has(id) && self.node(id).writes.is_some();
        if !self.ids().any(declares) {
            return;
        }
        let together = self.together(reached);
        for (index, channel) in self.schema.channels().iter().enumerate() {
            if !channel.rule.single_writer() {
                continue;
            }
            let writes = |id: &NodeId| {
                let writes = self.node(*id).writes.as_ref();
                writes.is_some_and(|writes| writes.contains(&index))
            };
            let writers: Vec<NodeId> = self.ids().filter(writes).collect();
            for (position, one) in writers.iter().enumerate() {
                for other in &writers[position..] {
                    if together[*one as usize].has(*other) {
                        let mut nodes = vec![self.name(*one).to_owned()];
                        nodes.extend((one != other).then(|| self.name(*other).to_owned()));
                        lints.push(Lint::WriteClash { key: channel.key.to_string(), nodes });
                    }
                }
            }
        }
    }

    /// Which nodes may have tasks in one superstep; a node with itself when a fan-out runs it.
    fn together(&self, reached: &Set) -> Vec<Set> {
        let mut together = vec![Set::none(self.nodes.len()); self.nodes.len()];
        let mut open = VecDeque::new();
        let mut meet = |open: &mut VecDeque<_>, one: NodeId, other: NodeId| {
            // A deferred node waits until nothing else runs.
            if self.node(one).defer == self.node(other).defer && together[one as usize].add(other) {
                together[other as usize].add(one);
                open.push_back((one, other));
            }
        };
        let ways = |id: NodeId| {
            let joins = self.join_targets(id).map(|to| vec![to]);
            self.ways(id).into_iter().chain(joins).collect::<Vec<_>>()
        };
        for id in self.ids().filter(|id| reached.has(*id)) {
            let ways = ways(id);
            for (position, way) in ways.iter().enumerate() {
                for other in ways[position + 1..].iter().flatten() {
                    way.iter()
                        .filter(|one| *one != other)
                        .for_each(|one| meet(&mut open, *one, *other));
                }
            }
            self.routers(id).filter_map(Router::sends_to).for_each(|to| meet(&mut open, to, to));
        }
        let deferred: Vec<NodeId> =
            self.ids().filter(|id| reached.has(*id) && self.node(*id).defer).collect();
        for (position, one) in deferred.iter().enumerate() {
            deferred[position + 1..].iter().for_each(|other| meet(&mut open, *one, *other));
        }
        let leads = |id: NodeId| {
            let rescued = self.handler(id).map(ways).into_iter().flatten();
            ways(id).into_iter().chain(rescued).flatten()
        };
        while let Some((one, other)) = open.pop_front() {
            for to in leads(one) {
                for beside in leads(other).filter(|beside| *beside != to) {
                    meet(&mut open, to, beside);
                }
            }
        }
        together
    }
}
