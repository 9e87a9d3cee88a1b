//! Threads that wait for an answer: what one of them takes in memory.

use std::sync::Arc;

use mesh_graph::{App, Ctx, Graph, NodeResult, START, State, View};

use crate::{cases::threads, measure::Once, storage::Checkpointers};

#[derive(State)]
struct Draft {
    text: String,
}

async fn review(_: View<Draft>, ctx: Ctx) -> NodeResult<DraftUpdate> {
    let text: String = ctx.interrupt("review", "Is this good?")?;
    Ok(Draft::update().text(text))
}

pub(crate) fn engine(threads_count: usize, mut storage: Checkpointers) -> anyhow::Result<Once> {
    let mut graph = Graph::<Draft>::new("paused");
    graph.node("review", review);
    graph.edge(START, "review");
    let app: App<Draft> = graph.compile()?.app(());
    let mut thread = threads();
    // All of them stay: their memory is what is measured.
    let app = match storage() {
        Some(checkpointer) => app.checkpointer(checkpointer),
        None => anyhow::bail!("paused threads need a checkpointer: use --ckpt"),
    };
    Ok(Box::new(move || {
        let app = app.clone();
        let names: Arc<[String]> = (0..threads_count).map(|_| thread()).collect();
        Box::pin(async move {
            for name in names.iter() {
                let input = Draft::update().text("a draft of some words".to_owned());
                app.run(input).thread(name).invoke().await?;
            }
            Ok(())
        })
    }))
}
