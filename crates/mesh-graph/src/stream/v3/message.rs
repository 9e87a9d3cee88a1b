//! Streamed messages as the protocol has them: a start, blocks with their deltas, a finish.
//!
//! The pieces come in the JSON form of LangChain's message chunks; the blocks of a message are
//! finished together, when the message is.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::super::{facts, messages};

/// The messages that are being streamed.
#[derive(Debug, Default)]
pub(super) struct Messages(Vec<Message>);

/// One event of a message, and where it belongs.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) ns: Arc<[String]>,
    pub(super) event: Json,
}

#[derive(Debug)]
struct Message {
    ns: Arc<[String]>,
    id: String,
    /// The task that its model speaks in.
    task: Option<String>,
    /// Which attempt of that task.
    attempt: u64,
    blocks: Vec<Block>,
    usage: Option<Json>,
    metadata: Map<String, Json>,
}

#[derive(Debug)]
enum Block {
    Text(String),
    Reasoning(String),
    ToolCall {
        /// Which of the message's calls it is, as the chunks count them.
        call: Json,
        id: Json,
        name: Json,
        args: String,
    },
    /// A block of another kind, which comes whole.
    Whole(Json),
}

impl Messages {
    /// What a streamed message, or a piece of one, adds. Only what models say is told.
    pub(super) fn take(&mut self, ns: &Arc<[String]>, piece: &Json, facts: &Json) -> Vec<Part> {
        let kind = piece.get("type").and_then(Json::as_str);
        let whole = kind == Some("ai");
        let Some(id) = messages::id(piece) else { return Vec::new() };
        if !whole && kind != Some("AIMessageChunk") {
            return Vec::new();
        }
        let ends = whole || piece.get("chunk_position").and_then(Json::as_str) == Some("last");
        let content = pieces(piece);
        let calls = piece.get(if whole { "tool_calls" } else { "tool_call_chunks" });
        let calls = calls.and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        let (task, attempt) = (facts::task(facts), facts::attempt(facts));
        // What another attempt began will not be finished any more, nor what another task began
        // under the same id.
        let mut told = self.end_where(Some("tried again"), |open| {
            open.task.as_deref() == task && open.attempt != attempt
                || *open.ns == **ns && open.id == id && open.task.as_deref() != task
        });
        let at = match self.0.iter().position(|open| *open.ns == **ns && open.id == id) {
            Some(at) => at,
            // Facts that come after the end belong to nothing that is open.
            None if content.is_empty() && calls.is_empty() && !ends => return told,
            None => {
                let message = Message {
                    ns: Arc::clone(ns),
                    id: id.to_owned(),
                    task: task.map(str::to_owned),
                    attempt,
                    blocks: Vec::new(),
                    usage: None,
                    metadata: Map::new(),
                };
                let mut start = json!({ "event": "message-start", "role": "ai" });
                if let Some(metadata) = scalars(facts) {
                    start["metadata"] = metadata;
                }
                told.push(message.part(start));
                self.0.push(message);
                self.0.len() - 1
            }
        };
        let message = &mut self.0[at];
        for piece in content {
            message.add(piece, &mut told);
        }
        for (place, call) in calls.iter().enumerate() {
            message.add_call(place, call, &mut told);
        }
        if let Some(usage) = piece.get("usage_metadata").filter(|usage| !usage.is_null()) {
            message.usage = Some(usage.clone());
        }
        if let Some(Json::Object(metadata)) = piece.get("response_metadata") {
            message.metadata.extend(metadata.clone());
        }
        if ends {
            told.extend(self.0.swap_remove(at).finish());
        }
        told
    }

    /// Ends what a task left open: as it is, or with what went wrong.
    pub(super) fn end(&mut self, task: &str, wrong: Option<&str>) -> Vec<Part> {
        self.end_where(wrong, |open| open.task.as_deref() == Some(task))
    }

    /// Ends everything that is open.
    pub(super) fn end_all(&mut self, wrong: Option<&str>) -> Vec<Part> {
        self.end_where(wrong, |_| true)
    }

    fn end_where(&mut self, wrong: Option<&str>, which: impl Fn(&Message) -> bool) -> Vec<Part> {
        let mut told = Vec::new();
        if !self.0.iter().any(&which) {
            return told;
        }
        let (ended, open): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.0).into_iter().partition(which);
        self.0 = open;
        for message in ended {
            match wrong {
                Some(text) => {
                    told.push(message.part(json!({ "event": "error", "message": text })));
                }
                None => told.extend(message.finish()),
            }
        }
        told
    }
}

impl Message {
    /// An event of this message: every one says which, because models speak side by side.
    fn part(&self, mut event: Json) -> Part {
        event["id"] = json!(self.id);
        Part { ns: Arc::clone(&self.ns), event }
    }

    fn open(&mut self, block: Block, told: &mut Vec<Part>) {
        let index = self.blocks.len();
        let content = match &block {
            Block::Text(_) => json!({ "type": "text", "text": "" }),
            Block::Reasoning(_) => json!({ "type": "reasoning", "reasoning": "" }),
            Block::ToolCall { call, id, name, .. } => json!({
                "type": "tool_call_chunk", "id": id, "name": name, "args": "", "index": call,
            }),
            Block::Whole(content) => content.clone(),
        };
        told.push(
            self.part(
                json!({ "event": "content-block-start", "index": index, "content": content }),
            ),
        );
        self.blocks.push(block);
    }

