//! The server over real connections: what a client sends, what it reads, how it is closed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may be blunt")]

mod assistants;
mod auth;
mod errors;
mod frames;
mod http;
mod kept;
mod kit;
mod leaving;
mod limits;
mod runner;
mod runs;
mod stopping;
mod store;
mod streams;
mod system;
mod threads;
mod wait;
