//! What every store has to do, one behaviour per function.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a conformance suite fails by panicking, as tests do"
)]

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use crate::{
    env::Env,
    error::BoxError,
    store::{
        Embed, Error, Found, Get, Index, Indexing, Lifetime, Namespaces, Object, Op, Options, Put,
        Reply, Search, Store, Ttl,
    },
};

type Subject = Arc<dyn Store>;

/// Runs the whole suite. Every behaviour gets an empty store of its own from `make`, which is told
/// what to make it with.
///
/// # Panics
/// When a behaviour is not as it has to be.
pub async fn check_store<F, Fut>(make: F)
where
    F: Fn(Options) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let clock = || Arc::new(HandClock(AtomicI64::new(1_700_000_000_000)));
    let plain = async || make(Options::default()).await;
    bad_namespaces_are_refused(plain().await).await;
    an_item_comes_back_as_it_was(plain().await).await;
    any_text_is_a_key(plain().await).await;
    filters_choose_by_value(plain().await).await;
    filters_look_into_values(plain().await).await;
    a_missing_key_and_another_type_match_nothing(plain().await).await;
    a_search_goes_below_a_prefix_of_labels(plain().await).await;
    a_search_gives_pages_and_the_last_written_first(plain().await).await;
    namespaces_are_listed(plain().await).await;
    a_batch_reads_what_was_before_it(plain().await).await;
    a_refused_batch_stores_nothing(plain().await).await;
    without_an_index_a_query_is_no_filter(plain().await).await;

    let timed = clock();
    let options = Options::default().env(Arc::clone(&timed) as Arc<dyn Env>);
    the_first_write_gives_the_time_of_creation(make(options).await, &timed).await;

    let indexed = || Options::default().index(Index::new(DIMS, Arc::new(Words)));
    items_are_found_by_what_they_mean(make(indexed()).await).await;
    parts_of_a_value_are_embedded(make(indexed()).await).await;
    a_query_keeps_to_prefix_filter_and_page(make(indexed()).await).await;
    an_item_written_again_means_something_else(make(indexed()).await).await;
    let named = Index::new(DIMS, Arc::new(Words)).fields(&["title"]).unwrap();
    an_index_names_what_it_embeds(make(Options::default().index(named)).await).await;
    let wrong = Index::new(DIMS + 1, Arc::new(Words));
    vectors_of_another_length_are_refused(make(Options::default().index(wrong)).await).await;

    for default_minutes in [None, Some(10.0)] {
        let timed = clock();
        let ttl = Ttl { default_minutes, refresh_on_read: true };
        let options = Options::default().env(Arc::clone(&timed) as Arc<dyn Env>).ttl(ttl).unwrap();
        what_expired_cannot_be_seen(make(options).await, &timed, default_minutes).await;
    }
    let timed = clock();
    let ttl = Ttl { default_minutes: Some(10.0), refresh_on_read: false };
    let options = Options::default().env(Arc::clone(&timed) as Arc<dyn Env>).ttl(ttl).unwrap();
    reading_refreshes_only_when_it_is_asked_to(make(options).await, &timed).await;
}

/// A clock that is set by hand.
struct HandClock(AtomicI64);

impl HandClock {
    fn pass(&self, minutes: i64) {
        self.0.fetch_add(minutes * 60_000, Ordering::SeqCst);
    }
}

#[async_trait]
impl Env for HandClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn new_id(&self) -> u128 {
        0
    }

    fn random(&self) -> u64 {
        0
    }

    async fn sleep(&self, _: Duration) {}
}

const DIMS: usize = 4;

/// Counts the words apple, pear, stone and sand.
struct Words;

#[async_trait]
impl Embed for Words {
    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, BoxError> {
        if texts.iter().any(|text| text.contains("unspeakable")) {
            return Err("cannot say that".into());
        }
        let count = |text: &String| {
            ["apple", "pear", "stone", "sand"]
                .map(|word| text.matches(word).count() as f32)
                .to_vec()
        };
        Ok(texts.iter().map(count).collect())
    }
}

fn object(json: Json) -> Object {
    match json {
        Json::Object(object) => object,
        other => unreachable!("{other} is no object"),
    }
}

fn keys(found: &[Found]) -> Vec<&str> {
    found.iter().map(|found| found.item.key.as_str()).collect()
}

