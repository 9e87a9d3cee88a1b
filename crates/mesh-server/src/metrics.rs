//! Numbers about the server, for those who watch it: counted here, shown as Prometheus has them
//! or as JSON.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

use axum::http::StatusCode;
use mesh_protocol::system::{Metric, MetricKind, Sample};
use mesh_runtime::{Error, runs::OpenRuns};

use crate::{refusal::Refusal, server::Shared};

/// The type of the text form.
pub(crate) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Classes of statuses, in the order in which answers are counted.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Limits of connections and of what comes on them, in the order in which they are counted.
const BOUNDS: [Bound; 7] = [
    Bound::Connections,
    Bound::ConnectionsOfCaller,
    Bound::Head,
    Bound::Body,
    Bound::Message,
    Bound::Calls,
    Bound::Subscriptions,
];

/// A limit of connections or of what comes on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    Connections,
    ConnectionsOfCaller,
    Head,
    Body,
    Message,
    Calls,
    Subscriptions,
}

impl Bound {
    /// The limit that a refusal is about, if it is about one of these.
    fn of(refusal: &Refusal) -> Option<Self> {
        Some(match refusal {
            Refusal::TooManyConnections { .. } => Self::Connections,
            Refusal::TooManyOfCaller { .. } => Self::ConnectionsOfCaller,
            Refusal::BodyTooBig { .. } => Self::Body,
            Refusal::TooBig { .. } => Self::Message,
            Refusal::TooManyCalls { .. } => Self::Calls,
            Refusal::TooManySubscriptions { .. } => Self::Subscriptions,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsOfCaller => "connections_of_caller",
            Self::Head => "head",
            Self::Body => "body",
            Self::Message => "message",
            Self::Calls => "calls",
            Self::Subscriptions => "subscriptions",
        }
    }
}

/// What the server counts by itself.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    reached: [AtomicU64; BOUNDS.len()],
    answers: [AtomicU64; CLASSES.len()],
    connections: AtomicU64,
    refused: AtomicU64,
}

impl Metrics {
    /// A request was answered with this status.
    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(count) = self.answers.get(class) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection got a place.
    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A limit was reached.
    pub(crate) fn reached(&self, bound: Bound) {
        let known = BOUNDS.iter().position(|one| *one == bound);
        if let Some(count) = known.and_then(|at| self.reached.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Something was refused, perhaps because a limit was reached.
    pub(crate) fn note(&self, refusal: &Refusal) {
        if let Some(bound) = Bound::of(refusal) {
            self.reached(bound);
        }
    }

    /// There was no place for a connection.
    pub(crate) fn refused(&self) {
        self.reached(Bound::Connections);
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// All numbers now.
///
/// # Errors
/// What storage reports.
pub(crate) async fn gather(shared: &Shared) -> Result<Vec<Metric>, Error> {
    use MetricKind::{Counter, Gauge};
    let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let own = &shared.metrics;
    let taken = |max: usize, free: usize| max.saturating_sub(free) as u64;
    let limits = &shared.limits;
    let mut metrics = vec![
        metric(
            "mesh_info",
            Gauge,
            "The program; always 1",
            [sample("version", &shared.about.version, 1)],
        ),
        one("mesh_uptime_seconds", Gauge, "Since the start", shared.started.elapsed().as_secs()),
        metric(
            "mesh_http_answers_total",
            Counter,
            "Answers to requests by class of status",
            CLASSES.iter().zip(&own.answers).map(|(class, n)| sample("class", class, read(n))),
        ),
        one("mesh_connections_total", Counter, "Connections", read(&own.connections)),
        one(
            "mesh_connections_refused_total",
            Counter,
            "Connections for which there was no place",
            read(&own.refused),
        ),
        one(
            "mesh_credentials_refused_total",
            Counter,
            "Credentials that let nobody in",
            shared.auth.refused(),
        ),
        one(
            "mesh_connections",
            Gauge,
            "Connections that are open, sockets included",
            taken(limits.connections_max, shared.places.available_permits()),
        ),
    ];
    let mut reached: Vec<Sample> = BOUNDS
        .iter()
        .zip(&own.reached)
        .map(|(bound, n)| sample("limit", bound.name(), read(n)))
        .collect();
    if let Some(runtime) = &shared.runtime {
        let OpenRuns { pending, running } = runtime.open_runs().await?;
        let counts = runtime.counts();
        reached.extend(counts.full.iter().map(|(limit, n)| sample("limit", limit, *n)));
        metrics.extend([
            one(
                "mesh_writes_waiting",
                Gauge,
                "Writes that wait for the database",
                runtime.ledger().writes_waiting() as u64,
            ),
            metric(
                "mesh_runs",
                Gauge,
                "Runs that have not ended, by status",
                [sample("status", "pending", pending), sample("status", "running", running)],
            ),
            one("mesh_runs_begun_total", Counter, "Executions of runs that began", counts.begun),
            metric(
                "mesh_runs_ended_total",
                Counter,
                "Runs that ended, by how",
                counts.ended.iter().map(|(status, n)| sample("status", status, *n)),
            ),
            one(
                "mesh_log_entries_total",
                Counter,
                "Entries added to the logs of threads",
                counts.entries,
            ),
            one("mesh_log_bytes_total", Counter, "Bytes of their data", counts.bytes),
        ]);
    }
    metrics.push(metric(
        "mesh_limits_reached_total",
        Counter,
        "What was refused because a limit was reached, by which",
        reached,
    ));
    Ok(metrics)
}

fn metric(
    name: &str,
    kind: MetricKind,
    help: &str,
    samples: impl IntoIterator<Item = Sample>,
) -> Metric {
    let samples = samples.into_iter().collect();
    Metric { name: name.to_owned(), kind, help: help.to_owned(), samples }
}

fn one(name: &str, kind: MetricKind, help: &str, value: u64) -> Metric {
    metric(name, kind, help, [Sample { labels: [].into(), value }])
}

fn sample(label: &str, of: &str, value: u64) -> Sample {
    Sample { labels: [(label.to_owned(), of.to_owned())].into(), value }
}

/// The text form of numbers.
pub(crate) fn text(metrics: &[Metric]) -> String {
    let mut text = String::new();
    for Metric { name, kind, help, samples } in metrics {
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for Sample { labels, value } in samples {
            let labels: Vec<String> = labels
                .iter()
                .map(|(label, of)| {
                    let of = of.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                    format!("{label}=\"{of}\"")
                })
                .collect();
            let labels =
                if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use mesh_protocol::system::MetricKind;

    use super::{metric, one, sample, text};

    #[test]
    fn the_text_form_names_kind_and_labels_and_escapes_them() {
        let metrics = [
            one("up", MetricKind::Gauge, "Since the start", 7),
            metric("ended", MetricKind::Counter, "By how", [sample("how", "a \"b\"\\", 2)]),
        ];
        expect![[r#"
            # HELP up Since the start
            # TYPE up gauge
            up 7
            # HELP ended By how
            # TYPE ended counter
            ended{how="a \"b\"\\"} 2
        "#]]
        .assert_eq(&text(&metrics));
    }
}
