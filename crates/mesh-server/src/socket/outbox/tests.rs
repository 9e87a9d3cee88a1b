//! The order and the shape of what goes out.

use std::task::Poll;

use axum::body::Bytes;

use super::{
    Encoded, KEPT_BYTES, KEPT_PIECES, Opcode, Outbox, PIECE_BYTES, Piece, SHARED_BYTES_MIN,
};

/// Writes all that waits, `step` bytes at a time.
fn drained(outbox: &mut Outbox, step: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    while !outbox.is_empty() {
        let before = outbox.len();
        let taken = outbox.write(|slices| {
            let mut left = step;
            for slice in slices {
                let count = left.min(slice.len());
                wire.extend_from_slice(&slice[..count]);
                left -= count;
            }
            Poll::Ready(Ok(step - left))
        });
        assert!(matches!(taken, Poll::Ready(Ok(taken)) if outbox.len() == before - taken));
    }
    wire
}

#[test]
fn frames_go_out_in_order_whatever_the_system_takes_at_a_time() {
    let long = Bytes::from(vec![b'x'; SHARED_BYTES_MIN]);
    let mut expected = b"\x81\x02hi\x89\x00\x82\x7e\x10\x00".to_vec();
    expected.extend_from_slice(&long);
    expected.extend_from_slice(b"\x81\x05later\x81\x7e\x10\x00");
    expected.extend_from_slice(&long);
    expected.extend_from_slice(b"\x81\x04last");
    for step in [1, 7, 4000, 100_000] {
        let mut outbox = Outbox::default();
        outbox.push(Opcode::Text, b"hi");
        outbox.push(Opcode::Ping, &[]);
        outbox.push_shared(Opcode::Binary, &long);
        outbox.push_with(|out| out.extend_from_slice(b"later"));
        outbox.push_encoded(&Encoded::text(&long));
        outbox.push_encoded(&Encoded::text(b"last"));
        assert_eq!(outbox.len(), expected.len());
        assert!(drained(&mut outbox, step) == expected, "{step} bytes at a time");
    }
}

#[test]
fn a_frame_written_in_place_has_the_shortest_header() {
    for length in [0, 125, 126, 65_535, 65_536] {
        let payload = vec![b'y'; length];
        let (mut in_place, mut copied) = (Outbox::default(), Outbox::default());
        in_place.push_with(|out| out.extend_from_slice(&payload));
        copied.push(Opcode::Text, &payload);
        assert!(drained(&mut in_place, 1 << 20) == drained(&mut copied, 1 << 20), "{length}");
    }
}

#[test]
fn an_empty_outbox_keeps_little_and_shares_large_frames() {
    let mut outbox = Outbox::default();
    outbox.push(Opcode::Text, &vec![b'z'; 10_000]);
    drained(&mut outbox, 999);
    assert!(outbox.pieces.is_empty());
    outbox.push(Opcode::Text, b"small");
    drained(&mut outbox, 2);
    assert_eq!(outbox.pieces.len(), 1, "the small piece is kept, of {KEPT_BYTES} bytes at most");

    let frame = Encoded::binary(&vec![0; SHARED_BYTES_MIN]);
    outbox.push_encoded(&frame);
    assert!(!frame.0.is_unique(), "the outbox holds the same bytes");
}

#[test]
fn a_small_and_a_large_frame_that_go_out_together_leave_nothing_behind() {
    let long = Bytes::from(vec![b'x'; SHARED_BYTES_MIN]);
    let mut outbox = Outbox::default();
    for _ in 0..3 {
        outbox.push(Opcode::Text, b"hi");
        outbox.push_encoded(&Encoded::text(&long));
        let expected = outbox.len();
        assert_eq!(drained(&mut outbox, 100_000).len(), expected);
    }
}

#[test]
fn a_client_that_is_never_done_holds_no_more_than_what_waits() {
    let mut outbox = Outbox::default();
    for _ in 0..1000 {
        while outbox.len() < 8 * PIECE_BYTES {
            outbox.push(Opcode::Text, &[b'x'; 500]);
        }
        let taken = outbox.write(|_| Poll::Ready(Ok(1000)));
        assert!(matches!(taken, Poll::Ready(Ok(1000))));
        let room = |piece: &Piece| match piece {
            Piece::Own(own) => own.capacity(),
            Piece::Shared(_) => 0,
        };
        let held: usize = outbox.pieces.iter().map(room).sum();
        // What is written of the first piece, and what does not fit at the end of each.
        let most = outbox.len() + PIECE_BYTES + 510 * outbox.pieces.len();
        assert!(held <= most, "{held} for {}", outbox.len());
    }
}

#[test]
fn slow_clients_hold_frames_together() {
    let frames: Vec<Encoded> = (0..100).map(|n| Encoded::text(&[n; 500])).collect();
    let (mut slow, mut quick) = (Outbox::default(), Outbox::default());
    for frame in &frames {
        slow.push_encoded(frame);
        quick.push_encoded(frame);
        drained(&mut quick, 1 << 20);
    }
    let own = |outbox: &Outbox| -> usize {
        let own = outbox.pieces.iter().filter(|piece| matches!(piece, Piece::Own(_)));
        own.map(|piece| piece.bytes().len()).sum()
    };
    assert!(own(&slow) <= PIECE_BYTES + 510, "{}", own(&slow));
    assert_eq!(quick.pieces.len(), 1, "small frames are copied where nothing waits");
    let expected: Vec<u8> = frames.iter().flat_map(|frame| frame.0.to_vec()).collect();
    assert!(drained(&mut slow, 777) == expected);
    assert!(slow.pieces.capacity() <= 2 * KEPT_PIECES, "{}", slow.pieces.capacity());
}
