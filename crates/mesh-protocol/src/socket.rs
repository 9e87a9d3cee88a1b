//! The native socket: one WebSocket for everything, as types with JSON Schema.
//!
//! A client sends [`Call`]s, each with an id of its own, and gets one [`Frame::Ack`] or
//! [`Frame::Error`] per id. What happens on a thread that it subscribed to comes as
//! [`Frame::Event`]s: entries of the thread's log with their numbers, so that a cursor is a number
//! and the same number leads to the same event on every connection.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::{
    run::{CancelAction, RunCreate, StreamMode},
    thread::Thread,
};

/// The subprotocol: JSON in text frames.
pub const SUBPROTOCOL: &str = "genesis-mesh.v1";

/// The subprotocol with the same frames as MessagePack in binary frames.
pub const SUBPROTOCOL_MSGPACK: &str = "genesis-mesh.v1.msgpack";

/// Longest id of a call, in characters.
pub const ID_CHARS_MAX: usize = 64;

/// The client's name for a call: what answers it carries the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CallId {
    /// A number.
    Number(u64),
    /// A text of 1 to [`ID_CHARS_MAX`] characters.
    Text(#[schemars(length(min = 1, max = 64))] String),
}

/// Names of what a client can call, as `op` has them.
pub const OPS: [&str; 11] = [
    "start",
    "answer",
    "cancel",
    "update",
    "fork",
    "subscribe",
    "unsubscribe",
    "credit",
    "watch",
    "unwatch",
    "ping",
];

/// What a client sends: `{"op", "id", …}`.
///
/// Calls about one thread are carried out in the order in which they were sent; others may
/// overtake them.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Call {
    /// Makes a run. The answer is a [`Started`].
    Start(Start),
    /// Answers the open questions of a thread, which makes a run. The answer is a [`Started`].
    Answer(Answer),
    /// Ends a run. The answer is empty: how the run ends is told by its thread's log.
    Cancel(Cancel),
    /// Changes the newest state of a thread, as if a node had returned the values. The answer is a
    /// [`Changed`].
    Update(Update),
    /// Changes an older state of a thread: a new branch begins there. The answer is a [`Changed`].
    Fork(Fork),
    /// Follows a thread. The answer is a [`Subscribed`]; events come after it.
    Subscribe(Subscribe),
    /// Follows a thread no more: after the answer, which is empty, nothing comes of it.
    Unsubscribe(OfThread),
    /// Lets more events of a thread come. The answer is empty.
    Credit(Credit),
    /// Tells of every thread that changes. The answer is a [`Watching`].
    Watch(Watch),
    /// Tells of changed threads no more. The answer is empty.
    Unwatch(Plain),
    /// Asks whether the other side lives. The answer is a [`Pong`].
    Ping(Plain),
}

/// A call without anything else.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// See [`CallId`].
    pub id: CallId,
}

/// A call about a thread.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfThread {
    /// See [`CallId`].
    pub id: CallId,
    /// The thread.
    pub thread_id: Uuid,
}

/// See [`Call::Start`].
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// See [`CallId`].
    pub id: CallId,
    /// The thread; without it the run gets one of its own, which goes with it unless
    /// `run.on_completion` is `keep`.
    #[serde(default)]
    pub thread_id: Option<Uuid>,
    /// The run, as `POST /threads/{thread_id}/runs` takes it.
    pub run: Box<RunCreate>,
    /// Follows the thread from just before the run. A subscription that is there already stays as
    /// it is.
    #[serde(default)]
    pub subscribe: Option<Follow>,
    /// The same call under the same key makes no second run for 24 hours: it gets the first one's
    /// answer. 1 to 255 printable ASCII characters.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255))]
    pub key: Option<String>,
}

/// See [`Call::Answer`]. Exactly one of `answer` and `answers` is given.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// See [`CallId`].
    pub id: CallId,
    /// The thread.
    pub thread_id: Uuid,
    /// The answer to the one open question.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Json")]
    pub answer: Option<Json>,
    /// Answers by the ids of their questions.
    #[serde(default)]
    pub answers: Option<Map<String, Json>>,
    /// What the new run tells; without it what the thread's last run told.
    #[serde(default)]
    pub stream_mode: Option<Vec<StreamMode>>,
    /// As for [`Start`].
    #[serde(default)]
    pub subscribe: Option<Follow>,
    /// As for [`Start`].
    #[serde(default)]
    #[schemars(length(min = 1, max = 255))]
    pub key: Option<String>,
}