fn named(namespace: &[&str]) -> Vec<String> {
    namespace.iter().map(|label| (*label).to_owned()).collect()
}

async fn fill(subject: &Subject, items: &[(&str, Json)]) {
    for (key, value) in items {
        subject.put(&["n"], key, value.clone()).await.unwrap();
    }
}

/// Keys of what a filter finds, sorted.
async fn found(subject: &Subject, filter: Json) -> Vec<String> {
    let search = Search { limit: 1000, ..Search::under(&["n"]).filter(&filter).unwrap() };
    let mut found: Vec<String> =
        subject.search(search).await.unwrap().into_iter().map(|found| found.item.key).collect();
    found.sort();
    found
}

async fn bad_namespaces_are_refused(subject: Subject) {
    let bad: [&[&str]; 8] = [
        &[],
        &[""],
        &["a", ""],
        &["a.b"],
        &["a", "b\0c"],
        &["langgraph"],
        &["mesh", "a"],
        &["langgraph", "b"],
    ];
    for namespace in bad {
        let refused = subject.put(namespace, "k", json!({})).await.unwrap_err();
        assert!(
            matches!(&refused, Error::Namespace { namespace: told, .. } if *told == named(namespace)),
            "{namespace:?}: {refused}"
        );
    }
    let refused = subject.put(&["a"], "k", json!([1])).await.unwrap_err();
    assert!(matches!(refused, Error::NotAnObject { key } if key == "k"));
    for fine in [&["a"][..], &["a", "mesh"], &["ü b", "*", "%_"]] {
        subject.put(fine, "k", json!({})).await.unwrap();
    }
    assert_eq!(subject.list_namespaces(Namespaces::default()).await.unwrap().len(), 3);
}

async fn an_item_comes_back_as_it_was(subject: Subject) {
    let value = json!({
        "text": "ü \" \0", "whole": -3, "large": u64::MAX, "real": 1.0, "null": null,
        "deep": {"list": [true, {}, []]},
    });
    assert_eq!(subject.get(&["a", "b"], "k").await.unwrap(), None);
    subject.put(&["a", "b"], "k", value.clone()).await.unwrap();
    let item = subject.get(&["a", "b"], "k").await.unwrap().unwrap();
    assert_eq!((item.namespace, item.key), (named(&["a", "b"]), "k".to_owned()));
    assert_eq!(Json::Object(item.value), value);
    assert_eq!(subject.get(&["a"], "k").await.unwrap(), None);
    assert_eq!(subject.get(&["a", "b", "c"], "k").await.unwrap(), None);
    assert_eq!(subject.get(&["a", "b"], "K").await.unwrap(), None);
    subject.delete(&["a", "b"], "k").await.unwrap();
    subject.delete(&["a", "b"], "k").await.unwrap();
    assert_eq!(subject.get(&["a", "b"], "k").await.unwrap(), None);
}

async fn any_text_is_a_key(subject: Subject) {
    let long = "x".repeat(10_000);
    let texts = ["", " ", "it's; DROP TABLE", "a.b", "a\0b", "a\0c", "☃", "%", "A", "a", &long];
    for (number, key) in texts.iter().enumerate() {
        subject.put(&["n"], key, json!({ "n": number })).await.unwrap();
    }
    for (number, key) in texts.iter().enumerate() {
        let item = subject.get(&["n"], key).await.unwrap().unwrap();
        assert_eq!(item.value["n"], json!(number), "{key:?}");
    }
}

async fn filters_choose_by_value(subject: Subject) {
    let items: Vec<(&str, Json)> = vec![
        ("one", json!({"k": 1, "t": "a"})),
        ("two", json!({"k": 2, "t": "b"})),
        ("half", json!({"k": 2.5, "t": "b"})),
        ("three", json!({"k": 3, "t": "c"})),
    ];
    fill(&subject, &items).await;
    let cases = [
        (json!({}), vec!["half", "one", "three", "two"]),
        (json!({"k": 2}), vec!["two"]),
        (json!({"k": 2.0}), vec!["two"]),
        (json!({"k": 2, "t": "b"}), vec!["two"]),
        (json!({"k": 2, "t": "a"}), vec![]),
        (json!({"k": {"$eq": 3}}), vec!["three"]),
        (json!({"k": {"$ne": 2}}), vec!["half", "one", "three"]),
        (json!({"k": {"$gt": 2}}), vec!["half", "three"]),
        (json!({"k": {"$gte": 2, "$lt": 3}}), vec!["half", "two"]),
        (json!({"k": {"$lte": 2}}), vec!["one", "two"]),
        (json!({"t": {"$gt": "a", "$lt": "c"}}), vec!["half", "two"]),
        (json!({"k": {"$in": [1, 3.0, "x"]}}), vec!["one", "three"]),
        (json!({"k": {"$in": []}}), vec![]),
        (json!({"t": {"$exists": true}}), vec!["half", "one", "three", "two"]),
        (json!({"x": {"$exists": false}, "k": 1}), vec!["one"]),
    ];
    for (filter, expected) in cases {
        assert_eq!(found(&subject, filter.clone()).await, expected, "{filter}");
    }
}

