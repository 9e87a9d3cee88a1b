//! The blog-writing agent: from a topic to a post whose every sentence leads to a source.
//!
//! [`graph()`] is the agent ([`reviewed_graph()`] asks about its outline), [`Blogger`] what it is given, [`Request`] what it is asked. In model
//! mode a planner makes the outline and an executor writes the sections from numbered passages; in
//! extract mode ([`extract`]) no model is asked, and every sentence is copied.
//!
//! Models, search, pages and files are handed in; nothing here opens a connection or a file.

mod checks;
mod collect;
mod deps;
mod error;
pub mod extract;
mod extractive;
mod graph;
mod plan;
mod post;
mod prompts;
mod request;
mod research;
mod review;
mod revised;
mod revision;
pub mod state;
mod writer;

pub use deps::{Blogger, Models, PARALLEL_SECTIONS, Role};
pub use error::BlogError;
pub use graph::{graph, reviewed_graph};
pub use plan::SECTIONS_MAX;
pub use request::{InvalidRequest, Mode, Request, SOURCES_MAX, Sources, TOPIC_CHARS, WORDS, Words};
pub use review::{EditedSection, PlanDecision};
