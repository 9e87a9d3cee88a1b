//! The provider for OpenAI's chat completions.

use std::io;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use mesh_model::{
    ChatModel, ChatRequest, Content, ContentBlock, Delta, FinishReason, ImageSource, Kind, Message,
    ModelError, Reply, ReplyProblem, Retry, TimeoutPhase, ToolSpec, Usage, structured,
};
use mesh_providers::{ConfigError, OpenAi, OpenAiConfig, RETRY_AFTER_MAX};
use serde_json::json;
use tokio::net::TcpListener;

use crate::recording::{Server, play};

/// In one piece.
const WHOLE: usize = usize::MAX;

/// Longest a test waits for the other side; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

fn config(server: &Server) -> OpenAiConfig {
    let mut config = OpenAiConfig::new(server.url("/v1"), "m", "genesis-mesh/test");
    config.retry_delay = Duration::from_millis(1);
    config.attempts_max = NonZeroU32::new(4).unwrap();
    config
}

fn model(server: &Server) -> OpenAi {
    OpenAi::new(config(server)).unwrap()
}

fn ask(text: &str) -> ChatRequest {
    ChatRequest::new(vec![Message::user(text)])
}

/// Plays `recording`, asks once, and checks that all of it was used.
async fn check(recording: &str) -> Result<Reply, ModelError> {
    let server = play(recording, WHOLE, "\n").await;
    let reply = model(&server).complete(ask("x")).await;
    server.finish();
    reply
}

/// One exchange whose answer is `text`, with this status.
async fn check_answer(status: &str, text: &str) -> Result<Reply, ModelError> {
    check(&exchange(status, "text/event-stream", text)).await
}

fn exchange(status: &str, content_type: &str, body: &str) -> String {
    format!(
        "POST /v1/chat/completions\n\n{{}}\n--- {status}\ncontent-type: {content_type}\n\n{body}"
    )
}

#[tokio::test]
async fn a_text_arrives_however_the_network_splits_it() {
    let recording = include_str!("../recordings/openai_text.http");
    for line_end in ["\n", "\r\n"] {
        // One byte splits every character, line and event there is.
        for split in [WHOLE, 1, 2, 3, 7, 64, 1000] {
            let server = play(recording, split, line_end).await;
            let mut config = config(&server).api_key("sk-test");
            config.model = "gpt-4o-mini".into();
            let request =
                ChatRequest::new(vec![Message::system("You are brief."), Message::user("Grüße?")])
                    .temperature(0.3)
                    .max_tokens(200)
                    .seed(40)
                    .stop(vec!["END".into()])
                    .reply_id("r1");
            let mut seen = Vec::new();
            let reply = OpenAi::new(config)
                .unwrap()
                .complete_observed(request, &mut |delta| seen.push(delta.clone()))
                .await
                .unwrap();
            server.finish();
            assert_eq!(reply.text(), "Grüße aus 東京 🎉\n", "split {split}, end {line_end:?}");
            assert_eq!(reply.finish_reason, FinishReason::Stop);
            assert_eq!(reply.message.id.as_deref(), Some("r1"));
            let usage = Usage { cached_tokens: 1024, ..Usage::new(1210, 9) };
            assert_eq!(reply.usage, Some(usage));
            assert_eq!(
                seen,
                [
                    Delta::Text("Grüße".into()),
                    Delta::Text(" aus 東京".into()),
                    Delta::Text(" 🎉\n".into()),
                    Delta::Usage(usage),
                    Delta::End { finish_reason: FinishReason::Stop },
                ]
            );
        }
    }
}

#[tokio::test]
async fn reasoning_is_kept_apart_and_unreported_usage_is_unknown() {
    let server = play(include_str!("../recordings/vllm_reasoning.http"), 5, "\n").await;
    let mut config = config(&server);
    // The provider library would read an effort out of this name.
    config.model = "qwen3-max".into();
    let reply = OpenAi::new(config).unwrap().complete(ask("2+2")).await.unwrap();
    server.finish();
    assert_eq!(
        reply.message.content,
        Content::Blocks(vec![
            ContentBlock::Reasoning("Two and two.".into()),
            ContentBlock::Text("4".into()),
        ])
    );
    assert_eq!(reply.usage, None);
}

