//! G. State API and time travel.

use expect_test::expect;
use mesh_graph::{
    CheckpointId, Error, FailureKind, Graph, NodeError, Patch, Resolution, START, Status,
    checkpoint::Source, checkpointer::Filter,
};
use serde_json::{Value as Json, json};

use crate::kit::{Bench, Deps, Lab, S, asks, at, empty, fails_once, log, values};

/// The checkpoint whose next nodes are these; the newest one, if several.
async fn waiting_for(bench: &Bench, next: &[&str]) -> CheckpointId {
    let history = bench.app.history("t", &Filter::default()).await.unwrap();
    history.iter().find(|snapshot| snapshot.next == next).unwrap().checkpoint.unwrap()
}

#[tokio::test]
async fn t152_unknown_threads_are_empty_and_unknown_checkpoints_are_errors() {
    let bench = Lab::new("S -> a").app();
    let state = bench.app.state("nobody").await.unwrap();
    assert_eq!((state.json().unwrap(), state.next.len()), (json!({}), 0));
    assert_eq!(state.checkpoint, None);
    bench.invoke(empty()).await;
    let nowhere = CheckpointId(4711 << 64);
    assert_eq!(bench.app.state_at("t", nowhere).await.unwrap().checkpoint, None);
    let error = bench.app.resume().thread("t").at(nowhere).invoke().await.unwrap_err();
    assert!(matches!(error, Error::UnknownCheckpoint { .. }));
}

fn ok_and_bad() -> Bench {
    Lab::new("S -> bad, ok; ok -> after; bad -> after")
        .with("bad", |_, ctx| async move {
            if ctx.deps().runs("bad") == 1 {
                return Err(NodeError::msg("once"));
            }
            Ok(S::update().push_log("bad"))
        })
        .app()
}

#[tokio::test]
async fn t153_the_live_view_shows_finished_siblings_and_history_shows_results() {
    let bench = ok_and_bad();
    assert!(bench.run(empty()).invoke().await.is_err());
    let live = bench.app.state("t").await.unwrap();
    assert_eq!((live.json().unwrap(), &live.next), (values(&["ok"]), &vec!["bad".to_owned()]));
    let stored = bench.app.state_at("t", live.checkpoint.unwrap()).await.unwrap();
    assert_eq!(stored.json().unwrap(), values(&[]));
    assert_eq!(stored.next, ["bad", "ok"]);
    assert_eq!(stored.tasks[0].error.as_ref().unwrap().message, "once");
    assert_eq!(stored.tasks[1].result, Some(values(&["ok"])));
}

async fn stopped_after_a() -> Bench {
    let bench = Lab::new("S -> a; a -> b; b -> c").app();
    bench.run(empty()).break_after(at(&["a"])).invoke().await.unwrap();
    bench
}

#[tokio::test]
async fn t154_an_update_counts_as_the_result_of_the_last_node() {
    let bench = stopped_after_a().await;
    bench.app.update_state("t", Patch::values(values(&["u"]))).await.unwrap();
    let state = bench.app.state("t").await.unwrap();
    assert_eq!((state.source, &state.next[..]), (Some(Source::Update), &["b".to_owned()][..]));
    assert_eq!(state.json().unwrap(), values(&["a", "u"]));
    assert_eq!(log(&bench.resume().await), ["a", "u", "b", "c"]);
}

#[tokio::test]
async fn t155_an_update_names_what_it_does_not_know() {
    let bench = stopped_after_a().await;
    let before = bench.history().await;
    let node = Patch::values(values(&["u"])).as_node("zz");
    let error = bench.app.update_state("t", node).await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::UnknownTarget { target: "zz".into() }));
    let error = bench.app.update_state("t", Patch::values(json!({"zz": 1}))).await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::UnknownKey { key: "zz".into() }));
    assert_eq!(bench.history().await, before);
}

