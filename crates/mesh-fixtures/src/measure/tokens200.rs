//! `tokens200`: a fake model that streams, with the time in every piece.

use std::time::Duration;

use mesh_agents::messages;
use mesh_graph::{Ctx, Graph, NodeError, NodeResult, START, State, View};
use mesh_model::Messages;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use crate::{Built, speech::Speech};

/// The most pieces of one reply.
pub const TOKENS_MAX: u64 = 100_000;

/// The longest time between two pieces, in microseconds.
pub const INTERVAL_US_MAX: u64 = 60_000_000;

/// Pieces unless the input says so.
const TOKENS: u64 = 200;

#[derive(State)]
struct Stream {
    #[state(rule = messages)]
    messages: Messages,
    n: Option<u64>,
    interval_us: Option<u64>,
}

pub(crate) fn graph() -> Built {
    let mut graph = Graph::<Stream>::new("tokens200");
    graph.lenient_input();
    graph.node("writer", writer);
    graph.edge(START, "writer");
    Ok(graph.compile()?.app(()).untyped())
}

async fn writer(state: View<Stream>, ctx: Ctx) -> NodeResult<StreamUpdate> {
    let n = state.n.unwrap_or(TOKENS);
    let interval = state.interval_us.unwrap_or(0);
    for (field, value, max) in [("n", n, TOKENS_MAX), ("interval_us", interval, INTERVAL_US_MAX)] {
        if value > max {
            let problem = format!("{field}: {value}, expected at most {max}");
            return Err(NodeError::coded("InvalidInput", problem));
        }
    }
    let interval = Duration::from_micros(interval);
    // Times are counted from the start: the clock is coarser than small intervals, and pieces that
    // are late are said at once.
    let mut due = Instant::now();
    let mut speech = Speech::new(&ctx);
    for _ in 0..n {
        if !interval.is_zero() {
            due += interval;
            tokio::time::sleep_until(due).await;
        }
        speech.say(&format!("t{} ", monotonic_ns())).await?;
    }
    Ok(Stream::update().messages(speech.end().await?))
}

/// `CLOCK_MONOTONIC`, which other processes of the machine read as well.
fn monotonic_ns() -> i128 {
    let now = clock_gettime(ClockId::Monotonic);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}