/// Tells null from what is left out: null is an answer, too.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// See [`Call::Cancel`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// See [`CallId`].
    pub id: CallId,
    /// The thread.
    pub thread_id: Uuid,
    /// The run.
    pub run_id: Uuid,
    /// How.
    #[serde(default)]
    pub action: CancelAction,
}

/// See [`Call::Update`].
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// See [`CallId`].
    pub id: CallId,
    /// The thread.
    pub thread_id: Uuid,
    /// The values: an object of state keys, or a list of pairs. Null follows the node's edges
    /// alone.
    #[serde(default)]
    pub values: Json,
    /// The node that seems to have returned them; else the one that ran last.
    #[serde(default)]
    pub as_node: Option<String>,
}

/// See [`Call::Fork`].
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// See [`CallId`].
    pub id: CallId,
    /// The thread.
    pub thread_id: Uuid,
    /// The checkpoint where the branch begins.
    pub checkpoint_id: String,
    /// Where in the graph that is: empty for the root.
    #[serde(default)]
    pub checkpoint_ns: String,
    /// As for [`Update`].
    #[serde(default)]
    pub values: Json,
    /// As for [`Update`].
    #[serde(default)]
    pub as_node: Option<String>,
}

/// What of a thread is told, and how.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Follow {
    /// Kinds of events: `values`, `updates`, `messages`, `custom`, `tasks`, `checkpoints`,
    /// `debug`, `tools`. Without it all that the log has. How runs begin and end, and changes by
    /// hand, always come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modes: Option<Vec<String>>,
    /// Only events from these places and below. A place is a path of `node` or `node:task` joined
    /// by `|`; the empty one is the root. Without it everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
    /// How many levels below those places; without it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// Only events of this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<Uuid>,
    /// Events that may come before more [`Credit`] is given; without it as many as there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit: Option<u32>,
    /// A reader that is behind may get pieces of one message as one event.
    pub merge: bool,
    /// Root values come as JSON Patch (RFC 6902) against those that came before, where that is
    /// shorter.
    pub patch: bool,
    /// Text of messages comes as [`Delta`]s before it is stored.
    pub early: bool,
}

/// See [`Call::Subscribe`]. A thread that is subscribed to already is followed anew, as this says.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// See [`CallId`].
    pub id: CallId,
    /// The thread.
    pub thread_id: Uuid,
    /// The number of the last event that the client has; 0 for none. Without it: with a snapshot
    /// what comes after that, else what comes from now on.
    #[serde(default)]
    pub after: Option<u64>,
    /// The log that `after` is of, as [`Subscribed::log`] told it.
    #[serde(default)]
    pub log: Option<String>,
    /// Begins with a [`Frame::Snapshot`], unless `after` leads to events that are there.
    #[serde(default)]
    pub snapshot: bool,
    /// What is told, and how.
    #[serde(default)]
    pub follow: Follow,
}

/// See [`Call::Credit`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credit {
    /// See [`CallId`].
    pub id: CallId,
    /// The thread.
    pub thread_id: Uuid,
    /// Events more.
    pub add: u32,
}

/// See [`Call::Watch`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// See [`CallId`].
    pub id: CallId,
    /// Also tells of the threads that changed after this time: the largest `updated_at` that the
    /// client has seen.
    #[serde(default)]
    pub since: Option<String>,
}

