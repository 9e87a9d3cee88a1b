//! Proof that runs are determined: random graphs, run by the engine and by a naive model.
//!
//! Each seed stands for a graph, for calls on a thread of it, and for an order in which its tasks
//! end. What the engine gives has to be what the model says, fact by fact; then the same graph is
//! cut at random writes and resumed, and has to end the same. `MESH_SEEDS=100000` runs more seeds
//! than a build does, `MESH_SEED=7` runs one and prints it whatever comes of it, and
//! `MESH_FAILURES=5` goes on until so many have failed. `planted/check` shows that faults are found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may be blunt")]

mod model;
mod observed;
mod random_graph;
mod script;
mod shrink;
mod world;

use std::time::{Duration, Instant};

use mesh_graph::{Durability, testing::Fault};
use random_graph::{Ask, Case, Rng};
use tokio::runtime::Runtime;

/// Seeds of an ordinary test run: a few seconds without optimisation.
const SEEDS: u64 = 300;
/// Cases per runtime: the paused clock of one only goes on, and has an end.
const CASES_PER_RUNTIME: u64 = 100;
/// Cuts of each case.
const CUTS: usize = 3;
/// Calls that may be needed to bring a run to its end.
const CALLS_TO_END: usize = 40;

fn paused() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// What the model says, and what the engine gave, line by line. False for a case that is too large.
fn compare(runtime: &Runtime, case: &Case) -> Result<bool, String> {
    let order = case.seed;
    let mut model = model::World::new(case, order);
    runtime.block_on(async {
        let world = world::World::new(case, order, false);
        for (nth, call) in case.calls.iter().enumerate() {
            let name = format!("call {nth}");
            let expected = model.call(&case.flow, call).lines();
            if model.is_too_large() {
                return Ok(false);
            }
            same(&name, &expected, &world.call(call).await.lines())?;
            if case.stored {
                same(&name, &[model.state(&case.flow)], &[world.state().await])?;
            }
        }
        if case.stored {
            same("history", &model.history(&case.flow), &world.history().await)?;
        }
        let starts = |starts: &std::collections::BTreeMap<String, u32>| -> Vec<String> {
            starts.iter().map(|(place, count)| format!("  {count} x {place}")).collect()
        };
        same("starts", &starts(model.starts()), &starts(&world.starts()))?;
        same("never", &[], &world.faults())?;
        Ok(true)
    })
}

/// The first lines that differ, with what came before them.
fn same(name: &str, expected: &[String], found: &[String]) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let at = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
    let before = expected[at.saturating_sub(4)..at].join("\n");
    let line =
        |lines: &[String]| lines.get(at).cloned().unwrap_or_else(|| "  (nothing)".to_owned());
    Err(format!("{name}\n{before}\nmodel: {}\nengine:{}", line(expected), line(found)))
}

/// Brings a thread to its end, whatever it asks and however often it fails. None when it never
/// ends.
async fn to_the_end(world: &world::World, input: &Ask, durability: Durability) -> Option<String> {
    for _ in 0..CALLS_TO_END {
        let snapshot = world.snapshot().await;
        let ask = match (snapshot.checkpoint.is_some(), snapshot.interrupts.is_empty()) {
            (false, _) => input.clone(),
            (true, true) => Ask::Resume,
            (true, false) => Ask::AnswerAll,
        };
        let end = world.call(&world::plainly(ask, durability)).await.end;
        if end == "done" {
            return Some(world::final_state(&world.snapshot().await));
        }
        if world.is_too_large()
            || end.contains("recursion limit")
            || end.contains("concurrent update")
        {
            return None;
        }
    }
    None
}

