//! Words of a text, and the stems by which words are matched.
//!
//! Stems serve comparison only; nothing that a reader sees is made of them.

use std::collections::HashMap;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_segmentation::UnicodeSegmentation as _;

use super::{language::Language, stop_words};

/// Number of a stem in a [`Vocabulary`].
pub type TermId = u32;

/// Characters of a word that take part in matching; the rest of a longer one (a hash, a path) is
/// noise.
const WORD_CHARS_MAX: usize = 40;

/// How many words a text has by Unicode word boundaries.
pub fn count(text: &str) -> usize {
    text.unicode_words().count()
}

/// Words of a text in order, in lower case, with every apostrophe as `'`.
pub fn lower_words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.unicode_words().map(|word| {
        let lower = word.to_lowercase();
        if lower.contains('’') { lower.replace('’', "'") } else { lower }
    })
}

/// Whether a lower-case word carries no meaning of its own in `language`.
pub fn is_stop_word(lower: &str, language: Language) -> bool {
    stop_words::of(language).binary_search(&lower).is_ok()
}

/// The stem by which a lower-case word is compared; stop words have one too.
///
/// English loses inflections only, so that a *generator* is not taken for what is *generated*, but
/// *recover* meets *recovery*. German, French and Spanish use Snowball, Hindi a list of suffixes,
/// other languages nothing.
pub fn stem(lower: &str, language: Language) -> String {
    // Identifiers are names: `pg_wal` and `fsync2` stay as they are.
    if lower.contains(|c: char| c == '_' || c.is_ascii_digit()) {
        return lower.to_owned();
    }
    let algorithm = match language {
        Language::English => return english_stem(lower),
        Language::German => Algorithm::German,
        Language::French => Algorithm::French,
        Language::Spanish => Algorithm::Spanish,
        Language::Hindi => return hindi_stem(lower).to_owned(),
        Language::Other => return lower.to_owned(),
    };
    Stemmer::create(algorithm).stem(lower).into_owned()
}

/// Letters that a stem keeps at least.
const ENGLISH_STEM_MIN: usize = 3;

/// Plural, `-ing`, `-ed`, `-ion` after `t` or `s`, then a final `e` or `y`.
fn english_stem(lower: &str) -> String {
    let word = lower.strip_suffix("'s").unwrap_or(lower);
    let has_vowel = |part: &str| part.contains(['a', 'e', 'i', 'o', 'u', 'y']);
    let cut = |word: &str, ending: &str| -> Option<String> {
        let rest = word.strip_suffix(ending)?;
        (rest.len() >= ENGLISH_STEM_MIN && has_vowel(rest)).then(|| rest.to_owned())
    };
    let sibilant = ["ches", "shes", "sses", "xes", "zes"].iter().any(|end| word.ends_with(end));
    let singular = if sibilant {
        cut(word, "es")
    } else if word.ends_with("ies") {
        cut(word, "ies")
    } else if word.ends_with(['s']) && !["ss", "us", "is"].iter().any(|end| word.ends_with(end)) {
        cut(word, "s")
    } else {
        None
    }
    .unwrap_or_else(|| word.to_owned());
    let inflected = if singular.ends_with("eed") {
        None
    } else {
        cut(&singular, "ing").or_else(|| cut(&singular, "ed"))
    };
    let base = match inflected {
        Some(mut rest) => {
            let doubled = rest
                .as_bytes()
                .last_chunk::<2>()
                .is_some_and(|[a, b]| a == b && !matches!(b, b'l' | b's' | b'z' | b'e' | b'o'));
            if doubled {
                rest.pop();
            }
            rest
        }
        None if singular.ends_with("tion") || singular.ends_with("sion") => {
            cut(&singular, "ion").unwrap_or(singular)
        }
        None => singular,
    };
    cut(&base, "e").or_else(|| cut(&base, "y")).unwrap_or(base)
}

/// Inflections of nouns and adjectives, longest first.
const HINDI_SUFFIXES: &[&str] =
    &["ियों", "ाओं", "ाएँ", "ुओं", "ियाँ", "ाने", "ाना", "ों", "ें", "ता", "ते", "ती", "ी", "े"];

fn hindi_stem(word: &str) -> &str {
    HINDI_SUFFIXES
        .iter()
        .find_map(|suffix| word.strip_suffix(suffix).filter(|rest| rest.chars().count() >= 2))
        .unwrap_or(word)
}

/// Stems seen so far, numbered in the order in which they were first seen.
///
/// The maps are only ever asked, never walked, so their order is nobody's business.
#[derive(Debug, Default)]
pub struct Vocabulary {
    ids: HashMap<String, TermId>,
    stems: Vec<String>,
    /// What a word was turned into, per language: stemming costs more than looking up.
    known: HashMap<(Language, String), Option<TermId>>,
}

impl Vocabulary {
    /// Content terms of a text in order: stop words, single letters and bare numbers left out.
    pub fn terms(&mut self, text: &str, language: Language) -> Vec<TermId> {
        lower_words(text).filter_map(|word| self.learn(word, language)).collect()
    }

    /// As [`Vocabulary::terms`], without learning: words that were never seen are left out.
    pub fn known_terms(&self, text: &str, language: Language) -> Vec<TermId> {
        lower_words(text).filter_map(|word| self.known_term(&word, language)).collect()
    }

    /// The term of one lower-case word, if it is a content word that was seen.
    pub fn known_term(&self, lower: &str, language: Language) -> Option<TermId> {
        if !is_content(lower, language) {
            return None;
        }
        self.ids.get(&stem(lower, language)).copied()
    }

    /// How many terms there are; ids are below it.
    pub fn len(&self) -> usize {
        self.stems.len()
    }

    /// Whether nothing was learned yet.
    pub fn is_empty(&self) -> bool {
        self.stems.is_empty()
    }

    fn learn(&mut self, word: String, language: Language) -> Option<TermId> {
        let key = (language, word);
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let id = is_content(&key.1, language).then(|| {
            let stem = stem(&key.1, language);
            if let Some(&id) = self.ids.get(&stem) {
                return id;
            }
            let id = self.stems.len() as TermId;
            self.stems.push(stem.clone());
            self.ids.insert(stem, id);
            id
        });
        self.known.insert(key, id);
        id
    }
}

/// Whether a lower-case word may stand for what a text is about.
fn is_content(lower: &str, language: Language) -> bool {
    let chars = lower.chars().count();
    let devanagari_consonant = || lower.starts_with(|c: char| !c.is_ascii());
    (chars > 1 || devanagari_consonant())
        && chars <= WORD_CHARS_MAX
        && lower.contains(char::is_alphabetic)
        && !is_stop_word(lower, language)
}

/// Counts of equal terms, sorted by term.
pub fn counts(terms: &[TermId]) -> Vec<(TermId, u32)> {
    let mut sorted = terms.to_vec();
    sorted.sort_unstable();
    let mut counted: Vec<(TermId, u32)> = Vec::new();
    for term in sorted {
        match counted.last_mut() {
            Some((last, count)) if *last == term => *count += 1,
            _ => counted.push((term, 1)),
        }
    }
    counted
}