/// What the server sends: `{"type", …}`.
///
/// A client passes over frames and members that it does not know.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Frame {
    /// The first frame.
    Hello(Hello),
    /// A call was carried out.
    Ack {
        /// The call's.
        id: CallId,
        /// What came of it; see [`Call`].
        result: Outcome,
    },
    /// A call was not carried out; or, without an id, the connection ends for this reason.
    Error {
        /// The call's.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<CallId>,
        /// Why.
        error: Problem,
    },
    /// Something happened on a thread.
    Event(Event),
    /// Text of a message that is not stored yet.
    Delta(Delta),
    /// A thread as it was after its event `seq`.
    Snapshot {
        /// The thread.
        thread_id: String,
        /// Events after this one follow.
        seq: u64,
        /// The thread. Its values are those before a run that is going on: that run's events
        /// follow from its beginning.
        thread: Box<Thread>,
    },
    /// Events that were asked for are not to be had; a snapshot of what they led to follows.
    Gap {
        /// The thread.
        thread_id: String,
        /// The client's cursor.
        after: u64,
        /// The first event that is still there; none when there is none.
        #[serde(skip_serializing_if = "Option::is_none")]
        oldest: Option<u64>,
        /// The last event that there is.
        last: u64,
        /// Why.
        reason: GapReason,
    },
    /// A thread changed; what is told is how it is now.
    Thread {
        /// The thread.
        thread_id: String,
        /// The thread without its values; null when it was deleted.
        thread: Option<Box<Thread>>,
        /// Its runs that have not ended, oldest first.
        runs: Vec<OpenRun>,
    },
    /// More threads changed than are remembered: the client has to list them anew.
    Resync {},
    /// A subscription is over.
    End {
        /// The thread.
        thread_id: String,
        /// Why.
        reason: EndReason,
    },
    /// The server closes the connection soon.
    Goaway {
        /// Why.
        reason: GoawayReason,
        /// When to come back, in milliseconds: a time of each client's own.
        retry_ms: u64,
        /// The number of the last event that was sent, or passed over by a filter, per thread.
        cursors: BTreeMap<String, u64>,
    },
}

/// Names of frames, as `type` has them.
pub const FRAMES: [&str; 10] =
    ["hello", "ack", "error", "event", "snapshot", "gap", "thread", "resync", "end", "goaway"];

/// See [`Frame::Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Hello {
    /// The subprotocol that is spoken.
    pub protocol: String,
    /// Name of the server.
    pub server: String,
    /// Its version.
    pub version: String,
    /// When its database was made, in milliseconds since 1970. Cursors of another one lead nowhere.
    pub incarnation: u64,
    /// Id of this connection, by which the server's log knows it.
    pub connection: String,
    /// Bounds.
    pub limits: SocketLimits,
}

/// Bounds of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SocketLimits {
    /// Subscriptions at once.
    pub subscriptions: usize,
    /// Calls that are being carried out or wait for it; those beyond are refused.
    pub calls: usize,
    /// Bytes of a message to the server.
    pub message_bytes: usize,
    /// Credit of a subscription.
    pub credit: u32,
    /// Namespaces of a filter.
    pub namespaces: usize,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Outcome {
    /// See [`Started`].
    Started(Started),
    /// See [`Changed`].
    Changed(Changed),
    /// See [`Subscribed`].
    Subscribed(Subscribed),
    /// See [`Watching`].
    Watching(Watching),
    /// See [`Pong`].
    Pong(Pong),
    /// Nothing to tell.
    Done {},
}

/// A run was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Started {
    /// The run.
    pub run_id: Uuid,
    /// Its thread.
    pub thread_id: String,
    /// A number before its first event.
    pub after: u64,
    /// The log that `after` is of.
    pub log: String,
}

/// A state was changed.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Changed {
    /// The checkpoint that it has now: `{"thread_id", "checkpoint_ns", "checkpoint_id"}`.
    pub checkpoint: Json,
}

/// A thread is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Subscribed {
    /// The log of the thread: another one when the thread is deleted and made again. Belongs to
    /// every cursor.
    pub log: String,
    /// Events after this number come.
    pub after: u64,
    /// The last event that there is; what comes up to it is catching up.
    pub last: u64,
}

/// Threads are watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Watching {
    /// Changes after this time are told.
    pub since: String,
}

/// See [`Call::Ping`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Pong {
    /// The server's clock, milliseconds since 1970.
    pub at_ms: i64,
}

/// An entry of a thread's log.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Event {
    /// The thread.
    pub thread_id: String,
    /// Its number on the thread: 1, 2, 3 … Numbers that do not come were filtered out.
    pub seq: u64,
    /// The first number that it stands for, when several pieces of a message came as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The run; absent for a change by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<Uuid>,
    /// `begun`, `ended`, `updated`, or the mode of the graph's event.
    pub kind: String,
    /// Where in the graph: `node:task` per level; absent for the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns: Option<Vec<String>>,
    /// The superstep.
    pub step: i64,
    /// The node, where it is of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// What the mode has: a state, an update, a piece of a message with its metadata. `begun` has
    /// `{"run_id", "attempt"}`, `ended` `{"status", "error"?, "breakpoint"?}`, `updated` the new
    /// state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
    /// In place of `data`: JSON Patch against the values of the event `base`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<Json>,
    /// See `patch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// Of a piece of a message: where its text begins in that of the message, in characters. What
    /// the client has of the message from there on is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
}

