//! Every bound of the server, by name.

use std::time::Duration;

/// Largest message accepted from a client unless configured, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Connections held at once unless configured. One more is told so and closed.
pub const CONNECTIONS_MAX: usize = 1024;

/// Connections that one caller may have busy at once, unless configured: requests that are being
/// answered, streams and sockets. Only where callers have to say who they are: else all are one.
pub const CONNECTIONS_OF_CALLER_MAX: usize = 512;

/// Connections beyond [`Limits::connections_max`] that are answered (with 503) at once; those
/// beyond are closed unanswered.
pub const REFUSALS_MAX: usize = 32;

/// How long running work may finish after a stop, unless configured.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a socket may wait before it sends its request, unless configured.
pub const FIRST_FRAME_WAIT: Duration = Duration::from_secs(30);

/// How long a socket may wait before it says who opened it, where that is asked for and its
/// handshake did not say.
pub const LOGIN_WAIT: Duration = Duration::from_secs(5);

/// Bytes of frames that wait on one socket before it is fed no more of them. What a thousand
/// stalled sockets hold, beside what the system holds for them, is a thousand times this.
pub const OUT_BYTES_MAX: usize = 16 << 10;

/// Time between two pings on a socket, unless configured.
pub const PING_EVERY: Duration = Duration::from_secs(20);

/// Pings in a row that may stay unanswered; at the next one the client is taken for gone.
pub const PINGS_MISSED_MAX: u32 = 2;

/// How long a client may accept no byte before its connection is dropped, unless configured.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take to send the head of a request, from its first byte on; of the first
/// request of a connection, from the connection on.
pub const HEADER_WAIT: Duration = Duration::from_secs(10);

/// How long a connection may stay without a request after one was answered.
pub const IDLE_WAIT: Duration = Duration::from_secs(75);

/// How long a WebSocket's handshake may take after its request: until our answer is written.
pub const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

/// Largest head of an HTTP request, in bytes.
pub const HEADER_BYTES_MAX: usize = 64 << 10;

/// Largest body of an HTTP request, in bytes.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// How long a client may pause inside the body of a request.
pub const BODY_WAIT: Duration = Duration::from_secs(30);

/// How often a quiet stream, or an answer that is still waited for, shows that it lives.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);

/// How long the head of an answer waits for a run that may be over soon: head and value then are
/// one packet. Clients that count open requests do not notice.
pub const QUICK_RUN: Duration = Duration::from_millis(20);

/// Bytes of frames that are ready and go out together; what is ready beyond goes next.
pub const FLUSH_BYTES: usize = 64 << 10;

/// When clients of a stopping server are told to come back, in milliseconds: each at a time of its
/// own, so that they do not all come at once.
pub const RETRY_MS: std::ops::Range<u64> = 500..3000;

/// How long a connection of the event protocol that only hears how runs go holds back the news that
/// one paused or ended, unless configured: clients stop reading their other connections at that.
pub const PAUSE_HOLD: Duration = Duration::from_millis(100);

/// Deepest nesting of JSON in a request. The parser itself takes 127 levels, and what a request
/// holds is wrapped before it is read again: a value in a state, a state in an event.
pub const JSON_DEPTH_MAX: usize = 100;

/// How long the end of a cancelled run is waited for before it is dropped as it is. Above
/// [`mesh_graph::CANCEL_GRACE`], so that nodes have theirs; below the second in which outgoing
/// requests have to be gone.
pub const LEAVE_WAIT: Duration = Duration::from_millis(750);

/// How long a client may take to answer our close frame before the connection is dropped.
pub const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// Pause after an error of accepting that is not the client's, such as a lack of file
/// descriptors; without it the loop would spin.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// Longest thread id of a client, in characters.
pub const THREAD_ID_CHARS_MAX: usize = 200;

/// The bounds that whoever starts a server may choose.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// See [`MESSAGE_BYTES_MAX`].
    pub message_bytes_max: usize,
    /// See [`CONNECTIONS_MAX`].
    pub connections_max: usize,
    /// See [`CONNECTIONS_OF_CALLER_MAX`].
    pub connections_of_caller_max: usize,
    /// See [`DRAIN_TIMEOUT`].
    pub drain_timeout: Duration,
    /// See [`FIRST_FRAME_WAIT`].
    pub first_frame_wait: Duration,
    /// See [`PING_EVERY`]; not zero.
    pub ping_every: Duration,
    /// See [`WRITE_TIMEOUT`].
    pub write_timeout: Duration,
    /// See [`PAUSE_HOLD`].
    pub pause_hold: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: MESSAGE_BYTES_MAX,
            connections_max: CONNECTIONS_MAX,
            connections_of_caller_max: CONNECTIONS_OF_CALLER_MAX,
            drain_timeout: DRAIN_TIMEOUT,
            first_frame_wait: FIRST_FRAME_WAIT,
            ping_every: PING_EVERY,
            write_timeout: WRITE_TIMEOUT,
            pause_hold: PAUSE_HOLD,
        }
    }
}
