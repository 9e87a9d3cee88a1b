//! N. The functional interface.

use std::{sync::Arc, time::Duration};

use mesh_graph::{
    App, CachePolicy, Compiled, Ctx, Entrypoint, Error, FailureKind, Final, Flow, FlowCtx,
    MemoryCache, MemoryCheckpointer, Mode, NodeError, Outcome, Resume, Retry, Run, Status, Task,
    checkpointer::Filter, env::CountingEnv,
};
use serde_json::{Value as Json, json};

use crate::kit::{Deps, Trace};

/// An entrypoint from a number to `Out` on the bench.
struct Bench<Out: mesh_graph::value::Datum, Save: mesh_graph::value::Datum = Out> {
    app: App<Flow<i64, Out, Save>>,
    trace: Deps,
}

impl<Out: mesh_graph::value::Datum, Save: mesh_graph::value::Datum> Bench<Out, Save> {
    fn new(graph: &Compiled<Flow<i64, Out, Save>, Deps>) -> Self {
        let trace = Deps::default();
        let app = graph
            .app(Arc::clone(&trace))
            .checkpointer(Arc::new(MemoryCheckpointer::encoding()))
            .env(Arc::new(CountingEnv::default()));
        Self { app, trace }
    }

    fn enter(&self, input: i64) -> Run<Flow<i64, Out, Save>> {
        self.app.enter(input).thread("t")
    }

    async fn invoke(&self, input: i64) -> Outcome<Flow<i64, Out, Save>> {
        self.enter(input).invoke().await.expect("the run ends well")
    }

    async fn answer(&self, answers: Resume) -> Result<Outcome<Flow<i64, Out, Save>>, Error> {
        self.app.answer(answers).thread("t").invoke().await
    }

    async fn events(&self, run: Run<Flow<i64, Out, Save>>, mode: Mode) -> Vec<Json> {
        let mut handle = run.stream([mode]).start().expect("the run starts");
        let mut events = Vec::new();
        while let Some(event) = handle.next().await {
            events.push(event.data());
        }
        handle.finish().await.expect("the run ends well");
        events
    }

    async fn history(&self) -> Vec<i64> {
        let history = self.app.history("t", &Filter::default()).await.unwrap();
        history.iter().rev().filter_map(|snapshot| snapshot.step).collect()
    }
}

/// A task that notes its start and adds one.
fn plus_one(name: &'static str) -> Task<i64, i64, Deps> {
    Task::new(name, move |n: i64, ctx: Ctx<Deps>| async move {
        ctx.deps().start(name);
        Ok(n + 1)
    })
}

fn two_at_once() -> Bench<i64> {
    let t = plus_one("t");
    let flow = Entrypoint::new("wf", move |n: i64, cx: FlowCtx<Deps, i64>| {
        let t = t.clone();
        async move {
            let (a, b) = (cx.start(&t, n), cx.start(&t, n + 10));
            Ok(a.await? + b.await?)
        }
    });
    Bench::new(&flow.compile().unwrap())
}

#[tokio::test]
async fn t236_tasks_and_the_entrypoint_tell_their_results_and_the_value_comes_once() {
    let bench = two_at_once();
    let mut updates = bench.events(bench.enter(1), Mode::Updates).await;
    let last = updates.pop();
    updates.sort_by_key(ToString::to_string);
    assert_eq!(updates, [json!({"t": 12}), json!({"t": 2})]);
    assert_eq!(last, Some(json!({"wf": 14})));
    assert_eq!(bench.events(bench.enter(1), Mode::Values).await, [json!(14)]);
    let tasks = bench.events(bench.enter(1), Mode::Tasks).await;
    let named = |name: &str, key: &str| {
        let of = |task: &&Json| task["name"] == name && task.get(key).is_some();
        tasks.iter().filter(of).map(|task| task[key].clone()).collect::<Vec<_>>()
    };
    let mut inputs = named("t", "input");
    inputs.sort_by_key(ToString::to_string);
    assert_eq!(inputs, [json!([[11], {}]), json!([[1], {}])]);
    let mut results = named("t", "result");
    results.sort_by_key(ToString::to_string);
    assert_eq!(results, [json!({"__return__": 12}), json!({"__return__": 2})]);
    assert_eq!(named("wf", "input"), [json!(1)]);
    assert_eq!(named("wf", "result"), [json!({"__end__": 14})]);
}

