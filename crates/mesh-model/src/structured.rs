//! Typed answers: send a schema, check the reply against it, ask for repairs, give up honestly.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::extract::find_json;
use crate::{
    ChatModel, ChatRequest, Delta, FinishReason, Message, ModelError, Reply, ResponseSchema, Usage,
};

/// Times a model is asked to repair one answer. A second repair helps in practice, a third one
/// does not.
pub const REPAIRS_MAX: u32 = 2;

/// Problems told to the model in one repair; the rest usually goes away with the first ones.
pub const PROBLEMS_MAX: usize = 16;

/// Characters of one problem's message; validators quote the offending value in full.
const PROBLEM_CHARS_MAX: usize = 400;

/// What is wrong at one place of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// JSON Pointer to the place; empty for the whole answer.
    pub pointer: String,
    /// What is wrong, for the model to read. May quote the answer, so it is not for logs.
    pub message: String,
}

impl Problem {
    /// A problem at a place.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

/// A typed answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Structured<T> {
    /// The answer; it fits the schema and passed the caller's check.
    pub value: T,
    /// The model's last message, whose text held the answer.
    pub message: Message,
    /// Tokens of all calls; `None` if one of them was not reported, since a sum without it would
    /// be too small.
    pub usage: Option<Usage>,
    /// Calls made, 1 to [`REPAIRS_MAX`] + 1.
    pub calls: u32,
}

/// No typed answer could be had.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StructuredError {
    /// The type's schema cannot be used: a mistake in the program.
    #[error("the schema \"{name}\" cannot be compiled")]
    Schema {
        /// Name of the schema.
        name: String,
        /// The compiler's complaint.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A call failed.
    #[error("the model could not be asked for \"{name}\"")]
    Model {
        /// Name of the schema.
        name: String,
        /// What failed.
        #[source]
        source: ModelError,
        /// Tokens of the calls before; `None` if not reported or if there were none.
        usage: Option<Usage>,
        /// Calls completed before the failing one.
        calls: u32,
    },
    /// The model answered, but after all repairs the answer still does not fit.
    #[error(
        "the answer for \"{name}\" does not fit after {calls} calls: {} problems",
        problems.len()
    )]
    Unusable {
        /// Name of the schema.
        name: String,
        /// The last answer as written, so that the caller can use it as plain text.
        text: String,
        /// The last answer if it fits the schema and only the caller's check complained: read it
        /// with `serde_json::from_value` to keep it and mark what is wrong.
        json: Option<Value>,
        /// What was wrong with the last answer.
        problems: Vec<Problem>,
        /// Tokens of all calls; `None` if one of them was not reported.
        usage: Option<Usage>,
        /// Calls made.
        calls: u32,
    },
}

impl fmt::Debug for StructuredError {
    /// Leaves the answer out: errors get logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema { name, source } => {
                f.debug_struct("Schema").field("name", name).field("source", source).finish()
            }
            Self::Model { name, source, usage, calls } => f
                .debug_struct("Model")
                .field("name", name)
                .field("source", source)
                .field("usage", usage)
                .field("calls", calls)
                .finish(),
            Self::Unusable { name, problems, usage, calls, .. } => f
                .debug_struct("Unusable")
                .field("name", name)
                .field("problems", &problems.len())
                .field("usage", usage)
                .field("calls", calls)
                .finish_non_exhaustive(),
        }
    }
}

/// Asks for an answer of type `T`.
///
/// `name` is the schema's name for the provider (letters, digits, `_` and `-`). See
/// [`structured_with`], of which this is the form without a check and an observer.
///
/// # Errors
/// [`StructuredError`].
///
/// # Cancel safety
/// Dropping the future ends the call in progress.
pub async fn structured<T>(
    model: &dyn ChatModel,
    request: ChatRequest,
    name: &str,
) -> Result<Structured<T>, StructuredError>
where
    T: DeserializeOwned + JsonSchema + Send,
{
    structured_with(model, request, name, |_| Vec::new(), |_, _| {}).await
}

