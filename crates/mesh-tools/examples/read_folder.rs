//! Reads the documents of a folder that fit a query, and tells what that cost:
//! `cargo run --release --example read_folder -- FOLDER QUERY [DOCUMENTS]`.

use std::{
    fs,
    io::{Write as _, stdout},
    time::Instant,
};

use anyhow::Context as _;
use mesh_agents::source::Collection as _;
use mesh_tools::Folder;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut out = stdout();
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("which folder?")?;
    let query = arguments.next().context("which query?")?;
    let documents_max = arguments.next().map_or(Ok(12), |text| text.parse())?;
    let started = Instant::now();
    let collected = Folder::open(&folder)?.read(&query, documents_max).await?;
    let elapsed = started.elapsed();
    for document in &collected.documents {
        let title = document.title.as_deref().unwrap_or("-");
        writeln!(out, "{:>8}  {}  {title}", document.text.len(), document.location)?;
    }
    for problem in &collected.problems {
        writeln!(out, "skipped {}: {}", problem.subject, problem.reason)?;
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
    writeln!(out, "{} files considered in {elapsed:.2?}; {peak}", collected.considered)?;
    Ok(())
}
