use mesh_graph::Mode;
use proptest::prelude::*;

use super::*;

fn entry(kind: Kind, ns: &str, node: Option<&str>, at_ms: i64, data: &str) -> Entry {
    let run = Uuid::from_u128(7);
    let (ns, node) = (Arc::from(ns), node.map(Arc::from));
    let data = Bytes::from(data.to_owned());
    Entry { seq: 0, run, kind, ns, step: 3, node, at_ms, data, text_at: None }
}

fn numbered(mut entries: Vec<Entry>, first: u64) -> Vec<Entry> {
    for (seq, entry) in (first..).zip(&mut entries) {
        entry.seq = seq;
    }
    entries
}

fn token(text: &str) -> Entry {
    let facts = r#"{"langgraph_node":"writer","thread_id":"0b7a9c1e","langgraph_step":1}"#;
    let data = format!(r#"[{{"content":"{text}","type":"AIMessageChunk"}},{facts}]"#);
    entry(Kind::Event(Mode::Messages), "", Some("writer"), 1_700_000_000_000, &data)
}

#[test]
fn a_token_costs_little_more_than_its_text() {
    let one = encode(&[token("one ")]).unwrap().len();
    let many: Vec<_> = (0..100).map(|_| token("one ")).collect();
    let each = (encode(&many).unwrap().len() - one) / 99;
    assert!(each < 20, "{each} bytes for a token like the one before");
    let each = (encode(&[token("one "), token("zwei ")]).unwrap().len()) - one;
    assert!(each < 25, "{each} bytes for a token unlike the one before");
}

#[test]
fn a_page_ends_with_its_run_or_when_it_is_full() {
    let ended = || entry(Kind::Ended, "", None, 5, "{}");
    assert_eq!(fitting(&[token("a"), ended(), token("b")]), 2);
    assert_eq!(fitting(&[token("a"), token("b")]), 2);
    let big = entry(Kind::Event(Mode::Values), "", None, 5, &"x".repeat(PAGE_BYTES));
    assert_eq!(fitting(&[token("a"), big.clone(), token("b")]), 2);
    assert_eq!(fitting(&[big.clone(), big]), 1);
    assert_eq!(fitting(&[]), 0);
}

#[test]
fn damaged_pages_are_refused() {
    let page = encode(&[token("one "), token("zwei ")]).unwrap();
    let run = Uuid::nil();
    for length in 0..page.len() {
        assert!(decode(&page[..length], 1, run).is_err(), "cut at {length}");
    }
    // Its first line leaves something out, or shares with a line that is not there.
    let cuts = [
        Line(None, Some(""), Some(1), Some(""), 0, 0, 0, "x", None),
        Line(Some("values"), Some(""), Some(1), Some(""), 0, 1, 0, "x", None),
    ];
    for line in cuts {
        assert!(decode(&stored::encode(&[line]).unwrap(), 1, run).is_err());
    }
}

proptest! {
    #[test]
    fn what_was_told_is_read_again(
        facts in proptest::collection::vec(
            (0_usize..4, "[ab|]{0,3}", proptest::option::of("[ab]{1,2}"), any::<i64>(), "[aä€😀]{0,80}"),
            0..12,
        ),
        first in 1_u64..1 << 40,
    ) {
        let kinds = [Kind::Begun, Kind::Event(Mode::Values), Kind::Event(Mode::Messages), Kind::Ended];
        let entries = facts.iter().map(|(kind, ns, node, at_ms, data)| {
            entry(kinds[*kind], ns, node.as_deref(), *at_ms, data)
        });
        let entries = numbered(entries.collect(), first);
        let page = encode(&entries).unwrap();
        prop_assert_eq!(decode(&page, first, Uuid::from_u128(7)).unwrap(), entries);
    }
}
