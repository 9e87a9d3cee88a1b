//! Prebuilt agent graphs. Today: [`blogger`], the blog-writing agent.
//!
//! Models come in as [`mesh_model::ChatModel`] values; search, pages and files come in through the
//! traits of [`source`], which this crate owns. It never opens a connection, a file or a database.

pub mod blogger;
pub mod source;
pub mod text;
