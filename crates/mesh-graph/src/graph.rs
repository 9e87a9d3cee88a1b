//! Graphs: the builder that collects nodes and edges, and the compiled, immutable graph.
//!
//! Every mistake is kept until [`Graph::compile`], which reports all of them by name.

use std::{collections::HashMap, marker::PhantomData, sync::Arc};

use crate::{
    channel::{Schema, Values},
    command::{Goto, Route, Send},
    error::{CompileError, Failure, Mistake},
    mount::Mount,
    names::{self, END, START},
    node::{ArgCodec, Handler, HandlerNode, Named, Node, NodeFn, NodeInput},
    state::{State, View},
    value::Datum,
};

/// Position of a node in its graph. Nodes are numbered by name, so that number order is apply
/// order; START is number 0.
pub(crate) type NodeId = u32;
/// Position of a join in its graph.
pub(crate) type JoinId = u32;

/// The number of the hidden node that applies the input.
pub(crate) const START_ID: NodeId = 0;

/// A graph under construction, over the state `S` with dependencies `D`.
///
/// ```
/// use mesh_graph::{Ctx, Graph, NodeResult, State, View, START, END};
///
/// #[derive(State)]
/// struct Talk {
///     name: String,
///     #[state(append)]
///     lines: Vec<String>,
/// }
///
/// async fn greet(state: View<Talk>, _: Ctx) -> NodeResult<TalkUpdate> {
///     Ok(Talk::update().push_lines(format!("Hello, {}", state.name)))
/// }
///
/// # fn main() -> Result<(), mesh_graph::CompileError> {
/// let mut graph = Graph::<Talk>::new("talk");
/// let greet = graph.node("greet", greet).id();
/// graph.edge(START, &greet).edge(&greet, END);
/// let graph = graph.compile()?;
/// assert_eq!(graph.name(), "talk");
/// # Ok(())
/// # }
/// ```
pub struct Graph<S, D = ()> {
    name: Arc<str>,
    schema: Arc<Schema>,
    nodes: Vec<NodeDraft>,
    edges: Vec<(Arc<str>, Arc<str>)>,
    joins: Vec<(Vec<Arc<str>>, Arc<str>)>,
    routers: Vec<RouterDraft>,
    types: PhantomData<fn() -> (S, D)>,
}

struct NodeDraft {
    name: Arc<str>,
    run: Arc<dyn NodeFn>,
    defer: bool,
    targets: Vec<Arc<str>>,
}

struct RouterDraft {
    from: Arc<str>,
    decide: Decide,
    targets: Targets,
    fan_out: bool,
    empty: Option<Arc<str>>,
}

/// A router's function over the fresh state of its task.
type Decide = Arc<dyn Fn(&Schema, &Values) -> Route + std::marker::Send + Sync>;

/// Where a router may lead.
enum Targets {
    /// Anywhere: an unknown target is found when the router names it.
    Open,
    /// To these nodes only, checked by `compile`.
    Closed(Vec<Arc<str>>),
    /// Through a map from the router's labels, checked by `compile`.
    Labels(Vec<(Arc<str>, Arc<str>)>),
}

impl<S, D> Graph<S, D> {
    /// An empty graph.
    pub fn new(name: &str) -> Self
    where
        S: State,
    {
        Self {
            name: Arc::from(name),
            schema: Arc::new(S::schema()),
            nodes: Vec::new(),
            edges: Vec::new(),
            joins: Vec::new(),
            routers: Vec::new(),
            types: PhantomData,
        }
    }
}

