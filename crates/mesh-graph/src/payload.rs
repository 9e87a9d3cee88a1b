//! A value on its way to storage or back: as bytes, or as it is in memory with a codec at hand.
//!
//! Values never change once they are written, so a store in this process may keep them as they
//! are; one that outlives the process asks for their bytes.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::value::{Codec, CodecError, Value};

/// A stored value. Cloning shares it.
#[derive(Clone)]
pub struct Payload(Form);

#[derive(Clone)]
enum Form {
    Bytes(Arc<Vec<u8>>),
    Live(Arc<Live>),
}

struct Live {
    value: Value,
    codec: Arc<dyn Codec>,
    /// The encoded form, made when first asked for.
    bytes: OnceLock<Result<Vec<u8>, CodecError>>,
}

impl Payload {
    /// A value that is encoded when its bytes are asked for.
    pub(crate) fn live(value: &Value, codec: &Arc<dyn Codec>) -> Self {
        Self(Form::Live(Arc::new(Live {
            value: Arc::clone(value),
            codec: Arc::clone(codec),
            bytes: OnceLock::new(),
        })))
    }

    /// The encoded value.
    ///
    /// # Errors
    /// [`CodecError::Unserializable`] for a value in memory whose type cannot be encoded. Payloads
    /// that the engine hands to a checkpointer which keeps bytes are encoded already.
    pub fn bytes(&self) -> Result<&[u8], CodecError> {
        match &self.0 {
            Form::Bytes(bytes) => Ok(bytes),
            Form::Live(live) => match live.bytes.get_or_init(|| live.codec.encode(&live.value)) {
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(error.clone()),
            },
        }
    }

    /// Bytes of the encoded value; 0 for one that has not been encoded.
    pub(crate) fn size(&self) -> usize {
        match &self.0 {
            Form::Bytes(bytes) => bytes.len(),
            Form::Live(live) => match live.bytes.get() {
                Some(Ok(bytes)) => bytes.len(),
                Some(Err(_)) | None => 0,
            },
        }
    }

    /// The value, as `codec` reads it.
    pub(crate) fn value(&self, codec: &dyn Codec) -> Result<Value, CodecError> {
        match &self.0 {
            Form::Live(live) if codec.accepts(&live.value) => Ok(Arc::clone(&live.value)),
            // The key has another type than when the value was written, as after a restart.
            _ => codec.decode(self.bytes()?),
        }
    }
}

impl Default for Payload {
    /// No bytes.
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Form::Bytes(Arc::new(bytes)))
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Payload {}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Form::Bytes(bytes) => write!(f, "Payload({} bytes)", bytes.len()),
            Form::Live(live) => write!(f, "Payload({})", live.codec.type_name()),
        }
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.bytes().map_err(ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(Bytes).map(Self::from)
    }
}

/// Byte strings as byte strings, not as lists of numbers.
struct Bytes;

impl<'de> de::Visitor<'de> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a byte string")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
        let mut bytes = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(4096));
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}
