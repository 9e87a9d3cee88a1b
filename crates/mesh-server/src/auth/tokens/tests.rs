use std::{fmt::Write as _, sync::Arc};

use async_trait::async_trait;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use expect_test::expect;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mesh_graph::error::BoxError;
use secrecy::SecretString;
use serde_json::{Value as Json, json};

use super::{BadRules, CLOCK_SKEW_S, TokenKeys, TokenRules, Tokens};
use crate::auth::KeySource;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// 2026-01-01, in milliseconds; tokens below are valid a minute.
const NOW_MS: i64 = 1_767_225_600_000;
const NOW: i64 = NOW_MS / 1000;

fn by_secret(issuer: Option<&str>, audiences: &[&str], subjects: &[&str]) -> Tokens {
    Tokens::new(TokenRules {
        keys: TokenKeys::Secret(SecretString::from(SECRET)),
        issuer: issuer.map(str::to_owned),
        audiences: audiences.iter().map(|&a| a.to_owned()).collect(),
        subjects: subjects.iter().map(|&s| s.to_owned()).collect(),
    })
    .unwrap()
}

fn signed(claims: &Json) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

async fn told(tokens: &Tokens, token: &str) -> String {
    match tokens.check(token, NOW_MS).await {
        Ok(holder) => {
            let admin = if holder.admin { " admin" } else { "" };
            format!("{} ({}) {:?}{admin}", holder.identity, holder.display_name, holder.scopes)
        }
        Err(rejected) => rejected.to_string(),
    }
}

