//! The questions of a thread that an answer can still be given to.

use std::collections::HashSet;

use mesh_graph::Mode;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::{
    Error, Run, Runtime, Scope, Tx,
    log::{Entry, Kind, PAGE},
    run::RunStatus,
    runs::RunQuery,
};

/// Runs that are looked at, newest first, to find out whether a thread was ever asked something.
const RUNS_LOOKED_AT: usize = 100;

/// What a thread asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Questions {
    /// Ids of the questions that wait for an answer, in no order.
    pub open: Vec<String>,
    /// Whether there are, or were, any. Of those that were answered long ago nothing is known.
    pub were_any: bool,
    /// The graph of the thread's last run.
    pub graph: Option<String>,
    /// The assistant of the thread's last run.
    pub assistant: Option<String>,
}

impl Runtime {
    /// The questions of a thread. One that a run has told counts from then on, although the run
    /// may still have to end: whatever answers it has to wait for that. One that a run on the
    /// thread was made to answer does not count any more.
    ///
    /// # Errors
    /// [`Error::NoThread`]; [`Error::Damaged`]; [`Error::Storage`].
    pub async fn questions(&self, scope: &Scope, thread: &str) -> Result<Questions, Error> {
        let (scope, thread) = (scope.clone(), thread.to_owned());
        self.ledger().read(move |tx| questions(tx, &scope, &thread)).await
    }
}

fn questions(tx: &mut dyn Tx, scope: &Scope, id: &str) -> Result<Questions, Error> {
    let thread = tx.thread_outline(id, scope)?.ok_or_else(|| Error::NoThread(id.to_owned()))?;
    let named = |key: &str| thread.metadata.get(key).and_then(Json::as_str).map(str::to_owned);
    let open_runs = tx.open_runs(id)?;
    let going = open_runs.iter().find(|run| run.status == RunStatus::Running);
    let tasks = thread.interrupts.iter().flat_map(serde_json::Map::values);
    let left: HashSet<String> =
        tasks.filter_map(Json::as_array).flatten().filter_map(id_of).collect();
    let mut were_any = !left.is_empty();
    let mut open = match going {
        Some(run) => told(tx, run)?,
        None => left,
    };
    were_any |= !open.is_empty();
    // What the run that is going on was made to answer is not asked by it.
    for run in open_runs.iter().filter(|run| going.is_none_or(|going| going.id != run.id)) {
        match answers(run) {
            Some(Answers::All) => open.clear(),
            Some(Answers::To(ids)) => open.retain(|id| !ids.contains(id)),
            None => {}
        }
    }
    if !were_any {
        let newest = RunQuery { status: None, limit: RUNS_LOOKED_AT, offset: 0 };
        were_any = tx.runs(id, &newest)?.iter().any(|run| answers(run).is_some());
    }
    let (graph, assistant) = (named("graph_id"), named("assistant_id"));
    Ok(Questions { open: open.into_iter().collect(), were_any, graph, assistant })
}

enum Answers {
    /// The only question there is, or all.
    All,
    To(Vec<String>),
}

/// What a run was made to answer.
fn answers(run: &Run) -> Option<Answers> {
    match run.kwargs.command.as_ref()?.get("resume")? {
        Json::Null => None,
        Json::Object(answers) if !answers.is_empty() => {
            Some(Answers::To(answers.keys().cloned().collect()))
        }
        _ => Some(Answers::All),
    }
}

/// Ids of the questions that a run has told so far.
fn told(tx: &mut dyn Tx, run: &Run) -> Result<HashSet<String>, Error> {
    let mut ids = HashSet::new();
    let mut after = 0;
    loop {
        let page: Vec<Entry> = tx.run_entries(&run.thread, run.id, after, PAGE)?;
        for entry in &page {
            if matches!(entry.kind, Kind::Event(Mode::Values | Mode::Updates)) {
                ids.extend(asked(&entry.data));
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = last.seq,
            _ => return Ok(ids),
        }
    }
}

/// Ids of the questions in values or updates. Mostly there are none, and then nothing is read.
fn asked(data: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Asked {
        #[serde(rename = "__interrupt__", default)]
        questions: Vec<Json>,
    }
    let may_ask = std::str::from_utf8(data).is_ok_and(|text| text.contains("__interrupt__"));
    if !may_ask {
        return Vec::new();
    }
    let asked: Option<Asked> = serde_json::from_slice(data).ok();
    asked.into_iter().flat_map(|asked| asked.questions).filter_map(|one| id_of(&one)).collect()
}

fn id_of(question: &Json) -> Option<String> {
    question.get("id")?.as_str().map(str::to_owned)
}
