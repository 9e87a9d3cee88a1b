//! Web search through a SearXNG instance.
//!
//! The instance is named by the operator and trusted like any part of the installation: it may
//! live on loopback or in a private network, so the public-only rule of [`crate::guard`] does not
//! hold here. Its answers are data of the web: what they link to is fetched under that rule.

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use mesh_agents::source::{Search, SearchHit, SourceError};
use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
    redirect,
};
use serde::Deserialize;
use url::Url;

/// Bytes of one answer; ten engines with full snippets stay below 200 KB.
pub const ANSWER_BYTES_MAX: usize = 2_000_000;

/// Time for one search. SearXNG itself waits a few seconds for its engines.
pub const SEARCH_TIME_MAX: Duration = Duration::from_secs(15);

/// Score below which hits are left out, unless configured otherwise: a hit in third place of one
/// engine has about 0.33.
pub const SCORE_MIN: f64 = 0.4;

/// Redirects within the instance, such as to a path with a slash.
const REDIRECTS_MAX: usize = 3;

/// Letters of a title and of a snippet that are kept.
const TITLE_CHARS_MAX: usize = 300;
const SNIPPET_CHARS_MAX: usize = 1_000;

/// Letters of a query that are sent.
const QUERY_CHARS_MAX: usize = 500;

/// Engines that are named in an error.
const ENGINES_NAMED_MAX: usize = 5;

/// Where the instance is, and what is wanted of it.
#[derive(Debug, Clone)]
pub struct SearXngConfig {
    /// Address of the instance, such as `http://127.0.0.1:8888`; a path in it is kept.
    pub base: Url,
    /// Path of the search below the base.
    pub path: String,
    /// Names of engines to ask; empty means the instance's own choice.
    pub engines: Vec<String>,
    /// Hits with a lower score are left out.
    pub score_min: f64,
    /// Time for one search.
    pub time_max: Duration,
}

impl SearXngConfig {
    /// The usual settings for the instance at `base`.
    pub fn new(base: Url) -> Self {
        Self {
            base,
            path: "search".to_owned(),
            engines: Vec::new(),
            score_min: SCORE_MIN,
            time_max: SEARCH_TIME_MAX,
        }
    }
}

/// Why a [`SearXng`] cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The base is no address of a web server.
    #[error("base: expected an http or https address")]
    Base,
    /// The path does not stay on the instance.
    #[error("path: {path:?}, expected a path such as search")]
    Path {
        /// What was given.
        path: String,
    },
    /// The score is not a number.
    #[error("score_min: expected a number")]
    Score,
    /// The HTTP client could not start.
    #[error("the HTTP client could not be set up")]
    Client(#[source] reqwest::Error),
}

/// Asks a SearXNG instance. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SearXng {
    client: Client,
    address: Url,
    engines: String,
    score_min: f64,
    time_max: Duration,
}

