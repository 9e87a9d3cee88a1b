//! What the provider library's events leave out, read from the frames it shows us.
//!
//! Its tool-call events have no index (and drop calls whose server sends none), and the reason for
//! the end is only known if `[DONE]` arrives. Both are in the frames.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use genai::chat::{ChatFrameSink, FrameCtx, RawFrameRef};
use mesh_model::{FinishReason, REPLY_TOOL_CALLS_MAX, ToolCallDelta, Usage};
use serde_json::Value;

/// Characters kept of a reason for the end that we do not know.
const REASON_CHARS_MAX: usize = 64;

/// Collects from the frames of one stream.
#[derive(Default)]
pub(crate) struct Frames(Mutex<Seen>);

#[derive(Default)]
pub(crate) struct Seen {
    /// True once a frame with data has arrived.
    pub(crate) any: bool,
    /// Pieces of tool calls that have not been passed on. The reader drains it after each event,
    /// so it holds no more than one network read brings.
    pub(crate) pieces: VecDeque<ToolCallDelta>,
    /// Why the reply ended, once the server has said so.
    pub(crate) finish_reason: Option<FinishReason>,
    /// The last report of tokens.
    pub(crate) usage: Option<Usage>,
    refused: bool,
    calls: Vec<SeenCall>,
}

/// A call as the server names it; its place in the list is its index in our deltas.
struct SeenCall {
    index: Option<u64>,
    id: Option<String>,
}

impl Frames {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChatFrameSink for Frames {
    fn on_frame(&self, _ctx: &FrameCtx, frame: RawFrameRef<'_>) {
        if !frame.data.is_empty() {
            self.lock().read(frame.data);
        }
    }
}

impl Seen {
    fn read(&mut self, data: &str) {
        self.any = true;
        // What is not JSON the library reports as an error.
        let Ok(frame) = serde_json::from_str::<Value>(data) else { return };
        if let Some(usage) = frame.get("usage").and_then(read_usage) {
            self.usage = Some(usage);
        }
        let Some(choice) = frame.pointer("/choices/0") else { return };
        let refusal = choice.pointer("/delta/refusal").and_then(Value::as_str);
        self.refused |= refusal.is_some_and(|text| !text.is_empty());
        let pieces = choice.pointer("/delta/tool_calls").and_then(Value::as_array);
        for piece in pieces.into_iter().flatten() {
            self.read_piece(piece);
        }
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            self.finish_reason = Some(read_reason(reason));
        }
    }

