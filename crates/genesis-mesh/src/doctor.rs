//! `doctor`: holds what a data directory keeps against the rules that are true at any time. It
//! changes nothing of it.

use std::path::{Path, PathBuf};

use mesh_runtime::invariants::{self, Violation};
use mesh_store::Sqlite;

use crate::mesh::DATABASE;

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
    /// What is kept cannot be read.
    #[error("cannot read the database")]
    Read(#[from] mesh_runtime::Error),
}

/// Finds what is broken in the database of a data directory that no mesh is using.
///
/// # Errors
/// [`DoctorFailure`] says why there was nothing to examine.
///
/// # Cancel safety
/// Nothing is changed; a dropped future may leave the examination going on to its end.
pub async fn examine(data_dir: &Path) -> Result<Vec<Violation>, DoctorFailure> {
    let path = data_dir.join(DATABASE);
    // Opening makes what is missing.
    if !path.is_file() {
        return Err(DoctorFailure::Missing { path });
    }
    let database = Sqlite::open(path).await?;
    let violations = database.ledger().read(invariants::check).await?;
    database.close().await;
    Ok(violations)
}
