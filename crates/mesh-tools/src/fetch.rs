//! Reads public web pages, politely and within limits.
//!
//! One client of its own: no proxy, no cookies, no referrer, no redirects that nobody looked at.
//! Every URL passes the [`Guard`] before a request and every name inside it, robots.txt is asked
//! first, and bodies are counted while they arrive, compressed and decompressed. This module
//! never runs scripts and never sends anything but GET.

use std::{
    collections::HashMap,
    error::Error as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mesh_agents::source::{Document, Fetch, FetchedBy, SourceError};
use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, LOCATION},
    redirect,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use url::Url;

use crate::{
    guard::{Forbidden, Guard, GuardedResolver},
    main_text::{self, Markup},
};

mod body;
mod charset;
mod robots;

pub(crate) use charset::decode;
use robots::{Robots, Verdict};

/// Bytes of one page, both as they arrive and after decompression.
pub const PAGE_BYTES_MAX: usize = 5_000_000;

/// Decompressed bytes per byte that arrived. HTML compresses 5 to 40 times; bombs reach 1,000.
pub const COMPRESSION_RATIO_MAX: usize = 200;

/// Time for one page: redirects, robots.txt and body together, without waiting for our turn.
pub const PAGE_TIME_MAX: Duration = Duration::from_secs(20);

/// Time to open one connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Redirects that are followed for one page.
pub const REDIRECTS_MAX: usize = 5;

/// Requests to one host at the same time.
pub const REQUESTS_PER_HOST_MAX: usize = 2;

/// Bytes of one response's header fields, names and values.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Header fields of one response.
const HEADERS_MAX: usize = 128;

/// Time to wait for our turn at a host that others of our requests keep busy.
pub const TURN_WAIT_MAX: Duration = Duration::from_mins(1);

/// Hosts that are counted at once. When all of them are busy, further hosts share one counter:
/// slower, never more than allowed.
const HOSTS_MAX: usize = 1024;

/// Idle connections kept per host.
const IDLE_CONNECTIONS_PER_HOST: usize = 2;

/// What we read, in `Accept` syntax.
const ACCEPTED: &str =
    "text/html, application/xhtml+xml, text/markdown, text/plain;q=0.9, */*;q=0.1";

/// What limits a page, and who we say we are.
#[derive(Debug, Clone)]
pub struct FetchConfig {
    /// First word of the user agent and the name that robots.txt rules are looked up by: letters,
    /// digits, `-` and `_`.
    pub product: String,
    /// Version after the product.
    pub version: String,
    /// Where a site's owner learns who we are; appended to the user agent as `(+…)`.
    pub contact: Option<Url>,
    /// Bytes of one page, as they arrive and after decompression.
    pub page_bytes_max: usize,
    /// Time for one page.
    pub page_time_max: Duration,
    /// Redirects for one page.
    pub redirects_max: usize,
    /// Requests to one host at the same time; at least 1.
    pub requests_per_host_max: usize,
    /// Longest `Crawl-delay` that is kept; a longer one counts as this.
    pub crawl_delay_max: Duration,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            product: "genesis-mesh".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            contact: None,
            page_bytes_max: PAGE_BYTES_MAX,
            page_time_max: PAGE_TIME_MAX,
            redirects_max: REDIRECTS_MAX,
            requests_per_host_max: REQUESTS_PER_HOST_MAX,
            crawl_delay_max: robots::CRAWL_DELAY_MAX,
        }
    }
}

/// Why a [`PageFetch`] cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The product is no token of a user agent.
    #[error("product: {product:?}, expected letters, digits, `-` or `_`")]
    Product {
        /// What was given.
        product: String,
    },
    /// The version or contact cannot stand in a header.
    #[error("version and contact: expected visible ASCII")]
    UserAgent,
    /// The HTTP client could not start, for example without any trusted certificates.
    #[error("the HTTP client could not be set up")]
    Client(#[source] reqwest::Error),
}

/// Reads public web pages.
///
/// Cheap to clone; clones share connections, the robots.txt cache and the limits per host.
///
/// # Cancel safety
/// Dropping the future of a fetch closes its connection and gives its turn to the next one.
#[derive(Debug, Clone)]
pub struct PageFetch {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    guard: Guard,
    config: FetchConfig,
    robots: Robots,
    turns: Turns,
}

