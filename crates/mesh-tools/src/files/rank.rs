//! Which files fit a query, by words alone.
//!
//! BM25 (k1 1.2, b 0.75) over the words of the raw file, tags stripped. Words of titles and
//! headings count more, so do words that stand together as in the query, and pages that only
//! record what changed count less. Sums run in the order of the query's words, so that the same
//! folder gives the same scores everywhere.

use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap},
};

use super::walk::Candidate;
use crate::main_text::Markup;

/// Different words of a query that are looked for.
const TERMS_MAX: usize = 32;

/// Longest word that is compared; longer runs are data.
const WORD_BYTES_MAX: usize = 64;

/// Letters that an ending leaves at least.
const STEM_BYTES_MIN: usize = 3;

/// How often a word in a title or heading counts.
const HEADING_WEIGHT: u32 = 4;

/// What a word in a page's title adds, beside the most that its repetition in the text can add.
const TITLE_SHARE: f64 = 0.5;

/// What two words of the query near each other add, beside one more word.
const PAIR_SHARE: f64 = 0.8;

/// Distance, in words, at which two words of the query stand together: *recovers from a crash*.
const NEAR_WORDS: usize = 6;

/// What is left of the score of a page that records changes.
const NEWS_FACTOR: f64 = 0.5;

/// Words below which a file is held back in proportion: a stub that names a topic is not about
/// it.
const SHORT_WORDS: usize = 100;

/// Saturation of repeated words.
const K1: f64 = 1.2;

/// How much long files are held back.
const B: f64 = 0.75;

/// Share of words inside links from which a page is a list of links.
const LINKED_SHARE_MAX: f64 = 0.75;

/// Words below which the share of links says nothing.
const LINKED_WORDS_MIN: usize = 30;

/// Bits of two signatures that may differ between copies.
const COPY_BITS_MAX: u32 = 3;

/// Words from which a signature of bits means something; shorter texts are compared exactly.
const SIGNATURE_WORDS_MIN: usize = 50;

/// Words of a text's vocabulary that are sampled.
const SAMPLE_WORDS: usize = 256;

/// Share of the vocabulary that two editions of one text have in common.
const EDITION_SHARE_MIN: f64 = 0.6;

/// Words that a signature looks at.
const SIGNATURE_WORDS_MAX: usize = 50_000;

/// File names, without extension, of pages that only list others.
const INDEX_NAMES: &[&str] = &[
    "404",
    "all",
    "allclasses",
    "allclasses-index",
    "allpackages-index",
    "bookindex",
    "constant-values",
    "deprecated-list",
    "genindex",
    "help-doc",
    "index-all",
    "modindex",
    "overview-tree",
    "package-tree",
    "package-use",
    "print",
    "py-modindex",
    "search",
    "serialized-form",
    "sitemap",
    "toc",
];

/// How names of files and folders that record changes begin.
const NEWS_NAMES: &[&str] =
    &["changelog", "changes", "news", "release-", "relnotes", "upgrading-checklist", "whatsnew"];

/// Words of a query that asks for just such pages.
const NEWS_WORDS: &[&str] =
    &["changelog", "changed", "changes", "news", "release", "releases", "upgrade", "version"];

/// Words that say nothing about a topic, in the languages that sources are mostly written in:
/// articles and the like, and what a question or a title says about itself.
const STOP_WORDS: &[&str] = &[
    "a",
    "about",
    "al",
    "all",
    "als",
    "also",
    "an",
    "and",
    "any",
    "are",
    "as",
    "at",
    "au",
    "auf",
    "aus",
    "avec",
    "be",
    "been",
    "bei",
    "best",
    "but",
    "by",
    "can",
    "como",
    "con",
    "could",
    "da",
    "dan",
    "das",
    "de",
    "del",
    "dem",
    "den",
    "der",
    "des",
    "di",
    "die",
    "do",
    "does",
    "du",
    "ein",
    "eine",
    "einführung",
    "el",
    "en",
    "est",
    "et",
    "explain",
    "explained",
    "fonctionne",
    "for",
    "from",
    "funciona",
    "funktionieren",
    "funktioniert",
    "für",
    "good",
    "guide",
    "had",
    "happen",
    "happens",
    "has",
    "have",
    "how",
    "i",
    "il",
    "im",
    "in",
    "into",
    "introducción",
    "introduction",
    "is",
    "it",
    "its",
    "la",
    "las",
    "le",
    "les",
    "los",
    "may",
    "mean",
    "means",
    "mit",
    "more",
    "most",
    "need",
    "new",
    "nicht",
    "not",
    "of",
    "on",
    "one",
    "or",
    "our",
    "overview",
    "par",
    "para",
    "por",
    "pour",
    "que",
    "qui",
    "should",
    "sich",
    "so",
    "some",
    "such",
    "sur",
    "than",
    "that",
    "the",
    "their",
    "them",
    "then",
    "there",
    "these",
    "they",
    "this",
    "to",
    "too",
    "tutorial",
    "un",
    "und",
    "une",
    "up",
    "use",
    "used",
    "using",
    "via",
    "von",
    "was",
    "we",
    "were",
    "what",
    "when",
    "where",
    "which",
    "who",
    "why",
    "will",
    "with",
    "work",
    "working",
    "works",
    "would",
    "you",
    "your",
    "zu",
    "zum",
    "zur",
    "überblick",
];