async fn filters_look_into_values(subject: Subject) {
    let items = [
        ("nested", json!({"m": {"a": 1, "b": {"c": "x"}}})),
        ("other", json!({"m": {"a": 2}})),
        ("list", json!({"l": [1, {"a": 1, "b": 2}]})),
        ("null", json!({"m": null})),
    ];
    fill(&subject, &items).await;
    let cases = [
        (json!({"m": {"a": 1}}), vec!["nested"]),
        (json!({"m": {"b": {"c": "x"}}}), vec!["nested"]),
        (json!({"m": {"a": {"$gte": 1}}}), vec!["nested", "other"]),
        (json!({"m": {"$eq": {"a": 2}}}), vec!["other"]),
        (json!({"m": {"$eq": {"a": 1}}}), vec![]),
        (json!({"m": {"x": null}}), vec![]),
        (json!({"m": null}), vec!["null"]),
        (json!({"m": {}}), vec!["nested", "other"]),
        (json!({"l": [1, {"a": 1}]}), vec!["list"]),
        (json!({"l": [1]}), vec![]),
        (json!({"l": [{"a": 1}, 1]}), vec![]),
    ];
    for (filter, expected) in cases {
        assert_eq!(found(&subject, filter.clone()).await, expected, "{filter}");
    }
}

async fn a_missing_key_and_another_type_match_nothing(subject: Subject) {
    let items =
        [("text", json!({"k": "5"})), ("number", json!({"k": 5})), ("without", json!({"x": 5}))];
    fill(&subject, &items).await;
    let cases = [
        (json!({"k": {"$gt": 1}}), vec!["number"]),
        (json!({"k": {"$lte": "9"}}), vec!["text"]),
        (json!({"k": {"$ne": 5}}), vec!["text"]),
        (json!({"k": {"$lt": null}}), vec![]),
        (json!({"k": {"$gte": [5]}}), vec![]),
        (json!({"k": {"$exists": false}}), vec!["without"]),
        (json!({"k": null}), vec![]),
        (json!({"k": {"a": 1}}), vec![]),
    ];
    for (filter, expected) in cases {
        assert_eq!(found(&subject, filter.clone()).await, expected, "{filter}");
    }
}

async fn a_search_goes_below_a_prefix_of_labels(subject: Subject) {
    let places: [&[&str]; 7] =
        [&["a"], &["a", "b"], &["a", "b", "c"], &["a", "bc"], &["ab"], &["b"], &["a b", "b"]];
    for (number, namespace) in places.iter().enumerate() {
        subject.put(namespace, &number.to_string(), json!({})).await.unwrap();
    }
    let below = async |prefix: &[&str]| {
        let found = subject.search(Search::under(prefix)).await.unwrap();
        let mut keys: Vec<String> = keys(&found).into_iter().map(str::to_owned).collect();
        keys.sort();
        keys.join("")
    };
    assert_eq!(below(&[]).await, "0123456");
    assert_eq!(below(&["a"]).await, "0123");
    assert_eq!(below(&["a", "b"]).await, "12");
    assert_eq!(below(&["a", "b", "c"]).await, "2");
    assert_eq!(below(&["a b"]).await, "6");
    assert_eq!(below(&["*"]).await, "");
    assert_eq!(below(&["a", "b", "c", "d"]).await, "");
}

