//! The gate: who is let in, what they are told, and what foreign pages may do.

use expect_test::expect;
use futures::SinkExt;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mesh_server::{
    ErrorFormat,
    auth::{Auth, TokenKeys, TokenRules},
};
use secrecy::SecretString;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::kit::{Client, Http, Mesh, eventually};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn auth() -> Auth {
    let rules = TokenRules {
        keys: TokenKeys::Secret(SecretString::from(SECRET)),
        issuer: None,
        audiences: Vec::new(),
        subjects: [].into(),
    };
    Auth::default().tokens(rules).unwrap()
}

async fn guarded() -> Mesh {
    Mesh::made(
        |_, access| access.origins.push("https://app.example".to_owned()),
        |server| server.auth(auth()),
    )
    .await
}

fn token(subject: &str, scopes: &[&str]) -> String {
    let claims = json!({ "sub": subject, "scopes": scopes, "exp": 4_000_000_000_u64 });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

#[tokio::test]
async fn everything_but_the_public_paths_wants_a_credential() {
    let mesh = guarded().await;
    for path in ["/studio/", "/studio/threads", "/ok", "/info", "/openapi.json", "/icon.svg"] {
        assert_eq!(mesh.http("GET", path, "").await.status, 200, "{path}");
        // Clients send their key everywhere; a wrong one changes nothing here.
        assert_eq!(mesh.http("GET", path, "x-api-key: wrong\r\n").await.status, 200, "{path}");
    }
    for (method, path) in [
        ("GET", "/ws/echo"),
        ("GET", "/assistants/search"),
        ("POST", "/threads"),
        ("GET", "/nothing"),
        ("DELETE", "/info/x"),
        ("GET", "//info"),
        ("OPTIONS", "/threads"),
    ] {
        let answer = mesh.http(method, path, "").await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_eq!(answer.header("www-authenticate"), Some("bearer realm=\"genesis-mesh\""));
        assert_eq!(answer.json()["code"], "unauthenticated");
    }
    assert_eq!(mesh.http("GET", "/info", "").await.json()["authentication"], true);
}

#[tokio::test]
async fn every_operation_that_the_document_calls_open_is_open_and_no_other() {
    let mesh = guarded().await;
    let document = mesh.http("GET", "/openapi.json", "").await.json();
    let mut open = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Some(summary) = operation.get("responses") else { continue };
            assert!(summary.is_object());
            let id = "0193f6c4-7d5b-7c1e-8a55-0123456789ab";
            let mut address = path.clone();
            while let (Some(from), Some(to)) = (address.find('{'), address.find('}')) {
                address.replace_range(from..=to, id);
            }
            let answer = mesh.http(&method.to_uppercase(), &address, "").await;
            let is_open = operation["security"].as_array().is_some_and(Vec::is_empty);
            assert_eq!(answer.status != 401, is_open, "{method} {path}: {}", answer.status);
            if is_open {
                open.push(path.clone());
            }
        }
    }
    for path in ["/ok", "/info"] {
        assert!(open.iter().any(|one| one == path), "{open:?}");
    }
}

#[tokio::test]
async fn a_good_token_is_let_in_and_a_bad_one_is_told_nothing_about_itself() {
    let mesh = guarded().await;
    let good = token("johndoe", &["me"]);
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    assert_eq!(mesh.http("GET", "/nothing", &bearer(&good)).await.status, 404);
    let expired = encode(
        &Header::new(Algorithm::HS256),
        &json!({ "sub": "johndoe", "exp": 1 }),
        &EncodingKey::from_secret(SECRET.as_bytes()),
    );
    for bad in
        [&*format!("{good}x"), &expired.unwrap(), "gm_0011223344556677_00", "not-a-credential"]
    {
        for headers in [bearer(bad), format!("x-api-key: {bad}\r\n")] {
            let answer = mesh.http("GET", "/nothing", &headers).await;
            assert_eq!(answer.status, 401);
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(challenge.ends_with("error=\"invalid_token\""), "{challenge}");
            assert_eq!(answer.json()["detail"], "the credential is not valid");
            assert!(!answer.body.contains(bad) && !answer.head.contains(&bad.to_lowercase()));
        }
    }
    // Not in an address, however it is called.
    for query in ["api_key", "x-api-key", "authorization", "token", "access_token"] {
        let path = format!("/nothing?{query}={good}");
        assert_eq!(mesh.http("GET", &path, "").await.status, 401, "{query}");
    }
}

async fn says(mut client: Client) -> (u16, String) {
    let said = client.rest().await;
    (said.code, said.reason)
}

