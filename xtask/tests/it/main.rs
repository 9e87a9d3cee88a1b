//! Properties of the repository as a whole. What can be checked here is not left to review.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in the functions it shares as well"
)]

mod architecture;
mod devcontainer;
mod documented;
mod planted;
mod repository;
mod tidy;
mod version;