async fn a_search_gives_pages_and_the_last_written_first(subject: Subject) {
    for number in 0..25 {
        let key = format!("{number:02}");
        subject.put(&["n"], &key, json!({"even": number % 2 == 0})).await.unwrap();
    }
    // Written again: it is now the last one.
    subject.put(&["n"], "03", json!({"even": false})).await.unwrap();
    let first = subject.search(Search::under(&["n"])).await.unwrap();
    assert_eq!(keys(&first), ["03", "24", "23", "22", "21", "20", "19", "18", "17", "16"]);
    assert!(first.iter().all(|found| found.score.is_none()));
    let page = |limit, offset| Search {
        limit,
        offset,
        ..Search::under(&["n"]).filter(&json!({"even": true})).unwrap()
    };
    // The page counts what was found, not what was looked at.
    assert_eq!(keys(&subject.search(page(3, 2)).await.unwrap()), ["20", "18", "16"]);
    subject.put(&["o", "ada"], "a", json!({})).await.unwrap();
    subject.put(&["p", "bob"], "b", json!({})).await.unwrap();
    subject.put(&["ada", "q"], "c", json!({})).await.unwrap();
    let of_ada = |offset, limit| Search {
        label: Some("ada".to_owned()),
        offset,
        limit,
        ..Search::under(&[])
    };
    assert_eq!(keys(&subject.search(of_ada(0, 10)).await.unwrap()), ["c", "a"]);
    assert_eq!(keys(&subject.search(of_ada(1, 1)).await.unwrap()), ["a"]);
    assert!(subject.search(page(0, 0)).await.unwrap().is_empty());
    assert!(subject.search(page(10, 13)).await.unwrap().is_empty());
}

async fn namespaces_are_listed(subject: Subject) {
    let places: [&[&str]; 6] =
        [&["a", "b", "c"], &["a", "b", "d"], &["a", "x"], &["b", "b", "c"], &["b"], &["a b"]];
    for namespace in places {
        subject.put(namespace, "k", json!({})).await.unwrap();
        subject.put(namespace, "l", json!({})).await.unwrap();
    }
    let list = async |asked: Namespaces| {
        let listed = subject.list_namespaces(asked).await.unwrap();
        listed.iter().map(|namespace| namespace.join("/")).collect::<Vec<_>>()
    };
    let all = Namespaces::default;
    assert_eq!(list(all()).await, ["a/b/c", "a/b/d", "a/x", "a b", "b", "b/b/c"]);
    let prefix = |labels: &[&str]| Namespaces { prefix: named(labels), ..all() };
    assert_eq!(list(prefix(&["a"])).await, ["a/b/c", "a/b/d", "a/x"]);
    assert_eq!(list(prefix(&["*", "b"])).await, ["a/b/c", "a/b/d", "b/b/c"]);
    assert_eq!(list(prefix(&["a", "*", "c"])).await, ["a/b/c"]);
    let suffix = |labels: &[&str]| Namespaces { suffix: named(labels), ..all() };
    assert_eq!(list(suffix(&["c"])).await, ["a/b/c", "b/b/c"]);
    assert_eq!(list(suffix(&["b", "*"])).await, ["a/b/c", "a/b/d", "b/b/c"]);
    let both = Namespaces { suffix: named(&["c"]), ..prefix(&["a"]) };
    assert_eq!(list(both).await, ["a/b/c"]);
    let shallow = Namespaces { max_depth: NonZeroUsize::new(1), ..all() };
    assert_eq!(list(shallow).await, ["a", "a b", "b"]);
    let two = Namespaces { max_depth: NonZeroUsize::new(2), ..prefix(&["a"]) };
    assert_eq!(list(two).await, ["a/b", "a/x"]);
    assert_eq!(list(Namespaces { limit: 2, offset: 1, ..all() }).await, ["a/b/d", "a/x"]);
    let with_c = Namespaces { label: Some("c".to_owned()), offset: 1, ..all() };
    assert_eq!(list(with_c).await, ["b/b/c"]);
    // A namespace without items is no namespace.
    subject.delete(&["a", "x"], "k").await.unwrap();
    subject.delete(&["a", "x"], "l").await.unwrap();
    assert_eq!(list(prefix(&["a"])).await, ["a/b/c", "a/b/d"]);
}

