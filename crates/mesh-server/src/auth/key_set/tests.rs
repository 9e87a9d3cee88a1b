use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jsonwebtoken::Algorithm;
use mesh_graph::error::BoxError;
use serde_json::json;

use super::{
    KEY_SET_BYTES_MAX, KEYS_FETCHED_EVERY, KEYS_FRESH_FOR, KEYS_KEPT_FOR, KeySet, KeySource, read,
};
use crate::auth::Rejected;

/// An issuer whose keys can be changed, and who may be slow or away.
#[derive(Debug, Default)]
struct Issuer {
    names: Mutex<Vec<&'static str>>,
    fetches: AtomicUsize,
    delay: Mutex<Duration>,
    away: Mutex<bool>,
}

impl Issuer {
    fn with(names: &[&'static str]) -> Arc<Self> {
        Arc::new(Self { names: Mutex::new(names.to_vec()), ..Self::default() })
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

/// A set of public keys with these names. Any 32 bytes are a key until a signature is checked.
fn set(names: &[&str]) -> String {
    let key =
        |name: &&str| json!({ "kty": "OKP", "crv": "Ed25519", "kid": name, "x": "A".repeat(43) });
    json!({ "keys": names.iter().map(key).collect::<Vec<_>>() }).to_string()
}

#[async_trait]
impl KeySource for Issuer {
    async fn fetch(&self) -> Result<String, BoxError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        if *self.away.lock().unwrap() {
            return Err("nobody answers".into());
        }
        Ok(set(&self.names.lock().unwrap()))
    }
}

async fn check(keys: &KeySet, name: &str, expected: &str) {
    let told = match keys.find(Some(name), Algorithm::EdDSA).await {
        Ok(_) => "known",
        Err(Rejected::UnknownSigner) => "unknown",
        Err(Rejected::NoKeys) => "no keys",
        Err(other) => panic!("{other}"),
    };
    assert_eq!(told, expected, "{name}");
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_when_first_needed_and_again_for_a_new_name_once_a_minute() {
    let issuer = Issuer::with(&["a"]);
    let keys = KeySet::new(Arc::<Issuer>::clone(&issuer));
    assert_eq!(issuer.fetches(), 0);
    for _ in 0..10 {
        check(&keys, "a", "known").await;
    }
    assert_eq!(issuer.fetches(), 1);
    issuer.names.lock().unwrap().push("b");
    for made_up in ["b", "x", "y", "z"] {
        check(&keys, made_up, "unknown").await;
    }
    assert_eq!(issuer.fetches(), 1, "not before the minute is over");
    tokio::time::advance(KEYS_FETCHED_EVERY).await;
    check(&keys, "b", "known").await;
    check(&keys, "a", "known").await;
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_taken_back_is_forgotten() {
    let issuer = Issuer::with(&["a", "b"]);
    let keys = KeySet::new(Arc::<Issuer>::clone(&issuer));
    check(&keys, "a", "known").await;
    *issuer.names.lock().unwrap() = vec!["b"];
    tokio::time::advance(KEYS_FRESH_FOR).await;
    check(&keys, "a", "unknown").await;
    check(&keys, "b", "known").await;
}

#[tokio::test(start_paused = true)]
async fn while_the_issuer_is_away_its_last_keys_count_but_not_for_ever() {
    let issuer = Issuer::with(&["a"]);
    let keys = KeySet::new(Arc::<Issuer>::clone(&issuer));
    check(&keys, "a", "known").await;
    *issuer.away.lock().unwrap() = true;
    tokio::time::advance(KEYS_FRESH_FOR).await;
    check(&keys, "a", "known").await;
    let tried = issuer.fetches();
    check(&keys, "a", "known").await;
    assert_eq!(issuer.fetches(), tried, "it is asked once a minute");
    tokio::time::advance(KEYS_KEPT_FOR).await;
    check(&keys, "a", "no keys").await;
}

#[tokio::test(start_paused = true)]
async fn without_any_key_ever_nobody_is_let_in() {
    let issuer = Issuer::with(&["a"]);
    *issuer.away.lock().unwrap() = true;
    let keys = KeySet::new(Arc::<Issuer>::clone(&issuer));
    check(&keys, "a", "no keys").await;
    *issuer.away.lock().unwrap() = false;
    check(&keys, "a", "no keys").await;
    tokio::time::advance(KEYS_FETCHED_EVERY).await;
    check(&keys, "a", "known").await;
}

#[tokio::test(start_paused = true)]
async fn many_requests_wait_for_one_fetch_and_one_that_leaves_does_not_end_it() {
    let issuer = Issuer::with(&["a"]);
    *issuer.delay.lock().unwrap() = Duration::from_secs(2);
    let keys = KeySet::new(Arc::<Issuer>::clone(&issuer));
    // The first one leaves before the answer is there.
    let left = tokio::time::timeout(Duration::from_secs(1), keys.find(Some("a"), Algorithm::EdDSA));
    assert!(left.await.is_err());
    let waiting = (0..20).map(|_| check(&keys, "a", "known"));
    futures::future::join_all(waiting).await;
    assert_eq!(issuer.fetches(), 1);
}

#[test]
fn a_set_is_bounded_and_has_to_have_a_usable_key() {
    assert!(read(&set(&["a"])).is_some());
    for bad in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#, "[]"] {
        assert!(read(bad).is_none(), "{bad}");
    }
    let many = ["k"; 1000];
    assert_eq!(read(&set(&many)).unwrap().len(), 64);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_is_too_large_is_none() {
    #[derive(Debug)]
    struct Large;
    #[async_trait]
    impl KeySource for Large {
        async fn fetch(&self) -> Result<String, BoxError> {
            Ok(set(&["a"]) + &" ".repeat(KEY_SET_BYTES_MAX))
        }
    }
    check(&KeySet::new(Arc::new(Large)), "a", "no keys").await;
}
