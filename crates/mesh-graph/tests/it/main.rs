//! The engine's behaviour, one test per case of its matrix.

mod channels;
mod checkpointers;
mod inputs;
mod interrupts;
mod kit;
mod mounts;
mod state;
mod streams;
mod supersteps;
