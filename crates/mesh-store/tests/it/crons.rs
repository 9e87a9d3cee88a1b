//! Crons on real rows: when they fire, and that they do it once.

use mesh_runtime::{
    Cron, Error, Policy, Scope, Stamp, Tx,
    cron::{self, CronFilter, CronPatch, CronSort, NewCron},
    page::{Direction, Window},
    runs::{Ids, RunQuery},
};
use serde_json::json;
use uuid::Uuid;

use crate::runs::{World, assistant, on};

/// 2026-11-22T10:00:00Z, in milliseconds.
const TEN: i64 = 1_795_341_600_000;
const MINUTE: i64 = 60_000;

async fn world() -> World {
    let mut world = World::new().await;
    world.ms = TEN;
    world.write(|tx, _| tx.insert_assistant(&assistant())).await.unwrap();
    world
}

fn every_five_minutes(id: u128) -> NewCron {
    NewCron {
        id: Uuid::from_u128(id),
        assistant: assistant().id,
        schedule: "*/5 * * * *".to_owned(),
        enabled: true,
        ..NewCron::default()
    }
}

async fn create(world: &mut World, new: NewCron) -> Result<Cron, Error> {
    world.write(move |tx, now| cron::create(tx, now.at, &Scope::All, new)).await
}

async fn fire(world: &mut World) -> (usize, Option<i64>) {
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(Ids { run: world.id(), thread: world.id() });
    }
    let mut ids = ids.into_iter();
    let fired = world
        .write(move |tx, now| cron::fire_due(tx, now, || ids.next().unwrap(), &Policy::default()))
        .await
        .unwrap();
    (fired.runs, fired.next.map(|next| (next.ms() - TEN) / MINUTE))
}

async fn get(world: &mut World, id: Uuid) -> Cron {
    world.write(move |tx, _| cron::get(tx, &Scope::All, id)).await.unwrap()
}

#[tokio::test]
async fn it_fires_when_its_time_has_come_and_once() {
    let mut world = world().await;
    create(&mut world, every_five_minutes(1)).await.unwrap();
    assert_eq!(fire(&mut world).await, (0, Some(5)));
    world.ms = TEN + 5 * MINUTE;
    assert_eq!(fire(&mut world).await, (1, Some(10)));
    assert_eq!(fire(&mut world).await, (0, Some(10)));
    // The clock is set back: the instant was had.
    world.ms = TEN;
    assert_eq!(fire(&mut world).await, (0, Some(10)));
}

#[tokio::test]
async fn after_a_time_without_a_server_it_fires_once() {
    let mut world = world().await;
    create(&mut world, every_five_minutes(1)).await.unwrap();
    world.ms = TEN + 60 * MINUTE + 1000;
    assert_eq!(fire(&mut world).await, (1, Some(65)));
}

#[tokio::test]
async fn an_instant_that_was_noted_is_not_fired_again() {
    let mut world = world().await;
    let cron = create(&mut world, every_five_minutes(1)).await.unwrap();
    let (id, instant) = (cron.id, cron.next_run.unwrap());
    world.write(move |tx, _| tx.note_fire(id, instant, Uuid::nil())).await.unwrap();
    world.ms = TEN + 5 * MINUTE;
    assert_eq!(fire(&mut world).await, (0, Some(10)));
}

#[tokio::test]
async fn its_runs_are_what_its_payload_says() {
    let mut world = world().await;
    world.create().await;
    let payload = json!({
        "input": { "n": 1 },
        "context": { "model": "x" },
        "metadata": { "b": 2 },
        "stream_mode": "updates",
        "multitask_strategy": "enqueue",
    });
    let new = NewCron {
        thread: Some("t".to_owned()),
        payload: payload.as_object().unwrap().clone(),
        metadata: json!({ "c": 3 }).as_object().unwrap().clone(),
        ..every_five_minutes(1)
    };
    let cron = create(&mut world, new).await.unwrap();
    world.ms = TEN + 5 * MINUTE;
    assert_eq!(fire(&mut world).await, (1, Some(10)));
    let query = RunQuery { limit: 10, offset: 0, status: None };
    let runs = world.write(move |tx, _| tx.runs("t", &query)).await.unwrap();
    let run = &runs[0];
    assert_eq!(run.kwargs.input, json!({ "n": 1 }));
    assert_eq!(run.kwargs.stream_mode, ["updates"]);
    assert_eq!(run.kwargs.context, json!({ "model": "x" }));
    assert_eq!(run.kwargs.config["configurable"]["cron_id"], json!(cron.id));
    assert_eq!((&run.metadata["b"], &run.metadata["c"]), (&json!(2), &json!(3)));
}

