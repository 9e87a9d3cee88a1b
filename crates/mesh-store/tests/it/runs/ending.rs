//! How runs end, and what they leave.

use super::*;
use mesh_runtime::{
    run::CancelAction,
    runs::{ATTEMPTS_MAX, CANCEL_GRACE_MS, Selection, TEMPORARY_GRACE_MS},
};

/// What a run leaves: its status, the thread's, and what the log ends with.
async fn check_end(cause: Cause, run: RunStatus, thread: ThreadStatus, end: Json) {
    let mut world = World::new().await;
    let claimed = world.running().await;
    let told = world.finish(&claimed, cause).await.unwrap();
    let ended = world.fresh(&claimed).await;
    assert_eq!(ended.status, run);
    assert_eq!((ended.lease_owner, ended.lease_until), (None, None));
    assert!(ended.ended_at.is_some());
    assert_eq!(world.thread().await, thread);
    assert_eq!(world.ends().await, [(claimed.id, end)]);
    assert_eq!(told.entries[0].1.last().unwrap().kind, Kind::Ended);
    let again = world.finish(&claimed, done()).await;
    assert!(matches!(again, Err(Error::Fenced { .. })), "nothing leaves a final status");
}

#[tokio::test]
async fn a_run_that_came_to_its_end_is_a_success_and_its_thread_idle() {
    let end = json!({ "status": "success" });
    check_end(done(), RunStatus::Success, ThreadStatus::Idle, end).await;
}

#[tokio::test]
async fn a_run_that_left_tasks_is_a_success_and_its_thread_interrupted() {
    let end = json!({ "status": "success", "unfinished": true });
    let cause = Cause::Done(state(true));
    check_end(cause, RunStatus::Success, ThreadStatus::Interrupted, end).await;
}

#[tokio::test]
async fn a_run_that_failed_says_why_and_so_does_its_thread() {
    let error = json!({ "error": "ValueError", "message": "Boo!" });
    let end = json!({ "status": "error", "error": error });
    check_end(failed(), RunStatus::Error, ThreadStatus::Error, end).await;
}

#[tokio::test]
async fn a_run_that_took_too_long_times_out() {
    let error = json!({ "error": "TimeoutError", "message": "the run took longer than it may" });
    let end = json!({ "status": "timeout", "error": error });
    check_end(Cause::Overdue, RunStatus::Timeout, ThreadStatus::Error, end).await;
}

#[tokio::test]
async fn a_run_that_was_cancelled_while_it_ran_leaves_its_thread_interrupted() {
    let end = json!({ "status": "interrupted" });
    check_end(cancelled(), RunStatus::Interrupted, ThreadStatus::Interrupted, end).await;
}

#[tokio::test]
async fn the_state_that_a_run_leaves_is_its_threads() {
    let mut world = World::new().await;
    let run = world.running().await;
    world.finish(&run, failed()).await.unwrap();
    let thread = |world: &World| {
        let ledger = Arc::clone(&world.ledger);
        async move { ledger.read(|tx| tx.thread("t", &Scope::All)).await.unwrap().unwrap() }
    };
    let after = thread(&world).await;
    assert_eq!(after.error, Some(json!({ "error": "ValueError", "message": "Boo!" })));
    assert_eq!(after.values, None);
    let run = world.running().await;
    world.finish(&run, done()).await.unwrap();
    let after = thread(&world).await;
    assert_eq!((after.error, after.values), (None, Some(json!({ "x": 1 }))));
    assert!(after.state_updated_at > run.created_at);
}

#[tokio::test]
async fn what_a_run_told_comes_before_its_end() {
    let mut world = World::new().await;
    let mut run = world.running().await;
    let told: Vec<Entry> = (0..3)
        .map(|n| Entry::of_run(run.id, Kind::Event(mesh_graph::Mode::Custom), 0, &json!(n)))
        .collect();
    let told =
        world.write(move |tx, now| runs::finish(tx, now, &mut run, done(), told)).await.unwrap();
    let seqs: Vec<u64> = told.entries[0].1.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
    let stored = world.ledger.read(|tx| tx.entries("t", 0, 10)).await.unwrap();
    assert_eq!(stored, told.entries[0].1);
}