impl PageFetch {
    /// A reader of pages under `guard`.
    ///
    /// # Errors
    /// [`BuildError`] names the field of `config` that does not fit.
    pub fn new(config: FetchConfig, guard: Guard) -> Result<Self, BuildError> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if config.product.is_empty() || !config.product.chars().all(is_token) {
            return Err(BuildError::Product { product: config.product });
        }
        let contact = config.contact.as_ref().map(|url| format!(" (+{url})")).unwrap_or_default();
        let user_agent = format!("{}/{}{contact}", config.product, config.version);
        if !user_agent.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(BuildError::UserAgent);
        }
        let client = Client::builder()
            .user_agent(user_agent)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            // Bodies are decompressed here, where both sides of the ratio can be counted.
            .no_gzip()
            .no_brotli()
            .connect_timeout(CONNECT_TIME_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST)
            .http1_max_headers(HEADERS_MAX)
            .http2_max_header_list_size(HEADER_BYTES_MAX as u32)
            .dns_resolver(GuardedResolver::new(guard.clone()))
            .build()
            .map_err(BuildError::Client)?;
        let robots = Robots::new(config.product.clone(), config.crawl_delay_max);
        let turns = Turns::new(config.requests_per_host_max.max(1));
        Ok(Self { inner: Arc::new(Inner { client, guard, config, robots, turns }) })
    }
}

#[async_trait]
impl Fetch for PageFetch {
    async fn fetch(&self, url: &Url) -> Result<Document, SourceError> {
        let inner = &*self.inner;
        let limit = inner.config.page_time_max;
        let mut budget = Budget { left: limit, limit };
        let mut url = url.clone();
        url.set_fragment(None);
        let mut redirects = 0;
        let page = loop {
            inner.guard.check(&url)?;
            inner.ask_robots(&url, &mut budget).await?;
            let turn = inner.turns.wait(&url).await?;
            let answer = budget.spend(inner.get(&url, Some(ACCEPTED))).await?;
            match answer {
                Answer::Redirect(target) => {
                    drop(turn);
                    if redirects == inner.config.redirects_max {
                        return Err(SourceError::TooLarge {
                            limit: format!("{redirects} redirects per page"),
                        });
                    }
                    redirects += 1;
                    url = target;
                    url.set_fragment(None);
                }
                Answer::Status(status) => {
                    return Err(SourceError::Status { status: status.as_u16() });
                }
                Answer::Page(response) => {
                    let (markup, media_type, charset) = kind_of(response.headers())?;
                    let limit = inner.config.page_bytes_max;
                    let bytes = budget.spend(body::read(response, limit)).await?;
                    break Page { markup, media_type, charset, bytes };
                }
            }
        };
        let bytes_hash = blake3::hash(&page.bytes).to_hex().to_string();
        let is_html = page.markup == Markup::Html;
        let text = decode(&page.bytes, page.charset.as_deref(), is_html);
        drop(page.bytes);
        let main = main_text::extract(page.markup, text, Some(url.clone())).await?;
        Ok(Document {
            location: url.into(),
            fetched_by: FetchedBy::Http,
            title: main.title,
            author: main.author,
            published: main.published,
            media_type: page.media_type.to_owned(),
            text: main.markdown.into(),
            bytes_hash,
        })
    }
}

struct Page {
    markup: Markup,
    media_type: &'static str,
    charset: Option<String>,
    bytes: Vec<u8>,
}

/// What came back for one request.
enum Answer {
    Page(Response),
    Redirect(Url),
    Status(StatusCode),
}

/// The time that is left for one page; waiting for our turn does not use it up.
struct Budget {
    left: Duration,
    limit: Duration,
}

impl Budget {
    async fn spend<T>(
        &mut self,
        work: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, SourceError> {
        let started = Instant::now();
        let result = timeout(self.left, work).await;
        self.left = self.left.saturating_sub(started.elapsed());
        result.unwrap_or(Err(SourceError::Timeout { after: self.limit }))
    }
}

impl Inner {
    /// One request, answered up to the header.
    async fn get(&self, url: &Url, accept: Option<&'static str>) -> Result<Answer, SourceError> {
        let mut request = self.client.get(url.clone()).header(ACCEPT_ENCODING, "gzip");
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        let response = request.send().await.map_err(|error| connection_error(&error))?;
        let header_bytes: usize =
            response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if header_bytes > HEADER_BYTES_MAX {
            return Err(SourceError::TooLarge {
                limit: format!("{} KB of headers", HEADER_BYTES_MAX / 1024),
            });
        }
        let status = response.status();
        if status.is_redirection()
            && let Some(location) = response.headers().get(LOCATION)
        {
            let target = location.to_str().ok().and_then(|location| url.join(location).ok());
            let target = target.ok_or_else(|| SourceError::Unreachable {
                reason: "it redirects to something that is no address".to_owned(),
            })?;
            return Ok(Answer::Redirect(target));
        }
        if status == StatusCode::OK || status == StatusCode::NON_AUTHORITATIVE_INFORMATION {
            Ok(Answer::Page(response))
        } else {
            Ok(Answer::Status(status))
        }
    }

