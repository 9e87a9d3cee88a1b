//! Agents: a model in a loop with its tools.
//!
//! `model → tools → model …` until the model answers without calls. Every call is a task of its
//! own, so calls of one reply run at once and a restart repeats none that has finished. What
//! middleware adds stands around the model as nodes of their own.
//! Semantics: LangGraph's `create_react_agent` and LangChain's `create_agent`.

mod approval;
mod build;
mod history;
mod model;
mod response;
mod state;

pub use approval::{Approval, Decision};
pub use build::{AgentBuilder, BuildError, create_agent, react_agent};
pub use history::InvalidHistory;
pub use model::{MORE_STEPS, ModelRequest, NextModel};
pub use response::{BadResponse, ResponseStrategy};
pub use state::{AgentState, AgentStateUpdate, AgentStateView};
