//! A section's text from a person, held against the sources again. Pure.
//!
//! A sentence that stays as it was keeps its evidence as long as it keeps its mark. A new one gains
//! it when its words stand in a source, or when it carries a mark and the source of that mark
//! speaks of the same things with the same numbers. What then has none is marked like a model's
//! statement without a source.

use std::{collections::BTreeSet, ops::Range};

use super::{
    extract::Corpus,
    state::{Evidence, Generation, Passage, Relation, Section, SectionJob},
    writer::{self, FLAG, MARK, missing_number, normalized, numbers},
};
use crate::text::{
    language::Language,
    markdown::{self, BlockKind},
    sentence::{rendered, sentences},
    words,
};

/// Words of a sentence from which standing in a source is no accident.
const VERBATIM_WORDS_MIN: usize = 5;
/// Share of a sentence's telling words that the passage behind its mark must have.
const SUPPORT_MIN: f64 = 0.5;
/// Words from which a line says something that could be true or false.
const CLAIM_WORDS_MIN: usize = 4;

/// One sentence of a text, with what stands behind it.
struct Unit {
    /// Its bytes, marks inside them included.
    range: Range<usize>,
    /// The sentence without marks, in one line.
    said: String,
    /// Ids of the sources that its marks cite.
    marks: Vec<String>,
}

/// A text read for its sentences.
struct Reading {
    units: Vec<Unit>,
    /// Marks and flags in order: what is cut when the text is put together again.
    cuts: Vec<Range<usize>>,
    /// Places of `[^` that cites nothing, to be escaped.
    strays: Vec<usize>,
    /// Tables, as they stand.
    tables: Vec<String>,
}

/// The section with this text instead of its own.
pub(super) fn section(job: &SectionJob, text: &str, corpus: &Corpus) -> Section {
    let text = text.trim();
    let old = &job.section;
    let language = Language::from_tag(&job.language);
    let ids: Vec<&str> = job.sources.iter().map(|source| &*source.id).collect();
    let locked: Vec<&str> = old.evidence.iter().map(|it| &*it.sentence).collect();
    let before = read(&old.content, &ids, &locked, language);
    let said: BTreeSet<String> = before.units.iter().map(|unit| normalized(&unit.said)).collect();
    let reading = read(text, &ids, &locked, language);
    let judge = Judge { job, corpus, language, said };

    let verbatim = judge.verbatim(&reading.units);
    let mut content = String::with_capacity(text.len());
    let mut evidence = Vec::new();
    let mut at = 0;
    for (unit, verbatim) in reading.units.iter().zip(verbatim) {
        reading.copy(text, at..unit.range.start, &mut content);
        reading.copy(text, unit.range.clone(), &mut content);
        content.truncate(content.trim_end().len());
        let found = judge.evidence(unit, verbatim);
        let mut marked: Vec<&str> = Vec::new();
        for source in found.iter().filter_map(|it| it.source.as_deref()) {
            if !marked.contains(&source) {
                marked.push(source);
                content.push_str(&label(job.generation, source));
            }
        }
        if found.iter().any(|it| it.relation == Relation::Unsupported) {
            content.push_str(FLAG);
        }
        evidence.extend(found);
        at = unit.range.end;
    }
    reading.copy(text, at..text.len(), &mut content);
    // A table that was not there before has nobody's word for it.
    let a_table = |it: &&Evidence| it.source.is_none() && it.sentence == TABLE;
    let kept = old.evidence.iter().find(a_table).filter(|_| !reading.tables.is_empty());
    let is_new = reading.tables.iter().any(|table| !before.tables.contains(table));
    if kept.is_some() || is_new {
        evidence.push(unsupported(TABLE));
    }
    Section { content, evidence, ..old.clone() }
}

/// What evidence calls a table.
const TABLE: &str = "a table";

fn unsupported(sentence: &str) -> Evidence {
    let sentence = sentence.to_owned();
    Evidence { sentence, relation: Relation::Unsupported, source: None, start: 0, end: 0 }
}

/// The mark of a source, as sections carry it until the post numbers them.
fn label(generation: Generation, source: &str) -> String {
    match generation {
        Generation::Extractive => format!("[^{source}]"),
        Generation::Model => format!("[^{MARK}{source}]"),
    }
}

/// The first heading that would stand beside the section's own, if there is one.
pub(super) fn heading_too_high(text: &str) -> Option<String> {
    let found = markdown::blocks(text)
        .into_iter()
        .find(|block| matches!(block.kind, BlockKind::Heading(level) if level < 3))?;
    text.get(found.range).map(rendered)
}

