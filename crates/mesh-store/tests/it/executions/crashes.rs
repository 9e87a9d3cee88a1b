//! What is left of runs when the process goes, and what becomes of them.

use std::sync::Arc;

use mesh_runtime::{Start, log::Kind, run::RunStatus};
use serde_json::{Value as Json, json};

use super::{House, Stage, asked, check_log, read};

#[tokio::test]
async fn after_a_crash_the_run_goes_on_and_no_finished_task_runs_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    let stage: Arc<Stage> = Arc::default();
    stage.close("b");
    let house = House::open(path.clone(), &stage).await;
    let run = house.create(asked(&["x"], &["values", "updates"])).await;
    // `c` is done and stored when its update is on the log.
    let mut follow = house.follow(&run, Start::Beginning).await;
    loop {
        let entry = follow.next().await.unwrap().unwrap();
        if entry.node.as_deref() == Some("c") {
            break;
        }
    }
    drop(follow);
    let before = house.log("t").await;
    house.crash().await;

    stage.open("b");
    let house = House::open(path, &stage).await;
    let end = house.runtime.ended("t", run.id).await.unwrap();
    assert_eq!(end.status, RunStatus::Success);
    let values: Json = serde_json::from_slice(&end.values.unwrap()).unwrap();
    assert_eq!(values, json!({ "trail": ["x", "a", "b", "c", "d"] }));
    assert_eq!((stage.count("a"), stage.count("b"), stage.count("c")), (1, 2, 1));
    let log = house.log("t").await;
    assert_eq!(log[..before.len()], before, "what was read stays");
    check_log(&log);
    let attempts: Vec<_> = log.iter().filter(|entry| entry.kind == Kind::Begun).collect();
    assert_eq!(attempts.iter().map(|entry| entry.step).collect::<Vec<_>>(), [1, 2]);
    let told = log.iter().filter(|entry| entry.kind.name() == "updates");
    let nodes: Vec<_> = told.map(|entry| entry.node.clone().unwrap().to_string()).collect();
    assert_eq!(nodes, ["a", "c", "b", "d"], "each update is told once");
    assert_eq!(read(house.follow(&run, Start::Beginning).await).await, log);
    house.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_hands_its_runs_over_between_two_steps() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("runs.db");
    let stage: Arc<Stage> = Arc::default();
    stage.close("a");
    let house = House::open(path.clone(), &stage).await;
    let run = house.create(asked(&["x"], &["values", "updates"])).await;
    stage.reached().await;
    let stopping = house.stop.clone();
    stopping.cancel();
    // The step that runs may end, and the next one is somebody else's.
    let opening = {
        let stage = Arc::clone(&stage);
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            stage.open("a");
        })
    };
    house.stop().await;
    opening.await.unwrap();

    let house = House::open(path, &stage).await;
    let end = house.runtime.ended("t", run.id).await.unwrap();
    assert_eq!(end.status, RunStatus::Success);
    assert_eq!(["a", "b", "c", "d"].map(|node| stage.count(node)), [1, 1, 1, 1]);
    let log = house.log("t").await;
    check_log(&log);
    let begun = log.iter().filter(|entry| entry.kind == Kind::Begun).count();
    assert_eq!(begun, 1, "being handed over is no new attempt");
    assert_eq!(house.status(&run).await, RunStatus::Success);
    house.stop().await;
}
