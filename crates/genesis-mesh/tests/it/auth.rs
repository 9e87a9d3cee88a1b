//! Who may ask a mesh as it is configured: keys from the command line, tokens, and the rules of
//! owners over real requests.

use std::{net::SocketAddr, time::Duration};

use genesis_mesh::{
    GenesisMesh,
    mesh::ServeError,
    settings::{Flags, Settings, Surroundings},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::process::Place;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const SOON: Duration = Duration::from_secs(30);

/// A mesh on a free port of this machine.
struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinSet<Result<(), ServeError>>,
}

fn settings(place: &Place, variables: &[(&str, &str)]) -> Settings {
    Settings::load(&Surroundings {
        flags: Flags::none(),
        environment: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect(),
        working_directory: place.folder.path().to_owned(),
        data_dir: Some(place.folder.path().join("data")),
    })
    .unwrap()
}

impl Running {
    async fn start(settings: &Settings) -> Self {
        let stop = CancellationToken::new();
        let (tell, told) = oneshot::channel();
        let mesh = GenesisMesh::builder()
            .settings(settings)
            .assistants(genesis_mesh::assistants::all(settings).unwrap())
            .build()
            .unwrap();
        let ready = mesh
            .setup()
            .await
            .unwrap()
            .stop_on(stop.clone())
            .on_listening(|address| tell.send(address).unwrap());
        let mut task = JoinSet::new();
        task.spawn(async move { ready.serve("127.0.0.1", 0).await });
        Self { address: told.await.unwrap(), stop, task }
    }

    /// Status and body of one request.
    async fn ask(&self, method: &str, path: &str, credential: &str, body: Json) -> (u16, Json) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer \
             {credential}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len(),
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await;
        read.expect("an answer comes soon").unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Json::Null))
    }

    async fn stopped(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(SOON, self.task.join_next()).await;
        ended.expect("it stops soon").unwrap().unwrap().unwrap();
    }
}

fn token(subject: &str, scopes: &[&str]) -> String {
    let claims = json!({ "sub": subject, "scopes": scopes, "exp": 4_000_000_000_u64 });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

#[tokio::test]
async fn tokens_of_configured_subjects_act_on_their_own_assistants_within_their_scopes() {
    let place = Place::new();
    let variables =
        [("GENESIS_MESH_JWT_SECRET", SECRET), ("GENESIS_MESH_AUTH_SUBJECTS", "johndoe,alice")];
    let mesh = Running::start(&settings(&place, &variables)).await;
    let new = || json!({ "graph_id": "blogger", "metadata": { "owner": "alice", "a": 1 } });
    let create = async |subject: &str, scopes: &[&str]| {
        mesh.ask("POST", "/assistants", &token(subject, scopes), new()).await
    };
    assert_eq!(create("wfh", &["assistants:write"]).await.0, 401, "an unknown user");
    assert_eq!(mesh.ask("POST", "/assistants", "nonsense", new()).await.0, 401);
    for scopes in [&[][..], &["foo"], &["me"], &["threads:write"]] {
        let (status, body) = create("johndoe", scopes).await;
        assert_eq!((status, &body["detail"]), (403, &json!("Not authorized")), "{scopes:?}");
    }
    let (status, made) = create("johndoe", &["assistants:write"]).await;
    assert_eq!((status, &made["metadata"]["owner"]), (200, &json!("johndoe")), "{made}");
    let path = format!("/assistants/{}", made["assistant_id"].as_str().unwrap());

    let owner = token("johndoe", &["assistants:write"]);
    let other = token("alice", &["assistants:write"]);
    let mut changes = vec![
        ("GET", path.clone(), Json::Null),
        ("PATCH", path.clone(), json!({ "metadata": { "b": 2 } })),
        ("GET", format!("{path}/graph"), Json::Null),
        ("POST", format!("{path}/versions"), json!({})),
        ("POST", format!("{path}/latest"), json!({ "version": 1 })),
        ("DELETE", path.clone(), Json::Null),
    ];
    for (method, path, body) in &changes {
        let missing = path.replace(
            made["assistant_id"].as_str().unwrap(),
            "0193f6c4-7d5b-7c1e-8a55-0123456789ab",
        );
        let (status, mut foreign) = mesh.ask(method, path, &other, body.clone()).await;
        assert_eq!(status, 404, "{method} {path}");
        let (status, mut absent) = mesh.ask(method, &missing, &other, body.clone()).await;
        assert_eq!(status, 404, "{method} {missing}");
        for told in [&mut foreign, &mut absent] {
            told.as_object_mut().unwrap().remove("request_id");
        }
        assert_eq!(foreign, absent, "a foreign thing and a missing one look alike");
    }
    let search = async |credential: &str| {
        let (status, found) = mesh.ask("POST", "/assistants/search", credential, json!({})).await;
        assert_eq!(status, 200);
        let (_, count) = mesh.ask("POST", "/assistants/count", credential, json!({})).await;
        assert_eq!(count, json!(found.as_array().unwrap().len()));
        found.as_array().unwrap().len()
    };
    assert_eq!(search(&owner).await, 1);
    assert_eq!(search(&other).await, 0);
    changes.truncate(2);
    for (method, path, body) in changes {
        let (status, mine) = mesh.ask(method, &path, &owner, body).await;
        assert_eq!((status, &mine["metadata"]["owner"]), (200, &json!("johndoe")));
    }
    mesh.stopped().await;
}

#[tokio::test]
async fn a_key_of_the_command_line_opens_a_running_mesh_and_a_revoked_one_does_not() {
    let place = Place::new();
    let data = place.folder.path().join("data");
    let keys = |arguments: &[&str]| {
        let mut all = vec!["keys"];
        all.extend(arguments);
        all.extend(["--data-dir", data.to_str().unwrap()]);
        place.run(&all)
    };
    let made = keys(&["create", "--identity", "alice", "--scope", "assistants:*"]);
    assert_eq!(made.code(), 0, "{}", made.stderr());
    let first = made.stdout().trim_end().to_owned();
    assert!(first.starts_with("gm_") && first.len() == 84, "one line, the key");
    assert!(!made.stderr().contains(&first[20..]), "{}", made.stderr());

    let mesh = Running::start(&settings(&place, &[])).await;
    let search = async |key: &str| mesh.ask("POST", "/assistants/search", key, json!({})).await.0;
    assert_eq!(search("").await, 401);
    assert_eq!(search(&first).await, 200);
    // Beside the running mesh.
    let made = keys(&["create", "--identity", "bob", "--admin", "--name", "Bob's"]);
    assert_eq!(made.code(), 0, "{}", made.stderr());
    let second = made.stdout().trim_end().to_owned();
    assert_eq!(search(&second).await, 200);

    let listed = keys(&["list"]);
    assert!(listed.stdout().contains("alice  assistants:*"), "{}", listed.stdout());
    assert!(listed.stdout().contains("bob (Bob's)  admin"), "{}", listed.stdout());
    let as_json = keys(&["list", "--json"]);
    let all: Json = serde_json::from_str(as_json.stdout()).unwrap();
    assert_eq!(all[0]["state"], "good");
    for text in [listed.stdout(), as_json.stdout()] {
        assert!(!text.contains(&first[20..]) && !text.contains(&second[20..]));
    }
    // Bytes of the database: the key is nowhere in it.
    for entry in std::fs::read_dir(&data).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let secret = &first.as_bytes()[20..];
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }

    let id = &second[3..19];
    assert_eq!(keys(&["revoke", id]).code(), 0);
    assert_eq!(keys(&["revoke", id]).code(), 2, "only once");
    mesh.stopped().await;
    let mesh = Running::start(&settings(&place, &[])).await;
    let status = mesh.ask("POST", "/assistants/search", &second, json!({})).await.0;
    assert_eq!(status, 401);
    mesh.stopped().await;
}

