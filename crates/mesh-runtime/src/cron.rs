//! Crons: runs that are made when the time has come.

use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::Stamp;

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
    /// The request that its runs are made by.
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
}