#[tokio::test]
async fn a_cron_without_its_assistant_or_its_thread_is_disabled() {
    let mut world = world().await;
    let nobody = NewCron { assistant: Uuid::from_u128(9), ..every_five_minutes(1) };
    let cron = create(&mut world, nobody).await.unwrap();
    world.ms = TEN + 5 * MINUTE;
    assert_eq!(fire(&mut world).await, (0, None));
    assert!(!get(&mut world, cron.id).await.enabled);
    let nowhere = NewCron { thread: Some("nowhere".to_owned()), ..every_five_minutes(2) };
    assert!(matches!(create(&mut world, nowhere).await, Err(Error::NoThread(_))));
}

#[tokio::test]
async fn it_ends_is_changed_and_is_found_by_its_owner() {
    let mut world = world().await;
    world.try_create(on("t"), None).await.unwrap();
    let end = Stamp((TEN + 7 * MINUTE) * 1000);
    let new = NewCron { end_time: Some(end), ..every_five_minutes(1) };
    let cron = create(&mut world, new).await.unwrap();
    world.ms = TEN + 5 * MINUTE;
    assert_eq!(fire(&mut world).await, (1, None));
    let id = cron.id;
    let patch = CronPatch {
        end_time: Some(None),
        schedule: Some("0 12 * * *".to_owned()),
        timezone: Some(Some("Europe/Zurich".to_owned())),
        ..CronPatch::default()
    };
    let changed =
        world.write(move |tx, now| cron::update(tx, now.at, &Scope::All, id, patch)).await.unwrap();
    assert_eq!(changed.next_run.unwrap().timestamp().to_string(), "2026-11-22T11:00:00Z");
    let bad = CronPatch { schedule: Some("never".to_owned()), ..CronPatch::default() };
    let refused = world.write(move |tx, now| cron::update(tx, now.at, &Scope::All, id, bad)).await;
    assert!(matches!(refused, Err(Error::Invalid { pointer, .. }) if pointer == "/schedule"));
    let ada = Scope::Owner("ada".to_owned());
    let count =
        |scope: Scope| move |tx: &mut dyn Tx, _| cron::count(tx, &scope, &CronFilter::default());
    assert_eq!(world.write(count(ada.clone())).await.unwrap(), 0);
    let new = every_five_minutes(2);
    let (owner, window) = (ada.clone(), Window { limit: 10, offset: 0 });
    world.write(move |tx, now| cron::create(tx, now.at, &owner, new)).await.unwrap();
    let found = world
        .write(move |tx, _| {
            let by = CronSort::NextRun;
            cron::search(tx, &ada, &CronFilter::default(), by, Direction::Ascending, window)
        })
        .await
        .unwrap();
    assert_eq!(found.rows.len(), 1);
    assert_eq!(world.write(count(Scope::All)).await.unwrap(), 2);
    world.write(move |tx, _| cron::remove(tx, &Scope::All, id)).await.unwrap();
    let gone = world.write(move |tx, _| cron::get(tx, &Scope::All, id)).await;
    assert!(matches!(gone, Err(Error::NoCron(_))));
}

#[tokio::test]
async fn its_runs_know_who_made_it_and_not_who_it_says_made_it() {
    let mut world = world().await;
    let forged = json!({ "langgraph_auth_user_id": "eve", "langgraph_auth_user": {}, "mine": 1 });
    let payload = json!({ "config": { "configurable": forged } }).as_object().unwrap().clone();
    for (id, granted, who) in [
        (1, json!({ "langgraph_auth_user_id": "ada" }), json!("ada")),
        // Where nobody has to say who they are.
        (2, json!({}), json!(null)),
    ] {
        let new = NewCron {
            granted: granted.as_object().unwrap().clone(),
            payload: payload.clone(),
            ..every_five_minutes(id)
        };
        let cron = create(&mut world, new).await.unwrap();
        assert_eq!(get(&mut world, cron.id).await.granted, cron.granted);
        world.ms += 5 * MINUTE;
        assert_eq!(fire(&mut world).await.0, id as usize, "the first one fires again");
        let runs = world.claim_all().await;
        let own = |run: &&mesh_runtime::Run| {
            run.kwargs.config["configurable"]["cron_id"] == json!(cron.id)
        };
        let configurable = &runs.iter().find(own).unwrap().kwargs.config["configurable"];
        assert_eq!(configurable["langgraph_auth_user_id"], who);
        assert_eq!(configurable["langgraph_auth_user"], json!(null));
        assert_eq!(configurable["mine"], 1);
    }
}
