//! What calls do: the rules behind them are the runtime's, the same as those behind REST.

use std::sync::Arc;

use mesh_graph::Patch;
use mesh_protocol::{
    run::{CancelAction as WireCancel, OnDisconnect, RunCreate},
    socket::{
        Answer, Call, CallId, Cancel, Changed, Follow as Asked, Fork, Frame, GapReason, Outcome,
        Pong, Start, Started, Subscribe, Subscribed, Update, Watch as AskedWatch, Watching,
    },
};
use mesh_runtime::{
    Error, Follow, Outlook, Run, Runtime, Scope, Stamp,
    idempotency::{Key, Made},
    run::{CancelAction, MERGED_PIECES},
    runs::{RunQuery, Selection},
    thread::state::{At, StateChange},
    watch::{Changes, Watch},
};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::reading::Reading;
use crate::{
    auth::Action,
    idempotency::KEY_CHARS_MAX,
    refusal::Refusal,
    rest::{Making, new_run, state_refusal, wire_thread},
};

/// What came of a call.
pub(super) struct Carried {
    pub(super) id: CallId,
    /// The thread that it was about.
    pub(super) thread: Option<Uuid>,
    /// Whether it was to follow a thread.
    pub(super) follows: bool,
    pub(super) result: Result<(Outcome, Effect), Refusal>,
}

/// What a call does to its connection.
pub(super) enum Effect {
    None,
    /// A run was made.
    Started {
        /// Its thread and the run, if it is cancelled when the client leaves.
        leaves: Option<(String, Uuid)>,
        /// Its thread is followed.
        open: Option<Box<Opened>>,
    },
    /// A thread is followed.
    Open(Box<Opened>),
    /// A thread is followed no more, if it was.
    Close(Uuid),
    /// More events of a thread may come.
    Credit(Uuid, u32),
    /// Threads are watched: from now on, and these have changed before.
    Watch(Watch, Changes),
    Unwatch,
}

/// A subscription that begins.
pub(super) struct Opened {
    pub(super) thread: Uuid,
    pub(super) reading: Reading,
    pub(super) follow: Follow,
    /// What is told before the first event.
    pub(super) before: Vec<Frame>,
    /// A subscription that is there already stays.
    pub(super) is_spare: bool,
    /// The run whose own the thread is: when it ends, so does the subscription.
    pub(super) own: Option<Uuid>,
}

/// Carries out a call.
pub(super) async fn carry(making: Making, call: Call) -> Carried {
    let (id, thread) = super::call::about(&call);
    let (id, follows) = (id.clone(), super::call::follows(&call));
    let result = Carrier(making).carry(call).await;
    Carried { id, thread, follows, result }
}

struct Carrier(Making);

type Result_ = Result<(Outcome, Effect), Refusal>;

const DONE: Outcome = Outcome::Done {};

impl Carrier {
    async fn carry(self, call: Call) -> Result_ {
        match call {
            Call::Start(start) => self.start(start).await,
            Call::Answer(answer) => self.answer(answer).await,
            Call::Cancel(cancel) => self.cancel(cancel).await,
            Call::Update(update) => {
                let Update { thread_id, values, as_node, .. } = update;
                self.change(thread_id, At::default(), values, as_node).await
            }
            Call::Fork(fork) => {
                let Fork { thread_id, checkpoint_id, checkpoint_ns, values, as_node, .. } = fork;
                let at = At { ns: checkpoint_ns, checkpoint: Some(checkpoint_id) };
                self.change(thread_id, at, values, as_node).await
            }
            Call::Subscribe(subscribe) => self.subscribe(subscribe).await,
            Call::Unsubscribe(of) => Ok((DONE, Effect::Close(of.thread_id))),
            Call::Credit(credit) => Ok((DONE, Effect::Credit(credit.thread_id, credit.add))),
            Call::Watch(watch) => self.watch(watch).await,
            Call::Unwatch(_) => Ok((DONE, Effect::Unwatch)),
            Call::Ping(_) => {
                Ok((Outcome::Pong(Pong { at_ms: self.runtime().env().now_ms() }), Effect::None))
            }
        }
    }

    fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }

    fn scope(&self, action: Action) -> Result<Scope, Refusal> {
        self.0.caller.scope(action)
    }

    async fn start(self, start: Start) -> Result_ {
        let digest = digest("start", start.thread_id, &start.run);
        let Start { thread_id, run, subscribe, key, .. } = start;
        let leaves = run.on_disconnect == OnDisconnect::Cancel;
        let make = self.make(thread_id, subscribe, leaves)?;
        make.once(key, digest, What::Run(run)).await
    }

    async fn answer(self, answer: Answer) -> Result_ {
        let thread = answer.thread_id;
        let said = json!([answer.answer, answer.answers, answer.stream_mode]);
        let digest = digest("answer", Some(thread), &said);
        let make = self.make(Some(thread), answer.subscribe.clone(), false)?;
        let key = answer.key.clone();
        make.once(key, digest, What::Answer(Box::new(answer))).await
    }

    fn make(
        self,
        thread: Option<Uuid>,
        subscribe: Option<Asked>,
        leaves: bool,
    ) -> Result<Make, Refusal> {
        let scope = self.scope(Action::CreateRun)?;
        Ok(Make { making: self.0, scope, thread, subscribe, leaves })
    }

    async fn cancel(&self, cancel: Cancel) -> Result_ {
        let scope = self.scope(Action::UpdateThread)?;
        let action = match cancel.action {
            WireCancel::AfterStep => CancelAction::AfterStep,
            WireCancel::Interrupt => CancelAction::Interrupt,
            WireCancel::Rollback => CancelAction::Rollback,
        };
        let thread = Some(cancel.thread_id.to_string());
        let selection = Selection::Runs { thread, ids: vec![cancel.run_id] };
        let cancelled = self.runtime().cancel(&scope, &selection, action).await?;
        if cancelled.known == 0 {
            return Err(Error::NoRun(cancel.run_id).into());
        }
        if cancelled.runs.is_empty() {
            return Err(Refusal::conflict("run_ended", "the run has ended already"));
        }
        Ok((DONE, Effect::None))
    }

    async fn change(&self, thread: Uuid, at: At, values: Json, as_node: Option<String>) -> Result_ {
        let scope = self.scope(Action::UpdateThread)?;
        let patch = if values.is_null() { Patch::none() } else { Patch::values(values) };
        let patch = match &as_node {
            Some(node) => patch.as_node(node),
            None => patch,
        };
        let change = StateChange { at, patch };
        let changed = self.runtime().change_state(&scope, &thread.to_string(), change).await;
        let checkpoint = changed.map_err(state_refusal)?;
        Ok((Outcome::Changed(Changed { checkpoint }), Effect::None))
    }

    async fn subscribe(&self, asked: Subscribe) -> Result_ {
        let scope = self.scope(Action::ReadThread)?;
        let thread = asked.thread_id;
        let name = thread.to_string();
        // The filter first: what is wrong with it does not depend on the thread.
        let mut reading = Reading::new(&asked.follow, "/follow", 0)?;
        let mut outlook = self.runtime().outlook(&scope, &name, false).await?;
        let mut begins = begin(&asked, &outlook);
        if begins.snapshot {
            outlook = self.runtime().outlook(&scope, &name, true).await?;
            begins = begin(&asked, &outlook);
        }
        reading.begin(begins.after);
        let Outlook { thread: row, oldest, last, settled, log } = outlook;
        let mut before = Vec::new();
        if let (Some(reason), Some(after)) = (begins.gap, asked.after) {
            before.push(Frame::Gap { thread_id: name.clone(), after, oldest, last, reason });
        }
        if begins.snapshot {
            let thread = Box::new(wire_thread(row));
            before.push(Frame::Snapshot { thread_id: name.clone(), seq: settled, thread });
        }
        let follow = as_asked(self.runtime().follow_thread(&name, begins.after), &asked.follow);
        let opened = Opened { thread, reading, follow, before, is_spare: false, own: None };
        let outcome = Subscribed { log, after: begins.after, last };
        Ok((Outcome::Subscribed(outcome), Effect::Open(Box::new(opened))))
    }

    async fn watch(&self, asked: AskedWatch) -> Result_ {
        let scope = self.scope(Action::SearchThreads)?;
        let since = asked.since.map(|text| stamp(&text)).transpose()?;
        // First, so that nothing is missed in between.
        let watch = self.runtime().watch();
        let changed = match since {
            Some(since) => self.runtime().threads_changed_since(&scope, since).await?,
            None => Changes::default(),
        };
        let since = since.unwrap_or_else(|| self.runtime().stamp());
        let outcome = Outcome::Watching(Watching { since: since.to_string() });
        Ok((outcome, Effect::Watch(watch, changed)))
    }
}

/// A run that is to be made.
struct Make {
    making: Making,
    scope: Scope,
    thread: Option<Uuid>,
    subscribe: Option<Asked>,
    leaves: bool,
}

