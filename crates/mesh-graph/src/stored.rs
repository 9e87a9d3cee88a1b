//! The stored form of everything this crate keeps: one format byte, then MessagePack with named
//! fields.
//!
//! Storage crates write the types of [`crate::checkpoint`] in it. What is read decides nothing but
//! data: the caller names the type, and nothing stored can choose another.

use serde::{Serialize, de::DeserializeOwned};

use crate::value::CodecError;

/// First byte of every stored value that this build writes and reads.
pub const FORMAT: u8 = 1;

/// Bytes that most stored values need no more than.
const USUAL: usize = 128;

/// The stored form of a value.
///
/// # Errors
/// [`CodecError::Unserializable`] with what the type's serializer said.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(USUAL);
    bytes.push(FORMAT);
    rmp_serde::encode::write_named(&mut bytes, value).map_err(|error| {
        CodecError::Unserializable { ty: std::any::type_name::<T>(), reason: error.to_string() }
    })?;
    Ok(bytes)
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// [`CodecError::Format`] for bytes of another version, [`CodecError::Mismatch`] for bytes that
/// are no `T`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let mismatch = |reason| CodecError::Mismatch { expected: std::any::type_name::<T>(), reason };
    match bytes.split_first() {
        Some((&FORMAT, rest)) => {
            rmp_serde::from_slice(rest).map_err(|error| mismatch(error.to_string()))
        }
        Some((&found, _)) => Err(CodecError::Format { found }),
        None => Err(mismatch("no bytes".to_owned())),
    }
}
