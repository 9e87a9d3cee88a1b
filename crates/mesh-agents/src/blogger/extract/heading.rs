//! Headings of sources as names of sections.

use crate::text::{language::Language, words};

/// Words of a heading that still reads as a name.
const NAME_WORDS_MAX: usize = 9;
/// Characters of a name, for headings whose words are identifiers.
const NAME_CHARS_MAX: usize = 70;

/// A heading as it is shown: no links, emphasis, code marks, anchors or section numbers.
pub(super) fn clean(raw: &str) -> String {
    let mut text = without_links(raw).replace(['¶', '`'], "").replace('*', "").replace("__", "");
    if let Some(at) = text.find("{#") {
        text.truncate(at);
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = without_number(&text);
    let text = text.trim_matches(['*', ' ', ':', '.', '#', '|', '·', '–', '—', '-']);
    let text = without_manual_mark(text);
    let mut letters = text.chars();
    match letters.next() {
        // A first word such as `git-rebase` or `iPhone` is a name and stays lower case.
        Some(first)
            if first.is_lowercase()
                && text
                    .split(' ')
                    .next()
                    .is_some_and(|word| word.chars().all(char::is_lowercase)) =>
        {
            first.to_uppercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

/// The name in a page's title, without the site's: *Glossary — Python 3.11 documentation*.
pub(super) fn of_title(title: &str) -> String {
    let end = [" — ", " | ", " :: ", " · ", " » "].iter().filter_map(|mark| title.find(mark)).min();
    clean(&title[..end.unwrap_or(title.len())])
}

/// `RECOVERING FROM UPSTREAM REBASE`; one short word in capitals is an acronym.
pub(super) fn is_shouted(text: &str) -> bool {
    text.chars().any(char::is_uppercase)
        && !text.chars().any(char::is_lowercase)
        && (text.contains(' ') || text.chars().count() > 5)
}

/// A shouted heading in sentence case.
pub(super) fn calmed(text: &str) -> String {
    let lower = text.to_lowercase();
    let mut letters = lower.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Whether a heading can name a section: it says something, and says it in a few words.
pub(super) fn is_name(text: &str, language: Language) -> bool {
    let count = words::count(text);
    let lower = text.to_lowercase();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let spaces = text.chars().filter(|c| *c == ' ').count();
    let chars = text.chars().count();
    (1..=NAME_WORDS_MAX).contains(&count)
        && chars <= NAME_CHARS_MAX
        && (letters + spaces) * 10 >= chars * 8
        && !without_aside(text)
            .contains(['=', '(', ')', '<', '>', '{', '/', '\\', '$', '|', '_', ';', '…'])
        && !text.ends_with(['!', ','])
        && !text.starts_with(['-', '.'])
        && !GENERIC.contains(&lower.as_str())
        && !GENERIC_PARTS.iter().any(|part| lower.contains(part))
        && !starts_generically(&lower)
        && words::lower_words(text).any(|word| !words::is_stop_word(&word, language))
}

/// *Write-Ahead Logging (WAL)* without what stands in brackets at its end.
fn without_aside(text: &str) -> &str {
    match text.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (")) {
        Some((before, aside)) if aside.chars().all(|c| c.is_alphabetic() || c == ' ') => before,
        _ => text,
    }
}

/// Whether a heading only says that a topic begins: *Introduction*, *Overview of …*, *What is …*.
pub(super) fn is_general(text: &str) -> bool {
    let lower = text.to_lowercase();
    OPENINGS.iter().any(|opening| lower.contains(opening))
}

/// Whether a heading is about what goes wrong or what to mind, which is read last.
pub(super) fn is_caveat(text: &str) -> bool {
    let lower = text.to_lowercase();
    CAVEATS.iter().any(|caveat| lower.contains(caveat))
}

/// Whether a title is that of a record of changes: *What’s New in …*, *Release Notes*.
pub(super) fn is_news(title: &str) -> bool {
    const NEWS: &[&str] = &[
        "what's new",
        "what’s new",
        "release notes",
        "release history",
        "changelog",
        "change log",
        "changes in ",
        "news for ",
        "neuigkeiten",
    ];
    let lower = title.to_lowercase();
    NEWS.iter().any(|news| lower.contains(news))
}

/// Headings that name no subject, in five languages.
const GENERIC: &[&str] = &[
    "name",
    "synopsis",
    "description",
    "options",
    "option",
    "examples",
    "example",
    "notes",
    "note",
    "tip",
    "tips",
    "warning",
    "caution",
    "important",
    "overview",
    "introduction",
    "intro",
    "background",
    "summary",
    "conclusion",
    "conclusions",
    "discussion",
    "details",
    "see also",
    "references",
    "reference",
    "bibliography",
    "further reading",
    "external links",
    "links",
    "contents",
    "table of contents",
    "index",
    "glossary",
    "appendix",
    "preface",
    "foreword",
    "author",
    "authors",
    "credits",
    "acknowledgements",
    "acknowledgments",
    "copyright",
    "license",
    "licence",
    "history",
    "changelog",
    "changes",
    "news",
    "release notes",
    "bugs",
    "environment",
    "files",
    "exit status",
    "return value",
    "return values",
    "parameters",
    "arguments",
    "variables",
    "variable",
    "settings",
    "setting",
    "values",
    "error handling",
    "enumerators",
    "compatibility",
    "diagnostics",
    "usage",
    "configuration",
    "output",
    "outputs",
    "input",
    "inputs",
    "prerequisites",
    "requirements",
    "faq",
    "questions",
    "resources",
    "abstract",
    "rationale",
    "motivation",
    "scope",
    "purpose",
    "terminology",
    "definitions",
    "footnotes",
    "comments",
    "related",
    "related articles",
    "next steps",
    "getting started",
    "quick start",
    "about",
    "home",
    "search",
    "menu",
    "navigation",
    "miscellaneous",
    "misc",
    "other",
    "others",
    "general",
    "basics",
    "remarks",
    "limitations",
    "caveats",
    "todo",
    "commands",
    "functions",
    "methods",
    "syntax",
    "einleitung",
    "einführung",
    "überblick",
    "übersicht",
    "zusammenfassung",
    "fazit",
    "beispiele",
    "beispiel",
    "hinweis",
    "hinweise",
    "siehe auch",
    "quellen",
    "literatur",
    "weblinks",
    "einzelnachweise",
    "inhalt",
    "inhaltsverzeichnis",
    "geschichte",
    "présentation",
    "introducción",
    "résumé",
    "sommaire",
    "exemples",
    "exemple",
    "voir aussi",
    "références",
    "notes et références",
    "liens externes",
    "aperçu",
    "resumen",
    "índice",
    "ejemplos",
    "ejemplo",
    "véase también",
    "referencias",
    "enlaces externos",
    "conclusión",
    "परिचय",
    "सारांश",
    "उदाहरण",
    "संदर्भ",
    "निष्कर्ष",
    "अवलोकन",
    "सामग्री",
];

/// Parts of headings under which nothing is worth quoting.
const GENERIC_PARTS: &[&str] = &[
    "table of contents",
    "see also",
    "release note",
    "what's new",
    "changelog",
    "change log",
    "copyright",
    "license",
    "further reading",
    "acknowledg",
    "this document",
    "this chapter",
    "this section",
    "this page",
    "this manual",
    "about the author",
    "reviews",
    "subscribe",
    "newsletter",
    "cookie",
    "privacy",
    "footnote",
];

/// `Note: …`, `Example 3 …`, `Version 3.7.4 …`.
fn starts_generically(lower: &str) -> bool {
    ["example", "note:", "figure", "listing", "version ", "release ", "appendix", "exercise"]
        .iter()
        .any(|start| lower.starts_with(start))
        || lower.starts_with(|c: char| c.is_ascii_digit())
}

const OPENINGS: &[&str] = &[
    "introduction",
    "overview",
    "what is",
    "what are",
    "basics",
    "fundamentals",
    "concepts",
    "general",
    "how it works",
    "how they work",
    "einführung",
    "überblick",
    "was ist",
    "grundlagen",
    "qu'est-ce",
    "aperçu",
    "principe",
    "qué es",
    "introducción",
    "conceptos",
    "परिचय",
    "क्या है",
];

const CAVEATS: &[&str] = &[
    "caveat",
    "limitation",
    "problem",
    "pitfall",
    "danger",
    "risk",
    "warning",
    "troubleshoot",
    "disadvantage",
    "drawback",
    "known issue",
    "when not",
    "einschränkung",
    "nachteil",
    "risik",
    "gefahr",
    "probleme",
    "limites",
    "inconvénient",
    "risque",
    "limitaciones",
    "desventaja",
    "riesgo",
    "सीमाएँ",
    "जोखिम",
];

/// `[text](target)` and `[text][label]` become `text`; an image becomes nothing.
fn without_links(raw: &str) -> String {
    let mut shown = String::new();
    let mut rest = raw;
    while let Some(open) = rest.find('[') {
        let (before, from) = rest.split_at(open);
        let linked = from.find(']').and_then(|close| {
            let after = from.get(close + 1..)?;
            let end = match after.chars().next()? {
                '(' => after.find(')')?,
                '[' => after.find(']')?,
                _ => return None,
            };
            Some((from.get(1..close)?, after.get(end + 1..)?))
        });
        let Some((text, after)) = linked else {
            shown.push_str(before);
            shown.push('[');
            rest = &from[1..];
            continue;
        };
        let image = before.strip_suffix('!');
        shown.push_str(image.unwrap_or(before));
        if image.is_none() {
            shown.push_str(text);
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// `28.4.`, `Chapter 5:`, `§ 3`, `A.1` and the like in front of the words.
fn without_number(text: &str) -> &str {
    let mut rest = text;
    for word in [
        "chapter",
        "section",
        "part",
        "appendix",
        "kapitel",
        "abschnitt",
        "chapitre",
        "capítulo",
        "§",
    ] {
        let Some(start) = rest.get(..word.len()) else { continue };
        if start.to_lowercase() == word {
            let after = rest[word.len()..].trim_start();
            if after.starts_with(|c: char| c.is_ascii_digit()) || after.get(1..2) == Some(".") {
                rest = after;
            }
        }
    }
    let number = rest.split(' ').next().unwrap_or_default();
    let bare = number.trim_end_matches(['.', ':', ')']);
    let dotted = bare.split('.').all(|part| {
        !part.is_empty()
            && (part.bytes().all(|b| b.is_ascii_digit())
                || part.len() == 1 && part.bytes().all(|b| b.is_ascii_uppercase()))
    });
    // `A Tour` begins with a word, `A. Tour` and `A.1 Tour` with a number.
    let is_number = dotted
        && (bare.len() < number.len()
            || bare.contains('.')
            || bare.bytes().all(|b| b.is_ascii_digit()));
    if is_number && rest.len() > number.len() { rest[number.len()..].trim_start() } else { rest }
}

/// `git-rebase(1) Manual Page` becomes `git-rebase`.
fn without_manual_mark(text: &str) -> &str {
    let text = text
        .strip_suffix("Manual Page")
        .or_else(|| text.strip_suffix("manual page"))
        .unwrap_or(text)
        .trim();
    match text.strip_suffix(')').and_then(|rest| rest.rsplit_once('(')) {
        Some((name, section))
            if section.len() <= 2 && section.starts_with(|c: char| c.is_ascii_digit()) =>
        {
            name.trim()
        }
        _ => text,
    }
}
