//! Graphs: the builder that collects nodes and edges, and the compiled, immutable graph.
//!
//! Every mistake is kept until [`Graph::compile`], which reports all of them by name.

mod compile;
mod core;
mod draw;
mod lint;
mod mounted;
mod tags;

use std::{any::TypeId, collections::HashMap, marker::PhantomData, sync::Arc};

use schemars::JsonSchema;
use serde_json::{Map, Value as Json};

use crate::{
    cache::CachePolicy,
    channel::{Schema, Values},
    command::{IntoRoute, Send},
    error::{CompileError, Failure, Mistake},
    join::{JoinDraft, JoinOptions},
    keys::Keys,
    mount::Mount,
    node::{ArgCodec, Handler, HandlerNode, Named, Node, NodeFn, NodeInput, PartSchema},
    policy::PolicyDraft,
    run::Breakpoints,
    shared::Sharing,
    state::{Part, State, View},
    value::Datum,
};

pub(crate) use self::core::{Core, JoinId, Leads, NodeId, START_ID, Sent};
pub(crate) use self::tags::{Tags, prepend_tags, streams_tokens};
use self::{compile::Compiler, core::Decide};
pub use self::{
    draw::{Drawing, DrawnEdge, DrawnNode, Xray},
    lint::Lint,
    mounted::Mounted,
};

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
    /// Where the fields of the state and of its parts are in the schema.
    parts: HashMap<TypeId, Arc<[usize]>>,
    lenient_input: bool,
    context: Option<Json>,
    mistakes: Vec<Mistake>,
    nodes: Vec<NodeDraft>,
    edges: Vec<(Arc<str>, Arc<str>)>,
    pub(crate) joins: Vec<JoinDraft>,
    routers: Vec<RouterDraft>,
    cache: Option<Arc<CachePolicy>>,
    pub(crate) defaults: PolicyDraft,
    types: PhantomData<fn() -> (S, D)>,
}

pub(crate) struct NodeDraft {
    name: Arc<str>,
    run: Arc<dyn NodeFn>,
    defer: bool,
    targets: Vec<Arc<str>>,
    cache: Option<Arc<CachePolicy>>,
    metadata: Map<String, Json>,
    tags: Tags,
    /// The keys it reads, of an untyped state; none stands for all.
    reads: Option<Vec<Arc<str>>>,
    /// The keys it writes at most, if it declares them.
    writes: Option<Vec<Arc<str>>>,
    pub(crate) policies: PolicyDraft,
    /// An error handler: no edge, goto or `Send` can name it.
    hidden: bool,
}