    fn read_piece(&mut self, piece: &Value) {
        let index = piece.get("index").and_then(Value::as_u64);
        let text = |value: Option<&Value>| {
            value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let id = text(piece.get("id"));
        let name = text(piece.pointer("/function/name"));
        let args = match piece.pointer("/function/arguments") {
            Some(Value::String(args)) => args.clone(),
            // Some servers send the arguments as they are, not as text.
            Some(args @ Value::Object(_)) => args.to_string(),
            _ => String::new(),
        };
        let place = self.place_of(index, id.as_deref());
        self.pieces.push_back(ToolCallDelta { index: place as u32, id, name, args });
    }

    /// Which call a piece belongs to. Servers differ: most number the calls; some give every call
    /// the number 0 and its own id; some give no number at all.
    fn place_of(&mut self, index: Option<u64>, id: Option<&str>) -> usize {
        let known = match (index, id) {
            (Some(_), _) => self.calls.iter().rposition(|call| call.index == index),
            (None, Some(_)) => self.calls.iter().rposition(|call| call.id.as_deref() == id),
            (None, None) => self.calls.len().checked_sub(1),
        };
        if let Some(place) = known {
            let call = &mut self.calls[place];
            match (call.id.as_deref(), id) {
                (Some(old), Some(new)) if old != new => {}
                (None, Some(new)) => {
                    call.id = Some(new.to_owned());
                    return place;
                }
                _ => return place,
            }
        }
        // Beyond the limit every piece gets the number that makes the reader of the reply refuse.
        if self.calls.len() <= REPLY_TOOL_CALLS_MAX {
            self.calls.push(SeenCall { index, id: id.map(str::to_owned) });
        }
        self.calls.len() - 1
    }

    /// Why a reply ended that is known to be complete.
    pub(crate) fn end(&mut self) -> FinishReason {
        let reason = self.finish_reason.take().unwrap_or(FinishReason::Unspecified);
        if self.refused { FinishReason::ContentFilter } else { reason }
    }
}

fn read_reason(reason: &str) -> FinishReason {
    match reason {
        "stop" | "end_turn" | "stop_sequence" => FinishReason::Stop,
        "length" | "max_tokens" => FinishReason::Length,
        "tool_calls" | "tool_use" | "function_call" => FinishReason::ToolCalls,
        "content_filter" | "refusal" => FinishReason::ContentFilter,
        other => FinishReason::Other(other.chars().take(REASON_CHARS_MAX).collect()),
    }
}

fn read_usage(usage: &Value) -> Option<Usage> {
    let count = |name: &str| usage.get(name).and_then(Value::as_u64);
    let (input, output) = (count("prompt_tokens"), count("completion_tokens"));
    if input.is_none() && output.is_none() {
        return None;
    }
    let mut read = Usage::new(input.unwrap_or(0), output.unwrap_or(0));
    read.total_tokens = count("total_tokens").unwrap_or(read.total_tokens);
    read.cached_tokens =
        usage.pointer("/prompt_tokens_details/cached_tokens").and_then(Value::as_u64).unwrap_or(0);
    Some(read)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(frames: &[Value], expected: &[(u32, Option<&str>, &str)]) {
        let mut seen = Seen::default();
        for piece in frames {
            let frame = json!({ "choices": [{ "delta": { "tool_calls": [piece] } }] });
            seen.read(&frame.to_string());
        }
        let pieces: Vec<_> = seen
            .pieces
            .iter()
            .map(|piece| (piece.index, piece.id.as_deref(), piece.args.as_str()))
            .collect();
        assert_eq!(pieces, expected);
    }

    #[test]
    fn numbered_calls_keep_their_order() {
        check(
            &[
                json!({ "index": 0, "id": "a", "function": { "name": "f", "arguments": "" } }),
                json!({ "index": 0, "function": { "arguments": "{}" } }),
                json!({ "index": 1, "id": "b", "function": { "name": "g", "arguments": "{" } }),
                json!({ "index": 0, "id": "a", "function": { "arguments": " " } }),
            ],
            &[(0, Some("a"), ""), (0, None, "{}"), (1, Some("b"), "{"), (0, Some("a"), " ")],
        );
    }

    #[test]
    fn calls_without_a_number_are_told_apart_by_id() {
        check(
            &[
                json!({ "id": "a", "function": { "name": "f", "arguments": "{" } }),
                json!({ "function": { "arguments": "}" } }),
                json!({ "id": "b", "function": { "name": "g", "arguments": { "x": 1 } } }),
            ],
            &[(0, Some("a"), "{"), (0, None, "}"), (1, Some("b"), "{\"x\":1}")],
        );
    }

    #[test]
    fn calls_that_share_a_number_are_told_apart_by_id() {
        check(
            &[
                json!({ "index": 0, "id": "a", "function": { "name": "f", "arguments": "{}" } }),
                json!({ "index": 0, "id": "b", "function": { "name": "f", "arguments": "{}" } }),
            ],
            &[(0, Some("a"), "{}"), (1, Some("b"), "{}")],
        );
    }

    #[test]
    fn a_huge_number_costs_nothing_and_too_many_calls_are_bounded() {
        check(&[json!({ "index": 4_000_000_000_u64, "function": {} })], &[(0, None, "")]);
        let mut seen = Seen::default();
        for index in 0..2 * REPLY_TOOL_CALLS_MAX {
            seen.read_piece(&json!({ "index": index, "function": { "name": "f" } }));
        }
        assert_eq!(seen.calls.len(), REPLY_TOOL_CALLS_MAX + 1);
    }

    #[test]
    fn odd_frames_are_harmless() {
        let mut seen = Seen::default();
        for frame in [
            "[DONE]",
            "{",
            "[]",
            r#"{"choices": {}, "usage": null}"#,
            r#"{"choices": [{"delta": {"tool_calls": [null, 1, {"index": -1}]}}]}"#,
            r#"{"choices": [], "usage": {"prompt_tokens": -4}}"#,
        ] {
            seen.read(frame);
        }
        assert_eq!(seen.usage, None);
        assert_eq!(seen.end(), FinishReason::Unspecified);
    }
}
