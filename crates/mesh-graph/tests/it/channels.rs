//! B. Channels and reducers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mesh_graph::{
    Arg, Checkpointer, Command, Compiled, Ctx, FailureKind, Goto, Graph, MemoryCheckpointer, Mode,
    NodeResult, Patch, START, Send, State, View, checkpoint::Place, checkpointer::Filter,
    env::CountingEnv,
};
use serde_json::{Value as Json, json};

use crate::kit::{Bench, Deps, Lab, S, empty, events, log, values};

#[tokio::test]
async fn t016_writes_of_one_step_are_folded_by_node_name() {
    let bench = Lab::new("S -> z, b, m, a").app();
    assert_eq!(log(&bench.invoke(empty()).await), ["a", "b", "m", "z"]);
}

#[tokio::test(start_paused = true)]
async fn t017_updates_come_as_tasks_finish_and_state_does_not_care() {
    let bench = Lab::new("S -> a, b")
        .with("a", |_, _| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(S::update().push_log("a"))
        })
        .app();
    let (updates, outcome) = events(bench.run(empty()), Mode::Updates).await;
    assert_eq!(updates, [json!({"b": values(&["b"])}), json!({"a": values(&["a"])})]);
    assert_eq!(log(&outcome.unwrap()), ["a", "b"]);
}

/// A node that appends the `x` it was sent.
fn appends_x(lab: Lab) -> Lab {
    lab.with("w", |s, _| async move { Ok(S::update().push_log(s.x.unwrap_or(0).to_string())) })
}

fn send_x(x: i64) -> Goto {
    Goto::from(Send::state("w", S::update().x(Some(x))))
}

#[tokio::test]
async fn t018_nodes_come_before_sends_and_sends_keep_their_order() {
    let lab = Lab::new("").also(["k", "a"]).route(START, |_| {
        let mut gotos: Vec<Goto> = (1..=12).rev().map(send_x).collect();
        gotos.extend(["k", "a"].map(Goto::from));
        gotos
    });
    let expected: Vec<String> = ["a", "k"]
        .map(str::to_owned)
        .into_iter()
        .chain((1..=12).rev().map(|x| x.to_string()))
        .collect();
    assert_eq!(log(&appends_x(lab).app().invoke(empty()).await), expected);
}

#[tokio::test]
async fn t019_sends_are_numbered_in_the_order_of_who_made_them() {
    let lab = Lab::new("S -> b, a")
        .route("b", |_| vec![send_x(20), send_x(21)])
        .route("a", |_| vec![send_x(10), send_x(11)]);
    let log = log(&appends_x(lab).app().invoke(empty()).await);
    assert_eq!(log, ["a", "b", "10", "11", "20", "21"]);
}

/// `a` and `b` write one last value in one step until `peace` is set; `k` stands by.
fn clash(peace: &Arc<AtomicBool>) -> Bench {
    let writes = |name: &'static str, x: i64, peace: Arc<AtomicBool>| {
        move |_: View<S>, _: Ctx<Deps>| {
            let quiet = name == "b" && peace.load(Ordering::SeqCst);
            let update = S::update().push_log(name);
            async move { Ok(if quiet { update } else { update.x(Some(x)) }) }
        }
    };
    Lab::new("S -> a, b, k; a & b & k -> end")
        .with("a", writes("a", 1, Arc::clone(peace)))
        .with("b", writes("b", 2, Arc::clone(peace)))
        .app()
}

#[tokio::test]
async fn t020_two_writers_of_a_last_value_are_a_conflict_and_the_thread_stays_readable() {
    let bench = clash(&Arc::default());
    let error = bench.run(empty()).invoke().await.unwrap_err();
    let nodes = vec!["a".to_owned(), "b".to_owned()];
    let conflict = FailureKind::ConcurrentUpdate { key: "x".into(), nodes };
    assert_eq!(error.failure_kind(), Some(&conflict));
    let state = bench.app.state("t").await.unwrap();
    assert_eq!(state.next, ["a", "b"]);
    assert_eq!(state.json().unwrap(), values(&["k"]));
    let failed = |name: &str| {
        state.tasks.iter().find(|t| t.name == name).unwrap().error.as_ref().map(|e| e.kind.clone())
    };
    assert_eq!(
        (failed("a"), failed("b"), failed("k")),
        (Some(conflict.clone()), Some(conflict), None)
    );
    // Running again with the same nodes conflicts again: nothing is poisoned, nothing is hidden.
    let again = bench.app.resume().thread("t").invoke().await.unwrap_err();
    assert!(matches!(again.failure_kind(), Some(FailureKind::ConcurrentUpdate { .. })));
}

