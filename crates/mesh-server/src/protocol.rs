//! The event protocol: what happens on a thread, as one numbered stream of events, and commands.
//!
//! A thread's events are its log, translated entry by entry, so everybody who listens gets the
//! same events with the same numbers, whenever they come and however often. A connection holds its
//! place in the log, a filter, and what is open in the run that it is in the middle of; it holds
//! no queue, and nobody waits for it.
//!
//! Commands are one function, [`command::answer`], whichever way they come in.

pub(crate) mod command;
mod feed;
mod filter;
mod pause;
mod respond;
pub(crate) mod socket;
mod start;
mod state;
pub(crate) mod tail;
mod translator;
mod tree;

pub(crate) use filter::{Flaw, subscription};
pub(crate) use pause::Watchers;
