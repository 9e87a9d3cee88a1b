//! Messages in the state of a graph.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use mesh_agents::{json_messages, messages};
use mesh_graph::{
    App, Ctx, END, Graph, JsonView, Key, Keys, MemoryCheckpointer, Mode, NodeError, NodeResult,
    Route, START, State, Untyped, View, checkpointer::Filter,
};
use mesh_model::{Message, Messages};
use serde_json::{Value as Json, json};

#[derive(State)]
struct Chat {
    #[state(rule = messages)]
    messages: Messages,
}

/// What is to break, and what was seen.
#[derive(Default)]
struct Once {
    route: AtomicBool,
    /// Times the sibling fails.
    sibling: AtomicUsize,
    seen: Mutex<Vec<String>>,
}

type Deps = Arc<Once>;

async fn say(_: View<Chat>, _: Ctx<Deps>) -> NodeResult<ChatUpdate> {
    Ok(Chat::update().messages(vec![Message::assistant("one"), Message::assistant("two")]))
}

async fn sibling(_: View<Chat>, ctx: Ctx<Deps>) -> NodeResult<()> {
    let left = &ctx.deps().sibling;
    match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
        Ok(_) => Err(NodeError::msg("not yet")),
        Err(_) => Ok(()),
    }
}

fn chat(once: &Deps, checkpointer: &Arc<MemoryCheckpointer>) -> App<Chat> {
    let mut graph = Graph::<Chat, Deps>::new("chat");
    graph.node("say", say);
    graph.node("sibling", sibling);
    graph.edge(START, "say").edge(START, "sibling");
    let deps = Arc::clone(once);
    graph.route("say", move |chat| {
        deps.seen.lock().unwrap().push(ids(&chat.messages).join(" "));
        let breaks = deps.route.swap(false, Ordering::SeqCst);
        if breaks { Route::from(None::<&str>) } else { Route::from(END) }
    });
    let app = graph.compile().unwrap().app(Arc::clone(once));
    app.checkpointer(Arc::clone(checkpointer) as Arc<_>)
}

fn ids(messages: &Messages) -> Vec<String> {
    messages.iter().map(|message| message.id.clone().unwrap_or_default()).collect()
}

fn json_ids(messages: &Json) -> Vec<String> {
    let messages = messages.as_array().unwrap().iter();
    messages.map(|message| message["id"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn t034_a_message_without_an_id_has_the_same_one_in_every_attempt_and_every_place() {
    let once = Deps::default();
    once.route.store(true, Ordering::SeqCst);
    once.sibling.store(2, Ordering::SeqCst);
    let checkpointer = Arc::new(MemoryCheckpointer::default());
    let app = chat(&once, &checkpointer);
    let input = Chat::update().messages(Message::user("hi"));
    app.run(input).thread("t").invoke().await.unwrap_err();

    // The second attempt is told and stored; its sibling fails.
    let mut run = app.resume().thread("t").stream([Mode::Updates]).start().unwrap();
    let mut told = Vec::new();
    while let Some(event) = run.next().await {
        if event.node() == Some("say") {
            told = json_ids(&event.data()["say"]["messages"]);
        }
    }
    run.finish().await.unwrap_err();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|id| !id.is_empty()) && told[0] != told[1]);

    // A restart takes the result from storage.
    let app = chat(&once, &checkpointer);
    let outcome = app.resume().thread("t").invoke().await.unwrap();
    let all = ids(&outcome.state().messages);
    assert_eq!(all[1..], told, "the second attempt's ids are in the state");
    let seen = once.seen.lock().unwrap().clone();
    assert_eq!(seen, [all.join(" "), all.join(" ")], "both attempts gave these ids");

    let history = app.history("t", &Filter::default()).await.unwrap();
    assert_eq!(ids(&history[0].state().messages), all);
    assert_eq!(ids(&history[1].state().messages), all[..1], "the input's message keeps its id");

    // A branch is another conversation: its messages have ids of their own.
    let start = history[1].checkpoint.unwrap();
    let branch = app.resume().thread("t").at(start).invoke().await.unwrap();
    let other = ids(&branch.state().messages);
    assert_eq!(other[0], all[0]);
    assert!(other.len() == 3 && !other[1..].iter().any(|id| all.contains(id)));
}

#[tokio::test]
async fn an_untyped_state_keeps_messages_by_the_name_of_their_reducer() {
    let keys = Keys::new()
        .define_reducer("add_messages", json_messages())
        .key(Key::new("messages").reducer("add_messages"));
    let mut graph = Graph::<Untyped>::untyped("chat", keys);
    graph.node_json("say", |state: JsonView, _: Ctx| async move {
        let said = state["messages"].as_array().map_or(0, Vec::len);
        let say = |text: String| json!({"role": "assistant", "content": text});
        Ok(json!({"messages": [say("assistant".to_owned()), say(format!("after {said}"))]}))
    });
    graph.edge(START, "say");
    let app = graph.compile().unwrap().app(());
    let app = app.checkpointer(Arc::new(MemoryCheckpointer::default()));
    let input = json!({"messages": [["user", "hi"], {"role": "user", "content": "x", "id": "1"}]});
    app.run_json(input).thread("t").invoke().await.unwrap();
    let edit = json!({"messages": [{"role": "user", "content": "X", "id": "1"}]});
    let outcome = app.run_json(edit).thread("t").invoke().await.unwrap();
    let messages = outcome.json().unwrap()["messages"].clone();
    let texts: Vec<&Json> =
        messages.as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(texts, ["hi", "X", "assistant", "after 2", "assistant", "after 4"]);
    let mut ids = json_ids(&messages);
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() == 6 && ids.contains(&"1".to_owned()), "{ids:?}");
    let stored = app.state("t").await.unwrap().json().unwrap();
    assert_eq!(stored["messages"], messages);

    let wrong = app.run_json(json!({"messages": [{"x": 1}]})).thread("t").invoke().await;
    let error = wrong.unwrap_err().to_string();
    assert!(error.contains("messages[0]: message: expected a member"), "{error}");
}

#[tokio::test]
async fn an_update_that_removes_nothing_known_fails_its_task() {
    let app = chat(&Deps::default(), &Arc::default());
    let input = json!({"messages": [["user", "hi"], {"type": "remove", "id": "9"}]});
    let error = app.run_json(input).thread("t").invoke().await.unwrap_err();
    assert!(error.to_string().contains("there is no message `9` to remove"), "{error}");
}

#[tokio::test]
async fn an_overwrite_is_a_conversation_without_removals() {
    let app = chat(&Deps::default(), &Arc::default());
    app.run(Chat::update().messages(Message::user("old"))).thread("t").invoke().await.unwrap();
    let list = json!([{"role": "user", "content": "a", "id": "1"}, "b",
                      {"type": "remove", "id": "1"}]);
    let input = json!({"messages": {"__overwrite__": list}});
    let outcome = app.run_json(input).thread("t").invoke().await.unwrap();
    let texts: Vec<String> =
        outcome.state().messages.iter().map(|message| message.text().into_owned()).collect();
    assert_eq!(texts, ["b", "one", "two"]);
}
