//! What happens to runs that meet on one thread.

use super::*;
use mesh_runtime::{run::CancelAction, runs::OPEN_MAX};

/// A running and a pending run on `t`, and what becomes of a third one.
async fn meet(multitask: Multitask) -> (World, Run, Run, Result<Created, Error>) {
    let mut world = World::new().await;
    let (running, pending) = (world.running().await, world.create().await);
    let claim = offer();
    let third = world.try_create(meeting(multitask), Some(claim)).await;
    (world, running, pending, third)
}

#[tokio::test]
async fn reject_refuses_the_new_run_while_another_one_is_open() {
    let (mut world, running, pending, third) = meet(Multitask::Reject).await;
    assert!(matches!(third, Err(Error::Busy { thread }) if thread == "t"));
    world.finish(&running, done()).await.unwrap();
    let refused = world.try_create(meeting(Multitask::Reject), None).await;
    assert!(matches!(refused, Err(Error::Busy { .. })), "a pending one counts, too");
    let query = RunQuery { status: None, limit: 10, offset: 0 };
    let listed = world.ledger.read(move |tx| tx.runs("t", &query)).await.unwrap();
    assert_eq!(listed.len(), 2, "nothing was made");
    let claimed = world.claim_all().await.remove(0);
    assert_eq!(claimed.id, pending.id);
    world.finish(&claimed, done()).await.unwrap();
    world.try_create(meeting(Multitask::Reject), None).await.unwrap();
}

#[tokio::test]
async fn reject_refuses_also_while_the_other_one_waits_for_its_time() {
    let mut world = World::new().await;
    world.try_create(NewRun { after_ms: 60_000, ..on("t") }, None).await.unwrap();
    let refused = world.try_create(meeting(Multitask::Reject), None).await;
    assert!(matches!(refused, Err(Error::Busy { .. })));
}

#[tokio::test]
async fn enqueue_lets_the_new_run_wait_for_its_turn() {
    let (mut world, running, pending, third) = meet(Multitask::Enqueue).await;
    let third = third.unwrap();
    assert!(!third.is_claimed);
    for next in [pending.id, third.run.id] {
        assert!(world.claim_all().await.is_empty());
        let current = world.ledger.read(|tx| tx.open_runs("t")).await.unwrap().remove(0);
        assert!(world.finish(&current, done()).await.unwrap().due);
        assert_eq!(world.thread().await, ThreadStatus::Busy);
        assert_eq!(world.claim_all().await[0].id, next);
    }
    assert_eq!(world.status(&running).await, RunStatus::Success);
}

#[tokio::test]
async fn a_thread_takes_so_many_runs_and_not_more() {
    let mut world = World::new().await;
    world
        .write(|tx, mut now| {
            for n in 0..OPEN_MAX as u128 {
                now.at.0 += 1;
                let ids = Ids { run: Uuid::from_u128(n + 1), thread: Uuid::nil() };
                runs::create(tx, now, &Scope::All, ids, on("t"), None, &Policy::default())?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let ids = Ids { run: Uuid::from_u128(1 << 20), thread: Uuid::nil() };
    let refused = world
        .write(move |tx, now| {
            runs::create(tx, now, &Scope::All, ids, on("t"), None, &Policy::default())
        })
        .await;
    assert!(matches!(refused, Err(Error::Full { max: OPEN_MAX, .. })));
}

#[tokio::test]
async fn interrupt_cancels_the_others_and_runs_once_the_running_one_has_ended() {
    let (mut world, running, pending, third) = meet(Multitask::Interrupt).await;
    let third = third.unwrap();
    assert_eq!(third.told.owners, [running.id]);
    assert!(!third.is_claimed);
    assert_eq!(world.status(&pending).await, RunStatus::Interrupted);
    assert!(world.claim_all().await.is_empty());
    world.finish(&running, cancelled()).await.unwrap();
    assert_eq!(world.status(&running).await, RunStatus::Interrupted);
    assert_eq!(world.thread().await, ThreadStatus::Busy);
    assert_eq!(world.claim_all().await[0].id, third.run.id);
}

#[tokio::test]
async fn interrupt_takes_the_turn_at_once_if_none_is_running() {
    let mut world = World::new().await;
    let pending = world.create().await;
    let claim = offer();
    let second = world.try_create(meeting(Multitask::Interrupt), Some(claim)).await.unwrap();
    assert!(second.is_claimed);
    assert_eq!(world.status(&pending).await, RunStatus::Interrupted);
}

#[tokio::test]
async fn rollback_removes_the_others_and_what_they_saved() {
    let (mut world, running, pending, third) = meet(Multitask::Rollback).await;
    let third = third.unwrap().run;
    assert_eq!(world.find(&pending).await, None);
    assert_eq!(world.fresh(&running).await.cancel_action, CancelAction::Rollback);
    world.finish(&running, cancelled()).await.unwrap();
    assert_eq!(world.find(&running).await, None);
    let claimed = world.claim_all().await.remove(0);
    assert_eq!(claimed.id, third.id);
    world.finish(&claimed, done()).await.unwrap();
    assert_eq!(world.thread().await, ThreadStatus::Idle);
    let ended: Vec<Uuid> = world.ends().await.into_iter().map(|(run, _)| run).collect();
    assert_eq!(ended, [pending.id, running.id, third.id], "who follows one is told");
}