#[tokio::test]
async fn t021_a_conflict_that_was_mended_finishes_and_runs_only_its_own_tasks() {
    let peace = Arc::new(AtomicBool::new(false));
    let bench = clash(&peace);
    bench.run(empty()).invoke().await.unwrap_err();
    peace.store(true, Ordering::SeqCst);
    let outcome = bench.resume().await;
    assert_eq!(log(&outcome), ["a", "b", "k", "end"]);
    assert_eq!(outcome.state().x, Some(1));
    assert_eq!(["a", "b", "k"].map(|node| bench.trace.runs(node)), [2, 2, 1]);
    assert!(bench.app.state("t").await.unwrap().tasks.iter().all(|task| task.error.is_none()));
}

fn writes_log(
    set: &'static str,
) -> impl Fn(View<S>, Ctx<Deps>) -> std::future::Ready<NodeResult<crate::kit::SUpdate>> {
    move |_, _| std::future::ready(Ok(S::update().set_log(vec![set.to_owned()])))
}

#[tokio::test]
async fn t022_an_overwrite_drops_the_other_writes_of_its_step() {
    let bench = Lab::new("S -> a, b, c").with("b", writes_log("B")).app();
    assert_eq!(log(&bench.invoke(S::update().push_log("i")).await), ["B"]);
}

#[tokio::test]
async fn t023_two_overwrites_in_one_step_are_a_conflict() {
    let bench = Lab::new("S -> a, b").with("a", writes_log("A")).with("b", writes_log("B")).app();
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert!(
        matches!(error.failure_kind(), Some(FailureKind::ConcurrentUpdate { key, .. }) if key == "log")
    );
}

#[tokio::test]
async fn t024_both_json_forms_of_an_overwrite_replace() {
    for form in
        [json!({"__overwrite__": ["new"]}), json!({"type": "__overwrite__", "value": ["new"]})]
    {
        let bench = Lab::new("S -> a").app();
        bench.invoke(S::update().push_log("old")).await;
        let patch = Patch::values(json!({ "log": form })).as_node("a");
        bench.app.update_state("t", patch).await.unwrap();
        assert_eq!(bench.log().await, ["new"]);
    }
}

#[tokio::test]
async fn t025_an_overwrite_in_the_input_resets_before_the_nodes_append() {
    let bench = Lab::new("S -> a").app();
    bench.invoke(S::update().push_log("old")).await;
    let input = json!({"log": {"__overwrite__": ["reset"]}});
    let outcome = bench.app.run_json(input).thread("t").invoke().await.unwrap();
    assert_eq!(log(&outcome), ["reset", "a"]);
}

#[tokio::test]
async fn t026_an_overwrite_of_a_last_value_is_the_value() {
    let bench = Lab::new("S -> a").app();
    let input = json!({"x": {"__overwrite__": 5}});
    let outcome = bench.app.run_json(input).thread("t").invoke().await.unwrap();
    assert_eq!(outcome.json().unwrap()["x"], 5);
}

#[derive(State)]
struct Kinds {
    #[state(ephemeral)]
    fleeting: String,
    #[state(untracked)]
    secret: String,
    #[state(any)]
    any: String,
    #[state(topic)]
    topic: Vec<String>,
    #[state(topic(accumulate))]
    all: Vec<String>,
    #[state(append)]
    seen: Vec<String>,
}

fn kinds() -> Compiled<Kinds> {
    async fn sees(state: View<Kinds>, ctx: Ctx) -> NodeResult<KindsUpdate> {
        let node = ctx.info().node;
        let lasting = format!("{}|{:?}", *state.secret, *state.all);
        let passing = format!("{}|{}|{:?}", *state.fleeting, *state.any, *state.topic);
        let update = Kinds::update().push_seen(format!("{node}: {passing} {lasting}"));
        Ok(if node == "b" { update.extend_all(["y".to_owned(), "z".to_owned()]) } else { update })
    }
    let mut graph = Graph::<Kinds>::new("kinds");
    for name in ["a1", "a2"] {
        graph.node(name, move |_: View<Kinds>, _: Ctx| {
            let update = Kinds::update().any(name);
            std::future::ready(NodeResult::Ok(if name == "a1" {
                update.fleeting("f").secret("s").push_topic("x").push_all("x")
            } else {
                update
            }))
        });
    }
    graph.node("b", sees);
    graph.node("c", sees);
    graph.edge(START, "a1").edge(START, "a2").join(["a1", "a2"], "b").edge("b", "c");
    graph.compile().unwrap()
}

