//! Derives for mesh-graph: sugar over its public traits.
