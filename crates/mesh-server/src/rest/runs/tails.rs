//! The ends of logs that clients hold: of one run, or of a thread from run to run.

use axum::body::Bytes;
use mesh_runtime::{
    Error, Run, Runtime, Scope,
    follow::{Follow, Start},
    log::{Entry, Kind},
};
use serde_json::json;
use uuid::Uuid;

use super::stream::Tail;
use crate::frames::{Frame, Renderer, Wanted};

/// Where a client goes on with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// With the first frame.
    Nothing,
    /// After the frame with this number.
    Frame(u64),
    /// With what comes from now on.
    Now,
}

impl After {
    /// What a client says by the number of the last frame that it has.
    pub(super) fn named(last: Option<&str>) -> Self {
        match last.map(str::trim) {
            Some("-1" | "-") => Self::Nothing,
            Some(text) => text.parse().map_or(Self::Now, Self::Frame),
            None => Self::Now,
        }
    }
}

/// One run to its end.
pub(super) struct RunTail {
    /// None for a stream that is at its end.
    follow: Option<Follow>,
    renderer: Renderer,
    frames: Vec<Frame>,
    only: Option<Wanted>,
    /// Number of the first frame that is sent.
    first: u64,
    /// Entries up to this number are not sent.
    past: u64,
}

fn renderer(run: &Run) -> Renderer {
    let modes = Wanted::named(run.kwargs.stream_mode.iter().map(String::as_str));
    Renderer::new(run.id, modes, run.kwargs.subgraphs)
}

/// A run that was just made, from its beginning.
///
/// # Errors
/// [`Error::NoRun`]; [`Error::Storage`].
pub(super) async fn of_new_run(runtime: &Runtime, run: &Run) -> Result<RunTail, Error> {
    let follow = Some(runtime.follow_new(run).await?);
    let renderer = renderer(run);
    Ok(RunTail { follow, renderer, frames: Vec::new(), only: None, first: 0, past: 0 })
}

/// A run that somebody joins.
///
/// # Errors
/// [`Error::NoRun`]; [`Error::Storage`].
pub(super) async fn of_joined_run(
    runtime: &Runtime,
    run: &Run,
    after: After,
    only: Option<Wanted>,
) -> Result<RunTail, Error> {
    let is_over = after == After::Now && run.status.is_final();
    let past = match after {
        After::Now if !is_over => {
            let thread = run.thread.clone();
            runtime.ledger().read(move |tx| tx.last_seq(&thread)).await?
        }
        _ => 0,
    };
    // Always from the beginning: what a frame is, and its number, follow from all before it.
    let follow = if is_over {
        None
    } else {
        Some(runtime.follow_run(&run.thread, run.id, Start::Beginning).await?)
    };
    let first = match after {
        After::Frame(last) => last.saturating_add(1),
        After::Nothing | After::Now => 0,
    };
    Ok(RunTail { follow, renderer: renderer(run), frames: Vec::new(), only, first, past })
}

impl Tail for RunTail {
    async fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        let Some(follow) = &mut self.follow else { return Ok(false) };
        let Some(entry) = follow.next().await? else { return Ok(false) };
        self.renderer.take(&entry, &mut self.frames);
        for frame in self.frames.drain(..) {
            if entry.seq > self.past
                && frame.id >= self.first
                && self.only.is_none_or(|only| only.takes(&frame))
            {
                frame.write(frame.id, out);
            }
        }
        // The last entry of a run is the last of its stream; nothing has to be waited for.
        Ok(entry.kind != Kind::Ended)
    }
}

/// What is told of a thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Told {
    runs: bool,
    lifecycle: bool,
    updates: bool,
}

impl Told {
    /// Adds what a client names.
    pub(super) fn add(&mut self, name: &str) {
        match name {
            "run_modes" => self.runs = true,
            "lifecycle" => self.lifecycle = true,
            "state_update" => self.updates = true,
            _ => {}
        }
    }
}

/// A thread from run to run.
///
/// A frame's id is `<entry>-<n>`: it is the n-th since that entry, which is the first one of a run
/// or stands outside of all runs. So whoever has an id can find the place again.
pub(super) struct ThreadTail {
    runtime: Runtime,
    follow: Follow,
    told: Told,
    /// An entry that was taken and not told yet.
    entry: Option<Entry>,
    base: u64,
    counted: u64,
    open: Option<(Uuid, Renderer)>,
    /// The last frame that the client has.
    last: Option<(u64, u64)>,
    /// Entries up to this number are not sent.
    past: u64,
}

