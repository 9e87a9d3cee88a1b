//! A server with the fixture graphs, and clients of its native socket.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mesh_fixtures::{Fixtures, Suite};
use mesh_graph::env::SystemEnv;
use mesh_runtime::Ledger;
use mesh_server::{
    About, Access, Limits, Server,
    auth::{Auth, TokenKeys, TokenRules},
};
use mesh_store::Sqlite;
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};
use tokio_util::sync::CancellationToken;

/// Longest wait for anything that has to happen; far above what it takes.
pub(super) const SOON: Duration = Duration::from_secs(30);

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A running server.
pub(super) struct Native {
    pub(super) address: SocketAddr,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) stop: CancellationToken,
    task: JoinSet<()>,
}

/// A token of somebody with these scopes.
pub(super) fn token(subject: &str, scopes: &[&str]) -> String {
    let claims = json!({ "sub": subject, "scopes": scopes, "exp": 4_000_000_000_u64 });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

impl Native {
    pub(super) async fn start() -> Self {
        Self::over(&Sqlite::in_memory().unwrap(), false).await
    }

    /// Asks everybody who they are.
    pub(super) async fn guarded() -> Self {
        Self::over(&Sqlite::in_memory().unwrap(), true).await
    }

    /// Serves what is in this database.
    pub(super) async fn over(database: &Sqlite, asks: bool) -> Self {
        let about = About {
            name: "test-mesh".to_owned(),
            description: "A mesh for tests".to_owned(),
            version: "1.2.3".to_owned(),
        };
        let mut server = Server::new(about, [], Limits::default(), Access::default()).unwrap();
        for (name, graph) in Fixtures::new(Suite::Python, None).unwrap().iter() {
            server = server.graph(name, graph.clone());
        }
        if asks {
            let rules = TokenRules {
                keys: TokenKeys::Secret(SecretString::from(SECRET)),
                issuer: None,
                audiences: Vec::new(),
                subjects: [].into(),
            };
            server = server.auth(Auth::default().tokens(rules).unwrap());
        }
        let ledger: Arc<dyn Ledger> = database.ledger();
        let server = server.keep_in(Arc::clone(&ledger), Arc::new(SystemEnv));
        server.start().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(server.serve(listener, stop.clone()));
        Self { address, ledger, stop, task }
    }

    /// Waits until the server, which was told to stop, has done so.
    pub(super) async fn ended(mut self) {
        let ended = tokio::time::timeout(SOON, self.task.join_next()).await;
        ended.expect("the server ends soon").unwrap().unwrap();
    }

    /// Opens a native socket and reads its hello.
    pub(super) async fn open(&self) -> Client {
        let mut client = Client::open(self.address, Some("genesis-mesh.v1"), None).await;
        assert_eq!(client.next().await["type"], "hello");
        client
    }
}

/// One native socket.
pub(super) struct Client {
    pub(super) ws: WebSocketStream<TcpStream>,
    packs: bool,
}

/// What the server did.
#[derive(Debug)]
pub(super) enum Came {
    Frame(Json),
    Closed(u16, String),
}

impl Client {
    pub(super) async fn open(
        address: SocketAddr,
        protocol: Option<&str>,
        token: Option<&str>,
    ) -> Self {
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        if let Some(token) = token {
            let bearer = format!("Bearer {token}");
            request.headers_mut().insert("authorization", bearer.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        let (ws, response) = client_async(request, stream).await.unwrap();
        let agreed = response.headers().get("sec-websocket-protocol");
        assert_eq!(agreed.map(|agreed| agreed.to_str().unwrap()), protocol);
        Self { ws, packs: protocol == Some("genesis-mesh.v1.msgpack") }
    }

    /// A call as a message.
    fn message(&self, call: &Json) -> Message {
        if self.packs {
            Message::binary(rmp_serde::to_vec_named(call).unwrap())
        } else {
            Message::text(call.to_string())
        }
    }

    pub(super) async fn call(&mut self, call: Json) {
        self.ws.send(self.message(&call)).await.unwrap();
    }

    /// Sends calls in one piece.
    pub(super) async fn calls(&mut self, calls: impl IntoIterator<Item = Json>) {
        for call in calls {
            let message = self.message(&call);
            self.ws.feed(message).await.unwrap();
        }
        self.ws.flush().await.unwrap();
    }

    pub(super) async fn came(&mut self) -> Came {
        loop {
            let next = tokio::time::timeout(SOON, self.ws.next()).await;
            match next.expect("a frame comes soon").expect("the server closes first").unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Text(text) if !self.packs => {
                    return Came::Frame(serde_json::from_str(&text).unwrap());
                }
                Message::Binary(bytes) if self.packs => {
                    return Came::Frame(rmp_serde::from_slice(&bytes).unwrap());
                }
                Message::Close(Some(close)) => {
                    return Came::Closed(close.code.into(), close.reason.to_string());
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// The next frame.
    pub(super) async fn next(&mut self) -> Json {
        match self.came().await {
            Came::Frame(frame) => frame,
            closed @ Came::Closed(..) => panic!("{closed:?}"),
        }
    }

    /// The next frame of this type; others are passed over.
    pub(super) async fn next_of(&mut self, kind: &str) -> Json {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Calls, and reads up to the answer.
    pub(super) async fn ask(&mut self, call: Json) -> Json {
        let id = call["id"].clone();
        self.call(call).await;
        loop {
            let frame = self.next().await;
            assert_ne!(frame["type"], "error", "{frame}");
            if frame["type"] == "ack" && frame["id"] == id {
                return frame["result"].clone();
            }
        }
    }

    /// Drops the connection without a word.
    pub(super) fn cut(self) {
        let stream = self.ws.into_inner();
        let _ = stream.set_zero_linger();
    }
}
