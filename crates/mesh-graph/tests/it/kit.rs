//! A laboratory for graphs: edges from a line of text, nodes that append their own name, and a
//! count of every start.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use mesh_graph::{
    App, Breakpoints, Checkpointer, Compiled, Ctx, END, Error, Graph, IntoStep, MemoryCheckpointer,
    Mode, Named, NodeError, NodeOptions, NodeResult, Outcome, Route, Run, START, State, View,
    checkpointer::Filter, env::CountingEnv,
};
use serde_json::{Value as Json, json};

/// The state of most cases.
#[derive(State)]
pub(crate) struct S {
    /// A last value.
    pub(crate) x: Option<i64>,
    /// A list that grows.
    #[state(append)]
    pub(crate) log: Vec<String>,
}

/// Which nodes started, in order.
#[derive(Default)]
pub(crate) struct Trace(Mutex<Vec<String>>);

impl Trace {
    pub(crate) fn start(&self, node: &str) {
        self.0.lock().unwrap().push(node.to_owned());
    }

    /// How often `node` started.
    pub(crate) fn runs(&self, node: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|started| *started == node).count()
    }
}

pub(crate) type Deps = Arc<Trace>;

/// A graph under construction.
pub(crate) struct Lab {
    pub(crate) graph: Graph<S, Deps>,
    nodes: BTreeSet<String>,
    wanted: BTreeSet<String>,
}

impl Lab {
    /// Edges such as `"S -> a, b; a -> c; b & c -> d"`. `S` is START and `E` is END; `&` joins.
    pub(crate) fn new(edges: &str) -> Self {
        let mut graph = Graph::new("lab");
        let mut wanted = BTreeSet::new();
        let name = |text: &str| match text.trim() {
            "S" => START.to_owned(),
            "E" => END.to_owned(),
            other => other.to_owned(),
        };
        for edge in edges.split(';').filter(|edge| !edge.trim().is_empty()) {
            let (from, to) = edge.split_once("->").expect("an edge needs `->`");
            let sources: Vec<String> = from.split('&').map(name).collect();
            for target in to.split(',').map(name) {
                match &sources[..] {
                    [source] => {
                        graph.edge(source.clone(), target.clone());
                    }
                    several => {
                        graph.join(several.iter().cloned(), target.clone());
                    }
                }
                wanted.extend(sources.iter().cloned().chain([target]));
            }
        }
        Self { graph, nodes: BTreeSet::new(), wanted }
    }

