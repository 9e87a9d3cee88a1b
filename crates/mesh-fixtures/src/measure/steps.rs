//! `steps`: counts, one number per superstep, as slowly and as bulkily as it is told.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use cap_std::fs::{Dir, OpenOptions};
use mesh_graph::{Ctx, END, Graph, NodeError, NodeResult, START, State, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Built;

/// The longest `delay`, in seconds.
pub const DELAY_MAX: f64 = 3600.0;

/// The largest `pad`, in bytes.
pub const PAD_MAX: u64 = 16 << 20;

/// How far it counts unless the input says so.
const N: u64 = 6;

/// How long a number takes unless the input says so, in seconds.
const DELAY: f64 = 0.05;

#[derive(State)]
struct Count {
    n: Option<u64>,
    delay: Option<f64>,
    pad: Pad,
    file: Option<String>,
    #[state(append)]
    log: Vec<u64>,
}

/// How much every update carries besides its number: an input says how many bytes, an update is
/// them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Pad {
    Bytes(u64),
    Text(String),
}

impl Default for Pad {
    fn default() -> Self {
        Self::Bytes(0)
    }
}

impl Pad {
    fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => *bytes,
            Self::Text(text) => text.len() as u64,
        }
    }
}

/// A node was asked for what it will not do. The client may know why.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("delay: {0} seconds, expected 0 to {DELAY_MAX}")]
    Delay(f64),
    #[error("pad: {0} bytes, expected at most {PAD_MAX}")]
    Pad(u64),
    #[error("file: the server was started without a folder for files")]
    NoFolder,
    #[error("file: `{file}` cannot be appended to: {problem}")]
    File { file: String, problem: io::Error },
}

impl Refused {
    fn told(self) -> NodeError {
        NodeError::coded("InvalidInput", self.to_string())
    }
}

pub(crate) fn graph(files: Option<Arc<Dir>>) -> Built {
    let mut graph = Graph::<Count>::new("steps");
    graph.lenient_input();
    graph.node("step", move |state: View<Count>, _: Ctx| step(files.clone(), state));
    graph.route(START, next).targets(["step"]);
    graph.route("step", next).targets(["step"]);
    Ok(graph.compile()?.app(()).untyped())
}

fn next(state: &View<Count>) -> &'static str {
    if (state.log.len() as u64) < state.n.unwrap_or(N) { "step" } else { END }
}

async fn step(files: Option<Arc<Dir>>, state: View<Count>) -> NodeResult<CountUpdate> {
    let delay = state.delay.unwrap_or(DELAY);
    if !(0.0..=DELAY_MAX).contains(&delay) {
        return Err(Refused::Delay(delay).told());
    }
    let pad = state.pad.bytes();
    if pad > PAD_MAX {
        return Err(Refused::Pad(pad).told());
    }
    if delay > 0.0 {
        tokio::time::sleep(Duration::from_secs_f64(delay)).await;
    }
    let number = state.log.len() as u64;
    if let Some(file) = &*state.file {
        let files = files.as_deref().ok_or_else(|| Refused::NoFolder.told())?;
        append(files, file, number)
            .map_err(|problem| Refused::File { file: file.clone(), problem }.told())?;
    }
    let mut update = Count::update().push_log(number);
    if pad > 0 {
        update = update.pad(Pad::Text("x".repeat(pad as usize)));
    }
    Ok(update)
}

/// One short line in one write: lines of runs that share a file do not mix, and the line is with
/// the system when this returns, so killing the server does not lose it. The folder confines the
/// path.
fn append(files: &Dir, file: &str, number: u64) -> io::Result<()> {
    let mut file = files.open_with(file, OpenOptions::new().append(true).create(true))?;
    file.write_all(format!("{number}\n").as_bytes())?;
    file.flush()
}
