//! The cases, each as a graph of the engine and as the same work on the floors.

mod chat;
mod fanout;
mod paused;
mod react;
mod sequential;
mod wide_state;

use mesh_graph::{Mode, Run};

use crate::{case::Case, floor::Spawn, measure::Workload, storage::Checkpointers};

/// The case as a graph of the engine.
pub(crate) fn engine(case: Case, storage: Checkpointers) -> anyhow::Result<Workload> {
    let once = match case {
        Case::Sequential(nodes) => sequential::engine(nodes, storage)?,
        Case::Fanout(sends) => fanout::engine(sends, storage)?,
        Case::React(rounds) => react::engine(rounds, storage)?,
        Case::WideState(entries, limit) => wide_state::engine(entries, limit, storage)?,
        Case::Paused(threads) => paused::engine(threads, storage)?,
        Case::Chat(turns) => chat::engine(turns, storage)?,
    };
    Ok(Workload { once, scale: case.scale() })
}

/// The case as a plain loop over a typed state.
pub(crate) fn f1(case: Case) -> Option<Workload> {
    let once = match case {
        Case::Sequential(nodes) => sequential::f1(nodes),
        Case::Fanout(sends) => fanout::f1(sends),
        Case::WideState(entries, limit) => wide_state::f1(entries, limit),
        Case::React(_) | Case::Paused(_) | Case::Chat(_) => return None,
    };
    Some(Workload { once, scale: case.scale() })
}

/// The case on the smallest superstep loop.
pub(crate) fn f2(case: Case, spawn: Spawn) -> Option<Workload> {
    let once = match case {
        Case::Sequential(nodes) => sequential::f2(nodes, spawn),
        Case::Fanout(sends) => fanout::f2(sends, spawn),
        Case::WideState(entries, limit) => wide_state::f2(entries, limit, spawn),
        Case::React(_) | Case::Paused(_) | Case::Chat(_) => return None,
    };
    Some(Workload { once, scale: case.scale() })
}

/// Runs to the end and reads every `updates` event.
async fn read<S>(run: Run<S>) -> anyhow::Result<()> {
    let mut running = run.stream([Mode::Updates]).recursion_limit(u32::MAX).start()?;
    while let Some(event) = running.next().await {
        std::hint::black_box(event);
    }
    running.finish().await?;
    Ok(())
}

/// Names for threads: every run has one of its own.
fn threads() -> impl FnMut() -> String + Send {
    let mut next = 0_u64;
    move || {
        next += 1;
        format!("thread-{}-{next}", std::process::id())
    }
}
