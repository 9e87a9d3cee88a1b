//! The server over real connections: what a client sends, what it reads, how it is closed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may be blunt")]

mod access;
mod assistants;
mod auth;
mod bad_input;
mod errors;
mod frames;
mod graphs;
mod http;
mod idempotency;
mod kept;
mod kit;
mod leaving;
mod limits;
mod native;
mod protocol;
mod runner;
mod runs;
mod starting;
mod starving;
mod state;
mod stateful;
mod stopping;
mod store;
mod streams;
mod system;
mod thread_rest;
mod threads;
mod wait;
