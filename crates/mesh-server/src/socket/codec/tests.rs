//! What is read of what a client sends, in whatever pieces it comes.

use std::collections::VecDeque;

use super::{Arrived, Decoder, Fault};

const MASK: [u8; 4] = [0x11, 0xa2, 0x33, 0xc4];

/// A frame as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        0..=125 => frame.push(0x80 | payload.len() as u8),
        126..=0xffff => {
            frame.push(0xfe);
            frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        _ => {
            frame.push(0xff);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// What arrives of bytes that come `step` at a time, and the fault at the end.
fn read(bytes: &[u8], step: usize) -> (Vec<Arrived>, Option<Fault>) {
    let mut decoder = Decoder::new(1 << 20);
    let mut arrived = VecDeque::new();
    let mut bytes = bytes.to_vec();
    let fault = bytes.chunks_mut(step).find_map(|part| decoder.push(part, &mut arrived).err());
    (arrived.into(), fault)
}

/// Reads in pieces of many sizes, which must not matter.
fn check(bytes: &[u8]) -> (Vec<Arrived>, Option<Fault>) {
    let whole = read(bytes, bytes.len().max(1));
    for step in [1, 2, 3, 7, 64, 1000] {
        assert_eq!(read(bytes, step), whole, "{step} bytes at a time");
    }
    whole
}

fn text(text: &str) -> Arrived {
    Arrived::Text(text.to_owned())
}

#[test]
fn messages_arrive_whole_with_control_frames_between_their_parts() {
    let long = "ä".repeat(40_000);
    let bytes = [
        frame(0x81, b"one"),
        frame(0x01, "zw\u{f6}lf ".as_bytes()),
        frame(0x89, b"there?"),
        frame(0x00, b""),
        frame(0x80, "B\u{e4}ume".as_bytes()),
        frame(0x82, &[0, 255]),
        frame(0x8a, b""),
        frame(0x81, b""),
        frame(0x81, long.as_bytes()),
        frame(0x88, b"\x03\xe8bye"),
        frame(0x81, b"nobody reads this"),
    ];
    let (arrived, fault) = check(&bytes.concat());
    assert_eq!(fault, None);
    assert_eq!(
        arrived,
        [
            text("one"),
            Arrived::Ping(b"there?".to_vec()),
            text("zwölf Bäume"),
            Arrived::Binary(vec![0, 255]),
            Arrived::Pong,
            text(""),
            text(&long),
            Arrived::Close(Some(1000)),
        ]
    );
}

#[test]
fn a_text_is_refused_with_the_byte_that_spoils_it() {
    // The frame announces far more than what comes.
    let mut begun = frame(0x81, &[b'x'; 1000]);
    begun.truncate(8 + 10);
    let spoil = |bytes: &[u8]| {
        let mut all = begun.clone();
        let at = all.len() - 8;
        all.extend(bytes.iter().enumerate().map(|(n, byte)| byte ^ MASK[(at + n) % 4]));
        check(&all).1
    };
    assert_eq!(spoil("ä".as_bytes()), None);
    assert_eq!(spoil(&[0xc3]), None, "the rest may come");
    assert_eq!(spoil(&[0xf0, 0x9f]), None, "the rest may come");
    for bad in [&[0xff][..], &[0xc0], &[0xed, 0xa0], &[0xf4, 0x90], &[0xc3, b'x'], &[0x80]] {
        assert_eq!(spoil(bad), Some(Fault::Utf8), "{bad:x?}");
    }
    // A character may be cut by the end of a part, not by the end of the message.
    let cut = [frame(0x01, &[0xe2, 0x82]), frame(0x80, &[0xac])].concat();
    assert_eq!(check(&cut), (vec![text("€")], None));
    let never = [frame(0x01, &[0xe2, 0x82]), frame(0x80, b"")].concat();
    assert_eq!(check(&never), (vec![], Some(Fault::Utf8)));
    assert_eq!(check(&frame(0x01, &[0xe2, b'x'])).1, Some(Fault::Utf8));
    // Bytes are bytes.
    assert_eq!(check(&frame(0x82, &[0xff])).0, [Arrived::Binary(vec![0xff])]);
}

#[test]
fn what_breaks_the_protocol_is_found_in_the_header() {
    let unmasked = [0x81, 0x02];
    let reserved_bits: [&[u8]; 3] = [&[0xc1], &[0xa1], &[0x91]];
    let reserved_opcodes: [&[u8]; 4] = [&[0x83], &[0x87], &[0x8b], &[0x8f]];
    let cut_control: [&[u8]; 3] = [&[0x08], &[0x09], &[0x0a]];
    let long_control: [&[u8]; 2] = [&[0x89, 0xfe], &[0x88, 0xff]];
    let no_beginning: [&[u8]; 2] = [&[0x80], &[0x00]];
    let cases = [&unmasked[..]]
        .into_iter()
        .chain(reserved_bits)
        .chain(reserved_opcodes)
        .chain(cut_control)
        .chain(long_control)
        .chain(no_beginning);
    for bytes in cases {
        assert_eq!(check(bytes), (vec![], Some(Fault::Protocol)), "{bytes:x?}");
    }
    let twice = [frame(0x01, b"a"), vec![0x81]].concat();
    assert_eq!(check(&twice).1, Some(Fault::Protocol));
    let again = [frame(0x01, b"a"), frame(0x80, b"b"), vec![0x80]].concat();
    assert_eq!(check(&again), (vec![text("ab")], Some(Fault::Protocol)));
    let negative = [0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
    assert_eq!(check(&negative).1, Some(Fault::Protocol));
}

#[test]
fn a_message_that_is_too_big_is_refused_before_it_comes() {
    let announced = [0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1, 1, 2, 3, 4];
    assert_eq!(check(&announced), (vec![], Some(Fault::TooBig)));
    let half = vec![7; 1 << 19];
    let in_parts = [frame(0x02, &half), frame(0x00, &half), frame(0x80, &[7])].concat();
    assert_eq!(read(&in_parts, 5000), (vec![], Some(Fault::TooBig)));
    let fits = [frame(0x02, &half), frame(0x80, &half)].concat();
    assert_eq!(read(&fits, 5000), (vec![Arrived::Binary(vec![7; 1 << 20])], None));
}

#[test]
fn close_frames_have_a_code_that_may_be_sent_and_a_reason_in_utf_8() {
    for code in [1000_u16, 1001, 1002, 1003, 1007, 1008, 1011, 1014, 3000, 3999, 4000, 4999] {
        let (arrived, fault) = check(&frame(0x88, &code.to_be_bytes()));
        assert_eq!((arrived, fault), (vec![Arrived::Close(Some(code))], None));
    }
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        let fault = check(&frame(0x88, &code.to_be_bytes())).1;
        assert_eq!(fault, Some(Fault::Protocol), "{code}");
    }
    assert_eq!(check(&frame(0x88, b"")).0, [Arrived::Close(None)]);
    assert_eq!(check(&frame(0x88, b"\x03")).1, Some(Fault::Protocol));
    assert_eq!(check(&frame(0x88, b"\x03\xe8\xff")).1, Some(Fault::Utf8));
}

#[test]
fn whatever_comes_is_read_alike_in_whatever_pieces_and_never_panics() {
    // Noise, with headers that make sense now and then; a small generator, so that it is the same
    // every time.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..2000 {
        let mut bytes = Vec::new();
        for _ in 0..random() % 6 {
            let first = [0x81, 0x82, 0x01, 0x80, 0x00, 0x89, 0x8a, 0x88, random() as u8];
            let first = first[(random() % 9) as usize];
            let payload: Vec<u8> = (0..random() % 140).map(|_| random() as u8 & 0x7f).collect();
            bytes.extend(frame(first, &payload));
        }
        bytes.truncate(bytes.len().saturating_sub((random() % 5) as usize));
        check(&bytes);
    }
}
