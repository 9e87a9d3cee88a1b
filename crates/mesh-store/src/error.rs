//! What can go wrong with a database file. Every message names the file.

use std::{io, path::PathBuf, sync::Arc};

use mesh_graph::{checkpointer, store};
use rusqlite::ErrorCode;

/// A database file cannot be opened, read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is a directory where the file should be.
    #[error("{} is a directory; expected a database file", path.display())]
    IsDirectory {
        /// The file.
        path: PathBuf,
    },
    /// Another process, or another handle of this one, has the file open.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file or its lock file cannot be opened.
    #[error("{} cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The file is a database, but not one of ours.
    #[error("{} is a database of another program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer build wrote the database.
    #[error(
        "{} has schema {found}; this build reads up to schema {supported}: use a newer build",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest one this build knows.
        supported: u32,
    },
    /// The file system cannot do what a write-ahead log needs, as network file systems.
    #[error("{} cannot have a write-ahead log here: put it on a local disk", path.display())]
    NoWriteAheadLog {
        /// The file.
        path: PathBuf,
    },
    /// The file or its directory may not be written.
    #[error("{} is read-only", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// There is no room left. Reading goes on; writing works again when there is room.
    #[error("{} cannot grow: the disk is full", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged, or no database at all.
    #[error("{} is damaged or no database", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// The disk did not confirm a write. What is on it is unknown until the file is opened again,
    /// so nothing more is written.
    #[error("{}: the disk did not confirm a write; open the database again", path.display())]
    Unconfirmed {
        /// The file.
        path: PathBuf,
    },
    /// The database was closed, so the operation was not begun.
    #[error("{} was closed", path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// Anything else that SQLite reports.
    #[error("{}: the database failed", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Arc<rusqlite::Error>,
    },
}

impl Error {
    /// Sorts what SQLite reports by what can be done about it.
    pub(crate) fn of(path: PathBuf, source: rusqlite::Error) -> Self {
        if source
            .sqlite_error()
            .is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_IOERR_FSYNC)
        {
            return Self::Unconfirmed { path };
        }
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull { path },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt { path, source: Arc::new(source) }
            }
            _ => Self::Sqlite { path, source: Arc::new(source) },
        }
    }
}

impl From<Error> for checkpointer::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::DiskFull { .. } => Self::DiskFull,
            error => Self::Storage(Box::new(error)),
        }
    }
}

impl From<Error> for mesh_runtime::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::DiskFull { .. } => Self::DiskFull,
            error => Self::Storage(Box::new(error)),
        }
    }
}

impl From<Error> for store::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::DiskFull { .. } => Self::DiskFull,
            error => Self::Storage(Box::new(error)),
        }
    }
}
