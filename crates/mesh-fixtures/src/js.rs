//! Graphs of the suites of `@langchain/langgraph-sdk` for JavaScript.

pub(crate) mod agent;
pub(crate) mod agent_simple;
pub(crate) mod agent_with_stats;
pub(crate) mod agent_with_tools;
pub(crate) mod delay;
pub(crate) mod dynamic;
pub(crate) mod error;
pub(crate) mod nested;
pub(crate) mod schemas;
pub(crate) mod simple_runtime;
pub(crate) mod weather;