async fn a_batch_reads_what_was_before_it(subject: Subject) {
    let put = |n: i64| Op::Put(Put::new(&["n"], "k", object(json!({ "k": n }))));
    subject.batch(vec![put(1)]).await.unwrap();
    let replies = subject
        .batch(vec![
            put(2),
            Op::Get(Get::new(&["n"], "k")),
            put(3),
            Op::Put(Put::new(&["n"], "other", Object::new())),
            Op::Search(Search::under(&["n"])),
            Op::Namespaces(Namespaces::default()),
            Op::Get(Get::new(&["n"], "other")),
        ])
        .await
        .unwrap();
    let [
        Reply::Done,
        Reply::Item(Some(got)),
        Reply::Done,
        Reply::Done,
        Reply::Found(found),
        rest @ ..,
    ] = &replies[..]
    else {
        unreachable!("{replies:?}")
    };
    assert_eq!(got.value["k"], 1);
    assert_eq!((keys(found), &found[0].item), (vec!["k"], got));
    assert_eq!(rest, [Reply::Namespaces(vec![named(&["n"])]), Reply::Item(None)]);
    assert_eq!(subject.get(&["n"], "k").await.unwrap().unwrap().value["k"], 3);
    let delete = Op::Put(Put::delete(&["n"], "k"));
    subject.batch(vec![put(4), delete.clone()]).await.unwrap();
    assert_eq!(subject.get(&["n"], "k").await.unwrap(), None);
    subject.batch(vec![delete, put(5)]).await.unwrap();
    assert_eq!(subject.get(&["n"], "k").await.unwrap().unwrap().value["k"], 5);
    assert_eq!(subject.batch(Vec::new()).await.unwrap(), []);
}

async fn a_refused_batch_stores_nothing(subject: Subject) {
    let good = Op::Put(Put::new(&["n"], "k", Object::new()));
    let bad = [
        Op::Put(Put::new(&["mesh"], "k", Object::new())),
        Op::Put(Put { ttl: Lifetime::Minutes(0.0), ..Put::new(&["n"], "l", Object::new()) }),
        Op::Put(Put { ttl: Lifetime::Minutes(f64::NAN), ..Put::new(&["n"], "l", Object::new()) }),
        Op::Put(Put {
            index: Indexing::Paths(vec!["a[".to_owned()]),
            ..Put::new(&["n"], "l", Object::new())
        }),
    ];
    for bad in bad {
        let refused = subject.batch(vec![good.clone(), bad]).await;
        assert!(
            matches!(
                refused,
                Err(Error::Namespace { .. } | Error::Ttl { .. } | Error::Path { .. })
            ),
            "{refused:?}"
        );
    }
    assert_eq!(subject.get(&["n"], "k").await.unwrap(), None);
}

async fn without_an_index_a_query_is_no_filter(subject: Subject) {
    fill(&subject, &[("a", json!({"t": "apple"})), ("b", json!({"t": "stone"}))]).await;
    let found = subject.search(Search::under(&["n"]).query("apple")).await.unwrap();
    assert_eq!(keys(&found), ["b", "a"]);
    assert!(found.iter().all(|found| found.score.is_none()));
}

async fn the_first_write_gives_the_time_of_creation(subject: Subject, clock: &HandClock) {
    subject.put(&["n"], "k", json!({"n": 1})).await.unwrap();
    let first = subject.get(&["n"], "k").await.unwrap().unwrap();
    assert_eq!((first.created_at_ms, first.updated_at_ms), (clock.now_ms(), clock.now_ms()));
    clock.pass(5);
    subject.put(&["n"], "k", json!({"n": 2})).await.unwrap();
    let second = subject.get(&["n"], "k").await.unwrap().unwrap();
    assert_eq!(second.created_at_ms, first.created_at_ms);
    assert_eq!(second.updated_at_ms, clock.now_ms());
    subject.put(&["n"], "k", json!({"n": 2})).await.unwrap();
    let again = subject.get(&["n"], "k").await.unwrap().unwrap();
    assert!(again.updated_at_ms > second.updated_at_ms, "a later write has a later time");
    subject.delete(&["n"], "k").await.unwrap();
    clock.pass(5);
    subject.put(&["n"], "k", json!({"n": 3})).await.unwrap();
    let third = subject.get(&["n"], "k").await.unwrap().unwrap();
    assert_eq!(third.created_at_ms, clock.now_ms(), "a deleted item begins anew");
}