/// Text of a message that is not stored yet. It has no number and does not move the cursor; the
/// event that it stands in later does not come, unless it has more.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Delta {
    /// The thread.
    pub thread_id: String,
    /// The message.
    pub message_id: String,
    /// Where the text begins in that of the message, in characters.
    pub at: u64,
    /// The text.
    pub text: String,
    /// The number of the last event that is stored and does not come, when it is another one than
    /// the client knows of: its cursor from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// What the message is, in its first delta on a subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<Message>,
}

/// The message that a [`Delta`] is of.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Message {
    /// The run.
    pub run_id: Uuid,
    /// Where in the graph: `node:task` per level; absent for the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns: Option<Vec<String>>,
    /// The superstep.
    pub step: i64,
    /// The node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// A piece of the message, without its text.
    pub chunk: Json,
    /// What stands beside it.
    pub metadata: Json,
}

/// A run that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OpenRun {
    /// The run.
    pub run_id: Uuid,
    /// `pending` or `running`.
    pub status: String,
    /// Its assistant.
    pub assistant_id: Uuid,
    /// When it was made.
    pub created_at: String,
}

/// Why a call was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// A stable name for it, for programs.
    pub code: String,
    /// What is wrong, for people.
    pub message: String,
    /// JSON Pointer to the part of the call that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What the server's log has more to say under, when the server is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Codes of errors that any client can bring about.
pub const CODES: [&str; 29] = [
    "assistant_not_found",
    "binary_frame",
    "checkpoint_not_found",
    "full",
    "invalid_credential",
    "invalid_json",
    "invalid_message_pack",
    "invalid_request",
    "invalid_update",
    "invalid_utf8",
    "key_in_use",
    "namespace_not_found",
    "no_graph",
    "no_question",
    "not_authorized",
    "not_subscribed",
    "protocol_error",
    "run_ended",
    "run_not_found",
    "runs_in_flight",
    "text_frame",
    "thread_busy",
    "thread_not_found",
    "too_big",
    "too_many_calls",
    "too_many_subscriptions",
    "two_contexts",
    "unauthenticated",
    "unknown_op",
];

/// Codes of the others: they take a fault of the machine, a graph that is gone, a race, or a
/// server that stops.
pub const CODES_OF_FAULTS: [&str; 7] = [
    "disk_full",
    "graph_not_found",
    "internal",
    "keys_unavailable",
    "server_stopping",
    "storage_failed",
    "thread_changed",
];

/// Why events are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// They are not kept any more.
    Trimmed,
    /// The cursor is beyond the end of the log.
    Ahead,
    /// The cursor is of another log: the thread was deleted, or the database is another one.
    OtherLog,
}

/// Why a subscription is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The thread was deleted.
    Deleted,
    /// The thread was the run's own, and the run has ended.
    Done,
    /// The log cannot be read; the server's log has the cause.
    Failed,
}

/// Why the server closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GoawayReason {
    /// The server stops.
    Stopping,
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;
    use schemars::{generate::SchemaSettings, json_schema};

    use super::{CODES, CODES_OF_FAULTS, Call, Frame};

    #[test]
    fn the_schema_in_the_handbook_is_that_of_the_types() {
        let settings = |path: &str| {
            let path = format!("/$defs/{path}");
            SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = path.into())
        };
        // What is sent and what is given: a member with a default may be left out of the first.
        let mut takes = settings("calls").for_deserialize().into_generator();
        let mut gives = settings("frames").for_serialize().into_generator();
        let (call, frame) = (takes.subschema_for::<Call>(), gives.subschema_for::<Frame>());
        let codes: Vec<&str> = CODES.into_iter().chain(CODES_OF_FAULTS).collect();
        let schema = json_schema!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "The native socket, genesis-mesh.v1",
            "description": "What a client sends is a call, what the server sends is a frame.",
            "anyOf": [call, frame],
            "$defs": {
                "calls": takes.take_definitions(true),
                "frames": gives.take_definitions(true),
                "codes": { "enum": codes },
            },
        });
        // Whatever the order that the rest of a build makes maps have.
        let mut schema = schema.to_value();
        schema.sort_all_objects();
        let text = serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n";
        expect_file!["../../../docs/src/server/native-socket.schema.json"].assert_eq(&text);
    }
}
