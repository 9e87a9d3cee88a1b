//! Finds the JSON in what a model wrote. Pure: text in, value or complaint out.
//!
//! Models wrap JSON in fences, in their thoughts, or in a polite sentence, even when told not to.

use serde_json::Value;

/// Opening braces tried in one reply. Text with more of them before any complete object is code,
/// not an answer; the limit keeps the search linear in the length of the reply.
const CANDIDATES_MAX: usize = 64;

/// Finds the one JSON value in `text`: the whole text, the content of a fence, or a single object
/// with text around it.
///
/// # Errors
/// A sentence for the model that says what to do better.
pub(crate) fn find_json(text: &str) -> Result<Value, String> {
    let text = without_thoughts(text).trim();
    if text.is_empty() {
        return Err("the reply has no text; answer with the JSON".to_owned());
    }
    let whole = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if let Some(value) = fenced(text).and_then(|inner| serde_json::from_str(inner.trim()).ok()) {
        return Ok(value);
    }
    let mut objects = embedded_objects(text);
    match (objects.pop(), objects.len()) {
        (Some(only), 0) => Ok(only),
        (Some(_), more) => {
            Err(format!("the reply has {} JSON objects; answer with exactly one", more + 1))
        }
        (None, _) => Err(format!("the reply is not JSON: {whole}")),
    }
}

/// Drops a leading `<think>…</think>`, which servers without a reasoning parser leave in the text.
fn without_thoughts(text: &str) -> &str {
    let start = text.trim_start();
    match start.strip_prefix("<think>").and_then(|rest| rest.split_once("</think>")) {
        Some((_, answer)) => answer,
        None => start,
    }
}

/// The content of the first fence, without its language.
fn fenced(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("```")?;
    let (_language, rest) = rest.split_once('\n')?;
    Some(rest.rsplit_once("```").map_or(rest, |(inner, _)| inner))
}

/// Complete JSON objects in a text, outermost only, in order.
fn embedded_objects(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut rest = text;
    for _ in 0..CANDIDATES_MAX {
        let Some(start) = rest.find('{') else { break };
        rest = &rest[start..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                found.push(value);
                rest = &rest[values.byte_offset()..];
            }
            _ => rest = &rest[1..],
        }
    }
    found
}