#[tokio::test]
async fn a_socket_takes_its_credential_from_a_header_a_subprotocol_or_its_first_message() {
    let mesh = guarded().await;
    let good = token("johndoe", &["me"]);
    let bearer = format!("Bearer {good}");
    let mut client = mesh.try_open("/ws/echo", &[("authorization", &bearer)]).await.ok().unwrap();
    client.send("{}").await;
    assert_eq!(says(client).await.0, 1000);

    let offered = format!("genesis-mesh, genesis-mesh.bearer.{good}");
    let headers = [("sec-websocket-protocol", &*offered)];
    let mut client = mesh.try_open("/ws/echo", &headers).await.ok().unwrap();
    client.send("{}").await;
    assert_eq!(says(client).await.0, 1000);

    let mut client = mesh.open("/ws/echo").await;
    client.send(&json!({ "authorization": bearer }).to_string()).await;
    client.send("{}").await;
    assert_eq!(says(client).await.0, 1000);
}

#[tokio::test]
async fn a_socket_without_a_good_credential_runs_nothing() {
    let mesh = guarded().await;
    let refused = |code: &str| (1008, code.to_owned());
    let mut client = mesh.open("/ws/slow").await;
    client.send("{}").await;
    assert_eq!(says(client).await, refused("unauthenticated"));
    for (first, code) in [
        (json!({ "authorization": "Bearer x" }), "invalid_credential"),
        (json!({ "authorization": "", "topic": "x" }), "unauthenticated"),
    ] {
        let mut client = mesh.open("/ws/slow").await;
        client.send(&first.to_string()).await;
        assert_eq!(says(client).await, refused(code));
    }
    let mut client = mesh.open("/ws/slow").await;
    client.0.send(Message::binary("{}".as_bytes().to_vec())).await.unwrap();
    assert_eq!(says(client).await.0, 1003);
    let response = mesh.try_open("/ws/slow", &[("authorization", "Bearer x")]).await.err().unwrap();
    assert_eq!(response.status(), 401);
    let readable = format!("Bearer {}", token("johndoe", &["assistants:read"]));
    let client = mesh.try_open("/ws/slow", &[("authorization", &readable)]).await.ok().unwrap();
    assert_eq!(says(client).await, refused("not_authorized"));
    assert_eq!(mesh.probe.started.available_permits(), 0);
}