/// The words that are looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    terms: HashMap<String, usize>,
    /// Neighbours among them, stop words aside.
    pairs: Vec<(usize, usize)>,
    /// Whether it asks what changed.
    wants_news: bool,
}

impl Query {
    /// The words of a query: folded, without stop words, each once.
    pub(super) fn new(text: &str) -> Self {
        let mut query = Self::default();
        let mut folded = String::new();
        let mut before = None;
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            if query.terms.len() == TERMS_MAX {
                break;
            }
            let lower = word.to_lowercase();
            query.wants_news |= NEWS_WORDS.contains(&lower.as_str());
            if STOP_WORDS.contains(&lower.as_str()) || !fold(word, &mut folded) {
                continue;
            }
            let next = query.terms.len();
            let number = *query.terms.entry(folded.clone()).or_insert(next);
            if let Some(before) = before.replace(number)
                && before != number
                && !query.pairs.contains(&(before, number))
            {
                query.pairs.push((before, number));
            }
        }
        query
    }

    /// How many numbers a file is weighed by: one per word, one per pair.
    fn features_len(&self) -> usize {
        self.terms.len() + self.pairs.len()
    }
}

/// What one file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Weighed {
    /// Words in all.
    pub(super) words: usize,
    /// Words inside links.
    linked: usize,
    /// Weighted number of each of the query's words, then of each of its pairs.
    counts: Vec<u32>,
    /// Which of the query's words stand in the title: bit by number.
    titled: u32,
}

// One bit per word of a query.
const _: () = assert!(TERMS_MAX <= u32::BITS as usize);

/// Counts the words of a file.
pub(super) fn weigh(text: &str, markup: Markup, query: &Query) -> Weighed {
    let mut weighed = Weighed { counts: vec![0; query.features_len()], ..Weighed::default() };
    let mut folded = String::new();
    // Where each word of the query was last seen.
    let mut seen: Vec<Option<usize>> = vec![None; query.terms.len()];
    each_word(text, markup, |word, place| {
        weighed.words += 1;
        weighed.linked += usize::from(place.linked);
        if query.terms.is_empty() || !fold(word, &mut folded) {
            return;
        }
        if let Some(&number) = query.terms.get(&folded) {
            let weight = if place.heading { HEADING_WEIGHT } else { 1 };
            weighed.counts[number] = weighed.counts[number].saturating_add(weight);
            weighed.titled |= u32::from(place.title) << number;
            seen[number] = Some(weighed.words);
            for (pair, &(first, second)) in query.pairs.iter().enumerate() {
                let other = match number {
                    _ if number == first => second,
                    _ if number == second => first,
                    _ => continue,
                };
                if seen[other].is_some_and(|at| weighed.words - at <= NEAR_WORDS) {
                    let count = &mut weighed.counts[query.terms.len() + pair];
                    *count = count.saturating_add(weight);
                }
            }
        }
    });
    weighed
}

