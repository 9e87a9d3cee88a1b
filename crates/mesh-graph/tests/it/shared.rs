//! H. Mounted graphs that share keys with their parent.

use mesh_graph::{
    Compiled, Ctx, Durability, FailureKind, Graph, Key, Keys, Mistake, Mode, START, Send, Sharing,
    State, Status, Untyped, View,
};
use serde_json::json;

use crate::kit::{Bench, Deps, Lab, S, SUpdate, appends, asks, empty, events, log};

fn mounted(child: &Compiled<S, Deps>, sharing: Sharing) -> Bench {
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.node("p", appends());
    graph.mount_shared("sub", child, sharing);
    graph.edge(START, "p").edge("p", "sub");
    Bench::new(&graph.compile().unwrap())
}

/// A child that counts in its second entry how long the list is that it sees.
fn counts() -> Compiled<S, Deps> {
    Lab::new("S -> s1; s1 -> s2")
        .with("s2", |s, _| async move { Ok(S::update().push_log(format!("s2:{}", s.log.len()))) })
        .compile()
}

fn i() -> SUpdate {
    S::update().push_log("i")
}

#[tokio::test]
async fn t172_final_values_of_shared_keys_double_what_the_parent_had() {
    let bench = mounted(&counts(), Sharing::Values);
    assert_eq!(log(&bench.invoke(i()).await), ["i", "p", "i", "p", "s1", "s2:3"]);
}

#[tokio::test]
async fn t173_shared_writes_are_replayed_in_the_parent() {
    let bench = mounted(&counts(), Sharing::Writes);
    let (seen, outcome) = events(bench.run(i()), Mode::Updates).await;
    assert_eq!(log(&outcome.unwrap()), ["i", "p", "s1", "s2:3"]);
    assert_eq!(seen[1], json!({"sub": [{"log": ["s1"]}, {"log": ["s2:3"]}]}));
}

#[tokio::test]
async fn writes_before_a_question_or_a_failure_are_replayed_as_well() {
    for durability in [Durability::Sync, Durability::Async, Durability::Exit] {
        let child = Lab::new("S -> s1; s1 -> s2; s2 -> s3")
            .with("s2", asks("q", json!("?")))
            .with("s3", crate::kit::fails_once())
            .compile();
        let bench = mounted(&child, Sharing::Writes);
        let outcome = bench.run(i()).durability(durability).invoke().await.unwrap();
        assert_eq!(outcome.status, Status::Interrupted);
        let answer = bench.app.answer(mesh_graph::Resume::Only(json!("A"))).thread("t");
        assert!(answer.durability(durability).invoke().await.is_err());
        let outcome = bench.app.resume().thread("t").durability(durability).invoke().await;
        assert_eq!(log(&outcome.unwrap()), ["i", "p", "s1", "A", "s3"], "{durability:?}");
    }
}

#[tokio::test]
async fn more_writes_than_a_delta_may_hold_are_all_replayed() {
    let child = Lab::new("")
        .with("s", |s, ctx| async move {
            let step =
                mesh_graph::Step::<S>::update(S::update().push_log(format!("{}", s.log.len())));
            // Asks in the end, so that the whole log is read from storage.
            match s.log.len() {
                250 => {
                    ctx.interrupt::<String>("q", "enough?")?;
                    Ok(step)
                }
                _ => Ok(step.goto("s")),
            }
        })
        .route(START, |_| "s")
        .compile();
    let bench = mounted(&child, Sharing::Writes);
    bench.invoke(empty()).await;
    let all = log(&bench.answer(json!("yes")).await.unwrap());
    let counted: Vec<String> = (1..=250).map(|n| n.to_string()).collect();
    assert_eq!((all[0].as_str(), &all[1..]), ("p", &counted[..]));
}

#[tokio::test]
async fn an_overwrite_in_the_child_replaces_in_the_parent_and_keeps_what_came_after_it() {
    let child = Lab::new("S -> s1; s1 -> s2; s2 -> s3")
        .with("s2", |_, _| async { Ok(S::update().set_log(vec!["reset".to_owned()])) })
        .compile();
    let bench = mounted(&child, Sharing::Writes);
    assert_eq!(log(&bench.invoke(i()).await), ["reset", "s3"]);
}

#[tokio::test]
async fn a_last_value_that_the_child_wrote_twice_reaches_the_parent_once() {
    let child = Lab::new("S -> s1; s1 -> s2")
        .with("s1", |_, _| async { Ok(S::update().x(Some(1))) })
        .with("s2", |s, _| async move { Ok(S::update().x(s.x.map(|x| x + 1))) })
        .compile();
    let bench = mounted(&child, Sharing::Writes);
    assert_eq!(bench.invoke(empty()).await.json().unwrap(), json!({"x": 2, "log": ["p"]}));
}

#[derive(State)]
struct Narrow {
    #[state(input)]
    x: Option<i64>,
    #[state(append)]
    log: Vec<String>,
    #[state(output)]
    verdict: String,
    own: String,
}

#[derive(State)]
struct Wide {
    x: Option<i64>,
    verdict: String,
    #[state(append)]
    log: Vec<String>,
}

