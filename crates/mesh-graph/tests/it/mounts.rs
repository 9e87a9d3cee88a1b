//! H. Mounted graphs.

use std::sync::Arc;

use mesh_graph::{
    Checkpointer, Compiled, Ctx, Durability, END, Error, Graph, MemoryCheckpointer, NodeError,
    NodeResult, Patch, Resolution, Resume, Retry, Retryable, START, Sharing, State, Status, View,
    checkpoint::Place,
    checkpointer::{Filter, Retention},
};
use serde_json::{Value as Json, json};

use crate::kit::{Bench, Deps, Lab, S, asks, at, empty, fails_once, log};

/// What most parents take over from their child.
fn takes_log(child: &View<S>) -> crate::kit::SUpdate {
    S::update().extend_log(child.log.iter().cloned())
}

fn parent_of(child: &Compiled<S, Deps>) -> Compiled<S, Deps> {
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.node("p", crate::kit::appends());
    graph.mount("sub", child, |_| S::update(), takes_log);
    graph.edge(START, "p").edge("p", "sub");
    graph.compile().unwrap()
}

#[derive(State)]
struct Inner {
    question: String,
    secret: String,
    answer: String,
}

#[tokio::test]
async fn t174_only_what_the_mappings_name_crosses() {
    let mut child = Graph::<Inner, Deps>::new("inner");
    child.node("think", |s: View<Inner>, _: Ctx<Deps>| async move {
        Ok(Inner::update().answer(format!("{}!", *s.question)).secret("kept inside"))
    });
    child.edge(START, "think");
    let child = child.compile().unwrap();
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.mount(
        "sub",
        &child,
        |s| Inner::update().question(format!("x is {:?}", *s.x)),
        |child| S::update().push_log(child.answer.as_str()),
    );
    graph.edge(START, "sub");
    let bench = Bench::new(&graph.compile().unwrap());
    let outcome = bench.invoke(S::update().x(Some(1)).push_log("mine")).await;
    assert_eq!(outcome.json().unwrap(), json!({"x": 1, "log": ["mine", "x is Some(1)!"]}));
}

#[tokio::test]
async fn t175_children_live_in_the_namespace_of_their_task_and_know_their_ancestors() {
    let leaf = Lab::new("S -> c").with("c", asks("q", json!("deep?"))).compile();
    let middle = parent_of(&leaf);
    let checkpointer: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::encoding());
    let bench = Bench::on(&parent_of(&middle), Arc::clone(&checkpointer));
    bench.invoke(empty()).await;

    let root = bench.app.state("t").await.unwrap();
    let task = &root.tasks[0];
    assert_eq!(task.child_ns, Some(format!("sub:{}", task.id)));
    let heads = async |ns: &str| {
        let place = Place { thread: "t".to_owned(), ns: ns.to_owned() };
        checkpointer.load(&place, None).await.unwrap().unwrap()
    };
    let middle_ns = task.child_ns.clone().unwrap();
    let middle = heads(&middle_ns).await;
    assert_eq!(*middle.checkpoint.parents, [(String::new(), root.checkpoint.unwrap())].into());
    let below = middle.tasks.iter().find(|task| task.node == "sub").unwrap().id;
    let leaf_ns = format!("{middle_ns}|sub:{below}");
    let leaf = heads(&leaf_ns).await;
    let ancestors = [(String::new(), root.checkpoint.unwrap()), (middle_ns, middle.checkpoint.id)];
    assert_eq!(*leaf.checkpoint.parents, ancestors.clone().into());

    // Asked for, the states of all levels come with the root's; otherwise only their namespaces.
    assert!(task.child.is_none());
    let tree = bench.app.state_tree("t", None).await.unwrap();
    let inner = tree.tasks[0].child.as_ref().unwrap().tasks[0].child.as_ref().unwrap();
    assert_eq!((inner.ns.as_str(), &inner.next[..]), (leaf_ns.as_str(), &["c".to_owned()][..]));
    let all = ancestors.into_iter().chain([(leaf_ns.clone(), leaf.checkpoint.id)]);
    assert_eq!(inner.checkpoint_map(), all.collect());
    let alone = bench.app.inside(&leaf_ns).unwrap();
    assert_eq!(alone.state("t").await.unwrap().checkpoint, inner.checkpoint);
    assert_eq!(alone.history("t", &Filter::default()).await.unwrap().len(), 2);
    for nowhere in ["p", "sub|p", ""] {
        let error = bench.app.inside(nowhere).unwrap_err();
        assert!(matches!(error, Error::UnknownNamespace { .. }), "{nowhere}");
    }
}

