//! Hints about graphs that compile.

use mesh_graph::{
    Arg, Compiled, Ctx, END, FailureKind, Graph, Lint, NodeResult, START, Then, View,
};
use serde_json::json;

use crate::kit::{Deps, Lab, S, appends, empty};

fn starved(join: &str, sources: &[&str]) -> Lint {
    let sources = sources.iter().map(|source| (*source).to_owned()).collect();
    Lint::StarvedJoin { join: join.into(), sources }
}

fn check(lab: Lab, expected: &[Lint]) {
    assert_eq!(lab.compile().lint(), expected);
}

/// A route to one of these nodes.
fn choice(from: &'static str, to: &'static [&'static str]) -> impl FnOnce(&mut Graph<S, Deps>) {
    move |graph| graph.route(from, |_| END).targets(to.iter().copied())
}

#[test]
fn a_join_source_that_nothing_leads_to_is_named() {
    check(
        Lab::new("S -> a; a & b -> j"),
        &[
            Lint::Unreachable { node: "b".into() },
            Lint::Unreachable { node: "j".into() },
            Lint::NeverJoins { join: "join:a+b:j".into(), source: "b".into() },
        ],
    );
}

#[test]
fn a_join_behind_a_choice_is_starved_by_it() {
    check(
        Lab::new("S -> a; b & c -> j").tuned(choice("a", &["b", "c"])),
        &[starved("join:b+c:j", &["b", "c"])],
    );
    check(
        Lab::new("S -> a, b; b -> d; c & d -> j").tuned(choice("a", &["c"])),
        &[starved("join:c+d:j", &["c"])],
    );
    // A goto is a choice as well, and an open router a choice of which nothing is known.
    check(
        Lab::new("a & b -> j; S -> a").with_options(
            "a",
            |_, _| async { Ok(()) },
            |node| node.targets(["b", END]),
        ),
        &[starved("join:a+b:j", &["b"])],
    );
    check(
        Lab::new("S -> a; a & b -> j").route("a", |_| END),
        &[starved("join:a+b:j", &["b"]), Lint::OpenRoute { node: "a".into() }],
    );
}

#[test]
fn a_join_whose_sources_run_together_or_not_at_all_is_left_alone() {
    check(Lab::new("S -> a, b1; b1 -> b2; a & b2 -> j"), &[]);
    // One choice decides for both, also further down and in a cycle.
    check(Lab::new("S -> a; b -> c, d1; d1 -> d2; c & d2 -> j").tuned(choice("a", &["b"])), &[]);
    check(Lab::new("S -> a; a -> b, c; b & c -> j; j & b -> k").tuned(choice("j", &["a"])), &[]);
}

#[test]
fn a_join_that_is_content_with_less_is_not_starved() {
    let lab = |k: usize| {
        Lab::new("S -> a, b")
            .tuned(choice("a", &["c"]))
            .tuned(move |graph| {
                graph.join(["a", "b", "c"], "j").n_of(k);
            })
            .also(["c", "j"])
    };
    check(lab(1), &[]);
    check(lab(2), &[]);
    check(lab(3), &[starved("join:a+b+c:j", &["c"])]);
    let optional = Lab::new("S -> a, b").tuned(choice("a", &["c"])).tuned(|graph| {
        graph.join(["b", "c"], "j").optional(["c"]);
    });
    check(optional.also(["c", "j"]), &[]);
}

#[test]
fn an_edge_beside_declared_gotos_is_told() {
    let node =
        |lab: Lab| lab.with_options("a", |_, _| async { Ok(()) }, |node| node.targets(["b", END]));
    let told = [Lint::EdgeBesideGoto { node: "a".into() }];
    check(node(Lab::new("S -> a; a -> c; b -> E")), &told);
    check(node(Lab::new("S -> a; a -> E; b -> E")), &[]);
}

#[test]
fn an_edge_beside_the_commands_of_a_mounted_graph_is_told() {
    let child = Lab::new("S -> c").compile();
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.mount("sub", &child, |_| S::update(), |_| S::update()).targets(["b"]);
    graph.node("b", appends());
    graph.edge(START, "sub").edge("sub", "b");
    let told = [Lint::EdgeBesideGoto { node: "sub".into() }];
    assert_eq!(graph.compile().unwrap().lint(), told);
}

/// plan sends to `work`, which is set up by `build`.
fn fan_out(build: impl FnOnce(&mut Graph<S, Deps>)) -> Compiled<S, Deps> {
    let mut graph = Graph::<S, Deps>::new("fan");
    graph.node("plan", appends());
    build(&mut graph);
    graph.edge(START, "plan");
    graph.compile().unwrap()
}

async fn work(_: Arg<u8>, _: Ctx<Deps>) -> NodeResult<()> {
    Ok(())
}

#[test]
fn a_deferred_target_of_sends_is_told() {
    let told = [Lint::DeferredSend { node: "work".into() }];
    let graph = fan_out(|graph| {
        let work = graph.node("work", work).defer().id();
        graph.fan_out("plan", &work, |_| vec![1]).if_empty(END);
    });
    assert_eq!(graph.lint(), told);
    // A node that takes an argument has no other use.
    let graph = fan_out(|graph| {
        graph.node("work", work).defer();
        graph.route("plan", |_| END).targets(["work"]);
    });
    assert_eq!(graph.lint(), told);
}

fn clash(nodes: &[&str]) -> Lint {
    let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
    Lint::WriteClash { key: "x".into(), nodes }
}

/// `b`, `c` and `d` declare that they write `x`.
fn writers(edges: &str) -> Lab {
    ["b", "c", "d"].into_iter().fold(Lab::new(edges), |lab, name| {
        lab.with_options(name, |_, _| async { Ok(()) }, |node| node.writes(["x", "log"]))
    })
}

#[test]
fn nodes_that_may_write_one_key_in_one_superstep_are_told() {
    check(writers("S -> b, c; c -> d"), &[clash(&["b", "c"])]);
    // Two branches of one length meet at their ends, and one of another length does not.
    check(writers("S -> a, b; a -> c; b -> d"), &[clash(&["c", "d"])]);
    check(writers("S -> a, e; a -> c; e -> f; f -> d; d -> b"), &[]);
    // A chain never meets itself, nor do the alternatives of one route.
    check(writers("S -> b; b -> c; c -> d"), &[]);
    check(writers("S -> a").tuned(choice("a", &["b", "c", "d"])), &[]);
    // Two routes are both followed.
    let two = writers("S -> a; d -> E").tuned(choice("a", &["b"])).tuned(choice("a", &["c", "d"]));
    check(two, &[clash(&["b", "c"]), clash(&["b", "d"])]);
}

#[test]
fn deferred_nodes_meet_each_other_and_nobody_else() {
    let lab = Lab::new("S -> a, b; a -> c; c -> d");
    let node = |lab: Lab, name: &str, defer: bool| {
        lab.with_options(
            name,
            |_, _| async { Ok(()) },
            |node| if defer { node.defer() } else { node }.writes(["x"]),
        )
    };
    let one = node(node(node(lab, "b", true), "c", false), "d", true);
    check(one, &[clash(&["b", "d"])]);
}

#[test]
fn a_fan_out_to_a_node_that_writes_a_last_value_is_told() {
    let graph = fan_out(|graph| {
        let work = graph.node("work", work).writes(["x"]).id();
        graph.fan_out("plan", &work, |_| vec![1]).if_empty(END);
    });
    assert_eq!(graph.lint(), [clash(&["work"])]);
}

#[test]
fn the_way_through_an_error_handler_is_a_way() {
    let mut graph = Graph::<S, Deps>::new("rescued");
    graph.node("a", appends()).on_error(
        |_: View<S>, _: mesh_graph::Caught, _: Ctx<Deps>| async { Ok(S::update()) },
        Then::goto("c"),
    );
    graph.node("b", appends()).writes(["x"]);
    graph.node("c", appends()).writes(["x"]);
    graph.node("e", appends());
    graph.edge(START, "a").edge(START, "e").edge("e", "b");
    assert_eq!(graph.compile().unwrap().lint(), [clash(&["b", "c"])]);
}

#[tokio::test]
async fn a_write_that_is_not_declared_fails_its_task() {
    let lab = Lab::new("S -> a; a -> b").with_options(
        "a",
        |_, _| async { Ok(S::update().x(Some(1)).push_log("a")) },
        |node| node.writes(["x"]),
    );
    let bench = lab.app();
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::InvalidUpdate));
    let told = format!("{error}");
    assert!(told.contains("it writes `log`; it declares to write x"), "{told}");
    assert_eq!(bench.trace.runs("b"), 0);
}

#[test]
fn hints_are_for_machines_and_for_people() {
    let lint = starved("join:a+b:j", &["b"]);
    let machine = json!({"kind": "starved_join", "join": "join:a+b:j", "sources": ["b"]});
    assert_eq!(serde_json::to_value(&lint).unwrap(), machine);
    assert_eq!(
        lint.to_string(),
        "the join:a+b:j may wait for ever: nothing makes sure that `b` runs when the others do; \
         make it optional, or let every route lead to it"
    );
    let open = Lint::OpenRoute { node: "a".into() };
    assert_eq!(serde_json::to_value(&open).unwrap(), json!({"kind": "open_route", "node": "a"}));
}
