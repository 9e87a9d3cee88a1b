//! Where time, ids and chance come from. The engine asks an [`Env`] and nothing else.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;

/// Clock, ids and chance of a run; tests hand in a deterministic one.
#[async_trait]
pub trait Env: Send + Sync {
    /// Milliseconds since 1970 (UTC).
    fn now_ms(&self) -> i64;
    /// A fresh 128-bit id, larger than every id given before by this `Env`.
    fn new_id(&self) -> u128;
    /// 64 random bits, all equally likely. Not for secrets.
    fn random(&self) -> u64;
    /// Waits. Dropping the future ends the wait.
    async fn sleep(&self, time: Duration);
}

/// The machine's own clock; ids are UUID version 7.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEnv;

#[async_trait]
impl Env for SystemEnv {
    fn now_ms(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn new_id(&self) -> u128 {
        // `now_v7` counts up within a millisecond and process, which keeps ids of a thread ordered.
        uuid::Uuid::now_v7().as_u128()
    }

    fn random(&self) -> u64 {
        // The fixed bits of the two halves of a version 4 id stand in different places, so each
        // meets a random one.
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        high ^ low
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// A clock that advances one millisecond per question, ids that count and numbers that follow from
/// a count: the same run gives the same bytes.
#[derive(Debug, Default)]
pub struct CountingEnv {
    ticks: AtomicU64,
    ids: AtomicU64,
    draws: AtomicU64,
}

#[async_trait]
impl Env for CountingEnv {
    fn now_ms(&self) -> i64 {
        i64::try_from(self.ticks.fetch_add(1, Ordering::Relaxed)).unwrap_or(i64::MAX)
    }

    fn new_id(&self) -> u128 {
        u128::from(self.ids.fetch_add(1, Ordering::Relaxed)) + 1
    }

    fn random(&self) -> u64 {
        // SplitMix64: a counter, stepped by the golden ratio and mixed.
        let draw = self.draws.fetch_add(1, Ordering::Relaxed) + 1;
        let mut bits = draw.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
