//! Compiling: drafts of nodes and edges become a [`Core`], or a list of mistakes.

use std::{collections::HashMap, sync::Arc};

use serde_json::Map;

use crate::{
    channel::Schema,
    error::{CompileError, Mistake},
    join::{JoinDraft, JoinSpec},
    names::{self, END, START},
    policy::{self, HandlerDraft, Handling, PolicyDraft},
    rescue::Then,
};

use super::{
    NodeDraft, RouterDraft, Tags, Targets,
    core::{Core, Exits, JoinId, NodeId, NodeSpec, Router, START_ID, Target},
};

/// Adds the hidden nodes of all error handlers.
fn hide_handlers(drafts: &mut Vec<NodeDraft>, defaults: &PolicyDraft) {
    let hidden = |name: String, handler: &HandlerDraft| NodeDraft {
        name: Arc::from(name),
        run: Arc::clone(&handler.run),
        defer: false,
        targets: Vec::new(),
        cache: None,
        metadata: Map::new(),
        tags: Tags::default(),
        reads: None,
        writes: None,
        policies: PolicyDraft::default(),
        hidden: true,
    };
    let mut handlers: Vec<NodeDraft> = drafts
        .iter()
        .filter_map(|draft| {
            Some(hidden(policy::handler_name(&draft.name), draft.policies.handler.as_ref()?))
        })
        .collect();
    let default = defaults.handler.as_ref();
    handlers.extend(default.map(|handler| hidden(names::DEFAULT_ERROR_HANDLER.into(), handler)));
    drafts.append(&mut handlers);
}

/// Numbers nodes by name and turns drafts into specifications, collecting mistakes.
pub(super) struct Compiler {
    graph: Arc<str>,
    schema: Arc<Schema>,
    nodes: Vec<NodeSpec>,
    by_name: HashMap<Arc<str>, NodeId>,
    /// Declared targets of gotos, to be found when all nodes are known.
    targets: Vec<(NodeId, Vec<Arc<str>>)>,
    policies: Vec<(NodeId, PolicyDraft)>,
    defaults: PolicyDraft,
    mistakes: Vec<Mistake>,
}

impl Compiler {
    pub(super) fn new(
        graph: Arc<str>,
        schema: Arc<Schema>,
        mut drafts: Vec<NodeDraft>,
        defaults: PolicyDraft,
        mut mistakes: Vec<Mistake>,
    ) -> Self {
        hide_handlers(&mut drafts, &defaults);
        let mut drafts: Vec<(usize, NodeDraft)> = (1..).zip(drafts).collect();
        drafts.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        let start: Arc<str> = Arc::from(START);
        let mut nodes = vec![NodeSpec {
            trigger: Arc::clone(&start),
            name: start,
            run: None,
            defer: false,
            reads: None,
            writes: None,
            exits: Exits::default(),
            targets: Vec::new(),
            cache: None,
            declared: 0,
            metadata: Map::new(),
            tags: Tags::default(),
            policies: None,
        }];
        let mut by_name = HashMap::new();
        let mut targets = Vec::new();
        let mut policies = Vec::new();
        by_name.insert(Arc::clone(&nodes[0].name), START_ID);
        for (declared, draft) in drafts {
            if let (Some(reason), false) = (names::refuse(&draft.name), draft.hidden) {
                mistakes.push(Mistake::BadName { name: draft.name.to_string(), reason });
                continue;
            }
            if by_name.contains_key(&draft.name) {
                mistakes.push(Mistake::DuplicateNode { node: draft.name.to_string() });
                continue;
            }
            mistakes.extend(draft.run.mistakes(&draft.name, &schema));
            let id = nodes.len() as NodeId;
            let mut find = |named| keys(&schema, &draft.name, named, &mut mistakes);
            let reads = draft.reads.as_deref().map(&mut find);
            let writes = draft.writes.as_deref().map(&mut find);
            by_name.insert(Arc::clone(&draft.name), id);
            targets.push((id, draft.targets));
            draft.policies.check(&draft.name, &mut mistakes);
            policies.push((id, draft.policies));
            nodes.push(NodeSpec {
                trigger: Arc::from(format!("branch:to:{}", draft.name)),
                name: draft.name,
                run: Some(draft.run),
                defer: draft.defer,
                reads,
                writes,
                exits: Exits::default(),
                targets: Vec::new(),
                cache: draft.cache,
                declared,
                metadata: draft.metadata,
                tags: draft.tags,
                policies: None,
            });
        }
        defaults.check("all nodes", &mut mistakes);
        Self { graph, schema, nodes, by_name, targets, policies, defaults, mistakes }
    }