/// Indices of the files that may be taken, best first.
///
/// Files without any of the query's words are taken only where all files fit, or where the query
/// has no words; pages that only list others only where nothing else is left.
pub(super) fn order(
    files: &[Candidate],
    weighed: &[Option<Weighed>],
    query: &Query,
    documents_max: usize,
) -> Vec<usize> {
    let readable = |index: &usize| weighed[*index].as_ref().is_some_and(|file| file.words > 0);
    let all: Vec<usize> = (0..files.len()).filter(readable).collect();
    let (indexes, pages): (Vec<usize>, Vec<usize>) =
        all.iter().partition(|index| is_index(&files[**index], weighed[**index].as_ref()));
    let mut scores = scores(weighed, query);
    if !query.wants_news {
        for (score, file) in scores.iter_mut().zip(files) {
            if is_news(&file.location) {
                *score *= NEWS_FACTOR;
            }
        }
    }
    let best_first = |mut indices: Vec<usize>, with_all: bool| {
        indices.retain(|index| with_all || scores[*index] > 0.0);
        indices.sort_by(|left, right| {
            let by_score = scores[*right].partial_cmp(&scores[*left]).unwrap_or(Ordering::Equal);
            by_score.then_with(|| files[*left].location.cmp(&files[*right].location))
        });
        indices
    };
    let no_words = query.terms.is_empty();
    let with_all = no_words || pages.len() <= documents_max;
    let best = best_first(pages, with_all);
    if best.is_empty() { best_first(indexes, no_words) } else { best }
}

/// BM25 of every file, over words and pairs.
fn scores(weighed: &[Option<Weighed>], query: &Query) -> Vec<f64> {
    let files = weighed.iter().flatten().count() as f64;
    let words: usize = weighed.iter().flatten().map(|file| file.words).sum();
    let average = (words as f64 / files.max(1.0)).max(1.0);
    let terms = query.terms.len();
    let rarity: Vec<f64> = (0..query.features_len())
        .map(|feature| {
            let holding =
                weighed.iter().flatten().filter(|file| file.counts[feature] > 0).count() as f64;
            let rarity = (1.0 + (files - holding + 0.5) / (holding + 0.5)).ln();
            if feature < terms { rarity } else { rarity * PAIR_SHARE }
        })
        .collect();
    weighed
        .iter()
        .map(|file| {
            let Some(file) = file else { return 0.0 };
            let length = 1.0 - B + B * file.words as f64 / average;
            let score: f64 = rarity
                .iter()
                .zip(&file.counts)
                .enumerate()
                .map(|(feature, (rarity, count))| {
                    let count = f64::from(*count);
                    let titled = feature < terms && file.titled >> feature & 1 == 1;
                    let title = if titled { TITLE_SHARE } else { 0.0 };
                    rarity * (K1 + 1.0) * (count / (count + K1 * length) + title)
                })
                .sum();
            score * file.words.min(SHORT_WORDS) as f64 / SHORT_WORDS as f64
        })
        .collect()
}

/// Whether a page records what changed from version to version.
fn is_news(location: &str) -> bool {
    location
        .split('/')
        .any(|part| NEWS_NAMES.iter().any(|name| part.to_lowercase().starts_with(name)))
}

/// Whether a page only lists others.
fn is_index(file: &Candidate, weighed: Option<&Weighed>) -> bool {
    let name = file.location.rsplit('/').next().unwrap_or_default().to_lowercase();
    let stem = name.split('.').next().unwrap_or_default();
    let is_named = file.markup == Markup::Html
        && (INDEX_NAMES.contains(&stem) || stem.starts_with("genindex-"));
    is_named
        || weighed.is_some_and(|weighed| {
            weighed.words >= LINKED_WORDS_MIN
                && weighed.linked as f64 > LINKED_SHARE_MAX * weighed.words as f64
        })
}

/// Folds a word for comparing: lower case, English endings cut, so that *recover* meets
/// *recovery* and *crashes* meets *crashed*. False when it is too long to be a word.
fn fold(word: &str, folded: &mut String) -> bool {
    folded.clear();
    if word.len() > WORD_BYTES_MAX {
        return false;
    }
    if word.is_ascii() {
        folded.push_str(word);
        folded.make_ascii_lowercase();
    } else {
        folded.extend(word.chars().flat_map(char::to_lowercase));
    }
    if ["ches", "shes", "sses", "xes", "zes"].iter().any(|end| folded.ends_with(end)) {
        cut(folded, "es");
    } else if folded.ends_with("ies") {
        cut(folded, "ies");
    } else if !["ss", "us", "is"].iter().any(|end| folded.ends_with(end)) {
        cut(folded, "s");
    }
    if !folded.ends_with("eed") && (cut(folded, "ing") || cut(folded, "ed")) {
        // `running`, `dropped`; not `falling`, `passed`.
        let doubled = matches!(
            folded.as_bytes(),
            [.., a, b] if a == b && b.is_ascii_alphabetic() && !b"elosz".contains(b)
        );
        if doubled {
            folded.pop();
        }
    } else if folded.ends_with("tion") || folded.ends_with("sion") {
        cut(folded, "ion");
    }
    let _ = cut(folded, "e") || cut(folded, "y");
    true
}

