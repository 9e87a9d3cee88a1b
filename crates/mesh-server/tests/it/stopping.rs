//! Stopping: no new work, time for running work, then an end.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::kit::{Mesh, Probe, SOON};

async fn stopped(mesh: &mut Mesh) {
    let ended = tokio::time::timeout(SOON, mesh.task.join_next()).await;
    ended.expect("the server ends soon").unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_server_stops_at_once_whatever_is_connected() {
    let mut mesh = Mesh::start().await;
    // One that says nothing, and one kept alive between two requests.
    let _silent = TcpStream::connect(mesh.address).await.unwrap();
    assert_eq!(mesh.http("GET", "/ok", "").await.status, 200);
    let mut waiting = mesh.open("/ws/echo").await;
    let began = Instant::now();
    mesh.stop.cancel();
    let answer = waiting.rest().await;
    assert_eq!((answer.refusal().0, answer.code), ("server_stopping", 1012));
    drop(waiting);
    stopped(&mut mesh).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(TcpStream::connect(mesh.address).await.is_err());
}

#[tokio::test]
async fn running_work_may_finish_within_the_drain_timeout() {
    let mut mesh = Mesh::start().await;
    let mut client = mesh.open("/ws/slow").await;
    client.send("{}").await;
    Probe::wait_for(&mesh.probe.started).await;
    mesh.stop.cancel();
    mesh.probe.go.add_permits(1);
    assert_eq!(client.rest().await.code, 1000);
    stopped(&mut mesh).await;
}

#[tokio::test]
async fn work_that_takes_longer_is_cancelled_and_told() {
    let mut mesh = Mesh::with(|limits, _| limits.drain_timeout = Duration::from_millis(50)).await;
    let mut client = mesh.open("/ws/slow").await;
    client.send("{}").await;
    Probe::wait_for(&mesh.probe.started).await;
    // One whose client left cannot be told, and ends all the same.
    let mut left = mesh.open("/ws/slow?on_disconnect=continue").await;
    left.send("{}").await;
    Probe::wait_for(&mesh.probe.started).await;
    drop(left);
    mesh.stop.cancel();
    let answer = client.rest().await;
    assert_eq!((answer.refusal().0, answer.code), ("server_stopping", 1012));
    stopped(&mut mesh).await;
    Probe::wait_for(&mesh.probe.ended).await;
    Probe::wait_for(&mesh.probe.ended).await;
}

#[tokio::test]
async fn dropping_the_server_ends_its_runs() {
    let mut mesh = Mesh::start().await;
    let mut client = mesh.open("/ws/slow").await;
    client.send("{}").await;
    Probe::wait_for(&mesh.probe.started).await;
    mesh.task.abort_all();
    Probe::wait_for(&mesh.probe.ended).await;
}
