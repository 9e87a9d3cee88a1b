//! `echo`: returns its input, whatever it is.

use mesh_graph::{Entrypoint, Final, FlowCtx, NodeResult};
use serde_json::Value as Json;

use crate::Built;

pub(crate) fn graph() -> Built {
    // Nothing is kept for the next run, so the input is stored once.
    let echo = Entrypoint::saving("echo", |input: Json, _: FlowCtx<(), ()>| async move {
        NodeResult::Ok(Final { value: input, save: () })
    });
    Ok(echo.compile()?.app(()).untyped())
}
