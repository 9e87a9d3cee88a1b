//! JSON texts put together from parts that are not read.

use axum::body::Bytes;

/// An object with one more member at its end; anything else as it is.
pub(super) fn with_member(object: &Bytes, name: &str, value: &[u8]) -> Bytes {
    let Some(open) = object.strip_suffix(b"}") else { return object.clone() };
    let mut whole = Vec::with_capacity(object.len() + name.len() + value.len() + 4);
    whole.extend_from_slice(open);
    if !open.ends_with(b"{") {
        whole.push(b',');
    }
    whole.push(b'"');
    whole.extend_from_slice(name.as_bytes());
    whole.extend_from_slice(b"\":");
    whole.extend_from_slice(value);
    whole.push(b'}');
    whole.into()
}

/// The value that a text cut off anywhere was going to be, as far as it goes; none if nothing of
/// it can be told yet.
pub(super) fn completed(cut: &str) -> Option<serde_json::Value> {
    if let Ok(whole) = serde_json::from_str(cut) {
        return Some(whole);
    }
    let mut closers = Vec::new();
    let (mut in_string, mut escaped) = (false, false);
    // Where the text can be cut so that only brackets are missing, and how many of them are open.
    let mut safe = None;
    for (at, byte) in cut.bytes().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                closers.push(if byte == b'{' { b'}' } else { b']' });
                safe = Some((at + 1, closers.clone()));
            }
            b'}' | b']' => {
                closers.pop();
                safe = Some((at + 1, closers.clone()));
            }
            b',' => safe = Some((at, closers.clone())),
            _ => {}
        }
    }
    let close = |text: &str, closers: &[u8]| {
        let mut text = text.to_owned();
        text.extend(closers.iter().rev().map(|closer| char::from(*closer)));
        serde_json::from_str(&text).ok()
    };
    let mut open = cut.strip_suffix('\\').filter(|_| escaped).unwrap_or(cut).to_owned();
    if in_string {
        open.push('"');
    }
    close(&open, &closers).or_else(|| {
        let (end, closers) = safe?;
        close(cut.get(..end)?, &closers)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::completed;

    #[test]
    fn what_is_there_of_a_cut_text_is_read() {
        for (cut, whole) in [
            (r#"{"a": 1}"#, json!({ "a": 1 })),
            (r#"{"a": "x"#, json!({ "a": "x" })),
            (r#"{"a": "x\"#, json!({ "a": "x" })),
            (r#"{"a": [1, 2"#, json!({ "a": [1, 2] })),
            (r#"{"a": 1, "b"#, json!({ "a": 1 })),
            (r#"{"a": 1, "b": "#, json!({ "a": 1 })),
            (r#"{"a": {"b": tr"#, json!({ "a": {} })),
            ("{", json!({})),
        ] {
            assert_eq!(completed(cut), Some(whole), "{cut}");
        }
        assert_eq!(completed(""), None);
        assert_eq!(completed("x{"), None);
    }
}
