//! Smallest tests of what random graphs found (`tests/proof`).

use mesh_graph::{
    Command, Ctx, Durability, Goto, Graph, NodeResult, START, Send, Step, View, Warning,
};
use serde_json::{Value as Json, json};

use crate::kit::{Bench, Deps, Lab, S, asks, empty, fails_once, log, values};

#[tokio::test]
async fn a_router_sees_an_overwrite_as_the_barrier_will_apply_it() {
    let bench = Lab::new("S -> a")
        .with("a", |_, _| async {
            let whole = Step::<S>::update(S::update().set_log(vec!["whole".to_owned()]));
            Ok(whole.and(S::update().push_log("dropped")))
        })
        .also(["b"])
        .route("a", |s| if s.log == ["whole"] { "b" } else { mesh_graph::END })
        .app();
    assert_eq!(log(&bench.invoke(empty()).await), ["whole", "b"]);
}

#[tokio::test]
async fn a_nodes_own_sends_come_before_those_of_its_router() {
    let to = |x: i64| Goto::from(Send::json("w", json!({ "x": x })));
    let bench = Lab::new("S -> a")
        .with("a", move |_, _| async move { Ok(Step::<S>::none().goto(to(1))) })
        .with("w", |s, _| async move {
            NodeResult::Ok(S::update().push_log(s.x.unwrap_or_default().to_string()))
        })
        .route("a", move |_| vec![to(2)])
        .app();
    assert_eq!(log(&bench.invoke(empty()).await), ["1", "2"]);
}

#[tokio::test]
async fn a_commands_update_on_a_finished_thread_is_stored_at_the_end_of_the_run() {
    let bench = Lab::new("S -> a").app();
    bench.invoke(empty()).await;
    let command = Command { update: Some(values(&["told"])), ..Command::default() };
    let run = bench.app.command(command).thread("t").durability(Durability::Exit);
    assert_eq!(log(&run.invoke().await.unwrap()), ["a", "told"]);
    assert_eq!(bench.log().await, ["a", "told"]);
}

#[tokio::test]
async fn a_goto_to_a_task_of_the_step_makes_no_other_task_of_it() {
    let bench = Lab::new("S -> a, b; a & b -> done, asked; a -> bad")
        .with("bad", fails_once())
        .with("asked", asks("q", json!("?")))
        .app();
    assert!(bench.run(empty()).invoke().await.is_err());
    let question = bench.app.state("t").await.unwrap().interrupts;
    let goto = vec![Goto::from("done"), Goto::from("asked")];
    let command = Command { goto, ..Command::default() };
    let outcome = bench.app.command(command).thread("t").invoke().await.unwrap();
    assert_eq!(outcome.interrupts, question, "the question is still the same");
    assert_eq!(["done", "asked", "bad"].map(|node| bench.trace.runs(node)), [1, 1, 2]);
}

#[tokio::test]
async fn an_empty_list_is_told_although_another_task_held_the_step_up() {
    let bench = Lab::new("S -> a, b")
        .with("b", asks("q", json!("?")))
        .route("a", |_| Vec::<Goto>::new())
        .app();
    assert_eq!(bench.invoke(empty()).await.warnings, []);
    let outcome = bench.answer(json!("yes")).await.unwrap();
    assert_eq!(outcome.warnings, [Warning::EmptyFanOut { node: "a".to_owned() }]);
}

#[tokio::test]
async fn of_two_questions_below_a_mount_only_the_answered_one_starts_again() {
    let twice = |name: &'static str| {
        move |_: View<S>, ctx: Ctx<Deps>| async move {
            ctx.interrupt::<Json>("one", &format!("{name} one"))?;
            ctx.interrupt::<Json>("two", &format!("{name} two"))?;
            NodeResult::Ok(S::update().push_log(name))
        }
    };
    let child = Lab::new("S -> a, b").with("a", twice("a")).with("b", twice("b")).compile();
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.mount("sub", &child, |_| S::update(), |c| S::update().extend_log(c.log.clone()));
    graph.edge(START, "sub");
    let bench = Bench::new(&graph.compile().unwrap());
    let asked = bench.invoke(empty()).await.interrupts;
    let both = [0, 1].map(|at| (asked[at].id.to_string(), json!("yes")));
    let asked = bench.answer_by_id(both).await.unwrap().interrupts;
    assert_eq!(["a", "b"].map(|node| bench.trace.runs(node)), [2, 2]);
    bench.answer_by_id([(asked[0].id.to_string(), json!("yes"))]).await.unwrap();
    assert_eq!(["a", "b"].map(|node| bench.trace.runs(node)), [3, 2]);
}

#[tokio::test]
async fn a_fork_that_was_run_from_is_forked_again_with_whatever_durability() {
    let child = Lab::new("S -> c").compile();
    let mut graph = Graph::<S, Deps>::new("parent");
    graph.mount("sub", &child, |_| S::update(), |c| S::update().extend_log(c.log.clone()));
    graph.edge(START, "sub");
    let bench = Bench::new(&graph.compile().unwrap());
    let first = bench.invoke(empty()).await.checkpoint.unwrap();
    let before = bench.app.state_at("t", first).await.unwrap().parent.unwrap();
    let again = async |at| {
        let run = bench.app.resume().thread("t").at(at).durability(Durability::Exit);
        run.invoke().await.unwrap();
    };
    let fork = bench.app.update_state("t", mesh_graph::Patch::none().at(before)).await.unwrap();
    for runs in [2, 3] {
        again(fork).await;
        assert_eq!(bench.trace.runs("c"), runs);
    }
}

#[tokio::test]
async fn an_edit_of_an_older_checkpoint_leaves_what_was_asked_there() {
    let bench = Lab::new("S -> a").with("a", asks("q", json!("?"))).app();
    let asked = bench.invoke(empty()).await;
    bench.answer(json!("yes")).await.unwrap();
    let at = asked.checkpoint.unwrap();
    let patch = mesh_graph::Patch::values(values(&["edited"])).as_node("a").at(at);
    bench.app.update_state("t", patch).await.unwrap();
    assert_eq!(bench.log().await, ["edited"]);
    let task = &bench.app.state_at("t", at).await.unwrap().tasks[0];
    assert_eq!(task.interrupts, asked.interrupts);
    assert_eq!(task.result, Some(values(&["yes"])));
}

#[tokio::test]
async fn an_update_for_a_node_with_two_tasks_is_the_result_of_the_unfinished_one() {
    let bench = Lab::new("S -> a")
        .with("a", asks("q", json!("?")))
        .route(START, |_| vec![Send::json("a", json!({}))])
        .app();
    let asked = bench.invoke(empty()).await;
    bench.answer_by_id([(asked.interrupts[0].id.to_string(), json!("yes"))]).await.unwrap();
    let patch = mesh_graph::Patch::values(values(&["edited"])).as_node("a");
    bench.app.update_state("t", patch).await.unwrap();
    let tasks = bench.app.state_at("t", asked.checkpoint.unwrap()).await.unwrap().tasks;
    let results: Vec<Option<Json>> = tasks.into_iter().map(|task| task.result).collect();
    assert_eq!(results, [Some(values(&["yes"])), Some(values(&["edited"]))]);
}
