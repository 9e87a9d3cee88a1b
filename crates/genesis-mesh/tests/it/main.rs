//! The real binary, run in a clean environment and a folder of its own; and the handbook's table
//! of settings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may be blunt")]

mod auth;
mod blog;
mod clients;
mod command_line;
mod doctor;
mod handbook;
mod mesh;
mod model;
mod process;
mod react;
mod serving;
mod studio;