#[tokio::test]
async fn names_of_models_are_sent_as_they_are() {
    for name in ["o1-mini-high", "org::model", "openai::gpt", "hf.co/a/b:Q4_K_M", "qwen-none"] {
        let recording = exchange("200", "text/event-stream", "data: [DONE]\n\n")
            .replace("{}", &json!({ "model": name, "reasoning_effort": "(absent)" }).to_string());
        let server = play(&recording, WHOLE, "\n").await;
        let mut config = config(&server);
        config.model = name.into();
        OpenAi::new(config).unwrap().complete(ask("x")).await.unwrap();
        server.finish();
    }
}

#[tokio::test]
async fn tool_calls_come_in_pieces_and_their_results_go_back() {
    for split in [WHOLE, 1, 11] {
        let server = play(include_str!("../recordings/openai_tools.http"), split, "\n").await;
        let model = model(&server);
        let parameters = json!({
            "type": "object", "properties": { "q": { "type": "string" } }, "required": ["q"],
        });
        let tools = vec![ToolSpec::new("search", "Search the web.", parameters)];
        let mut request = ask("find").tools(tools);
        let mut pieces = Vec::new();
        let reply = model
            .complete_observed(request.clone(), &mut |delta| {
                if let Delta::ToolCall(piece) = delta {
                    pieces.push(format!("{}:{}", piece.index, piece.args));
                }
            })
            .await
            .unwrap();
        assert_eq!(pieces, ["0:", "0:{\"q\":", "0:\"größe\"}", "1:", "1:{\"q\":\"b\"}"]);
        assert_eq!(reply.finish_reason, FinishReason::ToolCalls);
        let calls = reply.message.tool_calls().to_vec();
        assert_eq!((calls[0].id.as_str(), &calls[0].args["q"]), ("call_a", &json!("größe")));
        assert_eq!((calls[1].id.as_str(), &calls[1].args["q"]), ("call_b", &json!("b")));

        request.messages.push(Arc::new(reply.message));
        request.messages.push(Arc::new(Message::tool("call_a", "found a")));
        request.messages.push(Arc::new(Message::tool("call_b", "found b")));
        assert_eq!(model.complete(request).await.unwrap().text(), "Both found.");
        server.finish();
    }
}

#[tokio::test]
async fn tool_calls_without_a_number_are_not_lost() {
    let server = play(include_str!("../recordings/ollama_tools.http"), WHOLE, "\n").await;
    let mut config = config(&server);
    config.model = "llama3.2".into();
    let reply = OpenAi::new(config).unwrap().complete(ask("find")).await.unwrap();
    server.finish();
    let ids: Vec<_> = reply.message.tool_calls().iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["call_x", "call_y"]);
}

