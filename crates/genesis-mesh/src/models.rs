//! The models of the settings, as administrators see and try them.

use std::{error::Error as _, sync::Arc};

use async_trait::async_trait;
use mesh_model::{ChatModel, ChatRequest, Message};
use mesh_protocol::access::Model;
use mesh_server::Models;

use crate::{
    blogger,
    settings::{Role, Settings},
};

/// What a model is asked when it is tried.
const QUESTION: &str = "Answer with the one word: ready";
/// Tokens of that answer; a model that thinks first needs some.
const ANSWER_TOKENS_MAX: u32 = 256;

/// Models by role.
pub(crate) struct Configured {
    models: Vec<(Model, Arc<dyn ChatModel>)>,
}

/// The models of the settings.
///
/// # Errors
/// [`blogger::BuildError`] when the provider refuses its configuration.
pub(crate) fn of(settings: &Settings) -> Result<Configured, blogger::BuildError> {
    let mut models = Vec::new();
    let listed = |role: &str, name: &str, its: Option<&Role>| Model {
        role: role.to_owned(),
        name: name.to_owned(),
        host: settings.openai.base_url.host_str().unwrap_or_default().to_owned(),
        max_tokens: its.map(|its| its.max_tokens),
        temperature: its.map(|its| its.temperature),
        has_key: settings.openai.api_key.is_some(),
    };
    if let Some(names) = settings.blogger_models() {
        for (role, name, its) in [
            ("planner", names.planner, &settings.blogger.planner),
            ("executor", names.executor, &settings.blogger.executor),
        ] {
            models.push((listed(role, name, Some(its)), blogger::model(settings, name)?));
        }
    }
    if let Some(name) = settings.openai.model.as_deref() {
        models.push((listed("agents", name, None), blogger::model(settings, name)?));
    }
    Ok(Configured { models })
}

#[async_trait]
impl Models for Configured {
    fn list(&self) -> Vec<Model> {
        self.models.iter().map(|(model, _)| model.clone()).collect()
    }

    async fn attempt(&self, role: &str) -> Option<Result<(), String>> {
        let (_, model) = self.models.iter().find(|(model, _)| model.role == role)?;
        let asked = ChatRequest::new(vec![Message::user(QUESTION)]).max_tokens(ANSWER_TOKENS_MAX);
        Some(model.complete(asked).await.map(|_| ()).map_err(|error| {
            // The chain says why; what it is made of holds no key.
            let mut told = error.to_string();
            let mut cause = error.source();
            while let Some(inner) = cause {
                told = format!("{told}: {inner}");
                cause = inner.source();
            }
            told
        }))
    }
}
