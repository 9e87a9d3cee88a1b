//! Where an agent's material comes from: the traits that tools implement, and what they return.
//!
//! An agent owns these traits so that it never knows HTTP or a file system. A source that fails
//! is a [`Problem`] beside the documents, never the end of a run.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

/// One document as it was read: text in Markdown, and what is known about its origin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Where it was found: the final URL, a path relative to the opened folder, or a handbook page.
    pub location: String,
    /// How it was fetched.
    pub fetched_by: FetchedBy,
    /// Title, if the document names one.
    pub title: Option<String>,
    /// Author, if the document names one.
    pub author: Option<String>,
    /// Date of publication, if the document names one.
    pub published: Option<jiff::civil::Date>,
    /// Media type of the bytes that were read, such as `text/html`.
    pub media_type: String,
    /// Main text as Markdown: headings, lists, tables and code kept; navigation removed.
    pub text: Arc<str>,
    /// BLAKE3 of the bytes as they were read, in lower-case hex.
    pub bytes_hash: String,
}

/// How a document came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FetchedBy {
    /// A guarded HTTP request.
    Http,
    /// A file below an opened folder.
    File,
    /// Text that the request carried.
    Note,
    /// The handbook compiled into the binary.
    Handbook,
}

/// One hit of a web search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchHit {
    /// Address of the page.
    pub url: Url,
    /// Title as the search engine shows it.
    pub title: String,
    /// Snippet as the search engine shows it; may be empty.
    pub snippet: String,
    /// The provider's own score; only its order means anything across providers.
    pub score: f64,
}

/// A source that could not be read. It is shown to the reader and never ends the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// The query, URL or path that failed.
    pub subject: String,
    /// Why, in one sentence for a person. Holds no secret and no address of a private network.
    pub reason: String,
}

/// Why one request to a source failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A rule forbids it: private address, scheme, robots.txt, a path outside the folder.
    #[error("refused: {reason}")]
    Refused {
        /// The rule, for a person.
        reason: String,
    },
    /// Nothing answered, or the answer broke off.
    #[error("unreachable: {reason}")]
    Unreachable {
        /// What was tried, for a person.
        reason: String,
    },
    /// The other side answered with an HTTP status that is no success.
    #[error("answered with status {status}")]
    Status {
        /// The HTTP status code.
        status: u16,
    },
    /// A limit was reached before the end.
    #[error("over the limit: {limit}")]
    TooLarge {
        /// The limit by name and value, such as `5 MB per page`.
        limit: String,
    },
    /// It took longer than allowed.
    #[error("no answer within {} s", .after.as_secs())]
    Timeout {
        /// The time that was allowed.
        after: Duration,
    },
    /// The bytes are of a kind that has no reader here, or hold no text.
    #[error("not readable: {reason}")]
    Unreadable {
        /// What was found, for a person.
        reason: String,
    },
}

impl SourceError {
    /// Whether the same request may succeed a little later.
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            // Too Many Requests, and whatever a server says of itself.
            Self::Status { status } => *status == 429 || *status >= 500,
            Self::Refused { .. } | Self::TooLarge { .. } | Self::Unreadable { .. } => false,
        }
    }

    /// The problem that a reader sees for `subject`.
    pub fn into_problem(self, subject: impl Into<String>) -> Problem {
        Problem { subject: subject.into(), reason: self.to_string() }
    }
}

/// A web search provider.
///
/// # Cancel safety
/// Dropping the future aborts the outgoing request.
#[async_trait]
pub trait Search: Send + Sync {
    /// Short name for notes and events, such as `searxng`.
    fn name(&self) -> &str;

    /// Hits for one query, best first, at most `hits_max`.
    ///
    /// # Errors
    /// See [`SourceError`]; the caller turns it into a [`Problem`].
    async fn search(&self, query: &str, hits_max: usize) -> Result<Vec<SearchHit>, SourceError>;
}

/// Reads public web pages.
///
/// # Cancel safety
/// Dropping the future aborts the outgoing request.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// The main text of one page.
    ///
    /// # Errors
    /// See [`SourceError`]; the caller turns it into a [`Problem`].
    async fn fetch(&self, url: &Url) -> Result<Document, SourceError>;
}

/// Reads documents of one opened place, such as a folder or the built-in handbook.
#[async_trait]
pub trait Collection: Send + Sync {
    /// What it is, for notes and events, such as `folder ./notes`.
    fn name(&self) -> &str;

    /// The documents that fit `query` best, at most `documents_max`, and what could not be read.
    ///
    /// Which fit best is decided by words alone (BM25 over the raw text, ties by location), so
    /// that a folder of thousands of files costs one quick pass and only the chosen ones are
    /// converted to Markdown.
    ///
    /// # Errors
    /// Only when the place as a whole cannot be read.
    async fn read(&self, query: &str, documents_max: usize) -> Result<Collected, SourceError>;
}

/// What a [`Collection`] gave for one query.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    /// Documents in an order that is the same on every machine: by location, bytewise.
    pub documents: Vec<Document>,
    /// How many documents were looked at to choose these.
    pub considered: usize,
    /// What was skipped, and why.
    pub problems: Vec<Problem>,
}

/// Keeps texts by their hash, so that a run's state holds addresses instead of pages.
///
/// Writing the same text twice is one entry. Texts are never changed or guessed: a missing one is
/// an error of the caller's run, not an empty string.
#[async_trait]
pub trait Shelf: Send + Sync {
    /// Stores a text and returns its address: BLAKE3 of the UTF-8 bytes, lower-case hex.
    ///
    /// # Errors
    /// When the text cannot be made durable.
    async fn put(&self, text: &str) -> Result<String, SourceError>;

    /// The text at an address.
    ///
    /// # Errors
    /// [`SourceError::Unreadable`] when nothing is stored there.
    async fn get(&self, address: &str) -> Result<Arc<str>, SourceError>;
}

/// A [`Shelf`] in memory, for runs that need not survive the process.
#[derive(Debug, Default)]
pub struct MemoryShelf {
    texts: std::sync::Mutex<HashMap<String, Arc<str>>>,
}

#[async_trait]
impl Shelf for MemoryShelf {
    async fn put(&self, text: &str) -> Result<String, SourceError> {
        let address = address_of(text);
        let mut texts = self.texts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        texts.entry(address.clone()).or_insert_with(|| Arc::from(text));
        Ok(address)
    }

    async fn get(&self, address: &str) -> Result<Arc<str>, SourceError> {
        let texts = self.texts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        texts.get(address).cloned().ok_or_else(|| SourceError::Unreadable {
            reason: format!("no stored text at {address}"),
        })
    }
}

/// The address of a text on every [`Shelf`]: BLAKE3 of its UTF-8 bytes, lower-case hex.
pub fn address_of(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}
