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

/// Texts that occur in the compact JSON text of everything that contains `part`. A database can
/// skip rows without them before it looks closer: having them all proves nothing.
pub fn marks(part: &Json) -> Vec<String> {
    let mut marks = Vec::new();
    gather(String::new(), part, &mut marks);
    marks
}

fn gather(before: String, part: &Json, marks: &mut Vec<String>) {
    match part {
        // Equal numbers may be written in several ways.
        Json::Number(_) => {}
        Json::Object(members) => {
            for (key, part) in members {
                gather(format!("{}:", Json::from(key.as_str())), part, marks);
            }
        }
        Json::Array(parts) => parts.iter().for_each(|part| gather(String::new(), part, marks)),
        scalar => marks.push(format!("{before}{scalar}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{contains, marks};

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

    #[test]
    fn what_contains_a_part_has_its_marks_in_its_text() {
        let whole = json!({ "a\"b": { "c": "d\n" }, "l": ["x", 1.0, { "t": true }], "n": null });
        let part = json!({ "a\"b": { "c": "d\n" }, "l": [1, "x", { "t": true }], "n": null });
        assert!(contains(&whole, &part));
        let text = whole.to_string();
        let marks = marks(&part);
        assert_eq!(marks.len(), 4);
        for mark in marks {
            assert!(text.contains(&mark), "{mark} in {text}");
        }
    }
}
