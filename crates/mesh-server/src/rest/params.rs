//! Parameters of a query, in every way in which clients write them.

use std::{borrow::Cow, convert::Infallible};

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use url::form_urlencoded;

use crate::refusal::Refusal;

/// The parameters of a request's query.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Params {
    /// The parameters of a query as it stands in an address.
    pub(crate) fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// A parameter; the last of several.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Yes or no: `true`, `false`, `1`, `0`, `yes`, `no`; none for an empty or missing one.
    ///
    /// # Errors
    /// 422 for anything else.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.text(name) {
            None | Some("") => Ok(None),
            Some(text) => match &*text.to_ascii_lowercase() {
                "true" | "1" | "yes" => Ok(Some(true)),
                "false" | "0" | "no" => Ok(Some(false)),
                _ => Err(wrong(name, "true or false")),
            },
        }
    }

    /// A whole number; none for an empty or missing one.
    ///
    /// # Errors
    /// 422 for anything else.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u32>, Refusal> {
        match self.text(name) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| wrong(name, "a whole number")),
        }
    }

    /// A list: as a repeated parameter, as a JSON array in one, or with commas, and all of that
    /// together.
    pub(crate) fn list(&self, name: &str) -> Vec<Cow<'_, str>> {
        let mut items = Vec::new();
        for (_, value) in self.0.iter().filter(|(key, _)| key == name) {
            match serde_json::from_str::<Json>(value) {
                Ok(Json::Array(list)) => items.extend(list.into_iter().map(|item| match item {
                    Json::String(text) => Cow::Owned(text),
                    other => Cow::Owned(other.to_string()),
                })),
                _ => items.extend(
                    value
                        .split(',')
                        .map(str::trim)
                        .filter(|item| !item.is_empty())
                        .map(Cow::Borrowed),
                ),
            }
        }
        items
    }

    /// A list of words that `T` knows; none without the parameter.
    ///
    /// # Errors
    /// 422 names the word that is none.
    pub(crate) fn choices<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<Vec<T>>, Refusal> {
        let words = self.list(name);
        if words.is_empty() {
            return Ok(None);
        }
        let choice = |word: Cow<'_, str>| {
            serde_json::from_value(Json::String(word.into_owned()))
                .map_err(|error| Refusal::invalid(None, format!("query parameter {name}: {error}")))
        };
        words.into_iter().map(choice).collect::<Result<_, _>>().map(Some)
    }
}

fn wrong(name: &str, expected: &str) -> Refusal {
    Refusal::invalid(None, format!("query parameter {name}: expected {expected}"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::Params;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        RunId,
        Status,
    }

    #[test]
    fn a_list_is_read_in_every_form_that_clients_write() {
        for query in [
            "select=run_id&select=status",
            "select=%5B%22run_id%22,%22status%22%5D",
            "select=run_id,status",
            "select=run_id%2Cstatus",
            "select=%5B%22run_id%22%5D&select=status",
        ] {
            let params = Params::parse(query);
            assert_eq!(params.list("select"), ["run_id", "status"], "{query}");
            let words: Option<Vec<Word>> = params.choices("select").unwrap();
            assert_eq!(words, Some(vec![Word::RunId, Word::Status]));
        }
        assert_eq!(Params::parse("select=").choices::<Word>("select").unwrap(), None);
        let wrong = Params::parse("select=nothing").choices::<Word>("select").unwrap_err();
        assert!(wrong.to_string().contains("nothing"), "{wrong}");
    }

    #[test]
    fn yes_and_no_are_words_or_digits() {
        let params = Params::parse("a=true&b=0&c=&d=maybe&e=False");
        assert_eq!(params.flag("a").unwrap(), Some(true));
        assert_eq!(params.flag("b").unwrap(), Some(false));
        assert_eq!(params.flag("c").unwrap(), None);
        assert_eq!(params.flag("z").unwrap(), None);
        assert_eq!(params.flag("e").unwrap(), Some(false));
        let wrong = params.flag("d").unwrap_err();
        assert_eq!(wrong.to_string(), "query parameter d: expected true or false");
    }
}
