//! Making, finding, changing and removing crons.

use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::{Cron, Schedule};
use crate::{
    Error, Runtime, Scope, Stamp, Tx,
    containment::contains_entries,
    idempotency::{Made, remember},
    page::{Direction, Page, Window},
};

/// A cron to make.
#[derive(Debug, Clone, Default)]
pub struct NewCron {
    /// Its id.
    pub id: Uuid,
    /// The assistant.
    pub assistant: Uuid,
    /// See [`Cron::thread`].
    pub thread: Option<String>,
    /// See [`Cron::schedule`].
    pub schedule: String,
    /// See [`Cron::timezone`].
    pub timezone: Option<String>,
    /// See [`Cron::end_time`].
    pub end_time: Option<Stamp>,
    /// The request as it came.
    pub payload: Map<String, Json>,
    /// See [`Cron::metadata`].
    pub metadata: Map<String, Json>,
    /// See [`Cron::on_run_completed`].
    pub on_run_completed: Option<String>,
    /// See [`Cron::enabled`].
    pub enabled: bool,
    /// See [`Cron::granted`].
    pub granted: Map<String, Json>,
}

/// What to change about a cron; what is left out stays.
#[derive(Debug, Clone, Default)]
pub struct CronPatch {
    /// Another schedule.
    pub schedule: Option<String>,
    /// Another zone; none in it means UTC.
    pub timezone: Option<Option<String>>,
    /// Another end; none in it means no end.
    pub end_time: Option<Option<Stamp>>,
    /// Entries that are added to those it has, or replace them.
    pub metadata: Option<Map<String, Json>>,
    /// Something else becomes of the threads of its runs.
    pub on_run_completed: Option<String>,
    /// Whether it fires.
    pub enabled: Option<bool>,
    /// Members of the request that are added to those it has, or replace them.
    pub payload: Map<String, Json>,
}

/// What a search looks for. What is left out does not matter.
#[derive(Debug, Clone, Default)]
pub struct CronFilter {
    /// The assistant.
    pub assistant: Option<Uuid>,
    /// The thread.
    pub thread: Option<String>,
    /// Whether it fires.
    pub enabled: Option<bool>,
    /// Entries that the metadata contains; see [`crate::containment`].
    pub metadata: Option<Map<String, Json>>,
}

/// What a search is sorted by. Equal ones are in order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CronSort {
    /// By id.
    Id,
    /// By assistant.
    Assistant,
    /// By thread.
    Thread,
    /// By the time it was made.
    #[default]
    CreatedAt,
    /// By the time it was changed.
    UpdatedAt,
    /// By its next instant.
    NextRun,
    /// By its end.
    EndTime,
}

impl CronFilter {
    fn matches(&self, scope: &Scope, cron: &Cron) -> bool {
        scope.sees(cron.owner.as_deref())
            && self.enabled.is_none_or(|enabled| enabled == cron.enabled)
            && self.metadata.as_ref().is_none_or(|part| contains_entries(&cron.metadata, part))
    }
}

impl Runtime {
    /// Makes a cron; see [`create()`](create()).
    ///
    /// # Errors
    /// As [`create()`](create()); [`Error::KeyInUse`]; [`Error::DiskFull`].
    ///
    /// # Cancel safety
    /// A dropped future may or may not have made it.
    pub async fn create_cron(&self, scope: &Scope, new: NewCron) -> Result<Cron, Error> {
        let (scope, now, key) = (scope.clone(), self.stamp(), self.claim().cloned());
        let made = self.ledger().write(move |tx| {
            let cron = create(tx, now, &scope, new)?;
            remember(tx, key.as_deref(), || Made::Cron(cron.id))?;
            Ok(cron)
        });
        let cron = made.await?;
        self.crons_changed();
        Ok(cron)
    }
}