    /// A node with a function of its own.
    pub(crate) fn with<F, Fut, Out>(mut self, name: &str, node: F) -> Self
    where
        F: Fn(View<S>, Ctx<Deps>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = NodeResult<Out>> + Send + 'static,
        Out: IntoStep<S> + 'static,
    {
        self.nodes.insert(name.to_owned());
        self.graph.node(name, move |state: View<S>, ctx: Ctx<Deps>| {
            ctx.deps().start(&ctx.info().node);
            node(state, ctx)
        });
        self
    }

    /// A node with a function of its own, and with options.
    pub(crate) fn with_options<F, Fut, Out>(
        mut self,
        name: &str,
        node: F,
        options: impl FnOnce(NodeOptions<'_, (), S, Deps>) -> NodeOptions<'_, (), S, Deps>,
    ) -> Self
    where
        F: Fn(View<S>, Ctx<Deps>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = NodeResult<Out>> + Send + 'static,
        Out: IntoStep<S> + 'static,
    {
        self.nodes.insert(name.to_owned());
        options(self.graph.node(name, move |state: View<S>, ctx: Ctx<Deps>| {
            ctx.deps().start(&ctx.info().node);
            node(state, ctx)
        }));
        self
    }

    /// Whatever else the graph's builder offers.
    pub(crate) fn tuned(mut self, tune: impl FnOnce(&mut Graph<S, Deps>)) -> Self {
        tune(&mut self.graph);
        self
    }

    /// Nodes that no edge names.
    pub(crate) fn also<const N: usize>(mut self, names: [&str; N]) -> Self {
        self.wanted.extend(names.map(str::to_owned));
        self
    }

    /// A node that appends its name and waits for everything else.
    pub(crate) fn deferred(mut self, name: &'static str) -> Self {
        self.nodes.insert(name.to_owned());
        self.graph.node(name, appends()).defer();
        self
    }

    pub(crate) fn route<R: Into<Route>>(
        mut self,
        from: impl Named,
        decide: impl Fn(&View<S>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.graph.route(from, decide);
        self
    }

    /// Adds a node that appends its own name for every name without a function.
    pub(crate) fn compile(mut self) -> Compiled<S, Deps> {
        for name in self.wanted.difference(&self.nodes) {
            if name != START && name != END {
                self.graph.node(name, appends());
            }
        }
        self.graph.compile().expect("the graph compiles")
    }

    /// The graph on threads in memory, with ids and clock that count.
    pub(crate) fn app(self) -> Bench {
        Bench::new(&self.compile())
    }
}

/// A node that appends its own name.
pub(crate) fn appends() -> impl Fn(View<S>, Ctx<Deps>) -> std::future::Ready<NodeResult<SUpdate>> {
    |_, ctx| {
        let node = ctx.info().node;
        ctx.deps().start(&node);
        std::future::ready(Ok(S::update().push_log(node)))
    }
}

/// A graph on the bench: an app with its trace.
pub(crate) struct Bench {
    pub(crate) app: App<S>,
    pub(crate) trace: Deps,
}

impl Bench {
    pub(crate) fn new(graph: &Compiled<S, Deps>) -> Self {
        Self::on(graph, Arc::new(MemoryCheckpointer::encoding()))
    }

    /// On threads that somebody else keeps.
    pub(crate) fn on(graph: &Compiled<S, Deps>, checkpointer: Arc<dyn Checkpointer>) -> Self {
        let trace = Deps::default();
        let app = graph
            .app(Arc::clone(&trace))
            .checkpointer(checkpointer)
            .env(Arc::new(CountingEnv::default()));
        Self { app, trace }
    }

    /// Without a checkpointer.
    pub(crate) fn unsaved(graph: &Compiled<S, Deps>) -> Self {
        let trace = Deps::default();
        Self { app: graph.app(Arc::clone(&trace)).env(Arc::new(CountingEnv::default())), trace }
    }

    pub(crate) fn run(&self, input: SUpdate) -> Run<S> {
        self.app.run(input).thread("t")
    }

    pub(crate) async fn invoke(&self, input: SUpdate) -> Outcome<S> {
        self.run(input).invoke().await.expect("the run ends well")
    }

    pub(crate) async fn resume(&self) -> Outcome<S> {
        self.app.resume().thread("t").invoke().await.expect("the run ends well")
    }

    pub(crate) async fn answer(&self, answer: Json) -> Result<Outcome<S>, Error> {
        self.app.answer(mesh_graph::Resume::Only(answer)).thread("t").invoke().await
    }

    pub(crate) async fn answer_by_id<const N: usize>(
        &self,
        answers: [(String, Json); N],
    ) -> Result<Outcome<S>, Error> {
        let answers = answers.into_iter().collect();
        self.app.answer(mesh_graph::Resume::ById(answers)).thread("t").invoke().await
    }

    /// `step source next`, newest first, one line per checkpoint.
    pub(crate) async fn history(&self) -> String {
        let history = self.app.history("t", &Filter::default()).await.unwrap();
        let lines = history.iter().map(|snapshot| {
            let next = snapshot.next.join(",");
            format!("{} {} [{next}]", snapshot.step.unwrap(), snapshot.source.unwrap())
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    pub(crate) async fn next(&self) -> Vec<String> {
        self.app.state("t").await.unwrap().next
    }

    pub(crate) async fn log(&self) -> Vec<String> {
        self.app.state("t").await.unwrap().state().log.clone()
    }
}

pub(crate) fn log(outcome: &Outcome<S>) -> Vec<String> {
    outcome.state().log.clone()
}

/// The events of one mode as they come, and the outcome.
pub(crate) async fn events(run: Run<S>, mode: Mode) -> (Vec<Json>, Result<Outcome<S>, Error>) {
    let mut handle = run.stream([mode]).start().expect("the run starts");
    let mut events = Vec::new();
    while let Some(event) = handle.next().await {
        events.push(event.data());
    }
    (events, handle.finish().await)
}

/// A node that asks `question` under `key` and appends the answer.
pub(crate) fn asks(
    key: &'static str,
    question: Json,
) -> impl Fn(View<S>, Ctx<Deps>) -> std::future::Ready<NodeResult<SUpdate>> {
    move |_, ctx| {
        std::future::ready(
            ctx.interrupt::<Json>(key, &question).map(|answer| S::update().push_log(text(&answer))),
        )
    }
}

/// A JSON string bare, everything else as JSON.
pub(crate) fn text(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

pub(crate) fn at(names: &[&str]) -> Breakpoints {
    Breakpoints::At(names.iter().map(|name| (*name).to_owned()).collect())
}

/// A node that fails when it runs for the first time and appends its name after that.
pub(crate) fn fails_once() -> impl Fn(View<S>, Ctx<Deps>) -> std::future::Ready<NodeResult<SUpdate>>
{
    |_, ctx| {
        let node = ctx.info().node;
        std::future::ready(if ctx.deps().runs(&node) == 1 {
            Err(NodeError::msg("once"))
        } else {
            Ok(S::update().push_log(node))
        })
    }
}

pub(crate) fn empty() -> SUpdate {
    S::update()
}

pub(crate) fn values(log: &[&str]) -> Json {
    json!({ "log": log })
}
