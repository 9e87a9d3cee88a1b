//! The database file as its users meet it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may be blunt")]

mod crons;
mod executions;
mod files;
mod keys;
mod kill;
mod runs;
mod simulation;
mod sizes;
mod suite;
mod thread_life;
mod thread_rows;
mod threads;
