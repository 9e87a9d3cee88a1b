//! The JSON form of messages: the one that LangChain and LangGraph clients read and write.
//!
//! A message object is flat and told apart by `type`: `human`, `ai`, `system`, `tool`. Writing
//! leaves out members that have no value; reading is generous about the forms clients are known to
//! send and exact about everything else.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::collect::parse_args;
use crate::{
    Content, ContentBlock, Delta, ImageSource, InvalidToolCall, Kind, Message, Role, ToolCall,
    ToolStatus, Usage,
};

/// A value is not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Neither a message object, a `[role, content]` pair, nor a text.
    #[error("expected a message object, a [role, content] pair or a text, found {found}")]
    NotAMessage {
        /// The JSON type found.
        found: &'static str,
    },
    /// The object has neither `type` nor `role`.
    #[error("message: expected a member \"type\" or \"role\"")]
    NoRole,
    /// The role is not one this program knows.
    #[error("message: \"{found}\" is not a role; expected human, ai, system or tool")]
    UnknownRole {
        /// The role as given, cut to 40 characters.
        found: String,
    },
    /// A member has the wrong type.
    #[error("message: {field}: expected {expected}, found {found}")]
    Field {
        /// Path of the member, such as `tool_calls[0].name`.
        field: String,
        /// What belongs there.
        expected: &'static str,
        /// The JSON type found.
        found: &'static str,
    },
}

/// One piece of a streamed reply in the JSON form of LangChain (`AIMessageChunk`).
///
/// Clients add up the chunks of one `id`.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageChunk(Map<String, Value>);

impl MessageChunk {
    /// The chunk for one delta of the reply with this id.
    pub fn new(id: &str, delta: &Delta) -> Self {
        let mut content = json!("");
        let mut tool_calls = json!([]);
        let mut metadata = json!({});
        let mut position = Value::Null;
        let mut usage = None;
        match delta {
            Delta::Text(text) => content = json!(text),
            Delta::Reasoning(text) => {
                // `index` lets clients join the pieces of one block.
                content = json!([{ "type": "reasoning", "reasoning": text, "index": 0 }]);
            }
            Delta::ToolCall(piece) => {
                tool_calls = json!([{
                    "name": piece.name,
                    "args": piece.args,
                    "id": piece.id,
                    "index": piece.index,
                    "type": "tool_call_chunk",
                }]);
            }
            Delta::Usage(tokens) => usage = Some(tokens.to_wire()),
            Delta::End { finish_reason } => {
                position = json!("last");
                metadata = json!({ "finish_reason": finish_reason.as_str() });
            }
        }
        let mut chunk = Map::new();
        chunk.insert("type".into(), json!("AIMessageChunk"));
        chunk.insert("id".into(), json!(id));
        chunk.insert("content".into(), content);
        chunk.insert("tool_call_chunks".into(), tool_calls);
        chunk.insert("chunk_position".into(), position);
        chunk.insert("additional_kwargs".into(), json!({}));
        chunk.insert("response_metadata".into(), metadata);
        if let Some(usage) = usage {
            chunk.insert("usage_metadata".into(), usage);
        }
        Self(chunk)
    }
}

impl Serialize for MessageChunk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl From<MessageChunk> for Value {
    fn from(chunk: MessageChunk) -> Self {
        Self::Object(chunk.0)
    }
}

impl Message {
    /// The message object.
    pub fn to_wire(&self) -> Value {
        let mut wire = Map::new();
        let mut put = |name: &str, value: Value| wire.insert(name.to_owned(), value);
        put("type", json!(type_of(self.role())));
        put("content", content_to_wire(&self.content));
        put("additional_kwargs", Value::Object(self.additional_kwargs.clone()));
        put("response_metadata", Value::Object(self.response_metadata.clone()));
        if let Some(id) = &self.id {
            put("id", json!(id));
        }
        if let Some(name) = &self.name {
            put("name", json!(name));
        }
        match &self.kind {
            Kind::System | Kind::User => {}
            Kind::Assistant { tool_calls, invalid_tool_calls, usage } => {
                let valid = tool_calls.iter().map(|call| {
                    json!({ "name": call.name, "args": call.args, "id": call.id,
                            "type": "tool_call" })
                });
                put("tool_calls", valid.collect());
                let invalid = invalid_tool_calls.iter().map(|call| {
                    json!({ "name": call.name, "args": call.args, "id": call.id,
                            "error": call.error, "type": "invalid_tool_call" })
                });
                put("invalid_tool_calls", invalid.collect());
                if let Some(usage) = usage {
                    put("usage_metadata", usage.to_wire());
                }
            }
            Kind::Tool { tool_call_id, status, artifact } => {
                put("tool_call_id", json!(tool_call_id));
                let status = match status {
                    ToolStatus::Success => "success",
                    ToolStatus::Error => "error",
                };
                put("status", json!(status));
                if let Some(artifact) = artifact {
                    put("artifact", artifact.clone());
                }
            }
        }
        Value::Object(wire)
    }

