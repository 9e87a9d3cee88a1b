//! One pass over the bytes of a JSON text, for what its parser lets pass and others would not.

/// Something that no request may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Objects and lists inside each other beyond the limit.
    TooDeep,
    /// `\u0000` in a string: text that databases cannot hold.
    Nul,
    /// Half of a surrogate pair in a string: text that is no Unicode.
    LoneSurrogate,
}

/// Looks for the first flaw. A text that is no JSON may pass; its parser refuses it.
pub(super) fn scan(json: &[u8], depth_max: usize) -> Result<(), Flaw> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    return Err(Flaw::TooDeep);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => at = string(json, at)?,
            _ => {}
        }
    }
    Ok(())
}

/// Passes over a string whose first byte is at `at`; gives the place after its closing quote.
fn string(json: &[u8], mut at: usize) -> Result<usize, Flaw> {
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'"' => return Ok(at),
            b'\\' => match unit(json, at - 1) {
                Some(0) => return Err(Flaw::Nul),
                Some(0xD800..=0xDBFF) => match unit(json, at + 5) {
                    Some(0xDC00..=0xDFFF) => at += 11,
                    _ => return Err(Flaw::LoneSurrogate),
                },
                Some(0xDC00..=0xDFFF) => return Err(Flaw::LoneSurrogate),
                Some(_) => at += 5,
                // `\"`, `\\` and the like.
                None => at += 1,
            },
            _ => {}
        }
    }
    Ok(at)
}

/// The UTF-16 unit that is written as `\uXXXX` at `at`, if one is.
fn unit(json: &[u8], at: usize) -> Option<u16> {
    let escape = json.get(at..at.checked_add(6)?)?;
    let digits = escape.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0_u16, |unit, &digit| {
        let value = char::from(digit).to_digit(16)?;
        Some((unit << 4) | value as u16)
    })
}
