//! The graph engine: typed state, supersteps, checkpoints, streams.
