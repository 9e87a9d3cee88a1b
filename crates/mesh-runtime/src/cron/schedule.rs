//! When a cron fires.

use std::str::FromStr;

use croner::{
    Cron as Pattern,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Zoned, tz::TimeZone};

use crate::Stamp;

/// Longest schedule and longest name of a zone, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// A schedule in a zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    pattern: Pattern,
    zone: TimeZone,
}

/// A schedule that is none. Shown to the client as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The pattern cannot be read, or there is no instant that fits it.
    #[error("Invalid cron schedule: '{schedule}'. {why}")]
    Pattern {
        /// What was given.
        schedule: String,
        /// What is wrong.
        why: String,
    },
    /// There is no such zone.
    #[error("Invalid timezone: '{zone}'. Expected an IANA name such as Europe/Zurich")]
    Zone {
        /// What was given.
        zone: String,
    },
}

impl Schedule {
    /// Reads a pattern of five fields, or six with seconds first, in an IANA zone, UTC without.
    ///
    /// # Errors
    /// [`ScheduleError`] says which of the two is wrong.
    pub fn parse(schedule: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let wrong = |why: String| ScheduleError::Pattern { schedule: schedule.to_owned(), why };
        if schedule.len() > TEXT_BYTES_MAX {
            return Err(ScheduleError::Pattern {
                schedule: schedule.chars().take(40).chain("…".chars()).collect(),
                why: format!("Expected at most {TEXT_BYTES_MAX} bytes"),
            });
        }
        let parser =
            CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let pattern = parser.parse(schedule).map_err(|error| wrong(error.to_string()))?;
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => named(name)
                .ok_or_else(|| ScheduleError::Zone { zone: name.chars().take(80).collect() })?,
        };
        Ok(Self { pattern, zone })
    }

    /// The first instant after this one; none when there is no more.
    ///
    /// An hour that the zone skips counts as the first instant behind it, once; one that it has
    /// twice counts once.
    pub fn after(&self, stamp: Stamp) -> Option<Stamp> {
        let from: Zoned = stamp.timestamp().to_zoned(self.zone.clone());
        let next = self.pattern.find_next_occurrence(&from, false).ok()?;
        let next = Stamp::from(next.timestamp());
        (next > stamp).then_some(next)
    }
}

fn named(name: &str) -> Option<TimeZone> {
    // Without a slash there are names such as `localtime`, which mean the machine and not a place.
    let known = name.len() <= TEXT_BYTES_MAX && !name.eq_ignore_ascii_case("localtime");
    if known { TimeZone::get(name).ok() } else { None }
}

impl FromStr for Schedule {
    type Err = ScheduleError;
    fn from_str(schedule: &str) -> Result<Self, ScheduleError> {
        Self::parse(schedule, None)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::Schedule;
    use crate::Stamp;

    /// The next instants of a schedule.
    fn check(schedule: &str, zone: &str, from: &str, expected: &[&str]) {
        let schedule = Schedule::parse(schedule, Some(zone)).unwrap();
        let mut at = Stamp::from(from.parse::<Timestamp>().unwrap());
        let mut seen = Vec::new();
        for _ in expected {
            at = schedule.after(at).unwrap();
            seen.push(at.timestamp().to_string());
        }
        assert_eq!(seen, expected);
    }

    #[test]
    fn minutes_and_seconds() {
        check(
            "*/20 * * * *",
            "UTC",
            "2026-11-22T10:00:00Z",
            &["2026-11-22T10:20:00Z", "2026-11-22T10:40:00Z", "2026-11-22T11:00:00Z"],
        );
        check(
            "*/30 * * * * *",
            "UTC",
            "2026-11-22T10:00:01Z",
            &["2026-11-22T10:00:30Z", "2026-11-22T10:01:00Z"],
        );
    }

    #[test]
    fn an_hour_that_is_skipped_fires_once_behind_it() {
        // In Zurich 02:30 is missing on 2027-03-28.
        check(
            "30 2 * * *",
            "Europe/Zurich",
            "2027-03-27T12:00:00Z",
            &["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"],
        );
    }

    #[test]
    fn an_hour_that_comes_twice_fires_once() {
        // In Zurich 02:30 is there twice on 2027-10-31.
        check(
            "30 2 * * *",
            "Europe/Zurich",
            "2027-10-30T12:00:00Z",
            &["2027-10-31T00:30:00Z", "2027-11-01T01:30:00Z"],
        );
    }

    #[test]
    fn what_is_no_schedule_is_refused_by_name() {
        let refused = |schedule: &str, zone: Option<&str>| {
            Schedule::parse(schedule, zone).unwrap_err().to_string()
        };
        assert!(refused("x", None).starts_with("Invalid cron schedule: 'x'. "));
        assert!(refused("61 * * * *", None).starts_with("Invalid cron schedule: '61 * * * *'. "));
        assert!(refused("", None).starts_with("Invalid cron schedule: ''. "));
        assert!(
            refused("* * * * *", Some("Mars/Base")).starts_with("Invalid timezone: 'Mars/Base'")
        );
        assert!(refused(&"*".repeat(9999), None).len() < 200);
    }

    #[test]
    fn a_day_that_never_comes_has_no_instant() {
        let schedule = Schedule::parse("0 0 30 2 *", None);
        assert!(schedule.is_err() || schedule.unwrap().after(Stamp(0)).is_none());
    }
}
