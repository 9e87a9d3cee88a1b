//! Middleware: what is done around an agent's models and tools.
//!
//! *Before* hooks run in the order of the list, *after* hooks in reverse; *wrap* hooks are nested,
//! the first one outermost. Each before and after hook is a node of its own,
//! `<name>.before_model`, so it is a task with its own checkpoint and may ask questions.
//! Semantics: the middleware of LangChain's `create_agent`.

use std::sync::Arc;

use async_trait::async_trait;
use mesh_graph::{Ctx, NodeResult, View};
use mesh_model::Reply;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    agent::{AgentState, AgentStateUpdate, ModelRequest, NextModel},
    tools::{NextTool, Tool, ToolAnswer, ToolRequest},
};

/// A place in an agent's loop that has a node for a middleware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Once, when the run begins.
    BeforeAgent,
    /// Before every call of the model.
    BeforeModel,
    /// After every call of the model.
    AfterModel,
    /// Once, when the run ends.
    AfterAgent,
}

impl Hook {
    /// The end of the node's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeAgent => "before_agent",
            Self::BeforeModel => "before_model",
            Self::AfterModel => "after_model",
            Self::AfterAgent => "after_agent",
        }
    }
}

/// Where a hook goes instead of on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Jump {
    /// To the model, through the hooks before it.
    Model,
    /// To the tools that the last message calls.
    Tools,
    /// To the end, through the hooks after the agent.
    End,
}

/// What a hook gives: an update, and where to go instead of on.
#[derive(Debug, Default)]
pub struct Hooked {
    pub(crate) update: AgentStateUpdate,
    pub(crate) jump: Option<Jump>,
}

impl Hooked {
    /// Nothing: the agent goes on.
    pub fn none() -> Self {
        Self::default()
    }

    /// Goes there instead of on.
    pub fn jump(mut self, to: Jump) -> Self {
        self.jump = Some(to);
        self
    }
}

impl From<AgentStateUpdate> for Hooked {
    fn from(update: AgentStateUpdate) -> Self {
        Self { update, jump: None }
    }
}

/// What is done around an agent's models and tools. Everything has a default that does nothing.
#[async_trait]
pub trait Middleware: Send + Sync {
    /// Its name, the beginning of its nodes' names; unique within an agent.
    fn name(&self) -> &str;

    /// The hooks that get a node. A hook that is not listed is not called.
    fn hooks(&self) -> &[Hook] {
        &[]
    }

    /// Tools that come with it.
    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        Vec::new()
    }

    /// Once, when the run begins.
    ///
    /// # Errors
    /// Fails the hook's node.
    async fn before_agent(&self, _state: &View<AgentState>, _ctx: &Ctx) -> NodeResult<Hooked> {
        Ok(Hooked::none())
    }

    /// Before every call of the model.
    ///
    /// # Errors
    /// Fails the hook's node.
    async fn before_model(&self, _state: &View<AgentState>, _ctx: &Ctx) -> NodeResult<Hooked> {
        Ok(Hooked::none())
    }

    /// After every call of the model.
    ///
    /// # Errors
    /// Fails the hook's node.
    async fn after_model(&self, _state: &View<AgentState>, _ctx: &Ctx) -> NodeResult<Hooked> {
        Ok(Hooked::none())
    }

    /// Once, when the run ends.
    ///
    /// # Errors
    /// Fails the hook's node.
    async fn after_agent(&self, _state: &View<AgentState>, _ctx: &Ctx) -> NodeResult<Hooked> {
        Ok(Hooked::none())
    }

    /// Around the call of the model: may change the request, call `next` again, or answer itself.
    ///
    /// # Errors
    /// Fails the model's node.
    ///
    /// # Cancel safety
    /// The future is dropped when the run is cancelled.
    async fn wrap_model_call(
        &self,
        request: ModelRequest,
        next: NextModel<'_>,
    ) -> NodeResult<Reply> {
        next.call(request).await
    }

    /// Around one call of a tool: may change the call, call `next` again, or answer itself.
    ///
    /// # Errors
    /// Handled as a failure of the tool.
    ///
    /// # Cancel safety
    /// The future is dropped when the run is cancelled.
    async fn wrap_tool_call(
        &self,
        request: ToolRequest,
        next: NextTool<'_>,
    ) -> NodeResult<ToolAnswer> {
        next.call(request).await
    }
}
