//! A socket that says everything again: what suites for the protocol itself talk to. There only on
//! a server that is for development.

use std::{pin::pin, sync::Arc};

use axum::{
    body::Bytes,
    extract::{Request, State},
    response::{IntoResponse, Response},
};

use super::{Heard, Left, NORMAL, Socket};
use crate::{refusal::Refusal, server::Shared};

/// Largest message, in bytes: that of the largest case of such suites.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

pub(crate) async fn open(State(shared): State<Arc<Shared>>, mut request: Request) -> Response {
    let server = Arc::clone(&shared);
    let session = move |socket| serve(server, socket);
    super::open(&shared, &mut request, &[], MESSAGE_BYTES_MAX, session)
        .unwrap_or_else(IntoResponse::into_response)
}

async fn serve(shared: Arc<Shared>, mut socket: Socket) {
    let mut stop = pin!(shared.stop.cancelled());
    let code = loop {
        let heard = tokio::select! {
            biased;
            heard = socket.hear() => heard,
            () = &mut stop => break Refusal::Stopping.close_code(),
        };
        match heard {
            Ok(Heard::Text(text)) => socket.feed_text(&text),
            Ok(Heard::Binary(bytes)) => socket.feed_binary(&Bytes::from(bytes)),
            Ok(Heard::Room) => {}
            Err(Left::Gone) => break NORMAL,
            // Suites take every frame for an echo, so the code alone says it.
            Err(Left::Wrong(refusal)) => break refusal.close_code(),
        }
    };
    socket.close(code, "").await;
}
