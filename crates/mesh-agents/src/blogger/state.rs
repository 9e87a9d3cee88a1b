//! What the blogger's graphs hold while a post is made.

use mesh_graph::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::request::Request;
use crate::source::{Document, FetchedBy, Problem};

/// State of the outer graph.
#[derive(State)]
pub struct Blog {
    /// What was asked for.
    #[state(input)]
    pub request: Request,
    /// How the post is made, and why so.
    pub mode: Method,
    /// Everything that was read, in order of reading.
    #[state(append)]
    pub sources: Vec<Source>,
    /// Sources that could not be read.
    #[state(append)]
    pub problems: Vec<Problem>,
    /// Title of the post.
    pub title: String,
    /// Language of the post, as a BCP 47 tag.
    pub language: String,
    /// The outline.
    pub sections: Vec<Section>,
    /// Sections as they were written, in order of finishing within each phase. A section that was
    /// changed stands here once more: the last one of an id is the one that counts.
    #[state(append)]
    pub completed_sections: Vec<Section>,
    /// The researched sections in order of the outline, as text for those that are written after.
    pub digest: String,
    /// The post without front matter.
    pub draft: String,
    /// Where every sentence of the draft comes from.
    pub evidence: Vec<Evidence>,
    /// What the checks found.
    pub findings: Vec<Finding>,
    /// Changes that a person asks for, until they are made: written together with a goto to
    /// `run_checks`.
    pub revisions: Vec<Revision>,
    /// Findings that a person accepts, until the checks have noted it: written the same way.
    pub accepting: Vec<Acceptance>,
    /// Changes of the last round that were not made.
    #[state(append)]
    pub refusals: Vec<Refusal>,
    /// The finished post.
    #[state(output)]
    pub final_blog: String,
}

/// State of the graph that researches and writes one section.
#[derive(State)]
pub struct Research {
    /// What it was started with.
    #[state(input)]
    pub job: SectionJob,
    /// Web searches to make.
    pub queries: Vec<String>,
    /// Pages to read.
    pub pages: Vec<url::Url>,
    /// What was read for this section alone.
    #[state(append)]
    pub sources: Vec<Source>,
    /// Sources that could not be read.
    #[state(append)]
    pub problems: Vec<Problem>,
    /// What the section is written from, best first.
    pub passages: Vec<Passage>,
    /// The section.
    #[state(output)]
    pub section: Section,
}

/// How a post is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Method {
    /// With a model, or by extraction.
    pub generation: Generation,
    /// Why.
    pub reason: String,
    /// Why the handbook is read, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handbook: Option<String>,
}

/// Who writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Generation {
    /// Nobody: sentences are copied.
    #[default]
    Extractive,
    /// A model.
    Model,
}

/// Something that was read. Its text is on the shelf.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// Its name inside the run, and its footnote label in drafts.
    pub id: String,
    /// Where it was found.
    pub location: String,
    /// How it came in; none before anything was read.
    pub fetched_by: Option<FetchedBy>,
    /// Its title.
    pub title: Option<String>,
    /// Its author.
    pub author: Option<String>,
    /// Its date of publication.
    pub published: Option<jiff::civil::Date>,
    /// Media type of the bytes.
    pub media_type: String,
    /// BLAKE3 of the bytes.
    pub bytes_hash: String,
    /// Where its text is on the shelf.
    pub text: String,
}

impl Source {
    /// Notes a document whose text went to the shelf.
    pub(super) fn of(id: String, document: &Document, text: String) -> Self {
        Self {
            id,
            location: document.location.clone(),
            fetched_by: Some(document.fetched_by),
            title: document.title.clone(),
            author: document.author.clone(),
            published: document.published,
            media_type: document.media_type.clone(),
            bytes_hash: document.bytes_hash.clone(),
            text,
        }
    }

    /// The document again, with its text from the shelf.
    pub(super) fn document(&self, text: std::sync::Arc<str>) -> Document {
        Document {
            location: self.location.clone(),
            fetched_by: self.fetched_by.unwrap_or(FetchedBy::Note),
            title: self.title.clone(),
            author: self.author.clone(),
            published: self.published,
            media_type: self.media_type.clone(),
            text,
            bytes_hash: self.bytes_hash.clone(),
        }
    }
}

/// A section, planned or written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Section {
    /// `s1`, `s2` … in order of the outline.
    pub id: String,
    /// Its heading. Names need not be unique.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// Whether it is written from sources; the others are written after these.
    pub research: bool,
    /// Markdown below the heading; empty until it is written. Footnotes carry source ids.
    pub content: String,
    /// Where its sentences come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// What a person had changed to make it what it is; none for a section as it was first written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// The newest version of each section that was written, in no order that means anything.
