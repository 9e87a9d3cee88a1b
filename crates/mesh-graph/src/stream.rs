//! What a run tells while it runs.
//!
//! A run without readers tells nothing and pays nothing; what a reader asked for is sent as it is
//! and rendered when it is read. Modes and payloads are those of LangGraph, because other people's
//! clients read them.

mod event;
mod framing;
mod mode;
mod show;
mod sink;
mod tool;

pub use event::Event;
pub use framing::Framing;
pub use mode::{Mode, Modes, UnknownStreamMode};
pub use show::{OutputKeys, REDACTED};
pub use tool::ToolEvent;

pub(crate) use event::{Body, NextTask, Said, Task, Told};
pub(crate) use show::Shown;
pub(crate) use sink::Sink;

/// Events held for a reader that is slower than the run; then the run waits.
pub const EVENT_BUFFER: usize = 256;
