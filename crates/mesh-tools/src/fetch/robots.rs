//! robots.txt: asked once per origin, kept for a while, believed (RFC 9309).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mesh_agents::source::SourceError;
use texting_robots::Robot;
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep_until},
};
use url::Url;

/// Bytes of robots.txt that are read; RFC 9309 asks for at least this.
pub(super) const BYTES_MAX: usize = 500 * 1024;

/// Longest crawl delay that is kept. Some sites ask for minutes, which would end every run.
pub(super) const CRAWL_DELAY_MAX: Duration = Duration::from_secs(5);

/// Origins whose robots.txt is remembered; when full, the oldest is forgotten.
const ORIGINS_MAX: usize = 512;

/// How long rules are believed; RFC 9309 allows up to a day.
const RULES_TTL: Duration = Duration::from_hours(1);

/// How long a failure is believed: a site that is down now may be up soon.
const FAILURE_TTL: Duration = Duration::from_mins(1);

/// Rules with `$`, each of which costs a compiled pattern of up to 42 KB. Real files have dozens.
const PATTERNS_MAX: usize = 500;

/// What a site answered.
pub(super) enum Answer {
    /// Its file, or the start of it.
    Text(Vec<u8>),
    /// It has none.
    Absent,
}

/// Why there are no rules to judge by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The origin may not be asked at all.
    Refused(String),
    /// Nobody answers there.
    Unreachable(String),
    /// It answered, with something that gives no rules.
    NoRules,
}

impl From<Failure> for SourceError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(reason) => Self::Refused { reason },
            Failure::Unreachable(reason) => Self::Unreachable { reason },
            Failure::NoRules => Self::Refused {
                reason: "the site's robots.txt could not be read, which forbids the site"
                    .to_owned(),
            },
        }
    }
}

/// What the rules say about a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    Disallowed,
    /// The file could not be read, so nobody knows; that counts as forbidden.
    Unknown(Failure),
}

/// The rules of one origin.
#[derive(Debug)]
pub(super) enum Rules {
    File(Box<Robot>, Duration),
    Everything,
    Nothing(Failure),
}

impl Rules {
    pub(super) fn verdict(&self, url: &Url) -> Verdict {
        match self {
            Self::File(robot, _) if robot.allowed(url.as_str()) => Verdict::Allowed,
            Self::File(..) => Verdict::Disallowed,
            Self::Everything => Verdict::Allowed,
            Self::Nothing(failure) => Verdict::Unknown(failure.clone()),
        }
    }
}

/// The address of robots.txt for a page.
pub(super) fn address(url: &Url) -> Url {
    let mut address = url.clone();
    address.set_path("/robots.txt");
    address.set_query(None);
    address.set_fragment(None);
    address
}

/// Rules by origin.
#[derive(Debug)]
pub(super) struct Robots {
    product: String,
    delay_max: Duration,
    origins: Mutex<HashMap<String, Arc<Entry>>>,
}

/// One origin's place in the cache; its rules are read by whoever asks first.
#[derive(Debug)]
pub(super) struct Entry {
    product: String,
    delay_max: Duration,
    made: Instant,
    rules: OnceCell<Arc<Rules>>,
    /// When the next request may start, if the site asks for a delay.
    next: Mutex<Instant>,
}

impl Robots {
    pub(super) fn new(product: String, delay_max: Duration) -> Self {
        Self { product, delay_max, origins: Mutex::new(HashMap::new()) }
    }

    /// The entry of a URL's origin, fresh or made now.
    pub(super) fn entry(&self, url: &Url) -> Arc<Entry> {
        let origin = url.origin().ascii_serialization();
        let now = Instant::now();
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = origins.get(&origin)
            && now < entry.made + entry.lifetime()
        {
            return entry.clone();
        }
        if origins.len() >= ORIGINS_MAX && !origins.contains_key(&origin) {
            let oldest = origins.iter().min_by_key(|(_, entry)| entry.made);
            if let Some(oldest) = oldest.map(|(origin, _)| origin.clone()) {
                origins.remove(&oldest);
            }
        }
        let entry = Arc::new(Entry {
            product: self.product.clone(),
            delay_max: self.delay_max,
            made: now,
            rules: OnceCell::new(),
            next: Mutex::new(now),
        });
        origins.insert(origin, entry.clone());
        entry
    }
}

impl Entry {
    fn lifetime(&self) -> Duration {
        match self.rules.get().map(|rules| &**rules) {
            Some(Rules::Nothing(_)) => FAILURE_TTL,
            _ => RULES_TTL,
        }
    }

