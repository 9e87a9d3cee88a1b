//! Starting: what an earlier process left is settled before the server says that it is ready.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use mesh_graph::{Checkpointer, Store, env::SystemEnv, store};
use mesh_runtime::{
    Assistant as Kept, Error, Graphs, Ledger, Run, Runtime, Scope, Stamp,
    ledger::{Listener, Operation, Rider},
    run::RunStatus,
    runs::{Claim, NewRun, Target},
};
use mesh_server::{About, Access, Assistant, Limits, Server};
use mesh_store::Sqlite;
use serde_json::{Map, json};
use uuid::Uuid;

use crate::{
    graphs,
    kit::{Mesh, eventually},
};

/// A database in which a run is some worker's that is no more.
async fn left_behind() -> (Arc<dyn Ledger>, Run) {
    let ledger = Sqlite::in_memory().unwrap().ledger();
    let before = Runtime::new(Arc::clone(&ledger), Graphs::default(), Arc::new(SystemEnv));
    let assistant = Kept {
        id: Uuid::from_u128(0xa5),
        graph: "gone".to_owned(),
        config: Map::new(),
        context: json!({}),
        metadata: Map::new(),
        name: "gone".to_owned(),
        description: None,
        created_at: Stamp(0),
        updated_at: Stamp(0),
        version: 1,
        owner: None,
    };
    let new = NewRun::new(Arc::new(assistant), Target::Own { keep: true });
    let claim =
        Claim { worker: Uuid::from_u128(0xa), lease_ms: i64::from(i32::MAX), time_limit_ms: None };
    let made = before.create_run_for(&Scope::All, new, Some(claim)).await.unwrap();
    assert!(made.is_claimed);
    (ledger, made.run)
}

fn server(ledger: Arc<dyn Ledger>) -> Server {
    serving(ledger, Vec::new())
}

fn serving(ledger: Arc<dyn Ledger>, assistants: Vec<Assistant>) -> Server {
    let about = About { name: String::new(), description: String::new(), version: String::new() };
    let server = Server::new(about, assistants, Limits::default(), Access::default()).unwrap();
    server.keep_in(ledger, Arc::new(SystemEnv))
}

/// Asks until the server says that it is ready.
async fn ready(mesh: &Mesh) {
    eventually(async || mesh.http("GET", "/ok", "").await.status == 200).await;
}

async fn status(ledger: &Arc<dyn Ledger>, run: &Run) -> RunStatus {
    let id = run.id;
    ledger.read(move |tx| tx.run(id)).await.unwrap().unwrap().status
}

#[tokio::test]
async fn runs_of_an_earlier_process_are_settled_before_anything_is_served() {
    let (ledger, run) = left_behind().await;
    assert_eq!(status(&ledger, &run).await, RunStatus::Running);
    let server = server(Arc::clone(&ledger));
    server.start().await.unwrap();
    assert_eq!(status(&ledger, &run).await, RunStatus::Pending);
    let mesh = Mesh::of(server, Arc::default()).await;
    assert_eq!(mesh.http("GET", "/ok", "").await.status, 200);
}

#[tokio::test]
async fn on_a_full_disk_a_server_can_be_read_from_and_is_ready_when_there_is_room() {
    let (ledger, run) = left_behind().await;
    let full = Arc::new(AtomicBool::new(true));
    let disk = Disk { inner: Arc::clone(&ledger), full: Arc::clone(&full) };
    let server = server(Arc::new(disk));
    server.start().await.unwrap();
    let mesh = Mesh::of(server, Arc::default()).await;
    let not_ready = mesh.http("GET", "/ok", "").await;
    assert_eq!((not_ready.status, &not_ready.json()["code"]), (503, &json!("starting")));
    assert_eq!(not_ready.header("retry-after"), Some("1"));
    let path = format!("/threads/{}/runs/{}", run.thread, run.id);
    assert_eq!(mesh.http("GET", &path, "").await.json()["status"], "running");
    full.store(false, Ordering::Relaxed);
    ready(&mesh).await;
    assert_ne!(status(&ledger, &run).await, RunStatus::Running, "nobody has the graph any more");
}

#[tokio::test]
async fn graphs_that_came_while_the_disk_was_full_have_their_assistants_when_it_is_ready() {
    let full = Arc::new(AtomicBool::new(true));
    let inner = Sqlite::in_memory().unwrap().ledger();
    let disk = Disk { inner, full: Arc::clone(&full) };
    let server = serving(Arc::new(disk), graphs::assistants(&Arc::default()));
    server.start().await.unwrap();
    let mesh = Mesh::of(server, Arc::default()).await;
    assert_eq!(mesh.http("GET", "/ok", "").await.status, 503);
    full.store(false, Ordering::Relaxed);
    ready(&mesh).await;
    let run = json!({ "assistant_id": "steps", "input": {} });
    assert_eq!(mesh.send("POST", "/runs/wait", &run).await.status, 200);
}

/// A disk that may be full.
struct Disk {
    inner: Arc<dyn Ledger>,
    full: Arc<AtomicBool>,
}

#[async_trait]
impl Ledger for Disk {
    async fn run_read(&self, operation: Operation) -> Result<Box<dyn Any + Send>, Error> {
        self.inner.run_read(operation).await
    }

    async fn run_write(&self, operation: Operation) -> Result<Box<dyn Any + Send>, Error> {
        if self.full.load(Ordering::Relaxed) {
            return Err(Error::DiskFull);
        }
        self.inner.run_write(operation).await
    }

    fn writes_waiting(&self) -> usize {
        self.inner.writes_waiting()
    }

    fn checkpointer(&self) -> Arc<dyn Checkpointer> {
        self.inner.checkpointer()
    }

    fn checkpointer_with(&self, rider: Arc<dyn Rider>) -> Arc<dyn Checkpointer> {
        self.inner.checkpointer_with(rider)
    }

    fn listen(&self, listener: &Arc<dyn Listener>) {
        self.inner.listen(listener);
    }

    fn store(&self, options: store::Options) -> Arc<dyn Store> {
        self.inner.store(options)
    }
}
