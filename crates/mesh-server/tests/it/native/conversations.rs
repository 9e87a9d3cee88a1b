//! The conversations in `clients/conversations`, whose format is told there in `replay.py`.

use std::{collections::BTreeMap, fs, path::PathBuf};

use futures::SinkExt;
use mesh_protocol::socket::{CODES, FRAMES, OPS};
use serde_json::{Map, Value as Json, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;

use super::kit::{Came, Client, Native, SOON, token};

/// Files and their texts.
fn conversations() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../clients/conversations");
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    all.sort();
    all
}

/// What names stand for.
type Names = BTreeMap<String, Json>;

/// Whether something is as wanted; notes what names stand for.
fn matches(wanted: &Json, found: &Json, names: &mut Names) -> bool {
    match (wanted, found) {
        (Json::String(name), _) if name == "$_" => true,
        (Json::String(name), found) if name.starts_with('$') => {
            names.entry(name.clone()).or_insert_with(|| found.clone()) == found
        }
        (Json::Object(wanted), Json::Object(found)) => {
            let is_open = wanted.contains_key("...");
            let named: Map<String, Json> = wanted
                .iter()
                .filter(|(key, _)| *key != "...")
                .map(|(key, value)| {
                    let key = names.get(key).and_then(Json::as_str).unwrap_or(key);
                    (key.to_owned(), value.clone())
                })
                .collect();
            (is_open || named.len() == found.len())
                && named.iter().all(|(key, value)| {
                    found.get(key).is_some_and(|found| matches(value, found, names))
                })
        }
        (Json::Array(wanted), Json::Array(found)) => {
            wanted.len() == found.len()
                && wanted.iter().zip(found).all(|(one, other)| matches(one, other, names))
        }
        (wanted, found) => wanted == found,
    }
}

/// Text of JSON with names replaced by what they stand for.
fn filled(text: &str, names: &Names) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let length = rest[at + 1..]
            .find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
            .map_or(rest.len() - at, |length| length + 1);
        let (name, after) = rest[at..].split_at(length);
        let before = &rest[..at];
        let quoted = before.ends_with('"') && after.starts_with('"');
        match names.get(name) {
            None => {
                out.push_str(before);
                out.push_str(name);
                rest = after;
            }
            Some(value) if quoted => {
                out.push_str(&before[..before.len() - 1]);
                out.push_str(&value.to_string());
                rest = &after[1..];
            }
            Some(value) => {
                out.push_str(before);
                match value {
                    Json::String(text) => out.push_str(text),
                    other => out.push_str(&other.to_string()),
                }
                rest = after;
            }
        }
    }
    out + rest
}

