//! What a person may ask the blogger for, and what is wrong with a request.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use url::Url;

/// Characters of a topic.
pub const TOPIC_CHARS: std::ops::RangeInclusive<usize> = 5..=500;
/// Characters of the other texts of a request.
const TEXT_CHARS_MAX: usize = 2_000;
/// Entries of each list of a request.
const LIST_MAX: usize = 50;
/// Words that a post may be asked to have.
pub const WORDS: std::ops::RangeInclusive<usize> = 150..=6_000;
/// Sources that a post may be made from.
pub const SOURCES_MAX: std::ops::RangeInclusive<usize> = 1..=200;
/// Characters of one note.
const NOTE_CHARS_MAX: usize = 100_000;

/// A request for a post.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What the post is about, 5 to 500 characters.
    #[schemars(length(min = 5, max = 500))]
    pub topic: String,
    /// Who reads it. Steers models; extracts cannot be reworded for a reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<String>,
    /// What the reader can do afterwards. Steers models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// Points that have to be covered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub must_cover: Vec<String>,
    /// How the post is to be built, in free text. Steers models. Default: the configured structure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structure: Option<String>,
    /// How long it is to be.
    #[serde(default)]
    pub words: Words,
    /// Language as a BCP 47 tag. Default: that of the topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// With a model or without.
    #[serde(default)]
    pub mode: Mode,
    /// What it is written from.
    #[serde(default)]
    pub sources: Sources,
}

/// Whether a model writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A model if one is configured, else extracts; the post says which and why.
    #[default]
    Auto,
    /// A model, or an error.
    Model,
    /// Sentences copied from the sources; no model.
    Extractive,
}

/// How long a post is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// Words of the whole post, 150 to 6,000.
    #[schemars(range(min = 150, max = 6000))]
    pub target: usize,
}

impl Default for Words {
    fn default() -> Self {
        Self { target: 1_200 }
    }
}

/// What a post is written from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sources {
    /// Whether to search the web, where a search provider is configured.
    #[serde(default = "yes")]
    pub search: bool,
    /// Pages to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<Url>,
    /// Texts of your own, in Markdown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Hosts whose pages are left out, subdomains with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_hosts: Vec<String>,
    /// Sources that are left out one by one, each by the place that the post gives for it: the
    /// address of a page, the path of a document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Documents at most, 1 to 200.
    #[schemars(range(min = 1, max = 200))]
    #[serde(default = "sources_max")]
    pub max: usize,
}

fn yes() -> bool {
    true
}

fn sources_max() -> usize {
    24
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            search: true,
            urls: Vec::new(),
            notes: Vec::new(),
            exclude_hosts: Vec::new(),
            exclude: Vec::new(),
            max: sources_max(),
        }
    }
}

/// What is wrong with a request, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidRequest {
    /// JSON Pointer to the place; empty for the whole request.
    pub pointer: String,
    /// What was found and what is expected, beginning with the field.
    pub message: String,
}

impl InvalidRequest {
    fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

impl Request {
    /// A request for a post on `topic`, everything else as by default.
    pub fn on(topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), ..Self::default() }
    }

    /// Reads and checks a request.
    ///
    /// # Errors
    /// [`InvalidRequest`] points to the first field that is unknown, of another type, or out of
    /// bounds.
    pub fn from_json(json: Json) -> Result<Self, InvalidRequest> {
        if !json.is_object() {
            return Err(InvalidRequest::new(
                "",
                format!(
                    "request: {}, expected an object such as {{\"topic\": \"…\"}}",
                    kind(&json)
                ),
            ));
        }
        refuse_unknown(&json, "", &KNOWN)?;
        for (field, known) in [("words", &["target"][..]), ("sources", &KNOWN_SOURCES[..])] {
            if let Some(part) = json.get(field).filter(|part| part.is_object()) {
                refuse_unknown(part, &format!("/{field}"), known)?;
            }
        }
        if json.get("topic").is_none() {
            return Err(InvalidRequest::new(
                "/topic",
                "topic: missing, expected 5 to 500 characters",
            ));
        }
        let request: Self = serde_path_to_error::deserialize(json).map_err(|error| {
            let path = pointer(error.path());
            let field = path.trim_start_matches('/').replace('/', ".");
            InvalidRequest::new(path, format!("{field}: {}", error.inner()))
        })?;
        request.check()?;
        Ok(request)
    }

    /// Checks the bounds of every field.
    ///
    /// # Errors
    /// [`InvalidRequest`] points to the first field out of bounds.
    pub fn check(&self) -> Result<(), InvalidRequest> {
        let characters = self.topic.trim().chars().count();
        if !TOPIC_CHARS.contains(&characters) {
            return Err(InvalidRequest::new(
                "/topic",
                format!(
                    "topic: {characters} characters, expected {} to {}",
                    TOPIC_CHARS.start(),
                    TOPIC_CHARS.end()
                ),
            ));
        }
        for (field, text) in
            [("reader", &self.reader), ("purpose", &self.purpose), ("structure", &self.structure)]
        {
            if let Some(text) = text {
                bounded(field, text, TEXT_CHARS_MAX)?;
            }
        }
        listed("must_cover", self.must_cover.len())?;
        for (at, point) in self.must_cover.iter().enumerate() {
            bounded(&format!("must_cover/{at}"), point, TEXT_CHARS_MAX)?;
        }
        in_range("words/target", self.words.target, &WORDS)?;
        if let Some(tag) = &self.language
            && !is_language_tag(tag)
        {
            return Err(InvalidRequest::new(
                "/language",
                format!("language: `{tag}`, expected a BCP 47 tag such as `en` or `de-AT`"),
            ));
        }
        self.sources.check()
    }
}

