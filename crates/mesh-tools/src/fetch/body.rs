//! Reads a response's body and counts it while it arrives.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use mesh_agents::source::SourceError;
use reqwest::Response;

use super::{COMPRESSION_RATIO_MAX, coding_of, connection_error};

/// Decompressed bytes below which the compression ratio is not judged: small pages of one
/// repeated line are harmless.
const RATIO_FREE_BYTES: usize = 64 * 1024;

/// The whole body, decompressed.
///
/// # Errors
/// [`SourceError::TooLarge`] as soon as the arriving or the decompressed bytes exceed
/// `bytes_max`, or the ratio between them [`COMPRESSION_RATIO_MAX`].
pub(super) async fn read(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, SourceError> {
    let too_large = || SourceError::TooLarge { limit: size_limit(bytes_max) };
    if response.content_length().is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large());
    }
    let mut sink = if coding_of(response.headers())? {
        Sink::Gzip(Box::new(MultiGzDecoder::new(Bounded::new(bytes_max))))
    } else {
        Sink::Plain(Bounded::new(bytes_max))
    };
    let mut arrived = 0_usize;
    while let Some(chunk) = response.chunk().await.map_err(|error| connection_error(&error))? {
        arrived = arrived.saturating_add(chunk.len());
        if arrived > bytes_max {
            return Err(too_large());
        }
        sink.bounded().ratio_limit =
            arrived.saturating_mul(COMPRESSION_RATIO_MAX).max(RATIO_FREE_BYTES);
        if sink.write(&chunk).is_err() {
            return Err(sink.failure(bytes_max));
        }
    }
    sink.finish(bytes_max)
}

/// The first `bytes_max` bytes of the body, decompressed; what follows is not read.
///
/// # Errors
/// When the body breaks off or is not what its coding says.
pub(super) async fn read_start(
    mut response: Response,
    bytes_max: usize,
) -> Result<Vec<u8>, SourceError> {
    let mut sink = if coding_of(response.headers())? {
        Sink::Gzip(Box::new(MultiGzDecoder::new(Bounded::new(bytes_max))))
    } else {
        Sink::Plain(Bounded::new(bytes_max))
    };
    let mut arrived = 0_usize;
    while arrived <= bytes_max {
        let Some(chunk) = response.chunk().await.map_err(|error| connection_error(&error))? else {
            break;
        };
        arrived = arrived.saturating_add(chunk.len());
        if sink.write(&chunk).is_err() {
            break;
        }
    }
    let bounded = sink.bounded();
    if bounded.bytes.is_empty() && arrived > 0 && bounded.full.is_none() {
        return Err(not_gzip());
    }
    Ok(std::mem::take(&mut bounded.bytes))
}

fn size_limit(bytes_max: usize) -> String {
    if bytes_max >= 1_000_000 {
        format!("{} MB per page", bytes_max / 1_000_000)
    } else {
        format!("{bytes_max} bytes per page")
    }
}

fn not_gzip() -> SourceError {
    SourceError::Unreadable { reason: "the compressed answer is damaged".to_owned() }
}

/// Which limit ended the reading.
#[derive(Debug, Clone, Copy)]
enum Full {
    Size,
    Ratio,
}

/// A buffer that refuses to grow beyond its limits.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
    ratio_limit: usize,
    full: Option<Full>,
}

impl Bounded {
    fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max, ratio_limit: usize::MAX, full: None }
    }
}

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let size = self.bytes.len() + data.len();
        if size > self.bytes_max {
            let room = self.bytes_max - self.bytes.len();
            self.bytes.extend_from_slice(&data[..room]);
            self.full = Some(Full::Size);
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if size > self.ratio_limit {
            self.full = Some(Full::Ratio);
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Sink {
    Plain(Bounded),
    Gzip(Box<MultiGzDecoder<Bounded>>),
}

impl Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(bounded) => bounded.write_all(data),
            Self::Gzip(decoder) => decoder.write_all(data),
        }
    }

    fn bounded(&mut self) -> &mut Bounded {
        match self {
            Self::Plain(bounded) => bounded,
            Self::Gzip(decoder) => decoder.get_mut(),
        }
    }

    fn failure(&mut self, bytes_max: usize) -> SourceError {
        match self.bounded().full {
            Some(Full::Size) => SourceError::TooLarge { limit: size_limit(bytes_max) },
            Some(Full::Ratio) => SourceError::TooLarge {
                limit: format!("compressed at most {COMPRESSION_RATIO_MAX} times"),
            },
            None => not_gzip(),
        }
    }

    fn finish(mut self, bytes_max: usize) -> Result<Vec<u8>, SourceError> {
        let finished = match &mut self {
            Self::Plain(_) => Ok(()),
            Self::Gzip(decoder) => decoder.try_finish(),
        };
        match finished {
            Ok(()) => Ok(std::mem::take(&mut self.bounded().bytes)),
            Err(_) => Err(self.failure(bytes_max)),
        }
    }
}
