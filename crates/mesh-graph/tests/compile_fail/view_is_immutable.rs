use mesh_graph::{Ctx, NodeResult, State, View};

#[derive(State)]
struct Blog {
    #[state(append)]
    sections: Vec<String>,
}

async fn plan(mut state: View<Blog>, _: Ctx) -> NodeResult<BlogUpdate> {
    state.sections.push("smuggled in".to_owned());
    Ok(Blog::update())
}

fn main() {}
