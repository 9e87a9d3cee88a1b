//! Assistants in SQLite: what they are found by in columns, what a version holds as one JSON text.

use std::ops::ControlFlow;

use mesh_runtime::{
    Assistant, Error, Stamp,
    assistant::{AssistantOrder, AssistantRows, AssistantSort},
    page::Direction,
};
use rusqlite::{OptionalExtension, Row};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::ledger::{Rows, failed};

/// What a version holds. Names of members are stored: they never change.
#[derive(Debug, Serialize, Deserialize)]
struct Doc {
    graph: String,
    name: String,
    description: Option<String>,
    config: Map<String, Json>,
    context: Json,
    metadata: Map<String, Json>,
}

impl Doc {
    fn text(of: &Assistant) -> Result<String, Error> {
        let doc = Self {
            graph: of.graph.clone(),
            name: of.name.clone(),
            description: of.description.clone(),
            config: of.config.clone(),
            context: of.context.clone(),
            metadata: of.metadata.clone(),
        };
        serde_json::to_string(&doc).map_err(|error| Error::Storage(error.into()))
    }
}

/// A row that was not looked into yet.
struct Raw {
    id: [u8; 16],
    owner: Option<String>,
    created_at: i64,
    updated_at: i64,
    version: u32,
    doc: String,
}

impl Raw {
    /// A row that begins with id, owner, `created_at`, `updated_at`, version and doc.
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            id: row.get(0)?,
            owner: row.get(1)?,
            created_at: row.get(2)?,
            updated_at: row.get(3)?,
            version: row.get(4)?,
            doc: row.get(5)?,
        })
    }

    fn decode(self) -> Result<Assistant, Error> {
        let doc: Doc = serde_json::from_str(&self.doc)
            .map_err(|error| Error::Damaged { what: "assistant", source: error.into() })?;
        Ok(Assistant {
            id: Uuid::from_bytes(self.id),
            graph: doc.graph,
            config: doc.config,
            context: doc.context,
            metadata: doc.metadata,
            name: doc.name,
            description: doc.description,
            created_at: Stamp(self.created_at),
            updated_at: Stamp(self.updated_at),
            version: self.version,
            owner: self.owner,
        })
    }
}