#[tokio::test]
async fn only_input_keys_enter_and_only_output_keys_leave() {
    let mut child = Graph::<Narrow, Deps>::new("child");
    child.node("n", |s: View<Narrow>, _: Ctx<Deps>| async move {
        assert!(s.log.is_empty(), "no input key");
        let verdict = format!("x is {:?}", *s.x);
        Ok(Narrow::update().verdict(verdict).push_log("kept").own("kept").x(None))
    });
    child.edge(START, "n");
    let child = child.compile().unwrap();
    for sharing in [Sharing::Writes, Sharing::Values] {
        let mut graph = Graph::<Wide, Deps>::new("parent");
        graph.mount_shared("sub", &child, sharing);
        graph.edge(START, "sub");
        let app = graph.compile().unwrap().app(Deps::default());
        let input = Wide::update().x(Some(7)).push_log("mine");
        let outcome = app.run(input).invoke().await.unwrap();
        let expected = json!({"x": 7, "verdict": "x is Some(7)", "log": ["mine"]});
        assert_eq!(outcome.json().unwrap(), expected, "{sharing:?}");
    }
}

#[tokio::test]
async fn a_send_to_a_sharing_child_carries_partial_state() {
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.mount_shared("sub", &counts(), Sharing::Writes);
    graph.route(START, |_| {
        ["a", "b"].map(|entry| Send::state("sub", S::update().push_log(entry))).to_vec()
    });
    let bench = Bench::new(&graph.compile().unwrap());
    assert_eq!(log(&bench.invoke(i()).await), ["i", "s1", "s2:2", "s1", "s2:2"]);
}

#[derive(State)]
struct Other {
    x: String,
}

#[test]
fn shared_keys_of_different_types_do_not_compile() {
    let mut child = Graph::<Other, Deps>::new("child");
    child.node("n", |_: View<Other>, _: Ctx<Deps>| async { Ok(()) });
    child.edge(START, "n");
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.mount_shared("sub", &child.compile().unwrap(), Sharing::Writes);
    graph.edge(START, "sub");
    let error = graph.compile().err().unwrap();
    let [Mistake::SharedKey { node, key, .. }] = &error.mistakes[..] else {
        panic!("{error}");
    };
    assert_eq!((node.as_str(), key.as_str()), ("sub", "x"));
}

fn json_keys() -> Keys {
    Keys::new()
        .key(Key::new("x").schema(json!({"type": ["integer", "null"], "maximum": 9})))
        .key(Key::new("log").append())
        .key(Key::new("heard").accumulating_topic())
}

#[tokio::test]
async fn graphs_of_both_kinds_share_keys_with_each_other() {
    for sharing in [Sharing::Writes, Sharing::Values] {
        let doubled: &[&str] = if sharing == Sharing::Values { &["i", "p"] } else { &[] };
        let log = |own: &[&'static str]| [&["i", "p"][..], doubled, own].concat();

        let mut parent = Graph::<Untyped, Deps>::untyped("json", json_keys());
        parent.node_json("p", |_, _: Ctx<Deps>| async { Ok(json!({"log": ["p"]})) });
        parent.mount_shared("sub", &counts(), sharing);
        parent.edge(START, "p").edge("p", "sub");
        let app = parent.compile().unwrap().app(Deps::default());
        let outcome = app.run_json(json!({"log": ["i"]})).invoke().await.unwrap();
        assert_eq!(outcome.json().unwrap()["log"], json!(log(&["s1", "s2:3"])), "{sharing:?}");

        let mut child = Graph::<Untyped, Deps>::untyped("json", json_keys());
        child.node_json("c", |state, _: Ctx<Deps>| async move {
            let seen = state.get("log").and_then(|log| log.as_array().map(Vec::len));
            Ok(json!({"log": [format!("c:{}", seen.unwrap_or_default())], "x": 3}))
        });
        child.edge(START, "c");
        let child = child.compile().unwrap();
        let mut parent = Graph::<S, Deps>::new("typed");
        parent.node("p", appends());
        parent.mount_shared("sub", &child, sharing);
        parent.edge(START, "p").edge("p", "sub");
        let bench = Bench::new(&parent.compile().unwrap());
        let outcome = bench.invoke(i()).await;
        assert_eq!(outcome.json().unwrap(), json!({"x": 3, "log": log(&["c:2"])}), "{sharing:?}");
    }
}

#[tokio::test]
async fn what_crosses_has_to_fit_the_other_side() {
    let child = Lab::new("S -> c").with("c", |_, _| async { Ok(S::update().x(Some(10))) });
    let mut parent = Graph::<Untyped, Deps>::untyped("json", json_keys());
    parent.mount_shared("sub", &child.compile(), Sharing::Writes);
    parent.edge(START, "sub");
    let app = parent.compile().unwrap().app(Deps::default());
    let error = app.run_json(json!({})).invoke().await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::BadValue { key: "x".to_owned() }));
}

#[tokio::test]
async fn every_write_to_a_topic_is_replayed() {
    let topics = || Keys::from_iter([Key::new("heard").accumulating_topic()]);
    let mut child = Graph::<Untyped, Deps>::untyped("child", topics());
    for name in ["c1", "c2"] {
        child.node_json(name, move |_, _: Ctx<Deps>| async move { Ok(json!({"heard": name})) });
    }
    child.sequence([START, "c1", "c2"]);
    let mut parent = Graph::<Untyped, Deps>::untyped("parent", topics());
    parent.mount_shared("sub", &child.compile().unwrap(), Sharing::Writes);
    parent.edge(START, "sub");
    let app = parent.compile().unwrap().app(Deps::default());
    let outcome = app.run_json(json!({"heard": ["before"]})).invoke().await.unwrap();
    assert_eq!(outcome.json().unwrap(), json!({"heard": ["before", "c1", "c2"]}));
}
