use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response, routing::get};
use flate2::{Compression, write::GzEncoder};
use futures::stream;
use mesh_agents::source::{Document, Fetch as _, FetchedBy, SourceError};
use mesh_tools::{FetchConfig, Guard, PageFetch};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
    task::JoinSet,
};
use url::Url;

use crate::server::{Server, answer};

const PAGE: &str = "<html><head><title>A page</title></head><body><main><h1>A page</h1>\
                    <p>This sentence is the main text of the page and long enough.</p>\
                    </main></body></html>";

fn loopback() -> Guard {
    Guard::with_networks(["127.0.0.0/8".parse().unwrap()])
}

fn reader() -> PageFetch {
    PageFetch::new(FetchConfig::default(), loopback()).unwrap()
}

fn quick(milliseconds: u64) -> PageFetch {
    let page_time_max = Duration::from_millis(milliseconds);
    PageFetch::new(FetchConfig { page_time_max, ..FetchConfig::default() }, loopback()).unwrap()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A server with one page and no robots.txt; what the reader makes of it.
async fn fetch_page(
    page: impl Fn() -> Response + Clone + Send + Sync + 'static,
) -> Result<Document, SourceError> {
    let router = Router::new().route("/page", get(move || async move { page() }));
    let server = Server::start(router).await;
    reader().fetch(&server.url("/page")).await
}

fn with_header(mut response: Response, name: &'static str, value: &str) -> Response {
    response.headers_mut().insert(name, value.parse().unwrap());
    response
}

fn redirect(target: &str) -> Response {
    with_header(answer(302, "text/plain", ""), "location", target)
}

#[track_caller]
fn check_refused(result: Result<Document, SourceError>, expected: &str) {
    match result {
        Err(SourceError::Refused { reason }) => assert!(reason.contains(expected), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_too_large(result: Result<Document, SourceError>, expected: &str) {
    match result {
        Err(SourceError::TooLarge { limit }) => assert_eq!(limit, expected),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_page_becomes_a_document() {
    let router = Router::new().route("/page", get(|| async { answer(200, "text/html", PAGE) }));
    let server = Server::start(router).await;
    let document = reader().fetch(&server.url("/page#part")).await.unwrap();
    assert_eq!(document.location, server.url("/page").as_str());
    assert_eq!(document.fetched_by, FetchedBy::Http);
    assert_eq!(document.title.as_deref(), Some("A page"));
    assert_eq!(document.media_type, "text/html");
    assert_eq!(
        &*document.text,
        "# A page\n\nThis sentence is the main text of the page and long enough.\n"
    );
    assert_eq!(document.bytes_hash, blake3::hash(PAGE.as_bytes()).to_hex().as_str());
}

#[tokio::test]
async fn the_request_says_who_asks_and_nothing_else() {
    let router = Router::new().route(
        "/page",
        get(|request: Request| async move {
            let mut names: Vec<&str> =
                request.headers().keys().map(axum::http::HeaderName::as_str).collect();
            names.sort_unstable();
            let agent = request.headers()["user-agent"].to_str().unwrap();
            answer(200, "text/plain", format!("{agent}\n{}", names.join(" ")))
        }),
    );
    let server = Server::start(router).await;
    let config = FetchConfig {
        product: "my-reader".to_owned(),
        version: "2".to_owned(),
        contact: Some("https://example.com/bot".parse().unwrap()),
        ..FetchConfig::default()
    };
    let reader = PageFetch::new(config, loopback()).unwrap();
    let document = reader.fetch(&server.url("/page")).await.unwrap();
    assert_eq!(
        &*document.text,
        "my-reader/2 (+https://example.com/bot)\naccept accept-encoding host user-agent\n"
    );
}

#[tokio::test]
async fn private_addresses_are_refused_before_any_request() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let router = Router::new().fallback(move || async move {
        counter.fetch_add(1, Ordering::SeqCst);
        answer(200, "text/html", PAGE)
    });
    let server = Server::start(router).await;
    let reader = PageFetch::new(FetchConfig::default(), Guard::public_only()).unwrap();
    let port = server.address.port();
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "localhost", "LOCALHOST", "[::1]"] {
        let url = Url::parse(&format!("http://{host}:{port}/page")).unwrap();
        check_refused(reader.fetch(&url).await, "not on the public Internet");
    }
    // Some systems resolve this one, others do not.
    let dotted = Url::parse(&format!("http://localhost.:{port}/page")).unwrap();
    assert!(reader.fetch(&dotted).await.is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_redirect_to_a_private_address_is_refused() {
    for target in [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "//192.168.1.1/",
    ] {
        check_refused(fetch_page(move || redirect(target)).await, "not on the public Internet");
    }
    check_refused(fetch_page(|| redirect("file:///etc/passwd")).await, "not file");
    check_refused(fetch_page(|| redirect("http://a:b@example.com/")).await, "password");
    check_refused(fetch_page(|| redirect("http://127.0.0.1:25/")).await, "port 25");
}

#[tokio::test]
async fn robots_txt_cannot_redirect_to_a_private_address_either() {
    let router = Router::new()
        .route("/robots.txt", get(|| async { redirect("http://169.254.169.254/") }))
        .route("/page", get(|| async { answer(200, "text/html", PAGE) }));
    let server = Server::start(router).await;
    check_refused(reader().fetch(&server.url("/page")).await, "not on the public Internet");
}

#[tokio::test]
async fn redirects_are_followed_up_to_the_limit() {
    let router = Router::new()
        .route("/page", get(|| async { redirect("/second") }))
        .route("/second", get(|| async { redirect("third?x=1#y") }))
        .route("/third", get(|| async { answer(200, "text/html", PAGE) }))
        .route("/loop", get(|| async { redirect("/loop") }));
    let server = Server::start(router).await;
    let document = reader().fetch(&server.url("/page")).await.unwrap();
    assert_eq!(document.location, server.url("/third?x=1").as_str());
    check_too_large(reader().fetch(&server.url("/loop")).await, "5 redirects per page");
}

#[tokio::test]
async fn robots_txt_is_obeyed() {
    async fn check(status: u16, robots: &'static str, path: &str, allowed: bool) {
        let router = Router::new()
            .route("/robots.txt", get(move || async move { answer(status, "text/plain", robots) }))
            .fallback(|| async { answer(200, "text/html", PAGE) });
        let server = Server::start(router).await;
        let result = reader().fetch(&server.url(path)).await;
        if allowed {
            assert!(result.is_ok(), "{status} {robots:?} {path}: {result:?}");
        } else {
            check_refused(result, "robots.txt");
        }
    }
    let rules = "User-agent: *\nDisallow: /private\n\nUser-agent: genesis-mesh\nDisallow: /ours\n";
    check(200, rules, "/ours/page", false).await;
    check(200, rules, "/private/page", true).await;
    check(200, "User-agent: *\nDisallow: /", "/page", false).await;
    check(200, "", "/page", true).await;
    for missing in [401, 403, 404, 410] {
        check(missing, "User-agent: *\nDisallow: /", "/page", true).await;
    }
    for broken in [500, 503] {
        check(broken, "", "/page", false).await;
    }
}

#[tokio::test]
async fn robots_txt_is_asked_once_and_only_its_start_is_read() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let router = Router::new()
        .route(
            "/robots.txt",
            get(move || async move {
                counter.fetch_add(1, Ordering::SeqCst);
                let start = "User-agent: *\nDisallow: /private\n";
                // Endless: only a reader that stops gets an answer.
                let endless = stream::unfold(0_u64, move |number| async move {
                    let chunk = if number == 0 { start.into() } else { "# more\n".repeat(1000) };
                    Some((Ok::<_, std::io::Error>(chunk), number + 1))
                });
                answer(200, "text/plain", Body::from_stream(endless))
            }),
        )
        .fallback(|| async { answer(200, "text/html", PAGE) });
    let server = Server::start(router).await;
    let reader = reader();
    let (page, other) = (server.url("/page"), server.url("/other"));
    let (first, second) = tokio::join!(reader.fetch(&page), reader.fetch(&other));
    first.unwrap();
    second.unwrap();
    check_refused(reader.fetch(&server.url("/private")).await, "robots.txt");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_crawl_delay_lies_between_two_pages() {
    let router = Router::new()
        .route(
            "/robots.txt",
            get(|| async { answer(200, "text/plain", "User-agent: *\nCrawl-delay: 0.1") }),
        )
        .fallback(|| async { answer(200, "text/html", PAGE) });
    let server = Server::start(router).await;
    let reader = reader();
    let started = std::time::Instant::now();
    for path in ["/a", "/b", "/c"] {
        reader.fetch(&server.url(path)).await.unwrap();
    }
    assert!(started.elapsed() >= Duration::from_millis(200), "{:?}", started.elapsed());
}

#[tokio::test]
async fn at_most_two_requests_run_at_one_host() {
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, peak) = (running.clone(), most.clone());
    let router = Router::new()
        .route("/robots.txt", get(|| async { answer(404, "text/plain", "") }))
        .fallback(move || {
            let (now, peak) = (now.clone(), peak.clone());
            async move {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..50 {
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
                answer(200, "text/html", PAGE)
            }
        });
    let server = Server::start(router).await;
    let reader = reader();
    let urls: Vec<Url> = (0..12).map(|number| server.url(&format!("/{number}"))).collect();
    let fetched = futures::future::join_all(urls.iter().map(|url| reader.fetch(url))).await;
    assert!(fetched.iter().all(Result::is_ok), "{fetched:?}");
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn bodies_over_the_limit_are_not_read_to_their_end() {
    // With a length that says so, and without.
    check_too_large(
        fetch_page(|| answer(200, "text/html", vec![b'x'; 5_000_001])).await,
        "5 MB per page",
    );
    check_too_large(
        fetch_page(|| {
            let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 65_536]));
            answer(200, "text/html", Body::from_stream(endless))
        })
        .await,
        "5 MB per page",
    );
}

#[tokio::test]
async fn a_gzip_bomb_stops_early_and_a_gzipped_page_is_read() {
    let bomb = gzipped(&vec![b'a'; 50_000_000]);
    check_too_large(
        fetch_page(move || {
            with_header(answer(200, "text/html", bomb.clone()), "content-encoding", "gzip")
        })
        .await,
        "compressed at most 200 times",
    );
    // Within the ratio, but too large once unpacked.
    let noise: Vec<u8> =
        (0..6_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 27) as u8).collect();
    let large = gzipped(&noise);
    check_too_large(
        fetch_page(move || {
            with_header(answer(200, "text/html", large.clone()), "content-encoding", "gzip")
        })
        .await,
        "5 MB per page",
    );
    let page = gzipped(PAGE.as_bytes());
    let document = fetch_page(move || {
        with_header(answer(200, "text/html", page.clone()), "content-encoding", "gzip")
    })
    .await
    .unwrap();
    assert!(document.text.contains("main text"));
}

#[tokio::test]
async fn a_damaged_or_unasked_compression_is_unreadable() {
    let cut = gzipped(PAGE.as_bytes())[..60].to_vec();
    for (coding, body) in [
        ("gzip", b"no gzip at all".to_vec()),
        ("gzip", cut),
        ("br", PAGE.into()),
        ("gzip, gzip", PAGE.into()),
    ] {
        let result = fetch_page(move || {
            with_header(answer(200, "text/html", body.clone()), "content-encoding", coding)
        })
        .await;
        assert!(matches!(result, Err(SourceError::Unreadable { .. })), "{coding}: {result:?}");
    }
}

#[tokio::test]
async fn headers_over_the_limit_are_refused() {
    let result = fetch_page(|| {
        let mut response = answer(200, "text/html", PAGE);
        for number in 0..20 {
            let name: axum::http::HeaderName = format!("x-large-{number}").parse().unwrap();
            response.headers_mut().insert(name, "x".repeat(5_000).parse().unwrap());
        }
        response
    })
    .await;
    check_too_large(result, "64 KB of headers");
    let result = fetch_page(|| {
        let mut response = answer(200, "text/html", PAGE);
        for number in 0..200 {
            let name: axum::http::HeaderName = format!("x-many-{number}").parse().unwrap();
            response.headers_mut().insert(name, "x".parse().unwrap());
        }
        response
    })
    .await;
    assert!(matches!(result, Err(SourceError::Unreachable { .. })), "{result:?}");
}

#[tokio::test]
async fn statuses_and_content_types_that_are_no_page_are_named() {
    for status in [404, 429, 500, 204] {
        let result = fetch_page(move || answer(status, "text/html", "")).await;
        assert!(
            matches!(result, Err(SourceError::Status { status: s }) if s == status),
            "{result:?}"
        );
    }
    for (media_type, named) in [
        ("application/pdf", "application/pdf"),
        ("image/png; charset=utf-8", "image/png"),
        ("Application/JSON", "application/json"),
        ("", "no content type"),
    ] {
        match fetch_page(move || answer(200, media_type, PAGE)).await {
            Err(SourceError::Unreadable { reason }) => assert!(reason.contains(named), "{reason}"),
            other => panic!("{media_type}: {other:?}"),
        }
    }
    let empty = fetch_page(|| answer(200, "text/html", "<html><body><nav>menu</nav></body>")).await;
    assert!(matches!(empty, Err(SourceError::Unreadable { .. })), "{empty:?}");
}

#[tokio::test]
async fn markdown_and_plain_text_are_read_as_such() {
    let markdown = "---\ntitle: Notes\ndate: 2024-05-31\n---\nSome *text*.\n";
    let document =
        fetch_page(move || answer(200, "text/markdown; charset=UTF-8", markdown)).await.unwrap();
    assert_eq!(&*document.text, "Some *text*.\n");
    assert_eq!(document.title.as_deref(), Some("Notes"));
    assert_eq!(document.published, Some(jiff::civil::date(2024, 5, 31)));
    let document = fetch_page(|| answer(200, "text/plain", "One <b> line\n")).await.unwrap();
    assert_eq!(&*document.text, "One \\<b> line\n");
}

#[tokio::test]
async fn the_charset_comes_from_mark_header_meta_or_the_bytes() {
    let latin = |prefix: &str| {
        let mut bytes = prefix.as_bytes().to_vec();
        bytes.extend_from_slice(b"<main><p>Gr\xf6\xdfe ist kein Zufall</p></main>");
        bytes
    };
    let bytes = latin("");
    let by_header =
        fetch_page(move || answer(200, "text/html; Charset=\"ISO-8859-1\"", bytes.clone())).await;
    let bytes = latin("<meta charset='windows-1252'>");
    let by_meta = fetch_page(move || answer(200, "text/html", bytes.clone())).await;
    let bytes = latin("");
    let by_bytes =
        fetch_page(move || answer(200, "text/html; charset=nonsense", bytes.clone())).await;
    for document in [by_header, by_meta, by_bytes] {
        assert_eq!(&*document.unwrap().text, "Größe ist kein Zufall\n");
    }
    // A header that is wrong is believed, without a failure.
    let bytes = latin("");
    let wrong = fetch_page(move || answer(200, "text/html; charset=utf-8", bytes.clone())).await;
    assert!(wrong.unwrap().text.contains('\u{fffd}'));
}

/// A server that answers with these bytes and then holds the connection open; tells when a
/// connection was closed by the other side.
async fn silent_server(bytes: &'static [u8], closed: Arc<Notify>) -> (Url, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/page", listener.local_addr().unwrap())).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let closed = closed.clone();
            connections.spawn(async move {
                let mut buffer = [0_u8; 4096];
                loop {
                    let read = stream.read(&mut buffer).await.unwrap_or(0);
                    if read == 0 {
                        closed.notify_one();
                        return;
                    }
                    let request = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    let missing = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
                    let is_robots = request.starts_with("GET /robots.txt");
                    let answer = if is_robots { missing.as_slice() } else { bytes };
                    stream.write_all(answer).await.unwrap();
                }
            });
        }
    });
    (url, tasks)
}

