//! K. Durable steps inside a node.

use std::sync::{Arc, Mutex};

use mesh_graph::{
    Ctx, Durability, Error, FailureKind, MemoryCheckpointer, NodeError, NodeResult, Retry,
    STEPS_MAX, Status, View,
};
use serde_json::{Value as Json, json};

use crate::kit::{Bench, Deps, Lab, S, SUpdate, empty, log};

/// Notes that a step did its work.
async fn work(ctx: &Ctx<Deps>, name: &str) -> Result<String, NodeError> {
    tokio::task::yield_now().await;
    ctx.deps().start(name);
    Ok(name.to_owned())
}

async fn charges_then_asks(_: View<S>, ctx: Ctx<Deps>) -> NodeResult<SUpdate> {
    let receipt = ctx.step("charge", &json!({"item": 1}), work(&ctx, "charged")).await?;
    let answer: String = ctx.interrupt("q", "sure?")?;
    let sent = ctx.step_next(&answer, work(&ctx, "sent")).await?;
    Ok(S::update().extend_log([receipt, answer, sent]))
}

#[tokio::test]
async fn t212_a_step_before_a_question_runs_once() {
    for durability in [Durability::Sync, Durability::Async, Durability::Exit] {
        let bench = Lab::new("S -> a").with("a", charges_then_asks).app();
        bench.run(empty()).durability(durability).invoke().await.unwrap();
        let outcome = bench.answer(json!("yes")).await.unwrap();
        assert_eq!(log(&outcome), ["charged", "yes", "sent"]);
        assert_eq!((bench.trace.runs("a"), bench.trace.runs("charged")), (2, 1), "{durability:?}");
    }
}

fn failure(error: &Error) -> &FailureKind {
    error.failure_kind().expect("a node failed")
}

#[tokio::test]
async fn t213_a_key_used_twice_and_a_changed_input_are_errors_by_name() {
    let twice = Lab::new("S -> a")
        .with("a", |_, ctx: Ctx<Deps>| async move {
            ctx.step("charge", &1, work(&ctx, "first")).await?;
            ctx.step("charge", &1, work(&ctx, "second")).await?;
            Ok(())
        })
        .app();
    let error = twice.run(empty()).invoke().await.unwrap_err();
    assert_eq!(*failure(&error), FailureKind::DuplicateStep { step: "charge".to_owned() });
    assert_eq!(twice.trace.runs("second"), 0);

    let changed = Lab::new("S -> a")
        .with("a", |_, ctx: Ctx<Deps>| async move {
            let execution = ctx.deps().runs("a");
            ctx.step("charge", &json!({"sum": execution}), work(&ctx, "charged")).await?;
            ctx.interrupt::<Json>("q", "sure?")?;
            Ok(())
        })
        .app();
    changed.invoke(empty()).await;
    let error = changed.answer(json!("yes")).await.unwrap_err();
    assert_eq!(*failure(&error), FailureKind::StepMismatch { step: "charge".to_owned() });
    assert!(error.to_string().contains("another input"), "{error}");
    assert_eq!(changed.trace.runs("charged"), 1);
}

