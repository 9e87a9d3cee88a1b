//! What has to be true of the rows at any time, whatever was killed when.
//!
//! This looks and reports; it changes nothing.

use std::{collections::BTreeSet, fmt};

use uuid::Uuid;

use crate::{Error, Stamp, Tx, outbox::LETTERS_KEPT, run::RunStatus, thread::ThreadStatus};

/// Threads that are looked at together.
const BATCH: usize = 100;

/// Something that is not as it has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule, such as `I5`.
    pub rule: &'static str,
    /// What it is about, such as `thread t`.
    pub about: String,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.rule, self.about, self.found)
    }
}

/// What is stored about a thread, as far as the rules need it.
#[derive(Debug, Clone, PartialEq)]
pub struct ThreadFacts {
    /// The thread.
    pub thread: String,
    /// What it says that it is doing.
    pub status: ThreadStatus,
    /// The number that its next entry gets.
    pub next_seq: u64,
    /// How many entries its log has, and the numbers of the first and the last one.
    pub entries: (u64, Option<(u64, u64)>),
    /// Its runs.
    pub runs: Vec<RunFacts>,
    /// What its log says about each run, also of those that were removed.
    pub told: Vec<ToldFacts>,
    /// What cannot be read of its checkpoints, and links between them that do not lead back.
    pub checkpoints: Vec<String>,
}

/// What is stored about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFacts {
    /// Its id.
    pub id: Uuid,
    /// Its status.
    pub status: RunStatus,
    /// Its fencing number.
    pub epoch: u64,
    /// Whether it has an owner, and whether its claim has an end.
    pub lease: (bool, bool),
    /// When it ended.
    pub ended_at: Option<Stamp>,
    /// Whether somebody has to be told how it ends, and whether there is a letter about it,
    /// delivered or not.
    pub letter: (bool, bool),
}

/// What a log says about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldFacts {
    /// The run.
    pub run: Uuid,
    /// The highest fencing number among its entries.
    pub epoch_max: u64,
    /// How many ends it has.
    pub ends: u64,
    /// Whether the last of its entries is an end.
    pub is_ended: bool,
}

/// What the rules are held against.
pub trait FactRows {
    /// The next threads after this one, in the order of their ids.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Storage`].
    fn facts(&mut self, after: &str, limit: usize) -> Result<Vec<ThreadFacts>, Error>;

    /// Shows every stored text and every stored run of bytes, with the name of its place.
    ///
    /// # Errors
    /// [`Error::Storage`].
    fn stored(&mut self, show: &mut dyn FnMut(&str, &[u8])) -> Result<(), Error>;
}

/// Holds against all rows the rules that are about threads, as they have to be at `now`.
///
/// # Errors
/// [`Error::Damaged`]; [`Error::Storage`].
pub fn check(tx: &mut dyn Tx, now: Stamp) -> Result<Vec<Violation>, Error> {
    let mut violations = Vec::new();
    let mut after = String::new();
    loop {
        let threads = tx.facts(&after, BATCH)?;
        for thread in &threads {
            check_thread(thread, now, &mut violations);
        }
        match threads.into_iter().next_back() {
            Some(last) => after = last.thread,
            None => return Ok(violations),
        }
    }
}

/// Looks for runs of which somebody else knows that they were accepted.
///
/// # Errors
/// [`Error::Damaged`]; [`Error::Storage`].
pub fn check_accepted(tx: &mut dyn Tx, runs: &[Uuid]) -> Result<Vec<Violation>, Error> {
    let mut violations = Vec::new();
    for id in runs {
        if tx.run(*id)?.is_none() {
            let found = "it was accepted, and it is not there".to_owned();
            violations.push(Violation { rule: "I9", about: format!("run {id}"), found });
        }
    }
    Ok(violations)
}

