//! Graphs of the suite of `langgraph-sdk` for Python.

pub(crate) mod agent;
pub(crate) mod deep_agent;
pub(crate) mod factory_agent;
pub(crate) mod tools_agent;