/// A thread, after the frame with this id; `-` begins with the first entry that is kept.
///
/// # Errors
/// [`Error::Storage`].
pub(super) async fn of_thread(
    runtime: &Runtime,
    thread: &str,
    from: Option<&str>,
    told: Told,
) -> Result<ThreadTail, Error> {
    let nothing_said = told == Told::default();
    let told = Told { runs: told.runs || nothing_said, ..told };
    let last = from.and_then(|id| {
        let (base, counted) = id.trim().split_once('-')?;
        Some((base.parse::<u64>().ok()?, counted.parse::<u64>().ok()?))
    });
    let (after, past) = match (from.map(str::trim), last) {
        (Some("-" | "-1"), _) => (0, 0),
        (_, Some((base, _))) => (base.saturating_sub(1), 0),
        _ => {
            let name = thread.to_owned();
            runtime
                .ledger()
                .read(move |tx| {
                    let last = tx.last_seq(&name)?;
                    // The run that is going on is read from its beginning, unseen.
                    let going =
                        tx.open_runs(&name)?.into_iter().find(|run| run.started_at.is_some());
                    let first = match going {
                        Some(run) => tx.run_entries(&name, run.id, 0, 1)?.first().map(|e| e.seq),
                        None => None,
                    };
                    Ok((first.map_or(last, |first| first.saturating_sub(1)), last))
                })
                .await?
        }
    };
    Ok(ThreadTail {
        runtime: runtime.clone(),
        follow: runtime.follow_thread(thread, after),
        told,
        entry: None,
        base: 0,
        counted: 0,
        open: None,
        last,
        past,
    })
}

impl ThreadTail {
    fn write(&mut self, entry: &Entry, frame: &Frame, is_lifecycle: bool, out: &mut Vec<u8>) {
        let id = (self.base, self.counted);
        self.counted += 1;
        let wanted = match frame.name {
            "state_update" => self.told.updates,
            _ => self.told.runs || (self.told.lifecycle && is_lifecycle),
        };
        if wanted && entry.seq > self.past && self.last.is_none_or(|last| id > last) {
            frame.write(format_args!("{}-{}", id.0, id.1), out);
        }
    }

    fn tell(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        let mut frames = Vec::new();
        if let Some((run, renderer)) = &mut self.open
            && *run == entry.run
        {
            renderer.take(entry, &mut frames);
        }
        for frame in &frames {
            self.write(entry, frame, entry.kind == Kind::Begun && frame.name == "metadata", out);
        }
        let plain = |name, data| Frame { name, ns: "".into(), data, id: 0 };
        match entry.kind {
            Kind::Ended => {
                if self.open.as_ref().is_some_and(|(run, _)| *run == entry.run) {
                    self.open = None;
                }
                let data = json!({ "status": "run_done", "run_id": entry.run }).to_string();
                self.write(entry, &plain("metadata", data.into()), true, out);
            }
            Kind::Updated => {
                let mut data = Vec::with_capacity(entry.data.len() + 16);
                data.extend_from_slice(b"{\"state\":");
                data.extend_from_slice(&entry.data);
                data.push(b'}');
                self.write(entry, &plain("state_update", Bytes::from(data)), false, out);
            }
            Kind::Begun | Kind::Event(_) | Kind::Returned => {}
        }
    }
}

impl Tail for ThreadTail {
    async fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        if self.entry.is_none() {
            self.entry = self.follow.next().await?;
        }
        let Some(entry) = &self.entry else { return Ok(false) };
        let is_open = self.open.as_ref().is_some_and(|(run, _)| *run == entry.run);
        if entry.kind == Kind::Begun && !is_open {
            // A run that was removed since has nothing to tell any more.
            let opened = match self.runtime.run(&Scope::All, None, entry.run).await {
                Ok(run) => Some((run.id, renderer(&run))),
                Err(Error::NoRun(_)) => None,
                Err(error) => return Err(error),
            };
            self.open = opened;
            (self.base, self.counted) = (entry.seq, 0);
        } else if self.open.is_none() {
            (self.base, self.counted) = (entry.seq, 0);
        }
        if let Some(entry) = self.entry.take() {
            self.tell(&entry, out);
        }
        Ok(true)
    }
}
