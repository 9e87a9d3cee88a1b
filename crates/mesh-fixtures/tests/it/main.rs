//! The fixture graphs, as the suites that drive them would see them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may be blunt")]

mod js;
mod kit;
mod list;
mod measure;
mod people;
mod python;