impl AssistantRows for Rows<'_> {
    fn assistant(&mut self, id: Uuid) -> Result<Option<Assistant>, Error> {
        self.connection
            .prepare_cached(
                "SELECT a.id, a.owner, a.created_at, a.updated_at, a.version, v.doc
                 FROM assistants a
                 JOIN assistant_versions v ON v.assistant = a.id AND v.version = a.version
                 WHERE a.id = ?",
            )
            .and_then(|mut query| query.query_row([id.as_bytes()], Raw::read).optional())
            .map_err(failed)?
            .map(Raw::decode)
            .transpose()
    }

    fn insert_assistant(&mut self, assistant: &Assistant) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "INSERT INTO assistants
                 (id, owner, graph, name, created_at, updated_at, version)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .and_then(|mut insert| {
                insert.execute((
                    assistant.id.as_bytes(),
                    &assistant.owner,
                    &assistant.graph,
                    &assistant.name,
                    assistant.created_at.0,
                    assistant.updated_at.0,
                    assistant.version,
                ))
            })
            .map_err(failed)?;
        self.put_version(assistant)
    }

    fn update_assistant(&mut self, assistant: &Assistant) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "UPDATE assistants SET graph = ?, name = ?, updated_at = ?, version = ?
                 WHERE id = ?",
            )
            .and_then(|mut update| {
                update.execute((
                    &assistant.graph,
                    &assistant.name,
                    assistant.updated_at.0,
                    assistant.version,
                    assistant.id.as_bytes(),
                ))
            })
            .map_err(failed)?;
        self.put_version(assistant)
    }

    fn remove_assistant(&mut self, id: Uuid) -> Result<bool, Error> {
        self.connection
            .prepare_cached("DELETE FROM assistants WHERE id = ?")
            .and_then(|mut delete| delete.execute([id.as_bytes()]))
            .map(|removed| removed > 0)
            .map_err(failed)
    }

    fn visit_assistants(
        &mut self,
        graph: Option<&str>,
        order: AssistantOrder,
        visit: &mut dyn FnMut(Assistant) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let column = match order.by {
            AssistantSort::Id => "a.id",
            AssistantSort::Graph => "a.graph",
            AssistantSort::Name => "a.name",
            AssistantSort::CreatedAt => "a.created_at",
            AssistantSort::UpdatedAt => "a.updated_at",
        };
        let direction = match order.direction {
            Direction::Ascending => "ASC",
            Direction::Descending => "DESC",
        };
        // Both are words of ours. Nothing of a request becomes part of a statement.
        let sql = format!(
            "SELECT a.id, a.owner, a.created_at, a.updated_at, a.version, v.doc
             FROM assistants a
             JOIN assistant_versions v ON v.assistant = a.id AND v.version = a.version
             WHERE ?1 IS NULL OR a.graph = ?1
             ORDER BY {column} {direction}, a.id {direction}"
        );
        let mut query = self.connection.prepare_cached(&sql).map_err(failed)?;
        let rows = query.query_map([graph], Raw::read).map_err(failed)?;
        visit_all(rows, visit)
    }

    fn assistant_version(&mut self, id: Uuid, version: u32) -> Result<Option<Assistant>, Error> {
        self.connection
            .prepare_cached(
                "SELECT a.id, a.owner, v.created_at, a.updated_at, v.version, v.doc
                 FROM assistants a JOIN assistant_versions v ON v.assistant = a.id
                 WHERE a.id = ? AND v.version = ?",
            )
            .and_then(|mut query| query.query_row((id.as_bytes(), version), Raw::read).optional())
            .map_err(failed)?
            .map(Raw::decode)
            .transpose()
    }

    fn visit_assistant_versions(
        &mut self,
        id: Uuid,
        visit: &mut dyn FnMut(Assistant) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut query = self
            .connection
            .prepare_cached(
                "SELECT a.id, a.owner, v.created_at, a.updated_at, v.version, v.doc
                 FROM assistants a JOIN assistant_versions v ON v.assistant = a.id
                 WHERE a.id = ? ORDER BY v.version DESC",
            )
            .map_err(failed)?;
        let rows = query.query_map([id.as_bytes()], Raw::read).map_err(failed)?;
        visit_all(rows, visit)
    }

    fn last_assistant_version(&mut self, id: Uuid) -> Result<Option<u32>, Error> {
        self.connection
            .prepare_cached("SELECT max(version) FROM assistant_versions WHERE assistant = ?")
            .and_then(|mut query| query.query_row([id.as_bytes()], |row| row.get(0)))
            .map_err(failed)
    }
}

impl Rows<'_> {
    /// Stores the version that an assistant has. One that is there keeps the time it was made.
    fn put_version(&mut self, assistant: &Assistant) -> Result<(), Error> {
        let doc = Doc::text(assistant)?;
        self.connection
            .prepare_cached(
                "INSERT INTO assistant_versions (assistant, version, created_at, doc)
                 VALUES (?, ?, ?, ?)
                 ON CONFLICT (assistant, version) DO UPDATE SET doc = excluded.doc",
            )
            .and_then(|mut insert| {
                insert.execute((
                    assistant.id.as_bytes(),
                    assistant.version,
                    assistant.updated_at.0,
                    doc,
                ))
            })
            .map(drop)
            .map_err(failed)
    }
}

fn visit_all(
    rows: impl Iterator<Item = Result<Raw, rusqlite::Error>>,
    visit: &mut dyn FnMut(Assistant) -> ControlFlow<()>,
) -> Result<(), Error> {
    for row in rows {
        if visit(row.map_err(failed)?.decode()?).is_break() {
            break;
        }
    }
    Ok(())
}
