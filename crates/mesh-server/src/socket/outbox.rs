//! Frames on their way out of one socket.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    task::{Poll, ready},
};

use axum::body::Bytes;

use super::codec::{Opcode, write_head};

/// Smaller payloads are copied into one piece with their neighbours, which costs less than a
/// piece of its own; larger ones are shared by all sockets that wait to send them.
const SHARED_BYTES_MIN: usize = 4 << 10;

/// The same for a socket on which more than a piece waits: its client is slow, or gone, and so may
/// be those of a thousand others, who then hold the frame together.
const SHARED_BYTES_MIN_SLOW: usize = 256;

/// Room that an empty socket keeps for its next frames; more goes back to the allocator.
const KEPT_BYTES: usize = 512;

/// Pieces that an empty socket keeps room for.
const KEPT_PIECES: usize = 8;

/// Bytes of a full piece. Another one begins with a frame that does not fit any more. A piece goes
/// when all of it is written: one for everything would grow for as long as a slow client is never
/// done with it, and one that doubled would be half empty.
const PIECE_BYTES: usize = 4 << 10;

/// Longest header of a frame that a server sends.
const HEAD_BYTES_MAX: usize = 10;

/// Pieces that one write takes at most.
const SLICES_MAX: usize = 8;

/// A frame that was encoded once, for as many sockets as there are. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Encoded(Bytes);

impl Encoded {
    /// A frame of text, which has to be UTF-8.
    pub(crate) fn text(payload: &[u8]) -> Self {
        Self::new(Opcode::Text, payload)
    }

    /// A frame of bytes.
    pub(crate) fn binary(payload: &[u8]) -> Self {
        Self::new(Opcode::Binary, payload)
    }

    /// Bytes of it.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this is the other one, rather than one like it.
    #[cfg(test)]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self.0.as_ptr(), other.0.as_ptr())
    }

    fn new(opcode: Opcode, payload: &[u8]) -> Self {
        let mut frame = Vec::with_capacity(payload.len() + HEAD_BYTES_MAX);
        write_head(opcode, payload.len(), &mut frame);
        frame.extend_from_slice(payload);
        Self(frame.into())
    }
}

#[derive(Debug)]
enum Piece {
    Own(Vec<u8>),
    Shared(Bytes),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// What waits to be written, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that are written.
    written: usize,
    /// Bytes that wait.
    waiting: usize,
}

impl Outbox {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Adds a frame.
    pub(super) fn push(&mut self, opcode: Opcode, payload: &[u8]) {
        self.grow(payload.len() + HEAD_BYTES_MAX, |own| {
            write_head(opcode, payload.len(), own);
            own.extend_from_slice(payload);
        });
    }

    /// Adds a frame with a payload that others share.
    pub(super) fn push_shared(&mut self, opcode: Opcode, payload: &Bytes) {
        if payload.len() < SHARED_BYTES_MIN {
            return self.push(opcode, payload);
        }
        self.grow(HEAD_BYTES_MAX, |own| write_head(opcode, payload.len(), own));
        self.share(payload);
    }

    /// Adds a frame that others share.
    pub(super) fn push_encoded(&mut self, Encoded(frame): &Encoded) {
        let is_slow = self.waiting >= PIECE_BYTES;
        let shared_min = if is_slow { SHARED_BYTES_MIN_SLOW } else { SHARED_BYTES_MIN };
        if frame.len() < shared_min {
            self.grow(frame.len(), |own| own.extend_from_slice(frame));
        } else {
            self.share(frame);
        }
    }

    /// Adds a frame of text whose payload `write` appends. Returns what `write` returns.
    pub(super) fn push_with<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.grow(0, |own| {
            // Room for the header of a middling frame, which is put right afterwards.
            let start = own.len();
            own.extend_from_slice(&[0; 4]);
            let result = write(own);
            let length = own.len() - start - 4;
            let mut head = Vec::with_capacity(HEAD_BYTES_MAX);
            write_head(Opcode::Text, length, &mut head);
            own.splice(start..start + 4, head);
            result
        })
    }

    /// Adds what `write` appends, about `length` bytes, to a piece that has room for it.
    fn grow<R>(&mut self, length: usize, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let has_room = |own: &Vec<u8>| own.len() < PIECE_BYTES && own.len() + length <= PIECE_BYTES;
        if !matches!(self.pieces.back(), Some(Piece::Own(own)) if has_room(own)) {
            self.pieces.push_back(Piece::Own(Vec::new()));
        }
        let Some(Piece::Own(own)) = self.pieces.back_mut() else { return write(&mut Vec::new()) };
        let before = own.len();
        if own.capacity() < before + length.max(1) {
            let wanted = if before + length <= KEPT_BYTES { KEPT_BYTES } else { PIECE_BYTES };
            own.reserve_exact(wanted.max(before + length) - before);
        }
        let result = write(own);
        self.waiting += own.len() - before;
        result
    }

    fn share(&mut self, bytes: &Bytes) {
        self.waiting += bytes.len();
        self.pieces.push_back(Piece::Shared(bytes.clone()));
    }

    /// Hands the first pieces to `write`, which says how many bytes it took.
    pub(super) fn write(
        &mut self,
        write: impl FnOnce(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut skipped = self.written;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(&piece.bytes()[skipped..]);
            skipped = 0;
        }
        let taken = ready!(write(&slices[..self.pieces.len().min(SLICES_MAX)]))?;
        self.waiting = self.waiting.saturating_sub(taken);
        self.written += taken;
        loop {
            let is_last = self.pieces.len() == 1;
            let Some(first) = self.pieces.front_mut() else { break };
            let length = first.bytes().len();
            if self.written < length {
                break;
            }
            self.written -= length;
            match first {
                // The last piece stays, for the next frame.
                Piece::Own(own) if is_last && own.capacity() <= KEPT_BYTES => {
                    own.clear();
                    break;
                }
                _ => drop(self.pieces.pop_front()),
            }
        }
        if self.waiting == 0 && self.pieces.capacity() > 2 * KEPT_PIECES {
            self.pieces.shrink_to(KEPT_PIECES);
        }
        Poll::Ready(Ok(taken))
    }
}

#[cfg(test)]
mod tests;