#[test]
fn a_key_that_cannot_be_is_refused_before_anything_is_made() {
    let place = Place::new();
    for (arguments, said) in [
        (&["--identity", "*"][..], "--identity: expected"),
        (&["--identity", "a", "--scope", "thread:read"], "--scope thread:read: expected"),
        (&["--identity", "a", "--scope", "admin"], "--scope admin: expected"),
        (&["--identity", "a", "--name", ""], "--name: expected"),
        (&["--identity", "a", "--expires-days", "0"], "invalid value '0'"),
        (&["--identity", "a", "--scope", "me", "--admin"], "cannot be used with"),
        (&["--identity", "a", "--host", "0.0.0.0"], "--host is for serving"),
        (&[], "--identity <NAME>"),
    ] {
        let run = place.run(&[&["keys", "create"], arguments].concat());
        assert_eq!((run.code(), run.stdout()), (2, ""), "{arguments:?}");
        assert!(run.stderr().contains(said), "{arguments:?}: {}", run.stderr());
    }
    assert_eq!(std::fs::read_dir(place.folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_mesh_that_others_can_reach_serves_nobody_until_it_knows_who_may_ask() {
    let place = Place::new();
    let serve = async |variables: &[(&str, &str)]| {
        let mesh = GenesisMesh::builder().settings(&settings(&place, variables)).build().unwrap();
        let stop = CancellationToken::new();
        // It would end at once, if it served.
        stop.cancel();
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        mesh.setup().await.unwrap().stop_on(stop).serve_with(listener).await
    };
    let refused = serve(&[]).await.unwrap_err();
    assert!(matches!(refused, ServeError::Open { .. }), "{refused}");
    assert!(refused.is_usage());
    let hint = refused.hint().unwrap();
    for name in ["keys create", "auth.jwt_secret", "auth.jwks_url", "auth.unsafe_no_authentication"]
    {
        assert!(hint.contains(name), "{hint}");
    }
    serve(&[("GENESIS_MESH_JWT_SECRET", SECRET)]).await.unwrap();
    serve(&[("GENESIS_MESH_UNSAFE_NO_AUTHENTICATION", "true")]).await.unwrap();
}

#[test]
fn the_binary_says_which_settings_let_it_serve_others() {
    let place = Place::new();
    let run = place.run(&["--host", "0.0.0.0", "--port", "0", "--data-dir", "data"]);
    assert_eq!((run.code(), run.stdout()), (2, ""));
    assert!(run.stderr().contains("nobody is asked who they are"), "{}", run.stderr());
    assert!(run.stderr().contains("genesis-mesh keys create"), "{}", run.stderr());
    let run = place.variable("GENESIS_MESH_JWKS_URL", "https://id.example/keys").run(&[
        "--port",
        "0",
        "--data-dir",
        "data",
    ]);
    assert_eq!((run.code(), run.stdout()), (2, ""));
    assert!(run.stderr().contains("needs an issuer and at least one audience"), "{}", run.stderr());
}

#[test]
fn secrets_about_who_may_ask_are_never_shown() {
    let place = Place::new().variable("GENESIS_MESH_JWT_SECRET", SECRET);
    for arguments in [&["config", "show"][..], &["config", "show", "--json"]] {
        let run = place.run(arguments);
        assert_eq!(run.code(), 0);
        assert!(!run.stdout().contains(SECRET) && !run.stderr().contains(SECRET));
        assert!(run.stdout().contains("auth.jwt_secret"));
    }
    let settings = settings(&place, &[("GENESIS_MESH_JWT_SECRET", SECRET)]);
    assert!(!format!("{settings:?}").contains(SECRET));
}
