//! Graphs for what people do: answer.

pub(crate) mod ask;
