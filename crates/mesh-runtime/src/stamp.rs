//! Points in time as rows have them.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use mesh_graph::env::Env;
use serde::{Serialize, Serializer};

/// Microseconds since 1970 (UTC). Shown as `2026-11-22T07:46:13.499003+00:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp(pub i64);

impl Stamp {
    /// So much later.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1000)))
    }

    /// Milliseconds since 1970.
    pub fn ms(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// As a timestamp; what lies beyond the years that can be written shows 1970.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_microsecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

impl From<Timestamp> for Stamp {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp.as_microsecond())
    }
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{:.6}", self.timestamp());
        write!(f, "{}+00:00", text.trim_end_matches('Z'))
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Gives each change a time of its own, so that the later of two changes always has the later
/// time, however coarse the clock is and if it is set back.
#[derive(Debug, Default)]
pub struct Stamps(AtomicI64);

impl Stamps {
    /// Now, and later than every stamp given before.
    pub fn next(&self, env: &dyn Env) -> Stamp {
        let now = env.now_ms().saturating_mul(1000);
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            Some(now.max(last.saturating_add(1)))
        });
        let (Ok(last) | Err(last)) = before;
        Stamp(now.max(last.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use mesh_graph::env::CountingEnv;

    use super::{Stamp, Stamps};

    #[test]
    fn a_stamp_shows_microseconds_and_its_zone() {
        let stamp = Stamp(1_795_333_573_499_003);
        assert_eq!(stamp.to_string(), "2026-11-22T07:46:13.499003+00:00");
    }

    #[test]
    fn stamps_grow_even_within_one_tick_of_the_clock() {
        struct Stopped;
        #[async_trait::async_trait]
        impl mesh_graph::env::Env for Stopped {
            fn now_ms(&self) -> i64 {
                5
            }
            fn new_id(&self) -> u128 {
                CountingEnv::default().new_id()
            }
            fn random(&self) -> u64 {
                0
            }
            async fn sleep(&self, _: std::time::Duration) {}
        }
        let stamps = Stamps::default();
        let given: Vec<i64> = (0..3).map(|_| stamps.next(&Stopped).0).collect();
        assert_eq!(given, [5000, 5001, 5002]);
    }
}
