//! JSON Schema of an object whose members have schemas of their own.

use serde_json::{Map, Value as Json, json};

/// Where a schema keeps those that it refers to.
const DEFINITIONS: &str = "$defs";

/// How a schema refers to one of them.
const REFERENCE: &str = "#/$defs/";

/// JSON Schema of an object with these members and no others. References within a member's schema
/// are to the root of the document, so what they refer to moves there; of two different ones of
/// one name, the later gets the member's name as well.
pub(super) fn object(members: impl Iterator<Item = (String, Json)>) -> Json {
    let mut definitions: Map<String, Json> = Map::new();
    let mut properties = Map::new();
    for (key, mut schema) in members {
        if let Json::Object(members) = &mut schema {
            members.remove("$schema");
            if let Some(Json::Object(own)) = members.remove(DEFINITIONS) {
                let taken = |name: &String, definition: &Json| {
                    definitions.get(name).is_some_and(|there| there != definition)
                };
                // One that differs takes all with it: they may refer to each other.
                let differs = own.iter().any(|(name, definition)| taken(name, definition));
                let prefix = if differs { format!("{key}.") } else { String::new() };
                for (name, mut definition) in own {
                    point(&mut definition, &prefix);
                    definitions.insert(format!("{prefix}{name}"), definition);
                }
                point(&mut schema, &prefix);
            }
        }
        properties.insert(key, schema);
    }
    let mut object = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !definitions.is_empty() {
        object[DEFINITIONS] = Json::Object(definitions);
    }
    object
}

/// Makes references follow their definitions to names with this prefix.
fn point(schema: &mut Json, prefix: &str) {
    match schema {
        Json::Object(members) => {
            if let Some(Json::String(reference)) = members.get_mut("$ref")
                && let Some(name) = reference.strip_prefix(REFERENCE)
            {
                *reference = format!("{REFERENCE}{prefix}{name}");
            }
            members.values_mut().for_each(|member| point(member, prefix));
        }
        Json::Array(items) => items.iter_mut().for_each(|item| point(item, prefix)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::object;

    fn member(key: &str, of: &str) -> (String, Json) {
        let schema = json!({
            "$schema": "x", "$ref": "#/$defs/A", "$defs": { "A": { "type": of } },
        });
        (key.to_owned(), schema)
    }

    #[test]
    fn what_members_refer_to_is_at_the_root() {
        let schema =
            object([member("a", "null"), member("b", "string"), member("c", "null")].into_iter());
        assert_eq!(
            schema,
            json!({
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "a": { "$ref": "#/$defs/A" },
                    "b": { "$ref": "#/$defs/b.A" },
                    "c": { "$ref": "#/$defs/A" },
                },
                "$defs": { "A": { "type": "null" }, "b.A": { "type": "string" } },
            })
        );
    }
}