#[tokio::test]
async fn a_run_that_is_handed_over_waits_again_and_uses_up_no_attempt() {
    let mut world = World::new().await;
    let run = world.running().await;
    let told = world.finish(&run, Cause::Drained).await.unwrap();
    assert!(told.due && told.entries.is_empty());
    let fresh = world.fresh(&run).await;
    assert_eq!((fresh.status, fresh.attempt, fresh.lease_owner), (RunStatus::Pending, 0, None));
    assert_eq!(world.thread().await, ThreadStatus::Busy);
    let again = world.claim_all().await.remove(0);
    assert_eq!((again.attempt, again.epoch), (1, 2));
}

#[tokio::test]
async fn a_lost_run_is_claimed_again_until_its_attempts_are_used_up() {
    let mut world = World::new().await;
    let first = world.running().await;
    let mut run = first.clone();
    for attempt in 1..=ATTEMPTS_MAX {
        assert_eq!(run.attempt, attempt);
        assert!(world.reap(&run).await.owners.is_empty(), "its lease has not passed");
        world.ms += LEASE;
        let told = world.reap(&run).await;
        // While it waits its next execution may begin before this is told, which is not to end.
        let ends = if attempt < ATTEMPTS_MAX { vec![] } else { vec![run.id] };
        assert_eq!(told.owners, ends);
        let refused = world.finish(&run, done()).await;
        assert!(matches!(refused, Err(Error::Fenced { .. })), "a lost worker changes nothing");
        if attempt < ATTEMPTS_MAX {
            assert_eq!(world.status(&run).await, RunStatus::Pending);
            run = world.claim_all().await.remove(0);
        }
    }
    let given_up = world.fresh(&run).await;
    assert_eq!(given_up.status, RunStatus::Error);
    assert_eq!(given_up.error.unwrap()["error"], "WorkerLost");
    assert_eq!(given_up.started_at, first.started_at);
    assert_eq!(world.thread().await, ThreadStatus::Error);
    assert_eq!(world.ends().await.len(), 1);
}

#[tokio::test]
async fn a_step_that_was_stored_gives_a_lost_run_all_its_attempts_back() {
    let mut world = World::new().await;
    let mut run = world.running().await;
    for _ in 0..3 * ATTEMPTS_MAX {
        world.ms += LEASE;
        world.reap(&run).await;
        run = world.claim_all().await.remove(0);
        let (id, epoch) = (run.id, run.epoch);
        world.write(move |tx, _| tx.progressed(id, epoch)).await.unwrap();
    }
    assert_eq!(world.fresh(&run).await.attempt, 1);
}

#[tokio::test]
async fn a_run_over_its_deadline_ends_without_its_worker() {
    let mut world = World::new().await;
    let claim = Claim { time_limit_ms: Some(4000), ..offer() };
    let run = world.try_create(on("t"), Some(claim)).await.unwrap().run;
    world.ms += 4001;
    let now = world.now();
    let overdue = world.ledger.read(move |tx| tx.overdue_runs(now, 10)).await.unwrap();
    assert_eq!(overdue, [run.id]);
    world.reap(&run).await;
    assert_eq!(world.status(&run).await, RunStatus::Timeout);
    assert!(matches!(world.finish(&run, done()).await, Err(Error::Fenced { .. })));
}

#[tokio::test]
async fn after_a_start_no_run_is_running() {
    let mut world = World::new().await;
    let (lost, to_cancel) = (world.running().await, {
        let claim = offer();
        world.try_create(on("u"), Some(claim)).await.unwrap().run
    });
    cancel(&mut world, &to_cancel, CancelAction::Interrupt).await;
    let (count, told) = world.write(runs::settle_after_start).await.unwrap();
    assert_eq!(count, 2);
    assert!(told.due);
    assert_eq!(world.status(&lost).await, RunStatus::Pending);
    assert_eq!(world.status(&to_cancel).await, RunStatus::Interrupted);
}

async fn cancel(world: &mut World, run: &Run, action: CancelAction) -> runs::Cancelled {
    let selection = Selection::Runs { thread: Some(run.thread.clone()), ids: vec![run.id] };
    world
        .write(move |tx, now| runs::cancel(tx, now, &Scope::All, &selection, action))
        .await
        .unwrap()
}

