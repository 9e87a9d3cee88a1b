//! The blogger as the settings have it: models by role, search, pages, shelf.

use std::sync::Arc;

use mesh_agents::{
    blogger::{self, Blogger, Models, Request, Role, state::Blog},
    source::{Collection, Fetch, Search, Shelf},
};
use mesh_graph::App;
use mesh_model::ChatModel;
use mesh_providers::{OpenAi, OpenAiConfig};
use mesh_tools::{FetchConfig, Guard, PageFetch, SearXng, SearXngConfig};

use crate::{VERSION, handbook::Handbook, settings::Settings};

/// A setting cannot be turned into a part of the blogger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The model provider refuses its configuration.
    #[error("openai.base_url or openai.model cannot be used")]
    Model(#[from] mesh_providers::ConfigError),
    /// The page reader refuses its configuration.
    #[error("the page reader cannot be set up")]
    Fetch(#[from] mesh_tools::fetch::BuildError),
    /// The search provider refuses its configuration.
    #[error("searxng.base_url cannot be used")]
    Search(#[from] mesh_tools::searxng::BuildError),
    /// The graph has a mistake: a bug.
    #[error("the graph of an agent does not compile")]
    Graph(#[from] mesh_graph::CompileError),
    /// The parts of an agent do not fit together: a bug.
    #[error("an agent cannot be built")]
    Agent(#[from] mesh_agents::BuildError),
}

/// The blog agent, reading `collections` for every post and keeping texts on `shelf`.
///
/// # Errors
/// [`BuildError`] names the setting that does not work.
pub fn app(
    settings: &Settings,
    shelf: Arc<dyn Shelf>,
    collections: Vec<Arc<dyn Collection>>,
) -> Result<App<Blog>, BuildError> {
    let mut deps = Blogger::new(Arc::new(Handbook), shelf)
        .fetch(pages(settings)?)
        .structure(settings.blogger.blog_structure.clone())
        .queries_per_section(settings.blogger.number_of_queries)
        .parallel_sections(settings.blogger.parallel_sections)
        .pages_max(settings.fetch.pages_max);
    for collection in collections {
        deps = deps.collection(collection);
    }
    if let Some(search) = search(settings)? {
        deps = deps.search(search);
    }
    if let Some(names) = settings.blogger_models() {
        let planner = model(settings, names.planner)?;
        let executor = if names.executor == names.planner {
            Arc::clone(&planner)
        } else {
            model(settings, names.executor)?
        };
        let role = |model, role: &crate::settings::Role| Role {
            model,
            max_tokens: role.max_tokens,
            temperature: role.temperature,
        };
        deps = deps.models(Models {
            planner: role(planner, &settings.blogger.planner),
            executor: role(executor, &settings.blogger.executor),
        });
    }
    Ok(blogger::graph()?.app(deps))
}

/// The reader of web pages.
pub(crate) fn pages(settings: &Settings) -> Result<Arc<dyn Fetch>, BuildError> {
    let guard = Guard::with_networks(settings.fetch.allowed_networks.iter().copied());
    let fetch = FetchConfig {
        version: VERSION.to_owned(),
        page_bytes_max: settings.fetch.page_bytes_max,
        page_time_max: settings.fetch.timeout,
        ..FetchConfig::default()
    };
    Ok(Arc::new(PageFetch::new(fetch, guard)?))
}

/// Web search, if there is an instance to ask.
pub(crate) fn search(settings: &Settings) -> Result<Option<Arc<dyn Search>>, BuildError> {
    let Some(base) = &settings.searxng.base_url else { return Ok(None) };
    let mut search = SearXngConfig::new(base.clone());
    search.path.clone_from(&settings.searxng.search_path);
    search.engines.clone_from(&settings.searxng.engines);
    search.score_min = settings.searxng.min_score;
    Ok(Some(Arc::new(SearXng::new(search)?)))
}

/// The model of this name.
pub(crate) fn model(settings: &Settings, name: &str) -> Result<Arc<dyn ChatModel>, BuildError> {
    let mut config = OpenAiConfig::new(
        settings.openai.base_url.clone(),
        name,
        format!("genesis-mesh/{VERSION}"),
    );
    if let Some(key) = &settings.openai.api_key {
        config = config.api_key(key.clone());
    }
    Ok(Arc::new(OpenAi::new(config)?))
}

/// JSON Schema of a request for a post.
pub fn request_schema() -> serde_json::Value {
    schemars::schema_for!(Request).to_value()
}
