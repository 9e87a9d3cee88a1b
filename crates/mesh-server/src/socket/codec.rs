//! Frames of RFC 6455 as a server reads and writes them. Bytes in, messages out: nothing here
//! waits, and nothing is allocated because a header announces it.
//!
//! Text is checked while it arrives. A message that cannot become UTF-8 any more is refused with
//! the byte that spoils it, not when the rest has come.

use std::collections::VecDeque;

/// Longest payload of a control frame, in bytes (RFC 6455, section 5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// Longest header of a frame that a client sends.
const HEAD_BYTES_MAX: usize = 14;

/// What a frame is, by its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Something whole that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Arrived {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    /// The client closes, with this code if it gave one. Nothing after it is read.
    Close(Option<u16>),
}

/// Why what arrived cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Protocol,
    Utf8,
    TooBig,
}

/// The frame whose payload is arriving.
#[derive(Debug)]
struct Frame {
    opcode: Opcode,
    is_last: bool,
    mask: [u8; 4],
    /// Bytes that are still to come.
    left: usize,
}

/// Reads what a client sends.
#[derive(Debug)]
pub(super) struct Decoder {
    bytes_max: usize,
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: usize,
    frame: Option<Frame>,
    /// What the message that is arriving is.
    kind: Option<Opcode>,
    message: Vec<u8>,
    /// Bytes of the message that are known to be UTF-8.
    checked: usize,
    control: Vec<u8>,
    is_closed: bool,
}

