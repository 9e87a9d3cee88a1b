//! The protocol's socket: commands in, answers and events out.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use mesh_graph::v3::Envelope;
use mesh_runtime::{Error, Runtime};
use serde_json::{Value as Json, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    command::{self, Command, Desk, Fault, NO_COMMAND},
    tail::{Tail, replayed},
};
use crate::{
    auth::{Caller, SUBPROTOCOL},
    extract::{OfThread, PathId, PathText, parse},
    metrics::Bound,
    refusal::Refusal,
    rest::{Kept, headers_kept},
    routes::id_of,
    server::Shared,
    socket::{self, Heard, Left, NORMAL, Socket},
};

/// Subscriptions of one connection, at most.
const SUBSCRIPTIONS_MAX: usize = 64;

/// How often it is looked whether what was fed is written.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Code of a close frame for a path that names no thread.
const NO_THREAD: u16 = 1011;

/// Code of a close frame when the server stops.
const STOPPING: u16 = 1012;

/// Opens the socket of a thread, which need not be there yet.
pub(crate) async fn open(
    State(shared): State<Arc<Shared>>,
    Kept(runtime): Kept,
    PathText(thread): PathText<String>,
    caller: Caller,
    mut request: Request,
) -> Response {
    let id = id_of(&request);
    let headers = headers_kept(request.headers(), &shared.copied_headers);
    let call = Call { id, caller, headers, runtime, thread };
    let bytes_max = shared.limits.message_bytes_max;
    let server = Arc::clone(&shared);
    let session = move |socket| serve(server, call, socket);
    match socket::open(&shared, &mut request, &[SUBPROTOCOL], bytes_max, session) {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

/// A socket that somebody opened.
struct Call {
    /// Id of the request.
    id: Arc<str>,
    caller: Caller,
    headers: HeaderMap,
    runtime: Runtime,
    thread: String,
}

async fn serve(shared: Arc<Shared>, call: Call, mut socket: Socket) {
    let Call { id, caller, headers, runtime, thread } = call;
    let caller = match socket.who(&shared, caller).await {
        Ok(caller) => caller,
        Err(Left::Gone) => return socket.close(NORMAL, "").await,
        Err(Left::Wrong(refusal)) => {
            shared.metrics.note(&refusal);
            return socket.refuse(&refusal, &id).await;
        }
    };
    let Ok(thread) = PathId::<OfThread>::parse(&thread) else {
        return socket.close(NO_THREAD, "thread stream ended").await;
    };
    let desk = Desk { shared: Arc::clone(&shared), runtime, caller, headers, thread };
    let mut session = Session { desk, tail: None, subscriptions: Vec::new(), applied: 0 };
    let mut stop = pin!(shared.stop.cancelled());
    // Something was fed, and it was not noted that it is written.
    let mut is_open = false;
    loop {
        let has_room = socket.has_room();
        tokio::select! {
            biased;
            heard = socket.hear() => match heard {
                // Boxed, so that sockets that only listen are small.
                Ok(Heard::Text(text)) => {
                    Box::pin(session.take(text.as_bytes(), &mut socket)).await;
                }
                Ok(Heard::Binary(bytes)) => Box::pin(session.take(&bytes, &mut socket)).await,
                Ok(Heard::Room) => {}
                Err(Left::Gone) => return socket.close(NORMAL, "").await,
                Err(Left::Wrong(refusal)) => {
                    shared.metrics.note(&refusal);
                    return socket.refuse(&refusal, &id).await;
                }
            },
            () = sleep(LOOK_EVERY), if is_open => {}
            () = &mut stop => return socket.close(STOPPING, "server_stopping").await,
            event = session.event(), if has_room && session.tail.is_some() => {
                let mut next = Some(event);
                while let Some(event) = next {
                    match event {
                        Ok(event) => session.feed(event, &mut socket),
                        Err(error) => {
                            tracing::error!(%error, "events cannot be read on");
                            return socket.refuse(&Refusal::Storage, &id).await;
                        }
                    }
                    // What is ready goes out in the same write.
                    next = if socket.has_room() { session.event().now_or_never() } else { None };
                }
                is_open = true;
            }
        }
        if is_open && socket.is_written() {
            is_open = false;
            session.tail.iter().for_each(Tail::passed);
        }
    }
}

/// What is known of a connection.
struct Session {
    desk: Desk,
    /// The place in the events; none without subscriptions.
    tail: Option<Tail>,
    subscriptions: Vec<Uuid>,
    /// The number of the last event that was sent.
    applied: u64,
}

impl Session {
    /// The next event, or none for an entry of the log without one. Only with a tail.
    async fn event(&mut self) -> Result<Option<Envelope>, Error> {
        match &mut self.tail {
            Some(tail) => tail.next().await,
            None => std::future::pending().await,
        }
    }

    fn feed(&mut self, event: Option<Envelope>, socket: &mut Socket) {
        if let Some(event) = event {
            self.applied = self.applied.max(event.seq);
            socket.feed_text(&event.to_json().to_string());
        }
    }

    /// Carries out what the client said. Commands are carried out one after the other, and no event
    /// is sent meanwhile: the answer to a command is there before the events that come of it.
    async fn take(&mut self, bytes: &[u8], socket: &mut Socket) {
        let (id, answer) = match parse::<Json>(bytes) {
            Err(Refusal::MalformedJson) => {
                (Json::Null, Err(Fault::invalid("Protocol commands must be valid JSON.")))
            }
            Err(refusal) => (Json::Null, Err(Fault::invalid(refusal.to_string()))),
            Ok(json) => match Command::read(json) {
                Err(id) => (id, Err(Fault::invalid(NO_COMMAND))),
                Ok(command) => {
                    let answer = match &*command.method {
                        "subscription.subscribe" => self.subscribe(&command).await,
                        "subscription.unsubscribe" => self.unsubscribe(&command),
                        _ => command::answer(&self.desk, &command).await,
                    };
                    (command.id, answer)
                }
            },
        };
        socket.feed_text(&command::envelope(&id, answer, self.applied).to_string());
    }

    /// What happened before is sent after the answer, in order, except for events that were sent
    /// already; then what comes from now on.
    async fn subscribe(&mut self, command: &Command) -> Result<Json, Fault> {
        let scope = self.desk.reading()?;
        let wants = command.subscription()?;
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            self.desk.shared.metrics.reached(Bound::Subscriptions);
            let message = format!("A connection has at most {SUBSCRIPTIONS_MAX} subscriptions.");
            return Err(Fault::invalid(message));
        }
        let (shared, runtime) = (&self.desk.shared, &self.desk.runtime);
        let thread = self.desk.thread.to_string();
        let count = replayed(runtime, &scope, &thread, &wants).await?;
        let id = Uuid::from_u128(runtime.env().new_id());
        if let Some(tail) = &mut self.tail {
            tail.add(id, wants).await?;
        } else {
            let tail = Tail::open(shared, runtime, &scope, &thread, id, wants).await?;
            self.tail = Some(tail);
        }
        self.subscriptions.push(id);
        let mut result = json!({ "subscription_id": id });
        if let Some(count) = count {
            result["replayed_events"] = json!(count);
        }
        Ok(result)
    }

    fn unsubscribe(&mut self, command: &Command) -> Result<Json, Fault> {
        let text = command::subscription_id(command)?;
        let id = Uuid::try_parse(text).ok();
        let known = id.and_then(|id| self.subscriptions.iter().position(|known| *known == id));
        let Some(known) = known else { return Err(Fault::no_subscription(text)) };
        let id = self.subscriptions.swap_remove(known);
        if self.subscriptions.is_empty() {
            self.tail = None;
        } else if let Some(tail) = &mut self.tail {
            tail.remove(id);
        }
        Ok(json!({}))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_socket_that_listens_takes_little() {
        fn size<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(super::serve);
        assert!(size <= 3456, "{size} bytes");
    }
}
