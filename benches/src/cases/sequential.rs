//! A chain of nodes that do nothing, over one list channel.

use std::sync::Arc;

use futures::future::BoxFuture;
use mesh_graph::{Ctx, Graph, NodeResult, START, State, View};
use serde_json::Value as Json;

use crate::{
    cases::{read, threads},
    floor::{Loop, Next, Node, Reducer, Spawn, Update, Value},
    measure::Once,
    storage::Checkpointers,
};

/// The state of a chat that nobody writes to.
#[derive(State)]
struct Chat {
    #[state(append)]
    messages: Vec<Arc<Json>>,
}

async fn nothing(_: View<Chat>, _: Ctx) -> NodeResult<()> {
    Ok(())
}

pub(crate) fn engine(nodes: usize, mut storage: Checkpointers) -> anyhow::Result<Once> {
    let mut graph = Graph::<Chat>::new("sequential");
    let names: Vec<String> = (0..nodes).map(|node| format!("node_{node}")).collect();
    for name in &names {
        graph.node(name, nothing);
    }
    graph.edge(START, names[0].clone());
    graph.sequence(names);
    let app = graph.compile()?.app(());
    let mut thread = threads();
    Ok(Box::new(move || {
        let app = match storage() {
            Some(checkpointer) => app.clone().checkpointer(checkpointer),
            None => app.clone(),
        };
        Box::pin(read(app.run(Chat::update().extend_messages(Vec::new())).thread(&thread())))
    }))
}

/// The same functions in a loop over one typed state.
pub(crate) fn f1(nodes: usize) -> Once {
    type Step =
        Box<dyn Fn(&Vec<Arc<Json>>) -> BoxFuture<'static, Option<Vec<Arc<Json>>>> + Send + Sync>;
    let steps: Arc<Vec<Step>> = Arc::new(
        (0..nodes).map(|_| -> Step { Box::new(|_| Box::pin(std::future::ready(None))) }).collect(),
    );
    Box::new(move || {
        let steps = Arc::clone(&steps);
        Box::pin(async move {
            let mut messages: Vec<Arc<Json>> = Vec::new();
            for step in steps.iter() {
                if let Some(update) = step(&messages).await {
                    messages.extend(update);
                }
            }
            std::hint::black_box(messages);
            Ok(())
        })
    })
}

fn append(current: Value, update: Value) -> Value {
    match (current.downcast::<Vec<Arc<Json>>>(), update.downcast::<Vec<Arc<Json>>>()) {
        (Ok(mut list), Ok(new)) => {
            Arc::make_mut(&mut list).extend(new.iter().cloned());
            list
        }
        (Ok(list), Err(_)) => list,
        (Err(current), _) => current,
    }
}

pub(crate) fn f2(nodes: usize, spawn: Spawn) -> Once {
    let nothing: Node = Arc::new(|_, _| Box::pin(async { Update::new() }));
    let chain = (0..nodes)
        .map(|node| {
            let next = if node + 1 < nodes { vec![node + 1] } else { Vec::new() };
            (Arc::clone(&nothing), Next::Nodes(next))
        })
        .collect();
    let graph = Arc::new(Loop {
        nodes: chain,
        reducers: vec![Some(append as Reducer)],
        joins: Vec::new(),
        spawn,
    });
    Box::new(move || {
        let graph = Arc::clone(&graph);
        Box::pin(async move {
            let empty: Value = Arc::new(Vec::<Arc<Json>>::new());
            std::hint::black_box(graph.run(vec![empty], vec![(0, None)]).await);
            Ok(())
        })
    })
}
