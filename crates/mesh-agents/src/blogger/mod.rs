//! The blog-writing agent.
//!
//! [`extract`] writes a post without a model: every sentence is copied from a source.

pub mod extract;
