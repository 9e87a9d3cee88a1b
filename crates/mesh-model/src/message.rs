//! One entry of a conversation.
//!
//! The types here are the ones the program works with; the JSON they travel in is in `wire.rs`.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::{InvalidToolCall, ToolCall, Usage};

/// One entry of a conversation.
///
/// Serialises to and from the message objects of LangChain and LangGraph clients, see
/// [`MessageError`](crate::MessageError) for what is refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Given by whoever keeps the conversation; this crate makes none up.
    pub id: Option<String>,
    /// Who speaks, if there are several of a role. Providers may not see it.
    pub name: Option<String>,
    /// What is said.
    pub content: Content,
    /// The role, with what only that role has.
    pub kind: Kind,
    /// Extra members that clients attach; carried, never read.
    pub additional_kwargs: Map<String, Value>,
    /// Facts about the reply, such as `finish_reason` and `model_name`.
    pub response_metadata: Map<String, Value>,
}

/// A role, with what only that role has.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Instructions to the model.
    System,
    /// The person, or the program in a person's place.
    User,
    /// The model.
    Assistant {
        /// Calls the model asks for.
        tool_calls: Vec<ToolCall>,
        /// Calls that cannot be made as they were written.
        invalid_tool_calls: Vec<InvalidToolCall>,
        /// Tokens of the call that made this message, if reported.
        usage: Option<Usage>,
    },
    /// The result of a tool call.
    Tool {
        /// The call this answers.
        tool_call_id: String,
        /// Whether the tool succeeded.
        status: ToolStatus,
        /// Data for the program that the model does not see.
        artifact: Option<Value>,
    },
}

/// The role alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// Whether a tool succeeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ToolStatus {
    /// It did.
    #[default]
    Success,
    /// It failed; the content says how.
    Error,
}

/// What a message says: plain text, or blocks.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Text, images and the model's reasoning, in order.
    Blocks(Vec<ContentBlock>),
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum ContentBlock {
    /// Text.
    Text(String),
    /// What the model thought before it answered.
    Reasoning(String),
    /// A picture.
    Image(ImageSource),
    /// A block of a type this program does not use. It is kept word for word for the clients
    /// that wrote it; a provider refuses to send it rather than drop it.
    Other(Map<String, Value>),
}

/// Where a picture is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// At an address the provider fetches.
    Url(String),
    /// In the message.
    Base64 {
        /// Such as `image/png`.
        mime_type: String,
        /// Standard base64 with padding.
        data: String,
    },
}

impl Message {
    /// Instructions to the model.
    pub fn system(content: impl Into<Content>) -> Self {
        Self::new(Kind::System, content)
    }

    /// What the person says.
    pub fn user(content: impl Into<Content>) -> Self {
        Self::new(Kind::User, content)
    }

    /// What the model says, without tool calls.
    pub fn assistant(content: impl Into<Content>) -> Self {
        let kind = Kind::Assistant { tool_calls: vec![], invalid_tool_calls: vec![], usage: None };
        Self::new(kind, content)
    }

    /// The result of the call `tool_call_id`.
    pub fn tool(tool_call_id: impl Into<String>, content: impl Into<Content>) -> Self {
        let kind = Kind::Tool {
            tool_call_id: tool_call_id.into(),
            status: ToolStatus::Success,
            artifact: None,
        };
        Self::new(kind, content)
    }

    /// A message without id, name and metadata.
    pub fn new(kind: Kind, content: impl Into<Content>) -> Self {
        Self {
            id: None,
            name: None,
            content: content.into(),
            kind,
            additional_kwargs: Map::new(),
            response_metadata: Map::new(),
        }
    }

    /// The same message under an id.
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The role.
    pub fn role(&self) -> Role {
        match self.kind {
            Kind::System => Role::System,
            Kind::User => Role::User,
            Kind::Assistant { .. } => Role::Assistant,
            Kind::Tool { .. } => Role::Tool,
        }
    }

    /// The text, without reasoning and images; several text blocks are joined without a gap.
    pub fn text(&self) -> Cow<'_, str> {
        self.content.text()
    }

    /// The calls an assistant asks for; empty for other roles.
    pub fn tool_calls(&self) -> &[ToolCall] {
        match &self.kind {
            Kind::Assistant { tool_calls, .. } => tool_calls,
            _ => &[],
        }
    }

    /// Tokens of the call that made this message, if it is a reply and they were reported.
    pub fn usage(&self) -> Option<Usage> {
        match &self.kind {
            Kind::Assistant { usage, .. } => *usage,
            _ => None,
        }
    }
}

impl Content {
    /// The text, without reasoning and images; several text blocks are joined without a gap.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Blocks(blocks) => {
                let mut texts = blocks.iter().filter_map(|block| match block {
                    ContentBlock::Text(text) => Some(text.as_str()),
                    _ => None,
                });
                let first = texts.next().unwrap_or_default();
                match texts.next() {
                    None => Cow::Borrowed(first),
                    Some(second) => {
                        let mut joined = format!("{first}{second}");
                        joined.extend(texts);
                        Cow::Owned(joined)
                    }
                }
            }
        }
    }

    /// True if there is neither text nor any other block.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Blocks(blocks) => blocks.is_empty(),
        }
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<ContentBlock>> for Content {
    fn from(blocks: Vec<ContentBlock>) -> Self {
        Self::Blocks(blocks)
    }
}
