//! Where checkpoints go, and the floor below it: one bare commit per superstep.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use clap::ValueEnum;
use mesh_graph::{Checkpointer, MemoryCheckpointer};
use mesh_store::{Sqlite, Synchronous};

use crate::{case::Case, measure::Workload};

/// Where checkpoints go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Storage {
    /// Nowhere.
    None,
    /// In memory, a new store for every run.
    Memory,
    /// In SQLite, safe against a crash of the process.
    SqliteNormal,
    /// In SQLite, safe against a loss of power.
    SqliteFull,
}

/// Gives the checkpointer for the next run.
pub(crate) type Checkpointers = Box<dyn FnMut() -> Option<Arc<dyn Checkpointer>> + Send>;

impl Storage {
    /// The name on the command line and in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Memory => "memory",
            Self::SqliteNormal => "sqlite-normal",
            Self::SqliteFull => "sqlite-full",
        }
    }

    /// Opens it below `dir`.
    pub(crate) async fn open(self, dir: &Path) -> anyhow::Result<Checkpointers> {
        let path = dir.join("bench.db");
        let sqlite = match self {
            Self::None => return Ok(Box::new(|| None)),
            Self::Memory => return Ok(Box::new(|| Some(Arc::new(MemoryCheckpointer::default())))),
            Self::SqliteNormal => Sqlite::open_with(path, Synchronous::Normal).await?,
            Self::SqliteFull => Sqlite::open_with(path, Synchronous::Full).await?,
        };
        Ok(Box::new(move || Some(sqlite.checkpointer())))
    }
}

/// As many commits as the case has supersteps, each of one row of 200 bytes.
pub(crate) fn commits(
    case: Case,
    storage: Storage,
    dir: &Path,
) -> anyhow::Result<Option<Workload>> {
    let synchronous = match storage {
        Storage::SqliteNormal => "NORMAL",
        Storage::SqliteFull => "FULL",
        Storage::None | Storage::Memory => return Ok(None),
    };
    let connection = rusqlite::Connection::open(dir.join("floor.db"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection
        .execute_batch("CREATE TABLE IF NOT EXISTS row (id INTEGER PRIMARY KEY, body BLOB)")?;
    let connection = Arc::new(Mutex::new(connection));
    let scale = case.scale();
    let once = move || -> futures::future::BoxFuture<'static, anyhow::Result<()>> {
        let connection = Arc::clone(&connection);
        Box::pin(async move {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let mut insert = connection.prepare_cached("INSERT INTO row (body) VALUES (?1)")?;
            for _ in 0..scale.supersteps {
                insert.execute([[7_u8; 200].as_slice()])?;
            }
            Ok(())
        })
    };
    Ok(Some(Workload { once: Box::new(once), scale }))
}
