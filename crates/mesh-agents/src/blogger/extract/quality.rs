//! Which sentences may be quoted: whole, self-contained prose and nothing else.
//!
//! A sentence that is dropped here costs little, for sources have many; one that slips through
//! is read by somebody. So every rule errs towards dropping.

use crate::text::{
    language::Language,
    sentence::{is_abbreviation, rendered},
    words,
};

/// Words of a sentence that may be quoted.
const WORDS_MIN: usize = 5;
/// Words of a sentence that may be quoted.
const WORDS_MAX: usize = 60;
/// Share of letters and spaces, in percent, below which a line is code, a formula or a table row.
const LETTERS_PERCENT_MIN: usize = 80;
/// Share of characters inside code spans, in percent, above which a sentence is code.
const CODE_PERCENT_MAX: usize = 45;

/// Words at the beginning that a colon makes a label.
const LABEL_WORDS: usize = 4;

/// Why a sentence may not be quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Fewer than 5 words.
    Short,
    /// More than 60 words.
    Long,
    /// Does not begin like a sentence.
    Beginning,
    /// Does not end like a statement.
    Ending,
    /// Holds a link, an image or an address.
    Link,
    /// A bracket, quote or code span is open.
    Unbalanced,
    /// Holds HTML, an entity, a footnote or another leftover of markup.
    Markup,
    /// Mostly code or signs.
    Code,
    /// Refers to something that is not shown beside it.
    Reference,
    /// Speaks to the reader or about the text: invitations, menus, cookies, copyright.
    Housekeeping,
    /// A line of a changelog.
    Changelog,
    /// Somebody's own voice in the first person singular.
    FirstPerson,
}

/// Whether a sentence, as it stands in the source, may be quoted.
pub(super) fn judge(raw: &str, language: Language) -> Result<(), Unusable> {
    let shown = rendered(raw);
    let count = words::count(&shown);
    if count < WORDS_MIN {
        return Err(Unusable::Short);
    }
    if count > WORDS_MAX {
        return Err(Unusable::Long);
    }
    begins_well(&shown)?;
    ends_well(&shown)?;
    if ["](", "][", "![", "://", "www."].iter().any(|mark| shown.contains(mark)) {
        return Err(Unusable::Link);
    }
    let prose = without_code(&shown).ok_or(Unusable::Unbalanced)?;
    is_balanced(&prose)?;
    has_no_markup(&prose)?;
    is_prose(&shown, &prose)?;
    is_one_sentence(&prose, language)?;

    // One space around every word, marks gone: phrases are found at word borders.
    let mut padded = String::from(" ");
    for word in words::lower_words(&prose) {
        padded.push_str(&word);
        padded.push(' ');
    }
    let lower = shown.to_lowercase();
    if is_changelog(&lower, &padded) {
        return Err(Unusable::Changelog);
    }
    if refers_elsewhere(&lower, &padded, language) {
        return Err(Unusable::Reference);
    }
    if HOUSEKEEPING.iter().any(|phrase| padded.contains(phrase)) {
        return Err(Unusable::Housekeeping);
    }
    let own_voice = [
        " i ", " i'm ", " i've ", " i'll ", " i'd ", " my ", " ich ", " mein ", " j'ai ", " je ",
        " yo ",
    ];
    if own_voice.iter().any(|word| padded.contains(word)) {
        return Err(Unusable::FirstPerson);
    }
    Ok(())
}

