//! A model that answers from a script, for tests and demonstrations.
//!
//! It records what it was asked and never panics: a script that has run out is an error that says
//! so. It never opens a connection.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use crate::{
    ChatModel, ChatRequest, ChatStream, Delta, FinishReason, ModelError, ModelInfo, ToolCallDelta,
    Usage,
};

/// Requests kept for inspection; older ones are dropped first, so a long demonstration stays small.
pub const REQUESTS_KEPT_MAX: usize = 4096;

/// A model that answers from a script.
///
/// The script is a queue, answered in order of the calls ([`then`](Self::then)), or a function from
/// request to reply ([`answering`](Self::answering)), for concurrent calls that are told apart by
/// content.
pub struct ScriptedModel {
    info: ModelInfo,
    script: Script,
    interval: Duration,
    requests: Mutex<VecDeque<ChatRequest>>,
    calls: watch::Sender<usize>,
    abandoned: Arc<AtomicUsize>,
}

enum Script {
    Queue(Mutex<VecDeque<ScriptedReply>>),
    Answer(Box<dyn Fn(&ChatRequest) -> ScriptedReply + Send + Sync>),
}

impl ScriptedModel {
    /// A model with an empty queue; the provider is called `scripted`.
    pub fn new(name: impl Into<String>) -> Self {
        Self::with_script(name, Script::Queue(Mutex::default()))
    }

    /// A model whose replies are computed from the requests.
    pub fn answering(
        name: impl Into<String>,
        answer: impl Fn(&ChatRequest) -> ScriptedReply + Send + Sync + 'static,
    ) -> Self {
        Self::with_script(name, Script::Answer(Box::new(answer)))
    }

    fn with_script(name: impl Into<String>, script: Script) -> Self {
        Self {
            info: ModelInfo { provider: "scripted".into(), name: name.into() },
            script,
            interval: Duration::ZERO,
            requests: Mutex::default(),
            calls: watch::Sender::new(0),
            abandoned: Arc::default(),
        }
    }

    /// Appends a reply to the queue; replaces the function, if there is one, by a queue.
    pub fn then(mut self, reply: ScriptedReply) -> Self {
        match &self.script {
            Script::Queue(queue) => lock(queue).push_back(reply),
            Script::Answer(_) => self.script = Script::Queue(Mutex::new([reply].into())),
        }
        self
    }

    /// Waits this long, on Tokio's clock, before each delta.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// What was asked so far, oldest first, at most [`REQUESTS_KEPT_MAX`].
    pub fn requests(&self) -> Vec<ChatRequest> {
        lock(&self.requests).iter().cloned().collect()
    }

    /// Number of calls so far.
    pub fn calls(&self) -> usize {
        *self.calls.borrow()
    }

    /// Waits until the model has been called `calls` times.
    ///
    /// # Cancel safety
    /// Nothing is lost when dropped.
    pub async fn called(&self, calls: usize) {
        let mut seen = self.calls.subscribe();
        // The sender lives in `self`, so the only way out is the condition.
        let _ = seen.wait_for(|made| *made >= calls).await;
    }

    /// Number of streams that were dropped before their last item.
    pub fn abandoned(&self) -> usize {
        self.abandoned.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl ChatModel for ScriptedModel {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    async fn stream(&self, request: ChatRequest) -> Result<ChatStream, ModelError> {
        let reply = match &self.script {
            Script::Queue(queue) => lock(queue).pop_front(),
            Script::Answer(answer) => Some(answer(&request)),
        };
        {
            let mut requests = lock(&self.requests);
            if requests.len() == REQUESTS_KEPT_MAX {
                requests.pop_front();
            }
            requests.push_back(request);
        }
        let mut call = 0;
        self.calls.send_modify(|calls| {
            *calls += 1;
            call = *calls;
        });
        let Some(reply) = reply else {
            return Err(ModelError::ScriptEmpty { model: self.info.name.clone(), call });
        };
        reply.play(self.interval, Arc::clone(&self.abandoned)).await
    }
}

impl std::fmt::Debug for ScriptedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedModel").field("info", &self.info).finish_non_exhaustive()
    }
}

/// One scripted reply: what arrives, in order.
#[derive(Debug, Default)]
pub struct ScriptedReply {
    steps: VecDeque<Step>,
    finish_reason: Option<FinishReason>,
    tool_calls: u32,
}

#[derive(Debug)]
enum Step {
    Delta(Delta),
    Fail(ModelError),
    Delay(Duration),
    Gate(Arc<Semaphore>),
    Cut,
}

