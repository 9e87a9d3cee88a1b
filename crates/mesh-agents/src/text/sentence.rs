//! Sentences of running text: Unicode sentence boundaries, corrected by what each language
//! abbreviates.
//!
//! A sentence is a byte range of its document, so that a copy can be proved against the source.

use std::{borrow::Cow, ops::Range};

use unicode_segmentation::UnicodeSegmentation as _;

use super::language::Language;

/// Segments that are joined into one sentence at most: a block without a full stop that ends an
/// abbreviation is a list of abbreviations, not one sentence.
const JOINS_MAX: usize = 12;

/// Sentences of one block of `text`, in order, as byte ranges of `text` without outer white space.
///
/// A line break inside the block is a space. Boundaries are those of Unicode Standard Annex 29;
/// a boundary is undone after an abbreviation, an initial or a German ordinal, and inside code
/// spans and brackets. Marks such as `[3]` after a full stop belong to no sentence.
pub fn sentences(text: &str, block: Range<usize>, language: Language) -> Vec<Range<usize>> {
    let Some(part) = text.get(block.clone()) else { return Vec::new() };
    let flat = without_line_breaks(part);
    let mut starts: Vec<usize> =
        flat.split_sentence_bound_indices().map(|(start, _)| start).collect();
    starts.push(flat.len());
    for start in &mut starts {
        *start = moved_boundary(&flat, *start);
    }
    starts.dedup();

    let mut found = Vec::new();
    let mut from = 0;
    let mut joined = 0;
    for pair in starts.windows(2) {
        let [_, end] = *pair else { continue };
        let candidate = &flat[from..end];
        if end < flat.len() && joined < JOINS_MAX && goes_on(candidate, &flat[end..], language) {
            joined += 1;
            continue;
        }
        joined = 0;
        let skipped = citation_len(candidate);
        let body = &candidate[skipped..];
        let start = from + skipped + (body.len() - body.trim_start().len());
        let trimmed = body.trim();
        if !trimmed.is_empty() {
            found.push(block.start + start..block.start + start + trimmed.len());
        }
        from = end;
    }
    found
}

/// Whether a lower-case word without its dot is written with one inside sentences.
pub fn is_abbreviation(lower: &str, language: Language) -> bool {
    let known = abbreviations(language);
    [known.inside, known.before_number, known.may_end].iter().any(|list| list.contains(&lower))
}

/// A piece of source text as it is shown: every run of white space is one space.
pub fn rendered(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(word);
    }
    shown
}

/// The same bytes with every line and paragraph separator as spaces: Unicode ends a sentence at
/// each of them, Markdown does not.
fn without_line_breaks(part: &str) -> Cow<'_, str> {
    let breaks = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
    if !part.contains(breaks) {
        return Cow::Borrowed(part);
    }
    let mut flat = String::with_capacity(part.len());
    for character in part.chars() {
        if breaks.contains(&character) {
            flat.extend(std::iter::repeat_n(' ', character.len_utf8()));
        } else {
            flat.push(character);
        }
    }
    Cow::Owned(flat)
}

/// Unicode puts the boundary of `end.[1] Next` after the bracket; it belongs before it. A closing
/// quote after a space (French) belongs to the sentence that it closes.
fn moved_boundary(flat: &str, at: usize) -> usize {
    if flat[..at].ends_with('[') {
        return at - 1;
    }
    let rest = &flat[at..];
    if let Some(after) = rest.strip_prefix('»') {
        let spaces = after.len() - after.trim_start().len();
        return at + '»'.len_utf8() + spaces;
    }
    at
}

/// Bytes of leading citation marks: `[1]`, `[2][3]`, `[a]`, `[citation needed]`.
fn citation_len(candidate: &str) -> usize {
    let mut length = 0;
    loop {
        let rest = &candidate[length..];
        let spaces = rest.len() - rest.trim_start().len();
        let Some(inner) = rest.trim_start().strip_prefix('[') else { return length };
        let Some(end) = inner.find(']') else { return length };
        let mark = &inner[..end];
        let is_mark = mark.bytes().all(|b| b.is_ascii_digit()) && (1..=3).contains(&mark.len())
            || mark.len() == 1
            || mark.ends_with(" needed");
        // `[1](…)` is a link.
        if !is_mark || inner[end + 1..].starts_with('(') {
            return length;
        }
        length += spaces + 1 + end + 1;
    }
}

/// Whether the sentence that seems to end with `candidate` goes on in `rest`.
fn goes_on(candidate: &str, rest: &str, language: Language) -> bool {
    let next = rest.trim_start();
    if opens_more_than_it_closes(candidate) && (rest.contains([')', ']', '`'])) {
        return true;
    }
    let ended = candidate.trim_end();
    let Some(without_stop) = ended.strip_suffix('.') else { return false };
    let last = last_word(without_stop);
    if last.is_empty() {
        return false;
    }
    if is_initial(last) {
        // `J. Smith` goes on, `… in C. When …` does not.
        let word: String = next.chars().take_while(|c| c.is_alphabetic()).collect();
        return next.starts_with(char::is_uppercase)
            && !super::words::is_stop_word(&word.to_lowercase(), language);
    }
    let lower = last.to_lowercase();
    let known = abbreviations(language);
    if known.inside.contains(&lower.as_str()) {
        return true;
    }
    if known.before_number.contains(&lower.as_str()) {
        return next.starts_with(char::is_numeric);
    }
    if known.may_end.contains(&lower.as_str()) {
        return !next.starts_with(char::is_uppercase);
    }
    language == Language::German && is_german_ordinal(last, next)
}

