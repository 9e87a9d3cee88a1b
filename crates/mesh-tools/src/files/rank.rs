//! Which files fit a query, by words alone.
//!
//! BM25 (k1 1.2, b 0.75) over the words of the raw file, tags stripped; words of titles and
//! headings count more. Sums run in the order of the query's words, so that the same folder gives
//! the same scores everywhere.

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

/// How often a word in a title or heading counts.
const HEADING_WEIGHT: u32 = 4;

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

/// Words that say nothing about a topic, in the languages that sources are mostly written in.
const STOP_WORDS: &[&str] = &[
    "a", "about", "al", "all", "als", "also", "an", "and", "any", "are", "as", "at", "au", "auf",
    "aus", "avec", "be", "been", "bei", "best", "but", "by", "can", "como", "con", "could", "da",
    "dan", "das", "de", "del", "dem", "den", "der", "des", "di", "die", "do", "does", "du", "ein",
    "eine", "el", "en", "est", "et", "for", "from", "für", "good", "had", "has", "have", "how",
    "i", "il", "im", "in", "into", "is", "it", "its", "la", "las", "le", "les", "los", "may",
    "mit", "more", "most", "need", "new", "not", "nicht", "of", "on", "one", "or", "our", "par",
    "para", "por", "pour", "que", "qui", "should", "sich", "so", "some", "such", "sur", "than",
    "that", "the", "their", "them", "then", "there", "these", "they", "this", "to", "too", "un",
    "und", "une", "up", "use", "used", "using", "via", "von", "was", "we", "were", "what", "when",
    "where", "which", "who", "why", "will", "with", "would", "you", "your", "zu", "zum", "zur",
];

/// The words that are looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    terms: HashMap<String, usize>,
}

impl Query {
    /// The words of a query: folded, without stop words, each once.
    pub(super) fn new(text: &str) -> Self {
        let mut terms = HashMap::new();
        let mut folded = String::new();
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            if terms.len() == TERMS_MAX {
                break;
            }
            if STOP_WORDS.contains(&word.to_lowercase().as_str()) || !fold(word, &mut folded) {
                continue;
            }
            let number = terms.len();
            terms.entry(folded.clone()).or_insert(number);
        }
        Self { terms }
    }
}

/// What one file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Weighed {
    /// Words in all.
    pub(super) words: usize,
    /// Words inside links.
    linked: usize,
    /// Weighted number of each of the query's words.
    counts: Vec<u32>,
}

/// Counts the words of a file.
pub(super) fn weigh(text: &str, markup: Markup, query: &Query) -> Weighed {
    let mut weighed = Weighed { counts: vec![0; query.terms.len()], ..Weighed::default() };
    let mut folded = String::new();
    each_word(text, markup, |word, place| {
        weighed.words += 1;
        weighed.linked += usize::from(place.linked);
        if query.terms.is_empty() || !fold(word, &mut folded) {
            return;
        }
        if let Some(&number) = query.terms.get(&folded) {
            let weight = if place.heading { HEADING_WEIGHT } else { 1 };
            weighed.counts[number] = weighed.counts[number].saturating_add(weight);
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
    let scores = scores(weighed, query.terms.len());
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

/// BM25 of every file.
fn scores(weighed: &[Option<Weighed>], terms: usize) -> Vec<f64> {
    let files = weighed.iter().flatten().count() as f64;
    let words: usize = weighed.iter().flatten().map(|file| file.words).sum();
    let average = (words as f64 / files.max(1.0)).max(1.0);
    let rarity: Vec<f64> = (0..terms)
        .map(|term| {
            let holding =
                weighed.iter().flatten().filter(|file| file.counts[term] > 0).count() as f64;
            (1.0 + (files - holding + 0.5) / (holding + 0.5)).ln()
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
                .map(|(rarity, count)| {
                    let count = f64::from(*count);
                    rarity * count * (K1 + 1.0) / (count + K1 * length)
                })
                .sum();
            score * file.words.min(SHORT_WORDS) as f64 / SHORT_WORDS as f64
        })
        .collect()
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

/// Folds a word for comparing: lower case, English plurals as singulars. False when it is too
/// long to be a word.
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
    if folded.len() > 4 && folded.ends_with("ies") {
        folded.truncate(folded.len() - 3);
        folded.push('y');
    } else if ["xes", "sses", "shes"].iter().any(|end| folded.ends_with(end)) {
        folded.truncate(folded.len() - 2);
    } else if folded.len() > 3 && folded.ends_with('s') && !folded.ends_with("ss") {
        folded.pop();
    }
    true
}

/// Where a word stands.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    heading: bool,
    linked: bool,
}

/// Calls `each` with every word of a text, without the tags, scripts and styles of HTML.
fn each_word(text: &str, markup: Markup, mut each: impl FnMut(&str, Place)) {
    if markup != Markup::Html {
        for line in text.lines() {
            let place = Place { heading: line.starts_with(['#', '=']), linked: false };
            words_of(line, place, &mut each);
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
            2 if is_heading(tag) => place.heading = true,
            3 if is_heading(&tag[1..]) => place.heading = false,
            5 if tag.eq_ignore_ascii_case("title") => place.heading = true,
            6 if tag.eq_ignore_ascii_case("/title") => place.heading = false,
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
            Weighed { words: 1, linked: 1, counts: vec![0, 0, 0, 1] }
        );
    }

    #[test]
    fn plurals_are_folded() {
        let mut folded = String::new();
        for (word, expected) in [
            ("Indexes", "index"),
            ("queries", "query"),
            ("tables", "table"),
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