impl ScriptedReply {
    /// A text that arrives word by word.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::chunks(text.as_ref().split_inclusive(char::is_whitespace))
    }

    /// A text in given pieces; empty ones are left out.
    pub fn chunks<S: Into<String>>(chunks: impl IntoIterator<Item = S>) -> Self {
        let chunks = chunks.into_iter().map(Into::into).filter(|chunk| !chunk.is_empty());
        let steps = chunks.map(|chunk| Step::Delta(Delta::Text(chunk))).collect();
        Self { steps, ..Self::default() }
    }

    /// A value as JSON text, in one piece. A value that has no JSON form becomes the text `null`.
    pub fn json(value: &impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        Self::chunks([value.to_string()])
    }

    /// A call of a tool; more can follow with [`and_tool_call`](Self::and_tool_call).
    pub fn tool_call(id: &str, name: &str, args: &serde_json::Value) -> Self {
        Self::default().and_tool_call(id, name, args)
    }

    /// A failure before anything arrives.
    pub fn error(error: ModelError) -> Self {
        Self::default().then_error(error)
    }

    /// Adds a call of a tool, in two pieces as providers send it: the head, then the arguments.
    pub fn and_tool_call(mut self, id: &str, name: &str, args: &serde_json::Value) -> Self {
        let index = self.tool_calls;
        self.tool_calls += 1;
        let (id, name) = (Some(id.to_owned()), Some(name.to_owned()));
        let head = ToolCallDelta { index, id, name, args: String::new() };
        let tail = ToolCallDelta { index, id: None, name: None, args: args.to_string() };
        self.steps.extend([head, tail].map(|piece| Step::Delta(Delta::ToolCall(piece))));
        self
    }

    /// Puts reasoning before everything else.
    pub fn reasoning(mut self, text: impl Into<String>) -> Self {
        self.steps.push_front(Step::Delta(Delta::Reasoning(text.into())));
        self
    }

    /// Reports tokens, at this place.
    pub fn usage(mut self, usage: Usage) -> Self {
        self.steps.push_back(Step::Delta(Delta::Usage(usage)));
        self
    }

    /// Ends for this reason instead of `stop`, or `tool_calls` if there are any.
    pub fn finish(mut self, reason: FinishReason) -> Self {
        self.finish_reason = Some(reason);
        self
    }

    /// Fails at this place.
    pub fn then_error(mut self, error: ModelError) -> Self {
        self.steps.push_back(Step::Fail(error));
        self
    }

    /// Stops at this place without an end, as a broken connection does.
    pub fn then_cut(mut self) -> Self {
        self.steps.push_back(Step::Cut);
        self
    }

    /// Waits this long at this place, on Tokio's clock, which tests can pause.
    pub fn then_delay(mut self, delay: Duration) -> Self {
        self.steps.push_back(Step::Delay(delay));
        self
    }

    /// Waits at this place for a permit of `gate`, and uses it up.
    pub fn then_wait(mut self, gate: Arc<Semaphore>) -> Self {
        self.steps.push_back(Step::Gate(gate));
        self
    }

    /// Waits for a permit of `gate` before anything arrives, and uses it up.
    pub fn wait_first(mut self, gate: Arc<Semaphore>) -> Self {
        self.steps.push_front(Step::Gate(gate));
        self
    }

    /// Adds text, in one piece, at this place.
    pub fn then_text(mut self, text: impl Into<String>) -> Self {
        self.steps.push_back(Step::Delta(Delta::Text(text.into())));
        self
    }

    /// Plays up to the first item, so that an error before it is an error of the call.
    async fn play(
        mut self,
        interval: Duration,
        abandoned: Arc<AtomicUsize>,
    ) -> Result<ChatStream, ModelError> {
        let finish_reason = self.finish_reason.unwrap_or(if self.tool_calls > 0 {
            FinishReason::ToolCalls
        } else {
            FinishReason::Stop
        });
        self.steps.push_back(Step::Delta(Delta::End { finish_reason }));
        let mut player = Player { steps: self.steps, interval, abandoned };
        let first = player.next().await.transpose()?;
        let rest = stream::unfold(player, |mut player| async move {
            player.next().await.map(|item| (item, player))
        });
        let first = stream::iter(first.map(Ok));
        Ok(ChatStream::new(futures::StreamExt::chain(first, rest)))
    }
}

/// A reply being played.
struct Player {
    steps: VecDeque<Step>,
    interval: Duration,
    abandoned: Arc<AtomicUsize>,
}

impl Player {
    async fn next(&mut self) -> Option<Result<Delta, ModelError>> {
        loop {
            // Looked at, not taken: a player dropped while it waits still has steps left.
            match self.steps.front()? {
                Step::Delay(delay) => tokio::time::sleep(*delay).await,
                Step::Gate(gate) => {
                    // A closed gate is an open one: the test is over.
                    if let Ok(permit) = Arc::clone(gate).acquire_owned().await {
                        permit.forget();
                    }
                }
                Step::Delta(_) | Step::Fail(_) | Step::Cut => {
                    if !self.interval.is_zero() {
                        tokio::time::sleep(self.interval).await;
                    }
                    return match self.steps.pop_front()? {
                        Step::Delta(delta) => Some(Ok(delta)),
                        Step::Fail(error) => {
                            self.steps.clear();
                            Some(Err(error))
                        }
                        _ => {
                            self.steps.clear();
                            None
                        }
                    };
                }
            }
            self.steps.pop_front();
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        if !self.steps.is_empty() {
            self.abandoned.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A lock whose holder panicked still guards plain data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
