use std::time::Duration;

use axum::{Router, body::Body, extract::Request, routing::get};
use expect_test::expect;
use futures::stream;
use mesh_agents::source::{Search as _, SearchHit, SourceError};
use mesh_tools::{SearXng, SearXngConfig};

use crate::server::{Server, answer};

/// An answer of SearXNG to `format=json`, shortened to three engines' worth.
const RECORDED: &str = r#"{"query": "rust async", "number_of_results": 0, "results": [
    {"url": "https://b.example/page", "title": "B  page", "content": "About\n b", "engine": "bing",
     "parsed_url": ["https", "b.example", "/page", "", "", ""], "engines": ["bing"],
     "positions": [1], "score": 1.0, "category": "general"},
    {"url": "https://a.example/page", "title": "A page", "content": "About a", "score": 1.0},
    {"url": "https://c.example/#part", "title": "C", "content": null, "score": 2.5},
    {"url": "https://c.example/", "title": "C again", "content": "", "score": 0.9},
    {"url": "https://low.example/", "title": "Low", "content": "", "score": 0.39},
    {"url": "https://none.example/", "title": "No score", "content": ""},
    {"url": "ftp://files.example/", "title": "No page", "content": "", "score": 3.0},
    {"url": "no address", "title": "Broken", "content": "", "score": 3.0}
  ], "answers": [], "corrections": [], "infoboxes": [], "suggestions": [],
  "unresponsive_engines": [["google", "timeout"]]}"#;

async fn search(router: Router) -> Result<Vec<SearchHit>, SourceError> {
    let server = Server::start(router).await;
    let config = SearXngConfig {
        time_max: Duration::from_millis(500),
        ..SearXngConfig::new(server.url(""))
    };
    SearXng::new(config).unwrap().search("rust async", 10).await
}

async fn search_answer(
    status: u16,
    media_type: &'static str,
    body: &'static str,
) -> Result<Vec<SearchHit>, SourceError> {
    search(
        Router::new()
            .route("/search", get(move || async move { answer(status, media_type, body) })),
    )
    .await
}

fn reason(result: Result<Vec<SearchHit>, SourceError>) -> String {
    result.unwrap_err().to_string()
}