/// What `b` and `c` saw: first what passes, then what stays.
const SEEN: [&str; 2] = [r#"b: f|a2|["x"] s|["x"]"#, r#"c: ||[] s|["x", "y", "z"]"#];

#[tokio::test]
async fn t027_ephemeral_and_any_values_last_a_step_and_untracked_ones_the_run() {
    let outcome = kinds().app(()).run(Kinds::update()).invoke().await.unwrap();
    assert_eq!(outcome.state().seen, SEEN);
}

#[tokio::test]
async fn t028_untracked_values_are_gone_when_the_thread_is_loaded_again() {
    let app = kinds().app(()).checkpointer(Arc::new(MemoryCheckpointer::encoding()));
    app.run(Kinds::update()).thread("t").invoke().await.unwrap();
    let stored = app.state("t").await.unwrap().json().unwrap();
    assert_eq!(stored, json!({"seen": SEEN, "all": ["x", "y", "z"]}));
}

#[tokio::test]
async fn untracked_values_are_in_no_checkpoint_no_input_and_no_result() {
    let checkpointer = Arc::new(MemoryCheckpointer::encoding());
    let app = kinds().app(()).checkpointer(Arc::clone(&checkpointer) as Arc<dyn Checkpointer>);
    let input = Kinds::update().secret("given").push_all("w");
    app.run(input).thread("t").invoke().await.unwrap();
    let place = Place { thread: "t".to_owned(), ns: String::new() };
    let mut keys = BTreeSet::new();
    for loaded in checkpointer.list(&place, &Filter::default()).await.unwrap() {
        let input = loaded.checkpoint.pending.input.iter().flat_map(|input| &input.writes);
        let results = loaded.tasks.iter().filter_map(|task| task.commit.as_ref());
        let results = results.flat_map(|commit| commit.updates.iter().flatten());
        keys.extend(input.chain(results).map(|write| write.key.clone()));
        keys.extend(loaded.checkpoint.channels.iter().map(|entry| entry.key.clone()));
    }
    assert!(keys.contains("all") && !keys.contains("secret"), "{keys:?}");
}

#[expect(clippy::unnecessary_wraps, reason = "a reducer returns what its field is")]
fn longer(current: Option<String>, update: Option<String>) -> Option<String> {
    Some(format!("{}>{}", current.unwrap_or("none".into()), update.unwrap_or_default()))
}

#[derive(State)]
struct Reduced {
    #[state(add)]
    n: i64,
    #[state(merge)]
    map: BTreeMap<String, i64>,
    #[state(append)]
    list: Vec<i64>,
    #[state(reducer = longer)]
    text: Option<String>,
}

#[tokio::test]
async fn t029_reducers_start_from_their_empty_value() {
    let mut graph = Graph::<Reduced>::new("reduced");
    graph.node("a", |s: View<Reduced>, _: Ctx| async move {
        let seen = format!("{} {:?} {:?}", *s.n, *s.map, *s.list);
        Ok(Reduced::update().n(2).map(BTreeMap::from([(seen, 1)])))
    });
    graph.edge(START, "a");
    let app = graph.compile().unwrap().app(());
    let outcome = app.run(Reduced::update().n(1)).invoke().await.unwrap();
    assert_eq!(
        outcome.json().unwrap(),
        json!({"n": 3, "map": {"1 {} []": 1}, "list": [], "text": null})
    );
}

#[tokio::test]
async fn t030_a_custom_reducer_is_called_with_the_default_on_the_left() {
    let mut graph = Graph::<Reduced>::new("reduced");
    graph.node("a", |_: View<Reduced>, _: Ctx| async {
        Ok(Reduced::update().text(Some("first".into())))
    });
    graph.edge(START, "a");
    let outcome = graph.compile().unwrap().app(()).run(Reduced::update()).invoke().await.unwrap();
    assert_eq!(outcome.state().text.as_deref(), Some("none>first"));
}

#[tokio::test]
async fn t031_writing_null_is_a_write() {
    let bench = Lab::new("S -> a").with("a", |_, _| async { Ok(S::update().x(None)) }).app();
    let (updates, outcome) = events(bench.run(S::update().x(Some(1))), Mode::Updates).await;
    assert_eq!(updates, [json!({"a": {"x": null}})]);
    assert_eq!(outcome.unwrap().json().unwrap(), json!({"x": null, "log": []}));
}

static BROKEN: AtomicBool = AtomicBool::new(true);

fn fragile(current: i64, update: i64) -> i64 {
    assert!(update != 13 || !BROKEN.load(Ordering::SeqCst), "thirteen");
    current + update
}

#[derive(State)]
struct Fragile {
    #[state(append)]
    log: Vec<String>,
    #[state(reducer = fragile)]
    sum: i64,
}

#[tokio::test]
async fn t036_a_panicking_reducer_fails_its_tasks_and_leaves_the_last_step_alone() {
    for durability in [mesh_graph::Durability::Sync, mesh_graph::Durability::Exit] {
        BROKEN.store(true, Ordering::SeqCst);
        let mut graph = Graph::<Fragile>::new("fragile");
        let name = async |ctx: &Ctx| Fragile::update().push_log(ctx.info().node);
        graph.node("before", move |_: View<Fragile>, ctx: Ctx| async move {
            Ok(name(&ctx).await.sum(1))
        });
        graph.node(
            "bad",
            move |_: View<Fragile>, ctx: Ctx| async move { Ok(name(&ctx).await.sum(13)) },
        );
        graph.node("good", move |_: View<Fragile>, ctx: Ctx| async move { Ok(name(&ctx).await) });
        graph.edge(START, "before").edge("before", "bad").edge("before", "good");
        let app = graph
            .compile()
            .unwrap()
            .app(())
            .checkpointer(Arc::new(MemoryCheckpointer::encoding()))
            .env(Arc::new(CountingEnv::default()));
        let run = app.run(Fragile::update()).thread("t").durability(durability);
        let error = run.invoke().await.unwrap_err();
        assert_eq!(error.failure_kind(), Some(&FailureKind::Reducer { key: "sum".into() }));
        assert!(error.to_string().ends_with("the reducer panicked: thirteen"), "{error}");
        let state = app.state("t").await.unwrap();
        assert_eq!(state.next, ["bad"]);
        assert_eq!(state.json().unwrap(), json!({"log": ["before", "good"], "sum": 1}));
        BROKEN.store(false, Ordering::SeqCst);
        let outcome = app.resume().thread("t").invoke().await.unwrap();
        assert_eq!(outcome.json().unwrap(), json!({"log": ["before", "bad", "good"], "sum": 14}));
    }
}

#[derive(State)]
struct Small {
    #[state(add)]
    byte: u8,
}

#[tokio::test]
async fn a_sum_that_overflows_fails_its_task_and_not_the_process() {
    let mut graph = Graph::<Small>::new("small");
    graph.node("a", |_: View<Small>, _: Ctx| async { Ok(Small::update().byte(200)) });
    graph.edge(START, "a");
    let app = graph.compile().unwrap().app(());
    let overflowed = app.run(Small::update().byte(100)).invoke().await;
    // Overflow is checked in builds with debug assertions and wraps in others, as everywhere.
    match overflowed {
        Err(error) => assert!(error.to_string().contains("overflow"), "{error}"),
        Ok(outcome) => assert_eq!(*outcome.state().byte, 44),
    }
}

#[tokio::test]
async fn a_send_to_a_typed_node_takes_json_of_its_type_only() {
    let mut graph = Graph::<S, Deps>::new("typed");
    let _: mesh_graph::Node<u8> = graph
        .node("w", |Arg(n): Arg<u8>, _: Ctx<Deps>| async move {
            Ok(S::update().push_log(n.to_string()))
        })
        .id();
    graph.node("idle", |_: View<S>, _: Ctx<Deps>| async { Ok(()) });
    graph.edge(START, "idle");
    let bench = Bench::new(&graph.compile().unwrap());
    let goto =
        |arg: Json| Command { goto: vec![Goto::from(Send::json("w", arg))], ..Command::default() };
    let outcome = bench.app.command(goto(json!(7))).thread("t").invoke().await.unwrap();
    assert_eq!(log(&outcome), ["7"]);
    let error = bench.app.command(goto(json!(700))).thread("t").invoke().await.unwrap_err();
    assert!(error.to_string().contains("Send to `w`"), "{error}");
}
