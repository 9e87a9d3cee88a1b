//! What searches ask of metadata and states: that one JSON value is contained in another.

use serde_json::{Map, Value as Json};

/// Whether `whole` contains `part`: of an object every entry, looked into; of a list every item,
/// anywhere; of anything else the value itself, numbers by value (`1` is `1.0`).
///
/// Semantics: PostgreSQL's `@>` for JSON, as LangGraph's server filters.
pub fn contains(whole: &Json, part: &Json) -> bool {
    match (whole, part) {
        (Json::Object(whole), Json::Object(part)) => contains_entries(whole, part),
        (Json::Array(whole), Json::Array(part)) => {
            part.iter().all(|part| whole.iter().any(|item| contains(item, part)))
        }
        (Json::Number(a), Json::Number(b)) => {
            a == b || (!(whole_number(a) && whole_number(b)) && a.as_f64() == b.as_f64())
        }
        (whole, part) => whole == part,
    }
}

/// As [`contains`], for the entries of objects: `{}` is contained in every one.
pub fn contains_entries(whole: &Map<String, Json>, part: &Map<String, Json>) -> bool {
    part.iter().all(|(key, part)| whole.get(key).is_some_and(|whole| contains(whole, part)))
}

fn whole_number(number: &serde_json::Number) -> bool {
    number.is_i64() || number.is_u64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::contains;

    #[test]
    fn objects_are_looked_into_and_may_have_more() {
        let whole = json!({ "a": 1, "b": { "c": [1, { "d": "x", "e": 2 }], "f": null } });
        for part in [
            json!({}),
            json!({ "a": 1.0 }),
            json!({ "b": {} }),
            json!({ "b": { "c": [{ "d": "x" }] } }),
            json!({ "b": { "c": [] } }),
            json!({ "b": { "f": null } }),
        ] {
            assert!(contains(&whole, &part), "{part}");
        }
        for part in [
            json!({ "a": "1" }),
            json!({ "z": null }),
            json!({ "b": { "c": [2] } }),
            json!({ "b": { "c": { "d": "x" } } }),
            json!({ "a": 9_007_199_254_740_993_i64 }),
        ] {
            assert!(!contains(&whole, &part), "{part}");
        }
    }

    #[test]
    fn large_whole_numbers_are_not_confused_with_their_neighbours() {
        assert!(!contains(&json!(9_007_199_254_740_993_i64), &json!(9_007_199_254_740_992_i64)));
    }
}
