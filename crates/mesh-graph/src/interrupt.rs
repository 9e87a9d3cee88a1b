//! Interrupts: a node asks, the run ends as interrupted, an answer continues it.
//!
//! Semantics: LangGraph's dynamic interrupts, keyed, strict and checked before anything runs.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::{Error, UnknownInterrupt};

/// Id of one question: 128 bits in hex, stable while the same checkpoint is run again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterruptId(pub(crate) u128);

impl InterruptId {
    /// The id of the question with `key`, or of the question with `ordinal` when it has no key,
    /// asked by the task whose namespace is `task_ns`.
    pub(crate) fn of(task_ns: &str, key: Option<&str>, ordinal: usize) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(task_ns.as_bytes());
        match key {
            Some(key) => {
                hasher.update(b"|k|").update(key.as_bytes());
            }
            None if ordinal > 0 => {
                hasher.update(b"|n|").update(&ordinal.to_le_bytes());
            }
            None => {}
        }
        Self(first_128(&hasher.finalize()))
    }
}

pub(crate) fn first_128(hash: &blake3::Hash) -> u128 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_be_bytes(bytes)
}

impl fmt::Display for InterruptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for InterruptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for InterruptId {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

crate::checkpoint::serialize_id!(InterruptId);

/// A question that a run stopped for.
///
/// Its `Serialize` is the stored form; clients see [`Interrupt::to_json`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interrupt {
    /// What the node asked.
    pub value: Json,
    /// The id to answer by.
    pub id: InterruptId,
    /// JSON Schema that the answer must fit, if the node gave one.
    pub response_schema: Option<Json>,
    /// The key of the question inside its node, if it has one.
    #[serde(default)]
    pub key: Option<String>,
}

impl Interrupt {
    /// The shape that clients see: `value`, `id`, `response_schema`.
    pub fn to_json(&self) -> Json {
        serde_json::json!({
            "value": self.value, "id": self.id, "response_schema": self.response_schema,
        })
    }

    pub(crate) fn check(&self, answer: &Json) -> Result<(), Error> {
        let Some(schema) = &self.response_schema else { return Ok(()) };
        check_answer(schema, answer).map_err(|misfit| {
            let Misfit { pointer, message } = misfit;
            Error::InvalidAnswer { id: self.id, problem: format!("at `{pointer}`: {message}") }
        })
    }
}

/// Why an answer does not fit the schema of its question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// JSON Pointer (RFC 6901) into the answer; empty for the whole.
    pub pointer: String,
    /// What was found and what is expected.
    pub message: String,
}

/// Checks an answer against the JSON Schema of its question. A `format` counts: where a date is
/// asked for, another text is no answer.
///
/// # Errors
/// [`Misfit`] points to the first place that does not fit; a schema that is none fits nothing.
pub fn check_answer(schema: &Json, answer: &Json) -> Result<(), Misfit> {
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
        .map_err(|error| Misfit { pointer: String::new(), message: error.to_string() })?;
    validator.validate(answer).map_err(|error| Misfit {
        pointer: error.instance_path().to_string(),
        message: error.to_string(),
    })
}

/// Answers to pending interrupts.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Resume {
    /// One answer, allowed when exactly one interrupt is pending. Any JSON is an answer, null too.
    Only(Json),
    /// Answers by interrupt id; interrupts without one stay pending.
    ById(BTreeMap<String, Json>),
}

impl Resume {
    /// Matches the answers with what is pending and checks each against its question's schema.
    /// `answered` are the ids that had an answer before.
    pub(crate) fn settle(
        self,
        pending: &[Interrupt],
        answered: &[InterruptId],
    ) -> Result<BTreeMap<InterruptId, Json>, Error> {
        let ids = || pending.iter().map(|interrupt| interrupt.id).collect::<Vec<_>>();
        let mut settled = BTreeMap::new();
        match self {
            Self::Only(answer) => match pending {
                [] => return Err(Error::NothingToResume),
                [only] => {
                    only.check(&answer)?;
                    settled.insert(only.id, answer);
                }
                _ => return Err(Error::AmbiguousResume { pending: ids() }),
            },
            Self::ById(answers) => {
                if answers.is_empty() {
                    return Err(Error::UnknownInterrupt {
                        id: String::new(),
                        reason: UnknownInterrupt::EmptyMap,
                        pending: ids(),
                    });
                }
                for (id, answer) in answers {
                    let known = id.parse::<InterruptId>().ok();
                    let Some(interrupt) =
                        pending.iter().find(|interrupt| Some(interrupt.id) == known)
                    else {
                        let reason = match known {
                            Some(known) if answered.contains(&known) => UnknownInterrupt::Answered,
                            _ => UnknownInterrupt::Unknown,
                        };
                        return Err(Error::UnknownInterrupt { id, reason, pending: ids() });
                    };
                    interrupt.check(&answer)?;
                    settled.insert(interrupt.id, answer);
                }
            }
        }
        Ok(settled)
    }
}
