//! The documents of one run, read once: passages, sentences and the statistics of their words.

use std::{fmt, ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{dependence, heading, quality};
use crate::{
    source::Document,
    text::{
        bm25::Index,
        language::Language,
        markdown::{Block, BlockKind, blocks},
        near_duplicate::{self, Fingerprint},
        passage::passages,
        sentence::sentences,
        words::{self, TermId, Vocabulary},
    },
};

/// Bytes of one document that are read; the rest of a longer one is left out. A book has about 1 MB.
const DOCUMENT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Prose that is shown to the language detector per document.
const LANGUAGE_SAMPLE_BYTES: usize = 6_000;

/// Words of a line that names an option or a term.
const LABEL_WORDS_MAX: usize = 8;

/// Times that a heading in capitals occurs if it is a name.
const SHOUTED_NAME_COUNT: usize = 5;

/// Characters of a [`SourceId`] at most.
const SOURCE_ID_CHARS_MAX: usize = 64;

/// The name of a source inside one run, such as `1`; also its footnote label in drafts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceId(String);

/// A source id holds something that a footnote label cannot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "source id {found:?}: expected 1 to {SOURCE_ID_CHARS_MAX} characters of a-z, A-Z, 0-9, - and _"
)]
pub struct InvalidSourceId {
    /// What was given.
    pub found: String,
}

impl SourceId {
    /// Takes a name that can stand in a footnote label.
    ///
    /// # Errors
    /// [`InvalidSourceId`] if it is empty, longer than 64 characters, or holds anything but ASCII
    /// letters, digits, `-` and `_`.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidSourceId> {
        let id = id.into();
        let fits = (1..=SOURCE_ID_CHARS_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if fits { Ok(Self(id)) } else { Err(InvalidSourceId { found: id }) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for SourceId {
    type Error = InvalidSourceId;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        Self::new(id)
    }
}

impl From<SourceId> for String {
    fn from(id: SourceId) -> Self {
        id.0
    }
}

/// A sentence of a [`Corpus`], by number. It means the same sentence in every corpus that was built
/// from the same documents in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SentenceRef(pub(super) u32);

/// A passage of a [`Corpus`], by number, under the same promise as [`SentenceRef`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PassageRef(pub(super) u32);

/// What a [`PassageRef`] stands for.
#[derive(Debug, Clone)]
pub struct PassageView<'a> {
    /// The source it is from.
    pub source: &'a SourceId,
    /// That source's document.
    pub document: &'a Document,
    /// Headings above it, outermost first, cleaned of marks and numbers.
    pub heading_path: Vec<&'a str>,
    /// Its bytes in the document's text.
    pub range: Range<usize>,
    /// The text itself, as Markdown.
    pub text: &'a str,
    /// Its language.
    pub language: Language,
}

/// Documents with everything that planning and choosing need. Build it once and share it.
///
/// Near-duplicates (SimHash and Jaccard over 5-word shingles) stay listed but give no sentence;
/// the earliest published, else the first given, speaks for its group.
pub struct Corpus {
    pub(super) sources: Vec<Source>,
    pub(super) passages: Vec<PassageEntry>,
    pub(super) sentences: Vec<SentenceEntry>,
    pub(super) vocabulary: Vocabulary,
    /// Over passages: title, headings and text.
    pub(super) passage_index: Index,
    /// Over all sentences; those that may not be quoted are empty texts.
    pub(super) sentence_index: Index,
    /// Per term, in how many headings and titles it occurs.
    pub(super) heading_frequency: Vec<u32>,
}

pub(super) struct Source {
    pub(super) id: SourceId,
    pub(super) document: Arc<Document>,
    pub(super) language: Language,
    pub(super) headings: Vec<Heading>,
    /// Words of its prose: what a share of it is measured against.
    pub(super) words: usize,
    /// Index of the source that speaks for it, or its own.
    pub(super) speaks: usize,
    pub(super) passages: Range<usize>,
}

pub(super) struct Heading {
    pub(super) level: u8,
    /// Cleaned of marks and numbers.
    pub(super) text: String,
    pub(super) parent: Option<usize>,
}

pub(super) struct PassageEntry {
    pub(super) source: usize,
    /// Index into the source's headings.
    pub(super) heading: Option<usize>,
    pub(super) range: Range<usize>,
    pub(super) sentences: Range<usize>,
    /// Title, headings and text.
    pub(super) terms: Vec<TermId>,
    /// A menu, a banner, an invitation: nothing in it may be quoted, and it says so itself.
    pub(super) boilerplate: bool,
    /// How many of `terms`, from the first, are title and headings.
    pub(super) heading_terms_len: usize,
}

pub(super) struct SentenceEntry {
    pub(super) source: usize,
    pub(super) passage: usize,
    /// Number of the paragraph or list item in its source.
    pub(super) block: u32,
    pub(super) block_kind: BlockKind,
    /// Whether it opens its block.
    pub(super) first: bool,
    /// Whether it ends its block.
    pub(super) last: bool,
    /// Whether its block explains a short label before it, as in a list of options.
    pub(super) entry: bool,
    /// How many paragraphs and items stand between it and its heading.
    pub(super) depth: u32,
    pub(super) range: Range<usize>,
    pub(super) words: usize,
    /// May be quoted.
    pub(super) usable: bool,
    /// Needs the sentence before it.
    pub(super) leans: bool,
    pub(super) terms: Vec<TermId>,
}

impl Corpus {
    /// Reads documents. An id that was already given is left out with its document.
    pub fn new(documents: Vec<(SourceId, Arc<Document>)>) -> Self {
        let mut corpus = Self {
            sources: Vec::new(),
            passages: Vec::new(),
            sentences: Vec::new(),
            vocabulary: Vocabulary::default(),
            passage_index: Index::default(),
            sentence_index: Index::default(),
            heading_frequency: Vec::new(),
        };
        let speakers = speakers(&documents);
        for ((id, document), speaks) in documents.into_iter().zip(speakers) {
            if corpus.sources.iter().all(|source| source.id != id) {
                corpus.read(id, document, speaks);
            }
        }
        let terms_len = corpus.vocabulary.len();
        corpus.heading_frequency.resize(terms_len, 0);
        corpus.passage_index =
            Index::new(corpus.passages.iter().map(|p| p.terms.as_slice()), terms_len);
        let quotable = |s: &'_ SentenceEntry| s.usable;
        corpus.sentence_index = Index::new(
            corpus.sentences.iter().map(|s| if quotable(s) { s.terms.as_slice() } else { &[] }),
            terms_len,
        );
        corpus
    }