#[tokio::test]
async fn t176_a_question_of_a_child_is_asked_by_the_root_and_the_child_goes_on() {
    let child = Lab::new("S -> c1; c1 -> c2").with("c2", asks("q", json!("child?"))).compile();
    let bench = Bench::new(&parent_of(&child));
    let asked = bench.invoke(empty()).await.interrupts;
    assert_eq!((asked.len(), &asked[0].value), (1, &json!("child?")));
    assert_eq!(bench.resume().await.interrupts, asked, "the id is stable");
    let outcome = bench.answer(json!("yes")).await.unwrap();
    assert_eq!(
        (outcome.status, log(&outcome)),
        (Status::Done, vec!["p".into(), "c1".into(), "yes".into()])
    );
    assert_eq!((bench.trace.runs("p"), bench.trace.runs("c1"), bench.trace.runs("c2")), (1, 1, 2));
}

#[tokio::test]
async fn t177_a_changed_child_goes_on_from_its_new_state() {
    let child = || {
        Lab::new("S -> s1; s1 -> s2").with("s1", asks("q", json!("?"))).with(
            "s2",
            |s, _| async move { Ok(S::update().push_log(format!("s2:{}", s.log.len()))) },
        )
    };
    for (sharing, expected) in [
        (Sharing::Values, ["i", "i", "SU", "s2:2"].as_slice()),
        (Sharing::Writes, ["i", "SU", "s2:2"].as_slice()),
    ] {
        for deep in [false, true] {
            let mut graph = Graph::<S, Deps>::new("parent");
            graph.mount_shared("sub", &child().compile(), sharing);
            graph.edge(START, "sub");
            let mut graph = graph.compile().unwrap();
            if deep {
                let mut outer = Graph::<S, Deps>::new("outer");
                let input = |s: &View<S>| S::update().extend_log(s.log.iter().cloned());
                outer.mount("sub", &graph, input, |c| S::update().set_log(c.log.clone()));
                outer.edge(START, "sub");
                graph = outer.compile().unwrap();
            }
            let bench = Bench::new(&graph);
            bench.invoke(S::update().push_log("i")).await;
            let tree = bench.app.state_tree("t", None).await.unwrap();
            let mut asking = Arc::clone(tree.tasks[0].child.as_ref().unwrap());
            if deep {
                asking = Arc::clone(asking.tasks[0].child.as_ref().unwrap());
            }
            let inside = bench.app.inside(&asking.ns).unwrap();
            let patch = Patch::values(json!({"log": ["SU"]})).as_node("s1");
            inside.update_state("t", patch).await.unwrap();
            assert_eq!(inside.state("t").await.unwrap().next, ["s2"]);
            let outcome = bench.resume().await;
            assert_eq!(
                (outcome.status, &log(&outcome)[..]),
                (Status::Done, expected_of(expected).as_slice())
            );
            assert_eq!(bench.trace.runs("s1"), 1);
        }
    }
}