impl<S: State, D: std::marker::Send + Sync + 'static> Graph<S, D> {
    /// Adds a node. It runs when an edge, a join, a route or a `Send` leads to it.
    pub fn node<In, H>(&mut self, name: &str, handler: H) -> NodeOptions<'_, In::Arg>
    where
        In: NodeInput<S>,
        H: Handler<S, D, In>,
    {
        let schema = Arc::clone(&self.schema);
        let run = Arc::new(HandlerNode { handler, schema, types: PhantomData });
        self.draft(name, run)
    }

    /// Mounts a compiled graph as a node that reads state: `input` makes the child's input from
    /// this graph's state, `output` makes this graph's update from the child's final state.
    /// Nothing else crosses.
    pub fn mount<C: State>(
        &mut self,
        name: &str,
        child: &Compiled<C, D>,
        input: impl Fn(&View<S>) -> C::Update + std::marker::Send + Sync + 'static,
        output: impl Fn(&View<C>) -> S::Update + std::marker::Send + Sync + 'static,
    ) -> NodeOptions<'_, ()> {
        let run = Mount::reading_state::<S, C>(&self.schema, child.core(), input, output);
        self.draft(name, Arc::new(run))
    }

    /// Mounts a compiled graph as the target of `Send`s with an `A`.
    pub fn mount_send<C: State, A: Datum>(
        &mut self,
        name: &str,
        child: &Compiled<C, D>,
        input: impl Fn(&A) -> C::Update + std::marker::Send + Sync + 'static,
        output: impl Fn(&View<C>) -> S::Update + std::marker::Send + Sync + 'static,
    ) -> NodeOptions<'_, A> {
        let run = Mount::taking_argument::<S, C, A>(child.core(), input, output);
        self.draft(name, Arc::new(run))
    }

    fn draft<A>(&mut self, name: &str, run: Arc<dyn NodeFn>) -> NodeOptions<'_, A> {
        let name: Arc<str> = Arc::from(name);
        self.nodes.push(NodeDraft {
            name: Arc::clone(&name),
            run,
            defer: false,
            targets: Vec::new(),
        });
        let draft = self.nodes.len() - 1;
        NodeOptions { draft: &mut self.nodes[draft], arg: PhantomData }
    }

    /// `to` runs in the superstep after `from`, whatever else `from` decides.
    pub fn edge(&mut self, from: impl Named, to: impl Named) -> &mut Self {
        self.edges.push((from.node_name(), to.node_name()));
        self
    }

    /// `to` runs once all of `sources` have finished at least once since it last ran for them.
    pub fn join<N: Named>(
        &mut self,
        sources: impl IntoIterator<Item = N>,
        to: impl Named,
    ) -> &mut Self {
        let sources = sources.into_iter().map(|source| source.node_name()).collect();
        self.joins.push((sources, to.node_name()));
        self
    }

    /// Adds nodes with an edge from each to the next, and returns their names.
    pub fn sequence<N: Named>(&mut self, nodes: impl IntoIterator<Item = N>) -> &mut Self {
        let names: Vec<Arc<str>> = nodes.into_iter().map(|node| node.node_name()).collect();
        for pair in names.windows(2) {
            self.edges.push((Arc::clone(&pair[0]), Arc::clone(&pair[1])));
        }
        self
    }

    /// After `from`, `decide` names where to go: a node, END, a [`Send`], or a list of these. An
    /// empty list ends the branch. It sees the superstep's snapshot with `from`'s own writes, and
    /// forms one task with it: when it fails, `from` failed.
    pub fn route<R: Into<Route>>(
        &mut self,
        from: impl Named,
        decide: impl Fn(&View<S>) -> R + std::marker::Send + Sync + 'static,
    ) -> RouteOptions<'_> {
        let decide: Decide =
            Arc::new(move |schema, values| decide(&View::new(schema, values)).into());
        self.routers.push(RouterDraft {
            from: from.node_name(),
            decide,
            targets: Targets::Open,
            fan_out: false,
            empty: None,
        });
        let draft = self.routers.len() - 1;
        RouteOptions { draft: &mut self.routers[draft] }
    }

    /// After `from`, runs `to` once for every argument that `list` returns. What follows an empty
    /// list has to be said by [`FanOut::if_empty`]; `compile` reports it otherwise.
    pub fn fan_out<A: Datum>(
        &mut self,
        from: impl Named,
        to: &Node<A>,
        list: impl Fn(&View<S>) -> Vec<A> + std::marker::Send + Sync + 'static,
    ) -> FanOut<'_> {
        let target = to.clone();
        let decide: Decide = Arc::new(move |schema, values| {
            let sends: Vec<Send> = list(&View::new(schema, values))
                .into_iter()
                .map(|arg| Send::to(&target, arg))
                .collect();
            Route::from(sends)
        });
        self.routers.push(RouterDraft {
            from: from.node_name(),
            decide,
            targets: Targets::Closed(vec![to.node_name()]),
            fan_out: true,
            empty: None,
        });
        let draft = self.routers.len() - 1;
        FanOut { draft: &mut self.routers[draft] }
    }

    /// Checks the graph and makes it immutable.
    ///
    /// # Errors
    /// [`CompileError`] lists every mistake with the names it concerns.
    pub fn compile(self) -> Result<Compiled<S, D>, CompileError> {
        let core = Compiler::new(self.name, self.schema, self.nodes).compile(
            self.edges,
            self.joins,
            self.routers,
        )?;
        Ok(Compiled { core: Arc::new(core), types: PhantomData })
    }
}