#[tokio::test]
async fn t156_updates_without_values_follow_edges_or_clear_what_is_pending() {
    let bench = stopped_after_a().await;
    bench.app.update_state("t", Patch::none().as_node("b")).await.unwrap();
    assert_eq!(bench.next().await, ["c"]);
    bench.app.update_state("t", Patch::none().as_node("__end__")).await.unwrap();
    assert_eq!(bench.next().await, Vec::<String>::new());
    assert_eq!(bench.app.state("t").await.unwrap().source, Some(Source::Update));
    let end = Patch::values(values(&["u"])).as_node("__end__");
    assert!(bench.app.update_state("t", end).await.is_err());
}

#[tokio::test]
async fn t157_an_update_as_input_is_a_new_input() {
    let bench = stopped_after_a().await;
    bench.app.update_state("t", Patch::values(values(&["i"])).as_node("__input__")).await.unwrap();
    let state = bench.app.state("t").await.unwrap();
    assert_eq!(
        (state.source, &state.next[..]),
        (Some(Source::Input), &["__start__".to_owned()][..])
    );
    assert_eq!(log(&bench.resume().await), ["a", "i", "a", "b", "c"]);
}

#[tokio::test]
async fn t158_an_update_of_a_fresh_thread_speaks_for_start() {
    let bench = Lab::new("S -> a; a -> b").app();
    bench.app.update_state("t", Patch::values(values(&["u"]))).await.unwrap();
    assert_eq!(bench.next().await, ["a"]);
    assert_eq!(log(&bench.resume().await), ["u", "a", "b"]);
}

#[tokio::test]
async fn t159_an_update_after_two_nodes_needs_a_name() {
    let bench = Lab::new("S -> a, b").app();
    bench.invoke(empty()).await;
    let error = bench.app.update_state("t", Patch::values(values(&["u"]))).await.unwrap_err();
    assert_eq!(error.to_string(), "several nodes ran last (a, b): say as which node to update");
}

#[tokio::test]
async fn t160_an_update_runs_the_router_on_the_updated_state() {
    let bench = Lab::new("S -> a")
        .route("a", |s| if s.x == Some(3) { "c" } else { "b" })
        .also(["b", "c"])
        .app();
    bench.app.update_state("t", Patch::values(json!({"x": 3})).as_node("a")).await.unwrap();
    assert_eq!(bench.next().await, ["c"]);
}

