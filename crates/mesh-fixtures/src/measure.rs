//! Graphs for measuring: what a step, a run, a token and a byte cost.

pub(crate) mod echo;
pub(crate) mod fan_out;
pub(crate) mod large;
pub(crate) mod noop3;
pub(crate) mod steps;
pub(crate) mod tokens200;

pub use fan_out::PARTS_MAX;
pub use steps::{DELAY_MAX, PAD_MAX};
pub use tokens200::{INTERVAL_US_MAX, TOKENS_MAX};
