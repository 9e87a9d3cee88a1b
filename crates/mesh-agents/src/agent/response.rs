//! Answers in a form that a program reads.

use mesh_graph::{NodeError, NodeResult};
use mesh_model::{Kind, Message, Messages, ResponseSchema, ToolSpec, ToolStatus};
use serde_json::Value as Json;

/// Problems with an answer that are told to the model at once.
const PROBLEMS_MAX: usize = 8;

/// How a model is brought to answer in a form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ResponseStrategy {
    /// By a tool if the agent has tools, else by the provider: few servers take a form for the
    /// reply and tools in one request.
    #[default]
    Auto,
    /// The form is the schema of a tool's arguments. A call that does not fit is sent back.
    Tool,
    /// The provider is asked for a reply of that form. One that does not fit is an error.
    Provider,
}

/// The model's final answer does not have the form it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer does not fit `{name}`: {problems}")]
pub struct BadResponse {
    /// Name of the form.
    pub name: String,
    /// What does not fit. May quote the answer.
    pub problems: String,
}

/// A form that an agent answers in.
pub(super) struct Response {
    pub(super) schema: ResponseSchema,
    pub(super) by_tool: bool,
    pub(super) validator: jsonschema::Validator,
}

impl Response {
    pub(super) fn tool(&self) -> ToolSpec {
        let description = "Gives the final answer. Call it once, when everything is known.";
        ToolSpec::new(&self.schema.name, description, self.schema.schema.clone())
    }

    fn check(&self, value: &Json) -> Result<(), BadResponse> {
        let problems: Vec<String> = self
            .validator
            .iter_errors(value)
            .take(PROBLEMS_MAX)
            .map(|error| format!("at `{}`: {error}", error.instance_path()))
            .collect();
        if problems.is_empty() {
            return Ok(());
        }
        let name = self.schema.name.clone();
        Err(BadResponse { name, problems: problems.join("; ") })
    }
}

/// What a reply is to an agent that answers in a form.
pub(super) enum Read {
    /// The answer; the results close the calls of the reply.
    Answer { value: Json, results: Messages },
    /// An answer that does not fit, with results that say why.
    Wrong { results: Messages },
    /// No answer yet, or no form was asked for.
    Other,
}

pub(super) fn read(response: Option<&Response>, reply: &Message) -> NodeResult<Read> {
    let Some(response) = response else { return Ok(Read::Other) };
    let calls = reply.tool_calls();
    if !response.by_tool {
        if !calls.is_empty() {
            return Ok(Read::Other);
        }
        let bad = |problem: String| {
            let name = response.schema.name.clone();
            NodeError::coded("bad_response", BadResponse { name, problems: problem })
        };
        let value = serde_json::from_str(&reply.text()).map_err(|error| bad(error.to_string()))?;
        response.check(&value).map_err(|error| bad(error.problems))?;
        return Ok(Read::Answer { value, results: Messages::new() });
    }
    let Some(answer) = calls.iter().find(|call| call.name == response.schema.name) else {
        return Ok(Read::Other);
    };
    let value = Json::Object(answer.args.clone());
    let checked = response.check(&value);
    // Whatever else the reply calls is not run: the answer, or its repair, comes first.
    let results = calls.iter().map(|call| {
        let (text, status) = match &checked {
            Ok(()) if call.id == answer.id => ("Answer taken.".to_owned(), ToolStatus::Success),
            Err(error) if call.id == answer.id => {
                (format!("{error}. Call it again with a corrected answer."), ToolStatus::Error)
            }
            _ => ("Not run: the same reply gave a final answer.".to_owned(), ToolStatus::Error),
        };
        let tool_call_id = call.id.clone();
        let mut result = Message::new(Kind::Tool { tool_call_id, status, artifact: None }, text);
        result.name = Some(call.name.clone());
        result
    });
    let results = results.collect();
    Ok(match checked {
        Ok(()) => Read::Answer { value, results },
        Err(_) => Read::Wrong { results },
    })
}
