//! One engine, two front ends: the same graph, typed and described by a value, gives the same
//! states, streams and histories.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use mesh_graph::{
    App, Command, Ctx, END, Goto, Graph, JsonStep, JsonView, Key, Keys, MemoryCheckpointer, Mode,
    NodeError, Route, START, Send, State, Step, Untyped, View, checkpointer::Filter,
    env::CountingEnv,
};
use serde_json::{Value as Json, json};

#[derive(State)]
struct Both {
    x: Option<i64>,
    #[state(append)]
    log: Vec<String>,
    #[state(add)]
    sum: i64,
    #[state(topic)]
    news: Vec<i64>,
    #[state(ephemeral)]
    flash: Option<i64>,
}

fn keys() -> Keys {
    Keys::new()
        .key(Key::new("x"))
        .key(Key::new("log").append())
        .key(Key::new("sum").add())
        .key(Key::new("news").topic())
        .key(Key::new("flash").ephemeral())
}

/// What a node does besides appending its name.
#[derive(Clone, Copy)]
enum Act {
    /// Nothing more.
    Log,
    /// Nothing at all.
    Idle,
    /// Writes `x`, adds it to `sum`, and tells the topic and the ephemeral key.
    X(i64),
    /// Writes `x + 1`.
    Next,
    /// Replaces the log.
    Overwrite,
    /// Also goes to this node.
    Goto(&'static str),
    /// Sends these to `w`.
    Sends(&'static [i64]),
    /// Appends `x` of what it was given instead of its name.
    Given,
    /// Fails the first time.
    FailsOnce,
    /// Returns two updates and a goto.
    Several(&'static str),
}

/// Where a router leads, given `x` and the log.
type Decide = fn(Option<i64>, &[String]) -> Vec<&'static str>;

#[derive(Default)]
struct Case {
    edges: &'static str,
    acts: &'static [(&'static str, Act)],
    deferred: &'static [&'static str],
    routes: &'static [(&'static str, Decide)],
    also: &'static [&'static str],
    limit: Option<u32>,
}

impl Case {
    fn act(&self, node: &str) -> Act {
        self.acts.iter().find(|(name, _)| *name == node).map_or(Act::Log, |(_, act)| *act)
    }

    /// Names as the engine has them.
    fn name(text: &str) -> &str {
        match text.trim() {
            "S" => START,
            "E" => END,
            other => other,
        }
    }

    /// Sources and target of every edge. Of a join, `?` follows an optional source and `@2` a
    /// target that needs two of them.
    fn edges(&self) -> Vec<(Vec<&str>, &str)> {
        let edges = self.edges.split(';').map(str::trim).filter(|edge| !edge.is_empty());
        edges
            .flat_map(|edge| {
                let (from, to) = edge.split_once("->").unwrap();
                let from: Vec<&str> = from.split('&').map(Self::name).collect();
                to.split(',').map(move |to| (from.clone(), Self::name(to)))
            })
            .collect()
    }

    fn nodes(&self) -> Vec<&str> {
        let mut nodes: Vec<&str> = self.also.to_vec();
        for (from, to) in self.edges() {
            let to = to.split('@').next();
            nodes.extend(from.into_iter().map(|from| from.trim_end_matches('?')).chain(to));
        }
        nodes.sort_unstable();
        nodes.dedup();
        nodes.retain(|node| *node != START && *node != END);
        nodes
    }

    /// Edges and options, which are the same calls on both kinds of graph.
    fn wire<S>(&self, graph: &mut Graph<S>) {
        for (from, to) in self.edges() {
            match &from[..] {
                [from] => {
                    graph.edge(*from, to);
                }
                several => {
                    let names = several.iter().map(|name| name.trim_end_matches('?'));
                    let optional = several.iter().filter_map(|name| name.strip_suffix('?'));
                    let (to, needed) = to.split_once('@').unwrap_or((to, ""));
                    let join = graph.join(names, to).optional(optional);
                    if let Ok(needed) = needed.parse() {
                        join.n_of(needed);
                    }
                }
            }
        }
    }

