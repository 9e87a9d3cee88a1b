//! Drafts that are judged and revised.

use std::sync::Arc;

use mesh_agents::{Critique, Reflection, reflection};
use mesh_graph::{MemoryCheckpointer, Mode};
use mesh_model::testing::{ScriptedModel, ScriptedReply};

fn drafts(texts: &[&str]) -> Arc<ScriptedModel> {
    let model = texts
        .iter()
        .fold(ScriptedModel::new("writer"), |model, text| model.then(ScriptedReply::text(text)));
    Arc::new(model)
}

fn critic(verdicts: &[(bool, &str)]) -> Arc<ScriptedModel> {
    let model = verdicts.iter().fold(ScriptedModel::new("critic"), |model, (good, advice)| {
        let critique = Critique { good: *good, advice: (*advice).to_owned() };
        model.then(ScriptedReply::json(&critique))
    });
    Arc::new(model)
}

#[tokio::test]
async fn a_draft_is_revised_until_it_is_good() {
    let writer = drafts(&["long", "short", "for the second task"]);
    let critic = critic(&[(false, "be brief"), (true, ""), (true, "")]);
    let graph = reflection(writer.clone(), critic).build::<()>().unwrap();
    let app = graph.app(()).checkpointer(Arc::new(MemoryCheckpointer::default()));
    let task = |text: &str| Reflection::update().task(text);
    let mut run = app.run(task("write")).thread("t").stream([Mode::Updates]).start().unwrap();
    let mut nodes = Vec::new();
    while let Some(event) = run.next().await {
        nodes.extend(event.node().map(str::to_owned));
    }
    assert_eq!(nodes, ["begin", "generate", "criticize", "generate", "criticize"]);
    let outcome = run.finish().await.unwrap();
    assert_eq!(outcome.state().draft, "short");
    assert_eq!(outcome.state().drafts, 2);
    let revision = &writer.requests()[1].messages;
    assert_eq!(revision[2].text(), "long");
    assert!(revision[3].text().contains("be brief"));

    let outcome = app.run(task("once more")).thread("t").invoke().await.unwrap();
    assert_eq!(outcome.state().draft, "for the second task");
    assert_eq!(outcome.state().drafts, 1, "a new task is counted from the start");
    assert_eq!(writer.requests()[2].messages.len(), 2, "and written from the start");
}

#[tokio::test]
async fn a_reflection_ends_with_the_last_draft_that_is_allowed() {
    let endless = Arc::new(ScriptedModel::answering("writer", |_| ScriptedReply::text("draft")));
    let never = critic(&[(false, "no"); 9]);
    let graph = reflection(endless.clone(), never.clone()).drafts_max(3).build::<()>().unwrap();
    let run = graph.app(()).run(Reflection::update().task("write"));
    let outcome = run.invoke().await.unwrap();
    assert_eq!(outcome.state().drafts, 3);
    assert_eq!((endless.calls(), never.calls()), (3, 2));
    assert_eq!(*outcome.state().critique, None, "the last draft was not judged");
}