impl SearXng {
    /// A search of the instance that `config` names. Nothing is asked yet.
    ///
    /// # Errors
    /// [`BuildError`] names the field of `config` that does not fit.
    pub fn new(config: SearXngConfig) -> Result<Self, BuildError> {
        let mut base = config.base;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(BuildError::Base);
        }
        if !config.score_min.is_finite() {
            return Err(BuildError::Score);
        }
        // Without a slash at its end the last part of the base would be replaced.
        let folder = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&folder);
        base.set_query(None);
        base.set_fragment(None);
        let path = config.path.trim_start_matches('/');
        let address = base.join(path).ok().filter(|address| {
            address.origin() == base.origin()
                && address.path().starts_with(base.path())
                && address.query().is_none()
                && address.fragment().is_none()
        });
        let address = address.ok_or_else(|| BuildError::Path { path: config.path.clone() })?;
        let home = address.origin();
        let redirects = redirect::Policy::custom(move |attempt| {
            if attempt.url().origin() == home && attempt.previous().len() <= REDIRECTS_MAX {
                attempt.follow()
            } else {
                attempt.stop()
            }
        });
        let client = Client::builder()
            .user_agent(concat!("genesis-mesh/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .referer(false)
            .redirect(redirects)
            .build()
            .map_err(BuildError::Client)?;
        let engines = config.engines.join(",");
        Ok(Self {
            client,
            address,
            engines,
            score_min: config.score_min,
            time_max: config.time_max,
        })
    }

    async fn ask(&self, query: &str) -> Result<Vec<u8>, SourceError> {
        let query: String = query.chars().take(QUERY_CHARS_MAX).collect();
        let mut request = self
            .client
            .get(self.address.clone())
            .header(ACCEPT, "application/json")
            .query(&[("q", query.as_str()), ("format", "json")]);
        if !self.engines.is_empty() {
            request = request.query(&[("engines", self.engines.as_str())]);
        }
        let response = request.send().await.map_err(|error| broken(&error))?;
        let status = response.status();
        if status == StatusCode::FORBIDDEN {
            return Err(no_json());
        }
        if status.is_redirection() {
            return Err(SourceError::Refused {
                reason: "SearXNG redirects to another server".to_owned(),
            });
        }
        if status != StatusCode::OK {
            return Err(SourceError::Status { status: status.as_u16() });
        }
        let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if media_type.is_some_and(|media_type| media_type.trim_start().starts_with("text/html")) {
            return Err(no_json());
        }
        read(response).await
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(SourceError::TooLarge {
                limit: format!("{} MB per search", ANSWER_BYTES_MAX / 1_000_000),
            });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn no_json() -> SourceError {
    SourceError::Unreadable {
        reason: "SearXNG does not offer JSON output: add `json` to `search.formats` in its \
                 settings.yml"
            .to_owned(),
    }
}

fn broken(error: &reqwest::Error) -> SourceError {
    // Without the error's own text: it holds the address, which may be a private one.
    let reason = if error.is_connect() { "no connection to SearXNG" } else { "SearXNG broke off" };
    SourceError::Unreachable { reason: reason.to_owned() }
}

#[async_trait]
impl Search for SearXng {
    fn name(&self) -> &'static str {
        "searxng"
    }

    async fn search(&self, query: &str, hits_max: usize) -> Result<Vec<SearchHit>, SourceError> {
        let bytes = tokio::time::timeout(self.time_max, self.ask(query))
            .await
            .unwrap_or(Err(SourceError::Timeout { after: self.time_max }))?;
        hits(&bytes, self.score_min, hits_max)
    }
}

/// What we read of an answer; SearXNG's search API, `format=json`.
#[derive(Debug, Deserialize)]
struct Answer {
    results: Vec<Hit>,
    /// Pairs of an engine's name and what went wrong.
    #[serde(default)]
    unresponsive_engines: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Hit {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    score: Option<f64>,
}

/// The hits of an answer: each page once, the best score first, ties by address.
fn hits(bytes: &[u8], score_min: f64, hits_max: usize) -> Result<Vec<SearchHit>, SourceError> {
    if bytes.trim_ascii_start().starts_with(b"<") {
        return Err(no_json());
    }
    let answer: Answer = serde_json::from_slice(bytes).map_err(|_| SourceError::Unreadable {
        reason: "SearXNG answered with something that is not its JSON".to_owned(),
    })?;
    if answer.results.is_empty() && !answer.unresponsive_engines.is_empty() {
        return Err(SourceError::Unreachable {
            reason: format!("no engine answered: {}", engines(&answer.unresponsive_engines)),
        });
    }
    let mut hits: Vec<SearchHit> = answer
        .results
        .into_iter()
        .filter_map(|hit| {
            let mut url = Url::parse(hit.url.as_deref()?).ok()?;
            if !matches!(url.scheme(), "http" | "https") {
                return None;
            }
            url.set_fragment(None);
            let score = hit.score.unwrap_or_default();
            Some(SearchHit {
                url,
                title: one_line(hit.title.as_deref(), TITLE_CHARS_MAX),
                snippet: one_line(hit.content.as_deref(), SNIPPET_CHARS_MAX),
                score,
            })
        })
        .filter(|hit| hit.score >= score_min)
        .collect();
    hits.sort_by(|left, right| {
        right.score.total_cmp(&left.score).then_with(|| left.url.cmp(&right.url))
    });
    let mut seen = HashSet::new();
    hits.retain(|hit| seen.insert(hit.url.clone()));
    hits.truncate(hits_max);
    Ok(hits)
}

fn engines(unresponsive: &[serde_json::Value]) -> String {
    let named: Vec<String> = unresponsive
        .iter()
        .take(ENGINES_NAMED_MAX)
        .map(|engine| {
            let text = |index: usize| engine.get(index).and_then(serde_json::Value::as_str);
            let name = one_line(text(0), 40);
            match text(1) {
                Some(reason) => format!("{name} ({})", one_line(Some(reason), 60)),
                None => name,
            }
        })
        .collect();
    named.join(", ")
}

fn one_line(text: Option<&str>, chars_max: usize) -> String {
    let words: Vec<&str> = text.unwrap_or_default().split_whitespace().collect();
    words.join(" ").chars().take(chars_max).collect()
}