/// The word before a full stop, dots and all: `e.g`, `z.B`, `Dr`.
fn last_word(text: &str) -> &str {
    let start = text
        .char_indices()
        .rev()
        .find(|&(_, c)| c.is_whitespace() || matches!(c, '(' | '[' | '"' | '“' | '„' | '«'))
        .map_or(0, |(at, c)| at + c.len_utf8());
    &text[start..]
}

/// `J.` in `J. Smith`, and `U.S.`; `I` ends sentences and is none.
fn is_initial(word: &str) -> bool {
    word != "I"
        && word.split('.').all(|part| {
            let mut letters = part.chars();
            letters.next().is_some_and(char::is_uppercase) && letters.next().is_none()
        })
}

/// `am 3. Oktober`: a small number before a noun. Function words after it start a new sentence.
fn is_german_ordinal(last: &str, next: &str) -> bool {
    let number = (1..=2).contains(&last.len()) && last.bytes().all(|b| b.is_ascii_digit());
    let word: String = next.chars().take_while(|c| c.is_alphabetic()).collect();
    number
        && !word.is_empty()
        && !super::words::is_stop_word(&word.to_lowercase(), Language::German)
}

fn opens_more_than_it_closes(candidate: &str) -> bool {
    let count = |wanted: char| candidate.matches(wanted).count();
    count('(') > count(')') || count('[') > count(']') || !count('`').is_multiple_of(2)
}

/// Abbreviations of one language, lower case, without their last dot.
struct Abbreviations {
    /// Never at the end of a sentence.
    inside: &'static [&'static str],
    /// Never at the end of a sentence when a number follows: `No. 5`, but "… is no. 5 of them".
    before_number: &'static [&'static str],
    /// At the end of a sentence exactly when a capital letter follows.
    may_end: &'static [&'static str],
}

fn abbreviations(language: Language) -> Abbreviations {
    match language {
        Language::English => Abbreviations {
            inside: &[
                "mr", "mrs", "ms", "dr", "prof", "st", "mt", "capt", "lt", "sgt", "rev", "gov",
                "e.g", "i.e", "eg", "ie", "cf", "vs", "viz", "figs", "eqs", "vols", "nos",
                "approx", "resp", "esp", "incl", "excl", "dept", "univ", "a.k.a", "aka", "w.r.t",
                "wrt",
            ],
            before_number: &[
                "no", "fig", "sec", "ch", "eq", "vol", "p", "pp", "ref", "refs", "ver", "ca", "art",
            ],
            may_end: &[
                "etc", "al", "inc", "ltd", "co", "corp", "jr", "sr", "a.m", "p.m", "u.s", "ph.d",
            ],
        },
        Language::German => Abbreviations {
            inside: &[
                "z", "z.b", "d", "d.h", "u", "u.a", "o.ä", "bzw", "ggf", "evtl", "ca", "vgl",
                "sog", "bspw", "insb", "inkl", "exkl", "zzgl", "abzgl", "dr", "prof", "hr", "fr",
                "i.d.r", "i.a", "u.u", "z.t", "o.g", "v.a", "gem", "lt", "mind", "allg", "entspr",
                "bez", "geb", "gest", "st", "vs", "jh",
            ],
            before_number: &[
                "nr", "abb", "abs", "art", "bd", "kap", "s", "tel", "max", "min", "mio", "mrd",
            ],
            may_end: &["usw", "etc", "u.s.w", "usf", "u.ä", "co", "jr", "str"],
        },
        Language::French => Abbreviations {
            inside: &[
                "m", "mm", "mme", "mmes", "mlle", "dr", "pr", "me", "st", "ste", "p.ex", "ex",
                "cf", "c.-à-d", "c.à.d", "env", "av", "apr", "resp", "vs", "éd",
            ],
            before_number: &[
                "p", "pp", "fig", "n", "no", "nos", "vol", "chap", "art", "tél", "max", "min",
            ],
            may_end: &["etc", "al", "cie", "jr"],
        },
        Language::Spanish => Abbreviations {
            inside: &[
                "sr", "sra", "srta", "sres", "dr", "dra", "d", "dña", "prof", "profa", "ud", "uds",
                "p.ej", "ej", "avda", "gral", "cf", "vs", "ing", "lic", "aprox",
            ],
            before_number: &[
                "pág", "págs", "p", "pp", "fig", "núm", "nº", "n", "vol", "cap", "art", "tel",
                "máx", "mín",
            ],
            may_end: &["etc", "al", "ee", "uu", "cía", "s.a", "a.c", "d.c", "jr"],
        },
        Language::Hindi => Abbreviations {
            inside: &["डॉ", "प्रो", "श्री", "पं", "कु", "मो", "ई.पू"],
            before_number: &["सं", "नं", "रु", "पृ"],
            may_end: &["आदि"],
        },
        Language::Other => Abbreviations { inside: &[], before_number: &[], may_end: &[] },
    }
}