#[tokio::test]
async fn t237_the_second_run_finds_what_the_first_returned() {
    let flow = Entrypoint::new("wf", |n: i64, cx: FlowCtx<Deps, i64>| async move {
        Ok(n + cx.previous().copied().unwrap_or(100))
    });
    let bench = Bench::new(&flow.compile().unwrap());
    assert_eq!(bench.invoke(1).await.value().as_deref(), Some(&101));
    let outcome = bench.invoke(2).await;
    assert_eq!(outcome.value().as_deref(), Some(&103));
    assert_eq!(outcome.json().unwrap(), json!(103));
    assert_eq!(bench.history().await, [-1, 0, 1, 2]);
    let json = bench.app.run_json(json!(3)).thread("t").invoke().await.unwrap();
    assert_eq!(json.json().unwrap(), json!(106));
}

#[tokio::test]
async fn t238_what_is_returned_and_what_is_saved_may_differ() {
    let flow = Entrypoint::saving("wf", |n: i64, cx: FlowCtx<Deps, i64>| async move {
        Ok(Final { value: cx.previous().copied(), save: 2 * n })
    });
    let bench: Bench<Option<i64>, i64> = Bench::new(&flow.compile().unwrap());
    let mut values = Vec::new();
    for input in [3, 1, 1] {
        values.push(*bench.invoke(input).await.value().unwrap());
    }
    assert_eq!(values, [None, Some(6), Some(2)]);
}

#[tokio::test]
async fn t239_tasks_before_and_after_a_question_run_once() {
    let (first, second) = (plus_one("first"), plus_one("second"));
    let flow = Entrypoint::new("wf", move |n: i64, cx: FlowCtx<Deps, i64>| {
        let (first, second) = (first.clone(), second.clone());
        async move {
            cx.deps().start("wf");
            let n = cx.start(&first, n).await?;
            let more: i64 = cx.interrupt("more", &n)?;
            cx.start(&second, n + more).await
        }
    });
    let bench = Bench::new(&flow.compile().unwrap());
    let asked = bench.invoke(1).await;
    assert_eq!((asked.status, asked.value()), (Status::Interrupted, None));
    assert_eq!(asked.json().unwrap()["__interrupt__"][0]["value"], json!(2));
    let outcome = bench.answer(Resume::Only(json!(10))).await.unwrap();
    assert_eq!(outcome.value().as_deref(), Some(&13));
    let runs = ["wf", "first", "second"].map(|name| bench.trace.runs(name));
    assert_eq!(runs, [2, 1, 1]);
}

/// A task that fails when it runs for the first time.
fn fails_once() -> Task<i64, i64, Deps> {
    Task::new("bad", |n: i64, ctx: Ctx<Deps>| async move {
        ctx.deps().start("bad");
        if ctx.deps().runs("bad") == 1 { Err(NodeError::msg("once")) } else { Ok(n) }
    })
}

#[tokio::test]
async fn t240_only_the_failed_task_runs_again() {
    let (ok, bad) = (plus_one("ok"), fails_once());
    let flow = Entrypoint::new("wf", move |n: i64, cx: FlowCtx<Deps, i64>| {
        let (ok, bad) = (ok.clone(), bad.clone());
        async move {
            let (ok, bad) = (cx.start(&ok, n), cx.start(&bad, n));
            Ok(ok.await? + bad.await?)
        }
    });
    let bench = Bench::new(&flow.compile().unwrap());
    let error = bench.enter(1).invoke().await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::Node));
    let outcome = bench.app.resume().thread("t").invoke().await.unwrap();
    assert_eq!(outcome.value().as_deref(), Some(&3));
    assert_eq!((bench.trace.runs("ok"), bench.trace.runs("bad")), (1, 2));
}