/// Whether a sentence opens without a subject, as entries of reference lists do: *Specifies the …*,
/// *Do not print …*, *Whether to …*. Only known for English.
pub(super) fn has_no_subject(raw: &str, language: Language) -> bool {
    const OPENINGS: &[&str] = &[
        "specify",
        "specifies",
        "specified",
        "show",
        "shows",
        "shown",
        "print",
        "prints",
        "set",
        "sets",
        "make",
        "makes",
        "do",
        "don't",
        "use",
        "uses",
        "used",
        "try",
        "abort",
        "create",
        "creates",
        "construct",
        "only",
        "restrict",
        "restricts",
        "list",
        "lists",
        "display",
        "displays",
        "enable",
        "enables",
        "disable",
        "disables",
        "turn",
        "turns",
        "allow",
        "allows",
        "return",
        "returns",
        "control",
        "controls",
        "determines",
        "same",
        "equivalent",
        "like",
        "synonym",
        "default",
        "defaults",
        "whether",
        "automatically",
        "when",
        "if",
        "instead",
        "run",
        "read",
        "reads",
        "write",
        "writes",
        "add",
        "adds",
        "remove",
        "removes",
        "causes",
        "include",
        "includes",
        "give",
        "gives",
        "output",
        "outputs",
        "report",
        "reports",
        "number",
        "sends",
        "send",
        "take",
        "takes",
        "treat",
        "raise",
        "raised",
        "commit",
        "fetch",
        "update",
        "incorporate",
        "incorporates",
        "select",
        "selects",
        "start",
        "continue",
        "skip",
        "keep",
        "force",
        "perform",
        "performs",
        "ignore",
        "ignores",
        "indicates",
        "limit",
        "limits",
        "matches",
        "move",
        "name",
        "open",
        "override",
        "pass",
        "prefer",
        "prepare",
        "produce",
        "provide",
        "provides",
        "replace",
        "replaces",
        "rebase",
        "require",
        "stop",
        "tell",
        "tells",
        "with",
        "without",
        "just",
        "never",
        "always",
        "after",
        "before",
        "converts",
        "convert",
        "sets",
        "text",
    ];
    language == Language::English
        && words::lower_words(raw).next().is_some_and(|first| OPENINGS.contains(&first.as_str()))
}

fn begins_well(shown: &str) -> Result<(), Unusable> {
    let first = shown.chars().next().ok_or(Unusable::Short)?;
    let word = shown.split(' ').next().unwrap_or_default();
    let good = match first {
        '"' | '“' | '„' | '«' | '‘' | '\'' | '¿' | '¡' | '`' => true,
        '*' | '_' => !word.trim_matches(['*', '_']).is_empty(),
        // `1. Open the file` would become a list; `3 of 5 servers` is fine.
        // `12 If there is …` begins with the number of a footnote.
        c if c.is_ascii_digit() => {
            !word.ends_with(['.', ')', ':'])
                && !shown.split(' ').nth(1).is_some_and(|next| next.starts_with(char::is_uppercase))
        }
        // A command such as `pg_rewind` or `git-rebase` may open a sentence in lower case.
        c if c.is_lowercase() => {
            word.contains(['_', '-', '.']) && word.is_ascii() && !word.ends_with(['.', '-'])
        }
        c => c.is_alphabetic(),
    };
    // `Specifies the …`, `Returns the …`: half of an entry whose name stands before it.
    let half = matches!(
        word,
        "Specifies"
            | "Let"
            | "Usually"
            | "Returns"
            | "Shown"
            | "Shows"
            | "Sets"
            | "Controls"
            | "Determines"
            | "Whether"
            | "Incorporates"
            | "Enables"
            | "Disables"
            | "Synonym"
            | "Allows"
            | "Prints"
            | "Displays"
            | "Lists"
            | "Equivalent"
            | "Same"
            | "Defaults"
            | "Like"
            | "Causes"
            | "Used"
            | "Gives"
            | "Performs"
            | "Provides"
            | "Indicates"
            | "Creates"
            | "Reads"
            | "Writes"
            | "Raised"
            | "Converts"
    );
    // `Note: …`, `Bug fix: …`: a label, not the beginning of a statement.
    let label = shown.split(' ').take(LABEL_WORDS).any(|word| word.ends_with(':'));
    if good && !label && !half { Ok(()) } else { Err(Unusable::Beginning) }
}

