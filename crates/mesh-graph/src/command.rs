//! Where to go next: gotos, sends, and what a node returns besides its update.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::{
    error::Failure,
    names::END,
    node::{Named, Node},
    parent::ToParent,
    state::{Part, State, Update},
    timeout::Timeout,
    value::{Datum, Value},
};

/// A direct task of the next superstep: one node with an argument of its own.
///
/// An edge runs a node once on the shared state; a `Send` runs it on its own argument, and as
/// often as there are `Send`s. Routers and gotos make them; for the usual "one task per item of a
/// list" there is [`crate::Graph::fan_out`], which also asks what follows an empty list.
///
/// ```
/// # use mesh_graph::{Arg, Ctx, Graph, NodeResult, Send, START, State};
/// # #[derive(State)] struct Poll { #[state(append)] votes: Vec<String> }
/// async fn ask(Arg(name): Arg<String>, _: Ctx) -> NodeResult<PollUpdate> {
///     Ok(Poll::update().push_votes(format!("{name}: yes")))
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut graph = Graph::<Poll>::new("poll");
/// let ask = graph.node("ask", ask).id();
/// graph.route(START, move |_| {
///     vec![Send::to(&ask, "Ann".to_owned()), Send::to(&ask, "Bob".to_owned())]
/// });
/// let outcome = graph.compile()?.app(()).run(Poll::update()).invoke().await?;
/// assert_eq!(outcome.state().votes, ["Ann: yes", "Bob: yes"]);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Send {
    pub(crate) node: Arc<str>,
    pub(crate) arg: Arg,
    /// Boxed: few have one.
    pub(crate) timeout: Option<Box<Timeout>>,
}

/// The argument of a [`Send`] before the target's codec has seen it.
#[derive(Clone)]
pub(crate) enum Arg {
    Typed(Value),
    State(Update),
    Json(Json),
}

impl Send {
    /// Runs `node` with `arg`, verbatim.
    pub fn to<A: Datum>(node: &Node<A>, arg: A) -> Self {
        Self { node: Arc::clone(&node.name), arg: Arg::Typed(Arc::new(arg)), timeout: None }
    }

    /// Runs `node`, which reads state, on these keys and nothing else.
    pub fn state<U: Into<Update>>(node: &str, update: U) -> Self {
        Self { node: Arc::from(node), arg: Arg::State(update.into()), timeout: None }
    }

    /// Runs `node` with an argument in JSON.
    pub fn json(node: &str, arg: Json) -> Self {
        Self { node: Arc::from(node), arg: Arg::Json(arg), timeout: None }
    }

    /// Limits the time of the task's attempts, instead of what its node says. A limit of zero
    /// fails the task that sends.
    pub fn timeout(mut self, timeout: impl Into<Timeout>) -> Self {
        self.timeout = Some(Box::new(timeout.into()));
        self
    }
}

impl std::fmt::Debug for Send {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Send(`{}`)", self.node)
    }
}

/// One target of a route or of a goto.
#[derive(Debug, Clone)]
pub enum Goto {
    /// A node, or END.
    Node(Arc<str>),
    /// A direct task.
    Send(Send),
    /// Nowhere: the joins that have this node as an optional source wait for it no longer in this
    /// round. A node that is no such source fails the task that says so. See
    /// [`crate::JoinOptions::optional`].
    NotComing(Arc<str>),
}

impl From<&str> for Goto {
    fn from(name: &str) -> Self {
        Self::Node(Arc::from(name))
    }
}

impl From<String> for Goto {
    fn from(name: String) -> Self {
        Self::Node(Arc::from(name))
    }
}

impl<A> From<&Node<A>> for Goto {
    fn from(node: &Node<A>) -> Self {
        Self::Node(Arc::clone(&node.name))
    }
}

impl From<Send> for Goto {
    fn from(send: Send) -> Self {
        Self::Send(send)
    }
}

/// What a router decides: where a branch goes on.
///
/// Routers seldom name this type. They return a node's name, a [`crate::Node`], a [`Send`], a `Vec`
/// of these, or an `Option` whose `None` is an error; all become a `Route`. A list of nodes and
/// sends together is a `Vec<Goto>`. An empty list ends the branch with
/// [`crate::Warning::EmptyFanOut`]; [`Route::end`], or the name END, ends it on purpose.
#[derive(Debug, Clone)]
pub struct Route(pub(crate) Result<Vec<Goto>, Failure>);

impl Route {
    /// The branch ends here.
    pub fn end() -> Self {
        Self(Ok(vec![Goto::from(END)]))
    }

    /// Also says that these nodes are not coming: [`Goto::NotComing`] for each.
    ///
    /// ```
    /// # use mesh_graph::{Ctx, Graph, NodeResult, Route, START, State, View};
    /// # #[derive(State)] struct Trip { city: String }
    /// # async fn ask(_: View<Trip>, _: Ctx) -> NodeResult<()> { Ok(()) }
    /// # let mut graph = Graph::<Trip>::new("trip");
    /// # for name in ["weather", "trains", "plan"] { graph.node(name, ask); }
    /// graph.route(START, |trip| match trip.city.as_str() {
    ///     "" => Route::from("weather").without(["trains"]),
    ///     _ => Route::from(vec!["weather", "trains"]),
    /// });
    /// graph.join(["weather", "trains"], "plan").optional(["trains"]);
    /// # graph.compile().unwrap();
    /// ```
    pub fn without<N: Named>(self, sources: impl IntoIterator<Item = N>) -> Self {
        let sources = sources.into_iter().map(|source| Goto::NotComing(source.node_name()));
        Self(self.0.map(|gotos| gotos.into_iter().chain(sources).collect()))
    }
}

