//! `delay`: sleeps as long as it is told.

use std::time::Duration;

use mesh_agents::messages;
use mesh_graph::{Ctx, Graph, NodeResult, START, State, View};
use mesh_model::{Message, Messages};

use crate::Built;

/// The longest sleep: a number from a client must not overflow the clock.
const DELAY_MAX: Duration = Duration::from_hours(1);

#[derive(State)]
struct Delay {
    #[state(rule = messages)]
    messages: Messages,
    /// Milliseconds.
    delay: u64,
}

pub(crate) fn graph() -> Built {
    let mut graph = Graph::<Delay>::new("delay");
    graph.lenient_input();
    graph.node("long_running", long_running);
    graph.edge(START, "long_running");
    Ok(graph.compile()?.app(()).untyped())
}

async fn long_running(state: View<Delay>, _: Ctx) -> NodeResult<DelayUpdate> {
    let delay = *state.delay;
    tokio::time::sleep(Duration::from_millis(delay).min(DELAY_MAX)).await;
    Ok(Delay::update().messages(Message::user(format!("finished after {delay}ms"))))
}