fn ends_well(shown: &str) -> Result<(), Unusable> {
    let bare =
        shown.trim_end_matches(['"', '”', '“', '»', '’', '\'', ')', '*', '_', ' ', '\u{a0}']);
    let good = bare.ends_with(['.', '!', '।', '。'])
        && !bare.ends_with("..")
        && !bare.ends_with(" .")
        && !shown.contains('?');
    if good { Ok(()) } else { Err(Unusable::Ending) }
}

/// The sentence with every code span as one short word; `None` if a span is not closed.
fn without_code(shown: &str) -> Option<String> {
    let mut prose = String::with_capacity(shown.len());
    for (at, part) in shown.split('`').enumerate() {
        prose.push_str(if at % 2 == 0 { part } else { "x" });
    }
    shown.matches('`').count().is_multiple_of(2).then_some(prose)
}

fn is_balanced(prose: &str) -> Result<(), Unusable> {
    let mut open = Vec::new();
    for mark in prose.chars() {
        let expected = match mark {
            '(' | '[' | '{' => {
                open.push(mark);
                continue;
            }
            ')' => '(',
            ']' => '[',
            '}' => '{',
            _ => continue,
        };
        if open.pop() != Some(expected) {
            return Err(Unusable::Unbalanced);
        }
    }
    let count = |mark: char| prose.matches(mark).count();
    // German opens with „ and closes with “; English opens with “.
    let quotes = if prose.contains('„') {
        count('„') == count('“') + count('”')
    } else {
        count('“') == count('”')
    };
    let guillemets = count('«') == count('»');
    let even = count('"').is_multiple_of(2) && prose.matches("**").count().is_multiple_of(2);
    if open.is_empty() && quotes && guillemets && even { Ok(()) } else { Err(Unusable::Unbalanced) }
}

fn has_no_markup(prose: &str) -> Result<(), Unusable> {
    let tag = prose.char_indices().any(|(at, c)| {
        c == '<'
            && prose[at + 1..]
                .starts_with(|next: char| next.is_ascii_alphabetic() || matches!(next, '/' | '!'))
    });
    let entity = prose.split('&').skip(1).any(|after| {
        after.find(';').is_some_and(|end| {
            (2..=8).contains(&end)
                && after[..end].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'#')
        })
    });
    let leftover = [
        "[^", "{{", "}}", "\\(", "\\[", "$$", "::", "||", "[edit]", "¶", "�", "~~", " | ", "•",
        "→", "←",
    ]
    .iter()
    .any(|mark| prose.contains(mark));
    let citation = prose.split('[').skip(1).any(|after| {
        after
            .find(']')
            .is_some_and(|end| end > 0 && after[..end].bytes().all(|b| b.is_ascii_digit()))
    });
    if tag || entity || citation || leftover { Err(Unusable::Markup) } else { Ok(()) }
}

fn is_prose(shown: &str, prose: &str) -> Result<(), Unusable> {
    let chars = shown.chars().count();
    let letters =
        prose.chars().filter(|c| c.is_alphabetic() || *c == ' ' || is_devanagari_sign(*c)).count();
    let in_code = chars.saturating_sub(prose.chars().count());
    let enough = letters * 100 >= prose.chars().count() * LETTERS_PERCENT_MIN;
    let little_code = in_code * 100 <= chars * CODE_PERCENT_MAX;
    let prompt = ["$ ", ">>> ", "# ", "% ", "C:\\"].iter().any(|start| shown.starts_with(start))
        || [" $ ", ">>>", " := ", " == ", " += ", "();", "={", " -> "]
            .iter()
            .any(|part| prose.contains(part));
    let capitals = prose
        .split(' ')
        .filter(|word| word.chars().filter(|c| c.is_uppercase()).count() > 1)
        .count();
    let shouting = capitals * 2 > prose.split(' ').count();
    if enough && little_code && !prompt && !shouting { Ok(()) } else { Err(Unusable::Code) }
}

