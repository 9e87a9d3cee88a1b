//! What is compared: the same facts in the same words, from the model and from the engine.

use serde_json::Value as Json;

use crate::script::{canonical, digest};

/// One event of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Tells graphs apart; model and engine have names of their own for them.
    pub(crate) ns: String,
    pub(crate) mode: &'static str,
    pub(crate) data: Json,
    /// When; zero where nobody knows.
    pub(crate) time: u64,
}

/// What one call gave.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    pub(crate) end: String,
    pub(crate) values: Json,
    pub(crate) warnings: Vec<String>,
    pub(crate) events: Vec<Told>,
}

impl Observed {
    /// One line per fact. Events are in order within their graph; between graphs that run side by
    /// side there is no order to compare.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines =
            vec![format!("  end {}", self.end), format!("  values {}", canonical(&self.values))];
        lines.extend(self.warnings.iter().map(|warning| format!("  warning {warning}")));
        let mut graphs: Vec<(&str, Vec<&Told>)> = Vec::new();
        for told in &self.events {
            match graphs.iter_mut().find(|(ns, _)| *ns == told.ns) {
                Some((_, events)) => events.push(told),
                None => graphs.push((&told.ns, vec![told])),
            }
        }
        let mut told: Vec<Vec<String>> = Vec::new();
        for (_, mut events) in graphs {
            // The model tells a child's events with its task's; stable, so equal times keep order.
            events.sort_by_key(|told| told.time);
            told.push(
                events
                    .iter()
                    .map(|told| format!("  {} {}", told.mode, canonical(&told.data)))
                    .collect(),
            );
        }
        told.sort();
        for (graph, events) in told.into_iter().enumerate() {
            lines.push(format!("  graph {graph}"));
            lines.extend(events);
        }
        lines
    }
}

/// The name of a place where work is done: who sent it, the node, and the step.
pub(crate) fn place(tag: &str, node: &str, step: i64) -> String {
    format!("{tag}|{node}|{step}")
}

/// How long an execution takes, in milliseconds of a clock that nobody waits for.
pub(crate) fn delay(order: u64, place: &str, execution: u32) -> u64 {
    1 + digest(&format!("{order}|{place}|{execution}")) % 1_000_000
}

pub(crate) fn state_line(next: &[String], values: &Json, open: &[Json]) -> String {
    let open = canonical(&Json::from(open.to_vec()));
    format!("  state next={next:?} {} open={open}", canonical(values))
}

pub(crate) fn task_line(node: &str, error: Option<&str>, asked: &[Json], result: &Json) -> String {
    let (asked, result) = (canonical(&Json::from(asked.to_vec())), canonical(result));
    format!("{node} error={} asked={asked} result={result}", error.unwrap_or("-"))
}

pub(crate) fn checkpoint_line(
    step: i64,
    source: &str,
    parent: Option<usize>,
    next: &[String],
    updated: &[String],
    values: &Json,
    tasks: &[String],
) -> String {
    let parent = parent.map_or_else(|| "-".to_owned(), |parent| parent.to_string());
    let (values, tasks) = (canonical(values), tasks.join("\n      "));
    format!(
        "  checkpoint {step} {source} of {parent} next={next:?} updated={updated:?} {values}\n      {tasks}"
    )
}