/// Options of a node that was just added.
pub struct NodeOptions<'a, A> {
    draft: &'a mut NodeDraft,
    arg: PhantomData<fn(A)>,
}

impl<A> NodeOptions<'_, A> {
    /// The node runs only when nothing else is left to run, once for all edges that asked for it.
    /// A `Send` to it does not wait.
    pub fn defer(self) -> Self {
        self.draft.defer = true;
        self
    }

    /// Declares where the node's own gotos may lead, for drawings and for `compile` to check.
    pub fn targets<N: Named>(self, targets: impl IntoIterator<Item = N>) -> Self {
        self.draft.targets = targets.into_iter().map(|target| target.node_name()).collect();
        self
    }

    /// The node, to name it in edges and sends.
    pub fn id(self) -> Node<A> {
        Node::named(&self.draft.name)
    }
}

/// Options of a route that was just added.
pub struct RouteOptions<'a> {
    draft: &'a mut RouterDraft,
}

impl RouteOptions<'_> {
    /// Declares the only nodes it may lead to; END is always allowed.
    pub fn targets<N: Named>(self, targets: impl IntoIterator<Item = N>) {
        self.draft.targets =
            Targets::Closed(targets.into_iter().map(|target| target.node_name()).collect());
    }

    /// The router returns labels, and this map says which node each label means.
    pub fn labels<N: Named>(self, labels: impl IntoIterator<Item = (&'static str, N)>) {
        self.draft.targets = Targets::Labels(
            labels.into_iter().map(|(label, node)| (Arc::from(label), node.node_name())).collect(),
        );
    }
}

/// A fan-out that still has to say what follows an empty list.
#[must_use = "say where to go when the list is empty: `.if_empty(node)`"]
pub struct FanOut<'a> {
    draft: &'a mut RouterDraft,
}

impl FanOut<'_> {
    /// Goes to `target` (a node, or END) when the list is empty.
    pub fn if_empty(self, target: impl Named) {
        self.draft.empty = Some(target.node_name());
    }
}

/// A compiled, immutable graph.
pub struct Compiled<S, D = ()> {
    core: Arc<Core>,
    types: PhantomData<fn() -> (S, D)>,
}

impl<S, D> Clone for Compiled<S, D> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), types: PhantomData }
    }
}

impl<S, D> Compiled<S, D> {
    /// The graph's name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// What may be wrong although it compiles.
    pub fn lint(&self) -> Vec<Lint> {
        self.core.lint()
    }

    pub(crate) fn core(&self) -> Arc<Core> {
        Arc::clone(&self.core)
    }
}

