//! The texts of sources, in the data directory.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use mesh_agents::source::{Shelf, SourceError};
use mesh_graph::error::BoxError;
use mesh_server::Texts;
use mesh_tools::FolderShelf;
use tokio::sync::OnceCell;

/// A shelf below the data directory. The folder is made when the first text is put there, which is
/// after set-up has made and locked the directory.
#[derive(Debug)]
pub struct DataDirShelf {
    folder: PathBuf,
    opened: OnceCell<FolderShelf>,
}

impl DataDirShelf {
    /// The shelf of this data directory. Nothing is touched yet.
    pub fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join("sources"), opened: OnceCell::new() }
    }

    async fn open(&self) -> Result<&FolderShelf, SourceError> {
        self.opened
            .get_or_try_init(|| async {
                let folder = self.folder.clone();
                tokio::task::spawn_blocking(move || FolderShelf::open(folder))
                    .await
                    .map_err(|error| SourceError::Unreadable { reason: error.to_string() })?
            })
            .await
    }
}

#[async_trait]
impl Shelf for DataDirShelf {
    async fn put(&self, text: &str) -> Result<String, SourceError> {
        self.open().await?.put(text).await
    }

    async fn get(&self, address: &str) -> Result<Arc<str>, SourceError> {
        self.open().await?.get(address).await
    }
}

#[async_trait]
impl Texts for DataDirShelf {
    async fn text(&self, address: &str) -> Result<Option<String>, BoxError> {
        match self.get(address).await {
            Ok(text) => Ok(Some(text.as_ref().to_owned())),
            // No address, or nothing there any more.
            Err(SourceError::Unreadable { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
