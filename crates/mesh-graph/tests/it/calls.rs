//! H. Graphs called inside a node.

use std::sync::Arc;

use mesh_graph::{
    Checkpointer, Compiled, FailureKind, Graph, MemoryCheckpointer, START, Send, Status, Step,
    View, checkpoint::Place,
};
use serde_json::json;

use crate::kit::{Bench, Deps, Lab, S, asks, at, empty, fails_once, log};

/// A graph whose node `n` calls the child as often as said and takes over its lists.
fn calls(child: Compiled<S, Deps>, times: usize) -> Compiled<S, Deps> {
    Lab::new("S -> n")
        .with("n", move |_, ctx| {
            let child = child.clone();
            async move {
                let mut update = S::update();
                for _ in 0..times {
                    let done = ctx.call(&child, S::update()).await?;
                    update = update.extend_log(done.log.iter().cloned());
                }
                Ok(update)
            }
        })
        .compile()
}

/// Whether something is stored in this namespace of thread `t`.
async fn stored(checkpointer: &Arc<dyn Checkpointer>, ns: &str) -> bool {
    let place = Place { thread: "t".to_owned(), ns: ns.to_owned() };
    checkpointer.load(&place, None).await.unwrap().is_some()
}

#[tokio::test]
async fn t178_a_called_graph_that_asks_goes_on_as_its_state_is_kept() {
    let child = Lab::new("S -> c1; c1 -> c2; c2 -> c3")
        .with("c2", asks("q", json!("?")))
        .with("c3", asks("q", json!("and?")))
        .compile();
    let kept = [
        (child.clone(), (true, false), 1),
        (child.clone().per_thread(), (false, true), 1),
        (child.unsaved(), (false, false), 3),
    ];
    for (child, namespaces, starts) in kept {
        let checkpointer: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::encoding());
        let bench = Bench::on(&calls(child, 1), Arc::clone(&checkpointer));
        let asked = bench.invoke(empty()).await;
        assert_eq!((asked.status, asked.interrupts.len()), (Status::Interrupted, 1));
        let task = bench.app.state("t").await.unwrap().tasks[0].id;
        bench.answer(json!("yes")).await.unwrap();
        let outcome = bench.answer(json!("no")).await.unwrap();
        assert_eq!(log(&outcome), ["c1", "yes", "no"]);
        assert_eq!(bench.trace.runs("c1"), starts);
        assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
        let found =
            (stored(&checkpointer, &format!("n:{task}")).await, stored(&checkpointer, "n").await);
        assert_eq!(found, namespaces);
    }
}

#[tokio::test]
async fn t180_calls_of_one_node_have_namespaces_of_their_own() {
    let child = Lab::new("S -> c").compile();
    for (child, per_thread) in [(child.clone(), false), (child.per_thread(), true)] {
        let checkpointer: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::encoding());
        let bench = Bench::on(&calls(child, 2), Arc::clone(&checkpointer));
        bench.run(empty()).break_before(at(&["n"])).invoke().await.unwrap();
        let task = bench.app.state("t").await.unwrap().tasks[0].id;
        assert_eq!(log(&bench.resume().await), ["c", "c"]);
        let first = if per_thread { "n".to_owned() } else { format!("n:{task}") };
        assert!(stored(&checkpointer, &first).await);
        assert!(stored(&checkpointer, &format!("{first}|1")).await);
        assert!(!stored(&checkpointer, &format!("{first}|2")).await);
    }
}

#[tokio::test]
async fn t181_two_tasks_of_one_superstep_cannot_share_a_per_thread_state() {
    let sends = |instance: fn(&str) -> String| {
        let child = Lab::new("S -> c").compile().per_thread();
        let mut graph = Graph::<S, Deps>::new("parent");
        graph.node("n", move |s: View<S>, ctx: mesh_graph::Ctx<Deps>| {
            let child = child.clone();
            async move {
                let call = ctx.call(&child, S::update().push_log(s.log[0].as_str()));
                let done = call.instance(&instance(&s.log[0])).await?;
                Ok(S::update().push_log(done.log.join("+")))
            }
        });
        graph.route(START, |_| {
            ["a", "b"].map(|entry| Send::state("n", S::update().push_log(entry))).to_vec()
        });
        Bench::new(&graph.compile().unwrap())
    };
    let bench = sends(|_| "same".to_owned());
    let error = bench.run(empty()).invoke().await.unwrap_err();
    let busy = FailureKind::InstanceBusy { instance: "same".to_owned() };
    assert_eq!(error.failure_kind(), Some(&busy));
    // Not even once the other one has finished: both would go on from the same state.
    let error = bench.app.resume().thread("t").invoke().await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&busy));

    let bench = sends(|entry| format!("of-{entry}"));
    assert_eq!(log(&bench.invoke(empty()).await), ["a+c", "b+c"]);
    let second = ["a+c", "b+c", "a+c+a+c", "b+c+b+c"];
    assert_eq!(log(&bench.invoke(empty()).await), second);
}

