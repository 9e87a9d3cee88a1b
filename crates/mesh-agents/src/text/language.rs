//! Which language a text is written in, as far as sentence and word rules care.

use serde::{Deserialize, Serialize};

use super::words::{is_stop_word, lower_words};

/// Languages with own rules here; every other one is read with the Unicode rules alone.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English, and the fallback wherever a text is too short to tell.
    #[default]
    English,
    /// German.
    German,
    /// French.
    French,
    /// Spanish.
    Spanish,
    /// Hindi.
    Hindi,
    /// Any other language: no stop words, no stemming, no abbreviation list.
    Other,
}

/// Function words that tell the language of a text too short for n-grams.
const FUNCTION_WORDS_MIN: usize = 2;

/// Characters of a text that are looked at; more changes no answer and costs time.
const CHARS_READ_MAX: usize = 4_000;

impl Language {
    /// Every variant, in the order that breaks ties.
    pub const ALL: [Self; 6] =
        [Self::English, Self::German, Self::French, Self::Spanish, Self::Hindi, Self::Other];

    /// The language of `text`, or [`Language::English`] if the text does not say reliably.
    ///
    /// Only the first 4,000 characters are read. Pass prose: code and tables mislead.
    pub fn detect(text: &str) -> Self {
        Self::detect_reliably(text).unwrap_or_default()
    }

    /// The language of `text`, or `None` if neither its n-grams nor its function words tell.
    pub fn detect_reliably(text: &str) -> Option<Self> {
        let end = text.char_indices().nth(CHARS_READ_MAX).map_or(text.len(), |(at, _)| at);
        let text = text.get(..end)?;
        let Some(found) = whatlang::detect(text).filter(whatlang::Info::is_reliable) else {
            return by_function_words(text);
        };
        Some(match found.lang() {
            whatlang::Lang::Eng => Self::English,
            whatlang::Lang::Deu => Self::German,
            whatlang::Lang::Fra => Self::French,
            whatlang::Lang::Spa => Self::Spanish,
            whatlang::Lang::Hin => Self::Hindi,
            _ => Self::Other,
        })
    }

    /// Reads the primary subtag of a BCP 47 tag such as `de-AT`.
    pub fn from_tag(tag: &str) -> Self {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        match primary.to_ascii_lowercase().as_str() {
            "en" => Self::English,
            "de" => Self::German,
            "fr" => Self::French,
            "es" => Self::Spanish,
            "hi" => Self::Hindi,
            _ => Self::Other,
        }
    }

    /// The BCP 47 tag; `und` for [`Language::Other`].
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::French => "fr",
            Self::Spanish => "es",
            Self::Hindi => "hi",
            Self::Other => "und",
        }
    }
}

/// The language whose function words a short text uses, if it uses twice as many of them as of any
/// other language.
fn by_function_words(text: &str) -> Option<Language> {
    let words: Vec<String> = lower_words(text).collect();
    let mut counts = Language::ALL.map(|language| {
        (words.iter().filter(|word| is_stop_word(word, language)).count(), language)
    });
    counts.sort_by_key(|&(count, language)| (std::cmp::Reverse(count), language));
    let [(first, language), (second, _), ..] = counts;
    (first >= FUNCTION_WORDS_MIN && first >= 2 * second).then_some(language)
}