/// A compiled graph without its types: what the planner and the driver work on.
pub(crate) struct Core {
    pub(crate) name: Arc<str>,
    pub(crate) schema: Arc<Schema>,
    pub(crate) nodes: Vec<NodeSpec>,
    pub(crate) joins: Vec<JoinSpec>,
    by_name: HashMap<Arc<str>, NodeId>,
}

pub(crate) struct NodeSpec {
    pub(crate) name: Arc<str>,
    /// `None` for START, which applies the input.
    pub(crate) run: Option<Arc<dyn NodeFn>>,
    pub(crate) defer: bool,
    pub(crate) exits: Exits,
    /// `branch:to:<name>`, as streams show what triggered a task.
    pub(crate) trigger: Arc<str>,
    targets: Vec<NodeId>,
}

/// What follows a node.
#[derive(Default)]
pub(crate) struct Exits {
    pub(crate) edges: Vec<NodeId>,
    pub(crate) joins: Vec<JoinId>,
    pub(crate) routers: Vec<Router>,
}

pub(crate) struct Router {
    decide: Decide,
    closed: Option<Vec<NodeId>>,
    labels: Option<HashMap<Arc<str>, Target>>,
    empty: Option<Target>,
}

/// Where an edge leads.
#[derive(Clone, Copy)]
enum Target {
    Node(NodeId),
    End,
}

impl Target {
    fn node(self) -> Option<NodeId> {
        match self {
            Self::Node(id) => Some(id),
            Self::End => None,
        }
    }
}

pub(crate) struct JoinSpec {
    /// `join:a+b:j`, as streams show it and checkpoints store it.
    pub(crate) name: Arc<str>,
    pub(crate) sources: Vec<NodeId>,
    pub(crate) target: NodeId,
}

/// Where a task leads, by number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leads {
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) sends: Vec<Sent>,
    /// A router that declared sends returned none.
    pub(crate) empty_fan_out: bool,
}

/// A `Send` whose target was found and whose argument fits it.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) node: NodeId,
    pub(crate) arg: crate::value::Value,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sent({})", self.node)
    }
}

impl Core {
    pub(crate) fn node(&self, id: NodeId) -> &NodeSpec {
        &self.nodes[id as usize]
    }

    pub(crate) fn find(&self, name: &str) -> Option<NodeId> {
        self.by_name.get(name).copied()
    }

    /// Resolves one target into where it leads; END leads nowhere.
    pub(crate) fn resolve(&self, goto: Goto, leads: &mut Leads) -> Result<(), Failure> {
        match goto {
            Goto::Node(name) if &*name == END => Ok(()),
            Goto::Node(name) if &*name == START => {
                Err(Failure::invalid_route("START cannot be gone to"))
            }
            Goto::Node(name) => {
                let id = self.find(&name).ok_or_else(|| Failure::unknown_target(&name))?;
                leads.nodes.push(id);
                Ok(())
            }
            Goto::Send(send) if &*send.node == END || &*send.node == START => {
                Err(Failure::invalid_update(format!("a Send cannot go to {}", send.node)))
            }
            Goto::Send(send) => {
                let id =
                    self.find(&send.node).ok_or_else(|| Failure::unknown_target(&send.node))?;
                leads.sends.push(Sent { node: id, arg: self.fit_argument(id, send)? });
                Ok(())
            }
        }
    }

