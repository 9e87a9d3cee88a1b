//! C. Superstep and control flow.

use std::sync::Arc;

use expect_test::expect;
use mesh_graph::{
    Arg, Checkpointer, Ctx, END, FailureKind, Goto, Graph, MemoryCheckpointer, Mode, NodeResult,
    Route, START, Send, State, Status, Step, View, Warning,
    checkpoint::Place,
    checkpointer::{Commit, Filter, Head},
    env::CountingEnv,
};
use serde_json::json;

use crate::kit::{Bench, Deps, Lab, S, empty, events, log};

#[tokio::test]
async fn t037_a_chain_leaves_a_checkpoint_per_step() {
    let bench = Lab::new("S -> a; a -> b; b -> E").app();
    bench.invoke(empty()).await;
    expect![[r#"
        2 loop []
        1 loop [b]
        0 loop [a]
        -1 input [__start__]"#]]
    .assert_eq(&bench.history().await);
}

#[tokio::test]
async fn t038_a_second_turn_counts_on() {
    let bench = Lab::new("S -> a; a -> b").app();
    bench.invoke(empty()).await;
    bench.invoke(empty()).await;
    expect![[r#"
        6 loop []
        5 loop [b]
        4 loop [a]
        3 input [__start__]
        2 loop []
        1 loop [b]
        0 loop [a]
        -1 input [__start__]"#]]
    .assert_eq(&bench.history().await);
}

#[tokio::test]
async fn t039_checkpoints_link_to_their_parents_and_count_versions() {
    let bench = Lab::new("S -> a; a -> b").app();
    bench.invoke(empty()).await;
    let history = bench.app.history("t", &Filter::default()).await.unwrap();
    for pair in history.windows(2) {
        assert_eq!(pair[0].parent, pair[1].checkpoint);
        assert!(pair[0].checkpoint > pair[1].checkpoint);
    }
    assert_eq!(history.last().unwrap().parent, None);
    assert_eq!(history[0].updated, ["log"]);
    let versions: Vec<u64> = history[..2].iter().map(|snapshot| snapshot.versions["log"]).collect();
    assert_eq!(versions[0], versions[1] + 1);
}

#[tokio::test]
async fn t040_a_node_that_returns_nothing_shows_null_and_changes_nothing() {
    let lab = || {
        Lab::new("S -> a; a -> b")
            .with("a", |_, _| async { Ok(()) })
            .with("b", |_, _| async { Ok(S::update()) })
    };
    let (updates, _) = events(lab().app().run(empty()), Mode::Updates).await;
    assert_eq!(updates, [json!({"a": null}), json!({"b": null})]);
    let (values, _) = events(lab().app().run(S::update().x(Some(1))), Mode::Values).await;
    assert_eq!(values, [json!({"x": 1, "log": []})]);
}

#[tokio::test]
async fn t042_a_join_waits_for_every_branch() {
    let bench = Lab::new("S -> a, b1; b1 -> b2; a & b2 -> j").app();
    assert_eq!(log(&bench.invoke(empty()).await), ["a", "b1", "b2", "j"]);
}

#[tokio::test]
async fn t043_plain_edges_run_the_target_once_per_arriving_step() {
    let bench = Lab::new("S -> a, b1; b1 -> b2; a -> j; b2 -> j").app();
    assert_eq!(log(&bench.invoke(empty()).await), ["a", "b1", "b2", "j", "j"]);
}

#[tokio::test]
async fn t044_an_edge_beside_a_join_runs_the_target_on_its_own() {
    let bench = Lab::new("S -> a, b1; b1 -> b2; a & b2 -> j; a -> j").app();
    assert_eq!(bench.invoke(empty()).await.status, Status::Done);
    assert_eq!(bench.trace.runs("j"), 2);
}

#[tokio::test]
async fn t045_a_join_that_never_completes_ends_with_a_warning() {
    let bench = Lab::new("S -> a; a & b -> j").route("a", |_| END).also(["b"]).app();
    let outcome = bench.invoke(empty()).await;
    assert_eq!(log(&outcome), ["a"]);
    assert_eq!(
        outcome.warnings,
        [Warning::PartialJoin { target: "j".into(), missing: vec!["b".into()] }]
    );
}

#[tokio::test]
async fn t046_a_half_filled_join_is_cleared_by_the_next_input() {
    let bench =
        Lab::new("a & b -> j").route(START, |s| if s.x == Some(1) { "a" } else { "b" }).app();
    bench.invoke(S::update().x(Some(1))).await;
    bench.invoke(S::update().x(Some(2))).await;
    assert_eq!(bench.trace.runs("j"), 0);
}

#[tokio::test]
async fn t047_a_join_in_a_cycle_fires_every_round() {
    let bench = Lab::new("S -> a, b; a & b -> j")
        .route("j", |s| if s.log.len() < 6 { Route::from(vec!["a", "b"]) } else { Route::end() })
        .app();
    assert_eq!(log(&bench.invoke(empty()).await), ["a", "b", "j", "a", "b", "j"]);
}

#[tokio::test]
async fn t048_several_arrivals_of_one_source_count_once() {
    let bench = Lab::new("S -> a, b1; b1 -> b2; b2 -> b3; a & b3 -> j")
        .route("a", |s| {
            let rounds = s.log.iter().filter(|name| *name == "a").count();
            if rounds < 3 { "a" } else { END }
        })
        .app();
    let log = log(&bench.invoke(empty()).await);
    assert_eq!(log.iter().filter(|name| *name == "j").count(), 1);
    assert_eq!(log.last().unwrap(), "j");
}

#[tokio::test]
async fn t049_two_joins_into_one_node_fire_it_twice() {
    let bench = Lab::new("S -> a, b, c, d1; d1 -> d2; a & b -> j; c & d2 -> j").app();
    bench.invoke(empty()).await;
    assert_eq!(bench.trace.runs("j"), 2);
}

#[tokio::test]
async fn t050_a_deferred_node_runs_once_and_last() {
    let bench = Lab::new("S -> a, b1; a -> d; b1 -> b2; b2 -> b3; b3 -> d").deferred("d").app();
    assert_eq!(log(&bench.invoke(empty()).await), ["a", "b1", "b2", "b3", "d"]);
}

#[tokio::test]
async fn t051_deferred_nodes_run_together_and_may_start_another_round() {
    let bench = Lab::new("S -> a; a -> d, e")
        .with(
            "a",
            |s, _| async move { Ok(S::update().x(Some(s.x.unwrap_or(0) + 1)).push_log("a")) },
        )
        .deferred("d")
        .deferred("e")
        .route("d", |s| if *s.x < Some(2) { "a" } else { END })
        .app();
    assert_eq!(log(&bench.invoke(empty()).await), ["a", "d", "e", "a", "d", "e"]);
}

#[tokio::test]
async fn t052_a_deferred_join_waits_for_unrelated_branches() {
    let bench = Lab::new("S -> a, b, c1; c1 -> c2; a & b -> d").deferred("d").app();
    assert_eq!(log(&bench.invoke(empty()).await), ["a", "b", "c1", "c2", "d"]);
}

#[tokio::test]
async fn t053_a_send_to_a_deferred_node_does_not_wait() {
    let bench = Lab::new("S -> a; a -> b; b -> d")
        .deferred("d")
        .route(START, |_| Send::state("d", S::update()))
        .app();
    let log = log(&bench.invoke(empty()).await);
    assert_eq!(log, ["a", "d", "b", "d"], "a and the sent d share a step: pulls come first");
}

#[tokio::test]
async fn t054_a_deferred_node_waits_for_a_failed_branch() {
    let bench = Lab::new("S -> ok, bad; ok -> d; bad -> d")
        .with("bad", |_, ctx| async move {
            if ctx.deps().runs("bad") == 1 {
                return Err(mesh_graph::NodeError::msg("once"));
            }
            Ok(S::update().push_log("bad"))
        })
        .deferred("d")
        .app();
    assert!(bench.run(empty()).invoke().await.is_err());
    assert_eq!(log(&bench.resume().await), ["bad", "ok", "d"]);
    assert_eq!(bench.trace.runs("d"), 1);
    assert_eq!(bench.trace.runs("ok"), 1);
}

async fn failure(lab: Lab) -> FailureKind {
    let error = lab.app().run(empty()).invoke().await.unwrap_err();
    error.failure_kind().expect("a node failed").clone()
}

#[tokio::test]
async fn t055_a_router_that_names_no_node_fails_its_task() {
    let kind = failure(Lab::new("S -> a").route("a", |_| "nowhere")).await;
    assert_eq!(kind, FailureKind::UnknownTarget { target: "nowhere".into() });
}

#[tokio::test]
async fn t056_gotos_and_sends_to_unknown_nodes_fail_their_task() {
    for target in [Goto::from("nowhere"), Goto::from(Send::state("nowhere", S::update()))] {
        let lab = Lab::new("S -> a").with("a", move |_, _| {
            let step = Step::none().goto(target.clone());
            async move { Ok(step) }
        });
        let kind = failure(lab).await;
        assert_eq!(kind, FailureKind::UnknownTarget { target: "nowhere".into() });
    }
}

#[tokio::test]
async fn t057_a_label_outside_the_map_is_named() {
    let mut lab = Lab::new("S -> a").also(["b"]);
    lab.graph.route("a", |_| "maybe").labels([("yes", "b"), ("no", END)]);
    let error = lab.app().run(empty()).invoke().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "node `a` failed: the router returned `maybe`; its labels are no, yes"
    );
}

#[tokio::test]
async fn t058_routes_to_nothing_to_start_and_sends_to_end_are_refused() {
    let none = Lab::new("S -> a").route("a", |_| None::<&str>);
    assert_eq!(failure(none).await, FailureKind::InvalidRoute);
    let start = Lab::new("S -> a").route("a", |_| START);
    assert_eq!(failure(start).await, FailureKind::InvalidRoute);
    let end = Lab::new("S -> a").route("a", |_| Send::state(END, S::update()));
    assert_eq!(failure(end).await, FailureKind::InvalidUpdate);
}

#[tokio::test]
async fn t059_an_empty_route_ends_with_a_warning() {
    let bench = Lab::new("S -> a").route("a", |_| Vec::<Send>::new()).app();
    let outcome = bench.invoke(empty()).await;
    assert_eq!(outcome.status, Status::Done);
    assert_eq!(outcome.warnings, [Warning::EmptyFanOut { node: "a".into() }]);
}

#[tokio::test]
async fn t060_a_router_sees_its_own_writes_and_no_siblings() {
    let seen = |s: &View<S>| s.log.join("+");
    let bench = Lab::new("S -> a, b")
        .route("a", move |s| format!("after_{}", seen(s)))
        .route("b", move |s| format!("after_{}", seen(s)))
        .also(["after_a", "after_b"])
        .app();
    assert_eq!(log(&bench.invoke(empty()).await), ["a", "b", "after_a", "after_b"]);
}

#[tokio::test]
async fn a_router_after_a_send_sees_the_state_and_its_own_writes() {
    let w = Send::state("w", S::update().x(Some(7)));
    let bench = Lab::new("S -> a")
        .route("a", move |_| vec![w.clone(), w.clone()])
        .route("w", |s| format!("after_{}", s.log.join("+")))
        .also(["w", "after_a+w"])
        .app();
    assert_eq!(log(&bench.invoke(empty()).await), ["a", "w", "w", "after_a+w"]);
}

#[tokio::test]
async fn t061_several_ways_to_one_node_are_one_task() {
    let bench = Lab::new("S -> a, b; a -> e").route("b", |_| vec!["e", "e"]).app();
    assert_eq!(log(&bench.invoke(empty()).await), ["a", "b", "e"]);
}

#[tokio::test]
async fn t062_two_gotos_to_one_node_are_one_task() {
    let go = |name: &'static str| {
        move |_: View<S>, _: Ctx<Deps>| async move {
            Ok(Step::update(S::update().push_log(name)).goto("t"))
        }
    };
    let bench = Lab::new("S -> a, b").with("a", go("a")).with("b", go("b")).also(["t"]).app();
    assert_eq!(log(&bench.invoke(empty()).await), ["a", "b", "t"]);
}

#[tokio::test]
async fn t063_several_updates_of_one_key_apply_in_order() {
    let bench = Lab::new("S -> a")
        .with("a", |_, _| async {
            Ok(Step::update(S::update().push_log("1")).and(S::update().push_log("2")))
        })
        .app();
    assert_eq!(log(&bench.invoke(empty()).await), ["1", "2"]);
}

#[tokio::test]
async fn t064_going_to_end_does_not_cancel_a_static_edge() {
    let bench = Lab::new("S -> a; a -> b")
        .with("a", |_, _| async { Ok(Step::<S>::none().goto(END)) })
        .app();
    assert_eq!(log(&bench.invoke(empty()).await), ["b"]);
}

#[tokio::test]
async fn t065_several_updates_of_one_task_are_shown_as_a_list() {
    let bench = Lab::new("S -> a")
        .with("a", |_, _| async {
            Ok(Step::update(S::update().push_log("1")).and(S::update().x(Some(2))).goto("b"))
        })
        .also(["b"])
        .app();
    let (updates, _) = events(bench.run(empty()), Mode::Updates).await;
    assert_eq!(updates, [json!({"a": [{"log": ["1"]}, {"x": 2}]}), json!({"b": {"log": ["b"]}})]);
}

#[tokio::test]
async fn t066_a_goto_may_be_sends_and_nodes_together() {
    let bench = Lab::new("S -> a")
        .with("a", |_, _| async {
            let send = Send::state("w", S::update().x(Some(7)));
            Ok(Step::<S>::none().goto_all([Goto::from(send), Goto::from("c")]))
        })
        .with("w", |s, _| async move { Ok(S::update().push_log(format!("w{:?}", *s.x))) })
        .with("c", |s, _| async move { Ok(S::update().push_log(format!("c{:?}", *s.x))) })
        .app();
    let outcome = bench.invoke(S::update().x(Some(1))).await;
    assert_eq!(log(&outcome), ["cSome(1)", "wSome(7)"]);
}

#[tokio::test]
async fn t067_a_goto_an_edge_and_a_route_are_all_followed() {
    let bench = Lab::new("S -> a; a -> b")
        .with("a", |_, _| async {
            Ok(Step::<S>::none().goto(Send::state("w", S::update().x(Some(7)))))
        })
        .with("w", |s, _| async move { Ok(S::update().push_log(format!("w{:?}", *s.x))) })
        .route("a", |_| "c")
        .also(["c"])
        .app();
    assert_eq!(log(&bench.invoke(empty()).await), ["b", "c", "wSome(7)"]);
}

#[derive(State)]
struct Jobs {
    #[state(append)]
    log: Vec<String>,
}

async fn work(Arg(job): Arg<String>, _: Ctx) -> NodeResult<JobsUpdate> {
    Ok(Jobs::update().push_log(job.as_str()))
}

#[tokio::test]
async fn t068_a_send_hands_over_its_argument_verbatim() {
    let mut graph = Graph::<Jobs>::new("jobs");
    let worker = graph.node("w", work).id();
    graph.fan_out(START, &worker, |_| vec!["outside of".into(), "the schema".into()]).if_empty(END);
    let outcome = graph.compile().unwrap().app(()).run(Jobs::update()).invoke().await.unwrap();
    assert_eq!(outcome.state().log, ["outside of", "the schema"]);
}

#[tokio::test]
async fn t069_an_edge_and_a_send_to_one_node_are_two_tasks() {
    let bench = Lab::new("S -> w")
        .with("w", |s, _| async move { Ok(S::update().push_log(format!("{:?}", *s.x))) })
        .route(START, |_| Send::state("w", S::update().x(Some(9))))
        .app();
    assert_eq!(log(&bench.invoke(S::update().x(Some(1))).await), ["Some(1)", "Some(9)"]);
}

#[tokio::test]
async fn t070_equal_sends_are_two_tasks() {
    let bench = Lab::new("")
        .route(START, |_| vec![Send::state("w", S::update()), Send::state("w", S::update())])
        .also(["w"])
        .app();
    bench.run(empty()).break_before(crate::kit::at(&["w"])).invoke().await.unwrap();
    let tasks = bench.app.state("t").await.unwrap().tasks;
    assert_eq!(tasks.len(), 2);
    assert_ne!(tasks[0].id, tasks[1].id);
    assert!(tasks[0].path < tasks[1].path);
}

#[tokio::test]
async fn t071_the_recursion_limit_is_exact() {
    let bench = Lab::new("S -> a; a -> a").app();
    let error = bench.run(empty()).recursion_limit(3).invoke().await.unwrap_err();
    assert!(matches!(error, mesh_graph::Error::RecursionLimit { limit: 3 }));
    assert_eq!(bench.trace.runs("a"), 3);
    assert_eq!(bench.next().await, ["a"]);
}

#[tokio::test]
async fn t072_the_recursion_limit_counts_anew_on_resume() {
    let bench = Lab::new("S -> a; a -> a").app();
    bench.run(empty()).recursion_limit(3).invoke().await.unwrap_err();
    let again = bench.app.resume().thread("t").recursion_limit(3).invoke().await;
    assert!(again.is_err());
    assert_eq!(bench.trace.runs("a"), 6);
}

#[tokio::test]
async fn t073_a_chain_of_two_completes_within_two() {
    let bench = Lab::new("S -> a; a -> b").app();
    let outcome = bench.run(empty()).recursion_limit(2).invoke().await.unwrap();
    assert_eq!(outcome.status, Status::Done);
}

#[tokio::test]
async fn t074_a_limit_of_zero_is_refused() {
    let bench = Lab::new("S -> a").app();
    let error = bench.run(empty()).recursion_limit(0).invoke().await.unwrap_err();
    assert_eq!(error.to_string(), "recursion_limit: expected at least 1");
}

#[tokio::test]
async fn t075_a_child_counts_on_its_own_and_inherits_the_limit() {
    let child =
        Lab::new("S -> a").route("a", |s| if s.log.len() < 8 { "a" } else { END }).compile();
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.mount("sub", &child, |_| S::update(), |c| S::update().x(Some(c.log.len() as i64)));
    graph.edge(START, "sub");
    let bench = Bench::new(&graph.compile().unwrap());
    for limit in [9, 8] {
        let run = bench.app.run(empty()).thread(&limit.to_string()).recursion_limit(limit);
        assert_eq!(run.invoke().await.unwrap().state().x, Some(8));
    }
    let run = bench.app.run(empty()).thread("7").recursion_limit(7);
    let error = run.invoke().await.unwrap_err();
    assert!(matches!(error.root_cause(), mesh_graph::Error::RecursionLimit { limit: 7 }));
}

#[tokio::test]
async fn t076_remaining_steps_count_down_to_one() {
    let bench = Lab::new("S -> a; a -> a")
        .with(
            "a",
            |_, ctx| async move { Ok(S::update().push_log(ctx.remaining_steps().to_string())) },
        )
        .app();
    assert!(bench.run(empty()).recursion_limit(4).invoke().await.is_err());
    assert_eq!(bench.log().await, ["4", "3", "2", "1"]);
}

/// A small generator that needs no crate: the cases have to be the same everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t078_random_graphs_give_the_same_checkpoints_in_any_order_of_completion() {
    for seed in 1..=200_u64 {
        let mut histories = Vec::new();
        for order in 0..3_u64 {
            let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let nodes = 2 + chance.below(6);
            let mut edges = vec!["S -> n0".to_owned()];
            for node in 1..nodes {
                let from = chance.below(node);
                edges.push(format!("n{from} -> n{node}"));
                if chance.below(3) == 0 {
                    edges.push(format!("n{} -> n{node}", chance.below(node)));
                }
            }
            if nodes > 3 {
                edges.push(format!("n1 & n2 -> n{}", nodes - 1));
            }
            let mut lab = Lab::new(&edges.join(";"));
            for node in 0..nodes {
                let yields = (seed * 7 + node * (order + 1) * 5) % 4;
                lab = lab.with(&format!("n{node}"), move |_, _| async move {
                    for _ in 0..yields {
                        tokio::task::yield_now().await;
                    }
                    Ok(S::update().push_log(format!("n{node}")))
                });
            }
            let trace = Deps::default();
            let app = lab
                .compile()
                .app(Arc::clone(&trace))
                .checkpointer(Arc::new(MemoryCheckpointer::encoding()))
                .env(Arc::new(CountingEnv::default()));
            app.run(empty()).thread("t").invoke().await.unwrap();
            let history = app.history("t", &Filter::default()).await.unwrap();
            let lines: Vec<String> = history
                .iter()
                .map(|s| {
                    format!("{:?} {:?} {} {:?}", s.checkpoint, s.step, s.json().unwrap(), s.next)
                })
                .collect();
            histories.push(lines);
        }
        assert_eq!(histories[0], histories[1], "seed {seed}");
        assert_eq!(histories[0], histories[2], "seed {seed}");
    }
}

#[tokio::test]
async fn t210_a_limit_of_concurrent_nodes_is_kept_over_a_wide_fan_out() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NOW: AtomicUsize = AtomicUsize::new(0);
    static PEAK: AtomicUsize = AtomicUsize::new(0);
    let bench = Lab::new("")
        .with("w", |_, _| async {
            let now = NOW.fetch_add(1, Ordering::SeqCst) + 1;
            PEAK.fetch_max(now, Ordering::SeqCst);
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            NOW.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        })
        .route(START, |_| vec![Send::state("w", S::update()); 8])
        .app();
    bench.run(empty()).max_concurrency(2).invoke().await.unwrap();
    assert_eq!(PEAK.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn t214_a_panicking_node_fails_its_run_and_nothing_else() {
    let bench = Lab::new("S -> ok, bad")
        .with("bad", |s, _| async move {
            assert!(s.log.len() > 100, "out of reach");
            Ok(())
        })
        .app();
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::Panic));
    assert_eq!(error.to_string(), "node `bad` failed: panicked: out of reach");
    assert_eq!((bench.next().await, bench.log().await), (vec!["bad".into()], vec!["ok".into()]));
    // The process, and other runs, go on.
    assert_eq!(log(&Lab::new("S -> a").app().invoke(empty()).await), ["a"]);
}

