//! What a fake chat model says: each piece on the `messages` stream, and the message they make.

use mesh_graph::{Ctx, NodeResult, Saying};
use mesh_model::{Delta, FinishReason, Kind, Message, MessageChunk, ToolCall, ToolCallDelta};
use serde_json::{Map, Value as Json, json};

/// A reply that is being said. Every piece waits for the reader of the stream, so none is merged
/// with another.
pub(crate) struct Speech<'a> {
    ctx: &'a Ctx,
    id: String,
    facts: Map<String, Json>,
    text: String,
    tool_calls: Vec<ToolCall>,
    /// Its text on the stream, once there is some.
    saying: Option<Saying>,
}

impl<'a> Speech<'a> {
    /// A reply with an id of its own, the same when the task runs again.
    pub(crate) fn new(ctx: &'a Ctx) -> Self {
        Self::with_id(ctx, format!("lc_run--{}", ctx.info().task_id))
    }

    /// A reply with this id.
    pub(crate) fn with_id(ctx: &'a Ctx, id: impl Into<String>) -> Self {
        let mut facts = Map::new();
        facts.insert("ls_provider".to_owned(), json!("fixture"));
        facts.insert("ls_model_type".to_owned(), json!("chat"));
        let (id, text, tool_calls) = (id.into(), String::new(), Vec::new());
        Self { ctx, id, facts, text, tool_calls, saying: None }
    }

    /// A piece of text.
    pub(crate) async fn say(&mut self, text: &str) -> NodeResult<()> {
        self.text.push_str(text);
        if self.saying.is_none() {
            let piece = MessageChunk::new(&self.id, &Delta::Text(String::new()));
            self.saying = Some(self.ctx.saying(&piece, &self.facts)?);
        }
        if let Some(saying) = &self.saying {
            saying.say(text).await;
        }
        Ok(())
    }

    /// A whole tool call. `args` has to be an object.
    pub(crate) async fn call(&mut self, id: &str, name: &str, args: Json) -> NodeResult<()> {
        let index = self.tool_calls.len() as u32;
        let text = args.to_string();
        let (id, name) = (id.to_owned(), name.to_owned());
        let piece =
            ToolCallDelta { index, id: Some(id.clone()), name: Some(name.clone()), args: text };
        let args = args.as_object().cloned().unwrap_or_default();
        self.tool_calls.push(ToolCall { id, name, args });
        self.send(&Delta::ToolCall(piece)).await
    }

    /// Ends the reply and gives the whole message.
    pub(crate) async fn end(self) -> NodeResult<Message> {
        let calls = !self.tool_calls.is_empty();
        let finish_reason = if calls { FinishReason::ToolCalls } else { FinishReason::Stop };
        self.send(&Delta::End { finish_reason }).await?;
        let Self { id, text, tool_calls, .. } = self;
        Ok(assistant(text, tool_calls).with_id(id))
    }

    /// Says a text letter by letter, the last of which ends the reply, and gives the whole message.
    pub(crate) async fn spell(mut self, text: &str) -> NodeResult<Message> {
        let mut letters = text.chars();
        let Some(last) = letters.next_back() else { return self.end().await };
        for letter in letters {
            self.say(letter.encode_utf8(&mut [0; 4])).await?;
        }
        self.text.push(last);
        if self.ctx.wants_messages() {
            let end = Delta::End { finish_reason: FinishReason::Stop };
            let mut piece = serde_json::to_value(MessageChunk::new(&self.id, &end))?;
            piece["content"] = json!(last);
            self.ctx.message(&piece, &self.facts).await?;
        }
        let Self { id, text, .. } = self;
        Ok(assistant(text, Vec::new()).with_id(id))
    }

    async fn send(&self, delta: &Delta) -> NodeResult<()> {
        if self.ctx.wants_messages() {
            self.ctx.message(&MessageChunk::new(&self.id, delta), &self.facts).await?;
        }
        Ok(())
    }
}

/// A message of a model that nobody heard speak.
pub(crate) fn assistant(text: impl Into<String>, tool_calls: Vec<ToolCall>) -> Message {
    let kind = Kind::Assistant { tool_calls, invalid_tool_calls: Vec::new(), usage: None };
    Message::new(kind, text.into())
}

/// A call of a tool; `args` has to be an object.
pub(crate) fn call(id: &str, name: &str, args: &Json) -> ToolCall {
    let args = args.as_object().cloned().unwrap_or_default();
    ToolCall { id: id.to_owned(), name: name.to_owned(), args }
}