    /// Reads a message from any of the forms that clients send: a message object by `type`
    /// (`human`, `ai`, `system`, `tool`, and their chunks), `{"role", "content"}` with the role
    /// names of OpenAI, LangChain's constructor form (`"lc": 1`), a `[role, content]` pair, or a
    /// text, which is what the person says.
    ///
    /// # Errors
    /// [`MessageError`] names the member and what was expected.
    pub fn from_wire(wire: Value) -> Result<Self, MessageError> {
        match wire {
            Value::String(text) => Ok(Self::user(text)),
            Value::Array(pair) => {
                let [role, content] = <[Value; 2]>::try_from(pair)
                    .map_err(|_| MessageError::NotAMessage { found: "a list" })?;
                let mut object = Map::new();
                object.insert("role".into(), role);
                object.insert("content".into(), content);
                message_from_object(object)
            }
            Value::Object(object) if object.get("lc") == Some(&json!(1)) => {
                message_from_constructor(object)
            }
            Value::Object(object) => message_from_object(object),
            other => Err(MessageError::NotAMessage { found: json_type(&other) }),
        }
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_wire().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_wire(Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for Message {
    fn schema_name() -> Cow<'static, str> {
        "Message".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": {
                "type": { "type": "string", "enum": ["human", "ai", "system", "tool"] },
                "content": {
                    "anyOf": [
                        { "type": "string" },
                        { "type": "array", "items": { "type": "object" } },
                    ],
                },
                "id": { "type": "string" },
                "name": { "type": "string" },
                "tool_calls": { "type": "array", "items": { "type": "object" } },
                "tool_call_id": { "type": "string" },
            },
            "required": ["type", "content"],
        })
    }
}

fn type_of(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "human",
        Role::Assistant => "ai",
        Role::Tool => "tool",
    }
}

fn role_of(name: &str) -> Result<Role, MessageError> {
    match name {
        "human" | "user" | "HumanMessage" | "HumanMessageChunk" => Ok(Role::User),
        "ai" | "assistant" | "AIMessage" | "AIMessageChunk" => Ok(Role::Assistant),
        "system" | "developer" | "SystemMessage" | "SystemMessageChunk" => Ok(Role::System),
        "tool" | "ToolMessage" | "ToolMessageChunk" => Ok(Role::Tool),
        other => Err(MessageError::UnknownRole { found: other.chars().take(40).collect() }),
    }
}

/// LangChain's own serialisation: the class name is the last element of `id`.
fn message_from_constructor(mut object: Map<String, Value>) -> Result<Message, MessageError> {
    let class = object.get("id").and_then(Value::as_array).and_then(|path| path.last());
    let class = class.and_then(Value::as_str).ok_or(MessageError::NoRole)?.to_owned();
    match object.remove("kwargs") {
        Some(Value::Object(mut kwargs)) => {
            kwargs.insert("type".into(), Value::String(class));
            message_from_object(kwargs)
        }
        other => Err(wrong("kwargs", "an object", other.as_ref())),
    }
}

