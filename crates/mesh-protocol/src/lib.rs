//! The wire: what clients send and what they get, as types with JSON Schema.
//!
//! Shapes follow the LangGraph Agent Server, so that its clients work unchanged. Members that a
//! client leaves out and members that are null mean the same. This crate has no behaviour and knows
//! none of the others.

pub mod access;
pub mod assistant;
pub mod cron;
mod error;
pub mod event;
pub mod run;
pub mod search;
pub mod socket;
pub mod state;
pub mod store;
pub mod system;
pub mod thread;

pub use error::ErrorBody;
pub use run::StreamMode;