/// Where a sentence stands in a section's text, with its marks and its flag.
pub(super) fn place_of(content: &str, sentence: &str) -> Option<Range<usize>> {
    let wanted = sentence.replace("[^", "\\[^");
    let masked = masked(content, &marks(content, |_| true));
    let found = find_loose(&masked, &wanted)?;
    let mut end = found.end;
    loop {
        let rest = &content[end..];
        if rest.starts_with(FLAG) {
            end += FLAG.len();
        } else if let Some(close) = rest.starts_with("[^").then(|| rest.find(']')).flatten() {
            end += close + 1;
        } else {
            return Some(found.start..end);
        }
    }
}

/// The block that holds a sentence, its marker included.
pub(super) fn block_of(content: &str, sentence: &str) -> Option<Range<usize>> {
    let place = place_of(content, sentence)?;
    let blocks = markdown::blocks(content);
    let block =
        blocks.into_iter().find(|it| it.range.start <= place.start && place.end <= it.range.end)?;
    let start = content[..block.range.start].rfind('\n').map_or(0, |at| at + 1);
    Some(start..block.range.end)
}

/// A draft whose statements without a source no longer say so.
pub(super) fn without_flags(draft: &str) -> String {
    let code: Vec<Range<usize>> = markdown::blocks(draft)
        .into_iter()
        .filter(|block| block.kind == BlockKind::Code)
        .map(|block| block.range)
        .collect();
    let mut text = String::with_capacity(draft.len());
    let mut at = 0;
    for (found, _) in draft.match_indices(FLAG) {
        if !code.iter().any(|range| range.contains(&found)) {
            text.push_str(&draft[at..found]);
            at = found + FLAG.len();
        }
    }
    text.push_str(&draft[at..]);
    text
}

/// Marks of a text that cite a source for which `is_source` holds: where, and which.
fn marks(text: &str, is_source: impl Fn(&str) -> bool) -> Vec<(Range<usize>, String)> {
    let mut found = Vec::new();
    for (open, _) in text.match_indices("[^") {
        let id =
            text[open..].find(']').map(|close| (open + close + 1, &text[open + 2..open + close]));
        if let Some((end, label)) = id.filter(|_| !text[..open].ends_with('\\')) {
            let id = label.strip_prefix(MARK).unwrap_or(label);
            if is_source(id) {
                found.push((open..end, id.to_owned()));
            }
        }
    }
    found
}

/// The same bytes with marks and flags as spaces.
fn masked(text: &str, marks: &[(Range<usize>, String)]) -> String {
    let mut masked = text.to_owned();
    let flags = text.match_indices(FLAG).map(|(at, _)| at..at + FLAG.len());
    for range in marks.iter().map(|(range, _)| range.clone()).chain(flags) {
        masked.replace_range(range.clone(), &" ".repeat(range.len()));
    }
    masked
}

/// Where `needle` stands in `hay`, any white space for any other.
fn find_loose(hay: &str, needle: &str) -> Option<Range<usize>> {
    let words: Vec<&str> = needle.split_whitespace().collect();
    let first = words.first()?;
    hay.match_indices(first).find_map(|(start, _)| {
        let mut end = start + first.len();
        for word in &words[1..] {
            let rest = &hay[end..];
            let next = rest.trim_start();
            if next.len() == rest.len() || !next.starts_with(word) {
                return None;
            }
            end += rest.len() - next.len() + word.len();
        }
        Some(start..end)
    })
}

/// Reads a text: sentences in `locked` stay whole, whatever is in them.
fn read(text: &str, ids: &[&str], locked: &[&str], language: Language) -> Reading {
    let all = marks(text, |id| ids.contains(&id));
    let mut masked = masked(text, &all);
    let flags = text.match_indices(FLAG).map(|(at, _)| at..at + FLAG.len());
    let mut cuts: Vec<Range<usize>> =
        all.iter().map(|(range, _)| range.clone()).chain(flags).collect();
    let mut strays: Vec<usize> = text.match_indices("[^").map(|(at, _)| at).collect();
    strays.retain(|at| {
        !text[..*at].ends_with('\\') && !all.iter().any(|(range, _)| range.start == *at)
    });
    let mut units = Vec::new();
    let mut tables = Vec::new();
    for block in markdown::blocks(text) {
        match block.kind {
            BlockKind::Code => {
                let inside = |at: usize| block.range.contains(&at);
                cuts.retain(|cut| !inside(cut.start));
                strays.retain(|at| !inside(*at));
            }
            BlockKind::Table => tables.push(rendered(&masked[block.range])),
            BlockKind::Paragraph | BlockKind::ListItem | BlockKind::Quote => {
                if block.kind == BlockKind::Quote {
                    unquote(&mut masked, block.range.clone());
                }
                let first = units.len();
                for range in split(&masked, block.range.clone(), locked, language) {
                    units.push(Unit {
                        said: rendered(&masked[range.clone()]).replace("\\[^", "[^"),
                        range,
                        marks: Vec::new(),
                    });
                }
                for (range, id) in all.iter().filter(|(it, _)| block.range.contains(&it.start)) {
                    // A mark belongs to the sentence that it stands in or behind.
                    let its =
                        units[first..].iter_mut().rfind(|unit| unit.range.start <= range.start);
                    if let Some(unit) = its.filter(|unit| !unit.marks.contains(id)) {
                        unit.marks.push(id.clone());
                    }
                }
            }
            BlockKind::Heading(_) | BlockKind::Other => {}
        }
    }
    cuts.sort_by_key(|cut| cut.start);
    Reading { units, cuts, strays, tables }
}

