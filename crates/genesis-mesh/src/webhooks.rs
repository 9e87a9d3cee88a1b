//! Webhooks: letters of the runtime, carried by the guarded client.
//!
//! A receiver that shares the secret can check where a letter comes from: the header
//! `webhook-signature` is `v1,` and the HMAC-SHA256, in base64, of `webhook-id`, `webhook-timestamp`
//! and the body, joined by dots, as the Standard Webhooks convention has it.

use async_trait::async_trait;
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use mesh_graph::env::{Env, SystemEnv};
use mesh_runtime::{outbox::Courier, runs::Letter};
use mesh_tools::{Guard, Post, fetch::BuildError};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{VERSION, settings::Settings};

/// The carrier as the settings have it.
///
/// # Errors
/// [`BuildError`] when the HTTP client cannot be set up.
pub fn of(settings: &Settings) -> Result<Webhooks, BuildError> {
    let guard = Guard::with_networks(settings.fetch.allowed_networks.iter().copied());
    Webhooks::new(guard, settings.webhooks.secret.as_ref())
}

/// Carries letters to webhooks.
pub struct Webhooks {
    post: Post,
    key: Option<hmac::Key>,
}

impl Webhooks {
    /// A carrier under `guard`; letters are signed where there is a secret.
    ///
    /// # Errors
    /// [`BuildError`] when the HTTP client cannot be set up.
    pub fn new(guard: Guard, secret: Option<&SecretString>) -> Result<Self, BuildError> {
        let post = Post::new(&format!("genesis-mesh/{VERSION}"), guard)?;
        let key = secret
            .map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes()));
        Ok(Self { post, key })
    }

    fn headers(&self, letter: &Letter, now_s: i64) -> Vec<(&'static str, String)> {
        let (id, time) = (letter.id.to_string(), now_s.to_string());
        let mut headers = Vec::with_capacity(3);
        if let Some(key) = &self.key {
            let mut signing = hmac::Context::with_key(key);
            for part in [id.as_bytes(), b".", time.as_bytes(), b".", &letter.body] {
                signing.update(part);
            }
            headers.push(("webhook-signature", format!("v1,{}", STANDARD.encode(signing.sign()))));
        }
        headers.push(("webhook-id", id));
        headers.push(("webhook-timestamp", time));
        headers
    }
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhooks").field("signs", &self.key.is_some()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Courier for Webhooks {
    async fn check(&self, target: &str) -> Result<(), String> {
        let url = Url::parse(target)
            .map_err(|error| format!("Webhook is no absolute address: {error}"))?;
        self.post.check(&url).await.map_err(|error| format!("Webhook host blocked: {error}"))
    }

    async fn deliver(&self, letter: &Letter) -> Result<(), String> {
        let url = Url::parse(&letter.target).map_err(|error| error.to_string())?;
        let headers = self.headers(letter, SystemEnv.now_ms() / 1000);
        self.post.send(&url, &headers, letter.body.clone()).await.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use mesh_runtime::{Stamp, runs::Letter};
    use mesh_tools::Guard;
    use secrecy::SecretString;
    use uuid::Uuid;

    use super::{Courier, Webhooks};

    fn carrier(secret: Option<&str>) -> Webhooks {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Webhooks::new(Guard::public_only(), secret.map(SecretString::from).as_ref()).unwrap()
    }

    #[test]
    fn a_signature_covers_id_time_and_body() {
        let letter = Letter {
            id: Uuid::from_u128(1),
            run: Uuid::nil(),
            target: String::new(),
            body: b"{\"a\":1}".to_vec(),
            at: Stamp(0),
        };
        let signed = carrier(Some("s3cret")).headers(&letter, 1_700_000_000);
        let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["webhook-signature", "webhook-id", "webhook-timestamp"]);
        // python3: hmac.new(b"s3cret", b"<id>.1700000000.{...}", sha256), in base64.
        assert_eq!(signed[0].1, "v1,kl1cQzhB/Q/X/76Pejh1reuJbdECTOo1q5ZFZQ+4YyQ=");
        let plain = carrier(None).headers(&letter, 1_700_000_000);
        assert_eq!(plain.len(), 2);
    }

    #[tokio::test]
    async fn addresses_of_this_machine_and_of_other_kinds_are_refused() {
        let carrier = carrier(None);
        for target in [
            "http://127.0.0.1:8080/hook",
            "http://[::1]:8080/hook",
            "http://169.254.169.254/latest",
            "http://localhost:9000/",
            "ftp://example.org/",
            "https://user:word@example.org/",
        ] {
            let refused = carrier.check(target).await.unwrap_err();
            assert!(refused.starts_with("Webhook host blocked: "), "{target}: {refused}");
        }
        let relative = carrier.check("/hook").await.unwrap_err();
        assert!(relative.starts_with("Webhook is no absolute address"), "{relative}");
    }
}
