//! What is taken on, and how long it is kept, as the policy has it.

use mesh_runtime::{Limit, Policy, idempotency::KEY_KEPT, thread::TtlStrategy};

use super::*;

async fn world(policy: Policy) -> World {
    World { policy, ..World::new().await }
}

impl World {
    async fn create_as(&mut self, owner: &str, thread: &str) -> Result<Created, Error> {
        let scope = Scope::Owner(owner.to_owned());
        let ids = Ids { run: self.id(), thread: self.id() };
        let (new, policy) = (on(thread), self.policy);
        self.write(move |tx, now| runs::create(tx, now, &scope, ids, new, None, &policy)).await
    }

    fn expires_at(&self, thread: &str) -> Option<i64> {
        let file = self.file();
        let sql = "SELECT expires_at / 1000 FROM threads WHERE id = ?";
        file.query_row(sql, [thread], |row| row.get(0)).unwrap()
    }
}

fn limit<T: std::fmt::Debug>(done: Result<T, Error>) -> (Limit, usize) {
    match done {
        Err(Error::Full { limit, max }) => (limit, max),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn so_many_runs_of_one_owner_wait_and_those_of_others_have_their_own_count() {
    let mut world = world(Policy { pending_runs_max: 2, ..Policy::default() }).await;
    world.create_as("ada", "a").await.unwrap();
    world.create_as("ada", "b").await.unwrap();
    assert_eq!(limit(world.create_as("ada", "c").await), (Limit::PendingRuns, 2));
    assert!(world.ledger.read(|tx| tx.head("c")).await.unwrap().is_none(), "nothing was made");
    world.create_as("bob", "c").await.unwrap();
    // One that begins does not wait any more.
    world.write(|tx, now| runs::claim_run(tx, now, offer(), "a")).await.unwrap().unwrap();
    world.create_as("ada", "d").await.unwrap();
    assert_eq!(limit(world.create_as("ada", "e").await), (Limit::PendingRuns, 2));
}

#[tokio::test]
async fn a_run_that_a_worker_takes_at_once_does_not_wait() {
    let mut world = world(Policy { pending_runs_max: 1, ..Policy::default() }).await;
    world.try_create(on("a"), None).await.unwrap();
    assert_eq!(limit(world.try_create(on("b"), None).await), (Limit::PendingRuns, 1));
    assert!(world.try_create(on("b"), Some(offer())).await.unwrap().is_claimed);
    let later = NewRun { after_ms: 1, ..on("c") };
    assert_eq!(limit(world.try_create(later, Some(offer())).await), (Limit::PendingRuns, 1));
    assert_eq!(limit(world.try_create(on("b"), Some(offer())).await), (Limit::PendingRuns, 1));
}

#[tokio::test]
async fn a_thread_whose_state_is_too_large_takes_no_more_runs() {
    let values = state(false).values.len();
    let mut fits = world(Policy { state_bytes_max: values, ..Policy::default() }).await;
    let mut over = world(Policy { state_bytes_max: values - 1, ..Policy::default() }).await;
    for world in [&mut fits, &mut over] {
        let run = world.running().await;
        world.finish(&run, done()).await.unwrap();
    }
    fits.try_create(on("t"), None).await.unwrap();
    assert_eq!(limit(over.try_create(on("t"), None).await), (Limit::State, values - 1));
    over.try_create(on("u"), None).await.unwrap();
}

#[tokio::test]
async fn a_thread_that_a_run_makes_is_kept_for_the_default_time() {
    let thread_ttl = Some((10.0, TtlStrategy::KeepLatest));
    let mut world = world(Policy { thread_ttl, ..Policy::default() }).await;
    let own = |keep| NewRun::new(assistant(), Target::Own { keep });
    let [there, kept, gone] = [on("t"), own(true), own(false)];
    for (new, minutes) in [(there, Some(10)), (kept, Some(10)), (gone, None)] {
        let run = world.try_create(new, Some(offer())).await.unwrap().run;
        let began = world.expires_at(&run.thread);
        assert_eq!(began, minutes.map(|minutes| world.ms + minutes * 60_000));
        world.ms += 60_000;
        world.finish(&run, done()).await.unwrap();
        let ended = world.expires_at(&run.thread).unwrap();
        let kept_ms = minutes.map_or(runs::TEMPORARY_GRACE_MS, |minutes| minutes * 60_000);
        assert_eq!(ended, world.ms + kept_ms, "its time begins anew when it was used");
    }
}

#[tokio::test]
async fn what_a_stateless_run_under_a_key_leaves_can_be_asked_for_as_long_as_the_key() {
    let mut world = World::new().await;
    let own = NewRun::new(assistant(), Target::Own { keep: false });
    let new = NewRun { under_key: true, ..own };
    let run = world.try_create(new, Some(offer())).await.unwrap().run;
    assert!(world.fresh(&run).await.kwargs.under_key);
    let made = world.ms;
    world.ms += 5000;
    world.finish(&run, done()).await.unwrap();
    let expires = world.expires_at(&run.thread).unwrap();
    assert_eq!(expires, made + KEY_KEPT.as_millis() as i64);
}