    fn source(&mut self, name: &Arc<str>, place: impl Fn() -> String) -> Option<NodeId> {
        if &**name == END {
            self.mistakes.push(Mistake::EdgeFromEnd);
            return None;
        }
        self.known(name, place)
    }

    fn target(&mut self, name: &Arc<str>, place: impl Fn() -> String) -> Option<Target> {
        if &**name == END {
            return Some(Target::End);
        }
        if &**name == START {
            self.mistakes.push(Mistake::EdgeToStart);
            return None;
        }
        self.known(name, place).map(Target::Node)
    }

    fn known(&mut self, name: &Arc<str>, place: impl Fn() -> String) -> Option<NodeId> {
        let found = self.by_name.get(name).copied();
        if found.is_none() {
            self.mistakes.push(Mistake::UnknownNode { place: place(), node: name.to_string() });
        }
        found
    }

    pub(super) fn compile(
        mut self,
        edges: Vec<(Arc<str>, Arc<str>)>,
        joins: Vec<JoinDraft>,
        routers: Vec<RouterDraft>,
    ) -> Result<Core, CompileError> {
        for (from, to) in edges {
            let place = || format!("the edge {from} -> {to}");
            let source = self.source(&from, place);
            let target = self.target(&to, place);
            if let (Some(source), Some(Target::Node(target))) = (source, target) {
                self.nodes[source as usize].exits.edges.push(target);
            }
        }
        let mut specs = Vec::new();
        for draft in joins {
            self.join(draft, &mut specs);
        }
        for draft in routers {
            self.router(draft);
        }
        for (id, targets) in std::mem::take(&mut self.targets) {
            for name in targets {
                let node = Arc::clone(&self.nodes[id as usize].name);
                if let Some(target) = self.target(&name, || format!("the target list of `{node}`"))
                {
                    self.nodes[id as usize].targets.push(target);
                }
            }
        }
        self.resolve_policies();
        let start = &self.nodes[START_ID as usize].exits;
        if start.edges.is_empty() && start.routers.is_empty() && start.joins.is_empty() {
            self.mistakes.push(Mistake::NoEntry);
        }
        if !self.mistakes.is_empty() {
            return Err(CompileError { graph: self.graph.to_string(), mistakes: self.mistakes });
        }
        Ok(Core {
            name: self.graph,
            schema: self.schema,
            nodes: self.nodes,
            loose: (0..)
                .zip(&specs)
                .filter(|(_, join)| join.is_loose())
                .map(|(id, _)| id)
                .collect(),
            joins: specs,
            parts: HashMap::new(),
            lenient_input: false,
            context: None,
        })
    }

    /// Gives every node its policies, and every handler what follows it. Handlers are no longer
    /// found by name after that.
    fn resolve_policies(&mut self) {
        let defaults = std::mem::take(&mut self.defaults);
        let drafts = std::mem::take(&mut self.policies);
        let mut shared: HashMap<&str, usize> = HashMap::new();
        for (id, draft) in &drafts {
            let name = Arc::clone(&self.nodes[*id as usize].name);
            let own = draft.handler.as_ref().map(|handler| (policy::handler_name(&name), handler));
            let default = || {
                let handler = defaults.handler.as_ref()?;
                Some((names::DEFAULT_ERROR_HANDLER.to_owned(), handler))
            };
            let handled = if names::is_handler(&name) { None } else { own.or_else(default) };
            let mut handling = None;
            if let Some((hidden, handler)) = handled
                && let Some(node) = self.by_name.get(&*hidden).copied()
            {
                handling = Some(Handling { node, follow: handler.then == Then::Follow });
                let takes = self.nodes[*id as usize].run.as_ref().map(|run| run.arg());
                if let Some(Err(expected)) =
                    takes.map(|takes| policy::fits(&handler.run.arg(), &takes))
                {
                    let node = name.to_string();
                    self.mistakes.push(Mistake::HandlerArgument { node, expected });
                }
            }
            let mounted =
                self.nodes[*id as usize].run.as_ref().is_some_and(|run| run.mount().is_some());
            for limit in &draft.limits {
                let Some(shares) = &limit.name else { continue };
                let expected = if mounted {
                    "a node that is no mounted graph"
                } else if *shared.entry(shares).or_insert(limit.tasks) != limit.tasks {
                    "the same number at every node that shares it"
                } else {
                    continue;
                };
                let (node, option) = (name.to_string(), "limit");
                self.mistakes.push(Mistake::BadOption { node, option, expected });
            }
            self.nodes[*id as usize].policies = draft.resolve(&defaults, handling);
        }
        // What follows a handler is said by the node it handles.
        let own = drafts.iter().filter_map(|(id, draft)| {
            let node = &self.nodes[*id as usize].name;
            Some((policy::handler_name(node), draft.handler.clone()?.then))
        });
        let default =
            defaults.handler.map(|handler| (names::DEFAULT_ERROR_HANDLER.to_owned(), handler.then));
        for (hidden, then) in own.chain(default).collect::<Vec<_>>() {
            if let (Some(id), Then::Goto(targets)) = (self.by_name.get(&*hidden).copied(), then) {
                for name in targets {
                    if let Some(Target::Node(target)) = self.target(&name, || hidden.clone()) {
                        self.nodes[id as usize].exits.edges.push(target);
                    }
                }
            }
        }
        self.by_name.retain(|name, _| !names::is_handler(name));
    }

