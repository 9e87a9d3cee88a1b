//! What is stored, as the rules of mesh-runtime want to see it.

use mesh_graph::{checkpoint::Place, checkpointer::Filter};
use mesh_runtime::{
    Error, Stamp,
    invariants::{FactRows, RunFacts, ThreadFacts, ToldFacts},
    run::RunStatus,
    thread::ThreadStatus,
};
use rusqlite::{Connection, Row, types::ValueRef};
use uuid::Uuid;

use super::{
    Fault, checkpoints,
    ledger::{Rows, failed},
    log,
};

impl FactRows for Rows<'_> {
    fn facts(&mut self, after: &str, limit: usize) -> Result<Vec<ThreadFacts>, Error> {
        let threads = all(
            self.connection,
            "SELECT number, id, status, next_seq FROM threads
             WHERE id > ? AND status <> 'buried' ORDER BY id LIMIT ?",
            (after, limit as i64),
            |row| {
                let status: String = row.get(2)?;
                Ok((row.get(0)?, row.get::<_, String>(1)?, status, row.get::<_, i64>(3)?))
            },
        )?;
        let facts = threads.into_iter().map(|(number, thread, status, next_seq)| {
            let status = ThreadStatus::named(&status)
                .ok_or_else(|| Error::Damaged { what: "thread", source: status.into() })?;
            Ok(ThreadFacts {
                status,
                next_seq: next_seq.cast_unsigned(),
                entries: entries(self.connection, number)?,
                runs: runs(self.connection, number)?,
                told: told(self.connection, number)?,
                checkpoints: faults(self.connection, &thread)?,
                thread,
            })
        });
        facts.collect()
    }

    fn stored(&mut self, show: &mut dyn FnMut(&str, &[u8])) -> Result<(), Error> {
        let tables: Vec<String> = all(
            self.connection,
            "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
            [],
            |row| row.get(0),
        )?;
        for table in tables {
            show_table(self.connection, &table, show).map_err(failed)?;
        }
        Ok(())
    }
}

/// Shows all texts and bytes of a table, whatever columns it has.
fn show_table(
    connection: &Connection,
    table: &str,
    show: &mut dyn FnMut(&str, &[u8]),
) -> Result<(), rusqlite::Error> {
    let quoted = table.replace('"', "\"\"");
    let mut query = connection.prepare(&format!("SELECT * FROM \"{quoted}\""))?;
    let columns: Vec<String> =
        query.column_names().map(|column| format!("{table}.{column}")).collect();
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        for (index, column) in columns.iter().enumerate() {
            if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = row.get_ref(index)? {
                show(column, bytes);
            }
        }
    }
    Ok(())
}

fn entries(connection: &Connection, thread: i64) -> Result<(u64, Option<(u64, u64)>), Error> {
    let (first, last): (Option<i64>, Option<i64>) = connection
        .prepare_cached("SELECT min(first), max(last) FROM log WHERE thread = ?")
        .and_then(|mut query| query.query_row([thread], |row| Ok((row.get(0)?, row.get(1)?))))
        .map_err(failed)?;
    let ends = first.zip(last).map(|(first, last)| (first.cast_unsigned(), last.cast_unsigned()));
    Ok((log::count(connection, thread)?, ends))
}

fn runs(connection: &Connection, thread: i64) -> Result<Vec<RunFacts>, Error> {
    let rows = all(
        connection,
        "SELECT id, status, epoch, lease_owner IS NOT NULL, lease_until_ms IS NOT NULL, ended_at,
             doc ->> 'webhook' IS NOT NULL, EXISTS (SELECT 1 FROM outbox WHERE id = runs.id)
         FROM runs WHERE thread = ?",
        [thread],
        |row| {
            let facts = RunFacts {
                id: Uuid::from_bytes(row.get(0)?),
                status: RunStatus::Pending,
                epoch: row.get::<_, i64>(2)?.cast_unsigned(),
                lease: (row.get(3)?, row.get(4)?),
                ended_at: row.get::<_, Option<i64>>(5)?.map(Stamp),
                letter: (row.get(6)?, row.get(7)?),
            };
            Ok((facts, row.get::<_, String>(1)?))
        },
    )?;
    let named = rows.into_iter().map(|(facts, status)| {
        let status = RunStatus::named(&status)
            .ok_or_else(|| Error::Damaged { what: "run", source: status.into() })?;
        Ok(RunFacts { status, ..facts })
    });
    named.collect()
}

fn told(connection: &Connection, thread: i64) -> Result<Vec<ToldFacts>, Error> {
    all(
        connection,
        "SELECT run, max(epoch), count(ended_ms),
             coalesce(max(last) = max(last) FILTER (WHERE ended_ms IS NOT NULL), FALSE)
         FROM log WHERE thread = ? GROUP BY run",
        [thread],
        |row| {
            Ok(ToldFacts {
                run: Uuid::from_bytes(row.get(0)?),
                epoch_max: row.get::<_, i64>(1)?.cast_unsigned(),
                ends: row.get::<_, i64>(2)?.cast_unsigned(),
                is_ended: row.get(3)?,
            })
        },
    )
}

/// Reads every checkpoint of a thread with all its values, and says what is wrong.
fn faults(connection: &Connection, thread: &str) -> Result<Vec<String>, Error> {
    let places: Vec<String> =
        all(connection, "SELECT ns FROM places WHERE thread = ?", [thread], |row| row.get(0))?;
    let mut faults = Vec::new();
    for ns in places {
        let place = Place { thread: thread.to_owned(), ns };
        match checkpoints::list(connection, &place, &Filter::default()) {
            Ok(loaded) => {
                // A parent may have been pruned. It is always older, so no line goes in circles.
                let bad = loaded.iter().map(|loaded| &loaded.checkpoint).filter(|checkpoint| {
                    checkpoint.parent.is_some_and(|parent| parent >= checkpoint.id)
                });
                faults.extend(bad.map(|bad| format!("checkpoint {} has a younger parent", bad.id)));
            }
            Err(Fault::Refused(error)) => faults.push(error.to_string()),
            Err(Fault::Sqlite(error)) => return Err(failed(error)),
        }
    }
    Ok(faults)
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> Result<T, rusqlite::Error>,
) -> Result<Vec<T>, Error> {
    let mut query = connection.prepare_cached(sql).map_err(failed)?;
    let rows = query.query_map(params, read).map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}
