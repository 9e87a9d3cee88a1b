//! Agents from outside: their graphs on scripted models and given documents.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should say where"
)]

mod agents;
mod blogger;
mod messages;
mod reflection;
mod request;
mod revisions;
mod teams;
mod tools;
