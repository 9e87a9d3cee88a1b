//! The graphs for what people do.

use mesh_fixtures::Suite;
use mesh_graph::{Outcome, Resume, Status, Untyped};
use serde_json::json;

use crate::kit::Bench;

#[tokio::test]
async fn ask_asks_everything_at_once_and_takes_only_what_fits() {
    let bench = Bench::new(Suite::Python, "ask");
    let day = json!({ "type": "string", "format": "date" });
    let input = json!({ "questions": [
        { "value": "Which day?", "schema": day },
        { "value": { "text": "Anything else?" } },
    ] });
    let asked: Outcome<Untyped> = bench.app.run_json(input).thread("t").invoke().await.unwrap();
    assert_eq!(asked.status, Status::Interrupted);
    let [first, second] = asked.interrupts.as_slice() else { panic!("expected two questions") };
    assert_eq!(first.response_schema, Some(day));
    assert_eq!(second.value, json!({ "text": "Anything else?" }));

    // A format counts: where a date is asked for, another text is no answer.
    let answer = |day: &str| {
        let answers = [(first.id.to_string(), json!(day)), (second.id.to_string(), json!(null))];
        bench.app.answer(Resume::ById(answers.into())).thread("t").invoke()
    };
    let refused = answer("tomorrow").await.err().unwrap().to_string();
    assert!(refused.contains("tomorrow"), "{refused}");
    let done = answer("2026-03-31").await.unwrap().json().unwrap();
    assert_eq!(done["answers"], json!(["2026-03-31", null]));
}