    /// Whether the site allows this page to robots; waits for the site's crawl delay.
    async fn ask_robots(&self, url: &Url, budget: &mut Budget) -> Result<(), SourceError> {
        let entry = self.robots.entry(url);
        let rules = budget.spend(async { Ok(entry.rules(|| self.read_robots(url)).await) }).await?;
        match rules.verdict(url) {
            Verdict::Allowed => entry.wait_for_delay(&rules, TURN_WAIT_MAX).await,
            Verdict::Disallowed => Err(SourceError::Refused {
                reason: "the site's robots.txt does not allow this page to robots".to_owned(),
            }),
            Verdict::Unknown(failure) => Err(failure.into()),
        }
    }

    /// robots.txt of a URL's origin. Redirects may lead to another origin, as RFC 9309 allows.
    async fn read_robots(&self, url: &Url) -> Result<robots::Answer, SourceError> {
        let mut url = robots::address(url);
        for _ in 0..=self.config.redirects_max {
            self.guard.check(&url)?;
            let _turn = self.turns.wait(&url).await?;
            match self.get(&url, None).await? {
                Answer::Redirect(target) => url = target,
                Answer::Status(status) if status.is_client_error() => {
                    return Ok(robots::Answer::Absent);
                }
                Answer::Status(status) => {
                    return Err(SourceError::Status { status: status.as_u16() });
                }
                Answer::Page(response) => {
                    let bytes = body::read_start(response, robots::BYTES_MAX).await?;
                    return Ok(robots::Answer::Text(bytes));
                }
            }
        }
        // Too many redirects count as no file, as RFC 9309 says.
        Ok(robots::Answer::Absent)
    }
}

/// How the content type wants to be read: markup, the media type, and the charset it names.
fn kind_of(headers: &HeaderMap) -> Result<(Markup, &'static str, Option<String>), SourceError> {
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = named.split(';');
    let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let (markup, media_type) = match essence.as_str() {
        "text/html" => (Markup::Html, "text/html"),
        "application/xhtml+xml" => (Markup::Html, "application/xhtml+xml"),
        "text/plain" => (Markup::Plain, "text/plain"),
        "text/markdown" | "text/x-markdown" => (Markup::Markdown, "text/markdown"),
        "" => {
            return Err(SourceError::Unreadable {
                reason: "the answer names no content type".to_owned(),
            });
        }
        other => {
            let shown: String = other.chars().take(100).collect();
            return Err(SourceError::Unreadable {
                reason: format!("{shown} is no kind of text that is read here"),
            });
        }
    };
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    });
    Ok((markup, media_type, charset))
}

/// The content coding of a body that is not plain, or nothing.
fn coding_of(headers: &HeaderMap) -> Result<bool, SourceError> {
    let named = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    match named.map(|value| value.trim().to_ascii_lowercase()).as_deref() {
        None | Some("" | "identity") => Ok(false),
        Some("gzip" | "x-gzip") => Ok(true),
        Some(_) => Err(SourceError::Unreadable {
            reason: "the answer is compressed in a way that was not asked for".to_owned(),
        }),
    }
}

/// What a failed request means, without addresses: the chain may name private ones.
fn connection_error(error: &reqwest::Error) -> SourceError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(forbidden) = inner.downcast_ref::<Forbidden>() {
            return forbidden.clone().into();
        }
        cause = inner.source();
    }
    tracing::debug!(error = %chain(error), "request failed");
    let reason = if error.is_dns() {
        "the host's name does not resolve"
    } else if error.is_timeout() {
        return SourceError::Timeout { after: CONNECT_TIME_MAX };
    } else if error.is_connect() {
        "no connection to the host"
    } else {
        "the answer broke off or was no HTTP"
    };
    SourceError::Unreachable { reason: reason.to_owned() }
}

/// An error with its causes on one line, for the log.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Counts requests per host.
#[derive(Debug)]
struct Turns {
    per_host: usize,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
    shared: Arc<Semaphore>,
}

impl Turns {
    fn new(per_host: usize) -> Self {
        Self {
            per_host,
            hosts: Mutex::new(HashMap::new()),
            shared: Arc::new(Semaphore::new(per_host)),
        }
    }

    async fn wait(&self, url: &Url) -> Result<OwnedSemaphorePermit, SourceError> {
        let counter = self.counter(url);
        match timeout(TURN_WAIT_MAX, counter.acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            // The counters are never closed.
            Ok(Err(_)) | Err(_) => Err(SourceError::Timeout { after: TURN_WAIT_MAX }),
        }
    }

    fn counter(&self, url: &Url) -> Arc<Semaphore> {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = hosts.get(&host) {
            return counter.clone();
        }
        if hosts.len() >= HOSTS_MAX {
            // One reference is the map's own: nobody holds or waits for a turn.
            hosts.retain(|_, counter| Arc::strong_count(counter) > 1);
        }
        if hosts.len() >= HOSTS_MAX {
            return self.shared.clone();
        }
        hosts.entry(host).or_insert_with(|| Arc::new(Semaphore::new(self.per_host))).clone()
    }
}
