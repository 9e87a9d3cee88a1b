//! Genesis Mesh Agent Framework: the front door.
//!
//! The one crate that wires the others together. [`settings`] turns flags, environment and
//! files into one typed value that knows where each part came from; [`cli`] is the grammar of
//! the command line. Neither opens a port, a database or a connection. [`mesh`] puts a mesh
//! together and serves it; [`serve`] does so as the settings have it.

pub mod agents;
pub mod assistants;
mod auth;
pub mod blog;
pub mod blogger;
pub mod cli;
pub mod doctor;
#[cfg(feature = "fixtures")]
pub mod fixtures;
pub mod handbook;
pub mod keys;
pub mod mesh;
mod models;
pub mod serve;
pub mod settings;
pub mod shelf;
pub mod webhooks;

pub use mesh::{Builder, GenesisMesh, ReadyMesh};
pub use mesh_server::{Access, Assistant, InvalidRequest, Limits};

/// The product's name as people read it; the only place it is written in code.
pub const PRODUCT: &str = "Genesis Mesh Agent Framework";

/// The workspace version, the same for the command line, the wire and the user agent.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