/// Cuts an ending if a stem of three letters with a vowel is left.
fn cut(word: &mut String, ending: &str) -> bool {
    let Some(stem) = word.strip_suffix(ending) else { return false };
    let is_stem = stem.len() >= STEM_BYTES_MIN && stem.contains(['a', 'e', 'i', 'o', 'u', 'y']);
    if is_stem {
        word.truncate(word.len() - ending.len());
    }
    is_stem
}

/// Where a word stands.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    heading: bool,
    /// The page's title or first heading.
    title: bool,
    linked: bool,
}

/// Calls `each` with every word of a text, without the tags, scripts and styles of HTML.
fn each_word(text: &str, markup: Markup, mut each: impl FnMut(&str, Place)) {
    if markup != Markup::Html {
        let mut first = true;
        for line in text.lines() {
            let heading = line.starts_with(['#', '=']);
            let title = first && (heading || line.starts_with("title:"));
            first &= !title && line.trim().trim_matches('-').is_empty();
            words_of(line, Place { heading: heading || title, title, linked: false }, &mut each);
        }
        return;
    }
    let mut rest = text;
    let mut place = Place::default();
    loop {
        let Some(start) = rest.find('<') else {
            words_of(rest, place, &mut each);
            return;
        };
        words_of(&rest[..start], place, &mut each);
        rest = &rest[start..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let tag = rest[1..].split(|c: char| !c.is_ascii_alphanumeric() && c != '/').next();
        let tag = tag.unwrap_or_default();
        let Some(end) = rest.find('>') else { return };
        let after = &rest[end + 1..];
        rest = after;
        match tag.len() {
            1 if tag.eq_ignore_ascii_case("a") => place.linked = true,
            2 if tag.eq_ignore_ascii_case("/a") => place.linked = false,
            2 if is_heading(tag) => {
                place.heading = true;
                place.title = tag.ends_with('1');
            }
            3 if is_heading(&tag[1..]) => (place.heading, place.title) = (false, false),
            5 if tag.eq_ignore_ascii_case("title") => (place.heading, place.title) = (true, true),
            6 if tag.eq_ignore_ascii_case("/title") => {
                (place.heading, place.title) = (false, false);
            }
            5 if tag.eq_ignore_ascii_case("style") => rest = from_end(after, "</style", ""),
            6 if tag.eq_ignore_ascii_case("script") => rest = from_end(after, "</script", ""),
            3 if tag.eq_ignore_ascii_case("nav") => rest = from_end(after, "</nav", after),
            6 if tag.eq_ignore_ascii_case("footer") => rest = from_end(after, "</footer", after),
            _ => {}
        }
    }
}

fn is_heading(tag: &str) -> bool {
    matches!(tag.as_bytes(), [b'h' | b'H', b'1'..=b'3'])
}

/// The text from an end tag on, or `without` when it never comes.
fn from_end<'a>(text: &'a str, end: &str, without: &'a str) -> &'a str {
    let bytes = text.as_bytes();
    let found =
        bytes.windows(end.len()).position(|window| window.eq_ignore_ascii_case(end.as_bytes()));
    found.map_or(without, |position| &text[position..])
}

fn words_of(text: &str, place: Place, each: &mut impl FnMut(&str, Place)) {
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        if !word.is_empty() {
            each(word, place);
        }
    }
}

/// What tells whether two files hold nearly the same text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    words: usize,
    /// The smallest hashes among those of its words: an even sample of its vocabulary.
    sample: BTreeSet<u64>,
    /// Hash of all words in order.
    exact: u64,
    /// SimHash over runs of five words.
    bits: u64,
}

