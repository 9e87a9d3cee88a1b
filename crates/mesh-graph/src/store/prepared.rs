//! A batch made ready for storage: checked, embedded and with its times worked out.
//!
//! Everything here is the same for every store. What is left for an implementation is to keep
//! rows and find them.

use std::{collections::HashSet, fmt, sync::Arc};

use super::{
    Error, Filter, Index, Indexing, Lifetime, Namespaces, Object, Op, Put, Ttl, check_namespace,
    index::{PARTS_MAX, Path},
};
use crate::env::{Env, SystemEnv};

/// The longest lifetime that is taken for one, in minutes: a thousand years.
const MINUTES_MAX: f64 = 1000.0 * 366.0 * 24.0 * 60.0;

/// What every store can be given: an index, a default lifetime and a clock.
#[derive(Clone)]
pub struct Options {
    index: Option<Index>,
    ttl: Ttl,
    env: Arc<dyn Env>,
}

impl Default for Options {
    /// No index, items for ever, the machine's clock.
    fn default() -> Self {
        Self { index: None, ttl: Ttl::default(), env: Arc::new(SystemEnv) }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("index", &self.index)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

/// A batch made ready for storage.
#[derive(Debug)]
pub struct Prepared {
    /// When it happens, milliseconds since 1970 (UTC).
    pub now_ms: i64,
    /// The operations, in order.
    pub work: Vec<Work>,
}

/// One operation made ready for storage.
#[derive(Debug)]
pub enum Work {
    /// Writes an item.
    Put {
        /// Where.
        namespace: Vec<String>,
        /// Its name there.
        key: String,
        /// What to write.
        item: NewItem,
    },
    /// Deletes an item.
    Delete {
        /// Where.
        namespace: Vec<String>,
        /// Its name there.
        key: String,
    },
    /// A put that a later one of the same batch replaces.
    Superseded,
    /// Reads an item.
    Get {
        /// Where.
        namespace: Vec<String>,
        /// Its name there.
        key: String,
        /// Whether its time starts anew.
        refresh: Refresh,
    },
    /// Looks for items.
    Search {
        /// The first labels of their namespaces.
        prefix: Vec<String>,
        /// A label that their namespaces have; see [`has_label`].
        label: Option<String>,
        /// What their values hold.
        filter: Filter,
        /// The vector of the query, if there is one and an index.
        query: Option<Vec<f32>>,
        /// At most this many.
        limit: usize,
        /// Leaves out this many of the first.
        offset: usize,
        /// Whether their time starts anew.
        refresh: Refresh,
    },
    /// Lists namespaces.
    Namespaces(Namespaces),
}

/// What is stored of a written item besides its name.
#[derive(Debug)]
pub struct NewItem {
    /// What is remembered.
    pub value: Object,
    /// How long, in milliseconds; none is for ever.
    pub ttl_ms: Option<i64>,
    /// A vector per embedded part; none of them without an index.
    pub vectors: Vec<Vec<f32>>,
}

/// Whether reading an item starts its time anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh(pub bool);

impl Options {
    /// Embeds items with this index.
    pub fn index(mut self, index: Index) -> Self {
        self.index = Some(index);
        self
    }

    /// Remembers items for this long.
    ///
    /// # Errors
    /// [`Error::Ttl`] for a default that is no time.
    pub fn ttl(mut self, ttl: Ttl) -> Result<Self, Error> {
        if let Some(minutes) = ttl.default_minutes {
            milliseconds(minutes)?;
        }
        self.ttl = ttl;
        Ok(self)
    }

    /// Takes the time from here instead of from the machine.
    pub fn env(mut self, env: Arc<dyn Env>) -> Self {
        self.env = env;
        self
    }

    /// The time now, milliseconds since 1970 (UTC).
    pub fn now_ms(&self) -> i64 {
        self.env.now_ms()
    }

    /// Checks a batch, embeds its texts in one call, and works out its times.
    ///
    /// # Errors
    /// [`Error`] names what is wrong with an operation.
    pub async fn prepare(&self, ops: Vec<Op>) -> Result<Prepared, Error> {
        let mut texts = Vec::new();
        let mut parts = Vec::with_capacity(ops.len());
        let replaced = superseded(&ops);
        for (position, op) in ops.iter().enumerate() {
            let before = texts.len();
            match op {
                Op::Put(put) => {
                    check_namespace(&put.namespace)?;
                    let found = self.texts(put)?;
                    if !replaced.contains(&position) {
                        texts.extend(found);
                    }
                }
                Op::Search(search) if self.index.is_some() => texts.extend(search.query.clone()),
                _ => {}
            }
            parts.push(texts.len() - before);
        }
        let vectors = match &self.index {
            Some(index) => index.embed(&texts).await?,
            None => Vec::new(),
        };
        let mut vectors = vectors.into_iter();
        let mut work = Vec::with_capacity(ops.len());
        for ((position, op), parts) in ops.into_iter().enumerate().zip(parts) {
            let own: Vec<Vec<f32>> = vectors.by_ref().take(parts).collect();
            work.push(if replaced.contains(&position) {
                Work::Superseded
            } else {
                self.work(op, own)?
            });
        }
        Ok(Prepared { now_ms: self.env.now_ms(), work })
    }

    fn work(&self, op: Op, mut vectors: Vec<Vec<f32>>) -> Result<Work, Error> {
        let refresh = |asked: Option<bool>| Refresh(asked.unwrap_or(self.ttl.refresh_on_read));
        Ok(match op {
            Op::Put(Put { namespace, key, value: Some(value), ttl, .. }) => {
                let minutes = match ttl {
                    Lifetime::Default => self.ttl.default_minutes,
                    Lifetime::Forever => None,
                    Lifetime::Minutes(minutes) => Some(minutes),
                };
                let ttl_ms = minutes.map(milliseconds).transpose()?;
                Work::Put { namespace, key, item: NewItem { value, ttl_ms, vectors } }
            }
            Op::Put(Put { namespace, key, value: None, .. }) => Work::Delete { namespace, key },
            Op::Get(get) => {
                Work::Get { namespace: get.namespace, key: get.key, refresh: refresh(get.refresh) }
            }
            Op::Search(search) => Work::Search {
                prefix: search.prefix,
                label: search.label,
                filter: search.filter,
                query: vectors.pop(),
                limit: search.limit,
                offset: search.offset,
                refresh: refresh(search.refresh),
            },
            Op::Namespaces(asked) => Work::Namespaces(asked),
        })
    }

    /// The texts of a put that are embedded.
    fn texts(&self, put: &Put) -> Result<Vec<String>, Error> {
        let own: Vec<Path>;
        let paths = match (&put.index, &self.index) {
            // A path that cannot be read is refused in every store, also where it is not used.
            (Indexing::Paths(paths), _) => {
                own = paths.iter().map(|path| Path::parse(path)).collect::<Result<_, _>>()?;
                &own
            }
            (Indexing::Default, Some(index)) => index.paths(),
            (Indexing::Off, _) | (Indexing::Default, None) => &[],
        };
        let (Some(value), Some(_)) = (&put.value, &self.index) else { return Ok(Vec::new()) };
        let texts: Vec<String> = paths.iter().flat_map(|path| path.texts(value)).collect();
        if texts.len() > PARTS_MAX {
            return Err(Error::TooManyParts { key: put.key.clone(), parts: texts.len() });
        }
        Ok(texts)
    }
}

/// Whether a namespace has a label, if one is asked for.
pub fn has_label(namespace: &[String], label: Option<&str>) -> bool {
    label.is_none_or(|label| namespace.iter().any(|own| own == label))
}

/// Positions of puts that a later put on the same key replaces.
fn superseded(ops: &[Op]) -> HashSet<usize> {
    let mut later = HashSet::new();
    let mut superseded = HashSet::new();
    for (position, op) in ops.iter().enumerate().rev() {
        if let Op::Put(put) = op
            && !later.insert((&put.namespace, &put.key))
        {
            superseded.insert(position);
        }
    }
    superseded
}

fn milliseconds(minutes: f64) -> Result<i64, Error> {
    if minutes > 0.0 && minutes <= MINUTES_MAX {
        Ok((minutes * 60_000.0).ceil() as i64)
    } else {
        Err(Error::Ttl { minutes })
    }
}

/// Cosine similarity of a query to the nearest of an item's vectors; none when there are none.
pub fn score<'a>(query: &[f32], vectors: impl IntoIterator<Item = &'a [f32]>) -> Option<f64> {
    vectors.into_iter().map(|vector| cosine(query, vector)).max_by(f64::total_cmp)
}

/// 0 for a vector without a direction.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
}

/// Candidates of a search, put in order.
#[derive(Debug)]
pub struct Ranking<T> {
    candidates: Vec<(Option<f64>, T)>,
}

impl<T> Default for Ranking<T> {
    fn default() -> Self {
        Self { candidates: Vec::new() }
    }
}

impl<T> Ranking<T> {
    /// Adds a candidate. Those without a score, and those with the same one, stay in the order in
    /// which they are added: written last, added first.
    pub fn add(&mut self, score: Option<f64>, candidate: T) {
        self.candidates.push((score, candidate));
    }

    /// The page that was asked for: by score, the unscored last.
    pub fn page(mut self, offset: usize, limit: usize) -> impl Iterator<Item = (Option<f64>, T)> {
        // `None` is smaller than every score, so descending order puts it last.
        self.candidates.sort_by(|(a, _), (b, _)| match (a, b) {
            (Some(a), Some(b)) => b.total_cmp(a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
        self.candidates.into_iter().skip(offset).take(limit)
    }
}
