//! What can be done with assistants.

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{
    Assistant, AssistantFilter, AssistantOrder, AssistantPatch, IfExists, NewAssistant, UNTITLED,
    mirror, system_id,
};
use crate::{
    Error, Runtime, Scope, Tx,
    graphs::Served,
    idempotency::{Made, remember},
    page::{Page, Window},
};

/// Entry of the metadata of assistants that graphs have of themselves.
const CREATED_BY: &str = "created_by";
/// Its value.
const BY_SYSTEM: &str = "system";

impl Runtime {
    /// Makes an assistant, of this owner.
    ///
    /// # Errors
    /// [`Error::NoGraph`], [`Error::Exists`], [`Error::TwoContexts`], and what storage reports.
    pub async fn create_assistant(
        &self,
        scope: &Scope,
        owner: Option<&str>,
        new: NewAssistant,
    ) -> Result<Assistant, Error> {
        self.served(&new.graph)?;
        let (mut config, mut context) =
            (new.config.unwrap_or_default(), new.context.unwrap_or_default());
        mirror(&mut config, &mut context)?;
        let now = self.stamp();
        let assistant = Assistant {
            id: new.id.unwrap_or_else(|| self.random_id()),
            graph: new.graph,
            config,
            context,
            metadata: new.metadata.unwrap_or_default(),
            name: new.name.unwrap_or_else(|| UNTITLED.to_owned()),
            description: new.description,
            created_at: now,
            updated_at: now,
            version: 1,
            owner: owner.map(str::to_owned),
        };
        let (scope, if_exists) = (scope.clone(), new.if_exists);
        let key = self.claim().cloned();
        self.ledger()
            .write(move |tx| {
                let made = match tx.assistant(assistant.id)? {
                    Some(there)
                        if if_exists == IfExists::DoNothing
                            && scope.sees(there.owner.as_deref()) =>
                    {
                        there
                    }
                    Some(there) => {
                        return Err(Error::Exists { what: "assistant", id: there.id.to_string() });
                    }
                    None => {
                        tx.insert_assistant(&assistant)?;
                        assistant
                    }
                };
                remember(tx, key.as_deref(), || Made::Assistant(made.id))?;
                Ok(made)
            })
            .await
    }

    /// The id that a text means: an id, or that of a graph's own assistant by the graph's id.
    ///
    /// # Errors
    /// [`Error::NoAssistant`] for a text that is neither.
    pub fn assistant_id(&self, text: &str) -> Result<Uuid, Error> {
        match Uuid::try_parse(text) {
            Ok(id) => Ok(id),
            Err(_) if self.graphs().get(text).is_some() => Ok(system_id(text)),
            Err(_) => Err(Error::NoAssistant(text.to_owned())),
        }
    }

    /// An assistant, by its id or its graph's.
    ///
    /// # Errors
    /// [`Error::NoAssistant`], and what storage reports.
    pub async fn assistant(&self, scope: &Scope, id: &str) -> Result<Assistant, Error> {
        let (id, scope) = (self.assistant_id(id)?, scope.clone());
        self.ledger().look(move |tx| seen(tx, &scope, id)).await
    }

    /// Changes an assistant. Every change, of nothing even, makes a version.
    ///
    /// # Errors
    /// [`Error::NoAssistant`], [`Error::NoGraph`], [`Error::TwoContexts`], and what storage
    /// reports.
    pub async fn update_assistant(
        &self,
        scope: &Scope,
        id: &str,
        patch: AssistantPatch,
    ) -> Result<Assistant, Error> {
        let (id, scope) = (self.assistant_id(id)?, scope.clone());
        if let Some(graph) = &patch.graph {
            self.served(graph)?;
        }
        let mirrored = Mirrored::of(patch.config, patch.context)?;
        let now = self.stamp();
        self.ledger()
            .write(move |tx| {
                let mut assistant = seen(tx, &scope, id)?;
                assistant.version = tx.last_assistant_version(id)?.unwrap_or(0) + 1;
                assistant.updated_at = now;
                mirrored.apply(&mut assistant);
                if let Some(graph) = patch.graph {
                    assistant.graph = graph;
                }
                if let Some(name) = patch.name {
                    assistant.name = name;
                }
                if patch.description.is_some() {
                    assistant.description = patch.description;
                }
                assistant.metadata.extend(patch.metadata.unwrap_or_default());
                tx.update_assistant(&assistant)?;
                Ok(assistant)
            })
            .await
    }