impl Signature {
    /// The signature of a text of `words` words.
    pub(super) fn new(text: &str, markup: Markup, words: usize) -> Self {
        let mut exact = FNV_START;
        let mut sums = [0_i32; 64];
        let mut window = [0_u64; 5];
        let mut seen = 0_usize;
        let mut folded = String::new();
        let mut sample = BTreeSet::new();
        each_word(text, markup, |word, _| {
            if seen >= SIGNATURE_WORDS_MAX || !fold(word, &mut folded) {
                return;
            }
            exact = fnv(exact, folded.as_bytes());
            window.rotate_left(1);
            window[4] = fnv(FNV_START, folded.as_bytes());
            let mixed = mix(window[4]);
            if sample.len() < SAMPLE_WORDS || sample.last().is_some_and(|last| mixed < *last) {
                sample.insert(mixed);
                if sample.len() > SAMPLE_WORDS {
                    sample.pop_last();
                }
            }
            seen += 1;
            if seen >= window.len() {
                let run =
                    window.iter().fold(FNV_START, |hash, word| fnv(hash, &word.to_le_bytes()));
                for (bit, sum) in sums.iter_mut().enumerate() {
                    *sum += if run >> bit & 1 == 1 { 1 } else { -1 };
                }
            }
        });
        let bits =
            sums.iter().enumerate().fold(0, |bits, (bit, sum)| bits | (u64::from(*sum > 0) << bit));
        Self { words, sample, exact, bits }
    }

    /// Whether both texts use mostly the same words, as the HTML and the text edition of one
    /// page do.
    pub(super) fn is_edition(&self, other: &Self) -> bool {
        let union: BTreeSet<u64> = self.sample.union(&other.sample).copied().collect();
        // Only the smallest of the union are an even sample of it.
        let smallest: Vec<u64> = union.into_iter().take(SAMPLE_WORDS).collect();
        let both = smallest
            .iter()
            .filter(|hash| self.sample.contains(hash) && other.sample.contains(hash))
            .count();
        both as f64 >= EDITION_SHARE_MIN * smallest.len() as f64
    }

    /// Whether both texts are nearly the same.
    pub(super) fn is_copy(&self, other: &Self) -> bool {
        if self.exact == other.exact {
            return true;
        }
        let (short, long) = (self.words.min(other.words), self.words.max(other.words));
        short >= SIGNATURE_WORDS_MIN
            && long - short <= long / 10
            && (self.bits ^ other.bits).count_ones() <= COPY_BITS_MAX
    }
}