    /// Sources in the order given.
    pub fn sources(&self) -> impl Iterator<Item = (&SourceId, &Document)> {
        self.sources.iter().map(|source| (&source.id, &*source.document))
    }

    /// The document of a source.
    pub fn document(&self, id: &SourceId) -> Option<&Document> {
        self.sources.iter().find(|source| source.id == *id).map(|source| &*source.document)
    }

    /// Sources that repeat another, each with the one that speaks for it.
    pub fn near_duplicates(&self) -> impl Iterator<Item = (&SourceId, &SourceId)> {
        self.sources.iter().enumerate().filter_map(|(at, source)| {
            let speaker = self.sources.get(source.speaks)?;
            (source.speaks != at).then_some((&source.id, &speaker.id))
        })
    }

    /// What a passage reference stands for; `None` if this corpus has no such passage.
    pub fn passage(&self, passage: PassageRef) -> Option<PassageView<'_>> {
        let entry = self.passages.get(passage.0 as usize)?;
        let source = self.sources.get(entry.source)?;
        Some(PassageView {
            source: &source.id,
            document: &source.document,
            heading_path: source.heading_path(entry.heading),
            range: entry.range.clone(),
            text: source.document.text.get(entry.range.clone())?,
            language: source.language,
        })
    }

    /// All passages, source by source.
    pub fn passages(&self) -> impl Iterator<Item = PassageView<'_>> {
        (0..self.passages.len()).filter_map(|at| self.passage(PassageRef(at as u32)))
    }

    /// How many passages there are.
    pub fn passages_len(&self) -> usize {
        self.passages.len()
    }

    /// How many sentences may be quoted.
    pub fn usable_sentences_len(&self) -> usize {
        self.sentences.iter().filter(|sentence| sentence.usable).count()
    }

    /// The text of a sentence as it stands in the source.
    pub(super) fn sentence_text(&self, number: usize) -> &str {
        let Some(entry) = self.sentences.get(number) else { return "" };
        self.sources
            .get(entry.source)
            .and_then(|source| source.document.text.get(entry.range.clone()))
            .unwrap_or_default()
    }

    fn read(&mut self, id: SourceId, document: Arc<Document>, speaks: usize) {
        let at = self.sources.len();
        let text = head(&document.text, DOCUMENT_BYTES_MAX);
        let blocks = blocks(text);
        let language = language_of(text, &blocks);
        let mut source = Source {
            id,
            language,
            headings: Vec::new(),
            words: 0,
            speaks,
            passages: self.passages.len()..self.passages.len(),
            document: Arc::clone(&document),
        };
        let title = document.title.as_deref().map(heading::clean).unwrap_or_default();
        let title_terms = self.vocabulary.terms(&title, language);
        self.count_heading(&title_terms);

        // Number of each heading block among the headings, for passages that name blocks.
        let mut heading_of_block = vec![None; blocks.len()];
        for (number, block) in blocks.iter().enumerate() {
            if let BlockKind::Heading(level) = block.kind {
                let mut shown = heading::clean(text.get(block.range.clone()).unwrap_or_default());
                // `CREATE TABLE` is a name that the text keeps using; a shouted title is not.
                if heading::is_shouted(&shown)
                    && text.matches(shown.as_str()).count() < SHOUTED_NAME_COUNT
                {
                    shown = heading::calmed(&shown);
                }
                let parent =
                    (0..source.headings.len()).rev().find(|&n| source.headings[n].level < level);
                let terms = self.vocabulary.terms(&shown, language);
                self.count_heading(&terms);
                heading_of_block[number] = Some(source.headings.len());
                source.headings.push(Heading { level, text: shown, parent });
            }
        }

        for passage in passages(text, &blocks, language) {
            let own = passage.heading.and_then(|block| heading_of_block[block]);
            let mut terms = title_terms.clone();
            for (level, shown) in source.heading_path(own).into_iter().rev().enumerate() {
                let heading_terms = self.vocabulary.terms(shown, language);
                // The nearest heading says most about the passage: it counts twice.
                let times = if level == 0 { 2 } else { 1 };
                terms.extend(std::iter::repeat_n(heading_terms, times).flatten());
            }
            let heading_terms_len = terms.len();
            let body = text.get(passage.range.clone()).unwrap_or_default();
            terms.extend(self.vocabulary.terms(body, language));
            self.passages.push(PassageEntry {
                source: at,
                heading: own,
                range: passage.range,
                sentences: 0..0,
                terms,
                heading_terms_len,
                boilerplate: false,
            });
        }
        source.passages.end = self.passages.len();

        let mut passage = source.passages.start;
        let mut depth = 0;
        for (number, block) in blocks.iter().enumerate() {
            match block.kind {
                BlockKind::Heading(_) => depth = 0,
                BlockKind::Paragraph | BlockKind::ListItem => {
                    let is_item = block.kind == BlockKind::ListItem;
                    let entry = explains_label(text, &blocks, number);
                    let ranges = sentences(text, block.range.clone(), language);
                    let last = ranges.len().saturating_sub(1);
                    for (position, range) in ranges.into_iter().enumerate() {
                        while passage + 1 < source.passages.end
                            && self.passages[passage].range.end <= range.start
                        {
                            passage += 1;
                        }
                        let raw = text.get(range.clone()).unwrap_or_default();
                        let words = words::count(raw);
                        source.words += words;
                        let verdict = quality::judge(raw, language);
                        let usable = speaks == at
                            && verdict.is_ok()
                            && !(position == 0
                                && (entry || is_item)
                                && quality::has_no_subject(raw, language));
                        let terms = self.vocabulary.terms(raw, language);
                        let sentence = self.sentences.len();
                        if let Some(entry) = self.passages.get_mut(passage) {
                            if entry.sentences.is_empty() {
                                entry.sentences = sentence..sentence;
                            }
                            entry.sentences.end = sentence + 1;
                            entry.boilerplate |= verdict == Err(quality::Unusable::Housekeeping);
                        }
                        self.sentences.push(SentenceEntry {
                            source: at,
                            passage,
                            block: number as u32,
                            block_kind: block.kind,
                            first: position == 0,
                            last: position == last,
                            entry,
                            depth,
                            range,
                            words,
                            usable,
                            leans: dependence::leans(raw, language),
                            terms,
                        });
                    }
                    depth += 1;
                }
                _ => {}
            }
        }
        for entry in &mut self.passages[source.passages.clone()] {
            let usable = self.sentences[entry.sentences.clone()].iter().any(|s| s.usable);
            entry.boilerplate &= !usable;
        }
        self.sources.push(source);
    }

    fn count_heading(&mut self, terms: &[TermId]) {
        self.heading_frequency.resize(self.vocabulary.len(), 0);
        for (term, _) in words::counts(terms) {
            self.heading_frequency[term as usize] += 1;
        }
    }
}

