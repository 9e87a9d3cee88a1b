//! The engine's behaviour, one test per case of its matrix.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_raw_string_hashes,
    reason = "tests may be blunt, and expect-test writes its literals with hashes"
)]

mod ahead;
mod breaks;
mod builds;
mod cache;
mod calls;
mod channels;
mod checkpointers;
mod configs;
mod cut_mounts;
mod deltas;
mod drawings;
mod durability;
mod failures;
mod found;
mod fronts;
mod functional;
mod inputs;
mod interrupts;
mod joins;
mod kit;
mod lints;
mod messages;
mod mounts;
mod ordered;
mod parents;
mod parts;
mod pauses;
mod protocol;
mod rescues;
mod retries;
mod shared;
mod state;
mod steps;
mod stores;
mod streams;
mod supersteps;
mod untyped;
mod versions;
