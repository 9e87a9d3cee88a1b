//! Sockets on a server: what a frame costs it, how late frames are, and what a socket that only
//! stands there takes.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use futures::{SinkExt, StreamExt};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};
use url::Url;

/// Longest wait for one socket to open. Thousands open at once.
const OPEN_WAIT: Duration = Duration::from_secs(20);

/// Sockets that open at the same time.
const OPENING: usize = 64;

/// Frames of which every how many-th tells how late it is. All of them would make the client the
/// slower side.
const LATE_EVERY: u64 = 16;

/// Opens sockets and reads what is told on them, as one line of JSON.
#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    /// Address of the socket, such as `ws://127.0.0.1:8080/ws/tokens200?stream_mode=messages`
    #[arg(long)]
    url: Url,
    /// Sockets at once
    #[arg(long, default_value_t = 100)]
    sockets: usize,
    /// Tokens that each asks for
    #[arg(long, default_value_t = 2000)]
    tokens: u64,
    /// Microseconds between two tokens; 0 for as fast as they go
    #[arg(long, default_value_t = 0)]
    interval_us: u64,
    /// How long sockets are opened anew
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Only opens the sockets and asks for nothing
    #[arg(long)]
    idle: bool,
    /// Processes of the server, whose time and memory are counted
    #[arg(long, value_delimiter = ',')]
    pid: Vec<u32>,
}

type Ws = WebSocketStream<TcpStream>;

/// What one socket heard, or all.
#[derive(Default)]
struct Heard {
    frames: u64,
    tokens: u64,
    bytes: u64,
    runs: u64,
    late_ns: Vec<u64>,
}

impl Heard {
    fn join(&mut self, other: Self) {
        self.frames += other.frames;
        self.tokens += other.tokens;
        self.bytes += other.bytes;
        self.runs += other.runs;
        self.late_ns.extend(other.late_ns);
    }

    /// Milliseconds below which this part of the times lies.
    fn late_ms(&self, part: f64) -> Option<f64> {
        let last = self.late_ns.len().checked_sub(1)?;
        self.late_ns.get((last as f64 * part).round() as usize).map(|ns| *ns as f64 / 1e6)
    }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    ensure!(options.sockets > 0, "--sockets: expected at least 1");
    if options.idle {
        return idle(&options).await;
    }
    let used = cpu_seconds(&options.pid)?;
    let begun = Instant::now();
    let until = begun + Duration::from_secs_f64(options.seconds);
    let mut tasks = JoinSet::new();
    for _ in 0..options.sockets {
        let options = options.clone();
        tasks.spawn(async move {
            let mut heard = Heard::default();
            while Instant::now() < until {
                once(&options, &mut heard).await?;
            }
            anyhow::Ok(heard)
        });
    }
    let mut all = Heard::default();
    while let Some(ended) = tasks.join_next().await {
        all.join(ended??);
    }
    let took = begun.elapsed().as_secs_f64();
    let used = cpu_seconds(&options.pid)? - used;
    all.late_ns.sort_unstable();
    println!(
        "{}",
        json!({
            "sockets": options.sockets,
            "interval_us": options.interval_us,
            "seconds": took,
            "frames": all.frames,
            "tokens": all.tokens,
            "tokens_per_second": all.tokens as f64 / took,
            "tokens_per_cpu_second": all.tokens as f64 / used,
            "frame_bytes": all.bytes.checked_div(all.frames),
            "runs": all.runs,
            "frames_per_second": all.frames as f64 / took,
            "server_cpu_seconds": used,
            "frames_per_cpu_second": all.frames as f64 / used,
            "late_p50_ms": all.late_ms(0.5),
            "late_p99_ms": all.late_ms(0.99),
            "server_rss_kb": rss_kb(&options.pid)?,
        })
    );
    Ok(())
}

