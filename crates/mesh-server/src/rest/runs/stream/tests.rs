//! What goes out on a connection, and when. Time is paused.

use std::{collections::VecDeque, time::Duration};

use mesh_runtime::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Flow, Left, Tail};
use crate::{FLUSH_BYTES, HEARTBEAT_EVERY};

/// What happens after so long.
struct Later(VecDeque<(Duration, Vec<u8>)>, Option<Instant>);

impl Tail for Later {
    async fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        let Some((after, _)) = self.0.front() else { return Ok(false) };
        let at = *self.1.get_or_insert(Instant::now() + *after);
        tokio::time::sleep_until(at).await;
        self.1 = None;
        if let Some((_, bytes)) = self.0.pop_front() {
            out.extend(bytes);
        }
        Ok(true)
    }
}

fn flow(told: &[(u64, &[u8])], stop: &CancellationToken) -> Flow<Later> {
    let told = told.iter().map(|(seconds, bytes)| (Duration::from_secs(*seconds), bytes.to_vec()));
    Flow {
        tail: Later(told.collect(), None),
        leaving: None,
        stop: stop.clone(),
        retry_ms: 700,
        left: Left::Everything,
    }
}

/// All pieces until the end, and after how many seconds each came.
async fn pieces(mut flow: Flow<Later>) -> Vec<(u64, String)> {
    let begun = Instant::now();
    let mut pieces = Vec::new();
    while let Some(piece) = flow.next().await {
        let text = match piece {
            Ok(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Err(error) => error.kind().to_string(),
        };
        pieces.push((begun.elapsed().as_secs(), text));
    }
    pieces
}

fn came(pieces: &[(u64, String)]) -> Vec<(u64, &str)> {
    pieces.iter().map(|(at, text)| (*at, text.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_ready_goes_out_together_and_waits_for_nothing_else() {
    let stop = CancellationToken::new();
    let pieces = pieces(flow(&[(0, b"a"), (0, b"b"), (1, b"c"), (0, b"d")], &stop)).await;
    assert_eq!(came(&pieces), [(0, "ab"), (1, "cd")]);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_shows_that_it_lives() {
    let stop = CancellationToken::new();
    // Entries that have no frames are no news.
    let pieces = pieces(flow(&[(3, b""), (9, b"a")], &stop)).await;
    let beat = HEARTBEAT_EVERY.as_secs();
    assert_eq!(came(&pieces), [(beat, ": heartbeat\n"), (2 * beat, ": heartbeat\n"), (12, "a")]);
}

#[tokio::test(start_paused = true)]
async fn much_that_is_ready_goes_out_in_several_pieces() {
    let stop = CancellationToken::new();
    let big = vec![b'x'; FLUSH_BYTES];
    let pieces = pieces(flow(&[(0, &big), (0, &big)], &stop)).await;
    assert_eq!(pieces.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_server_says_when_to_come_back_and_breaks_off() {
    let stop = CancellationToken::new();
    stop.cancel();
    let pieces = pieces(flow(&[(9, b"a")], &stop)).await;
    assert_eq!(came(&pieces), [(0, "retry: 700\n"), (0, "connection aborted")]);
}
