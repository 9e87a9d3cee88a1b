//! Tool calls that a person decides on.

use async_trait::async_trait;
use mesh_graph::{Ctx, NodeError, NodeResult, View};
use mesh_model::{Kind, Message, Messages, ToolCall, ToolStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::{AgentState, history};
use crate::{
    middleware::{Hook, Hooked, Middleware},
    tools::last_assistant,
};

/// What a person may decide about a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Run it.
    Approve,
    /// Run it with other arguments, or another tool.
    Edit,
    /// Do not run it, and tell the model why.
    Reject,
    /// Answer in place of the tool.
    Respond,
}

impl Decision {
    fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Edit => "edit",
            Self::Reject => "reject",
            Self::Respond => "respond",
        }
    }
}

/// A middleware that asks a person before certain tools run.
///
/// After the model has spoken, all of its calls that need a decision are put in one question:
/// `{"action_requests": [{"name", "args", "description"}], "review_configs": [{"action_name",
/// "allowed_decisions"}]}`. The answer is `{"decisions": [{"type": "approve"} | {"type": "edit",
/// "edited_action": {"name", "args"}} | {"type": "reject", "message"} | {"type": "respond",
/// "message"}]}`, one per request and in their order; it is checked before anything runs.
#[derive(Debug, Clone, Default)]
pub struct Approval {
    tools: Vec<(String, Vec<Decision>, Option<String>)>,
}

impl Approval {
    /// Asks about no tool yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks before this tool runs; any decision is allowed.
    pub fn tool(self, name: &str) -> Self {
        use Decision::{Approve, Edit, Reject, Respond};
        self.tool_with(name, [Approve, Edit, Reject, Respond], None)
    }

    /// Asks before this tool runs and allows these decisions. `description` is shown with the
    /// request; by default it names the tool.
    pub fn tool_with(
        mut self,
        name: &str,
        allowed: impl IntoIterator<Item = Decision>,
        description: Option<&str>,
    ) -> Self {
        let allowed = allowed.into_iter().collect();
        self.tools.push((name.to_owned(), allowed, description.map(str::to_owned)));
        self
    }

    fn review(&self, tool: &str) -> Option<&(String, Vec<Decision>, Option<String>)> {
        self.tools.iter().find(|(name, _, _)| name == tool)
    }

    fn question(&self, calls: &[&ToolCall]) -> Json {
        let requests: Vec<Json> = calls
            .iter()
            .map(|call| {
                let described = self.review(&call.name).and_then(|(_, _, text)| text.clone());
                let description =
                    described.unwrap_or_else(|| format!("The agent wants to run `{}`.", call.name));
                json!({ "name": call.name, "args": call.args, "description": description })
            })
            .collect();
        let mut configs: Vec<Json> = Vec::new();
        for (name, allowed, _) in &self.tools {
            if calls.iter().any(|call| call.name == *name) {
                configs.push(json!({ "action_name": name, "allowed_decisions": allowed }));
            }
        }
        json!({ "action_requests": requests, "review_configs": configs })
    }

    /// JSON Schema of the answer: as many decisions as requests, each of an allowed kind.
    fn answer_schema(&self, calls: &[&ToolCall]) -> Json {
        let decisions: Vec<Json> = calls
            .iter()
            .map(|call| {
                let allowed = self.review(&call.name).map(|(_, allowed, _)| allowed.as_slice());
                let forms: Vec<Json> =
                    allowed.unwrap_or_default().iter().map(|decision| form(*decision)).collect();
                json!({ "oneOf": forms })
            })
            .collect();
        json!({
            "type": "object",
            "required": ["decisions"],
            "properties": { "decisions": {
                "type": "array",
                "prefixItems": decisions,
                "minItems": calls.len(),
                "maxItems": calls.len(),
            } },
        })
    }
}

fn form(decision: Decision) -> Json {
    let action = json!({
        "type": "object",
        "required": ["name", "args"],
        "properties": { "name": { "type": "string" }, "args": { "type": "object" } },
    });
    let (required, properties) = match decision {
        Decision::Approve => (json!(["type"]), json!({})),
        Decision::Edit => (json!(["type", "edited_action"]), json!({ "edited_action": action })),
        Decision::Reject => (json!(["type"]), json!({ "message": { "type": "string" } })),
        Decision::Respond => {
            (json!(["type", "message"]), json!({ "message": { "type": "string" } }))
        }
    };
    let mut properties = properties;
    properties["type"] = json!({ "const": decision.name() });
    json!({ "type": "object", "required": required, "properties": properties })
}

#[derive(Deserialize)]
struct Answer {
    decisions: Vec<Decided>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Decided {
    Approve,
    Edit { edited_action: Action },
    Reject { message: Option<String> },
    Respond { message: String },
}

#[derive(Deserialize)]
struct Action {
    name: String,
    args: Map<String, Json>,
}

fn answer(call: &ToolCall, text: String, status: ToolStatus) -> Message {
    let tool_call_id = call.id.clone();
    let mut message = Message::new(Kind::Tool { tool_call_id, status, artifact: None }, text);
    message.name = Some(call.name.clone());
    message
}

#[async_trait]
impl Middleware for Approval {
    fn name(&self) -> &'static str {
        "approval"
    }

    fn hooks(&self) -> &[Hook] {
        &[Hook::AfterModel]
    }

    async fn after_model(&self, state: &View<AgentState>, ctx: &Ctx) -> NodeResult<Hooked> {
        let pending = history::pending(&state.messages);
        let asked: Vec<&ToolCall> =
            pending.iter().filter(|call| self.review(&call.name).is_some()).collect();
        let Some(said) = last_assistant(&state.messages).filter(|_| !asked.is_empty()) else {
            return Ok(Hooked::none());
        };
        let question = self.question(&asked);
        let given: Answer =
            ctx.interrupt_schema("approval", &question, self.answer_schema(&asked))?;
        if given.decisions.len() != asked.len() {
            let (wanted, found) = (asked.len(), given.decisions.len());
            return Err(NodeError::msg(format!("decisions: expected {wanted}, found {found}")));
        }

        let mut said = said.clone();
        let mut edited = false;
        let mut answers = Messages::new();
        for (call, decided) in asked.into_iter().zip(given.decisions) {
            match decided {
                Decided::Approve => {}
                Decided::Edit { edited_action: Action { name, args } } => {
                    if let Kind::Assistant { tool_calls, .. } = &mut said.kind
                        && let Some(slot) = tool_calls.iter_mut().find(|slot| slot.id == call.id)
                    {
                        (slot.name, slot.args) = (name, args);
                        edited = true;
                    }
                }
                Decided::Reject { message } => {
                    let reason = message.unwrap_or_else(|| {
                        format!(
                            "The person rejected the call of `{}`. Do not repeat it.",
                            call.name
                        )
                    });
                    answers = answers.and(answer(call, reason, ToolStatus::Error));
                }
                Decided::Respond { message } => {
                    answers = answers.and(answer(call, message, ToolStatus::Success));
                }
            }
        }
        let changed = if edited { Messages::from(said).and(answers) } else { answers };
        if changed.is_empty() {
            return Ok(Hooked::none());
        }
        Ok(AgentState::update().messages(changed).into())
    }
}
