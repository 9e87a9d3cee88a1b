use axum::http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use super::{Credential, Malformed, of_headers, of_message};

const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln";
const KEY: &str = "gm_0011223344556677_00";

fn shown(credential: Result<Option<Credential>, Malformed>) -> String {
    match credential {
        Ok(None) => "nothing".to_owned(),
        Ok(Some(Credential::ApiKey(key))) => format!("key {}", key.expose_secret()),
        Ok(Some(Credential::Token(token))) => format!("token {}", token.expose_secret()),
        Err(_) => "malformed".to_owned(),
    }
}

fn check(headers: &[(&str, &str)], expected: &str) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        map.append(name.parse::<HeaderName>().unwrap(), value);
    }
    assert_eq!(shown(of_headers(&map)), expected, "{headers:?}");
}

#[test]
fn a_credential_stands_in_a_header_or_a_subprotocol() {
    let (token, key) = (format!("token {TOKEN}"), format!("key {KEY}"));
    let bearer = format!("Bearer {TOKEN}");
    check(&[], "nothing");
    check(&[("authorization", &bearer)], &token);
    check(&[("authorization", &bearer.to_lowercase())], &format!("token {}", TOKEN.to_lowercase()));
    check(&[("authorization", &format!("  BEARER   {KEY}  "))], &key);
    check(&[("x-api-key", KEY)], &key);
    check(
        &[("sec-websocket-protocol", &format!("genesis-mesh, genesis-mesh.bearer.{TOKEN}"))],
        &token,
    );
    check(&[("sec-websocket-protocol", "genesis-mesh, chat")], "nothing");
}

#[test]
fn a_bearer_token_goes_before_a_key_that_a_client_always_sends() {
    check(
        &[("x-api-key", "lsv2_something"), ("authorization", &format!("Bearer {TOKEN}"))],
        &format!("token {TOKEN}"),
    );
}

#[test]
fn other_schemes_belong_to_others() {
    check(&[("authorization", "Basic dTpw")], "nothing");
    check(&[("authorization", "Basic dTpw"), ("x-api-key", KEY)], &format!("key {KEY}"));
    check(&[("authorization", TOKEN)], "nothing");
}

#[test]
fn what_cannot_be_a_credential_is_malformed() {
    let bearer = format!("Bearer {TOKEN}");
    check(&[("authorization", &bearer), ("authorization", &bearer)], "malformed");
    check(&[("x-api-key", KEY), ("x-api-key", KEY)], "malformed");
    check(&[("x-api-key", "")], "malformed");
    check(&[("x-api-key", "with space")], "malformed");
    check(&[("x-api-key", "é")], "malformed");
    check(&[("authorization", "Bearer a b")], "malformed");
    check(&[("authorization", &format!("Bearer {}", "x".repeat(16 * 1024 + 1)))], "malformed");
}

#[test]
fn a_first_message_may_be_a_credential_and_nothing_else() {
    let told = |text: &str| of_message(text).map(|told| shown(told.map(Some)));
    let token = Some(format!("token {TOKEN}"));
    assert_eq!(told(&format!(r#"{{"authorization":"Bearer {TOKEN}"}}"#)), token);
    assert_eq!(told(&format!(r#"{{"authorization":"{TOKEN}"}}"#)), token);
    assert_eq!(told(r#"{"authorization":""}"#), Some("malformed".to_owned()));
    for other in ["", "{}", "null", r#"{"topic":"x"}"#, r#"{"authorization":"a","topic":"x"}"#] {
        assert_eq!(told(other), None, "{other}");
    }
}

#[test]
fn a_credential_prints_nothing() {
    let credential = of_message(r#"{"authorization":"hunter2hunter2"}"#).unwrap().unwrap();
    assert!(!format!("{credential:?}").contains("hunter2"));
}
