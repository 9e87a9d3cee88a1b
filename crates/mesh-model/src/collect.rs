//! Puts the pieces of a streamed reply together. Pure: pieces in, reply out.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    Content, ContentBlock, Delta, InvalidToolCall, Kind, Message, ModelError, ModelInfo, Reply,
    ReplyProblem, ToolCall, ToolCallDelta, Usage,
};

/// Text, reasoning and tool arguments of one reply, in bytes. Far above what any model writes in
/// one go (about two million tokens), so only a broken or hostile server reaches it.
pub const REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Tool calls in one reply; providers stop at 128.
pub const REPLY_TOOL_CALLS_MAX: usize = 128;

/// A reply in the making.
pub(crate) struct Collector {
    message: Message,
    text: String,
    reasoning: String,
    /// By the index of the stream, which gives the order of the calls.
    calls: BTreeMap<u32, PartialCall>,
    usage: Option<Usage>,
    bytes: usize,
}

#[derive(Default)]
struct PartialCall {
    id: Option<String>,
    name: Option<String>,
    args: String,
}

impl Collector {
    /// An empty reply of a model.
    pub(crate) fn new(info: &ModelInfo, id: Option<String>) -> Self {
        let mut message = Message::assistant("");
        message.id = id;
        message.response_metadata.insert("model_name".into(), info.name.as_str().into());
        message.response_metadata.insert("model_provider".into(), info.provider.as_str().into());
        Self {
            message,
            text: String::new(),
            reasoning: String::new(),
            calls: BTreeMap::new(),
            usage: None,
            bytes: 0,
        }
    }

    /// Takes the next piece; gives the reply when it was the last.
    pub(crate) fn push(&mut self, delta: Delta) -> Result<Option<Reply>, ModelError> {
        match delta {
            Delta::Text(text) => {
                self.count(text.len())?;
                self.text.push_str(&text);
            }
            Delta::Reasoning(text) => {
                self.count(text.len())?;
                self.reasoning.push_str(&text);
            }
            Delta::ToolCall(piece) => self.push_call(piece)?,
            Delta::Usage(usage) => self.usage = Some(usage),
            Delta::End { finish_reason } => {
                let mut message = std::mem::replace(&mut self.message, Message::assistant(""));
                let (tool_calls, invalid_tool_calls) = self.take_calls();
                message.content = self.take_content();
                message.kind =
                    Kind::Assistant { tool_calls, invalid_tool_calls, usage: self.usage };
                message
                    .response_metadata
                    .insert("finish_reason".into(), finish_reason.as_str().into());
                return Ok(Some(Reply { message, usage: self.usage, finish_reason }));
            }
        }
        Ok(None)
    }

    fn count(&mut self, bytes: usize) -> Result<(), ModelError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > REPLY_BYTES_MAX {
            return Err(ModelError::BadReply { problem: ReplyProblem::TooLong });
        }
        Ok(())
    }

    fn push_call(&mut self, piece: ToolCallDelta) -> Result<(), ModelError> {
        let ToolCallDelta { index, id, name, args } = piece;
        self.count(args.len())?;
        if self.calls.len() >= REPLY_TOOL_CALLS_MAX && !self.calls.contains_key(&index) {
            return Err(ModelError::BadReply { problem: ReplyProblem::TooManyToolCalls });
        }
        let call = self.calls.entry(index).or_default();
        // Some servers repeat id and name on every piece: the first one stays.
        call.id = call.id.take().or(id);
        call.name = call.name.take().or(name);
        call.args.push_str(&args);
        Ok(())
    }

    fn take_content(&mut self) -> Content {
        let text = std::mem::take(&mut self.text);
        if self.reasoning.is_empty() {
            return Content::Text(text);
        }
        let mut blocks = vec![ContentBlock::Reasoning(std::mem::take(&mut self.reasoning))];
        if !text.is_empty() {
            blocks.push(ContentBlock::Text(text));
        }
        Content::Blocks(blocks)
    }

    fn take_calls(&mut self) -> (Vec<ToolCall>, Vec<InvalidToolCall>) {
        let mut valid = Vec::new();
        let mut invalid = Vec::new();
        for (index, PartialCall { id, name, args }) in std::mem::take(&mut self.calls) {
            match (parse_args(&args), name) {
                (Ok(args), Some(name)) => {
                    // A result must be able to name its call, also if the server did not.
                    let id = id.unwrap_or_else(|| format!("call_{index}"));
                    valid.push(ToolCall { id, name, args });
                }
                (Ok(_), None) => {
                    let error = "the call names no tool".to_owned();
                    invalid.push(InvalidToolCall { id, name: None, args, error });
                }
                (Err(error), name) => invalid.push(InvalidToolCall { id, name, args, error }),
            }
        }
        (valid, invalid)
    }
}

/// Reads the arguments of a call; no text at all is a call without arguments.
pub(crate) fn parse_args(args: &str) -> Result<Map<String, Value>, String> {
    if args.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(args) {
        Ok(Value::Object(args)) => Ok(args),
        Ok(_) => Err("the arguments are not a JSON object".to_owned()),
        Err(error) => Err(format!("the arguments are not JSON: {error}")),
    }
}
