//! What nobody should send is answered with a documented refusal, and with nothing worse.

use std::fmt::Write as _;

use expect_test::expect;
use serde_json::json;

use crate::{kit::Http, runner::Runner};

impl Runner {
    /// Sends bytes as they are and reads to the end.
    async fn raw(&self, bytes: &[u8]) -> Http {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        Http::parse(&answer)
    }

    /// Posts bytes as JSON.
    async fn post_raw(&self, path: &str, body: &[u8]) -> Http {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len(),
        );
        self.raw(&[head.as_bytes(), body].concat()).await
    }
}

/// Status, code and pointer of a refusal, which has to have an id and a text, too.
fn refusal(answer: &Http) -> String {
    if answer.status < 400 {
        return answer.status.to_string();
    }
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    let error = answer.json();
    assert!(error["detail"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
    assert_eq!(error["request_id"].as_str(), answer.header("x-request-id"), "{error}");
    let pointer = error["pointer"].as_str().unwrap_or("-");
    format!("{} {} {pointer}", answer.status, error["code"].as_str().unwrap())
}

#[tokio::test]
async fn an_address_that_is_not_utf_8_is_refused_in_json() {
    let runner = Runner::start().await;
    let mut seen = String::new();
    for (method, path) in [
        ("GET", "/assistants/%ff"),
        ("GET", "/assistants/%ff/graph"),
        ("GET", "/assistants/talks/subgraphs/%ed%a0%80"),
        ("DELETE", "/assistants/%ff"),
        ("GET", "/threads/%ff"),
        ("GET", "/threads/%00/state"),
        ("GET", "/threads/..%2f..%2fetc%2fpasswd/state"),
        ("GET", "/threads/%2e%2e/runs"),
        ("GET", "/threads/6f2c1d1e-0000-4000-8000-000000000000/state/%ff"),
        ("GET", "/runs/crons/%ff"),
        ("GET", "/ws/%ff"),
        ("GET", "/%ff"),
    ] {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close");
        let answer = runner.raw(format!("{head}\r\n\r\n").as_bytes()).await;
        writeln!(seen, "{method} {path} {}", refusal(&answer)).unwrap();
    }
    expect![[r"
        GET /assistants/%ff 422 invalid_request -
        GET /assistants/%ff/graph 422 invalid_request -
        GET /assistants/talks/subgraphs/%ed%a0%80 422 invalid_request -
        DELETE /assistants/%ff 422 invalid_request -
        GET /threads/%ff 422 invalid_id -
        GET /threads/%00/state 422 invalid_id -
        GET /threads/..%2f..%2fetc%2fpasswd/state 422 invalid_id -
        GET /threads/%2e%2e/runs 422 invalid_id -
        GET /threads/6f2c1d1e-0000-4000-8000-000000000000/state/%ff 422 invalid_id -
        GET /runs/crons/%ff 422 invalid_id -
        GET /ws/%ff 422 invalid_request -
        GET /%ff 404 not_found -
    "]]
    .assert_eq(&seen);
}

#[tokio::test]
async fn what_is_no_unicode_is_refused_even_where_nobody_reads_it() {
    let runner = Runner::start().await;
    for path in ["/threads", "/threads/search", "/assistants/count", "/runs/crons/search"] {
        for body in [
            &b"{\"other\":\"\xff\"}"[..],
            b"{\"other\":\"\xed\xa0\x80\"}",
            b"{\"\xc3\":1}",
            b"\xef\xbb\xbf{}",
        ] {
            let answer = runner.post_raw(path, body).await;
            assert_eq!(refusal(&answer), "422 invalid_json -", "{path} {body:?}");
        }
        for body in [&br#"{"other":"\u0000"}"#[..], br#"{"other":"\ud800"}"#] {
            let answer = runner.post_raw(path, body).await;
            assert_eq!(refusal(&answer), "422 invalid_request -", "{path} {body:?}");
        }
    }
}

#[tokio::test]
async fn a_body_may_have_100_levels() {
    let runner = Runner::start().await;
    // The body itself is the first.
    let nested = |levels: usize| {
        let (opened, closed) = ("{\"a\":".repeat(levels - 1), "}".repeat(levels));
        format!("{{\"metadata\":{opened}1{closed}")
    };
    for (levels, expected) in
        [(99, "200"), (100, "200"), (101, "422 invalid_request -"), (200, "422 invalid_request -")]
    {
        let answer = runner.post_raw("/threads", nested(levels).as_bytes()).await;
        assert_eq!(refusal(&answer), expected, "{levels}");
    }
}

#[tokio::test]
async fn a_filter_is_data_whatever_its_keys_say() {
    let runner = Runner::start().await;
    let thread = runner.thread().await;
    for key in ["' OR '1'='1", "a\"; DROP TABLE threads; --", "$.a", "a[0]", "", "%' --", "a\\"] {
        let filter = json!({ "metadata": { key: "' OR 1=1 --" } });
        for path in ["/threads/search", "/assistants/search", "/runs/crons/search"] {
            let found = runner.post(path, &filter).await;
            assert_eq!((found.status, found.text()), (200, "[]"), "{path} {key}");
        }
        let search = json!({ "namespace_prefix": [], "filter": { key: { "$where": "1" } } });
        let found = runner.post("/store/items/search", &search).await;
        assert_eq!(found.status, 400, "{key}: {}", found.text());
    }
    assert_eq!(runner.get(&format!("/threads/{thread}")).await.status, 200);
}

#[tokio::test]
async fn a_cursor_that_is_none_is_refused_or_stands_for_no_frame() {
    let runner = Runner::start().await;
    let thread = runner.thread().await;
    let run = "6f2c1d1e-0000-4000-8000-000000000000";
    for cursor in ["-5", "abc", "1180591620717411303424", "", "1.5", "%00"] {
        let path = format!("/threads/{thread}/runs/{run}/stream");
        let answer = runner.send("GET", &path, &[("Last-Event-ID", cursor)], None).await;
        assert!([200, 422].contains(&answer.status), "{cursor}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_connection_ends_with_an_answer_that_came_before_its_body_was_read() {
    let runner = Runner::start().await;
    // Without `Connection: close`: that the server says it is what ends this test.
    let post = |path: &str| {
        let body = r#"{"assistant_id":"talks"}"#;
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len(),
        )
    };
    let unread = runner.raw(post("/threads/nobody/runs").as_bytes()).await;
    assert_eq!(refusal(&unread), "422 invalid_id -");
    assert_eq!(unread.header("connection"), Some("close"));
    // A body that was read is in nobody's way.
    let then = "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let read = post("/threads/6f2c1d1e-0000-4000-8000-000000000000/runs") + then;
    let both = runner.raw(read.as_bytes()).await;
    assert_eq!(both.status, 404, "{both:?}");
    assert!(both.body.contains("HTTP/1.1 404"), "the second is answered, too: {both:?}");
}