#[tokio::test]
async fn cancelling_a_pending_run_ends_it_at_once_and_its_thread_is_as_before() {
    let mut world = World::new().await;
    let run = world.create().await;
    let cancelled = cancel(&mut world, &run, CancelAction::Interrupt).await;
    assert_eq!((cancelled.runs, cancelled.known), (vec![run.id], 1));
    assert!(cancelled.told.owners.is_empty());
    assert_eq!(world.status(&run).await, RunStatus::Interrupted);
    assert_eq!(world.thread().await, ThreadStatus::Idle);
    assert_eq!(world.ends().await, [(run.id, json!({ "status": "interrupted" }))]);

    let asking = world.running().await;
    world.finish(&asking, Cause::Done(state(true))).await.unwrap();
    let waiting = world.create().await;
    cancel(&mut world, &waiting, CancelAction::Interrupt).await;
    assert_eq!(world.thread().await, ThreadStatus::Interrupted, "its question is still open");
    let again = cancel(&mut world, &waiting, CancelAction::Interrupt).await;
    assert_eq!((again.runs.len(), again.known), (0, 1), "it has ended");
}

#[tokio::test]
async fn cancelling_a_running_run_is_its_workers_until_the_grace_is_over() {
    let mut world = World::new().await;
    let run = world.running().await;
    let cancelled = cancel(&mut world, &run, CancelAction::Interrupt).await;
    assert_eq!(cancelled.told.owners, [run.id]);
    assert_eq!(world.status(&run).await, RunStatus::Running);
    let (id, epoch) = (run.id, run.epoch);
    let guard = world.ledger.read(move |tx| runs::guard(tx, id, epoch)).await.unwrap();
    assert_eq!(guard, runs::Guard::Ending(CancelAction::Interrupt));
    let held = vec![(id, epoch)];
    world.ms += 3000;
    world.write(move |tx, now| runs::renew(tx, now, LEASE, &held)).await.unwrap();
    world.ms += CANCEL_GRACE_MS - 3001;
    assert!(world.reap(&run).await.owners.is_empty());
    world.ms += 1;
    assert_eq!(world.reap(&run).await.owners, [run.id]);
    let ended = world.fresh(&run).await;
    assert_eq!((ended.status, ended.epoch), (RunStatus::Interrupted, epoch + 1));
    assert_eq!(world.thread().await, ThreadStatus::Interrupted);
}

#[tokio::test]
async fn a_run_whose_worker_is_gone_is_cancelled_at_once() {
    let mut world = World::new().await;
    let run = world.running().await;
    world.ms += LEASE;
    cancel(&mut world, &run, CancelAction::Interrupt).await;
    assert_eq!(world.status(&run).await, RunStatus::Interrupted);
}

#[tokio::test]
async fn whoever_cancelled_first_a_run_that_fails_by_it_is_cancelled() {
    let mut world = World::new().await;
    for (cause, status) in [
        (failed(), RunStatus::Interrupted),
        (Cause::Drained, RunStatus::Interrupted),
        (cancelled(), RunStatus::Interrupted),
        // It was faster.
        (done(), RunStatus::Success),
    ] {
        let run = world.running().await;
        cancel(&mut world, &run, CancelAction::Interrupt).await;
        world.finish(&run, cause).await.unwrap();
        assert_eq!(world.status(&run).await, status);
    }
}

#[tokio::test]
async fn a_run_that_is_rolled_back_is_gone_and_its_thread_as_before() {
    for cause in [cancelled(), done(), failed(), Cause::Drained] {
        let mut world = World::new().await;
        let run = world.running().await;
        cancel(&mut world, &run, CancelAction::Rollback).await;
        let told = world.finish(&run, cause).await.unwrap();
        assert_eq!(told.entries[0].1.last().unwrap().kind, Kind::Ended, "followers are told");
        assert_eq!(world.find(&run).await, None);
        assert_eq!(world.thread().await, ThreadStatus::Idle);
        assert_eq!(world.ends().await, [(run.id, json!({ "status": "interrupted" }))]);
    }
}

#[tokio::test]
async fn whoever_asked_for_a_rollback_gets_it_also_if_others_ask_for_less() {
    let mut world = World::new().await;
    let run = world.running().await;
    cancel(&mut world, &run, CancelAction::Interrupt).await;
    cancel(&mut world, &run, CancelAction::Rollback).await;
    cancel(&mut world, &run, CancelAction::Interrupt).await;
    world.finish(&run, cancelled()).await.unwrap();
    assert_eq!(world.find(&run).await, None);
}

