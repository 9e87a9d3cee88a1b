//! `input.respond`: answers to what a thread asks.

use mesh_runtime::Error;
use serde_json::{Map, Value as Json, json};

use super::{
    command::{Command, Desk, Fault},
    start,
};
use crate::auth::Action;

/// Starts the run that takes the answers.
pub(super) async fn respond(desk: &Desk, command: &Command) -> Result<Json, Fault> {
    let answers = answers(command)?;
    let scope = desk.caller.scope(Action::CreateRun)?;
    let none = || Fault::new("no_such_run", "No interrupted run is bound to this thread.");
    let questions = match desk.runtime.questions(&scope, &desk.thread.to_string()).await {
        Ok(questions) => questions,
        Err(Error::NoThread(_)) => return Err(none()),
        Err(error) => return Err(error.into()),
    };
    if !questions.were_any {
        return Err(none());
    }
    let assistant = questions.assistant.ok_or_else(none)?;
    if let Some((unknown, _)) = answers.iter().find(|(id, _)| !questions.open.contains(id)) {
        let message = format!("Unknown or already-consumed interrupt: {unknown}");
        return Err(Fault::new("no_such_interrupt", message));
    }
    let mut asked = json!({ "resume": answers });
    for member in ["update", "goto"] {
        if let Some(value) = command.params.get(member).filter(|value| !value.is_null()) {
            asked[member] = value.clone();
        }
    }
    start::make(desk, start::Asked { assistant, command: Some(asked), ..start::common(command) })
        .await?;
    Ok(json!({}))
}

/// The answers by the ids of their questions: one, or a list.
fn answers(command: &Command) -> Result<Map<String, Json>, Fault> {
    let one = |entry: &Map<String, Json>| {
        let id = entry.get("interrupt_id")?.as_str()?.to_owned();
        Some((id, entry.get("response").cloned().unwrap_or_default()))
    };
    match command.params.get("responses") {
        None | Some(Json::Null) => one(&command.params)
            .map(|answer| Map::from_iter([answer]))
            .ok_or_else(|| Fault::invalid("input.respond requires an interrupt_id.")),
        Some(Json::Array(entries)) if !entries.is_empty() => {
            let answers: Option<Map<String, Json>> =
                entries.iter().map(|entry| entry.as_object().and_then(one)).collect();
            answers.ok_or_else(|| {
                Fault::invalid("input.respond responses entries require an interrupt_id.")
            })
        }
        Some(_) => Err(Fault::invalid("input.respond requires at least one response.")),
    }
}