/// Looks for secrets in all that is stored: `secrets` names those that it finds in some bytes.
/// Each is told once for every place that it is in.
///
/// # Errors
/// [`Error::Storage`].
pub fn check_secrets(
    tx: &mut dyn Tx,
    mut secrets: impl FnMut(&[u8]) -> Vec<String>,
) -> Result<Vec<Violation>, Error> {
    let mut found = BTreeSet::new();
    tx.stored(&mut |place, bytes| {
        found.extend(secrets(bytes).into_iter().map(|secret| (place.to_owned(), secret)));
    })?;
    let violation = |(place, secret)| Violation {
        rule: "I14",
        about: place,
        found: format!("{secret} is stored"),
    };
    Ok(found.into_iter().map(violation).collect())
}

fn check_thread(facts: &ThreadFacts, now: Stamp, violations: &mut Vec<Violation>) {
    let mut found = |rule, found: String| {
        violations.push(Violation { rule, about: format!("thread {}", facts.thread), found });
    };
    let with = |status| facts.runs.iter().filter(move |run| run.status == status);
    let running = with(RunStatus::Running).count();
    if running > 1 {
        found("I1", format!("{running} runs are running"));
    }
    match facts.entries {
        (0, _) => {}
        (count, Some((first, last))) => {
            if last - first + 1 != count {
                found("I2", format!("{count} entries are numbered {first} to {last}"));
            }
            if last + 1 != facts.next_seq {
                let next = facts.next_seq;
                found("I2", format!("the last entry is {last}, and the next one would be {next}"));
            }
        }
        (count, None) => found("I2", format!("{count} entries have no number")),
    }
    for reason in &facts.checkpoints {
        found("I3, I4", reason.clone());
    }
    // What was told before the oldest entry that is kept is not known any more.
    let is_cut = facts.next_seq > 1 && facts.entries.1.is_none_or(|(first, _)| first > 1);
    for run in &facts.runs {
        let (id, status) = (run.id, run.status.name());
        let told = facts.told.iter().find(|told| told.run == run.id);
        let ends = told.map_or(0, |told| told.ends);
        if run.status.is_final() && ends != 1 && !(ends == 0 && is_cut) {
            found("I5", format!("run {id} is {status} and has {ends} ends"));
        }
        if !run.status.is_final() && ends > 0 {
            found("I5", format!("run {id} is {status} and has an end"));
        }
        let is_running = run.status == RunStatus::Running;
        if run.lease != (is_running, is_running) {
            found("I6", format!("run {id} is {status}, and of its lease there is {:?}", run.lease));
        }
        if run.status.is_final() != run.ended_at.is_some() {
            found("I6", format!("run {id} is {status}, and its end has the wrong time"));
        }
        // Letters are forgotten some time after they have arrived.
        let kept_ms = i64::try_from(LETTERS_KEPT.as_millis()).unwrap_or(i64::MAX);
        let is_recent = run.ended_at.is_some_and(|ended| ended.plus_ms(kept_ms) > now);
        match run.letter {
            (true, false) if run.status.is_final() && is_recent => {
                found("I10", format!("run {id} is {status}, and nobody is told"));
            }
            (false, true) => found("I10", format!("run {id} has a letter to nobody")),
            (true, true) if !run.status.is_final() => {
                found("I10", format!("run {id} is {status}, and its end is told"));
            }
            _ => {}
        }
        if let Some(told) = told.filter(|told| told.epoch_max > run.epoch) {
            let (own, other) = (run.epoch, told.epoch_max);
            found("I8", format!("run {id} has epoch {own} and an entry of epoch {other}"));
        }
    }
    for told in facts.told.iter().filter(|told| told.ends > 0) {
        if told.ends > 1 || !told.is_ended {
            found("I5", format!("run {} told something after its end", told.run));
        }
    }
    let open = running + with(RunStatus::Pending).count();
    if (facts.status == ThreadStatus::Busy) != (open > 0) {
        found("I7", format!("it is {}, and {open} of its runs are open", facts.status.name()));
    }
}

#[cfg(test)]
mod tests;