#[tokio::test]
async fn a_run_that_is_to_end_after_its_step_is_its_workers_for_as_long_as_that_takes() {
    let mut world = World::new().await;
    let run = world.running().await;
    let cancelled = cancel(&mut world, &run, CancelAction::AfterStep).await;
    assert_eq!((cancelled.told.stopping, cancelled.told.owners), (vec![run.id], vec![]));
    for _ in 0..10 {
        world.ms += LEASE - 1;
        let held = vec![(run.id, run.epoch)];
        let renewed = world.write(move |tx, now| runs::renew(tx, now, LEASE, &held)).await.unwrap();
        assert_eq!(renewed, [runs::Renewal::Ending(CancelAction::AfterStep)]);
        assert_eq!(world.reap(&run).await, Told::default());
    }
    world.finish(&run, Cause::Cancelled { state: Some(state(true)), forced: false }).await.unwrap();
    assert_eq!(world.status(&run).await, RunStatus::Interrupted);
    assert_eq!(world.thread().await, ThreadStatus::Interrupted);
}

#[tokio::test]
async fn what_becomes_of_a_run_in_its_last_step_counts() {
    let mut world = World::new().await;
    for (cause, status) in [
        (done(), RunStatus::Success),
        (failed(), RunStatus::Error),
        (Cause::Drained, RunStatus::Interrupted),
        (cancelled(), RunStatus::Interrupted),
    ] {
        let run = world.running().await;
        cancel(&mut world, &run, CancelAction::AfterStep).await;
        world.finish(&run, cause).await.unwrap();
        assert_eq!(world.status(&run).await, status);
    }
}

#[tokio::test]
async fn who_asks_for_more_than_the_end_of_a_step_gets_it() {
    let mut world = World::new().await;
    let run = world.running().await;
    cancel(&mut world, &run, CancelAction::AfterStep).await;
    let open = Selection::Open(None);
    let all = |action| {
        let open = open.clone();
        move |tx: &mut dyn Tx, now| runs::cancel(tx, now, &Scope::All, &open, action)
    };
    let again = world.write(all(CancelAction::AfterStep)).await.unwrap();
    assert!(again.runs.is_empty(), "it was asked for that already");
    let more = world.write(all(CancelAction::Interrupt)).await.unwrap();
    assert_eq!((more.runs, more.told.owners), (vec![run.id], vec![run.id]));
    cancel(&mut world, &run, CancelAction::AfterStep).await;
    world.ms += CANCEL_GRACE_MS;
    assert_eq!(world.reap(&run).await.owners, [run.id]);
    assert_eq!(world.status(&run).await, RunStatus::Interrupted);
}

#[tokio::test]
async fn all_open_runs_of_a_caller_are_cancelled_by_status() {
    let mut world = World::new().await;
    let (running, pending) = (world.running().await, world.create().await);
    let mut select = async |status| {
        let selection = Selection::Open(status);
        let action = CancelAction::Interrupt;
        let nobody = Scope::Owner("nobody".to_owned());
        let foreign = selection.clone();
        let foreign = world
            .write(move |tx, now| runs::cancel(tx, now, &nobody, &foreign, action))
            .await
            .unwrap();
        assert!(foreign.runs.is_empty());
        let cancelled = world
            .write(move |tx, now| runs::cancel(tx, now, &Scope::All, &selection, action))
            .await
            .unwrap();
        assert!(!cancelled.more);
        cancelled.runs
    };
    assert_eq!(select(Some(RunStatus::Running)).await, [running.id]);
    assert_eq!(select(None).await, [pending.id], "the other one is about to end already");
    assert!(select(None).await.is_empty());
}

#[tokio::test]
async fn a_run_that_is_removed_takes_its_worker_along() {
    let mut world = World::new().await;
    let run = world.running().await;
    let id = run.id;
    let told = world
        .write(move |tx, now| runs::remove(tx, now, &Scope::All, Some("t"), id))
        .await
        .unwrap();
    assert_eq!(told.owners, [id]);
    assert_eq!(world.find(&run).await, None);
    assert_eq!(world.thread().await, ThreadStatus::Idle);
    assert!(matches!(world.finish(&run, done()).await, Err(Error::Fenced { .. })));
    let again = world.write(move |tx, now| runs::remove(tx, now, &Scope::All, None, id)).await;
    assert!(matches!(again, Err(Error::NoRun(_))));
}

#[tokio::test]
async fn a_run_of_another_thread_is_not_there() {
    let mut world = World::new().await;
    let run = world.create().await;
    let id = run.id;
    let removed =
        world.write(move |tx, now| runs::remove(tx, now, &Scope::All, Some("u"), id)).await;
    assert!(matches!(removed, Err(Error::NoRun(_))));
    let selection = Selection::Runs { thread: Some("u".to_owned()), ids: vec![id] };
    let cancelled = world
        .write(move |tx, now| {
            runs::cancel(tx, now, &Scope::All, &selection, CancelAction::Interrupt)
        })
        .await
        .unwrap();
    assert_eq!(cancelled.known, 0);
}