fn message_from_object(mut object: Map<String, Value>) -> Result<Message, MessageError> {
    let role = match object.remove("type").or_else(|| object.remove("role")) {
        Some(Value::String(name)) => role_of(&name)?,
        None | Some(Value::Null) => return Err(MessageError::NoRole),
        Some(other) => return Err(wrong("type", "a text", Some(&other))),
    };
    let content = match object.remove("content") {
        // OpenAI's form of an assistant that only calls tools.
        None | Some(Value::Null) if role == Role::Assistant => Content::Text(String::new()),
        content => content_from_wire(content)?,
    };
    let kind = match role {
        Role::System => Kind::System,
        Role::User => Kind::User,
        Role::Assistant => assistant_from_object(&mut object)?,
        Role::Tool => Kind::Tool {
            tool_call_id: text(&mut object, "tool_call_id")?
                .ok_or_else(|| wrong("tool_call_id", "a text", None))?,
            status: match text(&mut object, "status")?.as_deref() {
                None | Some("success") => ToolStatus::Success,
                Some("error") => ToolStatus::Error,
                Some(_) => {
                    let found = "another text";
                    let expected = "\"success\" or \"error\"";
                    return Err(MessageError::Field { field: "status".into(), expected, found });
                }
            },
            artifact: object.remove("artifact").filter(|artifact| !artifact.is_null()),
        },
    };
    Ok(Message {
        id: text(&mut object, "id")?,
        name: text(&mut object, "name")?,
        content,
        kind,
        additional_kwargs: map(&mut object, "additional_kwargs")?,
        response_metadata: map(&mut object, "response_metadata")?,
    })
}

fn assistant_from_object(object: &mut Map<String, Value>) -> Result<Kind, MessageError> {
    let mut tool_calls = Vec::new();
    let mut invalid_tool_calls = Vec::new();
    for (index, call) in list(object, "tool_calls")?.into_iter().enumerate() {
        match call_from_wire(index, call)? {
            Ok(call) => tool_calls.push(call),
            Err(call) => invalid_tool_calls.push(call),
        }
    }
    for (index, call) in list(object, "invalid_tool_calls")?.into_iter().enumerate() {
        let field = format!("invalid_tool_calls[{index}]");
        let mut call = object_at(&field, call)?;
        invalid_tool_calls.push(InvalidToolCall {
            id: text_in(&field, &mut call, "id")?,
            name: text_in(&field, &mut call, "name")?,
            args: text_in(&field, &mut call, "args")?.unwrap_or_default(),
            error: text_in(&field, &mut call, "error")?.unwrap_or_default(),
        });
    }
    let usage = object.remove("usage_metadata").filter(|usage| !usage.is_null());
    let usage = match usage {
        None => None,
        Some(wire) => Some(Usage::from_wire(&wire).ok_or_else(|| {
            wrong("usage_metadata", "an object with input_tokens and output_tokens", Some(&wire))
        })?),
    };
    Ok(Kind::Assistant { tool_calls, invalid_tool_calls, usage })
}

/// Reads a tool call in LangChain's form or in OpenAI's, whose arguments are JSON in a text.
fn call_from_wire(
    index: usize,
    call: Value,
) -> Result<Result<ToolCall, InvalidToolCall>, MessageError> {
    let field = format!("tool_calls[{index}]");
    let mut call = object_at(&field, call)?;
    let id = text_in(&field, &mut call, "id")?;
    if let Some(function) = call.remove("function") {
        let field = format!("{field}.function");
        let mut function = object_at(&field, function)?;
        let name = text_in(&field, &mut function, "name")?
            .ok_or_else(|| wrong(&format!("{field}.name"), "a text", None))?;
        let args = text_in(&field, &mut function, "arguments")?.unwrap_or_default();
        return Ok(match parse_args(&args) {
            Ok(args) => {
                Ok(ToolCall { id: id.unwrap_or_else(|| format!("call_{index}")), name, args })
            }
            Err(error) => Err(InvalidToolCall { id, name: Some(name), args, error }),
        });
    }
    let name = text_in(&field, &mut call, "name")?
        .ok_or_else(|| wrong(&format!("{field}.name"), "a text", None))?;
    let args = match call.remove("args") {
        None | Some(Value::Null) => Map::new(),
        Some(args) => object_at(&format!("{field}.args"), args)?,
    };
    Ok(Ok(ToolCall { id: id.unwrap_or_else(|| format!("call_{index}")), name, args }))
}

fn content_to_wire(content: &Content) -> Value {
    match content {
        Content::Text(text) => json!(text),
        Content::Blocks(blocks) => blocks.iter().map(block_to_wire).collect(),
    }
}

fn block_to_wire(block: &ContentBlock) -> Value {
    match block {
        ContentBlock::Text(text) => json!({ "type": "text", "text": text }),
        ContentBlock::Reasoning(text) => json!({ "type": "reasoning", "reasoning": text }),
        ContentBlock::Image(ImageSource::Url(url)) => json!({ "type": "image", "url": url }),
        ContentBlock::Image(ImageSource::Base64 { mime_type, data }) => {
            json!({ "type": "image", "base64": data, "mime_type": mime_type })
        }
        ContentBlock::Other(block) => Value::Object(block.clone()),
    }
}

