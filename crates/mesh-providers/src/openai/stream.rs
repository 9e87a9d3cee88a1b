//! The library's events and frames as deltas.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt};
use genai::chat::{ChatStream, ChatStreamEvent};
use mesh_model::{Delta, ModelError, ReplyProblem};

use super::failure::{Failure, Reader};
use super::frames::{Frames, Seen};

/// One attempt's reply. Ends after [`Delta::End`] or an error.
pub(crate) struct Deltas {
    /// `None` once ended, which closes the connection.
    events: Option<ChatStream>,
    frames: Arc<Frames>,
    reader: Arc<Reader>,
    /// No more than one event's worth.
    ready: VecDeque<Result<Delta, Failure>>,
}

impl Deltas {
    pub(crate) fn new(events: ChatStream, frames: Arc<Frames>, reader: Arc<Reader>) -> Self {
        Self { events: Some(events), frames, reader, ready: VecDeque::new() }
    }

    fn take_event(&mut self, event: Option<genai::Result<ChatStreamEvent>>) {
        let mut seen = self.frames.lock();
        let mut last = None;
        match event {
            Some(Ok(ChatStreamEvent::Chunk(chunk))) => {
                self.ready.push_back(Ok(Delta::Text(chunk.content)));
            }
            Some(Ok(ChatStreamEvent::ReasoningChunk(chunk))) => {
                self.ready.push_back(Ok(Delta::Reasoning(chunk.content)));
            }
            Some(Ok(ChatStreamEvent::End(_))) => last = Some(Ok(())),
            // Tool calls come from the frames; the rest says nothing.
            Some(Ok(_)) => {}
            Some(Err(error)) => last = Some(Err(self.reader.read(error))),
            // No `[DONE]`: a few servers just close, which is fine once they gave a reason.
            None if seen.finish_reason.is_some() => last = Some(Ok(())),
            None if seen.any => last = Some(Err(ModelError::Cut { source: None }.into())),
            None => {
                let problem = ReplyProblem::NotAnEventStream;
                last = Some(Err(ModelError::BadReply { problem }.into()));
            }
        }
        let pieces = std::mem::take(&mut seen.pieces);
        self.ready.extend(pieces.into_iter().map(|piece| Ok(Delta::ToolCall(piece))));
        if let Some(last) = last {
            let end = last.map(|()| Delta::End { finish_reason: Seen::end(&mut seen) });
            if end.is_ok() {
                self.ready.extend(seen.usage.take().map(|usage| Ok(Delta::Usage(usage))));
            }
            self.ready.push_back(end);
            self.events = None;
        }
    }
}

impl Stream for Deltas {
    type Item = Result<Delta, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Poll::Ready(Some(item));
            }
            let Some(events) = &mut self.events else {
                return Poll::Ready(None);
            };
            match quietly(|| events.poll_next_unpin(cx)) {
                Poll::Ready(event) => self.take_event(event),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Runs the library without a log: at level `error` it writes the whole body of a refusal, which
/// may repeat the prompt or the key. What matters about it reaches the log through our errors.
fn quietly<T>(run: impl FnOnce() -> T) -> T {
    tracing::dispatcher::with_default(&tracing::Dispatch::none(), run)
}
