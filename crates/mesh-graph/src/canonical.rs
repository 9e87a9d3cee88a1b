//! One spelling for every JSON value, and its hash: equal inputs have equal hashes, in whatever
//! order their maps were filled.

use std::{fmt, io::Write as _, str::FromStr};

use serde_json::Value as Json;

use crate::interrupt::first_128;

/// The hash of an input: 128 bits, shown in hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputHash(pub(crate) u128);

impl fmt::Display for InputHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for InputHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for InputHash {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

crate::checkpoint::serialize_id!(InputHash);

impl InputHash {
    /// The hash of `json` in its canonical spelling: no blanks, the keys of every map sorted.
    pub(crate) fn of(json: &Json) -> Self {
        let mut hasher = blake3::Hasher::new();
        spell(json, &mut hasher);
        Self(first_128(&hasher.finalize()))
    }
}

/// Feeds the canonical spelling. A map does not rely on how `serde_json` keeps it: features of
/// other crates decide whether that is sorted.
fn spell(json: &Json, hasher: &mut blake3::Hasher) {
    match json {
        Json::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort_unstable();
            hasher.update(b"{");
            for key in keys {
                scalar(&Json::String(key.clone()), hasher);
                hasher.update(b":");
                spell(&object[key], hasher);
                hasher.update(b",");
            }
            hasher.update(b"}");
        }
        Json::Array(items) => {
            hasher.update(b"[");
            for item in items {
                spell(item, hasher);
                hasher.update(b",");
            }
            hasher.update(b"]");
        }
        other => scalar(other, hasher),
    }
}

fn scalar(json: &Json, hasher: &mut blake3::Hasher) {
    // A hasher takes everything; there is no error to tell.
    let _ = write!(hasher, "{json}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_keys_does_not_matter_and_everything_else_does() {
        let hash = |text: &str| InputHash::of(&serde_json::from_str(text).unwrap_or_default());
        assert_eq!(hash(r#"{"a":1,"b":{"c":2,"d":3}}"#), hash(r#"{"b":{"d":3,"c":2},"a":1}"#));
        let different = [
            json!({"a": 1}),
            json!({"a": "1"}),
            json!({"a": 1.0}),
            json!({"a": [1]}),
            json!([{"a": 1}]),
            json!([["a", 1]]),
            json!(["a", 1]),
            json!("a"),
            json!(null),
            json!({}),
            json!([]),
        ];
        let hashes: std::collections::BTreeSet<InputHash> =
            different.iter().map(InputHash::of).collect();
        assert_eq!(hashes.len(), different.len());
    }
}
