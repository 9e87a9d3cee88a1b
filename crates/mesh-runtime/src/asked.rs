//! From what a run was asked to do to a run of its graph.

use std::{collections::BTreeMap, sync::Arc};

use mesh_graph::{
    App, Breakpoints, CheckpointId, Command, Config, Durability, Error as GraphError, FailureKind,
    Goto, InterruptId, Resume, Send, Untyped,
};
use serde_json::{Map, Value as Json};

use crate::{Run, run::Kwargs};

/// Supersteps of a run that says nothing about it.
pub(crate) const RECURSION_LIMIT: u32 = 25;

/// What a run begins with.
#[derive(Debug)]
pub(crate) enum Asked {
    /// An input.
    Input(Json),
    /// Nothing new: it goes on with what is unfinished.
    Continue,
    /// Answers, changes, or where to go.
    Command(CommandAsked),
}

/// A command as a client gave it.
#[derive(Debug, Clone, Default)]
pub(crate) struct CommandAsked {
    resume: Option<Resume>,
    update: Option<Json>,
    goto: Vec<Target>,
}

#[derive(Debug, Clone)]
enum Target {
    Node(String),
    Send(String, Json),
}

impl Asked {
    /// What the arguments of a run say.
    pub(crate) fn of(kwargs: &Kwargs) -> Self {
        match &kwargs.command {
            Some(Json::Object(command)) => {
                let command = CommandAsked::of(command);
                if command.is_empty() { Self::Continue } else { Self::Command(command) }
            }
            _ if kwargs.input.is_null() => Self::Continue,
            _ => Self::Input(kwargs.input.clone()),
        }
    }

    /// Whether a client asks to go on without saying so by a command: then there has to be
    /// something to go on with.
    pub(crate) fn needs_work(&self, kwargs: &Kwargs) -> bool {
        matches!(self, Self::Continue) && !matches!(kwargs.command, Some(Json::Object(_)))
    }

    /// The run of the graph, without its options.
    pub(crate) fn begin(&self, app: &App<Untyped>) -> mesh_graph::Run<Untyped> {
        match self {
            Self::Input(input) => app.run_json(input.clone()),
            Self::Continue => app.resume(),
            Self::Command(command) => app.command(command.to_command()),
        }
    }

    /// Whether the graph refused it for a target that it does not have; then it is asked for no
    /// more. Names that no node has are passed over.
    pub(crate) fn passes_over(&mut self, error: &GraphError) -> bool {
        let (Self::Command(command), Some(FailureKind::UnknownTarget { target })) =
            (&mut *self, error.failure_kind())
        else {
            return false;
        };
        let before = command.goto.len();
        command.goto.retain(|goto| goto.node() != target);
        let fewer = command.goto.len() < before;
        if fewer && command.is_empty() {
            *self = Self::Continue;
        }
        fewer
    }
}

impl CommandAsked {
    fn of(command: &Map<String, Json>) -> Self {
        let given = |key: &str| command.get(key).filter(|value| !value.is_null());
        Self {
            resume: given("resume").map(resume),
            update: given("update").cloned(),
            goto: match given("goto") {
                Some(Json::Array(targets)) => targets.iter().filter_map(Target::of).collect(),
                Some(target) => Target::of(target).into_iter().collect(),
                None => Vec::new(),
            },
        }
    }

    fn is_empty(&self) -> bool {
        self.resume.is_none() && self.update.is_none() && self.goto.is_empty()
    }

    fn to_command(&self) -> Command {
        let goto = self.goto.iter().map(|target| match target {
            Target::Node(node) => Goto::from(node.as_str()),
            Target::Send(node, argument) => Goto::from(Send::json(node, argument.clone())),
        });
        Command {
            resume: self.resume.clone(),
            update: self.update.clone(),
            goto: goto.collect(),
            to_parent: false,
        }
    }
}

impl Target {
    /// A node's name, or `{"node", "input"}`. Anything else, and the end, leads nowhere.
    fn of(given: &Json) -> Option<Self> {
        match given {
            Json::String(node) if node == "__end__" => None,
            Json::String(node) => Some(Self::Node(node.clone())),
            Json::Object(send) => {
                let node = send.get("node").and_then(Json::as_str)?;
                let argument = send.get("input").or_else(|| send.get("args"));
                Some(Self::Send(node.to_owned(), argument.cloned().unwrap_or_default()))
            }
            _ => None,
        }
    }