/// One socket: its request, and what it hears until the server closes.
async fn once(options: &Options, heard: &mut Heard) -> anyhow::Result<()> {
    let mut ws = open(&options.url).await?;
    let request = json!({ "n": options.tokens, "interval_us": options.interval_us });
    ws.send(Message::text(request.to_string())).await?;
    let before = heard.tokens;
    loop {
        match ws.next().await.context("the server broke off")?? {
            Message::Text(text) => {
                heard.frames += 1;
                heard.bytes += text.len() as u64;
                if let Some((count, said)) = tokens(&text) {
                    heard.tokens += count;
                    if heard.frames.is_multiple_of(LATE_EVERY) || options.interval_us > 0 {
                        heard.late_ns.push(monotonic_ns().saturating_sub(said));
                    }
                }
            }
            Message::Close(Some(close)) if u16::from(close.code) == 1000 => break,
            Message::Close(close) => bail!("closed by {close:?}"),
            _ => {}
        }
    }
    let tokens = heard.tokens - before;
    ensure!(tokens == options.tokens, "{tokens} tokens of {}", options.tokens);
    heard.runs += 1;
    Ok(())
}

/// Opens sockets, and says what the server takes for them.
async fn idle(options: &Options) -> anyhow::Result<()> {
    let before = rss_kb(&options.pid)?;
    let begun = Instant::now();
    let mut sockets = Vec::with_capacity(options.sockets);
    while sockets.len() < options.sockets {
        let mut opening = JoinSet::new();
        for _ in 0..OPENING.min(options.sockets - sockets.len()) {
            let url = options.url.clone();
            opening.spawn(async move { open(&url).await });
        }
        while let Some(opened) = opening.join_next().await {
            sockets.push(opened??);
        }
    }
    let opened = begun.elapsed();
    // What the handshakes took goes back meanwhile.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = rss_kb(&options.pid)?;
    println!(
        "{}",
        json!({
            "sockets": sockets.len(),
            "opened_per_second": sockets.len() as f64 / opened.as_secs_f64(),
            "server_rss_before_kb": before,
            "server_rss_kb": after,
            "kb_per_socket": after.saturating_sub(before) as f64 / sockets.len() as f64,
        })
    );
    Ok(())
}

async fn open(url: &Url) -> anyhow::Result<Ws> {
    let host = url.host_str().context("--url: expected a host")?;
    let port = url.port_or_known_default().context("--url: expected a port")?;
    let opening = async {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let small = WebSocketConfig::default().read_buffer_size(8 << 10).write_buffer_size(0);
        let (ws, _) = client_async_with_config(url.as_str(), stream, Some(small)).await?;
        anyhow::Ok(ws)
    };
    timeout(OPEN_WAIT, opening).await.context("a socket did not open")?
}

/// The tokens in a frame, each `t<CLOCK_MONOTONIC nanoseconds> `: how many there are, and when the
/// first was said. A server may put several together that came faster than it could store them.
fn tokens(text: &str) -> Option<(u64, u64)> {
    text.split("\"t").skip(1).find_map(|rest| {
        let said = rest.split_once('"')?.0;
        let first = said.split_once(' ')?.0.parse().ok()?;
        Some((said.bytes().filter(|byte| *byte == b' ').count() as u64, first))
    })
}

/// `CLOCK_MONOTONIC`, which the server reads as well.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)).unwrap_or(0)
}

/// Processor time of processes, in seconds, as the system has counted it.
fn cpu_seconds(pids: &[u32]) -> anyhow::Result<f64> {
    let mut ticks = 0;
    for pid in pids {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name may have anything in it, also brackets.
        let (_, fields) = stat.rsplit_once(')').context("/proc: no name")?;
        let mut fields = fields.split_whitespace().skip(11);
        for _ in 0..2 {
            ticks += fields.next().context("/proc: too short")?.parse::<u64>()?;
        }
    }
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Memory of processes that is not swapped or shared away, in kilobytes.
fn rss_kb(pids: &[u32]) -> anyhow::Result<u64> {
    let mut all = 0;
    for pid in pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kb = line.and_then(|line| line.split_whitespace().next()).context("/proc: no VmRSS")?;
        all += kb.parse::<u64>()?;
    }
    Ok(all)
}
