//! The protocol's socket.

use futures::SinkExt;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::world::{SECRET, THREAD, all, done, events, guarded, is_end, told, world};
use crate::{kit::Client, runner::Runner};

async fn open(mesh: &Runner, thread: &str) -> Client {
    let url = format!("ws://{}/threads/{thread}/stream/events", mesh.address);
    let stream = TcpStream::connect(mesh.address).await.unwrap();
    Client(client_async(url.into_client_request().unwrap(), stream).await.unwrap().0)
}

async fn command(client: &mut Client, id: u64, method: &str, params: Json) {
    let command = json!({ "id": id, "method": method, "params": params });
    client.send(&command.to_string()).await;
}

/// The answer to a command, which has to be what comes next.
async fn answer(client: &mut Client, id: u64, method: &str, params: Json) -> Json {
    command(client, id, method, params).await;
    let answer = client.next().await.unwrap();
    assert_eq!(answer["id"], id, "{answer}");
    answer
}

/// Events until a root graph has ended.
async fn until_end(client: &mut Client) -> Vec<Json> {
    let mut events = Vec::new();
    loop {
        let event = client.next().await.unwrap();
        assert_eq!(event["type"], "event", "{event}");
        events.push(event);
        if events.last().is_some_and(is_end) {
            return events;
        }
    }
}

#[tokio::test]
async fn a_socket_takes_commands_and_sends_what_is_subscribed_to() {
    let mesh = world().await;
    let mut client = open(&mesh, THREAD).await;
    // On a thread that is not there.
    let subscribed = answer(&mut client, 1, "subscription.subscribe", all()).await;
    assert_eq!(subscribed["type"], "success");
    assert_eq!(subscribed["result"]["replayed_events"], 0);
    assert_eq!(subscribed["meta"]["applied_through_seq"], 0);
    let start = json!({ "assistant_id": "outer", "input": {} });
    let started = answer(&mut client, 2, "run.start", start).await;
    assert_eq!(started["type"], "success", "the answer is before the run's first event");
    let first = until_end(&mut client).await;
    let asked = first.iter().find(|event| event["method"] == "input.requested").unwrap();
    let respond = json!({
        "namespace": asked["params"]["namespace"],
        "interrupt_id": asked["params"]["data"]["interrupt_id"],
        "response": "yes",
    });
    let answered = answer(&mut client, 3, "input.respond", respond).await;
    assert_eq!(answered["result"], json!({}));
    assert_eq!(answered["meta"]["applied_through_seq"], first.last().unwrap()["seq"]);
    let second = until_end(&mut client).await;
    assert!(second[0]["seq"].as_u64() > first.last().unwrap()["seq"].as_u64());
    assert_eq!(second.last().unwrap()["params"]["data"]["event"], "completed");
    let both: Vec<Json> = first.into_iter().chain(second).collect();
    assert_eq!(both, events(&told(&mesh, THREAD, &all(), 2).await), "as it is told over HTTP");
    let tree = answer(&mut client, 4, "agent.getTree", json!({})).await;
    assert_eq!(tree["result"]["tree"]["status"], "completed");
}

#[tokio::test]
async fn what_was_before_is_sent_once_however_many_subscribe_to_it() {
    let mesh = world().await;
    done(&mesh, THREAD, "run.start", json!({ "assistant_id": "speaks", "input": {} })).await;
    let everything = events(&told(&mesh, THREAD, &all(), 1).await);
    let of = |methods: &[&str]| -> Vec<Json> {
        let of = |event: &&Json| methods.contains(&event["method"].as_str().unwrap());
        everything.iter().filter(of).cloned().collect()
    };
    let mut client = open(&mesh, THREAD).await;
    let one = json!({ "channels": ["values", "lifecycle"] });
    let subscribed = answer(&mut client, 1, "subscription.subscribe", one).await;
    let expected = of(&["values", "lifecycle"]);
    assert_eq!(subscribed["result"]["replayed_events"], expected.len());
    assert_eq!(until_end(&mut client).await, expected);
    // Only what is new of it, in order.
    let two = json!({ "channels": ["values", "messages", "lifecycle", "tasks"] });
    let subscribed = answer(&mut client, 2, "subscription.subscribe", two).await;
    let second = subscribed["result"]["subscription_id"].clone();
    let mut heard = Vec::new();
    for _ in 0..of(&["messages", "tasks"]).len() {
        heard.push(client.next().await.unwrap());
    }
    assert_eq!(heard, of(&["messages", "tasks"]));
    // From now on an event that fits both is sent once.
    let start = json!({ "assistant_id": "speaks", "input": {} });
    answer(&mut client, 3, "run.start", start.clone()).await;
    let next = until_end(&mut client).await;
    let all_of_it = events(&told(&mesh, THREAD, &all(), 2).await);
    let wanted = |event: &&Json| {
        ["values", "messages", "lifecycle", "tasks"].contains(&event["method"].as_str().unwrap())
    };
    let expected: Vec<&Json> = all_of_it[everything.len()..].iter().filter(wanted).collect();
    assert_eq!(next.iter().collect::<Vec<_>>(), expected);
    // Without the second one, what fits the first one goes on.
    let gone = json!({ "subscription_id": second });
    let gone = answer(&mut client, 4, "subscription.unsubscribe", gone).await;
    assert_eq!(gone["result"], json!({}));
    answer(&mut client, 5, "run.start", start).await;
    let last = until_end(&mut client).await;
    assert!(last.iter().all(|event| event["method"] == "values" || event["method"] == "lifecycle"));
}