#[tokio::test]
async fn slow_headers_and_slow_bodies_run_into_the_time_limit() {
    for bytes in [
        b"".as_slice(),
        b"HTTP/1.1 200 OK\r\ncontent-type: text/ht",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 100\r\n\r\n<p>half",
    ] {
        let (url, _tasks) = silent_server(bytes, Arc::default()).await;
        let result = quick(300).fetch(&url).await;
        assert!(
            matches!(result, Err(SourceError::Timeout { after }) if after.as_millis() == 300),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn dropping_the_future_ends_the_request() {
    let closed = Arc::new(Notify::new());
    let body = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 100\r\n\r\n<p>half";
    let (url, _tasks) = silent_server(body, closed.clone()).await;
    let reader = reader();
    {
        let fetching = reader.fetch(&url);
        let waited = tokio::time::timeout(Duration::from_millis(300), fetching).await;
        assert!(waited.is_err(), "the page ended: {waited:?}");
    }
    // The server sees the end of the connection although the reader itself lives on.
    tokio::time::timeout(Duration::from_secs(10), closed.notified()).await.unwrap();
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable_without_naming_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = Url::parse(&format!("http://{address}/page")).unwrap();
    match reader().fetch(&url).await {
        Err(SourceError::Unreachable { reason }) => {
            assert!(!reason.contains("127.0.0.1"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_product_that_is_no_token_is_an_error() {
    for product in ["", "two words", "a/b", "ü", "a\r\nb"] {
        let config = FetchConfig { product: product.to_owned(), ..FetchConfig::default() };
        let error = PageFetch::new(config, Guard::public_only()).unwrap_err();
        assert!(error.to_string().starts_with("product: "), "{error}");
    }
    let config = FetchConfig { version: "1\n".to_owned(), ..FetchConfig::default() };
    assert!(PageFetch::new(config, Guard::public_only()).is_err());
}