#[tokio::test]
async fn a_thread_of_its_own_goes_some_time_after_its_run_unless_it_is_kept() {
    let mut world = World::new().await;
    let claim = offer();
    let mut threads = Vec::new();
    for keep in [false, true] {
        let own = NewRun::new(assistant(), Target::Own { keep });
        let run = world.try_create(own, Some(claim)).await.unwrap().run;
        assert_eq!(run.kwargs.temporary, !keep);
        world.finish(&run, done()).await.unwrap();
        threads.push(run.thread);
    }
    let mut expired = async || {
        let at = world.now().at;
        let expired = world.ledger.read(move |tx| tx.expired_threads(at, 10)).await.unwrap();
        world.ms += TEMPORARY_GRACE_MS;
        expired.into_iter().map(|(thread, _)| thread).collect::<Vec<_>>()
    };
    assert!(expired().await.is_empty(), "who follows it can still read it");
    assert_eq!(expired().await, threads[..1]);
}

#[tokio::test]
async fn the_webhook_of_a_run_is_written_to_in_the_transaction_of_its_end() {
    let mut world = World::new().await;
    let claim = offer();
    let target = "https://hooks.example/here".to_owned();
    let new = NewRun { webhook: Some(target.clone()), ..on("t") };
    let run = world.try_create(new, Some(claim)).await.unwrap().run;
    assert!(world.letters().is_empty());
    world.finish(&run, done()).await.unwrap();
    let (of, to, body) = world.letters().remove(0);
    assert_eq!((of, to), (run.id, target));
    let body: Json = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["status"], "success");
    assert_eq!(body["values"], json!({ "x": 1 }));
    assert_eq!(body["run_id"], json!(run.id));
    assert_eq!(body["run_started_at"], json!(run.started_at));
    assert!(body.get("error").is_none());
}

#[tokio::test]
async fn a_run_that_ended_without_its_letter_breaks_a_rule() {
    let mut world = World::new().await;
    let new = NewRun { webhook: Some("https://example.org/told".to_owned()), ..on("t") };
    let run = world.try_create(new, Some(offer())).await.unwrap().run;
    world.finish(&run, done()).await.unwrap();
    world.check().await;
    world.file().execute("DELETE FROM outbox", []).unwrap();
    let now = world.now().at;
    let broken = world.ledger.read(move |tx| invariants::check(tx, now)).await.unwrap();
    let rules: Vec<_> = broken.iter().map(|broken| broken.rule).collect();
    assert_eq!(rules, ["I10"], "{broken:?}");
}

#[tokio::test]
async fn an_accepted_run_that_is_not_there_breaks_a_rule() {
    let mut world = World::new().await;
    let run = world.create().await;
    let missing = world.id();
    let accepted = [run.id, missing];
    let found = world.ledger.read(move |tx| invariants::check_accepted(tx, &accepted));
    let broken: Vec<_> = found.await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(broken, [format!("I9: run {missing}: it was accepted, and it is not there")]);
}

#[tokio::test]
async fn a_secret_is_found_wherever_it_is_stored() {
    let mut world = World::new().await;
    let secret = "sesame-0123456789";
    let mut new = on("t");
    new.metadata.insert("note".to_owned(), json!(format!("open {secret}!")));
    new.input = json!({ "deep": [secret] });
    let run = world.try_create(new, Some(offer())).await.unwrap().run;
    let values = Bytes::from(json!({ "said": secret }).to_string());
    world.finish(&run, Cause::Done(State { values, ..state(false) })).await.unwrap();
    let looks = move |bytes: &[u8]| {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        found.then(|| "the word".to_owned()).into_iter().collect()
    };
    let found = world.ledger.read(move |tx| invariants::check_secrets(tx, looks)).await.unwrap();
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    let places = ["runs.doc", "runs.metadata_json", "thread_values.values_json"];
    for place in places {
        let expected = format!("I14: {place}: the word is stored");
        assert!(found.contains(&expected), "{found:?}");
    }
    let other = |_: &[u8]| Vec::new();
    let found = world.ledger.read(move |tx| invariants::check_secrets(tx, other)).await.unwrap();
    assert_eq!(found, []);
}
