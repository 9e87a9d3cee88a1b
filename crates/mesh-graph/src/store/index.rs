//! Search by meaning: which texts of a value are embedded, and by whom.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value as Json;

use super::{Error, Object};
use crate::error::BoxError;

/// Texts of one item that are embedded; a value with more is refused, because every one of them
/// is a call to a model and a vector to keep.
pub const PARTS_MAX: usize = 1000;

/// Turns texts into vectors.
#[async_trait]
pub trait Embed: Send + Sync {
    /// One vector per text, in order, all of the length that the [`Index`] was made with.
    ///
    /// # Errors
    /// Why the texts could not be embedded; the store's operation fails with it.
    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, BoxError>;
}

/// How the items of a store are embedded.
#[derive(Clone)]
pub struct Index {
    dims: usize,
    embed: Arc<dyn Embed>,
    paths: Vec<Path>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("dims", &self.dims)
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

impl Index {
    /// Vectors of `dims` numbers, of the whole value as text.
    pub fn new(dims: usize, embed: Arc<dyn Embed>) -> Self {
        Self { dims, embed, paths: vec![Path(Vec::new())] }
    }

    /// Embeds these paths instead of the whole value; see [`super::Indexing::Paths`].
    ///
    /// # Errors
    /// [`Error::Path`].
    pub fn fields(mut self, paths: &[&str]) -> Result<Self, Error> {
        self.paths = paths.iter().map(|path| Path::parse(path)).collect::<Result<_, _>>()?;
        Ok(self)
    }

    pub(super) fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// Embeds texts and checks the shape of what comes.
    pub(super) async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Error> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let vectors = self.embed.embed(texts).await.map_err(Error::Embedding)?;
        if vectors.len() != texts.len() {
            return Err(Error::BadEmbedding {
                expected: format!("{} vectors", texts.len()),
                found: vectors.len().to_string(),
            });
        }
        match vectors.iter().find(|vector| vector.len() != self.dims) {
            Some(wrong) => Err(Error::BadEmbedding {
                expected: format!("vectors of {} numbers", self.dims),
                found: wrong.len().to_string(),
            }),
            None => Ok(vectors),
        }
    }
}

/// A path into a value; the empty one is the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(Vec<Hop>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hop {
    Key(String),
    /// From the end when negative.
    At(i64),
    Each,
}

impl Path {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let refused = |expected| Err(Error::Path { path: text.to_owned(), expected });
        if text == "$" {
            return Ok(Self(Vec::new()));
        }
        let mut hops = Vec::new();
        for part in text.split('.') {
            let (key, mut rest) = part.split_at(part.find('[').unwrap_or(part.len()));
            match key {
                "*" => hops.push(Hop::Each),
                "" => return refused("`$`, or keys between dots"),
                key => hops.push(Hop::Key(key.to_owned())),
            }
            while !rest.is_empty() {
                let Some((inside, after)) =
                    rest.strip_prefix('[').and_then(|rest| rest.split_once(']'))
                else {
                    return refused("`[*]` or `[number]` after a key");
                };
                hops.push(match (inside, inside.parse()) {
                    ("*", _) => Hop::Each,
                    (_, Ok(position)) => Hop::At(position),
                    (_, Err(_)) => return refused("`*` or a whole number in brackets"),
                });
                rest = after;
            }
        }
        Ok(Self(hops))
    }

    /// The texts that this path leads to: texts as they are, everything else as JSON, nulls not
    /// at all.
    pub(super) fn texts(&self, value: &Object) -> Vec<String> {
        let Some((first, rest)) = self.0.split_first() else {
            return serde_json::to_string(value).into_iter().collect();
        };
        let mut texts = Vec::new();
        match first {
            Hop::Key(key) => {
                if let Some(inner) = value.get(key) {
                    collect(inner, rest, &mut texts);
                }
            }
            Hop::Each => {
                for inner in value.values() {
                    collect(inner, rest, &mut texts);
                }
            }
            Hop::At(_) => {}
        }
        texts
    }
}

fn collect(json: &Json, hops: &[Hop], texts: &mut Vec<String>) {
    let Some((first, rest)) = hops.split_first() else {
        match json {
            Json::Null => {}
            Json::String(text) => texts.push(text.clone()),
            other => texts.push(other.to_string()),
        }
        return;
    };
    match (first, json) {
        (Hop::Key(key), Json::Object(object)) => {
            if let Some(inner) = object.get(key) {
                collect(inner, rest, texts);
            }
        }
        (Hop::At(position), Json::Array(list)) => {
            let from_end = position.checked_add(list.len() as i64);
            let position = if *position < 0 { from_end } else { Some(*position) };
            let inner = position.and_then(|position| list.get(usize::try_from(position).ok()?));
            if let Some(inner) = inner {
                collect(inner, rest, texts);
            }
        }
        (Hop::Each, Json::Array(list)) => {
            for inner in list {
                collect(inner, rest, texts);
            }
        }
        (Hop::Each, Json::Object(object)) => {
            for inner in object.values() {
                collect(inner, rest, texts);
            }
        }
        _ => {}
    }
}
