//! Asking a model: the request, the streamed reply, and the trait that providers implement.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use serde_json::Value;

use crate::collect::Collector;
use crate::{Message, ModelError, ToolCallDelta, ToolSpec, Usage};

/// Which model this is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelInfo {
    /// Who serves it, such as `openai` or `ollama`.
    pub provider: String,
    /// Its name at the provider.
    pub name: String,
}

/// What a model is asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatRequest {
    /// The conversation, oldest first; not empty. Shared: a long history costs a request nothing.
    pub messages: Vec<Arc<Message>>,
    /// Randomness of the reply; `None` leaves it to the provider.
    pub temperature: Option<f64>,
    /// Limit on tokens of the reply; `None` leaves it to the provider.
    pub max_tokens: Option<u32>,
    /// Seed for providers that can repeat a reply.
    pub seed: Option<u64>,
    /// Tools the model may call.
    pub tools: Vec<ToolSpec>,
    /// The form the reply must have.
    pub response_schema: Option<ResponseSchema>,
    /// Texts at which the reply ends; they are not part of it.
    pub stop: Vec<String>,
    /// Id the reply's message will carry. The caller gives it, since nothing here is random.
    pub reply_id: Option<String>,
}

impl ChatRequest {
    /// A request with everything else left to the provider.
    pub fn new(messages: impl IntoIterator<Item = impl Into<Arc<Message>>>) -> Self {
        let messages = messages.into_iter().map(Into::into).collect();
        Self { messages, ..Self::default() }
    }

    /// Sets the randomness, 0 to 2 at most providers.
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Limits the reply, in tokens.
    pub fn max_tokens(mut self, max_tokens: u32) -> Self {
        self.max_tokens = Some(max_tokens);
        self
    }

    /// Sets the seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Offers tools.
    pub fn tools(mut self, tools: Vec<ToolSpec>) -> Self {
        self.tools = tools;
        self
    }

    /// Asks for JSON of a form.
    pub fn response_schema(mut self, schema: ResponseSchema) -> Self {
        self.response_schema = Some(schema);
        self
    }

    /// Ends the reply at any of these texts.
    pub fn stop(mut self, stop: Vec<String>) -> Self {
        self.stop = stop;
        self
    }

    /// Gives the reply's message its id.
    pub fn reply_id(mut self, id: impl Into<String>) -> Self {
        self.reply_id = Some(id.into());
        self
    }
}

/// The form a reply must have.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponseSchema {
    /// Name for the provider: letters, digits, `_` and `-`, 1 to 64 of them.
    pub name: String,
    /// JSON Schema, draft 2020-12. Some providers demand an object at its root.
    pub schema: Value,
}

/// One piece of a reply, as it arrives.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    /// More text; never empty.
    Text(String),
    /// More of the model's reasoning; never empty.
    Reasoning(String),
    /// A piece of a tool call.
    ToolCall(ToolCallDelta),
    /// Tokens of this call; the last one counts.
    Usage(Usage),
    /// The reply is complete. Always the last delta, and only ever the last.
    End {
        /// Why it ended.
        finish_reason: FinishReason,
    },
}

/// Why a reply ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinishReason {
    /// The model was done, or reached a stop text.
    Stop,
    /// The token limit was reached: the text may end in the middle of a word.
    Length,
    /// The model waits for the results of tool calls.
    ToolCalls,
    /// The provider's filter ended it.
    ContentFilter,
    /// The provider gave another reason.
    Other(String),
    /// The provider gave no reason, but did mark the end.
    Unspecified,
}

impl FinishReason {
    /// The name on the wire, as in OpenAI's API.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Other(reason) => reason,
            Self::Unspecified => "unspecified",
        }
    }
}

/// A complete reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The assistant message, ready to be appended to the conversation. Its content is plain text,
    /// or a reasoning and a text block if the model reasoned.
    pub message: Message,
    /// Tokens, if reported.
    pub usage: Option<Usage>,
    /// Why the reply ended.
    pub finish_reason: FinishReason,
}

impl Reply {
    /// The text without reasoning.
    pub fn text(&self) -> Cow<'_, str> {
        self.message.text()
    }
}

/// A model that can be asked.
///
/// Implementors write [`stream`](Self::stream); asking for a whole reply is provided on top.
/// Handed around as `Arc<dyn ChatModel>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a model that can be asked",
    note = "implement `ChatModel`: `info` and `stream` are enough"
)]
#[async_trait]
pub trait ChatModel: Send + Sync {
    /// Which model this is.
    fn info(&self) -> &ModelInfo;

    /// Asks, and gives the reply piece by piece.
    ///
    /// Resolves when the first piece is there, so that a refusal is an error of this call.
    ///
    /// # Errors
    /// [`ModelError`]; an error after the first piece comes as the stream's last item.
    ///
    /// # Cancel safety
    /// Dropping the future or the stream ends the request and closes its connection.
    async fn stream(&self, request: ChatRequest) -> Result<ChatStream, ModelError>;

    /// Asks, and waits for the whole reply.
    ///
    /// # Errors
    /// [`ModelError`], also for a stream that ends early: a reply is complete or it is an error.
    ///
    /// # Cancel safety
    /// As [`stream`](Self::stream).
    async fn complete(&self, request: ChatRequest) -> Result<Reply, ModelError> {
        self.complete_observed(request, &mut |_| {}).await
    }

    /// Asks, shows each piece to `observe` as it arrives, and returns the whole reply.
    ///
    /// `observe` runs between two reads of the connection: it must not block, and hands the piece
    /// on through a bounded queue if the reader may be slow.
    ///
    /// # Errors
    /// As [`complete`](Self::complete). Pieces seen before an error are void.
    ///
    /// # Cancel safety
    /// As [`stream`](Self::stream).
    async fn complete_observed(
        &self,
        request: ChatRequest,
        observe: &mut (dyn for<'d> FnMut(&'d Delta) + Send),
    ) -> Result<Reply, ModelError> {
        let mut collector = Collector::new(self.info(), request.reply_id.clone());
        let mut deltas = self.stream(request).await?;
        while let Some(delta) = deltas.next().await {
            let delta = delta?;
            observe(&delta);
            if let Some(reply) = collector.push(delta)? {
                return Ok(reply);
            }
        }
        Err(ModelError::Cut { source: None })
    }
}

/// A reply, piece by piece.
///
/// Whatever the provider does, the items are: any number of `Ok` pieces, then either
/// [`Delta::End`] or one error, then nothing. A source that stops without an end yields
/// [`ModelError::Cut`].
pub struct ChatStream {
    /// `None` after the last item.
    deltas: Option<BoxStream<'static, Result<Delta, ModelError>>>,
}

impl ChatStream {
    /// Wraps a provider's deltas.
    pub fn new(deltas: impl Stream<Item = Result<Delta, ModelError>> + Send + 'static) -> Self {
        Self { deltas: Some(Box::pin(deltas)) }
    }
}

impl Stream for ChatStream {
    type Item = Result<Delta, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(deltas) = &mut self.deltas else {
            return Poll::Ready(None);
        };
        let item = match deltas.as_mut().poll_next(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => Err(ModelError::Cut { source: None }),
            Poll::Ready(Some(item)) => item,
        };
        if matches!(item, Err(_) | Ok(Delta::End { .. })) {
            // Gives the connection back at once, not when the caller drops the stream.
            self.deltas = None;
        }
        Poll::Ready(Some(item))
    }
}

impl std::fmt::Debug for ChatStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatStream").field("ended", &self.deltas.is_none()).finish()
    }
}
