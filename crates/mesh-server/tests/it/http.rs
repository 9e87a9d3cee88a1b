//! The paths besides the sockets, and who may ask.

use std::fmt::Write as _;

use expect_test::expect;

use crate::kit::Mesh;

#[tokio::test]
async fn ok_says_ok() {
    let mesh = Mesh::start().await;
    let answer = mesh.http("GET", "/ok", "").await;
    assert_eq!((answer.status, &*answer.body), (200, r#"{"ok":true}"#));
    assert_eq!(mesh.http("HEAD", "/ok", "").await.status, 200);
}

#[tokio::test]
async fn info_says_who_this_is_what_it_serves_and_its_limits() {
    let mesh = Mesh::start().await;
    let info = mesh.http("GET", "/info", "").await.json();
    assert_eq!(info["name"], "test-mesh");
    assert_eq!(info["version"], "1.2.3");
    assert!(info["uptime_s"].is_u64());
    assert_eq!(info["limits"]["message_bytes_max"], 1 << 20);
    let echo = info["assistants"]
        .as_array()
        .unwrap()
        .iter()
        .find(|assistant| assistant["name"] == "echo")
        .unwrap();
    assert_eq!(echo["socket"], "/ws/echo");
    assert_eq!(echo["description"], "Says it again");
    assert_eq!(echo["keeps_threads"], true);
    assert!(echo["input_schema"]["properties"]["topic"].is_object(), "{echo}");
}

#[tokio::test]
async fn every_path_of_the_openapi_document_is_there() {
    let mesh = Mesh::start().await;
    let document = mesh.http("GET", "/openapi.json", "").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], "1.2.3");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 10, "{paths:?}");
    for (path, item) in paths {
        for method in item.as_object().unwrap().keys() {
            let asked: Vec<&str> = path
                .split('/')
                .map(|part| match part {
                    "{assistant}" | "{assistant_id}" => "echo",
                    part if part.starts_with('{') => "6f2c1d1e-0000-4000-8000-000000000000",
                    part => part,
                })
                .collect();
            let answer = mesh.http(&method.to_uppercase(), &asked.join("/"), "").await;
            let there = answer.status < 500 || answer.status == 501;
            let routed = !answer.body.contains("\"not_found\"") && answer.status != 405;
            assert!(there && routed, "{method} {path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn errors_are_json_with_a_stable_code_and_an_id() {
    let mesh = Mesh::start().await;
    let mut seen = String::new();
    for (method, path, headers) in [
        ("GET", "/nothing", ""),
        ("GET", "/..%2f..%2fetc/passwd", ""),
        ("POST", "/ok", ""),
        ("DELETE", "/ws/echo", ""),
        ("GET", "/ws/echo", ""),
        ("GET", "/ws/nobody", ""),
        ("GET", "/ws/echo", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
        ("GET", "/ok", "Host: evil.example\r\n"),
        ("GET", "/ok", "Origin: http://evil.example\r\n"),
        ("GET", "/ok", "Host:\r\n"),
    ] {
        let answer = mesh.http(method, path, headers).await;
        assert!(answer.header("x-request-id").is_some_and(|id| id.len() == 36), "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let json = answer.json();
        assert!(json["detail"].is_string());
        assert_eq!(json["request_id"].as_str(), answer.header("x-request-id"));
        let code = json["code"].as_str().unwrap();
        writeln!(seen, "{method} {path} {} {code}", answer.status).unwrap();
    }
    expect![[r"
        GET /nothing 404 not_found
        GET /..%2f..%2fetc/passwd 404 not_found
        POST /ok 405 method_not_allowed
        DELETE /ws/echo 405 method_not_allowed
        GET /ws/echo 426 upgrade_required
        GET /ws/nobody 404 unknown_assistant
        GET /ws/echo 400 invalid_handshake
        GET /ok 403 host_not_allowed
        GET /ok 403 origin_not_allowed
        GET /ok 400 invalid_host
    "]]
    .assert_eq(&seen);
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_answered_with_the_texts_of_the_wire() {
    let mesh = Mesh::start().await;
    for (method, path, detail) in
        [("GET", "/nothing", "Not Found"), ("POST", "/ok", "Method Not Allowed")]
    {
        assert_eq!(mesh.http(method, path, "").await.json()["detail"], detail);
    }
}

#[tokio::test]
async fn a_page_of_a_foreign_origin_cannot_open_a_socket_unless_it_was_named() {
    let mesh = Mesh::with(|_, access| access.origins.push("https://app.example".to_owned())).await;
    let own = format!("http://{}", mesh.address);
    for allowed in [&*own, "https://app.example"] {
        let mut client = mesh.try_open("/ws/echo", &[("origin", allowed)]).await.ok().unwrap();
        client.send("{}").await;
        assert_eq!(client.rest().await.code, 1000);
    }
    for foreign in ["http://evil.example", "null", "http://localhost:1"] {
        let response = mesh.try_open("/ws/echo", &[("origin", foreign)]).await.err().unwrap();
        assert_eq!(response.status(), 403);
        let body = String::from_utf8(response.into_body().unwrap()).unwrap();
        assert!(body.contains("origin_not_allowed"), "{body}");
        assert!(body.contains("server.allowed_origins"), "{body}");
    }
    let rebound = mesh.try_open("/ws/echo", &[("host", "evil.example")]).await.err().unwrap();
    assert_eq!(rebound.status(), 403);
    let body = String::from_utf8(rebound.into_body().unwrap()).unwrap();
    assert!(body.contains("server.allowed_hosts"), "{body}");
}

#[tokio::test]
async fn the_studio_is_led_to_and_every_address_below_it_is_its_page() {
    let mesh = Mesh::start().await;
    let root = mesh.http("GET", "/", "").await;
    assert_eq!((root.status, root.header("location")), (307, Some("/studio/")));
    let page = mesh.http("GET", "/studio/", "").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert_eq!(mesh.http("GET", "/studio/threads/1234", "").await.body, page.body);
    assert_eq!(mesh.http("GET", "/studio/assets/gone.js", "").await.status, 404);
    assert_eq!(mesh.http("GET", "/studios", "").await.status, 404);
}

#[tokio::test]
async fn the_studio_loads_only_its_own_files_and_runs_no_inline_code() {
    let mesh = Mesh::start().await;
    let page = mesh.http("GET", "/studio/", "").await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'self'") && policy.contains("object-src 'none'"));
    assert!(policy.contains("base-uri 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    let named = page.body.split('"').filter(|part| part.starts_with("/studio/assets/"));
    for path in named {
        let file = mesh.http("GET", path, "").await;
        assert_eq!(file.status, 200, "{path}");
        let is_style = path.rsplit('.').next() == Some("css");
        let kind = if is_style { "text/css" } else { "text/javascript" };
        assert!(file.header("content-type").unwrap().starts_with(kind), "{path}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        assert!(file.header("cache-control").unwrap().contains("immutable"), "{path}");
    }
    assert!(!page.body.contains("style=") && !page.body.contains(" onclick"));
    assert!(!page.body.contains("//"), "nothing comes from elsewhere");
}

#[tokio::test]
async fn the_id_of_an_upgrade_is_the_reference_of_its_error() {
    let mesh = Mesh::start().await;
    let request = "GET /ws/rule-panics HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let frame = [0x81, 0x82, 0, 0, 0, 0, b'{', b'}'];
    let answer = mesh.raw(&[request.as_bytes(), &frame].concat()).await;
    let text = String::from_utf8_lossy(&answer).to_lowercase();
    let (_, after) = text.split_once("x-request-id: ").unwrap();
    let id = &after[..36];
    assert!(text.contains(&format!("\"reference\":\"{id}\"")), "{text}");
}
