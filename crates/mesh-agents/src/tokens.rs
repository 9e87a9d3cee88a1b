//! Tokens of a model call, put on the `messages` stream while the call goes on.
//!
//! The call never waits for a slow reader: pieces that were not sent yet are joined, so at most
//! one reply's text is held.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use mesh_graph::{Ctx, NodeResult, Saying};
use mesh_model::{ChatModel, Delta, MessageChunk};
use serde_json::{Map, json};
use tokio::sync::Notify;

/// Puts the tokens of one call on the stream.
pub(crate) struct Tokens<'a, D> {
    ctx: &'a Ctx<D>,
    facts: Map<String, serde_json::Value>,
    pending: Arc<Pending>,
    /// Calls of the same task before this one.
    earlier: u32,
}

#[derive(Default)]
struct Pending {
    pieces: Mutex<Vec<(u32, Delta)>>,
    some: Notify,
}

impl<'a, D: Send + Sync + 'static> Tokens<'a, D> {
    pub(crate) fn new(ctx: &'a Ctx<D>, model: &dyn ChatModel) -> Self {
        let info = model.info();
        let mut facts = Map::new();
        facts.insert("ls_provider".to_owned(), json!(info.provider));
        facts.insert("ls_model_name".to_owned(), json!(info.name));
        facts.insert("ls_model_type".to_owned(), json!("chat"));
        Self { ctx, facts, pending: Arc::default(), earlier: 0 }
    }

    /// For a task that has asked a model this many times before.
    pub(crate) fn after_calls(mut self, earlier: u32) -> Self {
        self.earlier = earlier;
        self
    }

    /// The id of the reply to this attempt: the task's, and one of their own for repairs, as
    /// `structured_with` names them.
    pub(crate) fn id(&self, attempt: u32) -> String {
        let task = self.ctx.info().task_id;
        match self.earlier.saturating_add(attempt) {
            0 => task.to_string(),
            repair => format!("{task}-r{repair}"),
        }
    }

    /// Takes the pieces of the call.
    pub(crate) fn observer(&self) -> impl FnMut(u32, &Delta) + Send + use<D> {
        let pending = Arc::clone(&self.pending);
        let wanted = self.ctx.wants_messages();
        move |attempt, delta| {
            if !wanted {
                return;
            }
            let mut pieces = pending.pieces.lock().unwrap_or_else(PoisonError::into_inner);
            match (pieces.last_mut(), delta) {
                (Some((last, Delta::Text(text))), Delta::Text(more)) if *last == attempt => {
                    text.push_str(more);
                }
                _ => pieces.push((attempt, delta.clone())),
            }
            drop(pieces);
            pending.some.notify_one();
        }
    }

    /// Waits for the call and sends its pieces meanwhile.
    pub(crate) async fn forward<T>(&self, call: impl Future<Output = T>) -> NodeResult<T> {
        let over = AtomicBool::new(false);
        let calling = async {
            let answer = call.await;
            over.store(true, Ordering::Release);
            self.pending.some.notify_one();
            answer
        };
        let sending = async {
            let mut saying = None;
            loop {
                self.pending.some.notified().await;
                let last = over.load(Ordering::Acquire);
                self.send(&mut saying).await?;
                if last {
                    return NodeResult::Ok(());
                }
            }
        };
        // Side by side: a reader that takes nothing does not hold up the call.
        let (answer, sent) = futures::future::join(calling, sending).await;
        sent.map(|()| answer)
    }

    /// Sends what is pending. `saying` is the attempt whose text was sent last.
    async fn send(&self, saying: &mut Option<(u32, Saying)>) -> NodeResult<()> {
        let pieces = {
            let mut pieces = self.pending.pieces.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *pieces)
        };
        for (attempt, delta) in pieces {
            if let Delta::Text(text) = delta {
                let known = saying.take().filter(|(known, _)| *known == attempt);
                let said = if let Some((_, said)) = known {
                    said
                } else {
                    let piece = MessageChunk::new(&self.id(attempt), &Delta::Text(String::new()));
                    self.ctx.saying(&piece, &self.facts)?
                };
                said.say(text).await;
                *saying = Some((attempt, said));
                continue;
            }
            let chunk = MessageChunk::new(&self.id(attempt), &delta);
            self.ctx.message(&chunk, &self.facts).await?;
        }
        Ok(())
    }
}
