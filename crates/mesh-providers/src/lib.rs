//! Model providers behind the [`ChatModel`](mesh_model::ChatModel) trait of mesh-model.
//!
//! One file per provider family. [`OpenAi`] speaks to every server with OpenAI's chat completions:
//! OpenAI itself, vLLM, llama.cpp, Ollama, LM Studio and many more.
//!
//! This crate decides nothing about prompts, routes or prices, and it knows neither graphs nor the
//! server. No type of the HTTP client or of the provider library is part of its interface, and no
//! prompt or reply is logged above the level `trace`.

mod openai;
mod retry_after;

pub use openai::{
    ConfigError, OpenAi, OpenAiConfig, RETRY_AFTER_MAX, RETRY_DELAY_MAX, SCHEMA_NAME_CHARS_MAX,
};
