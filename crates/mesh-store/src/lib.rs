//! SQLite behind the storage traits of mesh-graph.
