//! The graphs for measuring.

use std::{fs, time::Duration};

use mesh_fixtures::{INTERVAL_US_MAX, PAD_MAX, PARTS_MAX, Suite, TOKENS_MAX};
use mesh_graph::{Mode, Xray};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use crate::kit::{Bench, graphs, stream};

#[tokio::test(start_paused = true)]
async fn steps_counts_to_six_one_superstep_each() {
    let bench = Bench::new(Suite::Python, "steps");
    let start = Instant::now();
    let updates = stream(bench.app.run_json(json!({})).thread("t"), Mode::Updates).await;
    let expected: Vec<Json> = (0..6).map(|n| json!({"step": {"log": [n]}})).collect();
    assert_eq!(updates, expected);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn steps_pads_every_update_and_goes_on_counting_on_its_thread() {
    let bench = Bench::new(Suite::Python, "steps");
    let input = json!({"n": 3, "delay": 0, "pad": 1000, "file": null});
    let updates = stream(bench.app.run_json(input).thread("t"), Mode::Updates).await;
    assert_eq!(updates.len(), 3);
    assert!(updates.iter().all(|u| u["step"]["pad"].as_str().unwrap().len() == 1000));
    let done = bench.run(json!({"n": 4, "pad": 0})).await;
    assert_eq!((&done["log"], &done["pad"]), (&json!([0, 1, 2, 3]), &json!(0)));
    assert_eq!(bench.run(json!({"n": 2})).await["log"], json!([0, 1, 2, 3]));
}

#[tokio::test]
async fn steps_appends_to_a_file_below_its_folder_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    fs::create_dir(&inside).unwrap();
    std::os::unix::fs::symlink(folder.path(), inside.join("way_out")).unwrap();
    let bench = Bench::of(&graphs(Suite::Python, Some(&inside)), "steps");
    bench.run(json!({"n": 3, "delay": 0, "file": "run.log"})).await;
    assert_eq!(fs::read_to_string(inside.join("run.log")).unwrap(), "0\n1\n2\n");

    let outside = folder.path().join("other").display().to_string();
    for file in ["../other", "way_out/other", outside.as_str(), "", "."] {
        let input = json!({"n": 1, "delay": 0, "file": file});
        let run = bench.app.run_json(input).thread("u").invoke().await;
        let error = run.err().unwrap_or_else(|| panic!("`{file}` was written"));
        let failure = error.failure().unwrap();
        assert_eq!(failure.code.as_deref(), Some("InvalidInput"));
        assert!(failure.message.starts_with(&format!("file: `{file}` cannot be appended to: ")));
    }
    assert!(!folder.path().join("other").exists());

    let without = Bench::new(Suite::Python, "steps");
    let error = without.fails(json!({"n": 1, "delay": 0, "file": "run.log"})).await;
    let message = &error.failure().unwrap().message;
    assert_eq!(message, "file: the server was started without a folder for files");
}

#[tokio::test]
async fn numbers_beyond_their_bounds_are_refused_by_name() {
    let steps = Bench::new(Suite::Python, "steps");
    let tokens = Bench::new(Suite::Python, "tokens200");
    let (pad, n, interval) = (PAD_MAX + 1, TOKENS_MAX + 1, INTERVAL_US_MAX + 1);
    for (bench, input, problem) in [
        (&steps, json!({"delay": 3601}), "delay: 3601 seconds, expected 0 to 3600".to_owned()),
        (&steps, json!({"delay": -1}), "delay: -1 seconds, expected 0 to 3600".to_owned()),
        (
            &steps,
            json!({"delay": 0, "pad": pad}),
            format!("pad: {pad} bytes, expected at most {PAD_MAX}"),
        ),
        (&tokens, json!({"n": n}), format!("n: {n}, expected at most {TOKENS_MAX}")),
        (
            &tokens,
            json!({"n": 1, "interval_us": interval}),
            format!("interval_us: {interval}, expected at most {INTERVAL_US_MAX}"),
        ),
    ] {
        assert_eq!(bench.fails(input).await.failure().unwrap().message, problem);
    }
}

#[tokio::test]
async fn noop3_writes_its_letters() {
    let bench = Bench::new(Suite::Python, "noop3");
    assert_eq!(bench.run(json!({})).await, json!({"log": ["a", "b", "c"]}));
}