#[tokio::test]
async fn t241_a_tasks_error_can_be_caught() {
    let bad = fails_once();
    let flow = Entrypoint::new("wf", move |n: i64, cx: FlowCtx<Deps, String>| {
        let bad = bad.clone();
        async move {
            match cx.start(&bad, n).await {
                Ok(_) => Ok("ran".to_owned()),
                Err(error) => Ok(format!("caught {error}")),
            }
        }
    });
    let bench = Bench::new(&flow.compile().unwrap());
    assert_eq!(bench.invoke(1).await.value().as_deref(), Some(&"caught once".to_owned()));
}

#[tokio::test]
async fn t242_two_tasks_ask_at_once_and_both_questions_are_reported() {
    let ask = Task::new("ask", |n: i64, ctx: Ctx<Deps>| async move {
        ctx.deps().start(&format!("ask {n}"));
        ctx.interrupt::<i64>("q", &n)
    });
    let flow = Entrypoint::new("wf", move |_: i64, cx: FlowCtx<Deps, Vec<i64>>| {
        let ask = ask.clone();
        async move {
            let (a, b) = (cx.start(&ask, 1), cx.start(&ask, 2));
            Ok(vec![a.await?, b.await?])
        }
    });
    let bench = Bench::new(&flow.compile().unwrap());
    let mut asked = bench.invoke(0).await.interrupts;
    asked.sort_by_key(|interrupt| interrupt.value.to_string());
    let questions: Vec<&Json> = asked.iter().map(|interrupt| &interrupt.value).collect();
    assert_eq!(questions, [&json!(1), &json!(2)]);
    let by_id =
        |of: usize, answer: i64| Resume::ById([(asked[of].id.to_string(), json!(answer))].into());
    // One answer: the other task goes on waiting and is not run to ask again.
    let outcome = bench.answer(by_id(1, 20)).await.unwrap();
    assert_eq!(outcome.interrupts, asked[..1]);
    assert_eq!((bench.trace.runs("ask 1"), bench.trace.runs("ask 2")), (1, 2));
    let outcome = bench.answer(by_id(0, 10)).await.unwrap();
    assert_eq!(outcome.value().as_deref(), Some(&vec![10, 20]));
    assert_eq!((bench.trace.runs("ask 1"), bench.trace.runs("ask 2")), (2, 2));
    assert_eq!(outcome.warnings, []);
}

#[tokio::test]
async fn t243_a_changed_order_of_tasks_is_an_error_unless_they_have_keys() {
    async fn swapped(keyed: bool) -> Result<Outcome<Flow<i64, Vec<i64>>>, Error> {
        let (a, b) = (plus_one("a"), plus_one("b"));
        let flow = Entrypoint::new("wf", move |n: i64, cx: FlowCtx<Deps, Vec<i64>>| {
            let (a, b) = (a.clone(), b.clone());
            async move {
                cx.deps().start("wf");
                let start = |task: &Task<i64, i64, Deps>, n| {
                    if keyed { cx.start_as(task.name(), task, n) } else { cx.start(task, n) }
                };
                let (first, second) = if cx.deps().runs("wf") == 1 { (&a, &b) } else { (&b, &a) };
                let first = start(first, n).await?;
                let second = start(second, n).await?;
                cx.interrupt::<Json>("q", "go on?")?;
                Ok(vec![first, second])
            }
        });
        let bench = Bench::new(&flow.compile().unwrap());
        bench.invoke(1).await;
        let outcome = bench.answer(Resume::Only(json!("yes"))).await;
        assert_eq!((bench.trace.runs("a"), bench.trace.runs("b")), (1, 1));
        outcome
    }
    let error = swapped(false).await.unwrap_err();
    let step = "call 0".to_owned();
    assert_eq!(error.failure_kind(), Some(&FailureKind::StepMismatch { step }));
    assert!(error.to_string().contains("of `a`, but the task asked for `b`"), "{error}");
    assert_eq!(swapped(true).await.unwrap().value().as_deref(), Some(&vec![2, 2]));
}

