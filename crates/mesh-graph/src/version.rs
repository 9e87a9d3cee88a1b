//! Versions of state types: what an older build stored is brought to this build's shape when it
//! is loaded.
//!
//! Every stored value of a versioned state says by which version it was written, so a list may be
//! rebuilt from parts of several versions, and nothing has to be rewritten. States of version 1,
//! the default, store no version and pay nothing.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::{
    channel::Schema,
    error::BoxError,
    stored,
    value::{Codec, CodecError, Value},
};

/// First byte of a stored value that says its version. The version follows, four bytes, big end
/// first, and then the value as [`stored`] has it.
const VERSIONED: u8 = 2;

/// Brings a value of a key, in its JSON form, from the version that wrote it to the current one.
///
/// `value` is what was stored: of a list key that may be a whole list or the items of one update,
/// and of other reducer keys a single update. Returned is what the field's type reads. It has to be
/// a pure function: it is called on every load.
pub type Migrate = fn(from: u32, key: &str, value: Json) -> Result<Json, BoxError>;

impl Schema {
    /// Says that the keys are in their `version`-th shape, from 1, and how older values are brought
    /// to it. Without `migrate`, older values are read as they are: enough for a new field that
    /// has a serde default.
    ///
    /// A build that knows an older version only refuses the values that a newer one wrote.
    pub fn versioned(mut self, version: u32, migrate: Option<Migrate>) -> Self {
        if version > 1 {
            for channel in self.channels_mut() {
                let inner = Arc::clone(&channel.codec);
                let key = Arc::clone(&channel.key);
                channel.codec = Arc::new(Versioned { inner, key, version, migrate });
            }
        }
        self
    }
}

struct Versioned {
    inner: Arc<dyn Codec>,
    key: Arc<str>,
    version: u32,
    migrate: Option<Migrate>,
}

impl Versioned {
    /// The version that wrote a value, and the value.
    fn split(bytes: &[u8]) -> (u32, &[u8]) {
        match bytes {
            [VERSIONED, a, b, c, d, rest @ ..] => (u32::from_be_bytes([*a, *b, *c, *d]), rest),
            // Written before the state had versions, or of a format that the inner codec refuses.
            _ => (1, bytes),
        }
    }
}

impl Codec for Versioned {
    fn type_name(&self) -> &'static str {
        self.inner.type_name()
    }

    fn accepts(&self, value: &Value) -> bool {
        self.inner.accepts(value)
    }

    fn schema(&self) -> Json {
        self.inner.schema()
    }

    fn to_json(&self, value: &Value) -> Result<Json, CodecError> {
        self.inner.to_json(value)
    }

    fn from_json(&self, json: Json) -> Result<Value, CodecError> {
        self.inner.from_json(json)
    }

    fn encode(&self, value: &Value) -> Result<Vec<u8>, CodecError> {
        let inner = self.inner.encode(value)?;
        let mut bytes = Vec::with_capacity(5 + inner.len());
        bytes.push(VERSIONED);
        bytes.extend(self.version.to_be_bytes());
        bytes.extend(inner);
        Ok(bytes)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Value, CodecError> {
        let (found, value) = Self::split(bytes);
        if found > self.version {
            return Err(CodecError::Version { found, supported: self.version });
        }
        match self.migrate {
            Some(migrate) if found < self.version => {
                let old = stored::decode(value)?;
                let new = migrate(found, &self.key, old).map_err(|error| CodecError::Mismatch {
                    expected: self.type_name(),
                    reason: format!("migration from version {found}: {error}"),
                })?;
                self.inner.from_json(new)
            }
            _ => self.inner.decode(value),
        }
    }
}
