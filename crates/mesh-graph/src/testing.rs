//! For tests of this crate and of storage crates: the suites every checkpointer and
//! every store has to pass, a checkpointer that fails or stops on command, and one around another.
//!
//! Behind the feature `testing`; nothing here is meant to run in a product.

mod around;
mod conformance;
mod cuts;
mod faults;
mod stores;

pub use around::{Around, Writes};
pub use conformance::check_checkpointer;
pub use cuts::check_cuts;
pub use faults::{Fault, FaultyCheckpointer};
pub use stores::check_store;