#[tokio::test]
async fn a_socket_that_comes_back_goes_on_after_its_number() {
    let mesh = world().await;
    done(&mesh, THREAD, "run.start", json!({ "assistant_id": "speaks", "input": {} })).await;
    let everything = events(&told(&mesh, THREAD, &all(), 1).await);
    let (had, rest) = everything.split_at(5);
    let mut filter = all();
    filter["since"] = had.last().unwrap()["seq"].clone();
    let mut client = open(&mesh, THREAD).await;
    let subscribed = answer(&mut client, 1, "subscription.subscribe", filter.clone()).await;
    assert_eq!(subscribed["result"]["replayed_events"], rest.len());
    assert_eq!(until_end(&mut client).await, rest);
    // The same again, with everything, gives what this connection was not sent.
    answer(&mut client, 2, "subscription.subscribe", all()).await;
    for event in had {
        assert_eq!(client.next().await.unwrap(), *event);
    }
    let mut client = open(&mesh, THREAD).await;
    filter["since"] = json!(9_000_000_000_000_000_u64);
    answer(&mut client, 1, "subscription.subscribe", filter).await;
    answer(&mut client, 2, "run.start", json!({ "assistant_id": "speaks", "input": {} })).await;
    let live = until_end(&mut client).await;
    assert_eq!(live[0]["params"]["data"]["event"], "running", "only what is new");
}

#[tokio::test]
async fn a_second_subscription_takes_nothing_from_the_first() {
    let mesh = world().await;
    done(&mesh, THREAD, "run.start", json!({ "assistant_id": "speaks", "input": {} })).await;
    let everything = events(&told(&mesh, THREAD, &all(), 1).await);
    for (place, event) in everything.iter().enumerate().take(everything.len() - 1) {
        let mut client = open(&mesh, THREAD).await;
        let mut filter = all();
        filter["since"] = event["seq"].clone();
        command(&mut client, 1, "subscription.subscribe", filter).await;
        let other = json!({ "channels": ["custom:none"], "since": 9_000_000_000_000_000_u64 });
        command(&mut client, 2, "subscription.subscribe", other).await;
        let (mut answers, mut heard) = (0, Vec::new());
        while answers < 2 || heard.len() < everything.len() - place - 1 {
            let next = client.next().await.unwrap();
            if next["type"] == "event" { heard.push(next) } else { answers += 1 }
        }
        assert_eq!(heard, everything[place + 1..]);
    }
    // Beyond the end, too, the next run is told whole.
    let mut client = open(&mesh, THREAD).await;
    for id in 1..3 {
        let mut filter = all();
        filter["since"] = json!(9_000_000_000_000_000_u64);
        answer(&mut client, id, "subscription.subscribe", filter).await;
    }
    answer(&mut client, 3, "run.start", json!({ "assistant_id": "speaks", "input": {} })).await;
    let live = until_end(&mut client).await;
    assert_eq!(live.len(), everything.len(), "{live:?}");
}

#[tokio::test]
async fn what_is_no_command_is_told_and_the_socket_stays_open() {
    let mesh = world().await;
    let mut client = open(&mesh, THREAD).await;
    for (text, message) in [
        ("{", "Protocol commands must be valid JSON."),
        ("[]", "Protocol commands must include an integer id and string method."),
        ("{\"id\":1}", "Protocol commands must include an integer id and string method."),
    ] {
        client.send(text).await;
        let answer = client.next().await.unwrap();
        assert_eq!(answer["error"], "invalid_argument");
        assert_eq!(answer["message"], message);
    }
    let nope = json!({ "subscription_id": "nope" });
    let unknown = answer(&mut client, 7, "subscription.unsubscribe", nope).await;
    assert_eq!(unknown["error"], "no_such_subscription");
    // Bytes that are JSON are as good as text.
    let bytes = json!({ "id": 8, "method": "agent.getTree" }).to_string();
    client.0.send(Message::binary(bytes.into_bytes())).await.unwrap();
    assert_eq!(client.next().await.unwrap()["error"], "no_such_run");
    for id in 0..64 {
        let filter = json!({ "channels": ["values"] });
        let subscribed = answer(&mut client, id, "subscription.subscribe", filter).await;
        assert_eq!(subscribed["type"], "success");
    }
    let more = answer(&mut client, 65, "subscription.subscribe", all()).await;
    assert_eq!(more["message"], "A connection has at most 64 subscriptions.");
}

#[tokio::test]
async fn a_path_that_names_no_thread_is_closed_and_a_stopping_server_says_so() {
    let mesh = world().await;
    let said = open(&mesh, "nothing").await.rest().await;
    assert_eq!((said.code, &*said.reason), (1011, "thread stream ended"));
    let mut client = open(&mesh, THREAD).await;
    answer(&mut client, 1, "subscription.subscribe", all()).await;
    mesh.stop.cancel();
    assert_eq!(client.rest().await.code, 1012);
}

#[tokio::test]
async fn a_page_says_who_it_is_in_its_first_message() {
    let mesh = guarded().await;
    let claims = json!({ "sub": "ann", "scopes": ["me"], "exp": 4_000_000_000_u64 });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
    let mut client = open(&mesh, THREAD).await;
    client.send(&json!({ "authorization": format!("Bearer {token}") }).to_string()).await;
    let subscribed = answer(&mut client, 1, "subscription.subscribe", all()).await;
    assert_eq!(subscribed["type"], "success");
    let mut stranger = open(&mesh, THREAD).await;
    command(&mut stranger, 1, "subscription.subscribe", all()).await;
    assert_eq!(stranger.rest().await.code, 1008);
}
