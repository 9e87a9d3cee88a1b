//! The folder that holds all a mesh writes: made for its owner alone, used by one mesh at a time.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use crate::auth::AuthError;

/// File that a running mesh holds a lock on. It is empty, and stays when the mesh has ended: a
/// file that is removed could be locked twice.
const LOCK_FILE: &str = "genesis-mesh.lock";

/// A mesh cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The data directory cannot be made.
    #[error("cannot make the data directory {}", path.display())]
    Create {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else has its name.
    #[error("the data directory {} is not a folder", path.display())]
    NotAFolder {
        /// What is there.
        path: PathBuf,
    },
    /// Nothing can be written to it.
    #[error("cannot write to the data directory {}", path.display())]
    Write {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another mesh has it.
    #[error("the data directory {} is in use by another mesh", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The file system gives no locks, so two meshes could write to it.
    #[error("cannot lock {}: a data directory has to be on a local file system", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database in it cannot be opened.
    #[error("cannot open the database")]
    Store(#[from] mesh_store::Error),
    /// What is kept cannot be made ready.
    #[error("cannot make the assistants of the graphs")]
    Start(#[from] mesh_runtime::Error),
    /// The settings about who may ask do not hold together.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Set-up itself was stopped: the runtime is shutting down.
    #[error("set-up did not finish")]
    Stopped,
}

impl SetupError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::InUse { .. } => {
                Some("stop the other mesh, or choose another folder with --data-dir")
            }
            Self::Stopped | Self::Auth(_) => None,
            _ => Some("choose another folder with --data-dir"),
        }
    }
}

/// A data directory that is ours until this is dropped.
#[derive(Debug)]
pub(crate) struct Locked {
    _lock: File,
}

/// Makes the folder if it is missing (only its owner may enter it), and locks it.
pub(crate) async fn open(path: PathBuf) -> Result<Locked, SetupError> {
    let opening = tokio::task::spawn_blocking(move || open_blocking(&path));
    opening.await.unwrap_or(Err(SetupError::Stopped))
}

/// Makes the folder if it is missing, and leaves it to whoever has it locked.
pub(crate) async fn make(path: PathBuf) -> Result<(), SetupError> {
    let making = tokio::task::spawn_blocking(move || make_blocking(&path));
    making.await.unwrap_or(Err(SetupError::Stopped))
}

fn make_blocking(path: &Path) -> Result<(), SetupError> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(SetupError::NotAFolder { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(path).map_err(|source| SetupError::Create { path: path.to_owned(), source })
        }
        Err(source) => Err(SetupError::Create { path: path.to_owned(), source }),
    }
}

fn open_blocking(path: &Path) -> Result<Locked, SetupError> {
    make_blocking(path)?;
    let file = path.join(LOCK_FILE);
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&file)
        .map_err(|source| SetupError::Write { path: path.to_owned(), source })?;
    match lock.try_lock() {
        Ok(()) => Ok(Locked { _lock: lock }),
        Err(TryLockError::WouldBlock) => Err(SetupError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(SetupError::Lock { path: file, source }),
    }
}

#[cfg(unix)]
fn create(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn create(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}
