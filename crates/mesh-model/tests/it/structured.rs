//! Typed answers.

use mesh_model::testing::{ScriptedModel, ScriptedReply};
use mesh_model::{
    ChatRequest, Delta, FinishReason, Message, ModelError, Problem, REPAIRS_MAX, Role, Structured,
    StructuredError, Usage, structured, structured_with,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Fact {
    text: String,
    #[schemars(range(min = 0, max = 10))]
    weight: u8,
    evidence: Vec<String>,
}

const GOOD: &str = r#"{"text": "Rust 1.0 came in 2015.", "weight": 3, "evidence": ["p1"]}"#;

fn ask() -> ChatRequest {
    ChatRequest::new(vec![Message::user("a fact, please")]).reply_id("r")
}

async fn check(replies: &[&str]) -> (Result<Structured<Fact>, StructuredError>, ScriptedModel) {
    let mut model = ScriptedModel::new("m");
    for reply in replies {
        model = model.then(ScriptedReply::text(reply).usage(Usage::new(10, 1)));
    }
    (structured::<Fact>(&model, ask(), "fact").await, model)
}

#[tokio::test]
async fn plain_json_is_read_and_the_schema_is_sent() {
    let (answer, model) = check(&[GOOD]).await;
    let answer = answer.unwrap();
    assert_eq!(answer.value.weight, 3);
    assert_eq!((answer.calls, answer.usage), (1, Some(Usage::new(10, 1))));
    let schema = model.requests()[0].response_schema.clone().unwrap();
    assert_eq!(schema.name, "fact");
    assert_eq!(schema.schema["properties"]["weight"]["maximum"], 10);
}

#[tokio::test]
async fn wrappings_around_one_object_are_tolerated() {
    for wrapped in [
        format!("```json\n{GOOD}\n```"),
        format!("```\n{GOOD}\n```\nHope this helps!"),
        format!("Here is the fact: {GOOD} I hope it helps."),
        format!("<think>maybe {{\"text\": 1}}?</think>\n{GOOD}"),
        format!("I use {{braces}} first. {GOOD}"),
    ] {
        let (answer, _) = check(&[&wrapped]).await;
        assert_eq!(answer.unwrap().calls, 1, "{wrapped}");
    }
}

#[tokio::test]
async fn a_wrong_answer_is_repaired_with_the_precise_problems() {
    let (answer, model) = check(&[r#"{"text": "x", "weight": 99, "evidence": "p1"}"#, GOOD]).await;
    let answer = answer.unwrap();
    assert_eq!(
        (answer.calls, answer.usage),
        (2, Some(Usage { total_tokens: 22, ..Usage::new(20, 2) }))
    );
    assert_eq!(answer.message.id.as_deref(), Some("r-r1"));
    let repair = &model.requests()[1];
    let roles: Vec<_> = repair.messages.iter().map(|message| message.role()).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::User]);
    let complaint = repair.messages[2].text();
    assert!(complaint.contains("- /weight: 99 is greater than the maximum of 10"), "{complaint}");
    assert!(complaint.contains("- /evidence: \"p1\" is not of type \"array\""), "{complaint}");
    assert!(repair.response_schema.is_some());
}

#[tokio::test]
async fn repairs_are_bounded_and_the_last_text_is_kept() {
    let (answer, model) = check(&["no", "still no", "never {", GOOD]).await;
    let error = answer.unwrap_err();
    assert_eq!(error.to_string(), "the answer for \"fact\" does not fit after 3 calls: 1 problems");
    assert!(!format!("{error:?}").contains("never"), "errors get logged, answers do not");
    let StructuredError::Unusable { text, json, usage, calls, .. } = error else {
        panic!("unusable")
    };
    assert_eq!((text.as_str(), json), ("never {", None));
    assert_eq!((usage, calls), (Some(Usage::new(30, 3)), REPAIRS_MAX + 1));
    let last = &model.requests()[2];
    assert_eq!(last.messages.len(), 3, "only the newest answer is sent along");
    assert_eq!(last.messages[1].text(), "still no");
}

#[tokio::test]
async fn the_callers_check_takes_part_in_repairs() {
    let bare = r#"{"text": "x", "weight": 1, "evidence": []}"#;
    let model =
        ScriptedModel::new("m").then(ScriptedReply::text(bare)).then(ScriptedReply::text(GOOD));
    let mut attempts = Vec::new();
    let answer =
        structured_with::<Fact>(&model, ask(), "fact", needs_evidence, |attempt, delta| {
            if matches!(delta, Delta::End { .. }) {
                attempts.push(attempt);
            }
        })
        .await
        .unwrap();
    assert_eq!(answer.value.evidence, ["p1"]);
    assert_eq!(attempts, [0, 1], "the observer can tell the attempts apart");
    assert_eq!(answer.usage, None, "one call without usage makes the sum unknown");
    let complaint = model.requests()[1].messages[2].text().into_owned();
    assert!(complaint.contains("- /evidence: a fact needs evidence"), "{complaint}");
}

#[tokio::test]
async fn an_answer_that_only_the_check_refuses_comes_back_as_json() {
    let bare = r#"{"text": "x", "weight": 1, "evidence": []}"#;
    let model = ScriptedModel::answering("m", move |_| ScriptedReply::text(bare));
    let error = structured_with::<Fact>(&model, ask(), "fact", needs_evidence, |_, _| {})
        .await
        .unwrap_err();
    let StructuredError::Unusable { json: Some(json), problems, .. } = error else {
        panic!("unusable with json")
    };
    assert_eq!(serde_json::from_value::<Fact>(json).unwrap().text, "x");
    assert_eq!(problems, [Problem::new("/evidence", "a fact needs evidence")]);
}

fn needs_evidence(fact: &Fact) -> Vec<Problem> {
    if fact.evidence.is_empty() {
        return vec![Problem::new("/evidence", "a fact needs evidence")];
    }
    vec![]
}

#[tokio::test]
async fn two_objects_are_one_too_many() {
    let (answer, model) = check(&[&format!("{GOOD} or {GOOD}"), GOOD]).await;
    assert_eq!(answer.unwrap().calls, 2);
    let complaint = model.requests()[1].messages[2].text().into_owned();
    assert!(complaint.contains("2 JSON objects"), "{complaint}");
}

#[tokio::test]
async fn a_reply_that_ran_out_of_tokens_is_told_to_be_shorter() {
    let model = ScriptedModel::new("m")
        .then(ScriptedReply::text(r#"{"text": "very lo"#).finish(FinishReason::Length))
        .then(ScriptedReply::text(GOOD));
    structured::<Fact>(&model, ask(), "fact").await.unwrap();
    let complaint = model.requests()[1].messages[2].text().into_owned();
    assert!(complaint.contains("token limit"), "{complaint}");
}

#[tokio::test]
async fn failures_of_the_model_keep_what_was_spent() {
    let model = ScriptedModel::new("m")
        .then(ScriptedReply::text("no").usage(Usage::new(10, 1)))
        .then(ScriptedReply::error(ModelError::QuotaExceeded));
    let error = structured::<Fact>(&model, ask(), "fact").await.unwrap_err();
    assert!(matches!(
        error,
        StructuredError::Model { source: ModelError::QuotaExceeded, calls: 1, usage: Some(u), .. }
            if u == Usage::new(10, 1)
    ));
}

#[tokio::test]
async fn a_filtered_reply_is_not_repaired() {
    let model = ScriptedModel::new("m")
        .then(ScriptedReply::text("I can").finish(FinishReason::ContentFilter));
    let error = structured::<Fact>(&model, ask(), "fact").await.unwrap_err();
    assert!(matches!(
        error,
        StructuredError::Model { source: ModelError::ContentFiltered, calls: 1, .. }
    ));
}

#[tokio::test]
async fn hostile_text_is_searched_in_bounded_time() {
    let braces = "{".repeat(200_000);
    let (answer, _) = check(&[&braces, &"{\"a\":".repeat(50_000), GOOD]).await;
    assert_eq!(answer.unwrap().calls, 3);
}

#[tokio::test]
async fn the_future_can_be_sent_to_another_thread() {
    let model = ScriptedModel::new("m").then(ScriptedReply::text(GOOD));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { structured::<Fact>(&model, ask(), "fact").await.map(|a| a.calls) });
    assert_eq!(tasks.join_next().await.unwrap().unwrap().unwrap(), 1);
}