    fn delta(&self, index: usize, delta: &Json, told: &mut Vec<Part>) {
        told.push(
            self.part(json!({ "event": "content-block-delta", "index": index, "delta": delta })),
        );
    }

    fn add(&mut self, piece: Piece<'_>, told: &mut Vec<Part>) {
        match piece {
            Piece::Text(more) => {
                if !matches!(self.blocks.last(), Some(Block::Text(_))) {
                    self.open(Block::Text(String::new()), told);
                }
                if let Some(Block::Text(text)) = self.blocks.last_mut() {
                    text.push_str(more);
                }
                let last = self.blocks.len() - 1;
                self.delta(last, &json!({ "type": "text-delta", "text": more }), told);
            }
            Piece::Reasoning(more) => {
                if !matches!(self.blocks.last(), Some(Block::Reasoning(_))) {
                    self.open(Block::Reasoning(String::new()), told);
                }
                if let Some(Block::Reasoning(text)) = self.blocks.last_mut() {
                    text.push_str(more);
                }
                let last = self.blocks.len() - 1;
                self.delta(last, &json!({ "type": "reasoning-delta", "reasoning": more }), told);
            }
            Piece::Whole(block) => self.open(Block::Whole(block.clone()), told),
        }
    }

    /// A call, or a piece of one: `args` is a text in pieces and a value in whole messages.
    fn add_call(&mut self, place: usize, piece: &Json, told: &mut Vec<Part>) {
        let get = |key: &str| piece.get(key).cloned().unwrap_or_default();
        let call = piece.get("index").cloned().unwrap_or_else(|| json!(place));
        let known = self.blocks.iter().position(
            |block| matches!(block, Block::ToolCall { call: known, .. } if *known == call),
        );
        let index = known.unwrap_or_else(|| {
            let block =
                Block::ToolCall { call, id: get("id"), name: get("name"), args: String::new() };
            self.open(block, told);
            self.blocks.len() - 1
        });
        let more = match get("args") {
            Json::Null => String::new(),
            Json::String(text) => text,
            args => args.to_string(),
        };
        if let Some(Block::ToolCall { id, name, args, .. }) = self.blocks.get_mut(index) {
            args.push_str(&more);
            for (known, key) in [(id, "id"), (name, "name")] {
                if known.is_null() {
                    *known = get(key);
                }
            }
        }
        if !more.is_empty() {
            self.delta(index, &json!({ "type": "tool-call-delta", "args": more }), told);
        }
    }

    fn finish(self) -> Vec<Part> {
        let mut told = Vec::with_capacity(self.blocks.len() + 1);
        for (index, block) in self.blocks.iter().enumerate() {
            let content = match block {
                Block::Text(text) => json!({ "type": "text", "text": text }),
                Block::Reasoning(text) => json!({ "type": "reasoning", "reasoning": text }),
                Block::ToolCall { id, name, args, .. } => called(id, name, args),
                Block::Whole(content) => content.clone(),
            };
            told.push(self.part(
                json!({ "event": "content-block-finish", "index": index, "content": content }),
            ));
        }
        let mut finish = json!({ "event": "message-finish" });
        if let Some(usage) = &self.usage {
            finish["usage"] = usage.clone();
        }
        if !self.metadata.is_empty() {
            finish["metadata"] = json!(self.metadata);
        }
        told.push(self.part(finish));
        told
    }
}

/// A finished call, valid when its arguments are an object. No arguments are an empty one.
fn called(id: &Json, name: &Json, args: &str) -> Json {
    let text = if args.trim().is_empty() { "{}" } else { args };
    match serde_json::from_str::<Map<String, Json>>(text) {
        Ok(args) => json!({ "type": "tool_call", "id": id, "name": name, "args": args }),
        Err(error) => json!({
            "type": "invalid_tool_call", "id": id, "name": name, "args": args,
            "error": error.to_string(),
        }),
    }
}

enum Piece<'a> {
    Text(&'a str),
    Reasoning(&'a str),
    Whole(&'a Json),
}

/// The parts of a message's content that are not empty.
fn pieces(message: &Json) -> Vec<Piece<'_>> {
    match message.get("content") {
        Some(Json::String(text)) if !text.is_empty() => vec![Piece::Text(text)],
        Some(Json::Array(blocks)) => blocks.iter().filter_map(piece).collect(),
        _ => Vec::new(),
    }
}

fn piece(block: &Json) -> Option<Piece<'_>> {
    let text = |key: &str| block.get(key).and_then(Json::as_str).filter(|text| !text.is_empty());
    match block.get("type").and_then(Json::as_str) {
        Some("text") => text("text").map(Piece::Text),
        Some("reasoning") => text("reasoning").map(Piece::Reasoning),
        _ => match block.as_str() {
            Some(bare) => Some(Piece::Text(bare)).filter(|_| !bare.is_empty()),
            None => Some(Piece::Whole(block)),
        },
    }
}

/// What is known of the model, in words and numbers.
fn scalars(facts: &Json) -> Option<Json> {
    let facts = facts.as_object()?;
    let known: Map<String, Json> = [("provider", "ls_provider"), ("model", "ls_model_name")]
        .into_iter()
        .filter_map(|(name, fact)| Some((name.to_owned(), facts.get(fact)?.clone())))
        .filter(|(_, value)| value.is_string())
        .collect();
    (!known.is_empty()).then_some(Json::Object(known))
}