#[tokio::test]
async fn t211_a_mount_that_waits_for_its_graph_holds_no_slot() {
    let child = Lab::new("S -> c1; c1 -> c2").compile();
    let mut graph = Graph::<S, Deps>::new("parent");
    let keep = |c: &View<S>| S::update().extend_log(c.log.iter().cloned());
    graph.mount("sub1", &child, |_| S::update(), keep);
    graph.mount("sub2", &child, |_| S::update(), keep);
    graph.edge(START, "sub1").edge(START, "sub2");
    let bench = Bench::new(&graph.compile().unwrap());
    let outcome = bench.run(empty()).max_concurrency(1).invoke().await.unwrap();
    assert_eq!(log(&outcome), ["c1", "c2", "c1", "c2"]);
}

/// A value whose serializer panics.
#[derive(Clone, Default, serde::Deserialize, schemars::JsonSchema)]
struct Explosive;

impl serde::Serialize for Explosive {
    fn serialize<Z: serde::Serializer>(&self, _: Z) -> Result<Z::Ok, Z::Error> {
        panic!("not to be written")
    }
}

#[derive(State)]
struct Risky {
    value: Explosive,
    other: i64,
}

#[tokio::test]
async fn a_value_that_panics_when_it_is_stored_fails_its_task() {
    let mut graph = Graph::<Risky>::new("risky");
    graph.node("bad", |_: View<Risky>, _: Ctx| async { Ok(Risky::update().value(Explosive)) });
    graph.node("good", |_: View<Risky>, _: Ctx| async { Ok(Risky::update().other(1)) });
    graph.edge(START, "bad").edge(START, "good");
    let app =
        graph.compile().unwrap().app(()).checkpointer(Arc::new(MemoryCheckpointer::encoding()));
    let error = app.run(Risky::update()).thread("t").invoke().await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::Panic));
    assert!(error.to_string().contains("not to be written"), "{error}");
}

