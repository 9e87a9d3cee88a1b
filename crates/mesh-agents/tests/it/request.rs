//! What is wrong with a request, and where.

use mesh_agents::blogger::{Mode, Request};
use serde_json::{Value as Json, json};

fn refused(request: Json) -> (String, String) {
    let error = Request::from_json(request).expect_err("the request is refused");
    (error.pointer, error.message)
}

#[test]
fn a_topic_is_enough() {
    let request = Request::from_json(json!({"topic": "How does a run survive a crash?"})).unwrap();
    assert_eq!(request.mode, Mode::Auto);
    assert_eq!((request.words.target, request.sources.max), (1_200, 24));
}

#[test]
fn topics_are_counted_in_characters() {
    for (topic, characters) in [("four".to_owned(), 4), ("ß".repeat(4), 4), ("日".repeat(501), 501)]
    {
        assert_eq!(
            refused(json!({ "topic": topic })),
            ("/topic".into(), format!("topic: {characters} characters, expected 5 to 500"))
        );
    }
    for topic in ["fives".to_owned(), "ßßßßß".to_owned(), "日".repeat(500)] {
        assert!(Request::from_json(json!({ "topic": topic })).is_ok());
    }
}

#[test]
fn unknown_fields_are_pointed_to() {
    let (pointer, message) = refused(json!({"topic": "A good topic", "tpoic": 1}));
    assert_eq!(pointer, "/tpoic");
    assert!(message.starts_with("tpoic: unknown field, expected one of topic, "), "{message}");
    let (pointer, _) = refused(json!({"topic": "A good topic", "sources": {"url": []}}));
    assert_eq!(pointer, "/sources/url");
}

#[test]
fn values_of_another_type_or_out_of_bounds_are_pointed_to() {
    let with = |field: &str, value: Json| {
        let mut request = json!({"topic": "A good topic"});
        request[field] = value;
        refused(request)
    };
    assert_eq!(with("topic", json!(7)).0, "/topic");
    assert_eq!(with("mode", json!("magic")).0, "/mode");
    assert_eq!(with("must_cover", json!(["fine", 2])).0, "/must_cover/1");
    assert_eq!(
        with("words", json!({"target": 10})),
        ("/words/target".into(), "words.target: 10, expected 150 to 6000".into())
    );
    assert_eq!(with("sources", json!({"urls": ["ftp://example.org/"]})).0, "/sources/urls/0");
    assert_eq!(with("sources", json!({"urls": ["no address"]})).0, "/sources/urls/0");
    assert_eq!(with("sources", json!({"exclude": ["a", 1]})).0, "/sources/exclude/1");
    assert_eq!(
        with("sources", json!({"exclude": vec!["a"; 51]})).1,
        "sources.exclude: 51 entries, expected at most 50"
    );
    assert_eq!(with("language", json!("klingon!")).0, "/language");
    assert_eq!(refused(json!([])).0, "");
    assert_eq!(
        refused(json!({})),
        ("/topic".into(), "topic: missing, expected 5 to 500 characters".into())
    );
}

#[test]
fn the_published_schema_has_the_bounds_that_are_checked() {
    use mesh_agents::blogger::{SOURCES_MAX, TOPIC_CHARS, WORDS};
    let schema = schemars::schema_for!(Request).to_value();
    let topic = &schema["properties"]["topic"];
    assert_eq!(
        (&topic["minLength"], &topic["maxLength"]),
        (&json!(TOPIC_CHARS.start()), &json!(TOPIC_CHARS.end()))
    );
    let words = &schema["$defs"]["Words"]["properties"]["target"];
    assert_eq!(
        (&words["minimum"], &words["maximum"]),
        (&json!(WORDS.start()), &json!(WORDS.end()))
    );
    let sources = &schema["$defs"]["Sources"]["properties"]["max"];
    assert_eq!(
        (&sources["minimum"], &sources["maximum"]),
        (&json!(SOURCES_MAX.start()), &json!(SOURCES_MAX.end()))
    );
}