#[tokio::test]
async fn reasoning_goes_back_only_inside_a_tool_loop() {
    let expected = json!({ "messages": [
        { "role": "user" },
        { "role": "assistant", "content": "4", "reasoning_content": "(absent)" },
        { "role": "user" },
        { "role": "assistant", "reasoning_content": "look it up" },
        { "role": "tool" },
    ] });
    let recording = exchange("200", "text/event-stream", "data: [DONE]\n\n")
        .replace("{}", &expected.to_string());
    let server = play(&recording, WHOLE, "\n").await;
    let thought = |thought: &str, text: &str| {
        vec![ContentBlock::Reasoning(thought.into()), ContentBlock::Text(text.into())]
    };
    let mut calling = Message::assistant(thought("look it up", ""));
    if let Kind::Assistant { tool_calls, .. } = &mut calling.kind {
        let args = serde_json::Map::new();
        tool_calls.push(mesh_model::ToolCall { id: "c".into(), name: "search".into(), args });
    }
    let messages = vec![
        Message::user("2+2"),
        Message::assistant(thought("two and two", "4")),
        Message::user("and now?"),
        calling,
        Message::tool("c", "rain"),
    ];
    model(&server).complete(ChatRequest::new(messages)).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn pictures_are_sent_by_address_and_inline() {
    let expected = json!({ "messages": [{ "role": "user", "content": [
        { "type": "text", "text": "what is it?" },
        { "type": "image_url", "image_url": { "url": "https://example.org/a.jpg" } },
        { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } },
    ] }] });
    let recording = exchange("200", "text/event-stream", "data: [DONE]\n\n")
        .replace("{}", &expected.to_string());
    let server = play(&recording, WHOLE, "\n").await;
    let inline = ImageSource::Base64 { mime_type: "image/png".into(), data: "AAAA".into() };
    let blocks = vec![
        ContentBlock::Text("what is it?".into()),
        ContentBlock::Image(ImageSource::Url("https://example.org/a.jpg".into())),
        ContentBlock::Image(inline),
    ];
    let request = ChatRequest::new(vec![Message::user(blocks)]);
    model(&server).complete(request).await.unwrap();
    server.finish();
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct Plan {
    sections: Vec<String>,
}

#[tokio::test]
async fn a_typed_answer_is_repaired_once() {
    let server = play(include_str!("../recordings/openai_structured.http"), WHOLE, "\n").await;
    let plan = structured::<Plan>(&model(&server), ask("plan"), "plan").await.unwrap();
    server.finish();
    assert_eq!(plan.value.sections, ["one"]);
    assert_eq!((plan.calls, plan.usage), (2, Some(Usage::new(60, 11))));
}

#[tokio::test]
async fn a_server_that_does_not_know_a_field_is_remembered() {
    let server = play(include_str!("../recordings/old_server.http"), WHOLE, "\n").await;
    let model = model(&server);
    for _ in 0..2 {
        structured::<Plan>(&model, ask("plan"), "plan").await.unwrap();
    }
    server.finish();
}

#[tokio::test]
async fn a_refused_schema_is_not_held_against_the_server() {
    let server = play(include_str!("../recordings/refused_schema.http"), WHOLE, "\n").await;
    let model = model(&server);
    for _ in 0..2 {
        structured::<Plan>(&model, ask("plan"), "plan").await.unwrap();
    }
    server.finish();
}

#[tokio::test]
async fn the_schema_joins_the_system_message_that_is_there() {
    let no = r#"{"error":"response_format is not supported"}"#;
    let expected = json!({ "messages": [{ "role": "system" }, { "role": "user" }] });
    let recording = format!(
        "{}=== next\n{}",
        exchange("400", "application/json", &format!("{no}\n")),
        exchange(
            "200",
            "text/event-stream",
            "data: {\"choices\":[{\"delta\":{\"content\":\"{\\\"sections\\\":[]}\"}}]}\n\n\
             data: [DONE]\n\n",
        )
        .replacen("{}", &expected.to_string(), 1)
    );
    let server = play(&recording, WHOLE, "\n").await;
    let request = ChatRequest::new(vec![Message::system("Be brief."), Message::user("plan")]);
    structured::<Plan>(&model(&server), request, "plan").await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_limited_rate_is_waited_out() {
    let reply = check(include_str!("../recordings/rate_limited_then_ok.http")).await.unwrap();
    assert_eq!(reply.text(), "ok");
}

#[tokio::test]
async fn a_rate_limited_for_ever_ends_after_the_attempts_allowed() {
    let once = "POST /v1/chat/completions\n\n{}\n--- 429\nretry-after-ms: 1\n\n{}\n";
    let error = check(&[once; 4].join("=== next\n")).await.unwrap_err();
    assert!(matches!(error, ModelError::RateLimited { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::After(Duration::from_millis(1)));
}

#[tokio::test]
async fn a_wait_beyond_the_cap_is_left_to_the_caller() {
    let long = RETRY_AFTER_MAX.as_secs() + 1;
    let once = format!("POST /v1/chat/completions\n\n{{}}\n--- 429\nretry-after: {long}\n\n{{}}\n");
    let error = check(&once).await.unwrap_err();
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(long)));
}

#[tokio::test]
async fn failures_of_the_server_before_the_first_token_are_tried_again() {
    let reply = check(include_str!("../recordings/server_error_then_ok.http")).await.unwrap();
    assert_eq!(reply.text(), "ok");
}

#[tokio::test]
async fn a_stream_cut_half_way_is_an_error_and_is_not_asked_again() {
    let server = play(include_str!("../recordings/cut.http"), WHOLE, "\n").await;
    let mut stream = model(&server).stream(ask("x")).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(Delta::Text(text))) if text == "half a "));
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(matches!(error, ModelError::Cut { .. }), "{error:?}");
    assert!(stream.next().await.is_none());
    server.finish();
}

