//! `agent.getTree`: the graphs of a run, as far as they have begun.

use std::collections::BTreeMap;

use mesh_graph::v3::Envelope;
use mesh_runtime::{Error, log::PAGE, runs::RunQuery};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{
    command::{Command, Desk, Fault},
    translator::Translator,
};

/// A graph that has begun.
#[derive(Debug, Clone, Default)]
struct Node {
    status: String,
    graph: String,
}

/// The tree of the run that is named, or of the thread's newest one that has begun.
pub(super) async fn get(desk: &Desk, command: &Command) -> Result<Json, Fault> {
    let scope = desk.reading()?;
    let thread = desk.thread.to_string();
    let none = || Fault::new("no_such_run", "No run is bound to this thread.");
    let run = match command.params.get("run_id") {
        None | Some(Json::Null) => None,
        Some(id) => Some(id.as_str().and_then(|id| Uuid::try_parse(id).ok()).ok_or_else(none)?),
    };
    let newest = RunQuery { status: None, limit: RUNS_LOOKED_AT, offset: 0 };
    let found = match run {
        Some(run) => desk.runtime.run(&scope, Some(&thread), run).await.map(|run| vec![run]),
        None => desk.runtime.runs(&scope, &thread, &newest).await,
    };
    let runs = match found {
        Ok(runs) => runs,
        Err(Error::NoRun(_) | Error::NoThread(_)) => return Err(none()),
        Err(error) => return Err(error.into()),
    };
    let run = runs.into_iter().find(|run| run.started_at.is_some()).ok_or_else(none)?;
    let id = run.id;
    let events = desk
        .runtime
        .ledger()
        .read(move |tx| {
            let mut translator = Translator::new(|method| method == "lifecycle");
            let (mut events, mut after) = (Vec::new(), 0);
            loop {
                let page = tx.run_entries(&thread, id, after, PAGE)?;
                for entry in &page {
                    events.extend(translator.translate(entry)?);
                }
                match page.last() {
                    Some(last) if page.len() == PAGE => after = last.seq,
                    _ => return Ok(events),
                }
            }
        })
        .await?;
    Ok(json!({ "tree": tree(&events) }))
}

/// Runs that are looked at for one that has begun: those before it wait.
const RUNS_LOOKED_AT: usize = 100;

fn tree(events: &[Envelope]) -> Json {
    let mut nodes: BTreeMap<Vec<String>, Node> = BTreeMap::new();
    for event in events {
        let node = nodes.entry(event.ns.to_vec()).or_default();
        if let Some(status) = event.data["event"].as_str() {
            status.clone_into(&mut node.status);
        }
        if let Some(graph) = event.data["graph_name"].as_str() {
            graph.clone_into(&mut node.graph);
        }
    }
    let root = nodes.remove(&Vec::new()).unwrap_or_default();
    shown(&[], &root, &nodes)
}

/// A graph with those that began in it, in order of their namespaces.
fn shown(ns: &[String], node: &Node, nodes: &BTreeMap<Vec<String>, Node>) -> Json {
    let mut shown = json!({ "namespace": ns, "status": node.status, "graph_name": node.graph });
    let children: Vec<Json> = nodes
        .iter()
        .filter(|(below, _)| below.len() == ns.len() + 1 && below.starts_with(ns))
        .map(|(below, node)| self::shown(below, node, nodes))
        .collect();
    if !children.is_empty() {
        shown["children"] = children.into();
    }
    shown
}
