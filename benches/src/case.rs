//! The cases by name, and how much work one run of each is.

use std::{fmt, str::FromStr};

/// A case with its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// `sequential_N`: N nodes that do nothing, in a chain; one list channel.
    Sequential(usize),
    /// `fanout_to_subgraph_Kx`: K sends to a mounted graph of `edit`, `generate`, ten times `bump`.
    Fanout(usize),
    /// `wide_state_AxN`: 15 channels, six nodes, two of them in parallel with a join, looping until
    /// there are more than N messages; A entries in the first one.
    WideState(usize, usize),
    /// `react_agent_Kx`: a model that calls one tool K times.
    React(usize),
    /// `paused_N`: N threads that wait for an answer.
    Paused(usize),
    /// `chat_N`: N turns of 1 kB on one thread.
    Chat(usize),
}

/// How much one run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scale {
    /// Executions of nodes.
    pub(crate) node_steps: usize,
    /// Supersteps of all graphs.
    pub(crate) supersteps: usize,
}

impl Case {
    /// How much one run is.
    pub(crate) fn scale(self) -> Scale {
        let (node_steps, supersteps) = match self {
            Self::Sequential(nodes) => (nodes, nodes),
            // The mount, and 12 nodes in it, for every send.
            Self::Fanout(sends) => (13 * sends, 1 + 12 * sends),
            Self::WideState(_, limit) => {
                let loops = wide_state_loops(limit);
                (6 * loops, 5 * loops)
            }
            Self::React(rounds) => (2 * rounds + 1, 2 * rounds + 1),
            Self::Paused(threads) => (threads, threads),
            Self::Chat(turns) => (turns, turns),
        };
        Scale { node_steps, supersteps }
    }
}

/// How often the graph of `wide_state` goes round until it has more than `limit` messages.
fn wide_state_loops(limit: usize) -> usize {
    let (mut messages, mut events, mut responses, mut loops) = (1, 0, 0, 0);
    while messages <= limit {
        events += messages;
        responses += events;
        messages += responses;
        loops += 1;
    }
    loops
}

/// A text that names no case.
#[derive(Debug)]
pub(crate) struct UnknownCase(String);

impl fmt::Display for UnknownCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no case; expected sequential_N, fanout_to_subgraph_Kx, wide_state_AxN \
             (A one of 25, 15, 9), react_agent_Kx, paused_N or chat_N",
            self.0
        )
    }
}

impl std::error::Error for UnknownCase {}

impl FromStr for Case {
    type Err = UnknownCase;

    fn from_str(text: &str) -> Result<Self, UnknownCase> {
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number > 0);
        let parse = || {
            if let Some(nodes) = text.strip_prefix("sequential_") {
                return number(nodes).map(Self::Sequential);
            }
            if let Some(sends) = text.strip_prefix("fanout_to_subgraph_") {
                return sends.strip_suffix('x').and_then(number).map(Self::Fanout);
            }
            if let Some(size) = text.strip_prefix("wide_state_") {
                let (entries, limit) = size.split_once('x')?;
                let entries = number(entries).filter(|entries| matches!(entries, 25 | 15 | 9))?;
                return Some(Self::WideState(entries, number(limit)?));
            }
            if let Some(rounds) = text.strip_prefix("react_agent_") {
                return rounds.strip_suffix('x').and_then(number).map(Self::React);
            }
            if let Some(threads) = text.strip_prefix("paused_") {
                return number(threads).map(Self::Paused);
            }
            text.strip_prefix("chat_").and_then(number).map(Self::Chat)
        };
        parse().ok_or_else(|| UnknownCase(text.to_owned()))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sequential(nodes) => write!(f, "sequential_{nodes}"),
            Self::Fanout(sends) => write!(f, "fanout_to_subgraph_{sends}x"),
            Self::WideState(entries, limit) => write!(f, "wide_state_{entries}x{limit}"),
            Self::React(rounds) => write!(f, "react_agent_{rounds}x"),
            Self::Paused(threads) => write!(f, "paused_{threads}"),
            Self::Chat(turns) => write!(f, "chat_{turns}"),
        }
    }
}