struct RouterDraft {
    from: Arc<str>,
    decide: Decide,
    targets: Targets,
    fan_out: bool,
    empty: Option<Arc<str>>,
}

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
        let schema = S::schema();
        let mut graph = Self::over(name, Schema::new(Vec::new()));
        graph.contribute(TypeId::of::<S>(), schema);
        graph
    }

    pub(crate) fn over(name: &str, schema: Schema) -> Self {
        Self {
            name: Arc::from(name),
            schema: Arc::new(schema),
            parts: HashMap::new(),
            lenient_input: false,
            context: None,
            mistakes: Vec::new(),
            nodes: Vec::new(),
            edges: Vec::new(),
            joins: Vec::new(),
            routers: Vec::new(),
            cache: None,
            defaults: PolicyDraft::default(),
            types: PhantomData,
        }
    }

    /// Adds the keys of a schema that stands for `part`, once, and says where they are.
    fn contribute(&mut self, part: TypeId, schema: Schema) -> Arc<[usize]> {
        if let Some(positions) = self.parts.get(&part) {
            return Arc::clone(positions);
        }
        let positions = Arc::make_mut(&mut self.schema).contribute(schema, &mut self.mistakes);
        self.parts.insert(part, Arc::clone(&positions));
        positions
    }

    /// Adds the keys of an untyped schema.
    pub(crate) fn contribute_keys(&mut self, keys: Keys) {
        let schema = keys.schema(&mut self.mistakes);
        Arc::make_mut(&mut self.schema).contribute(schema, &mut self.mistakes);
    }

    /// Ignores keys of an input that the graph does not have, instead of refusing the input.
    pub fn lenient_input(&mut self) -> &mut Self {
        self.lenient_input = true;
        self
    }

    /// Says what its nodes read by [`crate::Ctx::context`], for clients to know: see
    /// [`crate::App::context_schema`]. Nothing is checked before a node reads it.
    pub fn context<T: JsonSchema>(&mut self) -> &mut Self {
        self.context = Some(schemars::schema_for!(T).to_value());
        self
    }

    /// `to` runs in the superstep after `from`, whatever else `from` decides.
    pub fn edge(&mut self, from: impl Named, to: impl Named) -> &mut Self {
        self.edges.push((from.node_name(), to.node_name()));
        self
    }

    /// `to` runs once all of `sources` have finished at least once since it last ran for them; see
    /// [`JoinOptions`] for joins that need not wait for all.
    pub fn join<N: Named>(
        &mut self,
        sources: impl IntoIterator<Item = N>,
        to: impl Named,
    ) -> JoinOptions<'_, S, D> {
        let sources = sources.into_iter().map(|source| source.node_name()).collect();
        let to = to.node_name();
        self.joins.push(JoinDraft { sources, to, needed: None, optional: Vec::new() });
        JoinOptions { at: self.joins.len() - 1, graph: self }
    }

    /// Adds nodes with an edge from each to the next, and returns their names.
    pub fn sequence<N: Named>(&mut self, nodes: impl IntoIterator<Item = N>) -> &mut Self {
        let names: Vec<Arc<str>> = nodes.into_iter().map(|node| node.node_name()).collect();
        for pair in names.windows(2) {
            self.edges.push((Arc::clone(&pair[0]), Arc::clone(&pair[1])));
        }
        self
    }

    /// The cache policy of all nodes that have none of their own.
    pub fn default_cache(&mut self, policy: CachePolicy) -> &mut Self {
        self.cache = Some(Arc::new(policy));
        self
    }

    /// Checks the graph and makes it immutable.
    ///
    /// # Errors
    /// [`CompileError`] lists every mistake with the names it concerns.
    pub fn compile(mut self) -> Result<Compiled<S, D>, CompileError> {
        for draft in &mut self.nodes {
            draft.cache = draft.cache.take().or_else(|| self.cache.clone());
        }
        let mut mistakes = self.mistakes;
        self.schema.check(&mut mistakes);
        let compiler = Compiler::new(self.name, self.schema, self.nodes, self.defaults, mistakes);
        let mut core = compiler.compile(self.edges, self.joins, self.routers)?;
        core.parts = self.parts;
        core.lenient_input = self.lenient_input;
        core.context = self.context;
        Ok(Compiled {
            core: Arc::new(core),
            kept: Kept::PerCall,
            before: Breakpoints::None,
            after: Breakpoints::None,
            types: PhantomData,
        })
    }

    /// Mounts a compiled graph that shares the keys it has in common with this one: their values
    /// are its input, and what comes back is what [`Sharing`] says. Keys that only one side has
    /// never cross. A `Send` to it carries partial state of this graph.
    ///
    /// A shared key needs the same type on both sides, unless one of them is JSON; `compile`
    /// reports it otherwise.
    pub fn mount_shared<C>(
        &mut self,
        name: &str,
        child: &Compiled<C, D>,
        sharing: Sharing,
    ) -> NodeOptions<'_, (), S, D> {
        self.draft(name, Arc::new(Mount::sharing(child.child(), sharing, ArgCodec::State)))
    }

    pub(crate) fn draft<A>(
        &mut self,
        name: &str,
        run: Arc<dyn NodeFn>,
    ) -> NodeOptions<'_, A, S, D> {
        let name: Arc<str> = Arc::from(name);
        self.nodes.push(NodeDraft {
            name: Arc::clone(&name),
            run,
            defer: false,
            targets: Vec::new(),
            cache: None,
            metadata: Map::new(),
            tags: Tags::default(),
            reads: None,
            writes: None,
            policies: PolicyDraft::default(),
            hidden: false,
        });
        let draft = self.nodes.len() - 1;
        NodeOptions { draft: &mut self.nodes[draft], types: PhantomData }
    }

    /// Adds a router from `from`.
    pub(crate) fn draft_route(&mut self, from: &impl Named, decide: Decide) -> RouteOptions<'_> {
        RouteOptions { draft: self.router(from, decide, Targets::Open, false) }
    }

    /// Adds a router from `from` that sends to `to`.
    pub(crate) fn draft_fan_out(
        &mut self,
        from: &impl Named,
        to: Arc<str>,
        decide: Decide,
    ) -> FanOut<'_> {
        FanOut { draft: self.router(from, decide, Targets::Closed(vec![to]), true) }
    }

    fn router(
        &mut self,
        from: &impl Named,
        decide: Decide,
        targets: Targets,
        fan_out: bool,
    ) -> &mut RouterDraft {
        let from = from.node_name();
        self.routers.push(RouterDraft { from, decide, targets, fan_out, empty: None });
        let draft = self.routers.len() - 1;
        &mut self.routers[draft]
    }
}

