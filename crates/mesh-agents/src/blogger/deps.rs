//! What a blogger is given: models, sources, a shelf for texts.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use mesh_model::ChatModel;
use tokio::sync::{OnceCell, Semaphore};

use super::{
    error::BlogError,
    extract::{self, Allocation, Corpus, Outline, SourceId},
    state::Source,
};
use crate::source::{Collection, Fetch, Search, Shelf};

/// Corpora that are kept for the next step that needs them. One run needs one at a time in extract
/// mode and one per parallel section in model mode.
const CORPORA_KEPT: usize = 8;

/// Sections that are written at once unless configured otherwise.
pub const PARALLEL_SECTIONS: usize = 4;

/// A model for one role.
#[derive(Clone)]
pub struct Role {
    /// The model.
    pub model: Arc<dyn ChatModel>,
    /// Tokens of one reply at most.
    pub max_tokens: u32,
    /// Sampling temperature, 0 to 1.
    pub temperature: f64,
}

/// The two roles of model mode.
#[derive(Clone)]
pub struct Models {
    /// Makes the outline and the search queries.
    pub planner: Role,
    /// Writes the sections.
    pub executor: Role,
}

/// What a blogger is given besides its request.
pub struct Blogger {
    pub(super) models: Option<Models>,
    pub(super) search: Vec<Arc<dyn Search>>,
    pub(super) fetch: Option<Arc<dyn Fetch>>,
    pub(super) collections: Vec<Arc<dyn Collection>>,
    pub(super) handbook: Arc<dyn Collection>,
    pub(super) shelf: Arc<dyn Shelf>,
    pub(super) structure: String,
    pub(super) queries: usize,
    pub(super) pages_max: usize,
    /// Sections that may be written at once, over all runs of this blogger.
    pub(super) slots: Semaphore,
    prepared: Mutex<VecDeque<(String, Arc<Prepared>)>>,
}

/// A corpus and what was allocated from it, made once however many sections ask.
#[derive(Default)]
pub(super) struct Prepared {
    corpus: OnceCell<Arc<Corpus>>,
    allocation: OnceCell<Arc<Allocation>>,
}

impl Blogger {
    /// A blogger that extracts from the handbook: the least that works anywhere.
    pub fn new(handbook: Arc<dyn Collection>, shelf: Arc<dyn Shelf>) -> Self {
        Self {
            models: None,
            search: Vec::new(),
            fetch: None,
            collections: Vec::new(),
            handbook,
            shelf,
            structure:
                "A short introduction, three to five sections that each answer one question \
                        of the reader, and a conclusion."
                    .to_owned(),
            queries: 2,
            pages_max: 60,
            slots: Semaphore::new(PARALLEL_SECTIONS),
            prepared: Mutex::default(),
        }
    }

    /// Writes with these models where the request allows it.
    pub fn models(mut self, models: Models) -> Self {
        self.models = Some(models);
        self
    }

    /// Searches with this provider, too.
    pub fn search(mut self, provider: Arc<dyn Search>) -> Self {
        self.search.push(provider);
        self
    }

    /// Reads pages with this.
    pub fn fetch(mut self, fetch: Arc<dyn Fetch>) -> Self {
        self.fetch = Some(fetch);
        self
    }

    /// Reads this collection for every post.
    pub fn collection(mut self, collection: Arc<dyn Collection>) -> Self {
        self.collections.push(collection);
        self
    }

    /// The structure that planners follow unless a request says otherwise.
    pub fn structure(mut self, structure: impl Into<String>) -> Self {
        self.structure = structure.into();
        self
    }

    /// Web searches per section, at least 1.
    pub fn queries_per_section(mut self, queries: usize) -> Self {
        self.queries = queries.max(1);
        self
    }

    /// Pages that one post may fetch.
    pub fn pages_max(mut self, pages: usize) -> Self {
        self.pages_max = pages;
        self
    }

    /// Sections that are written at once, over all runs; at least 1.
    pub fn parallel_sections(mut self, sections: usize) -> Self {
        self.slots = Semaphore::new(sections.max(1));
        self
    }

    /// The corpus of these sources, in this order.
    pub(super) async fn corpus(&self, sources: &[Source]) -> Result<Arc<Corpus>, BlogError> {
        let prepared = self.prepared(key(sources, ""));
        let corpus = prepared.corpus.get_or_try_init(|| self.read_corpus(sources)).await?;
        Ok(Arc::clone(corpus))
    }

    /// The corpus with the sentences that each section of `outline` may take.
    pub(super) async fn allocation(
        &self,
        sources: &[Source],
        outline: &Outline,
        request: &extract::Request,
    ) -> Result<(Arc<Corpus>, Arc<Allocation>), BlogError> {
        let corpus = self.corpus(sources).await?;
        let plan = serde_json::to_string(&(outline, request)).unwrap_or_default();
        let prepared = self.prepared(key(sources, &plan));
        let allocation = prepared
            .allocation
            .get_or_try_init(|| async {
                let (corpus, outline, request) =
                    (Arc::clone(&corpus), outline.clone(), request.clone());
                blocking(move || extract::allocate(&corpus, &outline, &request))
                    .await?
                    .map(Arc::new)
                    .map_err(BlogError::from)
            })
            .await?;
        Ok((corpus, Arc::clone(allocation)))
    }

    async fn read_corpus(&self, sources: &[Source]) -> Result<Arc<Corpus>, BlogError> {
        let mut documents = Vec::with_capacity(sources.len());
        for source in sources {
            let text = self.shelf.get(&source.text).await.map_err(|error| BlogError::LostText {
                location: source.location.clone(),
                source: error,
            })?;
            let id = SourceId::new(source.id.as_str()).map_err(BlogError::SourceId)?;
            documents.push((id, Arc::new(source.document(text))));
        }
        blocking(move || Arc::new(Corpus::new(documents))).await
    }

    fn prepared(&self, key: String) -> Arc<Prepared> {
        let mut kept = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, prepared)) = kept.iter().find(|(known, _)| *known == key) {
            return Arc::clone(prepared);
        }
        if kept.len() == CORPORA_KEPT {
            kept.pop_front();
        }
        let prepared = Arc::new(Prepared::default());
        kept.push_back((key, Arc::clone(&prepared)));
        prepared
    }
}

fn key(sources: &[Source], plan: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for source in sources {
        for part in [&source.id, &source.location, &source.text] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
    }
    hasher.update(plan.as_bytes());
    hasher.finalize().to_hex().to_string()
}

/// Runs work that takes the processor for a while beside the reactor.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BlogError> {
    tokio::task::spawn_blocking(work).await.map_err(BlogError::Panicked)
}

impl std::fmt::Debug for Blogger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blogger")
            .field("models", &self.models.is_some())
            .field("search", &self.search.iter().map(|search| search.name()).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
