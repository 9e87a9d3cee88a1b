//! What is told, in which order, and to whom.

use expect_test::expect;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value as Json, json};

use super::world::{
    SECRET, THREAD, all, done, events, guarded, is_end, lines, listen, questions, tell, told,
    until_ended, world,
};
use crate::{
    kit::Probe,
    runner::{Runner, Sent, frames},
};

async fn run(mesh: &Runner, thread: &str, assistant: &str) -> String {
    let params = json!({ "assistant_id": assistant, "input": {} });
    let result = done(mesh, thread, "run.start", params).await;
    result["run_id"].as_str().unwrap().to_owned()
}

fn numbers(sent: &[Sent]) -> Vec<u64> {
    sent.iter().map(|sent| sent.json()["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_run_is_one_numbered_stream_of_events() {
    let mesh = world().await;
    // The thread is made by the run; who listens may be there before.
    let mut open = listen(&mesh, THREAD, &all()).await;
    run(&mesh, THREAD, "outer").await;
    let sent = until_ended(&mut open, 1).await;
    expect![[r#"
        lifecycle [] {"event":"running","graph_name":"outer"}
        checkpoints [] {"step":-1}
        checkpoints [] {"step":0}
        values [] {"log":[],"messages":[]}
        tasks [] {"start":"report"}
        custom [] {"name":"progress","phase":"start"}
        custom [] {"unnamed":true}
        tools [] {"event":"tool-started","input":{"q":"x"},"tool_call_id":"tc-1","tool_name":"search"}
        tools [] {"event":"tool-finished","output":{"content":"found","type":"tool"},"tool_call_id":"tc-1"}
        updates [] {"report":{"log":["reported"]}}
        tasks [] {"result":"report"}
        checkpoints [] {"step":1}
        values [] {"log":["reported"],"messages":[]}
        tasks [] {"start":"sub"}
        lifecycle [sub] {"event":"started","graph_name":"inner"}
        checkpoints [sub] {"step":-1}
        checkpoints [sub] {"step":0}
        values [sub] {"log":[],"messages":[]}
        tasks [sub] {"start":"speak"}
        messages [sub] {"event":"message-start","id":"reply","role":"ai"}
        messages [sub] {"content":{"text":"","type":"text"},"event":"content-block-start","id":"reply","index":0}
        messages [sub] {"delta":{"text":"Hel","type":"text-delta"},"event":"content-block-delta","id":"reply","index":0}
        messages [sub] {"delta":{"text":"lo","type":"text-delta"},"event":"content-block-delta","id":"reply","index":0}
        messages [sub] {"content":{"text":"Hello","type":"text"},"event":"content-block-finish","id":"reply","index":0}
        messages [sub] {"event":"message-finish","id":"reply"}
        updates [sub] {"speak":{"log":["spoke"],"messages":[{"content":"Hello","id":"reply","type":"ai"},{"content":"by hand","id":"made","type":"ai"}]}}
        tasks [sub] {"result":"speak"}
        checkpoints [sub] {"step":1}
        values [sub] {"log":["spoke"],"messages":[{"content":"Hello","id":"reply","type":"ai"},{"content":"by hand","id":"made","type":"ai"}]}
        tasks [sub] {"start":"ask"}
        updates [sub] {}
        input.requested [sub] {"payload":"really?"}
        tasks [sub] {"result":"ask"}
        values [sub] {"log":["spoke"],"messages":[{"content":"Hello","id":"reply","type":"ai"},{"content":"by hand","id":"made","type":"ai"}]}
        lifecycle [sub] {"event":"interrupted","graph_name":"inner"}
        updates [] {}
        tasks [] {"result":"sub"}
        values [] {"log":["reported"],"messages":[]}
        lifecycle [] {"event":"interrupted","graph_name":"outer"}"#]].assert_eq(&lines(&events(&sent)));
    let numbers = numbers(&sent);
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    for sent in &sent {
        let event = sent.json();
        assert_eq!(sent.event, event["method"].as_str().unwrap());
        assert_eq!(sent.id.as_deref(), Some(&*event["seq"].to_string()));
        assert_eq!(event["type"], "event");
        assert!(event["params"]["timestamp"].is_i64());
    }
    let mut ids: Vec<String> =
        sent.iter().map(|sent| sent.json()["event_id"].to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), sent.len());
}

#[tokio::test]
async fn everybody_reads_the_same_whenever_they_come_and_after_a_restart() {
    let mesh = world().await;
    let mut first = listen(&mesh, THREAD, &all()).await;
    let mut second = listen(&mesh, THREAD, &all()).await;
    run(&mesh, THREAD, "outer").await;
    let sent = until_ended(&mut first, 1).await;
    assert_eq!(until_ended(&mut second, 1).await, sent);
    assert_eq!(told(&mesh, THREAD, &all(), 1).await, sent, "to a late joiner");
    drop((first, second));
    let mesh = mesh.restart().await;
    assert_eq!(told(&mesh, THREAD, &all(), 1).await, sent, "after a restart");
    let id = &questions(&sent)[0];
    let answer = json!({ "namespace": [], "interrupt_id": id, "response": "yes" });
    assert_eq!(done(&mesh, THREAD, "input.respond", answer).await, json!({}));
    let both = told(&mesh, THREAD, &all(), 2).await;
    assert_eq!(both[..sent.len()], sent, "the next run comes after it");
    assert!(numbers(&both).is_sorted_by(|a, b| a < b));
    assert_eq!(both.last().unwrap().json()["params"]["data"]["event"], "completed");
}

#[tokio::test]
async fn who_has_a_number_gets_what_comes_after_it() {
    let mesh = world().await;
    run(&mesh, THREAD, "speaks").await;
    told(&mesh, THREAD, &all(), 1).await;
    run(&mesh, THREAD, "speaks").await;
    let sent = told(&mesh, THREAD, &all(), 2).await;
    for (place, number) in numbers(&sent).into_iter().enumerate() {
        let mut filter = all();
        filter["since"] = json!(number);
        let rest = &sent[place + 1..];
        let ends = rest.iter().filter(|sent| is_end(&sent.json())).count();
        if ends > 0 {
            assert_eq!(told(&mesh, THREAD, &filter, ends).await, rest, "after {number}");
        }
    }
    // Beyond the end there is what comes from now on.
    let mut filter = all();
    filter["since"] = json!(9_000_000_000_000_000_u64);
    let mut open = listen(&mesh, THREAD, &filter).await;
    run(&mesh, THREAD, "speaks").await;
    let new = until_ended(&mut open, 1).await;
    assert_eq!(told(&mesh, THREAD, &all(), 3).await[sent.len()..], new);
}

#[tokio::test]
async fn a_filter_chooses_channels_and_places() {
    let mesh = world().await;
    run(&mesh, THREAD, "outer").await;
    let everything = events(&told(&mesh, THREAD, &all(), 1).await);
    let check = async |filter: Json, wanted: &dyn Fn(&Json) -> bool| {
        let mut filter = filter;
        // So that the end is seen.
        let channels = filter["channels"].as_array_mut().unwrap();
        channels.push(json!("lifecycle"));
        let is_root = |event: &Json| event["params"]["namespace"] == json!([]);
        let heard = events(&told(&mesh, THREAD, &filter, 1).await);
        let heard: Vec<&Json> =
            heard.iter().filter(|event| event["method"] != "lifecycle").collect();
        let wanted: Vec<&Json> = everything
            .iter()
            .filter(|event| event["method"] != "lifecycle" && wanted(event))
            .collect();
        assert_eq!(heard, wanted, "{filter}");
        assert!(everything.iter().any(is_root));
        heard.len()
    };
    let method = |event: &Json| event["method"].as_str().unwrap().to_owned();
    let depth = |event: &Json| event["params"]["namespace"].as_array().unwrap().len();
    let name = |event: &Json| event["params"]["data"]["name"].clone();
    let count = check(json!({ "channels": ["values"] }), &|event| method(event) == "values").await;
    assert!(count > 3);
    check(json!({ "channels": ["values"], "namespaces": [[]], "depth": 0 }), &|event| {
        method(event) == "values" && depth(event) == 0
    })
    .await;
    check(json!({ "channels": ["input", "values"], "namespaces": [["sub"], []] }), &|event| {
        matches!(&*method(event), "input.requested" | "values")
    })
    .await;
    let both = check(json!({ "channels": ["custom"] }), &|event| method(event) == "custom").await;
    assert_eq!(both, 2);
    check(json!({ "channels": ["custom:progress"] }), &|event| {
        method(event) == "custom" && name(event) == "progress"
    })
    .await;
    // Members of other types are as good as left out.
    check(json!({ "channels": ["tools"], "depth": "x", "namespaces": 3 }), &|event| {
        method(event) == "tools"
    })
    .await;
}

#[tokio::test]
async fn a_run_that_fails_and_one_that_is_cancelled_say_so() {
    let mesh = world().await;
    run(&mesh, THREAD, "fails").await;
    let sent = told(&mesh, THREAD, &json!({ "channels": ["lifecycle"] }), 1).await;
    expect![[r#"
        lifecycle [] {"event":"running","graph_name":"fails"}
        lifecycle [] {"error":"Boo!","event":"failed","graph_name":"fails"}"#]]
    .assert_eq(&lines(&events(&sent)));
    let id = run(&mesh, THREAD, "slow").await;
    Probe::wait_for(&mesh.probe.started).await;
    let cancel = mesh.post(&format!("/threads/{THREAD}/runs/{id}/cancel"), &json!({})).await;
    assert_eq!(cancel.status, 202);
    let sent = told(&mesh, THREAD, &json!({ "channels": ["lifecycle"] }), 2).await;
    expect![[r#"
        lifecycle [] {"event":"running","graph_name":"slow"}
        lifecycle [] {"event":"interrupted","graph_name":"slow"}"#]]
    .assert_eq(&lines(&events(&sent[2..])));
}

#[tokio::test]
async fn a_run_that_waits_and_is_cancelled_does_not_end_the_one_that_goes_on() {
    let mesh = world().await;
    run(&mesh, THREAD, "slow").await;
    Probe::wait_for(&mesh.probe.started).await;
    let waits = run(&mesh, THREAD, "speaks").await;
    let cancel = mesh.post(&format!("/threads/{THREAD}/runs/{waits}/cancel"), &json!({})).await;
    assert_eq!(cancel.status, 202);
    mesh.probe.go.add_permits(1);
    let sent = told(&mesh, THREAD, &json!({ "channels": ["lifecycle"] }), 1).await;
    expect![[r#"
        lifecycle [] {"event":"running","graph_name":"slow"}
        lifecycle [] {"event":"completed","graph_name":"slow"}"#]]
    .assert_eq(&lines(&events(&sent)));
}

#[tokio::test]
async fn runs_of_the_other_endpoints_are_told_as_far_as_they_tell() {
    let mesh = world().await;
    let thread = mesh.thread().await;
    let body = json!({ "assistant_id": "asks", "input": {}, "stream_mode": ["values"] });
    assert_eq!(mesh.post(&format!("/threads/{thread}/runs/wait"), &body).await.status, 200);
    let sent = told(&mesh, &thread, &all(), 1).await;
    expect![[r#"
        lifecycle [] {"event":"running","graph_name":"asks"}
        values [] {"log":[],"messages":[]}
        input.requested [] {"payload":"really?"}
        values [] {"log":[],"messages":[]}
        lifecycle [] {"event":"interrupted","graph_name":"asks"}"#]]
    .assert_eq(&lines(&events(&sent)));
}

#[tokio::test]
async fn a_thread_that_is_made_again_is_told_from_its_beginning() {
    let mesh = world().await;
    let mut open = listen(&mesh, THREAD, &all()).await;
    run(&mesh, THREAD, "speaks").await;
    let first = until_ended(&mut open, 1).await;
    let gone = mesh.send("DELETE", &format!("/threads/{THREAD}"), &[], None).await;
    assert_eq!(gone.status, 204);
    run(&mesh, THREAD, "speaks").await;
    let both = until_ended(&mut open, 2).await;
    let again = told(&mesh, THREAD, &all(), 1).await;
    assert_eq!(both[first.len()..], again);
    assert_ne!(first[0].json()["event_id"], again[0].json()["event_id"]);
}

#[tokio::test]
async fn somebody_elses_thread_is_as_quiet_as_one_that_is_not_there() {
    let mesh = guarded().await;
    let token = |subject: &str| {
        let claims = json!({ "sub": subject, "scopes": ["me"], "exp": 4_000_000_000_u64 });
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        format!("Bearer {}", encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap())
    };
    let (ann, bob) = (token("ann"), token("bob"));
    let path = format!("/threads/{THREAD}/stream/events");
    let listen = async |who: &str| {
        let headers = [("Authorization", who)];
        mesh.open("POST", &path, &headers, Some(&all())).await
    };
    let command = async |who: &str, method: &str, params: Json| {
        let body = json!({ "id": 1, "method": method, "params": params });
        let headers = [("Authorization", who)];
        mesh.send("POST", &format!("/threads/{THREAD}/commands"), &headers, Some(&body))
            .await
            .json()
    };
    // Before there is anything, and after.
    let mut early = listen(&bob).await;
    let start = json!({ "assistant_id": "asks", "input": {} });
    assert_eq!(command(&ann, "run.start", start.clone()).await["type"], "success");
    let mut own = listen(&ann).await;
    let sent = until_ended(&mut own, 1).await;
    let mut late = listen(&bob).await;
    for (method, params, code) in [
        ("run.start", start, "unknown_error"),
        ("input.respond", json!({ "interrupt_id": questions(&sent)[0] }), "no_such_run"),
        ("state.get", json!({}), "unknown_error"),
        ("state.listCheckpoints", json!({}), "unknown_error"),
        ("state.fork", json!({ "checkpoint_id": "x" }), "unknown_error"),
        ("agent.getTree", json!({}), "no_such_run"),
    ] {
        assert_eq!(command(&bob, method, params).await["error"], code, "{method}");
    }
    // What is his own afterwards comes to both.
    let mine = [("Authorization", &*ann)];
    let gone = mesh.send("DELETE", &format!("/threads/{THREAD}"), &mine, None).await;
    assert_eq!(gone.status, 204);
    let start = json!({ "assistant_id": "speaks", "input": {} });
    assert_eq!(command(&bob, "run.start", start).await["type"], "success");
    let his = until_ended(&mut early, 1).await;
    assert_eq!(until_ended(&mut late, 1).await, his);
    assert_eq!(his[0].json()["params"]["data"]["graph_name"], "speaks");
    assert_eq!(frames(&own.so_far()), sent);
}

#[tokio::test]
async fn a_filter_that_cannot_be_is_refused() {
    let mesh = world().await;
    let refused = async |filter: Json| {
        let path = format!("/threads/{THREAD}/stream/events");
        let answer = mesh.post(&path, &filter).await;
        assert_eq!(answer.status, 400);
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    let none = "channels is required and must be a non-empty array";
    for filter in [json!({}), json!({ "channels": [] }), json!({ "channels": "values" }), json!(3)]
    {
        assert_eq!(refused(filter).await, none);
    }
    assert_eq!(
        refused(json!({ "channels": ["values", "bogus", "custom:"] })).await,
        "channels contains unsupported entries: bogus, custom:. Allowed: values, updates, \
         messages, tools, custom, lifecycle, input, tasks, or any `custom:<name>`.",
    );
    let many: Vec<String> = (0..300).map(|number| format!("custom:{number}")).collect();
    assert_eq!(refused(json!({ "channels": many })).await, "channels: expected at most 256");
    let bad = mesh.post("/threads/x/stream/events", &all()).await;
    assert_eq!(bad.status, 422);
    let none = tell(&mesh, "x", "agent.getTree", json!({})).await;
    assert_eq!(none["error"], "unknown_error");
}
