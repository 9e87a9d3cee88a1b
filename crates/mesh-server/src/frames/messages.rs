//! Messages as they grow: the pieces of each added up, and a word when the state has it.

use std::collections::{HashMap, HashSet};

use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json, value::RawValue};

use super::{json as text_of, json_parts};

/// The messages of one run.
#[derive(Debug, Default)]
pub(super) struct Messages {
    growing: HashMap<String, Growing>,
    /// Ids of those that the state has.
    complete: HashSet<String>,
}

/// A message of which pieces came.
#[derive(Debug, Default)]
pub(super) struct Growing {
    content: Option<Json>,
    calls: Vec<Call>,
    additional_kwargs: Map<String, Json>,
    response_metadata: Map<String, Json>,
    usage: Option<Map<String, Json>>,
    name: Option<Json>,
}

/// A tool call of which pieces came.
#[derive(Debug)]
struct Call {
    index: Json,
    id: Option<String>,
    name: String,
    args: String,
}

/// A piece of a message with the facts of its task.
#[derive(Deserialize)]
pub(super) struct Piece<'a>(pub(super) Chunk, #[serde(borrow)] pub(super) &'a RawValue);

/// What of a piece counts.
#[derive(Debug, Deserialize)]
pub(super) struct Chunk {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    content: Option<Json>,
    #[serde(default)]
    tool_call_chunks: Option<Vec<CallChunk>>,
    #[serde(default)]
    additional_kwargs: Option<Map<String, Json>>,
    #[serde(default)]
    response_metadata: Option<Map<String, Json>>,
    #[serde(default)]
    usage_metadata: Option<Map<String, Json>>,
    #[serde(default)]
    name: Option<Json>,
    #[serde(rename = "chunk_position", default)]
    pub(super) position: Option<String>,
}

#[derive(Debug, Deserialize)]
struct CallChunk {
    #[serde(default)]
    index: Json,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    args: Option<String>,
}

impl Chunk {
    /// Whether it is a piece of a message rather than a whole one.
    pub(super) fn is_piece(&self) -> bool {
        self.kind.ends_with("MessageChunk")
    }
}

impl Messages {
    /// The message so far, after what is to be known of it when this is its first piece. None for
    /// what is no piece.
    pub(super) fn chunk(&mut self, data: &Bytes) -> Option<(Option<Bytes>, Bytes)> {
        let Piece(chunk, facts) = serde_json::from_slice(data).ok()?;
        let id = chunk.id.clone().filter(|_| chunk.is_piece())?;
        if self.complete.contains(&id) {
            return None;
        }
        let mut is_new = false;
        let growing = self.growing.entry(id.clone()).or_insert_with(|| {
            is_new = true;
            Growing::default()
        });
        growing.add(chunk);
        let partial = text_of(&[growing.shown(&id)]);
        let metadata = is_new.then(|| {
            #[derive(Serialize)]
            struct Known<'a> {
                metadata: &'a RawValue,
            }
            text_of(&HashMap::from([(id, Known { metadata: facts })]))
        });
        Some((metadata, partial))
    }

    /// The messages that the state has for the first time.
    pub(super) fn values(&mut self, data: &Bytes) -> Option<Bytes> {
        #[derive(Deserialize)]
        struct Shape<'a> {
            #[serde(rename = "type", borrow)]
            kind: std::borrow::Cow<'a, str>,
            #[serde(borrow)]
            id: std::borrow::Cow<'a, str>,
            #[serde(rename = "content")]
            _content: serde::de::IgnoredAny,
        }
        let state: HashMap<String, &RawValue> = serde_json::from_slice(data).ok()?;
        let mut lists: Vec<_> =
            state.into_iter().filter(|(_, value)| value.get().starts_with('[')).collect();
        lists.sort_by(|a, b| a.0.cmp(&b.0));
        let mut new: Vec<&RawValue> = Vec::new();
        for (_, list) in lists {
            let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(list.get()) else { continue };
            for item in items {
                let Ok(shape) = serde_json::from_str::<Shape<'_>>(item.get()) else { continue };
                if is_message(&shape.kind) && self.complete.insert(shape.id.clone().into_owned()) {
                    self.growing.remove(&*shape.id);
                    new.push(item);
                }
            }
        }
        (!new.is_empty()).then(|| text_of(&new))
    }
}

fn is_message(kind: &str) -> bool {
    matches!(kind, "human" | "ai" | "system" | "tool" | "function" | "developer" | "chat")
}

