//! Joins that need not wait for all of their sources.

use std::sync::Arc;

use mesh_graph::{
    Checkpointer, Compiled, Durability, END, FailureKind, Goto, Graph, MemoryCheckpointer, Mistake,
    NodeError, Patch, Route, START, Status, Step, Warning,
    testing::{Fault, FaultyCheckpointer},
};

use crate::kit::{Bench, Deps, Lab, S, empty, fails_once, log};

fn any(lab: Lab, sources: &[&'static str], to: &str) -> Lab {
    n_of(lab, 1, sources, to)
}

fn n_of(lab: Lab, k: usize, sources: &[&'static str], to: &str) -> Lab {
    lab.tuned(|graph| {
        graph.join(sources.iter().copied(), to).n_of(k);
    })
    .also([to])
}

fn rounds(log: &[String], node: &str) -> usize {
    log.iter().filter(|name| *name == node).count()
}

#[tokio::test]
async fn a_join_of_any_fires_at_the_first_arrival_alone() {
    let lab = Lab::new("S -> a, b1; b1 -> b2; b2 -> b3");
    let bench = any(lab, &["a", "b3"], "j").app();
    let outcome = bench.invoke(empty()).await;
    assert_eq!(log(&outcome), ["a", "b1", "b2", "j", "b3"]);
    assert_eq!(outcome.warnings, []);
}

#[tokio::test]
async fn a_join_of_any_fires_once_for_arrivals_of_one_superstep() {
    let bench = any(Lab::new("S -> a, b, c"), &["a", "b", "c"], "j").app();
    assert_eq!(log(&bench.invoke(empty()).await), ["a", "b", "c", "j"]);
}

#[tokio::test]
async fn a_join_of_any_ignores_a_source_that_comes_again_before_the_others() {
    let lab = Lab::new("S -> a").route("a", |s| if rounds(&s.log, "a") < 3 { "a" } else { END });
    let outcome = any(lab.also(["b"]), &["a", "b"], "j").app().invoke(empty()).await;
    assert_eq!(log(&outcome), ["a", "a", "j", "a"]);
    assert_eq!(outcome.warnings, [], "it has fired, so nobody misses `b`");
}

#[tokio::test]
async fn a_join_of_any_is_armed_again_when_every_source_has_arrived() {
    let lab = Lab::new("S -> a, b1; b1 -> b2; b2 -> c")
        .route("c", |s| if rounds(&s.log, "a") < 2 { "a" } else { END });
    let outcome = any(lab, &["a", "b2"], "j").app().invoke(empty()).await;
    assert_eq!(log(&outcome), ["a", "b1", "b2", "j", "c", "a", "j"]);
}

#[tokio::test]
async fn arrivals_of_the_superstep_that_arms_a_join_belong_to_the_old_round() {
    // In the superstep in which `b` completes the round, `a` or `z` comes again: the order of
    // their names must not matter.
    for again in ["a", "z"] {
        let lab = Lab::new("S -> b1; b1 -> b")
            .route(START, move |_| again)
            .route(again, move |s| if rounds(&s.log, again) < 2 { again } else { END });
        let outcome = any(lab.also([again]), &[again, "b"], "j").app().invoke(empty()).await;
        assert_eq!(rounds(&log(&outcome), "j"), 1, "{again}");
    }
}

#[tokio::test]
async fn a_new_input_arms_every_join() {
    let bench = any(Lab::new("S -> a").also(["b"]), &["a", "b"], "j").app();
    bench.invoke(empty()).await;
    assert_eq!(log(&bench.invoke(empty()).await), ["a", "j", "a", "j"]);
}

#[tokio::test]
async fn a_join_of_two_among_three_fires_at_the_second() {
    let lab = Lab::new("S -> a, b1, c1; b1 -> b2; c1 -> c2; c2 -> c3");
    let outcome = n_of(lab, 2, &["a", "b2", "c3"], "j").app().invoke(empty()).await;
    assert_eq!(log(&outcome), ["a", "b1", "c1", "b2", "c2", "c3", "j"]);
    assert_eq!(outcome.warnings, []);
}

#[tokio::test]
async fn a_join_with_too_few_arrivals_says_who_is_missing() {
    let lab = Lab::new("S -> a").also(["b", "c"]);
    let outcome = n_of(lab, 2, &["a", "b", "c"], "j").app().invoke(empty()).await;
    let missing = vec!["b".into(), "c".into()];
    assert_eq!(outcome.warnings, [Warning::PartialJoin { target: "j".into(), missing }]);
}

/// `x` = 1 runs `a` and `b`, 2 runs `a` and says that `b` is not coming, 3 says neither, 4 runs
/// `a` and says nothing of `b`.
fn optional() -> Lab {
    Lab::new("")
        .route(START, |s| match *s.x {
            Some(1) => Route::from(vec!["a", "b"]),
            Some(2) => Route::from("a").without(["b"]),
            Some(3) => Route::end().without(["a", "b"]),
            _ => Route::from("a"),
        })
        .tuned(|graph| {
            graph.join(["a", "b"], "j").optional(["a", "b"]);
        })
        .also(["a", "b", "j"])
}

#[tokio::test]
async fn an_optional_source_is_waited_for_unless_it_is_said_not_to_come() {
    for (x, expected, missing) in [
        (1, &["a", "b", "j"][..], None),
        (2, &["a", "j"], None),
        (3, &[], None),
        (4, &["a"], Some("b")),
    ] {
        let outcome = optional().app().invoke(S::update().x(Some(x))).await;
        assert_eq!((outcome.status, log(&outcome)), (Status::Done, values(expected)), "{x}");
        let warned: Vec<Warning> = missing
            .map(|node| Warning::PartialJoin { target: "j".into(), missing: vec![node.into()] })
            .into_iter()
            .collect();
        assert_eq!(outcome.warnings, warned, "{x}");
    }
}

fn values(log: &[&str]) -> Vec<String> {
    log.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn every_round_of_a_join_asks_for_its_optional_sources_anew() {
    let lab = Lab::new("a & c -> k")
        .route(START, |_| Route::from("a").without(["b"]))
        .route("j", |s| if rounds(&s.log, "j") < 2 { Route::from("a") } else { Route::end() })
        .tuned(|graph| {
            graph.join(["a", "b"], "j").optional(["b"]);
        })
        .also(["b", "j"]);
    let outcome = lab.app().invoke(empty()).await;
    assert_eq!(log(&outcome), ["a", "j", "a"]);
    assert_eq!(outcome.warnings.len(), 2);
}

#[tokio::test]
async fn too_few_are_enough_when_nobody_else_comes() {
    let lab = Lab::new("S -> a")
        .with("a", |_, _| async {
            let step = Step::<S>::update(S::update().push_log("a"));
            Ok(step.goto(Goto::NotComing("b".into())).goto(Goto::NotComing("c".into())))
        })
        .tuned(|graph| {
            graph.join(["a", "b", "c"], "j").n_of(2).optional(["b", "c"]);
        })
        .also(["b", "c", "j"]);
    assert_eq!(log(&lab.app().invoke(empty()).await), ["a", "j"]);
}

#[tokio::test]
async fn only_an_optional_source_can_be_said_not_to_come() {
    for (source, kind) in [
        ("a", FailureKind::InvalidRoute),
        ("zz", FailureKind::UnknownTarget { target: "zz".into() }),
    ] {
        let lab =
            Lab::new("S -> a").route("a", move |_| Route::end().without([source])).tuned(|graph| {
                graph.join(["a", "b"], "j").optional(["b"]);
            });
        let bench = lab.also(["b", "j"]).app();
        let error = bench.run(empty()).invoke().await.unwrap_err();
        assert_eq!(error.failure_kind(), Some(&kind));
    }
}

#[tokio::test]
async fn a_deferred_target_of_a_join_of_any_runs_once_and_last() {
    let lab = Lab::new("S -> a, b1; b1 -> b2; b2 -> b3").deferred("d");
    let outcome = any(lab, &["a", "b3"], "d").app().invoke(empty()).await;
    assert_eq!(log(&outcome), ["a", "b1", "b2", "b3", "d"]);
}

#[tokio::test]
async fn a_state_update_as_a_source_arrives_at_joins() {
    let bench = any(Lab::new("S -> c").also(["a", "b"]), &["a", "b"], "j").app();
    bench.invoke(empty()).await;
    let patch = Patch::values(serde_json::json!({ "log": ["by hand"] })).as_node("a");
    bench.app.update_state("t", patch).await.unwrap();
    assert_eq!(bench.next().await, ["j"]);
    assert_eq!(log(&bench.resume().await), ["c", "by hand", "j"]);
}

#[tokio::test]
async fn what_a_join_has_seen_survives_a_restart() {
    // `j` has run for `a` when `b3` fails; and `k` knows that `c` is not coming when `d2` fails.
    let graph = any(
        Lab::new("S -> a, b1, d1; b1 -> b2; b2 -> b3; d1 -> d2; d2 -> d3")
            .with("b3", fails_once())
            .with("d3", fails_once())
            .route("d1", |_| Route::end().without(["c"])),
        &["a", "b3"],
        "j",
    )
    .tuned(|graph| {
        graph.join(["c", "d3"], "k").optional(["c"]);
    })
    .also(["c", "k"])
    .compile();
    let checkpointer: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::default());
    let first = Bench::on(&graph, Arc::clone(&checkpointer));
    first.run(empty()).invoke().await.unwrap_err();
    assert_eq!((first.trace.runs("j"), first.trace.runs("b3")), (1, 1));
    let second = Bench::on(&graph, checkpointer);
    for node in ["b3", "d3"] {
        second.trace.start(node);
    }
    let outcome = second.resume().await;
    assert_eq!(log(&outcome), ["a", "b1", "d1", "b2", "d2", "j", "b3", "d3", "k"]);
    assert_eq!(outcome.warnings, []);
}

/// Two rounds of every kind of join.
fn every_kind() -> Compiled<S, Deps> {
    any(Lab::new("S -> a, b1, c1; b1 -> b2; c1 -> c2; c2 -> c3"), &["a", "b2", "c3"], "first")
        .tuned(|graph| {
            graph.join(["a", "b2", "c3"], "second").n_of(2);
            graph.join(["b2", "c3", "x"], "last").optional(["x"]);
        })
        .route("b1", |_| Route::end().without(["x"]))
        .route("last", |s| {
            if rounds(&s.log, "last") < 2 {
                Route::from(vec!["a", "b1", "c1"])
            } else {
                Route::end()
            }
        })
        .also(["x", "second", "last"])
        .compile()
}

#[tokio::test]
async fn joins_of_every_kind_survive_a_cut_at_every_write() {
    let graph = every_kind();
    let expected = log(&Bench::new(&graph).invoke(empty()).await);
    for node in ["first", "second", "last"] {
        assert_eq!(rounds(&expected, node), 2, "{expected:?}");
    }
    for durability in [Durability::Sync, Durability::Async, Durability::Exit] {
        for fault in Fault::ALL {
            for at in 1.. {
                let storage: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::default());
                let faulty = Arc::new(FaultyCheckpointer::new(Arc::clone(&storage), at, fault));
                let cut = Bench::on(&graph, Arc::clone(&faulty) as Arc<dyn Checkpointer>);
                let run = cut.run(empty()).durability(durability).invoke();
                tokio::select! {
                    biased;
                    () = faulty.stopped() => {}
                    _ = run => {}
                }
                if faulty.writes() < at {
                    assert!(at > 1, "{durability:?}: a test without cuts");
                    break;
                }
                let again = Bench::on(&graph, storage);
                let stored = again.app.state("t").await.unwrap().checkpoint.is_some();
                let run = if stored { again.app.resume().thread("t") } else { again.run(empty()) };
                let outcome = run.durability(durability).invoke().await.unwrap();
                assert_eq!(log(&outcome), expected, "{durability:?} {fault:?} {at}");
            }
        }
    }
}

#[test]
fn a_join_that_cannot_be_is_refused() {
    let mistakes = |build: fn(&mut Graph<S, Deps>)| {
        let mut graph = Graph::<S, Deps>::new("wrong");
        for name in ["a", "b", "j"] {
            graph.node(name, fails_once());
        }
        graph.edge(START, "a");
        build(&mut graph);
        graph.compile().err().map(|error| error.mistakes).unwrap_or_default()
    };
    let join = || "join:a+b:j".to_owned();
    for (k, build) in [
        (
            0,
            (|graph| {
                graph.join(["a", "b"], "j").n_of(0);
            }) as fn(&mut Graph<S, Deps>),
        ),
        (3, |graph| {
            graph.join(["a", "b"], "j").n_of(3);
        }),
    ] {
        let found = mistakes(build);
        assert_eq!(found, [Mistake::JoinCount { join: join(), k, sources: 2 }]);
        let text = format!("the join:a+b:j waits for {k} of its sources; expected 1 to 2");
        assert_eq!(found[0].to_string(), text);
    }
    assert_eq!(
        mistakes(|graph| {
            graph.join(["a", "b"], "j").optional(["c"]);
        }),
        [Mistake::NoSource { join: join(), node: "c".into() }]
    );
    assert_eq!(
        mistakes(|graph| {
            graph.join(["a", "b"], "j").join(["a", "b"], "j").any();
        }),
        [Mistake::JoinTwice { join: join() }]
    );
    assert_eq!(
        mistakes(|graph| {
            graph.join(["a", "b"], "j").join(["a", "b"], "j");
        }),
        []
    );
}

#[tokio::test]
async fn a_router_that_fails_marks_nobody() {
    let lab = Lab::new("S -> a")
        .with("a", |_, ctx| async move {
            if ctx.deps().runs("a") == 1 { Err(NodeError::msg("once")) } else { Ok(S::update()) }
        })
        .route(START, |_| Route::from("b"))
        .route("a", |_| Route::end().without(["a"]))
        .tuned(|graph| {
            graph.join(["a", "b"], "j").optional(["a"]);
        });
    let bench = lab.also(["b", "j"]).app();
    bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(bench.trace.runs("j"), 0);
    assert_eq!(log(&bench.resume().await), ["b", "j"]);
}