#[tokio::test]
async fn an_orderly_close_without_an_end_is_a_cut_too() {
    let text = r#"data: {"choices":[{"delta":{"content":"half"}}]}"#;
    for body in [
        format!("{text}\n\n"),
        format!("{text}\n\ndata: {{\"choices\":[{{\"del"),
        format!("{text}\n\n: bye\n\n"),
    ] {
        let error = check_answer("200", &body).await.unwrap_err();
        assert!(matches!(error, ModelError::Cut { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn either_mark_of_the_end_is_enough() {
    let only_reason =
        "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"length\"}]}\n\n";
    let reply = check_answer("200", only_reason).await.unwrap();
    assert_eq!((reply.text().as_ref(), &reply.finish_reason), ("x", &FinishReason::Length));
    let only_done = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n\n";
    let reply = check_answer("200", only_done).await.unwrap();
    assert_eq!(reply.finish_reason, FinishReason::Unspecified);
}

#[tokio::test]
async fn a_refusal_inside_the_reply_ends_as_filtered() {
    let body = "data: {\"choices\":[{\"delta\":{\"refusal\":\"I cannot\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let reply = check_answer("200", body).await.unwrap();
    assert_eq!(reply.finish_reason, FinishReason::ContentFilter);
}

#[tokio::test]
async fn an_event_that_is_not_json_is_a_bad_reply() {
    let body =
        "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: {oops}\n\ndata: [DONE]\n\n";
    let error = check_answer("200", body).await.unwrap_err();
    assert!(matches!(error, ModelError::BadReply { problem: ReplyProblem::NotJson }), "{error:?}");
}

#[tokio::test]
async fn an_error_told_in_the_middle_of_a_reply_ends_it() {
    let body = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: {\"error\":{\"message\":\"m\",\"code\":503}}\n\n";
    let error = check_answer("200", body).await.unwrap_err();
    assert!(matches!(error, ModelError::Unavailable { status: Some(503), .. }), "{error:?}");
}

#[tokio::test]
async fn a_wrong_key_is_not_tried_again_and_nothing_secret_is_shown_or_logged() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .with_max_level(tracing::Level::DEBUG)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::debug!("the log is read");

    let server = play(include_str!("../recordings/wrong_key.http"), WHOLE, "\n").await;
    let model = OpenAi::new(config(&server).api_key("sk-test")).unwrap();
    let error = model.complete(ask("top secret prompt")).await.unwrap_err();
    server.finish();
    assert_eq!(error.to_string(), "the model's server refused the credentials (status 401)");
    assert_eq!(error.retry(), Retry::No);

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("the log is read"));
    for shown in [log, format!("{error:?}"), format!("{model:?}")] {
        for secret in ["sk-test", "top secret", "Incorrect API key"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_wrong_model_is_named() {
    let body = r#"{"error":{"message":"The model `m` does not exist","type":"invalid_request_error","code":"model_not_found"}}"#;
    let error = check(&exchange("404", "application/json", body)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server knows no model \"m\", or its base URL is wrong (status 404)"
    );
}

#[tokio::test]
async fn a_web_page_is_not_a_reply() {
    let page = "<!doctype html>\n\n<html><body>Welcome</body></html>\n";
    let error = check(&exchange("200", "text/html", page)).await.unwrap_err();
    assert!(
        matches!(error, ModelError::BadReply { problem: ReplyProblem::NotAnEventStream }),
        "{error:?}"
    );
    let error = check(&exchange("400", "text/html", page)).await.unwrap_err();
    assert_eq!(error.to_string(), "the model's server refused the request (status 400)");
}

#[tokio::test]
async fn a_redirect_is_refused_and_not_followed() {
    let once = "POST /v1/chat/completions\n\n{}\n--- 307\nlocation: http://127.0.0.1:1/\n\n";
    let error = check(once).await.unwrap_err();
    assert!(matches!(error, ModelError::Refused { status: Some(307), .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_slow_to_answer_is_given_up() {
    let server = play("POST /v1/chat/completions\n\n{}\n--- mute", WHOLE, "\n").await;
    let mut config = config(&server);
    config.header_timeout = Duration::from_millis(50);
    let error = OpenAi::new(config).unwrap().complete(ask("x")).await.unwrap_err();
    assert!(matches!(error, ModelError::Timeout { phase: TimeoutPhase::Answering }), "{error:?}");
    tokio::time::timeout(PATIENCE, server.closed()).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    let server = play(include_str!("../recordings/stall.http"), WHOLE, "\n").await;
    let mut config = config(&server);
    config.read_timeout = Duration::from_millis(50);
    let error = OpenAi::new(config).unwrap().complete(ask("x")).await.unwrap_err();
    assert!(matches!(error, ModelError::Timeout { phase: TimeoutPhase::Streaming }), "{error:?}");
    tokio::time::timeout(PATIENCE, server.closed()).await.unwrap();
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let server = play(include_str!("../recordings/stall.http"), WHOLE, "\n").await;
    let model = model(&server);
    let mut stream = model.stream(ask("x")).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(Delta::Text(_)))));
    drop(stream);
    tokio::time::timeout(PATIENCE, server.closed()).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}").parse().unwrap();
    let mut config = OpenAiConfig::new(url, "m", "genesis-mesh/test");
    config.retry_delay = Duration::from_millis(1);
    let error = OpenAi::new(config).unwrap().complete(ask("x")).await.unwrap_err();
    assert!(matches!(error, ModelError::Unavailable { status: None, .. }), "{error:?}");
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test]
async fn every_form_of_a_base_url_reaches_the_same_place() {
    for (path, expected) in [
        ("", "/v1/chat/completions"),
        ("/", "/v1/chat/completions"),
        ("/v1", "/v1/chat/completions"),
        ("/v1/", "/v1/chat/completions"),
        ("/openai/v1", "/openai/v1/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/d?api-version=1", "/d/chat/completions?api-version=1"),
    ] {
        let recording = format!("POST {expected}\n\n{{}}\n--- 200\n\ndata: [DONE]\n\n");
        let server = play(&recording, WHOLE, "\n").await;
        let mut config = config(&server);
        config.base_url = server.url(path);
        OpenAi::new(config).unwrap().complete(ask("x")).await.unwrap();
        server.finish();
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_it_is() {
    let config = OpenAiConfig::new("http://127.0.0.1:1".parse().unwrap(), "m", "t");
    let model = OpenAi::new(config).unwrap();
    let audio = ContentBlock::Other([("type".into(), json!("audio"))].into_iter().collect());
    for (request, expected) in [
        (ChatRequest::new(Vec::<Message>::new()), "messages: expected at least one message"),
        (
            ChatRequest::new(vec![Message::user("x"), Message::user(vec![audio])]),
            "messages[1].content[0]: expected a text or a picture",
        ),
        (
            ask("x").tools(vec![ToolSpec::new("two words", "", json!({}))]),
            "tools[0].name: expected 1 to 64 letters, digits, `_` or `-`",
        ),
        (ask("x").temperature(f64::NAN), "temperature: expected a finite number"),
    ] {
        let error = model.complete(request).await.unwrap_err().to_string();
        assert_eq!(error, format!("the request cannot be sent to this model: {expected}"));
    }
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    let good = || OpenAiConfig::new("http://localhost:11434".parse().unwrap(), "m", "t");
    let check = |change: &dyn Fn(&mut OpenAiConfig), expected: &str| {
        let mut config = good();
        change(&mut config);
        let error: ConfigError = OpenAi::new(config).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    assert!(OpenAi::new(good()).is_ok());
    check(&|c| c.model.clear(), "model: expected a name");
    check(
        &|c| c.base_url = "ftp://h/".parse().unwrap(),
        "base_url: expected an http or https address",
    );
    check(
        &|c| c.base_url = "http://u:p@h/".parse().unwrap(),
        "base_url: expected no user name and no password in it",
    );
    check(
        &|c| c.api_key = Some("a\nb".into()),
        "api_key: expected printable characters, without a line break",
    );
    check(&|c| c.read_timeout = Duration::ZERO, "read_timeout: expected more than no time");
}
