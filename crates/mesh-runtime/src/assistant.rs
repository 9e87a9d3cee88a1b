//! Assistants: a graph with a named, versioned configuration.

mod description;
mod operations;
mod rows;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::{Error, Scope, Stamp, page::Direction};

pub use description::Description;
pub use rows::AssistantRows;

/// Namespace of the ids of the assistants that every graph has of itself, as LangGraph's servers
/// have it: clients may compute such an id by themselves.
const SYSTEM: Uuid = Uuid::from_u128(0x6ba7_b821_9dad_11d1_80b4_00c0_4fd4_30c8);

/// What an assistant is called that nobody named.
const UNTITLED: &str = "Untitled";

/// Key of a configuration that holds what nodes read of it; the same as the context.
const CONFIGURABLE: &str = "configurable";

/// An assistant as it is now, or one of its versions.
#[derive(Debug, Clone, PartialEq)]
pub struct Assistant {
    /// Its id.
    pub id: Uuid,
    /// The graph it runs.
    pub graph: String,
    /// `{tags?, recursion_limit?, configurable?, …}`.
    pub config: Map<String, Json>,
    /// What nodes get as their context.
    pub context: Json,
    /// Free entries, which searches can filter by.
    pub metadata: Map<String, Json>,
    /// For people.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// When it was made; of a version, when that was.
    pub created_at: Stamp,
    /// When it was last changed.
    pub updated_at: Stamp,
    /// 1, 2, 3 …
    pub version: u32,
    /// Who made it; nobody for those of the graphs themselves.
    pub owner: Option<String>,
}

/// What happens when there is one with the id already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfExists {
    /// [`Error::Exists`].
    #[default]
    Raise,
    /// The one that is there is given back as it is.
    DoNothing,
}

/// An assistant to make. What is left out is empty.
#[derive(Debug, Clone, Default)]
pub struct NewAssistant {
    /// The graph.
    pub graph: String,
    /// Its id; else a new one.
    pub id: Option<Uuid>,
    /// See [`Assistant::config`].
    pub config: Option<Map<String, Json>>,
    /// See [`Assistant::context`].
    pub context: Option<Json>,
    /// See [`Assistant::metadata`].
    pub metadata: Option<Map<String, Json>>,
    /// `Untitled` without.
    pub name: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// What happens when the id is taken.
    pub if_exists: IfExists,
}

/// What to change about an assistant; what is left out stays.
#[derive(Debug, Clone, Default)]
pub struct AssistantPatch {
    /// Another graph.
    pub graph: Option<String>,
    /// Another configuration, in place of the one it has.
    pub config: Option<Map<String, Json>>,
    /// Another context, in place of the one it has.
    pub context: Option<Json>,
    /// Entries that are added to those it has, or replace them.
    pub metadata: Option<Map<String, Json>>,
    /// Another name.
    pub name: Option<String>,
    /// Another description.
    pub description: Option<String>,
}

/// What a search looks for. What is left out does not matter.
#[derive(Debug, Clone, Default)]
pub struct AssistantFilter {
    /// Entries that the metadata contains; see [`crate::containment`].
    pub metadata: Option<Map<String, Json>>,
    /// The graph.
    pub graph: Option<String>,
    /// Part of the name, in whatever case.
    pub name: Option<String>,
}

/// What a search is sorted by. Equal ones are in order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AssistantSort {
    /// By id.
    Id,
    /// By graph.
    Graph,
    /// By name.
    Name,
    /// By the time it was made.
    #[default]
    CreatedAt,
    /// By the time it was changed.
    UpdatedAt,
}

/// The order of a search: newest first unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AssistantOrder {
    /// By what.
    pub by: AssistantSort,
    /// From where.
    pub direction: Direction,
}

impl AssistantFilter {
    /// Whether an assistant is one of those, for this caller.
    fn matches(&self, scope: &Scope, assistant: &Assistant) -> bool {
        let named = |part: &String| assistant.name.to_lowercase().contains(&part.to_lowercase());
        scope.sees(assistant.owner.as_deref())
            && self.graph.as_ref().is_none_or(|graph| *graph == assistant.graph)
            && self.name.as_ref().is_none_or(named)
            && self
                .metadata
                .as_ref()
                .is_none_or(|part| crate::containment::contains_entries(&assistant.metadata, part))
    }
}

/// The id of the assistant that a graph has of itself: UUID version 5 of the graph's id.
pub fn system_id(graph: &str) -> Uuid {
    Uuid::new_v5(&SYSTEM, graph.as_bytes())
}

/// Makes `config.configurable` and `context` say the same: whichever is given is copied to the
/// other one. Graphs read one or the other. Empty ones count as not given.
///
/// # Errors
/// [`Error::TwoContexts`] when both are given.
pub fn mirror(config: &mut Map<String, Json>, context: &mut Json) -> Result<(), Error> {
    let empty = |value: &Json| match value {
        Json::Null => true,
        Json::Object(entries) => entries.is_empty(),
        _ => false,
    };
    let configurable = config.get(CONFIGURABLE).filter(|given| !empty(given));
    match (configurable, empty(context)) {
        (Some(_), false) => return Err(Error::TwoContexts),
        (Some(configurable), true) => *context = configurable.clone(),
        // A context that is no object has no entries that configuration could have.
        (None, false) if context.is_object() => {
            config.insert(CONFIGURABLE.to_owned(), context.clone());
        }
        (None, _) => {}
    }
    if context.is_null() {
        *context = Json::Object(Map::new());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    fn mirrored(config: Json, mut context: Json) -> Option<(Json, Json)> {
        let Json::Object(mut config) = config else { return None };
        super::mirror(&mut config, &mut context).ok()?;
        Some((Json::Object(config), context))
    }

    #[test]
    fn a_graphs_own_assistant_has_the_id_that_clients_compute() {
        let id = super::system_id("agent").to_string();
        assert_eq!(id, "fe096781-5601-53d2-b2f6-0d3403f7e9ca");
    }

    #[test]
    fn configurable_and_context_mirror_each_other() {
        let (x, of_x) = (json!({ "x": 1 }), json!({ "configurable": { "x": 1 } }));
        assert_eq!(mirrored(of_x.clone(), Json::Null), Some((of_x.clone(), x.clone())));
        assert_eq!(mirrored(json!({}), x.clone()), Some((of_x.clone(), x.clone())));
        assert_eq!(
            mirrored(json!({ "configurable": {} }), x.clone()),
            Some((of_x.clone(), x.clone()))
        );
        assert_eq!(mirrored(of_x.clone(), json!({})), Some((of_x.clone(), x.clone())));
        assert_eq!(mirrored(json!({}), Json::Null), Some((json!({}), json!({}))));
        assert_eq!(mirrored(of_x, x), None);
    }
}
