use mesh_server::auth::{Auth, KeySource};
use secrecy::SecretString;
use url::Url;

use super::{AuthError, OfFile, token_rules, with_tokens};
use crate::settings;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn problem(settings: &settings::Auth) -> String {
    let error = token_rules(settings).and_then(|rules| with_tokens(Auth::default(), rules));
    let error: AuthError = match error {
        Ok(auth) => return format!("on: {}", auth.is_on()),
        Err(error) => error,
    };
    match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn url() -> Url {
    Url::parse("https://id.example/keys").unwrap()
}

#[test]
fn nothing_configured_asks_nobody_and_a_secret_everybody() {
    assert_eq!(problem(&settings::Auth::default()), "on: false");
    let secret = Some(SecretString::from(SECRET));
    assert_eq!(problem(&settings::Auth { jwt_secret: secret, ..Default::default() }), "on: true");
    let set = settings::Auth {
        jwks_url: Some(url()),
        issuer: Some("https://id.example".to_owned()),
        audiences: vec!["mesh".to_owned()],
        ..Default::default()
    };
    assert_eq!(problem(&set), "on: true");
}

#[test]
fn settings_that_do_not_hold_together_are_named() {
    let secret = || Some(SecretString::from(SECRET));
    let two = settings::Auth { jwt_secret: secret(), jwks_url: Some(url()), ..Default::default() };
    assert_eq!(
        problem(&two),
        "auth.jwt_secret and auth.jwks_url are both set: expected one of them"
    );
    let alone = settings::Auth { subjects: vec!["a".to_owned()], ..Default::default() };
    assert!(
        problem(&alone).starts_with("auth.subjects is set, but nothing"),
        "{}",
        problem(&alone)
    );
    let open = settings::Auth { jwks_url: Some(url()), ..Default::default() };
    assert!(problem(&open).ends_with("needs an issuer and at least one audience beside it"));
    let short = Some(SecretString::from("short"));
    let short = settings::Auth { jwt_secret: short, ..Default::default() };
    assert!(problem(&short).ends_with("expected at least 32 bytes"), "{}", problem(&short));
}

#[tokio::test]
async fn a_key_set_is_read_from_its_file_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let source = OfFile(path.clone());
    assert!(source.fetch().await.is_err());
    for text in ["{}", r#"{"keys":[]}"#] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(source.fetch().await.unwrap(), text);
    }
    std::fs::write(&path, " ".repeat(1 << 20)).unwrap();
    assert!(source.fetch().await.unwrap().len() > mesh_server::auth::KEY_SET_BYTES_MAX);
}
