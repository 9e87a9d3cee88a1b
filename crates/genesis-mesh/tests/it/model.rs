//! Model mode against a local OpenAI-compatible server that streams.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    thread,
};

use axum::{
    Json, Router,
    extract::State,
    response::sse::{Event, Sse},
    routing::post,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::process::Place;

/// A model server that answers by the name of the schema it is sent.
pub(crate) struct ModelServer {
    pub(crate) base_url: String,
    pub(crate) requests: Arc<Mutex<Vec<Value>>>,
}

impl ModelServer {
    pub(crate) fn start() -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let app =
                    Router::new().route("/v1/chat/completions", post(complete)).with_state(seen);
                axum::serve(listener, app).await.unwrap();
            });
        });
        Self { base_url: format!("http://{}/v1", told.recv().unwrap()), requests }
    }
}

async fn complete(
    State(seen): State<Arc<Mutex<Vec<Value>>>>,
    Json(request): Json<Value>,
) -> Sse<futures::stream::Iter<std::vec::IntoIter<Result<Event, Infallible>>>> {
    let schema = request["response_format"]["json_schema"]["name"].as_str().unwrap_or_default();
    let text = match schema {
        "blog_plan" => json!({"title": "Surviving crashes", "sections": [
            {"name": "Introduction", "description": "What it is about.", "research": false},
            {"name": "Checkpoints", "description": "What a checkpoint saves.", "research": true},
            {"name": "Resuming", "description": "How a thread is resumed.", "research": true},
        ]})
        .to_string(),
        "section" => json!({"blocks": [{"form": "paragraph", "sentences": [
            {"text": "**State is saved.**", "kind": "opinion", "evidence": []},
            {"text": "A checkpoint follows every superstep.", "kind": "fact", "evidence": ["p1"]},
        ]}]})
        .to_string(),
        _ => "An introduction in plain words.".to_owned(),
    };
    seen.lock().unwrap().push(request);
    let chunk = |delta: Value, reason: Value| {
        json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "local",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        })
    };
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    let letters: Vec<char> = text.chars().collect();
    for piece in letters.chunks(7) {
        let piece: String = piece.iter().collect();
        events.push(chunk(json!({ "content": piece }), Value::Null));
    }
    events.push(chunk(json!({}), json!("stop")));
    let mut events: Vec<Result<Event, Infallible>> =
        events.into_iter().map(|event| Ok(Event::default().data(event.to_string()))).collect();
    events.push(Ok(Event::default().data("[DONE]")));
    Sse::new(futures::stream::iter(events))
}

#[test]
fn a_configured_model_plans_and_writes_and_the_post_says_so() {
    let server = ModelServer::start();
    let place = Place::new()
        .variable("OPENAI_API_BASE_URL", &server.base_url)
        .variable("BLOGGER_PLANNER_LLM", "small-planner")
        .variable("BLOGGER_EXECUTOR_LLM", "big-writer");
    let run = place.run(&["blog", "new", "How does a run survive a crash?"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let headings: Vec<&str> =
        run.stdout().lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(headings, ["Introduction", "Checkpoints", "Resuming"]);
    assert!(run.stdout().contains("A checkpoint follows every superstep.[^1]"), "{}", run.stdout());
    assert!(run.stdout().contains("generation: \"model\""), "{}", run.stdout());
    assert!(run.stdout().contains("**Written by a model** (`big-writer`)"), "{}", run.stdout());
    assert!(run.stdout().contains("built-in handbook"), "{}", run.stdout());
    let requests = server.requests.lock().unwrap();
    let models: Vec<&str> = requests.iter().map(|r| r["model"].as_str().unwrap()).collect();
    assert_eq!(models, ["small-planner", "big-writer", "big-writer", "big-writer"]);
    assert!(requests.iter().all(|request| request["stream"] == true));
}

#[test]
fn a_model_server_that_is_down_is_a_clear_error() {
    let place = Place::new()
        .variable("OPENAI_API_BASE_URL", "http://127.0.0.1:9/v1")
        .variable("OPENAI_LLM_NAME", "nobody");
    let run = place.run(&["blog", "new", "How does a run survive a crash?"]);
    assert_eq!((run.code(), run.stdout()), (1, ""));
    assert!(run.stderr().contains("the model failed at the outline"), "{}", run.stderr());
}
