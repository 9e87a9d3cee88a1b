//! A server that keeps things in a database of its own, and graphs for it.

use std::sync::Arc;

use mesh_graph::{
    App, Ctx, Graph, NodeResult, START, Sharing, State, Untyped, View, env::SystemEnv,
};
use mesh_server::{About, Access, Assistant, Limits, Server};
use mesh_store::Sqlite;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::kit::{Http, Mesh};

/// A running server with a database.
pub(crate) struct Kept {
    pub(crate) mesh: Mesh,
    /// Removed with the server.
    pub(crate) directory: TempDir,
    pub(crate) database: Sqlite,
    assistants: fn() -> Vec<Assistant>,
}

#[derive(State)]
pub(crate) struct S {
    #[state(append)]
    pub(crate) log: Vec<String>,
    pub(crate) topic: Option<String>,
}

#[derive(State)]
pub(crate) struct Inner {
    #[state(append)]
    pub(crate) log: Vec<String>,
    pub(crate) child: Option<String>,
}

async fn first(_: View<S>, _: Ctx<()>) -> NodeResult<SUpdate> {
    Ok(S::update().push_log("first"))
}

async fn inner(_: View<Inner>, _: Ctx<()>) -> NodeResult<InnerUpdate> {
    Ok(Inner::update().push_log("inner"))
}

/// `first`, then a mounted graph `second` with the one node `inner`.
pub(crate) fn nested() -> App<Untyped> {
    let mut child = Graph::<Inner>::new("child");
    child.node("inner", inner);
    child.edge(START, "inner");
    let child = child.compile().unwrap();
    let mut graph = Graph::<S>::new("nested");
    graph.node("first", first);
    graph.mount_shared("second", &child, Sharing::Writes);
    graph.edge(START, "first");
    graph.edge("first", "second");
    graph.compile().unwrap().app(()).untyped()
}

fn plain() -> App<Untyped> {
    let mut graph = Graph::<S>::new("plain");
    graph.node("first", first);
    graph.edge(START, "first");
    graph.compile().unwrap().app(()).untyped()
}

fn own() -> Vec<Assistant> {
    vec![
        Assistant::new("plain", plain()).description("One node"),
        Assistant::new("nested", nested())
            .context_schema(json!({ "type": "object", "title": "Context" })),
    ]
}

impl Kept {
    /// Serves `plain` and `nested`.
    pub(crate) async fn start() -> Self {
        Self::at(tempfile::tempdir().unwrap(), own, |server| server).await
    }

    /// As [`Kept::start`], for development.
    pub(crate) async fn start_for_development() -> Self {
        Self::at(tempfile::tempdir().unwrap(), own, Server::development).await
    }

    /// Serves these.
    pub(crate) async fn serving(assistants: fn() -> Vec<Assistant>) -> Self {
        Self::at(tempfile::tempdir().unwrap(), assistants, |server| server).await
    }

    async fn at(
        directory: TempDir,
        assistants: fn() -> Vec<Assistant>,
        change: impl FnOnce(Server) -> Server,
    ) -> Self {
        let about = About {
            name: "test-mesh".to_owned(),
            description: "A mesh for tests".to_owned(),
            version: "1.2.3".to_owned(),
        };
        let database = Sqlite::open(directory.path().join("kept.db")).await.unwrap();
        let server = Server::new(about, assistants(), Limits::default(), Access::default())
            .unwrap()
            .keep_in(database.ledger(), Arc::new(SystemEnv));
        let server = change(server);
        server.start().await.unwrap();
        let mesh = Mesh::of(server, Arc::default()).await;
        Self { mesh, directory, database, assistants }
    }

    /// Stops it and starts another one on the same database.
    pub(crate) async fn again(self) -> Self {
        let Self { mut mesh, directory, database, assistants } = self;
        mesh.stop.cancel();
        mesh.task.join_next().await;
        database.close().await;
        Self::at(directory, assistants, |server| server).await
    }

    pub(crate) async fn post(&self, path: &str, body: Json) -> Http {
        self.mesh.send("POST", path, &body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Json) -> Http {
        self.mesh.send("PATCH", path, &body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Json) -> Http {
        self.mesh.send("PUT", path, &body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Http {
        self.mesh.http("GET", path, "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Http {
        self.mesh.http("DELETE", path, "").await
    }
}

impl Http {
    /// The body of an answer with status 200.
    #[track_caller]
    pub(crate) fn good(&self) -> Json {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// Status and text of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String) {
        (self.status, self.json()["detail"].as_str().unwrap_or_default().to_owned())
    }
}
