//! The server: HTTP and WebSocket doors to graphs.
//!
//! A [`Server`] holds [`Assistant`]s and answers on one listener: `/ok`, `/info`,
//! `/openapi.json`, the Studio at `/studio/`, and a socket per assistant under `/ws`. A socket takes
//! one request, streams what its run tells, and closes with a code that says how it ended.
//!
//! This crate knows graphs only as JSON in and JSON out. It knows no SQL, no models and no
//! configuration files; it installs no signal handler and prints nothing. No type of the HTTP
//! library is in its public interface.

mod about;
mod access;
mod assistant;
pub mod auth;
mod begun;
mod callers;
mod cors;
mod extract;
mod frames;
mod handshake;
mod held;
mod idempotency;
mod layout;
mod limits;
mod metrics;
mod models;
mod native;
mod openapi;
mod pace;
mod page;
mod patient;
mod protocol;
mod query;
mod refusal;
mod rest;
mod routes;
mod server;
mod socket;
mod studio;
mod texts;

pub use about::About;
pub use access::Access;
pub use assistant::Assistant;
pub use limits::{
    ACCEPT_RETRY, BODY_BYTES_MAX, BODY_WAIT, CLOSE_WAIT, CONNECTIONS_MAX,
    CONNECTIONS_OF_CALLER_MAX, DRAIN_TIMEOUT, FIRST_FRAME_WAIT, HANDSHAKE_WAIT, HEADER_BYTES_MAX,
    HEADER_WAIT, IDLE_WAIT, JSON_DEPTH_MAX, LEAVE_WAIT, LOGIN_WAIT, Limits, MESSAGE_BYTES_MAX,
    OUT_BYTES_MAX, PING_EVERY, PINGS_MISSED_MAX, REFUSALS_MAX, THREAD_ID_CHARS_MAX, WRITE_TIMEOUT,
};
pub use limits::{FLUSH_BYTES, HEARTBEAT_EVERY, PAUSE_HOLD, QUICK_RUN, RETRY_MS};
pub use mesh_runtime::graphs::{InvalidRequest, Prepare};
pub use models::Models;
pub use refusal::ErrorFormat;
pub use server::{BuildError, CopiedHeaders, Server};
pub use texts::Texts;
