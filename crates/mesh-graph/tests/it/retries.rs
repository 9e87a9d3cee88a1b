//! I. Retries and time limits, in paused time.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use mesh_graph::{
    Arg, Classify, Ctx, Error, FailureKind, Graph, Mistake, Mode, NodeError, NodeResult, RefreshOn,
    Retry, Retryable, START, Send, Status, Timeout, TimeoutKind, View,
    env::{CountingEnv, Env},
};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::kit::{Bench, Deps, Lab, S, SUpdate, empty, log, values};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Retries at once, whatever the error.
fn always(attempts: u32) -> Retry {
    Retry::default().max_attempts(attempts).initial_interval(ms(1)).jitter(false).on(|_| true)
}

/// Fails until its attempt number is `last`.
fn flaky(last: u32) -> impl Fn(View<S>, Ctx<Deps>) -> std::future::Ready<NodeResult<SUpdate>> {
    move |_, ctx| {
        let info = ctx.info();
        std::future::ready(if info.attempt < last {
            Err(NodeError::msg(format!("attempt {}", info.attempt)))
        } else {
            Ok(S::update().push_log(info.node))
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Generic(&'static str);

#[derive(Debug, thiserror::Error)]
#[error("busy for {0:?}")]
struct Busy(Duration);

impl Classify for Busy {
    fn retryable(&self) -> Retryable {
        Retryable::After(self.0)
    }
}

/// How often a node that fails with what `fail` gives is tried by a default policy.
async fn attempts(fail: fn() -> NodeError) -> usize {
    let bench = Lab::new("S -> a")
        .with_options(
            "a",
            move |_, _| async move { Err::<(), _>(fail()) },
            |a| a.retry(Retry::default()),
        )
        .app();
    bench.run(empty()).invoke().await.unwrap_err();
    bench.trace.runs("a")
}

#[tokio::test(start_paused = true)]
async fn t193_the_kind_of_an_error_decides_whether_it_is_retried() {
    // Broken connections and what nothing is known of.
    assert_eq!(attempts(|| io::Error::from(io::ErrorKind::ConnectionReset).into()).await, 3);
    assert_eq!(attempts(|| Generic("generic").into()).await, 3);
    // A bad argument, arithmetic, the operating system, a plain timeout, a missing key, a missing
    // implementation, a parse.
    assert_eq!(attempts(|| "x".parse::<u8>().unwrap_err().into()).await, 1);
    assert_eq!(attempts(|| u8::try_from(300_u32).unwrap_err().into()).await, 1);
    assert_eq!(attempts(|| io::Error::from(io::ErrorKind::PermissionDenied).into()).await, 1);
    assert_eq!(attempts(|| io::Error::from(io::ErrorKind::TimedOut).into()).await, 1);
    assert_eq!(attempts(|| std::env::var("no such key =").unwrap_err().into()).await, 1);
    assert_eq!(attempts(|| io::Error::from(io::ErrorKind::Unsupported).into()).await, 1);
    assert_eq!(attempts(|| serde_json::from_str::<u8>("{").unwrap_err().into()).await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_says_itself_whether_to_retry_is_believed() {
    assert_eq!(attempts(|| NodeError::msg("no").retryable(Retryable::No)).await, 1);
    assert_eq!(
        attempts(|| {
            let hopeless: NodeError = io::Error::from(io::ErrorKind::PermissionDenied).into();
            hopeless.retryable(Retryable::Yes)
        })
        .await,
        3
    );
    let begun = Instant::now();
    assert_eq!(attempts(|| NodeError::classified(Busy(Duration::from_mins(1)))).await, 3);
    let waited = begun.elapsed();
    assert!(waited >= ms(120_000) && waited < ms(121_000), "{waited:?}");
    // Longer than the policy waits at all.
    assert_eq!(attempts(|| NodeError::classified(Busy(Duration::from_secs(129)))).await, 1);
}

#[tokio::test]
async fn a_panic_is_not_retried() {
    let bench = Lab::new("S -> a")
        .with_options(
            "a",
            |_, _| async {
                assert!(std::hint::black_box(false), "broken");
                Ok(())
            },
            |a| a.retry(Retry::default()),
        )
        .app();
    bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(bench.trace.runs("a"), 1);
}

/// The waits between the attempts of a node that always fails.
async fn waits(policy: Retry) -> Vec<Duration> {
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noted = Arc::clone(&times);
    let bench = Lab::new("S -> a")
        .with_options(
            "a",
            move |_, _| {
                noted.lock().unwrap().push(Instant::now());
                async { Err::<(), _>(NodeError::msg("never")) }
            },
            |a| a.retry(policy),
        )
        .app();
    bench.run(empty()).invoke().await.unwrap_err();
    let times = times.lock().unwrap();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn t194_waits_grow_by_their_factor_up_to_their_cap() {
    let policy = Retry::default()
        .initial_interval(ms(50))
        .backoff_factor(2.0)
        .max_interval(ms(120))
        .max_attempts(5);
    let exact = waits(policy.clone().jitter(false)).await;
    assert_eq!(exact, [ms(50), ms(100), ms(120), ms(120)]);
    let drawn = waits(policy).await;
    for (drawn, full) in drawn.iter().zip(exact) {
        // Timers tick in milliseconds.
        assert!(*drawn >= full / 2 && *drawn <= full + ms(1), "{drawn:?} of {full:?}");
    }
    assert_eq!(drawn.len(), 4);
}

#[derive(Debug, thiserror::Error)]
#[error("no such key")]
struct MissingKey;

#[derive(Debug, thiserror::Error)]
#[error("connection lost")]
struct Lost;

#[tokio::test(start_paused = true)]
async fn t195_the_first_policy_for_an_error_decides_and_attempts_are_counted_together() {
    let bench = Lab::new("S -> a")
        .with_options(
            "a",
            |_, ctx| async move {
                let error =
                    if ctx.info().attempt == 1 { MissingKey.into() } else { NodeError::from(Lost) };
                Err::<(), _>(error)
            },
            |a| {
                a.retry([
                    Retry::default().max_attempts(4).on(|failed| failed.is::<MissingKey>()),
                    Retry::default().max_attempts(2).on(|failed| failed.is::<Lost>()),
                ])
            },
        )
        .app();
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(error.to_string(), "node `a` failed: connection lost");
    assert_eq!(bench.trace.runs("a"), 2);
}

#[tokio::test(start_paused = true)]
async fn t196_events_of_failed_attempts_stay_and_their_updates_do_not() {
    let bench = Lab::new("S -> a")
        .with_options(
            "a",
            |_, ctx| async move {
                let info = ctx.info();
                ctx.emit(&info.attempt).await?;
                if info.attempt < 3 {
                    return Err(NodeError::msg("again"));
                }
                Ok(S::update().push_log("a"))
            },
            |a| a.retry(always(3)),
        )
        .app();
    let mut handle = bench.run(empty()).stream([Mode::Custom, Mode::Updates]).start().unwrap();
    let mut seen = Vec::new();
    while let Some(event) = handle.next().await {
        seen.push(json!([event.mode.name(), event.attempt, event.data()]));
    }
    handle.finish().await.unwrap();
    assert_eq!(
        seen,
        [
            json!(["custom", 1, 1]),
            json!(["custom", 2, 2]),
            json!(["custom", 3, 3]),
            json!(["updates", 3, {"a": values(&["a"])}]),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn t197_a_sibling_does_not_wait_for_a_task_that_backs_off() {
    let bench = Lab::new("S -> flaky, ok")
        .with_options("flaky", flaky(2), |a| a.retry(Retry::default()))
        .app();
    let begun = Instant::now();
    let mut handle = bench.run(empty()).stream([Mode::Updates]).start().unwrap();
    let first = handle.next().await.unwrap();
    assert_eq!((first.node(), begun.elapsed()), (Some("ok"), Duration::ZERO));
    assert_eq!(handle.next().await.unwrap().node(), Some("flaky"));
    assert!(begun.elapsed() >= ms(250), "{:?}", begun.elapsed());
    assert_eq!(log(&handle.finish().await.unwrap()), ["flaky", "ok"]);
    // One superstep, whatever the attempts.
    assert_eq!(bench.app.state("t").await.unwrap().step, Some(1));
}

#[tokio::test(start_paused = true)]
async fn t198_each_send_retries_on_its_own() {
    let mut graph = Graph::<S, Deps>::new("lab");
    let w = graph
        .node("w", |Arg(n): Arg<u8>, ctx: Ctx<Deps>| async move {
            ctx.deps().start(&format!("w{n}"));
            if *n == 2 && ctx.info().attempt < 3 {
                return Err(NodeError::msg("flaky"));
            }
            Ok(S::update().push_log(n.to_string()))
        })
        .retry(always(3))
        .id();
    graph.route(START, move |_| (1..=3).map(|n| Send::to(&w, n)).collect::<Vec<_>>());
    let bench = Bench::new(&graph.compile().unwrap());
    assert_eq!(log(&bench.invoke(empty()).await), ["1", "2", "3"]);
    assert_eq!(["w1", "w2", "w3"].map(|task| bench.trace.runs(task)), [1, 3, 1]);
}

#[tokio::test(start_paused = true)]
async fn t116_every_attempt_is_given_the_same_answer() {
    let given: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&given);
    let bench = Lab::new("S -> a")
        .with_options(
            "a",
            move |_, ctx| {
                let noted = Arc::clone(&noted);
                async move {
                    let answer: String = ctx.interrupt("q", "?")?;
                    noted.lock().unwrap().push(answer.clone());
                    if ctx.info().attempt < 3 {
                        return Err(NodeError::msg("again"));
                    }
                    Ok(S::update().push_log(answer))
                }
            },
            |a| a.retry(always(3)),
        )
        .app();
    assert_eq!(bench.invoke(empty()).await.status, Status::Interrupted);
    assert_eq!(log(&bench.answer(json!("A")).await.unwrap()), ["A"]);
    assert_eq!(*given.lock().unwrap(), ["A", "A", "A"]);
    assert_eq!(bench.trace.runs("a"), 4);
}

#[tokio::test(start_paused = true)]
async fn t117_a_question_is_not_retried() {
    let bench = Lab::new("S -> a")
        .with_options("a", crate::kit::asks("q", json!(1)), |a| a.retry(always(5)))
        .app();
    assert_eq!(bench.invoke(empty()).await.status, Status::Interrupted);
    assert_eq!(bench.trace.runs("a"), 1);
}

#[tokio::test(start_paused = true)]
async fn retries_count_per_run_and_durable_ones_over_runs() {
    for (durable, runs) in [(false, [2, 4]), (true, [2, 3])] {
        let bench = Lab::new("S -> a")
            .with_options("a", flaky(u32::MAX), |a| {
                let a = a.retry(always(2));
                if durable { a.durable_attempts() } else { a }
            })
            .app();
        bench.run(empty()).invoke().await.unwrap_err();
        assert_eq!(bench.trace.runs("a"), runs[0]);
        let error = bench.app.resume().thread("t").invoke().await.unwrap_err();
        assert_eq!(bench.trace.runs("a"), runs[1]);
        let Error::Task(task) = error else { panic!("{error}") };
        assert_eq!(task.failure.attempt, if durable { 3 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_does_not_wait_for_the_next_attempt() {
    let bench = Lab::new("S -> a")
        .with_options("a", flaky(2), |a| {
            a.retry(Retry::default().initial_interval(Duration::from_mins(1)).jitter(false))
        })
        .app();
    let begun = Instant::now();
    let handle = bench.run(empty()).start().unwrap();
    while bench.trace.runs("a") == 0 {
        tokio::task::yield_now().await;
    }
    handle.cancel();
    let outcome = handle.finish().await.unwrap();
    assert_eq!((outcome.status, begun.elapsed()), (Status::Cancelled, Duration::ZERO));
    assert_eq!(bench.app.state("t").await.unwrap().tasks[0].error, None);
}

#[tokio::test(start_paused = true)]
async fn durable_steps_survive_attempts() {
    let bench = Lab::new("S -> a")
        .with_options(
            "a",
            |_, ctx| async move {
                let trace = Arc::clone(ctx.deps());
                let paid = ctx
                    .step("pay", &1, async move {
                        trace.start("pay");
                        Ok::<_, NodeError>("paid".to_owned())
                    })
                    .await?;
                if ctx.info().attempt < 3 {
                    return Err(NodeError::msg("again"));
                }
                Ok(S::update().push_log(paid))
            },
            |a| a.retry(always(3)),
        )
        .app();
    assert_eq!(log(&bench.invoke(empty()).await), ["paid"]);
    assert_eq!((bench.trace.runs("a"), bench.trace.runs("pay")), (3, 1));
}

/// A node that sleeps this long in its first attempts and then not at all.
fn sleeps(
    time: Duration,
    attempts: u32,
) -> impl Fn(View<S>, Ctx<Deps>) -> futures::future::BoxFuture<'static, NodeResult<SUpdate>> {
    move |_, ctx| {
        Box::pin(async move {
            if ctx.info().attempt <= attempts {
                tokio::time::sleep(time).await;
            }
            Ok(S::update().push_log(ctx.info().node))
        })
    }
}

fn timed_out(error: &Error) -> TimeoutKind {
    match error.failure_kind() {
        Some(FailureKind::NodeTimeout { limit, .. }) => *limit,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn t199_attempts_pauses_and_supersteps_have_limits_of_time() {
    a_node_that_takes_too_long_times_out().await;
    a_node_without_progress_times_out().await;
    a_superstep_that_takes_too_long_keeps_what_had_finished().await;
}

async fn a_node_that_takes_too_long_times_out() {
    let bench =
        Lab::new("S -> a").with_options("a", sleeps(ms(900), 9), |a| a.timeout(ms(500))).app();
    let begun = Instant::now();
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(error.to_string(), "node `a` failed: took longer than 500ms");
    assert_eq!((timed_out(&error), begun.elapsed()), (TimeoutKind::Run, ms(500)));

    // A timeout is retried by default, each time with a fresh clock.
    let bench = Lab::new("S -> a")
        .with_options("a", sleeps(ms(900), 2), |a| a.timeout(ms(500)).retry(Retry::default()))
        .app();
    assert_eq!(log(&bench.invoke(empty()).await), ["a"]);
    assert_eq!(bench.trace.runs("a"), 3);

    // What a `Send` says goes before what its node says.
    for (limit, fits) in [(ms(100), false), (ms(2000), true)] {
        let mut graph = Graph::<S, Deps>::new("lab");
        let w = graph
            .node("w", |Arg(n): Arg<u8>, _: Ctx<Deps>| async move {
                tokio::time::sleep(ms(900)).await;
                Ok(S::update().push_log(n.to_string()))
            })
            .timeout(ms(1000))
            .id();
        graph.route(START, move |_| Send::to(&w, 1).timeout(limit));
        let bench = Bench::new(&graph.compile().unwrap());
        let ended = bench.run(empty()).invoke().await;
        assert_eq!(ended.is_ok(), fits, "{limit:?}");
        if let Err(error) = ended {
            assert_eq!(timed_out(&error), TimeoutKind::Run);
        }
    }
}

/// A node that sleeps twice 300 ms and does `between` after each.
fn busy(
    between: fn(Ctx<Deps>) -> futures::future::BoxFuture<'static, NodeResult<()>>,
    limit: Timeout,
) -> Bench {
    Lab::new("S -> a")
        .with_options(
            "a",
            move |_, ctx| async move {
                for _ in 0..3 {
                    tokio::time::sleep(ms(300)).await;
                    between(ctx.clone()).await?;
                }
                Ok(S::update().push_log("a"))
            },
            |a| a.timeout(limit),
        )
        .app()
}

async fn a_node_without_progress_times_out() {
    let idle = Timeout::idle(ms(500));
    let nothing = busy(|_| Box::pin(async { Ok(()) }), idle);
    let begun = Instant::now();
    let error = nothing.run(empty()).invoke().await.unwrap_err();
    assert_eq!((timed_out(&error), begun.elapsed()), (TimeoutKind::Idle, ms(500)));

    let beats = busy(
        |ctx| {
            ctx.heartbeat();
            Box::pin(async { Ok(()) })
        },
        idle.refresh_on(RefreshOn::Heartbeat),
    );
    assert_eq!(log(&beats.invoke(empty()).await), ["a"]);

    // What a node sends is progress, unless only heartbeats are, whoever listens.
    let sends = |ctx: Ctx<Deps>| -> futures::future::BoxFuture<'static, NodeResult<()>> {
        Box::pin(async move { ctx.emit("still here").await })
    };
    assert_eq!(log(&busy(sends, idle).invoke(empty()).await), ["a"]);
    let strict = busy(sends, idle.refresh_on(RefreshOn::Heartbeat));
    let error = strict.run(empty()).invoke().await.unwrap_err();
    assert_eq!(timed_out(&error), TimeoutKind::Idle);
}

async fn a_superstep_that_takes_too_long_keeps_what_had_finished() {
    let bench = Lab::new("S -> ok, slow")
        .with("slow", |_, ctx| async move {
            if ctx.deps().runs("slow") == 1 {
                tokio::time::sleep(ms(900)).await;
            }
            Ok(S::update().push_log("slow"))
        })
        .app();
    let error = bench.run(empty()).step_timeout(ms(500)).invoke().await.unwrap_err();
    assert!(matches!(error, Error::StepTimeout { step: 1, limit } if limit == ms(500)), "{error}");
    let state = bench.app.state("t").await.unwrap();
    assert_eq!(state.next, ["slow"]);
    assert_eq!(state.tasks[1].error, None, "it was cancelled and did not fail");
    assert_eq!(log(&bench.resume().await), ["ok", "slow"]);
    assert_eq!(["ok", "slow"].map(|node| bench.trace.runs(node)), [1, 2]);
}

#[tokio::test]
async fn t200_a_limit_of_nothing_is_refused() {
    let mut graph = Graph::<S, Deps>::new("lab");
    graph.node("a", crate::kit::appends()).timeout(Duration::ZERO);
    graph.node("b", crate::kit::appends()).timeout(Timeout::idle(Duration::ZERO));
    graph.node("c", crate::kit::appends()).retry(Retry::default().max_attempts(0));
    graph.node("d", crate::kit::appends()).retry(Retry::default().backoff_factor(f64::NAN));
    graph.node("e", crate::kit::appends()).max_concurrency(0);
    graph.default_timeout(Duration::ZERO);
    graph.edge(START, "a");
    let bad =
        |node: &str, option, expected| Mistake::BadOption { node: node.into(), option, expected };
    assert_eq!(
        graph.compile().err().unwrap().mistakes,
        [
            bad("a", "timeout", "more than zero"),
            bad("b", "timeout", "more than zero"),
            bad("c", "max_attempts", "at least 1"),
            bad("d", "backoff_factor", "a number of at least 1"),
            bad("e", "limit", "at least 1"),
            bad("all nodes", "timeout", "more than zero"),
        ]
    );
    let bench = Lab::new("S -> a").app();
    let error = bench.run(empty()).step_timeout(Duration::ZERO).invoke().await.unwrap_err();
    assert!(matches!(error, Error::InvalidOption { option: "step_timeout", .. }), "{error}");
    let bench = Lab::new("S -> a")
        .route("a", |_| Send::state("b", empty()).timeout(Duration::ZERO))
        .also(["b"])
        .app();
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert!(error.to_string().contains("the timeout of the Send to `b`"), "{error}");
}

/// A clock on which all waiting is over at the same moment.
#[derive(Default)]
struct Hasty(CountingEnv, CancellationToken);

#[async_trait::async_trait]
impl Env for Hasty {
    fn now_ms(&self) -> i64 {
        self.0.now_ms()
    }
    fn new_id(&self) -> u128 {
        self.0.new_id()
    }
    fn random(&self) -> u64 {
        self.0.random()
    }
    async fn sleep(&self, _: Duration) {
        self.1.cancelled().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_blocks_its_thread_is_reported_as_timed_out() {
    let (release, blocked) = std::sync::mpsc::sync_channel::<()>(0);
    let (done, late) = std::sync::mpsc::sync_channel::<()>(1);
    let blocked = Arc::new(Mutex::new(blocked));
    let begun = CancellationToken::new();
    let clock = Hasty(CountingEnv::default(), begun.clone());
    let mut bench = Lab::new("S -> a")
        .with_options(
            "a",
            move |_, _| {
                let (blocked, done, begun) = (Arc::clone(&blocked), done.clone(), begun.clone());
                async move {
                    begun.cancel();
                    blocked.lock().unwrap().recv().unwrap();
                    done.send(()).unwrap();
                    Ok(S::update().push_log("late"))
                }
            },
            |a| a.timeout(ms(20)),
        )
        .app();
    bench.app = bench.app.env(Arc::new(clock));
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(timed_out(&error), TimeoutKind::Run);
    release.send(()).unwrap();
    late.recv().unwrap();
    assert!(bench.log().await.is_empty(), "its late result is dropped");
}
