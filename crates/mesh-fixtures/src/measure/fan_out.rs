//! `fan_out`: one step of as many tasks as it is told to, of which some may fail.

use std::time::Duration;

use mesh_graph::{Arg, Ctx, END, Graph, NodeError, NodeResult, START, State, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::steps::DELAY_MAX;
use crate::Built;

/// The most parts of one run.
pub const PARTS_MAX: u64 = 10_000;

/// Parts unless the input says so.
const PARTS: u64 = 200;

#[derive(State)]
struct Work {
    /// How many parts there are.
    #[state(input)]
    parts: Option<u64>,
    /// How long a part takes, in seconds; the later ones take up to twice as long.
    #[state(input)]
    delay: Option<f64>,
    /// Numbers of the parts that fail.
    #[state(input)]
    fails: Vec<u64>,
    /// Names of the parts that are done, in order.
    #[state(append)]
    done: Vec<String>,
}

/// One part of the work.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Part {
    /// `part 17`.
    name: String,
    /// Seconds.
    delay: f64,
    fails: bool,
}

pub(crate) fn graph() -> Built {
    let mut graph = Graph::<Work>::new("fan_out");
    graph.lenient_input();
    graph.node("split", split);
    let part = graph.node("part", part).id();
    graph.node("gather", |_: View<Work>, _: Ctx| async { NodeResult::Ok(()) });
    graph.edge(START, "split");
    graph.fan_out("split", &part, parts).if_empty(END);
    graph.edge("part", "gather");
    Ok(graph.compile()?.app(()).untyped())
}

async fn split(state: View<Work>, _: Ctx) -> NodeResult<()> {
    let (parts, delay) = (state.parts.unwrap_or(PARTS), state.delay.unwrap_or(0.0));
    let problem = if parts > PARTS_MAX {
        format!("parts: {parts}, expected at most {PARTS_MAX}")
    } else if !(0.0..=DELAY_MAX).contains(&delay) {
        format!("delay: {delay} seconds, expected 0 to {DELAY_MAX}")
    } else {
        return Ok(());
    };
    Err(NodeError::coded("InvalidInput", problem))
}

/// Only asked for once `split` has found the numbers good.
fn parts(state: &View<Work>) -> Vec<Part> {
    let (parts, delay) = (state.parts.unwrap_or(PARTS).min(PARTS_MAX), state.delay.unwrap_or(0.0));
    let part = |number: u64| Part {
        name: format!("part {number}"),
        delay: delay * (1.0 + number as f64 / parts as f64),
        fails: state.fails.contains(&number),
    };
    (0..parts).map(part).collect()
}

async fn part(Arg(part): Arg<Part>, _: Ctx) -> NodeResult<WorkUpdate> {
    if part.delay > 0.0 {
        tokio::time::sleep(Duration::from_secs_f64(part.delay)).await;
    }
    if part.fails {
        let problem = format!("{} was told to fail", part.name);
        return Err(NodeError::coded("ToldToFail", problem));
    }
    Ok(Work::update().push_done(part.name.clone()))
}