    fn join(&mut self, draft: JoinDraft, specs: &mut Vec<JoinSpec>) {
        let JoinDraft { sources, to, needed, optional: named } = draft;
        let joined = sources.iter().map(|name| &**name).collect::<Vec<_>>().join("+");
        let name = format!("join:{joined}:{to}");
        if sources.is_empty() {
            self.mistakes.push(Mistake::EmptyJoin { target: to.to_string() });
        }
        let mut ids = Vec::with_capacity(sources.len());
        for source in &sources {
            if let Some(id) = self.source(source, || format!("the join {name}"))
                && !ids.contains(&id)
            {
                ids.push(id);
            }
        }
        let mut optional = Vec::new();
        for source in named {
            match self.by_name.get(&source).filter(|_| sources.contains(&source)) {
                Some(id) => optional.push(*id),
                None if sources.contains(&source) => {}
                None => {
                    let (join, node) = (name.clone(), source.to_string());
                    self.mistakes.push(Mistake::NoSource { join, node });
                }
            }
        }
        let k = needed.unwrap_or(ids.len());
        if needed.is_some() && !(1..=sources.len()).contains(&k) {
            let (join, sources) = (name.clone(), sources.len());
            self.mistakes.push(Mistake::JoinCount { join, k, sources });
        }
        let target = self.target(&to, || format!("the join {name}"));
        let Some(Target::Node(target)) = target else { return };
        let same = specs.iter().find(|join| *join.name == *name);
        if let Some(same) = same {
            // Said twice, it is one join; storage knows it by its name.
            if same.needed != k || same.optional != optional {
                self.mistakes.push(Mistake::JoinTwice { join: name });
            }
            return;
        }
        let join = specs.len() as JoinId;
        for id in &ids {
            self.nodes[*id as usize].exits.joins.push(join);
        }
        specs.push(JoinSpec { name: Arc::from(name), sources: ids, target, needed: k, optional });
    }

    fn router(&mut self, draft: RouterDraft) {
        let from = draft.from;
        let place = || format!("the route from `{from}`");
        let source = self.source(&from, place);
        let mut router = Router {
            decide: draft.decide,
            closed: None,
            labels: None,
            empty: None,
            fan_out: draft.fan_out,
        };
        match draft.targets {
            Targets::Open => {}
            Targets::Closed(names) => {
                let targets = names.iter().filter_map(|name| self.target(name, place));
                router.closed = Some(targets.collect());
            }
            Targets::Labels(labels) => {
                let mut map = HashMap::new();
                for (label, name) in labels {
                    if let Some(target) = self.target(&name, place) {
                        map.insert(label, target);
                    }
                }
                router.labels = Some(map);
            }
        }
        match draft.empty {
            Some(name) => router.empty = self.target(&name, place),
            None if draft.fan_out => {
                self.mistakes.push(Mistake::NoEmptyCase { from: from.to_string() });
            }
            None => {}
        }
        if let Some(source) = source {
            self.nodes[source as usize].exits.routers.push(router);
        }
    }
}

/// Where the keys are that a node reads or writes.
fn keys(
    schema: &Schema,
    node: &str,
    named: &[Arc<str>],
    mistakes: &mut Vec<Mistake>,
) -> Box<[usize]> {
    let place = |key: &Arc<str>| {
        let found = schema.index(key);
        if found.is_none() {
            let (node, key) = (node.to_owned(), key.to_string());
            mistakes.push(Mistake::UnknownKey { node, key });
        }
        found
    };
    named.iter().filter_map(place).collect()
}