impl Decoder {
    /// Takes messages of up to `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            head: [0; HEAD_BYTES_MAX],
            head_bytes: 0,
            frame: None,
            kind: None,
            message: Vec::new(),
            checked: 0,
            control: Vec::new(),
            is_closed: false,
        }
    }

    /// The largest message that is taken, in bytes.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Reads the next bytes, which are unmasked in place, and adds what is whole now. After a
    /// fault nothing more can be understood.
    pub(super) fn push(
        &mut self,
        mut bytes: &mut [u8],
        arrived: &mut VecDeque<Arrived>,
    ) -> Result<(), Fault> {
        while !self.is_closed {
            let Some(frame) = &mut self.frame else {
                let taken = self.head(bytes)?;
                bytes = &mut bytes[taken..];
                if self.frame.is_none() {
                    return Ok(());
                }
                continue;
            };
            let count = frame.left.min(bytes.len());
            let (now, later) = bytes.split_at_mut(count);
            unmask(now, frame.mask);
            frame.mask.rotate_left(count % 4);
            frame.left -= count;
            let is_whole = frame.left == 0;
            let is_control = frame.opcode.is_control();
            let buffer = if is_control { &mut self.control } else { &mut self.message };
            buffer.extend_from_slice(now);
            bytes = later;
            if is_whole {
                self.whole(arrived)?;
            } else {
                if !is_control {
                    self.check()?;
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads on in a header; returns how many bytes were of it. Faults are found byte by byte.
    fn head(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut taken = 0;
        while taken < bytes.len() {
            self.head[self.head_bytes] = bytes[taken];
            self.head_bytes += 1;
            taken += 1;
            let [first, second, ..] = self.head;
            match self.head_bytes {
                1 => self.check_first(first)?,
                2 if second & 0x80 == 0 => return Err(Fault::Protocol),
                2 if first & 0x08 != 0 && usize::from(second & 0x7f) > CONTROL_BYTES_MAX => {
                    return Err(Fault::Protocol);
                }
                _ => {}
            }
            let length_bytes = match second & 0x7f {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            if self.head_bytes >= 2 && self.head_bytes == 6 + length_bytes {
                self.begin(length_bytes)?;
                break;
            }
        }
        Ok(taken)
    }

    /// No extension is agreed to, so the reserved bits are zero; and a message is continued
    /// exactly while one is open.
    fn check_first(&self, first: u8) -> Result<(), Fault> {
        let opcode = Opcode::of(first & 0x0f).ok_or(Fault::Protocol)?;
        let is_last = first & 0x80 != 0;
        let fits = match opcode {
            Opcode::Continuation => self.kind.is_some(),
            Opcode::Text | Opcode::Binary => self.kind.is_none(),
            Opcode::Close | Opcode::Ping | Opcode::Pong => is_last,
        };
        if first & 0x70 == 0 && fits { Ok(()) } else { Err(Fault::Protocol) }
    }

    fn begin(&mut self, length_bytes: usize) -> Result<(), Fault> {
        let [first, second, ..] = self.head;
        let opcode = Opcode::of(first & 0x0f).ok_or(Fault::Protocol)?;
        let (length, mask) = self.head[2..self.head_bytes].split_at(length_bytes);
        let length = match length_bytes {
            0 => u64::from(second & 0x7f),
            _ => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        if length >> 63 != 0 {
            return Err(Fault::Protocol);
        }
        let room = if opcode.is_control() {
            CONTROL_BYTES_MAX
        } else {
            self.bytes_max.saturating_sub(self.message.len())
        };
        let left = usize::try_from(length).ok().filter(|length| *length <= room);
        let left = left.ok_or(Fault::TooBig)?;
        if matches!(opcode, Opcode::Text | Opcode::Binary) {
            self.kind = Some(opcode);
        }
        let mask = mask.try_into().map_err(|_| Fault::Protocol)?;
        self.frame = Some(Frame { opcode, is_last: first & 0x80 != 0, mask, left });
        self.head_bytes = 0;
        Ok(())
    }

    /// The payload of a frame is complete.
    fn whole(&mut self, arrived: &mut VecDeque<Arrived>) -> Result<(), Fault> {
        let Some(Frame { opcode, is_last, .. }) = self.frame.take() else { return Ok(()) };
        match opcode {
            Opcode::Ping => arrived.push_back(Arrived::Ping(std::mem::take(&mut self.control))),
            Opcode::Pong => {
                self.control.clear();
                arrived.push_back(Arrived::Pong);
            }
            Opcode::Close => {
                let code = close_code(&std::mem::take(&mut self.control))?;
                self.is_closed = true;
                arrived.push_back(Arrived::Close(code));
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary if !is_last => self.check()?,
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                let message = std::mem::take(&mut self.message);
                self.checked = 0;
                arrived.push_back(match self.kind.take() {
                    Some(Opcode::Text) => {
                        Arrived::Text(String::from_utf8(message).map_err(|_| Fault::Utf8)?)
                    }
                    _ => Arrived::Binary(message),
                });
            }
        }
        Ok(())
    }

    /// Whether what has come of a text can still become one.
    fn check(&mut self) -> Result<(), Fault> {
        if self.kind != Some(Opcode::Text) {
            return Ok(());
        }
        match std::str::from_utf8(&self.message[self.checked..]) {
            Ok(text) => self.checked += text.len(),
            Err(error) if error.error_len().is_some() => return Err(Fault::Utf8),
            Err(error) => self.checked += error.valid_up_to(),
        }
        Ok(())
    }
}

/// The code of a close frame, if it has one.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Fault> {
    let [high, low, reason @ ..] = payload else {
        return if payload.is_empty() { Ok(None) } else { Err(Fault::Protocol) };
    };
    let code = u16::from_be_bytes([*high, *low]);
    // Section 7.4 and the registry of IANA: the others are reserved, or never sent.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Fault::Protocol);
    }
    std::str::from_utf8(reason).map_err(|_| Fault::Utf8)?;
    Ok(Some(code))
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut eights = bytes.chunks_exact_mut(8);
    for eight in &mut eights {
        if let Ok(word) = <[u8; 8]>::try_from(&*eight) {
            eight.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
        }
    }
    for (byte, mask) in eights.into_remainder().iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= mask;
    }
}

/// Appends the header of a frame that a server sends: whole and not masked.
pub(super) fn write_head(opcode: Opcode, length: usize, out: &mut Vec<u8>) {
    out.push(0x80 | opcode as u8);
    match length {
        0..=125 => out.push(length as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
