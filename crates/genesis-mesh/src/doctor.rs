//! `doctor`: holds what a data directory keeps against the rules that are true at any time. It
//! changes nothing of it.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use mesh_graph::env::{Env, SystemEnv};
use mesh_runtime::{
    Stamp,
    api_key::{ApiKey, ApiKeys},
    invariants::{self, Violation},
};
use mesh_server::auth::keys_in;
use mesh_store::Sqlite;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::{mesh::DATABASE, settings::Settings};

/// Why a data directory was not examined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DoctorFailure {
    /// There is nothing to examine.
    #[error("there is no database {}", path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// The database cannot be opened, or a mesh is using it.
    #[error("cannot open the database")]
    Open(#[from] mesh_store::Error),
    /// The list of accepted runs cannot be read.
    #[error("cannot read {}", path.display())]
    Accepted {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line of the list of accepted runs.
    #[error("{} line {line}: expected the id of a run", path.display())]
    NoId {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// What is kept cannot be read.
    #[error("cannot read the database")]
    Read(#[from] mesh_runtime::Error),
}

/// Shortest secret that is looked for: what is shorter stands in other things by chance.
pub const SECRET_BYTES_MIN: usize = 8;

/// Finds what is broken in the database of the data directory of these settings, which no mesh may
/// be using: rules about threads and runs, secrets of the settings and API keys that are stored,
/// and runs that are missing of `accepted`, a file with the id of one on each line.
///
/// # Errors
/// [`DoctorFailure`] says why there was nothing to examine.
///
/// # Cancel safety
/// Nothing is changed; a dropped future may leave the examination going on to its end.
pub async fn examine(
    settings: &Settings,
    accepted: Option<&Path>,
) -> Result<Vec<Violation>, DoctorFailure> {
    let accepted = accepted.map(runs_of).transpose()?.unwrap_or_default();
    let path = settings.data_dir.join(DATABASE);
    // Opening makes what is missing.
    if !path.is_file() {
        return Err(DoctorFailure::Missing { path });
    }
    let database = Sqlite::open(path).await?;
    let ledger = database.ledger();
    let now = Stamp(0).plus_ms(SystemEnv.now_ms());
    let mut violations = ledger.read(move |tx| invariants::check(tx, now)).await?;
    violations.extend(ledger.read(move |tx| invariants::check_accepted(tx, &accepted)).await?);
    let secrets = Secrets::of(settings, database.list().await?);
    let found = move |bytes: &[u8]| secrets.found_in(bytes);
    violations.extend(ledger.read(move |tx| invariants::check_secrets(tx, found)).await?);
    drop(ledger);
    database.close().await;
    Ok(violations)
}

/// The ids in a file, one on each line.
fn runs_of(path: &Path) -> Result<Vec<Uuid>, DoctorFailure> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| DoctorFailure::Accepted { path: path.to_owned(), source })?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let ids = lines.map(|(number, line)| {
        line.trim().parse().map_err(|_| DoctorFailure::NoId { path: path.to_owned(), line: number })
    });
    ids.collect()
}

/// What must not be stored anywhere.
struct Secrets {
    /// Their names, and how they would stand there.
    texts: Vec<(&'static str, SecretString)>,
    keys: HashMap<String, [u8; 32]>,
}

impl Secrets {
    fn of(settings: &Settings, keys: Vec<ApiKey>) -> Self {
        let long = settings
            .secrets()
            .filter(|(_, secret)| secret.expose_secret().len() >= SECRET_BYTES_MIN);
        let texts = long.flat_map(|(name, secret)| {
            let text = secret.expose_secret();
            // Inside of JSON.
            let quoted = serde_json::Value::from(text).to_string();
            let escaped = &quoted[1..quoted.len() - 1];
            let escaped = (escaped != text).then(|| (name, SecretString::from(escaped)));
            [(name, secret.clone())].into_iter().chain(escaped)
        });
        Self {
            texts: texts.collect(),
            keys: keys.into_iter().map(|key| (key.id, key.hash)).collect(),
        }
    }

    /// The names of those that are in some bytes.
    fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        let stands = |secret: &SecretString| {
            let secret = secret.expose_secret().as_bytes();
            bytes.windows(secret.len()).any(|window| window == secret)
        };
        let texts = self.texts.iter().filter(|(_, secret)| stands(secret));
        let texts = texts.map(|(name, _)| format!("the secret {name}"));
        let keys = keys_in(bytes).filter(|(id, hash)| self.keys.get(*id) == Some(hash));
        texts.chain(keys.map(|(id, _)| format!("the API key {id}"))).collect()
    }
}
