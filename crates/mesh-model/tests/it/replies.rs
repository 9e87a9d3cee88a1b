//! Whole replies from streamed pieces, and the scripted model itself.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use mesh_model::testing::{ScriptedModel, ScriptedReply};
use mesh_model::{
    ChatModel, ChatRequest, ChatStream, Content, ContentBlock, Delta, FinishReason, Kind, Message,
    ModelError, REPLY_BYTES_MAX, REPLY_TOOL_CALLS_MAX, ReplyProblem, Retry, ToolCallDelta, Usage,
};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::Instant;

fn ask(text: &str) -> ChatRequest {
    ChatRequest::new(vec![Message::user(text)])
}

#[tokio::test]
async fn a_reply_has_text_reasoning_usage_and_metadata() {
    let model = ScriptedModel::new("m")
        .then(ScriptedReply::text("one two").reasoning("hm").usage(Usage::new(3, 4)));
    let reply = model.complete(ask("x").reply_id("r1")).await.unwrap();
    assert_eq!(reply.text(), "one two");
    assert_eq!(
        reply.message.content,
        Content::Blocks(vec![
            ContentBlock::Reasoning("hm".into()),
            ContentBlock::Text("one two".into()),
        ])
    );
    assert_eq!(reply.message.id.as_deref(), Some("r1"));
    assert_eq!(reply.usage, Some(Usage::new(3, 4)));
    assert_eq!(reply.message.usage(), reply.usage);
    assert_eq!(
        serde_json::to_value(&reply.message.response_metadata).unwrap(),
        json!({ "finish_reason": "stop", "model_name": "m", "model_provider": "scripted" })
    );
}

#[tokio::test]
async fn usage_that_was_not_reported_is_unknown_and_not_zero() {
    let model = ScriptedModel::new("m").then(ScriptedReply::text("x"));
    assert_eq!(model.complete(ask("x")).await.unwrap().usage, None);
}

#[tokio::test]
async fn the_observer_sees_every_piece_in_order() {
    let model = ScriptedModel::new("m").then(ScriptedReply::chunks(["a", "b", "c"]));
    let mut seen = Vec::new();
    model.complete_observed(ask("x"), &mut |delta| seen.push(delta.clone())).await.unwrap();
    assert_eq!(
        seen,
        [
            Delta::Text("a".into()),
            Delta::Text("b".into()),
            Delta::Text("c".into()),
            Delta::End { finish_reason: FinishReason::Stop },
        ]
    );
}

#[tokio::test]
async fn tool_calls_are_put_together_from_their_pieces() {
    let model = ScriptedModel::new("m").then(
        ScriptedReply::tool_call("c1", "search", &json!({ "q": "rust" })).and_tool_call(
            "c2",
            "clock",
            &json!({}),
        ),
    );
    let reply = model.complete(ask("x")).await.unwrap();
    assert_eq!(reply.finish_reason, FinishReason::ToolCalls);
    let calls: Vec<_> =
        reply.message.tool_calls().iter().map(|c| (c.id.as_str(), c.name.as_str())).collect();
    assert_eq!(calls, [("c1", "search"), ("c2", "clock")]);
    assert_eq!(reply.message.tool_calls()[0].args["q"], "rust");
}

/// A model that streams exactly these deltas and then stops.
async fn check_deltas(deltas: Vec<Delta>) -> Result<mesh_model::Reply, ModelError> {
    struct Fixed(mesh_model::ModelInfo, std::sync::Mutex<Vec<Delta>>);
    #[async_trait::async_trait]
    impl ChatModel for Fixed {
        fn info(&self) -> &mesh_model::ModelInfo {
            &self.0
        }
        async fn stream(&self, _: ChatRequest) -> Result<ChatStream, ModelError> {
            let deltas = std::mem::take(&mut *self.1.lock().unwrap());
            Ok(ChatStream::new(stream::iter(deltas.into_iter().map(Ok))))
        }
    }
    let info = mesh_model::ModelInfo { provider: "p".into(), name: "m".into() };
    Fixed(info, std::sync::Mutex::new(deltas)).complete(ask("x")).await
}

