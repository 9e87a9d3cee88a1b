use std::rc::Rc;

use mesh_graph::{Ctx, Graph, NodeResult, State, View};

#[derive(State)]
struct Blog {
    topic: String,
}

async fn pause() {}

async fn plan(state: View<Blog>, _: Ctx) -> NodeResult<BlogUpdate> {
    let topic = Rc::new(state.topic.clone());
    pause().await;
    Ok(Blog::update().topic((*topic).clone()))
}

fn main() {
    let mut graph = Graph::<Blog>::new("blog");
    graph.node("plan", plan);
}