fn with(changes: Json) -> Json {
    let mut claims = json!({ "sub": "johndoe", "exp": NOW + 60 });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

#[tokio::test]
async fn claims_say_who_it_is_and_what_they_may_do() {
    let tokens = by_secret(None, &[], &[]);
    let mut seen = String::new();
    for changes in [
        json!({}),
        json!({ "scopes": ["me", "assistants:write"] }),
        json!({ "scope": "threads:read  store:read" }),
        json!({ "scopes": "me", "permissions": ["crons:*"] }),
        json!({ "name": "John Doe", "roles": ["user", "admin"] }),
        json!({ "roles": "admin" }),
        json!({ "admin": true, "scopes": ["admin"] }),
        json!({ "sub": null }),
        json!({ "sub": 5 }),
        json!({ "sub": "" }),
        json!({ "sub": "*" }),
        json!({ "scopes": 5 }),
    ] {
        let said = told(&tokens, &signed(&with(changes.clone()))).await;
        let mut changes = changes;
        // Whatever serde_json is told by other crates of the build.
        changes.sort_all_objects();
        writeln!(seen, "{changes}: {said}").unwrap();
    }
    expect![[r#"
        {}: johndoe (johndoe) []
        {"scopes":["me","assistants:write"]}: johndoe (johndoe) ["me", "assistants:write"]
        {"scope":"threads:read  store:read"}: johndoe (johndoe) ["threads:read", "store:read"]
        {"permissions":["crons:*"],"scopes":"me"}: johndoe (johndoe) ["me", "crons:*"]
        {"name":"John Doe","roles":["user","admin"]}: johndoe (John Doe) [] admin
        {"roles":"admin"}: johndoe (johndoe) [] admin
        {"admin":true,"scopes":["admin"]}: johndoe (johndoe) ["admin"]
        {"sub":null}: token: its claims are not of the right type
        {"sub":5}: token: its claims are not of the right type
        {"sub":""}: token: its subject is not let in
        {"sub":"*"}: token: its subject is not let in
        {"scopes":5}: token: its claims are not of the right type
    "#]]
    .assert_eq(&seen);
}

#[tokio::test]
async fn a_token_counts_only_in_its_time() {
    let tokens = by_secret(None, &[], &[]);
    let mut seen = String::new();
    let skew = CLOCK_SKEW_S;
    for (what, changes) in [
        ("no end", json!({ "exp": null })),
        ("just over", json!({ "exp": NOW - 1 })),
        ("over by the skew", json!({ "exp": NOW - skew })),
        ("long over", json!({ "exp": 5 })),
        ("a fraction", json!({ "exp": NOW as f64 + 0.5 })),
        ("not a number", json!({ "exp": "never" })),
        ("negative", json!({ "exp": -1 })),
        ("begun", json!({ "nbf": NOW - 5 })),
        ("begins within the skew", json!({ "nbf": NOW + skew })),
        ("begins later", json!({ "nbf": NOW + skew + 1 })),
    ] {
        let said = told(&tokens, &signed(&with(changes))).await;
        writeln!(seen, "{what}: {said}").unwrap();
    }
    expect![[r"
        no end: token: its claims are not of the right type
        just over: johndoe (johndoe) []
        over by the skew: token: expired
        long over: token: expired
        a fraction: johndoe (johndoe) []
        not a number: token: its claims are not of the right type
        negative: token: expired
        begun: johndoe (johndoe) []
        begins within the skew: johndoe (johndoe) []
        begins later: token: not valid yet
    "]]
    .assert_eq(&seen);
}

#[tokio::test]
async fn issuer_audience_and_subject_have_to_be_the_configured_ones() {
    let tokens = by_secret(Some("https://id.example"), &["mesh", "mesh-2"], &["johndoe", "alice"]);
    let right = json!({ "iss": "https://id.example", "aud": "mesh" });
    let mut seen = String::new();
    for changes in [
        json!({}),
        json!({ "aud": ["other", "mesh-2"] }),
        json!({ "aud": "other" }),
        json!({ "aud": null }),
        json!({ "iss": "https://evil.example" }),
        json!({ "iss": null }),
        json!({ "sub": "wfh" }),
        json!({ "sub": "alice" }),
    ] {
        let mut claims = right.clone();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let said = told(&tokens, &signed(&with(claims))).await;
        writeln!(seen, "{changes}: {said}").unwrap();
    }
    expect![[r#"
        {}: johndoe (johndoe) []
        {"aud":["other","mesh-2"]}: johndoe (johndoe) []
        {"aud":"other"}: token: another audience
        {"aud":null}: token: a claim is missing
        {"iss":"https://evil.example"}: token: another issuer
        {"iss":null}: token: a claim is missing
        {"sub":"wfh"}: token: its subject is not let in
        {"sub":"alice"}: alice (alice) []
    "#]]
    .assert_eq(&seen);
}

#[tokio::test]
async fn a_token_cannot_choose_how_it_is_checked() {
    let tokens = by_secret(None, &[], &[]);
    let claims = with(json!({}));
    let good = signed(&claims);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let payload = head.split_once('.').unwrap().1;
    let header = |header: Json| BASE64.encode(header.to_string());
    let hs384 = encode(
        &Header::new(Algorithm::HS384),
        &claims,
        &EncodingKey::from_secret(SECRET.as_bytes()),
    );
    let others = encode(
        &Header::new(Algorithm::HS256),
        &claims,
        &EncodingKey::from_secret(b"another secret that is 32 bytes."),
    );
    let changed = BASE64.encode(with(json!({ "sub": "alice" })).to_string());
    let first = head.split_once('.').unwrap().0;
    let mut seen = String::new();
    for (what, token) in [
        ("no signature", format!("{head}.")),
        ("alg none", format!("{}.{payload}.", header(json!({ "alg": "none" })))),
        ("alg None", format!("{}.{payload}.{signature}", header(json!({ "alg": "None" })))),
        ("HS384", hs384.unwrap()),
        ("another secret", others.unwrap()),
        ("other claims", format!("{first}.{changed}.{signature}")),
        (
            "critical extension",
            format!("{}.{payload}.{signature}", header(json!({ "alg": "HS256", "crit": ["x"] }))),
        ),
        ("two parts", "a.b".to_owned()),
        ("nothing", String::new()),
        ("five parts", "a.b.c.d.e".to_owned()),
        ("no base64", "é.é.é".to_owned()),
    ] {
        writeln!(seen, "{what}: {}", told(&tokens, &token).await).unwrap();
    }
    expect![[r"
        no signature: token: wrong signature
        alg none: malformed credential: not the form of a token
        alg None: malformed credential: not the form of a token
        HS384: token: an algorithm that is not taken
        another secret: token: wrong signature
        other claims: token: wrong signature
        critical extension: malformed credential: a token with critical extensions
        two parts: malformed credential: not the form of a token
        nothing: malformed credential: not the form of a token
        five parts: malformed credential: not the form of a token
        no base64: malformed credential: not the form of a token
    "]]
    .assert_eq(&seen);
}

#[test]
fn rules_that_would_let_in_whom_nobody_meant_are_refused() {
    let short = TokenRules {
        keys: TokenKeys::Secret(SecretString::from("short")),
        issuer: None,
        audiences: Vec::new(),
        subjects: [].into(),
    };
    assert_eq!(Tokens::new(short).unwrap_err(), BadRules::ShortSecret);
    for (issuer, audiences) in [(None, vec!["mesh".to_owned()]), (Some("i".to_owned()), vec![])] {
        let rules = TokenRules {
            keys: TokenKeys::Set(Arc::new(Fixed(String::new()))),
            issuer,
            audiences,
            subjects: [].into(),
        };
        assert_eq!(Tokens::new(rules).unwrap_err(), BadRules::NoIssuerOrAudience);
    }
}

#[test]
fn rules_print_no_secret() {
    let tokens = by_secret(None, &[], &[]);
    assert!(!format!("{tokens:?}").contains(SECRET));
    let rules = TokenRules {
        keys: TokenKeys::Secret(SecretString::from(SECRET)),
        issuer: None,
        audiences: Vec::new(),
        subjects: [].into(),
    };
    assert!(!format!("{rules:?}").contains(SECRET));
}

/// A key set that never changes.
#[derive(Debug)]
struct Fixed(String);

#[async_trait]
impl KeySource for Fixed {
    async fn fetch(&self) -> Result<String, BoxError> {
        Ok(self.0.clone())
    }
}

#[tokio::test]
async fn keys_of_a_set_check_what_they_are_made_for_and_nothing_else() {
    let random = SystemRandom::new();
    let ec_der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec_der.as_ref()).unwrap();
    let point = ec.public_key().as_ref();
    let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
    let ed_der = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let ed = Ed25519KeyPair::from_pkcs8(ed_der.as_ref()).unwrap();
    let ed_x = BASE64.encode(ed.public_key().as_ref());
    let set = json!({ "keys": [
        { "kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "alg": "ES256", "x": x, "y": y },
        { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": ed_x },
        { "kty": "oct", "kid": "shared", "k": BASE64.encode(SECRET) },
        { "kty": "EC", "crv": "P-256", "kid": "enc", "use": "enc", "x": x, "y": y },
        { "kty": "of tomorrow", "kid": "new" },
        "nonsense",
    ] });
    let tokens = Tokens::new(TokenRules {
        keys: TokenKeys::Set(Arc::new(Fixed(set.to_string()))),
        issuer: Some("https://id.example".to_owned()),
        audiences: vec!["mesh".to_owned()],
        subjects: [].into(),
    })
    .unwrap();
    let claims = with(json!({ "iss": "https://id.example", "aud": "mesh" }));
    let token = |alg: Algorithm, kid: Option<&str>, key: &EncodingKey| {
        let mut header = Header::new(alg);
        header.kid = kid.map(str::to_owned);
        encode(&header, &claims, key).unwrap()
    };
    let ec = EncodingKey::from_ec_der(ec_der.as_ref());
    let ed = EncodingKey::from_ed_der(ed_der.as_ref());
    // The public key as a shared secret: the oldest trick.
    let public = EncodingKey::from_secret(BASE64.decode(&x).unwrap().as_slice());
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let mut seen = String::new();
    for (what, token) in [
        ("ES256 by its id", token(Algorithm::ES256, Some("ec"), &ec)),
        ("ES256 without id", token(Algorithm::ES256, None, &ec)),
        ("EdDSA by its id", token(Algorithm::EdDSA, Some("ed"), &ed)),
        ("another's id", token(Algorithm::EdDSA, Some("ec"), &ed)),
        ("unknown id", token(Algorithm::ES256, Some("old"), &ec)),
        ("for encryption", token(Algorithm::ES256, Some("enc"), &ec)),
        ("HS256 with a public key", token(Algorithm::HS256, Some("ec"), &public)),
        ("HS256 with a key of the set", token(Algorithm::HS256, Some("shared"), &secret)),
        ("signed by another", {
            let der =
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
            token(Algorithm::ES256, Some("ec"), &EncodingKey::from_ec_der(der.as_ref()))
        }),
    ] {
        writeln!(seen, "{what}: {}", told(&tokens, &token).await).unwrap();
    }
    expect![[r"
        ES256 by its id: johndoe (johndoe) []
        ES256 without id: johndoe (johndoe) []
        EdDSA by its id: johndoe (johndoe) []
        another's id: token: signed with a key that is not known, or not for this
        unknown id: token: signed with a key that is not known, or not for this
        for encryption: token: signed with a key that is not known, or not for this
        HS256 with a public key: token: signed with a key that is not known, or not for this
        HS256 with a key of the set: token: signed with a key that is not known, or not for this
        signed by another: token: wrong signature
    "]]
    .assert_eq(&seen);
}
