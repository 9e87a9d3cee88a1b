//! The only words that extract mode writes itself: headings, counts, dates, notes of what is
//! missing. One table per language.

use crate::text::language::Language;

/// Fixed words of one language.
pub(super) struct Wording {
    /// Heading of the closing section.
    pub(super) in_short: &'static str,
    /// Heading when the sources have no headings of their own to offer.
    pub(super) from_the_sources: &'static str,
    /// Heading of the glossary.
    pub(super) terms: &'static str,
    /// Heading of the table of numbers.
    pub(super) figures: &'static str,
    /// Heads of the table's columns.
    pub(super) figure_column: &'static str,
    /// Head of the second column.
    pub(super) source_column: &'static str,
    /// Note of a section that has too little material.
    pub(super) too_little: &'static str,
    /// `{topic}`, `{sources}` (a counted noun) and `{dates}` (with its comma, or empty).
    extracts_on: &'static str,
    source_one: &'static str,
    source_many: &'static str,
    /// Between two months.
    until: &'static str,
}

impl Wording {
    /// The first paragraph: only counts and dates. `dates` are the first and last month, `2024-03`.
    pub(super) fn first_paragraph(
        &self,
        topic: &str,
        sources: usize,
        dates: Option<(&str, &str)>,
    ) -> String {
        // Emphasis marks inside the topic would end the emphasis around it.
        let topic =
            if topic.contains(['*', '_', '`']) { topic.to_owned() } else { format!("*{topic}*") };
        let noun = if sources == 1 { self.source_one } else { self.source_many };
        let dates = match dates {
            Some((first, last)) if first == last => format!(", {first}"),
            Some((first, last)) => format!(", {first} {} {last}", self.until),
            None => String::new(),
        };
        self.extracts_on
            .replace("{sources}", &format!("{sources} {noun}"))
            .replace("{dates}", &dates)
            .replace("{topic}", &topic)
    }
}

pub(super) fn of(language: Language) -> &'static Wording {
    match language {
        Language::English | Language::Other => &ENGLISH,
        Language::German => &GERMAN,
        Language::French => &FRENCH,
        Language::Spanish => &SPANISH,
        Language::Hindi => &HINDI,
    }
}

const ENGLISH: Wording = Wording {
    in_short: "In short",
    from_the_sources: "From the sources",
    terms: "Terms",
    figures: "Figures",
    figure_column: "Figure",
    source_column: "In the words of the source",
    too_little: "The sources hold too little about this to quote. They are:",
    extracts_on: "Extracts on {topic} from {sources}{dates}.",
    source_one: "source",
    source_many: "sources",
    until: "to",
};

const GERMAN: Wording = Wording {
    in_short: "Kurz gefasst",
    from_the_sources: "Aus den Quellen",
    terms: "Begriffe",
    figures: "Zahlen",
    figure_column: "Zahl",
    source_column: "Wortlaut der Quelle",
    too_little: "Die Quellen geben dazu zu wenig her, um daraus zu zitieren. Es sind:",
    extracts_on: "Auszüge zu {topic} aus {sources}{dates}.",
    source_one: "Quelle",
    source_many: "Quellen",
    until: "bis",
};

const FRENCH: Wording = Wording {
    in_short: "En bref",
    from_the_sources: "D’après les sources",
    terms: "Termes",
    figures: "Chiffres",
    figure_column: "Chiffre",
    source_column: "Texte de la source",
    too_little: "Les sources en disent trop peu pour être citées. Les voici :",
    extracts_on: "Extraits sur {topic}, tirés de {sources}{dates}.",
    source_one: "source",
    source_many: "sources",
    until: "à",
};

const SPANISH: Wording = Wording {
    in_short: "En resumen",
    from_the_sources: "De las fuentes",
    terms: "Términos",
    figures: "Cifras",
    figure_column: "Cifra",
    source_column: "Texto de la fuente",
    too_little: "Las fuentes dicen muy poco sobre esto para citarlas. Son:",
    extracts_on: "Extractos sobre {topic} de {sources}{dates}.",
    source_one: "fuente",
    source_many: "fuentes",
    until: "a",
};

const HINDI: Wording = Wording {
    in_short: "संक्षेप में",
    from_the_sources: "स्रोतों से",
    terms: "शब्दावली",
    figures: "आँकड़े",
    figure_column: "आँकड़ा",
    source_column: "स्रोत के शब्दों में",
    too_little: "इस विषय पर स्रोतों में उद्धृत करने योग्य सामग्री बहुत कम है। स्रोत ये हैं:",
    extracts_on: "{topic} पर {sources} से उद्धरण{dates}।",
    source_one: "स्रोत",
    source_many: "स्रोतों",
    until: "से",
};
