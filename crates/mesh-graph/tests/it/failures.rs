//! I. Failures and cancellation, in paused time.

use std::time::Duration;

use mesh_graph::{CANCEL_GRACE, Mode, NodeError, SIBLING_GRACE, Status};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::kit::{Bench, Lab, S, empty, log, values};

/// A node that takes `seconds` and then appends its name; `bad` ones fail the first time.
fn lab(seconds: &[(&'static str, f64, bool)]) -> Bench {
    let edges = seconds.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ");
    let mut lab = Lab::new(&format!("S -> {edges}"));
    for &(name, time, bad) in seconds {
        lab = lab.with(name, move |_, ctx| async move {
            tokio::time::sleep(Duration::from_secs_f64(time)).await;
            if bad && ctx.deps().runs(name) == 1 {
                return Err(NodeError::msg(format!("{name} failed")));
            }
            Ok(S::update().push_log(name))
        });
    }
    lab.app()
}

#[tokio::test(start_paused = true)]
async fn t190_siblings_of_a_failure_may_finish_and_are_kept() {
    let bench = lab(&[("ok", 0.0, false), ("bad", 0.1, true), ("slow", 0.5, false)]);
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(error.to_string(), "node `bad` failed: bad failed");
    assert_eq!(bench.next().await, ["bad"]);
    assert_eq!(log(&bench.resume().await), ["bad", "ok", "slow"]);
    assert_eq!(["ok", "bad", "slow"].map(|node| bench.trace.runs(node)), [1, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn siblings_that_outlast_the_grace_are_dropped_and_run_again() {
    let bench = lab(&[("ok", 0.0, false), ("bad", 0.1, true), ("slow", 40.0, false)]);
    let begun = Instant::now();
    bench.run(empty()).invoke().await.unwrap_err();
    let took = begun.elapsed();
    let grace = SIBLING_GRACE + Duration::from_millis(100);
    assert!(took >= grace && took < grace + Duration::from_secs(1), "{took:?}");
    let state = bench.app.state("t").await.unwrap();
    assert_eq!(state.next, ["bad", "slow"]);
    let errors: Vec<bool> = state.tasks.iter().map(|task| task.error.is_some()).collect();
    assert_eq!(errors, [true, false, false], "a dropped sibling has no error of its own");
    assert_eq!(log(&bench.resume().await), ["bad", "ok", "slow"]);
    assert_eq!(["ok", "bad", "slow"].map(|node| bench.trace.runs(node)), [1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_after_a_failure_does_not_wait_for_the_siblings() {
    let bench = lab(&[("bad", 0.1, true), ("slow", 20.0, false)]);
    let cancel = CancellationToken::new();
    let begun = Instant::now();
    let run = bench.run(empty()).cancel_on(cancel.clone()).invoke();
    let (outcome, ()) = tokio::join!(run, async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cancel.cancel();
    });
    assert_eq!(outcome.unwrap_err().to_string(), "node `bad` failed: bad failed");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(bench.next().await, ["bad", "slow"]);
}

#[tokio::test(start_paused = true)]
async fn t192_the_first_failure_in_time_is_returned_and_all_are_listed() {
    let bench = lab(&[("a", 0.2, true), ("b", 0.05, true)]);
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(error.to_string(), "node `b` failed: b failed");
    let state = bench.app.state("t").await.unwrap();
    let errors: Vec<_> =
        state.tasks.iter().map(|t| t.error.as_ref().unwrap().message.clone()).collect();
    assert_eq!(errors, ["a failed", "b failed"]);
}

#[tokio::test]
async fn t207_a_router_that_fails_takes_its_nodes_writes_with_it() {
    use std::sync::atomic::{AtomicBool, Ordering};
    static BROKEN: AtomicBool = AtomicBool::new(true);
    let bench = Lab::new("S -> a")
        .route("a", |_| {
            assert!(!BROKEN.swap(false, Ordering::SeqCst), "no way");
            "b"
        })
        .also(["b"])
        .app();
    let error = bench.run(empty()).invoke().await.unwrap_err();
    assert!(error.to_string().contains("its router panicked: no way"), "{error}");
    assert_eq!((bench.next().await, bench.log().await), (vec!["a".to_owned()], vec![]));
    assert_eq!(log(&bench.resume().await), ["a", "b"]);
    assert_eq!(bench.trace.runs("a"), 2);
}

/// `b` of a chain waits for the cancellation, or ignores it.
fn cancelled_in_b(heeds: bool) -> Bench {
    Lab::new("S -> a; a -> b; b -> c")
        .with("b", move |_, ctx| async move {
            if ctx.deps().runs("b") == 1 {
                if heeds {
                    ctx.cancelled().cancelled().await;
                    return Err(NodeError::msg("stopped by the caller"));
                }
                std::future::pending::<()>().await;
            }
            Ok(S::update().push_log("b"))
        })
        .app()
}

#[tokio::test(start_paused = true)]
async fn t209_a_cancelled_run_has_no_error_and_goes_on_with_the_cancelled_node() {
    let bench = cancelled_in_b(false);
    let cancel = CancellationToken::new();
    let begun = Instant::now() + Duration::from_secs(5);
    let run = bench.run(empty()).cancel_on(cancel.clone()).invoke();
    let (outcome, ()) = tokio::join!(run, async {
        tokio::time::sleep_until(begun).await;
        cancel.cancel();
    });
    assert_eq!(outcome.unwrap().status, Status::Cancelled);
    // A node that does not listen is dropped after its grace, and not before.
    let took = begun.elapsed();
    assert!(took >= CANCEL_GRACE && took < CANCEL_GRACE * 2, "{took:?}");
    let state = bench.app.state("t").await.unwrap();
    assert_eq!((&state.next[..], state.json().unwrap()), (&["b".to_owned()][..], values(&["a"])));
    assert_eq!(state.tasks[0].error, None);
    assert_eq!(log(&bench.resume().await), ["a", "b", "c"]);
    assert_eq!(["a", "b", "c"].map(|node| bench.trace.runs(node)), [1, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_gives_up_when_cancelled_is_cancelled_and_not_failed() {
    let bench = cancelled_in_b(true);
    let mut handle = bench.run(empty()).stream([Mode::Updates]).start().unwrap();
    while handle.next().await.is_some_and(|event| event.node() != Some("a")) {}
    while bench.trace.runs("b") == 0 {
        tokio::task::yield_now().await;
    }
    handle.cancel();
    let outcome = handle.finish().await.unwrap();
    assert_eq!(outcome.status, Status::Cancelled);
    assert_eq!(bench.app.state("t").await.unwrap().tasks[0].error, None);
    assert_eq!(log(&bench.resume().await), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn work_that_finishes_within_the_grace_is_kept() {
    let bench = lab(&[("quick", 1.1, false), ("slow", 9.0, false)]);
    let cancel = CancellationToken::new();
    let run = bench.run(empty()).cancel_on(cancel.clone()).invoke();
    let (outcome, ()) = tokio::join!(run, async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cancel.cancel();
    });
    assert_eq!(outcome.unwrap().status, Status::Cancelled);
    assert_eq!(bench.next().await, ["slow"]);
    assert_eq!(log(&bench.resume().await), ["quick", "slow"]);
    assert_eq!(["quick", "slow"].map(|node| bench.trace.runs(node)), [1, 2]);
}

#[tokio::test]
async fn a_run_of_nodes_that_never_wait_can_be_cancelled() {
    let bench = Lab::new("S -> a; a -> a").with("a", |_, _| async { Ok(()) }).app();
    let cancel = CancellationToken::new();
    let run = bench.run(empty()).cancel_on(cancel.clone()).recursion_limit(u32::MAX).invoke();
    let (outcome, ()) = tokio::join!(run, async {
        while bench.trace.runs("a") < 1000 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    });
    assert_eq!(outcome.unwrap().status, Status::Cancelled);
    assert_eq!(bench.next().await, ["a"]);
}
