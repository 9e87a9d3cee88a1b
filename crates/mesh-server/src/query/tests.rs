use mesh_graph::Mode;

use super::Query;

fn refused(raw: &str) -> String {
    Query::parse(raw).unwrap_err().to_string()
}

#[test]
fn an_empty_query_asks_for_plain_updates_on_no_thread() {
    assert_eq!(Query::parse("").unwrap(), Query::default());
}

#[test]
fn every_parameter_is_read() {
    let query = Query::parse(
        "stream_mode=updates,custom&subgraphs=true&thread_id=a%20b%C3%A9&on_disconnect=continue",
    )
    .unwrap();
    assert_eq!(query.modes, Some([Mode::Updates, Mode::Custom].into_iter().collect()));
    assert_eq!(query.thread.as_deref(), Some("a bé"));
    assert!(query.subgraphs && query.detach);
}

#[test]
fn what_is_unknown_doubled_or_without_effect_is_refused_by_name() {
    for (raw, said) in [
        ("mode=updates", "`mode` is unknown"),
        ("stream_mode=updates,tokens", "stream_mode: unknown stream mode `tokens`"),
        ("stream_mode=", "stream_mode: unknown stream mode ``"),
        ("subgraphs=yes&stream_mode=values", "subgraphs: `yes`"),
        ("subgraphs=true", "subgraphs: needs one more of updates"),
        ("subgraphs=true&stream_mode=custom", "subgraphs: needs one more of updates"),
        ("on_disconnect=pause", "on_disconnect: `pause`"),
        ("thread_id=a&thread_id=b", "thread_id: given twice"),
    ] {
        assert!(refused(raw).contains(said), "{raw}: {}", refused(raw));
    }
}

#[test]
fn a_thread_id_is_1_to_200_printable_characters() {
    let long = "ü".repeat(200);
    assert!(Query::parse(&format!("thread_id={long}")).is_ok());
    for bad in ["", &"a".repeat(201), "%00", "a%0Ab", "%20a", "a%20", "%FF", "a%E2%80%A8b"] {
        let said = refused(&format!("thread_id={bad}"));
        assert!(said.contains("1 to 200 printable"), "{bad}: {said}");
    }
}