/// Blanks the `>` of every line.
fn unquote(masked: &mut String, block: Range<usize>) {
    let mut at = block.start;
    while at < block.end {
        let line = &masked[at..block.end];
        let next = line.find('\n').map_or(block.end, |length| at + length + 1);
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        let marker = at + indent;
        if masked[marker..].starts_with('>') {
            masked.replace_range(marker..=marker, " ");
        }
        at = next;
    }
}

/// Sentences of a block, with the locked ones whole.
fn split(
    masked: &str,
    block: Range<usize>,
    locked: &[&str],
    language: Language,
) -> Vec<Range<usize>> {
    let mut whole: Vec<Range<usize>> = Vec::new();
    for sentence in locked {
        let wanted = sentence.replace("[^", "\\[^");
        if let Some(found) = find_loose(&masked[block.clone()], &wanted) {
            let found = block.start + found.start..block.start + found.end;
            if whole.iter().all(|other| found.end <= other.start || other.end <= found.start) {
                whole.push(found);
            }
        }
    }
    whole.sort_by_key(|range| range.start);
    let mut all = Vec::new();
    let mut at = block.start;
    for range in whole {
        all.extend(sentences(masked, at..range.start, language));
        at = range.end;
        all.push(range);
    }
    all.extend(sentences(masked, at..block.end, language));
    all
}

impl Reading {
    /// Copies a part without its marks and flags.
    fn copy(&self, text: &str, part: Range<usize>, to: &mut String) {
        let mut at = part.start;
        while at < part.end {
            if let Some(cut) = self.cuts.iter().find(|cut| cut.start <= at && at < cut.end) {
                at = cut.end;
                continue;
            }
            let next_cut = self.cuts.iter().map(|cut| cut.start).find(|start| *start > at);
            let next_stray = self.strays.iter().copied().find(|stray| *stray > at);
            if self.strays.contains(&at) {
                to.push('\\');
            }
            let next = next_cut.into_iter().chain(next_stray).min().unwrap_or(part.end);
            let next = next.min(part.end);
            to.push_str(&text[at..next]);
            at = next;
        }
    }
}

/// A text of a source as quotations are compared, and where each byte of it was.
struct Normal {
    text: String,
    starts: Vec<u32>,
}

impl Normal {
    fn of(text: &str) -> Self {
        let mut normal = Self { text: String::with_capacity(text.len()), starts: Vec::new() };
        for (at, c) in text.char_indices() {
            let c = writer::plain_char(c);
            if c == ' ' && normal.text.ends_with(' ') {
                continue;
            }
            normal.text.push(c);
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            normal.starts.extend(std::iter::repeat_n(at, c.len_utf8()));
        }
        normal
    }

    /// Bytes of the source at which these normalized words stand, between borders of words.
    fn find(&self, source: &str, words: &str) -> Option<Range<usize>> {
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let (at, _) = self.text.match_indices(words).find(|(at, _)| {
            let (before, after) = (&self.text[..*at], &self.text[at + words.len()..]);
            let goes_on = |a: Option<char>, b: Option<char>| is_word(a) && is_word(b);
            !goes_on(before.chars().next_back(), words.chars().next())
                && !goes_on(words.chars().next_back(), after.chars().next())
        })?;
        let start = *self.starts.get(at)? as usize;
        let last = *self.starts.get(at + words.len() - 1)? as usize;
        let end = last + source.get(last..)?.chars().next()?.len_utf8();
        Some(start..end)
    }
}

/// What a sentence of a person rests on.
struct Judge<'a> {
    job: &'a SectionJob,
    corpus: &'a Corpus,
    language: Language,
    /// Sentences that the section had before.
    said: BTreeSet<String>,
}

/// Where words stand: the source and the bytes of its text.
type Place = (String, Range<usize>);

