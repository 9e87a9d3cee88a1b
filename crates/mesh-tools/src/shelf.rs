//! Keeps texts by their hash in a folder.
//!
//! A text is written once: under a temporary name, made durable, then renamed to its address. A
//! reader therefore sees a whole text or none, also after a power cut, and every text is checked
//! against its address before it is given out. Nothing is ever deleted here except temporary
//! files that a crash left behind.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mesh_agents::source::{Shelf, SourceError, address_of};

/// Bytes of one text. Main texts stay below 5 MB; this is for a whole post with its sources.
pub const TEXT_BYTES_MAX: usize = 64_000_000;

/// Names that are tried for one temporary file when others are taken.
const NAMES_TRIED_MAX: usize = 16;

/// Age from which a temporary file was left behind by a crash: no write takes that long.
const LEFT_BEHIND_AGE: Duration = Duration::from_hours(1);

/// Folder of temporary files, below the root.
const TEMPORARY: &str = "tmp";

/// A shelf in a folder: `ab/cd/abcd…`, two levels, so that no directory grows beyond what file
/// systems handle well. Several processes may share one folder.
///
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct FolderShelf {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    next: AtomicU64,
}

impl FolderShelf {
    /// Opens the shelf at `path` and creates it if need be. Blocks for a few system calls.
    ///
    /// # Errors
    /// [`SourceError::Unreachable`] names the path.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        let root = path.as_ref().to_owned();
        let temporary = root.join(TEMPORARY);
        fs::create_dir_all(&temporary).map_err(|error| SourceError::Unreachable {
            reason: format!("shelf {} cannot be opened: {}", root.display(), error.kind()),
        })?;
        remove_left_behind(&temporary);
        Ok(Self { inner: Arc::new(Inner { root, next: AtomicU64::new(0) }) })
    }
}

#[async_trait]
impl Shelf for FolderShelf {
    /// # Cancel safety
    /// Dropping the future leaves the text either stored or not; never half of it.
    async fn put(&self, text: &str) -> Result<String, SourceError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(too_large());
        }
        let inner = self.inner.clone();
        let text = text.to_owned();
        let stored = tokio::task::spawn_blocking(move || inner.put(&text)).await;
        match stored {
            Ok(Ok(address)) => Ok(address),
            Ok(Err(error)) => Err(SourceError::Unreachable {
                reason: format!("the text cannot be stored: {}", error.kind()),
            }),
            Err(_panic) => Err(interrupted()),
        }
    }

    async fn get(&self, address: &str) -> Result<Arc<str>, SourceError> {
        let is_address = address.len() == 64
            && address.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_address {
            return Err(SourceError::Unreadable {
                reason: "an address of a text is 64 lower-case hex digits".to_owned(),
            });
        }
        let inner = self.inner.clone();
        let address = address.to_owned();
        tokio::task::spawn_blocking(move || inner.get(&address))
            .await
            .unwrap_or_else(|_panic| Err(interrupted()))
    }
}

fn interrupted() -> SourceError {
    SourceError::Unreachable { reason: "the shelf was interrupted".to_owned() }
}

fn too_large() -> SourceError {
    SourceError::TooLarge { limit: format!("{} MB per text", TEXT_BYTES_MAX / 1_000_000) }
}

impl Inner {
    fn place(&self, address: &str) -> PathBuf {
        self.root.join(&address[..2]).join(&address[2..4]).join(address)
    }

    fn put(&self, text: &str) -> io::Result<String> {
        let address = address_of(text);
        let place = self.place(&address);
        // A damaged file under this address is replaced, a sound one is left alone.
        if fs::read(&place).is_ok_and(|bytes| bytes == text.as_bytes()) {
            return Ok(address);
        }
        let folder = place.parent().unwrap_or(&self.root);
        let is_new = !folder.exists();
        fs::create_dir_all(folder)?;
        let (mut file, temporary) = self.temporary(&address)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        drop(file);
        if let Err(error) = written.and_then(|()| fs::rename(&temporary, &place)) {
            // The first error counts; a file that stays is removed at the next start.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        sync_folder(folder)?;
        if is_new {
            sync_folder(&self.root.join(&address[..2]))?;
            sync_folder(&self.root)?;
        }
        Ok(address)
    }

    fn temporary(&self, address: &str) -> io::Result<(File, PathBuf)> {
        let mut tried = 0;
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{}-{number}", &address[..16], std::process::id());
            let path = self.root.join(TEMPORARY).join(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((file, path)),
                // A process of the same number, in another container, shares the folder.
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && tried < NAMES_TRIED_MAX =>
                {
                    tried += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn get(&self, address: &str) -> Result<Arc<str>, SourceError> {
        let file = File::open(self.place(address)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                SourceError::Unreadable { reason: format!("no stored text at {address}") }
            }
            kind => SourceError::Unreachable {
                reason: format!("the stored text at {address} cannot be read: {kind}"),
            },
        })?;
        let mut bytes = Vec::new();
        file.take(TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| {
            SourceError::Unreachable {
                reason: format!("the stored text at {address} cannot be read: {}", error.kind()),
            }
        })?;
        let damaged = || SourceError::Unreadable {
            reason: format!("the stored text at {address} is damaged"),
        };
        if blake3::hash(&bytes).to_hex().as_str() != address {
            return Err(damaged());
        }
        String::from_utf8(bytes).map(Arc::from).map_err(|_| damaged())
    }
}

/// Makes a rename durable. Only Unix can open a directory for that; elsewhere the file system
/// decides.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "the same signature as on Unix")]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Removes temporary files of writers that are long gone. Whatever fails here fails again, with
/// an error, when something is stored.
fn remove_left_behind(temporary: &Path) {
    let Ok(entries) = fs::read_dir(temporary) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        if age.is_some_and(|age| age > LEFT_BEHIND_AGE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
