//! Behaviour of the crate from outside.

// Clippy knows a test by its attribute, and the functions that tests share have none.
#![allow(clippy::unwrap_used, clippy::panic)]

mod conversation;
mod messages;
mod replies;
mod structured;
