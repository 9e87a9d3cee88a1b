//! How a run comes to be.

use std::sync::Arc;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use super::{
    Now, Told,
    cancel::cancel_run,
    claim::Claim,
    merge::{self, Merged},
    rows::Head,
    transition::{Cause, is_due, step},
};
use crate::{
    Assistant, Error, Limit, Policy, Run, Scope, Thread, Tx,
    run::{CancelAction, Kwargs, Multitask, RunStatus},
    thread::{ThreadStatus, Ttl},
};

/// Runs that may be pending or running on one thread.
pub const OPEN_MAX: usize = 1000;

/// Entries of `configurable` that say who asks. The server writes them ([`NewRun::granted`]);
/// clients cannot.
pub const OF_THE_CALLER: [&str; 3] =
    ["langgraph_auth_user", "langgraph_auth_user_id", "langgraph_auth_permissions"];

/// Where a new run goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To a thread with this id.
    Thread {
        /// The id.
        id: String,
        /// Whether the thread is made if it is not there.
        make: bool,
    },
    /// To a thread of its own.
    Own {
        /// Whether the thread stays when the run has ended.
        keep: bool,
    },
}

/// A run that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// The assistant, as it is now.
    pub assistant: Arc<Assistant>,
    /// Where it goes.
    pub target: Target,
    /// The graph's input; null goes on with what the thread left unfinished.
    pub input: Json,
    /// `{resume?, update?, goto?}`; wins over the input.
    pub command: Option<Json>,
    /// `{tags?, recursion_limit?, configurable?, metadata?}`.
    pub config: Map<String, Json>,
    /// What nodes get as their context; not together with `configurable`.
    pub context: Option<Json>,
    /// Free entries.
    pub metadata: Map<String, Json>,
    /// What the server itself adds to `configurable`: who asked, some of the headers, the cron.
    /// Wins over what was asked for.
    pub granted: Map<String, Json>,
    /// The checkpoint to start from: `{checkpoint_id, checkpoint_ns?, checkpoint_map?}`.
    pub checkpoint: Option<Json>,
    /// Nodes to stop before: `"*"` or a list of names.
    pub interrupt_before: Option<Json>,
    /// Nodes to stop after: `"*"` or a list of names.
    pub interrupt_after: Option<Json>,
    /// Names of stream modes; what is told of the run.
    pub stream_mode: Vec<String>,
    /// What mounted graphs do is told, too.
    pub subgraphs: bool,
    /// The client may come back.
    pub resumable: bool,
    /// Where to tell how it ended.
    pub webhook: Option<String>,
    /// Not used; shown as it was given.
    pub feedback_keys: Option<Json>,
    /// `sync`, `async` or `exit`.
    pub durability: Option<String>,
    /// What happens if the thread has other runs.
    pub multitask: Multitask,
    /// How long it has to wait at least, in milliseconds.
    pub after_ms: i64,
    /// It was asked for under an idempotency key: what it leaves can be asked for as long as that.
    pub under_key: bool,
}

impl NewRun {
    /// A run of an assistant with nothing else asked for.
    pub fn new(assistant: Arc<Assistant>, target: Target) -> Self {
        Self {
            assistant,
            target,
            input: Json::Null,
            command: None,
            config: Map::new(),
            context: None,
            metadata: Map::new(),
            granted: Map::new(),
            checkpoint: None,
            interrupt_before: None,
            interrupt_after: None,
            stream_mode: vec!["values".to_owned()],
            subgraphs: false,
            resumable: false,
            webhook: None,
            feedback_keys: None,
            durability: None,
            multitask: Multitask::default(),
            after_ms: 0,
            under_key: false,
        }
    }
}

/// A run that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Created {
    /// The run.
    pub run: Run,
    /// Whether the worker that offered itself has it.
    pub is_claimed: bool,
    /// What others wait for.
    pub told: Told,
}