#[tokio::test]
async fn everybody_names_threads_of_their_own() {
    let mesh = guarded().await;
    let path = "/ws/echo?stream_mode=values&thread_id=t";
    for (who, expected) in [("johndoe", json!(["x"])), ("janedoe", json!(["x"]))] {
        let bearer = format!("Bearer {}", token(who, &["me"]));
        let mut client = mesh.try_open(path, &[("authorization", &bearer)]).await.ok().unwrap();
        client.send(r#"{"topic": "x"}"#).await;
        let said = client.rest().await;
        assert_eq!(said.frames.last().unwrap()["data"]["log"], expected, "{who}");
    }
    // An id means the thread itself, which looks to others as if it were not there.
    let path = "/ws/echo?thread_id=11111111-2222-4333-8444-555555555555";
    let bearer = format!("Bearer {}", token("johndoe", &["me"]));
    let mut client = mesh.try_open(path, &[("authorization", &bearer)]).await.ok().unwrap();
    client.send("{}").await;
    assert_eq!(says(client).await.0, 1000);
    let bearer = format!("Bearer {}", token("janedoe", &["me"]));
    for path in [path.to_owned(), format!("{path}&last_event_id=0")] {
        let mut client = mesh.try_open(&path, &[("authorization", &bearer)]).await.ok().unwrap();
        if !path.contains("last") {
            client.send("{}").await;
        }
        assert_eq!(says(client).await, (1008, "thread_not_found".to_owned()));
    }
}

#[tokio::test]
async fn without_authentication_any_credential_is_passed_over() {
    let mesh = Mesh::start().await;
    for headers in ["", "x-api-key: lsv2_something\r\n", "Authorization: Bearer x\r\n"] {
        assert_eq!(mesh.http("GET", "/nothing", headers).await.status, 404);
    }
    let info = mesh.http("GET", "/info", "").await.json();
    assert_eq!((&info["authentication"], &info["unsafe_settings"]), (&json!(false), &json!([])));
}

#[tokio::test]
async fn errors_may_be_their_text_alone() {
    let mesh =
        Mesh::made(|_, _| (), |server| server.auth(auth()).error_format(ErrorFormat::Text)).await;
    let bearer = format!("Authorization: Bearer {}\r\n", token("a", &["me"]));
    let answer = mesh.http("GET", "/nothing", &bearer).await;
    assert_eq!((answer.status, &*answer.body), (404, "Not Found"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(answer.header("x-request-id").is_some());
}

#[tokio::test]
async fn pages_that_are_let_in_may_read_answers_and_ask_beforehand() {
    let mesh = guarded().await;
    let own = format!("http://{}", mesh.address);
    for origin in ["https://app.example", &own] {
        let from = format!("Origin: {origin}\r\n");
        // Also what was refused, so that a script can tell its user.
        for path in ["/info", "/threads"] {
            let answer = mesh.http("GET", path, &from).await;
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{path}");
            assert_eq!(
                answer.header("access-control-expose-headers"),
                Some(
                    "content-location, location, x-pagination-total, x-pagination-next, x-request-id"
                )
            );
            assert_eq!(answer.header("access-control-allow-credentials"), None);
            assert_eq!(answer.header("vary"), Some("origin"));
        }
        let asks = format!(
            "{from}Access-Control-Request-Method: PATCH\r\nAccess-Control-Request-Headers: \
             authorization,x-api-key\r\nAccess-Control-Request-Private-Network: true\r\n"
        );
        let answer = mesh.http("OPTIONS", "/threads/x", &asks).await;
        assert_eq!((answer.status, &*answer.body), (200, ""));
        let told = [
            "access-control-allow-methods",
            "access-control-allow-headers",
            "access-control-max-age",
            "access-control-allow-private-network",
        ]
        .map(|name| answer.header(name).unwrap_or("-"));
        expect![[r#"
            [
                "delete, get, head, options, patch, post, put",
                "authorization,x-api-key",
                "600",
                "true",
            ]
        "#]]
        .assert_debug_eq(&told);
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
    }
}

#[tokio::test]
async fn pages_that_are_not_let_in_are_told_nothing() {
    let mesh = guarded().await;
    for origin in ["https://evil.example", "null", "https://app.example.evil.example"] {
        for (method, more) in [("GET", ""), ("OPTIONS", "Access-Control-Request-Method: GET\r\n")] {
            let headers = format!("Origin: {origin}\r\n{more}");
            let answer = mesh.http(method, "/info", &headers).await;
            assert_eq!(answer.status, 403, "{method} {origin}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    let plain = mesh.http("GET", "/info", "").await;
    assert_eq!(plain.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn the_door_for_every_page_is_open_only_when_somebody_opened_it() {
    let mesh = Mesh::made(
        |_, access| access.any_origin = true,
        |server| server.unsafe_settings(["server.unsafe_any_origin".to_owned()]),
    )
    .await;
    let answer = mesh.http("GET", "/info", "Origin: https://evil.example\r\n").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert_eq!(answer.json()["unsafe_settings"], json!(["server.unsafe_any_origin"]));
}

#[tokio::test]
async fn one_caller_has_so_many_connections_busy_and_others_have_their_own() {
    let mesh =
        Mesh::made(|limits, _| limits.connections_of_caller_max = 2, |server| server.auth(auth()))
            .await;
    let bearer = |subject| format!("Bearer {}", token(subject, &[]));
    let (ada, bob) = (bearer("ada"), bearer("bob"));
    // A socket keeps its place, whether its handshake says whose it is or its first message.
    let first = mesh.try_open("/ws", &[("authorization", &ada)]).await.expect("it opens");
    let mut second = mesh.open("/ws").await;
    second.send(&json!({ "authorization": ada }).to_string()).await;
    second.next().await.expect("it says hello");
    let ask = async |who: &str| {
        mesh.http("POST", "/threads/count", &format!("Authorization: {who}\r\n")).await
    };
    let full = ask(&ada).await;
    assert_eq!((full.status, &full.json()["code"]), (429, &json!("too_many_connections")));
    assert_eq!(full.header("retry-after"), Some("5"));
    let mut third = mesh.open("/ws").await;
    third.send(&json!({ "authorization": ada }).to_string()).await;
    assert_eq!(third.rest().await.refusal().2, 1013);
    assert_ne!(ask(&bob).await.status, 429);
    drop((first, second));
    eventually(async || ask(&ada).await.status != 429).await;
}

#[tokio::test]
async fn a_search_of_the_whole_store_gives_what_is_the_callers_own() {
    let mesh = guarded().await;
    let ask = async |who: &str, method: &str, path: &str, body: serde_json::Value| {
        let body = body.to_string();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            mesh.address,
            token(who, &["me"]),
            body.len(),
        );
        Http::parse(&mesh.raw(request.as_bytes()).await)
    };
    for who in ["ada", "bob"] {
        for namespace in [json!([who]), json!(["notes", who])] {
            let item = json!({ "namespace": namespace, "key": who, "value": {} });
            assert_eq!(ask(who, "PUT", "/store/items", item).await.status, 204);
        }
    }
    let found = ask("ada", "POST", "/store/items/search", json!({})).await.json();
    let found: Vec<_> = found["items"].as_array().unwrap().iter().map(|it| &it["key"]).collect();
    assert_eq!(found, ["ada", "ada"]);
    let listed = ask("ada", "POST", "/store/namespaces", json!({})).await.json();
    assert_eq!(listed["namespaces"], json!([["ada"], ["notes", "ada"]]));
    for (path, body) in [
        ("/store/items/search", json!({ "namespace_prefix": ["notes"] })),
        ("/store/namespaces", json!({ "prefix": ["notes"] })),
        ("/store/namespaces", json!({ "suffix": ["*"] })),
    ] {
        assert_eq!(ask("ada", "POST", path, body).await.status, 403, "{path}");
    }
}