/// What kind of run.
enum What {
    Run(Box<RunCreate>),
    Answer(Box<Answer>),
}

/// A run that was made, and a number before its first event.
type MadeRun = (Run, u64);

impl Make {
    /// Makes the run, unless it was made under this key before.
    async fn once(mut self, key: Option<String>, digest: [u8; 32], what: What) -> Result_ {
        let reading = match &self.subscribe {
            Some(asked) => Some(Reading::new(asked, "/subscribe", 0)?),
            None => None,
        };
        let shared = Arc::clone(&self.making.shared);
        let mut before = None;
        let _handling = match key {
            None => None,
            Some(text) => {
                let key = self.key(text)?;
                let handling = shared.handled.begin(&key).ok_or(Refusal::KeyInUse)?;
                let runtime = &self.making.runtime;
                match runtime.key(&key).await? {
                    Some(kept) if kept.request != digest => {
                        let detail = "/key: it was used for another call";
                        return Err(Refusal::invalid(Some("/key".to_owned()), detail));
                    }
                    Some(kept) => before = Some(self.made_before(&kept.made).await?),
                    None => self.making.runtime = runtime.keyed(key, digest),
                }
                Some(handling)
            }
        };
        let (run, after) = match before {
            Some(made) => made,
            None => match what {
                What::Run(body) => self.run(*body, None).await?,
                What::Answer(answer) => self.answer(*answer).await?,
            },
        };
        let thread = run.thread.clone();
        let runtime = &self.making.runtime;
        // A thread that the run has for itself may be gone with it already.
        let log = match runtime.outlook(&self.scope, &thread, false).await {
            Ok(outlook) => outlook.log,
            Err(Error::NoThread(_)) => String::new(),
            Err(error) => return Err(error.into()),
        };
        let started = Started { run_id: run.id, thread_id: thread.clone(), after, log };
        let of = Uuid::try_parse(&thread).map_err(|_| Refusal::Internal)?;
        let leaves = self.leaves.then(|| (thread.clone(), run.id));
        let open = reading.map(|mut reading| {
            reading.begin(after);
            let own = (self.thread.is_none() && run.kwargs.temporary).then_some(run.id);
            let follow = runtime.follow_thread(&thread, after);
            let follow = match &self.subscribe {
                Some(asked) => as_asked(follow, asked),
                None => follow,
            };
            let before = Vec::new();
            Box::new(Opened { thread: of, reading, follow, before, is_spare: true, own })
        });
        Ok((Outcome::Started(started), Effect::Started { leaves, open }))
    }

