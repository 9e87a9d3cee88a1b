//! Questions and their answers.

use serde_json::{Value as Json, json};

use super::world::{THREAD, done, events, questions, refused, told, world};
use crate::{
    kit::Probe,
    runner::{Runner, Sent},
};

fn controls() -> Json {
    json!({ "channels": ["lifecycle", "input"] })
}

async fn start(mesh: &Runner, params: Json) {
    done(mesh, THREAD, "run.start", params).await;
}

fn ends(sent: &[Sent]) -> Vec<String> {
    let told = events(sent);
    told.iter()
        .filter(|event| super::is_end(event))
        .map(|event| event["params"]["data"]["event"].as_str().unwrap().to_owned())
        .collect()
}

async fn log(mesh: &Runner) -> Json {
    mesh.get(&format!("/threads/{THREAD}/state")).await.json()["values"]["log"].clone()
}

#[tokio::test]
async fn an_answer_goes_on_with_the_run_that_asked_and_is_taken_once() {
    let mesh = world().await;
    let answer = |id: &str| json!({ "namespace": [], "interrupt_id": id, "response": { "a": 1 } });
    let none = "no_such_run: No interrupted run is bound to this thread.";
    assert_eq!(refused(&mesh, THREAD, "input.respond", answer("x")).await, none);
    start(&mesh, json!({ "assistant_id": "speaks", "input": {} })).await;
    told(&mesh, THREAD, &controls(), 1).await;
    assert_eq!(refused(&mesh, THREAD, "input.respond", answer("x")).await, none);
    start(&mesh, json!({ "assistant_id": "asks", "input": {} })).await;
    let sent = told(&mesh, THREAD, &controls(), 2).await;
    let id = questions(&sent).remove(0);
    assert_eq!(
        refused(&mesh, THREAD, "input.respond", answer("x")).await,
        "no_such_interrupt: Unknown or already-consumed interrupt: x",
    );
    assert_eq!(done(&mesh, THREAD, "input.respond", answer(&id)).await, json!({}));
    let again = refused(&mesh, THREAD, "input.respond", answer(&id)).await;
    let consumed = format!("no_such_interrupt: Unknown or already-consumed interrupt: {id}");
    assert_eq!(again, consumed, "while its run may still go on");
    let sent = told(&mesh, THREAD, &controls(), 3).await;
    assert_eq!(ends(&sent), ["completed", "interrupted", "completed"]);
    assert_eq!(log(&mesh).await, json!(["spoke", "{\"a\":1}"]));
    assert_eq!(refused(&mesh, THREAD, "input.respond", answer(&id)).await, consumed);
}

#[tokio::test]
async fn some_of_several_questions_leave_the_others_open() {
    let mesh = world().await;
    start(&mesh, json!({ "assistant_id": "asks-two", "input": {} })).await;
    let sent = told(&mesh, THREAD, &controls(), 1).await;
    let asked = events(&sent);
    let methods: Vec<&str> = asked.iter().map(|event| event["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["lifecycle", "input.requested", "input.requested", "lifecycle"]);
    let ids = questions(&sent);
    let one = json!({ "responses": [{ "namespace": [], "interrupt_id": ids[0], "response": 1 }] });
    done(&mesh, THREAD, "input.respond", one).await;
    let sent = told(&mesh, THREAD, &controls(), 2).await;
    assert_eq!(ends(&sent), ["interrupted", "interrupted"]);
    assert_eq!(questions(&sent), [&*ids[0], &*ids[1], &*ids[1]], "asked again");
    let both = json!({ "responses": [
        { "namespace": [], "interrupt_id": ids[0], "response": 1 },
        { "namespace": [], "interrupt_id": ids[1], "response": 2 },
    ]});
    assert!(refused(&mesh, THREAD, "input.respond", both).await.ends_with(&ids[0]));
    let other = json!({ "namespace": [], "interrupt_id": ids[1], "response": 2 });
    done(&mesh, THREAD, "input.respond", other).await;
    let sent = told(&mesh, THREAD, &controls(), 3).await;
    assert_eq!(ends(&sent)[2], "completed");
    let mut log: Vec<Json> = log(&mesh).await.as_array().unwrap().clone();
    log.sort_by_key(Json::to_string);
    assert_eq!(log, [json!("1"), json!("2")]);
}

#[tokio::test]
async fn an_input_for_a_graph_that_asks_is_the_answer_also_after_a_restart() {
    let mesh = world().await;
    start(&mesh, json!({ "assistant_id": "asks", "input": {} })).await;
    told(&mesh, THREAD, &controls(), 1).await;
    let mesh = mesh.restart().await;
    start(&mesh, json!({ "assistant_id": "asks", "input": "yes" })).await;
    let sent = told(&mesh, THREAD, &controls(), 2).await;
    assert_eq!(ends(&sent), ["interrupted", "completed"]);
    assert_eq!(log(&mesh).await, json!(["yes"]));
    // Nothing is asked any more: this is an input again.
    start(&mesh, json!({ "assistant_id": "asks", "input": { "log": ["again"] } })).await;
    let sent = told(&mesh, THREAD, &controls(), 3).await;
    assert_eq!(log(&mesh).await, json!(["yes", "again"]));
    // By the ids of the questions.
    let by_id = json!({ questions(&sent)[1].clone(): "by id" });
    start(&mesh, json!({ "assistant_id": "asks", "input": by_id })).await;
    told(&mesh, THREAD, &controls(), 4).await;
    assert_eq!(log(&mesh).await[2], "by id");
}

#[tokio::test]
async fn another_graph_starts_afresh_on_a_thread_that_asks() {
    let mesh = world().await;
    start(&mesh, json!({ "assistant_id": "asks", "input": {} })).await;
    told(&mesh, THREAD, &controls(), 1).await;
    start(&mesh, json!({ "assistant_id": "speaks", "input": { "log": ["new"] } })).await;
    let sent = told(&mesh, THREAD, &controls(), 2).await;
    assert_eq!(ends(&sent)[1], "completed");
    assert_eq!(log(&mesh).await, json!(["new", "spoke"]));
}

#[tokio::test]
async fn an_answer_while_another_run_goes_on_finds_no_question() {
    let mesh = world().await;
    start(&mesh, json!({ "assistant_id": "asks", "input": {} })).await;
    let sent = told(&mesh, THREAD, &controls(), 1).await;
    let id = questions(&sent).remove(0);
    start(&mesh, json!({ "assistant_id": "slow", "input": {} })).await;
    Probe::wait_for(&mesh.probe.started).await;
    let answer = json!({ "namespace": [], "interrupt_id": id, "response": 1 });
    let code = refused(&mesh, THREAD, "input.respond", answer).await;
    assert!(code.starts_with("no_such_interrupt"), "{code}");
    mesh.probe.go.add_permits(1);
}

#[tokio::test]
async fn what_is_no_answer_is_refused_before_anything_is_looked_at() {
    let mesh = world().await;
    let single = "invalid_argument: input.respond requires an interrupt_id.";
    let entry = "invalid_argument: input.respond responses entries require an interrupt_id.";
    let empty = "invalid_argument: input.respond requires at least one response.";
    for (params, text) in [
        (json!({}), single),
        (json!({ "interrupt_id": 3 }), single),
        (json!({ "responses": [] }), empty),
        (json!({ "responses": [{ "response": 1 }] }), entry),
        (json!({ "responses": ["x"] }), entry),
    ] {
        assert_eq!(refused(&mesh, THREAD, "input.respond", params).await, text);
    }
}
