//! A server that plays recorded exchanges and checks the requests.
//!
//! A recording is a text file of exchanges, separated by a line `=== next`:
//!
//! ```text
//! POST /v1/chat/completions          the expected request
//! authorization: Bearer sk-test      expected headers; `(absent)` for one that must not be there
//!
//! {"model": "m"}                     members the body must have; `"(absent)"` for one it must not
//! --- 200                            the answer; `cut` breaks the connection after the body,
//! content-type: text/event-stream    `stall` keeps it open without a word, `mute` does not answer
//!
//! data: …                            the body, as it is
//! ```

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::Url;

/// Bytes of a request's body; far above what a test sends.
const BODY_BYTES_MAX: usize = 1 << 20;

/// What happens after the body.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    End,
    Cut,
    Stall,
}

#[derive(Clone)]
struct Exchange {
    request: String,
    headers: Vec<(String, String)>,
    body: Value,
    /// `None` does not answer.
    answer: Option<Answer>,
}

#[derive(Clone)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    then: Then,
}

/// Playing until dropped.
pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<Play>,
    _tasks: JoinSet<()>,
}

struct Play {
    exchanges: Mutex<VecDeque<Exchange>>,
    mistakes: Mutex<Vec<String>>,
    /// The length of the pieces the bodies are sent in.
    split: usize,
    /// A permit for every answer that was given up or ended.
    closed: Arc<Semaphore>,
}

/// Plays a recording, each body in pieces of `split` bytes, with `\n` as line end or `\r\n`.
pub(crate) async fn play(recording: &str, split: usize, line_end: &str) -> Server {
    let exchanges = recording.split("=== next\n").map(|text| exchange(text, line_end)).collect();
    let state = Arc::new(Play {
        exchanges: Mutex::new(exchanges),
        mistakes: Mutex::default(),
        split,
        closed: Arc::new(Semaphore::new(0)),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    Server { address, state, _tasks: tasks }
}

impl Server {
    /// A base URL with this path.
    pub(crate) fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    /// Waits until an answer was given up by the client or came to its end.
    pub(crate) async fn closed(&self) {
        self.state.closed.acquire().await.unwrap().forget();
    }

    /// Everything was asked, and as recorded.
    #[track_caller]
    pub(crate) fn finish(&self) {
        let mistakes = self.state.mistakes.lock().unwrap();
        assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
        assert_eq!(self.state.exchanges.lock().unwrap().len(), 0, "exchanges were not asked for");
    }
}

fn exchange(text: &str, line_end: &str) -> Exchange {
    let (request, answer) = text.split_once("\n--- ").unwrap();
    let (head, expected) = request.split_once("\n\n").unwrap_or((request, "{}"));
    let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
    let (head, body) = answer.split_once("\n\n").unwrap_or((answer, ""));
    let (status, answer_headers) = head.split_once('\n').unwrap_or((head, ""));
    let then = match status.split_whitespace().nth(1) {
        Some("cut") => Then::Cut,
        Some("stall") => Then::Stall,
        _ => Then::End,
    };
    Exchange {
        request: line.to_owned(),
        headers: fields(headers),
        body: serde_json::from_str(expected).unwrap(),
        answer: (status.trim() != "mute").then(|| Answer {
            status: status[..3].parse().unwrap(),
            headers: fields(answer_headers),
            body: body.replace('\n', line_end),
            then,
        }),
    }
}

fn fields(text: &str) -> Vec<(String, String)> {
    let fields = text.lines().filter_map(|line| line.split_once(": "));
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

async fn answer(State(play): State<Arc<Play>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap();
    let Some(exchange) = play.exchanges.lock().unwrap().pop_front() else {
        play.mistakes.lock().unwrap().push("one request too many".into());
        return Response::builder().status(StatusCode::IM_A_TEAPOT).body(Body::empty()).unwrap();
    };
    {
        let mut mistakes = play.mistakes.lock().unwrap();
        let line = format!("{} {}", Method::as_str(&head.method), head.uri);
        if line != exchange.request {
            mistakes.push(format!("asked {line}, expected {}", exchange.request));
        }
        for (name, expected) in &exchange.headers {
            let found = head.headers.get(name).map(|value| value.to_str().unwrap());
            if found.unwrap_or("(absent)") != expected {
                mistakes.push(format!("header {name} is {found:?}, expected {expected}"));
            }
        }
        let found = serde_json::from_slice(&body).unwrap_or_default();
        compare("", &exchange.body, &found, &mut mistakes);
    }
    let guard = Closed(Arc::clone(&play.closed));
    let Some(answer) = exchange.answer else {
        let _guard = guard;
        return std::future::pending().await;
    };
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    let body = Bytes::from(answer.body);
    let pieces: VecDeque<Bytes> = body.chunks(play.split).map(Bytes::copy_from_slice).collect();
    let pieces =
        stream::unfold((pieces, answer.then, guard), |(mut pieces, then, guard)| async move {
            // Lets the server flush, so that the pieces reach the client one by one.
            tokio::task::yield_now().await;
            match (pieces.pop_front(), then) {
                (Some(piece), then) => Some((Ok(piece), (pieces, then, guard))),
                (None, Then::End) => None,
                (None, Then::Cut) => {
                    Some((Err(io::Error::other("cut")), (pieces, Then::End, guard)))
                }
                (None, Then::Stall) => std::future::pending().await,
            }
        });
    response.body(Body::from_stream(pieces)).unwrap()
}

/// Tells when an answer is over.
struct Closed(Arc<Semaphore>);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// Notes where `found` lacks what `expected` has.
fn compare(place: &str, expected: &Value, found: &Value, mistakes: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (name, expected) in expected {
                let place = format!("{place}/{name}");
                match found.get(name) {
                    _ if expected == "(absent)" => {
                        if found.contains_key(name) {
                            mistakes.push(format!("body {place} is there"));
                        }
                    }
                    Some(found) => compare(&place, expected, found, mistakes),
                    None => mistakes.push(format!("body {place} is missing")),
                }
            }
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(&format!("{place}/{index}"), expected, found, mistakes);
            }
        }
        _ if expected == found => {}
        _ => mistakes.push(format!("body {place} is {found}, expected {expected}")),
    }
}
