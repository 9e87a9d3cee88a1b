//! SQLite behind the storage traits of mesh-graph and mesh-runtime.
//!
//! One database file holds everything a data directory has to keep. [`Sqlite`] owns it; the traits'
//! implementations are handed out by it. This crate knows no HTTP, and of graphs only what their
//! storage traits say.

mod error;
mod sqlite;

pub use error::Error;
pub use sqlite::{
    GROUP_MAX, GROUP_TIME, KeysBeside, READERS, Sqlite, SqliteCheckpointer, SqliteLedger,
    SqliteStore, Synchronous, WRITE_QUEUE,
};