    fn fit_argument(&self, id: NodeId, send: Send) -> Result<crate::value::Value, Failure> {
        use crate::{command::Arg, state::Update};
        let spec = self.node(id);
        let Some(run) = &spec.run else {
            return Err(Failure::unknown_target(&send.node));
        };
        let wrong = |expected: &str| {
            Failure::invalid_update(format!(
                "the argument of the Send to `{}` is no {expected}",
                spec.name
            ))
        };
        match (run.arg(), send.arg) {
            (ArgCodec::State, Arg::State(update)) => {
                Ok(Arc::new(update.into_values(&self.schema)?))
            }
            (ArgCodec::State, Arg::Json(json)) => {
                let update = Update::from_json(&self.schema, json, |_| true)?;
                Ok(Arc::new(update.into_values(&self.schema)?))
            }
            (ArgCodec::State, Arg::Typed(_)) => Err(wrong("partial state")),
            (ArgCodec::Typed(codec), Arg::Json(json)) => codec.from_json(json).map_err(|error| {
                Failure::invalid_update(format!("Send to `{}`: {error}", spec.name))
            }),
            (ArgCodec::Typed(codec), Arg::Typed(value)) => {
                if codec.accepts(&value) {
                    Ok(value)
                } else {
                    Err(wrong(codec.type_name()))
                }
            }
            (ArgCodec::Typed(codec), Arg::State(_)) => Err(wrong(codec.type_name())),
        }
    }

    /// Decides where a router leads, given the fresh state of its task.
    pub(crate) fn decide(
        &self,
        router: &Router,
        fresh: &Values,
        leads: &mut Leads,
    ) -> Result<(), Failure> {
        let gotos = (router.decide)(&self.schema, fresh).0?;
        if gotos.is_empty() {
            match router.empty {
                Some(target) => leads.nodes.extend(target.node()),
                None => leads.empty_fan_out = true,
            }
            return Ok(());
        }
        for goto in gotos {
            let goto = match (&router.labels, goto) {
                (Some(labels), Goto::Node(label)) => match labels.get(&label) {
                    Some(target) => {
                        leads.nodes.extend(target.node());
                        continue;
                    }
                    None => return Err(unknown_label(&label, labels)),
                },
                (_, goto) => goto,
            };
            let before = (leads.nodes.len(), leads.sends.len());
            self.resolve(goto, leads)?;
            if let Some(closed) = &router.closed {
                let nodes = leads.nodes[before.0..].iter().copied();
                let sends = leads.sends[before.1..].iter().map(|send| send.node);
                if let Some(other) = nodes.chain(sends).find(|id| !closed.contains(id)) {
                    return Err(Failure::unknown_target(&self.node(other).name));
                }
            }
        }
        Ok(())
    }

    /// What may be wrong although the graph compiles.
    pub(crate) fn lint(&self) -> Vec<Lint> {
        let mut reached = vec![false; self.nodes.len()];
        let mut open = vec![START_ID];
        let mut anywhere = false;
        while let Some(id) = open.pop() {
            if std::mem::replace(&mut reached[id as usize], true) {
                continue;
            }
            let spec = self.node(id);
            let joins = spec.exits.joins.iter().map(|join| self.joins[*join as usize].target);
            open.extend(
                spec.exits.edges.iter().copied().chain(joins).chain(spec.targets.iter().copied()),
            );
            for router in &spec.exits.routers {
                match (&router.closed, &router.labels) {
                    (Some(closed), _) => open.extend(closed),
                    (None, Some(labels)) => {
                        open.extend(labels.values().filter_map(|target| target.node()));
                    }
                    (None, None) => anywhere = true,
                }
                open.extend(router.empty.and_then(Target::node));
            }
        }
        if anywhere {
            return Vec::new();
        }
        self.nodes
            .iter()
            .zip(reached)
            .filter(|(_, reached)| !reached)
            .map(|(spec, _)| Lint::Unreachable { node: spec.name.to_string() })
            .collect()
    }
}

fn unknown_label(label: &str, labels: &HashMap<Arc<str>, Target>) -> Failure {
    let mut known: Vec<&str> = labels.keys().map(|label| &**label).collect();
    known.sort_unstable();
    let mut failure = Failure::unknown_target(label);
    failure.message = format!("the router returned `{label}`; its labels are {}", known.join(", "));
    failure
}

/// A hint about a graph that compiles.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lint {
    /// No declared way leads to this node. Gotos and open routers are unknown to the lint.
    Unreachable {
        /// The node.
        node: String,
    },
}

