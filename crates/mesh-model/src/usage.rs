//! How many tokens a call took, as reported by the provider.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Tokens of one call, or the sum of several calls.
///
/// Absent usage is `Option::<Usage>::None`, never zeros: a server that does not report tokens has
/// not been free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: u64,
    /// Tokens of the reply, reasoning included.
    pub output_tokens: u64,
    /// What the provider gives as the total; usually the sum of the two.
    pub total_tokens: u64,
    /// The part of `input_tokens` that the provider read from its prompt cache.
    #[serde(default)]
    pub cached_tokens: u64,
}

impl Usage {
    /// Usage of one call; the total is the sum.
    pub fn new(input_tokens: u64, output_tokens: u64) -> Self {
        let total_tokens = input_tokens.saturating_add(output_tokens);
        Self { input_tokens, output_tokens, total_tokens, cached_tokens: 0 }
    }

    /// The `usage_metadata` object of LangChain messages.
    pub(crate) fn to_wire(self) -> Value {
        let mut wire = json!({
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.total_tokens,
        });
        if self.cached_tokens > 0 {
            wire["input_token_details"] = json!({ "cache_read": self.cached_tokens });
        }
        wire
    }

    /// Reads `usage_metadata`; `None` if it is not an object of that shape.
    pub(crate) fn from_wire(wire: &Value) -> Option<Self> {
        let count = |name: &str| wire.get(name).and_then(Value::as_u64);
        let input_tokens = count("input_tokens")?;
        let output_tokens = count("output_tokens")?;
        Some(Self {
            input_tokens,
            output_tokens,
            total_tokens: count("total_tokens")
                .unwrap_or_else(|| input_tokens.saturating_add(output_tokens)),
            cached_tokens: wire
                .pointer("/input_token_details/cache_read")
                .and_then(Value::as_u64)
                .unwrap_or(0),
        })
    }
}

impl AddAssign for Usage {
    /// Adds field by field; saturates, since the numbers come from outside.
    fn add_assign(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.total_tokens = self.total_tokens.saturating_add(other.total_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(other.cached_tokens);
    }
}