fn piece(index: u32, id: Option<&str>, name: Option<&str>, args: &str) -> Delta {
    let (id, name) = (id.map(Into::into), name.map(Into::into));
    Delta::ToolCall(ToolCallDelta { index, id, name, args: args.into() })
}

fn end() -> Delta {
    Delta::End { finish_reason: FinishReason::Stop }
}

#[tokio::test]
async fn interleaved_calls_keep_their_own_arguments() {
    let reply = check_deltas(vec![
        piece(1, Some("b"), Some("two"), "{\"x\""),
        piece(0, Some("a"), Some("one"), "{\"y\""),
        piece(1, None, None, ":1}"),
        piece(0, None, None, ":2}"),
        end(),
    ])
    .await
    .unwrap();
    let calls = reply.message.tool_calls();
    assert_eq!((calls[0].name.as_str(), &calls[0].args["y"]), ("one", &json!(2)));
    assert_eq!((calls[1].name.as_str(), &calls[1].args["x"]), ("two", &json!(1)));
}

#[tokio::test]
async fn calls_that_cannot_be_made_are_kept_apart() {
    let reply = check_deltas(vec![
        piece(0, Some("a"), Some("one"), "{\"x\":"),
        piece(1, Some("b"), Some("two"), "[1]"),
        piece(2, Some("c"), None, "{}"),
        piece(3, None, Some("four"), ""),
        end(),
    ])
    .await
    .unwrap();
    let Kind::Assistant { tool_calls, invalid_tool_calls, .. } = &reply.message.kind else {
        panic!("an assistant")
    };
    assert_eq!(tool_calls.len(), 1, "no arguments at all are valid");
    assert_eq!(tool_calls[0].id, "call_3", "a call without an id gets one");
    let errors: Vec<_> = invalid_tool_calls.iter().map(|call| call.error.as_str()).collect();
    assert!(errors[0].starts_with("the arguments are not JSON"), "{errors:?}");
    assert_eq!(errors[1..], ["the arguments are not a JSON object", "the call names no tool"]);
}

#[tokio::test]
async fn a_stream_without_an_end_is_cut() {
    let cut = check_deltas(vec![Delta::Text("half a sen".into())]).await.unwrap_err();
    assert!(matches!(cut, ModelError::Cut { .. }));
    assert_eq!(cut.retry(), Retry::Yes);
}

#[tokio::test]
async fn a_reply_that_never_ends_is_refused_at_its_bound() {
    let half = "x".repeat(REPLY_BYTES_MAX / 2);
    let fits = vec![Delta::Text(half.clone()), Delta::Reasoning(half.clone()), end()];
    assert!(check_deltas(fits).await.is_ok());
    let over = vec![Delta::Text(half.clone()), Delta::Reasoning(half), piece(0, None, None, "x")];
    let error = check_deltas(over).await.unwrap_err();
    assert!(matches!(error, ModelError::BadReply { problem: ReplyProblem::TooLong }));
}

#[tokio::test]
async fn too_many_tool_calls_are_refused_whatever_their_index() {
    let calls = |n: usize| {
        let mut deltas: Vec<_> =
            (0..n).map(|i| piece(u32::MAX - i as u32, Some("c"), Some("t"), "{}")).collect();
        deltas.push(end());
        deltas
    };
    let reply = check_deltas(calls(REPLY_TOOL_CALLS_MAX)).await.unwrap();
    assert_eq!(reply.message.tool_calls().len(), REPLY_TOOL_CALLS_MAX);
    let error = check_deltas(calls(REPLY_TOOL_CALLS_MAX + 1)).await.unwrap_err();
    assert!(matches!(error, ModelError::BadReply { problem: ReplyProblem::TooManyToolCalls }));
}

#[tokio::test]
async fn nothing_follows_an_end_or_an_error() {
    let after_end = vec![Ok(end()), Ok(Delta::Text("more".into()))];
    let items: Vec<_> = ChatStream::new(stream::iter(after_end)).collect().await;
    assert_eq!(items.len(), 1);
    let after_error = vec![Err(ModelError::ContentFiltered), Ok(end())];
    let items: Vec<_> = ChatStream::new(stream::iter(after_error)).collect().await;
    assert!(matches!(items[..], [Err(ModelError::ContentFiltered)]));
}

