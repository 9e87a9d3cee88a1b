//! Who is next, and who has it.

use super::*;
use mesh_runtime::runs::Renewal::{Ending, Held, Lost};

#[tokio::test]
async fn a_run_on_a_thread_that_is_not_there_is_refused_unless_the_thread_may_be_made() {
    let mut world = World::new().await;
    let target = |make| Target::Thread { id: "t".to_owned(), make };
    let refused = world.try_create(NewRun::new(assistant(), target(false)), None).await;
    assert!(matches!(refused, Err(Error::NoThread(thread)) if thread == "t"));
    let run = world.try_create(NewRun::new(assistant(), target(true)), None).await.unwrap().run;
    assert_eq!((run.status, run.attempt, run.epoch), (RunStatus::Pending, 0, 0));
    assert_eq!(world.fresh(&run).await, run);
    assert_eq!(world.thread().await, ThreadStatus::Busy);
}

#[tokio::test]
async fn a_worker_with_room_gets_a_new_run_with_its_creation() {
    let mut world = World::new().await;
    let run = world.running().await;
    assert_eq!((run.status, run.attempt, run.epoch), (RunStatus::Running, 1, 1));
    assert_eq!(run.lease_owner, Some(offer().worker));
    assert_eq!(run.lease_until, Some(world.ms + LEASE));
    assert_eq!(world.fresh(&run).await, run);
    let claim = offer();
    let second = world.try_create(on("t"), Some(claim)).await.unwrap();
    assert!(!second.is_claimed, "the first one is before it");
}

#[tokio::test]
async fn of_each_thread_the_oldest_run_that_may_start_is_claimed() {
    let mut world = World::new().await;
    let later = NewRun { after_ms: 5000, ..on("t") };
    let later = world.try_create(later, None).await.unwrap().run;
    let first = world.create().await;
    let second = world.create().await;
    let other = world.try_create(on("u"), None).await.unwrap().run;
    let claimed = world.claim_all().await;
    assert_eq!(claimed.iter().map(|run| run.id).collect::<Vec<_>>(), [first.id, other.id]);
    assert!(world.claim_all().await.is_empty(), "one of a thread at a time");
    let due = world.ledger.read(|tx| tx.next_due(Stamp(0))).await.unwrap();
    assert_eq!(due, later.not_before);
    world.ms += 5000;
    world.finish(&claimed[0], done()).await.unwrap();
    let claim = offer();
    let next = world.write(move |tx, now| runs::claim_run(tx, now, claim, "t")).await.unwrap();
    assert_eq!(next.unwrap().id, later.id, "its time has come, and it is older");
    assert_eq!(world.status(&second).await, RunStatus::Pending);
}

#[tokio::test]
async fn a_run_that_lost_its_worker_goes_on_before_older_ones_that_are_due_by_now() {
    for at_once in [false, true] {
        let mut world = World::new().await;
        let older = NewRun { after_ms: 5000, ..on("t") };
        let older = world.try_create(older, None).await.unwrap().run;
        world.create().await;
        let begun = world.claim_all().await.remove(0);
        world.ms += LEASE;
        world.reap(&begun).await;
        assert_eq!(world.status(&begun).await, RunStatus::Pending);
        // What it has saved is the newest of the thread: another one would put its own on top.
        let claim = offer();
        let next = if at_once {
            world.write(move |tx, now| runs::claim_run(tx, now, claim, "t")).await.unwrap()
        } else {
            world.claim_all().await.into_iter().next()
        };
        assert_eq!(next.map(|run| run.id), Some(begun.id));
        assert_eq!(world.status(&older).await, RunStatus::Pending);
    }
}

#[tokio::test]
async fn a_claim_is_prolonged_while_its_run_is_the_workers_and_is_not_to_end() {
    let mut world = World::new().await;
    let run = world.running().await;
    world.ms += 3000;
    let held = vec![(run.id, run.epoch), (run.id, 7), (Uuid::from_u128(99), 1)];
    let renewed = world.write(move |tx, now| runs::renew(tx, now, LEASE, &held)).await.unwrap();
    assert_eq!(renewed, [Held, Lost, Lost]);
    assert_eq!(world.fresh(&run).await.lease_until, Some(14_000));
    let selection = runs::Selection::Runs { thread: None, ids: vec![run.id] };
    let action = mesh_runtime::run::CancelAction::Rollback;
    world
        .write(move |tx, now| runs::cancel(tx, now, &Scope::All, &selection, action))
        .await
        .unwrap();
    let held = vec![(run.id, run.epoch)];
    let renewed = world.write(move |tx, now| runs::renew(tx, now, LEASE, &held)).await.unwrap();
    assert_eq!(renewed, [Ending(action)]);
}

#[tokio::test]
async fn runs_of_a_thread_are_listed_newest_first() {
    let mut world = World::new().await;
    let (first, second, third) = (world.create().await, world.create().await, world.create().await);
    world.claim_all().await;
    let list = |status, limit, offset| {
        let query = RunQuery { status, limit, offset };
        let ledger = Arc::clone(&world.ledger);
        async move {
            let runs = ledger.read(move |tx| tx.runs("t", &query)).await.unwrap();
            runs.into_iter().map(|run| run.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(None, 10, 0).await, [third.id, second.id, first.id]);
    assert_eq!(list(None, 1, 1).await, [second.id]);
    assert_eq!(list(Some(RunStatus::Pending), 10, 0).await, [third.id, second.id]);
}

#[tokio::test]
async fn who_does_not_see_the_thread_cannot_run_on_it() {
    let mut world = World::new().await;
    let alice = Scope::Owner("alice".to_owned());
    let ids = Ids { run: world.id(), thread: world.id() };
    let made = world
        .write(move |tx, now| runs::create(tx, now, &alice, ids, on("t"), None, &Policy::default()))
        .await
        .unwrap();
    assert_eq!(made.run.owner.as_deref(), Some("alice"));
    let bob = Scope::Owner("bob".to_owned());
    let ids = Ids { run: world.id(), thread: world.id() };
    let refused = world
        .write(move |tx, now| runs::create(tx, now, &bob, ids, on("t"), None, &Policy::default()))
        .await;
    assert!(matches!(refused, Err(Error::NoThread(_))));
}