#[tokio::test]
async fn a_failed_node_keeps_its_steps_and_a_failed_step_is_not_one() {
    let bench = Lab::new("S -> a")
        .with("a", |_, ctx: Ctx<Deps>| async move {
            let paid = ctx.step("pay", &(), work(&ctx, "paid")).await?;
            let flaky = async {
                ctx.deps().start("flaky");
                match ctx.deps().runs("flaky") {
                    1 => Err(std::io::Error::other("once")),
                    _ => Ok("sent".to_owned()),
                }
            };
            let sent = ctx.step("send", &(), flaky).await?;
            Ok(S::update().extend_log([paid, sent]))
        })
        .app();
    bench.run(empty()).invoke().await.unwrap_err();
    assert_eq!(log(&bench.resume().await), ["paid", "sent"]);
    assert_eq!((bench.trace.runs("paid"), bench.trace.runs("flaky")), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_step_is_not_repeated_by_a_retry_with_or_without_storage() {
    let lab = || {
        Lab::new("S -> a").with_options(
            "a",
            |_, ctx: Ctx<Deps>| async move {
                let paid = ctx.step("pay", &(), work(&ctx, "paid")).await?;
                let next = ctx.step_next(&(), work(&ctx, "next")).await?;
                match ctx.info().attempt {
                    1 => Err(NodeError::msg("once")),
                    _ => Ok(S::update().extend_log([paid, next])),
                }
            },
            |node| node.retry(Retry::default().on(|_| true)),
        )
    };
    for bench in [lab().app(), Bench::unsaved(&lab().compile())] {
        assert_eq!(log(&bench.invoke(empty()).await), ["paid", "next"]);
        assert_eq!((bench.trace.runs("paid"), bench.trace.runs("next")), (1, 1));
    }
}

#[tokio::test]
async fn a_step_is_durable_as_soon_as_it_ends() {
    let kept = Arc::new(MemoryCheckpointer::encoding());
    let graph = Lab::new("S -> a")
        .with("a", |_, ctx: Ctx<Deps>| async move {
            ctx.step("pay", &(), work(&ctx, "paid")).await?;
            if ctx.deps().runs("paid") == 1 {
                ctx.deps().start("hangs");
                std::future::pending::<()>().await;
            }
            Ok(S::update().push_log("done"))
        })
        .compile();
    let first = Bench::on(&graph, kept.clone());
    // The process dies in the middle of the node: its run is dropped.
    let run = first.run(empty()).invoke();
    let died = async {
        while first.trace.runs("hangs") == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        _ = run => panic!("the run cannot end"),
        () = died => {}
    }
    let second = Bench::on(&graph, kept);
    let outcome = second.resume().await;
    assert_eq!(log(&outcome), ["done"]);
    assert_eq!(second.trace.runs("paid"), 0);
}

#[tokio::test]
async fn a_cancelled_run_keeps_its_steps_with_a_checkpoint_per_run_too() {
    for durability in [Durability::Async, Durability::Exit] {
        let bench = Lab::new("S -> a")
            .with("a", |_, ctx: Ctx<Deps>| async move {
                let paid = ctx.step("pay", &(), work(&ctx, "paid")).await?;
                if ctx.deps().runs("a") == 1 {
                    ctx.cancelled().cancelled().await;
                    return Err(NodeError::msg("gave up"));
                }
                Ok(S::update().push_log(paid))
            })
            .app();
        let token = tokio_util::sync::CancellationToken::new();
        let run = bench.run(empty()).durability(durability).cancel_on(token.clone()).invoke();
        let cancel = async {
            while bench.trace.runs("paid") == 0 {
                tokio::task::yield_now().await;
            }
            token.cancel();
        };
        let (outcome, ()) = tokio::join!(run, cancel);
        assert_eq!(outcome.unwrap().status, Status::Cancelled);
        assert_eq!(log(&bench.resume().await), ["paid"]);
        assert_eq!(bench.trace.runs("paid"), 1, "{durability:?}");
    }
}

#[tokio::test]
async fn the_time_chance_and_ids_are_the_same_in_a_later_execution() {
    type Seen = Arc<Mutex<Vec<(i64, f64, f64, String, String)>>>;
    let seen = Seen::default();
    let notes = Arc::clone(&seen);
    let bench = Lab::new("S -> a")
        .with("a", move |_, ctx: Ctx<Deps>| {
            let notes = Arc::clone(&notes);
            async move {
                let now = ctx.now().await?;
                let drawn = (now, ctx.random(), ctx.random(), ctx.new_id(), ctx.new_id());
                notes.lock().unwrap().push(drawn);
                ctx.interrupt::<Json>("q", "sure?")?;
                Ok(())
            }
        })
        .app();
    bench.invoke(empty()).await;
    bench.answer(json!("yes")).await.unwrap();
    bench.invoke(empty()).await;
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0], seen[1]);
    let (now, first, second, id, other) = &seen[0];
    assert!((0.0..1.0).contains(first) && first.to_bits() != second.to_bits());
    assert_ne!(id, other);
    // The next turn is another task.
    assert!(seen[2].0 > *now && seen[2].1.to_bits() != first.to_bits() && seen[2].3 != *id);
}

#[tokio::test]
async fn a_task_has_a_bounded_number_of_steps() {
    let bench = Lab::new("S -> a").with("a", |_, ctx: Ctx<Deps>| async move {
        for _ in 0..=STEPS_MAX {
            ctx.step_next(&(), async { Ok::<_, NodeError>(()) }).await?;
        }
        Ok(())
    });
    let bench = Bench::unsaved(&bench.compile());
    let error = bench.app.run(empty()).invoke().await.unwrap_err();
    assert_eq!(*failure(&error), FailureKind::TooManySteps);
}
