//! Anything in any order: whatever is done to runs, the rules hold after it.

use super::*;
use mesh_runtime::{run::CancelAction, runs::Selection};

/// Operations of one storm.
const OPERATIONS: usize = 400;

/// Threads that runs meet on.
const THREADS: u64 = 3;

/// Numbers that follow from a seed: SplitMix64.
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let bound = all.len() as u64;
        (bound > 0).then(|| &all[self.below(bound) as usize])
    }
}

/// A worker's view: runs that it once claimed. It may have lost any of them and not know it.
type Held = Vec<Run>;

async fn storm(mut world: World, seed: u64) {
    let mut draws = Draws(seed);
    let mut held: Held = Vec::new();
    let mut made: Vec<Run> = Vec::new();
    let mut finished = 0;
    for _ in 0..OPERATIONS {
        match draws.below(12) {
            0..4 => {
                let multitask = *draws
                    .of(&[
                        Multitask::Reject,
                        Multitask::Enqueue,
                        Multitask::Enqueue,
                        Multitask::Interrupt,
                        Multitask::Rollback,
                    ])
                    .unwrap();
                let target = match draws.below(8) {
                    0 => Target::Own { keep: draws.below(2) == 0 },
                    _ => Target::Thread { id: format!("t{}", draws.below(THREADS)), make: true },
                };
                let after_ms = if draws.below(4) == 0 { 5000 } else { 0 };
                let new = NewRun { multitask, after_ms, ..NewRun::new(assistant(), target) };
                let claim =
                    Claim { time_limit_ms: (draws.below(5) == 0).then_some(8000), ..offer() };
                let claim = (draws.below(2) == 0).then_some(claim);
                match world.try_create(new, claim).await {
                    Ok(created) => {
                        held.extend(created.is_claimed.then(|| created.run.clone()));
                        made.push(created.run);
                    }
                    Err(Error::Busy { .. }) => assert_eq!(multitask, Multitask::Reject),
                    Err(error) => panic!("{error}"),
                }
            }
            4 => held.extend(world.claim_all().await),
            5..8 => {
                if held.is_empty() {
                    continue;
                }
                let index = draws.below(held.len() as u64) as usize;
                let mut run = held.swap_remove(index);
                let causes = [done(), Cause::Done(state(true)), failed(), cancelled()];
                let cause = match draws.below(6) {
                    4 => Cause::Drained,
                    5 => Cause::Overdue,
                    n => causes[n as usize].clone(),
                };
                let told = (0..draws.below(3))
                    .map(|_| {
                        Entry::of_run(run.id, Kind::Event(mesh_graph::Mode::Custom), 0, &json!(1))
                    })
                    .collect();
                let id = run.id;
                let before = world.ledger.read(move |tx| tx.standing(id)).await.unwrap();
                let epoch = run.epoch;
                let result =
                    world.write(move |tx, now| runs::finish(tx, now, &mut run, cause, told)).await;
                let was_its = before.is_some_and(|standing| {
                    standing.status == RunStatus::Running && standing.epoch == epoch
                });
                match result {
                    Ok(_) => assert!(was_its, "a worker that lost its run changed it"),
                    Err(Error::Fenced { .. }) => assert!(!was_its),
                    Err(error) => panic!("{error}"),
                }
                finished += usize::from(was_its);
            }
            8 => {
                let action = *draws
                    .of(&[CancelAction::AfterStep, CancelAction::Interrupt, CancelAction::Rollback])
                    .unwrap();
                let ids = draws.of(&made).map(|run| run.id).into_iter().collect();
                let selection = match draws.below(10) {
                    0 => Selection::Open(None),
                    1 => Selection::Open(Some(RunStatus::Pending)),
                    _ => Selection::Runs { thread: None, ids },
                };
                world
                    .write(move |tx, now| runs::cancel(tx, now, &Scope::All, &selection, action))
                    .await
                    .unwrap();
            }
            9 => {
                world.ms += 1 + draws.below(7000) as i64;
                let now = world.now();
                let overdue = world.ledger.read(move |tx| tx.overdue_runs(now, 100)).await.unwrap();
                for id in overdue {
                    world.write(move |tx, now| runs::reap(tx, now, id)).await.unwrap();
                }
            }
            10 => {
                let held = held.iter().map(|run| (run.id, run.epoch)).collect::<Vec<_>>();
                world.write(move |tx, now| runs::renew(tx, now, LEASE, &held)).await.unwrap();
            }
            _ if draws.below(4) == 0 => {
                // A new process: nobody has any of the runs any more.
                world.write(runs::settle_after_start).await.unwrap();
                let now = world.now();
                let all = Now { ms: i64::MAX, ..now };
                let running = world.ledger.read(move |tx| tx.overdue_runs(all, 1)).await.unwrap();
                assert!(running.is_empty());
            }
            _ => {
                let Some(run) = draws.of(&made).cloned() else { continue };
                let removed = world
                    .write(move |tx, now| runs::remove(tx, now, &Scope::All, None, run.id))
                    .await;
                assert!(matches!(removed, Ok(_) | Err(Error::NoRun(_))));
            }
        }
        world.check().await;
    }
    assert!(finished > OPERATIONS / 20, "only {finished} runs ended by themselves");

    // Whatever is left comes to its end.
    for _ in 0..2 * OPERATIONS {
        world.ms += LEASE;
        world.write(runs::settle_after_start).await.unwrap();
        let claimed = world.claim_all().await;
        if claimed.is_empty() {
            break;
        }
        for run in claimed {
            world.finish(&run, done()).await.unwrap();
        }
    }
    world.check().await;
    let until = world.now().at;
    let open = world
        .ledger
        .read(move |tx| tx.open_ids(None, None, until, CancelAction::Interrupt, 1))
        .await
        .unwrap();
    assert!(open.is_empty(), "every run reaches its end");
}

#[tokio::test]
async fn the_rules_hold_whatever_is_done_in_whatever_order() {
    for seed in 0..6 {
        storm(World::new().await, seed).await;
    }
    for seed in 6..12 {
        storm(World::in_memory(), seed).await;
    }
}
