//! H. Commands to the parent graph.

use mesh_graph::{Command, Compiled, Ctx, Error, FailureKind, Graph, Mode, START, Step, View};
use serde_json::json;

use crate::kit::{Bench, Deps, Lab, S, empty, events, fails_once, log};

/// A command to the parent that notes `entry` there and goes to `target`.
fn hands_over(
    entry: &'static str,
    target: &'static str,
) -> impl Fn(View<S>, Ctx<Deps>) -> std::future::Ready<mesh_graph::NodeResult<Step<S>>> {
    move |_, _| {
        let step = Step::<S>::update(S::update().push_log(entry)).goto(target);
        std::future::ready(Ok(step.parent()))
    }
}

/// `sub` with a static edge to `after`; `b` and `c` run when a command goes to them.
fn parent_of(child: &Compiled<S, Deps>) -> Compiled<S, Deps> {
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.mount(
        "sub",
        child,
        |_| S::update(),
        |child| S::update().extend_log(child.log.iter().cloned()),
    );
    for node in ["after", "b", "c"] {
        graph.node(node, crate::kit::appends());
    }
    graph.edge(START, "sub").edge("sub", "after");
    graph.compile().unwrap()
}

#[tokio::test]
async fn t096_an_input_cannot_command_a_parent() {
    let bench = Lab::new("S -> a").app();
    let command = Command { to_parent: true, goto: vec!["a".into()], ..Command::default() };
    let error = bench.app.command(command).thread("t").invoke().await.unwrap_err();
    assert!(matches!(error, Error::InvalidInput(_)), "{error}");
    assert_eq!(error.failure_kind(), Some(&FailureKind::NoParent));
    assert_eq!(bench.trace.runs("a"), 0);
}

#[tokio::test]
async fn t183_a_command_to_the_parent_stands_for_all_that_its_graph_did() {
    let child = Lab::new("S -> c1; c1 -> c2; c2 -> c3").with("c2", hands_over("K", "b")).compile();
    let bench = Bench::new(&parent_of(&child));
    let (seen, outcome) = events(bench.run(empty()), Mode::Updates).await;
    let step = [json!({"after": {"log": ["after"]}}), json!({"b": {"log": ["b"]}})];
    assert_eq!(seen[0], json!({"sub": {"log": ["K"]}}));
    assert!(seen.len() == 3 && step.iter().all(|update| seen.contains(update)), "{seen:?}");
    assert_eq!(log(&outcome.unwrap()), ["K", "after", "b"]);
    assert_eq!(["c1", "c2", "c3"].map(|node| bench.trace.runs(node)), [1, 1, 0]);
}

#[tokio::test]
async fn t184_what_a_sibling_of_the_command_wrote_is_let_go() {
    let child = Lab::new("S -> c1, c2; c1 -> c3").with("c2", hands_over("K", "b")).compile();
    let bench = Bench::new(&parent_of(&child));
    assert_eq!(log(&bench.invoke(empty()).await), ["K", "after", "b"]);
    assert_eq!(["c1", "c2", "c3"].map(|node| bench.trace.runs(node)), [1, 1, 0]);
}

#[tokio::test]
async fn t185_several_commands_of_one_superstep_are_merged_in_task_order() {
    let child = Lab::new("S -> c1, c2, c3")
        .with("c3", hands_over("third", "c"))
        .with("c1", hands_over("first", "b"))
        .with("c2", hands_over("second", "b"))
        .compile();
    let bench = Bench::new(&parent_of(&child));
    let merged = ["first", "second", "third", "after", "b", "c"];
    assert_eq!(log(&bench.invoke(empty()).await), merged);
}

#[tokio::test]
async fn t186_a_root_graph_has_no_parent_to_command() {
    let bench = Lab::new("S -> a").with("a", hands_over("K", "a")).app();
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::NoParent));
    assert_eq!(bench.next().await, ["a"]);
}

#[tokio::test]
async fn a_command_in_json_is_checked_against_the_parent() {
    let asks = |update: serde_json::Value| {
        let child = Lab::new("S -> c")
            .with("c", move |_, _| {
                let goto = vec!["b".into()];
                std::future::ready(Ok(Step::<S>::parent_json(Some(update.clone()), goto)))
            })
            .compile();
        Bench::new(&parent_of(&child))
    };
    let good = asks(json!({"log": ["json"]}));
    assert_eq!(log(&good.invoke(empty()).await), ["json", "after", "b"]);
    let error = asks(json!({"zzz": 1})).run(empty()).invoke().await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::UnknownKey { key: "zzz".to_owned() }));
}

#[tokio::test]
async fn a_command_reaches_the_grandparent_through_the_parent() {
    let leaf = Lab::new("S -> c")
        .with("c", |_, _| async move {
            let top = Step::<S>::update(S::update().push_log("top")).goto("b");
            Ok(top.parent::<S>().parent::<S>())
        })
        .compile();
    let bench = Bench::new(&parent_of(&parent_of(&leaf)));
    assert_eq!(log(&bench.invoke(empty()).await), ["top", "after", "b"]);
}

#[tokio::test]
async fn a_failed_sibling_is_reported_before_a_command_counts() {
    let child =
        Lab::new("S -> c1, c2").with("c1", fails_once()).with("c2", hands_over("K", "b")).compile();
    let bench = Bench::new(&parent_of(&child));
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(error.root_cause().to_string(), "node `c1` failed: once");
    assert_eq!(log(&bench.resume().await), ["K", "after", "b"]);
    assert_eq!(["c1", "c2"].map(|node| bench.trace.runs(node)), [2, 2]);
}
