//! What may be wrong with a file, and that the message names it.

use std::path::Path;

use mesh_graph::{
    App, Ctx, Graph, NodeResult, START, State, View,
    checkpoint::Place,
    checkpointer::{self, Filter},
};
use mesh_store::{Error, Sqlite};
use rusqlite::Connection;

#[derive(State)]
struct Log {
    #[state(append)]
    lines: Vec<String>,
}

async fn line(_: View<Log>, ctx: Ctx) -> NodeResult<LogUpdate> {
    Ok(Log::update().push_lines(ctx.info().node))
}

fn app(database: &Sqlite) -> App<Log> {
    let mut graph = Graph::<Log>::new("log");
    graph.node("a", line);
    graph.node("b", line);
    graph.edge(START, "a").edge("a", "b");
    graph.compile().unwrap().app(()).checkpointer(database.checkpointer())
}

async fn written(path: &Path) {
    let database = Sqlite::open(path).await.unwrap();
    app(&database).run(Log::update().push_lines("in")).thread("t").invoke().await.unwrap();
    database.close().await;
}

/// The whole chain of causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn a_directory_is_no_database() {
    let directory = tempfile::tempdir().unwrap();
    let error = Sqlite::open(directory.path()).await.unwrap_err();
    assert!(matches!(&error, Error::IsDirectory { path } if path == directory.path()));
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("no/such/place.db");
    let error = Sqlite::open(&path).await.unwrap_err();
    assert!(told(&error).contains(&path.display().to_string()), "{}", told(&error));
    assert!(told(&error).contains("No such file or directory"), "{}", told(&error));
}

#[tokio::test]
async fn a_file_that_is_open_elsewhere_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.db");
    let first = Sqlite::open(&path).await.unwrap();
    let error = Sqlite::open(&path).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{} is in use by another process", path.display()));
    drop(first);
    Sqlite::open(&path).await.unwrap();
}

#[tokio::test]
async fn a_file_of_something_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text.db");
    let content = "no database, but a letter ".repeat(100);
    std::fs::write(&text, &content).unwrap();
    let error = Sqlite::open(&text).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string(&text).unwrap(), content);

    let foreign = directory.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = std::fs::read(&foreign).unwrap();
    let error = Sqlite::open(&foreign).await.unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error:?}");
    assert_eq!(std::fs::read(&foreign).unwrap(), before);
}

#[tokio::test]
async fn a_database_of_a_newer_build_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.db");
    written(&path).await;
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Sqlite::open(&path).await.unwrap_err();
    assert!(matches!(error, Error::Newer { found: 99, .. }), "{error:?}");
    assert!(error.to_string().contains("use a newer build"), "{error}");
}

#[tokio::test]
async fn a_path_that_looks_like_a_uri_is_a_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file:x.db?mode=memory");
    written(&path).await;
    assert!(path.is_file());
}

#[tokio::test]
async fn reopening_gives_the_same_history() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.db");
    let history = async |database: &Sqlite| {
        let history = app(database).history("t", &Filter::default()).await.unwrap();
        let lines = history.iter().map(|s| {
            format!(
                "{:?} {:?} {:?} {} {:?}",
                s.checkpoint,
                s.parent,
                s.step,
                s.json().unwrap(),
                s.next
            )
        });
        lines.collect::<Vec<_>>()
    };
    let database = Sqlite::open(&path).await.unwrap();
    for input in ["one", "two"] {
        app(&database).run(Log::update().push_lines(input)).thread("t").invoke().await.unwrap();
    }
    let before = history(&database).await;
    assert_eq!(before.len(), 8);
    database.close().await;
    let database = Sqlite::open(&path).await.unwrap();
    assert_eq!(history(&database).await, before);
}

async fn load(path: &Path) -> Result<(), checkpointer::Error> {
    let database = Sqlite::open(path).await.unwrap();
    let place = Place { thread: "t".to_owned(), ns: String::new() };
    database.checkpointer().load(&place, None).await.map(drop)
}

#[tokio::test]
async fn a_changed_byte_is_noticed_wherever_it_is() {
    let directory = tempfile::tempdir().unwrap();
    for (table, column) in [("checkpoints", "id"), ("blobs", "at")] {
        let path = directory.path().join(format!("{table}.db"));
        written(&path).await;
        load(&path).await.unwrap();
        // The last byte of the newest row, as a fault of the disk would change it.
        let at = if table == "checkpoints" { "task = x'' AND checkpoint" } else { column };
        let rows = if table == "checkpoints" { "steps" } else { table };
        let changed = Connection::open(&path)
            .unwrap()
            .execute(
                &format!(
                    "UPDATE {rows} SET body = CAST(substr(body, 1, length(body) - 1) || x'00' AS BLOB)
                     WHERE {at} = (SELECT max({column}) FROM {table})"
                ),
                [],
            )
            .unwrap();
        assert!(changed > 0);
        let error = load(&path).await.unwrap_err();
        let checkpointer::Error::Damaged { reason, .. } = &error else { panic!("{error:?}") };
        assert!(reason.contains("checksum"), "{error}");
    }
}

#[tokio::test]
async fn a_truncated_file_is_never_read_as_if_it_were_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.db");
    written(&path).await;
    let whole = std::fs::metadata(&path).unwrap().len();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(whole / 2).unwrap();
    let told = match Sqlite::open(&path).await {
        Err(error) => told(&error),
        Ok(database) => {
            let place = Place { thread: "t".to_owned(), ns: String::new() };
            told(&database.checkpointer().load(&place, None).await.unwrap_err())
        }
    };
    assert!(told.contains(&path.display().to_string()), "{told}");
}
