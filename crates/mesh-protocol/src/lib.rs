//! The wire: what clients send and what they get, as types with JSON Schema.
//!
//! Shapes follow the LangGraph Agent Server, so that its clients work unchanged. Members that a
//! client leaves out and members that are null mean the same. This crate has no behaviour and knows
//! none of the others.

mod error;

pub use error::ErrorBody;