pub(super) fn newest<'a>(sections: &'a [Section], id: &str) -> Option<&'a Section> {
    sections.iter().rev().find(|section| section.id == id)
}

/// How a section came to be what it is after it was first written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// What was done.
    pub kind: ChangeKind,
    /// What the model was told, if it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
    /// Who asked for it, as the server knows them; none where nobody is asked who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When, as RFC 3339.
    pub at: String,
}

/// What was done to a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A person wrote the text.
    Edited,
    /// A model wrote it again.
    Rewritten,
    /// A quotation was exchanged for another one.
    Exchanged,
    /// An earlier version was taken back.
    Restored,
}

/// A change of one section that a person asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Revision {
    /// This text instead. Each sentence is held against the sources again.
    Text {
        /// Id of the section.
        section: String,
        /// Markdown below the heading. `[^ID]` behind a sentence cites the source of that id.
        #[schemars(length(max = 40000))]
        text: String,
    },
    /// Written again by the model.
    Rewrite {
        /// Id of the section.
        section: String,
        /// The one sentence to write again, as its evidence has it; none for the whole section.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sentence: Option<String>,
        /// What is to be different.
        #[schemars(length(min = 1, max = 2000))]
        instruction: String,
    },
    /// Another extract instead of the quotation that holds this sentence.
    Exchange {
        /// Id of the section.
        section: String,
        /// The sentence, as its evidence has it.
        sentence: String,
    },
    /// An earlier version again, with its evidence.
    Restore {
        /// Id of the section.
        section: String,
        /// Which version: 0 is the section as it was first written.
        version: usize,
    },
}

impl Revision {
    /// Id of the section that it changes.
    pub fn section(&self) -> &str {
        match self {
            Self::Text { section, .. }
            | Self::Rewrite { section, .. }
            | Self::Exchange { section, .. }
            | Self::Restore { section, .. } => section,
        }
    }
}

/// The task of changing one section.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionJob {
    /// What the section was written from, with the section as it is now.
    pub job: SectionJob,
    /// What is asked for.
    pub revision: Option<Revision>,
    /// What the other sections quote, and what this one does or once did.
    pub elsewhere: Vec<Evidence>,
    /// The version to take back, if that is asked for and there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Section>,
}

/// A change that was not made, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// Id of the section.
    pub section: String,
    /// Why, for a person.
    pub reason: String,
}

/// What a person says to a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// Which check.
    pub check: Check,
    /// The section that the finding names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// The finding's message: another one is another finding.
    pub message: String,
    /// Why it is accepted; none takes back what was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub reason: Option<String>,
}

/// That a person accepted a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// Why.
    pub reason: String,
    /// Who, as the server knows them; none where nobody is asked who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When, as RFC 3339.
    pub at: String,
}

/// Where one sentence comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The sentence as the draft shows it.
    pub sentence: String,
    /// How it relates to the source.
    pub relation: Relation,
    /// The source; none for a statement that nothing supports.
    pub source: Option<String>,
    /// First byte of the passage in the source's text.
    pub start: usize,
    /// First byte after it.
    pub end: usize,
}

/// How a sentence relates to its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Copied word for word.
    Quoted,
    /// The writer says that the passage supports it.
    Supported,
    /// A statement of fact without a passage.
    Unsupported,
}

/// The task of one section.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SectionJob {
    /// The section to write.
    pub section: Section,
    /// The whole request.
    pub request: Request,
    /// Who writes.
    pub generation: Generation,
    /// Title of the post.
    pub title: String,
    /// Language of the post, as a BCP 47 tag.
    pub language: String,
    /// The whole outline, for context.
    pub outline: Vec<Section>,
    /// What was read before the outline was made.
    pub sources: Vec<Source>,
    /// The researched sections as text; only for sections that are written after them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
}

/// A passage that a section may be written from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Passage {
    /// `p1`, `p2` … within the section.
    pub id: String,
    /// The source.
    pub source: String,
    /// First byte in the source's text.
    pub start: usize,
    /// First byte after it.
    pub end: usize,
    /// Headings above it.
    pub heading: String,
    /// The text.
    pub text: String,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// How grave it is.
    pub level: Level,
    /// The section, if it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// What was found, for a person.
    pub message: String,
    /// That a person accepted it; none while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
}

/// The checks that every post goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Check {
    /// Every statement of fact has evidence.
    K01,
    /// Quoted words occur in the source they are cited from.
    K02,
    /// Numbers of a statement occur in its evidence.
    K03,
    /// Too much of one source is copied.
    K09,
    /// No section is empty.
    K10,
    /// The facts come from more than one source.
    K17,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The post should not be published like this.
    Blocking,
    /// Worth a look.
    Warning,
}