#[tokio::test]
async fn a_join_counts_only_its_own_sources_whatever_storage_says() {
    let checkpointer = Arc::new(MemoryCheckpointer::encoding());
    let lab = Lab::new("S -> a, c; a & b -> j").also(["b"]);
    let bench = Bench::on(&lab.compile(), Arc::clone(&checkpointer) as Arc<dyn Checkpointer>);
    bench.invoke(empty()).await;
    // `a` has arrived and `b` has not; somebody wrote `c` into the stored join.
    let place = Place { thread: "t".into(), ns: String::new() };
    let mut stored = checkpointer.load(&place, None).await.unwrap().unwrap().checkpoint;
    let head = stored.id;
    stored.id = mesh_graph::CheckpointId(head.0 + 1);
    stored.parent = Some(head);
    stored.pending.joins.get_mut("join:a+b:j").unwrap().push("c".into());
    checkpointer
        .put(Commit {
            place: Arc::new(place),
            checkpoint: Box::new(stored),
            blobs: Vec::new(),
            tasks: Vec::new(),
            expected_head: Head::Is(Some(head)),
        })
        .await
        .unwrap();
    let outcome = bench.resume().await;
    assert_eq!(log(&outcome), ["a", "c"]);
    assert_eq!(bench.next().await, Vec::<String>::new());
}
