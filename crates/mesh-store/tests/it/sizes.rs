//! What is stored: each value once.

use mesh_graph::{
    App, CheckpointId, Ctx, END, Graph, NodeResult, START, State, View, checkpointer::Filter,
    checkpointer::Retention,
};
use mesh_store::{Sqlite, Synchronous};
use rusqlite::Connection;
use tempfile::TempDir;

#[derive(State)]
struct Chat {
    #[state(append)]
    messages: Vec<String>,
}

async fn open() -> (Sqlite, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sizes.db");
    (Sqlite::open_with(path, Synchronous::Normal).await.unwrap(), directory)
}

/// How often `text` is in the values that are stored, wherever they are.
async fn stored(database: Sqlite, text: &str) -> usize {
    let path = database.path().to_path_buf();
    database.close().await;
    let connection = Connection::open(path).unwrap();
    let mut count = 0;
    for table in ["checkpoints", "blobs", "tasks"] {
        let mut rows = connection.prepare(&format!("SELECT body FROM {table}")).unwrap();
        let bodies = rows.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        for body in bodies {
            let body = body.unwrap();
            count += body.windows(text.len()).filter(|part| *part == text.as_bytes()).count();
        }
    }
    count
}

async fn reply(chat: View<Chat>, _: Ctx) -> NodeResult<ChatUpdate> {
    Ok(Chat::update().push_messages(format!("reply to message {}", chat.messages.len())))
}

#[tokio::test]
async fn t146_a_chat_of_150_turns_takes_less_than_a_megabyte() {
    let (database, _directory) = open().await;
    let mut graph = Graph::<Chat>::new("chat");
    graph.node("reply", reply);
    graph.edge(START, "reply");
    let app = graph.compile().unwrap().app(()).checkpointer(database.checkpointer());
    for turn in 0..150 {
        let text = format!("{turn} {}", "x".repeat(1000));
        app.run(Chat::update().push_messages(text)).thread("t").invoke().await.unwrap();
    }
    assert_eq!(app.state("t").await.unwrap().state().messages.len(), 300);
    let path = database.path().to_path_buf();
    database.close().await;
    let bytes = std::fs::metadata(path).unwrap().len();
    assert!(bytes < 1_000_000, "{bytes} bytes");
}

async fn model(chat: View<Chat>, _: Ctx) -> NodeResult<ChatUpdate> {
    Ok(Chat::update().push_messages(format!("call number {:03} of the model", chat.messages.len())))
}

async fn tool(chat: View<Chat>, _: Ctx) -> NodeResult<ChatUpdate> {
    Ok(Chat::update().push_messages(format!("answer number {:03} of a tool", chat.messages.len())))
}

/// The model asks both tools in every round.
fn rounds(database: &Sqlite, rounds: usize) -> App<Chat> {
    let mut graph = Graph::<Chat>::new("loop");
    graph.node("model", model);
    graph.node("left", tool);
    graph.node("right", tool);
    graph.edge(START, "model").edge("model", "left").edge("model", "right");
    graph.route("left", move |chat: &View<Chat>| {
        // It sees its own answer, not the other's.
        if chat.messages.len() < rounds * 3 - 1 { "model" } else { END }
    });
    graph.compile().unwrap().app(()).checkpointer(database.checkpointer())
}

#[tokio::test]
async fn a_loop_of_tools_stores_each_message_once() {
    let (database, _directory) = open().await;
    // Within one stretch between two full values: a full value holds what came before it again.
    let app = rounds(&database, 30);
    app.run(Chat::update()).thread("t").invoke().await.unwrap();
    let history = app.history("t", &Filter::default()).await.unwrap();
    assert_eq!(history[0].state().messages.len(), 90);
    // History still shows what every task gave, siblings apart.
    let pair = history.iter().find(|snapshot| snapshot.next == ["left", "right"]).unwrap();
    let given: Vec<String> =
        pair.tasks.iter().map(|task| task.result.as_ref().unwrap().to_string()).collect();
    assert_eq!(given, [r#"{"messages":["answer number 088 of a tool"]}"#; 2]);
    assert_eq!(stored(database, "call number 042 of the model").await, 1);
}

#[tokio::test]
async fn results_of_kept_checkpoints_are_shown_after_pruning() {
    let (database, _directory) = open().await;
    let app = rounds(&database, 3);
    app.run(Chat::update()).thread("t").run_id("first").invoke().await.unwrap();
    let checkpointer = database.checkpointer();
    let results = async || {
        let history = app.history("t", &Filter::default()).await.unwrap();
        let of = |id: Option<CheckpointId>| {
            let snapshot = history.iter().find(|snapshot| snapshot.checkpoint == id)?;
            Some(snapshot.tasks.iter().map(|task| task.result.clone()).collect::<Vec<_>>())
        };
        history.iter().map(|s| (s.checkpoint, of(s.checkpoint))).collect::<Vec<_>>()
    };
    let before = results().await;
    let keep = std::num::NonZeroUsize::new(4).unwrap();
    assert!(checkpointer.prune("t", Retention::LastPerBranch(keep)).await.unwrap() > 0);
    assert_eq!(results().await, before[..4]);
    // What follows a kept checkpoint is gone, and its tasks still have their results.
    let tail = app.history("t", &Filter::default()).await.unwrap();
    let trunk = tail[2].checkpoint.unwrap();
    app.resume().thread("t").at(trunk).run_id("second").invoke().await.unwrap();
    checkpointer.delete_for_runs("t", &["second".to_owned()]).await.unwrap();
    assert_eq!(results().await, before[..4]);
    checkpointer.copy_thread("t", "u").await.unwrap();
    checkpointer.delete_thread("t").await.unwrap();
    let copy = app.history("u", &Filter::default()).await.unwrap();
    assert_eq!(copy[0].state().messages.len(), 9);
    let shown = copy.iter().map(|s| s.tasks.iter().filter_map(|t| t.result.clone()).count());
    assert_eq!(
        shown.sum::<usize>(),
        before[..4].iter().map(|(_, r)| r.as_ref().unwrap().len()).sum::<usize>()
    );
}
