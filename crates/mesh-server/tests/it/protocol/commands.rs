//! The other commands, and what is none.

use expect_test::expect;
use serde_json::{Value as Json, json};

use super::world::{THREAD, all, done, questions, refused, sorted, told, world};
use crate::kit::Probe;

#[tokio::test]
async fn what_is_no_command_is_refused() {
    let mesh = world().await;
    let path = format!("/threads/{THREAD}/commands");
    let wrong = "Protocol commands must include an integer id and string method.";
    for (body, id) in [
        (json!([]), Json::Null),
        (json!({}), Json::Null),
        (json!({ "id": 3 }), json!(3)),
        (json!({ "id": 1.5, "method": "run.start" }), json!(1.5)),
        (json!({ "id": "a", "method": "run.start" }), json!("a")),
        (json!({ "id": 1, "method": 2 }), json!(1)),
    ] {
        let answer = mesh.post(&path, &body).await;
        assert_eq!(answer.status, 400, "{body}");
        let answer = answer.json();
        assert_eq!(answer["type"], "error");
        assert_eq!(answer["id"], id);
        assert_eq!(answer["error"], "invalid_argument");
        assert_eq!(answer["message"], wrong);
    }
    let broken = "{\"id\": 1";
    let raw = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{broken}",
        mesh.address,
        broken.len(),
    );
    let mut stream = tokio::net::TcpStream::connect(mesh.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, raw.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await.unwrap();
    let answer = crate::kit::Http::parse(&answer);
    assert_eq!((answer.status, &answer.json()["detail"]), (400, &json!("Invalid JSON body")));
}

#[tokio::test]
async fn commands_that_there_are_not_or_that_lack_something_are_errors() {
    let mesh = world().await;
    let cases = [
        ("run.stop", json!({}), "unknown_command: Unknown protocol command: run.stop"),
        ("input.inject", json!({}), "unknown_command: Unknown protocol command: input.inject"),
        ("run.start", json!({}), "invalid_argument: run.start requires an assistant_id."),
        (
            "run.start",
            json!({ "assistant_id": "nobody" }),
            "unknown_error: 404: No assistant found for \"nobody\". Give an assistant's id, or a \
             graph's name.",
        ),
        (
            "subscription.subscribe",
            json!({}),
            "invalid_argument: subscription.subscribe requires a non-empty channels array.",
        ),
        (
            "subscription.subscribe",
            json!({ "channels": ["bogus"] }),
            "invalid_argument: subscription.subscribe received an unsupported channel.",
        ),
        (
            "subscription.unsubscribe",
            json!({ "subscription_id": "nope" }),
            "no_such_subscription: Unknown subscription: nope",
        ),
        (
            "subscription.unsubscribe",
            json!({}),
            "invalid_argument: subscription.unsubscribe requires a subscription_id.",
        ),
        (
            "subscription.reconnect",
            json!({}),
            "not_supported: subscription.reconnect is not supported. Subscribe again, with since.",
        ),
        ("agent.getTree", json!({}), "no_such_run: No run is bound to this thread."),
        ("state.get", json!({}), "unknown_error: 404: Thread or assistant not found."),
        ("state.fork", json!({}), "invalid_argument: state.fork requires a checkpoint_id."),
        (
            "state.get",
            json!({ "namespace": "x" }),
            "invalid_argument: namespace: expected a list of strings",
        ),
    ];
    for (method, params, text) in cases {
        assert_eq!(refused(&mesh, THREAD, method, params).await, text);
    }
    let config = json!({ "assistant_id": "speaks", "config": 3 });
    let text = refused(&mesh, THREAD, "run.start", config).await;
    assert!(text.starts_with("invalid_argument: "), "{text}");
    let channels = json!({ "channels": ["values"] });
    let subscribed = done(&mesh, THREAD, "subscription.subscribe", channels).await;
    assert_eq!(subscribed["replayed_events"], 0);
}

#[tokio::test]
async fn a_run_that_does_not_wait_for_another_is_refused_and_others_follow() {
    let mesh = world().await;
    let start = |strategy: &str| json!({ "assistant_id": "slow", "input": {}, "multitaskStrategy": strategy });
    done(&mesh, THREAD, "run.start", start("enqueue")).await;
    Probe::wait_for(&mesh.probe.started).await;
    let busy = refused(&mesh, THREAD, "run.start", start("reject")).await;
    assert!(busy.starts_with("unknown_error: 409: "), "{busy}");
    done(&mesh, THREAD, "run.start", start("interrupt")).await;
    Probe::wait_for(&mesh.probe.started).await;
    mesh.probe.go.add_permits(1);
    let sent = told(&mesh, THREAD, &json!({ "channels": ["lifecycle"] }), 2).await;
    let events: Vec<Json> =
        sent.iter().map(|sent| sent.json()["params"]["data"]["event"].clone()).collect();
    assert_eq!(events, ["running", "interrupted", "running", "completed"]);
}