/// Makes a cron.
///
/// # Errors
/// [`Error::Invalid`] names the schedule, the zone or the end; [`Error::NoThread`];
/// [`Error::Storage`].
pub fn create(tx: &mut dyn Tx, now: Stamp, scope: &Scope, new: NewCron) -> Result<Cron, Error> {
    if let Some(thread) = &new.thread
        && tx.thread_outline(thread, scope)?.is_none()
    {
        return Err(Error::NoThread(thread.clone()));
    }
    let mut payload = new.payload;
    payload.insert("assistant_id".to_owned(), json!(new.assistant));
    let config = payload.entry("config").or_insert_with(|| json!({}));
    if config.is_null() {
        *config = json!({});
    }
    if config["configurable"].is_null() {
        config["configurable"] = json!({});
    }
    if let Some(configurable) = config["configurable"].as_object_mut() {
        configurable.insert("cron_id".to_owned(), json!(new.id));
    }
    let mut cron = Cron {
        id: new.id,
        assistant: new.assistant,
        thread: new.thread,
        schedule: new.schedule,
        timezone: new.timezone,
        end_time: new.end_time,
        payload,
        next_run: None,
        metadata: new.metadata,
        on_run_completed: new.on_run_completed,
        enabled: new.enabled,
        created_at: now,
        updated_at: now,
        owner: scope.owner().map(str::to_owned),
        granted: new.granted,
    };
    plan(&mut cron, now)?;
    tx.put_cron(&cron)?;
    Ok(cron)
}

/// The cron with this id, for this caller.
///
/// # Errors
/// [`Error::NoCron`]; [`Error::Damaged`]; [`Error::Storage`].
pub fn get(tx: &mut dyn Tx, scope: &Scope, id: Uuid) -> Result<Cron, Error> {
    let cron = tx.cron(id)?.filter(|cron| scope.sees(cron.owner.as_deref()));
    cron.ok_or(Error::NoCron(id))
}

/// Changes a cron, and plans its next instant anew.
///
/// # Errors
/// As [`create`] and [`get`].
pub fn update(
    tx: &mut dyn Tx,
    now: Stamp,
    scope: &Scope,
    id: Uuid,
    patch: CronPatch,
) -> Result<Cron, Error> {
    let mut cron = get(tx, scope, id)?;
    if let Some(schedule) = patch.schedule {
        cron.schedule = schedule;
    }
    if let Some(timezone) = patch.timezone {
        cron.timezone = timezone;
    }
    if let Some(end_time) = patch.end_time {
        cron.end_time = end_time;
    }
    if let Some(metadata) = patch.metadata {
        cron.metadata.extend(metadata);
    }
    if let Some(on_run_completed) = patch.on_run_completed {
        cron.on_run_completed = Some(on_run_completed);
    }
    if let Some(enabled) = patch.enabled {
        cron.enabled = enabled;
    }
    cron.payload.extend(patch.payload);
    cron.updated_at = now;
    plan(&mut cron, now)?;
    tx.put_cron(&cron)?;
    Ok(cron)
}

/// Removes a cron.
///
/// # Errors
/// As [`get`].
pub fn remove(tx: &mut dyn Tx, scope: &Scope, id: Uuid) -> Result<(), Error> {
    get(tx, scope, id)?;
    tx.remove_cron(id)?;
    Ok(())
}

/// One page of the crons that match, for this caller.
///
/// # Errors
/// [`Error::Damaged`]; [`Error::Storage`].
pub fn search(
    tx: &mut dyn Tx,
    scope: &Scope,
    filter: &CronFilter,
    by: CronSort,
    direction: Direction,
    window: Window,
) -> Result<Page<Cron>, Error> {
    let (assistant, thread) = (filter.assistant, filter.thread.as_deref());
    Page::pick(
        window,
        |cron| filter.matches(scope, cron),
        |visit| tx.visit_crons(assistant, thread, by, direction, visit),
    )
}

/// How many crons match, for this caller.
///
/// # Errors
/// As [`search`].
pub fn count(tx: &mut dyn Tx, scope: &Scope, filter: &CronFilter) -> Result<usize, Error> {
    let mut seen = 0;
    let (assistant, thread) = (filter.assistant, filter.thread.as_deref());
    tx.visit_crons(assistant, thread, CronSort::default(), Direction::default(), &mut |cron| {
        seen += usize::from(filter.matches(scope, &cron));
        std::ops::ControlFlow::Continue(())
    })?;
    Ok(seen)
}

/// Sets the next instant: none for a cron that does not fire any more.
pub(super) fn plan(cron: &mut Cron, after: Stamp) -> Result<(), Error> {
    let wrong =
        |pointer: &str, message: String| Error::Invalid { pointer: pointer.to_owned(), message };
    let schedule = Schedule::parse(&cron.schedule, cron.timezone.as_deref()).map_err(|error| {
        let pointer = match &error {
            super::ScheduleError::Pattern { .. } => "/schedule",
            super::ScheduleError::Zone { .. } => "/timezone",
        };
        wrong(pointer, error.to_string())
    })?;
    let next = schedule.after(after);
    cron.next_run = next.filter(|next| cron.end_time.is_none_or(|end| *next <= end));
    Ok(())
}
