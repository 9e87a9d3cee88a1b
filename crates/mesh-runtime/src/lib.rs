//! Assistants, threads, runs and crons: what is kept of them, and the machine that executes runs.
//!
//! What is true is in a [`Ledger`]: rows that change in transactions. Every rule (who may follow
//! whom, what a status leads to, who owns a run) is a function over the rows of one transaction, a
//! [`Tx`], and is written here once; a database only keeps rows. Everything a run tells is on its
//! thread's log, numbered without gaps, and every wire is a view of that log.
//!
//! This crate knows no HTTP, no SQL and no models, and takes time, ids and chance from an
//! [`mesh_graph::env::Env`].

pub mod api_key;
mod asked;
pub mod assistant;
pub mod containment;
pub mod counts;
pub mod cron;
pub mod early;
mod error;
mod execute;
mod failure;
pub mod follow;
pub mod graphs;
pub mod housekeeping;
mod hub;
pub mod idempotency;
pub mod invariants;
pub mod ledger;
pub mod log;
pub mod outbox;
mod outlook;
pub mod page;
pub mod policy;
pub mod run;
pub mod runs;
mod runtime;
mod scope;
pub mod stamp;
mod teller;
pub mod thread;
pub mod truncate;
pub mod watch;
pub mod worker;

pub use assistant::Assistant;
pub use cron::Cron;
pub use error::Error;
pub use follow::{Follow, RunEnd, Start, Told};
pub use graphs::Graphs;
pub use ledger::{Ledger, Tx};
pub use outlook::Outlook;
pub use policy::{Limit, Policy};
pub use run::Run;
pub use runtime::Runtime;
pub use scope::Scope;
pub use stamp::Stamp;
pub use thread::Thread;
pub use worker::WorkOptions;