/// FNV-1a: the same on every machine, which the standard library's hasher does not promise.
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Spreads a hash over all bits, so that the smallest ones are an even sample (the finaliser of
/// SplitMix64).
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

fn fnv(start: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    // A separator, so that `ab c` and `a bc` differ.
    step(bytes.iter().fold(start, step), &0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(location: &str) -> Candidate {
        let markup = if location.ends_with("html") { Markup::Html } else { Markup::Plain };
        Candidate {
            location: location.to_owned(),
            markup,
            media_type: "text/plain",
            gzip: false,
            bytes: 0,
        }
    }

    fn ordered(query: &str, files: &[(&str, &str)], documents_max: usize) -> Vec<String> {
        let query = Query::new(query);
        let candidates: Vec<Candidate> = files.iter().map(|(name, _)| candidate(name)).collect();
        let weighed: Vec<Option<Weighed>> = files
            .iter()
            .zip(&candidates)
            .map(|((_, text), file)| Some(weigh(text, file.markup, &query)))
            .collect();
        order(&candidates, &weighed, &query, documents_max)
            .into_iter()
            .map(|index| candidates[index].location.clone())
            .collect()
    }

    #[test]
    fn rare_words_decide_and_ties_go_by_location() {
        let files = [
            ("c.txt", "vacuum tables often"),
            ("b.txt", "tables and rows"),
            ("a.txt", "tables and rows"),
            ("d.txt", "nothing here"),
        ];
        assert_eq!(ordered("vacuum the table", &files, 3), ["c.txt", "a.txt", "b.txt"]);
    }

    #[test]
    fn everything_is_taken_when_it_fits_and_nothing_when_no_word_matches() {
        let files = [("a.txt", "one text"), ("b.txt", "other text"), ("c.txt", "")];
        assert_eq!(ordered("zebra", &files, 2), ["a.txt", "b.txt"]);
        assert_eq!(ordered("zebra", &files, 1), Vec::<String>::new());
        assert_eq!(ordered("the", &files, 1), ["a.txt", "b.txt"]);
    }

    #[test]
    fn headings_count_more_than_running_text() {
        let files = [
            ("a.html", "<nav>index index index</nav><p>index index words words</p>"),
            ("b.html", "<title>Index</title><p>words words words</p>"),
        ];
        assert_eq!(ordered("indexes", &files, 5), ["b.html", "a.html"]);
    }

    #[test]
    fn words_that_stand_together_count_more_than_scattered_ones() {
        let filler = "other words stand here ".repeat(4);
        let apart = format!("recover {filler} crash");
        let together = format!("{filler} recover after a crash");
        let files = [("a.txt", apart.as_str()), ("b.txt", together.as_str()), ("c.txt", &filler)];
        assert_eq!(ordered("crash recovery", &files, 2), ["b.txt", "a.txt"]);
    }

    #[test]
    fn pages_of_changes_come_last_unless_they_are_asked_for() {
        let text = format!("vacuum crash {}", "other words stand here ".repeat(30));
        let files = [("notes/release-15.txt", text.as_str()), ("page.txt", text.as_str())];
        assert_eq!(ordered("vacuum", &files, 5), ["page.txt", "notes/release-15.txt"]);
        assert_eq!(ordered("vacuum release", &files, 5)[0], "notes/release-15.txt");
    }

    #[test]
    fn lists_of_links_and_index_pages_are_left_out() {
        let links = "<a href=x>vacuum and freeze</a> ".repeat(20);
        let files = [
            ("genindex.html", "vacuum"),
            ("genindex-V.html", "vacuum"),
            ("links.html", links.as_str()),
            ("page.html", "<p>vacuum removes dead rows</p>"),
        ];
        assert_eq!(ordered("vacuum", &files, 10), ["page.html"]);
        assert_eq!(ordered("vacuum", &files[..1], 10), ["genindex.html"]);
    }

    #[test]
    fn tags_scripts_and_comments_hold_no_words() {
        let query = Query::new("alert hidden href shown");
        let text = "<SCRIPT>alert(1)</Script><!-- hidden <b> --><a href=x>shown</a> <broken";
        assert_eq!(
            weigh(text, Markup::Html, &query),
            Weighed { words: 1, linked: 1, counts: vec![0, 0, 0, 1, 0, 0, 0], titled: 0 }
        );
    }

    #[test]
    fn endings_are_folded() {
        let mut folded = String::new();
        for (word, expected) in [
            ("Indexes", "index"),
            ("queries", "quer"),
            ("query", "quer"),
            ("tables", "tabl"),
            ("crashed", "crash"),
            ("crashes", "crash"),
            ("recovery", "recover"),
            ("running", "run"),
            ("string", "string"),
            ("processes", "process"),
            ("class", "class"),
            ("is", "is"),
            ("GRÖSSEN", "grössen"),
        ] {
            assert!(fold(word, &mut folded));
            assert_eq!(folded, expected);
        }
        assert!(!fold(&"x".repeat(WORD_BYTES_MAX + 1), &mut folded));
    }

    #[test]
    fn a_stub_that_names_the_topic_comes_after_a_text_about_it() {
        let text = format!("{} vacuum removes dead rows", "other words stand here ".repeat(30));
        let files = [("stub.html", "<h1>Vacuum</h1> moved"), ("text.html", text.as_str())];
        assert_eq!(ordered("vacuum", &files, 5), ["text.html", "stub.html"]);
    }

    #[test]
    fn editions_of_one_text_share_their_words() {
        let words = |from: usize, to: usize| -> String {
            (from..to).map(|number| format!("word{number}")).collect::<Vec<_>>().join(" ")
        };
        let sign = |text: String| Signature::new(&text, Markup::Plain, 0);
        let text = sign(words(0, 2000));
        assert!(text.is_edition(&sign(format!("{} menu search", words(100, 2000)))));
        assert!(!text.is_edition(&sign(words(1500, 3500))));
    }

    #[test]
    fn a_copy_with_a_few_changed_words_is_found_and_another_text_is_not() {
        let text = |seed: usize| -> String {
            let words = (0..400).map(|n| format!("word{}", n * n * seed % 1009));
            words.collect::<Vec<_>>().join(" ")
        };
        let sign = |text: &str| Signature::new(text, Markup::Plain, 400);
        let original = sign(&text(7));
        assert!(original.is_copy(&sign(&format!("{} end", text(7)))));
        assert!(!original.is_copy(&sign(&text(11))));
    }
}
