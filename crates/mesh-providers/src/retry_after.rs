//! How long a server asks to wait. Pure: headers and the time in, duration out.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Reads `retry-after-ms` (OpenAI), else `retry-after` in seconds or as a date (RFC 9110, 10.2.3).
/// A date in the past is no wait at all; anything unreadable is no wish.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = |text: &str, per_second: f64| {
        let seconds = text.parse::<f64>().ok()? / per_second;
        Duration::try_from_secs_f64(seconds).ok()
    };
    if let Some(wait) = text("retry-after-ms").and_then(|text| seconds(text, 1000.0)) {
        return Some(wait);
    }
    let wish = text(RETRY_AFTER.as_str())?;
    seconds(wish, 1.0).or_else(|| {
        let date = rfc2822::parse(wish).ok()?.timestamp();
        Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(headers: &[(&'static str, &'static str)], expected: Option<u64>) {
        let now: Timestamp = "2026-01-05T10:00:00Z".parse().unwrap();
        let headers: HeaderMap = headers
            .iter()
            .map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        assert_eq!(retry_after(&headers, now), expected.map(Duration::from_millis));
    }

    #[test]
    fn seconds_milliseconds_and_dates_are_read() {
        check(&[], None);
        check(&[("retry-after", "2")], Some(2000));
        check(&[("retry-after", "0.25")], Some(250));
        check(&[("retry-after-ms", "30"), ("retry-after", "2")], Some(30));
        check(&[("retry-after", "Mon, 05 Jan 2026 10:01:30 GMT")], Some(90_000));
    }

    #[test]
    fn what_is_past_or_unreadable_is_harmless() {
        check(&[("retry-after", "Mon, 05 Jan 2026 09:00:00 GMT")], Some(0));
        for wish in ["soon", "-3", "NaN", "1e400", ""] {
            check(&[("retry-after", wish)], None);
        }
        check(&[("retry-after-ms", "x"), ("retry-after", "2")], Some(2000));
    }
}
