//! API keys from the command line: `keys create`, `keys list`, `keys revoke`.
//!
//! They work beside a mesh that runs on the same data directory, which sees every change within
//! seconds. A key is printed once, when it is made, and is kept nowhere.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use jiff::Timestamp;
use mesh_graph::env::{Env, SystemEnv};
use mesh_runtime::api_key::{ApiKey, ApiKeys};
use mesh_server::auth::{KeyWish, NAME_CHARS_MAX, NoKey, SCOPES_MAX};
use mesh_store::KeysBeside;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::{
    cli::{KeysCommand, KeysCreate},
    mesh::{DATABASE, SetupError, make_data_dir},
    settings::Settings,
};

/// A day of `--expires-days`.
const DAY: Duration = Duration::from_hours(24);

/// A command about keys that was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The identity cannot be one.
    #[error(
        "--identity: expected 1 to {} characters without control characters, and not *",
        mesh_server::auth::IDENTITY_CHARS_MAX
    )]
    Identity,
    /// The name for people cannot be one.
    #[error("--name: expected 1 to {NAME_CHARS_MAX} characters without control characters")]
    Name,
    /// A scope that no action has.
    #[error("--scope {scope}: expected `*`, `me`, or resource:verb such as threads:read")]
    Scope {
        /// The scope.
        scope: String,
    },
    /// More scopes than anybody can read.
    #[error("--scope: expected at most {SCOPES_MAX}")]
    Scopes,
    /// No key with this id, or it was revoked before.
    #[error("there is no key {id} that could be revoked; `genesis-mesh keys list` has them all")]
    NoKey {
        /// The id.
        id: String,
    },
    /// The operating system gave no random bytes.
    #[error("there are no random bytes to make a key of")]
    NoRandom,
    /// The data directory cannot be used.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] mesh_store::Error),
    /// The keys cannot be read or written.
    #[error(transparent)]
    Keys(#[from] mesh_runtime::Error),
}

impl KeysError {
    /// Whether the command line was wrong, rather than the moment.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Identity | Self::Name | Self::Scope { .. } | Self::Scopes | Self::NoKey { .. }
        )
    }
}

/// What a command has to say.
#[derive(Debug)]
#[non_exhaustive]
pub struct Said {
    /// The result, for stdout. Holds the key that was made.
    pub result: secrecy::SecretString,
    /// A remark for the person, for stderr.
    pub remark: Option<String>,
}

/// Does one command on the keys of the data directory in `settings`.
///
/// # Errors
/// [`KeysError`] says what was wrong, or what cannot be read or written.
pub async fn run(settings: &Settings, command: &KeysCommand) -> Result<Said, KeysError> {
    if let KeysCommand::Create(options) = command {
        wish(options).check().map_err(unmade)?;
    }
    let folder: PathBuf = settings.data_dir.clone();
    make_data_dir(folder.clone()).await?;
    let file = KeysBeside::open(folder.join(DATABASE)).await?;
    let said = on(file.keys(), command).await;
    file.close().await;
    said
}

async fn on(keys: &dyn ApiKeys, command: &KeysCommand) -> Result<Said, KeysError> {
    match command {
        KeysCommand::Create(options) => create(keys, options).await,
        KeysCommand::List(options) => {
            let kept = keys.list().await?;
            let now_ms = SystemEnv.now_ms();
            let text = if options.json { to_json(&kept, now_ms) } else { to_table(&kept, now_ms) };
            Ok(Said { result: text.into(), remark: None })
        }
        KeysCommand::Revoke(options) => {
            if !keys.revoke(&options.id, SystemEnv.now_ms()).await? {
                return Err(KeysError::NoKey { id: options.id.clone() });
            }
            let remark = format!("key {} opens nothing any more", options.id);
            Ok(Said { result: String::new().into(), remark: Some(remark) })
        }
    }
}

/// What a key is asked to be.
fn wish(options: &KeysCreate) -> KeyWish {
    KeyWish {
        identity: options.identity.clone(),
        display_name: options.name.clone(),
        scopes: options.scope.clone(),
        admin: options.admin,
        lasts: options.expires_days.map(|days| DAY.saturating_mul(days)),
    }
}

/// What is wrong with it, in the words of the command line.
fn unmade(error: NoKey) -> KeysError {
    match error {
        NoKey::Identity => KeysError::Identity,
        NoKey::Name => KeysError::Name,
        NoKey::Scope { scope } => KeysError::Scope { scope },
        NoKey::Scopes => KeysError::Scopes,
        _ => KeysError::NoRandom,
    }
}

async fn create(keys: &dyn ApiKeys, options: &KeysCreate) -> Result<Said, KeysError> {
    let (kept, key) = wish(options).make(SystemEnv.now_ms()).map_err(unmade)?;
    let id = kept.id.clone();
    keys.add(kept).await?;
    let remark = format!(
        "key {id} of {}: shown this once, so keep it now. A mesh that asked nobody who they are \
         asks once it is started again",
        options.identity
    );
    let result = format!("{}\n", key.expose_secret());
    Ok(Said { result: result.into(), remark: Some(remark) })
}

/// Whether a key opens anything, in a word.
fn state(key: &ApiKey, now_ms: i64) -> &'static str {
    if key.revoked_ms.is_some() {
        "revoked"
    } else if key.is_good(now_ms) {
        "good"
    } else {
        "expired"
    }
}

fn time(ms: Option<i64>) -> Option<String> {
    Some(Timestamp::from_millisecond(ms?).ok()?.to_string())
}

fn to_table(keys: &[ApiKey], now_ms: i64) -> String {
    let mut text = String::new();
    for key in keys {
        let rights = if key.admin { "admin".to_owned() } else { key.scopes.join(" ") };
        let name = if key.display_name == key.identity {
            String::new()
        } else {
            format!(" ({})", key.display_name)
        };
        let _ = writeln!(
            text,
            "{}  {:7}  {}  {}{name}  {rights}",
            key.id,
            state(key, now_ms),
            time(Some(key.created_ms)).unwrap_or_default(),
            key.identity,
        );
    }
    text
}

fn to_json(keys: &[ApiKey], now_ms: i64) -> String {
    let keys: Vec<_> = keys
        .iter()
        .map(|key| {
            json!({
                "id": key.id,
                "state": state(key, now_ms),
                "identity": key.identity,
                "display_name": key.display_name,
                "scopes": key.scopes,
                "admin": key.admin,
                "created_at": time(Some(key.created_ms)),
                "expires_at": time(key.expires_ms),
                "revoked_at": time(key.revoked_ms),
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::from(keys))
}