    /// The rules, read with `read` by the first who asks. Others wait for that answer; if its
    /// reader is dropped, the next one reads.
    pub(super) async fn rules<R>(&self, read: impl FnOnce() -> R) -> Arc<Rules>
    where
        R: Future<Output = Result<Answer, SourceError>>,
    {
        let rules = self.rules.get_or_init(|| async {
            let rules = match read().await {
                Ok(Answer::Absent) => Rules::Everything,
                Ok(Answer::Text(bytes)) => {
                    let (product, delay_max) = (self.product.clone(), self.delay_max);
                    // Compiling hostile rules takes a while and must not panic us.
                    let parsed =
                        tokio::task::spawn_blocking(move || parse(&product, &bytes, delay_max));
                    parsed.await.unwrap_or(Rules::Nothing(Failure::NoRules))
                }
                Err(error) => {
                    tracing::debug!(%error, "robots.txt could not be read");
                    Rules::Nothing(match error {
                        SourceError::Refused { reason } => Failure::Refused(reason),
                        SourceError::Unreachable { reason } => Failure::Unreachable(reason),
                        _ => Failure::NoRules,
                    })
                }
            };
            Arc::new(rules)
        });
        rules.await.clone()
    }

    /// Waits until the site's crawl delay since the last request is over.
    pub(super) async fn wait_for_delay(
        &self,
        rules: &Rules,
        wait_max: Duration,
    ) -> Result<(), SourceError> {
        let Rules::File(_, delay) = rules else { return Ok(()) };
        if delay.is_zero() {
            return Ok(());
        }
        let start = {
            let now = Instant::now();
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let start = (*next).max(now);
            if start - now > wait_max {
                return Err(SourceError::Timeout { after: wait_max });
            }
            *next = start + *delay;
            start
        };
        sleep_until(start).await;
        Ok(())
    }
}

/// The rules for us in a file. A file that is too costly, or that has lines that cannot be read
/// even without its patterns, forbids everything: it was meant to forbid something.
fn parse(product: &str, text: &[u8], delay_max: Duration) -> Rules {
    let patterns = text.split(|byte| *byte == b'\n').filter(|line| line.contains(&b'$')).count();
    if patterns > PATTERNS_MAX {
        return Rules::Nothing(Failure::NoRules);
    }
    let Ok(robot) = Robot::new(product, text) else {
        return Rules::Nothing(Failure::NoRules);
    };
    let delay = robot.delay.and_then(|seconds| Duration::try_from_secs_f32(seconds).ok());
    Rules::File(Box::new(robot), delay.unwrap_or_default().min(delay_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str, path: &str) -> Verdict {
        let url = Url::parse("https://example.com").unwrap().join(path).unwrap();
        parse("genesis-mesh", text.as_bytes(), CRAWL_DELAY_MAX).verdict(&url)
    }

    #[test]
    fn our_own_group_wins_over_the_one_for_everybody() {
        let text = "User-agent: *\nDisallow: /\n\nUser-agent: Genesis-Mesh\nDisallow: /private\n";
        assert_eq!(verdict(text, "/page"), Verdict::Allowed);
        assert_eq!(verdict(text, "/private/page"), Verdict::Disallowed);
        let text = "User-agent: *\nDisallow: /*.pdf$\nDisallow: /a\nAllow: /a/b\n";
        assert_eq!(verdict(text, "/x.pdf"), Verdict::Disallowed);
        assert_eq!(verdict(text, "/a/c"), Verdict::Disallowed);
        assert_eq!(verdict(text, "/a/b"), Verdict::Allowed);
    }

    #[test]
    fn an_empty_file_allows_and_garbage_does_not_panic() {
        assert_eq!(verdict("", "/page"), Verdict::Allowed);
        assert_eq!(verdict("<html>not found</html>", "/page"), Verdict::Allowed);
        assert_eq!(verdict("\0\u{ff}User-agent\n:::\nDisallow", "/page"), Verdict::Allowed);
    }

    #[test]
    fn too_many_patterns_forbid_the_site() {
        let text = format!("User-agent: *\n{}", "Disallow: /*x$\n".repeat(PATTERNS_MAX + 1));
        assert_eq!(verdict(&text, "/page"), Verdict::Unknown(Failure::NoRules));
    }

    #[test]
    fn the_crawl_delay_is_kept_up_to_its_limit() {
        let delay = |text: &str| match parse("genesis-mesh", text.as_bytes(), CRAWL_DELAY_MAX) {
            Rules::File(_, delay) => delay,
            other => panic!("{other:?}"),
        };
        assert_eq!(delay("User-agent: *\nCrawl-delay: 2"), Duration::from_secs(2));
        assert_eq!(delay("User-agent: *\nCrawl-delay: 86400"), CRAWL_DELAY_MAX);
        assert_eq!(delay("User-agent: *\nCrawl-delay: -1"), Duration::ZERO);
        assert_eq!(delay("User-agent: *\nDisallow:"), Duration::ZERO);
    }

    #[test]
    fn the_cache_forgets_the_oldest_origin_when_full() {
        let robots = Robots::new("genesis-mesh".to_owned(), CRAWL_DELAY_MAX);
        for number in 0..ORIGINS_MAX * 2 {
            robots.entry(&Url::parse(&format!("https://h{number}.example/")).unwrap());
        }
        assert_eq!(robots.origins.lock().unwrap().len(), ORIGINS_MAX);
    }
}
