//! Turns of 1 kB on one thread: the history grows, a turn should not get slower.

use std::sync::Arc;

use mesh_graph::{App, Ctx, Graph, NodeResult, START, State, View};
use serde_json::{Value as Json, json};

use crate::{cases::threads, measure::Once, storage::Checkpointers};

/// Bytes of text in a turn.
const TEXT: usize = 1000;

#[derive(State)]
struct Chat {
    #[state(append)]
    messages: Vec<Arc<Json>>,
}

async fn reply(_: View<Chat>, _: Ctx) -> NodeResult<ChatUpdate> {
    let said = json!({ "role": "assistant", "content": "ok" });
    Ok(Chat::update().push_messages(Arc::new(said)))
}

pub(crate) fn engine(turns: usize, mut storage: Checkpointers) -> anyhow::Result<Once> {
    let mut graph = Graph::<Chat>::new("chat");
    graph.node("reply", reply);
    graph.edge(START, "reply");
    let app: App<Chat> = graph.compile()?.app(());
    let mut thread = threads();
    Ok(Box::new(move || {
        let app = storage().map(|checkpointer| app.clone().checkpointer(checkpointer));
        let name = thread();
        Box::pin(async move {
            let Some(app) = app else { anyhow::bail!("a chat needs a checkpointer: use --ckpt") };
            let words: String = "word ".chars().cycle().take(TEXT).collect();
            for _ in 0..turns {
                let said = json!({ "role": "user", "content": words });
                let input = Chat::update().push_messages(Arc::new(said));
                app.run(input).thread(&name).invoke().await?;
            }
            Ok(())
        })
    }))
}
