//! Retries: which failures are worth another attempt, and how long to wait before it.
//!
//! Decisions only; the attempts themselves are made by the run.

use std::{error::Error as StdError, fmt, io, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::error::Failure;

/// Sources of an error that are looked at to classify it.
const SOURCES_MAX: usize = 32;

/// Whether trying the same again may help.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retryable {
    /// It may: a connection broke, a server was busy.
    Yes,
    /// It will fail in the same way again.
    #[default]
    No,
    /// It may, but not before this time has passed, as a server's `retry-after` says.
    After(Duration),
}

/// An error that knows whether it is worth another attempt. Turn it into a node's error with
/// [`crate::NodeError::classified`].
///
/// Errors that do not implement this are judged by their type: see [`Retry`].
pub trait Classify: StdError {
    /// Whether trying again may help.
    fn retryable(&self) -> Retryable;
}

/// One failed attempt, as a predicate of [`Retry::on`] sees it.
#[derive(Clone, Copy)]
pub struct FailedAttempt<'a> {
    pub(crate) failure: &'a Failure,
    pub(crate) error: Option<&'a (dyn StdError + Send + Sync + 'static)>,
}

impl<'a> FailedAttempt<'a> {
    /// What went wrong, as it would be stored.
    pub fn failure(&self) -> &'a Failure {
        self.failure
    }

    /// The node's own error, if it is an `E`. None for what the engine found itself, such as a
    /// panic or a timeout.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&'a E> {
        self.error?.downcast_ref()
    }

    /// Whether the node's own error is an `E`.
    pub fn is<E: StdError + 'static>(&self) -> bool {
        self.downcast_ref::<E>().is_some()
    }
}

