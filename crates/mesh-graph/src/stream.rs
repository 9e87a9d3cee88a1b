//! What a run tells while it runs.
//!
//! A run without readers tells nothing and pays nothing; what a reader asked for is sent as it is
//! and rendered when it is read. Modes and payloads are those of LangGraph, because other people's
//! clients read them.

mod event;
mod events;
mod facts;
mod framing;
mod messages;
mod mode;
mod ordered;
mod piece;
mod reader;
mod show;
mod sink;
mod tool;
pub mod v3;

pub use event::Event;
pub use events::Events;
pub use framing::Framing;
pub use mode::{Mode, Modes, UnknownStreamMode};
pub use ordered::ORDERED_HELD_MAX;
pub use piece::PieceFrame;
pub use show::{OutputKeys, REDACTED};
pub use tool::ToolEvent;

pub(crate) use event::{Body, NextTask, Said, Task, Told, show_update};
pub(crate) use facts::{ATTEMPT, Facts, PLACE};
pub(crate) use messages::{id as message_id, known, written};
pub(crate) use reader::Reader;
pub(crate) use show::Shown;
pub(crate) use sink::{Sink, Wanted};

/// Events held for a reader that is slower than the run; then the run waits.
pub const EVENT_BUFFER: usize = 256;
