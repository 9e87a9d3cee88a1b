//! I. Pausing and holding back: observers, drains, sibling policies, limits of concurrency.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mesh_graph::{
    Arg, CheckpointId, Control, Ctx, Graph, Mistake, Mode, NodeError, NodeOptions, Observer, Pause,
    Retry, START, Send, SiblingPolicy, Status, View,
};
use serde_json::json;
use tokio::time::Instant;

use crate::kit::{Bench, Deps, Lab, S, appends, asks, at, empty, events, log};

/// What an observer was told: the call, the checkpoint, the namespace, the questions.
type Told = (&'static str, Option<CheckpointId>, Vec<String>, Vec<serde_json::Value>);

#[derive(Default)]
struct Notes(Mutex<Vec<Told>>);

impl Notes {
    fn note(&self, call: &'static str, pause: &Pause<'_>) {
        assert!(!pause.run_id.is_empty());
        assert_eq!(pause.thread_id, Some("t"));
        let nodes = pause.ns.iter().map(|level| level.split(':').next().unwrap().to_owned());
        let questions = pause.interrupts.iter().map(|interrupt| interrupt.value.clone());
        let told = (call, pause.checkpoint, nodes.collect(), questions.collect());
        self.0.lock().unwrap().push(told);
    }
}

impl Observer for Notes {
    fn on_interrupt(&self, pause: &Pause<'_>) {
        self.note("interrupt", pause);
    }
    fn on_resume(&self, pause: &Pause<'_>) {
        self.note("resume", pause);
    }
}

#[tokio::test]
async fn t131_an_observer_hears_of_the_question_and_then_of_its_answer() {
    let notes = Arc::new(Notes::default());
    let mut bench = Lab::new("S -> a").with("a", asks("q", json!("?"))).app();
    bench.app = bench.app.observer(notes.clone());
    bench.invoke(empty()).await;
    let asked_at = bench.app.state("t").await.unwrap().checkpoint;
    bench.answer(json!("yes")).await.unwrap();
    let questions = vec![json!("?")];
    assert!(asked_at.is_some());
    assert_eq!(
        *notes.0.lock().unwrap(),
        [
            ("interrupt", asked_at, vec![], questions.clone()),
            ("resume", asked_at, vec![], questions),
        ]
    );
}

#[tokio::test]
async fn an_observer_hears_of_breakpoints_and_of_every_level() {
    let notes = Arc::new(Notes::default());
    let child = Lab::new("S -> q").with("q", asks("q", json!("?"))).compile();
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.mount("m", &child, |_| S::update(), |child| S::update().extend_log(child.log.clone()));
    graph.edge(START, "m");
    let mut bench = Bench::new(&graph.compile().unwrap());
    bench.app = bench.app.observer(notes.clone());
    bench.run(empty()).break_before(at(&["m"])).invoke().await.unwrap();
    bench.resume().await;
    let told: Vec<_> = notes
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|(call, _, ns, questions)| (*call, ns.len(), questions.len()))
        .collect();
    assert_eq!(
        told,
        [("interrupt", 0, 0), ("resume", 0, 0), ("interrupt", 1, 1), ("interrupt", 0, 1)]
    );
}

#[tokio::test]
async fn a_panicking_observer_does_not_end_the_run() {
    struct Broken;
    impl Observer for Broken {
        fn on_interrupt(&self, _: &Pause<'_>) {
            assert!(std::hint::black_box(false), "observer broke");
        }
    }
    let mut bench = Lab::new("S -> a").with("a", asks("q", json!("?"))).app();
    bench.app = bench.app.observer(Arc::new(Broken));
    assert_eq!(bench.invoke(empty()).await.status, Status::Interrupted);
}