#[tokio::test]
async fn an_empty_script_is_an_error_that_says_so() {
    let model = ScriptedModel::new("planner").then(ScriptedReply::text("x"));
    model.complete(ask("1")).await.unwrap();
    let error = model.complete(ask("2")).await.unwrap_err();
    assert_eq!(error.to_string(), "the script of the model \"planner\" has no reply for call 2");
    assert_eq!(model.requests().len(), 2, "the unanswered request is recorded too");
}

#[tokio::test]
async fn concurrent_calls_are_answered_by_content() {
    let model = ScriptedModel::answering("m", |request| {
        ScriptedReply::text(format!("re: {}", request.messages[0].text()))
    });
    let (b, a) = tokio::join!(model.complete(ask("b")), model.complete(ask("a")));
    assert_eq!((a.unwrap().text().as_ref(), b.unwrap().text().as_ref()), ("re: a", "re: b"));
    assert_eq!(model.calls(), 2);
}

#[tokio::test]
async fn an_error_may_come_first_or_in_the_middle() {
    let limited = || ModelError::RateLimited { retry_after: Some(Duration::from_secs(2)) };
    let model = ScriptedModel::new("m")
        .then(ScriptedReply::error(limited()))
        .then(ScriptedReply::text("half").then_error(limited()))
        .then(ScriptedReply::text("half").then_cut());
    let first = model.stream(ask("x")).await.unwrap_err();
    assert_eq!(first.retry(), Retry::After(Duration::from_secs(2)));
    assert!(model.stream(ask("x")).await.is_ok());
    assert!(matches!(model.complete(ask("x")).await.unwrap_err(), ModelError::Cut { .. }));
}

#[tokio::test(start_paused = true)]
async fn time_passes_on_the_clock_that_tests_pause() {
    let model = ScriptedModel::new("m")
        .interval(Duration::from_secs(1))
        .then(ScriptedReply::chunks(["a", "b"]).then_delay(Duration::from_secs(10)));
    let start = Instant::now();
    model.complete(ask("x")).await.unwrap();
    // Two texts and the end, one second each, and the delay.
    assert_eq!(start.elapsed().as_secs(), 13);
}

#[tokio::test]
async fn a_gate_holds_a_reply_until_it_opens_and_a_dropped_call_is_counted() {
    let gate = Arc::new(Semaphore::new(0));
    let model = ScriptedModel::answering("m", {
        let gate = Arc::clone(&gate);
        move |_| ScriptedReply::text("x").wait_first(Arc::clone(&gate))
    });
    {
        let mut call = Box::pin(model.complete(ask("1")));
        tokio::select! {
            biased;
            _ = &mut call => panic!("the gate is shut"),
            () = model.called(1) => {}
        }
    }
    assert_eq!(model.abandoned(), 1);
    gate.add_permits(1);
    assert_eq!(model.complete(ask("2")).await.unwrap().text(), "x");
    assert_eq!(model.abandoned(), 1);
}

#[test]
fn no_error_message_ends_in_a_full_stop_or_starts_in_capitals() {
    for error in [
        ModelError::RateLimited { retry_after: None },
        ModelError::QuotaExceeded,
        ModelError::Unavailable { status: Some(503), retry_after: None, source: None },
        ModelError::Cut { source: None },
        ModelError::Authentication { status: 401 },
        ModelError::NotFound { model: "m".into() },
        ModelError::ContextTooLong,
        ModelError::ContentFiltered,
        ModelError::InvalidRequest { field: "messages".into(), expected: "at least one" },
        ModelError::Refused { status: Some(400), code: Some("bad_thing".into()) },
        ModelError::BadReply { problem: ReplyProblem::TooLong },
    ] {
        let text = error.to_string();
        assert!(text.starts_with(char::is_lowercase) && !text.ends_with('.'), "{text}");
    }
    let refused = ModelError::Refused { status: Some(400), code: Some("bad_thing".into()) };
    assert_eq!(
        refused.to_string(),
        "the model's server refused the request (status 400): bad_thing"
    );
}

const fn is_send<T: Send>() {}
const fn is_send_sync<T: Send + Sync>() {}
const _: () = {
    is_send_sync::<ModelError>();
    is_send_sync::<Arc<dyn ChatModel>>();
    is_send::<ChatStream>();
};