    fn typed(&self) -> App<Both> {
        let mut graph = Graph::<Both>::new("case");
        for node in self.nodes() {
            let act = self.act(node);
            let runs = AtomicUsize::new(0);
            let name = node.to_owned();
            let added = graph.node(node, move |state: View<Both>, _: Ctx| {
                let first = runs.fetch_add(1, Ordering::SeqCst) == 0;
                let update = || Both::update().push_log(name.clone());
                let step = match act {
                    Act::Idle => Ok(Step::none()),
                    Act::X(x) => {
                        Ok(Step::update(update().x(Some(x)).sum(x).push_news(x).flash(Some(x))))
                    }
                    Act::Next => Ok(Step::update(update().x(Some(state.x.unwrap_or(0) + 1)))),
                    Act::Overwrite => Ok(Step::update(Both::update().set_log(vec![name.clone()]))),
                    Act::Goto(to) => Ok(Step::update(update()).goto(to)),
                    Act::Sends(list) => {
                        let send = |x: &i64| Send::state("w", Both::update().x(Some(*x)));
                        Ok(Step::update(update()).goto_all(list.iter().map(send)))
                    }
                    Act::Given => {
                        let given = state.x.unwrap_or(0).to_string();
                        Ok(Step::update(Both::update().push_log(given)))
                    }
                    Act::FailsOnce if first => Err(NodeError::msg("once")),
                    Act::Log | Act::FailsOnce => Ok(Step::update(update())),
                    Act::Several(to) => Ok(Step::update(update()).and(update().sum(2)).goto(to)),
                };
                async move { step }
            });
            if self.deferred.contains(&node) {
                added.defer();
            }
        }
        self.wire(&mut graph);
        for (from, decide) in self.routes {
            graph.route(Self::name(from), |state| route(decide(*state.x, &state.log)));
        }
        self.ready(graph)
    }

    fn untyped(&self) -> App<Untyped> {
        let mut graph = Graph::<Untyped>::untyped("case", keys());
        for node in self.nodes() {
            let act = self.act(node);
            let runs = AtomicUsize::new(0);
            let name = node.to_owned();
            let added = graph.node_json(node, move |state: JsonView, _: Ctx| {
                let first = runs.fetch_add(1, Ordering::SeqCst) == 0;
                let update = || json!({"log": [name]});
                let command = |goto: Vec<Goto>| {
                    let update = Some(update());
                    JsonStep::from(Command { update, goto, ..Command::default() })
                };
                let step: Result<JsonStep, NodeError> = match act {
                    Act::Idle => Ok(().into()),
                    Act::X(x) => Ok(json!({
                        "log": [name], "x": x, "sum": x, "news": [x], "flash": x,
                    })
                    .into()),
                    Act::Next => {
                        let x = state["x"].as_i64().unwrap_or(0) + 1;
                        Ok(json!({"log": [name], "x": x}).into())
                    }
                    Act::Overwrite => Ok(json!({"log": {"__overwrite__": [name]}}).into()),
                    Act::Goto(to) => Ok(command(vec![to.into()])),
                    Act::Sends(list) => {
                        let send = |x: &i64| Goto::from(Send::json("w", json!({"x": x})));
                        Ok(command(list.iter().map(send).collect()))
                    }
                    Act::Given => {
                        let given = state["x"].as_i64().unwrap_or(0).to_string();
                        Ok(json!({"log": [given]}).into())
                    }
                    Act::FailsOnce if first => Err(NodeError::msg("once")),
                    Act::Log | Act::FailsOnce => Ok(update().into()),
                    Act::Several(to) => Ok(JsonStep::List(vec![
                        command(Vec::new()),
                        json!({"log": [name], "sum": 2}).into(),
                        Command { goto: vec![to.into()], ..Command::default() }.into(),
                    ])),
                };
                async move { step }
            });
            if self.deferred.contains(&node) {
                added.defer();
            }
        }
        self.wire(&mut graph);
        for (from, decide) in self.routes {
            graph.route_json(Self::name(from), |state| {
                let log = state["log"].as_array().unwrap().iter();
                let log: Vec<String> = log.map(|item| item.as_str().unwrap().to_owned()).collect();
                route(decide(state["x"].as_i64(), &log))
            });
        }
        self.ready(graph)
    }