/// Decides whether a policy is meant for a failure.
type Predicate = Arc<dyn Fn(FailedAttempt<'_>) -> bool + Send + Sync>;

/// How often a node is tried, and how long to wait in between.
///
/// The wait before attempt k + 1 is `initial_interval` × `backoff_factor`^(k − 1), at most
/// `max_interval`; with jitter it is drawn from the upper half of that. When an error says how
/// long to wait ([`Retryable::After`]), that is waited at least; a wait that would exceed
/// `max_interval` is not waited at all, and the attempt was the last.
///
/// Without a predicate the error decides ([`Retryable`]). Errors that do not say are judged by the
/// first type in their chain of sources that is known here: broken connections are retried; other
/// operating system errors, plain timeouts, and failed parses and conversions are not. Unknown
/// types are retried. Of the failures the engine finds itself only timeouts of nodes are retried.
///
/// Semantics: LangGraph's `RetryPolicy`; the jitter is proportional instead of up to one second.
#[derive(Clone)]
pub struct Retry {
    initial_interval: Duration,
    backoff_factor: f64,
    max_interval: Duration,
    max_attempts: u32,
    jitter: bool,
    on: Option<Predicate>,
}

impl Default for Retry {
    /// Three attempts, half a second before the second, doubling up to 128 seconds, with jitter.
    fn default() -> Self {
        Self {
            initial_interval: Duration::from_millis(500),
            backoff_factor: 2.0,
            max_interval: Duration::from_secs(128),
            max_attempts: 3,
            jitter: true,
            on: None,
        }
    }
}

impl Retry {
    /// At most this many attempts, the first included; `compile` refuses 0.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// The wait before the second attempt.
    pub fn initial_interval(mut self, wait: Duration) -> Self {
        self.initial_interval = wait;
        self
    }

    /// What each wait is multiplied with for the next; `compile` refuses what is below 1.
    pub fn backoff_factor(mut self, factor: f64) -> Self {
        self.backoff_factor = factor;
        self
    }

    /// The longest wait.
    pub fn max_interval(mut self, wait: Duration) -> Self {
        self.max_interval = wait;
        self
    }

    /// Whether waits are drawn at random from the upper half of their length.
    pub fn jitter(mut self, jitter: bool) -> Self {
        self.jitter = jitter;
        self
    }

    /// Only failures for which this holds, whatever they say of themselves. A predicate that
    /// panics counts as one that does not hold.
    pub fn on(
        mut self,
        predicate: impl Fn(FailedAttempt<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.on = Some(Arc::new(predicate));
        self
    }

    /// What is wrong with the policy: an option, and what it expects.
    pub(crate) fn refuse(&self) -> Option<(&'static str, &'static str)> {
        if self.max_attempts == 0 {
            Some(("max_attempts", "at least 1"))
        } else if !self.backoff_factor.is_finite() || self.backoff_factor < 1.0 {
            Some(("backoff_factor", "a number of at least 1"))
        } else {
            None
        }
    }

    fn is_for(&self, failed: &FailedAttempt<'_>) -> bool {
        match &self.on {
            Some(predicate) => {
                let asked = std::panic::AssertUnwindSafe(|| predicate(*failed));
                std::panic::catch_unwind(asked).unwrap_or(false)
            }
            None => failed.failure.retryable != Retryable::No,
        }
    }

    /// The wait after the attempt with this number, counted from 1.
    fn wait(&self, attempt: u32, random: impl FnOnce() -> u64) -> Duration {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let full = self.initial_interval.as_secs_f64() * self.backoff_factor.powi(exponent);
        let full = full.min(self.max_interval.as_secs_f64());
        let drawn = if self.jitter {
            // 53 bits are what a float of this size can hold.
            let unit = (random() >> 11) as f64 / (1_u64 << 53) as f64;
            full / 2.0 + unit * full / 2.0
        } else {
            full
        };
        Duration::try_from_secs_f64(drawn).unwrap_or(self.max_interval)
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("initial_interval", &self.initial_interval)
            .field("backoff_factor", &self.backoff_factor)
            .field("max_interval", &self.max_interval)
            .field("max_attempts", &self.max_attempts)
            .field("jitter", &self.jitter)
            .finish_non_exhaustive()
    }
}

impl From<Retry> for Vec<Retry> {
    fn from(retry: Retry) -> Self {
        vec![retry]
    }
}

/// How long to wait before the next attempt; none when the failure is final. The first policy that
/// is meant for the failure decides; attempts are counted over all policies together.
pub(crate) fn decide(
    policies: &[Retry],
    attempt: u32,
    failed: &FailedAttempt<'_>,
    random: impl FnOnce() -> u64,
) -> Option<Duration> {
    let policy = policies.iter().find(|policy| policy.is_for(failed))?;
    if attempt >= policy.max_attempts {
        return None;
    }
    let wait = policy.wait(attempt, random);
    match failed.failure.retryable {
        Retryable::After(asked) if asked > policy.max_interval => None,
        Retryable::After(asked) => Some(wait.max(asked)),
        Retryable::Yes | Retryable::No => Some(wait),
    }
}

/// What the type of an error says of another attempt.
pub(crate) fn classify(error: &(dyn StdError + 'static)) -> Retryable {
    let mut next = Some(error);
    for _ in 0..SOURCES_MAX {
        let Some(error) = next else { break };
        if let Some(says) = known(error) {
            return says;
        }
        next = error.source();
    }
    Retryable::Yes
}

fn known(error: &(dyn StdError + 'static)) -> Option<Retryable> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        use io::ErrorKind as Kind;
        // An error that was wrapped into an `io::Error` speaks for itself.
        if let (Kind::Other, Some(inner)) = (error.kind(), error.get_ref()) {
            return known(inner);
        }
        return Some(match error.kind() {
            Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::NotConnected
            | Kind::BrokenPipe
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown => Retryable::Yes,
            _ => Retryable::No,
        });
    }
    let hopeless = error.is::<tokio::time::error::Elapsed>()
        || error.is::<tokio::task::JoinError>()
        || error.is::<std::num::ParseIntError>()
        || error.is::<std::num::ParseFloatError>()
        || error.is::<std::num::TryFromIntError>()
        || error.is::<std::str::ParseBoolError>()
        || error.is::<std::str::Utf8Error>()
        || error.is::<std::string::FromUtf8Error>()
        || error.is::<std::char::CharTryFromError>()
        || error.is::<std::char::ParseCharError>()
        || error.is::<std::array::TryFromSliceError>()
        || error.is::<std::net::AddrParseError>()
        || error.is::<std::env::VarError>()
        || error.is::<std::cell::BorrowError>()
        || error.is::<std::cell::BorrowMutError>()
        || error.is::<std::collections::TryReserveError>()
        || error.is::<fmt::Error>()
        || error.is::<serde_json::Error>();
    hopeless.then_some(Retryable::No)
}
