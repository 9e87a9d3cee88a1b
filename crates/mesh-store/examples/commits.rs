//! What a checkpoint costs: a chain of supersteps on one thread, then on many at once, beside a
//! bare commit of the same disk; and what a long chat takes.
//!
//! `cargo run --release -p mesh-store --example commits [directory]`; the directory decides which
//! disk is measured.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::{path::Path, time::Instant};

use mesh_graph::{App, Ctx, Durability, Error, Graph, NodeResult, START, State, View};
use mesh_store::{Sqlite, Synchronous};
use tokio::task::JoinSet;

/// Supersteps per thread.
const STEPS: u32 = 500;

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

/// Turns of the chat.
const TURNS: usize = 150;

#[derive(State)]
struct Chat {
    #[state(append)]
    messages: Vec<String>,
}

async fn reply(chat: View<Chat>, _: Ctx) -> NodeResult<ChatUpdate> {
    Ok(Chat::update().push_messages(format!("that was message {}", chat.messages.len())))
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

/// What a commit costs by itself: one row of a kilobyte in a database of its own.
fn bare(path: &Path, synchronous: &str) -> Result<f64, rusqlite::Error> {
    const COMMITS: u32 = 1000;
    let connection = rusqlite::Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.execute_batch("CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB)")?;
    let mut insert = connection.prepare("INSERT INTO rows (body) VALUES (zeroblob(1000))")?;
    let begun = Instant::now();
    for _ in 0..COMMITS {
        insert.execute([])?;
    }
    Ok(begun.elapsed().as_micros() as f64 / f64::from(COMMITS))
}

async fn steps(
    directory: &Path,
    synchronous: Synchronous,
) -> Result<(), Box<dyn std::error::Error>> {
    let name = format!("{synchronous:?}");
    let bare = bare(&directory.join(format!("{name}-bare.db")), &name)?;
    println!("{name}: a bare commit takes {bare:.0} µs");
    let database = Sqlite::open_with(directory.join(format!("{name}.db")), synchronous).await?;
    let mut graph = Graph::<Chain>::new("chain");
    graph.node("step", step);
    graph.edge(START, "step").edge("step", "step");
    let app = graph.compile()?.app(()).checkpointer(database.checkpointer());
    run(&app, 2, Durability::Sync).await?;
    for durability in [Durability::Sync, Durability::Async] {
        for threads in [1, 64] {
            let begun = Instant::now();
            run(&app, threads, durability).await?;
            let took = begun.elapsed();
            let commits = threads * (STEPS + 2);
            let each = took.as_micros() as f64 / f64::from(commits);
            println!("{name}, {durability:?}, {threads} threads: {each:.0} µs a step");
        }
    }
    database.close().await;
    Ok(())
}

async fn chat(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let database = Sqlite::open(directory.join("chat.db")).await?;
    let mut graph = Graph::<Chat>::new("chat");
    graph.node("reply", reply);
    graph.edge(START, "reply");
    let app = graph.compile()?.app(()).checkpointer(database.checkpointer());
    let mut turns = Vec::with_capacity(TURNS);
    for turn in 0..TURNS {
        let text = format!("{turn} {}", "x".repeat(1000));
        let begun = Instant::now();
        app.run(Chat::update().push_messages(text)).thread("t").invoke().await?;
        turns.push(begun.elapsed().as_micros());
    }
    let mean = |turns: &[u128]| turns.iter().sum::<u128>() / turns.len() as u128;
    let (first, last) = (mean(&turns[1..21]), mean(&turns[TURNS - 20..]));
    database.clone().close().await;
    let bytes = std::fs::metadata(database.path())?.len();
    println!(
        "chat: {bytes} bytes after {TURNS} turns; a turn took {first} µs, at the end {last} µs"
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parent = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let directory = tempfile::tempdir_in(parent)?;
    for synchronous in [Synchronous::Normal, Synchronous::Full] {
        steps(directory.path(), synchronous).await?;
    }
    chat(directory.path()).await
}
