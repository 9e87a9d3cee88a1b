//! Bytes to text, in the order the HTML standard believes its sources.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Bytes at the start of a page in which a `meta` tag may name the encoding.
const META_BYTES: usize = 1024;

/// The text of `bytes`: by byte order mark, else by the header's charset, else (HTML only) by the
/// page's `meta` tag, else UTF-8 if it is valid, else windows-1252. Never fails; bytes that fit
/// no character become U+FFFD.
pub(crate) fn decode(bytes: &[u8], charset: Option<&str>, is_html: bool) -> String {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[length..]).0.into_owned();
    }
    let named = charset
        .and_then(|label| Encoding::for_label(label.as_bytes()))
        .or_else(|| if is_html { from_meta(bytes) } else { None });
    if let Some(encoding) = named {
        return encoding.decode_without_bom_handling(bytes).0.into_owned();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
    }
}

/// `<meta charset=…>` or `<meta http-equiv=content-type content="…; charset=…">`.
fn from_meta(bytes: &[u8]) -> Option<&'static Encoding> {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(META_BYTES)]).to_lowercase();
    let mut rest = start.as_str();
    while let Some(position) = rest.find("<meta") {
        rest = &rest[position + 5..];
        let tag = &rest[..rest.find('>').unwrap_or(rest.len())];
        let Some(position) = tag.find("charset") else { continue };
        let Some(value) = tag[position + 7..].trim_start().strip_prefix('=') else { continue };
        let value = value.trim_start().trim_start_matches(['"', '\'']);
        let end = value.find(|c: char| matches!(c, '"' | '\'' | ';' | '/') || c.is_whitespace());
        let label = &value[..end.unwrap_or(value.len())];
        if let Some(encoding) = Encoding::for_label(label.as_bytes()) {
            // A tag that could be read as ASCII was not written in UTF-16.
            let is_wide = encoding == UTF_16LE || encoding == UTF_16BE;
            return Some(if is_wide { UTF_8 } else { encoding });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_wins_over_header_and_meta() {
        let page = b"\xef\xbb\xbf<meta charset=windows-1251>\xc3\xa4";
        assert_eq!(decode(page, Some("iso-8859-1"), true), "<meta charset=windows-1251>ä");
        assert_eq!(decode(b"\xff\xfeh\0i\0", Some("utf-8"), true), "hi");
    }

    #[test]
    fn the_header_wins_over_meta() {
        let page = b"<meta charset=utf-8>\xe4";
        assert_eq!(decode(page, Some("ISO-8859-1"), true), "<meta charset=utf-8>ä");
    }

    #[test]
    fn meta_tags_count_in_html_only() {
        let page = b"<META http-equiv=Content-Type content='text/html; charset=koi8-r'>\xc1";
        assert!(decode(page, None, true).ends_with('а'));
        assert!(decode(page, None, false).ends_with('Á'));
        assert_eq!(
            decode(b"<meta charset=utf-16><p>\xc3\xa4", None, true),
            "<meta charset=utf-16><p>ä"
        );
    }

    #[test]
    fn unnamed_bytes_are_utf8_or_windows_1252() {
        assert_eq!(decode("größer".as_bytes(), None, false), "größer");
        assert_eq!(decode(b"gr\xf6\xdfer \x80", Some("no-such-charset"), false), "größer €");
    }
}
