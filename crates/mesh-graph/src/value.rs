//! Values in channels: any `Send + Sync` type behind an `Arc`, with a codec to cross borders.
//!
//! Inside a run values stay as they are; JSON and MessagePack appear only where something leaves
//! the process (streams, checkpoints, servers).

use std::{any::Any, marker::PhantomData, sync::Arc};

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;

use crate::stored::{self, FORMAT};

/// One value of a channel, shared and immutable.
pub type Value = Arc<dyn Any + Send + Sync>;

/// What a type needs to live in a channel or to be the argument of a `Send`.
///
/// Implemented for every type that has the listed traits; there is nothing to write.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept in a graph's state",
    label = "this type cannot cross into checkpoints and streams",
    note = "a state field needs `Clone + Serialize + DeserializeOwned + JsonSchema + Send + Sync`; derive them on the type"
)]
pub trait Datum: Clone + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Clone + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static> Datum for T {}

/// A value could not cross a border.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The JSON or the stored bytes do not fit the type.
    #[error("expected {expected}: {reason}")]
    Mismatch {
        /// The Rust type that was expected.
        expected: &'static str,
        /// What did not fit, and where.
        reason: String,
    },
    /// The value has no form in the target format.
    #[error("{ty} cannot be serialized: {reason}")]
    Unserializable {
        /// The Rust type of the value.
        ty: &'static str,
        /// What the serializer said.
        reason: String,
    },
    /// The bytes were written by another version of the format.
    #[error("stored value has format {found}; this build reads format {FORMAT}")]
    Format {
        /// The format byte that was found.
        found: u8,
    },
    /// A newer version of the state type wrote the value; see [`crate::channel::Schema::versioned`].
    #[error("stored value has version {found}; this build reads up to version {supported}")]
    Version {
        /// The version that was found.
        found: u32,
        /// The version of this build's state.
        supported: u32,
    },
}

/// Turns values of one type into JSON or bytes and back.
pub trait Codec: Send + Sync {
    /// The Rust type, for messages.
    fn type_name(&self) -> &'static str;
    /// Whether `value` is of this codec's Rust type.
    fn accepts(&self, value: &Value) -> bool;
    /// JSON Schema (2020-12) of the JSON form.
    fn schema(&self) -> Json;
    /// The JSON form.
    ///
    /// # Errors
    /// [`CodecError::Unserializable`].
    fn to_json(&self, value: &Value) -> Result<Json, CodecError>;
    /// The value of a JSON form.
    ///
    /// # Errors
    /// [`CodecError::Mismatch`].
    #[expect(clippy::wrong_self_convention, reason = "the other half of `to_json`")]
    fn from_json(&self, json: Json) -> Result<Value, CodecError>;
    /// The stored form: a format byte, then MessagePack with named fields.
    ///
    /// # Errors
    /// [`CodecError::Unserializable`].
    fn encode(&self, value: &Value) -> Result<Vec<u8>, CodecError>;
    /// The value of a stored form.
    ///
    /// # Errors
    /// [`CodecError::Mismatch`] or [`CodecError::Format`].
    fn decode(&self, bytes: &[u8]) -> Result<Value, CodecError>;
}

/// The codec of a type.
pub fn codec<T: Datum>() -> Arc<dyn Codec> {
    Arc::new(SerdeCodec::<T>(PhantomData))
}

struct SerdeCodec<T>(PhantomData<fn() -> T>);

impl<T: Datum> SerdeCodec<T> {
    fn typed(value: &Value) -> Result<&T, CodecError> {
        value.downcast_ref::<T>().ok_or_else(|| CodecError::Mismatch {
            expected: std::any::type_name::<T>(),
            reason: "a value of another Rust type".to_owned(),
        })
    }
}

impl<T: Datum> Codec for SerdeCodec<T> {
    fn type_name(&self) -> &'static str {
        std::any::type_name::<T>()
    }

    fn accepts(&self, value: &Value) -> bool {
        value.is::<T>()
    }

    fn schema(&self) -> Json {
        schemars::schema_for!(T).to_value()
    }

    fn to_json(&self, value: &Value) -> Result<Json, CodecError> {
        serde_json::to_value(Self::typed(value)?).map_err(|error| CodecError::Unserializable {
            ty: self.type_name(),
            reason: error.to_string(),
        })
    }

    fn from_json(&self, json: Json) -> Result<Value, CodecError> {
        match serde_json::from_value::<T>(json) {
            Ok(value) => Ok(Arc::new(value)),
            Err(error) => {
                Err(CodecError::Mismatch { expected: self.type_name(), reason: error.to_string() })
            }
        }
    }

    fn encode(&self, value: &Value) -> Result<Vec<u8>, CodecError> {
        stored::encode(Self::typed(value)?)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Value, CodecError> {
        Ok(Arc::new(stored::decode::<T>(bytes)?))
    }
}