#[tokio::test]
async fn a_call_that_finished_is_not_run_again_when_a_later_one_fails() {
    let first = Lab::new("S -> first").compile();
    let second = Lab::new("S -> s1; s1 -> s2").with("s2", fails_once()).compile();
    let bench = Lab::new("S -> n")
        .with("n", move |_, ctx| {
            let (first, second) = (first.clone(), second.clone());
            async move {
                // The order of the calls changes between the executions; their keys do not.
                let (one, two) = if ctx.deps().runs("n") == 1 {
                    let one = ctx.call(&first, S::update()).key("one").await?;
                    (one, ctx.call(&second, S::update()).key("two").await?)
                } else {
                    let two = ctx.call(&second, S::update()).key("two").await?;
                    (ctx.call(&first, S::update()).key("one").await?, two)
                };
                let both = one.log.iter().chain(two.log.iter()).cloned();
                Ok(S::update().extend_log(both))
            }
        })
        .app();
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(error.root_cause().to_string(), "node `s2` failed: once");
    assert_eq!(log(&bench.resume().await), ["first", "s1", "s2"]);
    let runs = ["n", "first", "s1", "s2"].map(|node| bench.trace.runs(node));
    assert_eq!(runs, [2, 1, 1, 2]);
}

#[tokio::test]
async fn a_command_to_the_parent_ends_the_node_that_called() {
    let child = Lab::new("S -> c")
        .with("c", |_, _| async {
            Ok(Step::<S>::update(S::update().push_log("K")).goto("b").parent::<S>())
        })
        .compile();
    let bench = Lab::new("S -> n")
        .also(["b"])
        .with("n", move |_, ctx| {
            let child = child.clone();
            async move {
                ctx.call(&child, S::update()).await?;
                Ok(S::update().push_log("never"))
            }
        })
        .app();
    assert_eq!(log(&bench.invoke(empty()).await), ["K", "b"]);
}

#[tokio::test]
async fn a_node_that_waits_for_a_call_holds_no_slot() {
    let child = Lab::new("S -> c1, c2").compile();
    let bench = Bench::new(&calls(child, 2));
    let outcome = bench.run(empty()).max_concurrency(1).invoke().await.unwrap();
    assert_eq!(log(&outcome), ["c1", "c2", "c1", "c2"]);
}

#[tokio::test]
async fn a_call_takes_and_gives_json_and_other_dependencies() {
    let mut child = Graph::<S, String>::new("child");
    child.node("c", |_: View<S>, ctx: mesh_graph::Ctx<String>| async move {
        Ok(S::update().push_log(ctx.deps().clone()))
    });
    child.edge(START, "c");
    let child = child.compile().unwrap();
    let counts = Lab::new("S -> c").compile();
    let bench = Lab::new("S -> n")
        .with("n", move |_, ctx| {
            let (child, counts) = (child.clone(), counts.clone());
            async move {
                let other = ctx.call_with(&child, "dependency".to_owned(), S::update()).await?;
                let json = ctx.call_json(&counts, json!({"log": ["in"]})).json().await?;
                let wrong = ctx.call_json(&counts, json!({"zzz": 1})).json().await;
                let entries =
                    [other.log[0].clone(), json.to_string(), wrong.unwrap_err().to_string()];
                Ok(S::update().extend_log(entries))
            }
        })
        .app();
    let entries = log(&bench.invoke(empty()).await);
    assert_eq!(entries[..2], ["dependency", r#"{"log":["in","c"]}"#]);
    assert!(entries[2].contains("`zzz`"), "{}", entries[2]);
}

#[tokio::test]
async fn a_new_answer_to_a_called_graph_forks_it_where_it_asked() {
    let child = Lab::new("S -> c1; c1 -> c2").with("c2", asks("q", json!("?"))).compile();
    let bench = Bench::new(&calls(child, 1));
    bench.invoke(empty()).await;
    let at = bench.app.state("t").await.unwrap().checkpoint.unwrap();
    assert_eq!(log(&bench.answer(json!("old")).await.unwrap()), ["c1", "old"]);
    let again = mesh_graph::Resume::Only(json!("new"));
    let outcome = bench.app.answer(again).thread("t").at(at).invoke().await.unwrap();
    assert_eq!(log(&outcome), ["c1", "new"]);
    assert_eq!(bench.trace.runs("c1"), 1);
    assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
}
