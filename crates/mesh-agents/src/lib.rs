//! Prebuilt agent graphs: [`blogger`], the blog-writing agent, and the parts that chat agents are
//! built from, such as a rule for [`messages()`].
//!
//! Models come in as [`mesh_model::ChatModel`] values; search, pages and files come in through the
//! traits of [`source`], which this crate owns. It never opens a connection, a file or a database.

pub mod blogger;
mod messages;
pub mod source;
pub mod text;

pub use messages::{messages, messages_channel};
