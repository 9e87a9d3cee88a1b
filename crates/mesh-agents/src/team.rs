//! Teams: agents that hand a conversation to one another.
//!
//! A [`supervisor()`] gives work to its members and gets it back; in a [`swarm()`] whoever is
//! handed the conversation keeps it, over turns. Members are graphs over [`AgentState`] of any make.
//! Semantics: LangGraph's supervisor and swarm libraries. Parallel hand-overs all count, and the
//! members they lead to run in one superstep.

use std::sync::Arc;

use mesh_graph::{Compiled, Graph, Route, START, View};
use mesh_model::{Kind, Message, Messages, ToolCall};
use serde_json::Map;

use crate::{
    agent::{AgentBuilder, AgentState, AgentStateUpdate, AgentStateView, BuildError},
    handoff::delegation,
};

/// The lead of a supervised team.
const LEAD: &str = "supervisor";

/// What the others get to see of a member's work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OutputMode {
    /// Its last message.
    #[default]
    LastMessage,
    /// Everything it and its tools said.
    FullHistory,
}

struct Member<D> {
    name: String,
    description: String,
    agent: Compiled<AgentState, D>,
}

/// A team whose lead hands work over to members, who hand it back.
///
/// `lead` gets a tool `transfer_to_<member>` for every member; the lead's node is `supervisor`.
/// Members see the whole conversation.
pub fn supervisor<D: Send + Sync + 'static>(lead: AgentBuilder) -> SupervisorBuilder<D> {
    let (output, hands_back) = (OutputMode::LastMessage, true);
    SupervisorBuilder { lead, members: Vec::new(), output, hands_back }
}

/// A supervised team under construction.
#[must_use = "a team is made by `build`"]
pub struct SupervisorBuilder<D> {
    lead: AgentBuilder,
    members: Vec<Member<D>>,
    output: OutputMode,
    hands_back: bool,
}

impl<D: Send + Sync + 'static> SupervisorBuilder<D> {
    /// Adds a member. `description` tells the lead when to hand over to it.
    pub fn member(mut self, name: &str, description: &str, agent: Compiled<AgentState, D>) -> Self {
        let (name, description) = (name.to_owned(), description.to_owned());
        self.members.push(Member { name, description, agent });
        self
    }

    /// What the lead and the other members get to see of a member's work.
    pub fn output(mut self, output: OutputMode) -> Self {
        self.output = output;
        self
    }

    /// Leaves out the pair of messages by which a member hands back.
    pub fn without_hand_back(mut self) -> Self {
        self.hands_back = false;
        self
    }

    /// Builds the team's graph.
    ///
    /// # Errors
    /// [`BuildError`] names what does not fit.
    pub fn build(self) -> Result<Compiled<AgentState, D>, BuildError> {
        let mut lead = self.lead.name_unless_named(LEAD);
        for member in &self.members {
            lead = lead.tool(delegation(&member.name, &member.description));
        }
        let lead = lead.build::<D>()?;
        let mut graph = Graph::<AgentState, D>::new("team");
        let names: Vec<String> = self.members.iter().map(|member| member.name.clone()).collect();
        graph.mount(LEAD, &lead, enter, |done| leave(done, OutputMode::FullHistory)).targets(names);
        graph.edge(START, LEAD);
        let (output, hands_back) = (self.output, self.hands_back);
        for Member { name, agent, .. } in self.members {
            let member = name.clone();
            graph.mount(&name, &agent, enter, move |done| {
                let update = leave(done, output);
                if hands_back { update.messages(hand_back(&member, done)) } else { update }
            });
            graph.edge(name, LEAD);
        }
        Ok(graph.compile()?)
    }
}

/// A team in which whoever is handed the conversation keeps it.
///
/// Members hand over by tools made by [`crate::handoff()`]. A turn begins with the agent that was
/// active last, at first with `first`.
pub fn swarm<D: Send + Sync + 'static>(first: &str) -> SwarmBuilder<D> {
    SwarmBuilder { first: first.to_owned(), members: Vec::new() }
}

/// A swarm under construction.
#[must_use = "a swarm is made by `build`"]
pub struct SwarmBuilder<D> {
    first: String,
    members: Vec<(String, Compiled<AgentState, D>)>,
}

impl<D: Send + Sync + 'static> SwarmBuilder<D> {
    /// Adds a member.
    pub fn member(mut self, name: &str, agent: Compiled<AgentState, D>) -> Self {
        self.members.push((name.to_owned(), agent));
        self
    }

    /// Builds the swarm's graph.
    ///
    /// # Errors
    /// [`BuildError`] names what does not fit: `first` has to be a member.
    pub fn build(self) -> Result<Compiled<AgentState, D>, BuildError> {
        let mut graph = Graph::<AgentState, D>::new("swarm");
        let names: Vec<String> = self.members.iter().map(|(name, _)| name.clone()).collect();
        if !names.contains(&self.first) {
            return Err(BuildError::NoMember { agent: self.first });
        }
        for (name, agent) in self.members {
            let others = names.clone();
            let full = |done: &View<AgentState>| leave(done, OutputMode::FullHistory);
            graph.mount(&name, &agent, enter, full).targets(others);
        }
        let first: Arc<str> = Arc::from(self.first);
        graph
            .route(START, move |state: &View<AgentState>| {
                Route::from(state.active_agent.as_deref().unwrap_or(&first))
            })
            .targets(names);
        Ok(graph.compile()?)
    }
}

/// What a member starts from: the conversation and what tools keep.
fn enter(team: &View<AgentState>) -> AgentStateUpdate {
    let update = AgentState::update().messages(Messages::clone(&team.messages));
    if team.vars.is_empty() { update } else { update.vars((*team.vars).clone()) }
}

/// What the team gets of a member. Messages that the team knows keep their place by their ids.
fn leave(done: &AgentStateView, output: OutputMode) -> AgentStateUpdate {
    let said = match output {
        OutputMode::FullHistory => Messages::clone(&done.messages),
        OutputMode::LastMessage => done.messages.last().cloned().into_iter().collect(),
    };
    let mut update = AgentState::update().messages(said);
    if !done.vars.is_empty() {
        update = update.vars((*done.vars).clone());
    }
    if done.structured_response.is_some() {
        update = update.structured_response(Option::clone(&done.structured_response));
    }
    update
}

/// The call by which a member hands back, and its result. The call's id follows from what the
/// member said last.
fn hand_back(member: &str, done: &AgentStateView) -> Messages {
    let last = done.messages.last().and_then(|message| message.id.as_deref()).unwrap_or(member);
    let call = ToolCall {
        id: format!("back_{last}"),
        name: format!("transfer_back_to_{LEAD}"),
        args: Map::new(),
    };
    let name = call.name.clone();
    let mut result = Message::tool(&call.id, format!("Transferred back to {LEAD}."));
    result.name = Some(name);
    let kind = Kind::Assistant { tool_calls: vec![call], invalid_tool_calls: vec![], usage: None };
    let mut asks = Message::new(kind, format!("Transferring back to {LEAD}."));
    asks.name = Some(member.to_owned());
    Messages::from(vec![asks, result])
}
