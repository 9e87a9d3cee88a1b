//! `run.start` and `state.fork`: new runs.

use mesh_protocol::run::RunCreate;
use mesh_runtime::{Error, Run, Scope, thread::state::At};
use serde_json::{Map, Value as Json, json};

use super::command::{Command, Desk, Fault};
use crate::{
    auth::Action,
    rest::runs::{Making, create},
};

/// Everything that the protocol is made of, by the names that a run's log goes by.
const STREAM_MODES: [&str; 8] =
    ["values", "updates", "custom", "messages-tuple", "tasks", "checkpoints", "tools", "lifecycle"];

/// What a run of the protocol is asked for with.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) assistant: String,
    pub(super) input: Json,
    pub(super) command: Option<Json>,
    pub(super) config: Json,
    pub(super) metadata: Json,
    pub(super) multitask: Json,
}

/// Makes a run that tells everything, on a thread that is made for it if need be.
pub(super) async fn make(desk: &Desk, asked: Asked) -> Result<Run, Fault> {
    let scope = desk.caller.scope(Action::CreateRun)?;
    let body = json!({
        "assistant_id": asked.assistant,
        "input": asked.input,
        "command": asked.command,
        "config": asked.config,
        "metadata": asked.metadata,
        "multitask_strategy": asked.multitask,
        "if_not_exists": "create",
        "stream_resumable": true,
        "stream_subgraphs": true,
    });
    let body: RunCreate =
        serde_json::from_value(body).map_err(|error| Fault::invalid(error.to_string()))?;
    let making = Making {
        shared: std::sync::Arc::clone(&desk.shared),
        runtime: desk.runtime.clone(),
        caller: desk.caller.clone(),
        headers: desk.headers.clone(),
    };
    let mut new = create::new_run(&making, Some(desk.thread), body).await?;
    new.stream_mode = STREAM_MODES.map(str::to_owned).to_vec();
    Ok(desk.runtime.create_run(&scope, new).await?)
}

/// Parameters that runs have in common.
pub(super) fn common(command: &Command) -> Asked {
    let given = |name: &str| command.params.get(name).cloned().unwrap_or_default();
    Asked { config: given("config"), metadata: given("metadata"), ..Asked::default() }
}

/// `run.start`: a new run; on a thread that asks something, its input is the answer.
pub(super) async fn start(desk: &Desk, command: &Command) -> Result<Json, Fault> {
    let assistant = command.text("assistant_id").filter(|id| !id.is_empty());
    let assistant =
        assistant.ok_or_else(|| Fault::invalid("run.start requires an assistant_id."))?.to_owned();
    let given = |name: &str| command.params.get(name).filter(|value| !value.is_null()).cloned();
    let mut asked = Asked {
        assistant,
        input: given("input").unwrap_or_default(),
        multitask: given("multitaskStrategy")
            .or_else(|| given("multitask_strategy"))
            .unwrap_or_default(),
        ..common(command)
    };
    if !asked.input.is_null() && !is_fork(&asked.config) && answers(desk, &asked.assistant).await? {
        asked.command = Some(json!({ "resume": std::mem::take(&mut asked.input) }));
    }
    let run = make(desk, asked).await?;
    Ok(json!({ "run_id": run.id }))
}

/// Whether the configuration names a checkpoint to start from.
fn is_fork(config: &Json) -> bool {
    config.pointer("/configurable/checkpoint_id").is_some_and(|id| !id.is_null())
}

/// Whether an input for this assistant is an answer: its graph is the one that asked.
async fn answers(desk: &Desk, assistant: &str) -> Result<bool, Fault> {
    let scope = desk.caller.scope(Action::CreateRun)?;
    let questions = match desk.runtime.questions(&scope, &desk.thread.to_string()).await {
        Ok(questions) => questions,
        // It is made with the run, or is somebody else's, which making the run finds out.
        Err(Error::NoThread(_)) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if questions.open.is_empty() {
        return Ok(false);
    }
    match desk.runtime.assistant(&Scope::All, assistant).await {
        Ok(assistant) => Ok(questions.graph.as_deref() == Some(&*assistant.graph)),
        // Making the run says so.
        Err(Error::NoAssistant(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// `state.fork`: a new run of the thread's assistant, from one of its checkpoints.
pub(super) async fn fork(desk: &Desk, command: &Command) -> Result<Json, Fault> {
    let checkpoint = command
        .text("checkpoint_id")
        .ok_or_else(|| Fault::invalid("state.fork requires a checkpoint_id."))?
        .to_owned();
    let scope = desk.caller.scope(Action::CreateRun)?;
    let thread = desk.thread.to_string();
    let questions = desk.runtime.questions(&scope, &thread).await?;
    let no_checkpoint =
        || Fault::new("no_such_checkpoint", format!("Unknown checkpoint: {checkpoint}"));
    let at = At { ns: String::new(), checkpoint: Some(checkpoint.clone()) };
    let state = desk.runtime.thread_state(&scope, &thread, &at, false).await?;
    if state["metadata"].is_null() {
        return Err(no_checkpoint());
    }
    let assistant = questions.assistant.ok_or_else(no_checkpoint)?;
    let mut asked = Asked {
        assistant,
        input: command.params.get("input").cloned().unwrap_or_default(),
        ..common(command)
    };
    if asked.config.is_null() {
        asked.config = json!({});
    }
    let Some(config) = asked.config.as_object_mut() else {
        return Err(Fault::invalid("config: expected an object"));
    };
    let configurable = config.entry("configurable").or_insert_with(|| Json::Object(Map::new()));
    let Some(configurable) = configurable.as_object_mut() else {
        return Err(Fault::invalid("config.configurable: expected an object"));
    };
    configurable.insert("checkpoint_id".to_owned(), checkpoint.into());
    let run = make(desk, asked).await?;
    Ok(json!({ "run_id": run.id, "thread_id": run.thread }))
}
