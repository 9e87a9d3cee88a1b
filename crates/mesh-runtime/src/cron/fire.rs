//! Firing crons.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value as Json, json};

use super::{Cron, keep::plan};
use crate::{
    Error, Policy, Runtime, Scope, Stamp, Tx,
    run::Multitask,
    runs::{Ids, NewRun, Now, OF_THE_CALLER, Target, Told, create},
};

/// Crons that fire in one transaction.
pub const FIRE_BATCH: usize = 100;

/// How long it is remembered for which instants a cron fired, in milliseconds: longer than any
/// clock is wrong that anybody would notice.
pub const FIRES_KEPT: i64 = 7 * 24 * 3600 * 1000;

/// What firing did.
#[derive(Debug, Default)]
pub struct Fired {
    /// Runs that were made.
    pub runs: usize,
    /// What others wait for.
    pub told: Told,
    /// The earliest next instant of all crons.
    pub next: Option<Stamp>,
}

/// Makes a run for every cron that is due, at most [`FIRE_BATCH`], and sets their next instants.
/// A cron whose run cannot be made has missed this instant; one whose assistant or thread is gone
/// is disabled.
///
/// # Errors
/// [`Error::Storage`] and the like, and then none has fired.
pub fn fire_due(
    tx: &mut dyn Tx,
    now: Now,
    mut ids: impl FnMut() -> Ids,
    policy: &Policy,
) -> Result<Fired, Error> {
    let mut fired = Fired::default();
    for mut cron in tx.due_crons(now.at, FIRE_BATCH)? {
        let Some(instant) = cron.next_run else { continue };
        let ids = ids();
        if tx.note_fire(cron.id, instant, ids.run)? {
            match run(tx, now, ids, &cron, policy) {
                Ok(told) => {
                    fired.runs += 1;
                    fired.told.add(told);
                }
                Err(error @ (Error::NoThread(_) | Error::NoAssistant(_))) => {
                    tracing::warn!(cron = %cron.id, %error, "the cron is disabled");
                    cron.enabled = false;
                }
                Err(error @ (Error::Busy { .. } | Error::Full { .. } | Error::Invalid { .. })) => {
                    tracing::info!(cron = %cron.id, %error, "the cron misses an instant");
                }
                Err(error) => return Err(error),
            }
        }
        tx.forget_fires(cron.id, instant.plus_ms(-FIRES_KEPT))?;
        if plan(&mut cron, now.at).is_err() {
            // A zone that this build does not know any more.
            cron.enabled = false;
        }
        tx.put_cron(&cron)?;
    }
    fired.next = tx.next_cron()?;
    Ok(fired)
}

fn run(tx: &mut dyn Tx, now: Now, ids: Ids, cron: &Cron, policy: &Policy) -> Result<Told, Error> {
    let assistant = tx.assistant(cron.assistant)?;
    let assistant = assistant.ok_or_else(|| Error::NoAssistant(cron.assistant.to_string()))?;
    let target = match &cron.thread {
        Some(id) => Target::Thread { id: id.clone(), make: false },
        None => Target::Own { keep: cron.on_run_completed.as_deref() == Some("keep") },
    };
    let scope = cron.owner.clone().map_or(Scope::All, Scope::Owner);
    let new = request(cron, NewRun::new(Arc::new(assistant), target));
    Ok(create(tx, now, &scope, ids, new, None, policy)?.told)
}

/// The run that the cron's payload asks for.
fn request(cron: &Cron, mut new: NewRun) -> NewRun {
    let given = |name: &str| cron.payload.get(name).filter(|value| !value.is_null()).cloned();
    let object = |name: &str| match given(name) {
        Some(Json::Object(entries)) => entries,
        _ => Map::new(),
    };
    let text = |name: &str| given(name).and_then(|value| value.as_str().map(str::to_owned));
    let flag = |name: &str| given(name).and_then(|value| value.as_bool()).unwrap_or(false);
    new.input = given("input").unwrap_or_default();
    new.command = given("command");
    new.config = object("config");
    new.context = given("context");
    if let Some(configurable) = new.config.get_mut("configurable")
        && let Some(entries) = configurable.as_object_mut()
    {
        entries.retain(|name, _| !OF_THE_CALLER.contains(&&**name));
    }
    if new.context.is_some()
        && let Some(configurable) = new.config.get_mut("configurable")
        && let Some(entries) = configurable.as_object_mut()
    {
        // Ours, and no configuration of the caller's that the context could contradict.
        entries.remove("cron_id");
    }
    new.metadata = object("metadata");
    new.metadata.extend(cron.metadata.clone());
    new.granted.clone_from(&cron.granted);
    new.granted.insert("cron_id".to_owned(), json!(cron.id));
    new.checkpoint = given("checkpoint");
    new.interrupt_before = given("interrupt_before");
    new.interrupt_after = given("interrupt_after");
    new.stream_mode = match given("stream_mode") {
        Some(Json::String(mode)) => vec![mode],
        Some(Json::Array(modes)) => {
            modes.iter().filter_map(Json::as_str).map(str::to_owned).collect()
        }
        _ => vec!["values".to_owned()],
    };
    new.subgraphs = flag("stream_subgraphs");
    new.resumable = flag("stream_resumable");
    new.webhook = text("webhook");
    new.durability = text("durability");
    new.multitask = given("multitask_strategy")
        .and_then(|value| serde_json::from_value::<Multitask>(value).ok())
        .unwrap_or_default();
    new
}

/// How often crons are looked at when nothing else says so: the clock may be set, and with it what
/// is due.
const LOOK_EVERY: Duration = Duration::from_secs(15);

impl Runtime {
    /// Fires crons as they become due, until it is dropped.
    ///
    /// # Cancel safety
    /// A cron has fired or it has not.
    pub async fn run_crons(&self) {
        loop {
            let next = match self.fire_crons().await {
                Ok(fired) => fired.next,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "crons cannot be fired");
                    None
                }
            };
            let wait = next.map_or(LOOK_EVERY, |next| {
                // One more: an instant is in microseconds and must have passed.
                let ms = next.ms().saturating_sub(self.env().now_ms()).saturating_add(1);
                Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(LOOK_EVERY)
            });
            tokio::select! {
                () = self.env().sleep(wait) => {}
                () = self.until_crons_changed() => {}
            }
        }
    }

    /// Fires every cron that is due, and says when the next one will be.
    ///
    /// # Errors
    /// [`Error::DiskFull`]; [`Error::Storage`].
    ///
    /// # Cancel safety
    /// A dropped future may or may not have fired them.
    pub async fn fire_crons(&self) -> Result<Fired, Error> {
        loop {
            let (now, runtime, policy) = (self.now(), self.clone(), *self.policy());
            let fired = self
                .ledger()
                .write(move |tx| fire_due(tx, now, || runtime.new_ids(), &policy))
                .await?;
            self.tell(&fired.told);
            if fired.next.is_none_or(|next| next > now.at) {
                return Ok(fired);
            }
        }
    }
}