    fn ready<S>(&self, graph: Graph<S>) -> App<S> {
        let graph = graph.compile().unwrap_or_else(|error| panic!("{}: {error}", self.edges));
        graph
            .app(())
            .checkpointer(Arc::new(MemoryCheckpointer::encoding()))
            .env(Arc::new(CountingEnv::default()))
    }

    /// Everything that can be seen of an input, of going on after it, and of a second input.
    async fn told<S>(&self, app: &App<S>) -> Vec<Json> {
        let inputs = [json!({"log": ["in"]}), json!({"x": 40})];
        let mut told = Vec::new();
        for input in inputs {
            for run in [app.run_json(input), app.resume()] {
                let mut run = run.thread("t").stream([Mode::Updates, Mode::Values]);
                if let Some(limit) = self.limit {
                    run = run.recursion_limit(limit);
                }
                let mut handle = run.start().unwrap();
                while let Some(event) = handle.next().await {
                    told.push(json!([
                        event.seq,
                        format!("{:?}", event.mode),
                        event.step,
                        event.data()
                    ]));
                }
                told.push(match handle.finish().await {
                    Ok(outcome) => json!([
                        format!("{:?} {:?}", outcome.status, outcome.warnings),
                        outcome.json().unwrap(),
                    ]),
                    Err(error) => json!(error.to_string()),
                });
            }
        }
        for snapshot in app.history("t", &Filter::default()).await.unwrap() {
            // Fields are written in the order of the struct, entries in the order of their keys.
            let mut updated = snapshot.updated.clone();
            updated.sort_unstable();
            let tasks = snapshot.tasks.iter().map(|task| json!([task.name, task.id, task.result]));
            told.push(json!([
                snapshot.step,
                snapshot.source.map(|source| source.to_string()),
                snapshot.next,
                tasks.collect::<Vec<_>>(),
                snapshot.versions,
                updated,
                snapshot.json().unwrap(),
            ]));
        }
        told
    }
}

/// An empty list stays one: the branch ends with a warning. `!b` says that `b` is not coming.
fn route(targets: Vec<&'static str>) -> Route {
    let goto = |target: &'static str| match target.strip_prefix('!') {
        Some(source) => Goto::NotComing(source.into()),
        None => Goto::from(target),
    };
    Route::from(targets.into_iter().map(goto).collect::<Vec<_>>())
}

async fn agree(case: Case) {
    let typed = case.told(&case.typed()).await;
    let untyped = case.told(&case.untyped()).await;
    assert!(typed.len() > 4, "{}: {typed:?}", case.edges);
    for (position, (typed, untyped)) in typed.iter().zip(&untyped).enumerate() {
        assert_eq!(typed, untyped, "{}, record {position}", case.edges);
    }
    assert_eq!(typed.len(), untyped.len(), "{}", case.edges);
}

#[tokio::test]
async fn channels_and_reducers_agree() {
    for case in [
        Case { edges: "S -> z, b, m, a", ..Case::default() },
        Case { edges: "S -> a; a -> b; b -> c", acts: &[("a", Act::X(1))], ..Case::default() },
        Case { edges: "S -> a, b", acts: &[("a", Act::Next), ("b", Act::Next)], ..Case::default() },
        Case { edges: "S -> a, b, c", acts: &[("b", Act::Overwrite)], ..Case::default() },
        Case {
            edges: "S -> a, b",
            acts: &[("a", Act::Overwrite), ("b", Act::Overwrite)],
            ..Case::default()
        },
        Case { edges: "S -> a; a -> b", acts: &[("a", Act::Idle)], ..Case::default() },
        Case {
            edges: "S -> a",
            acts: &[("a", Act::Several("b"))],
            also: &["b"],
            ..Case::default()
        },
    ] {
        agree(case).await;
    }
}

