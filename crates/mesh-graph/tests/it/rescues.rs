//! I. Error handlers.

use std::time::Duration;

use mesh_graph::checkpointer::Filter;
use mesh_graph::{
    Arg, Caught, Ctx, FailureKind, Graph, Mistake, Mode, NodeError, NodeResult, Retry, START, Send,
    Status, Step, Then, TimeoutKind, View,
};
use mesh_graph::{Command, Goto, JsonView, Key, Keys, Untyped};
use serde_json::{Value as Json, json};

use crate::kit::{
    Bench, Deps, Lab, S, SUpdate, appends, asks, empty, events, fails_once, log, values,
};

/// A node that always fails.
async fn bad(_: View<S>, ctx: Ctx<Deps>) -> NodeResult<SUpdate> {
    Err(NodeError::coded("spilt", format!("attempt {}", ctx.info().attempt).as_str()))
}

/// A handler that appends what it was called for.
async fn rescue(_: View<S>, caught: Caught, ctx: Ctx<Deps>) -> NodeResult<SUpdate> {
    ctx.deps().start(&ctx.info().node);
    Ok(S::update().push_log(format!("{}: {}", caught.node, caught.failure.message)))
}

fn twice() -> Retry {
    Retry::default().max_attempts(2).initial_interval(Duration::from_millis(1))
}

#[tokio::test(start_paused = true)]
async fn t201_a_handler_runs_after_the_retries_and_says_where_to_go() {
    let bench = Lab::new("S -> bad; bad -> b; c -> E")
        .with_options("bad", bad, |node| {
            node.retry(twice()).on_error(
                |_: View<S>, caught: Caught, _: Ctx<Deps>| async move {
                    assert_eq!(caught.failure.attempt, 2);
                    Ok(Step::update(S::update().push_log("handled")).goto("c"))
                },
                Then::End,
            )
        })
        .app();
    let (updates, outcome) = events(bench.run(empty()), Mode::Updates).await;
    assert_eq!(
        updates,
        [json!({"__error_handler__bad": values(&["handled"])}), json!({"c": values(&["c"])})]
    );
    assert_eq!(log(&outcome.unwrap()), ["handled", "c"]);
    assert_eq!((bench.trace.runs("bad"), bench.trace.runs("b")), (2, 0));
    // The tasks stream tells the failure once, at the end of the attempts, and then the handler.
    let run = bench.app.run(empty()).thread("again");
    let (tasks, _) = events(run, Mode::Tasks).await;
    let told: Vec<_> = tasks
        .iter()
        .map(|task| json!([task["name"], task.get("input").is_some(), task["error"].is_null()]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["bad", true, true]),
            json!(["bad", false, false]),
            json!(["__error_handler__bad", true, true]),
            json!(["__error_handler__bad", false, true]),
            json!(["c", true, true]),
            json!(["c", false, true]),
        ]
    );
}

#[tokio::test]
async fn a_handler_without_a_goto_ends_its_branch_unless_it_says_what_follows() {
    for (then, expected) in [
        (Then::End, vec!["bad: attempt 1"]),
        (Then::Follow, vec!["bad: attempt 1", "b", "j"]),
        (Then::goto("c"), vec!["bad: attempt 1", "c"]),
    ] {
        let bench = Lab::new("S -> bad; bad -> b; b -> E; bad & b -> j; c -> E")
            .with_options("bad", bad, |node| node.on_error(rescue, then))
            .app();
        assert_eq!(log(&bench.invoke(empty()).await), expected);
    }
}

#[tokio::test]
async fn a_followed_router_sees_what_the_handler_wrote() {
    let bench = Lab::new("S -> bad")
        .with_options("bad", bad, |node| node.on_error(rescue, Then::Follow))
        .route("bad", |state| if state.log.is_empty() { "b" } else { "c" })
        .also(["b", "c"])
        .app();
    assert_eq!(log(&bench.invoke(empty()).await), ["bad: attempt 1", "c"]);
}