/// Makes a run, on a thread that is made for it if need be. Other runs of the thread are treated
/// as [`NewRun::multitask`] says. A worker that has room can offer to take the run at once; it gets
/// it if nothing is before it.
///
/// # Errors
/// [`Error::NoThread`]; [`Error::Busy`]; [`Error::Full`] beyond [`OPEN_MAX`] and beyond what the
/// policy takes on; [`Error::Invalid`]; [`Error::Storage`].
pub fn create(
    tx: &mut dyn Tx,
    now: Now,
    scope: &Scope,
    ids: Ids,
    new: NewRun,
    claim: Option<Claim>,
    policy: &Policy,
) -> Result<Created, Error> {
    let thread = match &new.target {
        Target::Thread { id, .. } => id.clone(),
        Target::Own { .. } => ids.thread.to_string(),
    };
    let head = match &new.target {
        Target::Thread { make, .. } => match tx.head(&thread)? {
            Some(head) if scope.sees(head.owner.as_deref()) => Some(head),
            None if *make => None,
            _ => return Err(Error::NoThread(thread)),
        },
        Target::Own { .. } => None,
    };
    let mut told = Told::default();
    let before = match &head {
        Some(head) if head.open > 0 => make_room(tx, now, &thread, head, &new, &mut told)?,
        _ => 0,
    };
    let is_new = head.is_none();
    let (owner, metadata, config) = if let Some(head) = head {
        check_state(&head, policy)?;
        (head.owner, head.metadata, head.config)
    } else {
        let owner = scope.owner().map(str::to_owned);
        (owner, merge::metadata_of_new_thread(&new), Map::new())
    };
    let waits = claim.is_none() || before > 0 || new.after_ms > 0;
    let max = policy.pending_runs_max;
    if waits && tx.count_pending(owner.as_deref(), max)? >= max {
        return Err(Limit::PendingRuns.reached(max));
    }
    let merged = merge::merge(&new, ids.run, &thread, metadata, &config)?;
    if is_new {
        tx.insert_thread(&Thread {
            metadata: merged.thread_metadata.clone(),
            status: ThreadStatus::Busy,
            ttl: policy
                .thread_ttl
                .filter(|_| new.target != Target::Own { keep: false })
                .map(|(minutes, strategy)| Ttl::from(now.at, minutes, strategy)),
            config: merged.thread_config.clone(),
            owner: owner.clone(),
            ..Thread::new(&thread, now.at)
        })?;
    } else {
        tx.enter(&thread, now.at, &merged.thread_metadata, &merged.thread_config)?;
    }
    let mut run = describe(new, ids.run, thread, owner, merged, now);
    let offered = claim.filter(|_| before == 0 && is_due(&run, now.at));
    let is_claimed = offered.is_some_and(|claim| step(&mut run, now, &Cause::Claimed(claim)));
    tx.insert_run(&run)?;
    told.due |= !is_claimed;
    Ok(Created { run, is_claimed, told })
}

/// Ids for a run and for the thread that it may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// The run's.
    pub run: Uuid,
    /// The thread's.
    pub thread: Uuid,
}

/// Refuses to add to a state that is too large.
pub(crate) fn check_state(head: &Head, policy: &Policy) -> Result<(), Error> {
    let max = policy.state_bytes_max;
    if head.state_bytes > max as u64 { Err(Limit::State.reached(max)) } else { Ok(()) }
}

/// Does with the open runs of a thread what the new one asks for. Returns how many are left open.
fn make_room(
    tx: &mut dyn Tx,
    now: Now,
    thread: &str,
    head: &Head,
    new: &NewRun,
    told: &mut Told,
) -> Result<usize, Error> {
    let action = match new.multitask {
        Multitask::Reject => return Err(Error::Busy { thread: thread.to_owned() }),
        Multitask::Enqueue if head.open >= OPEN_MAX => {
            return Err(Limit::RunsOfThread.reached(OPEN_MAX));
        }
        Multitask::Enqueue => return Ok(head.open),
        Multitask::Interrupt => CancelAction::Interrupt,
        Multitask::Rollback => CancelAction::Rollback,
    };
    let mut left = 0;
    for mut run in tx.open_runs(thread)? {
        told.add(cancel_run(tx, now, &mut run, action)?);
        left += usize::from(!run.status.is_final());
    }
    Ok(left)
}

fn describe(
    new: NewRun,
    id: Uuid,
    thread: String,
    owner: Option<String>,
    merged: Merged,
    now: Now,
) -> Run {
    Run {
        id,
        thread,
        assistant: new.assistant.id,
        graph: new.assistant.graph.clone(),
        created_at: now.at,
        updated_at: now.at,
        started_at: None,
        ended_at: None,
        metadata: merged.metadata,
        kwargs: Kwargs {
            input: new.input,
            command: new.command,
            config: merged.config,
            context: merged.context,
            stream_mode: new.stream_mode,
            interrupt_before: new.interrupt_before,
            interrupt_after: new.interrupt_after,
            webhook: new.webhook,
            feedback_keys: new.feedback_keys,
            temporary: new.target == Target::Own { keep: false },
            subgraphs: new.subgraphs,
            resumable: new.resumable,
            durability: new.durability,
            checkpoint: merged.checkpoint,
            under_key: new.under_key,
        },
        multitask: new.multitask,
        status: RunStatus::Pending,
        attempt: 0,
        epoch: 0,
        lease_owner: None,
        lease_until: None,
        not_before: (new.after_ms > 0).then(|| now.at.plus_ms(new.after_ms)),
        deadline: None,
        cancel_at: None,
        cancel_action: CancelAction::default(),
        error: None,
        base: None,
        owner,
    }
}
