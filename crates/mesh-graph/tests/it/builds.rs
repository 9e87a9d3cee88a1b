//! A. Build and compile: what the builder refuses, and how rustc says what a user got wrong.

use mesh_graph::{Breakpoints, CompileError, END, FailureKind, Graph, Lint, Mistake, START};

use crate::kit::{Bench, Deps, Lab, S, appends, empty, log, values};

/// A graph with the node `a` and whatever else `build` adds.
fn mistakes(build: impl FnOnce(&mut Graph<S, Deps>)) -> Vec<Mistake> {
    let mut graph = Graph::<S, Deps>::new("wrong");
    graph.node("a", appends());
    build(&mut graph);
    match graph.compile() {
        Ok(_) => Vec::new(),
        Err(CompileError { graph, mistakes }) => {
            assert_eq!(graph, "wrong");
            mistakes
        }
    }
}

fn unknown(place: &str, node: &str) -> Mistake {
    Mistake::UnknownNode { place: place.to_owned(), node: node.to_owned() }
}

#[test]
fn t001_a_graph_needs_an_entry() {
    assert_eq!(mistakes(|_| {}), [Mistake::NoEntry]);
    assert!(Mistake::NoEntry.to_string().contains("needs an entry"));
}

#[test]
fn t002_an_edge_to_nowhere_is_named() {
    let found = mistakes(|graph| {
        graph.edge(START, "a").edge(START, "zz");
    });
    assert_eq!(found, [unknown("the edge __start__ -> zz", "zz")]);
}

#[test]
fn t003_an_edge_from_nowhere_is_named() {
    let found = mistakes(|graph| {
        graph.edge(START, "a").edge("zz", "a");
    });
    assert_eq!(found, [unknown("the edge zz -> a", "zz")]);
    assert_eq!(found[0].to_string(), "the edge zz -> a names `zz`, which is not a node");
}

#[test]
fn t004_a_node_that_nothing_leads_to_compiles_with_a_hint() {
    let lab = Lab::new("S -> a").also(["orphan"]);
    assert_eq!(lab.compile().lint(), [Lint::Unreachable { node: "orphan".into() }]);
    assert_eq!(Lab::new("S -> a; a -> b").compile().lint(), []);
    // An open router may lead anywhere, so nothing is known to be unreachable.
    let open = Lab::new("S -> a").route("a", |_| END).also(["b"]).compile();
    assert_eq!(open.lint(), [Lint::OpenRoute { node: "a".into() }]);
}

#[test]
fn t005_reserved_names_and_separators_are_refused() {
    for name in ["a|b", "a:b", "__start__", "__end__", "__input__", "__copy__", "__interrupt__", ""]
    {
        let found = mistakes(|graph| {
            graph.edge(START, "a");
            graph.node(name, appends());
        });
        assert!(
            matches!(&found[..], [Mistake::BadName { name: bad, .. }] if bad == name),
            "{found:?}"
        );
    }
}

#[test]
fn t006_names_are_given_once_and_start_and_end_keep_their_sides() {
    let twice = mistakes(|graph| {
        graph.node("a", appends());
        graph.edge(START, "a");
    });
    assert_eq!(twice, [Mistake::DuplicateNode { node: "a".into() }]);
    let from_end = mistakes(|graph| {
        graph.edge(START, "a").edge(END, "a");
    });
    assert_eq!(from_end, [Mistake::EdgeFromEnd]);
    let to_start = mistakes(|graph| {
        graph.edge(START, "a").edge("a", START);
    });
    assert_eq!(to_start, [Mistake::EdgeToStart]);
}

#[test]
fn t007_a_breakpoint_at_no_node_is_refused() {
    let bench = Lab::new("S -> a").app();
    for refused in [
        bench.app.clone().break_before(Breakpoints::At(vec!["zz".into()])),
        bench.app.clone().break_after(Breakpoints::At(vec!["a".into(), "zz".into()])),
    ] {
        let kind = refused.unwrap_err().kind;
        assert_eq!(kind, FailureKind::UnknownTarget { target: "zz".into() });
    }
}

#[tokio::test]
async fn t008_a_node_may_be_named_like_a_key() {
    let mut graph = Graph::<S, Deps>::new("lab");
    graph.node("x", appends());
    graph.edge(START, "x");
    let bench = Bench::new(&graph.compile().unwrap());
    let outcome = bench.invoke(S::update().x(Some(1))).await;
    assert_eq!((*outcome.state().x, log(&outcome)), (Some(1), vec!["x".to_owned()]));
}

#[test]
fn t014_every_declared_target_has_to_exist() {
    let found = mistakes(|graph| {
        graph.edge(START, "a");
        graph.route("a", |_| "a").targets(["a", "zz"]);
        graph.route("a", |_| "yes").labels([("yes", "a"), ("no", "yy")]);
        graph.node("b", appends()).targets(["xx"]);
        graph.join(["a", "ww"], "b");
    });
    assert_eq!(
        found,
        [
            unknown("the join join:a+ww:b", "ww"),
            unknown("the route from `a`", "zz"),
            unknown("the route from `a`", "yy"),
            unknown("the target list of `b`", "xx"),
        ]
    );
    let told = "the target list of `b` names `xx`, which is not a node";
    assert_eq!(found[3].to_string(), told);
}

#[test]
fn a_fan_out_has_to_say_what_follows_an_empty_list() {
    let found = mistakes(|graph| {
        let worker =
            graph.node("w", |_: mesh_graph::Arg<u8>, _: mesh_graph::Ctx<Deps>| async { Ok(()) });
        let worker = worker.id();
        graph.edge(START, "a");
        let _ = graph.fan_out("a", &worker, |_| vec![1]);
    });
    assert_eq!(found, [Mistake::NoEmptyCase { from: "a".into() }]);
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let mut graph = Graph::<S, Deps>::new("wrong");
    graph.node("a:b", appends());
    graph.edge("a", END);
    graph.join(Vec::<&str>::new(), "c");
    let error = graph.compile().err().unwrap();
    assert_eq!(
        error.to_string(),
        "graph `wrong` cannot be compiled: node name `a:b` contains a namespace separator (`|` or \
         `:`); the edge a -> __end__ names `a`, which is not a node; the join into `c` has no \
         sources; the join join::c names `c`, which is not a node; no edge leads from START: the \
         graph needs an entry"
    );
}

#[tokio::test]
async fn t015_a_sequence_runs_in_order() {
    let mut graph = Graph::<S, Deps>::new("lab");
    graph.node("a", appends());
    graph.node("b", appends());
    graph.sequence(["a", "b"]).edge(START, "a").edge("b", END);
    let bench = Bench::new(&graph.compile().unwrap());
    assert_eq!(bench.invoke(empty()).await.json().unwrap()["log"], values(&["a", "b"])["log"]);
}

#[test]
fn t032_what_rustc_says_of_likely_mistakes() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
