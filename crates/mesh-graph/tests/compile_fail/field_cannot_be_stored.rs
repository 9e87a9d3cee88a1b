use mesh_graph::State;

#[derive(Clone, Default)]
struct Section {
    text: String,
}

#[derive(State)]
struct Blog {
    section: Section,
}

fn main() {
    let _ = Section::default().text;
}