impl Judge<'_> {
    /// Where the words of each sentence stand in a source. Of several the one that a mark names,
    /// else the first. One source is looked through at a time: their texts may be long.
    fn verbatim(&self, units: &[Unit]) -> Vec<Option<Place>> {
        let wanted: Vec<Option<String>> = units
            .iter()
            .map(|unit| {
                let long = words::count(&unit.said) >= VERBATIM_WORDS_MIN;
                (long && self.before(unit).next().is_none()).then(|| normalized(&unit.said))
            })
            .collect();
        let mut found: Vec<Option<Place>> = vec![None; units.len()];
        if wanted.iter().all(Option::is_none) {
            return found;
        }
        for (id, document) in self.corpus.sources() {
            let normal = Normal::of(&document.text);
            for ((unit, wanted), found) in units.iter().zip(&wanted).zip(&mut found) {
                let Some(wanted) = wanted else { continue };
                let named = unit.marks.iter().any(|mark| self.is_same(mark, id.as_str()));
                if (found.is_none() || named)
                    && let Some(range) = normal.find(&document.text, wanted)
                {
                    *found = Some((id.as_str().to_owned(), range));
                }
            }
        }
        found
    }

    fn evidence(&self, unit: &Unit, verbatim: Option<Place>) -> Vec<Evidence> {
        let cites = |source: &str| unit.marks.iter().any(|mark| self.is_same(mark, source));
        let mut found: Vec<Evidence> = self
            .before(unit)
            .filter(|it| it.source.as_deref().is_some_and(cites))
            .cloned()
            .collect();
        if let Some((source, Range { start, end })) = verbatim {
            found.push(Evidence {
                sentence: unit.said.clone(),
                relation: Relation::Quoted,
                source: Some(source),
                start,
                end,
            });
        }
        for mark in &unit.marks {
            let known = |it: &Evidence| it.source.as_deref().is_some_and(|s| self.is_same(s, mark));
            if !found.iter().any(known) {
                found.extend(self.support(&unit.said, mark));
            }
        }
        if found.is_empty() && self.is_asked_for(unit) {
            found.push(unsupported(&unit.said));
        }
        found
    }

    /// What the sentence rested on before.
    fn before(&self, unit: &Unit) -> impl Iterator<Item = &Evidence> {
        let said = normalized(&unit.said);
        self.job.section.evidence.iter().filter(move |it| normalized(&it.sentence) == said)
    }

    /// Whether a sentence without evidence is a statement of fact without a source.
    fn is_asked_for(&self, unit: &Unit) -> bool {
        let job = self.job;
        if self.before(unit).next().is_some() {
            return true;
        }
        // A sentence that stays without a mark, such as an opinion, was let pass before.
        if unit.marks.is_empty() && self.said.contains(&normalized(&unit.said)) {
            return false;
        }
        // Sections that are written from the others lead to no source of their own.
        if job.generation == Generation::Model && !job.section.research {
            return false;
        }
        let said = unit.said.trim();
        let claims = words::count(said) >= CLAIM_WORDS_MIN || !numbers(said).is_empty();
        claims && !said.ends_with([':', '?'])
    }

    /// The passage of a cited source that speaks of the same things with the same numbers.
    fn support(&self, said: &str, source: &str) -> Option<Evidence> {
        let telling = |text: &str| -> BTreeSet<String> {
            words::lower_words(text)
                .filter(|word| !words::is_stop_word(word, self.language))
                .map(|word| words::stem(&word, self.language))
                .collect()
        };
        let wanted = telling(said);
        let mut best: Option<(f64, Range<usize>)> = None;
        for view in self.corpus.passages().filter(|view| view.source.as_str() == source) {
            let has = telling(view.text);
            let share = wanted.intersection(&has).count() as f64 / wanted.len().max(1) as f64;
            let passage = Passage {
                id: String::new(),
                source: source.to_owned(),
                start: view.range.start,
                end: view.range.end,
                heading: String::new(),
                text: view.text.to_owned(),
            };
            if share >= SUPPORT_MIN
                && best.as_ref().is_none_or(|(top, _)| share > *top)
                && missing_number(said, &[&passage]).is_none()
            {
                best = Some((share, view.range));
            }
        }
        let (_, Range { start, end }) = best?;
        Some(Evidence {
            sentence: said.to_owned(),
            relation: Relation::Supported,
            source: Some(source.to_owned()),
            start,
            end,
        })
    }

    /// Whether two ids name one source: two sections may have read one page.
    fn is_same(&self, a: &str, b: &str) -> bool {
        let place = |id: &str| self.job.sources.iter().find(|source| source.id == id);
        a == b || place(a).zip(place(b)).is_some_and(|(a, b)| a.location == b.location)
    }
}