    /// Removes an assistant with its versions. Its runs stay. Gives back its id.
    ///
    /// # Errors
    /// [`Error::NoAssistant`], and what storage reports.
    pub async fn remove_assistant(&self, scope: &Scope, id: &str) -> Result<Uuid, Error> {
        let (id, scope) = (self.assistant_id(id)?, scope.clone());
        self.ledger()
            .write(move |tx| {
                seen(tx, &scope, id)?;
                tx.remove_assistant(id)?;
                Ok(id)
            })
            .await
    }

    /// One page of the assistants that a filter lets through.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn search_assistants(
        &self,
        scope: &Scope,
        filter: AssistantFilter,
        order: AssistantOrder,
        window: Window,
    ) -> Result<Page<Assistant>, Error> {
        let scope = scope.clone();
        self.ledger()
            .read(move |tx| {
                Page::pick(
                    window,
                    |assistant| filter.matches(&scope, assistant),
                    |visit| tx.visit_assistants(filter.graph.as_deref(), order, visit),
                )
            })
            .await
    }

    /// How many assistants a filter lets through.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn count_assistants(
        &self,
        scope: &Scope,
        filter: AssistantFilter,
    ) -> Result<u64, Error> {
        let scope = scope.clone();
        self.ledger()
            .read(move |tx| {
                let mut count = 0;
                let order = AssistantOrder::default();
                tx.visit_assistants(filter.graph.as_deref(), order, &mut |assistant| {
                    count += u64::from(filter.matches(&scope, &assistant));
                    std::ops::ControlFlow::Continue(())
                })?;
                Ok(count)
            })
            .await
    }

    /// One page of the versions of an assistant whose metadata contain these entries, the newest
    /// first.
    ///
    /// # Errors
    /// [`Error::NoAssistant`], and what storage reports.
    pub async fn assistant_versions(
        &self,
        scope: &Scope,
        id: &str,
        metadata: Map<String, Json>,
        window: Window,
    ) -> Result<Page<Assistant>, Error> {
        let (id, scope) = (self.assistant_id(id)?, scope.clone());
        self.ledger()
            .read(move |tx| {
                seen(tx, &scope, id)?;
                Page::pick(
                    window,
                    |version: &Assistant| {
                        crate::containment::contains_entries(&version.metadata, &metadata)
                    },
                    |visit| tx.visit_assistant_versions(id, visit),
                )
            })
            .await
    }

    /// Makes an assistant be as one of its versions. The next change still makes a version with a
    /// number that none had.
    ///
    /// # Errors
    /// [`Error::NoAssistant`], [`Error::NoVersion`], and what storage reports.
    pub async fn set_latest_assistant(
        &self,
        scope: &Scope,
        id: &str,
        version: u32,
    ) -> Result<Assistant, Error> {
        let (id, scope) = (self.assistant_id(id)?, scope.clone());
        let now = self.stamp();
        self.ledger()
            .write(move |tx| {
                let created_at = seen(tx, &scope, id)?.created_at;
                let mut assistant = tx
                    .assistant_version(id, version)?
                    .ok_or(Error::NoVersion { assistant: id, version })?;
                (assistant.created_at, assistant.updated_at) = (created_at, now);
                tx.update_assistant(&assistant)?;
                Ok(assistant)
            })
            .await
    }

    /// Sees to it that every graph has an assistant of itself with the configuration that it is
    /// served with, unless somebody changed that assistant. Those of graphs that are no longer
    /// served go, unless somebody changed them.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn ensure_assistants(&self) -> Result<(), Error> {
        let mut wanted = Vec::new();
        for (graph, served) in self.graphs().iter() {
            wanted.push(self.own_assistant(graph, served)?);
        }
        let now = self.stamp();
        self.ledger()
            .write(move |tx| {
                let mut stale = Vec::new();
                tx.visit_assistants(None, AssistantOrder::default(), &mut |assistant| {
                    let own = assistant.id == system_id(&assistant.graph);
                    let served = wanted.iter().any(|wanted| wanted.id == assistant.id);
                    if own && !served && assistant.version == 1 {
                        stale.push(assistant.id);
                    }
                    std::ops::ControlFlow::Continue(())
                })?;
                for id in stale {
                    tx.remove_assistant(id)?;
                }
                for mut wanted in wanted {
                    match tx.assistant(wanted.id)? {
                        None => tx.insert_assistant(&wanted)?,
                        Some(there) if tx.last_assistant_version(there.id)? == Some(1) => {
                            wanted.created_at = there.created_at;
                            wanted.updated_at = there.updated_at;
                            if wanted != there {
                                wanted.updated_at = now;
                                tx.update_assistant(&wanted)?;
                            }
                        }
                        Some(_) => {}
                    }
                }
                Ok(())
            })
            .await
    }

    /// The assistant that a graph has of itself, as it is before anybody changes it.
    fn own_assistant(&self, graph: &str, served: &Served) -> Result<Assistant, Error> {
        let (mut config, mut context) = (served.config.clone(), served.context.clone());
        mirror(&mut config, &mut context)?;
        let now = self.stamp();
        let described = !served.description.is_empty();
        Ok(Assistant {
            id: system_id(graph),
            graph: graph.to_owned(),
            config,
            context,
            metadata: Map::from_iter([(CREATED_BY.to_owned(), json!(BY_SYSTEM))]),
            name: graph.to_owned(),
            description: described.then(|| served.description.clone()),
            created_at: now,
            updated_at: now,
            version: 1,
            owner: None,
        })
    }

    /// A graph that is served.
    ///
    /// # Errors
    /// [`Error::NoGraph`] names those that are.
    pub fn served(&self, graph: &str) -> Result<&Served, Error> {
        self.graphs().get(graph).ok_or_else(|| Error::NoGraph {
            graph: graph.to_owned(),
            known: self.graphs().ids().map(str::to_owned).collect(),
        })
    }

    /// An id that says nothing about when it was made.
    fn random_id(&self) -> Uuid {
        let env = self.env();
        let bytes = Uuid::from_u64_pair(env.random(), env.random()).into_bytes();
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// The assistant, unless there is none for this caller.
fn seen(tx: &mut dyn Tx, scope: &Scope, id: Uuid) -> Result<Assistant, Error> {
    tx.assistant(id)?
        .filter(|assistant| scope.sees(assistant.owner.as_deref()))
        .ok_or_else(|| Error::NoAssistant(id.to_string()))
}

/// A new configuration and context that agree with each other.
struct Mirrored {
    config: Option<Map<String, Json>>,
    context: Option<Json>,
}

impl Mirrored {
    fn of(config: Option<Map<String, Json>>, context: Option<Json>) -> Result<Self, Error> {
        if let (Some(mut config), Some(mut context)) = (config.clone(), context.clone()) {
            mirror(&mut config, &mut context)?;
            return Ok(Self { config: Some(config), context: Some(context) });
        }
        Ok(Self { config, context })
    }

    /// Replaces what is given; what is not given follows it.
    fn apply(self, assistant: &mut Assistant) {
        match (self.config, self.context) {
            (Some(config), Some(context)) => {
                (assistant.config, assistant.context) = (config, context);
            }
            (Some(config), None) => {
                if let Some(configurable) = config.get(super::CONFIGURABLE) {
                    assistant.context = configurable.clone();
                }
                assistant.config = config;
            }
            (None, Some(context)) => {
                if context.is_object() {
                    assistant.config.insert(super::CONFIGURABLE.to_owned(), context.clone());
                }
                assistant.context = context;
            }
            (None, None) => {}
        }
    }
}
