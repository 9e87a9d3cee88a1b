//! Our request in the words of the provider library. Pure.

use genai::chat::{self as wire, ChatMessage, ContentPart, MessageContent};
use mesh_model::{
    ChatRequest, Content, ContentBlock, ImageSource, Kind, Message, ModelError, ResponseSchema,
    Role,
};
use serde_json::Value;

/// Longest name of a schema or tool that OpenAI accepts.
pub const SCHEMA_NAME_CHARS_MAX: usize = 64;

/// The conversation and the tools.
///
/// `schema_in_prompt` is the schema that the server cannot be given in any other way.
pub(crate) fn to_wire(
    request: &ChatRequest,
    schema_in_prompt: Option<&ResponseSchema>,
) -> Result<wire::ChatRequest, ModelError> {
    if request.messages.is_empty() {
        return Err(invalid("messages", "at least one message"));
    }
    if request.temperature.is_some_and(|temperature| !temperature.is_finite()) {
        return Err(invalid("temperature", "a finite number"));
    }
    if request.response_schema.as_ref().is_some_and(|schema| !is_name(&schema.name)) {
        return Err(invalid("response_schema.name", NAME));
    }
    let mut messages = Vec::with_capacity(request.messages.len() + 1);
    for (index, message) in request.messages.iter().enumerate() {
        messages.push(message_to_wire(index, message)?);
    }
    if let Some(schema) = schema_in_prompt {
        add_to_system(&mut messages, &request.messages[0], &schema_prompt(schema));
    }
    let mut wire = wire::ChatRequest::new(messages);
    if !request.tools.is_empty() {
        let mut tools = Vec::with_capacity(request.tools.len());
        for (index, tool) in request.tools.iter().enumerate() {
            if !is_name(&tool.name) {
                return Err(invalid(format!("tools[{index}].name"), NAME));
            }
            tools.push(
                wire::Tool::new(tool.name.as_str())
                    .with_description(tool.description.as_str())
                    .with_schema(tool.parameters.clone()),
            );
        }
        wire = wire.with_tools(tools);
    }
    Ok(wire)
}

const NAME: &str = "1 to 64 letters, digits, `_` or `-`";

fn is_name(name: &str) -> bool {
    (1..=SCHEMA_NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn schema_prompt(schema: &ResponseSchema) -> String {
    format!(
        "Answer with one JSON value that is valid against this JSON Schema, and with nothing \
         else:\n{}",
        schema.schema
    )
}

/// Many chat templates allow only one system message, and only as the first.
fn add_to_system(messages: &mut Vec<ChatMessage>, first: &Message, text: &str) {
    if first.role() == Role::System {
        messages[0] = ChatMessage::system(format!("{}\n\n{text}", first.text()));
    } else {
        messages.insert(0, ChatMessage::system(text));
    }
}

fn message_to_wire(index: usize, message: &Message) -> Result<ChatMessage, ModelError> {
    let mut parts = Vec::new();
    match &message.kind {
        Kind::System => {
            check_blocks(index, message)?;
            Ok(ChatMessage::system(message.text().into_owned()))
        }
        Kind::User => user_to_wire(index, message),
        Kind::Assistant { tool_calls, invalid_tool_calls, .. } => {
            check_blocks(index, message)?;
            let calls = tool_calls.iter().map(|call| wire::ToolCall {
                call_id: call.id.clone(),
                fn_name: call.name.clone(),
                fn_arguments: Value::Object(call.args.clone()),
                thought_signatures: None,
            });
            // A broken call stays in the conversation: the message that tells the model so answers
            // it by its id.
            let broken = invalid_tool_calls.iter().filter_map(|call| {
                Some(wire::ToolCall {
                    call_id: call.id.clone()?,
                    fn_name: call.name.clone()?,
                    fn_arguments: Value::String(call.args.clone()),
                    thought_signatures: None,
                })
            });
            let calls: Vec<_> = calls.chain(broken).collect();
            // Providers want the reasoning back while a tool loop runs, and refuse it elsewhere.
            if !calls.is_empty() {
                parts.extend(reasoning(&message.content).map(ContentPart::ReasoningContent));
            }
            let text = message.text();
            if !text.is_empty() {
                parts.push(ContentPart::Text(text.into_owned()));
            }
            parts.extend(calls.into_iter().map(ContentPart::ToolCall));
            Ok(ChatMessage::assistant(MessageContent::from_parts(parts)))
        }
        Kind::Tool { tool_call_id, .. } => {
            check_blocks(index, message)?;
            let result = wire::ToolResponse::new(tool_call_id.as_str(), message.text());
            Ok(ChatMessage::tool(MessageContent::from_parts(vec![ContentPart::ToolResponse(
                result,
            )])))
        }
    }
}

fn user_to_wire(index: usize, message: &Message) -> Result<ChatMessage, ModelError> {
    let Content::Blocks(blocks) = &message.content else {
        return Ok(ChatMessage::user(message.text().into_owned()));
    };
    if blocks.iter().all(|block| matches!(block, ContentBlock::Text(_))) {
        // The library joins several texts with an empty line; here they belong together.
        return Ok(ChatMessage::user(message.text().into_owned()));
    }
    let mut parts = Vec::with_capacity(blocks.len());
    for (place, block) in blocks.iter().enumerate() {
        parts.push(match block {
            ContentBlock::Text(text) => ContentPart::Text(text.clone()),
            ContentBlock::Image(ImageSource::Url(url)) => {
                // The type is not sent with an address; it only has to be one of a picture.
                ContentPart::from_binary_url("image/png", url.as_str(), None)
            }
            ContentBlock::Image(ImageSource::Base64 { mime_type, data })
                if mime_type.starts_with("image/") =>
            {
                ContentPart::from_binary_base64(mime_type.as_str(), data.as_str(), None)
            }
            ContentBlock::Reasoning(_) | ContentBlock::Image(_) | ContentBlock::Other(_) => {
                let field = format!("messages[{index}].content[{place}]");
                return Err(invalid(field, "a text or a picture"));
            }
        });
    }
    Ok(ChatMessage::user(MessageContent::from_parts(parts)))
}

/// Refuses what would otherwise be dropped without a word.
fn check_blocks(index: usize, message: &Message) -> Result<(), ModelError> {
    let Content::Blocks(blocks) = &message.content else {
        return Ok(());
    };
    for (place, block) in blocks.iter().enumerate() {
        let sendable = match block {
            ContentBlock::Text(_) | ContentBlock::Reasoning(_) => true,
            ContentBlock::Image(_) => false,
            // Clients repeat tool calls as blocks; the calls themselves are sent.
            ContentBlock::Other(block) => {
                message.role() == Role::Assistant
                    && matches!(
                        block.get("type").and_then(Value::as_str),
                        Some("tool_call" | "tool_use" | "tool_call_chunk")
                    )
            }
        };
        if !sendable {
            return Err(invalid(format!("messages[{index}].content[{place}]"), "a text"));
        }
    }
    Ok(())
}

fn reasoning(content: &Content) -> Option<String> {
    let Content::Blocks(blocks) = content else {
        return None;
    };
    let thoughts = blocks.iter().filter_map(|block| match block {
        ContentBlock::Reasoning(text) => Some(text.as_str()),
        _ => None,
    });
    Some(thoughts.collect::<String>()).filter(|thoughts| !thoughts.is_empty())
}

fn invalid(field: impl Into<String>, expected: &'static str) -> ModelError {
    ModelError::InvalidRequest { field: field.into(), expected }
}
