//! Crons: runs that are made when the time has come.
//!
//! A cron fires at most once per instant, whatever clocks and restarts do: the instant is a row,
//! written in the transaction that makes the run. After a time in which nobody fired it, it fires
//! once, for the last instant it missed.

mod fire;
mod keep;
mod rows;
mod schedule;

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::Stamp;

pub use self::{
    fire::{FIRE_BATCH, FIRES_KEPT, Fired, fire_due},
    keep::{CronFilter, CronPatch, CronSort, NewCron, count, create, get, remove, search, update},
    rows::CronRows,
    schedule::{Schedule, ScheduleError},
};

/// A cron.
#[derive(Debug, Clone, PartialEq)]
pub struct Cron {
    /// Its id.
    pub id: Uuid,
    /// The assistant it runs.
    pub assistant: Uuid,
    /// The thread of its runs; without one, every run has a thread of its own.
    pub thread: Option<String>,
    /// When it fires: five fields, or six with seconds first.
    pub schedule: String,
    /// Zone that the schedule is in, an IANA name; UTC without.
    pub timezone: Option<String>,
    /// Fires no more after this.
    pub end_time: Option<Stamp>,
    /// The request that its runs are made by, with the ids of the assistant and the cron in it.
    pub payload: Map<String, Json>,
    /// The next instant it fires; none when there is no more.
    pub next_run: Option<Stamp>,
    /// Free entries, which searches can filter by.
    pub metadata: Map<String, Json>,
    /// `delete` or `keep`: what becomes of the thread that a run had for itself.
    pub on_run_completed: Option<String>,
    /// Whether it fires at all.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Stamp,
    /// When it was last changed.
    pub updated_at: Stamp,
    /// Who made it.
    pub owner: Option<String>,
    /// What the server adds to the `configurable` of its runs: who made it.
    pub granted: Map<String, Json>,
}