#[tokio::test(start_paused = true)]
async fn fan_out_does_its_parts_in_one_step_and_keeps_those_beside_one_that_fails() {
    let bench = Bench::new(Suite::Python, "fan_out");
    let start = Instant::now();
    let done = bench.run(json!({"parts": 200, "delay": 1.0})).await;
    let expected: Vec<String> = (0..200).map(|number| format!("part {number}")).collect();
    assert_eq!(done["done"], json!(expected));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());

    let failing = Bench::new(Suite::Python, "fan_out");
    let error = failing.fails(json!({"parts": 3, "fails": [1]})).await;
    assert_eq!(error.failure().unwrap().message, "part 1 was told to fail");
    assert_eq!(bench.run(json!({"parts": 0})).await["done"], json!(expected));
    let many = PARTS_MAX + 1;
    let error = Bench::new(Suite::Python, "fan_out").fails(json!({"parts": many})).await;
    let told = format!("parts: {many}, expected at most {PARTS_MAX}");
    assert_eq!(error.failure().unwrap().message, told);
}

#[tokio::test]
async fn large_has_two_thousand_nodes_and_runs_them_all() {
    let bench = Bench::new(Suite::Python, "large");
    let nodes = |xray| bench.app.draw(xray).nodes.len();
    assert_eq!((nodes(Xray::Closed), nodes(Xray::Open)), (40 + 2, 2_000 + 2 + 80));
    let run = bench.app.run_json(json!({})).thread("t").subgraphs();
    let told = stream(run, Mode::Tasks).await;
    assert_eq!(told.iter().filter(|task| task.get("result").is_some()).count(), 2_040);
}

fn now_ns() -> i128 {
    let now = clock_gettime(ClockId::Monotonic);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

#[tokio::test]
async fn tokens200_says_when_each_of_its_tokens_was_sent() {
    let bench = Bench::new(Suite::Python, "tokens200");
    let before = now_ns();
    let told = stream(bench.app.run_json(json!({})).thread("t"), Mode::Messages).await;
    let after = now_ns();
    let (last, pieces) = told.split_last().unwrap();
    assert_eq!((&last[0]["content"], &last[0]["chunk_position"]), (&json!(""), &json!("last")));
    let texts: Vec<&str> = pieces.iter().map(|told| told[0]["content"].as_str().unwrap()).collect();
    let times: Vec<i128> =
        texts.iter().map(|text| text[1..text.len() - 1].parse().unwrap()).collect();
    assert_eq!(times.len(), 200);
    assert!(texts.iter().all(|text| text.starts_with('t') && text.ends_with(' ')));
    assert!(times.is_sorted() && times[0] >= before && times[199] <= after);
    let values = bench.values().await;
    assert_eq!(values["messages"][0]["content"], texts.concat());
}

#[tokio::test(start_paused = true)]
async fn tokens200_keeps_its_intervals() {
    let bench = Bench::new(Suite::Python, "tokens200");
    let start = Instant::now();
    let input = json!({"n": 100, "interval_us": 500});
    let told = stream(bench.app.run_json(input).thread("t"), Mode::Messages).await;
    assert_eq!(told.len(), 101);
    let took = start.elapsed();
    assert!((Duration::from_millis(50)..Duration::from_millis(52)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_reply_is_one_text_block_of_the_event_protocol() {
    let bench = Bench::new(Suite::Python, "tokens200");
    let run = bench.app.run_json(json!({"n": 3})).thread("t");
    let mut events = run.start_v3(0).unwrap();
    let mut kinds = Vec::new();
    while let Some(event) = events.next().await {
        if event.method == "messages" {
            kinds.push(event.data["event"].as_str().unwrap().to_owned());
        }
    }
    let expected = [
        "message-start",
        "content-block-start",
        "content-block-delta",
        "content-block-delta",
        "content-block-delta",
        "content-block-finish",
        "message-finish",
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn echo_gives_back_whatever_it_gets() {
    let bench = Bench::new(Suite::Python, "echo");
    let inputs = [
        json!({"a": {"b": [1, 2.5, null, true]}}),
        json!([1, "two"]),
        json!("text"),
        json!(7),
        json!({"messages": [{"content": "x".repeat(1 << 20)}]}),
    ];
    for input in inputs {
        assert_eq!(bench.run(input.clone()).await, input);
    }
}