fn content_from_wire(content: Option<Value>) -> Result<Content, MessageError> {
    match content {
        Some(Value::String(text)) => Ok(Content::Text(text)),
        Some(Value::Array(blocks)) => blocks
            .into_iter()
            .enumerate()
            .map(|(index, block)| block_from_wire(index, block))
            .collect::<Result<_, _>>()
            .map(Content::Blocks),
        other => Err(wrong("content", "a text or a list of blocks", other.as_ref())),
    }
}

fn block_from_wire(index: usize, block: Value) -> Result<ContentBlock, MessageError> {
    let field = format!("content[{index}]");
    if let Value::String(text) = block {
        return Ok(ContentBlock::Text(text));
    }
    let block = object_at(&field, block)?;
    let member = |name: &str| block.get(name).and_then(Value::as_str);
    let known = match member("type") {
        None => return Err(wrong(&format!("{field}.type"), "a text", block.get("type"))),
        Some("text") => Some(ContentBlock::Text(
            member("text")
                .ok_or_else(|| wrong(&format!("{field}.text"), "a text", block.get("text")))?
                .to_owned(),
        )),
        Some("reasoning") => {
            member("reasoning").map(|text| ContentBlock::Reasoning(text.to_owned()))
        }
        Some("image") => image_block(&block).map(ContentBlock::Image),
        // OpenAI's form: the address is a text, or an object with one.
        Some("image_url") => {
            let url = block.get("image_url");
            let url = url.and_then(|url| url.as_str().or_else(|| url.get("url")?.as_str()));
            let url =
                url.ok_or_else(|| wrong(&format!("{field}.image_url.url"), "a text", None))?;
            Some(ContentBlock::Image(image_at(url)))
        }
        Some(_) => None,
    };
    // Whatever else a client keeps in its messages comes back to it unchanged.
    Ok(known.unwrap_or(ContentBlock::Other(block)))
}

fn image_block(block: &Map<String, Value>) -> Option<ImageSource> {
    let member = |name: &str| block.get(name).and_then(Value::as_str);
    if let Some(url) = member("url") {
        return Some(image_at(url));
    }
    // `data` is the name in the previous generation of standard blocks.
    let data = member("base64").or_else(|| member("data"))?.to_owned();
    Some(ImageSource::Base64 { mime_type: member("mime_type")?.to_owned(), data })
}

/// A data URL is taken apart, any other address stays one.
fn image_at(url: &str) -> ImageSource {
    let inline = url
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(";base64,"))
        .filter(|(mime_type, _)| mime_type.starts_with("image/"));
    match inline {
        Some((mime_type, data)) => {
            ImageSource::Base64 { mime_type: mime_type.to_owned(), data: data.to_owned() }
        }
        None => ImageSource::Url(url.to_owned()),
    }
}

fn text(object: &mut Map<String, Value>, name: &str) -> Result<Option<String>, MessageError> {
    match object.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong(name, "a text", Some(&other))),
    }
}

fn text_in(
    place: &str,
    object: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<String>, MessageError> {
    text(object, name).map_err(|error| match error {
        MessageError::Field { field, expected, found } => {
            MessageError::Field { field: format!("{place}.{field}"), expected, found }
        }
        other => other,
    })
}

fn map(object: &mut Map<String, Value>, name: &str) -> Result<Map<String, Value>, MessageError> {
    match object.remove(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(value) => object_at(name, value),
    }
}

fn list(object: &mut Map<String, Value>, name: &str) -> Result<Vec<Value>, MessageError> {
    match object.remove(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => Ok(list),
        Some(other) => Err(wrong(name, "a list", Some(&other))),
    }
}

fn object_at(field: &str, value: Value) -> Result<Map<String, Value>, MessageError> {
    match value {
        Value::Object(object) => Ok(object),
        other => Err(wrong(field, "an object", Some(&other))),
    }
}

fn wrong(field: &str, expected: &'static str, found: Option<&Value>) -> MessageError {
    let found = found.map_or("nothing", json_type);
    MessageError::Field { field: field.to_owned(), expected, found }
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