/// `… a new pack. git-pack-objects …`: Unicode sees no border before a small letter, a reader does.
fn is_one_sentence(prose: &str, language: Language) -> Result<(), Unusable> {
    let words: Vec<&str> = prose.split(' ').collect();
    let glued = words.windows(2).any(|pair| {
        let [word, next] = *pair else { return false };
        word.strip_suffix('.').is_some_and(|bare| {
            let bare = bare.trim_start_matches(['(', '"', '“', '„', '«']);
            bare.chars().count() > 2
                && !bare.contains('.')
                && !is_abbreviation(&bare.to_lowercase(), language)
                && (next.starts_with(char::is_lowercase) || is_footnote_number(next))
        })
    });
    if glued { Err(Unusable::Ending) } else { Ok(()) }
}

/// A number that was raised in the page and stands alone in its text.
fn is_footnote_number(word: &str) -> bool {
    word.len() <= 3 && word.bytes().all(|b| b.is_ascii_digit())
}

/// Vowel signs of Devanagari are marks, not letters.
fn is_devanagari_sign(c: char) -> bool {
    matches!(c, '\u{900}'..='\u{903}' | '\u{93a}'..='\u{94f}' | '\u{951}'..='\u{957}' | '\u{962}'..='\u{963}')
}

fn is_changelog(lower: &str, padded: &str) -> bool {
    [
        "changed in ",
        "new in ",
        "added in ",
        "deprecated since ",
        "deprecated in ",
        "removed in ",
        "fixed ",
        "fix ",
        "neu in version",
        "nouveau dans la version",
        "nuevo en la versión",
    ]
    .iter()
    .any(|start| lower.starts_with(start))
        || [" closes ", " release notes ", " changelog ", " bug fix ", " bugfix "]
            .iter()
            .any(|phrase| padded.contains(phrase))
        || lower.contains("(#")
        || lower.contains(" #")
            && lower
                .split(" #")
                .skip(1)
                .any(|after| after.starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether the sentence needs something that stands elsewhere: a figure, an example, a chapter.
fn refers_elsewhere(lower: &str, padded: &str, language: Language) -> bool {
    let phrases: &[&str] = match language {
        Language::English => ELSEWHERE_ENGLISH,
        Language::German => ELSEWHERE_GERMAN,
        Language::French => ELSEWHERE_FRENCH,
        Language::Spanish => ELSEWHERE_SPANISH,
        Language::Hindi => ELSEWHERE_HINDI,
        Language::Other => &[],
    };
    if phrases.iter().any(|phrase| padded.contains(phrase)) {
        return true;
    }
    if language == Language::English {
        let points = [
            "(see ",
            "(section ",
            "(chapter ",
            "; see ",
            ", see ",
            "please see",
            "- see ",
            "also see",
            "(cf",
            "(q.v",
        ];
        if lower.starts_with("see ")
            || lower.starts_with("refer ")
            || points.iter().any(|point| lower.contains(point))
        {
            return true;
        }
    }
    // `Section 4.2`, `Figure 3`, `Table 3-1`, `step 2`, `line 12`, `example 1` …
    let mut earlier = "";
    for word in padded.split_whitespace() {
        if word.starts_with(|c: char| c.is_ascii_digit()) && NUMBERED.contains(&earlier) {
            return true;
        }
        earlier = word;
    }
    // `below` and `above` with a number are measures, else they point.
    for place in [" above ", " below "] {
        if language == Language::English
            && padded
                .split(place)
                .skip(1)
                .any(|after| !after.starts_with(|c: char| c.is_ascii_digit()))
        {
            return true;
        }
    }
    false
}

const NUMBERED: &[&str] = &[
    "section",
    "sections",
    "chapter",
    "chapters",
    "figure",
    "figures",
    "fig",
    "table",
    "tables",
    "listing",
    "example",
    "examples",
    "step",
    "steps",
    "line",
    "lines",
    "appendix",
    "footnote",
    "item",
    "abschnitt",
    "kapitel",
    "abbildung",
    "abb",
    "tabelle",
    "beispiel",
    "schritt",
    "zeile",
    "chapitre",
    "tableau",
    "exemple",
    "étape",
    "ligne",
    "sección",
    "capítulo",
    "figura",
    "tabla",
    "ejemplo",
];

const ELSEWHERE_ENGLISH: &[&str] = &[
    " the following ",
    " as follows ",
    " following example ",
    " follows is ",
    " figure ",
    " this chapter ",
    " this section ",
    " these sections ",
    " this document ",
    " this documentation ",
    " this page ",
    " this article ",
    " this tutorial ",
    " this guide ",
    " this manual ",
    " this appendix ",
    " this book ",
    " this howto ",
    " this post ",
    " this file ",
    " this module ",
    " this table ",
    " this list ",
    " this paper ",
    " this report ",
    " this example ",
    " these examples ",
    " our example ",
    " the example ",
    " the examples ",
    " examples show ",
    " in the example ",
    " this diagram ",
    " the diagram ",
    " this code ",
    " the code snippet ",
    " this snippet ",
    " the table ",
    " the list shows ",
    " next section ",
    " next chapter ",
    " previous section ",
    " preceding section ",
    " other sections ",
    " later section ",
    " earlier section ",
    " subsequent section ",
    " sections ",
    " see also ",
    " see section ",
    " for details ",
    " for more details ",
    " more information ",
    " further information ",
    " for more on ",
    " described in ",
    " discussed in ",
    " explained in ",
    " documented in ",
    " covered in ",
    " listed in ",
    " shown in ",
    " mentioned in ",
    " defined in section ",
    " described here ",
    " discussed here ",
    " shown here ",
    " listed here ",
    " described later ",
    " discussed later ",
    " explained later ",
    " as described ",
    " as discussed ",
    " as shown ",
    " as mentioned ",
    " as noted ",
    " as explained ",
    " as stated ",
    " as we saw ",
    " we saw ",
    " we have seen ",
    " we've seen ",
    " you've seen ",
    " you saw ",
    " already seen ",
    " will see ",
    " we'll see ",
    " let's ",
    " let us ",
    " we will ",
    " we'll ",
    " we shall ",
    " here's ",
    " here is ",
    " here are ",
    " above mentioned ",
    " aforementioned ",
    " the former ",
    " the latter ",
    " last section ",
    " chapter ",
    " suppose ",
    " imagine ",
    " say that ",
    " you may recall ",
    " that example ",
    " assume that ",
    " say you ",
    " recall that ",
    " earlier example ",
    " section called ",
    " have a look ",
    " take a look ",
    " describes how ",
];

const ELSEWHERE_GERMAN: &[&str] = &[
    " folgende ",
    " folgenden ",
    " folgendes ",
    " folgender ",
    " wie folgt ",
    " dieses kapitel ",
    " diesem kapitel ",
    " dieser abschnitt ",
    " diesem abschnitt ",
    " dieses dokument ",
    " diesem dokument ",
    " dieser artikel ",
    " diesem artikel ",
    " dieser seite ",
    " diesem beitrag ",
    " dieses beispiel ",
    " diesem beispiel ",
    " im beispiel ",
    " siehe ",
    " s o ",
    " oben ",
    " unten ",
    " obige ",
    " obigen ",
    " obiges ",
    " nächsten abschnitt ",
    " vorigen abschnitt ",
    " nächsten kapitel ",
    " weitere informationen ",
    " mehr dazu ",
    " wie erwähnt ",
    " wie beschrieben ",
    " wie gesagt ",
    " abbildung ",
    " hier ist ",
    " hier sind ",
    " ersterer ",
    " letzterer ",
];

const ELSEWHERE_FRENCH: &[&str] = &[
    " suivant ",
    " suivante ",
    " suivants ",
    " suivantes ",
    " comme suit ",
    " ci dessus ",
    " ci dessous ",
    " ce chapitre ",
    " cette section ",
    " ce document ",
    " cet article ",
    " cette page ",
    " ce tutoriel ",
    " ce guide ",
    " cet exemple ",
    " l'exemple ",
    " voir ",
    " voyez ",
    " voir aussi ",
    " plus haut ",
    " plus bas ",
    " prochaine section ",
    " section précédente ",
    " pour plus d'informations ",
    " en savoir plus ",
    " comme mentionné ",
    " comme indiqué ",
    " comme décrit ",
    " la figure ",
    " le tableau ",
    " voici ",
    " ce dernier ",
    " cette dernière ",
    " nous verrons ",
];

const ELSEWHERE_SPANISH: &[&str] = &[
    " siguiente ",
    " siguientes ",
    " como sigue ",
    " a continuación ",
    " este capítulo ",
    " esta sección ",
    " este documento ",
    " este artículo ",
    " esta página ",
    " este tutorial ",
    " esta guía ",
    " este ejemplo ",
    " el ejemplo ",
    " véase ",
    " ver también ",
    " más arriba ",
    " más abajo ",
    " más adelante ",
    " arriba ",
    " abajo ",
    " próxima sección ",
    " sección anterior ",
    " para más información ",
    " más información ",
    " como se mencionó ",
    " como se describe ",
    " la figura ",
    " la tabla ",
    " aquí está ",
    " aquí tienes ",
    " este último ",
    " esta última ",
    " veremos ",
    " hemos visto ",
];

const ELSEWHERE_HINDI: &[&str] = &[
    " निम्नलिखित ",
    " निम्न ",
    " इस अध्याय ",
    " इस लेख ",
    " इस खंड ",
    " इस पृष्ठ ",
    " ऊपर ",
    " उपरोक्त ",
    " नीचे ",
    " अगले अध्याय ",
    " अधिक जानकारी ",
    " देखें ",
    " इस उदाहरण ",
    " चित्र ",
];

/// Words of menus, banners and invitations, whatever the language of the text around them.
const HOUSEKEEPING: &[&str] = &[
    " click ",
    " read more ",
    " learn more ",
    " sign up ",
    " sign in ",
    " log in to ",
    " subscribe ",
    " unsubscribe ",
    " newsletter ",
    " use cookies ",
    " uses cookies ",
    " accept cookies ",
    " cookie policy ",
    " all cookies ",
    " privacy policy ",
    " terms of service ",
    " terms of use ",
    " all rights reserved ",
    " copyright ",
    " licensed under ",
    " creative commons ",
    " table of contents ",
    " back to top ",
    " previous next ",
    " edit this page ",
    " page helpful ",
    " share this ",
    " follow us ",
    " contact us ",
    " leave a comment ",
    " posted by ",
    " posted on ",
    " published on ",
    " last updated ",
    " last modified ",
    " this site ",
    " this website ",
    " our website ",
    " your browser ",
    " enable javascript ",
    " advertisement ",
    " sponsored ",
    " thank you for ",
    " thanks for ",
    " thanks to ",
    " happy coding ",
    " stay tuned ",
    " join our ",
    " download the ",
    " buy now ",
    " free trial ",
    " mailing list ",
    " bug report ",
    " patches welcome ",
    " was written by ",
    " the author ",
    " the authors ",
    " hier klicken ",
    " klicken sie ",
    " weiterlesen ",
    " mehr erfahren ",
    " datenschutz ",
    " impressum ",
    " alle rechte vorbehalten ",
    " verwendet cookies ",
    " anmelden ",
    " cliquez ",
    " lire la suite ",
    " tous droits réservés ",
    " haga clic ",
    " leer más ",
    " todos los derechos reservados ",
    " यहाँ क्लिक ",
];