impl<S: State, D: std::marker::Send + Sync + 'static> Graph<S, D> {
    /// Adds a node. It runs when an edge, a join, a route or a `Send` leads to it.
    pub fn node<In, H>(&mut self, name: &str, handler: H) -> NodeOptions<'_, In::Arg, S, D>
    where
        In: NodeInput<S>,
        H: Handler<S, D, In>,
    {
        let positions = In::part().map(|part| self.contribute(part.part, part.schema));
        let run = Arc::new(HandlerNode { handler, positions, types: PhantomData });
        self.draft(name, run)
    }

    /// Adds the keys of a part that nodes write and no node takes a view of; those that are read
    /// add themselves.
    pub fn part<P: Part<S>>(&mut self) -> &mut Self {
        if let Some(part) = PartSchema::of::<S, P>() {
            self.contribute(part.part, part.schema);
        }
        self
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
    ) -> NodeOptions<'_, (), S, D> {
        let run = Mount::reading_state::<S, C>(&self.schema, child.child(), input, output);
        self.draft(name, Arc::new(run))
    }

    /// Mounts a compiled graph as the target of `Send`s with an `A`.
    pub fn mount_send<C: State, A: Datum>(
        &mut self,
        name: &str,
        child: &Compiled<C, D>,
        input: impl Fn(&A) -> C::Update + std::marker::Send + Sync + 'static,
        output: impl Fn(&View<C>) -> S::Update + std::marker::Send + Sync + 'static,
    ) -> NodeOptions<'_, A, S, D> {
        let run = Mount::taking_argument::<S, C, A>(child.child(), input, output);
        self.draft(name, Arc::new(run))
    }

    /// After `from`, `decide` names where to go: a node, END, a [`Send`], or a list of these. An
    /// empty list ends the branch. It sees the superstep's snapshot with `from`'s own writes, and
    /// forms one task with it: when it fails, `from` failed.
    pub fn route<R: IntoRoute>(
        &mut self,
        from: impl Named,
        decide: impl Fn(&View<S>) -> R + std::marker::Send + Sync + 'static,
    ) -> RouteOptions<'_> {
        let decide = move |schema: &Arc<Schema>, values: &Values| {
            decide(&View::new(schema, values)).into_route()
        };
        self.draft_route(&from, Arc::new(decide))
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
        let decide = move |schema: &Arc<Schema>, values: &Values| {
            let sends: Vec<Send> = list(&View::new(schema, values))
                .into_iter()
                .map(|arg| Send::to(&target, arg))
                .collect();
            sends.into_route()
        };
        self.draft_fan_out(&from, to.node_name(), Arc::new(decide))
    }
}

/// Options of a node that was just added.
pub struct NodeOptions<'a, A, S = (), D = ()> {
    pub(crate) draft: &'a mut NodeDraft,
    types: PhantomData<fn(A) -> (S, D)>,
}

impl<A, S, D> NodeOptions<'_, A, S, D> {
    /// The node runs only when nothing else is left to run, once for all edges that asked for it.
    /// A `Send` to it does not wait.
    pub fn defer(self) -> Self {
        self.draft.defer = true;
        self
    }

    /// What the node gave for an input may be given again, without running it, where the app has
    /// a cache.
    pub fn cache(self, policy: CachePolicy) -> Self {
        self.draft.cache = Some(Arc::new(policy));
        self
    }

    /// Declares where the node's own gotos may lead, for drawings and for `compile` to check.
    pub fn targets<N: Named>(self, targets: impl IntoIterator<Item = N>) -> Self {
        self.draft.targets = targets.into_iter().map(|target| target.node_name()).collect();
        self
    }

    /// Declares the only keys that the node writes. A write to another key fails its task, and
    /// [`Compiled::lint`] can tell which nodes may write one key in the same superstep.
    ///
    /// ```
    /// # use mesh_graph::{Ctx, Graph, Lint, NodeResult, START, State, View};
    /// # #[derive(State)] struct Team { leader: String }
    /// # async fn elect(_: View<Team>, _: Ctx) -> NodeResult<()> { Ok(()) }
    /// # let mut graph = Graph::<Team>::new("team");
    /// for name in ["ann", "bob"] {
    ///     graph.node(name, elect).writes(["leader"]);
    ///     graph.edge(START, name);
    /// }
    /// let nodes = vec!["ann".to_owned(), "bob".to_owned()];
    /// let clash = Lint::WriteClash { key: "leader".to_owned(), nodes };
    /// assert_eq!(graph.compile().unwrap().lint(), [clash]);
    /// ```
    pub fn writes(self, keys: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.draft.writes = Some(keys.into_iter().map(|key| Arc::from(key.as_ref())).collect());
        self
    }

    /// A tag for whoever reads streams. With `nostream` the tokens of the node's model calls are
    /// not streamed, though the message that it returns is; with `langsmith:hidden` the node is
    /// shown in no stream, only its questions are.
    pub fn tag(self, tag: &str) -> Self {
        self.draft.tags.add(tag);
        self
    }

    /// An entry of the node's metadata, for drawings and streams.
    pub fn metadata(self, key: &str, value: impl Into<Json>) -> Self {
        self.draft.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// The node, to name it in edges and sends.
    pub fn id(self) -> Node<A> {
        Node::named(&self.draft.name)
    }
}