fn expected_of(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

#[tokio::test]
async fn a_task_of_a_child_is_resolved_at_its_own_place() {
    let child = Lab::new("S -> c1, c2; c1 & c2 -> c3").with("c1", asks("q", json!("?"))).compile();
    let bench = Bench::new(&parent_of(&child));
    bench.invoke(empty()).await;
    let tree = bench.app.state_tree("t", None).await.unwrap();
    let below = tree.tasks[0].child.as_ref().unwrap();
    let task = below.tasks.iter().find(|task| task.name == "c1").unwrap().id;
    let result = Resolution::Update(json!({"log": ["by hand"]}));
    bench.app.inside(&below.ns).unwrap().resolve_task("t", task, result).await.unwrap();
    assert_eq!(log(&bench.resume().await), ["p", "by hand", "c2", "c3"]);
    assert_eq!(["c1", "c2"].map(|node| bench.trace.runs(node)), [1, 1]);
}

#[tokio::test]
async fn t179_a_child_starts_fresh_in_every_turn_unless_it_is_kept_per_thread() {
    // The child hands over all it has, so one that accumulates hands its first turn over again.
    let twice = async |child: Compiled<S, Deps>| {
        let bench = Bench::new(&parent_of(&child));
        bench.invoke(empty()).await;
        log(&bench.invoke(empty()).await)
    };
    let child = Lab::new("S -> c").compile();
    assert_eq!(twice(child.clone()).await, ["p", "c", "p", "c"]);
    assert_eq!(twice(child.clone().per_thread()).await, ["p", "c", "p", "c", "c"]);
    assert_eq!(twice(child.unsaved()).await, ["p", "c", "p", "c"]);
}

#[tokio::test]
async fn t182_sends_to_a_child_are_asked_and_answered_apart() {
    let child = Lab::new("S -> count; count -> c")
        .with("c", |s, ctx| async move {
            let x = s.x.unwrap_or(0);
            let said = if x == 2 { json!("two") } else { ctx.interrupt::<Json>("q", &x)? };
            Ok(S::update().push_log(format!("{x}:{}", crate::kit::text(&said))))
        })
        .compile();
    let mut graph = Graph::<S, Deps>::new("parent");
    let sub = graph
        .mount_send(
            "sub",
            &child,
            |x: &i64| S::update().x(Some(*x)),
            |child| S::update().extend_log(child.log.iter().skip(1).cloned()),
        )
        .id();
    graph.fan_out(START, &sub, |_| vec![1, 2, 3]).if_empty(END);
    let bench = Bench::new(&graph.compile().unwrap());
    let asked = bench.invoke(empty()).await.interrupts;
    assert_eq!(asked.iter().map(|i| &i.value).collect::<Vec<_>>(), [&json!(1), &json!(3)]);
    assert_ne!(asked[0].id, asked[1].id);
    let answers =
        [(asked[1].id.to_string(), json!("three")), (asked[0].id.to_string(), json!("one"))];
    let outcome = bench.answer_by_id(answers).await.unwrap();
    assert_eq!(log(&outcome), ["1:one", "2:two", "3:three"]);
    // The child that asked nothing was not started again, nor what the others had finished.
    assert_eq!((bench.trace.runs("count"), bench.trace.runs("c")), (3, 5));
}

#[tokio::test]
async fn t187_a_child_that_failed_goes_on_at_the_node_that_failed() {
    for durability in [Durability::Sync, Durability::Async, Durability::Exit] {
        let child = Lab::new("S -> s1; s1 -> s2").with("s2", fails_once()).compile();
        let bench = Bench::new(&parent_of(&child));
        let error = bench.run(empty()).durability(durability).invoke().await.unwrap_err();
        assert_eq!(error.root_cause().to_string(), "node `s2` failed: once");
        let run = bench.app.resume().thread("t").durability(durability);
        assert_eq!(log(&run.invoke().await.unwrap()), ["p", "s1", "s2"], "{durability:?}");
        let runs = ["p", "s1", "s2"].map(|node| bench.trace.runs(node));
        assert_eq!(runs, [1, 1, 2], "{durability:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn t188_a_retry_of_a_mount_resumes_its_graph() {
    for durability in [Durability::Sync, Durability::Async, Durability::Exit] {
        let child = Lab::new("S -> s1; s1 -> s2")
            .with("s2", |_, ctx| async move {
                if ctx.deps().runs("s2") < 3 {
                    return Err(NodeError::msg("not yet").retryable(Retryable::Yes));
                }
                Ok(S::update().push_log("s2"))
            })
            .compile();
        let mut graph = Graph::<S, Deps>::new("parent");
        graph.mount("sub", &child, |_| S::update(), takes_log).retry(Retry::default());
        graph.edge(START, "sub");
        let bench = Bench::new(&graph.compile().unwrap());
        let run = bench.run(empty()).durability(durability);
        assert_eq!(log(&run.invoke().await.unwrap()), ["s1", "s2"], "{durability:?}");
        assert_eq!(["s1", "s2"].map(|node| bench.trace.runs(node)), [1, 3], "{durability:?}");
    }
}

#[tokio::test]
async fn t189_a_root_graph_cannot_be_kept_per_thread() {
    let bench = Bench::new(&Lab::new("S -> a").compile().per_thread());
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert!(matches!(error, Error::InvalidOption { option: "per_thread", .. }), "{error}");
    assert_eq!(bench.trace.runs("a"), 0);
}

#[tokio::test]
async fn a_per_thread_child_of_a_replayed_parent_is_as_it_was_then() {
    let child = Lab::new("S -> c")
        .with("c", |s, _| async move { Ok(S::update().push_log(format!("c{}", s.log.len()))) })
        .compile()
        .per_thread();
    let bench = Bench::new(&parent_of(&child));
    let mut turns = Vec::new();
    for _ in 0..3 {
        bench.invoke(empty()).await;
        turns.push(bench.app.state("t").await.unwrap().checkpoint.unwrap());
    }
    let third = ["p", "c0", "p", "c0", "c1", "p", "c0", "c1", "c2"];
    assert_eq!(bench.log().await, third);
    // A turn on top of the first one finds the child after its first turn, and makes a branch of
    // it that further turns go on with.
    let branch = bench.run(empty()).at(turns[0]).invoke().await.unwrap();
    assert_eq!(log(&branch), third[..5]);
    assert_eq!(log(&bench.invoke(empty()).await), third);
    let old = bench.run(empty()).at(turns[1]).invoke().await.unwrap();
    assert_eq!(log(&old), third);
}

#[tokio::test]
async fn a_per_thread_child_that_was_changed_goes_on_from_the_change() {
    let child = Lab::new("S -> c").compile().per_thread();
    let bench = Bench::new(&parent_of(&child));
    bench.invoke(empty()).await;
    let inside = bench.app.inside("sub").unwrap();
    for entry in ["one", "two"] {
        let patch = Patch::values(json!({"log": [entry]})).as_node("c");
        inside.update_state("t", patch).await.unwrap();
    }
    bench.run(empty()).break_before(at(&["sub"])).invoke().await.unwrap();
    let tree = bench.app.state_tree("t", None).await.unwrap();
    let below = tree.tasks[0].child.as_ref().unwrap();
    assert_eq!(below.json().unwrap(), json!({"log": ["c", "one", "two"]}));
    let state = bench.resume().await;
    assert_eq!(log(&state), ["p", "c", "p", "c", "one", "two", "c"]);
}

#[tokio::test]
async fn pruning_keeps_the_state_of_a_per_thread_child_that_the_head_goes_on_from() {
    let child = Lab::new("S -> c")
        .with("c", |s, _| async move { Ok(S::update().push_log(format!("c{}", s.log.len()))) })
        .compile()
        .per_thread();
    let checkpointer: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::encoding());
    let bench = Bench::on(&parent_of(&child), Arc::clone(&checkpointer));
    bench.invoke(empty()).await;
    let first = bench.app.state("t").await.unwrap().checkpoint.unwrap();
    bench.invoke(empty()).await;
    // The head is a branch of the first turn; the child's newest state is of the second.
    let patch = Patch::values(json!({"log": ["edit"]})).as_node("sub").at(first);
    bench.app.update_state("t", patch).await.unwrap();
    assert!(checkpointer.prune("t", Retention::Heads).await.unwrap() > 0);
    assert_eq!(log(&bench.invoke(empty()).await), ["p", "c0", "edit", "p", "c0", "c1"]);
}

#[tokio::test]
async fn a_new_answer_to_a_child_forks_the_child_where_it_asked() {
    let leaf = Lab::new("S -> c1; c1 -> c2; c2 -> c3")
        .with("c2", asks("q", json!("deep?")))
        .with("c3", asks("q", json!("again?")))
        .compile();
    for graph in [parent_of(&leaf), parent_of(&parent_of(&leaf)), parent_of(&leaf.per_thread())] {
        for durability in [Durability::Async, Durability::Exit] {
            let bench = Bench::new(&graph);
            let run = |run: mesh_graph::Run<S>| run.thread("t").durability(durability).invoke();
            run(bench.run(empty())).await.unwrap();
            let at = bench.app.state("t").await.unwrap().checkpoint.unwrap();
            let first = Resume::Only(json!("old"));
            let asked = run(bench.app.answer(first)).await.unwrap().interrupts;
            run(bench.app.answer(Resume::Only(json!("first")))).await.unwrap();
            let before = bench.log().await;
            let depth = before.iter().filter(|entry| *entry == "p").count();
            assert_eq!(before[depth..], ["c1", "old", "first"]);

            let questions = bench.app.state_at("t", at).await.unwrap().tasks[0].interrupts.clone();
            assert_eq!(questions.len(), 2, "both were asked by the task of that checkpoint");
            let old = questions.iter().find(|question| question.id != asked[0].id).unwrap();
            let again = Resume::ById([(old.id.to_string(), json!("new"))].into());
            let outcome = run(bench.app.answer(again).at(at)).await.unwrap();
            assert_eq!(outcome.interrupts.len(), 1, "what came after the answer is asked anew");
            assert_ne!(outcome.interrupts[0].id, asked[0].id);
            let second = Resume::Only(json!("second"));
            let outcome = run(bench.app.answer(second)).await.unwrap();
            assert_eq!(log(&outcome)[depth..], ["c1", "new", "second"], "{durability:?}");
            assert_eq!(bench.trace.runs("c1"), 1, "what came before the question is not run again");
        }
    }
}

#[tokio::test]
async fn a_child_that_finished_before_its_parent_heard_of_it_is_not_run_again() {
    let child = Lab::new("S -> c").compile();
    let checkpointer: Arc<dyn Checkpointer> = Arc::new(MemoryCheckpointer::encoding());
    let bench = Bench::on(&parent_of(&child), Arc::clone(&checkpointer));
    // Cut when the parent wants to store the step in which its child finished.
    let place = Place { thread: "t".to_owned(), ns: String::new() };
    let faulty = mesh_graph::testing::FaultyCheckpointer::new(
        Arc::clone(&checkpointer),
        7,
        mesh_graph::testing::Fault::FailBefore,
    );
    let cut = bench.app.clone().checkpointer(Arc::new(faulty));
    assert!(cut.run(empty()).thread("t").durability(Durability::Sync).invoke().await.is_err());
    assert_eq!(checkpointer.list(&place, &Filter::default()).await.unwrap().len(), 3);
    assert_eq!(log(&bench.resume().await), ["p", "c"]);
    assert_eq!(bench.trace.runs("c"), 1);
}

#[tokio::test]
async fn an_edge_to_a_mount_that_takes_sends_fails_its_task() -> NodeResult<()> {
    let child = Lab::new("S -> c").compile();
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.mount_send("sub", &child, |_: &i64| S::update(), takes_log);
    graph.edge(START, "sub");
    let bench = Bench::new(&graph.compile()?);
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert!(error.to_string().contains("takes the argument of a `Send`"), "{error}");
    Ok(())
}