async fn items_are_found_by_what_they_mean(subject: Subject) {
    let items = [
        ("fruit", json!({"t": "apple apple pear"})),
        ("ground", json!({"t": "stone sand"})),
        ("apple", json!({"t": "apple"})),
    ];
    fill(&subject, &items).await;
    let off = Put {
        index: Indexing::Off,
        ..Put::new(&["n"], "unseen", object(json!({"t": "apple apple"})))
    };
    subject.batch(vec![Op::Put(off)]).await.unwrap();
    let found = subject.search(Search::under(&["n"]).query("apple")).await.unwrap();
    assert_eq!(keys(&found), ["apple", "fruit", "ground", "unseen"]);
    let scores: Vec<Option<f64>> = found.iter().map(|found| found.score).collect();
    assert!((scores[0].unwrap() - 1.0).abs() < 1e-6, "{scores:?}");
    assert!((scores[1].unwrap() - 2.0 / 5_f64.sqrt()).abs() < 1e-6, "{scores:?}");
    assert_eq!(scores[2..], [Some(0.0), None]);
    let plain = subject.search(Search::under(&["n"])).await.unwrap();
    assert_eq!(keys(&plain), ["unseen", "apple", "ground", "fruit"]);
    let failed = subject.put(&["n"], "x", json!({"t": "unspeakable"})).await.unwrap_err();
    assert!(matches!(failed, Error::Embedding(_)));
    assert_eq!(subject.get(&["n"], "x").await.unwrap(), None);
}

async fn parts_of_a_value_are_embedded(subject: Subject) {
    let value = || {
        object(json!({
            "a": {"b": "apple"},
            "list": [{"t": "pear"}, {"t": "stone"}, {"other": 1}],
            "last": ["sand", "sand", "pear"],
            "nothing": null,
        }))
    };
    let cases: [(&str, &str, Option<f64>); 10] = [
        ("a.b", "apple", Some(1.0)),
        ("a", "apple", Some(1.0)),
        ("list[*].t", "stone", Some(1.0)),
        ("list[*].t", "apple", Some(0.0)),
        ("list[0].t", "stone", Some(0.0)),
        ("last[-1]", "pear", Some(1.0)),
        ("last[-1]", "sand", Some(0.0)),
        ("last[9]", "sand", None),
        ("nothing", "sand", None),
        ("missing.x", "sand", None),
    ];
    for (path, query, expected) in cases {
        let paths = Indexing::Paths(vec![path.to_owned()]);
        let put = Put { index: paths, ..Put::new(&["n"], "k", value()) };
        subject.batch(vec![Op::Put(put)]).await.unwrap();
        let found = subject.search(Search::under(&["n"]).query(query)).await.unwrap();
        let rounded = found[0].score.map(|score| (score * 1e6).round() / 1e6);
        assert_eq!(rounded, expected, "{path} for {query}");
    }
    for path in ["", "a..b", "a[", "a[x]", "a]b[", "[0]", "a[0]b"] {
        let paths = Indexing::Paths(vec![path.to_owned()]);
        let put = Put { index: paths, ..Put::new(&["n"], "k", value()) };
        let refused = subject.batch(vec![Op::Put(put)]).await.unwrap_err();
        assert!(matches!(&refused, Error::Path { path: told, .. } if told == path), "{refused}");
    }
}

async fn a_query_keeps_to_prefix_filter_and_page(subject: Subject) {
    for (number, word) in ["apple", "apple pear", "pear", "apple sand"].iter().enumerate() {
        let value = json!({"t": word, "n": number});
        subject.put(&["n", "in"], &number.to_string(), value).await.unwrap();
    }
    subject.put(&["other"], "out", json!({"t": "apple"})).await.unwrap();
    let search = |filter: Json| Search::under(&["n"]).filter(&filter).unwrap().query("apple");
    let all = subject.search(search(json!({}))).await.unwrap();
    assert_eq!(keys(&all), ["0", "3", "1", "2"]);
    let some = subject.search(search(json!({"n": {"$gt": 0}}))).await.unwrap();
    assert_eq!(keys(&some), ["3", "1", "2"]);
    let page = Search { limit: 2, offset: 1, ..search(json!({})) };
    assert_eq!(keys(&subject.search(page).await.unwrap()), ["3", "1"]);
}

async fn an_item_written_again_means_something_else(subject: Subject) {
    fill(&subject, &[("a", json!({"t": "apple"})), ("b", json!({"t": "pear"}))]).await;
    fill(&subject, &[("a", json!({"t": "sand"}))]).await;
    let found = subject.search(Search::under(&["n"]).query("apple")).await.unwrap();
    assert_eq!(found.iter().map(|found| found.score).collect::<Vec<_>>(), [Some(0.0); 2]);
    subject.delete(&["n"], "a").await.unwrap();
    let found = subject.search(Search::under(&["n"]).query("sand")).await.unwrap();
    assert_eq!(keys(&found), ["b"]);
}