#[tokio::test]
async fn t208_a_drained_run_stops_before_its_next_superstep() {
    let bench = Lab::new("S -> a; a -> b")
        .with("a", |_, ctx| async move {
            ctx.control().request_drain("the server stops");
            ctx.control().request_drain("a later reason");
            Ok(S::update().push_log("a"))
        })
        .app();
    let (told, outcome) = events(bench.run(empty()), Mode::Lifecycle).await;
    let outcome = outcome.unwrap();
    assert_eq!(told.last().unwrap()["event"], "drained");
    assert_eq!(outcome.status, Status::Drained);
    assert_eq!(outcome.drained.as_deref(), Some("the server stops"));
    assert_eq!((log(&outcome), bench.next().await), (vec!["a".into()], vec!["b".into()]));
    assert_eq!(log(&bench.resume().await), ["a", "b"]);
    assert_eq!(["a", "b"].map(|node| bench.trace.runs(node)), [1, 1]);
}

#[tokio::test]
async fn a_drain_stops_mounted_graphs_and_loses_to_breakpoints_and_to_the_end() {
    let drains = |name: &'static str| {
        move |_: View<S>, ctx: Ctx<Deps>| async move {
            ctx.control().request_drain("enough");
            Ok::<_, NodeError>(S::update().push_log(name))
        }
    };
    let child = Lab::new("S -> c1; c1 -> c2").with("c1", drains("c1")).compile();
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.mount("m", &child, |_| S::update(), |child| S::update().extend_log(child.log.clone()));
    graph.edge(START, "m");
    let bench = Bench::new(&graph.compile().unwrap());
    let outcome = bench.invoke(empty()).await;
    assert_eq!((outcome.status, bench.next().await), (Status::Drained, vec!["m".to_owned()]));
    assert_eq!(log(&bench.resume().await), ["c1", "c2"]);
    assert_eq!(["c1", "c2"].map(|node| bench.trace.runs(node)), [1, 1]);

    let bench = Lab::new("S -> a; a -> b").with("a", drains("a")).app();
    let outcome = bench.run(empty()).break_before(at(&["b"])).invoke().await.unwrap();
    assert_eq!(outcome.status, Status::Interrupted);

    let bench = Lab::new("S -> a").with("a", drains("a")).app();
    assert_eq!(bench.invoke(empty()).await.status, Status::Done);

    // Asked for before it begins: the input is taken and nothing runs.
    let bench = Lab::new("S -> a").app();
    let control = Control::new();
    control.request_drain("not now");
    let outcome = bench.run(empty()).control(control).invoke().await.unwrap();
    assert_eq!((outcome.status, bench.trace.runs("a")), (Status::Drained, 0));
    assert_eq!(log(&bench.resume().await), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn t191_with_the_policy_cancel_a_failure_drops_its_siblings_at_once() {
    let bench = Lab::new("S -> ok, bad, slow")
        .with("bad", |_, ctx| async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if ctx.deps().runs("bad") == 1 {
                return Err(NodeError::msg("bad failed"));
            }
            Ok(S::update().push_log("bad"))
        })
        .with("slow", |_, _| async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok(S::update().push_log("slow"))
        })
        .app();
    let begun = Instant::now();
    let run = bench.run(empty()).on_sibling_failure(SiblingPolicy::Cancel);
    let error = run.invoke().await.unwrap_err();
    assert_eq!(error.to_string(), "node `bad` failed: bad failed");
    assert_eq!(begun.elapsed(), Duration::from_millis(100));
    let state = bench.app.state("t").await.unwrap();
    assert_eq!(state.next, ["bad", "slow"]);
    assert_eq!(state.tasks[2].error, None, "it was cancelled and did not fail");
    assert_eq!(log(&bench.resume().await), ["bad", "ok", "slow"]);
    assert_eq!(["ok", "bad", "slow"].map(|node| bench.trace.runs(node)), [1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn siblings_have_the_grace_that_the_run_gives_them() {
    let bench = Lab::new("S -> bad, slow")
        .with("bad", |_, _| async { Err::<(), _>(NodeError::msg("bad")) })
        .with("slow", |_, _| async {
            tokio::time::sleep(Duration::from_mins(1)).await;
            Ok(S::update().push_log("slow"))
        })
        .app();
    for (grace, next) in [(50, vec!["bad", "slow"]), (70, vec!["bad"])] {
        let policy = SiblingPolicy::Finish { grace: Duration::from_secs(grace) };
        let thread = grace.to_string();
        let run = bench.app.run(empty()).thread(&thread).on_sibling_failure(policy);
        run.invoke().await.unwrap_err();
        assert_eq!(bench.app.state(&thread).await.unwrap().next, next);
    }
}

/// How many tasks ran at once, at most: of `x`, of `y` and together.
#[derive(Default)]
struct Peaks {
    now: [usize; 3],
    most: [usize; 3],
}

/// The options of a node under test.
type Tune = fn(NodeOptions<'_, u8, S, Deps>) -> NodeOptions<'_, u8, S, Deps>;

/// Runs eight `Send`s to each of two nodes.
async fn peaks(x: Tune, y: Tune) -> [usize; 3] {
    let peaks: Arc<Mutex<Peaks>> = Arc::default();
    let node = |index: usize| {
        let peaks = Arc::clone(&peaks);
        move |Arg(_): Arg<u8>, _: Ctx<Deps>| {
            let peaks = Arc::clone(&peaks);
            async move {
                for place in [index, 2] {
                    let peaks = &mut *peaks.lock().unwrap();
                    peaks.now[place] += 1;
                    peaks.most[place] = peaks.most[place].max(peaks.now[place]);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
                for place in [index, 2] {
                    peaks.lock().unwrap().now[place] -= 1;
                }
                Ok(())
            }
        }
    };
    let mut graph = Graph::<S, Deps>::new("lab");
    let x = x(graph.node("x", node(0))).id();
    let y = y(graph.node("y", node(1))).id();
    graph.route(START, move |_| {
        (0..8).flat_map(|n| [Send::to(&x, n), Send::to(&y, n)]).collect::<Vec<_>>()
    });
    Bench::new(&graph.compile().unwrap()).invoke(empty()).await;
    peaks.lock().unwrap().most
}

#[tokio::test(start_paused = true)]
async fn nodes_keep_limits_of_their_own_and_limits_they_share() {
    assert_eq!(peaks(|x| x, |y| y).await, [8, 8, 16]);
    assert_eq!(peaks(|x| x.max_concurrency(2), |y| y).await, [2, 8, 10]);
    let shared = peaks(|x| x.limit("llm", 3), |y| y.limit("llm", 3)).await;
    assert_eq!(shared[2], 3);
    let both = peaks(|x| x.limit("llm", 3).max_concurrency(1), |y| y.limit("llm", 3)).await;
    assert_eq!((both[0], both[2]), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_backs_off_holds_no_slot() {
    let bench = Lab::new("S -> bad, ok")
        .with_options(
            "bad",
            |_, ctx| async move {
                if ctx.info().attempt == 1 {
                    return Err(NodeError::msg("again"));
                }
                Ok(S::update().push_log("bad"))
            },
            |node| node.retry(Retry::default().jitter(false)).limit("one", 1),
        )
        .with_options(
            "ok",
            |_, _| async { Ok(S::update().push_log("ok")) },
            |node| node.limit("one", 1),
        )
        .app();
    let begun = Instant::now();
    let mut handle = bench.run(empty()).max_concurrency(1).stream([Mode::Updates]).start().unwrap();
    let first = handle.next().await.unwrap();
    assert_eq!((first.node(), begun.elapsed()), (Some("ok"), Duration::ZERO));
    assert_eq!(log(&handle.finish().await.unwrap()), ["bad", "ok"]);
}

#[test]
fn a_shared_limit_is_one_number_and_no_mount_holds_it() {
    let child = Lab::new("S -> c").compile();
    let mut graph = Graph::<S, Deps>::new("lab");
    graph.node("a", appends()).limit("llm", 3);
    graph.node("b", appends()).limit("llm", 4);
    graph.mount("m", &child, |_| S::update(), |_| S::update()).limit("llm", 3);
    graph.edge(START, "a");
    let bad =
        |node: &str, expected| Mistake::BadOption { node: node.into(), option: "limit", expected };
    assert_eq!(
        graph.compile().err().unwrap().mistakes,
        [
            bad("b", "the same number at every node that shares it"),
            bad("m", "a node that is no mounted graph"),
        ]
    );
}