#[tokio::test]
async fn t244_a_tasks_result_is_given_again_for_its_argument() {
    let t = plus_one("t").cache(CachePolicy::new());
    let flow = Entrypoint::new("wf", move |n: i64, cx: FlowCtx<Deps, i64>| {
        let t = t.clone();
        async move { cx.start(&t, n).await }
    });
    let mut bench = Bench::new(&flow.compile().unwrap());
    bench.app = bench.app.cache(Arc::new(MemoryCache::default()));
    assert_eq!(bench.events(bench.enter(1), Mode::Updates).await[0], json!({"t": 2}));
    let hit = bench.events(bench.enter(1), Mode::Updates).await;
    assert_eq!(hit[0], json!({"t": 2, "__metadata__": {"cached": true}}));
    assert_eq!(hit[1], json!({"wf": 2}));
    bench.invoke(5).await;
    assert_eq!(bench.trace.runs("t"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_retried_entrypoint_runs_the_failed_task_alone() {
    let (ok, bad) = (plus_one("ok"), fails_once());
    let flow = Entrypoint::new("wf", move |n: i64, cx: FlowCtx<Deps, i64>| {
        let (ok, bad) = (ok.clone(), bad.clone());
        async move { Ok(cx.start(&ok, n).await? + cx.start(&bad, n).await?) }
    });
    let flow = flow.retry(Retry::default().on(|_| true)).timeout(Duration::from_mins(1));
    let bench = Bench::new(&flow.compile().unwrap());
    assert_eq!(bench.invoke(1).await.value().as_deref(), Some(&3));
    assert_eq!((bench.trace.runs("ok"), bench.trace.runs("bad")), (1, 2));
}

#[tokio::test]
async fn one_slot_is_enough_for_an_entrypoint_and_its_tasks() {
    let bench = two_at_once();
    let run = bench.enter(1).max_concurrency(1).invoke();
    let outcome = tokio::time::timeout(Duration::from_mins(1), run).await.expect("no deadlock");
    assert_eq!(outcome.unwrap().value().as_deref(), Some(&14));
}

#[tokio::test]
async fn steps_in_a_task_are_its_own_and_a_panic_is_its_error() {
    let t = Task::new("t", |n: i64, ctx: Ctx<Deps>| async move {
        let work = async {
            ctx.deps().start(&format!("paid {n}"));
            Ok::<_, NodeError>(n)
        };
        let paid: i64 = ctx.step("pay", &n, work).await?;
        assert_ne!(ctx.deps().runs(&format!("panic {n}")), 0, "not yet");
        Ok(paid)
    });
    let flow = Entrypoint::new("wf", move |n: i64, cx: FlowCtx<Deps, i64>| {
        let t = t.clone();
        async move {
            let (a, b) = (cx.start(&t, n), cx.start(&t, n + 1));
            Ok(a.await? + b.await?)
        }
    });
    let bench = Bench::new(&flow.compile().unwrap());
    let error = bench.enter(1).invoke().await.unwrap_err();
    assert_eq!(error.failure_kind(), Some(&FailureKind::Panic));
    let trace: &Trace = &bench.trace;
    trace.start("panic 1");
    trace.start("panic 2");
    let outcome = bench.app.resume().thread("t").invoke().await.unwrap();
    assert_eq!(outcome.value().as_deref(), Some(&3));
    assert_eq!((trace.runs("paid 1"), trace.runs("paid 2")), (1, 1));
}
