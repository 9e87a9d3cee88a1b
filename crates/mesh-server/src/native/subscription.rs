//! The threads that a connection follows.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use mesh_protocol::socket::EndReason;
use mesh_runtime::{Error, Follow, Told as Next, early::Early, log::Kind};
use tokio_util::sync::ReusableBoxFuture;
use uuid::Uuid;

use super::{
    carry::Opened,
    encoding::{Encoding, Encodings, OfThread},
    reading::{Reading, Told},
};
use crate::{begun::Begun, refusal::Refusal, socket::Socket};

/// Threads that one connection may follow.
pub(super) const SUBSCRIPTIONS_MAX: usize = 64;

/// Events of one thread that are told before others get their turn.
const TURN: usize = 64;

type Heard = (Follow, Result<Option<Next>, Error>);

/// A thread that is followed.
struct Subscription {
    thread: Uuid,
    name: String,
    reading: Reading,
    /// None while the next entry is waited for.
    follow: Option<Follow>,
    /// Waits for the next entry. Made once: what it takes is taken again and again.
    next: Option<ReusableBoxFuture<'static, Heard>>,
    shared: Arc<OfThread>,
    /// The run whose own the thread is.
    own: Option<Uuid>,
    /// Messages of which text came early.
    begun: Begun,
}

/// All of a connection.
#[derive(Default)]
pub(super) struct Subscriptions {
    all: Vec<Subscription>,
    /// Who is asked first: each in turn, so that a busy thread does not keep others waiting.
    first: usize,
    told: Vec<Told>,
}

/// A thread that has something.
pub(super) struct Ready {
    index: usize,
    next: Heard,
}

/// A subscription that is over.
pub(super) struct Over {
    pub(super) thread: String,
    pub(super) reason: EndReason,
}

impl Subscriptions {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether a thread is followed.
    pub(super) fn has(&self, thread: Uuid) -> bool {
        self.all.iter().any(|one| one.thread == thread)
    }

    /// Follows one more thread, or one anew.
    pub(super) fn open(&mut self, opened: Opened, shared: &Encodings) {
        let Opened { thread, reading, follow, is_spare, own, .. } = opened;
        let known = self.all.iter().position(|one| one.thread == thread);
        if known.is_some() && is_spare {
            return;
        }
        if let Some(known) = known {
            self.all.remove(known);
        }
        self.all.push(Subscription {
            thread,
            name: thread.to_string(),
            reading,
            follow: Some(follow),
            next: None,
            shared: shared.of(thread),
            own,
            begun: Begun::default(),
        });
    }

    pub(super) fn close(&mut self, thread: Uuid) {
        self.all.retain(|one| one.thread != thread);
    }

    /// Lets more events of a thread come.
    ///
    /// # Errors
    /// It is not followed; it would be too many.
    pub(super) fn credit(&mut self, thread: Uuid, add: u32) -> Result<(), Refusal> {
        let known = self.all.iter_mut().find(|one| one.thread == thread);
        known.ok_or(Refusal::NotSubscribed)?.reading.add_credit(add)
    }

    /// How far each is.
    pub(super) fn cursors(&self) -> impl Iterator<Item = (String, u64)> {
        self.all.iter().map(|one| (one.name.clone(), one.reading.cursor()))
    }

    /// Whether something was read ahead that cannot be told now.
    pub(super) fn holds(&self) -> bool {
        self.all.iter().any(|one| one.follow.as_ref().is_some_and(Follow::is_ahead))
    }

    /// Lets go of what was read ahead.
    pub(super) fn let_go(&mut self) {
        for follow in self.all.iter_mut().filter_map(|one| one.follow.as_mut()) {
            follow.let_go();
        }
    }

    /// Waits until a thread that may tell something has something.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn ready(&mut self) -> Ready {
        std::future::poll_fn(|context| self.poll_ready(context)).await
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Ready> {
        let count = self.all.len();
        for turn in 0..count {
            let index = (self.first + turn) % count;
            let Some(one) = self.all.get_mut(index).filter(|one| one.reading.may_take()) else {
                continue;
            };
            if let Poll::Ready(next) = one.poll_next(context) {
                self.first = index + 1;
                return Poll::Ready(Ready { index, next });
            }
        }
        Poll::Pending
    }

    /// Tells what a thread has, and what else is ready of it while there is room. Says whether the
    /// subscription is over.
    pub(super) fn tell(
        &mut self,
        Ready { index, next: (mut follow, mut next) }: Ready,
        encoding: Encoding,
        socket: &mut Socket,
    ) -> Option<Over> {
        let one = self.all.get_mut(index)?;
        let told = &mut self.told;
        let mut over;
        let mut count = 0;
        loop {
            match next {
                Ok(Some(Next::Entry(entry))) => {
                    let ended = entry.kind == Kind::Ended && one.own == Some(entry.run);
                    over = ended.then_some(EndReason::Done);
                    one.reading.take(entry, told);
                }
                Ok(Some(Next::Number(entry))) => {
                    over = None;
                    one.reading.pass(&entry, told);
                }
                Ok(Some(Next::Early(early))) => {
                    over = None;
                    one.reading.flush(told);
                    one.send(told, encoding, socket);
                    one.send_early(&early, encoding, socket);
                }
                Ok(None) => over = Some(EndReason::Deleted),
                Err(error) => {
                    tracing::error!(%error, thread_id = one.name, "a log cannot be read on");
                    over = Some(EndReason::Failed);
                }
            }
            one.send(told, encoding, socket);
            count += 1;
            if over.is_some() || count == TURN || !one.reading.may_take() || !socket.has_room() {
                break;
            }
            let Some(ready) = follow.at_hand() else { break };
            next = Ok(Some(ready));
        }
        one.reading.flush(told);
        one.send(told, encoding, socket);
        one.follow = Some(follow);
        let reason = over?;
        let one = self.all.remove(index);
        Some(Over { thread: one.name, reason })
    }
}

impl Subscription {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Heard> {
        if let Some(mut follow) = self.follow.take() {
            let next = async move {
                let next = follow.told().await;
                (follow, next)
            };
            match &mut self.next {
                Some(waits) => waits.set(next),
                None => self.next = Some(ReusableBoxFuture::new(next)),
            }
        }
        match &mut self.next {
            Some(waits) => waits.poll(context),
            None => Poll::Pending,
        }
    }

    fn send_early(&mut self, early: &Early, encoding: Encoding, socket: &mut Socket) {
        if !self.reading.wants_early(early) {
            return;
        }
        let passed = self.reading.take_early();
        let is_first = self.begun.is_first(&early.said);
        socket.feed(&self.shared.delta(encoding, &self.name, early, passed, is_first));
    }

    fn send(&self, told: &mut Vec<Told>, encoding: Encoding, socket: &mut Socket) {
        for told in told.drain(..) {
            socket.feed(&self.shared.event(encoding, &self.name, &told));
        }
    }
}