#[tokio::test]
async fn t161_a_bulk_update_is_a_checkpoint_per_superstep() {
    let bench = Lab::new("S -> a; a -> b; b -> c").app();
    let update = |node: &str| Patch::values(values(&[node])).as_node(node);
    let steps = vec![
        vec![Patch::values(values(&["i"])).as_node("__input__")],
        vec![update("a"), update("b")],
        vec![update("b")],
    ];
    bench.app.bulk_update("t", None, steps).await.unwrap();
    expect![[r#"
        1 update [c]
        0 update [b,c]
        -1 input [__start__]"#]]
    .assert_eq(&bench.history().await);
    let history = bench.app.history("t", &Filter::default()).await.unwrap();
    assert_eq!(history[1].tasks[0].result, Some(values(&["b"])));
    assert!(bench.app.bulk_update("t", None, vec![]).await.is_err());
    assert!(bench.app.bulk_update("t", None, vec![vec![]]).await.is_err());
    let nameless = vec![vec![Patch::none(), update("a")]];
    let error = bench.app.bulk_update("t", None, nameless).await.unwrap_err();
    assert!(error.to_string().contains("as_node"), "{error}");
}

#[tokio::test]
async fn t162_a_replay_runs_what_comes_after_and_becomes_the_head() {
    let bench = Lab::new("S -> a; a -> b; b -> c").app();
    bench.invoke(empty()).await;
    let at = waiting_for(&bench, &["b"]).await;
    bench.app.resume().thread("t").at(at).invoke().await.unwrap();
    let counts = ["a", "b", "c"].map(|node| bench.trace.runs(node));
    assert_eq!(counts, [1, 2, 2]);
    let history = bench.app.history("t", &Filter::default()).await.unwrap();
    let branch: Vec<_> =
        history[..3].iter().map(|s| (s.step.unwrap(), s.source.unwrap())).collect();
    assert_eq!(branch, [(4, Source::Loop), (3, Source::Loop), (2, Source::Fork)]);
    assert_eq!(history[2].parent, Some(at));
    assert_eq!(bench.log().await, ["a", "b", "c"]);
}

#[tokio::test]
async fn t163_a_replay_of_a_finished_checkpoint_writes_nothing() {
    let bench = Lab::new("S -> a").app();
    let end = bench.invoke(empty()).await.checkpoint.unwrap();
    let before = bench.history().await;
    let outcome = bench.app.resume().thread("t").at(end).invoke().await.unwrap();
    assert_eq!((outcome.status, log(&outcome)), (Status::Done, vec!["a".to_owned()]));
    assert_eq!(bench.history().await, before);
}

#[tokio::test]
async fn t164_a_new_input_at_an_old_checkpoint_is_a_branch() {
    let bench = Lab::new("S -> a").app();
    let first = bench.invoke(S::update().push_log("i1")).await.checkpoint.unwrap();
    bench.invoke(S::update().push_log("i2")).await;
    let run = bench.run(S::update().push_log("i3")).at(first);
    assert_eq!(log(&run.invoke().await.unwrap()), ["i1", "a", "i3", "a"]);
    let old = bench.app.history("t", &Filter::default()).await.unwrap();
    let branch = |log: Json| old.iter().any(|snapshot| snapshot.json().unwrap() == log);
    assert!(branch(values(&["i1", "a", "i2", "a"])));
    assert!(branch(values(&["i1", "a", "i3", "a"])));
}

#[tokio::test]
async fn t165_an_edited_checkpoint_runs_on_without_a_second_fork() {
    let bench = Lab::new("S -> a; a -> b; b -> c").app();
    bench.invoke(empty()).await;
    let at = waiting_for(&bench, &["b"]).await;
    let patch = Patch::values(values(&["F"])).as_node("a").at(at);
    let edited = bench.app.update_state("t", patch).await.unwrap();
    let outcome = bench.app.resume().thread("t").at(edited).invoke().await.unwrap();
    assert_eq!(log(&outcome), ["a", "F", "b", "c"]);
    assert!(!bench.history().await.contains("fork"));
}

#[tokio::test]
async fn t166_a_copy_is_a_sibling() {
    let bench = Lab::new("S -> a; a -> b").app();
    bench.invoke(empty()).await;
    let original = waiting_for(&bench, &["b"]).await;
    let copy = Patch::none().as_node("__copy__").at(original);
    let copy = bench.app.update_state("t", copy).await.unwrap();
    let (original, copy) = (
        bench.app.state_at("t", original).await.unwrap(),
        bench.app.state_at("t", copy).await.unwrap(),
    );
    assert_eq!(copy.parent, original.parent);
    assert_eq!(copy.source, Some(Source::Fork));
    assert_eq!(copy.json().unwrap(), original.json().unwrap());
    assert_eq!(copy.next, original.next);
}

#[tokio::test]
async fn t167_a_replay_before_an_answered_question_asks_anew() {
    let bench = Lab::new("S -> a").with("a", asks("q", json!(1))).app();
    let first = bench.invoke(empty()).await.interrupts;
    bench.answer(json!("old")).await.unwrap();
    let at = waiting_for(&bench, &["a"]).await;
    let outcome = bench.app.resume().thread("t").at(at).invoke().await.unwrap();
    assert_eq!(outcome.status, Status::Interrupted);
    assert_ne!(outcome.interrupts[0].id, first[0].id);
    let old = bench.app.state_at("t", at).await.unwrap();
    assert_eq!(old.tasks[0].interrupts, first);
    assert_eq!(old.tasks[0].result, Some(values(&["old"])));
}

#[tokio::test]
async fn t168_a_new_answer_to_an_answered_question_is_a_fork() {
    let bench = Lab::new("S -> a").with("a", asks("q", json!(1))).app();
    bench.invoke(empty()).await;
    bench.answer(json!("old")).await.unwrap();
    let at = waiting_for(&bench, &["a"]).await;
    let again = mesh_graph::Resume::Only(json!("new"));
    let outcome = bench.app.answer(again).thread("t").at(at).invoke().await.unwrap();
    assert_eq!(log(&outcome), ["new"]);
    assert!(bench.history().await.contains("fork"));
}

#[tokio::test]
async fn t169_an_update_for_a_failed_node_keeps_what_its_sibling_gave() {
    let bench = ok_and_bad();
    assert!(bench.run(empty()).invoke().await.is_err());
    let patch = Patch::values(values(&["by hand"])).as_node("bad");
    bench.app.update_state("t", patch).await.unwrap();
    let state = bench.app.state("t").await.unwrap();
    assert_eq!(state.json().unwrap(), values(&["ok", "by hand"]));
    assert_eq!(state.next, ["after"]);
    assert_eq!(log(&bench.resume().await), ["ok", "by hand", "after"]);
    assert_eq!(bench.trace.runs("ok"), 1);
}

#[tokio::test]
async fn t170_a_resolved_task_counts_as_finished_and_its_siblings_still_run() {
    let two_fail = || {
        Lab::new("S -> bad, worse; bad -> after; worse -> after")
            .with("bad", fails_once())
            .with("worse", fails_once())
            .app()
    };
    for (resolution, expected) in [
        (Resolution::Update(values(&["by hand"])), &["by hand", "worse", "after"][..]),
        (Resolution::Skip, &["worse", "after"][..]),
    ] {
        let bench = two_fail();
        assert!(bench.run(empty()).invoke().await.is_err());
        let tasks = bench.app.state("t").await.unwrap().tasks;
        assert!(tasks.iter().all(|task| task.error.is_some()));
        bench.app.resolve_task("t", tasks[0].id, resolution.clone()).await.unwrap();
        let state = bench.app.state("t").await.unwrap();
        assert_eq!((&state.next[..], &state.tasks[0].error), (&["worse".to_owned()][..], &None));
        let twice = bench.app.resolve_task("t", tasks[0].id, resolution).await.unwrap_err();
        assert!(matches!(twice, Error::InvalidStateUpdate(_)), "{twice}");
        assert_eq!(log(&bench.resume().await), expected);
        assert_eq!(["bad", "worse"].map(|node| bench.trace.runs(node)), [1, 2]);
    }
}

#[tokio::test]
async fn what_cannot_be_the_result_of_a_task_resolves_nothing() {
    let bench = ok_and_bad();
    assert!(bench.run(empty()).invoke().await.is_err());
    let task = bench.app.state("t").await.unwrap().tasks[0].id;
    for (task, resolution) in [
        (task, Resolution::Update(json!({"zzz": 1}))),
        (task, Resolution::Update(json!(5))),
        (mesh_graph::TaskId(4711), Resolution::Skip),
    ] {
        let error = bench.app.resolve_task("t", task, resolution).await.unwrap_err();
        assert!(matches!(error, Error::InvalidStateUpdate(_)), "{error}");
    }
    assert_eq!(bench.next().await, ["bad"]);
}

#[tokio::test]
async fn t171_a_replay_before_a_mounted_graph_starts_it_anew() {
    let child = Lab::new("S -> c1; c1 -> c2").with("c2", asks("q", json!("child?"))).compile();
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.mount(
        "sub",
        &child,
        |_| S::update(),
        |child| S::update().extend_log(child.log.iter().cloned()),
    );
    graph.edge(START, "sub");
    let bench = Bench::new(&graph.compile().unwrap());
    let first = bench.invoke(empty()).await.interrupts;
    assert_eq!(log(&bench.answer(json!("one")).await.unwrap()), ["c1", "one"]);
    assert_eq!(bench.trace.runs("c1"), 1);
    let at = waiting_for(&bench, &["sub"]).await;
    let outcome = bench.app.resume().thread("t").at(at).invoke().await.unwrap();
    assert_eq!(outcome.status, Status::Interrupted);
    assert_ne!(outcome.interrupts[0].id, first[0].id);
    assert_eq!(bench.trace.runs("c1"), 2);
    assert_eq!(log(&bench.answer(json!("two")).await.unwrap()), ["c1", "two"]);
}
