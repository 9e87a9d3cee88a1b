//! Talking to models: messages, the [`ChatModel`] trait, streamed replies, structured output.
//!
//! What other crates say to a model and hear from it, in types of our own. Providers implement
//! [`ChatModel`]; agents are handed a `&dyn ChatModel` and never learn which one.
//!
//! This crate never opens a connection, reads a clock, or draws a random number, and it depends
//! on no other crate of the project. (The scripted model behind the feature `testing` can wait on
//! Tokio's clock, which tests pause.)
//!
//! # Example
//!
//! ```
//! use mesh_model::testing::{ScriptedModel, ScriptedReply};
//! use mesh_model::{ChatModel, ChatRequest, Delta, Message, Problem, structured, structured_with};
//!
//! #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
//! struct Plan {
//!     sections: Vec<String>,
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! // In the product this is a provider; here it answers from a script.
//! let model = ScriptedModel::new("demo")
//!     .then(ScriptedReply::text("Rust is a systems language."))
//!     .then(ScriptedReply::text("```json\n{\"sections\": [\"Why\", \"How\"]}\n```"))
//!     .then(ScriptedReply::text("{\"sections\": []}"))
//!     .then(ScriptedReply::text("{\"sections\": [\"Why\"]}"));
//!
//! // 1. Plain text, with the tokens observed as they arrive.
//! let request = ChatRequest::new(vec![
//!     Message::system("You write short sentences."),
//!     Message::user("What is Rust?"),
//! ])
//! .temperature(0.3)
//! .max_tokens(200);
//! let mut seen = String::new();
//! let reply = model
//!     .complete_observed(request, &mut |delta: &Delta| {
//!         if let Delta::Text(text) = delta {
//!             seen.push_str(text);
//!         }
//!     })
//!     .await?;
//! assert_eq!(reply.text(), "Rust is a systems language.");
//! assert_eq!(seen, reply.text());
//!
//! // 2. A typed answer; fences around the JSON are tolerated.
//! let ask = || ChatRequest::new(vec![Message::user("Plan a post about Rust.")]);
//! let plan = structured::<Plan>(&model, ask(), "plan").await?;
//! assert_eq!(plan.value.sections, ["Why", "How"]);
//!
//! // 3. A typed answer with a rule of the caller: the model is told what is wrong and repairs it.
//! let plan = structured_with::<Plan>(
//!     &model,
//!     ask(),
//!     "plan",
//!     |plan| match plan.sections.is_empty() {
//!         true => vec![Problem::new("/sections", "at least one section is needed")],
//!         false => vec![],
//!     },
//!     |_attempt, _delta| {},
//! )
//! .await?;
//! assert_eq!((plan.value.sections.len(), plan.calls), (1, 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod chat;
mod collect;
mod error;
mod extract;
mod message;
mod messages;
mod structured;
mod tool;
mod usage;
mod wire;

#[cfg(feature = "testing")]
pub mod testing;

pub use chat::{
    ChatModel, ChatRequest, ChatStream, Delta, FinishReason, ModelInfo, Reply, ResponseSchema,
};
pub use collect::{REPLY_BYTES_MAX, REPLY_TOOL_CALLS_MAX};
pub use error::{ModelError, ReplyProblem, Retry, TimeoutPhase};
pub use message::{Content, ContentBlock, ImageSource, Kind, Message, Role, ToolStatus};
pub use messages::{AddError, Messages, MessagesError, REMOVE_ALL};
pub use structured::{
    PROBLEMS_MAX, Problem, REPAIRS_MAX, Structured, StructuredError, structured, structured_with,
};
pub use tool::{InvalidToolCall, ToolCall, ToolCallDelta, ToolSpec};
pub use usage::Usage;
pub use wire::{MessageChunk, MessageError};
