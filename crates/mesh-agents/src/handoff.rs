//! Handing a conversation over from one agent to another.

use std::sync::Arc;

use async_trait::async_trait;
use mesh_graph::{NodeError, NodeResult};
use mesh_model::{Messages, ToolSpec};
use serde_json::{Map, Value as Json, json};

use crate::tools::{Needs, Tool, ToolCommand, ToolCx, ToolOutput};

/// A tool by which an agent of a team hands the conversation over to another one, its neighbour in
/// the graph that both are mounted in. The model calls it `transfer_to_<agent>`.
///
/// The other agent talks from now on, in later turns of a [`crate::swarm()`] as well.
pub fn handoff(agent: &str, description: &str) -> Arc<dyn Tool> {
    Arc::new(Handoff::new(agent, description, true))
}

/// The tool of a lead that hands work over to a member and gets it back.
pub(crate) fn delegation(agent: &str, description: &str) -> Arc<dyn Tool> {
    Arc::new(Handoff::new(agent, description, false))
}

struct Handoff {
    spec: ToolSpec,
    agent: String,
    /// The other agent goes on talking in later turns.
    stays: bool,
}

/// A tool's name of an agent's: providers take letters, digits, `_` and `-`.
fn tool_name(agent: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    format!("transfer_to_{}", agent.chars().map(plain).collect::<String>().to_lowercase())
}

impl Handoff {
    fn new(agent: &str, description: &str, stays: bool) -> Self {
        let parameters = json!({ "type": "object", "properties": {} });
        let spec = ToolSpec::new(tool_name(agent), description, parameters);
        Self { spec, agent: agent.to_owned(), stays }
    }
}

#[async_trait]
impl Tool for Handoff {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn needs(&self) -> Needs {
        Needs { state: true, ..Needs::default() }
    }

    fn hands_over(&self) -> bool {
        true
    }

    async fn call(&self, _: Map<String, Json>, cx: ToolCx) -> NodeResult<ToolOutput> {
        // What this agent said reaches the other one only through the command.
        let said = cx.state().and_then(|state| state.get("messages")).cloned();
        let said = Messages::from_wire(said.unwrap_or_else(|| json!([])))
            .map_err(NodeError::from)?
            .and(cx.reply(format!("Transferred to {}.", self.agent)));
        let mut command = ToolCommand::new().messages(said).goto(self.agent.as_str()).parent();
        if self.stays {
            command = command.active_agent(&self.agent);
        }
        Ok(command.into())
    }
}