#[tokio::test]
async fn joins_and_deferred_nodes_agree() {
    for case in [
        Case { edges: "S -> a, b1; b1 -> b2; a & b2 -> j", ..Case::default() },
        Case { edges: "S -> a, b1; b1 -> b2; a -> j; b2 -> j", ..Case::default() },
        Case { edges: "S -> a, b1; b1 -> b2; a & b2 -> j; a -> j", ..Case::default() },
        // One source never comes: a warning, and a clean start for the next input.
        Case {
            edges: "S -> a; a & b -> j",
            routes: &[("a", |x, _| if x.is_some() { vec!["b"] } else { vec![END] })],
            ..Case::default()
        },
        Case {
            edges: "S -> a, b; a & b -> j",
            acts: &[("j", Act::Next)],
            routes: &[("j", |x, _| if x == Some(2) { vec![END] } else { vec!["a", "b"] })],
            limit: Some(9),
            ..Case::default()
        },
        Case { edges: "S -> a, b, c, d1; d1 -> d2; a & b -> j; c & d2 -> j", ..Case::default() },
        Case { edges: "S -> a, b1; b1 -> b2; a & b2 -> j@1", ..Case::default() },
        Case { edges: "S -> a, b1, c1; b1 -> b2; c1 -> c2; a & b2 & c2 -> j@2", ..Case::default() },
        Case {
            edges: "a & b? -> j",
            routes: &[(START, |x, _| if x.is_some() { vec!["a", "!b"] } else { vec!["a", "b"] })],
            ..Case::default()
        },
        // A source that has to come is said not to: the run fails in both.
        Case {
            edges: "S -> a; a & b -> j",
            routes: &[("a", |_, _| vec!["!b"])],
            ..Case::default()
        },
        Case {
            edges: "S -> a, b1; b1 -> b2; a -> d; b2 -> b3; b3 -> d",
            deferred: &["d"],
            ..Case::default()
        },
        Case { edges: "S -> a, b, c1; c1 -> c2; a & b -> d", deferred: &["d"], ..Case::default() },
        Case {
            edges: "S -> a, b; a -> d; b -> d",
            acts: &[("b", Act::FailsOnce)],
            deferred: &["d"],
            ..Case::default()
        },
    ] {
        agree(case).await;
    }
}

#[tokio::test]
async fn routes_commands_and_sends_agree() {
    for case in [
        Case {
            edges: "S -> a; a -> e",
            routes: &[("a", |_, log| if log.len() > 1 { vec!["b", "c"] } else { vec![] })],
            also: &["b", "c"],
            ..Case::default()
        },
        Case { edges: "S -> a", routes: &[("a", |_, _| vec!["nowhere"])], ..Case::default() },
        Case { edges: "S -> a", routes: &[("a", |_, _| vec![START])], ..Case::default() },
        Case { edges: "S -> a", routes: &[("a", |_, _| vec![])], ..Case::default() },
        Case {
            edges: "S -> a, b",
            acts: &[("a", Act::Goto("t")), ("b", Act::Goto("t"))],
            also: &["t"],
            ..Case::default()
        },
        Case { edges: "S -> a; a -> b", acts: &[("a", Act::Goto(END))], ..Case::default() },
        Case { edges: "S -> a", acts: &[("a", Act::Goto("nowhere"))], ..Case::default() },
        Case {
            edges: "S -> b, a; a -> w",
            acts: &[
                ("a", Act::Sends(&[10, 11])),
                ("b", Act::Sends(&[20, 20, 21])),
                ("w", Act::Given),
            ],
            ..Case::default()
        },
        Case {
            edges: "S -> a; a -> b",
            acts: &[("a", Act::Sends(&[3])), ("w", Act::Given)],
            deferred: &["w"],
            routes: &[("a", |_, _| vec!["c"])],
            also: &["w", "c"],
            ..Case::default()
        },
        Case {
            edges: "S -> a",
            acts: &[("a", Act::Next)],
            routes: &[("a", |_, _| vec!["a"])],
            limit: Some(3),
            ..Case::default()
        },
        Case { edges: "S -> a; a -> b", limit: Some(2), ..Case::default() },
        Case { edges: "S -> ok, bad", acts: &[("bad", Act::FailsOnce)], ..Case::default() },
    ] {
        agree(case).await;
    }
}
