use mesh_runtime::{
    Error,
    api_key::{ApiKey, ApiKeys},
};

use crate::{KeysBeside, Sqlite};

fn key(id: &str) -> ApiKey {
    ApiKey {
        id: id.to_owned(),
        hash: [7; 32],
        identity: "alice".to_owned(),
        display_name: "Alice's laptop".to_owned(),
        scopes: vec!["threads:*".to_owned(), "store:read".to_owned()],
        admin: false,
        created_ms: 5,
        expires_ms: Some(100),
        revoked_ms: None,
    }
}

#[tokio::test]
async fn a_key_is_read_as_it_was_kept_and_revoked_once() {
    let folder = tempfile::tempdir().unwrap();
    let database = Sqlite::open(folder.path().join("keys.db")).await.unwrap();
    assert!(!database.any().await.unwrap());
    assert_eq!(ApiKeys::get(&database, "a").await.unwrap(), None);
    database.add(key("a")).await.unwrap();
    assert!(matches!(database.add(key("a")).await, Err(Error::Exists { .. })));
    database.add(ApiKey { created_ms: 4, admin: true, ..key("b") }).await.unwrap();
    assert_eq!(ApiKeys::get(&database, "a").await.unwrap(), Some(key("a")));
    let ids = |keys: Vec<ApiKey>| keys.into_iter().map(|key| key.id).collect::<Vec<_>>();
    assert_eq!(ids(ApiKeys::list(&database).await.unwrap()), ["b", "a"]);
    assert!(database.revoke("a", 50).await.unwrap());
    assert!(!database.revoke("a", 60).await.unwrap(), "only once");
    assert!(!database.revoke("c", 60).await.unwrap());
    let revoked = ApiKeys::get(&database, "a").await.unwrap().unwrap();
    assert_eq!(revoked.revoked_ms, Some(50));
    assert!(database.any().await.unwrap());
}

#[tokio::test]
async fn keys_are_made_and_revoked_beside_the_process_that_has_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    // Nobody has it: it is made.
    let first = KeysBeside::open(&path).await.unwrap();
    first.keys().add(key("a")).await.unwrap();
    first.close().await;
    let server = Sqlite::open(&path).await.unwrap();
    assert!(Sqlite::open(&path).await.is_err(), "there is one owner");
    let beside = KeysBeside::open(&path).await.unwrap();
    beside.keys().add(key("b")).await.unwrap();
    assert!(beside.keys().revoke("a", 9).await.unwrap());
    beside.close().await;
    assert!(ApiKeys::get(&server, "b").await.unwrap().is_some());
    assert_eq!(ApiKeys::get(&server, "a").await.unwrap().unwrap().revoked_ms, Some(9));
    assert!(Sqlite::open(&path).await.is_err(), "the owner still has it");
    server.add(key("c")).await.unwrap();
}