/// Asks for an answer of type `T` that also passes `check`, and shows every delta to `observe`.
///
/// The schema of `T` replaces `request.response_schema`. The answer may stand in a fence, after
/// thoughts, or inside text, as long as there is exactly one. It must be valid against the schema,
/// readable as `T`, and free of problems found by `check`. Otherwise the model gets its answer back
/// with the list of problems, at most [`REPAIRS_MAX`] times; only the newest answer is sent along,
/// so the prompt does not grow with each repair.
///
/// `observe` gets the number of the attempt (0, then one per repair) and the delta; a new attempt
/// makes the deltas of the one before void. The reply to repair `n` has the id `<reply_id>-r<n>`.
///
/// # Errors
/// [`StructuredError::Unusable`] carries the last answer, so that the caller can fall back to
/// plain text, and its JSON if only `check` complained.
///
/// # Cancel safety
/// Dropping the future ends the call in progress.
pub async fn structured_with<T>(
    model: &dyn ChatModel,
    request: ChatRequest,
    name: &str,
    check: impl Fn(&T) -> Vec<Problem> + Send + Sync,
    mut observe: impl FnMut(u32, &Delta) + Send,
) -> Result<Structured<T>, StructuredError>
where
    T: DeserializeOwned + JsonSchema + Send,
{
    let schema = schema_of::<T>();
    let validator = jsonschema::validator_for(&schema).map_err(|error| {
        StructuredError::Schema { name: name.to_owned(), source: error.to_string().into() }
    })?;
    let first = request.response_schema(ResponseSchema { name: name.to_owned(), schema });

    let mut request = first.clone();
    let mut spent = Spent::default();
    let mut attempt = 0;
    loop {
        let called = model.complete_observed(request, &mut |delta| observe(attempt, delta)).await;
        let failed = |source, spent: &Spent| StructuredError::Model {
            name: name.to_owned(),
            source,
            usage: spent.usage(),
            calls: spent.calls,
        };
        let reply = called.map_err(|source| failed(source, &spent))?;
        spent.add(&reply);
        if reply.finish_reason == FinishReason::ContentFilter {
            return Err(failed(ModelError::ContentFiltered, &spent));
        }
        let rejected = match read::<T>(&validator, &check, &reply) {
            Ok(value) => {
                let (usage, calls) = (spent.usage(), spent.calls);
                return Ok(Structured { value, message: reply.message, usage, calls });
            }
            Err(rejected) => rejected,
        };
        if attempt == REPAIRS_MAX {
            return Err(StructuredError::Unusable {
                name: name.to_owned(),
                text: reply.text().into_owned(),
                json: rejected.json,
                problems: rejected.problems,
                usage: spent.usage(),
                calls: spent.calls,
            });
        }
        attempt += 1;
        tracing::debug!(schema = name, attempt, problems = rejected.problems.len(), "repair asked");
        request = repair(&first, &reply, &rejected.problems, attempt);
    }
}

/// Tokens and calls so far.
#[derive(Default)]
struct Spent {
    sum: Usage,
    unreported: bool,
    calls: u32,
}

impl Spent {
    fn add(&mut self, reply: &Reply) {
        self.calls += 1;
        match reply.usage {
            Some(usage) => self.sum += usage,
            None => self.unreported = true,
        }
    }

    fn usage(&self) -> Option<Usage> {
        (self.calls > 0 && !self.unreported).then_some(self.sum)
    }
}

/// An answer that does not do.
struct Rejected {
    json: Option<Value>,
    problems: Vec<Problem>,
}

impl Rejected {
    fn whole(message: impl Into<String>) -> Self {
        Self { json: None, problems: vec![Problem::new("", message)] }
    }
}

fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

fn read<T: DeserializeOwned>(
    validator: &jsonschema::Validator,
    check: &impl Fn(&T) -> Vec<Problem>,
    reply: &Reply,
) -> Result<T, Rejected> {
    let json = find_json(&reply.text()).map_err(|complaint| {
        // A reply that ran out of tokens is nearly right and needs another hint than a wrong one.
        if reply.finish_reason == FinishReason::Length {
            Rejected::whole("the reply reached the token limit before the JSON ended; be shorter")
        } else {
            Rejected::whole(complaint)
        }
    })?;
    let problems: Vec<Problem> = validator
        .iter_errors(&json)
        .take(PROBLEMS_MAX)
        .map(|error| Problem::new(error.instance_path().as_str(), error.to_string()))
        .collect();
    if !problems.is_empty() {
        return Err(Rejected { json: None, problems });
    }
    let value = T::deserialize(&json).map_err(|error| Rejected::whole(error.to_string()))?;
    let problems = check(&value);
    if problems.is_empty() { Ok(value) } else { Err(Rejected { json: Some(json), problems }) }
}

fn repair(first: &ChatRequest, reply: &Reply, problems: &[Problem], attempt: u32) -> ChatRequest {
    let problems = problems.iter().take(PROBLEMS_MAX).map(|Problem { pointer, message }| {
        let place = if pointer.is_empty() { "whole answer" } else { pointer };
        let message: String = message.chars().take(PROBLEM_CHARS_MAX).collect();
        format!("- {place}: {message}\n")
    });
    let complaint = format!(
        "Your answer cannot be used. Problems found:\n{}\
         Answer again with the whole corrected JSON and nothing else.",
        problems.collect::<String>()
    );

    let mut request = first.clone();
    // Without its tool calls and reasoning: a call without a result is refused by providers.
    let answer = reply.text();
    if !answer.is_empty() {
        request.messages.push(Arc::new(Message::assistant(answer.into_owned())));
    }
    request.messages.push(Arc::new(Message::user(complaint)));
    request.reply_id = first.reply_id.as_ref().map(|id| format!("{id}-r{attempt}"));
    request
}
