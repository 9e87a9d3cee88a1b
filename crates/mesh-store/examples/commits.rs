//! What a checkpoint costs: a chain of supersteps on one thread, then on many at once.
//!
//! `cargo run --release -p mesh-store --example commits [directory]`; the directory decides which
//! disk is measured.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::time::Instant;

use mesh_graph::{App, Ctx, Durability, Error, Graph, NodeResult, START, State, View};
use mesh_store::Sqlite;
use tokio::task::JoinSet;

/// Supersteps per thread.
const STEPS: u32 = 100;

#[derive(State)]
struct Chain {
    #[state(append)]
    log: Vec<String>,
    last: String,
}

async fn step(_: View<Chain>, ctx: Ctx) -> NodeResult<ChainUpdate> {
    let text = format!("step {} did something worth a line of text", ctx.info().step);
    Ok(Chain::update().push_log(text.clone()).last(text))
}

async fn run(app: &App<Chain>, threads: u32, durability: Durability) -> Result<(), Error> {
    let mut runs = JoinSet::new();
    for thread in 0..threads {
        let name = format!("{durability:?} {threads} {thread}");
        let run = app.run(Chain::update()).thread(&name).recursion_limit(STEPS);
        runs.spawn(run.durability(durability).invoke());
    }
    while let Some(run) = runs.join_next().await {
        match run {
            Ok(Ok(_) | Err(Error::RecursionLimit { .. })) => {}
            Ok(Err(error)) => return Err(error),
            Err(panic) => println!("a run ended badly: {panic}"),
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let directory = tempfile::tempdir_in(parent)?;
    let database = Sqlite::open(directory.path().join("commits.db")).await?;
    let mut graph = Graph::<Chain>::new("chain");
    graph.node("step", step);
    graph.edge(START, "step").edge("step", "step");
    let app = graph.compile()?.app(()).checkpointer(database.checkpointer());
    run(&app, 1, Durability::Sync).await?;
    for durability in [Durability::Sync, Durability::Async] {
        for threads in [1, 64] {
            let begun = Instant::now();
            run(&app, threads, durability).await?;
            let took = begun.elapsed();
            let commits = threads * (STEPS + 2);
            println!(
                "{durability:?}, {threads} threads: {commits} commits in {took:?}, {:.0} µs each",
                took.as_micros() as f64 / f64::from(commits)
            );
        }
    }
    let bytes = std::fs::metadata(database.path())?.len();
    println!("database: {bytes} bytes before closing");
    database.close().await;
    Ok(())
}
