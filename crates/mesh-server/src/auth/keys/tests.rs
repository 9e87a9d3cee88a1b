use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use mesh_runtime::{
    Error,
    api_key::{ApiKey, ApiKeys},
};
use secrecy::ExposeSecret;

use super::{BELIEVED_FOR, KEY_RANDOM_BYTES, Keys, NewKey, REMEMBERED_MAX, id_of};
use crate::auth::Rejected;

/// Keys in memory that count how often they are asked for.
#[derive(Debug, Default)]
struct Kept {
    keys: Mutex<Vec<ApiKey>>,
    asked: AtomicUsize,
}

#[async_trait]
impl ApiKeys for Kept {
    async fn add(&self, key: ApiKey) -> Result<(), Error> {
        self.keys.lock().unwrap().push(key);
        Ok(())
    }

    async fn get(&self, id: &str) -> Result<Option<ApiKey>, Error> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(self.keys.lock().unwrap().iter().find(|key| key.id == id).cloned())
    }

    async fn list(&self) -> Result<Vec<ApiKey>, Error> {
        Ok(self.keys.lock().unwrap().clone())
    }

    async fn revoke(&self, id: &str, now_ms: i64) -> Result<bool, Error> {
        let mut keys = self.keys.lock().unwrap();
        let found = keys.iter_mut().find(|key| key.id == id && key.revoked_ms.is_none());
        Ok(found.map(|key| key.revoked_ms = Some(now_ms)).is_some())
    }

    async fn any(&self) -> Result<bool, Error> {
        Ok(!self.keys.lock().unwrap().is_empty())
    }
}

fn new_key(number: u8) -> NewKey {
    NewKey::from_random(&[number; KEY_RANDOM_BYTES])
}

async fn keep(kept: &Kept, new: &NewKey, expires_ms: Option<i64>) {
    let key = ApiKey {
        id: new.id.clone(),
        hash: new.hash,
        identity: "alice".to_owned(),
        display_name: "Alice".to_owned(),
        scopes: vec!["me".to_owned()],
        admin: false,
        created_ms: 0,
        expires_ms,
        revoked_ms: None,
    };
    kept.add(key).await.unwrap();
}

async fn told(keys: &Keys, key: &str, now_ms: i64) -> String {
    match keys.check(key, now_ms).await {
        Ok(holder) => format!("{} {} {:?}", holder.identity, holder.display_name, holder.scopes),
        Err(rejected) => rejected.to_string(),
    }
}

#[test]
fn a_key_is_named_by_its_first_part_and_prints_nothing_of_the_second() {
    let new = new_key(0xab);
    let text = new.key.expose_secret();
    assert_eq!(text, format!("gm_abababababababab_{}", "ab".repeat(32)));
    assert_eq!(id_of(text), Some("abababababababab"));
    let shown = format!("{new:?}");
    assert!(!shown.contains(&"ab".repeat(32)), "{shown}");
    for bad in
        ["", "gm_", "gm_ab_cd", &text[..text.len() - 1], &text.to_uppercase(), &format!("{text}0")]
    {
        assert_eq!(id_of(bad), None, "{bad}");
    }
}

#[tokio::test]
async fn the_holder_of_a_key_is_known_and_nobody_else() {
    let kept = Arc::new(Kept::default());
    let (right, other) = (new_key(1), new_key(2));
    keep(&kept, &right, None).await;
    let keys = Keys::new(kept);
    assert_eq!(told(&keys, right.key.expose_secret(), 5).await, r#"alice Alice ["me"]"#);
    let unknown = told(&keys, other.key.expose_secret(), 5).await;
    assert_eq!(unknown, "API key 0202020202020202 is not known");
    let mixed = format!("gm_{}_{}", right.id, "02".repeat(32));
    let wrong = told(&keys, &mixed, 5).await;
    assert_eq!(wrong, "API key 0101010101010101 with a wrong secret");
    assert!(!wrong.contains("0202"), "{wrong}");
}

#[tokio::test(start_paused = true)]
async fn keys_end_at_once_when_they_expire_and_within_seconds_when_they_are_revoked() {
    let kept = Arc::new(Kept::default());
    let (short, long) = (new_key(1), new_key(2));
    keep(&kept, &short, Some(100)).await;
    keep(&kept, &long, None).await;
    let keys = Keys::new(Arc::<Kept>::clone(&kept));
    assert!(keys.check(short.key.expose_secret(), 99).await.is_ok());
    let over = keys.check(short.key.expose_secret(), 100).await;
    assert!(matches!(over, Err(Rejected::KeyOver { .. })), "{over:?}");

    assert!(keys.check(long.key.expose_secret(), 0).await.is_ok());
    assert!(kept.revoke(&long.id, 1).await.unwrap());
    tokio::time::advance(BELIEVED_FOR).await;
    let over = keys.check(long.key.expose_secret(), 2).await;
    assert!(matches!(over, Err(Rejected::KeyOver { .. })), "{over:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_in_use_is_looked_up_now_and_then_and_what_is_remembered_is_bounded() {
    let kept = Arc::new(Kept::default());
    let new = new_key(1);
    keep(&kept, &new, None).await;
    let keys = Keys::new(Arc::<Kept>::clone(&kept));
    for _ in 0..100 {
        keys.check(new.key.expose_secret(), 0).await.unwrap();
    }
    assert_eq!(kept.asked.load(Ordering::SeqCst), 1);
    for number in 0..2000_u32 {
        let mut random = [9; KEY_RANDOM_BYTES];
        random[..4].copy_from_slice(&number.to_be_bytes());
        let new = NewKey::from_random(&random);
        keep(&kept, &new, None).await;
        keys.check(new.key.expose_secret(), 0).await.unwrap();
        assert!(keys.remembered.lock().unwrap().len() <= REMEMBERED_MAX);
    }
}