impl Sources {
    fn check(&self) -> Result<(), InvalidRequest> {
        in_range("sources/max", self.max, &SOURCES_MAX)?;
        listed("sources/urls", self.urls.len())?;
        for (at, url) in self.urls.iter().enumerate() {
            if !matches!(url.scheme(), "http" | "https") {
                return Err(InvalidRequest::new(
                    format!("/sources/urls/{at}"),
                    format!("sources.urls.{at}: scheme `{}`, expected http or https", url.scheme()),
                ));
            }
        }
        listed("sources/notes", self.notes.len())?;
        for (at, note) in self.notes.iter().enumerate() {
            bounded(&format!("sources/notes/{at}"), note, NOTE_CHARS_MAX)?;
        }
        listed("sources/exclude_hosts", self.exclude_hosts.len())?;
        listed("sources/exclude", self.exclude.len())?;
        for (at, place) in self.exclude.iter().enumerate() {
            bounded(&format!("sources/exclude/{at}"), place, TEXT_CHARS_MAX)?;
        }
        Ok(())
    }

    /// Whether what is at this place is left out.
    pub fn leaves_out(&self, location: &str) -> bool {
        self.exclude.iter().any(|excluded| excluded == location)
    }

    /// Whether pages of this host are left out.
    pub fn excludes(&self, host: &str) -> bool {
        self.exclude_hosts.iter().any(|excluded| {
            let excluded = excluded.trim_start_matches('.');
            host.eq_ignore_ascii_case(excluded)
                || host
                    .to_ascii_lowercase()
                    .strip_suffix(&excluded.to_ascii_lowercase())
                    .is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

const KNOWN: [&str; 9] = [
    "topic",
    "reader",
    "purpose",
    "must_cover",
    "structure",
    "words",
    "language",
    "mode",
    "sources",
];
const KNOWN_SOURCES: [&str; 6] = ["search", "urls", "notes", "exclude_hosts", "exclude", "max"];

fn refuse_unknown(json: &Json, at: &str, known: &[&str]) -> Result<(), InvalidRequest> {
    let unknown = json
        .as_object()
        .and_then(|object| object.keys().find(|key| !known.contains(&key.as_str())));
    match unknown {
        None => Ok(()),
        Some(key) => {
            let escaped = key.replace('~', "~0").replace('/', "~1");
            Err(InvalidRequest::new(
                format!("{at}/{escaped}"),
                format!("{key}: unknown field, expected one of {}", known.join(", ")),
            ))
        }
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { .. } | Segment::Unknown => String::new(),
        })
        .collect()
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

fn bounded(field: &str, text: &str, characters_max: usize) -> Result<(), InvalidRequest> {
    let characters = text.chars().count();
    if (1..=characters_max).contains(&characters) {
        return Ok(());
    }
    Err(InvalidRequest::new(
        format!("/{field}"),
        format!(
            "{}: {characters} characters, expected 1 to {characters_max}",
            field.replace('/', ".")
        ),
    ))
}

fn listed(field: &str, entries: usize) -> Result<(), InvalidRequest> {
    if entries <= LIST_MAX {
        return Ok(());
    }
    Err(InvalidRequest::new(
        format!("/{field}"),
        format!("{}: {entries} entries, expected at most {LIST_MAX}", field.replace('/', ".")),
    ))
}

fn in_range(
    field: &str,
    value: usize,
    range: &std::ops::RangeInclusive<usize>,
) -> Result<(), InvalidRequest> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(InvalidRequest::new(
        format!("/{field}"),
        format!(
            "{}: {value}, expected {} to {}",
            field.replace('/', "."),
            range.start(),
            range.end()
        ),
    ))
}

/// The shape of a BCP 47 tag: subtags of 1 to 8 letters or digits, the first of 2 or 3 letters.
fn is_language_tag(tag: &str) -> bool {
    let mut subtags = tag.split('-');
    let primary = subtags.next().unwrap_or_default();
    (2..=3).contains(&primary.len())
        && primary.bytes().all(|byte| byte.is_ascii_alphabetic())
        && subtags.all(|subtag| {
            (1..=8).contains(&subtag.len()) && subtag.bytes().all(|b| b.is_ascii_alphanumeric())
        })
}
