//! `/me`, `/keys` and `/models`: keys are an administrator's business, and shown once.

use std::sync::Arc;

use async_trait::async_trait;
use mesh_graph::env::{Env, SystemEnv};
use mesh_protocol::access::Model;
use mesh_runtime::api_key::ApiKeys;
use mesh_server::{
    Models,
    auth::{Auth, KeyWish},
};
use mesh_store::Sqlite;
use secrecy::ExposeSecret;
use serde_json::{Value as Json, json};

use crate::kit::{Http, Mesh};

async fn key(kept: &Sqlite, identity: &str, scope: &str, admin: bool) -> String {
    let wish = KeyWish {
        identity: identity.to_owned(),
        scopes: vec![scope.to_owned()],
        admin,
        ..KeyWish::default()
    };
    let (key, secret) = wish.make(SystemEnv.now_ms()).unwrap();
    kept.add(key).await.unwrap();
    secret.expose_secret().to_owned()
}

struct One;

#[async_trait]
impl Models for One {
    fn list(&self) -> Vec<Model> {
        vec![Model {
            role: "planner".to_owned(),
            name: "m".to_owned(),
            host: "models.example".to_owned(),
            max_tokens: Some(8),
            temperature: None,
            has_key: true,
        }]
    }

    async fn attempt(&self, role: &str) -> Option<Result<(), String>> {
        match role {
            "planner" => Some(Ok(())),
            "executor" => Some(Err("it sleeps".to_owned())),
            _ => None,
        }
    }
}

/// A mesh that asks for keys, one of an administrator and one of somebody with this scope.
async fn guarded(scope: &str) -> (Mesh, String, String) {
    let kept = Sqlite::in_memory().unwrap();
    let admin = key(&kept, "root", "*", true).await;
    let other = key(&kept, "ana", scope, false).await;
    let auth = Auth::default().keys(Arc::new(kept));
    let mesh = Mesh::made(|_, _| {}, |server| server.auth(auth).models(Arc::new(One))).await;
    (mesh, admin, other)
}

async fn ask(mesh: &Mesh, method: &str, path: &str, key: &str, body: Option<Json>) -> (u16, Json) {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nX-Api-Key: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        mesh.address,
        body.len(),
    );
    let answer = Http::parse(&mesh.raw(request.as_bytes()).await);
    let json = if answer.body.is_empty() { Json::Null } else { answer.json() };
    (answer.status, json)
}

#[tokio::test]
async fn an_administrator_makes_lists_and_revokes_keys_and_sees_each_secret_once() {
    let (mesh, admin, _) = guarded("*").await;
    let wish = json!({"identity": "bob", "display_name": "Bob", "scopes": ["threads:read"], "expires_days": 7});
    let (status, made) = ask(&mesh, "POST", "/keys", &admin, Some(wish)).await;
    assert_eq!(status, 200, "{made}");
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("gm_"));
    let (_, me) = ask(&mesh, "GET", "/me", &secret, None).await;
    assert_eq!(
        me,
        json!({"identity": "bob", "display_name": "Bob", "scopes": ["threads:read"], "admin": false})
    );
    let (_, listed) = ask(&mesh, "GET", "/keys", &admin, None).await;
    assert_eq!(listed[2], made["key"]);
    assert_eq!(listed[2]["state"], "good");
    assert!(!listed.to_string().contains(&secret));
    let path = format!("/keys/{}", made["key"]["id"].as_str().unwrap());
    assert_eq!(ask(&mesh, "DELETE", &path, &admin, None).await.0, 204);
    assert_eq!(ask(&mesh, "DELETE", &path, &admin, None).await.0, 404);
    let (_, listed) = ask(&mesh, "GET", "/keys", &admin, None).await;
    assert_eq!(listed[2]["state"], "revoked");
}

#[tokio::test]
async fn nobody_but_an_administrator_comes_near_the_keys() {
    let (mesh, _, other) = guarded("*").await;
    let wish = json!({"identity": "bob", "admin": true});
    for (method, path, body) in
        [("GET", "/keys", None), ("POST", "/keys", Some(wish.clone())), ("DELETE", "/keys/x", None)]
    {
        assert_eq!(ask(&mesh, method, path, &other, body).await.0, 403, "{method} {path}");
    }
    assert_eq!(ask(&mesh, "GET", "/me", &other, None).await.1["identity"], "ana");
    // Whoever reaches a server that asks nobody could come back with a key when it does.
    let open = Mesh::made(|_, _| {}, |server| server).await;
    let (status, said) = ask(&open, "POST", "/keys", "", Some(wish)).await;
    assert_eq!((status, &said["code"]), (403, &json!("keys_not_here")), "{said}");
    assert_eq!(ask(&open, "GET", "/me", "", None).await.1["identity"], Json::Null);
}

#[tokio::test]
async fn a_key_that_cannot_be_is_refused_at_its_field() {
    let (mesh, admin, _) = guarded("*").await;
    for (wish, pointer) in [
        (json!({"identity": ""}), "/identity"),
        (json!({"identity": "a", "scopes": ["thread:read"]}), "/scopes"),
        (json!({"identity": "a", "display_name": ""}), "/display_name"),
        (json!({"identity": "a", "expires_days": 0}), "/expires_days"),
    ] {
        let (status, said) = ask(&mesh, "POST", "/keys", &admin, Some(wish)).await;
        assert_eq!((status, &said["pointer"]), (422, &json!(pointer)), "{said}");
    }
}

#[tokio::test]
async fn models_are_listed_and_tried_by_those_who_may() {
    let (mesh, admin, reader) = guarded("server:read").await;
    let (status, listed) = ask(&mesh, "GET", "/models", &reader, None).await;
    assert_eq!((status, &listed[0]["host"]), (200, &json!("models.example")));
    assert_eq!(ask(&mesh, "POST", "/models/planner/test", &reader, None).await.0, 403);
    let (_, tried) = ask(&mesh, "POST", "/models/planner/test", &admin, None).await;
    assert_eq!((&tried["ok"], &tried["problem"]), (&json!(true), &Json::Null));
    let (_, tried) = ask(&mesh, "POST", "/models/executor/test", &admin, None).await;
    assert_eq!((&tried["ok"], &tried["problem"]), (&json!(false), &json!("it sleeps")));
    assert_eq!(ask(&mesh, "POST", "/models/nobody/test", &admin, None).await.0, 404);
}
