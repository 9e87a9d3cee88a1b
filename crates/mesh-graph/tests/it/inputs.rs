//! D. Inputs.

use mesh_graph::{Command, Error, FailureKind, Goto, OnPending, Resume, Status};
use serde_json::json;

use crate::kit::{Bench, Lab, S, asks, empty, fails_once, log};

fn update(log: &str) -> Command {
    Command { update: Some(json!({ "log": [log] })), ..Command::default() }
}

fn goto(node: &str) -> Command {
    Command { goto: vec![Goto::from(node)], ..Command::default() }
}

#[tokio::test]
async fn t079_a_new_thread_without_an_input_has_nothing_to_run() {
    let bench = Lab::new("S -> a").app();
    let error = bench.app.resume().thread("t").invoke().await.unwrap_err();
    assert!(matches!(error, Error::EmptyInput), "{error}");
    assert_eq!(bench.history().await, "");
}

#[tokio::test]
async fn t080_an_empty_input_is_an_input() {
    let bench = Lab::new("S -> a").app();
    let outcome = bench.app.run_json(json!({})).thread("t").invoke().await.unwrap();
    assert_eq!(log(&outcome), ["a"]);
}

#[tokio::test]
async fn t081_an_unknown_key_is_named_and_nothing_is_stored() {
    let bench = Lab::new("S -> a").app();
    let error = bench.app.run_json(json!({"zzz": 1})).thread("t").invoke().await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::UnknownKey { key: "zzz".into() }));
    assert_eq!(
        error.to_string(),
        "invalid input: there is no state key `zzz`; the keys are x, log"
    );
    assert_eq!(bench.history().await, "");
}

#[tokio::test]
async fn t082_an_input_that_is_no_object_is_refused() {
    let bench = Lab::new("S -> a").app();
    for input in [json!(5), json!(null), json!([1]), json!("x")] {
        let error = bench.app.run_json(input).thread("t").invoke().await.unwrap_err();
        assert_eq!(error.failure_kind(), Some(&FailureKind::InvalidUpdate));
    }
    let error = bench.app.run_json(json!({"x": "one"})).thread("t").invoke().await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::BadValue { key: "x".into() }));
}

#[tokio::test]
async fn t083_a_command_as_first_input_runs_from_start() {
    let both = Command { goto: vec![Goto::from("b")], ..update("u") };
    for (command, expected) in
        [(update("u"), vec!["u", "a"]), (goto("b"), vec!["a", "b"]), (both, vec!["u", "a", "b"])]
    {
        let bench = Lab::new("S -> a").also(["b"]).app();
        let outcome = bench.app.command(command).thread("t").invoke().await.unwrap();
        assert_eq!(log(&outcome), expected);
    }
}

#[tokio::test]
async fn t084_an_answer_on_a_new_or_finished_thread_has_nothing_to_resume() {
    let bench = Lab::new("S -> a").app();
    assert!(matches!(bench.answer(json!(1)).await, Err(Error::NothingToResume)));
    bench.invoke(empty()).await;
    assert!(matches!(bench.answer(json!(1)).await, Err(Error::NothingToResume)));
    assert_eq!(bench.trace.runs("a"), 1);
}

#[tokio::test]
async fn t085_without_a_checkpointer_nothing_can_be_resumed() {
    let bench = Bench::unsaved(&Lab::new("S -> a").compile());
    assert!(matches!(bench.app.resume().invoke().await, Err(Error::EmptyInput)));
    let answer = bench.app.answer(Resume::Only(json!(1))).invoke().await;
    assert!(matches!(answer, Err(Error::NoCheckpointer)));
}

#[tokio::test]
async fn t086_a_command_without_content_is_an_empty_input() {
    let bench = Lab::new("S -> a").app();
    let nothing = || bench.app.command(Command::default()).thread("t").invoke();
    assert!(matches!(nothing().await, Err(Error::EmptyInput)));
    bench.invoke(empty()).await;
    assert!(matches!(nothing().await, Err(Error::EmptyInput)));
}

#[tokio::test]
async fn t087_a_checkpointer_needs_to_know_the_thread() {
    let bench = Lab::new("S -> a").app();
    let error = bench.app.run(empty()).invoke().await.unwrap_err();
    assert!(matches!(error, Error::MissingThreadId), "{error}");
}

#[tokio::test]
async fn t088_resuming_a_finished_thread_gives_its_state_and_writes_nothing() {
    let bench = Lab::new("S -> a").app();
    bench.invoke(empty()).await;
    let before = bench.history().await;
    let outcome = bench.resume().await;
    assert_eq!((outcome.status, log(&outcome)), (Status::Done, vec!["a".to_owned()]));
    assert_eq!(bench.history().await, before);
    assert_eq!(bench.trace.runs("a"), 1);
}

