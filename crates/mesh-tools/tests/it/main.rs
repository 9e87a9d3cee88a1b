//! What the tools do with servers and folders that behave, misbehave and attack.

// Clippy knows a test by its attribute, and the functions that tests share have none.
#![allow(clippy::unwrap_used, clippy::panic)]

mod fetch;
mod folder;
mod main_text;
mod searxng;
mod server;
mod shelf;
