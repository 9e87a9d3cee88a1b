use std::fmt::Write as _;

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::Response,
    routing::{get, post},
};
use expect_test::expect;
use futures::{StreamExt, stream};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{JsonBody, OfRun, OfThread, PathId, parse};
use crate::{BODY_BYTES_MAX, BODY_WAIT, ErrorFormat, JSON_DEPTH_MAX, refusal::Refusal};

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only its shape matters")]
struct Search {
    limit: Option<u32>,
    #[serde(default)]
    ids: Vec<Id>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only its shape matters")]
struct Id {
    id: u32,
}

fn said(refusal: &Refusal) -> String {
    let status = refusal.status().as_u16();
    let body = refusal.to_json("")["error"].clone();
    format!("{status} {} {}", refusal.code(), body["pointer"].as_str().unwrap_or("-"))
        + &format!(" {refusal}")
}

#[test]
fn what_is_not_json_or_not_of_the_type_is_422_and_says_where() {
    let mut seen = String::new();
    for json in [
        "",
        "{",
        "nonsense",
        r#"{"limit":1}x"#,
        r#"{"limit":"many"}"#,
        r#"{"limit":-1}"#,
        r#"{"ids":[{"id":1},{"id":"two"}]}"#,
        "5",
        r#"{"limit":1,"limit":2}"#,
        r#"{"other":"a\u0000b"}"#,
        r#"{"a\u0000":1}"#,
        r#"{"other":"\ud800"}"#,
        r#"{"other":"\ud83d\ud83d"}"#,
        r#"{"other":"\ude00"}"#,
        r#"{"other":"\uD83D"#,
    ] {
        let refusal = parse::<Search>(json.as_bytes()).unwrap_err();
        writeln!(seen, "{json}: {}", said(&refusal)).unwrap();
    }
    expect![[r#"
        : 422 invalid_json - Invalid JSON in request body
        {: 422 invalid_json - Invalid JSON in request body
        nonsense: 422 invalid_json - Invalid JSON in request body
        {"limit":1}x: 422 invalid_json - Invalid JSON in request body
        {"limit":"many"}: 422 invalid_request /limit /limit: invalid type: string "many", expected u32
        {"limit":-1}: 422 invalid_request /limit /limit: invalid value: integer `-1`, expected u32
        {"ids":[{"id":1},{"id":"two"}]}: 422 invalid_request /ids/1/id /ids/1/id: invalid type: string "two", expected u32
        5: 422 invalid_request  the request: invalid type: integer `5`, expected struct Search
        {"limit":1,"limit":2}: 422 invalid_request  the request: duplicate field `limit`
        {"other":"a\u0000b"}: 422 invalid_request - strings cannot contain NUL
        {"a\u0000":1}: 422 invalid_request - strings cannot contain NUL
        {"other":"\ud800"}: 422 invalid_request - strings cannot contain half of a surrogate pair
        {"other":"\ud83d\ud83d"}: 422 invalid_request - strings cannot contain half of a surrogate pair
        {"other":"\ude00"}: 422 invalid_request - strings cannot contain half of a surrogate pair
        {"other":"\uD83D: 422 invalid_request - strings cannot contain half of a surrogate pair
    "#]]
    .assert_eq(&seen);
}

#[test]
fn escapes_that_mean_text_pass() {
    for json in [
        r#""\ud83d\ude00""#,
        r#""\\u0000""#,
        r#""\"[[[\\""#,
        r#""\u0001\u005c\u0022""#,
        r#"["[","]","{\\\"["]"#,
        "\"\u{1F600}\"",
    ] {
        let read: Json = parse(json.as_bytes()).unwrap();
        assert_eq!(read, serde_json::from_str::<Json>(json).unwrap());
    }
}

#[test]
fn json_may_be_nested_to_the_limit_and_no_deeper() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse::<Json>(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
    for depth in [JSON_DEPTH_MAX + 1, 200, 100_000] {
        let refusal = parse::<Json>(nested(depth).as_bytes()).unwrap_err();
        assert!(refusal.to_string().contains("nested deeper"), "{refusal}");
    }
    let wide = format!("[{}[]]", "[],".repeat(1000));
    assert!(parse::<Json>(wide.as_bytes()).is_ok(), "depth is not number");
}

async fn ask(request: Request) -> Response {
    let router = Router::new()
        .route("/", post(async |JsonBody(body): JsonBody<Json>| body.to_string()))
        .route(
            "/threads/{thread_id}/runs/{run_id}",
            get(async |thread: PathId<OfThread>, run: PathId<OfRun>| {
                format!("{} {}", *thread, *run)
            }),
        );
    let mut response = TowerToHyperService::new(router).call(request).await.unwrap();
    match response.extensions_mut().remove::<Refusal>() {
        Some(refusal) => refusal.to_response("id", ErrorFormat::Json),
        None => response,
    }
}

async fn told(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 64 << 10).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn posted(kind: Option<&str>, body: impl Into<Body>) -> Request {
    let mut request = Request::builder().method("POST").uri("/").body(body.into()).unwrap();
    if let Some(kind) = kind {
        request.headers_mut().insert("content-type", kind.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn json_is_read_under_the_types_that_clients_send() {
    for kind in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/problem+json",
    ] {
        let answer = told(ask(posted(Some(kind), r#"{"a":1}"#)).await).await;
        assert_eq!(answer, (200, r#"{"a":1}"#.to_owned()), "{kind}");
    }
    for kind in ["application/x-www-form-urlencoded", "multipart/form-data", "text/html", "é"] {
        assert_eq!(ask(posted(Some(kind), "{}")).await.status(), 415, "{kind}");
    }
    let mut unsaid = posted(None, "{}");
    unsaid.headers_mut().insert("content-length", "2".parse().unwrap());
    assert_eq!(ask(unsaid).await.status(), 415);
    let mut packed = posted(Some("application/json"), "{}");
    packed.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    assert_eq!(ask(packed).await.status(), 415);
}

#[tokio::test]
async fn no_body_is_invalid_json() {
    let expected = serde_json::json!({
        "code": "invalid_json", "detail": "Invalid JSON in request body", "request_id": "id",
    });
    for kind in [None, Some("application/json")] {
        let (status, body) = told(ask(posted(kind, Body::empty())).await).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, body), (422, expected.clone()));
    }
}

#[tokio::test]
async fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let fits = ask(posted(Some("application/json"), text(BODY_BYTES_MAX))).await;
    assert_eq!(fits.status(), 200);
    let mut announced = posted(Some("application/json"), Body::empty());
    announced.headers_mut().insert("content-length", (BODY_BYTES_MAX + 1).into());
    let mut seen = vec![ask(announced).await];
    // Without a length, and in pieces.
    let chunks = stream::iter((0..5).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 20])));
    seen.push(ask(posted(Some("application/json"), Body::from_stream(chunks))).await);
    for response in seen {
        assert_eq!(response.headers()["connection"], "close");
        let (status, body) = told(response).await;
        assert_eq!(status, 413);
        assert!(body.contains("the request body is larger than 4194304 bytes"), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_pauses_too_long_is_given_up_and_a_slow_one_is_not() {
    let pauses = |pause| {
        let pieces = stream::iter(["[1", ",2", "]"]).then(move |piece| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, std::io::Error>(piece)
        });
        posted(Some("application/json"), Body::from_stream(pieces))
    };
    let slow = BODY_WAIT.checked_sub(std::time::Duration::from_secs(1)).unwrap();
    assert_eq!(told(ask(pauses(slow)).await).await, (200, "[1,2]".to_owned()));
    let stalled = BODY_WAIT + std::time::Duration::from_secs(1);
    assert_eq!(ask(pauses(stalled)).await.status(), 408);
}

#[tokio::test]
async fn ids_of_a_path_are_uuids_in_one_form() {
    let get = |path: &str| Request::builder().uri(path).body(Body::empty()).unwrap();
    let canonical = "0193f6c4-7d5b-7c1e-8a55-0123456789ab";
    let written = [
        canonical.to_owned(),
        canonical.to_uppercase(),
        canonical.replace('-', ""),
        format!("%7B{canonical}%7D"),
    ];
    for id in written {
        let answer = told(ask(get(&format!("/threads/{id}/runs/{id}"))).await).await;
        assert_eq!(answer, (200, format!("{canonical} {canonical}")));
    }
    for bad in ["x", "..%2f..%2fetc%2fpasswd", "%ff", "%00", "0193f6c4", "1%20or%201=1"] {
        let (status, body) =
            told(ask(get(&format!("/threads/{bad}/runs/{canonical}"))).await).await;
        assert_eq!(status, 422);
        assert!(body.contains("\"Invalid thread ID: must be a UUID\""), "{body}");
    }
    let (status, body) = told(ask(get(&format!("/threads/{canonical}/runs/7"))).await).await;
    assert_eq!(status, 422);
    assert!(body.contains("\"Invalid run ID: must be a UUID\""), "{body}");
}
