//! The kinds of stream, by name.

use serde::Serialize;

/// A kind of stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Mode {
    /// The whole state after every superstep that changed it.
    Values,
    /// The update of every task as it finishes.
    Updates,
    /// Whatever nodes send by [`crate::Ctx::emit`].
    Custom,
    /// Model tokens and messages: sent by [`crate::Ctx::message`] and [`crate::Ctx::saying`], and
    /// those that nodes return.
    Messages,
    /// The start and the result of every task.
    Tasks,
    /// Every checkpoint, with the tasks that are next. Needs a checkpointer.
    Checkpoints,
    /// Checkpoints and tasks together, each with its step and time.
    Debug,
    /// Begin and end of the graph and of the graphs mounted in it. LangGraph tells these in its
    /// event protocol only.
    Lifecycle,
    /// What tools do, sent by [`crate::Ctx::tool`].
    Tools,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 9] = [
        Self::Values,
        Self::Updates,
        Self::Custom,
        Self::Messages,
        Self::Tasks,
        Self::Checkpoints,
        Self::Debug,
        Self::Lifecycle,
        Self::Tools,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Values => "values",
            Self::Updates => "updates",
            Self::Custom => "custom",
            Self::Messages => "messages",
            Self::Tasks => "tasks",
            Self::Checkpoints => "checkpoints",
            Self::Debug => "debug",
            Self::Lifecycle => "lifecycle",
            Self::Tools => "tools",
        }
    }
}

/// A name that is no stream mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown stream mode `{name}`; the modes are {}",
    Mode::ALL.map(Mode::name).join(", ")
)]
pub struct UnknownStreamMode {
    /// The name that was given.
    pub name: String,
}

impl std::str::FromStr for Mode {
    type Err = UnknownStreamMode;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == name)
            .ok_or_else(|| UnknownStreamMode { name: name.to_owned() })
    }
}

/// A set of stream modes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Modes(u16);

impl Modes {
    /// No stream at all.
    pub const NONE: Self = Self(0);

    /// Whether `mode` is in the set.
    pub fn has(self, mode: Mode) -> bool {
        self.0 & (1 << mode as u16) != 0
    }

    /// Whether any of `modes` is in the set.
    pub fn any(self, modes: impl IntoIterator<Item = Mode>) -> bool {
        modes.into_iter().any(|mode| self.has(mode))
    }

    /// The set with `mode`.
    pub fn with(self, mode: Mode) -> Self {
        Self(self.0 | (1 << mode as u16))
    }

    /// The modes in it, in the order of [`Mode::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Mode> {
        Mode::ALL.into_iter().filter(move |mode| self.has(*mode))
    }
}

impl FromIterator<Mode> for Modes {
    fn from_iter<I: IntoIterator<Item = Mode>>(modes: I) -> Self {
        modes.into_iter().fold(Self::NONE, Self::with)
    }
}