impl<S, D> NodeOptions<'_, Json, S, D> {
    /// The node reads these keys of an untyped state alone.
    pub(crate) fn reads(self, keys: Vec<Arc<str>>) -> Self {
        self.draft.reads = Some(keys);
        self
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
    kept: Kept,
    before: Breakpoints,
    after: Breakpoints,
    types: PhantomData<fn() -> (S, D)>,
}

/// How long the state of a graph lives that runs below a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Kept {
    /// From the first time its task runs it until the task is done.
    #[default]
    PerCall,
    /// As long as the thread, under this name or the node's.
    PerThread(Option<Arc<str>>),
    /// Not at all.
    Unsaved,
}

/// A compiled graph to run below a task.
#[derive(Clone)]
pub(crate) struct Child {
    pub(crate) core: Arc<Core>,
    pub(crate) kept: Kept,
    pub(crate) before: Breakpoints,
    pub(crate) after: Breakpoints,
}

impl<S, D> Clone for Compiled<S, D> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            kept: self.kept.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
            types: PhantomData,
        }
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

    /// Below a task, keeps one state for the whole thread instead of a new one for every task: the
    /// graph goes on from where it was the last time. The state belongs to the node that mounts or
    /// calls it; two tasks of one superstep cannot share it
    /// ([`crate::FailureKind::InstanceBusy`]), see [`crate::Call::instance`].
    ///
    /// A replay of an older checkpoint of the thread finds the state of that time. A root graph has
    /// its thread already, so running this as one is an error.
    pub fn per_thread(mut self) -> Self {
        self.kept = Kept::PerThread(None);
        self
    }

    /// As [`Compiled::per_thread`], with a state called `instance`, so that several nodes share
    /// it. Names are those a node may have.
    pub fn per_thread_as(mut self, instance: &str) -> Self {
        self.kept = Kept::PerThread(Some(Arc::from(instance)));
        self
    }

    /// Below a task, saves nothing: a question inside starts the graph from its beginning once it
    /// is answered, with all answers so far. A root graph says so by having no checkpointer.
    pub fn unsaved(mut self) -> Self {
        self.kept = Kept::Unsaved;
        self
    }

    /// Stops every run before these nodes: as a root graph unless the app or the run says
    /// otherwise, below a task always. There it needs to be saved, to go on where it stopped.
    ///
    /// # Errors
    /// [`Failure`] names a node that the graph does not have.
    pub fn break_before(mut self, at: Breakpoints) -> Result<Self, Failure> {
        at.check(&self.core)?;
        self.before = at;
        Ok(self)
    }

    /// Stops every run after these nodes, as [`Compiled::break_before`] does before them.
    ///
    /// # Errors
    /// [`Failure`] names a node that the graph does not have.
    pub fn break_after(mut self, at: Breakpoints) -> Result<Self, Failure> {
        at.check(&self.core)?;
        self.after = at;
        Ok(self)
    }

    pub(crate) fn child(&self) -> Child {
        Child {
            core: Arc::clone(&self.core),
            kept: self.kept.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
        }
    }

    /// A picture of the graph; see [`Drawing::mermaid`].
    pub fn draw(&self, xray: Xray) -> Drawing {
        self.core.draw(xray, &self.before, &self.after)
    }

    /// The names of the nodes in apply order, hidden ones included: `__error_handler__<node>` and
    /// `__default_error_handler__`.
    pub fn node_names(&self) -> impl Iterator<Item = &str> {
        self.core.nodes.iter().skip(1).map(|node| &*node.name)
    }
}
