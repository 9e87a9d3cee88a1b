//! Runs through the runtime's handle, as handlers of requests use it, and with checkpoints.

use std::time::Duration;

use super::*;
use mesh_graph::{
    Ctx, Graph, NodeResult, START, State as GraphState, View, checkpoint::Place,
    checkpointer::Filter, env::SystemEnv,
};
use mesh_runtime::{Graphs, Runtime, run::CancelAction, runs::Selection};

impl World {
    fn runtime(&self) -> Runtime {
        Runtime::new(Arc::clone(&self.ledger), Graphs::default(), Arc::new(SystemEnv))
    }
}

async fn is_told(runtime: &Runtime) -> bool {
    tokio::time::timeout(Duration::ZERO, runtime.until_due()).await.is_ok()
}

#[tokio::test]
async fn whoever_waits_for_runs_is_told_of_new_ones() {
    let world = World::new().await;
    let runtime = world.runtime();
    assert!(!is_told(&runtime).await);
    let run = runtime.create_run(&Scope::All, on("t")).await.unwrap();
    assert!(is_told(&runtime).await);
    assert_eq!(runtime.run(&Scope::All, Some("t"), run.id).await.unwrap(), run);
    let other = runtime.run(&Scope::All, Some("u"), run.id).await;
    assert!(matches!(other, Err(Error::NoRun(id)) if id == run.id));
    assert_eq!(run.id.get_version_num(), 7);
    let claimed = runtime.create_run_for(&Scope::All, on("u"), Some(offer())).await.unwrap();
    assert!(claimed.is_claimed);
    assert!(!is_told(&runtime).await, "nobody has to look for it");
}

#[tokio::test]
async fn of_several_runs_all_are_made_or_none() {
    let world = World::new().await;
    let runtime = world.runtime();
    let own = || NewRun::new(assistant(), Target::Own { keep: false });
    let missing =
        NewRun::new(assistant(), Target::Thread { id: "missing".to_owned(), make: false });
    let refused = runtime.create_runs(&Scope::All, vec![own(), missing]).await;
    assert!(matches!(refused, Err(Error::NoThread(_))));
    let all = Selection::Open(None);
    let none = runtime.cancel(&Scope::All, &all, CancelAction::Interrupt).await.unwrap();
    assert!(none.runs.is_empty());
    let made = runtime.create_runs(&Scope::All, vec![own(), own()]).await.unwrap();
    assert_ne!(made[0].thread, made[1].thread);
    let both = runtime.cancel(&Scope::All, &all, CancelAction::Interrupt).await.unwrap();
    assert_eq!(both.runs, [made[0].id, made[1].id]);
}

#[tokio::test]
async fn more_runs_than_one_transaction_cancels_are_cancelled_in_several() {
    let world = World::new().await;
    let runtime = world.runtime();
    let own = || NewRun::new(assistant(), Target::Own { keep: true });
    let many = runs::CANCEL_BATCH + 1;
    runtime.create_runs(&Scope::All, (0..many).map(|_| own()).collect()).await.unwrap();
    let all = Selection::Open(Some(RunStatus::Pending));
    let cancelled = runtime.cancel(&Scope::All, &all, CancelAction::Rollback).await.unwrap();
    assert_eq!(cancelled.runs.len(), many);
    world.check().await;
}

#[tokio::test]
async fn runs_of_a_thread_are_for_those_who_see_it() {
    let world = World::new().await;
    let runtime = world.runtime();
    let alice = Scope::Owner("alice".to_owned());
    let bob = Scope::Owner("bob".to_owned());
    let run = runtime.create_run(&alice, on("t")).await.unwrap();
    let query = RunQuery { status: None, limit: 10, offset: 0 };
    assert_eq!(runtime.runs(&alice, "t", &query).await.unwrap().len(), 1);
    assert!(matches!(runtime.runs(&bob, "t", &query).await, Err(Error::NoThread(_))));
    assert!(matches!(runtime.run(&bob, None, run.id).await, Err(Error::NoRun(_))));
    let deleted = runtime.delete_run(&bob, Some("t"), run.id).await;
    assert!(matches!(deleted, Err(Error::NoRun(_))));
    runtime.delete_run(&alice, Some("t"), run.id).await.unwrap();
    assert!(matches!(runtime.run(&alice, None, run.id).await, Err(Error::NoRun(_))));
}

#[tokio::test]
async fn what_no_worker_ends_is_reaped() {
    let world = World::new().await;
    let runtime = world.runtime();
    runtime.create_run_for(&Scope::All, on("v"), Some(offer())).await.unwrap();
    assert_eq!(runtime.reap().await.unwrap(), 0);
    let gone = Claim { lease_ms: 0, ..offer() };
    let run = runtime.create_run_for(&Scope::All, on("t"), Some(gone)).await.unwrap().run;
    assert_eq!(runtime.reap().await.unwrap(), 1);
    assert!(is_told(&runtime).await, "it waits for the next worker");
    assert_eq!(world.status(&run).await, RunStatus::Pending);
    runtime.create_run_for(&Scope::All, on("u"), Some(offer())).await.unwrap();
    runtime.settle_after_start().await.unwrap();
    let now = Now { ms: i64::MAX, ..runtime.now() };
    let running = world.ledger.read(move |tx| tx.overdue_runs(now, 10)).await.unwrap();
    assert!(running.is_empty());
}

#[derive(GraphState)]
struct Diary {
    #[state(append)]
    entries: Vec<String>,
}

async fn write(_: View<Diary>, _: Ctx) -> NodeResult<DiaryUpdate> {
    Ok(Diary::update().push_entries("a day".to_owned()))
}

#[tokio::test]
async fn a_rollback_takes_the_checkpoints_of_its_run_and_no_others() {
    let mut world = World::new().await;
    let mut graph = Graph::<Diary>::new("diary");
    graph.node("write", write);
    graph.edge(START, "write");
    let app = graph.compile().unwrap().app(()).checkpointer(world.ledger.checkpointer());
    let place = Place { thread: "t".to_owned(), ns: String::new() };
    let mut heads = Vec::new();
    for _ in 0..2 {
        let run = world.running().await;
        let id = run.id.to_string();
        app.run(Diary::update()).thread("t").run_id(&id).invoke().await.unwrap();
        let kept = world.ledger.checkpointer().list(&place, &Filter::default()).await.unwrap();
        heads.push(kept.iter().map(|loaded| loaded.checkpoint.id).collect::<Vec<_>>());
        if heads.len() == 2 {
            let selection = Selection::Runs { thread: None, ids: vec![run.id] };
            let action = CancelAction::Rollback;
            world
                .write(move |tx, now| runs::cancel(tx, now, &Scope::All, &selection, action))
                .await
                .unwrap();
        }
        world.finish(&run, done()).await.unwrap();
    }
    assert!(heads[1].len() > heads[0].len());
    let kept = world.ledger.checkpointer().list(&place, &Filter::default()).await.unwrap();
    let kept: Vec<_> = kept.iter().map(|loaded| loaded.checkpoint.id).collect();
    assert_eq!(kept, heads[0], "the thread is where it was before the run");
    // And goes on from there.
    let next = world.running().await.id.to_string();
    let gone_on = app.run(Diary::update()).thread("t").run_id(&next).invoke().await.unwrap();
    assert_eq!(gone_on.json().unwrap(), serde_json::json!({ "entries": ["a day", "a day"] }));
    world.check().await;
}
