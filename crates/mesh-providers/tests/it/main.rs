//! Providers against recorded exchanges, over real connections to a server in this process.

// Clippy knows a test by its attribute, and the functions that tests share have none.
#![allow(clippy::unwrap_used, clippy::panic)]

mod openai;
mod recording;