impl Growing {
    /// Adds the next piece, as the clients themselves add them up.
    pub(super) fn add(&mut self, chunk: Chunk) {
        if let Some(more) = chunk.content {
            self.content = Some(match self.content.take() {
                Some(so_far) => joined(so_far, more),
                None => more,
            });
        }
        for piece in chunk.tool_call_chunks.into_iter().flatten() {
            self.add_call(piece);
        }
        self.additional_kwargs.extend(chunk.additional_kwargs.into_iter().flatten());
        self.response_metadata.extend(chunk.response_metadata.into_iter().flatten());
        if let Some(more) = chunk.usage_metadata {
            add_up(self.usage.get_or_insert_with(Map::new), more);
        }
        if chunk.name.as_ref().is_some_and(|name| !name.is_null()) {
            self.name = chunk.name;
        }
    }

    fn add_call(&mut self, piece: CallChunk) {
        let known = |call: &&mut Call| !piece.index.is_null() && call.index == piece.index;
        if let Some(call) = self.calls.iter_mut().find(known) {
            call.name.push_str(piece.name.as_deref().unwrap_or_default());
            call.args.push_str(piece.args.as_deref().unwrap_or_default());
            if call.id.is_none() {
                call.id = piece.id;
            }
        } else {
            self.calls.push(Call {
                index: piece.index,
                id: piece.id,
                name: piece.name.unwrap_or_default(),
                args: piece.args.unwrap_or_default(),
            });
        }
    }

    /// The message so far.
    pub(super) fn shown(&self, id: &str) -> Json {
        let (mut calls, mut invalid) = (Vec::new(), Vec::new());
        for call in &self.calls {
            let args = if call.args.is_empty() {
                Some(json!({}))
            } else {
                json_parts::completed(&call.args)
            };
            match args {
                Some(args @ Json::Object(_)) => calls.push(json!({
                    "name": call.name, "args": args, "id": call.id, "type": "tool_call",
                })),
                _ => invalid.push(json!({
                    "name": call.name, "args": call.args, "id": call.id,
                    "error": "Malformed args.", "type": "invalid_tool_call",
                })),
            }
        }
        let mut shown = json!({
            "type": "ai",
            "id": id,
            "content": self.content.clone().unwrap_or_else(|| json!("")),
            "tool_calls": calls,
            "invalid_tool_calls": invalid,
            "additional_kwargs": self.additional_kwargs,
            "response_metadata": self.response_metadata,
        });
        if let Some(usage) = &self.usage {
            shown["usage_metadata"] = json!(usage);
        }
        if let Some(name) = &self.name {
            shown["name"] = name.clone();
        }
        shown
    }
}

/// Content with more content behind it.
fn joined(so_far: Json, more: Json) -> Json {
    match (so_far, more) {
        (Json::String(mut text), Json::String(more)) => {
            text.push_str(&more);
            Json::String(text)
        }
        (Json::String(text), more) if text.is_empty() => more,
        (so_far, Json::String(more)) if more.is_empty() => so_far,
        (so_far, more) => {
            let mut blocks = as_blocks(so_far);
            for block in as_blocks(more) {
                add_block(&mut blocks, block);
            }
            Json::Array(blocks)
        }
    }
}

fn as_blocks(content: Json) -> Vec<Json> {
    match content {
        Json::Array(blocks) => blocks,
        Json::String(text) => vec![json!({ "type": "text", "text": text })],
        other => vec![other],
    }
}

/// A block with the number of one that is there already goes on with that.
fn add_block(blocks: &mut Vec<Json>, block: Json) {
    let index = block.get("index").filter(|index| !index.is_null());
    let known = index.and_then(|index| {
        blocks.iter().position(|known| {
            known.get("index") == Some(index) && known.get("type") == block.get("type")
        })
    });
    match (known.and_then(|at| blocks.get_mut(at)), block) {
        (Some(Json::Object(known)), Json::Object(more)) => {
            for (key, value) in more {
                match (known.get_mut(&key), value) {
                    (Some(Json::String(text)), Json::String(more))
                        if !matches!(&*key, "type" | "id") =>
                    {
                        text.push_str(&more);
                    }
                    (_, value) => {
                        known.insert(key, value);
                    }
                }
            }
        }
        (_, block) => blocks.push(block),
    }
}

/// Adds counts to counts, at every depth.
fn add_up(sum: &mut Map<String, Json>, more: Map<String, Json>) {
    for (key, value) in more {
        match (sum.get_mut(&key), value) {
            (Some(Json::Object(sum)), Json::Object(more)) => add_up(sum, more),
            (Some(known), Json::Number(more)) => {
                *known = match (known.as_u64(), more.as_u64()) {
                    (Some(known), Some(more)) => json!(known.saturating_add(more)),
                    _ => json!(known.as_f64().unwrap_or(0.0) + more.as_f64().unwrap_or(0.0)),
                };
            }
            (_, value) => {
                sum.insert(key, value);
            }
        }
    }
}