async fn an_index_names_what_it_embeds(subject: Subject) {
    fill(
        &subject,
        &[
            ("hidden", json!({"t": "apple", "title": "sand"})),
            ("without", json!({"t": "apple"})),
            ("titled", json!({"t": "sand", "title": "apple"})),
        ],
    )
    .await;
    let found = subject.search(Search::under(&["n"]).query("apple")).await.unwrap();
    assert_eq!(keys(&found), ["titled", "hidden", "without"]);
    assert_eq!(found[2].score, None);
}

async fn vectors_of_another_length_are_refused(subject: Subject) {
    let refused = subject.put(&["n"], "k", json!({"t": "apple"})).await.unwrap_err();
    assert!(matches!(refused, Error::BadEmbedding { .. }), "{refused}");
    assert_eq!(subject.get(&["n"], "k").await.unwrap(), None);
}

async fn what_expired_cannot_be_seen(
    subject: Subject,
    clock: &HandClock,
    default_minutes: Option<f64>,
) {
    let put = |key: &str, ttl| {
        Op::Put(Put { ttl, ..Put::new(&["n", key], key, object(json!({"t": key}))) })
    };
    let ops = vec![
        put("short", Lifetime::Minutes(2.0)),
        put("long", Lifetime::Minutes(60.0)),
        put("ever", Lifetime::Forever),
        put("default", Lifetime::Default),
    ];
    subject.batch(ops).await.unwrap();
    let visible = async || {
        let still = Search { refresh: Some(false), limit: 10, ..Search::under(&["n"]) };
        let found = subject.search(still).await.unwrap();
        let mut keys: Vec<String> = keys(&found).into_iter().map(str::to_owned).collect();
        keys.sort();
        keys
    };
    clock.pass(1);
    // Reading starts the time anew.
    assert!(subject.get(&["n", "short"], "short").await.unwrap().is_some());
    clock.pass(1);
    assert_eq!(visible().await, ["default", "ever", "long", "short"]);
    clock.pass(1);
    assert_eq!(visible().await, ["default", "ever", "long"]);
    assert_eq!(subject.get(&["n", "short"], "short").await.unwrap(), None);
    let listed = subject.list_namespaces(Namespaces::default()).await.unwrap();
    assert!(!listed.contains(&named(&["n", "short"])), "{listed:?}");
    clock.pass(10);
    let stays = default_minutes.is_none();
    let expected = if stays { vec!["default", "ever", "long"] } else { vec!["ever", "long"] };
    assert_eq!(visible().await, expected);
    assert_eq!(subject.sweep().await.unwrap(), if stays { 1 } else { 2 });
    assert_eq!(subject.sweep().await.unwrap(), 0);
    assert_eq!(visible().await, expected);
    // What is written under an expired name is new.
    clock.pass(100);
    subject.put(&["n", "long"], "long", json!({})).await.unwrap();
    let item = subject.get(&["n", "long"], "long").await.unwrap().unwrap();
    assert_eq!(item.created_at_ms, clock.now_ms());
}

async fn reading_refreshes_only_when_it_is_asked_to(subject: Subject, clock: &HandClock) {
    for key in ["a", "b", "c", "d"] {
        subject.put(&["n"], key, json!({"key": key})).await.unwrap();
    }
    clock.pass(6);
    let get = |key, refresh| Op::Get(Get { refresh, ..Get::new(&["n"], key) });
    subject.batch(vec![get("a", None), get("b", Some(true))]).await.unwrap();
    let search = Search {
        refresh: Some(true),
        ..Search::under(&["n"]).filter(&json!({"key": "c"})).unwrap()
    };
    assert_eq!(subject.search(search).await.unwrap().len(), 1);
    // A batch that writes as well refreshes as well; and a write begins a new time.
    let put = Op::Put(Put::new(&["n"], "e", Object::new()));
    subject.batch(vec![put, get("d", Some(true))]).await.unwrap();
    clock.pass(6);
    let found = subject.search(Search::under(&["n"])).await.unwrap();
    let mut keys = keys(&found);
    keys.sort_unstable();
    assert_eq!(keys, ["b", "c", "d", "e"]);
}