fn json_of(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// One conversation with a server of its own.
struct Replay {
    native: Native,
    token: Option<String>,
    names: Names,
    client: Option<Client>,
    given: Json,
}

impl Replay {
    async fn run(text: &str) {
        let needs_auth = text.lines().any(|line| line == "needs: auth");
        let (native, token) = if needs_auth {
            (Native::guarded().await, Some(token("ada", &["*"])))
        } else {
            (Native::start().await, None)
        };
        let mut names = Names::new();
        if let Some(token) = &token {
            names.insert("$token".to_owned(), json!(token));
        }
        let mut replay = Self { native, token, names, client: None, given: Json::Null };
        let mut either: Vec<Json> = Vec::new();
        let mut any_order: Vec<Json> = Vec::new();
        for line in text.lines().chain(["#"]) {
            if let Some(wanted) = line.strip_prefix("| ") {
                either.push(json_of(wanted));
                continue;
            }
            replay.one_of(&std::mem::take(&mut either)).await;
            if let Some(wanted) = line.strip_prefix("~ ") {
                any_order.push(json_of(wanted));
                continue;
            }
            replay.in_any_order(std::mem::take(&mut any_order)).await;
            if let Some(wanted) = line.strip_prefix("< ") {
                either.push(json_of(wanted));
                continue;
            }
            if !line.is_empty() && !line.starts_with('#') && !line.starts_with("needs:") {
                replay.line(line).await;
            }
        }
    }

    fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("a socket is open")
    }

    /// Reads the next frame, which has to be one of these, if there are any. Gives which.
    async fn one_of(&mut self, wanted: &[Json]) -> Option<usize> {
        if wanted.is_empty() {
            return None;
        }
        let found = match self.client().came().await {
            Came::Frame(found) => found,
            closed @ Came::Closed(..) => panic!("came: {closed:?}\nnone of: {wanted:?}"),
        };
        let at = wanted.iter().position(|wanted| {
            let mut names = self.names.clone();
            let is_it = matches(wanted, &found, &mut names);
            if is_it {
                self.names = names;
            }
            is_it
        });
        assert!(at.is_some(), "came: {found}\nnone of: {wanted:?}");
        at
    }

    async fn in_any_order(&mut self, mut wanted: Vec<Json>) {
        while let Some(at) = self.one_of(&wanted).await {
            wanted.remove(at);
        }
    }

    async fn line(&mut self, line: &str) {
        let (mark, rest) = line.split_once(' ').unwrap();
        match mark {
            ">" => {
                let call = json_of(&filled(rest, &self.names));
                self.client().call(call).await;
            }
            ">>" => {
                let (count, call) = rest.split_once(' ').unwrap();
                let mut names = self.names.clone();
                let calls: Vec<Json> = (1..=count.parse::<u64>().unwrap())
                    .map(|index| {
                        names.insert("$i".to_owned(), json!(index));
                        json_of(&filled(call, &names))
                    })
                    .collect();
                self.client().calls(calls).await;
            }
            "<<" => {
                let (count, wanted) = rest.split_once(' ').unwrap();
                let wanted = [json_of(wanted)];
                for _ in 0..count.parse::<u64>().unwrap() {
                    self.one_of(&wanted).await;
                }
            }
            "=>" => {
                let wanted = json_of(rest);
                assert!(matches(&wanted, &self.given, &mut self.names), "{line}\n{}", self.given);
            }
            "=" => {
                let (word, more) = rest.split_once(' ').unwrap_or((rest, ""));
                self.act(line, word, more).await;
            }
            _ => panic!("{line}"),
        }
    }

    async fn act(&mut self, line: &str, word: &str, more: &str) {
        match word {
            "open" => {
                let protocol = match more {
                    "" | "json" | "stranger" | "reader" => Some("genesis-mesh.v1"),
                    "msgpack" => Some("genesis-mesh.v1.msgpack"),
                    "none" => None,
                    _ => panic!("{line}"),
                };
                let token = match more {
                    "stranger" => None,
                    "reader" => Some(token("bob", &["threads:read"])),
                    _ => self.token.clone(),
                };
                let address = self.native.address;
                self.client = Some(Client::open(address, protocol, token.as_deref()).await);
            }
            "cut" => self.client.take().expect("a socket is open").cut(),
            "close" => match self.client().came().await {
                Came::Closed(code, reason) => assert_eq!(format!("{code} {reason}"), more),
                Came::Frame(frame) => panic!("{line}\ncame: {frame}"),
            },
            "text" => {
                let text = filled(more, &self.names);
                self.client().ws.send(Message::text(text)).await.unwrap();
            }
            "big" => {
                let text = "x".repeat(more.parse().unwrap());
                self.client().ws.send(Message::text(text)).await.unwrap();
            }
            "bytes" => {
                self.client().ws.send(Message::binary(bytes_of(more))).await.unwrap();
            }
            "frame" => {
                self.client().ws.get_mut().write_all(&bytes_of(more)).await.unwrap();
            }
            "http" => {
                let request = filled(more, &self.names);
                let mut parts = request.splitn(3, ' ');
                let (method, path) = (parts.next().unwrap(), parts.next().unwrap());
                let body = parts.next().unwrap_or_default();
                self.given = self.http(line, method, path, body).await;
            }
            "stop" => self.native.stop.cancel(),
            "trim" => {
                // A run's end is told before the thread is at rest for everybody.
                let forgotten =
                    self.native.ledger.write(|tx| tx.forget_entries(i64::MAX, 1000)).await;
                assert!(forgotten.unwrap() > 0);
            }
            _ => panic!("{line}"),
        }
    }

    async fn http(&self, line: &str, method: &str, path: &str, body: &str) -> Json {
        let authorization = match &self.token {
            Some(token) => format!("Authorization: Bearer {token}\r\n"),
            None => String::new(),
        };
        let address = self.native.address;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{authorization}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len(),
        );
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await;
        read.expect("the answer comes soon").unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 2"), "{line}\n{answer}");
        // Of answers that come in pieces nothing is asked.
        serde_json::from_str(body).unwrap_or_default()
    }
}

#[tokio::test]
async fn every_conversation_goes_as_it_is_written() {
    for (name, text) in conversations() {
        println!("{name}");
        Box::pin(Replay::run(&text)).await;
    }
}

#[test]
fn the_conversations_have_every_call_every_frame_and_every_error() {
    let mut missing: Vec<String> = Vec::new();
    let all: String = conversations().into_iter().map(|(_, text)| text).collect();
    let mut wants = |text: String| {
        if !all.contains(&text) {
            missing.push(text);
        }
    };
    for op in OPS {
        wants(format!(r#"{{"op":"{op}","#));
    }
    for frame in FRAMES {
        wants(format!(r#"{{"type":"{frame}""#));
    }
    for code in CODES {
        wants(format!(r#""code":"{code}""#));
    }
    for reason in ["trimmed", "ahead", "other_log", "deleted", "done", "stopping"] {
        wants(format!(r#""reason":"{reason}""#));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