#[tokio::test]
async fn the_graphs_of_a_run_are_a_tree() {
    let mesh = world().await;
    let start = json!({ "assistant_id": "outer", "input": {} });
    let run = done(&mesh, THREAD, "run.start", start).await["run_id"].clone();
    let sent = told(&mesh, THREAD, &all(), 1).await;
    let tree = |mut tree: Json| {
        let ns = tree["children"][0]["namespace"].take();
        assert!(ns[0].as_str().unwrap().starts_with("sub:"), "{ns}");
        sorted(&tree).to_string()
    };
    let asked = tree(done(&mesh, THREAD, "agent.getTree", json!({})).await["tree"].clone());
    expect![[r#"{"children":[{"graph_name":"inner","namespace":null,"status":"interrupted"}],"graph_name":"outer","namespace":[],"status":"interrupted"}"#]].assert_eq(&asked);
    let answer = json!({ "interrupt_id": questions(&sent)[0], "response": 1, "namespace": [] });
    done(&mesh, THREAD, "input.respond", answer).await;
    told(&mesh, THREAD, &all(), 2).await;
    let done_tree = tree(done(&mesh, THREAD, "agent.getTree", json!({})).await["tree"].clone());
    expect![[r#"{"children":[{"graph_name":"inner","namespace":null,"status":"completed"}],"graph_name":"outer","namespace":[],"status":"completed"}"#]].assert_eq(&done_tree);
    let first = done(&mesh, THREAD, "agent.getTree", json!({ "run_id": run })).await;
    assert_eq!(tree(first["tree"].clone()), asked, "a run by its id");
    let none = refused(&mesh, THREAD, "agent.getTree", json!({ "run_id": THREAD })).await;
    assert!(none.starts_with("no_such_run"), "{none}");
}

#[tokio::test]
async fn the_state_can_be_read_listed_and_forked() {
    let mesh = world().await;
    done(&mesh, THREAD, "run.start", json!({ "assistant_id": "outer", "input": {} })).await;
    told(&mesh, THREAD, &all(), 1).await;
    let state = done(&mesh, THREAD, "state.get", json!({ "keys": ["log"] })).await;
    assert_eq!(state["values"], json!({ "log": ["reported"] }));
    assert_eq!(state["checkpoint"]["ns"], "");
    let whole = done(&mesh, THREAD, "state.get", json!({ "namespace": [] })).await;
    assert!(whole["values"].get("messages").is_some());
    let nowhere = refused(&mesh, THREAD, "state.get", json!({ "namespace": ["nothing"] })).await;
    assert_eq!(nowhere, "no_such_namespace: Unknown namespace: nothing");

    let list = done(&mesh, THREAD, "state.listCheckpoints", json!({})).await;
    let list = list["checkpoints"].as_array().unwrap().clone();
    let steps: Vec<&Json> = list.iter().map(|checkpoint| &checkpoint["step"]).collect();
    assert_eq!(steps, [&json!(1), &json!(0), &json!(-1)]);
    assert_eq!(list[0]["id"], state["checkpoint"]["id"]);
    let before = json!({ "before": list[0]["id"], "limit": 1 });
    let older = done(&mesh, THREAD, "state.listCheckpoints", before).await;
    assert_eq!(older["checkpoints"], json!([list[1]]));
    for (params, code) in [
        (json!({ "limit": 0 }), "invalid_argument"),
        (json!({ "before": "x" }), "no_such_checkpoint"),
    ] {
        let text = refused(&mesh, THREAD, "state.listCheckpoints", params).await;
        assert!(text.starts_with(code), "{text}");
    }

    // From the checkpoint after the input, before `report`.
    let forked = done(&mesh, THREAD, "state.fork", json!({ "checkpoint_id": list[1]["id"] })).await;
    assert_eq!(forked["thread_id"], THREAD);
    let sent = told(&mesh, THREAD, &all(), 2).await;
    assert_eq!(questions(&sent).len(), 2, "it asks again");
    let by =
        mesh.get(&format!("/threads/{THREAD}/runs/{}", forked["run_id"].as_str().unwrap())).await;
    assert_eq!(by.json()["status"], "success");
    for id in ["x", "1ef4f797-8335-6428-8001-8a1503f9b875"] {
        let text = refused(&mesh, THREAD, "state.fork", json!({ "checkpoint_id": id })).await;
        assert_eq!(text, format!("no_such_checkpoint: Unknown checkpoint: {id}"));
    }
}
