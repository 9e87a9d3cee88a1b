//! The query of a socket's address.

use mesh_graph::{Mode, Modes};
use url::form_urlencoded;

use crate::{THREAD_ID_CHARS_MAX, refusal::Refusal, socket::from_any_depth};

/// What a client asked for in the address of its socket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Query {
    /// The streams of wrapped frames; none asks for plain updates.
    pub(crate) modes: Option<Modes>,
    /// Updates and values of mounted graphs as well.
    pub(crate) subgraphs: bool,
    /// The thread to run on.
    pub(crate) thread: Option<String>,
    /// The run goes on when the client leaves.
    pub(crate) detach: bool,
    /// The client comes back for the newest run of the thread, and has its frames up to this one.
    pub(crate) after: Option<u64>,
    /// Whether text comes before it is stored, as the client said it.
    pub(crate) early: Option<bool>,
}

impl Query {
    /// Reads the part after `?`. What is unknown, doubled or without effect is refused by name.
    pub(crate) fn parse(raw: &str) -> Result<Self, Refusal> {
        let refuse = |text: String| Err(Refusal::InvalidQuery(text));
        let mut query = Self::default();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
            if seen.contains(&name) {
                return refuse(format!("{name}: given twice"));
            }
            match &*name {
                "stream_mode" => {
                    let modes: Result<Modes, _> =
                        value.split(',').map(str::parse::<Mode>).collect();
                    match modes {
                        Ok(modes) => query.modes = Some(modes),
                        Err(unknown) => return refuse(format!("stream_mode: {unknown}")),
                    }
                }
                "subgraphs" => match &*value {
                    "true" => query.subgraphs = true,
                    "false" => query.subgraphs = false,
                    other => {
                        return refuse(format!("subgraphs: `{other}`, expected true or false"));
                    }
                },
                "thread_id" if is_thread_id(&value) => query.thread = Some(value.into_owned()),
                "thread_id" => return Err(Refusal::InvalidThreadId),
                "on_disconnect" => match &*value {
                    "cancel" => query.detach = false,
                    "continue" => query.detach = true,
                    other => {
                        return refuse(format!(
                            "on_disconnect: `{other}`, expected cancel or continue"
                        ));
                    }
                },
                "last_event_id" => match value.parse() {
                    Ok(last) => query.after = Some(last),
                    Err(_) => {
                        return refuse(format!(
                            "last_event_id: `{value}`, expected the seq of a frame, or 0"
                        ));
                    }
                },
                "early" => match &*value {
                    "true" => query.early = Some(true),
                    "false" => query.early = Some(false),
                    other => {
                        return refuse(format!("early: `{other}`, expected true or false"));
                    }
                },
                other => {
                    return refuse(format!(
                        "`{other}` is unknown; there is stream_mode, subgraphs, thread_id, \
                         on_disconnect, last_event_id and early"
                    ));
                }
            }
            seen.push(name);
        }
        if query.after.is_some() {
            if query.thread.is_none() {
                return refuse("last_event_id: needs thread_id".to_owned());
            }
            if query.subgraphs || query.detach {
                return refuse(
                    "last_event_id: what subgraphs and on_disconnect say was said when the run \
                     was made"
                        .to_owned(),
                );
            }
        }
        if query.early.is_some() && !query.has_messages() {
            return refuse("early: needs messages in stream_mode".to_owned());
        }
        let only_said = |modes: Modes| modes.iter().all(from_any_depth);
        if query.subgraphs && query.modes.is_none_or(only_said) {
            return refuse(
                "subgraphs: needs one more of updates, values, tasks, checkpoints, debug or \
                 lifecycle in stream_mode"
                    .to_owned(),
            );
        }
        Ok(query)
    }

    /// Whether text of messages comes before it is stored. A client that may come back says so
    /// itself, since it has to put together what it gets.
    pub(crate) fn tells_early(&self) -> bool {
        self.has_messages() && self.early.unwrap_or(self.thread.is_none())
    }

    fn has_messages(&self) -> bool {
        self.modes.is_some_and(|modes| modes.has(Mode::Messages))
    }
}

fn is_thread_id(text: &str) -> bool {
    let printable = |c: char| {
        c == ' ' || !(c.is_control() || c.is_whitespace() || c == char::REPLACEMENT_CHARACTER)
    };
    (1..=THREAD_ID_CHARS_MAX).contains(&text.chars().count())
        && text.chars().all(printable)
        && text.trim() == text
}

#[cfg(test)]
mod tests;
