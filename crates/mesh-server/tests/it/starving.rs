//! Nodes that keep the threads they run on, which is no way to be written, and what else goes on.

use std::{sync::Arc, time::Duration};

use mesh_server::Server;
use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
    task::JoinSet,
};

use crate::kit::{Client, Mesh, Probe, SOON};

/// Threads that nodes run on here.
const THREADS: usize = 2;

/// What nodes run on, apart from the test.
fn nodes() -> Runtime {
    Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().unwrap()
}

/// A socket on which a run was started.
async fn asking(mesh: &Mesh, path: &str) -> Client {
    let mut client = mesh.open(path).await;
    client.send("{}").await;
    client
}

/// Sockets with runs whose nodes keep every thread.
async fn block(mesh: &Mesh) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..THREADS {
        clients.push(asking(mesh, "/ws/blocking").await);
        Probe::wait_for(&mesh.probe.started).await;
    }
    clients
}

#[tokio::test]
async fn nodes_that_keep_every_thread_keep_no_socket_and_no_request_waiting() {
    let nodes = nodes();
    let apart = |server: Server| server.execute_on(nodes.handle().clone());
    let mesh = Mesh::made(|limits, _| limits.ping_every = Duration::from_millis(50), apart).await;
    let mut reading = JoinSet::new();
    let mut read = |client: Client| {
        let pings = Arc::new(Semaphore::new(0));
        reading.spawn(client.count_pings(Arc::clone(&pings)));
        pings
    };
    let mut all = Vec::new();
    for _ in 0..THREADS {
        all.push(read(asking(&mesh, "/ws/blocking").await));
        Probe::wait_for(&mesh.probe.started).await;
    }
    // A new run can be made, and be told of, though not executed.
    all.push(read(asking(&mesh, "/ws/echo").await));
    for pings in all {
        pings.forget_permits(Semaphore::MAX_PERMITS);
        for _ in 0..3 {
            Probe::wait_for(&pings).await;
        }
    }
    assert_eq!(mesh.http("GET", "/ok", "").await.status, 200);
    assert_eq!(mesh.send("POST", "/threads", &serde_json::json!({})).await.status, 200);
    mesh.probe.go.add_permits(THREADS);
    let codes = tokio::time::timeout(SOON, reading.join_all()).await;
    assert_eq!(codes.expect("runs end soon"), [1000; THREADS + 1]);
    nodes.shutdown_background();
}

#[tokio::test]
async fn a_server_stops_though_nodes_keep_every_thread() {
    let nodes = nodes();
    let apart = |server: Server| server.execute_on(nodes.handle().clone());
    let drain = Duration::from_millis(50);
    let mut mesh = Mesh::made(|limits, _| limits.drain_timeout = drain, apart).await;
    let clients = block(&mesh).await;
    mesh.stop.cancel();
    for mut client in clients {
        assert_eq!(client.rest().await.code, 1012);
    }
    let ended = tokio::time::timeout(SOON, mesh.task.join_next()).await;
    ended.expect("the server ends soon").unwrap().unwrap();
    mesh.probe.go.add_permits(THREADS);
    nodes.shutdown_background();
}