impl fmt::Debug for Corpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Corpus")
            .field("sources", &self.sources.len())
            .field("passages", &self.passages.len())
            .field("sentences", &self.sentences.len())
            .finish_non_exhaustive()
    }
}

impl Source {
    /// Headings from the outermost to `heading` itself.
    pub(super) fn heading_path(&self, heading: Option<usize>) -> Vec<&str> {
        let mut path = Vec::new();
        let mut next = heading;
        while let Some(entry) = next.and_then(|at| self.headings.get(at)) {
            path.push(entry.text.as_str());
            next = entry.parent;
        }
        path.reverse();
        path
    }
}

/// For every document the index of the one that speaks for it.
fn speakers(documents: &[(SourceId, Arc<Document>)]) -> Vec<usize> {
    let fingerprints: Vec<Fingerprint> = documents
        .iter()
        .map(|(_, document)| Fingerprint::new(head(&document.text, DOCUMENT_BYTES_MAX)))
        .collect();
    let groups = near_duplicate::groups(&fingerprints);
    groups
        .iter()
        .map(|&group| {
            let members = (0..documents.len()).filter(|&n| groups[n] == group);
            // Undated ones come after dated ones; then the order given decides.
            members
                .min_by_key(|&n| {
                    let published = documents[n].1.published;
                    (published.is_none(), published, n)
                })
                .unwrap_or(group)
        })
        .collect()
}

fn language_of(text: &str, blocks: &[Block]) -> Language {
    let mut sample = String::new();
    for block in blocks {
        if sample.len() >= LANGUAGE_SAMPLE_BYTES {
            break;
        }
        if matches!(block.kind, BlockKind::Paragraph | BlockKind::ListItem) {
            sample.push_str(text.get(block.range.clone()).unwrap_or_default());
            sample.push('\n');
        }
    }
    Language::detect(&sample)
}

/// Whether block `number` comes right after a short line that is no sentence: the name of an
/// option, a parameter, a term.
fn explains_label(text: &str, blocks: &[Block], number: usize) -> bool {
    let Some(before) = number.checked_sub(1).and_then(|at| blocks.get(at)) else { return false };
    let label = text.get(before.range.clone()).unwrap_or_default().trim();
    matches!(before.kind, BlockKind::Paragraph | BlockKind::ListItem)
        && label.split_whitespace().count() <= LABEL_WORDS_MAX
        && !label.ends_with(['.', '!', '?', ':', '।'])
}

/// The first `bytes_max` bytes, or a few less to end between characters.
fn head(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
