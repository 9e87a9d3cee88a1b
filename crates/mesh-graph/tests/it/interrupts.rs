//! E. Interrupts.

use std::sync::atomic::{AtomicBool, Ordering};

use expect_test::expect;
use mesh_graph::{
    Breakpoints, Command, Ctx, END, Error, Goto, Interrupt, Mode, NodeError, Resume, START, Send,
    Status, Step, View, Warning, checkpointer::Filter,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::kit::{Bench, Deps, Lab, S, asks, at, empty, events, log, text};

fn id(interrupt: &Interrupt) -> String {
    interrupt.id.to_string()
}

#[tokio::test]
async fn t097_a_question_ends_the_run_and_its_answer_continues_it() {
    let bench = Lab::new("S -> a").with("a", asks("q", json!({"q": 1}))).app();
    let outcome = bench.invoke(empty()).await;
    assert_eq!(outcome.status, Status::Interrupted);
    assert_eq!(outcome.interrupts.len(), 1);
    assert_eq!(outcome.interrupts[0].value, json!({"q": 1}));
    assert_eq!(
        outcome.json().unwrap()["__interrupt__"],
        json!([{"value": {"q": 1}, "id": id(&outcome.interrupts[0]), "response_schema": null}])
    );
    assert_eq!(bench.next().await, ["a"]);
    let outcome = bench.answer(json!("yes")).await.unwrap();
    assert_eq!(log(&outcome), ["yes"]);
    assert_eq!(bench.trace.runs("a"), 2);
}

#[tokio::test]
async fn t098_a_question_makes_no_checkpoint_and_is_listed_where_it_was_asked() {
    let bench = Lab::new("S -> a").with("a", asks("q", json!(1))).app();
    bench.invoke(empty()).await;
    bench.answer(json!("yes")).await.unwrap();
    expect![[r#"
        1 loop []
        0 loop [a]
        -1 input [__start__]"#]]
    .assert_eq(&bench.history().await);
    let history = bench.app.history("t", &Filter::default()).await.unwrap();
    assert_eq!(history[1].tasks[0].interrupts.len(), 1);
}

fn asks_twice(
    _: View<S>,
    ctx: Ctx<Deps>,
) -> std::future::Ready<Result<crate::kit::SUpdate, NodeError>> {
    let both = || {
        let first = ctx.interrupt_next("first")?;
        let second = ctx.interrupt_next("second")?;
        Ok(S::update().extend_log([text(&first), text(&second)]))
    };
    std::future::ready(both())
}

#[tokio::test]
async fn t099_two_questions_of_one_node_are_asked_one_after_the_other() {
    let bench = Lab::new("S -> a").with("a", asks_twice).app();
    let first = bench.invoke(empty()).await.interrupts;
    let second = bench.answer(json!(1)).await.unwrap().interrupts;
    assert_ne!(first[0].id, second[0].id);
    assert_eq!(second[0].value, "second");
    assert_eq!(log(&bench.answer(json!(2)).await.unwrap()), ["1", "2"]);
    assert_eq!(bench.trace.runs("a"), 3);
}

#[tokio::test]
async fn t100_answers_by_id_give_the_same_result() {
    let bench = Lab::new("S -> a").with("a", asks_twice).app();
    let first = bench.invoke(empty()).await.interrupts;
    let second = bench.answer_by_id([(id(&first[0]), json!(1))]).await.unwrap().interrupts;
    let outcome = bench.answer_by_id([(id(&second[0]), json!(2))]).await.unwrap();
    assert_eq!(log(&outcome), ["1", "2"]);
}

#[tokio::test]
async fn t101_unknown_and_answered_ids_are_refused_and_nothing_runs() {
    let bench = Lab::new("S -> a").with("a", asks_twice).app();
    let first = bench.invoke(empty()).await.interrupts;
    bench.answer(json!(1)).await.unwrap();
    for wrong in ["00000000000000000000000000000000".to_owned(), id(&first[0])] {
        let error = bench.answer_by_id([(wrong, json!(9))]).await.unwrap_err();
        assert!(matches!(error, Error::UnknownInterrupt { .. }), "{error}");
    }
    assert_eq!(bench.trace.runs("a"), 2);
}

#[tokio::test]
async fn t102_an_empty_map_answers_nothing_but_an_empty_object_is_an_answer() {
    let bench = Lab::new("S -> a").with("a", asks("q", json!(1))).app();
    bench.invoke(empty()).await;
    let error = bench.answer_by_id([]).await.unwrap_err();
    assert!(matches!(
        error,
        Error::UnknownInterrupt { reason: mesh_graph::error::UnknownInterrupt::EmptyMap, .. }
    ));
    assert_eq!(log(&bench.answer(json!({})).await.unwrap()), ["{}"]);
}

#[tokio::test]
async fn t103_every_json_value_is_a_legal_answer() {
    for answer in [json!(null), json!(false), json!(0), json!(""), json!([1, 2]), json!({"k": 1})] {
        let bench = Lab::new("S -> a").with("a", asks("q", json!(1))).app();
        bench.invoke(empty()).await;
        assert_eq!(log(&bench.answer(answer.clone()).await.unwrap()), [text(&answer)]);
    }
}

fn two_ask_one_finishes() -> Bench {
    Lab::new("S -> a, b, k")
        .with("a", asks("q", json!("of a")))
        .with("b", asks("q", json!("of b")))
        .app()
}

#[tokio::test]
async fn t104_siblings_of_a_question_finish_and_keep_their_writes() {
    let bench = two_ask_one_finishes();
    assert_eq!(bench.invoke(empty()).await.interrupts.len(), 2);
    assert_eq!(bench.next().await, ["a", "b"]);
    assert_eq!(bench.log().await, ["k"]);
}

#[tokio::test]
async fn t105_one_answer_for_two_questions_is_ambiguous() {
    let bench = two_ask_one_finishes();
    bench.invoke(empty()).await;
    let error = bench.answer(json!(1)).await.unwrap_err();
    assert!(matches!(error, Error::AmbiguousResume { pending } if pending.len() == 2));
}

#[tokio::test]
async fn t106_an_unanswered_task_is_not_run_again() {
    let bench = two_ask_one_finishes();
    let asked = bench.invoke(empty()).await.interrupts;
    let outcome = bench.answer_by_id([(id(&asked[0]), json!("A"))]).await.unwrap();
    assert_eq!(outcome.interrupts, asked[1..]);
    assert_eq!((bench.trace.runs("a"), bench.trace.runs("b")), (2, 1));
}

#[tokio::test]
async fn t107_one_answer_is_enough_for_the_question_that_is_left() {
    let bench = two_ask_one_finishes();
    let asked = bench.invoke(empty()).await.interrupts;
    bench.answer_by_id([(id(&asked[0]), json!("A"))]).await.unwrap();
    let outcome = bench.answer(json!("B")).await.unwrap();
    assert_eq!(log(&outcome), ["A", "B", "k"]);
    assert_eq!((bench.trace.runs("b"), bench.trace.runs("k")), (2, 1));
}

fn fails_first(
    name: &'static str,
) -> impl Fn(View<S>, Ctx<Deps>) -> std::future::Ready<Result<crate::kit::SUpdate, NodeError>> {
    move |_, ctx| {
        std::future::ready(if ctx.deps().runs(name) == 1 {
            Err(NodeError::msg("once"))
        } else {
            Ok(S::update().push_log(name))
        })
    }
}

#[tokio::test]
async fn t108_a_failure_beside_a_question_leaves_the_question_pending() {
    let bench =
        Lab::new("S -> a, b").with("a", asks("q", json!(1))).with("b", fails_first("b")).app();
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(error.to_string(), "node `b` failed: once");
    let state = bench.app.state("t").await.unwrap();
    assert_eq!(state.next, ["a", "b"]);
    assert_eq!(state.interrupts.len(), 1);
    assert_eq!(bench.resume().await.interrupts, state.interrupts);
    assert_eq!((bench.trace.runs("a"), bench.trace.runs("b")), (1, 2));
}

#[tokio::test]
async fn t109_resuming_without_an_answer_runs_nothing() {
    let bench = Lab::new("S -> a").with("a", asks("q", json!(1))).app();
    let first = bench.invoke(empty()).await.interrupts;
    let before = bench.history().await;
    assert_eq!(bench.resume().await.interrupts, first);
    assert_eq!(bench.history().await, before);
    assert_eq!(bench.trace.runs("a"), 1);
}

#[tokio::test]
async fn t110_a_node_cannot_swallow_its_suspension() {
    let bench = Lab::new("S -> a")
        .with("a", |_, ctx| async move {
            let answer = ctx.interrupt::<Json>("q", "?").unwrap_or(json!("swallowed"));
            Ok(S::update().push_log(text(&answer)))
        })
        .app();
    assert_eq!(bench.invoke(empty()).await.status, Status::Interrupted);
    assert_eq!(log(&bench.answer(json!("asked")).await.unwrap()), ["asked"]);
}

#[tokio::test]
async fn t111_an_answer_finds_its_question_by_key_in_a_changed_branch() {
    static BOTH: AtomicBool = AtomicBool::new(true);
    let bench = Lab::new("S -> a")
        .with("a", |_, ctx| async move {
            if BOTH.load(Ordering::SeqCst) {
                ctx.interrupt::<Json>("name", "your name?")?;
            }
            let age = ctx.interrupt::<Json>("age", "your age?")?;
            Ok(S::update().push_log(text(&age)))
        })
        .app();
    let asked = bench.invoke(empty()).await.interrupts;
    BOTH.store(false, Ordering::SeqCst);
    let outcome = bench.answer(json!("Ann")).await.unwrap();
    assert_eq!(outcome.interrupts[0].value, "your age?", "`Ann` is no age");
    let outcome = bench.answer(json!(40)).await.unwrap();
    assert_eq!(log(&outcome), ["40"]);
    assert_eq!(outcome.warnings, [Warning::StaleAnswer { node: "a".into(), id: asked[0].id }]);
}

#[tokio::test]
async fn t112_update_resume_and_goto_share_a_superstep() {
    let bench = Lab::new("S -> a")
        .with("a", |s, ctx| async move {
            let answer = ctx.interrupt::<Json>("q", "?")?;
            Ok(S::update().extend_log(["a".into(), text(&answer), format!("{:?}", *s.x)]))
        })
        .with(
            "b",
            |s, _| async move { Ok(S::update().extend_log(["b".into(), format!("{:?}", *s.x)])) },
        )
        .app();
    bench.invoke(empty()).await;
    let command = Command {
        resume: Some(Resume::Only(json!("R"))),
        update: Some(json!({"log": ["upd"], "x": 5})),
        goto: vec![Goto::from("b")],
        ..Command::default()
    };
    let outcome = bench.app.command(command).thread("t").invoke().await.unwrap();
    assert_eq!(log(&outcome), ["upd", "a", "R", "Some(5)", "b", "Some(5)"]);
    let stored = bench.app.state("t").await.unwrap();
    assert_eq!(stored.json().unwrap(), outcome.json().unwrap(), "what a command wrote is stored");
}

#[tokio::test]
async fn several_commands_on_one_waiting_thread_are_all_kept() {
    let bench = Lab::new("S -> a").with("a", asks("q", json!(1))).app();
    bench.invoke(empty()).await;
    for update in [json!({"x": 1}), json!({"log": ["first"]}), json!({"log": ["second"]})] {
        let command = Command { update: Some(update), ..Command::default() };
        bench.app.command(command).thread("t").invoke().await.unwrap();
    }
    bench.answer(json!("A")).await.unwrap();
    let stored = bench.app.state("t").await.unwrap().json().unwrap();
    assert_eq!(stored, json!({"x": 1, "log": ["first", "second", "A"]}));
}

#[tokio::test]
async fn a_new_input_finds_what_a_command_wrote_before() {
    let bench = Lab::new("S -> a").with("a", asks("q", json!(1))).app();
    bench.invoke(empty()).await;
    let command = Command { update: Some(json!({"x": 7})), ..Command::default() };
    bench.app.command(command).thread("t").invoke().await.unwrap();
    bench.invoke(S::update().push_log("new turn")).await;
    let stored = bench.app.state("t").await.unwrap().json().unwrap();
    assert_eq!(stored, json!({"x": 7, "log": ["new turn"]}));
}

#[tokio::test]
async fn t113_a_goto_runs_beside_a_waiting_task() {
    let bench = Lab::new("S -> a").with("a", asks("q", json!(1))).also(["b"]).app();
    let asked = bench.invoke(empty()).await.interrupts;
    let command = Command { goto: vec![Goto::from("b")], ..Command::default() };
    let outcome = bench.app.command(command).thread("t").invoke().await.unwrap();
    assert_eq!(outcome.interrupts, asked);
    assert_eq!(bench.log().await, ["b"]);
    assert_eq!(bench.next().await, ["a"]);
    assert_eq!(log(&bench.answer(json!("A")).await.unwrap()), ["A", "b"]);
    assert_eq!((bench.trace.runs("a"), bench.trace.runs("b")), (2, 1));
}

fn answers_then_fails() -> Bench {
    Lab::new("S -> a")
        .with("a", |_, ctx| async move {
            let answer = ctx.interrupt::<Json>("q", "?")?;
            if ctx.deps().runs("a") == 2 {
                return Err(NodeError::msg("once"));
            }
            Ok(S::update().push_log(text(&answer)))
        })
        .app()
}

#[tokio::test]
async fn t114_an_answer_survives_a_later_failure() {
    let bench = answers_then_fails();
    bench.invoke(empty()).await;
    assert!(bench.answer(json!("A")).await.is_err());
    assert_eq!(log(&bench.resume().await), ["A"]);
}

#[tokio::test]
async fn t115_an_accepted_answer_cannot_be_given_again() {
    let bench = answers_then_fails();
    bench.invoke(empty()).await;
    assert!(bench.answer(json!("A")).await.is_err());
    assert!(matches!(bench.answer(json!("B")).await, Err(Error::NothingToResume)));
    assert_eq!(log(&bench.resume().await), ["A"]);
}

#[derive(Deserialize, JsonSchema)]
struct Decision {
    approve: bool,
}

#[tokio::test]
async fn t119_an_answer_that_does_not_fit_leaves_the_question_pending() {
    let bench = Lab::new("S -> a")
        .with("a", |_, ctx| async move {
            let decision: Decision = ctx.interrupt_checked("q", "publish?")?;
            Ok(S::update().push_log(decision.approve.to_string()))
        })
        .app();
    bench.invoke(empty()).await;
    let error = bench.answer(json!({"approve": "perhaps"})).await.unwrap_err();
    assert!(matches!(&error, Error::InvalidAnswer { .. }));
    assert!(error.to_string().contains("/approve"), "{error}");
    assert_eq!(bench.trace.runs("a"), 1);
    assert_eq!(bench.app.state("t").await.unwrap().interrupts.len(), 1);
    assert_eq!(log(&bench.answer(json!({"approve": true})).await.unwrap()), ["true"]);
}

#[tokio::test]
async fn t120_without_a_checkpointer_a_question_cannot_be_answered() {
    let bench = Bench::unsaved(&Lab::new("S -> a").with("a", asks("q", json!(1))).compile());
    let outcome = bench.app.run(empty()).invoke().await.unwrap();
    assert_eq!(outcome.status, Status::Interrupted);
    assert_eq!(outcome.checkpoint, None);
    let error = bench.app.answer(Resume::Only(json!(1))).invoke().await.unwrap_err();
    assert!(matches!(error, Error::NoCheckpointer));
}

#[tokio::test]
async fn t121_an_update_while_waiting_keeps_the_node_and_drops_the_question() {
    let bench = Lab::new("S -> a")
        .with("a", |s, ctx| async move {
            let answer = ctx.interrupt::<Json>("q", "?")?;
            Ok(S::update().extend_log([text(&answer), format!("{:?}", *s.x)]))
        })
        .app();
    bench.invoke(empty()).await;
    bench.app.update_state("t", mesh_graph::Patch::values(json!({"x": 8}))).await.unwrap();
    let state = bench.app.state("t").await.unwrap();
    assert_eq!(state.next, ["a"]);
    assert!(state.interrupts.is_empty());
    let asked = bench.resume().await.interrupts;
    assert_eq!(asked.len(), 1, "the node asks again in the new state");
    assert_eq!(log(&bench.answer(json!("now")).await.unwrap()), ["now", "Some(8)"]);
}

#[tokio::test]
async fn t122_an_update_as_the_waiting_node_counts_as_its_result() {
    let bench = Lab::new("S -> a; a -> b").with("a", asks("q", json!(1))).app();
    bench.invoke(empty()).await;
    let patch = mesh_graph::Patch::values(json!({"log": ["by hand"]})).as_node("a");
    bench.app.update_state("t", patch).await.unwrap();
    assert_eq!(log(&bench.resume().await), ["by hand", "b"]);
    assert_eq!(bench.trace.runs("a"), 1);
}

#[tokio::test]
async fn t123_breakpoints_stop_before_and_after() {
    let graph = Lab::new("S -> a; a -> b; b -> c").compile();
    let Bench { app, trace } = Bench::new(&graph);
    let app = app.break_before(at(&["b"])).unwrap().break_after(at(&["b"])).unwrap();
    let bench = Bench { app, trace };
    let (updates, outcome) = events(bench.run(empty()), Mode::Updates).await;
    assert_eq!(updates, [json!({"a": {"log": ["a"]}}), json!({"__interrupt__": []})]);
    assert_eq!(outcome.unwrap().status, Status::Interrupted);
    assert_eq!(bench.next().await, ["b"]);
    bench.resume().await;
    assert_eq!(bench.next().await, ["c"]);
    assert_eq!(log(&bench.resume().await), ["a", "b", "c"]);
}

#[tokio::test]
async fn t124_a_breakpoint_everywhere_runs_one_node_per_call() {
    let graph = Lab::new("S -> a; a -> b").compile();
    let Bench { app, trace } = Bench::new(&graph);
    let bench = Bench { app: app.break_before(Breakpoints::All).unwrap(), trace };
    bench.invoke(empty()).await;
    for expected in [vec!["a"], vec!["a", "b"]] {
        assert_eq!(log(&bench.resume().await), expected);
    }
}

#[tokio::test]
async fn t125_a_run_may_break_elsewhere() {
    let graph = Lab::new("S -> a; a -> b").compile();
    let Bench { app, trace } = Bench::new(&graph);
    let bench = Bench { app: app.break_before(at(&["a"])).unwrap(), trace };
    let outcome = bench.run(empty()).break_before(at(&["b"])).invoke().await.unwrap();
    assert_eq!(log(&outcome), ["a"]);
}

#[tokio::test]
async fn t126_an_update_at_a_breakpoint_does_not_stop_there_again() {
    let bench = Lab::new("S -> a; a -> b").app();
    bench.run(empty()).break_before(at(&["b"])).invoke().await.unwrap();
    bench.app.update_state("t", mesh_graph::Patch::values(json!({"x": 1}))).await.unwrap();
    let run = bench.app.resume().thread("t").break_before(at(&["b"]));
    assert_eq!(log(&run.invoke().await.unwrap()), ["a", "b"]);
}

#[tokio::test]
async fn t127_without_a_checkpointer_a_breakpoint_is_an_early_stop() {
    let bench = Bench::unsaved(&Lab::new("S -> a; a -> b").compile());
    let outcome = bench.app.run(empty()).break_before(at(&["b"])).invoke().await.unwrap();
    assert_eq!((outcome.status, log(&outcome)), (Status::Interrupted, vec!["a".to_owned()]));
}

#[tokio::test]
async fn t128_a_breakpoint_before_sends_keeps_all_of_them() {
    let bench = Lab::new("")
        .route(START, |_| vec![Send::state("w", S::update()), Send::state("w", S::update())])
        .also(["w"])
        .app();
    bench.run(empty()).break_before(at(&["w"])).invoke().await.unwrap();
    assert_eq!(bench.next().await, ["w", "w"]);
    assert_eq!(log(&bench.resume().await), ["w", "w"]);
}

#[tokio::test]
async fn t129_several_questions_can_be_pending_at_once() {
    let bench = Lab::new("S -> a")
        .with("a", |_, ctx| async move {
            let answers = ctx.interrupt_all(&[("one", "1?"), ("two", "2?")])?;
            Ok(S::update().extend_log(answers.iter().map(text)))
        })
        .app();
    let asked = bench.invoke(empty()).await.interrupts;
    assert_eq!(asked.len(), 2);
    let answers = [(id(&asked[0]), json!("1")), (id(&asked[1]), json!("2"))];
    assert_eq!(log(&bench.answer_by_id(answers).await.unwrap()), ["1", "2"]);
    assert_eq!(bench.trace.runs("a"), 2);

    // So they are when two futures of one node ask, each under its key.
    let bench = Lab::new("S -> a")
        .with("a", |_, ctx| async move {
            let ask = async |key: &str| {
                tokio::task::yield_now().await;
                ctx.interrupt::<Json>(key, key)
            };
            let (one, two) = tokio::join!(ask("one"), ask("two"));
            Ok(S::update().extend_log([text(&one?), text(&two?)]))
        })
        .app();
    let asked = bench.invoke(empty()).await.interrupts;
    let of = |key: &str| id(asked.iter().find(|one| one.value == key).unwrap());
    assert_eq!(asked.len(), 2);
    let answers = [(of("two"), json!("2")), (of("one"), json!("1"))];
    assert_eq!(log(&bench.answer_by_id(answers).await.unwrap()), ["1", "2"]);
    assert_eq!(bench.trace.runs("a"), 2);
}

#[tokio::test]
async fn t130_only_the_interrupted_send_runs_again() {
    let bench = Lab::new("")
        .with("w", |s, ctx| async move {
            let x = s.x.unwrap_or(0);
            if x == 2 {
                ctx.interrupt::<Json>("q", "two?")?;
            }
            Ok(S::update().push_log(x.to_string()))
        })
        .route(START, |_| {
            (1..=3).map(|x| Send::state("w", S::update().x(Some(x)))).collect::<Vec<_>>()
        })
        .app();
    bench.invoke(empty()).await;
    assert_eq!(log(&bench.answer(json!(true)).await.unwrap()), ["1", "2", "3"]);
    assert_eq!(bench.trace.runs("w"), 4);
}

#[tokio::test]
async fn a_question_asked_twice_under_one_key_is_a_mistake() {
    let bench = Lab::new("S -> a")
        .with("a", |_, ctx| async move {
            ctx.interrupt::<Json>("q", "?")?;
            ctx.interrupt::<Json>("q", "again?")?;
            Ok(Step::<S>::none().goto(END))
        })
        .app();
    bench.invoke(empty()).await;
    let error = bench.answer(json!(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "node `a` failed: the task asked `q` before");
}