#[tokio::test]
async fn t203_a_resume_after_a_failed_handler_runs_the_handler_alone() {
    let bench = Lab::new("S -> bad; bad -> b")
        .with_options("bad", bad, |node| {
            node.on_error(
                |_: View<S>, caught: Caught, ctx: Ctx<Deps>| async move {
                    ctx.deps().start("handler");
                    if ctx.deps().runs("handler") == 1 {
                        return Err(NodeError::msg("no help"));
                    }
                    // What was stored, not its text.
                    assert_eq!(caught.failure.kind, FailureKind::Node);
                    assert_eq!(caught.failure.code.as_deref(), Some("spilt"));
                    assert_eq!((&*caught.node, caught.failure.attempt), ("bad", 1));
                    Ok(S::update().push_log("handled"))
                },
                Then::Follow,
            )
        })
        .app();
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(error.to_string(), "node `bad` failed: no help");
    let state = bench.app.state("t").await.unwrap();
    assert_eq!(state.next, ["bad"]);
    assert_eq!(state.tasks[0].error.as_ref().unwrap().message, "no help");
    assert_eq!(log(&bench.resume().await), ["handled", "b"]);
    assert_eq!((bench.trace.runs("bad"), bench.trace.runs("handler")), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn t204_a_handled_failure_leaves_its_siblings_alone_and_stays_visible() {
    let bench = Lab::new("S -> bad, slow")
        .with_options("bad", bad, |node| node.on_error(rescue, Then::End))
        .with("slow", |_, _| async {
            tokio::time::sleep(Duration::from_mins(1)).await;
            Ok(S::update().push_log("slow"))
        })
        .app();
    let outcome = bench.invoke(empty()).await;
    assert_eq!(
        (outcome.status, log(&outcome)),
        (Status::Done, vec!["bad: attempt 1".to_owned(), "slow".to_owned()])
    );
    let history = bench.app.history("t", &Filter::default()).await.unwrap();
    assert_eq!(history.len(), 3, "one step for both");
    let tasks = &history[1].tasks;
    assert_eq!(tasks[0].error.as_ref().unwrap().message, "attempt 1");
    assert_eq!(tasks[0].result, Some(values(&["bad: attempt 1"])));
    assert_eq!(tasks[1].error, None);
}

#[tokio::test(start_paused = true)]
async fn t205_defaults_apply_to_all_ordinary_nodes() {
    let graph = Lab::new("S -> a, b, own")
        .with("a", bad)
        .with("b", bad)
        .with_options("own", bad, |node| {
            node.retry([]).on_error(
                |_: View<S>, _: Caught, _: Ctx<Deps>| async { Ok(S::update().push_log("own")) },
                Then::End,
            )
        })
        .tuned(|graph| {
            graph.default_retry(twice()).default_on_error(rescue, Then::End);
        })
        .compile();
    let names: Vec<&str> = graph.node_names().collect();
    assert_eq!(names, ["__default_error_handler__", "__error_handler__own", "a", "b", "own"]);
    let bench = Bench::new(&graph);
    assert_eq!(log(&bench.invoke(empty()).await), ["a: attempt 2", "b: attempt 2", "own"]);
    assert_eq!(["a", "b", "own"].map(|node| bench.trace.runs(node)), [2, 2, 1]);
    assert_eq!(bench.trace.runs("__default_error_handler__"), 2);
}

#[tokio::test]
async fn a_handler_that_fails_is_nobody_elses_business() {
    let bench = Lab::new("S -> bad")
        .with_options("bad", bad, |node| {
            node.on_error(
                |_: View<S>, _: Caught, _: Ctx<Deps>| async {
                    Err::<(), _>(NodeError::msg("no help"))
                },
                Then::End,
            )
        })
        .tuned(|graph| {
            graph.default_on_error(rescue, Then::End);
        })
        .app();
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(error.to_string(), "node `bad` failed: no help");
    assert_eq!(bench.trace.runs("__default_error_handler__"), 0);
}

#[tokio::test(start_paused = true)]
async fn t206_time_limits_and_retries_apply_to_handlers() {
    let bench = Lab::new("S -> bad")
        .with_options("bad", bad, |node| {
            node.retry([]).on_error(
                |_: View<S>, _: Caught, ctx: Ctx<Deps>| async move {
                    ctx.deps().start("handler");
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    Ok(())
                },
                Then::End,
            )
        })
        .tuned(|graph| {
            graph.default_timeout(Duration::from_secs(1)).default_retry(twice());
        })
        .app();
    let error = bench.run(empty()).invoke().await.unwrap_err();
    let Some(FailureKind::NodeTimeout { limit: TimeoutKind::Run, after_ms: 1000 }) =
        error.failure_kind()
    else {
        panic!("{error}")
    };
    assert_eq!((bench.trace.runs("bad"), bench.trace.runs("handler")), (1, 2));
}

#[tokio::test]
async fn t118_a_question_is_no_error() {
    let bench = Lab::new("S -> a")
        .with_options("a", asks("q", json!(1)), |node| node.on_error(rescue, Then::End))
        .app();
    assert_eq!(bench.invoke(empty()).await.status, Status::Interrupted);
    assert_eq!(bench.trace.runs("__error_handler__a"), 0);
    assert_eq!(log(&bench.answer(json!("yes")).await.unwrap()), ["yes"]);
}

#[tokio::test]
async fn a_handler_may_ask_and_is_resumed_in_the_nodes_place() {
    let bench = Lab::new("S -> bad; bad -> b")
        .with_options("bad", bad, |node| {
            node.on_error(
                |_: View<S>, _: Caught, ctx: Ctx<Deps>| async move {
                    let answer: String = ctx.interrupt("what now", "?")?;
                    Ok(S::update().push_log(answer))
                },
                Then::Follow,
            )
        })
        .app();
    assert_eq!(bench.invoke(empty()).await.status, Status::Interrupted);
    assert_eq!(log(&bench.answer(json!("go on")).await.unwrap()), ["go on", "b"]);
    assert_eq!(bench.trace.runs("bad"), 1);
}

#[tokio::test]
async fn a_handler_keeps_steps_of_its_own() {
    let bench = Lab::new("S -> bad")
        .with_options(
            "bad",
            |_, ctx| async move {
                ctx.step("s", &1, async { Ok::<_, NodeError>("of the node".to_owned()) }).await?;
                Err::<(), _>(NodeError::msg("bad"))
            },
            |node| {
                node.on_error(
                    |_: View<S>, _: Caught, ctx: Ctx<Deps>| async move {
                        let trace = std::sync::Arc::clone(ctx.deps());
                        let kept = ctx
                            .step("s", &2, async move {
                                trace.start("step");
                                Ok::<_, NodeError>("of the handler".to_owned())
                            })
                            .await?;
                        ctx.deps().start("handler");
                        if ctx.deps().runs("handler") == 1 {
                            return Err(NodeError::msg("once"));
                        }
                        Ok(S::update().push_log(kept))
                    },
                    Then::End,
                )
            },
        )
        .app();
    bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(log(&bench.resume().await), ["of the handler"]);
    assert_eq!((bench.trace.runs("step"), bench.trace.runs("handler")), (1, 2));
}

#[tokio::test]
async fn a_handler_may_take_the_argument_that_its_node_took() {
    let mut graph = Graph::<S, Deps>::new("lab");
    let w = graph
        .node("w", |Arg(n): Arg<u8>, _: Ctx<Deps>| async move {
            if *n == 2 {
                return Err(NodeError::msg("two"));
            }
            Ok(S::update().push_log(n.to_string()))
        })
        .on_error(
            |Arg(n): Arg<u8>, caught: Caught, _: Ctx<Deps>| async move {
                Ok(S::update().push_log(format!("no {n}: {}", caught.failure)))
            },
            Then::Follow,
        )
        .id();
    graph.node("end", appends());
    graph.edge("w", "end");
    graph.route(START, move |_| (1..=3).map(|n| Send::to(&w, n)).collect::<Vec<_>>());
    let bench = Bench::new(&graph.compile().unwrap());
    assert_eq!(log(&bench.invoke(empty()).await), ["1", "no 2: two", "3", "end"]);
}

#[test]
fn a_handler_cannot_take_what_its_node_does_not_get() {
    let mut graph = Graph::<S, Deps>::new("lab");
    graph
        .node("a", appends())
        .on_error(|_: Arg<u8>, _: Caught, _: Ctx<Deps>| async { Ok(()) }, Then::goto("zz"));
    graph.edge(START, "a");
    let mistakes = graph.compile().err().unwrap().mistakes;
    assert_eq!(
        mistakes,
        [
            Mistake::HandlerArgument { node: "a".into(), expected: "u8" },
            Mistake::UnknownNode { place: "__error_handler__a".into(), node: "zz".into() },
        ]
    );
}

#[tokio::test]
async fn hidden_nodes_cannot_be_named() {
    let bench = Lab::new("S -> a")
        .with_options("a", fails_once(), |node| node.on_error(rescue, Then::End))
        .route("a", |_| "__error_handler__a")
        .app();
    // The router is asked when the handler is followed only; here the node succeeds at once.
    bench.trace.start("a");
    let outcome = bench.invoke(empty()).await;
    assert_eq!(log(&outcome), ["a: there is no node `__error_handler__a` to go to"]);
    let mut graph = Graph::<S, Deps>::new("lab");
    graph.node("__error_handler__b", appends());
    graph.edge(START, "b");
    assert!(graph.compile().is_err());
}

#[tokio::test]
async fn t202_an_untyped_handler_ends_its_branch_unless_it_goes_somewhere() {
    async fn fails(_: JsonView, _: Ctx) -> NodeResult<Json> {
        Err(NodeError::msg("spilt"))
    }
    async fn next(_: JsonView, _: Ctx) -> NodeResult<Json> {
        Ok(json!({"log": ["b"]}))
    }
    for (own, expected) in [(false, json!(["any bad"])), (true, json!(["bad", "b"]))] {
        let keys = Keys::new().key(Key::new("log").append());
        let mut graph = Graph::<Untyped>::untyped("lab", keys);
        let bad = graph.node_json("bad", fails);
        if own {
            bad.on_error_json(|_: JsonView, caught: Caught, _: Ctx| async move {
                let update = Some(json!({"log": [caught.node]}));
                let goto = vec![Goto::from("b")];
                Ok(Command { update, goto, ..Command::default() })
            });
        }
        graph.node_json("b", next);
        graph.edge(START, "bad").edge("bad", "b");
        graph.default_on_error_json(|_: JsonView, caught: Caught, _: Ctx| async move {
            Ok(json!({"log": [format!("any {}", caught.node)]}))
        });
        let app = graph.compile().unwrap().app(());
        let outcome = app.run_json(json!({})).invoke().await.unwrap();
        assert_eq!(outcome.json().unwrap()["log"], expected);
    }
}
