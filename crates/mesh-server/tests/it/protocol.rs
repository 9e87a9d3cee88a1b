//! The event protocol over HTTP and over its socket.

mod answers;
mod commands;
mod events;
mod socket;
mod world;

pub(crate) use world::is_end;
