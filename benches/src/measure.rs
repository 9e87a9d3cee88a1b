//! Samples of wall clock, processor time and memory, and the line that reports them.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::case::Scale;

/// One sample takes at least this long: short runs are repeated.
const SAMPLE: Duration = Duration::from_millis(100);

/// Runs a graph once.
pub(crate) type Once = Box<dyn FnMut() -> BoxFuture<'static, anyhow::Result<()>> + Send>;

/// A case made ready to be run again and again.
pub(crate) struct Workload {
    pub(crate) once: Once,
    pub(crate) scale: Scale,
}

/// What was measured.
pub(crate) struct Samples {
    /// Seconds per run, one entry per sample.
    runs_s: Vec<f64>,
    /// Seconds of processor time per run, of all threads.
    cpu_s: Vec<f64>,
    rss_base_kb: u64,
    rss_peak_kb: u64,
}

/// The line that is printed.
pub(crate) struct Report {
    pub(crate) peer: String,
    pub(crate) case: String,
    pub(crate) ckpt: &'static str,
    pub(crate) samples: Samples,
    pub(crate) scale: Scale,
}

impl Report {
    /// One line of JSON.
    pub(crate) fn line(&self) -> String {
        json!({
            "stage": "engine",
            "peer": self.peer,
            "mode": "async",
            "case": self.case,
            "ckpt": self.ckpt,
            "runs_s": self.samples.runs_s,
            "cpu_s": self.samples.cpu_s,
            "node_steps": self.scale.node_steps,
            "supersteps": self.scale.supersteps,
            "rss_base_kb": self.samples.rss_base_kb,
            "rss_peak_kb": self.samples.rss_peak_kb,
        })
        .to_string()
    }
}

/// Takes `count` samples after one run to warm up.
pub(crate) async fn samples(mut once: Once, count: usize) -> anyhow::Result<Samples> {
    let rss_base_kb = status_kb("VmRSS:")?;
    once().await?;
    let mut samples =
        Samples { runs_s: Vec::new(), cpu_s: Vec::new(), rss_base_kb, rss_peak_kb: 0 };
    for _ in 0..count {
        let (began, cpu_began) = (Instant::now(), processor_time());
        let mut runs = 0_u32;
        while began.elapsed() < SAMPLE {
            once().await?;
            runs += 1;
        }
        let runs = f64::from(runs);
        samples.runs_s.push(began.elapsed().as_secs_f64() / runs);
        samples.cpu_s.push((processor_time() - cpu_began) / runs);
    }
    samples.rss_peak_kb = status_kb("VmHWM:")?;
    Ok(samples)
}

/// Seconds of processor time of this process so far.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// A figure of this process as Linux tells it, in kB.
pub(crate) fn status_kb(name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse().ok())
        .ok_or_else(|| anyhow::anyhow!("/proc/self/status has no {name}"))
}
