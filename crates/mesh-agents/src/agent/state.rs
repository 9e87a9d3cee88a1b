//! What an agent remembers.

use std::collections::BTreeMap;

use mesh_graph::State;
use mesh_model::Messages;
use serde_json::{Map, Value as Json};

use crate::{messages::messages, middleware::Jump};

/// The state of an agent, of a team of agents, and of every graph they are mounted in by key.
#[derive(State)]
pub struct AgentState {
    /// The conversation.
    #[state(rule = messages)]
    pub messages: Messages,
    /// The answer in the form that the agent was asked for.
    pub structured_response: Option<Json>,
    /// The agent of a swarm that talks.
    pub active_agent: Option<String>,
    /// What tools and middleware keep, by key; later writes of a key win.
    #[state(merge)]
    pub vars: BTreeMap<String, Json>,
    /// Where a hook went instead of on.
    #[state(ephemeral)]
    pub jump_to: Option<Jump>,
}

impl AgentStateView {
    /// The state as tools see it: a JSON object of its keys.
    pub fn to_json(&self) -> Json {
        let mut object = Map::new();
        let messages = self.messages.iter().map(mesh_model::Message::to_wire).collect();
        object.insert("messages".to_owned(), Json::Array(messages));
        object.insert(
            "structured_response".to_owned(),
            Option::clone(&self.structured_response).unwrap_or_default(),
        );
        object.insert("active_agent".to_owned(), Option::clone(&self.active_agent).into());
        let vars = self.vars.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        object.insert("vars".to_owned(), Json::Object(vars));
        Json::Object(object)
    }
}
