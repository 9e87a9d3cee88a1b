//! Talking to models: messages, content blocks, the ChatModel trait, streaming.