#[tokio::test]
async fn hits_come_best_first_each_page_once() {
    let hits = search_answer(200, "application/json", RECORDED).await.unwrap();
    let lines: Vec<String> = hits
        .iter()
        .map(|hit| format!("{} {} [{}] [{}]", hit.score, hit.url, hit.title, hit.snippet))
        .collect();
    expect![[r"
        2.5 https://c.example/ [C] []
        1 https://a.example/page [A page] [About a]
        1 https://b.example/page [B page] [About b]"]]
    .assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn the_request_names_query_format_and_engines() {
    let router = Router::new().route(
        "/searx/find",
        get(|request: Request| async move {
            let asked = request.uri().query().unwrap_or_default().to_owned();
            let body = serde_json::json!({"results": [
                {"url": "https://x.example/", "title": asked, "content": "", "score": 1.0}]});
            answer(200, "application/json", body.to_string())
        }),
    );
    let server = Server::start(router).await;
    let config = SearXngConfig {
        path: "/find".to_owned(),
        engines: vec!["bing".to_owned(), "mojeek".to_owned()],
        ..SearXngConfig::new(server.url("/searx"))
    };
    let hits = SearXng::new(config).unwrap().search("a&b ü", 1).await.unwrap();
    assert_eq!(hits[0].title, "q=a%26b+%C3%BC&format=json&engines=bing%2Cmojeek");
}

#[tokio::test]
async fn fewer_hits_are_given_when_fewer_are_wanted() {
    let server = Server::start(
        Router::new().route("/search", get(|| async { answer(200, "application/json", RECORDED) })),
    )
    .await;
    let config = SearXngConfig { score_min: 0.0, ..SearXngConfig::new(server.url("")) };
    let searxng = SearXng::new(config).unwrap();
    assert_eq!(searxng.search("x", 1).await.unwrap().len(), 1);
    assert_eq!(searxng.search("x", 0).await.unwrap().len(), 0);
    assert_eq!(searxng.search("x", 99).await.unwrap().len(), 5);
}

#[tokio::test]
async fn an_instance_without_json_says_what_to_change() {
    let message = "not readable: SearXNG does not offer JSON output: add `json` to \
                   `search.formats` in its settings.yml";
    let html = "<!DOCTYPE html><html><body>results</body></html>";
    assert_eq!(reason(search_answer(403, "text/html", "Forbidden").await), message);
    assert_eq!(reason(search_answer(200, "text/html; charset=utf-8", html).await), message);
    assert_eq!(reason(search_answer(200, "application/json", html).await), message);
}

#[tokio::test]
async fn other_failures_are_told_apart() {
    assert_eq!(
        reason(search_answer(200, "application/json", "{\"results\": [").await),
        "not readable: SearXNG answered with something that is not its JSON"
    );
    assert_eq!(
        reason(search_answer(200, "application/json", "{\"results\": 3}").await),
        "not readable: SearXNG answered with something that is not its JSON"
    );
    assert_eq!(reason(search_answer(429, "text/plain", "").await), "answered with status 429");
    assert_eq!(reason(search_answer(500, "text/plain", "").await), "answered with status 500");
    let none =
        r#"{"results": [], "unresponsive_engines": [["google", "CAPTCHA"], ["bing", "timeout"]]}"#;
    assert_eq!(
        reason(search_answer(200, "application/json", none).await),
        "unreachable: no engine answered: google (CAPTCHA), bing (timeout)"
    );
    let empty = r#"{"results": [], "unresponsive_engines": []}"#;
    assert_eq!(search_answer(200, "application/json", empty).await.unwrap(), []);
}

#[tokio::test]
async fn redirects_stay_on_the_instance() {
    let to = |target: &'static str| {
        get(move || async move {
            let mut response = answer(302, "text/plain", "");
            response.headers_mut().insert("location", target.parse().unwrap());
            response
        })
    };
    let inside = Router::new()
        .route("/search", to("/search/"))
        .route("/search/", get(|| async { answer(200, "application/json", RECORDED) }));
    assert_eq!(search(inside).await.unwrap().len(), 3);
    let outside = Router::new().route("/search", to("http://127.0.0.2:9/search"));
    assert_eq!(reason(search(outside).await), "refused: SearXNG redirects to another server");
    let circle = Router::new().route("/search", to("/search"));
    assert!(search(circle).await.is_err());
}

#[tokio::test]
async fn endless_and_missing_answers_end() {
    let endless = Router::new().route(
        "/search",
        get(|| async {
            let chunks = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 65_536]));
            answer(200, "application/json", Body::from_stream(chunks))
        }),
    );
    assert_eq!(reason(search(endless).await), "over the limit: 2 MB per search");
    let silent = Router::new().route("/search", get(std::future::pending::<String>));
    assert!(matches!(search(silent).await, Err(SourceError::Timeout { .. })));
    let closed = SearXngConfig::new("http://127.0.0.1:9/".parse().unwrap());
    assert_eq!(
        reason(SearXng::new(closed).unwrap().search("x", 1).await),
        "unreachable: no connection to SearXNG"
    );
}

#[test]
fn a_configuration_that_leaves_the_instance_is_an_error() {
    let built = |base: &str, path: &str| {
        SearXng::new(SearXngConfig {
            path: path.to_owned(),
            ..SearXngConfig::new(base.parse().unwrap())
        })
        .map(|_| ())
        .map_err(|error| error.to_string())
    };
    assert_eq!(
        built("ftp://example.com/", "search"),
        Err("base: expected an http or https address".into())
    );
    assert!(built("http://example.com/a", "../search").is_err());
    assert!(built("http://example.com/", "http://other.example/").is_err());
    assert!(built("http://example.com/", "search?format=html").is_err());
    assert_eq!(built("http://example.com/a/", "/search"), Ok(()));
}