/// Cuts a run at random writes; returns how many cuts there were.
fn cut(runtime: &Runtime, case: &Case) -> Result<usize, String> {
    let Some(Ask::Input(_)) = case.calls.first().map(|call| &call.ask) else { return Ok(0) };
    if !case.stored {
        return Ok(0);
    }
    let input = case.calls[0].ask.clone();
    let mut rng = Rng::new(case.seed ^ 0xc0_ffee);
    runtime.block_on(async {
        let whole = world::World::new(case, 0, false);
        let modes = [Durability::Sync, Durability::Async, Durability::Exit];
        let durability = modes[rng.below(3)];
        whole.cut(usize::MAX, Fault::FailBefore);
        let Some(expected) = to_the_end(&whole, &input, durability).await else { return Ok(0) };
        let writes = whole.mend();
        same("never", &[], &whole.faults())?;
        for _ in 0..CUTS {
            let (at, order) = (1 + rng.below(writes), rng.next());
            let fault = Fault::ALL[rng.below(4)];
            let durability = modes[rng.below(3)];
            let name = format!("cut at write {at}, {fault:?}, {durability:?}");
            let world = world::World::new(case, order, true);
            world.cut(at, fault);
            let stopped = world.stopped();
            tokio::select! {
                biased;
                () = stopped.cancelled() => {}
                _ = to_the_end(&world, &input, durability) => {}
            }
            world.mend();
            let found = to_the_end(&world, &input, durability).await;
            let found = found.unwrap_or_else(|| "never ends".to_owned());
            same(&name, std::slice::from_ref(&expected), &[found])?;
            world.history().await;
            same(&name, &[], &world.faults())?;
        }
        Ok(CUTS)
    })
}

fn check(runtime: &Runtime, case: &Case) -> Result<usize, String> {
    if compare(runtime, case)? { cut(runtime, case) } else { Ok(0) }
}

/// How long a failing case is made smaller.
const SHRINKING: Duration = Duration::from_secs(5);

/// The smallest case that fails as this one does, and how.
fn tell_failure(runtime: &Runtime, case: &Case, difference: &str) -> String {
    // A case that no longer makes sense fails as well, but says nothing.
    let kind = |difference: &str| {
        (
            difference.starts_with("cut"),
            difference.contains("no node") || difference.contains("UnknownTarget"),
        )
    };
    eprintln!("seed {} fails: {difference}", case.seed);
    if from_env("MESH_SHRINK") == Some(0) {
        return String::new();
    }
    eprintln!("It is made smaller.");
    let begun = Instant::now();
    let smallest = shrink::shrink(case, |smaller| {
        begun.elapsed() < SHRINKING
            && check(runtime, smaller).is_err_and(|other| kind(&other) == kind(difference))
    });
    let told = check(runtime, &smallest).err().unwrap_or_default();
    format!("seed {}, made smaller:\n{}\n{told}", case.seed, shrink::show(&smallest))
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_graphs_run_as_the_model_says() {
    std::panic::set_hook(Box::new(|info| {
        let scripted = info
            .payload()
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| info.payload().downcast_ref::<&str>().copied());
        if scripted != Some("as the script says") {
            eprintln!("{info}");
        }
    }));
    let (from, count) = match from_env("MESH_SEED") {
        Some(seed) => (seed, 1),
        None => (from_env("MESH_SEEDS_FROM").unwrap_or(0), from_env("MESH_SEEDS").unwrap_or(SEEDS)),
    };
    let begun = Instant::now();
    let most = from_env("MESH_FAILURES").unwrap_or(1) as usize;
    let mut failed: Vec<u64> = Vec::new();
    let (mut cuts, mut runtime) = (0, paused());
    let mut tested = 0_u32;
    for seed in from..from + count {
        tested += 1;
        if seed % CASES_PER_RUNTIME == 0 {
            runtime = paused();
        }
        let case = Case::of(seed);
        if count == 1 {
            println!("{}", shrink::show(&case));
        }
        match check(&runtime, &case) {
            Ok(done) => cuts += done,
            Err(difference) => {
                let failure = tell_failure(&runtime, &case, &difference);
                eprintln!("{failure}\n");
                failed.push(seed);
                if failed.len() >= most {
                    break;
                }
            }
        }
    }
    let took = begun.elapsed();
    println!("{tested} seeds, {cuts} cuts, {:.0} seeds/s", f64::from(tested) / took.as_secs_f64());
    assert!(failed.is_empty(), "seeds {failed:?} fail; run one again with MESH_SEED=…");
}
