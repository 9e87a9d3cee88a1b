//! The JSON form of messages.

use expect_test::{Expect, expect};
use mesh_model::{
    Content, ContentBlock, Delta, FinishReason, ImageSource, Kind, Message, MessageChunk, ToolCall,
    ToolCallDelta, ToolStatus, Usage,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Compares values, since the order of members is not part of the form.
#[track_caller]
fn check_written(message: &Message, expected: Value) {
    assert_eq!(message.to_wire(), expected);
    let read: Message = serde_json::from_value(message.to_wire()).unwrap();
    assert_eq!(&read, message, "reading gives back what was written");
}

#[track_caller]
fn check_read(wire: Value, expected: Message) {
    assert_eq!(Message::from_wire(wire).unwrap(), expected);
}

fn check_refused(wire: Value, expected: Expect) {
    expected.assert_eq(&Message::from_wire(wire).unwrap_err().to_string());
}

fn call(id: &str, name: &str, args: Value) -> ToolCall {
    let Value::Object(args) = args else { panic!("arguments are an object") };
    ToolCall { id: id.into(), name: name.into(), args }
}

fn assistant(content: &str, tool_calls: Vec<ToolCall>) -> Message {
    let kind = Kind::Assistant { tool_calls, invalid_tool_calls: vec![], usage: None };
    Message::new(kind, content)
}

#[test]
fn what_a_person_says_is_written_as_human() {
    check_written(
        &Message::user("hi").with_id("m1"),
        json!({
          "additional_kwargs": {},
          "content": "hi",
          "id": "m1",
          "response_metadata": {},
          "type": "human"
        }),
    );
}

#[test]
fn a_reply_with_calls_and_usage_is_written_as_ai() {
    let mut message = assistant("", vec![call("tc-1", "search", json!({ "q": "rust" }))]);
    if let Kind::Assistant { usage, .. } = &mut message.kind {
        *usage = Some(Usage { cached_tokens: 2, ..Usage::new(3, 5) });
    }
    check_written(
        &message,
        json!({
          "additional_kwargs": {},
          "content": "",
          "invalid_tool_calls": [],
          "response_metadata": {},
          "tool_calls": [
            {
              "args": {
                "q": "rust"
              },
              "id": "tc-1",
              "name": "search",
              "type": "tool_call"
            }
          ],
          "type": "ai",
          "usage_metadata": {
            "input_token_details": {
              "cache_read": 2
            },
            "input_tokens": 3,
            "output_tokens": 5,
            "total_tokens": 8
          }
        }),
    );
}

#[test]
fn a_failed_tool_is_written_with_its_status() {
    let kind = Kind::Tool {
        tool_call_id: "tc-1".into(),
        status: ToolStatus::Error,
        artifact: Some(json!([1])),
    };
    check_written(
        &Message::new(kind, "no such page"),
        json!({
          "additional_kwargs": {},
          "artifact": [
            1
          ],
          "content": "no such page",
          "response_metadata": {},
          "status": "error",
          "tool_call_id": "tc-1",
          "type": "tool"
        }),
    );
}

#[test]
fn blocks_are_written_as_a_list() {
    let blocks = vec![
        ContentBlock::Reasoning("hm".into()),
        ContentBlock::Text("look: ".into()),
        ContentBlock::Image(ImageSource::Url("https://example.org/a.png".into())),
        ContentBlock::Image(ImageSource::Base64 {
            mime_type: "image/png".into(),
            data: "AAAA".into(),
        }),
    ];
    check_written(
        &Message::user(blocks),
        json!({
          "additional_kwargs": {},
          "content": [
            {
              "reasoning": "hm",
              "type": "reasoning"
            },
            {
              "text": "look: ",
              "type": "text"
            },
            {
              "type": "image",
              "url": "https://example.org/a.png"
            },
            {
              "base64": "AAAA",
              "mime_type": "image/png",
              "type": "image"
            }
          ],
          "response_metadata": {},
          "type": "human"
        }),
    );
}

#[test]
fn every_known_way_to_say_user_is_read() {
    for wire in [
        json!("hi"),
        json!(["user", "hi"]),
        json!(["human", "hi"]),
        json!({ "role": "user", "content": "hi" }),
        json!({ "type": "human", "content": "hi", "name": null, "id": null }),
        json!({ "type": "user", "content": "hi" }),
        json!({ "lc": 1, "type": "constructor",
                "id": ["langchain_core", "messages", "HumanMessage"],
                "kwargs": { "content": "hi", "additional_kwargs": {} } }),
    ] {
        check_read(wire, Message::user("hi"));
    }
}

#[test]
fn other_roles_are_read() {
    check_read(json!({ "role": "system", "content": "be brief" }), Message::system("be brief"));
    check_read(json!({ "role": "developer", "content": "be brief" }), Message::system("be brief"));
    check_read(json!({ "role": "assistant", "content": "ok" }), Message::assistant("ok"));
    check_read(
        json!({ "role": "tool", "tool_call_id": "tc-1", "content": "42" }),
        Message::tool("tc-1", "42"),
    );
}

#[test]
fn a_chunk_becomes_a_full_message() {
    check_read(
        json!({ "type": "AIMessageChunk", "content": "Hel", "id": "m", "tool_calls": [],
                "tool_call_chunks": [], "chunk_position": null }),
        Message::assistant("Hel").with_id("m"),
    );
}

#[test]
fn openai_tool_calls_are_read() {
    check_read(
        json!({ "role": "assistant", "content": null, "tool_calls": [
            { "id": "c1", "type": "function",
              "function": { "name": "search", "arguments": "{\"q\":\"rust\"}" } } ] }),
        assistant("", vec![call("c1", "search", json!({ "q": "rust" }))]),
    );
}

#[test]
fn openai_arguments_that_are_not_json_are_kept_as_an_invalid_call() {
    let message = Message::from_wire(json!({ "role": "assistant", "tool_calls": [
        { "id": "c1", "type": "function", "function": { "name": "s", "arguments": "{\"q\":" } } ] }))
    .unwrap();
    let Kind::Assistant { tool_calls, invalid_tool_calls, .. } = message.kind else {
        panic!("an assistant")
    };
    assert!(tool_calls.is_empty());
    assert_eq!(invalid_tool_calls[0].args, "{\"q\":");
    assert_eq!(invalid_tool_calls[0].id.as_deref(), Some("c1"));
}

#[test]
fn pictures_are_read_in_the_forms_of_both_families() {
    let image = |block: Value| {
        let message = Message::from_wire(json!({ "role": "user", "content": [block] })).unwrap();
        let Content::Blocks(mut blocks) = message.content else { panic!("blocks") };
        blocks.remove(0)
    };
    let url = ContentBlock::Image(ImageSource::Url("https://e.org/a.png".into()));
    let inline = ContentBlock::Image(ImageSource::Base64 {
        mime_type: "image/png".into(),
        data: "AAAA".into(),
    });
    let openai = |url: &str| json!({ "type": "image_url", "image_url": { "url": url } });
    assert_eq!(image(openai("https://e.org/a.png")), url);
    assert_eq!(image(json!({ "type": "image_url", "image_url": "https://e.org/a.png" })), url);
    assert_eq!(image(openai("data:image/png;base64,AAAA")), inline);
    assert_eq!(image(json!({ "type": "image", "data": "AAAA", "mime_type": "image/png" })), inline);
}

#[test]
fn a_block_of_another_type_comes_back_unchanged() {
    let wire = json!([{ "type": "audio", "base64": "AAAA", "mime_type": "audio/wav", "x": 1 }]);
    let message = Message::from_wire(json!({ "role": "user", "content": wire })).unwrap();
    assert_eq!(message.to_wire()["content"], wire);
}

#[test]
fn text_joins_text_blocks_only() {
    let message = Message::from_wire(json!(["user", [
        { "type": "reasoning", "reasoning": "no" }, "a", { "type": "text", "text": "b" },
        { "type": "text", "text": "c" },
    ]]));
    assert_eq!(message.unwrap().text(), "abc");
}

#[test]
fn refusals_name_the_member_and_what_belongs_there() {
    check_refused(
        json!(7),
        expect!["expected a message object, a [role, content] pair or a text, found a number"],
    );
    check_refused(
        json!(["user", "a", "b"]),
        expect!["expected a message object, a [role, content] pair or a text, found a list"],
    );
    check_refused(
        json!({ "content": "x" }),
        expect![[r#"message: expected a member "type" or "role""#]],
    );
    check_refused(
        json!({ "role": "robot", "content": "x" }),
        expect![[r#"message: "robot" is not a role; expected human, ai, system or tool"#]],
    );
    check_refused(
        json!({ "role": "user" }),
        expect!["message: content: expected a text or a list of blocks, found nothing"],
    );
    check_refused(
        json!({ "role": "user", "content": [{ "type": "text" }] }),
        expect!["message: content[0].text: expected a text, found nothing"],
    );
    check_refused(
        json!({ "role": "tool", "content": "42" }),
        expect!["message: tool_call_id: expected a text, found nothing"],
    );
    check_refused(
        json!({ "role": "assistant", "content": "", "tool_calls": [{ "name": "s", "args": [] }] }),
        expect!["message: tool_calls[0].args: expected an object, found a list"],
    );
    check_refused(
        json!({ "role": "assistant", "content": "", "tool_calls": [{ "args": {} }] }),
        expect!["message: tool_calls[0].name: expected a text, found nothing"],
    );
}

#[test]
fn deltas_become_chunks() {
    let chunk = |delta: &Delta| Value::from(MessageChunk::new("m", delta));
    assert_eq!(
        chunk(&Delta::Text("Hel".into())),
        json!({ "type": "AIMessageChunk", "id": "m", "content": "Hel", "tool_call_chunks": [],
                "chunk_position": null, "additional_kwargs": {}, "response_metadata": {} })
    );
    let piece = ToolCallDelta {
        index: 1,
        id: Some("c".into()),
        name: Some("search".into()),
        args: "{".into(),
    };
    assert_eq!(
        chunk(&Delta::ToolCall(piece))["tool_call_chunks"],
        json!([{ "name": "search", "args": "{", "id": "c", "index": 1,
                 "type": "tool_call_chunk" }])
    );
    assert_eq!(
        chunk(&Delta::Usage(Usage::new(1, 2)))["usage_metadata"],
        json!({ "input_tokens": 1, "output_tokens": 2, "total_tokens": 3 })
    );
    let last = chunk(&Delta::End { finish_reason: FinishReason::Length });
    assert_eq!(last["chunk_position"], "last");
    assert_eq!(last["response_metadata"], json!({ "finish_reason": "length" }));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop_oneof![Just("human"), Just("ai"), Just("tool"), Just("text"), Just("data:image/")]
            .prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "type",
        "role",
        "content",
        "tool_calls",
        "id",
        "kwargs",
        "lc",
        "args",
        "function",
        "text",
        "name",
        "arguments",
        "image_url",
        "url",
        "tool_call_id",
        "usage_metadata",
    ]);
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(names.clone(), inner, 0..6).prop_map(|members| {
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_refused_or_read_so_that_writing_is_stable(wire in any_json()) {
        if let Ok(message) = Message::from_wire(wire) {
            let again = Message::from_wire(message.to_wire()).unwrap();
            prop_assert_eq!(again, message);
        }
    }
}
