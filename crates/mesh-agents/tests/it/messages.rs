//! Messages in the state of a graph.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use mesh_agents::messages;
use mesh_graph::{
    App, Ctx, END, Graph, MemoryCheckpointer, Mode, NodeError, NodeResult, Route, START, State,
    View, checkpointer::Filter,
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