    fn node(&self) -> &str {
        match self {
            Self::Node(node) | Self::Send(node, _) => node,
        }
    }
}

/// An object whose keys are all ids of questions holds answers by id; anything else is one answer.
pub(crate) fn resume(given: &Json) -> Resume {
    match given {
        Json::Object(answers)
            if !answers.is_empty() && answers.keys().all(|key| is_interrupt_id(key)) =>
        {
            let answers = answers.iter().map(|(id, answer)| (id.clone(), answer.clone()));
            Resume::ById(answers.collect::<BTreeMap<_, _>>())
        }
        answer => Resume::Only(answer.clone()),
    }
}

fn is_interrupt_id(key: &str) -> bool {
    key.len() == 32 && key.parse::<InterruptId>().is_ok()
}

/// Nodes to stop at: `"*"` or a list of names.
fn breakpoints(given: Option<&Json>) -> Breakpoints {
    match given {
        Some(Json::String(all)) if all == "*" => Breakpoints::All,
        Some(Json::String(one)) => Breakpoints::At(vec![one.clone()]),
        Some(Json::Array(names)) if names.iter().any(|name| name == "*") => Breakpoints::All,
        Some(Json::Array(names)) => {
            let names = names.iter().filter_map(Json::as_str).map(str::to_owned);
            Breakpoints::At(names.collect())
        }
        _ => Breakpoints::None,
    }
}

/// The checkpoint that a run starts from, if it is given one: `Err` with what is no id.
pub(crate) fn checkpoint(kwargs: &Kwargs) -> Result<Option<CheckpointId>, String> {
    let Some(given) = &kwargs.checkpoint else { return Ok(None) };
    // Of a graph below, the checkpoint of the root that it belongs to.
    let root = given.pointer("/checkpoint_map/").filter(|id| id.is_string());
    match root.or_else(|| given.get("checkpoint_id")) {
        Some(Json::String(id)) => id.parse().map(Some).map_err(|_| id.clone()),
        _ => Ok(None),
    }
}

/// Adds the options that a run was made with.
pub(crate) fn with_options(
    started: mesh_graph::Run<Untyped>,
    run: &Run,
) -> mesh_graph::Run<Untyped> {
    let kwargs = &run.kwargs;
    let limit = kwargs.config.get("recursion_limit").and_then(Json::as_u64);
    let limit = limit.map_or(RECURSION_LIMIT, |limit| u32::try_from(limit).unwrap_or(u32::MAX));
    let durability = match kwargs.durability.as_deref() {
        Some("sync") => Durability::Sync,
        Some("exit") => Durability::Exit,
        _ => Durability::Async,
    };
    let mut started = started
        .thread(&run.thread)
        .run_id(&run.id.to_string())
        .recursion_limit(limit)
        .durability(durability)
        .config(Arc::new(config(run)))
        .stream(kwargs.recorded().iter())
        .merge_tokens()
        .tell_first();
    if kwargs.interrupt_before.is_some() {
        started = started.break_before(breakpoints(kwargs.interrupt_before.as_ref()));
    }
    if kwargs.interrupt_after.is_some() {
        started = started.break_after(breakpoints(kwargs.interrupt_after.as_ref()));
    }
    if kwargs.tells_of_subgraphs() { started.subgraphs() } else { started }
}

fn config(run: &Run) -> Config {
    let config = &run.kwargs.config;
    let object = |key: &str| config.get(key).and_then(Json::as_object).cloned().unwrap_or_default();
    let mut metadata = object("metadata");
    for (key, value) in [
        ("thread_id", Json::from(run.thread.as_str())),
        ("run_id", Json::from(run.id.to_string())),
        ("run_attempt", Json::from(run.attempt)),
    ] {
        metadata.insert(key.to_owned(), value);
    }
    let tags = config.get("tags").and_then(Json::as_array);
    let tags = tags.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned);
    Config {
        tags: tags.collect(),
        configurable: object("configurable"),
        metadata,
        context: run.kwargs.context.clone(),
    }
}
