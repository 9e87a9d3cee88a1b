//! Prebuilt agent graphs: [`blogger`], the blog-writing agent; [`react_agent`] and [`create_agent`],
//! a model in a loop with its tools; teams of these, [`supervisor()`] and [`swarm()`]; a
//! [`reflection()`] that revises its drafts; and their parts, such as [`ToolNode`] and
//! [`messages()`].
//!
//! Models come in as [`mesh_model::ChatModel`] values; search, pages and files come in through the
//! traits of [`source`], which this crate owns. It never opens a connection, a file or a database.

mod agent;
pub mod blogger;
mod handoff;
mod messages;
mod middleware;
mod reflection;
pub mod source;
mod team;
pub mod text;
mod tokens;
mod tools;

pub use agent::{
    AgentBuilder, AgentState, AgentStateUpdate, AgentStateView, Approval, BadResponse, BuildError,
    Decision, InvalidHistory, MORE_STEPS, ModelRequest, NextModel, ResponseStrategy, create_agent,
    react_agent,
};
pub use handoff::handoff;
pub use messages::{json_messages, messages};
pub use middleware::{Hook, Hooked, Jump, Middleware};
pub use reflection::{
    Critique, REFLECTION_DRAFTS, Reflection, ReflectionBuilder, ReflectionUpdate, ReflectionView,
    reflection,
};
pub use team::{OutputMode, SupervisorBuilder, SwarmBuilder, supervisor, swarm};
pub use tools::{
    ErrorKind, FnTool, Inject, Needs, NextTool, NoAssistantMessage, TOOL_CALLS_MAX, TellError,
    Tool, ToolAnswer, ToolCommand, ToolCx, ToolErrors, ToolJob, ToolNode, ToolNodeError,
    ToolOutput, ToolRequest, ToolTimeout, UnansweredCall, tool, tools_condition,
};