#[tokio::test]
async fn t089_a_goto_on_a_finished_thread_runs_on_the_kept_state() {
    let bench = Lab::new("S -> a; a -> b").app();
    bench.invoke(S::update().x(Some(7))).await;
    let outcome = bench.app.command(goto("a")).thread("t").invoke().await.unwrap();
    assert_eq!(log(&outcome), ["a", "b", "a", "b"]);
    assert_eq!(outcome.state().x, Some(7));
    let history = bench.history().await;
    assert!(history.starts_with("5 loop []\n4 loop [b]\n3 update [a]\n2 loop []"), "{history}");
}

#[tokio::test]
async fn t090_an_update_on_a_finished_thread_is_a_checkpoint() {
    let bench = Lab::new("S -> a").app();
    bench.invoke(empty()).await;
    let nine = Command { update: Some(json!({"x": 9})), ..Command::default() };
    let outcome = bench.app.command(nine).thread("t").invoke().await.unwrap();
    assert_eq!(outcome.state().x, Some(9));
    assert_eq!(bench.app.state("t").await.unwrap().state().x, Some(9));
    assert!(bench.history().await.starts_with("2 update []\n1 loop []"));
    assert_eq!(bench.trace.runs("a"), 1);
}

#[tokio::test]
async fn t091_a_second_turn_builds_on_the_first() {
    let bench = Lab::new("S -> a").app();
    bench.invoke(S::update().x(Some(1))).await;
    let outcome = bench.invoke(S::update().push_log("j")).await;
    assert_eq!(log(&outcome), ["a", "j", "a"]);
    assert_eq!(outcome.state().x, Some(1));
}

#[tokio::test]
async fn t092_a_new_input_discards_an_unfinished_step() {
    let bench = Lab::new("S -> ok, bad").with("bad", fails_once()).app();
    assert!(bench.run(empty()).invoke().await.is_err());
    let outcome = bench.invoke(S::update().push_log("again")).await;
    assert_eq!(log(&outcome), ["again", "bad", "ok"]);
    assert_eq!((bench.trace.runs("ok"), bench.trace.runs("bad")), (2, 2));
    let history = bench.history().await;
    assert_eq!(
        history,
        "3 loop []\n2 loop [bad,ok]\n1 input [__start__]\n0 loop [bad,ok]\n-1 input [__start__]"
    );
}

#[tokio::test]
async fn t093_a_new_input_may_be_refused_or_keep_what_has_finished() {
    let bench = Lab::new("S -> ok, bad; ok -> after").with("bad", fails_once()).app();
    assert!(bench.run(empty()).invoke().await.is_err());
    let before = bench.history().await;
    let again = || bench.run(S::update().push_log("again"));
    let error = again().on_pending(OnPending::Reject).invoke().await.unwrap_err();
    assert!(matches!(&error, Error::PendingTasks { nodes } if *nodes == ["bad", "ok"]), "{error}");
    assert_eq!(bench.history().await, before);
    // The write of `ok` stays; that it led to `after` is forgotten until it runs anew.
    let outcome = again().on_pending(OnPending::KeepFinished).invoke().await.unwrap();
    assert_eq!(log(&outcome), ["ok", "again", "bad", "ok", "after"]);
    assert_eq!(bench.log().await, log(&outcome));
    assert_eq!((bench.trace.runs("ok"), bench.trace.runs("bad")), (2, 2));
    // A finished thread has nothing pending.
    assert!(again().on_pending(OnPending::Reject).invoke().await.is_ok());
}

#[tokio::test]
async fn what_an_input_keeps_is_stored_with_it() {
    let bench = Lab::new("S -> ok, bad").with("bad", fails_once()).app();
    assert!(bench.run(empty()).invoke().await.is_err());
    let stopped = bench.run(empty()).on_pending(OnPending::KeepFinished);
    stopped.break_before(crate::kit::at(&["bad"])).invoke().await.unwrap();
    let history = bench.app.history("t", &mesh_graph::checkpointer::Filter::default()).await;
    let logs: Vec<_> = history.unwrap().iter().map(|one| one.state().log.clone()).collect();
    assert_eq!(logs, [vec!["ok"], vec!["ok"], vec![], vec![]]);
}

#[tokio::test]
async fn t094_a_new_input_on_an_interrupted_thread_starts_over() {
    let bench = Lab::new("S -> p; p -> a").with("a", asks("q", json!(1))).app();
    let first = bench.invoke(empty()).await.interrupts;
    let second = bench.invoke(empty()).await.interrupts;
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first[0].id, second[0].id);
    assert_eq!((bench.trace.runs("p"), bench.trace.runs("a")), (2, 2));
}

#[tokio::test]
async fn t095_a_run_id_sent_again_resumes_instead_of_taking_its_input_twice() {
    let bench = Lab::new("S -> p; p -> bad").with("bad", fails_once()).app();
    let call = || bench.run(S::update().push_log("in")).run_id("call-1").invoke();
    assert!(call().await.is_err());
    assert_eq!(log(&call().await.unwrap()), ["in", "p", "bad"]);
    assert_eq!(bench.trace.runs("p"), 1);
}
