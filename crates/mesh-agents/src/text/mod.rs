//! Reading natural language without a model: blocks, sentences, words, and what ranks them.
//!
//! Everything here is a pure, synchronous function of its input. It reads no clock, draws no
//! random number, never walks a hash map, and adds floats in a fixed order, so one input gives the
//! same bytes on every machine.

pub mod bm25;
pub mod language;
pub(crate) mod logarithm;
pub mod markdown;
pub mod mmr;
pub mod near_duplicate;
pub mod passage;
pub mod rank;
pub mod sentence;
mod stop_words;
pub mod tfidf;
pub mod words;

#[cfg(test)]
mod tests;
