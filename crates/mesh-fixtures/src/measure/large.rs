//! `large`: two thousand nodes in forty mounted graphs, none of which does anything.

use mesh_graph::{Compiled, Ctx, Graph, JsonView, Key, Keys, NodeResult, START, Sharing, Untyped};
use serde_json::json;

use crate::{Built, Error};

/// Mounted graphs: so many lanes beside each other, and so many of them in a lane.
const LANES: usize = 8;
const STAGES: usize = 5;
/// Nodes of a mounted graph: layers of so many nodes, each of which leads to all of the next.
const LAYERS: usize = 10;
const WIDTH: usize = 5;

pub(crate) fn graph() -> Built {
    let area = area()?;
    let mut graph = Graph::untyped("large", keys());
    graph.lenient_input();
    for lane in 0..LANES {
        let name = |stage: usize| format!("lane{lane}_stage{stage}");
        for stage in 0..STAGES {
            graph.mount_shared(&name(stage), &area, Sharing::Values);
        }
        graph.edge(START, name(0));
        graph.sequence((0..STAGES).map(name));
    }
    Ok(graph.compile()?.app(()))
}

fn area() -> Result<Compiled<Untyped>, Error> {
    let mut graph = Graph::untyped("area", keys());
    let name = |layer: usize, place: usize| format!("node{layer}_{place}");
    for layer in 0..LAYERS {
        for place in 0..WIDTH {
            let own = name(layer, place);
            graph.node_json(&own, |_: JsonView, _: Ctx| async { NodeResult::Ok(json!({})) });
            if layer == 0 {
                graph.edge(START, own);
            } else {
                graph.edge(name(layer - 1, place), own);
            }
        }
    }
    // Ways that cross, as real graphs have them.
    for layer in 1..LAYERS {
        graph.edge(name(layer - 1, layer % WIDTH), name(layer, (layer + 1) % WIDTH));
    }
    Ok(graph.compile()?)
}

fn keys() -> Keys {
    Keys::new().key(Key::new("log").append().schema(json!({"type": "array"})))
}