    fn key(&self, text: String) -> Result<Key, Refusal> {
        let fits = (1..=KEY_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if !fits {
            let detail = format!("/key: expected 1 to {KEY_CHARS_MAX} printable ASCII characters");
            return Err(Refusal::invalid(Some("/key".to_owned()), detail));
        }
        Ok(Key { principal: self.making.caller.owner().unwrap_or_default().to_owned(), text })
    }

    async fn made_before(&self, made: &Made) -> Result<MadeRun, Refusal> {
        let Made::Runs(runs) = made else { return Err(Refusal::Internal) };
        let [id] = runs[..] else { return Err(Refusal::Internal) };
        let run = self.making.runtime.run(&self.scope, None, id).await?;
        let after = self.making.runtime.before_run(&run.thread, id).await?;
        Ok((run, after))
    }

    /// Makes the run that answers the open questions of the thread.
    async fn answer(&self, answer: Answer) -> Result<MadeRun, Refusal> {
        let runtime = &self.making.runtime;
        let thread = answer.thread_id.to_string();
        let questions = runtime.questions(&self.scope, &thread).await?;
        let resume = resume(&questions.open, answer.answer, answer.answers)?;
        let newest = RunQuery { status: None, limit: 1, offset: 0 };
        let last = runtime.runs(&self.scope, &thread, &newest).await?.pop();
        let Some(assistant) = questions.assistant else {
            return Err(Error::NoGraphYet { thread }.into());
        };
        let going = last.as_ref().is_some_and(|run| !run.status.is_final());
        let body = crate::extract::typed(json!({
            "assistant_id": assistant,
            "command": { "resume": resume },
            "stream_mode": answer.stream_mode,
            "stream_subgraphs": last.as_ref().is_some_and(|run| run.kwargs.subgraphs),
            // The run that asked may still have to end. Else whoever answers second answers nothing.
            "multitask_strategy": if going { "enqueue" } else { "reject" },
        }))?;
        let modes = last.filter(|_| answer.stream_mode.is_none());
        self.run(body, modes.map(|run| run.kwargs.stream_mode)).await
    }

    /// Makes the run, and tells these modes of it instead of those of its body.
    async fn run(&self, body: RunCreate, modes: Option<Vec<String>>) -> Result<MadeRun, Refusal> {
        let (runtime, thread) = (&self.making.runtime, self.thread);
        let after = match thread {
            Some(id) => match runtime.outlook(&self.scope, &id.to_string(), false).await {
                Ok(outlook) => outlook.last,
                Err(Error::NoThread(_)) => 0,
                Err(error) => return Err(error.into()),
            },
            None => 0,
        };
        let within = |refusal: Refusal| refusal.within("/run");
        let mut new = new_run(&self.making, thread, body).await.map_err(within)?;
        if let Some(modes) = modes {
            new.stream_mode = modes;
        }
        let early = self.subscribe.as_ref().is_some_and(|follow| follow.early);
        if early && !new.stream_mode.iter().any(|name| name == MERGED_PIECES) {
            new.stream_mode.push(MERGED_PIECES.to_owned());
        }
        let run = runtime.create_run(&self.scope, new).await;
        Ok((run.map_err(|error| within(error.into()))?, after))
    }
}

/// With text that is not stored yet, if the client wants that.
fn as_asked(follow: Follow, asked: &Asked) -> Follow {
    if asked.early { follow.early() } else { follow }
}

/// Where a subscription begins.
#[derive(Debug, PartialEq, Eq)]
struct Begin {
    gap: Option<GapReason>,
    snapshot: bool,
    after: u64,
}

/// Finds the place in a log that a client asks for. Pure.
fn begin(asked: &Subscribe, outlook: &Outlook) -> Begin {
    let &Outlook { oldest, last, settled, .. } = outlook;
    let Some(after) = asked.after else {
        let after = if asked.snapshot { settled } else { last };
        return Begin { gap: None, snapshot: asked.snapshot, after };
    };
    let other = asked.log.as_ref().is_some_and(|log| *log != outlook.log);
    let is_kept = after == last || oldest.is_some_and(|oldest| oldest <= after + 1);
    let gap = match () {
        () if other => Some(GapReason::OtherLog),
        () if after > last => Some(GapReason::Ahead),
        () if !is_kept => Some(GapReason::Trimmed),
        () => None,
    };
    match gap {
        Some(_) => Begin { gap, snapshot: true, after: settled },
        None => Begin { gap, snapshot: false, after },
    }
}

/// What the open questions of a thread are answered with.
fn resume(
    open: &[String],
    one: Option<Json>,
    many: Option<Map<String, Json>>,
) -> Result<Json, Refusal> {
    let none = |pointer: String, detail: String| Refusal::NoQuestion { pointer, detail };
    match (one, many) {
        (Some(answer), None) if open.len() == 1 => Ok(answer),
        (Some(_), None) if open.is_empty() => {
            Err(none("/answer".to_owned(), "/answer: the thread has no open question".to_owned()))
        }
        (Some(_), None) => {
            let detail = format!("/answer: {} questions are open; give answers by id", open.len());
            Err(none("/answer".to_owned(), detail))
        }
        (None, Some(answers)) => {
            let foreign = answers.keys().find(|id| !open.contains(id));
            if let Some(id) = foreign {
                let pointer = format!("/answers/{}", id.replace('~', "~0").replace('/', "~1"));
                let detail = format!("{pointer}: no open question has this id");
                return Err(none(pointer, detail));
            }
            if answers.is_empty() {
                let detail = "/answers: expected at least one".to_owned();
                return Err(none("/answers".to_owned(), detail));
            }
            Ok(Json::Object(answers))
        }
        (Some(_), Some(_)) | (None, None) => {
            let detail = "expected either answer or answers";
            Err(Refusal::invalid(Some(String::new()), detail))
        }
    }
}

/// A point in time as [`Stamp`] shows it.
fn stamp(text: &str) -> Result<Stamp, Refusal> {
    text.parse::<jiff::Timestamp>().map(Stamp::from).map_err(|_| {
        let detail = "/since: expected a time as in 2026-11-22T07:46:13.499003+00:00";
        Refusal::invalid(Some("/since".to_owned()), detail)
    })
}

/// What a call asks for, in short.
fn digest(op: &str, thread: Option<Uuid>, asked: &impl serde::Serialize) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(op.as_bytes());
    hasher.update(thread.unwrap_or_default().as_bytes());
    hasher.update(&serde_json::to_vec(asked).unwrap_or_default());
    *hasher.finalize().as_bytes()
}
