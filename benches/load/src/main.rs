//! `mesh-load`: load on an agent server, as one line of JSON.
//!
//! ```text
//! mesh-load --url http://127.0.0.1:8080 --case wait --concurrency 16 --seconds 5
//! ```
//!
//! It speaks the wire that every LangGraph Agent Server has, so the same command measures ours and
//! the reference. Each worker has one connection and sends its next request when the last answer
//! is complete: what is measured is what a client sees, with no queue in between.

//! `mesh-load sockets` puts sockets on a server instead, and `mesh-load floor` is the least that a
//! server of sockets can be, to compare with.

#![allow(clippy::print_stdout, reason = "the one line on standard output is what it is for")]

mod call;
mod figures;
mod floor;
mod sockets;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;
use url::Url;

use crate::{
    call::{Client, Heard},
    figures::Figures,
};

/// Measures one kind of request.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(flatten)]
    options: Option<Options>,
    #[command(subcommand)]
    other: Option<Other>,
}

/// What else there is to measure.
#[derive(Subcommand)]
enum Other {
    Sockets(sockets::Options),
    Floor(floor::Options),
}

#[derive(clap::Args, Clone)]
struct Options {
    /// Where the server is
    #[arg(long)]
    url: Url,
    /// What is asked of it
    #[arg(long, value_enum)]
    case: Case,
    /// Connections, each with one request at a time
    #[arg(long, default_value_t = 1)]
    concurrency: usize,
    /// How long new requests are begun
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How long requests are sent before anything is counted
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
}

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// A run of the three-node graph `noop3`, waited for
    Wait,
    /// The same, always on the worker's own thread, whose history grows
    WaitThread,
    /// A run of `noop3`, streamed: how late its first event is
    Stream,
    /// A run of `tokens200`, streamed: how many events arrive
    Tokens,
    /// A new thread
    ThreadCreate,
    /// The state of a thread that a run has left
    StateRead,
}

/// One worker's requests.
struct Worker {
    client: Client,
    case: Case,
    thread: Option<String>,
}

impl Worker {
    async fn new(options: &Options) -> anyhow::Result<Self> {
        let mut client = Client::connect(&options.url).await?;
        let thread = match options.case {
            Case::WaitThread | Case::StateRead => Some(client.new_thread().await?),
            Case::Wait | Case::Stream | Case::Tokens | Case::ThreadCreate => None,
        };
        if let (Case::StateRead, Some(thread)) = (options.case, &thread) {
            let heard = client
                .post(&format!("/threads/{thread}/runs/wait"), &run("noop3", json!({})))
                .await?;
            ensure!(heard.status == 200, "the thread's run ended with status {}", heard.status);
        }
        Ok(Self { client, case: options.case, thread })
    }

    async fn once(&mut self) -> anyhow::Result<Heard> {
        let thread = self.thread.as_deref().unwrap_or_default();
        let heard = match self.case {
            Case::Wait => self.client.post("/runs/wait", &run("noop3", json!({}))).await,
            Case::WaitThread => {
                let path = format!("/threads/{thread}/runs/wait");
                self.client.post(&path, &run("noop3", json!({}))).await
            }
            Case::Stream => {
                let body = run("noop3", json!({ "stream_mode": ["values"] }));
                self.client.post("/runs/stream", &body).await
            }
            Case::Tokens => {
                let body = run("tokens200", json!({ "stream_mode": ["messages-tuple"] }));
                self.client.post("/runs/stream", &body).await
            }
            Case::ThreadCreate => self.client.post("/threads", &json!({})).await,
            Case::StateRead => self.client.get(&format!("/threads/{thread}/state")).await,
        }?;
        ensure!(heard.status == 200, "status {}: {}", heard.status, heard.start);
        let expected = match self.case {
            Case::Wait | Case::WaitThread | Case::StateRead => "\"log\"",
            Case::Stream => "event: values",
            Case::Tokens => "event: messages",
            Case::ThreadCreate => "\"thread_id\"",
        };
        ensure!(heard.start.contains(expected), "no {expected} in: {}", heard.start);
        Ok(heard)
    }
}

/// The request of a run; what `more` has is added to it.
fn run(assistant: &str, more: Json) -> Json {
    let input = match assistant {
        "tokens200" => json!({ "messages": [{ "type": "human", "content": "go" }] }),
        _ => json!({ "log": [] }),
    };
    let mut body = json!({ "assistant_id": assistant, "input": input });
    if let (Some(body), Json::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { options, other } = Arguments::parse();
    match other {
        Some(Other::Sockets(options)) => return sockets::run(options).await,
        Some(Other::Floor(options)) => return floor::run(options).await,
        None => {}
    }
    let options = options.context("expected --url and --case, or a command")?;
    ensure!(options.concurrency > 0, "--concurrency: expected at least 1");
    let mut workers = Vec::with_capacity(options.concurrency);
    for _ in 0..options.concurrency {
        workers.push(Worker::new(&options).await.context("before the measurement")?);
    }
    let begun = Instant::now();
    let counted_from = begun + Duration::from_secs_f64(options.warm_up);
    let until = counted_from + Duration::from_secs_f64(options.seconds);
    let mut tasks = JoinSet::new();
    for mut worker in workers {
        tasks.spawn(async move {
            let mut figures = Figures::default();
            while Instant::now() < until {
                let at = Instant::now();
                let heard = worker.once().await;
                if at < counted_from {
                    heard?;
                    continue;
                }
                match heard {
                    Ok(heard) => figures.add(&heard),
                    // A failed request tears the connection in most servers: nothing follows it.
                    Err(error) => return Err(error),
                }
            }
            Ok(figures)
        });
    }
    let mut all = Figures::default();
    while let Some(ended) = tasks.join_next().await {
        all.join(ended??);
    }
    let took = counted_from.elapsed();
    let name = options.case.to_possible_value().map(|value| value.get_name().to_owned());
    println!("{}", all.report(&name.unwrap_or_default(), options.concurrency, took));
    Ok(())
}
