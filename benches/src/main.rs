//! `mesh-bench`: how long a graph takes, as one line of JSON.
//!
//! ```text
//! mesh-bench --case sequential_1000 --ckpt memory --runs 5 --dir /tmp/bench
//! ```
//!
//! The shapes of the cases are those of LangGraph's own benchmarks, so that other harnesses can
//! run the same ones. `benches/compare` runs everything side by side and prints the ratios.

#![allow(clippy::print_stdout, reason = "the one line on standard output is what it is for")]

mod case;
mod cases;
mod floor;
mod measure;
mod storage;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};

use crate::{case::Case, measure::Report, storage::Storage};

/// The allocator of the binary that is shipped, for the floors as well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit status for a case that an engine cannot express.
const CANNOT_EXPRESS: u8 = 3;

/// Measures one case.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// sequential_N, fanout_to_subgraph_Kx, wide_state_AxN, react_agent_Kx, paused_N, chat_N
    #[arg(long)]
    case: Case,
    /// Where checkpoints go
    #[arg(long, value_enum, default_value_t = Storage::None)]
    ckpt: Storage,
    /// Samples; each takes at least 100 ms
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Folder for databases
    #[arg(long)]
    dir: PathBuf,
    /// What runs the case
    #[arg(long, value_enum, default_value_t = Engine::GenesisMesh)]
    engine: Engine,
    /// Threads of the runtime
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// What runs the case: the engine, or a floor that shows what the same work costs without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// The engine of this repository.
    GenesisMesh,
    /// A loop that awaits the same boxed functions over one typed state.
    F1,
    /// The smallest superstep loop: channels by index, versions, one update map per task.
    F2,
    /// The same with every task spawned.
    F2s,
    /// One bare SQLite commit per superstep, and nothing else.
    Commit,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.threads.max(1))
        .enable_all()
        .build();
    let result = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        // On a worker of the runtime, as a server's handlers are.
        let mut worker = tokio::task::JoinSet::new();
        worker.spawn_on(measure(options), runtime.handle());
        match runtime.block_on(worker.join_next()) {
            Some(measured) => measured?,
            None => Ok(None),
        }
    });
    match result {
        Ok(Some(report)) => {
            println!("{}", report.line());
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::from(CANNOT_EXPRESS),
        Err(error) => {
            println!("{}", serde_json::json!({ "error": format!("{error:#}") }));
            ExitCode::FAILURE
        }
    }
}

/// Measures what was asked for; none for a case that the engine cannot express.
async fn measure(options: Options) -> anyhow::Result<Option<Report>> {
    std::fs::create_dir_all(&options.dir)?;
    let case = options.case;
    let storage = options.ckpt.open(&options.dir).await?;
    let stored = options.ckpt != Storage::None;
    let workload = match options.engine {
        Engine::GenesisMesh => Some(cases::engine(case, storage)?),
        // The floors keep nothing.
        Engine::F1 | Engine::F2 | Engine::F2s if stored => None,
        Engine::F1 => cases::f1(case),
        Engine::F2 => cases::f2(case, floor::Spawn::Never),
        Engine::F2s => cases::f2(case, floor::Spawn::Always),
        Engine::Commit => storage::commits(case, options.ckpt, &options.dir)?,
    };
    let Some(workload) = workload else { return Ok(None) };
    let peer = match options.engine {
        Engine::GenesisMesh => format!("genesis-mesh {}", env!("CARGO_PKG_VERSION")),
        Engine::F1 => "floor F1".to_owned(),
        Engine::F2 => "floor F2".to_owned(),
        Engine::F2s => "floor F2s".to_owned(),
        Engine::Commit => "floor commit".to_owned(),
    };
    let samples = measure::samples(workload.once, options.runs).await?;
    let ckpt = options.ckpt.name();
    Ok(Some(Report { peer, case: case.to_string(), ckpt, samples, scale: workload.scale }))
}
