//! F. Lists stored as what was added to them read like lists stored whole, whatever the graph and
//! wherever it crashed.

use std::sync::Arc;

use mesh_graph::{
    App, Checkpointer, Ctx, Durability, END, Error, Graph, MemoryCheckpointer, NodeResult, START,
    State, View,
    checkpoint::Place,
    checkpointer::Filter,
    env::CountingEnv,
    testing::{Fault, FaultyCheckpointer},
};
use proptest::prelude::*;

/// A graph of nodes in a row of layers that is gone through several times.
#[derive(Debug, Clone)]
struct Plan {
    nodes: usize,
    /// Pairs of nodes; the larger number comes after the smaller.
    edges: Vec<(usize, usize)>,
    rounds: i64,
    /// The first node replaces the list in every round with this remainder.
    replaces: i64,
    durability: Durability,
    fault: Fault,
    /// Number of the write at which it crashes.
    at: usize,
}

fn plan() -> impl Strategy<Value = Plan> {
    let durability =
        prop_oneof![Just(Durability::Sync), Just(Durability::Async), Just(Durability::Exit)];
    let fault = prop::sample::select(Fault::ALL.to_vec());
    (2..6_usize, prop::collection::vec((0..5_usize, 1..6_usize), 0..8), 1..60_i64, 0..80_i64)
        .prop_flat_map(move |(nodes, edges, rounds, replaces)| {
            (durability.clone(), fault.clone(), 1..400_usize).prop_map(
                move |(durability, fault, at)| Plan {
                    nodes,
                    edges: edges.clone(),
                    rounds,
                    replaces,
                    durability,
                    fault,
                    at,
                },
            )
        })
}

fn concat(mut list: Vec<String>, items: Vec<String>) -> Vec<String> {
    list.extend(items);
    list
}

/// Stored as what was added.
#[derive(State)]
struct Added {
    #[state(append)]
    log: Vec<String>,
    #[state(add)]
    round: i64,
}

/// Stored whole, because nobody knows that the reducer takes updates in any grouping.
#[derive(State)]
struct Whole {
    #[state(reducer = concat)]
    log: Vec<String>,
    #[state(add)]
    round: i64,
}

/// One of the two graphs of a plan: all that differs is how an update adds to the list.
macro_rules! build {
    ($state:ident, $plan:expr, $add:expr) => {{
        let plan: &Plan = $plan;
        let mut graph = Graph::<$state>::new("plan");
        for node in 0..plan.nodes {
            let replaces = plan.replaces;
            graph.node(&format!("n{node}"), move |state: View<$state>, ctx: Ctx| async move {
                for _ in 0..(node * 3) % 4 {
                    tokio::task::yield_now().await;
                }
                let line = format!("{} {} {}", ctx.info().node, *state.round, state.log.len());
                let update = if node == 0 && *state.round % 80 == replaces {
                    $state::update().set_log(vec![line])
                } else {
                    $add($state::update(), line)
                };
                let done: NodeResult<_> = Ok(if node == 0 { update.round(1) } else { update });
                done
            });
        }
        graph.edge(START, "n0");
        let name = |node: usize| format!("n{node}");
        let mut edges: Vec<(usize, usize)> = (plan.edges.iter())
            .map(|(from, to)| (from % plan.nodes, to % plan.nodes))
            .filter(|(from, to)| from < to)
            .chain([(0, plan.nodes - 1)])
            .collect();
        edges.sort_unstable();
        edges.dedup();
        for (from, to) in edges {
            graph.edge(name(from), name(to));
        }
        let rounds = plan.rounds;
        graph.route(
            name(plan.nodes - 1),
            move |state: &View<$state>| {
                if *state.round < rounds { "n0" } else { END }
            },
        );
        graph.compile().unwrap().app(())
    }};
}

fn root() -> Place {
    Place { thread: "t".to_owned(), ns: String::new() }
}

/// Runs a plan, crashes once, goes on, and tells every state that was ever stored, newest first.
async fn history<S: State>(
    app: App<S>,
    plan: &Plan,
    shown: impl Fn(&View<S>) -> Vec<String>,
) -> (Vec<(i64, Vec<String>)>, Arc<dyn Checkpointer>)
where
    S::Update: Default,
{
    let checkpointer: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::encoding());
    let faulty = Arc::new(FaultyCheckpointer::new(Arc::clone(&checkpointer), plan.at, plan.fault));
    let app = app.env(Arc::new(CountingEnv::default()));
    let cut = app.clone().checkpointer(Arc::clone(&faulty) as _);
    let limit = 10_000;
    let run = cut.run(S::Update::default()).thread("t").recursion_limit(limit);
    tokio::select! {
        biased;
        () = faulty.stopped() => {}
        ended = run.durability(plan.durability).invoke() => if let Err(error) = ended {
            assert!(matches!(error, Error::CheckpointFailed(_)), "{error}");
        }
    }
    let app = app.checkpointer(Arc::clone(&checkpointer));
    let stored = app.state("t").await.unwrap().checkpoint.is_some();
    let run = if stored { app.resume() } else { app.run(S::Update::default()) };
    run.thread("t").durability(plan.durability).recursion_limit(limit).invoke().await.unwrap();
    let history = app.history("t", &Filter::default()).await.unwrap();
    let states = history.iter().map(|s| (s.step.unwrap(), shown(&s.state()))).collect();
    (states, checkpointer)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn t145_lists_stored_by_what_was_added_read_like_lists_stored_whole(plan in plan()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let added = build!(Added, &plan, |update: AddedUpdate, line| update.push_log(line));
            let whole = build!(Whole, &plan, |update: WholeUpdate, line| update.log(vec![line]));
            let (added, stored) = history(added, &plan, |state| state.log.clone()).await;
            let (whole, _) = history(whole, &plan, |state| state.log.clone()).await;
            assert_eq!(added, whole);
            // And they were stored by what was added, unless everything was stored once at the end.
            let listed = stored.list(&root(), &Filter::default()).await.unwrap();
            let by_parts = listed.iter().flat_map(|loaded| &loaded.checkpoint.channels)
                .any(|entry| entry.key == "log" && entry.depth > 0);
            assert_eq!(by_parts, plan.durability != Durability::Exit);
        });
    }
}