impl<G: Into<Goto>> From<G> for Route {
    fn from(goto: G) -> Self {
        Self(Ok(vec![goto.into()]))
    }
}

impl<G: Into<Goto>> From<Vec<G>> for Route {
    fn from(gotos: Vec<G>) -> Self {
        Self(Ok(gotos.into_iter().map(Into::into).collect()))
    }
}

impl<G: Into<Goto>> From<Option<G>> for Route {
    fn from(goto: Option<G>) -> Self {
        Self(match goto {
            Some(goto) => Ok(vec![goto.into()]),
            None => Err(Failure::invalid_route("the router returned no target")),
        })
    }
}

/// What a router may return. Implemented for everything that a [`Route`] can be made from.
#[diagnostic::on_unimplemented(
    message = "a route cannot lead to `{Self}`",
    label = "this router returns `{Self}`",
    note = "return the name of a node, a `&Node`, a `Send`, a `Vec` of one of these, or a `Route`"
)]
pub trait IntoRoute {
    /// The route this value stands for.
    fn into_route(self) -> Route;
}

#[diagnostic::do_not_recommend]
impl<R: Into<Route>> IntoRoute for R {
    fn into_route(self) -> Route {
        self.into()
    }
}

/// What one task gave: its updates in order, and where it asks to go.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) updates: Vec<Update>,
    pub(crate) goto: Vec<Goto>,
    /// A command to the parent, which stands in place of everything else.
    pub(crate) parent: Option<Box<ToParent>>,
}

/// A node's result with routing: updates, gotos, or both.
///
/// Most nodes return the update type of their state; this is for the others.
///
/// ```
/// # use mesh_graph::{Ctx, NodeResult, State, Step, View};
/// # #[derive(State)] struct Draft { text: String, #[state(add)] tries: i64 }
/// async fn check(draft: View<Draft>, _: Ctx) -> NodeResult<Step<Draft>> {
///     let step = Step::update(Draft::update().tries(1));
///     // Static edges of the node are followed besides; a goto only adds to them.
///     Ok(if draft.text.is_empty() { step.goto("write") } else { step })
/// }
/// ```
pub struct Step<S: State> {
    pub(crate) output: Output,
    state: std::marker::PhantomData<fn() -> S>,
}

impl<S: State> Step<S> {
    /// Neither an update nor a goto.
    pub fn none() -> Self {
        Self { output: Output::default(), state: std::marker::PhantomData }
    }

    /// This update.
    pub fn update(update: S::Update) -> Self {
        Self::none().and(update)
    }

    /// A further update of the same task, applied after those before it.
    pub fn and(mut self, update: S::Update) -> Self {
        self.output.updates.push(update.into());
        self
    }

    /// A further update of a part of the state.
    pub fn and_part<P: Part<S>>(mut self, update: P::Update) -> Self {
        self.output.updates.push(update.into());
        self
    }

    /// Also goes to this node or makes this direct task. Static edges are followed as well.
    pub fn goto(mut self, target: impl Into<Goto>) -> Self {
        self.output.goto.push(target.into());
        self
    }

    /// Also goes to all of these.
    pub fn goto_all<G: Into<Goto>>(mut self, targets: impl IntoIterator<Item = G>) -> Self {
        self.output.goto.extend(targets.into_iter().map(Into::into));
        self
    }

    /// Makes this step of the parent's state `S` a command to the parent, to be returned by a node
    /// of a graph over `C` that is mounted in a graph over `S` (or called inside one of its nodes).
    ///
    /// The mounted graph stops after the superstep: its other writes of that superstep are
    /// discarded, and nothing it did before reaches the parent. The parent sees this update and
    /// these gotos as if the mounted node had returned them, so that node's own edges are followed
    /// as well. Several such commands of one superstep are merged in the order of their tasks.
    ///
    /// A root graph has no parent: its task fails with [`crate::FailureKind::NoParent`].
    ///
    /// ```
    /// # use mesh_graph::{Ctx, NodeResult, State, Step, View};
    /// # #[derive(State)] struct Team { #[state(append)] notes: Vec<String> }
    /// # #[derive(State)] struct Desk { question: String }
    /// async fn hand_over(desk: View<Desk>, _: Ctx) -> NodeResult<Step<Desk>> {
    ///     let note = Team::update().push_notes(format!("asked: {}", desk.question));
    ///     Ok(Step::<Team>::update(note).goto("expert").parent())
    /// }
    /// ```
    pub fn parent<C: State>(self) -> Step<C> {
        let parent = Some(Box::new(ToParent::typed::<S>(self.output)));
        Step { output: Output { parent, ..Output::default() }, state: std::marker::PhantomData }
    }

    /// A command to a parent whose state's Rust type is not known here: a JSON object of its keys,
    /// and where to go there. See [`Step::parent`].
    pub fn parent_json(update: Option<Json>, goto: impl IntoIterator<Item = Goto>) -> Self {
        let command = ToParent::json(update.into_iter().collect(), goto.into_iter().collect());
        let mut step = Self::none();
        step.output.parent = Some(Box::new(command));
        step
    }
}

/// What a node may return.
#[diagnostic::on_unimplemented(
    message = "a node of a graph over `{S}` cannot return `{Self}`",
    note = "return the state's update (`{S}::update()…`) or that of a part of it, a `Step<{S}>` with routing, or `()`"
)]
pub trait IntoStep<S: State> {
    /// The step this value stands for.
    fn into_step(self) -> Step<S>;
}

impl<S: State> IntoStep<S> for Step<S> {
    fn into_step(self) -> Step<S> {
        self
    }
}

impl<S: State> IntoStep<S> for () {
    fn into_step(self) -> Step<S> {
        Step::none()
    }
}