/// Numbers nodes by name and turns drafts into specifications, collecting mistakes.
struct Compiler {
    graph: Arc<str>,
    schema: Arc<Schema>,
    nodes: Vec<NodeSpec>,
    by_name: HashMap<Arc<str>, NodeId>,
    declared: Vec<(NodeId, Vec<Arc<str>>)>,
    mistakes: Vec<Mistake>,
}

impl Compiler {
    fn new(graph: Arc<str>, schema: Arc<Schema>, mut drafts: Vec<NodeDraft>) -> Self {
        let mut mistakes = Vec::new();
        drafts.sort_by(|a, b| a.name.cmp(&b.name));
        let start: Arc<str> = Arc::from(START);
        let mut nodes = vec![NodeSpec {
            trigger: Arc::clone(&start),
            name: start,
            run: None,
            defer: false,
            exits: Exits::default(),
            targets: Vec::new(),
        }];
        let mut by_name = HashMap::new();
        let mut declared = Vec::new();
        by_name.insert(Arc::clone(&nodes[0].name), START_ID);
        for draft in drafts {
            if let Some(reason) = names::refuse(&draft.name) {
                mistakes.push(Mistake::BadName { name: draft.name.to_string(), reason });
                continue;
            }
            if by_name.contains_key(&draft.name) {
                mistakes.push(Mistake::DuplicateNode { node: draft.name.to_string() });
                continue;
            }
            let id = nodes.len() as NodeId;
            by_name.insert(Arc::clone(&draft.name), id);
            declared.push((id, draft.targets));
            nodes.push(NodeSpec {
                trigger: Arc::from(format!("branch:to:{}", draft.name)),
                name: draft.name,
                run: Some(draft.run),
                defer: draft.defer,
                exits: Exits::default(),
                targets: Vec::new(),
            });
        }
        Self { graph, schema, nodes, by_name, declared, mistakes }
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

    fn compile(
        mut self,
        edges: Vec<(Arc<str>, Arc<str>)>,
        joins: Vec<(Vec<Arc<str>>, Arc<str>)>,
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
        for (sources, to) in joins {
            self.join(&sources, &to, &mut specs);
        }
        for draft in routers {
            self.router(draft);
        }
        for (id, targets) in std::mem::take(&mut self.declared) {
            for name in targets {
                let node = Arc::clone(&self.nodes[id as usize].name);
                if let Some(Target::Node(target)) =
                    self.target(&name, || format!("the targets of `{node}`"))
                {
                    self.nodes[id as usize].targets.push(target);
                }
            }
        }
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
            joins: specs,
            by_name: self.by_name,
        })
    }

    fn join(&mut self, sources: &[Arc<str>], to: &Arc<str>, specs: &mut Vec<JoinSpec>) {
        let joined = sources.iter().map(|name| &**name).collect::<Vec<_>>().join("+");
        let name = format!("join:{joined}:{to}");
        if sources.is_empty() {
            self.mistakes.push(Mistake::EmptyJoin { target: to.to_string() });
        }
        let mut ids = Vec::with_capacity(sources.len());
        for source in sources {
            if let Some(id) = self.source(source, || format!("the join {name}"))
                && !ids.contains(&id)
            {
                ids.push(id);
            }
        }
        let target = self.target(to, || format!("the join {name}"));
        let Some(Target::Node(target)) = target else { return };
        let join = specs.len() as JoinId;
        for id in &ids {
            self.nodes[*id as usize].exits.joins.push(join);
        }
        specs.push(JoinSpec { name: Arc::from(name), sources: ids, target });
    }

    fn router(&mut self, draft: RouterDraft) {
        let from = draft.from;
        let place = || format!("the route from `{from}`");
        let source = self.source(&from, place);
        let mut router = Router { decide: draft.decide, closed: None, labels: None, empty: None };
        match draft.targets {
            Targets::Open => {}
            Targets::Closed(names) => {
                let targets = names.iter().filter_map(|name| self.target(name, place));
                router.closed = Some(targets.filter_map(Target::node).collect());
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
